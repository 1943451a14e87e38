"""A model from labelled photos by the program that the daemon starts, and what the daemon would do with other photos by that model."""

import random
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.looks import Look
from birdwatchd.core import deciding, splits
from birdwatchd.core.deciding import Rules
from birdwatchd.core.formats import READABLE
from birdwatchd.core.job import EMBEDDINGS_FILE, JOB_FILE, Example, Job, fingerprint
from birdwatchd.core.photo import State
from birdwatchd.core.preprocess import ModelInput, to_model_input
from birdwatchd.core.settings import Deciding, Spotter
from birdwatchd.edges.images import Limits, decode
from birdwatchd.edges.vision import Classifier
from birdwatchd.training.teach import teach

_DECIDING = Deciding()
_LIMITS = Limits(max_megapixels=40, formats=READABLE)
_RULES = Rules(Spotter().empty_below, confirm_first=False)
"""The first of each kind waits for a person only once in the life of a bird folder."""

STRANGERS_LET_IN = _DECIDING.strangers_let_in
"""As it is unless a person sets it."""


@dataclass(frozen=True)
class Draw:
    """Photos that are learned from, and photos that nobody has learned from, of the same species but of other visits."""

    taught: list[Look]
    judged: list[Look]


def draw(chance: random.Random, species: Iterable[Sequence[Look]], *, labels: int | None = None) -> Draw:
    """Take so many photos of each species to learn from; all others judge, but for near-copies of what is learned.

    Args:
        labels: of each species; None for half of its photos.
    """
    taught: list[Look] = []
    rest: list[Look] = []
    for photos in species:
        visits: dict[int, list[Look]] = {}
        for look in photos:
            visits.setdefault(look.visit, []).append(look)
        order = list(visits)
        chance.shuffle(order)
        shuffled = [look for visit in order for look in visits[visit]]
        wanted = len(photos) // 2 if labels is None else labels
        taught += shuffled[:wanted]
        rest += shuffled[wanted:]
    learned = {look.visit for look in taught}
    return Draw(taught, [look for look in rest if look.visit not in learned])


def learn(
    photos: Sequence[Look], *, seed: int, strangers_let_in: float, kind: str = "linear", all_of_them: bool
) -> Classifier:
    """Teach the photos as a frozen job and read the exported file as the daemon does.

    Args:
        all_of_them: every photo is learned from; else a fifth of 200 and more only judges, as the daemon has it.
    """
    labelled = [look.labelled for look in photos]
    split = splits.split(labelled, [look.visit for look in photos], known_sides={})
    embeddings = np.stack([look.spotting.embedding for look in photos])
    spotter_id = photos[0].spotting.spotter_id
    job = Job(
        kind=kind,
        training_id=1,
        spotter_id=spotter_id,
        seed=seed,
        wanted_precision=_DECIDING.wanted_precision,
        strangers_let_in=strangers_let_in,
        fingerprint=fingerprint(((look.sha256, look.species) for look in photos), spotter_id),
        parent_sha256=None,
        recipe={"training_id": 1},
        sides={},
        root=str(photos[0].path.parent.parent),
        examples=tuple(
            Example(
                photo_id=look.number,
                sha256=look.sha256,
                path=f"{look.path.parent.name}/{look.path.name}",
                label=look.species,
                fold=fold,
                held_out=held_out and not all_of_them,
            )
            for look, fold, held_out in zip(photos, split.folds, split.held_out, strict=True)
        ),
    )
    with tempfile.TemporaryDirectory(prefix="birdwatchd-bench-job-") as place:
        folder = Path(place)
        np.save(folder / EMBEDDINGS_FILE, embeddings)
        (folder / JOB_FILE).write_text(job.to_json(), encoding="utf-8")
        report = teach(folder, lambda *_: None)
        return Classifier.load(folder / report.model, model_id=1, spotter_id=spotter_id)


@dataclass(frozen=True)
class Answers:
    """What the daemon would do with photos; all are in their order.

    Attributes:
        right: whether the best name is the right one.
        certainty: its probability, 0–1.
        filed: whether the photo would be filed under that name without being asked about.
    """

    right: npt.NDArray[np.bool_]
    certainty: npt.NDArray[np.float64]
    filed: npt.NDArray[np.bool_]


def _pixels(model: Classifier, look: Look) -> ModelInput | None:
    """What the model looks at itself, if it does."""
    if (recipe := model.card.pixels) is None:
        return None
    picture = decode(look.path.read_bytes(), _LIMITS, view_px=recipe.size_px)
    return to_model_input(picture.view(recipe.size_px, recipe.resize), recipe)


def ask(model: Classifier, photos: Sequence[Look]) -> Answers:
    """Name these photos and decide on them, by the rules of the daemon."""
    namings = [naming for look in photos for naming in model.name([look.spotting.embedding], _pixels(model, look))]
    decisions = [deciding.judge(look.spotting, _RULES, naming) for look, naming in zip(photos, namings, strict=True)]
    return Answers(
        right=np.array([naming.ranking[0][0] == look.species for naming, look in zip(namings, photos, strict=True)]),
        certainty=np.array([naming.ranking[0][1] for naming in namings]),
        filed=np.array([decision.outcome is State.FILED for decision in decisions]),
    )
