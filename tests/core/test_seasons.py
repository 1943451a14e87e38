"""Days and hours by the clock on the wall, and what is new in a season."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core import seasons
from birdwatchd.core.seasons import Seen, badge, counted, in_utc, on_the_wall, period, season_began, shift_h, stretches

BERLIN, LOS_ANGELES = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Los_Angeles")
DAYS = st.dates(date(1980, 1, 1), date(2100, 1, 1))


@given(DAYS)
def test_a_year_is_twelve_months_that_end_with_this_one(today: date) -> None:
    span = period("year", today)
    assert len(span.months()) == 12
    assert span.months()[-1] == f"{today:%Y-%m}"
    assert span.days()[-1] == today.isoformat()


@given(DAYS)
def test_a_season_began_at_most_three_months_ago_with_one_of_four_months(today: date) -> None:
    began = season_began(today)
    assert began.month in (3, 6, 9, 12)
    assert began.day == 1
    assert timedelta(0) <= today - began < timedelta(days=93)


@pytest.mark.parametrize(("name", "days"), [("today", 1), ("week", 7), ("month", 30)])
def test_periods_are_whole_days(name: seasons.PeriodName, days: int) -> None:
    assert len(period(name, date(2026, 3, 1)).days()) == days


@given(DAYS, st.integers(0, 400), st.sampled_from([BERLIN, LOS_ANGELES]))
def test_every_local_day_is_in_one_stretch_with_its_own_shift(first: date, more: int, zone: ZoneInfo) -> None:
    last = first + timedelta(days=more)
    by_camera, *by_arrival = stretches(first, last, zone)
    assert (by_camera.first, by_camera.last, by_camera.shift_h) == (first.isoformat(), last.isoformat(), 0)
    for number in range(more + 1):
        day = first + timedelta(days=number)
        of_that_day = [one for one in by_arrival if one.first <= day.isoformat() <= one.last]
        assert shift_h(day, zone) in {one.shift_h for one in of_that_day}
        assert len(of_that_day) == 1
    if by_arrival[0].shift_h > 0:
        assert by_arrival[0].first == (first - timedelta(days=1)).isoformat(), (
            "its evening, in UTC, is of the first local day"
        )
    if by_arrival[-1].shift_h < 0:
        assert by_arrival[-1].last == (last + timedelta(days=1)).isoformat()


def test_the_time_of_arrival_is_told_by_the_clock_on_the_wall_and_the_cameras_as_it_is() -> None:
    assert on_the_wall("2026-05-01T22:30:00.250Z", BERLIN, timed=False) == "2026-05-02T00:30:00"
    assert on_the_wall("2026-05-01T22:30:00+09:00", BERLIN, timed=True) == "2026-05-01T22:30:00"
    assert on_the_wall("no time at all", BERLIN, timed=False) == "no time at all"
    assert in_utc(date(2026, 5, 2), BERLIN) == "2026-05-01T22:00:00"


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)), st.sampled_from([BERLIN, LOS_ANGELES]))
def test_a_photo_lies_between_the_ends_of_its_local_day(moment: datetime, zone: ZoneInfo) -> None:
    arrived = f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"
    day = date.fromisoformat(on_the_wall(arrived, zone, timed=False)[:10])
    assert in_utc(day, zone) <= arrived < in_utc(day + timedelta(days=1), zone)


def test_counts_are_put_together_and_the_most_frequent_comes_first() -> None:
    rows = [
        {"day": "1", "species": "wren", "visits": 1, "photos": 2},
        {"day": "2", "species": "robin", "visits": 3, "photos": 3},
        {"day": "1", "species": "wren", "visits": 1, "photos": 1},
        {"day": "9", "species": "jay", "visits": 9, "photos": 9},
    ]
    told = counted(rows, ["1", "2"], lambda row: row["day"])
    assert told.visits == {"robin": [0, 3], "wren": [2, 0]}
    assert list(told.visits) == ["robin", "wren"]
    assert told.photos == {"wren": 3, "robin": 3}


TODAY = date(2026, 11, 20)


@pytest.mark.parametrize(
    ("first", "this_year", "this_season", "news"),
    [
        ("2026-10-01", "2026-10-01", "2026-10-01", "new"),
        ("2025-11-10", "2026-11-10", "2026-11-10", "first-this-year"),
        ("2025-11-10", "2026-02-01", "2026-11-10", "first-this-season"),
        ("2025-11-10", "2026-02-01", "2026-09-02", None),
        ("2025-11-10", None, None, None),
    ],
)
def test_what_is_news_about_a_species(
    first: str, this_year: str | None, this_season: str | None, news: str | None
) -> None:
    seen = Seen("robin", first, "2026-11-19", this_year, this_season)
    assert badge(seen, today=TODAY, garden_since="2025-01-01") == news
    assert badge(seen, today=TODAY, garden_since="2026-09-01") is None, "a garden as young as the season has no news"
