"""What stands still in every frame of a day is no bird; a bird that is often there is one."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core.photo import WHOLE_FRAME, Box, Vector
from birdwatchd.core.splits import SAME_SCENE
from birdwatchd.core.stillness import FEWEST, Frame, at_one_place, standing_still

MORNING = datetime(2026, 5, 1, 8)
KNOT = Box(0.4, 0.4, 0.2, 0.2)


def frames(count: int, box: Box = KNOT, *, minutes: float = 10, first: int = 1) -> list[Frame]:
    return [Frame(first + n, MORNING + timedelta(minutes=minutes * n), box) for n in range(count)]


def alike(some: list[Frame], seed: int = 0, noise: float = 0.02) -> dict[int, Vector]:
    chance = np.random.default_rng(seed)
    thing = chance.random(1280, dtype=np.float32)
    return {one.photo_id: thing + chance.random(1280, dtype=np.float32) * np.float32(noise) for one in some}


def different(some: list[Frame]) -> dict[int, Vector]:
    chance = np.random.default_rng(7)
    return {one.photo_id: chance.random(1280, dtype=np.float32) ** 4 for one in some}


def test_what_looks_the_same_at_one_place_all_morning_stands_still() -> None:
    day = frames(10)
    assert at_one_place(day) == list(range(1, 11))
    assert standing_still(day, alike(day)) == frozenset(range(1, 11))


@given(st.integers(0, 40))
def test_a_whole_frame_lies_nowhere(count: int) -> None:
    for box in (WHOLE_FRAME, Box(0.0, 0.4, 0.95, 0.2), Box(0.1, 0.1, 0.0, 0.0)):
        day = frames(count, box)
        assert at_one_place(day) == []
        assert standing_still(day, alike(day)) == frozenset()


def test_a_bird_that_is_often_at_the_feeder_looks_different_each_time() -> None:
    day = frames(20)
    assert at_one_place(day)
    assert standing_still(day, different(day)) == frozenset()


def test_a_bird_that_hops_about_is_not_at_one_place() -> None:
    day = [Frame(n, MORNING + timedelta(minutes=9 * n), Box(0.05 * (n % 10), 0.3, 0.2, 0.2)) for n in range(20)]
    assert at_one_place(day) == []
    assert standing_still(day, alike(day)) == frozenset()


@pytest.mark.parametrize(
    ("count", "minutes", "stands"), [(7, 20, False), (8, 10, True), (8, 8, False), (40, 1, False), (40, 2, True)]
)
def test_few_frames_or_a_short_time_prove_nothing(count: int, minutes: float, stands: bool) -> None:
    day = frames(count, minutes=minutes)
    assert bool(standing_still(day, alike(day))) == stands


@pytest.mark.parametrize(("others", "stands"), [(0, True), (2, True), (3, False)])
def test_it_must_be_there_in_nearly_every_frame(others: int, stands: bool) -> None:
    day = [*frames(18), *frames(others, Box(0.0, 0.0, 0.1, 0.1), first=100)]
    found = standing_still(day, alike(day))
    assert found == (frozenset(range(1, 19)) if stands else frozenset())


def test_empty_frames_count_too() -> None:
    day = [*frames(18), *frames(3, WHOLE_FRAME, first=100)]
    assert at_one_place(day) == []


def test_one_photo_that_a_person_named_frees_all_of_them() -> None:
    day = frames(10)
    day[3] = Frame(day[3].photo_id, day[3].taken, KNOT, is_a_bird=True)
    assert standing_still(day, alike(day)) == frozenset()


def test_a_photo_without_an_embedding_or_of_nothing_but_zeros_is_like_no_other() -> None:
    day = frames(10)
    seen = alike(day)
    zeros = seen | {2: np.zeros(1280, dtype=np.float32)}
    assert standing_still(day, zeros) == frozenset(range(1, 11)) - {2}
    del seen[2], seen[3]
    assert standing_still(day, seen) == frozenset(), "eight of ten are not nearly all"


@given(st.integers(FEWEST, 24), st.integers(0, 24), st.integers(0, 2**31), st.floats(0, 1))
def test_whatever_stands_still_is_most_of_the_day_at_one_place(
    still: int, others: int, seed: int, noise: float
) -> None:
    day = [*frames(still), *frames(others, Box(0.7, 0.7, 0.2, 0.2), first=1000)]
    vectors = alike(day, seed, noise)
    found = standing_still(day, vectors)
    assert found <= set(at_one_place(day))
    assert not found or len(found) >= max(FEWEST, 0.9 * len(day))
    roots = [np.sqrt(vectors[one]) for one in found]
    anchored = [
        sum(float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b)) > SAME_SCENE - 1e-4 for b in roots)
        for a in roots
    ]
    assert not found or max(anchored) == len(found)
