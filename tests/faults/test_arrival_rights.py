"""Files that the daemon may not touch, and writers whom it may not ask about: by a daemon that is a user like any other."""

import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import books
from tests.faults.machine import only_for_root, without_powers
from tests.faults.told import at_rest, ended, everybody_says, nobody_complains, status
from tests.faults.writers import DESPITE_THE_END, drop, writing
from tests.pictures import jpeg
from tests.service.running import STUBBED, Daemon, daemon, until

SOMEBODY = 65534
SETTLE_S = 0.4
LONGER_S = 5 * SETTLE_S


def photo(seed: int) -> bytes:
    return jpeg(width=64, height=64, seed=seed)


@pytest.fixture
def running(root: Path) -> Iterator[Daemon]:
    only_for_root()
    with daemon(root, command=without_powers(STUBBED), settle_s=SETTLE_S) as running:
        yield running


@pytest.mark.fault("A05")
def test_a_writer_of_another_user_may_pause_longer_because_nobody_can_tell_whether_it_is_done(
    root: Path, running: Daemon, tmp_path: Path
) -> None:
    data = photo(1) + DESPITE_THE_END * 100
    with writing(root / "inbox" / "a.jpg", data, tmp_path) as writer:
        writer.do(f"os.fchown(handle, {SOMEBODY}, -1); os.fchmod(handle, 0o644); os.setuid({SOMEBODY})")
        for share in (0.7, 0.8, 0.9):
            writer.write_to(share)
            time.sleep(LONGER_S * 0.5)  # longer than the quiet time for our own files
            assert at_rest(root) == 0
        writer.write_to(1)
    begun = time.monotonic()
    until("filed", ended(root, 1))
    assert time.monotonic() - begun > LONGER_S * 0.8
    assert running.stop() == 0
    books.check(root, Counter([books.content(data)]))


@pytest.mark.fault("A27")
def test_what_may_not_be_opened_or_taken_stays_is_told_of_and_filed_once_that_is_set_right(
    root: Path, running: Daemon
) -> None:
    inbox = root / "inbox"
    (inbox / "shut").mkdir()
    (inbox / "sticky").mkdir()
    for seed, name in enumerate(("closed.jpg", "foreign.jpg", "shut/a.jpg", "sticky/a.jpg")):
        folder = (inbox / name).parent
        drop(folder, ".made", photo(seed))
        os.chmod(folder / ".made", 0o644)  # noqa: PTH101
        (folder / ".made").rename(inbox / f".{seed}")
    (inbox / ".0").chmod(0)
    os.chown(inbox / ".1", SOMEBODY, SOMEBODY)
    (inbox / ".1").chmod(0o600)
    os.chown(inbox / ".3", SOMEBODY, SOMEBODY)
    for seed, name in enumerate(("closed.jpg", "foreign.jpg", "shut/a.jpg", "sticky/a.jpg")):
        (inbox / f".{seed}").rename(inbox / name)
    os.chown(inbox / "sticky", SOMEBODY, SOMEBODY)
    (inbox / "sticky").chmod(0o1777)
    (inbox / "shut").chmod(0)
    drop(inbox, "free.jpg", photo(4))
    until("the free one is filed", ended(root, 1))
    everybody_says(root, running, "in the inbox, the folder shut may not be opened")
    until("all are told of", lambda: ", and 3 more" in str(status(root)["problems"]))
    drop(inbox, "later.jpg", photo(5))
    until("others go on", ended(root, 2))
    told = running.err.read_text()
    assert told.count("the folder shut may not be opened") <= 4, "said when it changes, not at each sweep"

    (inbox / "shut").chmod(0o755)
    until("the folder is emptied", ended(root, 3))
    (inbox / "closed.jpg").chmod(0o644)
    (inbox / "foreign.jpg").chmod(0o644)
    until("both filed", ended(root, 5))
    (inbox / "sticky").chmod(0o777)
    os.utime(inbox / "sticky" / "a.jpg")  # any change to it means: try now, and not in a minute
    until("filed", ended(root, 6))
    nobody_complains(root)
    assert running.stop() == 0
    books.check(root, Counter(books.content(photo(seed)) for seed in range(6)))


@pytest.mark.fault("A27")
def test_a_file_that_is_immutable_stays_is_told_of_and_filed_once_it_is_not(root: Path, running: Daemon) -> None:
    path = root / "inbox" / "a.jpg"
    path.with_name(".a").write_bytes(photo(1))
    if shutil.which("chattr") is None:
        pytest.skip("no chattr: install e2fsprogs")
    path.with_name(".a").rename(path)
    tried = subprocess.run(["chattr", "+i", str(path)], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"files cannot be made immutable here: {tried.stderr.strip()} (put the temporary folder on ext4)")
    try:
        everybody_says(root, running, "a.jpg may not be taken")
        drop(root / "inbox", "b.jpg", photo(2))
        until("others go on", ended(root, 1))
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)
    until("filed", ended(root, 2))
    nobody_complains(root)
    assert running.stop() == 0
    books.check(root, Counter(books.content(photo(seed)) for seed in (1, 2)))
