"""What keeps the log for years: a backup each day, and nothing in it or in quarantine that grows without end.

**Backups.** SQLite copies the log with `VACUUM INTO` while photos are written on. For a log of a gigabyte that takes a minute on a
small machine, so the daemon does not do it in its own thread: it sends off the command that a person would type, `birdwatchd backup`,
as a process of its own, and asks now and then whether it is back. A thread would do as well for the copying, but not for the end: it
can be stopped neither in an fsync nor in a check, and a daemon that is told to stop has thirty seconds. A process can be killed
anywhere, because nothing counts before its last step: the copy is written under a hidden name, synced, read back and checked, and
only then renamed to `birdwatchd-TIME-NUMBER.db`. What a killed one leaves is cleared away by the next. The oldest backups go only
after the newest is in its place; which is older is told by their numbers, because clocks leap.

**Quarantine.** What is deleted after so many days is deleted after days that birdwatchd has really lived through: `edges.store.days`.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.core.errors import ConfigError, DiskFull, TransientError
from birdwatchd.core.settings import Retention
from birdwatchd.edges.clock import monotonic, now_utc, since_boot
from birdwatchd.edges.errand import Errand
from birdwatchd.edges.files import Files, disk
from birdwatchd.edges.store import Row, Store
from birdwatchd.edges.store.copies import (
    Backup,
    Proof,
    backup_name,
    backups_in,
    copy_log,
    give_rights,
    prove,
    sole_maker,
)

log = logging.getLogger(__name__)

HOURS_APART = 20.0
"""No other backup while one is younger than this: a machine that is started again and again shall not push the good old ones out."""

RESERVE_BYTES = 256 << 20
"""So much room a backup leaves to the photos."""

MOST_EXPIRED = 500
"""Files deleted from quarantine in one go: photos do not wait long for it, and a wrong setting can still be taken back."""

REQUESTS_KEPT = 1000
LONGEST_BACKUP_S = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that has just been made, what it holds, and the older ones that made room for it."""

    backup: Backup
    proof: Proof
    removed: list[Path]


def make_backup(files: Files, *, keep: int, at: str, gently: bool = False) -> Made:
    """Copy the log into the backup folder; works beside a running daemon.

    Args:
        keep: so many backups stay, the oldest go; 0 removes none.
        at: now, ISO-8601 UTC.
        gently: with the disk left to others in between.

    Raises:
        ConfigError: there is no log.
        DamagedDatabase: the log cannot be read; no older backup is touched.
        DiskFull: there is no room.
        StoreBusy: another one is just being made.
    """
    source = files.path(shelving.DATABASE)
    if not source.is_file():
        raise ConfigError(f"there is no log at {source}", hint="run `birdwatchd init`, or see `birdwatchd restore`")
    folder = backup_folder(files)
    with disk.translated("cannot make a backup"), sole_maker(folder):
        for litter in folder.glob(".birdwatchd-*.db.part*"):
            litter.unlink(missing_ok=True)
        refuse_without_room(source, folder)
        older = backups_in(folder)
        name = backup_name(older[-1].number + 1 if older else 1, datetime.fromisoformat(at))
        part = folder / f".{name}.part"
        try:
            copy_log(source, part, gently=gently)
            proof = prove(part, thoroughly=False)
            give_rights(part, source.stat())
        except (Exception, KeyboardInterrupt):
            part.unlink(missing_ok=True)
            raise
        disk.rename_noreplace(part, folder / name)
        disk.fsync(folder.resolve())  # a person may have put the backups on another disk
        made = next(one for one in backups_in(folder) if one.path.name == name)
        removed = [one.path for one in older[: max(0, len(older) + 1 - keep)]] if keep else []
        for path in removed:
            path.unlink(missing_ok=True)
        return Made(made, proof, removed)


def backup_folder(files: Files) -> Path:
    """The folder of the backups, made if it is not there; open to whoever may work in the bird folder, whoever makes it."""
    folder, private = files.path(shelving.BACKUPS), files.path(shelving.PRIVATE)
    with disk.translated("cannot make the folder for backups"):
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            give_rights(folder, private.stat())
            disk.fsync(private)
    return folder


def refuse_without_room(source: Path, folder: Path) -> None:
    """Raise DiskFull if a copy of the log would leave too little room for photos."""
    wal = source.with_name(f"{source.name}-wal")
    with disk.translated("cannot look for room for a backup"):
        needed = source.stat().st_size + (wal.stat().st_size if wal.exists() else 0) + RESERVE_BYTES
        room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if free < needed:
        raise DiskFull(
            f"no room for a backup of the log: {free / 1e6:,.0f} MB free, {needed / 1e6:,.0f} MB needed",
            hint="make room on the disk of the bird folder, or set backups = 0 under [retention] in config.toml",
        )


class Keeper:
    """The daemon's chores of keeping; only for the holder of the bird folder's lock.

    Args:
        clock: seconds, monotonic.
        now: the wall clock, ISO-8601 UTC.
        uptime: which start of the machine this is, and the seconds since.
    """

    def __init__(
        self,
        files: Files,
        store: Store,
        retention: Retention,
        *,
        clock: Callable[[], float] = monotonic,
        now: Callable[[], str] = now_utc,
        uptime: Callable[[], tuple[str, float]] = since_boot,
    ) -> None:
        self._files = files
        self._store = store
        self._retention = retention
        self._clock = clock
        self._now = now
        self._uptime = uptime
        self._errand: Errand | None = None
        self._sent_at = 0.0
        self._made_at: float | None = None
        self._trouble: TransientError | None = None

    # -- backups

    def back_up(self) -> None:
        """See what became of the backup that is being made; begin one if it is time. Cheap; to be called a few times an hour.

        Raises:
            TransientError: the last one failed. That stays told until one is made.
        """
        self.look()
        if self._errand is None and self._is_due():
            self._send()
        elif self._errand is None:
            self._trouble = None  # there is a young one, whoever made it; or none is wanted
        if self._trouble is not None:
            raise self._trouble

    def look(self) -> None:
        """Take in the backup that is back."""
        if self._errand is None:
            return
        back = self._errand.look()
        if back is None and self._clock() - self._sent_at > LONGEST_BACKUP_S:
            self.close()
            self._trouble = TransientError("a backup of the log did not come to an end", hint="is the disk in order?")
        elif back is not None:
            self._errand = None
            self._trouble = None if back.well else TransientError(f"no backup was made: {back.words}", hint=back.hint)
            if back.well:
                self._made_at = self._clock()
                log.info("the log is backed up")

    def _is_due(self) -> bool:
        if self._retention.backups == 0:
            return False
        if self._made_at is not None and self._clock() - self._made_at < HOURS_APART * 3600:
            return False
        now = datetime.fromisoformat(self._now())
        # Also one from a little later than now is young: the clock was set back. One from years ahead proves nothing.
        apart = timedelta(hours=HOURS_APART)
        return all(abs(one.made_at - now) >= apart for one in backups_in(self._files.path(shelving.BACKUPS)))

    def _send(self) -> None:
        try:
            refuse_without_room(self._files.path(shelving.DATABASE), backup_folder(self._files))
            words = ("--root", str(self._files.root), "--daily", str(self._retention.backups))
            self._errand = Errand("backup", *words)
        except TransientError as error:
            self._trouble = error
        else:
            self._sent_at = self._clock()

    def close(self) -> None:
        """Call off a backup that is being made; to be called before the daemon ends."""
        if self._errand is not None:
            self._errand.call_off()
            self._errand = None

    # -- quarantine

    def expire_quarantine(self) -> None:
        """Note that a day has passed, if one has; then delete what was in quarantine for longer than a person wants to keep it.

        Raises:
            TransientError: some of it cannot be deleted now; the rest was.
        """
        self._files.check_still_there()
        boot, uptime_s = self._uptime()
        self._store.days.note(at=self._now(), boot=boot, uptime_s=uptime_s)
        days = self._retention.quarantine_days
        if days == 0:
            return
        trouble: TransientError | None = None
        gone: list[int] = []
        removed = 0
        for photo in self._store.days.expired(days=days, limit=MOST_EXPIRED):
            try:
                removed += self._expire(photo)
                gone.append(photo["id"])
            except TransientError as error:
                trouble = error
        if gone:
            self._store.journeys.record_missing(gone)
            log.info("%d files removed from quarantine after %d days", removed, days)
        if trouble is not None:
            raise trouble

    def _expire(self, photo: Row) -> bool:
        """Delete the file that the log means; another one that a person put under its name stays. Whether there was one."""
        path = self._files.path(photo["path"])
        with disk.translated(f"cannot look at {shelving.printable(photo['path'])}"):
            if not os.path.lexists(path) or path.lstat().st_size != photo["bytes"]:
                return False
            if photo["sha256"] is not None and disk.hash_of(path) != photo["sha256"]:
                return False
        self._files.remove_from_quarantine(photo["path"])
        return True

    # -- the log itself

    def tidy(self) -> None:
        """Let go of what nobody will ask for again."""
        self._store.requests.forget_finished(keep=REQUESTS_KEPT)
