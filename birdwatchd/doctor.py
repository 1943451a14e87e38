"""What is well and what is not, each with what to do. Reads only, beside a running daemon or without one."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from birdwatchd.core import shelving
from birdwatchd.core.errors import BirdwatchdError, DamagedDatabase
from birdwatchd.core.photo import State
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Row, Store
from birdwatchd.edges.systemd import unit_state
from birdwatchd.edges.vision import Spotter
from birdwatchd.mover import LOST

LOW_DISK_BYTES = 1 << 30
FEW = 10
"""So many photos a person may well have moved or deleted; if most of many are gone, something is wrong."""

STALE_STATUS_S = 3
"""A running daemon writes its status every sweep; after this many missed sweeps it counts as hanging."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `advice` says what to do; None when all is well."""

    subject: str
    what: str
    advice: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing need be done."""
        return self.advice is None


def examine(
    files: Files, *, load_spotter: Callable[[], Spotter], sweep_s: float, age_s: Callable[[str], float]
) -> Iterator[Finding]:
    """Look at folder, log, eye, daemon, disk and books, one finding each.

    Args:
        sweep_s: the interval in which a healthy daemon writes its status.
        age_s: seconds since a moment given as ISO-8601 UTC.
    """
    try:
        files.check(mend=False)
    except BirdwatchdError as error:
        yield _bad("bird folder", error)
        return
    yield Finding("bird folder", f"{files.root} is one, on one file system, writable")
    yield _eye(load_spotter)
    try:
        with Store.read_only(files.path(shelving.DATABASE)) as store:
            yield from _log(store)
            yield from _daemon(files, store.requests.status(), sweep_s, age_s)
            yield from _books(files, store)
    except BirdwatchdError as error:
        yield _bad("log", error)
    yield _disk(files)
    yield _unit()


def _bad(subject: str, error: BirdwatchdError) -> Finding:
    return Finding(subject, error.message, error.hint)


def _eye(load_spotter: Callable[[], Spotter]) -> Finding:
    try:
        spotter = load_spotter()
    except BirdwatchdError as error:
        return _bad("spotter", error)
    return Finding("spotter", f"{spotter.id} gives the answers it was built with ({spotter.provider})")


def _log(store: Store) -> Iterator[Finding]:
    problems = store.connection.problems()
    if problems:
        yield Finding(
            "log",
            "; ".join(problems),
            DamagedDatabase.default_hint,
        )
    else:
        yield Finding("log", "SQLite finds nothing wrong with it")


def _daemon(files: Files, status: Row | None, sweep_s: float, age_s: Callable[[str], float]) -> Iterator[Finding]:
    if not files.is_locked():
        yield Finding("daemon", "none is running; start one with `birdwatchd run`")
    elif status is None:
        yield Finding("daemon", "one is starting")
    elif age_s(status["updated_at"]) > STALE_STATUS_S * sweep_s:
        yield Finding(
            "daemon", f"it last said something at {status['updated_at']}", "restart it: `systemctl restart birdwatchd`"
        )
    elif problems := json.loads(status["problems"]):
        for problem in problems:
            yield Finding("daemon", problem, "set right what it says; birdwatchd tries again by itself")
    else:
        yield Finding("daemon", f"it is working; new photos are noticed by {status['watcher']}")
    for one in json.loads(status["waiting_files"]) if status else []:
        yield Finding("inbox", f"{one['file']} waits: {one['why']}")


def _books(files: Files, store: Store) -> Iterator[Finding]:
    """Do files and rows agree? Nothing is inferred from a folder that is not there; nothing is ever changed."""
    rows = store.questions.kept_paths()
    known = {row["path"] for row in rows}
    gone = [row for row in rows if not files.exists(row["path"])]
    strangers = sorted(path for path in kept_files(files) if path not in known)
    if len(gone) > len(rows) / 2 and len(gone) > FEW:
        yield Finding(
            "photos",
            f"{len(gone)} of {len(rows)} are not where they were put, such as {shelving.printable(gone[0]['path'])}",
            "if you did not move or delete them yourself: is the disk mounted?",
        )
    elif gone:
        first = shelving.printable(gone[0]["path"])
        yield Finding(
            "photos",
            f"{len(gone)} of {len(rows)} were moved or deleted by somebody, such as {first}; that is all right",
        )
    if strangers:
        first = shelving.printable(strangers[0])
        yield Finding(
            "photos", f"{len(strangers)} files in the folders are not in the log, such as {first}; they are left alone"
        )
    if not gone and not strangers:
        yield Finding("photos", f"all {len(rows)} are where the log says")
    for photo in store.questions.recent(limit=5, state=State.MISSING, reason=LOST):
        yield Finding(
            "photos",
            f"photo {photo['id']} ({photo['original_name']}) was lost on its way to its place",
            "copy it from the camera again, and report it: this must not happen",
        )


def kept_files(files: Files) -> Iterator[str]:
    """Every file in the folders where photos rest, but for notes and hidden ones."""
    for shelf in (shelving.LIBRARY, shelving.REVIEW, shelving.EMPTY, shelving.QUARANTINE, shelving.DUPLICATES):
        for folder, folders, names in os.walk(files.path(shelf)):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = f"{os.path.relpath(folder, files.root)}/{name}"
                is_note = (
                    shelf == shelving.QUARANTINE and name.endswith(".json") and name.removesuffix(".json") in names
                )
                if not name.startswith(".") and not is_note:
                    yield path


def _disk(files: Files) -> Finding:
    free = files.free_bytes()
    words = f"{free / 1e9:.1f} GB free"
    if free < LOW_DISK_BYTES:
        return Finding("disk", words, "make room; when the disk is full, photos wait in the inbox")
    return Finding("disk", words)


def _unit() -> Finding:
    state = unit_state()
    if state is None:
        return Finding("service", "not installed; see the README, if birdwatchd shall start with the machine")
    if state == "failed":
        return Finding("service", "it failed", "`sudo journalctl -u birdwatchd` says why")
    return Finding("service", f"installed, {state}")
