"""What is shown of the bird folder to people elsewhere: opened below it, never through a symbolic link, only regular files.

The path comes from the log, but names in it came with photos, and folders on the shelves are people's. So no step of it is believed:
Linux 5.6 and newer refuse what leads out or over a link (openat2(2)); before that, each folder is opened from the one above it.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from birdwatchd.core import shelving
from birdwatchd.core.errors import PhotoVanished
from birdwatchd.core.shelfmoves import SHELVES
from birdwatchd.edges.files import disk

THUMBNAIL_MAX_BYTES = 1 << 20
PHOTO_MAX_BYTES = 1 << 30
PAPER_MAX_BYTES = 32 << 20
"""Of what was written about a training."""

_PLACES = (*SHELVES, shelving.DUPLICATES)
"""Where whole photos may be asked for. What is in quarantine was refused for a reason, and stays there."""

_OPENAT2 = 437
"""The same number on all processors."""

_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_NO_OPENAT2 = frozenset({errno.ENOSYS, errno.EPERM})
"""An older kernel, or a sandbox that does not know the call."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def thumbnail(root: Path, sha256: str) -> BinaryIO:
    """The small picture that was made of a photo, open for reading.

    Raises:
        PhotoVanished: there is none.
        DiskTrouble: it cannot be read.
    """
    return _open(root, f"{shelving.THUMBS}/{sha256[:2]}/{sha256}.jpg", THUMBNAIL_MAX_BYTES)


def photo(root: Path, relative: str) -> BinaryIO:
    """A photo as it came, open for reading, by its path below the bird folder.

    Raises:
        PhotoVanished: it is not there, or no longer a file that may be shown.
        DiskTrouble: it cannot be read.
    """
    if relative.partition("/")[0] not in _PLACES:
        raise PhotoVanished(f"{shelving.printable(relative)} is not on a shelf", hint="look for it in the bird folder")
    return _open(root, relative, PHOTO_MAX_BYTES)


def report(root: Path, training_id: int, name: str) -> BinaryIO:
    """A file of the report about a training, open for reading.

    Raises:
        PhotoVanished: it is not there.
        DiskTrouble: it cannot be read.
    """
    return _open(root, f"{shelving.REPORTS}/{training_id}/{name}", PAPER_MAX_BYTES)


def of_training(root: Path, training_id: int, name: str) -> BinaryIO:
    """A file of a training's own folder, open for reading.

    Raises:
        PhotoVanished: it is not there: nothing was written yet, or the folder was tidied away.
        DiskTrouble: it cannot be read.
    """
    return _open(root, f"{shelving.JOBS}/{training_id}/{name}", PAPER_MAX_BYTES)


def _open(root: Path, relative: str, max_bytes: int) -> BinaryIO:
    what = f"cannot show {shelving.printable(relative)}"
    with disk.translated(what):
        try:
            with _folder(root) as folder:
                handle = _below(folder, relative)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR, errno.EXDEV, errno.ENXIO}:
                raise
            raise PhotoVanished(f"{what}: something else lies there") from error
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > max_bytes:
            os.close(handle)
            raise PhotoVanished(f"{what}: it is no file of a size that is shown")
        return os.fdopen(handle, "rb")


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    handle = os.open(path, _FOLDER)
    try:
        yield handle
    finally:
        os.close(handle)


def _below(folder: int, relative: str) -> int:
    if any(part in ("", ".", "..") for part in relative.split("/")) or "\0" in relative:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), relative)
    how = _How(_FILE, 0, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS)
    handle: int = _libc.syscall(_OPENAT2, folder, os.fsencode(relative), ctypes.byref(how), ctypes.sizeof(how))
    if handle >= 0:
        return handle
    code = ctypes.get_errno()
    if code in _NO_OPENAT2:
        return _step_by_step(folder, relative)
    raise OSError(code, os.strerror(code), relative)


def _step_by_step(folder: int, relative: str) -> int:
    here, _, rest = relative.partition("/")
    if not rest:
        return os.open(here, _FILE, dir_fd=folder)
    below = os.open(here, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    try:
        return _step_by_step(below, rest)
    finally:
        os.close(below)
