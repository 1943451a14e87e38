"""The inbox: what lies there, whether it is settled, and how it is taken out or put back."""

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from birdwatchd.core import shelving
from birdwatchd.core.errors import DiskTrouble, NotAllowed, PhotoVanished
from birdwatchd.core.formats import HEAD_BYTES, TAIL_BYTES, ending, sniff
from birdwatchd.core.photo import Stamp
from birdwatchd.core.settling import Look, Writers
from birdwatchd.edges.files import disk
from birdwatchd.edges.files.folder import Folder

_NO_FILE = {errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENODEV}
"""What the kernel says of a link, of something below a file, and of pipes, sockets and devices."""

HELD_PREFIX = ".birdwatchd-"
"""Begins the hidden name of an original that is just being copied from an inbox on another file system."""

CANARY = f"{HELD_PREFIX}canary"
"""The hidden name of the test picture that is sent through the inbox now and then."""

CANARY_MAX_BYTES = 1 << 20


class Inbox(Folder):
    """A bird folder, seen from the side where photos come in."""

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
                    elif not entry.is_file(follow_symlinks=False):
                        continue
                    elif entry.name.startswith(HELD_PREFIX):
                        on_held(path)
                    elif not is_ignored(entry.name):
                        yield path, disk.stamp_of(entry.stat(follow_symlinks=False))
                except OSError:  # gone between the list and the look: the next sweep knows better
                    continue

    def inbox_stamp(self, inbox_path: str) -> Stamp | None:
        """Stamp of one inbox file; None when it is gone or no regular file."""
        try:
            self._refuse_linked_folders(inbox_path)
            found = (self.path(shelving.INBOX) / inbox_path).lstat()
        except (OSError, PhotoVanished):
            return None
        return disk.stamp_of(found) if stat.S_ISREG(found.st_mode) else None

    def look(self, inbox_path: str) -> Look | None:
        """One close look before a claim; None when the file may not be opened.

        Raises:
            PhotoVanished: it is gone, or no regular file.
        """
        with disk.translated(f"cannot look at {shelving.printable(inbox_path)}"):
            self._refuse_linked_folders(inbox_path)
            return self._close_look(self.path(shelving.INBOX) / inbox_path, inbox_path, writers=self._writers)

    @staticmethod
    def _close_look(path: Path, called: str, *, writers: Callable[[int], Writers]) -> Look | None:
        name = shelving.printable(called)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError:
            return None
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            raise PhotoVanished(f"{name} is no regular file") from error
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise PhotoVanished(f"{name} is no regular file")
            head = os.pread(handle, HEAD_BYTES, 0)
            tail = os.pread(handle, TAIL_BYTES, max(found.st_size - TAIL_BYTES, 0))
            return Look(disk.stamp_of(found), writers(handle), ending(sniff(head), head, tail, found.st_size))
        finally:
            os.close(handle)

    def _writers(self, handle: int) -> Writers:
        """A read lease is granted only while nobody has the file open for writing (fcntl(2), F_SETLEASE).

        Whoever opens it for writing while we hold the lease makes the kernel send us a signal: by default SIGIO, which would end the
        process; SIGURG is ignored by default.
        """
        return Writers.REMOTE if self.inbox_is_remote else self._local_writers(handle)

    @staticmethod
    def _local_writers(handle: int) -> Writers:
        try:
            fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            return Writers.SOME if error.errno in {errno.EAGAIN, errno.EWOULDBLOCK} else Writers.UNTOLD
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return Writers.NONE

    def claim(self, inbox_path: str, stamp: Stamp, work_path: str) -> None:
        """Take a file out of the inbox into the work folder, in one step. Its bytes are on the disk only after `make_durable`.

        From another file system it is first given a hidden name beside its own, so that nobody can replace it; then copied; and only
        when the copy is durable the original goes. `release` tidies up what a crash leaves of that.

        Raises:
            PhotoVanished: it is gone, or not what it was, or somebody has it open for writing; the inbox is as it was.
            NotAllowed: its folder does not let go of it.
        """
        source, target = self.path(shelving.INBOX) / inbox_path, self.path(work_path)
        name = shelving.printable(inbox_path)
        with disk.translated(f"cannot take {name}"):
            self._refuse_linked_folders(inbox_path)
            if disk.stamp_of(source.lstat()) != stamp:
                raise PhotoVanished(f"{name} changed while it was about to be taken")
            try:
                self._take(source, target, inbox_path, stamp)
            except PermissionError as error:
                raise NotAllowed(f"{name} may not be taken: {error.strerror}") from error
            except disk.NotRead as error:
                raise NotAllowed(
                    f"{name} cannot be read: {error.strerror}", hint="check the disk or card it lies on; copy it again"
                ) from error
        self.alive()

    def _take(self, source: Path, target: Path, inbox_path: str, stamp: Stamp) -> None:
        self._make_folder(target.parent)  # somebody may have tidied it away
        if not disk.renamed(source, target):
            self._claim_across(inbox_path, stamp, target)
            return
        try:
            self._prove_unchanged(target, stamp)
        except (OSError, PhotoVanished):
            self._rename_to_free_name(target, inbox_path)
            raise

    def make_durable(self, work_path: str) -> bool:
        """Have the bytes of a claimed file on the disk; may be done in another thread, while they are read and looked at.

        Returns:
            Whether they had to be copied: then what was read meanwhile may differ.

        A second fsync of the same pages would tell nothing; so a file whose fsync failed is copied: new pages, a new fsync. If that
        fails, too, the file is remembered and copied the next time.
        """
        with disk.translated(f"cannot make {work_path} durable"):
            return self._make_durable(self.path(work_path))

    def _make_durable(self, path: Path) -> bool:
        identity = disk.identity_of(path)
        if identity not in self._doubtful:
            try:
                disk.fsync(path)
            except disk.NotWritten:
                self._doubtful.add(identity)
            else:
                return False
        part = path.with_name(f"{path.name}.part")
        with disk.no_part_left(part):
            disk.copy_durably(path, part)
            part.replace(path)
        self._doubtful.discard(identity)
        return True

    def _claim_across(self, inbox_path: str, stamp: Stamp, target: Path) -> None:
        held, part = self._held(inbox_path, target.name), target.with_name(f"{target.name}.part")
        disk.rename_noreplace(self.path(shelving.INBOX) / inbox_path, held)
        try:
            self._prove_unchanged(held, stamp)
            with disk.no_part_left(part):
                copied = disk.copy_durably(held, part, self.alive)
                if (copied.size_bytes, copied.mtime_ns) != (stamp.size_bytes, stamp.mtime_ns):
                    part.unlink()
                    raise PhotoVanished(f"{shelving.printable(inbox_path)} changed while it was copied")
                disk.rename_noreplace(part, target)
            disk.fsync(target.parent)
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
            found = disk.stamp_of(os.fstat(handle))
            same = (found.inode, found.size_bytes, found.mtime_ns) == (stamp.inode, stamp.size_bytes, stamp.mtime_ns)
            if not same or self._writers(handle) is Writers.SOME:
                raise PhotoVanished(f"{shelving.printable(path.name)} changed while it was taken")
        finally:
            os.close(handle)

    def is_as_claimed(self, work_path: str, stamp: Stamp) -> bool:
        """Whether nobody wrote to a claimed file after all. A copy is ours alone and cannot be written to."""
        with disk.translated(f"cannot look at {work_path}"):
            found = disk.stamp_of(self.path(work_path).lstat())
        if (found.device, found.inode) != (stamp.device, stamp.inode):
            return True
        return (found.size_bytes, found.mtime_ns) == (stamp.size_bytes, stamp.mtime_ns)

    def _held(self, inbox_path: str, work_name: str) -> Path:
        source = self.path(shelving.INBOX) / inbox_path
        return source.with_name(disk.cut(f"{HELD_PREFIX}{work_name}-{source.name}"))

    def release(self, inbox_path: str, work_path: str) -> None:
        """After a crash in a claim across file systems: free the original from its hidden name.

        It is removed if the work folder has a copy of it; else it goes back into the inbox. One that cannot be read keeps its hidden
        name for now: a copy gets its name in the work folder only when it is whole and durable, so that work can go on with it.
        """
        if not inbox_path:
            return
        held, copy = self._held(inbox_path, work_path.rpartition("/")[2]), self.path(work_path)
        with disk.translated(f"cannot release {shelving.printable(inbox_path)}"):
            if not os.path.lexists(held):
                return
            if not copy.is_file():
                self._rename_to_free_name(held, inbox_path)
                return
            try:
                copied = disk.hash_of(held) == disk.hash_of(copy)
            except OSError:
                return
            if copied:
                held.unlink()
                disk.fsync(held.parent)
            else:
                self._rename_to_free_name(held, inbox_path)

    def release_stray(self, held_path: str, *, remove: bool) -> None:
        """The same for a hidden original whose claim has ended long ago, because its disk was away: remove it or put it back."""
        held = self.path(shelving.INBOX) / held_path
        with disk.translated(f"cannot release {shelving.printable(held_path)}"):
            if remove:
                held.unlink(missing_ok=True)
                disk.fsync(held.parent)
            else:
                name = held.name.removeprefix(HELD_PREFIX).partition("-")[2]
                self._rename_to_free_name(held, str(PurePosixPath(held_path).with_name(name or held.name.lstrip("."))))

    def _rename_to_free_name(self, path: Path, inbox_path: str) -> str:
        """Give something in or for the inbox its name there, or a free one beside it; returns that name."""
        wanted = PurePosixPath(inbox_path)
        folder = self.path(shelving.INBOX) / wanted.parent
        if not folder.is_dir():
            self._check_marker()
            folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            name = wanted.name if number == 1 else disk.cut(f"recovered-{number}-{wanted.name}")
            free = wanted.with_name(name)
            try:
                disk.rename_or_copy(path, self.path(shelving.INBOX) / free)
            except FileExistsError:
                continue
            return str(free)
        raise DiskTrouble(f"no free name for {shelving.printable(inbox_path)} in the inbox")

    def put_canary(self, picture: bytes) -> None:
        """Write the test picture into the inbox; nothing is lost with it, so nothing is synced."""
        path = self.path(shelving.INBOX) / CANARY
        with disk.translated("cannot write a test picture into the inbox"):
            self._refuse_linked_folders(CANARY)
            path.unlink(missing_ok=True)
            with path.open("xb") as file:  # never through a link that somebody laid there
                file.write(picture)

    def canary(self) -> bytes:
        """The test picture as it lies in the inbox."""
        with disk.translated("cannot read the test picture in the inbox"):
            handle = os.open(
                self.path(shelving.INBOX) / CANARY, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
            with os.fdopen(handle, "rb") as file:
                return file.read(CANARY_MAX_BYTES)

    def remove_canary(self) -> None:
        """Take the test picture out of the inbox, if it is there."""
        with disk.translated("cannot remove the test picture from the inbox"):
            self.path(shelving.INBOX).joinpath(CANARY).unlink(missing_ok=True)

    def _refuse_linked_folders(self, inbox_path: str) -> None:
        """A symbolic link would lead out of the inbox, to what is none of our business."""
        folder = self.path(shelving.INBOX)
        for part in ("", *PurePosixPath(inbox_path).parts[:-1]):
            folder = folder / part
            if folder.is_symlink():
                raise PhotoVanished(f"{shelving.printable(inbox_path)} lies behind a symbolic link")

    def give_back(self, work_path: str, inbox_path: str) -> str:
        """Put a file from the work folder back into the inbox, under its own name or a free one; returns that name."""
        with disk.translated(f"cannot put {shelving.printable(inbox_path)} back into the inbox"):
            return self._rename_to_free_name(self.path(work_path), inbox_path)
