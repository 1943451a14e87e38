"""Copies of the log: made beside whoever writes it, proved before they count, read without touching them.

A copy is one whole file. The log itself may be three: what was written last is in its `-wal`, and is lost to who copies the log alone.
"""

import contextlib
import fcntl
import json
import os
import re
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from birdwatchd.core.errors import DamagedDatabase, DiskTrouble, Refused, StoreBusy
from birdwatchd.edges.store.connection import BUSY_TIMEOUT_S, Connection, refuse_half_restored, refuse_newer, translated

PIECE_BYTES = 4 << 20
"""So much of a copy is written at a time, then the disk is left to others for as long as that took."""

LONGEST_PAUSE_S = 2.0
STEPS_BETWEEN_LOOKS = 1000
"""Of SQLite's machine: some hundred rows."""

_NAME = re.compile(r"birdwatchd-(\d{8}T\d{6}Z)-(\d{1,9})\.db")
_STAMP = "%Y%m%dT%H%M%SZ"
_SHARED_FIRST, _SHARED_COUNT = 0x40000002, 510
"""The bytes of a database file that everybody who has it open holds a lock on (sqlite.org/fileformat.html, the lock-byte page)."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy in the backup folder.

    Attributes:
        number: each has one more than the newest before it; that, and no clock, tells which is older.
        made_at: by the wall clock of that moment.
    """

    path: Path
    number: int
    made_at: datetime
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What a copy holds that was found sound."""

    version: int
    photos: int


def backup_name(number: int, at: datetime) -> str:
    """How a backup is called."""
    return f"birdwatchd-{at.strftime(_STAMP)}-{number}.db"


def backups_in(folder: Path) -> list[Backup]:
    """The backups in a folder, oldest first. What is not called like one is none of our business."""
    found: list[Backup] = []
    for path in folder.glob("birdwatchd-*.db"):
        name = _NAME.fullmatch(path.name)
        try:
            if name and path.is_file():
                made_at = datetime.strptime(name[1], _STAMP).replace(tzinfo=UTC)
                found.append(Backup(path, int(name[2]), made_at, path.stat().st_size))
        except (OSError, ValueError):  # gone meanwhile; or no date
            continue
    return sorted(found, key=lambda one: (one.number, one.made_at))


def serving_in(path: Path) -> dict[str, Any] | None:
    """The model that names birds once this backup is restored, its `path` and `recipe`; None if there is none.

    Raises:
        DamagedDatabase: it is not sound.
        StoreBusy, DiskTrouble: it cannot be read now.
    """
    with translated(path), closing(_reading(path)) as db:
        if db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'models'").fetchone() is None:
            return None
        found = db.execute("SELECT path, recipe FROM models WHERE promoted_at IS NOT NULL AND retired_at IS NULL")
        row = found.fetchone()
        return None if row is None else {"path": row[0], "recipe": row[1]}


@contextmanager
def sole_maker(folder: Path) -> Iterator[None]:
    """Be the only one who makes, clears or removes backups in a folder; ends with the process.

    Raises:
        StoreBusy: somebody else does.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise StoreBusy("another backup is just being made", hint="wait until it is done") from error
    finally:
        os.close(handle)


def copy_log(source: Path, target: Path, *, gently: bool = False) -> None:
    """Write what a log holds at this moment to a new file, compact and durable; whoever writes to the log goes on meanwhile.

    Args:
        gently: in pieces, with the disk left to others in between.

    Raises:
        ConfigError: the log is just being restored.
        DamagedDatabase: the log cannot be read.
        DiskFull, DiskTrouble: the copy cannot be written.
    """
    refuse_half_restored(source)
    target.touch(mode=0o666)  # by itself SQLite would make it unwritable for the group
    handle = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    pace = _Pace(handle)
    try:
        with translated(target), closing(_reading(source)) as db:
            if gently:
                db.set_progress_handler(pace, STEPS_BETWEEN_LOOKS)
            db.execute("VACUUM INTO CAST(? AS TEXT)", (os.fsencode(target),))  # a name need not be UTF-8
        os.fsync(handle)
        with contextlib.suppress(OSError):  # only a wish: what is read back to prove it shall come from the disk,
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)  # and what is needed soon shall stay in memory
    except DamagedDatabase as error:
        raise DamagedDatabase(f"{source} is damaged: {error.message}") from error
    except sqlite3.OperationalError as error:
        raise pace.trouble or error from error
    finally:
        os.close(handle)


class _Pace:
    """Called by SQLite every few hundred rows: has them written out in small pieces, and waits as long as that took.

    Otherwise the kernel collects hundreds of megabytes, and the next photo's fsync has to wait until all of them are on the disk.
    """

    def __init__(self, handle: int) -> None:
        self.trouble: OSError | None = None
        self._handle = handle
        self._written = 0
        self._begun = time.monotonic()

    def __call__(self) -> int:
        size = os.fstat(self._handle).st_size
        if size - self._written >= PIECE_BYTES:
            try:
                os.fdatasync(self._handle)
            except OSError as error:
                self.trouble = error
                return 1
            self._written = size
            time.sleep(min(time.monotonic() - self._begun, LONGEST_PAUSE_S))
            self._begun = time.monotonic()
        return 0  # anything else ends the copy


def prove(path: Path, *, thoroughly: bool) -> Proof:
    """Read a whole copy, and find nothing wrong with it.

    Args:
        thoroughly: compare indexes with tables and look up every reference, too.

    Raises:
        Refused: it is no log of ours.
        NewerDatabase: it is of a newer birdwatchd.
        DamagedDatabase: it is not sound.
    """
    with translated(path), closing(_reading(path)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if version < 1 or not {"photos", "predictions", "labels", "journeys", "requests"} <= tables:
            raise Refused(f"{path} is no log of birdwatchd", hint="`birdwatchd restore` lists the backups")
        refuse_newer(db, path)
        if thoroughly:
            problems = Connection(path, db).problems()
        else:
            problems = [row[0] for row in db.execute("PRAGMA quick_check(1)") if row[0] != "ok"]
        if problems:
            raise DamagedDatabase(
                f"{path} is damaged: {problems[0]}", hint="take an older one; `birdwatchd restore` lists them"
            )
        return Proof(version, db.execute("SELECT count(*) FROM photos").fetchone()[0])


def photos_in(path: Path) -> int | None:
    """How many photos a copy knows; None if it cannot be read."""
    try:
        with closing(_reading(path)) as db:
            return int(db.execute("SELECT count(*) FROM photos").fetchone()[0])
    except sqlite3.DatabaseError:  # damaged: the list says so, and other backups are told all the same
        return None


def numbers_given(path: Path) -> dict[str, int] | None:
    """The last number that each table of a log has given to a row; None if it cannot be read."""
    try:
        with closing(_reading(path)) as db:
            return {name: int(number) for name, number in db.execute("SELECT name, seq FROM sqlite_sequence")}
    except (sqlite3.DatabaseError, ValueError, TypeError):  # too damaged to tell
        return None


def paths_in(path: Path) -> set[str]:
    """Where photos lie according to a sound log."""
    with translated(path), closing(_reading(path)) as db:
        return {row[0] for row in db.execute("SELECT path FROM photos")}


def unspoken_in(path: Path) -> set[str] | None:
    """Where photos rest of which people have never said anything; None if the log cannot be read."""
    try:
        with closing(_reading(path)) as db:
            unspoken = (
                "SELECT path FROM photos WHERE state IN ('filed', 'review', 'empty')"
                " AND NOT EXISTS (SELECT 1 FROM labels WHERE labels.photo_id = photos.id)"
            )
            return {row[0] for row in db.execute(unspoken)}
    except sqlite3.DatabaseError:  # damaged: that is why a backup is put back
        return None


def give_rights(path: Path, model: os.stat_result) -> None:
    """Open a file or folder to everybody for whom the model is, whoever made it: root, or a member of the group with a narrow umask."""
    if os.geteuid() == 0:
        os.chown(path, model.st_uid, model.st_gid)
    mode = stat.S_IMODE(path.stat().st_mode)
    if lacking := stat.S_IMODE(model.st_mode) & ~mode:
        path.chmod(mode | lacking)


def make_ready(path: Path, *, given: Mapping[str, int], at: str) -> None:
    """Prepare a copy to become the log: what was only true at its time is taken out.

    No number is given a second time; wishes of that time, which nobody waits for, are closed; the daemon of that time says nothing.

    Args:
        given: the last number that each table is known to have given.
    """
    with translated(path), closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        known = dict(db.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")}
        for name in tables & given.keys():
            if name not in known:
                db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, given[name]))
            elif given[name] > known[name]:
                db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (given[name], name))
        said = json.dumps({"error": "the log was restored from a backup of that time", "hint": "ask again"})
        db.execute(
            "UPDATE requests SET outcome = 'failed', finished_at = ?, result = ? WHERE finished_at IS NULL", (at, said)
        )
        db.execute("DELETE FROM status")
        db.execute("COMMIT")


@contextmanager
def alone_with(log: Path) -> Iterator[None]:
    """Make sure that nobody has the log open, and that nobody opens it until the end.

    Raises:
        StoreBusy: some program has it open.
    """
    try:
        handle = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise DiskTrouble(f"cannot use {log}: {error.strerror}", hint="are its rights in order?") from error
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_COUNT, _SHARED_FIRST)
        except OSError as error:
            raise StoreBusy(
                f"another program has {log} open",
                hint="close it first: the page (as a service: `systemctl stop birdwatchd-web`), a backup that is being made,"
                " sqlite3, Datasette, another birdwatchd command",
            ) from error
        yield
    finally:
        os.close(handle)


def _reading(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
