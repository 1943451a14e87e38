"""A busy garden: photos of every fate that keep arriving, in the ways in which files arrive, while the daemon lives and dies."""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

from birdwatchd.edges.files.disk import rename_noreplace
from tests import books
from tests.crash import lives
from tests.pictures import jpeg, png, with_segment

FOLDERS = ("", "", "feeder/", "orchard/2026/")
NAMES = 120
"""So few that names come again and again."""


class Producer(threading.Thread):
    """Drops files until it is told to stop, and never lets the inbox run empty.

    Args:
        backlog: how many files it keeps waiting there.

    Attributes:
        dropped: what the books must hold, by content.
        synced: those of it whose bytes and names are on the disk, whatever happens to the machine.
        busy: held while it drops something; who holds it has a still garden.
    """

    def __init__(self, root: Path, *, seed: int, backlog: int = 40, sync_one_in: int = 0) -> None:
        super().__init__(name="producer")
        self._inbox = root / "inbox"
        self._beside = root.parent / f"{root.name}-beside" if sync_one_in == 0 else root / ".birdwatchd" / "beside"
        self._beside.mkdir(exist_ok=True)
        self._dice = random.Random(seed)  # noqa: S311
        self._backlog = backlog
        self._sync_one_in = sync_one_in
        self._stop_now = threading.Event()
        self.busy = threading.Lock()
        self._number = 0
        self._birds = [jpeg(width=64, height=64, seed=n) for n in range(12)]
        self._old: list[bytes] = []
        self.dropped: Counter[str] = Counter()
        self.synced: Counter[str] = Counter()
        self.broke: BaseException | None = None
        for folder in FOLDERS:
            (self._inbox / folder).mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_now.set()
        self.join()

    def run(self) -> None:
        """Drop one after the other."""
        try:
            while not self._stop_now.is_set():
                if self.waiting() >= self._backlog:
                    time.sleep(0.01)
                    continue
                with self.busy:
                    self._drop_one()
        except BaseException as error:  # the test asks for it
            self.broke = error
            raise

    def waiting(self) -> int:
        """Files in the inbox now."""
        return sum(len(files) for _, _, files in os.walk(self._inbox))

    def _drop_one(self) -> None:
        self._number += 1
        data = self._content()
        target = self._inbox / f"{self._dice.choice(FOLDERS)}IMG_{self._dice.randrange(NAMES):04d}{self._suffix(data)}"
        ways: list[Callable[[Path, bytes], None]] = [self._moved_in, self._hidden_first, self._written, self._slowly]
        way = self._dice.choices(ways, (4, 3, 3, 1))[0]
        try:
            way(target, data)
        except FileExistsError:
            return
        self.dropped[books.content(data)] += 1
        if self._sync_one_in and self._dice.randrange(self._sync_one_in) == 0:
            self._sync(target, data)

    def _content(self) -> bytes:
        """Mostly birds that nobody has seen; also twins, empty frames, cut files and no pictures at all."""
        mark = b"%d" % self._number
        kind = self._dice.choices(["bird", "twin", "dark", "cut", "notes"], (70, 12, 8, 6, 4))[0]
        if kind == "twin" and self._old:
            return self._dice.choice(self._old)
        if kind == "dark":
            return lives.dark(seed=self._number)
        if kind == "cut":
            return png(width=64, height=64, seed=self._number)[: 900 + self._number % 500]
        if kind == "notes":
            return b"buy seeds " + mark
        bird = with_segment(self._dice.choice(self._birds), 0xFE, mark)
        self._old.append(bird)
        return bird

    def _suffix(self, data: bytes) -> str:
        return {b"\xff\xd8": ".jpg", b"\x89P": ".png"}.get(data[:2], ".txt")

    # -- ways to arrive; each is refused by a file of that name that is still there

    def _moved_in(self, target: Path, data: bytes) -> None:
        beside = self._beside / "next"
        beside.write_bytes(data)
        rename_noreplace(beside, target)

    def _hidden_first(self, target: Path, data: bytes) -> None:
        hidden = target.with_name(f".{target.name}.upload")
        hidden.write_bytes(data)
        try:
            rename_noreplace(hidden, target)
        except FileExistsError:
            hidden.unlink()
            raise

    def _written(self, target: Path, data: bytes) -> None:
        with target.open("xb") as out:
            out.write(data)

    def _slowly(self, target: Path, data: bytes) -> None:
        with target.open("xb", buffering=0) as out:
            for start in range(0, len(data), 1 + len(data) // 8):
                out.write(data[start : start + 1 + len(data) // 8])
                time.sleep(0.004)

    def _sync(self, target: Path, data: bytes) -> None:
        """As a careful sender does it; the daemon may have taken the file in the meantime, and then it is the daemon's part."""
        try:
            handle = os.open(target, os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.synced[books.content(data)] += 1
