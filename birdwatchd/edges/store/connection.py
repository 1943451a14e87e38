"""One connection to the log: opened, brought up to date, and written to by whole transactions.

Whoever opens the log makes sure that it is the log: not half of a restore, and not an empty new one in place of one that is gone.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from birdwatchd.core import shelving
from birdwatchd.core.errors import (
    BirdwatchdError,
    ConfigError,
    DamagedDatabase,
    DiskFull,
    DiskTrouble,
    NewerDatabase,
    StoreBusy,
)

SCHEMA_VERSION = 11
"""Kept in `PRAGMA user_version`; one more with every migration, so that an older program refuses a newer log."""

BUSY_TIMEOUT_S = 10.0
BUSY_SLICE_S = 2.0
"""While a lock is waited for, whoever waits for us hears this often that we do."""

CHECKPOINT_TIMEOUT_S = 0.2
"""How long a checkpoint waits for readers: it can be done again, and photos wait meanwhile."""

WAL = "-wal"
"""What SQLite appends to the log's name for its write-ahead log: the latest rows, not yet in the log itself."""

Row = dict[str, Any]
Parameters = Sequence[Any] | dict[str, Any]

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite says into our errors."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _translation(error, path) from error
    except UnicodeDecodeError as error:  # SQLite's own words quote a damaged name
        raise DamagedDatabase(f"{path} is damaged: it holds text that is none") from error


def _translation(error: sqlite3.DatabaseError, path: Path) -> BirdwatchdError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the family
    if code in _LOCKED:
        return StoreBusy(f"{path} is locked by another program")
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(f"cannot write {path}: the disk is full")
    if code in _DAMAGE or (code == 0 and "decode" in str(error)):
        return DamagedDatabase(f"{path} is damaged: {error}")
    if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return DiskTrouble(
            f"cannot use {path}: {error}", hint="check that its folder is writable for this user, and its disk has room"
        )
    raise error  # a mistake of ours in SQL is no trouble of the disk


class Connection:
    """The log, open in one thread. Closing it is the owner's part.

    Every write happens inside `writing`; every read outside sees only whole transactions.
    """

    def __init__(self, path: Path, db: sqlite3.Connection, opened: tuple[int, int] | None = None) -> None:
        self.path = path
        self._db = db
        self._opened = opened
        self.alive: Callable[[], None] = lambda: None
        """Called now and then while another program holds the write lock."""

    @classmethod
    def open(cls, path: Path, *, migrate: bool = True) -> "Connection":
        """Open for writing.

        Args:
            migrate: make the tables, or bring them up to date, first; only for the holder of the bird folder's lock.

        Raises:
            ConfigError: there is none, or the tables are older, and `migrate` is off; or a restore was cut short.
            NewerDatabase: a newer birdwatchd wrote it; it is left as it is.
            DamagedDatabase: it cannot be read.
        """
        refuse_half_restored(path)
        with translated(path):
            if migrate:
                _refuse_to_begin_anew(path)
                _make_file(path)
            opened = _identity(path)
            db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            try:
                db.execute("PRAGMA foreign_keys = ON")
                # The order of file and row survives a power cut only with FULL: with NORMAL, acknowledged rows were lost (measured).
                db.execute("PRAGMA synchronous = FULL")
                refuse_newer(db, path)
                _refuse_replaced(path, opened)
                if migrate:
                    _migrate(db)
                else:
                    _refuse_older(db, path)
                _wait_for_locks(db, min(BUSY_SLICE_S, BUSY_TIMEOUT_S))
            except BaseException:
                db.close()
                raise
        return cls(path, db, opened)

    @classmethod
    def read_only(cls, path: Path) -> "Connection":
        """Open for reading, beside whoever writes.

        Raises:
            ConfigError: there is no log yet.
        """
        refuse_half_restored(path)
        opened = _identity(path)
        with translated(path):
            uri = f"{path.absolute().as_uri()}?mode=ro"
            db = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            try:
                refuse_newer(db, path)
                _refuse_replaced(path, opened)
                _refuse_older(db, path)
            except BaseException:
                db.close()
                raise
        return cls(path, db, opened)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def is_current(self) -> bool:
        """Whether the log under this name is still the one that was opened, and not a restored one."""
        try:
            return _identity(self.path) == self._opened
        except BirdwatchdError:
            return False

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction that holds the write lock from its first line, so that it never fails half-way for a second writer.

        A transaction that begins deferred, reads, and then writes fails at once when another writer came in between, whatever the
        busy timeout. Never move a file, wait, or run a network inside.
        """
        with translated(self.path):
            self._begin()
            try:
                yield
            except BaseException:
                self._db.rollback()
                raise
            try:
                self._db.commit()
            except BaseException:
                self._db.rollback()
                raise

    def _begin(self) -> None:
        for _ in range(round(BUSY_TIMEOUT_S / BUSY_SLICE_S) - 1):
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _LOCKED:
                    raise
                self.alive()
            else:
                return
        self._db.execute("BEGIN IMMEDIATE")

    def execute(self, sql: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        """One statement."""
        with translated(self.path):
            return self._db.execute(sql, parameters)

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """All rows of a query, as dictionaries by column."""
        with translated(self.path):
            cursor = self._db.execute(sql, parameters)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def value(self, sql: str, parameters: Parameters = ()) -> Any:
        """First column of the first row; None when there is none."""
        with translated(self.path):
            row = self._db.execute(sql, parameters).fetchone()
        return None if row is None else row[0]

    def distinct(self, table: str, column: str) -> list[str]:
        """Every value of a column, in order. By an index that begins with it: what lies between two values is skipped, not read."""
        rows = self.rows(
            f"WITH RECURSIVE names (value) AS (SELECT min({column}) FROM {table} UNION ALL"  # noqa: S608  # names from here
            f" SELECT (SELECT min({column}) FROM {table} WHERE {column} > names.value) FROM names WHERE names.value IS NOT NULL)"
            " SELECT value FROM names WHERE value IS NOT NULL"
        )
        return [row["value"] for row in rows]

    def checkpoint(self) -> bool:
        """Fold the write-ahead log back into the database and cut it short; False when a reader does not allow that now."""
        _wait_for_locks(self._db, CHECKPOINT_TIMEOUT_S)
        try:
            return not self.value("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            _wait_for_locks(self._db, min(BUSY_SLICE_S, BUSY_TIMEOUT_S))

    def wal_bytes(self) -> int:
        """Size of the write-ahead log. It grows while somebody keeps reading, and with it the time that each read takes."""
        return _size(self.path.with_name(self.path.name + WAL))

    def problems(self) -> list[str]:
        """What SQLite's own checks find wrong; empty when all is well. Reads the whole file."""
        try:
            found = [row["integrity_check"] for row in self.rows("PRAGMA integrity_check(5)")]
            if found != ["ok"]:
                return found
            return [
                f"row {row['rowid']} of {row['table']} points nowhere" for row in self.rows("PRAGMA foreign_key_check")
            ]
        except DamagedDatabase as error:  # so damaged that it cannot even be checked
            return [error.message]


def _wait_for_locks(db: sqlite3.Connection, at_most_s: float) -> None:
    db.execute(f"PRAGMA busy_timeout = {int(at_most_s * 1000)}")


def refuse_half_restored(path: Path) -> None:
    """Raise ConfigError while a restore of this log is going on, or was cut short."""
    if os.path.lexists(path.parent / shelving.RESTORE_PLAN):
        raise ConfigError(
            f"{path} is just being restored, or that was cut short",
            hint="`birdwatchd restore` finishes it, and so does the next start of the daemon",
        )


def _refuse_to_begin_anew(path: Path) -> None:
    """A log that is gone must not become an empty one: SQLite would throw its last rows away, and photos would be forgotten."""
    if _size(path) > 0 or path.is_dir():
        return
    wal = path.with_name(path.name + WAL)
    if _size(wal) > 0:
        raise DamagedDatabase(
            f"{path} is gone or empty, but {wal.name} still holds its latest rows",
            hint=f"put {path.name} back beside it, or see `birdwatchd restore`",
        )
    if any((path.parent / shelving.BACKUPS).glob("birdwatchd-*.db")):
        raise ConfigError(
            f"{path} is gone or empty, but there are backups of it",
            hint=f"see `birdwatchd restore`; to begin a new log, move {shelving.BACKUPS} elsewhere first",
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # none there, or none that can be seen: who opens it will say why
        return 0


def _identity(path: Path) -> tuple[int, int]:
    """Which file that is, under whatever name."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no log at {path}", hint="run `birdwatchd init`, or name the bird folder with --root"
        ) from error
    except OSError as error:
        raise DiskTrouble(
            f"cannot use {path}: {error.strerror}", hint="check that its folder is readable for this user"
        ) from error
    return found.st_dev, found.st_ino


def _refuse_replaced(path: Path, opened: tuple[int, int]) -> None:
    """A restore may put another log in place while we wait for this one; its `-wal` is found by name and would not fit ours."""
    if _identity(path) != opened:
        raise StoreBusy(f"{path} has just been restored", hint="try again")


def _make_file(path: Path) -> None:
    """SQLite makes its files 0644 whatever the umask says; members of the bird folder's group must be able to leave requests."""
    try:
        path.touch(mode=0o666, exist_ok=True)
    except OSError as error:
        raise DiskTrouble(
            f"cannot use {path}: {error.strerror}", hint="check that its folder is writable for this user"
        ) from error


def refuse_newer(db: sqlite3.Connection, path: Path) -> None:
    """Raise NewerDatabase if this program is too old for that log."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise NewerDatabase(
            f"{path} was written by a newer birdwatchd (its version is {version}, known here: {SCHEMA_VERSION})"
        )


def _refuse_older(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("PRAGMA user_version").fetchone()[0] < SCHEMA_VERSION:
        raise ConfigError(f"the log at {path} is not set up yet, or older", hint="run `birdwatchd init`")


def _migrate(db: sqlite3.Connection) -> None:
    """Bring the tables up to date in one transaction: the old log or the new one, never something between."""
    if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        db.execute("PRAGMA journal_mode = WAL").fetchall()
    if db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
        return
    from birdwatchd.edges.store.schema import migrate  # sqlite_utils takes a fifth of a second that only this needs

    db.execute("BEGIN IMMEDIATE")
    try:
        migrate(db)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.commit()
    except BaseException:
        db.rollback()
        raise
