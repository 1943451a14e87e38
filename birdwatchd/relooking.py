"""After the spotter was exchanged, older photos are looked at again, in slices between others: what it says of them is comparable only
with what it says itself. Photos with a human name come first, so that birdwatchd can learn again; then those that wait; then the rest.

Only what was seen is written down, beside what the former spotter saw, which an older birdwatchd may need again. Nothing is moved, and
no decision is changed; a death at any moment costs one look.
"""

import logging
from collections import deque
from collections.abc import Iterator

from birdwatchd.core.errors import PhotoError, PhotoVanished
from birdwatchd.core.photo import State
from birdwatchd.edges.files import BadSpot, Files
from birdwatchd.edges.store import Store
from birdwatchd.examining import Examiner, content_hash

log = logging.getLogger(__name__)

AT_ONCE = 2
"""Photos that are looked at before others have their turn: a third of a second."""

IDS_AT_ONCE = 5_000
"""Photos of which is asked at once whether they were seen."""

TOLD_EVERY = 500


class Relooking:
    """Only for the holder of the bird folder's lock."""

    def __init__(self, files: Files, store: Store) -> None:
        self._files = files
        self._store = store
        self._spotter_id: str | None = None
        self._labelled: deque[int] = deque()
        self._rest: Iterator[list[int]] = iter(())
        self._at_hand: deque[int] = deque()
        self._looked = 0
        self._is_done = True

    def has_labelled_left(self, examiner: Examiner) -> bool:
        """Whether photos with a human name wait to be looked at: what is learned before they were would be learned from a few.

        Raises:
            TransientError: the log cannot be read now.
        """
        self._begin_with(examiner.spotter.id)
        return bool(self._labelled)

    def step(self, examiner: Examiner | None) -> bool:
        """Look at some photos again; whether there were any.

        Raises:
            TransientError: not now.
            ModelError: the spotter gave no answer.
        """
        if examiner is None:
            return False
        self._begin_with(examiner.spotter.id)
        if self._is_done:
            return False
        for _ in range(AT_ONCE):
            photo_id = self._next()
            if photo_id is None:
                self._is_done = True
                if self._looked:
                    log.info("all older photos have been looked at again: %d", self._looked)
                return True
            self._look(photo_id, examiner)
        return True

    def in_words(self) -> str | None:
        """What is being done, for people; None if nothing is."""
        if self._is_done:
            return None
        if self._labelled:
            return f"photos that you named are looked at again with the new spotter first, {len(self._labelled)} to go"
        return f"older photos are looked at again with the new spotter: {self._looked} done"

    def _begin_with(self, spotter_id: str) -> None:
        if self._spotter_id == spotter_id:
            return
        self._looked = 0
        self._at_hand.clear()
        self._labelled.clear()
        self._is_done = not self._store.looks.knows_another_spotter(spotter_id)
        if not self._is_done:
            self._labelled.extend(self._store.looks.labelled(spotter_id))
            self._rest = self._unseen(spotter_id)
            log.info(
                "the spotter is another one than before: older photos are looked at again, those that you named first"
            )
        self._spotter_id = spotter_id

    def _unseen(self, spotter_id: str) -> Iterator[list[int]]:
        newest = self._store.looks.newest()
        for states in ((State.REVIEW,), (State.FILED, State.EMPTY)):
            for first in range(1, newest + 1, IDS_AT_ONCE):
                yield self._store.looks.between(first, first + IDS_AT_ONCE - 1, spotter_id, states)

    def _next(self) -> int | None:
        """The next photo; it stays the next until it was looked at, whatever comes between."""
        if self._labelled:
            return self._labelled[0]
        while not self._at_hand:
            some = next(self._rest, None)
            if some is None:
                return None
            self._at_hand.extend(some)
        return self._at_hand[0]

    def _look(self, photo_id: int, examiner: Examiner) -> None:
        photo = self._store.looks.photo(photo_id)
        try:
            data = self._files.read(photo["path"], max_bytes=examiner.limits.max_bytes)
            if content_hash(data) != photo["sha256"]:
                raise PhotoVanished(f"{photo['path']} holds other bytes than before")
            examined = examiner.examine(data)
        except (PhotoError, PhotoVanished, BadSpot) as error:
            log.warning("not looked at again: %s: %s", photo["original_name"], error.message)
        else:
            self._store.journeys.record_look(photo_id, examined.spotting, with_others=photo["state"] != State.EMPTY)
            self._files.write_thumbnail(photo["sha256"], examined.thumbnail)
        (self._labelled or self._at_hand).popleft()
        self._looked += 1
        if self._looked % TOLD_EVERY == 0:
            log.info("older photos are looked at again: %d done", self._looked)
