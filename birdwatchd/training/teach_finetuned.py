"""The long training, step by step: the whole network learns on photos, and answers for itself on those that it has not seen.

torch and fastai come with the extra `train`; without them it is refused before anything is read. What is strange is told as in the
quick training, by the spotter's embedding: a network that was trained on few species finds none of them strange.
"""

import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from birdwatchd.core.errors import Refused
from birdwatchd.core.manifest import golden_pixels
from birdwatchd.core.naming import Card, GoldenName, golden_embedding
from birdwatchd.core.preprocess import ModelInput, to_model_input
from birdwatchd.core.tuning import NEEDED, Tuning
from birdwatchd.edges.vision import Classifier
from birdwatchd.training import batches, export, linear, photos, teach_linear
from birdwatchd.training.lesson import Labels, Learned, Lesson, Mask, guessed, proved_alike, thresholds
from birdwatchd.training.photos import Square, Squares

if TYPE_CHECKING:
    from birdwatchd.training.network import Shown

Tell = Callable[[float, str], None]

LARGER = 2**0.5
"""What is cut out of a photo at random is half of it at least: so much larger it is kept, to be no less sharp."""

LEARNER_FILE, BATCH_FILE = "learner.pkl", "batch.png"

ASKED_AT_ONCE = 16


def learn(lesson: Lesson, folder: Path, tell: Tell) -> Learned:
    """Train a whole network on the lesson's photos, written into the folder.

    Raises:
        Refused: torch is not installed, the network cannot be had, or there is nothing to judge it on.
        ModelError: it cannot be written as ONNX, or learned only nonsense.
        ModelDamaged: the exported file does not say what was learned.
    """
    begun = time.monotonic()
    require_torch()
    tuning = tuning_of(lesson)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, about each other
        with squares(lesson, tuning, folder, lambda share: tell(0.1 * share, "opening the photos")) as shown:
            return _learn(lesson, tuning, shown, folder, tell, begun + 60 * tuning.max_minutes)


def _learn(lesson: Lesson, tuning: Tuning, shown: Squares, folder: Path, tell: Tell, until: float) -> Learned:
    from birdwatchd.training import network

    taught, checked, judged = sides(lesson, shown.there)
    loaders = network.dataloaders(
        pairs(lesson, shown.larger, taught), pairs(lesson, shown.served, checked), lesson.names, tuning,
        photos.limits_of(lesson.job), seed=lesson.job.seed,
    )  # fmt: skip
    (folder / BATCH_FILE).write_bytes(batches.sheet(*batches.of_loaders(loaders, tuning.pixels)))
    rng = np.random.default_rng(lesson.job.seed)
    features = linear.as_features(lesson.embeddings)
    weights = linear.fit(features[taught], lesson.labels[taught], len(lesson.names), rng)
    trained = network.train(
        loaders,
        tuning,
        lambda share, what: tell(0.1 + 0.7 * share, what),
        seed=lesson.job.seed,
        until=until,
        quick=linear.tempered(weights, teach_linear.temperature(lesson, features, rng)),
    )
    tell(0.8, "asking it about photos that it has not seen")
    there = np.flatnonzero(shown.there)
    logits = trained.logits(_inputs(shown.served, there, tuning))
    unseen = np.searchsorted(there, checked)
    warmth = linear.temperature(logits[unseen], lesson.labels[checked])
    tell(0.85, "showing it strangers")
    rule, too_strange = teach_linear.novelty(lesson, features, rng)
    tell(0.9, "writing it down and reading it as the daemon does")
    card = Card(
        kind="finetuned",
        labels=lesson.names,
        spotter_id=lesson.job.spotter_id,
        sure_above=thresholds(lesson, checked, linear.softmax(logits[unseen] / warmth)),
        strange_above=too_strange,
        recipe={"seed": lesson.job.seed, **lesson.job.recipe},
        fingerprint=lesson.job.fingerprint,
        parent_sha256=lesson.job.parent_sha256,
        golden=(GoldenName(0, (0.0,) * len(lesson.names), 0.0),),
        pixels=tuning.pixels,
    )
    questions = [to_model_input(golden_pixels(seed, tuning.image_size), tuning.pixels) for seed in export.GOLDEN_SEEDS]
    strangeness = rule.of(
        weights.signs(linear.as_features(np.stack([golden_embedding(seed) for seed in export.GOLDEN_SEEDS])))
    )
    card = replace(card, golden=export.golden(linear.softmax(trained.logits(questions) / warmth), strangeness))
    path = export.write_finetuned(folder, card, trained.as_onnx(warmth, export.OPSET), weights, rule)
    served = _served(path, lesson, shown, there, tuning)
    own = linear.softmax(logits / warmth), rule.of(weights.signs(features[there]))
    parity = proved_alike(served, own)
    trained.write_learner(folder / LEARNER_FILE)
    asked = np.searchsorted(there, judged)
    return Learned(
        path,
        guessed(lesson, judged, served[0][asked].astype(np.float64), served[1][asked].astype(np.float64)),
        {
            "photos": float(len(taught)),
            "temperature": warmth,
            "rounds": float(len(trained.epochs)),
            "cut_short": float(trained.cut_short),
            "unreadable": float((~shown.there).sum()),
        },
        parity,
        trained.epochs,
    )


def batch(folder: Path) -> bytes:
    """Some photos of a job as they would be taught, as a PNG; without torch as they are served, and nothing done to them at random.

    Raises:
        Refused: there is no job, it cannot be done as it was chosen, or none of its photos can be read.
    """
    lesson = Lesson.read(folder)
    tuning = tuning_of(lesson)
    wanted = np.zeros(len(lesson.ids), dtype=bool)
    rng = np.random.default_rng(lesson.job.seed)
    wanted[rng.permutation(np.flatnonzero(lesson.learnable))[: 2 * batches.MOST]] = True
    with squares(lesson, tuning, folder, lambda _: None, wanted) as shown, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        places = np.flatnonzero(shown.there)
        if not len(places):
            raise Refused("none of the job's photos can be read")
        if not_installed():
            chosen = pairs(lesson, shown.served, places[: batches.MOST])
            return batches.sheet([one.read() for one, _ in chosen], [label for _, label in chosen])
        from birdwatchd.training import network

        loaders = network.dataloaders(
            pairs(lesson, shown.larger, places),
            pairs(lesson, shown.served, places[:1]),
            lesson.names,
            tuning,
            photos.limits_of(lesson.job),
            seed=lesson.job.seed,
        )
        return batches.sheet(*batches.of_loaders(loaders, tuning.pixels))


def require_torch() -> None:
    """See that what only this training needs is installed, without loading it.

    Raises:
        Refused: something is missing.
    """
    if missing := not_installed():
        raise Refused(
            f"the long training needs {missing[0]}, which is not installed",
            hint='install birdwatchd with its extra "train"; `birdwatchd train` without --finetune needs none of it',
        )


def not_installed() -> list[str]:
    """What of the extra `train` is missing; nothing of it is loaded for that."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def tuning_of(lesson: Lesson) -> Tuning:
    """What was chosen for this job.

    Raises:
        Refused: it cannot be used.
    """
    try:
        return Tuning.from_recipe(lesson.job.recipe)
    except ValueError as error:
        raise Refused(f"the training cannot be done as it was chosen: {error}") from error


def squares(
    lesson: Lesson, tuning: Tuning, folder: Path, tell: Callable[[float], None], wanted: Mask | None = None
) -> AbstractContextManager[Squares]:
    """The photos of the lesson as this training needs them; see `photos.squares`."""
    larger_px = round(LARGER * tuning.image_size) if tuning.resize == "random-crop" else None
    return photos.squares(
        lesson, tuning.pixels, folder, photos.limits_of(lesson.job), larger_px=larger_px, tell=tell, wanted=wanted
    )


def sides(lesson: Lesson, there: Mask) -> tuple[Labels, Labels, Labels]:
    """Which photos are taught, by which the rounds are told apart and certainty is measured, and which judge the model.

    The held-out ones judge, and do nothing else. The first fold that can do so does both of the latter for species of which hardly
    anything is held out.
    A species is taught in any case, or it could not be named at all.

    Raises:
        Refused: a species has no photo that can be read, or nothing is left to judge by.
    """
    taught = lesson.learnable & there
    for label, name in enumerate(lesson.names):
        if not (taught & (lesson.labels == label)).any():
            raise Refused(f"no photo of {name} can be read", hint="see whether its photos are still in library/")
    apart = _apart(lesson, taught, there)
    checked = apart & ~lesson.doubted
    judged = (lesson.held_out & there) | (apart & lesson.judges_out_of_fold)
    if not checked.any() or not judged.any():
        raise Refused(
            "all photos are of one visit: they can be learned, but not judged", hint="name photos of other days"
        )
    return np.flatnonzero(taught & ~apart), np.flatnonzero(checked), np.flatnonzero(judged)


def _apart(lesson: Lesson, taught: Mask, there: Mask) -> Mask:
    """The first fold that at least two species do without, or nothing."""
    for fold in np.unique(lesson.folds[taught]):
        elsewhere = taught & (lesson.folds != fold)
        asked = (lesson.folds == fold) & there & ~lesson.held_out & np.isin(lesson.labels, lesson.labels[elsewhere])
        if (asked & ~lesson.doubted).any() and len(np.unique(lesson.labels[taught & ~asked])) > 1:
            return np.asarray(asked)
    return np.zeros_like(taught)


def pairs(lesson: Lesson, shown: Sequence[Square], places: Labels) -> "list[Shown]":
    """Photos with their labels."""
    return [(shown[place], lesson.names[lesson.labels[place]]) for place in places.tolist()]


def _inputs(shown: Sequence[Square], places: Labels, tuning: Tuning) -> Iterator[ModelInput]:
    for start in range(0, len(places), ASKED_AT_ONCE):
        yield photos.inputs([shown[place] for place in places[start : start + ASKED_AT_ONCE]], tuning.pixels)


def _served(
    path: Path, lesson: Lesson, shown: Squares, places: Labels, tuning: Tuning
) -> tuple[np.ndarray, np.ndarray]:
    """What the exported file says of photos, through the code that serves it."""
    model = Classifier.load(path, model_id=0, spotter_id=lesson.job.spotter_id)
    embeddings = np.array_split(lesson.embeddings[places], range(ASKED_AT_ONCE, len(places), ASKED_AT_ONCE))
    parts = [model.classify(*asked) for asked in zip(embeddings, _inputs(shown.served, places, tuning), strict=True)]
    probabilities, novelty = (np.concatenate(column) for column in zip(*parts, strict=True))
    return probabilities, novelty
