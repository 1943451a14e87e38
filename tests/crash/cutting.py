"""Power cuts: a disk in a file, on a file system that can copy a file in one instant; each copy is the disk as it was then.

The bird folder is an ext4 in an image file, the image lies on an XFS that knows reflinks, and the XFS lies in a file too. What the
programs have not made the kernel write by the moment of the copy is not in it, as after a power cut. What the copy cannot do: drop
writes that the kernel had handed to the disk but that the disk had not yet kept; the order of writes is always true.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.crash import lives

CARD_MB = 192
SHELF_MB = 1200
"""Sparse: only what is written takes room."""


class Card:
    """A disk that can be looked at as it would be after a power cut now; mounted at `root`."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._shelf = place / "shelf"
        self._image = self._shelf / "card.img"
        self._undo = contextlib.ExitStack()
        self.mounted = place / "card"

    def __enter__(self) -> Self:
        lives.need_root("power cuts need loop devices")
        for program, package in (("mkfs.xfs", "xfsprogs"), ("mkfs.ext4", "e2fsprogs"), ("losetup", "mount")):
            if shutil.which(program) is None:
                pytest.skip(f"no {program}: apt-get install {package}")
        with contextlib.ExitStack() as undo:
            self._place.mkdir(parents=True, exist_ok=True)
            disk = _sparse(self._place / "shelf.img", SHELF_MB)
            _do("mkfs.xfs", "-q", "-m", "reflink=1", disk)
            undo.enter_context(mounted(disk, self._shelf))
            _do("mkfs.ext4", "-q", "-F", _sparse(self._image, CARD_MB))
            undo.enter_context(mounted(self._image, self.mounted))
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def copy(self) -> Path:
        """The card at this instant, unmounted."""
        copy = self._shelf / "cut.img"
        copy.unlink(missing_ok=True)
        _do("cp", "--reflink=always", self._image, copy)
        return copy

    @contextlib.contextmanager
    def cut(self, copy: Path) -> Iterator[Path]:
        """Power is back: the journal is replayed, and the copy is mounted."""
        with mounted(copy, self._place / "after"):
            yield self._place / "after"


@contextlib.contextmanager
def mounted(image: Path, point: Path) -> Iterator[Path]:
    """An image in a loop device, for a while."""
    point.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-o", "loop", image, point], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a file as a disk: {done.stderr.strip()}; allow loop devices here")
    try:
        yield point
    finally:
        if subprocess.run(["umount", point], capture_output=True, check=False).returncode != 0:
            _do("umount", "-l", point)


def _sparse(path: Path, megabytes: int) -> Path:
    with path.open("wb") as file:
        os.truncate(file.fileno(), megabytes << 20)
    return path


def _do(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
