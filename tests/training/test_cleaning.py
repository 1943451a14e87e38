"""Which labels are doubted: those that do not fit, and hardly any that do."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pytest

from birdwatchd.core.job import Champion, Doubt, Example, Job
from birdwatchd.training.cleaning import KEPT, doubts, near_copies
from birdwatchd.training.lesson import Lesson

FOLDS = 5


def looks(species: npt.NDArray[np.intp], seed: int, noise: float = 0.6) -> npt.NDArray[np.float32]:
    """Embeddings: each species has its own pattern, and each photo its own noise."""
    patterns = np.random.default_rng(0).gamma(1.0, 1.0, (int(species.max()) + 1, 1280))
    chance = np.random.default_rng(seed)
    return np.asarray(
        np.maximum(patterns[species] + chance.normal(0, noise, (len(species), 1280)), 0), dtype=np.float32
    )


def lesson(
    embeddings: npt.NDArray[np.float32],
    given: npt.NDArray[np.intp],
    *,
    held_out: npt.NDArray[np.bool_] | None = None,
    older: npt.NDArray[np.bool_] | None = None,
    folds: npt.NDArray[np.intp] | None = None,
    confirmed: Collection[int] = (),
) -> Lesson:
    out = np.zeros(len(given), dtype=bool) if held_out is None else held_out
    turns = np.arange(len(given)) % FOLDS if folds is None else folds
    learned = () if older is None else tuple(np.flatnonzero(older).tolist())
    job = Job(
        kind="linear",
        training_id=1,
        spotter_id="5" * 16,
        seed=1,
        wanted_precision=0.95,
        strangers_let_in=0.05,
        fingerprint="f",
        parent_sha256=None,
        recipe={},
        sides={},
        examples=tuple(
            Example(place, f"{place:064x}", f"{place}.jpg", f"bird {one}", int(turns[place]), bool(out[place]))
            for place, one in enumerate(given.tolist())
        ),
        champion=None if older is None else Champion(1, "old.onnx", {}, learned),
    )
    names = tuple(f"bird {one}" for one in sorted(set(given[~out].tolist())))
    return Lesson(
        job=job,
        embeddings=embeddings,
        names=names,
        labels=np.array([names.index(f"bird {one}") for one in given.tolist()], dtype=np.intp),
        folds=turns.astype(np.intp),
        ids=np.arange(len(given), dtype=np.intp),
        held_out=out,
        doubted=np.zeros(len(given), dtype=bool),
        confirmed=np.isin(np.arange(len(given)), list(confirmed)),
    )


def doubted(one: Lesson) -> tuple[list[int], dict[int, Doubt]]:
    """Photos held back, and all doubts by photo."""
    found = doubts(one, np.random.default_rng(1))
    return np.flatnonzero(found.held_back).tolist(), {doubt.photo_id: doubt for doubt in found.found}


def shuffled(species: int, photos: int, seed: int) -> npt.NDArray[np.intp]:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(species), photos))


@pytest.mark.parametrize(("species", "photos"), [(2, 5), (3, 10), (8, 6), (12, 40)])
def test_a_right_label_among_its_like_is_never_doubted(species: int, photos: int) -> None:
    for seed in range(3):
        truth = shuffled(species, photos, seed)
        assert doubted(lesson(looks(truth, seed), truth)) == ([], {})


@pytest.mark.parametrize(
    ("species", "photos", "wrong"), [(3, 10, 1), (3, 10, 4), (8, 20, 2), (8, 20, 50), (12, 40, 150)]
)
def test_a_label_that_does_not_fit_is_held_back_and_told_with_the_photos_it_looks_like(
    species: int, photos: int, wrong: int
) -> None:
    truth = shuffled(species, photos, seed=1)
    chance = np.random.default_rng(2)
    slips = np.sort(chance.choice(len(truth), wrong, replace=False))
    given = truth.copy()
    given[slips] = (truth[slips] + chance.integers(1, species, wrong)) % species
    held_back, found = doubted(lesson(looks(truth, seed=1), given))
    assert set(held_back) <= set(slips.tolist())
    assert len(held_back) >= 0.9 * wrong
    for place in held_back:
        doubt = found[place]
        assert (doubt.label, doubt.likely) == (f"bird {given[place]}", f"bird {truth[place]}")
        assert doubt.held_back
        assert doubt.probability > 0.5
        assert sum(truth[near] == truth[place] for near in doubt.neighbours) > len(doubt.neighbours) / 2
        assert place not in doubt.neighbours


def test_a_label_that_was_given_twice_is_not_doubted() -> None:
    truth = shuffled(8, 20, seed=1)
    given = truth.copy()
    given[:4] = (truth[:4] + 1) % 8
    embeddings = looks(truth, seed=1)
    assert doubted(lesson(embeddings, given))[0] == [0, 1, 2, 3]
    held_back, found = doubted(lesson(embeddings, given, confirmed=[0, 2]))
    assert (held_back, sorted(found)) == ([1, 3], [1, 3])


def test_a_whole_visit_under_a_wrong_name_does_not_vouch_for_itself() -> None:
    truth = np.repeat(np.arange(4), 20)
    folds = np.tile(np.repeat(np.arange(FOLDS), 4), 4)
    given = truth.copy()
    given[:4] = 3  # one visit of bird 0, which is one fold
    embeddings = looks(truth, seed=1)
    embeddings[1:4] = embeddings[0]
    held_back, _ = doubted(lesson(embeddings, given, folds=folds))
    assert held_back == [0, 1, 2, 3]


def test_two_species_whose_names_were_swapped_throughout_are_told_apart_by_the_older_labels() -> None:
    truth = shuffled(6, 40, seed=1)
    older = np.arange(len(truth)) % 2 == 0
    given = truth.copy()
    given[(truth == 0) & ~older], given[(truth == 1) & ~older] = 1, 0
    held_back, _ = doubted(lesson(looks(truth, seed=1), given, older=older))
    assert held_back == np.flatnonzero(given != truth).tolist()


def test_a_species_that_looks_different_now_is_not_doubted() -> None:
    """Until now only males were labelled; the females look like nothing before, but like each other."""
    look = shuffled(6, 20, seed=1)
    older = (np.arange(len(look)) % 2 == 0) & (look != 1)
    truth = np.where(look == 1, 0, look)
    assert doubted(lesson(looks(look, seed=1), truth, older=older)) == ([], {})


def test_a_photo_that_is_set_aside_for_judging_is_only_told_about_and_has_no_say() -> None:
    truth = shuffled(4, 20, seed=1)
    held_out = np.arange(len(truth)) % 5 == 0
    given = truth.copy()
    given[0] = (truth[0] + 1) % 4
    one = lesson(looks(truth, seed=1), given, held_out=held_out)
    held_back, found = doubted(one)
    assert (held_back, list(found)) == ([], [0])
    assert not found[0].held_back
    assert not held_out[list(found[0].neighbours)].any()


def test_every_species_keeps_some_photos_to_learn_from() -> None:
    truth = shuffled(4, 20, seed=1)
    given = truth.copy()
    lost = np.flatnonzero(truth == 3)
    given[lost] = 0
    given[np.flatnonzero(truth == 1)[:3]] = 3  # all that bears the name is something else
    held_back, found = doubted(lesson(looks(truth, seed=1), given))
    assert len([place for place in np.flatnonzero(given == 3) if place not in held_back]) >= KEPT
    assert set(held_back) <= set(found)


def test_photos_that_look_the_same_are_told_in_groups() -> None:
    truth = shuffled(3, 5, seed=1)
    embeddings = looks(truth, seed=1)
    embeddings[7] = embeddings[2]
    embeddings[9] = embeddings[7] * 1.5  # brighter
    assert near_copies(lesson(embeddings, truth)) == ((2, 7, 9),)


def test_the_photos_that_fit_worst_are_told_for_a_second_look() -> None:
    truth = shuffled(3, 40, seed=1)
    given = truth.copy()
    given[:3] = (truth[:3] + 1) % 3
    held_out = np.zeros(len(truth), dtype=bool)
    held_out[100:] = True
    found = doubts(lesson(looks(truth, seed=1), given, held_out=held_out), np.random.default_rng(1))
    assert {one.photo_id for one in found.hardest if one.suspected} == {0, 1, 2}
    worst = found.hardest[0]
    assert (worst.label, worst.likely) == (f"bird {given[worst.photo_id]}", f"bird {truth[worst.photo_id]}")
    assert worst.own < 0.1 < worst.probability
    assert worst.neighbours
    assert {one.held_out for one in found.hardest} == {True, False}
