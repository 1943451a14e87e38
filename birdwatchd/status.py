"""The row `status`: how the daemon is, for `birdwatchd status`, `doctor` and the page. Each part gives its own facts."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from birdwatchd import __version__
from birdwatchd.condition import Condition
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store

Facts = Callable[[], dict[str, Any]]
"""Columns of `status`, with what is to be written there."""


class Status:
    """Writes the row.

    Args:
        others: parts of the daemon that have something to say of themselves.
        now: the wall clock, ISO-8601 UTC.
    """

    def __init__(
        self, files: Files, store: Store, condition: Condition, others: Sequence[Facts], *, now: Callable[[], str]
    ) -> None:
        self._files = files
        self._store = store
        self._condition = condition
        self._others = others
        self._now = now
        self._started_at = now()
        self._told = 0
        self._worked = False

    def write(self, **but: Any) -> None:
        """Write how it is now.

        Args:
            but: columns in which something else is to be written.

        Raises:
            TransientError: not now.
        """
        self._store.requests.write_status(self._facts() | but)

    def write_if_new(self, *, worked: bool) -> None:
        """After each round: so that nobody reads of photos that left, or of trouble that is over.

        Args:
            worked: whether the round had something to do.
        """
        has_news = self._condition.told != self._told
        if (self._worked and not worked) or has_news:
            self._told = self._condition.told
            with self._condition.survives("log"):
                self.write()
        self._worked = worked

    def _facts(self) -> dict[str, Any]:
        facts = {
            "updated_at": self._now(),
            "started_at": self._started_at,
            "pid": os.getpid(),
            "version": __version__,
            "in_flight": self._store.journeys.under_way_count(),
            "disk_free_bytes": self._files.free_bytes(),
        }
        for one in (self._condition.facts, *self._others):
            facts |= one()
        return facts
