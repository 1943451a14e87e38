"""What can be learned now: labelled photos with their embeddings, split by visit, and what is left out of them and why."""

import json
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from birdwatchd.core import shelfmoves, shelving, splits
from birdwatchd.core.errors import Refused
from birdwatchd.core.job import Example, fingerprint
from birdwatchd.core.meter import needed
from birdwatchd.core.photo import WHOLE_FRAME, Box
from birdwatchd.edges.store import Row


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is learned from.

    Attributes:
        examples: the photos.
        embeddings: theirs, in the same order.
        sides: by content, on which side each photo is for ever.
        fingerprint: of spotter, photos and labels.
        too_few, doubtful_names, straddling: what is left out; see `Job`.
        newest_label: id of the newest word of people that was heard for it; 0 without any.
    """

    examples: tuple[Example, ...]
    embeddings: npt.NDArray[np.float32]
    sides: Mapping[str, bool]
    fingerprint: str
    too_few: Mapping[str, int]
    doubtful_names: Mapping[str, str]
    straddling: tuple[int, ...]
    newest_label: int

    @property
    def species(self) -> int:
        """How many names there are."""
        return len({one.label for one in self.examples})


def freeze(
    rows: Sequence[Row], *, spotter_id: str, min_labels: int, known_sides: Mapping[str, bool], newest_label: int
) -> Generator[None, None, Dataset]:
    """Decide what is learned from, and on which side each photo is; in steps, between which photos in the inbox have their turn.

    Args:
        rows: labelled photos, each with its embedding as bytes; as `store.models.examples` gives them.
        spotter_id: whose embeddings these are.
        min_labels: a species with fewer is left out.
        known_sides: as the last training had them.
        newest_label: id of the newest word of people when the rows were read.

    Raises:
        Refused: there is too little.
    """
    counts = Counter(row["label"] for row in rows)
    doubtful = shelfmoves.doubtful_names(counts)
    learned = [row for row in rows if counts[row["label"]] >= min_labels and row["label"] not in doubtful]
    if len({row["label"] for row in learned}) < 2:
        raise Refused(
            "there is too little to learn from yet",
            hint=f"name at least {needed(min_labels)}; so far: "
            + (", ".join(f"{shelving.printable(label)} {n}" for label, n in sorted(counts.items())) or "none"),
        )
    embeddings = np.stack([np.frombuffer(row["vector"], dtype="<f4") for row in learned])
    labelled = [
        splits.Labelled(row["id"], row["sha256"], row["label"], row["camera"], row["captured_at"]) for row in learned
    ]
    yield
    visits = yield from splits.visits_in_steps(labelled, embeddings)
    yield
    split = splits.split(labelled, visits, known_sides=known_sides)
    kept = [place for place in range(len(learned)) if not split.held_back[place]]
    examples = tuple(_example(learned[place], split, place) for place in kept)
    return Dataset(
        examples=examples,
        embeddings=embeddings[kept],
        sides=split.sides,
        fingerprint=fingerprint(
            ((one.sha256, f"{one.label}, confirmed" if one.confirmed else one.label) for one in examples), spotter_id
        ),
        too_few={label: n for label, n in counts.items() if n < min_labels and label not in doubtful},
        doubtful_names=doubtful,
        straddling=tuple(row["id"] for row, back in zip(learned, split.held_back, strict=True) if back),
        newest_label=newest_label,
    )


def _example(row: dict[str, Any], split: splits.Split, place: int) -> Example:
    return Example(
        photo_id=row["id"],
        sha256=row["sha256"],
        path=row["path"],
        label=row["label"],
        fold=split.folds[place],
        held_out=split.held_out[place],
        box=Box(*json.loads(row["box"])) if row["box"] else WHOLE_FRAME,
        confirmed=bool(row["confirmed"]),
    )
