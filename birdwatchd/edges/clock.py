"""The clocks: one for the log, one for waiting, one that nobody can set."""

import time
from datetime import UTC, datetime
from pathlib import Path


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


def since_boot() -> tuple[str, float]:
    """Which start of the machine this is, and the seconds since then, sleep included: nobody can turn these back or forth.

    The first is empty where the kernel does not tell it.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux, or a very closed sandbox; then only the wall clock is left
        boot = ""
    return boot, time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
