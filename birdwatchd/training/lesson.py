"""What both trainings share: the photos of a job as arrays, and what comes of learning from them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from birdwatchd.core.errors import ModelDamaged, Refused
from birdwatchd.core.job import EMBEDDINGS_FILE, JOB_FILE, Epoch, Guess, Job
from birdwatchd.core.thresholds import sure_above

JUDGED_ALONE = 5
"""So many held-out photos of a species judge it; of one with fewer, what was learned judges as well, out of fold."""

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

PARITY = 1e-4
"""How far the exported file may be off from the training's own answers, in probability."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A job, photo by photo; all arrays are in the order of `job.examples`.

    Attributes:
        embeddings: shape (N, 1280).
        names: the labels that are learned, sorted; at least two.
        labels: places in `names`; -1 for one that is only held out.
        folds: for cross-validation.
        ids: `photos.id`.
        held_out: judged on, never trained on.
        doubted: not trained on, because the label is probably wrong; judged on all the same.
        confirmed: the label is not doubted, whatever it looks like.
    """

    job: Job
    embeddings: npt.NDArray[np.float32]
    names: tuple[str, ...]
    labels: Labels
    folds: Labels
    ids: Labels
    held_out: Mask
    doubted: Mask
    confirmed: Mask

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a job's folder.

        Raises:
            Refused: there is no job, or there are not two species to tell apart.
        """
        try:
            job = Job.from_json((folder / JOB_FILE).read_text(encoding="utf-8"))
            embeddings = np.load(folder / EMBEDDINGS_FILE, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise Refused(f"{folder.name} holds no training job that can be read: {error}") from error
        if len(embeddings) != len(job.examples):
            raise Refused(f"{folder.name} has {len(embeddings)} embeddings for {len(job.examples)} photos")
        held_out = np.array([one.held_out for one in job.examples], dtype=bool)
        names = tuple(sorted({one.label for one in job.examples if not one.held_out}))
        if len(names) < 2:
            raise Refused("there are not two species to tell apart yet", hint="name some photos of another species")
        number = {name: place for place, name in enumerate(names)}
        return cls(
            job=job,
            embeddings=embeddings.astype(np.float32),
            names=names,
            labels=np.array([number.get(one.label, -1) for one in job.examples], dtype=np.intp),
            folds=np.array([one.fold for one in job.examples], dtype=np.intp),
            ids=np.array([one.photo_id for one in job.examples], dtype=np.intp),
            held_out=held_out,
            doubted=np.zeros(len(held_out), dtype=bool),
            confirmed=np.array([one.confirmed for one in job.examples], dtype=bool),
        )

    @property
    def learnable(self) -> Mask:
        """What may be trained on, but for cross-validation."""
        return ~self.held_out & ~self.doubted

    @property
    def judges_out_of_fold(self) -> Mask:
        """What is learned from and judges all the same, by models of other folds: species of which hardly anything is held out."""
        held_out = np.bincount(self.labels[self.held_out & (self.labels >= 0)], minlength=len(self.names))
        return np.asarray(~self.held_out & (held_out[self.labels] < JUDGED_ALONE))

    def doubting(self, doubted: Mask) -> Self:
        """The same without training on these."""
        return replace(self, doubted=doubted)


@dataclass(frozen=True, slots=True)
class Learned:
    """A candidate: its file, and what was said of photos that it, or the models of the other folds, had not seen."""

    model: Path
    guesses: tuple[Guess, ...]
    metrics: dict[str, float]
    parity: float
    epochs: tuple[Epoch, ...] = ()


def proved_alike(
    served: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
    own: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
) -> float:
    """Hold what the exported file answers through the serving code against the training's own answers.

    Args:
        served, own: probabilities (N, labels) and novelties (N,).
    Returns:
        The largest difference.
    Raises:
        ModelDamaged: it is above PARITY, or another label comes first where that is no matter of rounding.
    """
    parity = max(float(np.abs(served[0] - own[0]).max()), float(np.abs(served[1] - own[1]).max()))
    best_two = np.sort(own[0], axis=1)[:, -2:]
    clear = best_two[:, 1] - best_two[:, 0] > 2 * PARITY
    if not parity <= PARITY or (served[0].argmax(axis=1) != own[0].argmax(axis=1))[clear].any():
        raise ModelDamaged(
            f"the exported model differs from the trained one by {parity:.2g}", hint="please report this"
        )
    return parity


def thresholds(lesson: Lesson, places: Labels, probabilities: Array) -> tuple[float, ...]:
    """How sure is sure enough, for each label.

    Args:
        places: of photos in the lesson that the asked model had not seen.
        probabilities: of all labels, for each of them.
    """
    best, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = best == lesson.labels[places]
    return sure_above(best, certainty, right, labels=len(lesson.names), precision=lesson.job.wanted_precision)


def guessed(lesson: Lesson, places: Labels, probabilities: Array, strangeness: Array) -> tuple[Guess, ...]:
    """For the report: what was said of photos that the asked model had not seen."""
    return tuple(
        Guess(int(lesson.ids[place]), lesson.names[int(row.argmax())], float(row.max()), float(strange))
        for place, row, strange in zip(places.tolist(), probabilities, strangeness, strict=True)
    )
