"""A disk that fails at its n-th call, whose kernel then forgets that it did; and the book of what is really on it.

Every call that our own code makes below a bird folder, and every sentence to the log, is counted. One of them, or all from one on,
can be made to fail. Beside that, the book remembers what an honest disk would: bytes and names are on it once an fsync of them has
succeeded that no failed one went before. A receipt for a photo of which that is not true is a lie.
"""

import ctypes
import errno
import functools
import io
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from birdwatchd.core.journey import Move
from birdwatchd.edges.files import disk as hands
from birdwatchd.edges.store import Journeys, Store
from tests.crash.dying import Death

SQL_CODES = {errno.ENOSPC: sqlite3.SQLITE_FULL, errno.EROFS: sqlite3.SQLITE_READONLY, errno.EAGAIN: sqlite3.SQLITE_BUSY}
"""What SQLite makes of what the disk says; of everything else an input/output error."""

COUNTED = ("open", "fsync", "stat", "scandir", "mkdir", "rmdir", "unlink", "rename", "replace", "chmod")


class Kept(Enum):
    """How sure it is that something is on the disk."""

    NO = "not yet asked for"
    YES = "on the disk"
    NEVER = "an fsync failed: never, unless it is written anew"


class Book:
    """What is on the disk, by the calls that were seen."""

    def __init__(self) -> None:
        self._bytes: dict[int, Kept] = {}
        self._names: dict[str, Kept] = {}
        self._pins: list[int] = []

    def named(self, path: str) -> None:
        """Something got that name."""
        self._names[path] = Kept.NO

    def unnamed(self, path: str) -> None:
        """The name is gone."""
        self._names.pop(path, None)

    def synced(self, handle: int, *, failed: bool) -> None:
        """An fsync ended."""
        path, inode = _path_of(handle), os.fstat(handle).st_ino
        now = Kept.NEVER if failed else Kept.YES
        if Path(path).is_dir():
            for name, was in self._names.items():
                if name.rpartition("/")[0] == path and was is Kept.NO:
                    self._names[name] = now
        elif self._bytes.get(inode) is not Kept.NEVER:
            self._bytes[inode] = now
            if failed:
                self._pins.append(os.dup(handle))  # so that no other file gets this inode

    def check(self, path: Path) -> None:
        """Assert that a photo is on the disk: its bytes, its name, and the names of new folders on the way to it."""
        assert self._bytes.get(_STAT(path).st_ino) is Kept.YES, f"the bytes of {path} are not on the disk"
        assert self._names[str(path)] is Kept.YES, f"the name {path} is not on the disk"
        for folder in map(str, path.parents):
            assert self._names.get(folder, Kept.YES) is Kept.YES, f"the folder {folder} is not on the disk"

    def close(self) -> None:
        for handle in self._pins:
            os.close(handle)


@dataclass
class Fault:
    """What fails, and when.

    Attributes:
        at: number of the first call that fails, from 1; 0: none.
        lasting: whether all later ones fail, too.
        only: the kind of call that is counted, such as `fsync`; all if it is empty.
        deadly: the process ends there instead.
    """

    at: int = 0
    code: int = errno.EIO
    lasting: bool = False
    only: str = ""
    deadly: bool = False
    calls: int = 0
    failed: list[str] = field(default_factory=list)

    def step(self, name: str) -> int:
        """Count one call; the error that it ends with, or 0."""
        if not name.startswith(self.only):
            return 0
        self.calls += 1
        if self.at and (self.calls == self.at or (self.lasting and self.calls > self.at)):
            self.failed.append(name)
            if self.deadly:
                raise Death
            return self.code
        return 0


class Machine:
    """The calls of this process below one folder, counted and fallible while `working`.

    Args:
        receipts_are_checked: off for a folder that has a history which the book has not seen.
    """

    def __init__(self, root: Path, *, receipts_are_checked: bool = True) -> None:
        self._root = f"{root}/"
        self._receipts_are_checked = receipts_are_checked
        self.fault = Fault()
        self.book = Book()
        self.receipts = 0

    @contextmanager
    def working(self, fault: Fault | None = None) -> Iterator[Fault]:
        """Count, and let fail; everything is as before at the end."""
        self.fault = fault or Fault()
        with pytest.MonkeyPatch.context() as patch:
            for name in COUNTED:
                patch.setattr(os, name, functools.partial(self._call, name, getattr(os, name)))
            patch.setattr(io, "open", functools.partial(self._call, "io.open", io.open))
            patch.setattr(hands, "_libc", SimpleNamespace(renameat2=self._renameat2))
            patch.setattr(Journeys, "record_receipts", self._checked(Journeys.record_receipts))
            yield self.fault

    def watch(self, store: Store) -> None:
        """Let the sentences to this log be counted, too."""
        connection = store.connection
        connection._db = _Fallible(connection._db, self)  # type: ignore[assignment]

    def _call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        path = _path_of(args[0]) if name == "fsync" else args[0]
        path = path if isinstance(path, int) else os.fsdecode(path)
        if isinstance(path, int) or not path.startswith(self._root):
            return function(*args, **kwargs)
        code = self.fault.step(f"{name} {path}")
        if code:
            if name == "fsync":
                self.book.synced(args[0], failed=True)
            raise OSError(code, os.strerror(code), path)
        result = function(*args, **kwargs)
        self._note(name, path, args)
        return result

    def _note(self, name: str, path: str, args: Sequence[Any]) -> None:
        if name == "fsync":
            self.book.synced(args[0], failed=False)
        elif name == "mkdir":
            self.book.named(path)
        elif name in {"rmdir", "unlink"}:
            self.book.unnamed(path)
        elif name in {"rename", "replace"}:
            self.book.unnamed(path)
            self.book.named(os.fsdecode(args[1]))

    def _renameat2(self, at: int, source: bytes, to: int, target: bytes, flags: int) -> int:
        code = self.fault.step(f"renameat2 {os.fsdecode(source)} {os.fsdecode(target)}")
        if not code:
            done = _LIBC.renameat2(at, source, to, target, flags)
            if done == 0:
                self.book.unnamed(os.fsdecode(source))
                self.book.named(os.fsdecode(target))
            return int(done)
        ctypes.set_errno(code)
        return -1

    def _checked(
        self, record: Callable[[Journeys, Sequence[Move]], None]
    ) -> Callable[[Journeys, Sequence[Move]], None]:
        def record_receipts(journeys: Journeys, moves: Sequence[Move]) -> None:
            for move in moves:
                if self._receipts_are_checked:
                    self.book.check(Path(self._root) / move.target)
                self.receipts += 1
            record(journeys, moves)

        return record_receipts


_LIBC = hands._libc
_STAT = os.stat


def _path_of(handle: int) -> str:
    return str(Path(f"/proc/self/fd/{handle}").readlink())


class _Fallible:
    """A database connection whose sentences are calls of the machine."""

    def __init__(self, db: sqlite3.Connection, machine: Machine) -> None:
        self._db = db
        self._machine = machine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        self._step(sql[:60])
        return self._db.execute(sql, *rest)

    def commit(self) -> None:
        self._step("COMMIT")
        self._db.commit()

    def _step(self, what: str) -> None:
        if code := self._machine.fault.step(what):
            error = sqlite3.OperationalError(os.strerror(code))
            error.sqlite_errorcode = SQL_CODES.get(code, sqlite3.SQLITE_IOERR)
            raise error
