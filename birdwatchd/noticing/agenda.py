"""When the shelves are looked at again, and where: everything at its time, a place that was heard of once it is quiet there."""

from collections.abc import Callable

from birdwatchd.core.intake import is_ignored_path

QUIET_S = 0.3
"""So long after an event more of them are waited for: a folder is moved in one go, but heard of photo by photo."""

RETRY_S = 60.0
REST_FACTOR = 10
"""However much is heard, a comparison of everything takes at most a tenth of the time."""


class Agenda:
    """What is to be looked at; at first everything.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._hinted: dict[str, None] = {}
        self._hinted_due = 0.0
        self._compare_at: float | None = clock()
        self._rest_until = clock()

    def hint(self, path: str | None) -> None:
        """Something may have happened at this path, relative to the bird folder; None: anywhere."""
        if path is None:
            self.compare_in(QUIET_S)
        elif not is_ignored_path(path):
            if not self._hinted:
                self._hinted_due = self._clock() + QUIET_S
            self._hinted[path] = None

    def compare_in(self, seconds: float) -> None:
        """Everything is to be compared so soon, or when the rest after the last comparison is over."""
        at = max(self._clock() + seconds, self._rest_until)
        self._compare_at = at if self._compare_at is None else min(self._compare_at, at)

    def next_at(self) -> float | None:
        """When something will be due; None when nothing is foreseen."""
        hinted = self._hinted_due if self._hinted else None
        return min((at for at in (hinted, self._compare_at) if at is not None), default=None)

    def is_comparison_due(self) -> bool:
        """Whether it is time to compare everything."""
        return self._compare_at is not None and self._compare_at <= self._clock()

    def begin_comparison(self) -> float:
        """It begins now; returns when that is, for `end_comparison`."""
        self._compare_at = None
        return self._clock()

    def end_comparison(self, begun: float) -> None:
        """It is over; the next one has to wait in proportion to what it took."""
        self._rest_until = self._clock() + REST_FACTOR * (self._clock() - begun)

    def are_hints_due(self) -> bool:
        """Whether it is quiet where something was heard of."""
        return bool(self._hinted) and self._hinted_due <= self._clock()

    def take_hinted(self) -> list[str]:
        """The places that were heard of; they are looked at now."""
        paths, self._hinted = list(self._hinted), {}
        return paths
