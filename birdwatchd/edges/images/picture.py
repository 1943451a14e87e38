"""A photo that has been proved, scaled and turned upright: what people and networks see of it."""

import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from birdwatchd.core.formats import Kind
from birdwatchd.core.photo import WHOLE_FRAME, Box, Pixels, Shot
from birdwatchd.core.preprocess import Resize
from birdwatchd.edges.images.colours import GROUND

_REDUCING_GAP = 2.0
"""A picture is brought near its size in whole steps first: a quarter of the time, and a difference that no network sees."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A proven photo, scaled and upright; the full-size pixels are already gone.

    Attributes:
        width_px, height_px: of the original, upright.
        kind: what the file is.
        shot: what the camera wrote about it.
    """

    width_px: int
    height_px: int
    kind: Kind
    shot: Shot
    _thumbnail_px: int
    _image: Image.Image = field(repr=False)

    def view(self, size_px: int, resize: Resize = "squash", box: Box = WHOLE_FRAME) -> Pixels:
        """Make the picture, or a part of it, a square, as the network wants it.

        Args:
            box: the part.
        Returns:
            RGB, shape (size_px, size_px, 3), uint8, contiguous and writable. Beyond the `view_px` given to `decode` it
            is enlarged and not sharper.
        """
        width, height = box.width * self._image.width, box.height * self._image.height
        left, top = box.x * self._image.width, box.y * self._image.height
        wide_px = high_px = size_px
        if resize == "crop":
            side = min(width, height)
            left, top, width, height = left + (width - side) / 2, top + (height - side) / 2, side, side
        elif resize == "pad":
            wide_px = max(round(size_px * width / max(width, height)), 1)
            high_px = max(round(size_px * height / max(width, height)), 1)
        part = (left, top, left + width, top + height)
        scaled = np.array(
            self._image.resize((wide_px, high_px), Image.Resampling.BICUBIC, box=part, reducing_gap=_REDUCING_GAP)
        )
        if wide_px == high_px:
            return scaled
        square = np.empty((size_px, size_px, 3), dtype=np.uint8)
        square[:] = GROUND[:3]
        row, column = (size_px - high_px) // 2, (size_px - wide_px) // 2
        square[row : row + high_px, column : column + wide_px] = scaled
        return square

    def scaled(self, width_px: int, height_px: int) -> Pixels:
        """All of it at this size; RGB, shape (height_px, width_px, 3), uint8."""
        size_px = (width_px, height_px)
        return np.array(self._image.resize(size_px, Image.Resampling.BILINEAR, reducing_gap=1.0))

    def whole(self) -> Pixels:
        """All of it, its longest side at most the `thumbnail_px` given to `decode`; RGB, shape (H, W, 3)."""
        small = self._image.copy()
        small.thumbnail((self._thumbnail_px, self._thumbnail_px), Image.Resampling.BICUBIC)
        return np.array(small)

    def thumbnail(self, box: Box = WHOLE_FRAME) -> bytes:
        """Make a small JPEG for people: longest side at most the `thumbnail_px` given to `decode`, no metadata.

        Args:
            box: the part that is shown.
        """
        width, height = self._image.size
        part = (box.x * width, box.y * height, (box.x + box.width) * width, (box.y + box.height) * height)
        wide_px, high_px = max(part[2] - part[0], 1.0), max(part[3] - part[1], 1.0)
        share = min(self._thumbnail_px / max(wide_px, high_px), 1.0)
        small = self._image.resize(
            (max(round(wide_px * share), 1), max(round(high_px * share), 1)),
            Image.Resampling.HAMMING,  # as sharp, half the work
            box=part,
            reducing_gap=_REDUCING_GAP,
        )
        file = io.BytesIO()
        small.save(file, "JPEG", quality=80)
        return file.getvalue()


def as_jpeg(pixels: Pixels) -> bytes:
    """A picture of our own as a file; RGB, shape (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()
