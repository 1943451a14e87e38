"""A folder seen through another file system: `python -m tests.faults.passthrough BEHIND FRONT`.

What is written behind is there in front, and no event tells of it: as with a network folder that another machine writes to.
"""

# ruff: noqa: ARG002  # the kernel gives more than is needed

import errno
import os
import sys
from collections.abc import Iterator
from typing import Any

import mfusepy


class Passthrough(mfusepy.Operations):  # type: ignore[misc]  # it comes without types
    """Just enough to list, read, write, rename and delete."""

    use_ns = True

    def __init__(self, behind: str) -> None:
        self._behind = behind

    def _real(self, path: str) -> str:
        return self._behind + path

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._real(path))
        plain = {name: getattr(found, f"st_{name}") for name in ("mode", "nlink", "uid", "gid", "size")}
        times = {name: getattr(found, f"st_{name}_ns") for name in ("atime", "mtime", "ctime")}
        return {f"st_{name}": value for name, value in (plain | times).items()}

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        yield from (".", "..", *os.listdir(self._real(path)))  # noqa: PTH208  # as the kernel asks

    def open(self, path: str, flags: int) -> int:
        return os.open(self._real(path), flags)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return os.open(self._real(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self._real(old), self._real(new))  # noqa: PTH104
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._real(path))  # noqa: PTH108
        return 0

    def access(self, path: str, amode: int) -> int:
        if not os.access(self._real(path), amode):
            raise mfusepy.FuseOSError(errno.EACCES)
        return 0


if __name__ == "__main__":
    behind, front = sys.argv[1:]
    mfusepy.FUSE(Passthrough(behind), front, foreground=True, nothreads=True, subtype="passthrough")
