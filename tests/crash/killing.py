"""The executioner: strace lists the system calls of a life, and ends another one at the entry of any of them.

A process that is killed at the entry of a call has not made it. strace counts the calls of each name in each thread by themselves;
so a point is the name of a call and its number. Calls are chosen from the list of an undisturbed life, and what was really hit is
read from the list of the life that ended.

`--seccomp-bpf` would make it faster, but strace 6.1 then never counts beyond the first call.
"""

import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.lives import live

RENAMES = ("rename", "renameat", "renameat2")
CREATES = ("open", "openat", "creat")
CHANGING = (
    *RENAMES,
    *CREATES,
    *("fsync", "fdatasync", "sync_file_range", "syncfs"),
    *("unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat"),
    *("write", "writev", "pwrite64", "pwritev", "copy_file_range", "sendfile"),
    *("truncate", "ftruncate", "fallocate", "chmod", "fchmod", "fchmodat", "utimensat"),
)
"""Every call that can change what lies on a disk; `open` counts where it makes a file."""

PAGE = "pwrite64"
"""How SQLite writes: by far the most calls, and all alike."""

_ENTRY = re.compile(r"^(\d+)\s+(\w+)\((.*)")
_KILLED = 137
_SIGKILL = -9


@dataclass(frozen=True, slots=True)
class Point:
    """The n-th call of a name in some thread, and how it looked when it was seen."""

    call: str
    number: int
    looked: str

    def __str__(self) -> str:
        return f"{self.call} {self.number}: {self.looked[:160]}"


def need_strace() -> None:
    """Skip where lives cannot be watched."""
    if shutil.which("strace") is None:
        pytest.skip("no strace: apt-get install strace")


def _strace(log: Path, calls: Sequence[str], inject: str | None = None) -> list[str]:
    traced = ",".join(f"?{call}" for call in calls)  # not every machine knows every call
    options = ["-f", "-y", "-qq", "-s", "0", "-e", "signal=none", "-o", str(log), "-e", f"trace={traced}"]
    return ["strace", *options, *(["-e", f"inject={inject}"] if inject else [])]


def calls_of(log: Path, root: Path) -> list[Point]:
    """The calls in strace's list that change something below the folder, in order; each name and number once."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    points: dict[tuple[str, int], Point] = {}
    inside = re.compile(re.escape(str(root)) + r"""[/>"]""")
    for line in log.read_text(errors="replace").splitlines():
        entry = _ENTRY.match(line)
        if entry is None:  # the second half of a call, or how a thread ended
            continue
        thread, call, looked = entry.groups()
        counted[thread][call] += 1
        changes = inside.search(looked) and (call not in CREATES or "O_CREAT" in looked)
        number = counted[thread][call]
        if changes and (call, number) not in points:
            points[call, number] = Point(call, number, looked.replace(str(root), ""))
    return list(points.values())


def watch(root: Path, log: Path, **how: Any) -> list[Point]:
    """An undisturbed life; returns the calls at which another one could end."""
    lived = live(root, strace=_strace(log, CHANGING), **how)
    assert lived.code == 0, f"{lived.code}: {lived.complained}"
    return calls_of(log, root)


def killing(point: Point, log: Path) -> list[str]:
    """The strace command that ends a program at this point."""
    return _strace(log, [point.call], f"{point.call}:signal=SIGKILL:when={point.number}")


def was_killed(code: int) -> bool:
    """Whether this exit code is of a process that was killed; strace ends as its child did."""
    return code in {_SIGKILL, _KILLED}


def live_until(root: Path, point: Point, log: Path, **how: Any) -> str | None:
    """A life that ends at the entry of a call; says at what it really ended, None when it survived."""
    lived = live(root, strace=killing(point, log), **how)
    assert lived.code == 0 or was_killed(lived.code), f"it ended with {lived.code}: {lived.complained}"
    return last_call(log, root) if was_killed(lived.code) else None


def last_call(log: Path, root: Path) -> str:
    """The call that was never made."""
    lines = log.read_text(errors="replace").splitlines()
    ended = [line for line in lines if line.endswith(("= ?", "<unfinished ...>", "= ? <unavailable>"))]
    return ended[-1].replace(str(root), "") if ended else "somewhere"


def thinned(points: Sequence[Point], pages: int) -> list[Point]:
    """Every point but the pages that SQLite writes: of those only so many, evenly over the whole life."""
    written = [point for point in points if point.call == PAGE]
    kept = set(evenly(written, pages))
    return [point for point in points if point.call != PAGE or point in kept]


def evenly(points: Sequence[Point], number: int) -> list[Point]:
    """Some points, evenly over the whole life."""
    number = min(number, len(points))
    return [points[(2 * n + 1) * len(points) // (2 * number)] for n in range(number)]
