"""Does anybody hear of new files? The watch is looked after, and a canary proves now and then that events arrive.

Only asked between pieces of work, when everything that was heard has been passed on: in the middle of a long copy a canary would seem
unheard, although its event lies on the queue.
"""

import logging
from collections.abc import Callable

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
        clock: seconds, monotonic.
    """

    def __init__(self, watch: Watch, files: Files, condition: Condition, *, clock: Callable[[], float]) -> None:
        self._watch = watch
        self._canary = Canary(files, clock=clock)
        self._condition = condition
        self._clock = clock
        self._next = clock()

    @property
    def kind(self) -> str:
        """How new files are noticed, in a word."""
        return self._watch.kind

    def listen(self, examiner: Examiner | None) -> None:
        """Every few seconds: set a dead or deaf watch up anew, and send the canary if it is time."""
        if self._clock() < self._next:
            return
        self._next = self._clock() + LISTEN_EVERY_S
        if not self._watch.is_well():
            self.look_after()
        if self._canary.is_unheard() and self._watch.problem is None:
            self._condition.trouble(
                "canary", "the system does not tell of new files; they are found by looking through the inbox"
            )
            self._watch.stop()
            self.look_after()
        if examiner is not None:
            self._canary.send_if_due()

    def look_after(self) -> None:
        """At each sweep: start anew what has died, or could see more by now."""
        if self._watch.revive():
            log.warning("watching anew (%s)", self._watch.kind)
        if self._watch.problem is None:
            self._condition.fine("watch")
        else:
            self._condition.trouble("watch", self._watch.problem)

    def canary_came(self, examiner: Examiner | None, *, by_event: bool) -> bool:
        """It was noticed, by an event or by the sweep; False if none was out.

        Raises:
            ModelError: the eye does not see what it saw at first.
        """
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
