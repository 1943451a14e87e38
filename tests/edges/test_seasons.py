"""First and last days by the clock on the wall, out of counts that are kept by the clocks that wrote them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from birdwatchd.core.seasons import days_on_the_wall
from birdwatchd.edges.store import Store

ZONES = st.sampled_from([ZoneInfo(name) for name in ("UTC", "Asia/Tokyo", "Pacific/Kiritimati", "America/Los_Angeles")])
NEW_YEAR = date(2026, 1, 1)
COUNTS = st.tuples(st.integers(-3, 3), st.sampled_from([0, 1, 7, 8, 9, 10, 14, 15, 23]), st.booleans())
"""Days after new year, the hour, and whether a camera's clock told it."""


@contextmanager
def store_with(counts: list[tuple[int, int, bool]]) -> Iterator[Store]:
    """A log that counts a robin at each of these."""
    with TemporaryDirectory() as folder, Store.open(Path(folder) / "birdwatchd.db") as store:
        with store.connection.writing():
            for days, hour, timed in counts:
                store.connection.execute(
                    "INSERT OR IGNORE INTO tallies VALUES (?, 'robin', ?, ?, 'feeder', 1, 1)",
                    (str(NEW_YEAR + timedelta(days=days)), f"{hour:02d}", timed),
                )
        yield store


@given(st.lists(COUNTS, min_size=1, max_size=8), ZONES)
@settings(max_examples=80, deadline=None)
def test_the_days_of_a_bird_are_those_on_the_wall_wherever_the_wall_is(
    counts: list[tuple[int, int, bool]], zone: ZoneInfo
) -> None:
    with store_with(counts) as store:
        every = days_on_the_wall(store.connection.rows("SELECT day, hour, timed FROM tallies"), zone)
        told = days_on_the_wall(store.seasons.first_and_last("robin"), zone)
        assert (told[0], told[-1]) == (every[0], every[-1])
        assert days_on_the_wall(store.seasons.first_of_all(), zone)[0] == every[0]
        for days in range(-5, 6):
            since = str(NEW_YEAR + timedelta(days=days))
            found = days_on_the_wall(store.seasons.first_since("robin", since), zone)
            first = next((day for day in every if day >= since), None)
            assert next((day for day in found if day >= since), None) == first, since


def test_a_bird_that_was_never_seen_has_no_days() -> None:
    with store_with([]) as store:
        assert store.seasons.first_and_last("robin") == store.seasons.first_of_all() == []
        assert store.seasons.first_since("robin", str(NEW_YEAR)) == []
