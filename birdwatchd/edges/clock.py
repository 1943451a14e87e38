"""The clocks: one for the log, one for waiting."""

import time
from datetime import UTC, datetime


def now_utc() -> str:
    """The wall clock as the log writes times."""
    return as_utc_text(datetime.now(UTC))


def as_utc_text(moment: datetime) -> str:
    """ISO-8601 UTC with milliseconds, such as 2026-05-01T05:30:00.250Z; as text it sorts by time.

    Args:
        moment: in UTC.
    """
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def monotonic() -> float:
    """Seconds that only go forward, whatever is done to the wall clock."""
    return time.monotonic()
