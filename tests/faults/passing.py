"""A file system that passes everything through to a folder, but for its habits: `python -m tests.faults.passing BEHIND PLACE KIND`.

Which habits it has right now stands in the file BEHIND.habits, a word each:

    no-noreplace   does not know RENAME_NOREPLACE, as many network and user-space file systems
    no-links       does not know hard links, as FAT
    case-blind     takes A.JPG and a.jpg for one name, as FAT and NTFS
    short-writes   writes less than it was given, as is anybody's right
    bad-spot       gives an input/output error for what lies in a file with `scratched` in its content's first line or name
    bad-writes     gives an input/output error for every write and fsync
"""

# ruff: noqa: ARG002

import errno
import os
import sys
from pathlib import Path
from typing import Any

import mfusepy  # type: ignore[import-untyped, import-not-found, unused-ignore]

SCRATCHED = b"scratched"


class Passing(mfusepy.Operations):  # type: ignore[misc]
    """The calls, each with a path that begins with a slash."""

    use_ns = True

    def __init__(self, behind: Path) -> None:
        self._behind = behind
        self._switch = behind.with_name(f"{behind.name}.habits")

    def _has(self, habit: str) -> bool:
        return self._switch.exists() and habit in self._switch.read_text().split()

    def _real(self, path: str) -> str:
        if not self._has("case-blind"):
            return str(self._behind) + path
        real = str(self._behind)
        for part in path.strip("/").split("/"):
            there = Path(real).iterdir() if Path(real).is_dir() else ()
            real = f"{real}/{next((one.name for one in there if one.name.casefold() == part.casefold()), part)}"
        return real

    def _refuse_bad_spot(self, handle: int) -> None:
        if self._has("bad-spot") and SCRATCHED in os.pread(handle, 64, 0):
            raise mfusepy.FuseOSError(errno.EIO)

    def _refuse_writes(self) -> None:
        if self._has("bad-writes"):
            raise mfusepy.FuseOSError(errno.EIO)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._real(path)) if fh is None else os.fstat(fh)
        keys = ("st_mode", "st_ino", "st_dev", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks")
        times = {f"st_{when}time": getattr(found, f"st_{when}time_ns") for when in "amc"}
        return {key: getattr(found, key) for key in keys} | times

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, Any], int]]:
        names = [".", "..", *(one.name for one in Path(self._real(path)).iterdir())]
        return [(name, self.getattr(f"{path.rstrip('/')}/{name}"), 0) for name in names]

    def access(self, path: str, amode: int) -> int:
        if not os.access(self._real(path), amode):
            raise mfusepy.FuseOSError(errno.EACCES)
        return 0

    def open(self, path: str, flags: int) -> int:
        return os.open(self._real(path), flags & ~os.O_EXCL)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return os.open(self._real(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._refuse_bad_spot(fh)
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._refuse_writes()
        if self._has("short-writes") and len(data) > 1:
            data = data[: len(data) // 2]
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._real(path) if fh is None else fh, length)
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._refuse_writes()
        os.fsync(fh)
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        Path(self._real(path)).mkdir(mode)
        return 0

    def rmdir(self, path: str) -> int:
        Path(self._real(path)).rmdir()
        return 0

    def unlink(self, path: str) -> int:
        Path(self._real(path)).unlink()
        return 0

    def rename(self, old: str, new: str) -> int:
        Path(self._real(old)).rename(self._real(new))
        return 0

    def link(self, target: str, source: str) -> int:
        if self._has("no-links"):
            raise mfusepy.FuseOSError(errno.EPERM)
        os.link(self._real(source), self._real(target))
        return 0

    def symlink(self, target: str, source: str) -> int:
        Path(self._real(target)).symlink_to(source)
        return 0

    def readlink(self, path: str) -> str:
        return str(Path(self._real(path)).readlink())

    def chmod(self, path: str, mode: int) -> int:
        Path(self._real(path)).chmod(mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self._real(path), uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int]) -> int:
        os.utime(self._real(path), ns=times)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        room = os.statvfs(self._behind)
        keys = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_frsize", "f_namemax")
        return {key: getattr(room, key) for key in keys}


class Seen(mfusepy.FUSE):  # type: ignore[misc]
    """The library passes over the flags of a rename."""

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        if flags and self.operations._has("no-noreplace"):
            return -errno.EINVAL
        return int(super().rename_fuse_3(old, new, flags))


if __name__ == "__main__":
    behind, place, kind = sys.argv[1:]
    Seen(
        Passing(Path(behind)),
        place,
        foreground=True,
        nothreads=True,
        fsname="behind",
        subtype=kind,
        use_ino=True,
        entry_timeout=0.0,
        attr_timeout=0.0,
        allow_other=True,
    )
