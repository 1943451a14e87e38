"""One connection to the log: opened, brought up to date, and written to by whole transactions."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from birdwatchd.core.errors import (
    BirdwatchdError,
    ConfigError,
    DamagedDatabase,
    DiskFull,
    DiskTrouble,
    NewerDatabase,
    StoreBusy,
)

SCHEMA_VERSION = 1
"""Kept in `PRAGMA user_version`; one more with every migration, so that an older program refuses a newer log."""

BUSY_TIMEOUT_S = 10.0
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


def _translation(error: sqlite3.DatabaseError, path: Path) -> BirdwatchdError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the family
    if code in _LOCKED:
        return StoreBusy(f"{path} is locked by another program")
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(f"cannot write {path}: the disk is full")
    if code in _DAMAGE:
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

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db

    @classmethod
    def open(cls, path: Path, *, migrate: bool = True) -> "Connection":
        """Open for writing.

        Args:
            migrate: make the tables, or bring them up to date, first; only for the holder of the bird folder's lock.

        Raises:
            ConfigError: the tables are older, and `migrate` is off.
            NewerDatabase: a newer birdwatchd wrote it; it is left as it is.
            DamagedDatabase: it cannot be read.
        """
        with translated(path):
            _make_file(path)
            db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            try:
                db.execute("PRAGMA foreign_keys = ON")
                # The order of file and row survives a power cut only with FULL: with NORMAL, acknowledged rows were lost (measured).
                db.execute("PRAGMA synchronous = FULL")
                _refuse_newer(db, path)
                if migrate:
                    _migrate(db)
                else:
                    _refuse_older(db, path)
            except BaseException:
                db.close()
                raise
        return cls(path, db)

    @classmethod
    def read_only(cls, path: Path) -> "Connection":
        """Open for reading, beside whoever writes.

        Raises:
            ConfigError: there is no log yet.
        """
        if not path.is_file():
            raise ConfigError(
                f"there is no log at {path}", hint="run `birdwatchd init`, or name the bird folder with --root"
            )
        with translated(path):
            uri = f"{path.absolute().as_uri()}?mode=ro"
            db = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            try:
                _refuse_newer(db, path)
                _refuse_older(db, path)
            except BaseException:
                db.close()
                raise
        return cls(path, db)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

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
            self._db.execute("BEGIN IMMEDIATE")
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

    def checkpoint(self) -> None:
        """Fold the write-ahead log back into the database and cut it short, as far as readers allow."""
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

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


def _make_file(path: Path) -> None:
    """SQLite makes its files 0644 whatever the umask says; members of the bird folder's group must be able to leave requests."""
    try:
        path.touch(mode=0o666, exist_ok=True)
    except OSError as error:
        raise DiskTrouble(
            f"cannot use {path}: {error.strerror}", hint="check that its folder is writable for this user"
        ) from error


def _refuse_newer(db: sqlite3.Connection, path: Path) -> None:
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
