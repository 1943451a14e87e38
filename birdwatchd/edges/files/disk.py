"""The grip: what every step on the disk is made of. Durable, never over another file, in our own words when it fails."""

import ctypes
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.core.errors import DiskFull, DiskTrouble, PhotoVanished, Refused, TooLarge
from birdwatchd.core.photo import Stamp

COPY_CHUNK_BYTES = 1 << 20

_RENAME_NOREPLACE = 1
_FLAG_UNKNOWN = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)


class NotWritten(OSError):
    """An fsync that failed. That is final: the kernel has dropped what it could not write, and the next one would succeed."""


class NotRead(OSError):
    """The original of a copy cannot be read: its own trouble, not that of the disk which the copy goes to."""


@contextmanager
def translated(what: str) -> Iterator[None]:
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


def rename_noreplace(source: Path, target: Path) -> None:
    """Rename that fails with FileExistsError instead of overwriting.

    File systems that do not know the flag say so (EINVAL, mostly); then look-and-rename is safe enough, because below the bird
    folder only the holder of its lock places files.
    """
    code = errno.EINTR
    while code == errno.EINTR:
        if _libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
    if code not in _FLAG_UNKNOWN:
        raise OSError(code, os.strerror(code), str(source), None, str(target))
    try:
        target.lstat()  # not `lexists`, which takes every trouble for absence
    except FileNotFoundError:
        source.rename(target)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))


def fsync(path: Path) -> None:
    """Have what was written to a file, or into a folder, on the disk.

    Raises:
        NotWritten: it is not, and must be written anew.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno == errno.EINVAL and stat.S_ISDIR(os.fstat(handle).st_mode):
            return  # a file system that has no such thing for folders
        raise NotWritten(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(handle)


def identity_of(path: Path) -> tuple[int, int]:
    """Which file or folder that is, under whatever name."""
    found = path.lstat()
    return found.st_dev, found.st_ino


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in its place so that it is there whole or not at all, whatever happens; replaces an older one."""
    part = path.with_name(f".{cut(path.name)}.part")
    with no_part_left(part):
        with part.open("xb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
    fsync(path.parent)


def write_new(path: Path, content: bytes) -> None:
    """Put a file anywhere that a person names, whole or not at all, and never over another one.

    Raises:
        Refused: something has that name, or it cannot be written there.
    """
    part = path.with_name(
        f".{cut(path.name)}.{secrets.token_hex(8)}.part"
    )  # nobody else's, in a folder that is not ours
    name = shelving.printable(str(path))
    try:
        with no_part_left(part):
            with part.open("xb") as out:
                out.write(content)
            rename_noreplace(part, path)
    except FileExistsError as error:
        raise Refused(f"{name} is there already", hint="choose another name; nothing is overwritten") from error
    except OSError as error:
        raise Refused(f"cannot write {name}: {error.strerror}", hint="choose a place where you may write") from error


@contextmanager
def no_part_left(part: Path) -> Iterator[None]:
    """Remove what an earlier, interrupted attempt left under that name, and what this one leaves if it fails."""
    part.unlink(missing_ok=True)
    try:
        yield
    except OSError:
        part.unlink(missing_ok=True)
        raise


def cut(name: str) -> str:
    """At most 200 bytes of a name, so that something can be added to it."""
    return os.fsdecode(os.fsencode(name)[:200])


def read_outside(path: Path, *, max_bytes: int) -> bytes:
    """Bytes of a regular file anywhere, opened read-only.

    Raises:
        TooLarge: it has more than `max_bytes`.
        Refused: there is no such file, or it cannot be read.
    """
    with _outside(path):
        return read(path, max_bytes)


def hash_outside(path: Path) -> str:
    """Hex SHA-256 of a file anywhere.

    Raises:
        Refused: there is no such file, or it cannot be read.
    """
    with _outside(path):
        return hash_of(path)


@contextmanager
def _outside(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise Refused(
            f"cannot read {shelving.printable(str(path))}: {why}", hint="give the path of a photo you may read"
        ) from error


def read(path: Path, max_bytes: int) -> bytes:
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
        data = file.read(found.st_size + 1)  # not `max_bytes`: Python would reserve as much
        if len(data) > found.st_size:
            raise PhotoVanished("it grew while it was read")
        return data


def hash_of(path: Path) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold us up
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        return hashlib.file_digest(file, "sha256").hexdigest()


def rename_or_copy(source: Path, target: Path) -> None:
    """Back into an inbox that may lie on another file system."""
    if renamed(source, target):
        fsync(target.parent)
        return
    part = target.with_name(
        f".birdwatchd.{cut(target.name)}.part"
    )  # hidden, so that no sweep takes half a photo; our own name
    with no_part_left(part):
        copy_durably(source, part)
        rename_noreplace(part, target)
    fsync(target.parent)
    source.unlink()


def renamed(source: Path, target: Path) -> bool:
    """Rename without overwriting; False when the two lie on different file systems."""
    try:
        rename_noreplace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def copy_durably(source: Path, target: Path, alive: Callable[[], None] = lambda: None) -> Stamp:
    """Copy a file durably to a new name; returns the stamp that the original had when its last byte was read.

    Raises:
        NotRead: the original does not give its bytes.
    """
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as original, target.open("xb") as copy:
        while chunk := _next_chunk(original):
            copy.write(chunk)
            alive()
        copy.flush()
        os.fsync(copy.fileno())
        return stamp_of(os.fstat(original.fileno()))


def _next_chunk(original: BufferedReader) -> bytes:
    try:
        return original.read(COPY_CHUNK_BYTES)
    except OSError as error:
        raise NotRead(error.errno, error.strerror) from error
