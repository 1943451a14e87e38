"""A small picture sent through the inbox every few minutes: does the watch still hear, does the eye still see?

It lies there for a moment under a hidden name and is never logged as a photo. When an event tells of it, it is read back and looked
at, and the eye must say what it said at first. When only the sweep finds it, the watch has gone deaf.
"""

import logging
from collections.abc import Callable

import numpy as np

from birdwatchd.core.errors import DiskTrouble, ModelError, PhotoError, TransientError
from birdwatchd.core.manifest import golden_pixels
from birdwatchd.core.photo import Spotting
from birdwatchd.edges.files import Files
from birdwatchd.edges.images import as_jpeg
from birdwatchd.examining import Examiner

log = logging.getLogger(__name__)

EVERY_S = 240.0
AGAIN_AFTER_S = 30.0
"""After one that was not heard of."""

HEARD_WITHIN_S = 15.0
"""Events take no time, polling looks every five seconds."""

TOLERANCE = 1e-3
SEED = 6
SIZE_PX = 224


class Canary:
    """The canary of one bird folder.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, files: Files, *, clock: Callable[[], float]) -> None:
        self._files = files
        self._clock = clock
        self._next = clock()
        self._sent_at: float | None = None
        self._picture: bytes | None = None
        self._first: Spotting | None = None
        self._told_late = False

    def send_if_due(self) -> None:
        """Put it into the inbox, if it is time."""
        now = self._clock()
        if self._sent_at is not None or now < self._next:
            return
        self._next = now + EVERY_S
        if self._picture is None:
            self._picture = as_jpeg(golden_pixels(SEED, SIZE_PX))
        try:
            self._files.put_canary(self._picture)
        except (
            TransientError
        ) as error:  # a full disk, an inbox that may only be read: told where photos are hindered by it
            log.debug("no canary: %s", error)
            return
        self._sent_at = now
        self._told_late = False

    def is_unheard(self) -> bool:
        """Whether one lies in the inbox and nobody has told of it for too long; true once for each."""
        late = self._sent_at is not None and self._clock() - self._sent_at > HEARD_WITHIN_S
        if not late or self._told_late:
            return False
        self._told_late = True
        return True

    def came(self, examiner: Examiner | None, *, by_event: bool) -> bool:
        """It was noticed, by an event or by the sweep: look at it, and take it away; False if none is out.

        Raises:
            ModelError: the eye does not see what it saw at first.
            DiskTrouble: the disk did not give back what was written to it.
        """
        if self._sent_at is None:
            self._take_away()
            return False
        self._sent_at = None
        if not by_event:
            self._next = self._clock() + AGAIN_AFTER_S
        try:
            picture = self._files.canary()
        except TransientError as error:  # somebody tidied it away; it was noticed all the same
            log.debug("the canary is gone: %s", error)
            return True
        self._take_away()
        if examiner is not None:
            self._compare(examiner, picture)
        return True

    def _compare(self, examiner: Examiner, picture: bytes) -> None:
        try:
            seen = examiner.examine(picture).spotting
        except PhotoError as error:
            raise DiskTrouble(
                f"a test picture written to the inbox came back damaged: {error.message}",
                hint="check the disk of the inbox; photos on it may be damaged, too",
            ) from error
        first, self._first = self._first, seen
        if first is None or first.spotter_id != seen.spotter_id:
            return
        self._first = first
        distance = np.abs(seen.embedding - first.embedding).max()
        if not distance <= TOLERANCE * np.abs(first.embedding).max():  # also when it is no number
            raise ModelError(f"the spotter does not see today what it saw at first ({examiner.spotter.provider})")

    def _take_away(self) -> None:
        try:
            self._files.remove_canary()
        except TransientError as error:
            log.debug("the canary stays: %s", error)
