"""Days that birdwatchd has really lived through, counted without trust in the wall clock.

A wall clock leaps: a machine without one of its own wakes up in 1970, a wrong time server sends it ten years ahead. What is deleted
after thirty days must not be deleted then. So about once a day a row is written here, and only rows are counted.

Within one run of the machine the kernel's own clock tells whether a day has passed; nobody can set it. Across a restart only the wall
clock is left: a day of the calendar counts once, however often the clock comes back to it. So a leap gives at most one day too many,
and only if the machine is started anew in between.
"""

from birdwatchd.edges.store.connection import Connection, Row

HOURS_APART = 20.0
"""Less than a day, so that a machine which is switched on a little earlier each morning has its day, too."""

MOST_KEPT = 4000
"""More days than the longest retention that can be set."""


class Days:
    """The rows of lived days. Only the holder of the bird folder's lock writes here."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def note(self, *, at: str, boot: str, uptime_s: float) -> bool:
        """Write a day down, if one has passed since the last; returns whether it has.

        Args:
            at: the wall clock, ISO-8601 UTC.
            boot: which start of the machine this is; empty if that is not known.
            uptime_s: seconds since then.
        """
        with self._db.writing():
            last = next(iter(self._db.rows("SELECT * FROM lived_days ORDER BY number DESC LIMIT 1")), None)
            if last is not None and not self._has_passed(last, at, boot, uptime_s):
                return False
            self._db.execute(
                "INSERT INTO lived_days (number, at, boot, uptime_s, newest_photo)"
                " VALUES (?, ?, ?, ?, (SELECT coalesce(max(id), 0) FROM photos))",
                (last["number"] + 1 if last else 1, at, boot, uptime_s),
            )
            self._db.execute(
                "DELETE FROM lived_days WHERE number <= (SELECT max(number) FROM lived_days) - ?", (MOST_KEPT,)
            )
        return True

    def _has_passed(self, last: Row, at: str, boot: str, uptime_s: float) -> bool:
        if boot and boot == last["boot"]:
            return bool(uptime_s - last["uptime_s"] >= HOURS_APART * 3600)
        if boot and last["boot"] and uptime_s >= HOURS_APART * 3600:
            return True  # the machine was started after that row was written, and longer ago than a day
        near = "SELECT EXISTS (SELECT 1 FROM lived_days WHERE abs(julianday(at) - julianday(?)) * 24 < ?)"
        return not self._db.value(near, (at, HOURS_APART))

    def expired(self, *, days: int, limit: int) -> list[Row]:
        """Photos in quarantine that so many whole days have passed over, oldest first.

        But for those that may be whole, of an unsupported kind or on a bad disk: a person may want them.
        """
        return self._db.rows(
            "SELECT id, path, bytes, sha256 FROM photos WHERE state = 'quarantined' AND reason NOT IN ('unsupported', 'unreadable')"
            " AND id <= (SELECT newest_photo FROM lived_days ORDER BY number DESC LIMIT 1 OFFSET ?) ORDER BY id LIMIT ?",
            (days, limit),  # the first row after a photo came only begins to count: one more row than days
        )
