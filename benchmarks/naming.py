"""How well birds are named after some labels, on real photos: not speed, but measured on request all the same.

What is learned from and what judges is drawn anew for each figure, whole visits at a time; nobody learns from a photo that judges.
In a bird folder a fifth of 200 labels and more only judges the models. The first figure of each pair is without that: then as many
photos are learned as are said to be. The second is with it: what comes of so many labels in a bird folder.
"""

import random
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.figures import at_least, at_most, average, skipped
from benchmarks.lessons import STRANGERS_LET_IN, Draw, ask, draw, learn
from benchmarks.looks import Look, by_species, without_a_bird
from birdwatchd.core.thresholds import expected_calibration_error
from birdwatchd.edges.trainer import can_finetune
from birdwatchd.edges.vision import Classifier
from tests.pictures import data_folder

SEED = 72_000
MOST_WRONG = {"linear": 2.5, "finetuned": 4.9}
"""Of 100 photos of three species, by kind of training."""

NO_STRANGERS = 1.0
SIDES = (("", True), ("  a fifth of the labels only judging: ", False))
"""How a figure begins, and whether all labels are learned from."""


def three(*, draws: int = 10) -> None:
    """Three species with about 60 photos each, four fifths of them learned."""
    if not _has_photos("three"):
        return
    for kind, wanted in MOST_WRONG.items():
        if kind == "finetuned" and not can_finetune():
            skipped("three species, finetuned", "needs the extra `train`: run it with a Python that has it")
            continue
        wrong = []
        for number in range(draws):
            chance = random.Random(SEED + number)  # noqa: S311  # no secret
            one = draw(chance, chance.sample(_species(), 3), labels=48)
            model = learn(one.taught, seed=SEED + number, strangers_let_in=NO_STRANGERS, kind=kind, all_of_them=True)
            wrong.append(_share(~ask(model, one.judged).right))
        print(
            f"three species, 48 labels each, {kind}: wrong {average(wrong, '%')}; {at_most(_mean(wrong), wanted, '%')}"
        )


def forty(*, draws: int = 5) -> None:
    """All species at once: with half of the photos as labels, and with five labels each."""
    if not _has_photos("forty"):
        return
    for words, labels, wanted in (("half of the photos learned", None, 93.0), ("5 labels each", 5, 85.0)):
        for side, all_of_them in SIDES:
            right = [
                _share(ask(model, one.judged).right)
                for model, one in _of_all(draws, labels, NO_STRANGERS, all_of_them=all_of_them)
            ]
            begin = side or f"40 species, {words}: "
            print(f"{begin}right {average(right, '%')}; {at_least(_mean(right), wanted, '%')}")


def filed(*, draws: int = 5, labels: int = 20) -> None:
    """How many photos find their place without a person, and how many of them the wrong one; with photos without a bird among them."""
    if not _has_photos("filed"):
        return
    for words, let_in, wanted in (
        ("no stranger expected", NO_STRANGERS, 75.0),
        ("the default for strangers", STRANGERS_LET_IN, 60.0),
    ):
        for side, all_of_them in SIDES:
            share, precision, empty = [], [], []
            for model, one in _of_all(draws, labels, let_in, all_of_them=all_of_them):
                answers = ask(model, one.judged)
                share.append(_share(answers.filed))
                precision.append(_share(answers.right[answers.filed]))
                empty.append(_share(ask(model, without_a_bird()).filed))
            print(f"{side or f'40 species, {labels} labels each, {words}: '}filed {average(share, '%')};", end=" ")
            print(at_least(_mean(share), wanted, "%"))
            print(f"    of these right {average(precision, '%')}; {at_least(_mean(precision), 95, '%')}")
            print(f"    photos without a bird filed {average(empty, '%')}; {at_most(_mean(empty), 1, '%')}")


def strangers(*, draws: int = 5, labels: int = 20) -> None:
    """Birds of species that were never labelled, filed under one that was: 20 species known, the other 20 strange."""
    if not _has_photos("strangers"):
        return
    for side, all_of_them in SIDES:
        strange, known = [], []
        for number in range(draws):
            chance = random.Random(SEED + number)  # noqa: S311  # no secret
            species = _species()
            chance.shuffle(species)
            one = draw(chance, species[:20], labels=labels)
            model = learn(one.taught, seed=SEED + number, strangers_let_in=STRANGERS_LET_IN, all_of_them=all_of_them)
            strange.append(_share(ask(model, [look for photos in species[20:] for look in photos]).filed))
            known.append(_share(ask(model, one.judged).filed))
        begin = side or f"20 species known with {labels} labels each, 20 strange: "
        print(f"{begin}strangers filed {average(strange, '%')}; {at_most(_mean(strange), 12, '%')}")
        print(f"    birds of the known species filed {average(known, '%')}; {at_least(_mean(known), 60, '%')}")


def calibration(*, draws: int = 5) -> None:
    """How far the stated probabilities are from the share that is right; each time more than 1,000 photos judge."""
    if not _has_photos("calibration"):
        return
    for words, labels in (("half of the photos learned", None), ("20 labels each", 20), ("5 labels each", 5)):
        for side, all_of_them in SIDES:
            errors = []
            for model, one in _of_all(draws, labels, STRANGERS_LET_IN, all_of_them=all_of_them):
                answers = ask(model, one.judged)
                assert len(answers.right) >= 1000, len(answers.right)
                errors.append(expected_calibration_error(answers.certainty, answers.right))
            begin = side or f"40 species, {words}: "
            print(f"{begin}calibration error {average(errors, '', 3)}; {at_most(_mean(errors), 0.03)}")


def _of_all(
    draws: int, labels: int | None, strangers_let_in: float, *, all_of_them: bool
) -> Iterator[tuple[Classifier, Draw]]:
    for number in range(draws):
        one = draw(random.Random(SEED + number), _species(), labels=labels)  # noqa: S311  # no secret
        yield (
            learn(one.taught, seed=SEED + number, strangers_let_in=strangers_let_in, all_of_them=all_of_them),
            one,
        )


def _species() -> list[list[Look]]:
    return list(by_species().values())


def _share(those: npt.NDArray[np.bool_]) -> float:
    """Of 100."""
    return 100 * float(np.mean(those))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _has_photos(what: str) -> bool:
    if data_folder() is None:
        skipped(what, "no real photos (set BIRDWATCHD_TEST_DATA)")
    return data_folder() is not None
