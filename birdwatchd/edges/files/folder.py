"""The bird folder itself: made, checked, locked, and still the same one."""

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from uuid import uuid4

from birdwatchd.core import mounts, shelving
from birdwatchd.core.errors import AlreadyRunning, DiskFull, DiskTrouble, RootGone, RootUnsuitable
from birdwatchd.edges.files import disk

FOLDER_MODE = 0o2775
"""Members of the folder's group may drop and move photos; new files keep that group."""

GROUP_MAY_WORK = 0o2070
"""The part of it that matters. Where it is inherited nothing is changed: a sandbox may forbid to set it (RestrictSUIDSGID)."""

RESERVE_NAMES = 100
"""Inodes that stay free for the log and for notes."""

LOCK_TRIES = 5
LOCK_PAUSE_S = 0.05

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "davfs", "ncpfs", "virtiofs"}
)


def file_system_of(path: str, mount_table: str) -> str:
    """Type of the file system that holds an absolute, resolved path, by the text of `/proc/self/mountinfo`; "" if untold."""
    mount = mounts.mount_of(PurePosixPath(path), mounts.mounts_in(mount_table))
    return mount.kind if mount else ""


def _is_remote(kind: str) -> bool:
    return kind in NETWORK_FILE_SYSTEMS or (kind.startswith("fuse.") and kind != "fuse.mergerfs")


def _read_mount_table() -> str:
    try:
        return Path(mounts.TABLE).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # no /proc: not Linux, or a very closed sandbox; then nothing is known to be remote
        return ""


class RootLock:
    """Held by the one birdwatchd that may move photos in a bird folder; the kernel drops it when the process ends."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def release(self) -> None:
        """Let another process have the folder."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> "RootLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Folder:
    """One bird folder.

    Args:
        root: its absolute path.
        mount_table: gives the text of `/proc/self/mountinfo`; replaced in tests.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        root: Path,
        *,
        mount_table: Callable[[], str] = _read_mount_table,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = root
        self._mount_table = mount_table
        self._clock = clock
        self._marker_inode: tuple[int, int] | None = None
        self._inbox_inode: tuple[int, int] | None = None
        self._log_inode: tuple[int, int] | None = None
        self._half_made: set[Path] = set()
        """Folders whose names may not be on the disk."""
        self._doubtful: set[tuple[int, int]] = set()
        """Files in the inbox whose bytes may not be on the disk although an fsync would say so."""
        self.inbox_is_remote = False
        self.alive: Callable[[], None] = lambda: None
        """Called after each piece of a long copy, for whoever waits."""

    def path(self, relative: str) -> Path:
        """Absolute path of something below the bird folder."""
        return self.root / relative

    # -- the folder itself

    def create(self) -> bool:
        """Make the folders and the marker; True when this was no bird folder before. May be repeated."""
        with _unsuitable(self.root):
            new = not self.path(shelving.MARKER).exists()
            self.root.mkdir(parents=True, exist_ok=True)
            for folder in shelving.FOLDERS:
                self._make_shelf(folder)
            if new:
                disk.write_whole(self.path(shelving.MARKER), json.dumps({"bird_folder": str(uuid4())}).encode() + b"\n")
        return new

    def _make_shelf(self, folder: str) -> None:
        path = self.path(folder)
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            if not folder.startswith(shelving.PRIVATE):
                path.chmod(FOLDER_MODE)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder below the root, open to the group, and have its name on the disk."""
        if folder == self.root:
            return
        self._make_folder(folder.parent)
        try:
            found = folder.lstat()
        except FileNotFoundError:
            self._make_new_folder(folder)
            return
        if stat.S_ISLNK(found.st_mode):
            raise DiskTrouble(f"{shelving.printable(str(folder))} is a symbolic link", hint="make it a real folder")
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        if folder in self._half_made:
            self._make_new_folder(folder)

    def _make_new_folder(self, folder: Path) -> None:
        self._check_marker()  # else a bird folder that was renamed or unmounted would begin to grow anew in its place
        self._half_made.add(folder)
        with suppress(OSError):
            folder.rmdir()  # one whose name could not be synced is made anew, for a second fsync would tell nothing
        folder.mkdir(exist_ok=True)
        is_private = folder.is_relative_to(self.path(shelving.PRIVATE))
        if not is_private and folder.stat().st_mode & GROUP_MAY_WORK != GROUP_MAY_WORK:
            folder.chmod(FOLDER_MODE)
        disk.fsync(folder.parent)
        self._half_made.discard(folder)

    def check_is_one(self) -> None:
        """Whether this is a bird folder at all.

        Raises:
            RootUnsuitable: it is none, or may not be looked into.
        """
        with _unsuitable(self.root):
            if self.path(shelving.MARKER).is_file():
                return
            missing = "there is no bird folder at" if not self.root.is_dir() else "this is not a bird folder:"
        raise RootUnsuitable(
            f"{missing} {self.root}",
            hint="if its disk should be mounted there, mount it; to start a new one, run `birdwatchd init`",
        )

    def check(self, *, mend: bool = True) -> None:
        """Whether this can be worked in.

        Args:
            mend: make a folder again that somebody deleted.

        Raises:
            RootUnsuitable: not a bird folder, spread over file systems, on a network, or not writable.
        """
        self.check_is_one()
        with _unsuitable(self.root):
            mount_table = self._mount_table()
            kind = file_system_of(str(self.root.resolve()), mount_table)
            if _is_remote(kind):
                raise RootUnsuitable(
                    f"{self.root} lies on a network file system ({kind}), where SQLite cannot keep its promises",
                    hint="put the bird folder on a local disk; only its inbox may be a network mount",
                )
            home = self.root.stat().st_dev
            for folder in shelving.FOLDERS:
                path = self.path(folder)
                if path.is_symlink():
                    raise RootUnsuitable(
                        f"{path} is a symbolic link", hint="make it a real folder, or mount a disk there"
                    )
                if mend:
                    self._make_shelf(folder)
                elif not path.is_dir():
                    raise RootUnsuitable(f"{path} is missing", hint="birdwatchd makes it again at its next start")
                if folder != shelving.INBOX and path.stat().st_dev != home:
                    raise RootUnsuitable(
                        f"{path} lies on another file system than {self.root}",
                        hint="all folders but the inbox must be on one, so that a photo can be moved in one step",
                    )
                if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
                    raise RootUnsuitable(
                        f"{path} is not writable", hint=f"give this user the right to: chown or chmod {path}"
                    )
            self.inbox_is_remote = self._inbox_is_remote_in(mount_table)
            self._marker_inode = disk.identity_of(self.path(shelving.MARKER))
            self._inbox_inode = disk.identity_of(self.path(shelving.INBOX))

    def _check_marker(self) -> None:
        """Whether this is still the bird folder that `check` saw.

        Raises:
            RootGone: unmounted, renamed or replaced since.
        """
        path = self.path(shelving.MARKER)
        try:
            now = disk.identity_of(path)
        except OSError as error:
            raise RootGone(f"{path} is gone") from error
        if now != self._marker_inode:
            raise RootGone(f"{path} is another one than at the start")

    def _inbox_is_remote_in(self, mount_table: str) -> bool:
        return _is_remote(file_system_of(str(self.path(shelving.INBOX).resolve()), mount_table))

    def check_still_there(self) -> None:
        """Whether the folder and its inbox are the ones that `check` saw.

        Raises:
            RootGone: unmounted, renamed or replaced since; nothing should be inferred from what lies there now.
        """
        self._check_marker()
        path, seen = self.path(shelving.INBOX), self._inbox_inode
        try:
            now = disk.identity_of(path)
            is_folder = stat.S_ISDIR(path.lstat().st_mode)
        except OSError as error:
            raise RootGone(f"{path} is gone") from error
        if now != seen and is_folder:
            if seen is not None and seen[0] != now[0] == self.root.stat().st_dev:
                raise RootGone(f"the disk of {path} is not mounted any more")
            self._inbox_inode = now  # made anew by its owner, or mounted late: a folder like any other
            self.inbox_is_remote = self._inbox_is_remote_in(self._mount_table())
        elif now != seen:
            raise RootGone(f"{path} is another one than at the start")
        self._check_log_still_there()

    def _check_log_still_there(self) -> None:
        """SQLite goes on writing into a file that has no name any more: every decision would be gone at the next start."""
        path = self.path(shelving.DATABASE)
        try:
            now = disk.identity_of(path)
        except FileNotFoundError:
            if self._log_inode is None:  # not made yet
                return
            now = None
        except OSError as error:
            raise RootGone(f"{path} is gone") from error
        if self._log_inode is None:
            self._log_inode = now
        elif now != self._log_inode:
            raise RootGone(
                f"{path} is {'gone' if now is None else 'another one than at the start'}",
                hint="nothing is done until birdwatchd is restarted; stop it before you touch its log",
            )

    def lock(self) -> RootLock:
        """Become the one that moves photos here.

        Raises:
            AlreadyRunning: another process is.
        """
        with _unsuitable(self.root):
            handle = os.open(self.path(shelving.MARKER), os.O_RDWR | os.O_CLOEXEC)
            try:
                _flock(handle)
            except OSError as error:
                os.close(handle)
                if isinstance(error, BlockingIOError):
                    raise AlreadyRunning(f"another birdwatchd already works in {self.root}") from error
                raise
        return RootLock(handle)

    def is_locked(self) -> bool:
        """Whether some process works here now."""
        try:
            self.lock().release()
        except AlreadyRunning:
            return True
        return False

    def free_bytes(self) -> int:
        """Room left for this user on the disk of the bird folder."""
        return self._room()[0]

    def check_room(self, reserve_bytes: int) -> None:
        """Whether more may be put on the disk of the bird folder.

        Raises:
            DiskFull: less than the reserve is free, or hardly a name is left for new files.
        """
        if reserve_bytes == 0:
            return
        free_bytes, free_names = self._room()
        if free_bytes < reserve_bytes:
            raise DiskFull(
                f"less than {reserve_bytes / 1e6:,.0f} MB are free on the disk of the bird folder (reserve_mb in config.toml):"
                " photos wait in the inbox"
            )
        if free_names is not None and free_names < RESERVE_NAMES:
            raise DiskFull(
                f"the disk of the bird folder has room for hardly {RESERVE_NAMES} more files: photos wait in the inbox"
            )

    def _room(self) -> tuple[int, int | None]:
        try:
            room = os.statvfs(self.root)
        except OSError as error:
            raise RootGone(f"{self.root} is gone") from error
        # Some file systems (btrfs) make room for names as they need it, and say 0 of 0.
        return room.f_bavail * room.f_frsize, room.f_favail if room.f_files else None


def _flock(handle: int) -> None:
    """Take the lock, with a little patience: `doctor` holds it for a moment when it asks whether somebody works."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        else:
            return
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _unsuitable(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RootUnsuitable(
            f"{error.filename or root}: {error.strerror}", hint="choose a folder this user may write, with --root"
        ) from error
