"""The log as the page sees it: read by many, written to by wishes only."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.core.errors import BirdwatchdError
from birdwatchd.edges.store import Store


class Log:
    """Opens the log when somebody asks, once for each thread.

    Args:
        root: the bird folder.
        now: the time of the wall clock as ISO-8601 UTC.
    """

    def __init__(self, root: Path, *, now: Callable[[], str]) -> None:
        self.root = root
        self.now = now
        self._open = threading.local()

    @contextmanager
    def reading(self) -> Iterator[Store]:
        """For one answer: all its questions see one state of the log.

        Raises:
            ConfigError: birdwatchd never ran here, or a restore is going on.
        """
        with self._kept("reader", Store.read_only) as store:
            store.connection.execute("BEGIN")
            try:
                yield store
            finally:
                store.connection.execute("ROLLBACK")

    @contextmanager
    def wishing(self) -> Iterator[Store]:
        """To leave a wish."""
        with self._kept("writer", lambda path: Store.open(path, migrate=False)) as store:
            yield store

    @contextmanager
    def _kept(self, name: str, opened: Callable[[Path], Store]) -> Iterator[Store]:
        path = self.root / shelving.DATABASE
        store: Store | None = getattr(self._open, name, None)
        if store is not None and not store.connection.is_current():  # a restore has put another log in its place
            setattr(self._open, name, None)  # first: the other one may not be there yet
            store.close()
            store = None
        if store is None:
            store = opened(path)
            setattr(self._open, name, store)
        try:
            yield store
        except BirdwatchdError:  # whatever is the matter, the next one opens it afresh
            setattr(self._open, name, None)
            store.close()
            raise
