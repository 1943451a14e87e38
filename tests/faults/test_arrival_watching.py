"""Whatever breaks the watching, no photo is lost by it, it is told, and it mends itself when it can."""

import importlib.util
import math
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from birdwatchd.edges.watch.window import POLL_S
from tests import books
from tests.faults.machine import loosen, mounted, within
from tests.faults.told import at_rest, ended, everybody_says, nobody_complains, rows, status
from tests.faults.writers import drop
from tests.pictures import jpeg
from tests.service.running import STUBBED, Daemon, daemon, until

pytestmark = pytest.mark.alone

BREAKABLE = [sys.executable, "-m", "tests.faults.breakable"]
QUEUE_MOST = Path("/proc/sys/fs/inotify/max_queued_events")
SETTLE_S = 0.2


def sweeping_every(seconds: int) -> dict[str, str]:
    return {"BIRDWATCHD_INBOX__SWEEP_S": str(seconds)}


def small(seed: int) -> bytes:
    return jpeg(width=64, height=64, seed=seed)


def check(root: Path, photos: int) -> None:
    """All photos of these seeds are where they belong."""
    books.check(root, Counter(books.content(small(seed)) for seed in range(photos)))


def is_told(running: Daemon, words: str, times: int = 1) -> Callable[[], bool]:
    return lambda: running.err.read_text().count(words) >= times


# -- the kernel refuses


@pytest.mark.fault("A16")
def test_after_an_overflow_of_the_kernels_queue_everything_is_found_at_once(root: Path) -> None:
    inbox = root / "inbox"
    most = int(QUEUE_MOST.read_text())
    if most > 200_000:
        pytest.skip(f"the queue holds {most} events: sysctl fs.inotify.max_queued_events=16384")
    with daemon(root, command=STUBBED, environment=sweeping_every(60)) as running:
        running.process.send_signal(signal.SIGSTOP)
        with (inbox / ".a").open("wb", buffering=0) as one, (inbox / ".b").open("wb", buffering=0) as other:
            for _ in range(most // 2 + 10):  # two in turn, for the same again and again counts only once
                one.write(b"x")
                other.write(b"x")
        for seed in range(20):
            drop(inbox, f"{seed}.jpg", small(seed))
        running.process.send_signal(signal.SIGCONT)
        begun = time.monotonic()
        until("all filed", ended(root, 20))
        assert time.monotonic() - begun < 20, "they waited for the ordinary sweep"
        everybody_says(root, running, "more happened in the inbox at once than the system could tell of")
        assert running.stop() == 0
    check(root, 20)


@pytest.mark.fault("A17")
def test_without_enough_watches_the_sweep_finds_all_and_everybody_says_so_until_there_are_more(root: Path) -> None:
    inbox = root / "inbox"
    for number in range(60):
        (inbox / f"camera {number}").mkdir()
    with daemon(root, command=within(STUBBED, max_inotify_watches=20)) as running:
        (inbox / "late").mkdir()
        for seed in range(60):
            drop(inbox / f"camera {seed}", "a.jpg", small(seed))
        drop(inbox / "late", "a.jpg", small(60))
        until("all filed", ended(root, 61))
        everybody_says(root, running, "new files in 42 folders of the inbox are found only by the sweep")
        assert status(root)["watcher"] == "events"
        loosen(running.process.pid, max_inotify_watches=1000)
        until("watched again", is_told(running, "watching anew (events)"))
        nobody_complains(root)
        assert running.stop() == 0
    check(root, 61)


@pytest.mark.fault("A18")
def test_without_inotify_it_starts_polling_and_goes_over_to_events_when_it_can(root: Path) -> None:
    with daemon(root, command=within(STUBBED, max_inotify_instances=0), environment=sweeping_every(30)) as running:
        drop(root / "inbox", "a.jpg", small(0))
        begun = time.monotonic()
        until("filed", ended(root, 1))
        assert time.monotonic() - begun < 2 * POLL_S + 5, "it was found by the sweep only"
        assert status(root)["watcher"] == "polling"
        everybody_says(root, running, "new files are looked for every 5 s: no line to the kernel is left")
        loosen(running.process.pid, max_inotify_instances=10)
        (root / "inbox" / "camera").mkdir()  # a new folder asks for a sweep
        until("events", lambda: status(root)["watcher"] == "events")
        nobody_complains(root)
        drop(root / "inbox", "b.jpg", small(1))
        until("filed", ended(root, 2))
        assert running.stop() == 0
    check(root, 2)


# -- the inbox goes


@pytest.mark.fault("A19")
def test_an_inbox_deleted_and_made_again_is_missed_told_of_and_watched_again(root: Path) -> None:
    inbox = root / "inbox"
    with daemon(root, command=STUBBED) as running:
        shutil.rmtree(inbox)
        everybody_says(root, running, f"{inbox} is gone", doctor=f"{inbox} is missing")
        inbox.mkdir()
        drop(inbox, "a.jpg", small(0))
        until("filed", ended(root, 1))
        until("watched again", is_told(running, "watching anew (events)"))
        shutil.rmtree(inbox)  # so quickly that nobody saw it gone
        inbox.mkdir()
        drop(inbox, "b.jpg", small(1))
        until("filed", ended(root, 2))
        until("watched again", is_told(running, "watching anew (events)", 2))
        nobody_complains(root)
        assert running.stop() == 0
    check(root, 2)


@pytest.mark.fault("A20")
def test_from_an_inbox_renamed_or_replaced_by_a_link_nothing_is_taken_until_it_is_back(
    root: Path, tmp_path: Path
) -> None:
    inbox, elsewhere = root / "inbox", tmp_path / "elsewhere"
    with daemon(root, command=STUBBED) as running:
        inbox.rename(elsewhere)
        drop(elsewhere, "a.jpg", small(0))
        until("it is missed", lambda: f"{inbox} is gone" in str(status(root).get("problems")))
        inbox.symlink_to(elsewhere)
        everybody_says(root, running, f"{inbox} is another one than at the start", doctor=f"{inbox} is a symbolic link")
        time.sleep(2.5)  # more than two sweeps
        assert at_rest(root) == 0
        assert (elsewhere / "a.jpg").exists()
        inbox.unlink()
        elsewhere.rename(inbox)
        until("filed", ended(root, 1))
        nobody_complains(root)
        assert running.stop() == 0
    check(root, 1)


@pytest.mark.fault("A21")
def test_a_disk_mounted_over_the_inbox_is_the_inbox_and_the_bare_folder_under_it_is_left_alone(root: Path) -> None:
    """What somebody drops there while the disk is away would vanish under it; that is for a person to look at."""
    inbox = root / "inbox"
    with daemon(root, command=STUBBED) as running:
        with mounted(inbox, "-t", "tmpfs", "birds"):
            drop(inbox, "a.jpg", small(0))
            until("filed", ended(root, 1))
            until("watched again", is_told(running, "watching anew (events)"))
        drop(inbox, "b.jpg", small(1))
        everybody_says(root, running, f"the disk of {inbox} is not mounted any more")
        assert at_rest(root) == 1
        assert (inbox / "b.jpg").exists()
        with mounted(inbox, "-t", "tmpfs", "birds"):
            drop(inbox, "c.jpg", small(2))
            until("filed", ended(root, 2))
            nobody_complains(root)
        assert running.stop() == 0
    with daemon(root, command=STUBBED) as running:  # who starts it anew says that this is the inbox now
        until("filed", ended(root, 3))
        assert running.stop() == 0
    check(root, 3)


# -- its own threads end


@pytest.mark.fault("A23")
def test_whichever_thread_of_the_watching_breaks_it_is_noticed_and_events_come_again(root: Path) -> None:
    inbox = root / "inbox"
    victims = ("reader", "emitter", "dispatcher")
    with daemon(root, command=BREAKABLE, environment=sweeping_every(6)) as running:
        for number, victim in enumerate(victims):
            drop(inbox, f"break the {victim}.jpg", small(2 * number))
            until(f"watched again after {victim}", is_told(running, "watching anew (events)", number + 1))
            drop(inbox, f"{number}.jpg", small(2 * number + 1))
            begun = time.monotonic()
            until("both filed", ended(root, 2 * number + 2))
            assert time.monotonic() - begun < 4, f"no events after {victim}"
        nobody_complains(root)
        assert running.stop() == 0
    check(root, 2 * len(victims))


@pytest.mark.fault("A23")
def test_folders_shuffled_by_a_person_do_not_end_the_watching_for_good(root: Path, tmp_path: Path) -> None:
    """Out with the card's folder, a new one of its name, both deleted: that ended watchdog 7.1.0 in silence."""
    inbox = root / "inbox"
    with daemon(root, command=STUBBED, environment=sweeping_every(60)) as running:
        (inbox / "card").mkdir()
        time.sleep(0.5)
        (inbox / "card").rename(tmp_path / "card")
        (inbox / "card").mkdir()
        time.sleep(0.5)
        (inbox / "card").rmdir()
        (tmp_path / "card").rmdir()
        begun = time.monotonic()
        until("watched again", is_told(running, "watching anew (events)"))
        assert time.monotonic() - begun < 20, "only the sweep found out"
        drop(inbox, "a.jpg", small(0))
        begun = time.monotonic()
        until("filed", ended(root, 1))
        assert time.monotonic() - begun < 5
        assert running.stop() == 0
    check(root, 1)


# -- no events at all


@contextmanager
def passthrough(behind: Path, front: Path) -> Iterator[None]:
    """`front` shows what is written to `behind`, without a word of it."""
    if importlib.util.find_spec("mfusepy") is None or not Path("/dev/fuse").exists() or not shutil.which("fusermount3"):
        pytest.skip("no FUSE: needs /dev/fuse, the Debian package fuse3 and mfusepy")
    words = [sys.executable, "-m", "tests.faults.passthrough", str(behind), str(front)]
    process = subprocess.Popen(words)
    try:
        until("mounted", lambda: process.poll() is not None or front.is_mount())
        if not front.is_mount():
            pytest.skip("FUSE does not let us mount: run the tests as root")
        yield
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(front)], check=False, capture_output=True)
        process.wait(30)


@pytest.mark.fault("A30")
def test_in_an_inbox_that_tells_of_no_events_files_are_found_and_watched_longer(root: Path, tmp_path: Path) -> None:
    inbox, behind = root / "inbox", tmp_path / "other machine"
    behind.mkdir()
    with passthrough(behind, inbox), daemon(root, command=STUBBED, environment=sweeping_every(60)) as running:
        assert status(root)["watcher"] == "polling"
        begun = time.monotonic()
        (behind / "camera").mkdir()
        drop(behind, "a.jpg", small(0))
        drop(behind / "camera", "b.jpg", small(1))
        (behind / "cut.jpg").write_bytes(small(2)[:600])
        until("both filed", ended(root, 2))
        took_s = time.monotonic() - begun
        assert 15 * SETTLE_S < took_s < 30, "who writes there cannot be told; and no sweep was due"
        assert sorted(path.name for path in behind.rglob("*.jpg")) == ["cut.jpg"]
        assert {row["camera"] for row in rows(root)} == {None, "camera"}
        assert running.stop() == 0
    (behind / "cut.jpg").rename(inbox / "cut.jpg")
    books.check(root, Counter(books.content(data) for data in (small(0), small(1), small(2)[:600])), settled=False)


# -- how soon


def share(numbers: list[float], part: float) -> float:
    return sorted(numbers)[math.ceil(part * len(numbers)) - 1]


@pytest.mark.fault("A16", "A30")
def test_a_file_renamed_into_place_is_filed_within_the_quiet_time_and_two_seconds(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    took_s: list[float] = []
    with daemon(root, command=STUBBED, environment=sweeping_every(600)) as running:
        for seed in range(40):
            begun = time.monotonic()
            drop(root / "inbox", f"{seed}.jpg", small(seed))
            while at_rest(root) <= seed:
                assert time.monotonic() - begun < 30
                time.sleep(0.01)
            took_s.append(time.monotonic() - begun)
        assert running.stop() == 0
    with capsys.disabled():
        sys.stdout.write(
            f"\ndrop -> receipt by events: p50 {share(took_s, 0.5):.2f} s, p95 {share(took_s, 0.95):.2f} s, settle {SETTLE_S} s\n"
        )
    assert share(took_s, 0.95) <= SETTLE_S + 2
    check(root, 40)


@pytest.mark.fault("A23")
def test_without_any_event_a_file_is_filed_within_one_sweep_and_the_quiet_time(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep_s, drops = 12, 40
    environment = sweeping_every(sweep_s) | {"BLIND": "1"}
    dropped: dict[str, float] = {}
    filed: dict[str, float] = {}
    with daemon(root, command=BREAKABLE, environment=environment) as running:
        begun = time.monotonic()
        while len(filed) < drops:
            if len(dropped) < drops and time.monotonic() > begun + len(dropped) * sweep_s / drops:
                name = f"{len(dropped)}.jpg"
                drop(root / "inbox", name, small(len(dropped)))
                dropped[name] = time.monotonic()
            for row in rows(root, "original_name, state"):
                if row["state"] not in ("claimed", "decided"):
                    filed.setdefault(row["original_name"], time.monotonic())
            assert time.monotonic() - begun < 5 * sweep_s
            time.sleep(0.02)
        assert running.stop() == 0
    took_s = [filed[name] - dropped[name] for name in dropped]
    with capsys.disabled():
        sys.stdout.write(
            f"\ndrop -> receipt without events: p50 {share(took_s, 0.5):.2f} s, p95 {share(took_s, 0.95):.2f} s, sweep {sweep_s} s\n"
        )
    assert share(took_s, 0.95) <= sweep_s + SETTLE_S
    check(root, drops)
