"""The lamp that the service manager watches: lit only while something was finished lately."""

import logging
from collections.abc import Callable

from birdwatchd.edges.systemd import Notifier

log = logging.getLogger(__name__)

LAMP_EVERY_S = 5.0
FRESH_S = 300.0
"""The watchdog is fed only while something was finished within this time: a photo, a sweep, a canary, a piece of a wish."""

START_S = 60.0
"""Asked of the service manager for each batch that is finished before we are ready."""


class Lamp:
    """Tells the service manager that the daemon is at work, and how it is.

    Args:
        in_words: one line about how it is.
        sweep_s: seconds between two sweeps, each of which finishes something.
        clock: seconds, monotonic.
    """

    def __init__(
        self, notifier: Notifier, in_words: Callable[[], str], *, sweep_s: float, clock: Callable[[], float]
    ) -> None:
        self._notifier = notifier
        self._in_words = in_words
        self._fresh_s = max(FRESH_S, 2 * sweep_s)
        self._clock = clock
        self._next = clock()
        self._finished_at = clock()

    def finished(self) -> None:
        """A piece of work has just been finished."""
        self._finished_at = self._clock()

    def alive(self) -> None:
        """A piece of a longer work has just been finished, and there may be no round for a while."""
        self.finished()
        self.light()

    def more_time(self) -> None:
        """The same before the daemon is ready, which the service manager does not wait for without end."""
        self._notifier.more_time(START_S)
        self.alive()

    def light(self) -> None:
        """Every few seconds, unless nothing was finished for too long."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + LAMP_EVERY_S
        words = self._in_words()
        if now - self._finished_at <= self._fresh_s:
            self._notifier.working(words)
        else:
            log.error("nothing has been finished for %.0f s", now - self._finished_at)
