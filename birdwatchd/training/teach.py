"""One training: a job's folder in, a candidate and a report out. What is judged is the exported file, read as the daemon reads it."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from birdwatchd.core import hardest
from birdwatchd.core.errors import Refused
from birdwatchd.core.hardest import HARDEST_FILE
from birdwatchd.core.job import REPORT_FILE, Report
from birdwatchd.core.preprocess import to_model_input
from birdwatchd.core.thresholds import expected_calibration_error
from birdwatchd.edges.vision import Classifier
from birdwatchd.training import cleaning, photos, teach_finetuned, teach_linear
from birdwatchd.training.lesson import Learned, Lesson

Tell = Callable[[float, str], None]
"""How far it is (0–1), and what is being done."""


def teach(folder: Path, tell: Tell) -> Report:
    """Do the job in this folder and write its report.

    Raises:
        Refused: the job is none, or there is too little to learn from.
        ModelDamaged: the exported file does not say what was learned.
    """
    lesson = Lesson.read(folder)
    tell(0.0, "looking for names that are probably wrong")
    doubts = cleaning.doubts(lesson, np.random.default_rng(lesson.job.seed))
    lesson = lesson.doubting(doubts.held_back)
    learned = _learn(lesson, folder, tell)
    report = Report(
        model=learned.model.name,
        labels=lesson.names,
        guesses=learned.guesses,
        metrics=_scores(lesson, learned) | learned.metrics,
        parity=learned.parity,
        champion_guesses=_champion_guesses(lesson, learned),
        epochs=learned.epochs,
        doubts=doubts.found,
        near_copies=cleaning.near_copies(lesson),
    )
    _write(folder / HARDEST_FILE, hardest.to_json(doubts.hardest))
    _write(folder / REPORT_FILE, report.to_json())  # last: it says that all is done
    return report


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _learn(lesson: Lesson, folder: Path, tell: Tell) -> Learned:
    match lesson.job.kind:
        case "linear":
            return teach_linear.learn(lesson, folder, tell)
        case "finetuned":
            return teach_finetuned.learn(lesson, folder, tell)
        case other:
            raise Refused(f"this birdwatchd knows no training called {other!r}")


def _scores(lesson: Lesson, learned: Learned) -> dict[str, float]:
    truth = {one.photo_id: one.label for one in lesson.job.examples}
    hits = np.array([guess.label == truth[guess.photo_id] for guess in learned.guesses])
    certainty = np.array([guess.probability for guess in learned.guesses])
    return {
        "photos": float(lesson.learnable.sum()),
        "judged": float(len(hits)),
        "accuracy": float(hits.mean()),
        "calibration_error": expected_calibration_error(certainty, hits),
    }


def _champion_guesses(lesson: Lesson, learned: Learned) -> dict[str, str]:
    """What the model in use says of the same photos; of those that it learned from, what was said before it had."""
    champion = lesson.job.champion
    if champion is None:
        return {}
    asked = {guess.photo_id for guess in learned.guesses}
    guesses = {photo_id: label for photo_id, label in champion.said.items() if int(photo_id) in asked}
    known = set(champion.learned)
    new = [place for place, photo_id in enumerate(lesson.ids.tolist()) if photo_id in asked and photo_id not in known]
    if new:
        served = Classifier.load(
            Path(lesson.job.root) / champion.path, model_id=champion.model_id, spotter_id=lesson.job.spotter_id
        )
        limits = photos.limits_of(lesson.job)
        for place in new:
            pixels = None
            if (recipe := served.card.pixels) is not None:
                example = lesson.job.examples[place]
                picture = photos.look(Path(lesson.job.root), example, limits, recipe.size_px)
                if picture is None:  # then they are not compared on it
                    continue
                pixels = to_model_input(picture.view(recipe.size_px, recipe.resize, example.box), recipe)
            (naming,) = served.name([lesson.embeddings[place]], pixels)
            guesses[str(lesson.ids[place])] = naming.ranking[0][0]
    return guesses
