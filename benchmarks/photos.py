"""What is dropped: frames as a camera writes them, small bird photos, as many different ones as wanted."""

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.pictures import data_folder, jpeg

DIFFERENT_FRAMES = 60


@contextmanager
def camera_frames(count: int = DIFFERENT_FRAMES) -> Iterator[list[Path]]:
    """Frames of 12 megapixels with EXIF: composed from real photos where the composing tool lies beside them."""
    tool = (data_folder() or Path("-")).parent / "tools" / "make_frames.py"
    with tempfile.TemporaryDirectory(prefix="birdwatchd-bench-frames-") as folder:
        place = Path(folder)
        if tool.is_file():
            subprocess.run([sys.executable, str(tool), folder, "--count", str(count), "--seed", "11"], check=True)
        else:
            for number in range(count):
                (place / f"frame-{number:05d}.jpg").write_bytes(jpeg(width=4000, height=3000, seed=number, quality=90))
        yield sorted(place.glob("*.jpg"))


@contextmanager
def small_photos(count: int) -> Iterator[list[Path]]:
    """Photos of 227 x 227 pixels: tight crops of real birds where there are any."""
    data = data_folder()
    with tempfile.TemporaryDirectory(prefix="birdwatchd-bench-crops-") as folder:
        found = sorted(data.glob("birds/*/*.jpg"))[:count] if data else []
        if not found:
            for number in range(min(count, 200)):
                (Path(folder) / f"crop-{number:05d}.jpg").write_bytes(jpeg(width=227, height=227, seed=number))
            found = sorted(Path(folder).glob("*.jpg"))
        yield found


def distinct(photo: Path, number: int) -> bytes:
    """The photo as one of its own: bytes behind the picture's end change the content, not the picture."""
    return photo.read_bytes() + number.to_bytes(4, "big") + b"\xff"


def fill(folder: Path, photos: Sequence[Path], count: int) -> list[Path]:
    """Put that many different photos into a folder, and wait until the disk has them: a copy's cost is not the reader's."""
    written: list[Path] = []
    for number, photo in zip(range(count), itertools.cycle(photos), strict=False):
        path = folder / f"photo-{number:05d}.jpg"
        path.write_bytes(distinct(photo, number))
        written.append(path)
    os.sync()
    return written


class Drop:
    """A photo that lies in the inbox under a hidden name already, and is dropped by renaming it: so the moment of its arrival is
    sharp. Written as any program would, not synced."""

    def __init__(self, inbox: Path, photo: Path, number: int) -> None:
        self.name = f"drop-{number:05d}.jpg"
        self._part = inbox / f".{self.name}.part"
        self._path = inbox / self.name
        self._part.write_bytes(distinct(photo, number))

    def fall(self) -> None:
        """Now it is there."""
        self._part.rename(self._path)

    def is_there(self) -> bool:
        """Whether nobody has taken it yet."""
        return self._path.exists()
