from datetime import time

import pytest

from birdwatchd.core.hours import is_within


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("22:00-06:00", ["22:00", "23:59", "00:00", "05:59"], ["06:00", "12:00", "21:59"]),
        ("01:30-04:00", ["01:30", "03:59"], ["01:29", "04:00", "23:00"]),
        ("00:00-24:00", ["00:00", "12:00", "23:59"], []),
        ("20:00-24:00", ["20:00", "23:59"], ["00:00", "19:59"]),
    ],
)
def test_the_begin_belongs_to_the_hours_and_the_end_does_not(hours: str, inside: list[str], outside: list[str]) -> None:
    assert all(is_within(hours, time.fromisoformat(one)) for one in inside)
    assert not any(is_within(hours, time.fromisoformat(one)) for one in outside)
