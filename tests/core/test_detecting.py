"""Where to look closer: laws of the places, the crops and what is told of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from birdwatchd.core import detecting
from birdwatchd.core.detecting import CELL_PX, MAP_PX, MOST_PLACES, Frame, Map, Place
from birdwatchd.core.photo import WHOLE_FRAME, Box

FRAME = Frame.of(4000, 3000)
CELL = CELL_PX / MAP_PX


def map_of(*peaks: tuple[int, int, int, float], rows: int = 23, columns: int = 30, ground: float = -6.0) -> Map:
    """Squares (row, column, edge, value) on a flat ground."""
    map_ = np.full((rows, columns), ground, dtype=np.float32)
    for row, column, edge, value in peaks:
        map_[row : row + edge, column : column + edge] = value
    return map_


sides = st.integers(32, 8000)
frames = st.builds(Frame.of, sides, sides)
shares = st.floats(0, 1, width=32)
places = st.builds(Place, shares, shares, st.floats(0.05, 2.0), st.floats(-20, 20))


@given(frame=frames)
def test_the_longer_side_of_the_map_is_always_the_same(frame: Frame) -> None:
    width, height = frame.map_px
    assert max(width, height) == MAP_PX
    assert min(width, height) >= CELL_PX


@given(frame=frames, place=places, times=st.floats(0.5, 3))
def test_a_crop_lies_within_the_frame_and_is_square_in_pixels(frame: Frame, place: Place, times: float) -> None:
    box = detecting.crop(place, times, frame)
    assert box.x >= 0
    assert box.y >= 0
    assert box.x + box.width <= 1 + 1e-9
    assert box.y + box.height <= 1 + 1e-9
    assert math.isclose(box.width * frame.width, box.height * frame.height, rel_tol=1e-6)


@given(
    map_=arrays.arrays(
        np.float32, st.tuples(st.integers(1, 30), st.integers(1, 30)), elements=st.floats(-30, 30, width=32)
    )
)
def test_every_map_has_a_place_and_none_has_too_many(map_: Map) -> None:
    frame = Frame.of(map_.shape[1] * CELL_PX, map_.shape[0] * CELL_PX)
    found = detecting.places(map_, Frame(frame.width, frame.height))
    assert 1 <= len(found) <= MOST_PLACES
    assert [one.peak for one in found] == sorted((one.peak for one in found), reverse=True)
    assert all(0 <= one.x <= frame.width and 0 <= one.y <= frame.height and one.side > 0 for one in found)


def test_a_place_lies_in_the_middle_of_what_stands_out_and_is_as_large() -> None:
    (place, *_) = detecting.places(map_of((6, 10, 5, 8.0)), FRAME)
    assert place.x == pytest.approx(12.5 * CELL)
    assert place.y == pytest.approx(8.5 * CELL)
    assert place.side == pytest.approx(5 * CELL, rel=0.1)


def test_two_birds_are_two_places_the_surer_one_first() -> None:
    first, second, *_ = detecting.places(map_of((2, 3, 3, 4.0), (11, 18, 3, 7.0)), FRAME)
    assert (first.x, first.y) == pytest.approx((19.5 * CELL, 12.5 * CELL))
    assert (second.x, second.y) == pytest.approx((4.5 * CELL, 3.5 * CELL))


def test_a_low_peak_is_looked_at_only_if_there_is_no_higher_one() -> None:
    assert len(detecting.places(map_of(ground=-9.0), FRAME)) == 1
    assert len(detecting.places(map_of((10, 10, 3, 5.0), ground=-9.0), FRAME)) == 1


def test_other_places_are_passed_over_once_a_bird_is_sure_but_for_those_that_look_like_one() -> None:
    others = [Place(0.2, 0.2, 0.1, 1.5), Place(0.7, 0.3, 0.1, -1.0)]
    assert detecting.worth_a_look(others, 0.5) == others
    assert detecting.worth_a_look(others, 0.99) == others[:1]


@given(peak=st.floats(-20, 20), score=st.floats(-20, 20, width=32), seen=st.floats(0, 1), more=st.floats(0.1, 5))
def test_more_evidence_never_makes_a_bird_less_likely(peak: float, score: float, seen: float, more: float) -> None:
    def told(peak: float, score: float, seen: float) -> float:
        map_ = np.full((7, 7), score, dtype=np.float32)
        return detecting.birdness(Place(0.5, 0.4, 0.1, peak), [map_, map_], [seen, seen])

    before = told(peak, score, seen)
    assert 0 <= before <= 1
    assert told(peak + more, score, seen) >= before
    assert told(peak, score + more, seen) >= before
    assert told(peak, score, min(seen + more / 10, 1.0)) >= before


def test_the_bird_is_found_where_its_crops_show_it() -> None:
    place = Place(0.5, 0.4, 0.1, 5.0)
    right_of_it = np.full((7, 7), -5, dtype=np.float32)
    right_of_it[2:5, 4:7] = 6
    bird = detecting.bird_at(place, [right_of_it, right_of_it], FRAME)
    assert bird.x > place.x
    assert bird.y == pytest.approx(place.y, abs=0.005)


@given(frame=frames, place=places, seed=st.integers(0, 2**32 - 1))
def test_whatever_the_crops_show_the_bird_has_a_place_and_a_size(frame: Frame, place: Place, seed: int) -> None:
    chance = np.random.default_rng(seed)
    maps = [chance.normal(0, 10, (7, 7)).astype(np.float32), np.zeros((7, 7), dtype=np.float32)]
    bird = detecting.bird_at(place, maps, frame)
    assert all(map(math.isfinite, (bird.x, bird.y, bird.side)))
    assert bird.side > 0


def test_what_a_person_is_shown_lies_within_the_frame() -> None:
    assert detecting.with_surroundings(WHOLE_FRAME) == WHOLE_FRAME
    shown = detecting.with_surroundings(Box(0.4, 0.4, 0.2, 0.2))
    assert (shown.x, shown.y, shown.width, shown.height) == pytest.approx((0.35, 0.35, 0.3, 0.3))


def test_boxes_are_about_one_bird_if_the_middle_of_either_lies_in_the_other() -> None:
    large, small, far = Box(0.1, 0.1, 0.4, 0.4), Box(0.4, 0.4, 0.08, 0.08), Box(0.7, 0.7, 0.1, 0.1)
    assert not detecting.is_apart(large, small)
    assert not detecting.is_apart(small, large)
    assert detecting.is_apart(large, far)
