"""The quick training, step by step: ask models that have not seen the photos, show them strangers, write the model of all."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from birdwatchd.core.errors import Refused
from birdwatchd.core.naming import Card, GoldenName
from birdwatchd.core.thresholds import NEVER, strange_above
from birdwatchd.edges.vision import Classifier
from birdwatchd.training import export, linear
from birdwatchd.training.lesson import Labels, Learned, Lesson, guessed, proved_alike, thresholds
from birdwatchd.training.linear import Array


@dataclass(frozen=True, slots=True)
class Unseen:
    """Answers to photos by models that had not seen them.

    Attributes:
        places: of the photos in the lesson; shape (M,).
        logits: minus infinity for labels that the asked model did not know; shape (M, labels).
        signs: what tells a stranger; shape (M, 3).
    """

    places: Labels
    logits: Array
    signs: Array


def learn(lesson: Lesson, folder: Path, tell: Callable[[float, str], None]) -> Learned:
    """Make a linear model of the lesson, written into the folder.

    Raises:
        Refused: all photos are of one visit.
        ModelDamaged: the exported file does not say what was learned.
    """
    rng = np.random.default_rng(lesson.job.seed)
    features = linear.as_features(lesson.embeddings)
    tell(0.1, "asking models that have not seen the photos")
    unseen = answers_out_of_fold(lesson, features, rng)
    warmth = _temperature(lesson, unseen)
    tell(0.4, "showing it strangers")
    rule, too_strange = novelty(lesson, features, rng)
    tell(0.8, "writing it down and reading it as the daemon does")
    places = np.flatnonzero(lesson.learnable)
    weights = linear.fit(features[places], lesson.labels[places], len(lesson.names), rng)
    card = Card(
        kind="linear",
        labels=lesson.names,
        spotter_id=lesson.job.spotter_id,
        sure_above=_thresholds(lesson, unseen, warmth),
        strange_above=too_strange,
        recipe={
            "components": linear.COMPONENTS,
            "shrinkage": linear.SHRINKAGE,
            "seed": lesson.job.seed,
            **lesson.job.recipe,
        },
        fingerprint=lesson.job.fingerprint,
        parent_sha256=lesson.job.parent_sha256,
        golden=(GoldenName(0, (0.0,) * len(lesson.names), 0.0),),
    )
    path = export.write_linear(folder, card, weights, rule, warmth)
    served = Classifier.load(path, model_id=0, spotter_id=lesson.job.spotter_id).classify(lesson.embeddings)
    parity = proved_alike(served, export.answers(weights, rule, warmth, lesson.embeddings))
    judged = np.flatnonzero(lesson.held_out)
    guesses = guessed(lesson, judged, served[0][judged].astype(np.float64), served[1][judged].astype(np.float64))
    turns = lesson.judges_out_of_fold[unseen.places]
    guesses += guessed(
        lesson, unseen.places[turns], linear.softmax(unseen.logits[turns] / warmth), rule.of(unseen.signs[turns])
    )
    return Learned(path, guesses, {"temperature": warmth}, parity)


def answers_out_of_fold(lesson: Lesson, features: Array, rng: np.random.Generator) -> Unseen:
    """Ask of each fold a model of the other folds. Held-out photos have no part in it; doubted ones are only asked about.

    Raises:
        Refused: nothing can be asked, since all photos are of one visit.
    """
    asked = np.flatnonzero(~lesson.held_out)
    parts = list(
        linear.out_of_fold(
            features[asked],
            lesson.labels[asked],
            lesson.folds[asked],
            len(lesson.names),
            rng,
            taught=~lesson.doubted[asked],
        )
    )
    if not parts:
        raise Refused(
            "all photos are of one visit: they can be learned, but not judged", hint="name photos of other days"
        )
    places, logits, signs = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Unseen(asked[places], logits, signs)


def novelty(lesson: Lesson, features: Array, rng: np.random.Generator) -> tuple[linear.NoveltyRule, float]:
    """How strange a photo is, and how strange is too strange: found by leaving species out in turn."""
    count, let_in = len(lesson.names), lesson.job.strangers_let_in
    if count < linear.FEW_SPECIES:
        return linear.RULE_FOR_FEW, linear.STRANGE_FOR_FEW if let_in < 1 else NEVER
    places = np.flatnonzero(lesson.learnable)
    signs, strange = linear.strangers(features[places], lesson.labels[places], lesson.folds[places], count, rng)
    rule = linear.fit_novelty(signs, strange)
    return rule, strange_above(rule.of(signs), strange, let_in=let_in)


def temperature(lesson: Lesson, features: Array, rng: np.random.Generator) -> float:
    """The temperature of the quick model, by answers to photos that the answering models had not seen.

    Raises:
        Refused: all photos are of one visit.
    """
    return _temperature(lesson, answers_out_of_fold(lesson, features, rng))


def _temperature(lesson: Lesson, unseen: Unseen) -> float:
    truth = lesson.labels[unseen.places]
    answerable = np.isfinite(unseen.logits[np.arange(len(truth)), truth]) & ~lesson.doubted[unseen.places]
    logits = np.where(np.isfinite(unseen.logits), unseen.logits, -1e9)
    return linear.temperature(logits[answerable], truth[answerable])


def _thresholds(lesson: Lesson, unseen: Unseen, warmth: float) -> tuple[float, ...]:
    believed = ~lesson.doubted[unseen.places]
    return thresholds(lesson, unseen.places[believed], linear.softmax(unseen.logits[believed] / warmth))
