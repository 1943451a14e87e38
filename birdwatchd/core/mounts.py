"""The kernel's table of mounted file systems (proc_pid_mountinfo(5)), as values."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

TABLE = "/proc/self/mountinfo"


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the table. `options` are those of the mount and those of the file system."""

    point: PurePosixPath
    kind: str
    options: frozenset[str]


def mounts_in(table: str) -> Iterator[Mount]:
    """Every mount, in the order in which they were made; lines that are not whole are left out."""
    for line in table.split("\n"):
        fields, _, rest = line.partition(" - ")
        before, after = fields.split(" "), rest.split(" ")
        if len(before) < 6 or len(after) < 3:
            continue
        options = frozenset([*before[5].split(","), *after[-1].split(",")])
        yield Mount(PurePosixPath(_unescaped(before[4])), after[0], options)


def mount_of(path: PurePosixPath, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that holds an absolute, resolved path: the innermost, and of several on one point the last. None if untold."""
    return max(
        (one for one in reversed(list(mounts)) if path.is_relative_to(one.point)),
        key=lambda one: len(one.point.parts),
        default=None,
    )


def _unescaped(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), point)  # \040 is a blank in a name
