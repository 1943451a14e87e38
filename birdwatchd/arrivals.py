"""What has arrived in the inbox and has yet to be taken: seen, weighed, and told about where it cannot be taken.

Events say where to look; a look everywhere, at each sweep, is what correctness rests on.
"""

import functools
import gc
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from birdwatchd.condition import Condition
from birdwatchd.core import shelving
from birdwatchd.core.errors import PhotoVanished, TransientError
from birdwatchd.core.intake import is_ignored, is_ignored_path
from birdwatchd.core.photo import Stamp
from birdwatchd.core.settings import Inbox
from birdwatchd.core.settling import Settling, Waiting
from birdwatchd.edges.files import Files

log = logging.getLogger(__name__)

MOST_WAITING_NAMED = 20

REFUSED_S = 60.0
"""How soon a file whose folder does not let go of it is tried again; or at once when something about it changes."""


class Arrivals:
    """The files of one inbox that wait; only for the holder of the bird folder's lock.

    Args:
        clock: seconds, monotonic.
        wall_clock: seconds since 1970, for whoever lives too short to see a file stand still for long: then the kernel's own date of
            the last change tells how long it has. None: only what was seen counts.
    """

    def __init__(
        self,
        files: Files,
        inbox: Inbox,
        condition: Condition,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float] | None,
    ) -> None:
        self._files = files
        self._inbox = inbox
        self._condition = condition
        self._clock = clock
        self._wall_clock = wall_clock
        self._settling = Settling(quiet_s=inbox.settle_s, unfinished_s=inbox.unfinished_s)
        self._refused: dict[str, str] = {}
        self._closed: list[str] = []
        self._told_unfinished: set[str] = set()

    # -- seen

    def hint(self, path: str) -> None:
        """Something may have happened at this inbox path."""
        if is_ignored_path(path, self._inbox.ignore):
            return
        stamp = self._files.inbox_stamp(path)
        if stamp is None:
            self._settling.forget(path)
        else:
            self._settling.see(path, stamp, self._clock())

    def look(self) -> list[str]:
        """Look at every file of the inbox; returns originals with the hidden name of a claim, the canary among them.

        Raises:
            TransientError: the inbox cannot be read.
        """
        with _nothing_collected():
            return self._look()

    def _look(self) -> list[str]:
        now = self._clock()
        closed: list[str] = []
        held: list[str] = []
        ignored = functools.partial(_is_ignored_by, self._inbox.ignore)
        self._settling.begin_sweep()
        for path, stamp in self._files.inbox_files(ignored, on_closed_folder=closed.append, on_held=held.append):
            stood_s = 0.0 if self._wall_clock is None else max(0.0, self._wall_clock() - stamp.ctime_ns / 1e9)
            self._settling.see(path, stamp, now, stood_s=stood_s)
        self._settling.end_sweep()
        self._refused = {path: why for path, why in self._refused.items() if path in self._settling}
        self._closed = closed
        return held

    def see_anew(self, path: str) -> None:
        """After a claim the inbox may hold nothing of that name, the same file still, or already the next."""
        self._settling.forget(path)
        stamp = self._files.inbox_stamp(path)
        if stamp is not None:
            self._settling.see(path, stamp, self._clock())

    def __contains__(self, path: str) -> bool:
        return path in self._settling

    # -- weighed

    def settled(self, limit: int) -> list[tuple[str, Stamp]]:
        """So many files at most that may be taken now, each with the stamp under which it was found settled."""
        now = self._clock()
        due = self._settling.due(now, limit)
        return [(path, stamp) for path in due if (stamp := self._weighed(path, now)) is not None]

    def _weighed(self, path: str, now: float) -> Stamp | None:
        try:
            look = self._files.look(path)
        except PhotoVanished:
            self._settling.forget(path)
            return None
        except TransientError as error:
            self.refuse(path, str(error))
            return None
        return look.stamp if self._settling.weigh(path, look, now) and look is not None else None

    def refuse(self, path: str, why: str) -> None:
        """A file could not be read or taken: it is tried again later."""
        self._settling.postpone(path, self._clock() + REFUSED_S)
        self._refused[path] = _without_name(path, why)

    @property
    def has_room_again(self) -> bool:
        """Whether another look would find files that there were too many of to be watched."""
        return self._settling.has_room_again

    def next_look(self) -> float | None:
        """When one may have settled; None when nothing waits."""
        return self._settling.next_look()

    def has_disk_room(self) -> bool:
        """Whether the disk has more free than its reserve; looked at only when a photo is about to be taken."""
        look = self.next_look()
        if "room" not in self._condition.problems and (look is None or look > self._clock()):
            return True
        with self._condition.survives("room"):
            self._files.check_room(int(self._inbox.reserve_mb * 1e6))
        return "room" not in self._condition.problems

    # -- told about

    def tell(self) -> None:
        """Say what waits for its end, and what may not be read, as the last look found it."""
        self._tell_of_the_unfinished()
        self._tell_of_the_untakable()

    def _tell_of_the_unfinished(self) -> None:
        waiting = set(self._settling.waiting_for(Waiting.UNFINISHED))
        for path in sorted(waiting - self._told_unfinished)[:MOST_WAITING_NAMED]:
            log.info("%s waits: %s", shelving.printable(path), Waiting.UNFINISHED)
        self._told_unfinished = waiting

    def _tell_of_the_untakable(self) -> None:
        """Files and folders in the inbox whose rights keep us out, as one problem until the last of them is gone."""
        unreadable = self._settling.waiting_for(Waiting.UNREADABLE)
        stuck = [f"the folder {path}" for path in self._closed] + unreadable
        if not stuck:
            self._condition.fine("inbox")
            return
        why = self._refused.get(stuck[0], "may not be opened (give birdwatchd's user or group the right: chmod g+rwX)")
        others = f", and {len(stuck) - 1} more" if len(stuck) > 1 else ""
        self._condition.trouble("inbox", f"in the inbox, {shelving.printable(stuck[0])} {why}{others}")

    def waiting(self) -> dict[str, Waiting]:
        """Files that are not taken yet, and why."""
        return self._settling.waiting()

    @property
    def count(self) -> int:
        """How many files wait, those included that are too many to be watched."""
        return len(self._settling) + self._settling.unwatched

    def facts(self) -> dict[str, Any]:
        """For `status`."""
        named = [
            {"file": shelving.printable(path), "why": self._refused.get(path, str(why))}
            for path, why in itertools.islice(self.waiting().items(), MOST_WAITING_NAMED)
            if why is not Waiting.FRESH
        ]
        return {"waiting": self.count, "waiting_files": json.dumps(named)}


def _without_name(path: str, why: str) -> str:
    """It is named beside the reason already."""
    name = shelving.printable(path)
    return why.removeprefix(f"{name} ").replace(f"cannot read {name}", "cannot be read")


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """A sweep makes tens of thousands of small objects that all stay; looking for garbage among them takes a third of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _is_ignored_by(patterns: Sequence[str], name: str, *, folder: bool = False) -> bool:
    return is_ignored(name, patterns, folder=folder)
