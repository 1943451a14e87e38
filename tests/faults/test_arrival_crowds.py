"""Many at once, the same again, and things that change under the daemon's hands: each photo is kept once, and nothing else happens."""

import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import books
from tests.faults.told import at_rest, ended, kept, nobody_complains, states
from tests.faults.writers import drop
from tests.pictures import jpeg
from tests.service.running import STUBBED, Daemon, birdwatchd, daemon, until

pytestmark = pytest.mark.alone

PHOTO = jpeg(width=64, height=64, seed=1)
BY_EVENTS_ALONE = {"BIRDWATCHD_INBOX__SWEEP_S": "60"}


def photo(number: int) -> bytes:
    """One of as many photos as are wanted: alike to the eye, each of its own content."""
    return PHOTO + b"\n; number %d" % number


@contextmanager
def meanwhile(program: str, *words: str | Path) -> Iterator[None]:
    """Another program that goes on all the time; it is told where in `sys.argv`."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", program, *map(str, words)])
    try:
        yield
        assert process.poll() is None, "it has ended by itself"
    finally:
        process.kill()
        process.wait()


def open_files(running: Daemon) -> int:
    return len(list(Path(f"/proc/{running.process.pid}/fd").iterdir()))


def memory_kb(running: Daemon) -> int:
    (line,) = (
        line
        for line in Path(f"/proc/{running.process.pid}/status").read_text().split("\n")
        if line.startswith("VmRSS:")
    )
    return int(line.split()[1])


# -- changes under its hands


@pytest.mark.fault("A12")
def test_of_a_file_that_is_replaced_again_and_again_only_whole_versions_are_kept_and_the_last_for_sure(
    root: Path, tmp_path: Path
) -> None:
    inbox, written = root / "inbox", [jpeg(seed=number) for number in range(12)]
    versions = [version + b"%d" % turn for turn in range(60) for version in written]
    with daemon(root, command=STUBBED, settle_s=0) as running:
        for version in versions:
            (inbox / ".next").write_bytes(version)
            (inbox / ".next").replace(inbox / "a.jpg")
            time.sleep(random.uniform(0, 0.006))  # noqa: S311  # so that it meets every moment of a claim
        until("the last one filed", lambda: books.content(versions[-1]) in kept(root))
        until("nothing left", lambda: list(inbox.iterdir()) == [])
        nobody_complains(root)
        assert running.stop() == 0
    there = Counter(kept(root))
    assert there.keys() <= set(map(books.content, versions)), "something was kept that nobody wrote"
    assert len(there) > 3, "it never met the daemon at work"
    assert set(there.values()) == {1}
    books.check(root, there)


@pytest.mark.fault("A13")
def test_files_deleted_and_renamed_under_its_hands_do_no_harm(root: Path) -> None:
    inbox, count = root / "inbox", 200
    with daemon(root, command=STUBBED, settle_s=0) as running:
        for number in range(count):
            path = inbox / f"{number}.jpg"
            drop(inbox, path.name, photo(number))
            time.sleep(0.002 * (number % 5))
            try:
                if number % 2:
                    path.unlink()
                else:
                    path.rename(inbox / f"renamed {number}.jpg")
            except FileNotFoundError:
                continue  # it was quicker
        until("nothing left", lambda: list(inbox.iterdir()) == [] and states(root).get("claimed", 0) == 0)
        nobody_complains(root)
        assert running.stop() == 0
    there = Counter(kept(root))
    assert there.keys() <= {books.content(photo(number)) for number in range(count)}
    assert there.keys() >= {books.content(photo(number)) for number in range(0, count, 2)}, "a renamed one was lost"
    books.check(root, there)


@pytest.mark.fault("A14")
def test_a_hundred_photos_of_one_name_are_a_hundred_photos(root: Path, tmp_path: Path) -> None:
    inbox, count = root / "inbox", 100
    with daemon(root, command=STUBBED, settle_s=0) as running:
        for number in range(count):
            (tmp_path / "next").write_bytes(photo(number))
            until("the name is free", lambda: is_put(tmp_path / "next", inbox / "a.jpg"))
            (tmp_path / "next").unlink()
        until("all filed", ended(root, count))
        assert running.stop() == 0
    books.check(root, Counter(books.content(photo(number)) for number in range(count)))


def is_put(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except FileExistsError:
        return False
    return True


SHUFFLE = """
import os, shutil, sys
while True:
    for name in ("x", "y"):
        os.makedirs(f"{sys.argv[1]}/{name}/deep/deeper", exist_ok=True)
        open(f"{sys.argv[1]}/{name}/deep/.hidden", "w").close()
        os.rename(f"{sys.argv[1]}/{name}/deep", f"{sys.argv[1]}/{name}/other")
        shutil.rmtree(f"{sys.argv[1]}/{name}")
"""


@pytest.mark.fault("A22")
def test_folders_that_come_go_and_move_while_they_are_walked_lose_no_photo(root: Path, tmp_path: Path) -> None:
    inbox, count = root / "inbox", 200
    with daemon(root, command=STUBBED, environment=BY_EVENTS_ALONE) as running:
        with meanwhile(SHUFFLE, inbox):
            begun = time.monotonic()
            for number in range(count):
                folder = inbox / f"{number}" / "2026" / "05"
                if number % 2:
                    folder.mkdir(parents=True)
                    (folder / "a.jpg").write_bytes(photo(number))
                else:
                    card = tmp_path / f"{number}"
                    (card / "2026" / "05").mkdir(parents=True)
                    (card / "2026" / "05" / "a.jpg").write_bytes(photo(number))
                    card.rename(inbox / f"{number}")
            until("all filed", ended(root, count))
        assert time.monotonic() - begun < 40, "only the sweep found them"
        nobody_complains(root)
        assert running.stop() == 0
    for left in ("x", "y"):
        shutil.rmtree(inbox / left, ignore_errors=True)
    books.check(root, Counter(books.content(photo(number)) for number in range(count)))


# -- the same again


@pytest.mark.fault("A29")
def test_the_same_bytes_are_judged_once_however_often_and_whenever_they_come(root: Path) -> None:
    inbox = root / "inbox"
    count = 0
    for life in range(2):
        with daemon(root, command=STUBBED, settle_s=0.2 * life) as running:
            drop(inbox, f"one {life}.jpg", PHOTO)  # alone
            count += 1
            until("filed", ended(root, count))
            for number in range(10):  # together, under many names
                (inbox / f"camera {number}").mkdir(exist_ok=True)
                drop(inbox / f"camera {number}", "a.jpg", PHOTO)
            drop(inbox, f"other {life}.jpg", photo(life))
            drop(inbox, f"other {life} again.jpg", photo(life))
            count += 12
            until("filed", ended(root, count))
            running.kill()
        drop(inbox, f"between {life}.jpg", PHOTO)  # while nobody is there
        count += 1
    done = birdwatchd("doctor", root=root)
    assert "1 files in the folders are not in the log" not in done.stdout
    with daemon(root, command=STUBBED, settle_s=0) as running:
        until("filed", ended(root, count))
        assert running.stop() == 0
    assert states(root) == {"review": 3, "duplicate": count - 3}
    books.check(root, Counter([books.content(PHOTO)] * 24 + [books.content(photo(life)) for life in (0, 0, 1, 1)]))


# -- very many


def bring(root: Path, staging: Path, first: int, count: int) -> None:
    """So many new photos, in one go."""
    staging.mkdir(exist_ok=True)
    for number in range(first, first + count):
        (staging / f"{number}.jpg").write_bytes(photo(number))
    for number in range(first, first + count):
        (staging / f"{number}.jpg").rename(root / "inbox" / f"{number}.jpg")


def crowd(root: Path, staging: Path, running: Daemon, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A crowd comes and is filed; memory and handles stay in bounds meanwhile."""
    before_kb, handles = memory_kb(running), open_files(running)
    bring(root, staging, 0, count)
    begun, most_kb = time.monotonic(), 0
    while at_rest(root) < count:
        most_kb = max(most_kb, memory_kb(running))
        assert open_files(running) < handles + 64
        assert time.monotonic() - begun < 0.2 * count, "too slow, or stuck"
        time.sleep(0.2)
    took_s = time.monotonic() - begun
    with capsys.disabled():
        sys.stdout.write(
            f"\n{count} at once: {count / took_s:.0f} a second, memory {before_kb >> 10} -> at most {most_kb >> 10} MB\n"
        )
    assert most_kb - before_kb < (100 << 10) + count, "a kilobyte for each that waits, not more"
    assert open_files(running) <= handles
    nobody_complains(root)


@pytest.mark.fault("A15")
def test_a_crowd_at_once_is_filed_with_bounded_memory(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon(root, command=STUBBED) as running:
        crowd(root, tmp_path / "staging", running, 1200, capsys)
        assert running.stop() == 0
    books.check(root, Counter(books.content(photo(number)) for number in range(1200)))


@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.fault("A15")
def test_fifty_thousand_at_once_are_filed_with_bounded_memory(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon(root, command=STUBBED, environment={"BIRDWATCHD_INBOX__SWEEP_S": "30"}) as running:
        crowd(root, tmp_path / "staging", running, 50_000, capsys)
        assert running.stop() == 0
    books.check(root, Counter(books.content(photo(number)) for number in range(50_000)))
