"""Pictures of what a network is taught with: some photos of a job as they come to it, on one sheet, for a person to look at."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from birdwatchd.core.photo import Pixels
from birdwatchd.core.preprocess import Recipe

if TYPE_CHECKING:
    from fastai.data.core import DataLoaders

MOST = 16
COLUMNS = 4
MARGIN_PX, CAPTION_PX = 6, 16


def sheet(pictures: Sequence[Pixels], captions: Sequence[str]) -> bytes:
    """Squares of one size beneath each other in rows of four, each with its caption; a PNG."""
    size_px = len(pictures[0])
    rows = -(-len(pictures) // COLUMNS)
    step = size_px + MARGIN_PX
    paper = Image.new("RGB", (COLUMNS * step + MARGIN_PX, rows * (step + CAPTION_PX) + MARGIN_PX), (255, 255, 255))
    pen = ImageDraw.Draw(paper)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left = MARGIN_PX + number % COLUMNS * step
        top = MARGIN_PX + number // COLUMNS * (step + CAPTION_PX)
        paper.paste(Image.fromarray(picture), (left, top))
        pen.text((left, top + size_px + 1), caption.encode("latin-1", "replace").decode("latin-1"), fill=(0, 0, 0))
    file = io.BytesIO()
    paper.save(file, "PNG")
    return file.getvalue()


def of_loaders(loaders: "DataLoaders", recipe: Recipe) -> tuple[list[Pixels], list[str]]:
    """The first batch that is taught, as the network sees it, with its labels."""
    inputs, labels = loaders.train.one_batch()
    values = inputs[:MOST].cpu().numpy() * recipe.scale + recipe.mean
    pictures = values.round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    names: Any = loaders.vocab
    return list(pictures), [str(names[int(label)]) for label in labels[:MOST]]
