"""After the spotter was exchanged, older photos are looked at again, in slices between others: what it says of them is comparable only
with what it says itself. Photos with a human name come first, so that birdwatchd can learn again; then those that wait; then the rest.

Only what was seen is written down, beside what the former spotter saw, which an older birdwatchd may need again. Nothing is moved, and
no decision is changed; a death at any moment costs one look. A photo that cannot be looked at is passed over until the next start.
"""

import logging
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from birdwatchd.core.errors import PhotoError, PhotoVanished
from birdwatchd.core.photo import State
from birdwatchd.edges.files import BadSpot, Files, OutOfReach
from birdwatchd.edges.store import Store
from birdwatchd.examining import Examiner, content_hash

log = logging.getLogger(__name__)

AT_ONCE = 2
"""Photos that are looked at before others have their turn: a third of a second."""

IDS_AT_ONCE = 5_000
"""Photos of which is asked at once whether they were seen: some milliseconds, however many there are."""

TOLD_EVERY = 500


class _Kind(Enum):
    NAMED = auto()
    WAITING = auto()
    REST = auto()


class Relooking:
    """Only for the holder of the bird folder's lock.

    Args:
        news: is told now and then that photos have been looked at that could not be judged before.
    """

    def __init__(self, files: Files, store: Store, *, news: Callable[[], None] = lambda: None) -> None:
        self._files = files
        self._store = store
        self._news = news
        self._spotter_id: str | None = None
        self._pages: deque[tuple[_Kind, int]] = deque()
        self._kind = _Kind.REST
        self._at_hand: deque[int] = deque()
        self._passed_over: set[int] = set()
        self._total: int | None = None
        self._looked = 0
        self._is_done = True

    def has_labelled_left(self, examiner: Examiner) -> bool:
        """Whether photos with a human name may wait to be looked at: what is learned before would be learned from a few.

        Raises:
            TransientError: the log cannot be read now.
        """
        self._begin_with(examiner.spotter.id)
        return self._is_at_named

    def has_seen_labelled(self, spotter_id: str | None) -> bool:
        """Whether this spotter is known to have seen all photos with a human name, but for those that it cannot see."""
        return spotter_id is not None and self._spotter_id == spotter_id and not self._is_at_named

    def step(self, examiner: Examiner | None) -> bool:
        """Look at some photos again, or for such photos; whether that is not over yet.

        Raises:
            TransientError: not now.
            ModelError: the spotter gave no answer.
        """
        if examiner is None:
            return False
        self._begin_with(examiner.spotter.id)
        if self._is_done:
            return False
        if not self._at_hand:
            self._turn_page(examiner.spotter.id)
        for _ in range(min(AT_ONCE, len(self._at_hand))):
            self._look(self._at_hand[0], examiner)  # it stays the next until it was looked at, whatever comes between
            self._at_hand.popleft()
        if not self._at_hand and not self._pages:
            self._is_done = True
            if self._looked:
                log.info("all older photos have been looked at again: %d", self._looked)
                self._news()
        return True

    def in_words(self) -> str | None:
        """What is being done, for people; None if nothing is."""
        if self._is_done or self._total is None:
            return None
        first = ", those that you named first" if self._is_at_named else ""
        return f"older photos are looked at again with the new spotter{first}: {self._looked:,} of {self._total:,} are done"

    @property
    def _is_at_named(self) -> bool:
        if self._at_hand and self._kind is _Kind.NAMED:
            return True
        return bool(self._pages) and self._pages[0][0] is _Kind.NAMED

    def _begin_with(self, spotter_id: str) -> None:
        if self._spotter_id == spotter_id:
            return
        pages: list[tuple[_Kind, int]] = []
        if self._store.looks.knows_another_spotter(spotter_id):
            newest = self._store.news.newest_photo()
            pages = [(kind, first) for kind in _Kind for first in range(1, newest + 1, IDS_AT_ONCE)]
        self._pages = deque(pages)
        self._at_hand.clear()
        self._passed_over.clear()
        self._looked, self._total, self._is_done = 0, None, not pages
        self._spotter_id = spotter_id

    def _turn_page(self, spotter_id: str) -> None:
        kind, first = self._pages[0]
        last = first + IDS_AT_ONCE - 1
        match kind:
            case _Kind.NAMED:
                unseen = self._store.looks.named(first, last, spotter_id)
            case _Kind.WAITING:
                unseen = self._store.looks.between(first, last, spotter_id, (State.REVIEW,))
            case _Kind.REST:
                unseen = self._store.looks.between(first, last, spotter_id, (State.FILED, State.EMPTY))
        if unseen and self._total is None:  # not sooner: it goes through all photos
            self._total = self._store.looks.left(spotter_id)
            log.info("the spotter is another one than before: %s", self.in_words())
        if kind is not self._kind and self._looked:
            self._news()
        self._kind = kind
        self._at_hand.extend(photo_id for photo_id in unseen if photo_id not in self._passed_over)
        self._pages.popleft()

    def _look(self, photo_id: int, examiner: Examiner) -> None:
        photo = self._store.looks.photo(photo_id)
        try:
            data = self._read(photo["path"], examiner)
            if content_hash(data) != photo["sha256"]:
                raise PhotoVanished(f"{photo['path']} holds other bytes than before")
            examined = examiner.examine(data)
        except (PhotoError, PhotoVanished, BadSpot, OutOfReach) as error:
            log.warning("not looked at again: %s: %s", photo["original_name"], error.message)
            self._passed_over.add(photo_id)
        else:
            self._store.journeys.record_look(photo_id, examined.spotting, with_others=photo["state"] != State.EMPTY)
            self._files.write_thumbnail(photo["sha256"], examined.thumbnail)
        self._looked += 1
        if self._looked % TOLD_EVERY == 0:
            log.info("%s", self.in_words())
            self._news()

    def _read(self, path: str, examiner: Examiner) -> bytes:
        try:
            return self._files.read(path, max_bytes=examiner.limits.max_bytes)
        except PhotoVanished:
            self._files.check_still_there()  # else all of them would be passed over because a disk is away for a moment
            raise
