"""The visits of a day."""

from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core.outings import Taken, outings


def taken(
    photo_id: int, minute: int, species: str = "robin", camera: str | None = "feeder", *, timed: bool = True
) -> Taken:
    return Taken(photo_id, f"2026-05-01T10:{minute:02d}:00", species, camera, timed)


def test_photos_minutes_apart_are_one_visit_also_when_another_bird_comes_between() -> None:
    photos = [taken(1, 0), taken(2, 2, "wren"), taken(3, 5), taken(4, 11), taken(5, 11, camera="pond")]
    assert [[one.photo_id for one in visit] for visit in outings(photos)] == [[1, 3], [2], [4], [5]]


def test_a_photo_whose_camera_told_no_time_is_a_visit_by_itself() -> None:
    assert len(outings([taken(1, 0, timed=False), taken(2, 0, timed=False), taken(3, 0), taken(4, 0)])) == 3


@given(st.lists(st.tuples(st.integers(0, 59), st.sampled_from(["robin", "wren"])), max_size=20), st.randoms())
def test_every_photo_is_in_one_visit_in_whatever_order_they_are_given(
    found: list[tuple[int, str]], chance: object
) -> None:
    photos = [taken(number, minute, species) for number, (minute, species) in enumerate(found)]
    shuffled = list(photos)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    visits = outings(shuffled)
    assert visits == outings(photos)
    assert sorted(one.photo_id for visit in visits for one in visit) == [one.photo_id for one in photos]
    assert [visit[0].at for visit in visits] == sorted(visit[0].at for visit in visits)
