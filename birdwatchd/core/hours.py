"""A part of the day, as people write it: `22:00-06:00`."""

from datetime import time


def is_within(hours: str, moment: time) -> bool:
    """Whether a time of the day lies in a part of it; the begin belongs to it, the end does not.

    Args:
        hours: two times, as the settings allow them; the part may pass midnight, and 24:00 is the end of the day.
    """
    begin, end = map(_minutes, hours.split("-"))
    now = 60 * moment.hour + moment.minute
    return begin <= now < end if begin < end else now >= begin or now < end


def _minutes(clock: str) -> int:
    hour, minute = clock.split(":")
    return 60 * int(hour) + int(minute)
