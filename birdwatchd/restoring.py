"""How a backup becomes the log again, and how that survives being cut short anywhere.

The log is up to three files: `birdwatchd.db`, and beside it `-wal` with its latest rows and `-shm`. SQLite finds the last two by
name. A backup that met the `-wal` of the log before it would be mixed with its pages, without a word. So:

 1. The backup is proved, copied to `.birdwatchd/restoring.db`, made ready, synced. What lies on the shelves and is named by nobody is
    written down. The log is as it was; dying here leaves litter.
 2. The plan is written: `.birdwatchd/restoring.json`, durably. From here on nobody opens the log (`edges.store.connection`
    refuses), and whoever next holds the bird folder's lock goes on with step 3 before anything else.
 3. What lies at the log's three names goes aside, into `.birdwatchd/backups/replaced-TIME/`, and that is synced.
 4. The copy is renamed to `birdwatchd.db`, and that is synced. While the copy still has its old name, whatever lies at the log's is the
    old log; as soon as it has not, it is the new one. So each step can be repeated, and nothing is ever thrown away.
 5. The plan is removed.

Programs of others cannot be told to wait. But SQLite keeps a lock on a log that somebody has open: step 3 begins only when nobody has,
and holds that lock itself.
"""

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from birdwatchd.core import shelving
from birdwatchd.core.errors import ConfigError
from birdwatchd.core.intake import is_ignored
from birdwatchd.edges.files import Files, disk
from birdwatchd.edges.store import Store
from birdwatchd.edges.store.copies import (
    alone_with,
    backups_in,
    copy_log,
    give_rights,
    make_ready,
    numbers_given,
    paths_in,
    prove,
    unspoken_in,
)

log = logging.getLogger(__name__)

_PARTS = ("", "-wal", "-shm", "-journal")

UNTOLD_PHOTOS = 10_000
"""When the log before cannot be read, so many numbers are left free for the photos that only it knew."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What is in place now, and where the log before it is kept; None if there was none."""

    photos: int
    replaced: str | None


def restore(files: Files, source: Path, *, at: str) -> Restored:
    """Put a backup in the log's place; only for the holder of the bird folder's lock.

    Args:
        source: a backup, or any copy of the log.
        at: now, ISO-8601 UTC.

    Raises:
        Refused: it is no copy of a log.
        NewerDatabase, DamagedDatabase: it cannot be used. The log is as it was.
        StoreBusy: some program has the log open. The log is as it was.
        DiskFull, DiskTrouble: the log is as it was, or `finish_restore` goes on.
    """
    finish_restore(files)
    present, copy = files.path(shelving.DATABASE), files.path(shelving.RESTORE_COPY)
    proof = prove(source, thoroughly=True)
    with alone_with(present):
        pass  # better to know before a long copy
    try:
        with disk.translated("cannot copy the backup"):
            copy_log(source, copy)
            make_ready(copy, given=_numbers_given(files), at=at)
            give_rights(copy, (present if present.exists() else files.path(shelving.MARKER)).stat())
            prove(copy, thoroughly=False)
            disk.fsync(copy)
            disk.fsync(copy.parent)
        _note_unspoken(files, copy)
        with alone_with(present):
            plan = {"backup": shelving.printable(source.name), "replaced": _free_folder(files, at)}
            with disk.translated("cannot put the backup in its place"):
                disk.write_whole(files.path(shelving.RESTORE_PLAN), json.dumps(plan).encode() + b"\n")
                _carry_out(files, plan)
    except (Exception, KeyboardInterrupt):
        if not os.path.lexists(files.path(shelving.RESTORE_PLAN)):
            _clear_litter(files)
        raise
    aside = str(plan["replaced"])
    return Restored(proof.photos, aside if files.path(aside).is_dir() else None)


def _note_unspoken(files: Files, copy: Path) -> None:
    """Write down which photos lie elsewhere than the backup knows because the machine put them there: else that would be taken for a
    person's word.

    Only names with the digits of a content, which birdwatchd gives, are meant. Where the log that is replaced cannot be read, nobody
    knows who has moved what. The list is asked only about photos that are elsewhere than the log knows, so it does no harm when the
    restore comes to nothing.
    """
    known, by_machine = paths_in(copy), unspoken_in(files.path(shelving.DATABASE))
    lying = (one[0] for one in files.shelf_files(is_ignored) if one is not None)
    elsewhere = (path for path in lying if path not in known and shelving.digits_in(path) is not None)
    unspoken = sorted(path for path in elsewhere if by_machine is None or path in by_machine)
    disk.write_whole(files.path(shelving.UNSPOKEN), json.dumps(unspoken).encode() + b"\n")


def finish_restore(files: Files) -> bool:
    """End a restore that was cut short, if there is one; only for the holder of the bird folder's lock, before the log is opened.

    Raises:
        ConfigError: it cannot be ended: its copy is gone.
        StoreBusy: some program has the old log open.
        DiskTrouble: not now.
    """
    plan_file = files.path(shelving.RESTORE_PLAN)
    if not os.path.lexists(plan_file):
        _clear_litter(files)
        return False
    with disk.translated("cannot finish a restore that was cut short"), alone_with(files.path(shelving.DATABASE)):
        _carry_out(files, _read_plan(plan_file))
    log.warning("a restore of the log that was cut short is finished")
    return True


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        return {"replaced": str(json.loads(path.read_bytes())["replaced"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"a restore was cut short, and {path} does not say how to go on", hint="remove that file and restore again"
        ) from error


def _carry_out(files: Files, plan: dict[str, Any]) -> None:
    present, copy = files.path(shelving.DATABASE), files.path(shelving.RESTORE_COPY)
    if os.path.lexists(copy):
        _set_aside(files, plan)
        disk.fsync(files.root)
        disk.rename_noreplace(copy, present)
        disk.fsync(files.root)
        disk.fsync(copy.parent)
    elif not os.path.lexists(present):
        raise ConfigError(
            f"a restore of {present} was cut short, and now its copy of the backup is gone, too",
            hint=f"remove {files.path(shelving.RESTORE_PLAN)} and restore again, see `birdwatchd restore`",
        )
    files.path(shelving.RESTORE_PLAN).unlink()
    disk.fsync(copy.parent)


def _set_aside(files: Files, plan: dict[str, Any]) -> None:
    """Everything that SQLite would take for the log or a part of it, the log itself first."""
    present = files.path(shelving.DATABASE)
    there = [path for part in _PARTS if os.path.lexists(path := present.with_name(present.name + part))]
    if not there:
        return
    folder = files.path(plan["replaced"])
    for missing in (folder.parent, folder):
        if not missing.is_dir():
            missing.mkdir()
            disk.fsync(missing.parent.resolve())
    kept = len(list(folder.glob(f"*{present.name}")))
    # Something may have been made in the log's place after an earlier try; it is kept, too, each with the parts that are its own.
    number = kept + 1 if present in there else max(kept, 1)
    for path in there:
        disk.rename_noreplace(path, folder / (path.name if number == 1 else f"{number}-{path.name}"))
    disk.fsync(folder)


def _free_folder(files: Files, at: str) -> str:
    """Where the log goes that is replaced: with the backups, unless they are on another disk, to which nothing can be renamed."""
    backups = files.path(shelving.BACKUPS)
    elsewhere = backups.is_dir() and backups.stat().st_dev != files.root.stat().st_dev
    home = shelving.PRIVATE if elsewhere else shelving.BACKUPS
    stamp = datetime.fromisoformat(at).strftime("%Y%m%dT%H%M%SZ")
    number, folder = 1, f"{home}/replaced-{stamp}"
    while os.path.lexists(files.path(folder)):
        number += 1
        folder = f"{home}/replaced-{stamp}-{number}"
    return folder


def _clear_litter(files: Files) -> None:
    """What a restore leaves that died before its plan was written."""
    private = files.path(shelving.PRIVATE)
    with disk.translated("cannot remove what a restore left"):
        for litter in (*private.glob("restoring.db*"), *private.glob(".restoring.json.*")):
            litter.unlink(missing_ok=True)


def _numbers_given(files: Files) -> dict[str, int]:
    """The last number of each kind that was ever given here, by all that can still be read, so that none is given twice."""
    given: dict[str, int] = {}
    known = numbers_given(files.path(shelving.DATABASE))
    for one in (known, *(numbers_given(backup.path) for backup in backups_in(files.path(shelving.BACKUPS)))):
        for name, number in (one or {}).items():
            given[name] = max(number, given.get(name, 0))
    in_work = [
        int(name) for path in files.work_files() if (name := path.rpartition("/")[2]).isascii() and name.isdigit()
    ]
    photos = max([*in_work, given.get("photos", 0)])
    return given | {"photos": photos if known is not None else photos + UNTOLD_PHOTOS}


def unknown_to(store: Store, kept: Iterable[str]) -> list[str]:
    """Files in the folders that are in no row of the log, neither by their place nor by the digits of their content.

    Args:
        kept: every file in the folders where photos rest, relative to the bird folder.
    """
    there = set(kept)
    rows = store.questions.kept_paths()
    moved = {row["sha256"][: shelving.HASH_DIGITS] for row in rows if row["sha256"] and row["path"] not in there}
    unknown = there - {row["path"] for row in rows} - store.journeys.targets()
    return sorted(path for path in unknown if shelving.digits_in(path) not in moved)
