"""A page about each training, for people: made by the training program when the verdict is there, and entered in the log.

The page is only told about: one that cannot be made harms nothing. What a killed daemon left unmade is made by the next one.
"""

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from birdwatchd.core import shelving
from birdwatchd.core.errors import TransientError
from birdwatchd.core.job import PAGE_FILE, VERDICT_FILE
from birdwatchd.edges.errand import Errand
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Elsewhere, Store

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
"""How often the log is asked for trainings without a page."""

LAST = 3
"""So many of the newest trainings get a page that they missed; older ones are history."""

MOST_S = 300.0

Work = Generator[dict[str, Any], None, str | None]


@dataclass(slots=True)
class _Running:
    training_id: int
    path: str
    errand: Errand
    until: float


class Reporting:
    """Only for the holder of the bird folder's lock.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, files: Files, store: Store, *, clock: Callable[[], float]) -> None:
        self._files = files
        self._store = store
        self._clock = clock
        self._running: _Running | None = None
        self._given_up: set[int] = set()
        self._next_look = clock()

    def step(self) -> bool:
        """Look after the page that is being made, or begin one; whether anything was done.

        Raises:
            TransientError: not now.
        """
        if self._running is not None:
            return self._look_after(self._running)
        if self._clock() < self._next_look:
            return False
        self._next_look = self._clock() + LOOK_EVERY_S
        missing = self._missing()
        if missing:
            self._begin(missing[0])
        return bool(missing)

    def make(self, training_id: int) -> Work:
        """Make the page of this training now; gives back where it is, None if there is none.

        Raises:
            TransientError: not now.
        """
        while self._running is not None or training_id in self._missing():
            if self._running is None:
                self._begin(training_id)
            yield Elsewhere()
            if self._running is not None:
                self._look_after(self._running)
        return self._store.models.page_of(training_id)

    @property
    def under_way(self) -> bool:
        """Whether a page is being made."""
        return self._running is not None

    def _missing(self) -> list[int]:
        """Trainings that a page can be made of, the newest first."""
        return [one for one in self._store.models.without_page(limit=LAST) if self._can_be_made(one)]

    def _can_be_made(self, training_id: int) -> bool:
        verdict = self._files.path(f"{shelving.JOBS}/{training_id}/{VERDICT_FILE}")
        return training_id not in self._given_up and verdict.is_file()

    def _begin(self, training_id: int) -> None:
        folder = f"{shelving.REPORTS}/{training_id}"
        job = self._files.path(f"{shelving.JOBS}/{training_id}")
        errand = Errand("report", str(job), str(self._files.path(folder)), program="birdwatchd.training")
        self._running = _Running(training_id, f"{folder}/{PAGE_FILE}", errand, self._clock() + MOST_S)

    def _look_after(self, running: _Running) -> bool:
        back = running.errand.look()
        if back is None:
            if self._clock() < running.until:
                return False
            running.errand.call_off()
            self._give_up(running, "it took too long")
            return True
        if not back.well:
            self._give_up(running, back.words)
            return True
        try:
            self._store.models.note_page(running.training_id, running.path)
        except TransientError:
            self._next_look = self._clock() + LOOK_EVERY_S
            raise
        finally:
            self._running = None  # if the log could not be written, the page is made once more
        log.info("training %d: read about it in %s", running.training_id, running.path)
        return True

    def _give_up(self, running: _Running, why: str) -> None:
        self._running = None
        self._given_up.add(running.training_id)
        log.warning("training %d: its page could not be made: %s", running.training_id, why)

    def close(self) -> None:
        """End what is under way; the next life begins it anew."""
        if self._running is not None:
            self._running.errand.call_off()
            self._running = None
