"""The counter: wishes of commands and of the page, fulfilled one at a time, a slice at a time between photos.

A wish that another process works on stands aside meanwhile, and others are served. One that cannot be fulfilled now holds up those that
speak of the same photos, and nobody else.
"""

import logging
from collections.abc import Callable, Collection, Sequence

from birdwatchd.core import shelving
from birdwatchd.core.errors import TransientError
from birdwatchd.core.turns import Wanted, next_in_turn
from birdwatchd.edges.store import Elsewhere, Request, Requests
from birdwatchd.review import Review
from birdwatchd.saying import Work

log = logging.getLogger(__name__)

SLICE_S = 0.1
"""How long a long wish, such as an import, may work before photos and the watchdog have their turn."""

RETRY_S = 5.0
"""How soon a wish that cannot be fulfilled now is tried again; others are served meanwhile."""


class Desk:
    """Serves open requests in order.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, review: Review, requests: Requests, *, clock: Callable[[], float]) -> None:
        self._review = review
        self._requests = requests
        self._clock = clock
        self._work: Work | None = None
        self._request_id = 0
        self._elsewhere: dict[int, tuple[Work, Elsewhere]] = {}
        self._not_before: dict[int, float] = {}

    def serve(self) -> bool:
        """Work for one slice on the wish at hand, or on the next; False when there is none, or none that we can further.

        Raises:
            TransientError: it cannot be fulfilled now. It stays open, and who wished is told why.
        """
        if self._work is None:
            request = self._next()
            if request is None:
                return self._ask_elsewhere()
            log.info("request=%d kind=%s", request.id, shelving.printable(request.kind))
            self._work, self._request_id = self._review.fulfil(request), request.id
        elif self._was_called_off(self._request_id, self._work):
            self._work = None
            return True
        self._work_for_a_slice(self._work)
        return True

    def _ask_elsewhere(self) -> bool:
        """Ask once how the wishes are that stand aside; whether one of them is at hand again, or over."""
        for number in list(self._elsewhere):
            work, told = self._elsewhere.pop(number)
            if self._was_called_off(number, work):
                return True
            self._request_id = number
            self._work_for_a_slice(work, told=told)
            if number not in self._elsewhere:
                return True
        return False

    def _was_called_off(self, number: int, work: Work) -> bool:
        if self._requests.get(number).outcome is None:
            return False
        log.info("request=%d was called off", number)
        work.close()
        return True

    @property
    def has_waiting_wishes(self) -> bool:
        """Whether a wish was tried and could not be fulfilled yet."""
        return bool(self._not_before)

    def _next(self) -> Request | None:
        now = self._clock()
        wishes = [one for one in self._requests.open() if one.id not in self._elsewhere]
        self._not_before = {one.id: self._not_before[one.id] for one in wishes if one.id in self._not_before}
        return next_of(self._requests, wishes, {number for number, at in self._not_before.items() if at > now})

    def _work_for_a_slice(self, work: Work, *, told: Elsewhere | None = None) -> None:
        until = self._clock() + SLICE_S
        self._work = None  # whatever happens now ends it, but for the last line
        try:
            progress = next(work)
            while self._clock() < until and not isinstance(progress, Elsewhere):
                progress = next(work)
        except StopIteration:
            self._not_before.pop(self._request_id, None)
            return
        except TransientError as error:
            self._not_before[self._request_id] = self._clock() + RETRY_S
            self._requests.report(self._request_id, {"waiting": str(error)})
            raise
        if progress != told:
            self._requests.report(self._request_id, progress)
        if isinstance(progress, Elsewhere):
            self._elsewhere[self._request_id] = work, progress
        else:
            self._work = work


def next_of(requests: Requests, wishes: Sequence[Request], waiting: Collection[int]) -> Request | None:
    """The first of some open wishes that may be worked on now; None if there is none.

    Args:
        wishes: oldest first.
        waiting: numbers of those that were tried and have to wait.
    """
    number = next_in_turn([_wanted(requests, one) for one in wishes], waiting) if waiting else None
    return next((one for one in wishes if not waiting or one.id == number), None)


def _wanted(requests: Requests, request: Request) -> Wanted:
    told = request.arguments
    try:
        match request.kind:
            case "label":
                return Wanted(request.id, frozenset([int(told["photo_id"])]), is_begun=True)
            case "answers":
                return Wanted(request.id, frozenset(map(int, told["photo_ids"])), is_begun="before" in told)
            case "take-back":
                answer = requests.find(int(told["request_id"]))
                photo_ids = [] if answer is None else answer.arguments["photo_ids"]
                return Wanted(request.id, frozenset(map(int, photo_ids)), int(told["request_id"]))
    except (KeyError, TypeError, ValueError):  # what it lacks is told when its turn comes
        pass
    return Wanted(request.id)
