"""The process itself: told to stop, hung up, started twice, out of descriptors, threads and memory. Nothing is lost by any of it."""

import os
import random
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.edges.store import Store
from tests import books
from tests.pictures import jpeg, png
from tests.service.running import STUBBED, Daemon, birdwatchd, daemon, until


def drop(root: Path, *seeds: int, **how: int) -> Counter[str]:
    """Photos into the inbox, each complete at once; their contents."""
    photos = {seed: jpeg(seed=seed, **how) for seed in seeds}
    for seed, photo in photos.items():
        part = root / "inbox" / f"{seed}.jpg.part"
        part.write_bytes(photo)
        part.rename(part.with_suffix(""))
    return Counter(map(books.content, photos.values()))


def is_empty(root: Path) -> bool:
    """Whether everything has left the inbox and has its receipt."""
    inbox_is_empty = not any(path.is_file() for path in (root / "inbox").rglob("*"))
    with Store.read_only(root / "birdwatchd.db") as store:
        return inbox_is_empty and store.journeys.under_way_count() == 0


def status(root: Path) -> dict[str, Any]:
    with Store.read_only(root / "birdwatchd.db") as store:
        return store.requests.status() or {}


def problems(root: Path) -> str:
    return str(status(root).get("problems", ""))


@contextmanager
def stubbed(root: Path, **how: Any) -> Iterator[Daemon]:
    with daemon(root, command=STUBBED, settle_s=0, **how) as running:
        yield running


# -- signals


def stopped_in_the_middle(root: Path, lives: int, dice: random.Random) -> tuple[Counter[str], int]:
    """Lives that are ended by a signal somewhere in their work; what was dropped, and how many had work left."""
    dropped: Counter[str] = Counter()
    interrupted = 0
    for life in range(lives):
        with stubbed(root) as running:
            dropped += drop(root, *range(24 * life, 24 * life + 24), width=800, height=600)
            time.sleep(dice.uniform(0, 0.25))
            begun = time.monotonic()
            running.process.send_signal(dice.choice([signal.SIGTERM, signal.SIGINT]))
            assert running.process.wait(30) == 0, running.err.read_text()
            assert time.monotonic() - begun < 30
        interrupted += not is_empty(root)
        books.check(root, dropped, settled=False)
    return dropped, interrupted


@pytest.mark.fault("C05")
def test_told_to_stop_at_any_moment_it_ends_well_and_leaves_nothing_half_done(root: Path) -> None:
    dropped, interrupted = stopped_in_the_middle(root, 6, random.Random(5))  # noqa: S311  # a dice that falls the same way each time
    assert interrupted > 0, "no life was ended in the middle of its work"
    with stubbed(root) as running:
        until("the rest is filed", lambda: is_empty(root))
        assert running.stop() == 0
    books.check(root, dropped)


@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.fault("C05")
def test_told_to_stop_three_hundred_times_it_ends_well_each_time(root: Path) -> None:
    dropped, interrupted = stopped_in_the_middle(root, 300, random.Random(50))  # noqa: S311
    assert interrupted > 30
    with stubbed(root):
        until("the rest is filed", lambda: is_empty(root))
    books.check(root, dropped)


@pytest.mark.fault("C05")
def test_told_to_stop_while_it_repairs_itself_it_ends_well(root: Path) -> None:
    """The second `kill` of an impatient person, too: whatever is cut short is repaired at the next start."""
    with stubbed(root) as running:
        dropped = drop(root, *range(40), width=800, height=600)
        until("work is in flight", lambda: not is_empty(root))
        running.kill()
    process = subprocess.Popen(
        [*STUBBED, "run", "--root", str(root)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    time.sleep(0.6)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert b"Traceback" not in said
    books.check(root, dropped, settled=False)
    with stubbed(root):
        until("the rest is filed", lambda: is_empty(root))
    books.check(root, dropped)


@pytest.mark.fault("C06")
def test_a_storm_of_hang_ups_neither_stops_nor_restarts_it(root: Path) -> None:
    with stubbed(root) as running:
        dropped: Counter[str] = Counter()
        for number in range(100):
            running.process.send_signal(signal.SIGHUP)
            if number % 10 == 0:
                dropped += drop(root, number)
        until("all is filed", lambda: is_empty(root))
        assert status(root)["pid"] == running.process.pid
        assert running.stop() == 0
    books.check(root, dropped)


@pytest.mark.fault("C06")
def test_when_its_terminal_is_closed_it_stops_as_if_told_to(root: Path) -> None:
    """A daemon that nobody sees any more would keep the folder locked for the next one."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*STUBBED, "run", "--root", str(root)],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        said = b""
        while b"birdwatchd is ready" not in said:
            said += os.read(ours, 4096)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)
        assert process.wait(30) in {0, 120}, "120: Python could not say good-bye to the terminal"
        assert status(root)["state"] == "stopped"
    finally:
        process.kill()
        process.wait()


@pytest.mark.fault("C09")
def test_a_second_daemon_goes_with_clear_words_and_the_first_goes_on(root: Path) -> None:
    with stubbed(root) as first:
        second = birdwatchd("run", root=root)
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr.startswith("birdwatchd: another birdwatchd already works in ")
        assert "hint:" in second.stderr
        dropped = drop(root, 1, 2, 3)
        until("all is filed", lambda: is_empty(root))
        assert first.stop() == 0
    books.check(root, dropped)
