"""Bad files by the thousand through one daemon: it grows by nothing, and good photos go on their way between them."""

import itertools
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import pytest
from PIL import Image

from tests import books
from tests.faults.feeding import AT_ONCE, RIGGED, fates, fresh_root, tell
from tests.faults.mutants import mutants
from tests.pictures import chunk, jpeg, png, saved, webp
from tests.service.running import Daemon, daemon, until

pytestmark = pytest.mark.alone

BETWEEN = 50
"""Bad files between two good ones."""

WARM_UP = 0.4
"""The share of the run after which nothing may grow any more."""

MOST_GROWTH = 0.05
MOST_GROWTH_SO_SOON = 0.10
"""Each thread that decodes has a heap of its own, which settles only after some thousand files."""


def bad_files() -> Iterator[bytes]:
    """Without end, each with content of its own, in turn of every sort that is refused."""
    picture, cut, gif = png(), webp(), saved(Image.new("P", (64, 64)), "GIF")
    mutant = (data for _, data in mutants(1_000_000, seed=20))
    for number in itertools.count():
        mark = number.to_bytes(8, "big")
        yield b"no picture at all" + mark
        yield jpeg(seed=number % 50)[: 1000 + number % 900] + mark
        yield picture[:33] + chunk(b"IDAT", mark) + picture[33:]
        yield gif + mark
        yield saved(Image.new("L", (8, 8)), "JPEG") + mark
        yield cut[: len(cut) // 2] + mark
        yield picture[:16] + b"\x7f\xff\xff\xff" + picture[20:] + mark
        yield next(mutant)


def size_of(one: Daemon) -> tuple[float, int]:
    """Memory in use in MB, and open files."""
    process = Path(f"/proc/{one.process.pid}")
    rss_kb = (process / "status").read_text().partition("VmRSS:")[2].split()[0]
    return int(rss_kb) / 1024, len(os.listdir(process / "fd"))  # noqa: PTH208


def good_files() -> Iterator[bytes]:
    """Small whole photos, without end."""
    return (jpeg(width=64, height=48, seed=seed) for seed in itertools.count(2000))


class Visit:
    """Batches of files, each with one good photo as the last, dropped into the inbox of a running daemon."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.dropped: Counter[str] = Counter()
        self.batches = 0

    def batch(self, files: Iterator[bytes]) -> float:
        """Drop so many files and a good photo behind them; the seconds until that photo has its receipt."""
        self.batches += 1
        for number in range(BETWEEN):
            self._drop(f"{self.batches:04d}-{number:02d}-any.jpg", next(files))
        good = jpeg(seed=10_000 + self.batches)
        name = f"{self.batches:04d}-good.jpg"
        begun = time.monotonic()
        self._drop(name, good)
        until(f"{name} has its receipt", lambda: self._ended("original_name = ?", name) == 1)
        waited = time.monotonic() - begun
        until("all have ended", lambda: self._ended("1") == self.dropped.total())
        return waited

    def _drop(self, name: str, data: bytes) -> None:
        part = self.root / "inbox" / f".{name}"
        part.write_bytes(data)
        part.rename(self.root / "inbox" / name)
        self.dropped[books.content(data)] += 1

    def _ended(self, condition: str, *values: str) -> int:
        with closing(sqlite3.connect(f"file:{self.root / 'birdwatchd.db'}?mode=ro", uri=True)) as db:
            rows = f"SELECT count(*) FROM photos WHERE state NOT IN ('claimed', 'decided') AND {condition}"  # noqa: S608
            found: tuple[int] = db.execute(rows, values).fetchone()
            return found[0]


def endure(root: Path, count: int, most_growth: float) -> None:
    visit = Visit(root)
    bad, good = bad_files(), good_files()
    with daemon(root, settle_s=0, environment=AT_ONCE, command=RIGGED) as running:
        behind_good = [visit.batch(good) for _ in range(5)]
        behind_bad: list[float] = []
        sizes: list[tuple[float, int]] = []
        for _ in range(count // BETWEEN):
            behind_bad.append(visit.batch(bad))
            sizes.append(size_of(running))
        assert running.stop() == 0
    books.check(root, visit.dropped)
    ends = list(fates(root))
    assert {one.state for one in ends if one.name.endswith("good.jpg")} <= {"review", "empty"}
    refused = Counter(one.reason for one in ends if one.state == "quarantined")
    assert refused.total() > 0.8 * count
    assert len(refused) >= 6, refused

    settled = int(len(sizes) * WARM_UP)
    before_mb = median(size for size, _ in sizes[settled : settled + 5])
    after_mb = median(size for size, _ in sizes[-5:])
    tell(f"memory {before_mb:.1f} -> {after_mb:.1f} MB, open files {sizes[settled][1]} -> {sizes[-1][1]}")
    tell(f"a photo waits {median(behind_good):.2f} s behind good ones, {median(behind_bad):.2f} s behind bad ones")
    assert after_mb <= before_mb * (1 + most_growth), f"{before_mb:.1f} -> {after_mb:.1f} MB"
    assert max(files for _, files in sizes[-5:]) <= max(files for _, files in sizes[settled : settled + 5])
    assert median(behind_bad) <= 1.5 * median(behind_good) + 0.5, "a good photo waits longer behind bad ones"


@pytest.mark.fault("B20")
@pytest.mark.timeout(900)
def test_two_thousand_bad_files_leave_nothing_behind_in_the_daemon(tmp_path: Path) -> None:
    endure(fresh_root(tmp_path / "birds"), 2000, MOST_GROWTH_SO_SOON)


@pytest.mark.fault("B20")
@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_ten_thousand_bad_files_leave_nothing_behind_in_the_daemon(tmp_path: Path) -> None:
    endure(fresh_root(tmp_path / "birds"), 10_000, MOST_GROWTH)
