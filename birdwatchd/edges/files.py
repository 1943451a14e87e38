"""The hands: the only code that lists, claims and moves photos below the bird folder.

Every path that goes in or out is relative to the bird folder and in POSIX form, so that the log stays true when the folder moves.
Nothing is overwritten: moves use `renameat2(RENAME_NOREPLACE)`. What a method promised is on the disk once `sync` of the folders
that it touched has returned.
"""

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import signal
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from birdwatchd.core import shelving
from birdwatchd.core.errors import (
    AlreadyRunning,
    DiskFull,
    DiskTrouble,
    NotAllowed,
    PhotoVanished,
    Refused,
    RootGone,
    RootUnsuitable,
    TooLarge,
    TransientError,
)
from birdwatchd.core.formats import READABLE, TAIL_BYTES, ending, sniff
from birdwatchd.core.photo import Stamp
from birdwatchd.core.settling import Look, Writers

HEAD_BYTES = TAIL_BYTES
COPY_CHUNK_BYTES = 1 << 20
FOLDER_MODE = 0o2775
"""Members of the folder's group may drop and move photos; new files keep that group."""

GROUP_MAY_WORK = 0o2070
"""The part of it that matters. Where it is inherited nothing is changed: a sandbox may forbid to set it (RestrictSUIDSGID)."""

HELD_PREFIX = ".birdwatchd-"
"""Begins the hidden name of an original that is just being copied from an inbox on another file system."""

LOCK_TRIES = 5
LOCK_PAUSE_S = 0.05

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "davfs", "ncpfs", "virtiofs"}
)

_RENAME_NOREPLACE = 1
_AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)


class TargetTaken(TransientError):
    """Something lies already where a photo was to go; it is planned anew under another name."""


@contextmanager
def _disk(what: str) -> Iterator[None]:
    """Translate what the operating system says; `what` is the sentence's beginning."""
    try:
        yield
    except FileNotFoundError as error:
        raise PhotoVanished(f"{what}: it is not there any more") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"{what}: the disk is full") from error
        raise DiskTrouble(f"{what}: {error.strerror or error}") from error


def stamp_of(found: os.stat_result) -> Stamp:
    """The stamp in a stat result."""
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def file_system_of(path: str, mount_table: str) -> str:
    """Type of the file system that holds an absolute, resolved path, by the text of `/proc/self/mountinfo`; "" if untold."""
    best, kind = "", ""
    for line in mount_table.split("\n"):
        fields, _, rest = line.partition(" - ")
        if not rest:
            continue
        point = re.sub(
            r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields.split(" ")[4]
        )  # \040 is a blank in a name
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, rest.split(" ")[0]
    return kind


def _is_remote(kind: str) -> bool:
    return kind in NETWORK_FILE_SYSTEMS or (kind.startswith("fuse.") and kind != "fuse.mergerfs")


def _read_mount_table() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # no /proc: not Linux, or a very closed sandbox; then nothing is known to be remote
        return ""


def _rename_noreplace(source: Path, target: Path) -> None:
    """Rename that fails with FileExistsError instead of overwriting.

    File systems that do not know the flag answer EINVAL; then look-and-rename is safe enough, because below the bird folder only
    the holder of its lock places files.
    """
    if _libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
        return
    code = ctypes.get_errno()
    if code not in {errno.EINVAL, errno.ENOSYS}:
        raise OSError(code, os.strerror(code), str(source), None, str(target))
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in its place so that it is there whole or not at all, whatever happens; replaces an older one."""
    part = path.with_name(f".{_cut(path.name)}.part")
    with _no_part_left(part):
        with part.open("xb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
    _fsync(path.parent)


@contextmanager
def _no_part_left(part: Path) -> Iterator[None]:
    """Remove what an earlier, interrupted attempt left under that name, and what this one leaves if it fails."""
    part.unlink(missing_ok=True)
    try:
        yield
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _cut(name: str) -> str:
    """At most 200 bytes of a name, so that something can be added to it."""
    return os.fsdecode(os.fsencode(name)[:200])


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


class Files:
    """One bird folder.

    Args:
        root: its absolute path.
        mount_table: gives the text of `/proc/self/mountinfo`; replaced in tests.
    """

    def __init__(self, root: Path, *, mount_table: Callable[[], str] = _read_mount_table) -> None:
        self.root = root
        self._mount_table = mount_table
        self._marker_inode: tuple[int, int] | None = None
        self._inbox_inode: tuple[int, int] | None = None
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
                write_whole(self.path(shelving.MARKER), json.dumps({"bird_folder": str(uuid4())}).encode() + b"\n")
        return new

    def _make_shelf(self, folder: str) -> None:
        path = self.path(folder)
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            if not folder.startswith(shelving.PRIVATE):
                path.chmod(FOLDER_MODE)

    def check(self, *, mend: bool = True) -> None:
        """Whether this can be worked in.

        Args:
            mend: make a folder again that somebody deleted.

        Raises:
            RootUnsuitable: not a bird folder, spread over file systems, on a network, or not writable.
        """
        with _unsuitable(self.root):
            if not self.path(shelving.MARKER).is_file():
                missing = "there is no bird folder at" if not self.root.is_dir() else "this is not a bird folder:"
                raise RootUnsuitable(
                    f"{missing} {self.root}",
                    hint="if its disk should be mounted there, mount it; to start a new one, run `birdwatchd init`",
                )
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
            self._marker_inode = self._identity(shelving.MARKER)
            self._inbox_inode = self._identity(shelving.INBOX)

    def _inbox_is_remote_in(self, mount_table: str) -> bool:
        return _is_remote(file_system_of(str(self.path(shelving.INBOX).resolve()), mount_table))

    def check_still_there(self) -> None:
        """Whether the folder and its inbox are the ones that `check` saw.

        Raises:
            RootGone: unmounted, renamed or replaced since; nothing should be inferred from what lies there now.
        """
        for relative, seen in ((shelving.MARKER, self._marker_inode), (shelving.INBOX, self._inbox_inode)):
            try:
                now = self._identity(relative)
                is_folder = stat.S_ISDIR(self.path(relative).lstat().st_mode)
            except OSError as error:
                raise RootGone(f"{self.path(relative)} is gone") from error
            if relative == shelving.INBOX and now != seen and is_folder:
                self._inbox_inode = now  # made anew by its owner, or mounted late: a folder like any other
                self.inbox_is_remote = self._inbox_is_remote_in(self._mount_table())
            elif now != seen:
                raise RootGone(f"{self.path(relative)} is another one than at the start")

    def _identity(self, relative: str) -> tuple[int, int]:
        found = self.path(relative).lstat()
        return found.st_dev, found.st_ino

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
        try:
            room = os.statvfs(self.root)
        except OSError as error:
            raise RootGone(f"{self.root} is gone") from error
        return room.f_bavail * room.f_frsize

    # -- the inbox

    def inbox_files(
        self,
        is_ignored: Callable[..., bool],
        *,
        on_closed_folder: Callable[[str], None] = lambda _: None,
        on_held: Callable[[str], None] = lambda _: None,
    ) -> Iterator[tuple[str, Stamp]]:
        """Every regular file in the inbox that is not ignored, with its stamp; paths relative to the inbox.

        Args:
            on_closed_folder: is told each sub-folder that may not be listed; the others are.
            on_held: is told each original that still has the hidden name of a claim.

        Symbolic links, pipes, sockets and devices are never followed or opened. A folder that vanishes meanwhile is skipped.
        """
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                entries = list(os.scandir(self.path(shelving.INBOX) / folder))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                if folder:
                    on_closed_folder(folder)
                    continue
                raise DiskTrouble(f"cannot list the inbox: {error.strerror}") from error
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if not is_ignored(entry.name, folder=True):
                            pending.append(path)
                    elif entry.name.startswith(HELD_PREFIX):
                        on_held(path)
                    elif entry.is_file(follow_symlinks=False) and not is_ignored(entry.name):
                        yield path, stamp_of(entry.stat(follow_symlinks=False))
                except OSError:  # gone between the list and the look: the next sweep knows better
                    continue

    def inbox_stamp(self, inbox_path: str) -> Stamp | None:
        """Stamp of one inbox file; None when it is gone or no regular file."""
        try:
            self._refuse_linked_folders(inbox_path)
            found = (self.path(shelving.INBOX) / inbox_path).lstat()
        except (OSError, PhotoVanished):
            return None
        return stamp_of(found) if stat.S_ISREG(found.st_mode) else None

    def look(self, inbox_path: str) -> Look | None:
        """One close look before a claim; None when the file may not be opened.

        Raises:
            PhotoVanished: it is gone, or no regular file.
        """
        path = self.path(shelving.INBOX) / inbox_path
        self._refuse_linked_folders(inbox_path)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError:
            return None
        except OSError as error:
            raise PhotoVanished(f"{shelving.printable(inbox_path)} cannot be opened: {error.strerror}") from error
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise PhotoVanished(f"{shelving.printable(inbox_path)} is no regular file")
            with _disk(f"cannot read {shelving.printable(inbox_path)}"):
                head = os.pread(handle, HEAD_BYTES, 0)
                tail = os.pread(handle, TAIL_BYTES, max(found.st_size - TAIL_BYTES, 0))
            return Look(stamp_of(found), self._writers(handle), ending(sniff(head), head, tail, found.st_size))
        finally:
            os.close(handle)

    def _writers(self, handle: int) -> Writers:
        """A read lease is granted only while nobody has the file open for writing (fcntl(2), F_SETLEASE).

        Whoever opens it for writing while we hold the lease makes the kernel send us a signal: by default SIGIO, which would end the
        process; SIGURG is ignored by default.
        """
        if self.inbox_is_remote:
            return Writers.REMOTE
        try:
            fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            return Writers.SOME if error.errno in {errno.EAGAIN, errno.EWOULDBLOCK} else Writers.UNTOLD
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return Writers.NONE

    def claim(self, inbox_path: str, stamp: Stamp, work_path: str) -> None:
        """Take a file out of the inbox into the work folder, in one step.

        From another file system it is first given a hidden name beside its own, so that nobody can replace it; then copied; and only
        when the copy is durable the original goes. `release` tidies up what a crash leaves of that.

        Raises:
            PhotoVanished: it is gone, or not what it was, or somebody has it open for writing; the inbox is as it was.
            NotAllowed: its folder does not let go of it.
        """
        source, target = self.path(shelving.INBOX) / inbox_path, self.path(work_path)
        name = shelving.printable(inbox_path)
        with _disk(f"cannot take {name}"):
            self._refuse_linked_folders(inbox_path)
            if stamp_of(source.lstat()) != stamp:
                raise PhotoVanished(f"{name} changed while it was about to be taken")
            try:
                if not _renamed(source, target):
                    self._claim_across(inbox_path, stamp, target)
                    return
            except PermissionError as error:
                raise NotAllowed(f"{name} may not be taken: {error.strerror}") from error
            try:
                self._prove_unchanged(target, stamp)
                _fsync(target)
            except (OSError, PhotoVanished):
                self.give_back(work_path, inbox_path)
                raise

    def _claim_across(self, inbox_path: str, stamp: Stamp, target: Path) -> None:
        held, part = self._held(inbox_path, target.name), target.with_name(f"{target.name}.part")
        _rename_noreplace(self.path(shelving.INBOX) / inbox_path, held)
        try:
            self._prove_unchanged(held, stamp)
            with _no_part_left(part):
                copied = _copy(held, part, self.alive)
                if (copied.size_bytes, copied.mtime_ns) != (stamp.size_bytes, stamp.mtime_ns):
                    part.unlink()
                    raise PhotoVanished(f"{shelving.printable(inbox_path)} changed while it was copied")
                _rename_noreplace(part, target)
            _fsync(target.parent)
            held.unlink()
        except (OSError, PhotoVanished):
            # An unlink that reports an error may have happened all the same (network mounts): the copy goes only if the original
            # is really there.
            if os.path.lexists(held):
                target.unlink(missing_ok=True)
                self._rename_to_free_name(held, inbox_path)
                raise
            if not os.path.lexists(target):
                raise

    def _prove_unchanged(self, path: Path, stamp: Stamp) -> None:
        """A file under a name that nobody else knows: still what was found settled, and nobody is about to write to it."""
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = stamp_of(os.fstat(handle))
            same = (found.inode, found.size_bytes, found.mtime_ns) == (stamp.inode, stamp.size_bytes, stamp.mtime_ns)
            if not same or self._writers(handle) is Writers.SOME:
                raise PhotoVanished(f"{shelving.printable(path.name)} changed while it was taken")
        finally:
            os.close(handle)

    def is_as_claimed(self, work_path: str, stamp: Stamp) -> bool:
        """Whether nobody wrote to a claimed file after all. A copy is ours alone and cannot be written to."""
        with _disk(f"cannot look at {work_path}"):
            found = stamp_of(self.path(work_path).lstat())
        if (found.device, found.inode) != (stamp.device, stamp.inode):
            return True
        return (found.size_bytes, found.mtime_ns) == (stamp.size_bytes, stamp.mtime_ns)

    def _held(self, inbox_path: str, work_name: str) -> Path:
        source = self.path(shelving.INBOX) / inbox_path
        return source.with_name(_cut(f"{HELD_PREFIX}{work_name}-{source.name}"))

    def release(self, inbox_path: str, work_path: str, *, copied_as: str | None) -> None:
        """After a crash in a claim across file systems: free the original from its hidden name.

        Args:
            copied_as: SHA-256 of the whole copy in the work folder, if there is one: an original of that content is removed, any
                other goes back into the inbox.
        """
        if not inbox_path:
            return
        held = self._held(inbox_path, work_path.rpartition("/")[2])
        with _disk(f"cannot release {shelving.printable(inbox_path)}"):
            if not os.path.lexists(held):
                return
            if copied_as is not None and _hash_of(held) == copied_as:
                held.unlink()
                _fsync(held.parent)
            else:
                self._rename_to_free_name(held, inbox_path)

    def release_stray(self, held_path: str, *, remove: bool) -> None:
        """The same for a hidden original whose claim has ended long ago, because its disk was away: remove it or put it back."""
        held = self.path(shelving.INBOX) / held_path
        with _disk(f"cannot release {shelving.printable(held_path)}"):
            if remove:
                held.unlink(missing_ok=True)
                _fsync(held.parent)
            else:
                name = held.name.removeprefix(HELD_PREFIX).partition("-")[2]
                self._rename_to_free_name(held, str(PurePosixPath(held_path).with_name(name or held.name.lstrip("."))))

    def _rename_to_free_name(self, path: Path, inbox_path: str) -> str:
        """Give something in or for the inbox its name there, or a free one beside it; returns that name."""
        wanted = PurePosixPath(inbox_path)
        (self.path(shelving.INBOX) / wanted.parent).mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            name = wanted.name if number == 1 else _cut(f"recovered-{number}-{wanted.name}")
            free = wanted.with_name(name)
            try:
                _rename_or_copy(path, self.path(shelving.INBOX) / free)
            except FileExistsError:
                continue
            return str(free)
        raise DiskTrouble(f"no free name for {shelving.printable(inbox_path)} in the inbox")

    def _refuse_linked_folders(self, inbox_path: str) -> None:
        """A symbolic link would lead out of the inbox, to what is none of our business."""
        folder = self.path(shelving.INBOX)
        for part in ("", *PurePosixPath(inbox_path).parts[:-1]):
            folder = folder / part
            if folder.is_symlink():
                raise PhotoVanished(f"{shelving.printable(inbox_path)} lies behind a symbolic link")

    def give_back(self, work_path: str, inbox_path: str) -> str:
        """Put a file from the work folder back into the inbox, under its own name or a free one; returns that name."""
        with _disk(f"cannot put {shelving.printable(inbox_path)} back into the inbox"):
            return self._rename_to_free_name(self.path(work_path), inbox_path)

    # -- photos in the bird folder

    def exists(self, relative: str) -> bool:
        """Whether a regular file lies there."""
        with _disk(f"cannot look for {shelving.printable(relative)}"):
            return self.path(relative).is_file() and not self.path(relative).is_symlink()

    def taken(self, relative: str) -> bool:
        """Whether anything at all has that name."""
        return os.path.lexists(self.path(relative))

    def find_content(self, sha256: str) -> str | None:
        """A kept photo of that content under any folder, found by the digits in its name; None when there is none."""
        mark = f"-{sha256[: shelving.HASH_DIGITS]}"
        for shelf in (shelving.LIBRARY, shelving.REVIEW, shelving.EMPTY):
            for path in self.path(shelf).rglob(f"*{mark}*"):
                relative = path.relative_to(self.root).as_posix()
                if any("\ud800" <= char <= "\udfff" for char in relative):
                    continue  # a folder whose name is no text: the log cannot hold it
                if self.exists(relative) and self.sha256_of(relative) == sha256:
                    return relative
        return None

    def sha256_of(self, relative: str) -> str:
        """Hex SHA-256 of a file's content."""
        with _disk(f"cannot read {shelving.printable(relative)}"):
            return _hash_of(self.path(relative))

    def read(self, relative: str, *, max_bytes: int) -> bytes:
        """A photo's bytes, read once.

        Raises:
            TooLarge: it has more than `max_bytes`.
        """
        with _disk(f"cannot read {shelving.printable(relative)}"):
            return _read(self.path(relative), max_bytes)

    def place(self, source: str, target: str) -> None:
        """Move a photo to where it belongs, making the folder first if need be. On the disk after `sync`.

        Raises:
            TargetTaken: something has that name; nothing was moved.
        """
        destination = self.path(target)
        with _disk(f"cannot move {shelving.printable(source)} to {shelving.printable(target)}"):
            self._make_folder(destination.parent)
            try:
                _rename_noreplace(self.path(source), destination)
            except FileExistsError as error:
                raise TargetTaken(f"{shelving.printable(target)} is taken") from error

    def _make_folder(self, folder: Path) -> None:
        if folder == self.root:
            return
        if folder.is_symlink():
            raise DiskTrouble(f"{shelving.printable(str(folder))} is a symbolic link", hint="make it a real folder")
        self._make_folder(folder.parent)
        if folder.is_dir():
            return
        folder.mkdir(exist_ok=True)
        if folder.stat().st_mode & GROUP_MAY_WORK != GROUP_MAY_WORK:
            folder.chmod(FOLDER_MODE)
        _fsync(folder.parent)

    def sync(self, files: Iterable[str]) -> None:
        """Make the names of these files (and their absence where they were) durable: fsync of the folders that hold them.

        A failed fsync is final: the kernel has dropped the dirty pages, asking again would lie.
        """
        folders = {self.path(file).parent for file in files}
        with _disk("cannot make a move durable"):
            for folder in sorted(folders):
                if folder.is_dir():
                    _fsync(folder)

    def write_sidecar(self, photo: str, content: Mapping[str, Any]) -> None:
        """Write `FILE.json` beside a quarantined file."""
        path = self.path(photo)
        with _disk(f"cannot write the note beside {shelving.printable(photo)}"):
            self._make_folder(path.parent)
            write_whole(
                path.with_name(f"{path.name}.json"), json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
            )

    def remove_from_quarantine(self, photo: str) -> None:
        """Delete a quarantined file and its note: the one place where anything of a person's is ever deleted, by their setting."""
        if not photo.startswith(f"{shelving.QUARANTINE}/"):
            raise ValueError(f"{photo} is not in quarantine")
        with _disk(f"cannot remove {shelving.printable(photo)}"):
            self.path(photo).unlink(missing_ok=True)
            self.path(f"{photo}.json").unlink(missing_ok=True)

    def write_thumbnail(self, sha256: str, jpeg: bytes) -> None:
        """Keep a small picture for the review page, found by content. It can be made again: not synced."""
        path = self.path(f"{shelving.THUMBS}/{sha256[:2]}/{sha256}.jpg")
        with _disk("cannot write a thumbnail"):
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_bytes(jpeg)
            part.replace(path)

    # -- the work folder

    def stage(self, work_path: str, content: bytes) -> None:
        """Write a copy of something from outside into the work folder, durably. Until a plan names it, it is litter."""
        path = self.path(work_path)
        with _disk("cannot copy into the work folder"):
            with path.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            _fsync(path.parent)

    def work_files(self) -> list[str]:
        """Everything in the work folder, relative to the bird folder."""
        with _disk("cannot list the work folder"):
            return sorted(f"{shelving.WORK}/{path.name}" for path in self.path(shelving.WORK).iterdir())

    def suffix_of(self, work_path: str) -> str:
        """The suffix that fits what a file without a name is, such as `.jpeg`; nothing if it is no photo."""
        with _disk("cannot look into the work folder"), self.path(work_path).open("rb") as file:
            kind = sniff(file.read(HEAD_BYTES))
        return f".{kind}" if kind in READABLE else ""

    def drop_litter(self, work_path: str) -> None:
        """Remove an unfinished copy from the work folder; its original is still where it came from."""
        with _disk("cannot tidy the work folder"):
            self.path(work_path).unlink(missing_ok=True)


def read_outside(path: Path, *, max_bytes: int) -> bytes:
    """Bytes of a regular file anywhere, opened read-only.

    Raises:
        TooLarge: it has more than `max_bytes`.
        Refused: there is no such file, or it cannot be read.
    """
    with _outside(path):
        return _read(path, max_bytes)


def hash_outside(path: Path) -> str:
    """Hex SHA-256 of a file anywhere.

    Raises:
        Refused: there is no such file, or it cannot be read.
    """
    with _outside(path):
        return _hash_of(path)


@contextmanager
def _outside(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise Refused(
            f"cannot read {shelving.printable(str(path))}: {why}", hint="give the path of a photo you may read"
        ) from error


def _read(path: Path, max_bytes: int) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no file")
    with os.fdopen(handle, "rb") as file:
        if found.st_size > max_bytes:
            raise TooLarge(
                f"{found.st_size / 1e6:,.0f} megabytes, and at most {max_bytes / 1e6:,.0f} are read",
                hint="drop a smaller copy; no camera photo is that large",
            )
        return file.read(max_bytes + 1)


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


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rename_or_copy(source: Path, target: Path) -> None:
    """Back into an inbox that may lie on another file system."""
    if _renamed(source, target):
        _fsync(target.parent)
        return
    part = target.with_name(f".{_cut(target.name)}.part")  # hidden, so that no sweep takes half a photo
    with _no_part_left(part):
        _copy(source, part)
        _rename_noreplace(part, target)
    _fsync(target.parent)
    source.unlink()


def _renamed(source: Path, target: Path) -> bool:
    """Rename without overwriting; False when the two lie on different file systems."""
    try:
        _rename_noreplace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _copy(source: Path, target: Path, alive: Callable[[], None] = lambda: None) -> Stamp:
    """Copy a file durably to a new name; returns the stamp that the original had when its last byte was read."""
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as original, target.open("xb") as copy:
        while chunk := original.read(COPY_CHUNK_BYTES):
            copy.write(chunk)
            alive()
        copy.flush()
        os.fsync(copy.fileno())
        return stamp_of(os.fstat(original.fileno()))


@contextmanager
def _unsuitable(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RootUnsuitable(
            f"{error.filename or root}: {error.strerror}", hint="choose a folder this user may write, with --root"
        ) from error
