"""Does anybody hear of new files? The watch is looked after, and a canary proves now and then that events arrive.

Only asked between pieces of work, when everything that was heard has been passed on: in the middle of a long copy a canary would seem
unheard, although its event lies on the queue.
"""

import logging
from collections.abc import Callable
from typing import Any

from birdwatchd.canary import Canary
from birdwatchd.condition import Condition
from birdwatchd.core.errors import DiskTrouble
from birdwatchd.edges.files import Files
from birdwatchd.edges.watch import Watch
from birdwatchd.examining import Examiner

log = logging.getLogger(__name__)

LISTEN_EVERY_S = 5.0


class Hearing:
    """The ears of one daemon.

    Args:
        watch: hears of the inbox; None for whoever does not live long enough to hear anything.
        shelf_watch: hears of the shelves.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        watch: Watch | None,
        shelf_watch: Watch | None,
        files: Files,
        condition: Condition,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._watch = watch
        self._shelf_watch = shelf_watch
        self._canary = Canary(files, clock=clock)
        self._condition = condition
        self._clock = clock
        self._next = clock()

    def listen(self, examiner: Examiner | None) -> None:
        """Every few seconds: set a dead or deaf watch up anew, and send the canary if it is time."""
        if self._watch is None or self._clock() < self._next:
            return
        self._next = self._clock() + LISTEN_EVERY_S
        if not self._watch.is_well():
            self._revive(self._watch)
        if self._canary.is_unheard() and self._watch.problem is None:
            self._condition.trouble(
                "canary", "the system does not tell of new files; they are found by looking through the inbox"
            )
            self._watch.stop()
            self._revive(self._watch)
        if examiner is not None:
            self._canary.send_if_due()

    def look_after(self) -> None:
        """At each sweep: start anew what has died, or could see more by now."""
        if self._watch is not None:
            self._revive(self._watch)
        if self._shelf_watch is not None:
            self._revive_on_shelves(self._shelf_watch)

    def _revive(self, watch: Watch) -> None:
        if watch.revive():
            log.warning("watching anew (%s)", watch.kind)
        self._condition.tell("watch", watch.problem)

    def _revive_on_shelves(self, watch: Watch) -> None:
        watch.revive()
        if watch.kind == "events" or (self._watch is not None and self._watch.kind != "events"):
            self._condition.fine("shelf watch")  # or told already, with the same cause
        else:
            why = watch.problem or ""
            self._condition.trouble(
                "shelf watch", f"photos moved by hand are noticed only every ten minutes: {why.partition(': ')[2]}"
            )

    def canary_came(self, examiner: Examiner | None, *, by_event: bool) -> bool:
        """It was noticed, by an event or by the sweep; False if none was out.

        Raises:
            ModelError: the eye does not see what it saw at first.
        """
        if self._watch is None:
            return False
        try:
            was_out = self._canary.came(examiner, by_event=by_event)
        except DiskTrouble as error:
            self._condition.trouble("inbox disk", str(error))
            return True
        if was_out:
            self._condition.fine("inbox disk")
        if was_out and by_event:
            self._condition.fine("canary")
        return was_out

    def facts(self) -> dict[str, Any]:
        """For `status`: how new files are noticed, in a word."""
        return {"watcher": self._watch.kind if self._watch else "none"}
