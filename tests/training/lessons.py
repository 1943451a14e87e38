"""Jobs for the training program, made of pictures: as the daemon freezes them, without a daemon."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from birdwatchd.core.job import EMBEDDINGS_FILE, JOB_FILE, Champion, Example, Job
from birdwatchd.core.preprocess import to_model_input
from birdwatchd.core.tuning import Tuning
from birdwatchd.edges.images import Limits, decode
from birdwatchd.edges.vision import Spotter

LIMITS = Limits(max_megapixels=40, formats=frozenset({"jpeg", "png", "webp"}))
FOLDS = 5


def freeze(
    root: Path,
    photos: Mapping[str, Sequence[bytes]],
    spotter: Spotter,
    *,
    kind: str = "finetuned",
    number: int = 1,
    tuning: Tuning | None = None,
    held_out_one_in: int | None = None,
    champion: Champion | None = None,
) -> Path:
    """Put photos into a library and write a job about them; returns its folder.

    Args:
        photos: JPEG files by species.
        held_out_one_in: of each species every so-manieth photo is held out; None: none is, the folds take turns.
    """
    examples: list[Example] = []
    embeddings = []
    for species, files in photos.items():
        (root / "library" / species).mkdir(parents=True, exist_ok=True)
        for place, data in enumerate(files):
            sha256 = hashlib.sha256(data).hexdigest()
            path = f"library/{species}/{place}-{sha256[:16]}.jpg"
            (root / path).write_bytes(data)
            held_out = held_out_one_in is not None and place % held_out_one_in == 0
            examples.append(Example(len(examples) + 1, sha256, path, species, place % FOLDS, held_out))
            view = decode(data, LIMITS, view_px=spotter.recipe.size_px).view(spotter.recipe.size_px)
            embeddings.append(spotter.spot(to_model_input(view, spotter.recipe))[0].embedding)
    job = Job(
        kind=kind,
        training_id=number,
        spotter_id=spotter.id,
        seed=42,
        wanted_precision=0.95,
        strangers_let_in=0.08,
        fingerprint="f" * 64,
        parent_sha256=None,
        recipe={"training_id": number} | (tuning or Tuning()).as_recipe(),
        sides={},
        examples=tuple(examples),
        root=str(root),
        champion=champion,
    )
    folder = root / ".birdwatchd" / "jobs" / str(number)
    folder.mkdir(parents=True)
    np.save(folder / EMBEDDINGS_FILE, np.stack(embeddings))
    (folder / JOB_FILE).write_text(job.to_json())
    return folder
