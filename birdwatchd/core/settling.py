"""Has this file stopped changing? Fed with what was seen and when; answers which files may be taken.

Events and sweeps feed the same `see`. Time is measured from when *we* last saw a change, never from the file's own date: `cp -p`,
`rsync -a` and cameras set that as they like. A file is settled when all of these hold:

1. its stamp (device, inode, size, both times) has not changed for the quiet time;
2. nobody has it open for writing, as far as the kernel can tell;
3. it ends as its kind must end, or it has stood still for the long wait (an upload that may still be resumed).

The quiet time is longer where the kernel cannot tell about writers: five times for files of other owners, fifteen times on
network file systems. Files of a kind without a known end need only 1 and 2.

What waits is bounded: however many files are dropped at once, only so many are watched at a time. The rest are counted, and seen
when there is room again.
"""

import heapq
from dataclasses import dataclass
from enum import StrEnum

from birdwatchd.core.photo import Stamp
from birdwatchd.core.sight import Ending

FOREIGN_OWNER_FACTOR = 5
REMOTE_FACTOR = 15
RECHECK_S = 1.0
"""How soon a file that somebody has open is looked at again."""

RECHECK_MOST_S = 60.0
"""A file that may not be opened is looked at ever more rarely, up to this; at once when something about it changes."""


MOST_WATCHED = 50_000
"""About 30 MB. Whoever drops a million photos at once gets them filed all the same, so many at a time."""


class Writers(StrEnum):
    """What the kernel says about programs that have the file open for writing."""

    NONE = "none"
    SOME = "some"
    UNTOLD = "untold"
    """We may not ask: another owner's file."""
    REMOTE = "remote"
    """Asking is useless: the writer may be on another machine."""


class Waiting(StrEnum):
    """Why a file has not been taken yet, in words for people."""

    FRESH = "arrived or changed a moment ago"
    LONGER = "of another user or machine, so it is watched a little longer"
    WRITTEN = "another program is still writing it"
    UNFINISHED = "its end has not arrived yet"
    UNREADABLE = "it may not be read; check its owner and rights"


@dataclass(frozen=True, slots=True)
class Look:
    """One close look at a file: its stamp at that moment, its writers, its end."""

    stamp: Stamp
    writers: Writers
    ending: Ending


@dataclass(slots=True)
class _Watched:
    stamp: Stamp
    still_since: float
    look_at: float
    unfinished_since: float
    sweep: int
    why: Waiting = Waiting.FRESH
    pause_s: float = RECHECK_S


class Settling:
    """The files of the inbox that are not ready yet. Not thread-safe: one owner.

    Args:
        quiet_s: seconds without change that a whole file with no writer needs.
        unfinished_s: seconds that a file without its proper end is given.
        most: files watched at a time.
    """

    def __init__(self, *, quiet_s: float, unfinished_s: float, most: int = MOST_WATCHED) -> None:
        self._quiet_s = quiet_s
        self._unfinished_s = unfinished_s
        self._most = most
        self._files: dict[str, _Watched] = {}
        self._agenda: list[tuple[float, str]] = []
        self._sweep = 0
        self._in_sweep = False
        self.unwatched = 0
        """Files of the last sweep for which there was no room."""

    def see(self, path: str, stamp: Stamp, now: float, *, stood_s: float = 0.0) -> None:
        """Note that the file was there with this stamp at this time.

        Args:
            now: seconds, any monotonic origin.
            stood_s: for how long it has stood still, if that is known otherwise; counts only against the long wait for its end.
        """
        known = self._files.get(path)
        if known is not None and known.stamp == stamp:
            known.sweep = self._sweep
        elif known is None and len(self._files) >= self._most:
            self.unwatched += self._in_sweep
        else:
            self._files[path] = _Watched(stamp, now, now, now - stood_s, self._sweep)
            self._put(path, now + self._quiet_s)

    def forget(self, path: str) -> None:
        """The file is gone, or has been taken."""
        self._files.pop(path, None)

    def begin_sweep(self) -> None:
        """From here on every file that is there is seen once."""
        self._sweep += 1
        self._in_sweep = True
        self.unwatched = 0

    def end_sweep(self) -> None:
        """What was not seen since the sweep began is gone."""
        self._in_sweep = False
        for path in [path for path, known in self._files.items() if known.sweep != self._sweep]:
            del self._files[path]

    @property
    def has_room_again(self) -> bool:
        """Whether a sweep would find files that there was no room for; true when half of the watched ones have gone."""
        return self.unwatched > 0 and len(self._files) <= self._most // 2

    def due(self, now: float, limit: int) -> list[str]:
        """Files that deserve a close look now, longest-waiting first, at most `limit`; each is named once.

        One that is neither weighed nor forgotten then, because something broke in between, is named again a moment later.
        """
        found: list[str] = []
        while self._agenda and self._agenda[0][0] <= now and len(found) < limit:
            at, path = heapq.heappop(self._agenda)
            known = self._files.get(path)
            if known is not None and known.look_at == at:
                found.append(path)
                self._put(path, now + RECHECK_S)
        return found

    def weigh(self, path: str, look: Look | None, now: float) -> bool:
        """Judge one close look; True when the file may be taken now.

        Args:
            look: None when the file is there but may not be opened.
        """
        known = self._files.get(path)
        if known is None:
            return False
        if look is None:
            known.pause_s = min(2 * known.pause_s, RECHECK_MOST_S)
            return self._wait(path, known, now + max(self._quiet_s, known.pause_s), Waiting.UNREADABLE)
        if look.stamp != known.stamp:
            self.see(path, look.stamp, now)
            return False
        if look.writers is Writers.SOME:
            return self._wait(path, known, now + max(self._quiet_s, RECHECK_S), Waiting.WRITTEN)
        if now < (ready := known.still_since + self._quiet_for(look.writers)):
            return self._wait(path, known, ready, Waiting.LONGER if look.writers is not Writers.NONE else Waiting.FRESH)
        if look.ending is Ending.INCOMPLETE and now < (ready := known.unfinished_since + self._unfinished_s):
            return self._wait(path, known, ready, Waiting.UNFINISHED)
        return True

    def postpone(self, path: str, until: float) -> None:
        """Look at a settled file again later: it could not be opened or taken."""
        known = self._files.get(path)
        if known is not None:
            self._wait(path, known, until, Waiting.UNREADABLE)

    def next_look(self) -> float | None:
        """When `due` will next have something; None when nothing waits."""
        while self._agenda:
            at, path = self._agenda[0]
            known = self._files.get(path)
            if known is not None and known.look_at == at:
                return at
            heapq.heappop(self._agenda)
        return None

    def waiting(self) -> dict[str, Waiting]:
        """Every watched file that is not taken yet, and why."""
        return {path: watched.why for path, watched in self._files.items()}

    def waiting_for(self, why: Waiting) -> list[str]:
        """Watched files that wait for this reason."""
        return [path for path, watched in self._files.items() if watched.why is why]

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def __len__(self) -> int:
        return len(self._files)

    def _quiet_for(self, writers: Writers) -> float:
        if writers is Writers.UNTOLD:
            return self._quiet_s * FOREIGN_OWNER_FACTOR
        if writers is Writers.REMOTE:
            return self._quiet_s * REMOTE_FACTOR
        return self._quiet_s

    def _wait(self, path: str, known: _Watched, until: float, why: Waiting) -> bool:
        known.why = why
        self._put(path, until)
        return False

    def _put(self, path: str, at: float) -> None:
        self._files[path].look_at = at
        heapq.heappush(self._agenda, (at, path))
