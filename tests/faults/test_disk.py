"""The disk fails in every way: nothing is lost, nothing is called filed that is not, and all goes on when the disk is well again."""

import errno
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.edges.files import Files
from tests import books
from tests.faults.breaking import (
    NO_RESERVE,
    NO_RESERVE_ENVIRONMENT,
    change_habits,
    failing,
    fill,
    mounted,
    need,
    need_root,
    passed_through,
    small_disk,
    traced,
    use_up_inodes,
)
from tests.faults.told import at_rest, nobody_complains
from tests.faults.tripping import Fault, Machine
from tests.pictures import jpeg
from tests.service.running import STUBBED, Daemon, birdwatchd, daemon, until
from tests.test_worker import Bench

BIRD = jpeg(width=200, height=150, seed=1)
OTHER = jpeg(width=200, height=150, seed=2)
ARRIVALS = {"a.jpg": BIRD, "feeder/b.jpg": OTHER, "notes.txt": b"buy seeds\n"}
DROPPED = Counter(books.content(data) for data in ARRIVALS.values())
QUICK = {"sweep_s": 2.0, **NO_RESERVE}
LONG_ENOUGH_S = 120.0
"""Longer than any pause after which something is tried again."""


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A place whose disk is memory: an fsync costs nothing there."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    place = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield place
    shutil.rmtree(place)


def drop(root: Path, arrivals: dict[str, bytes] = ARRIVALS) -> None:
    for name, data in arrivals.items():
        path = root / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@contextmanager
def garden(root: Path, lamp: Path, *, inbox_elsewhere: bool = False) -> Iterator[Bench]:
    """A worker on a new bird folder, with its clock turned by hand."""
    with ExitStack() as stack:
        Files(root).create()
        if inbox_elsewhere:
            stack.enter_context(small_disk(root / "inbox"))
        bench = Bench(root, lamp, inbox=QUICK)
        stack.callback(bench.close)
        yield bench


def assert_nothing_is_missing(root: Path) -> None:
    """While a copy between two disks is open, a photo may be there twice."""
    there = books.files_in(root, *books.RESTING, "inbox", ".birdwatchd/work")
    assert not DROPPED - Counter(there.values())


def assert_recovered(bench: Bench) -> None:
    """Everything is at rest, and nobody complains any more."""
    books.check(bench.root, DROPPED)
    assert bench.worker.condition.problems == {}
    status = bench.store.requests.status()
    assert status is not None
    assert status["state"] == "working"


# -- each single call


def live_with(place: Path, fault: Fault, *, inbox_elsewhere: bool) -> Fault:
    """One life in which a call fails, then a life without failures."""
    root = place / "birdwatch"
    with garden(root, place / "lamp", inbox_elsewhere=inbox_elsewhere) as bench:
        machine = Machine(root)
        machine.watch(bench.store)
        drop(root)
        try:
            with machine.working(fault):
                bench.let_pass(20, at_most_steps=500)
            assert_nothing_is_missing(root)
            with machine.working():
                bench.let_pass(LONG_ENOUGH_S, at_most_steps=1000)
            assert_recovered(bench)
            assert machine.receipts >= len(ARRIVALS)
        finally:
            machine.book.close()
    shutil.rmtree(root)
    (place / "lamp").unlink()
    return fault


def fail_at_each_call(place: Path, *, code: int, lasting: bool, elsewhere: bool, step: int = 1) -> int:
    """The n-th call fails, for n = 1, 2, 3 … until none does; returns the number of calls."""
    at = 1
    while True:
        fault = Fault(at, code, lasting)
        try:
            live_with(place, fault, inbox_elsewhere=elsewhere)
        except BaseException as error:
            error.add_note(f"call {at} failed with {errno.errorcode[code]}: {fault.failed[:1]}")
            raise
        if not fault.failed:
            return at
        at += step


@pytest.mark.fault("D01", "D04", "D09", "S06")
@pytest.mark.parametrize("elsewhere", [False, True], ids=["one disk", "inbox on another disk"])
@pytest.mark.parametrize(("code", "lasting", "step"), [(errno.EIO, False, 2), (errno.ENOSPC, True, 5)])
def test_whichever_call_fails_nothing_is_lost_and_nothing_is_called_filed_that_is_not(
    memory: Path, code: int, lasting: bool, step: int, elsewhere: bool
) -> None:
    calls = fail_at_each_call(memory, code=code, lasting=lasting, elsewhere=elsewhere, step=step)
    assert calls > 200, "too few calls to mean anything"


@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.fault("D01", "D03", "D04", "D09", "S06")
@pytest.mark.parametrize("elsewhere", [False, True], ids=["one disk", "inbox on another disk"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("code", ["EIO", "ENOSPC", "EDQUOT", "EROFS", "EAGAIN", "EACCES", "EPERM", "ESTALE", "EMFILE"])
def test_whichever_call_fails_with_whichever_error(memory: Path, code: str, lasting: bool, elsewhere: bool) -> None:
    fail_at_each_call(memory, code=getattr(errno, code), lasting=lasting, elsewhere=elsewhere)


# -- full


def assert_told_and_then_recovered(bench: Bench, make_room: Callable[[], None]) -> bool:
    """After something ran out: nothing lost, told while anything waits, and well by itself; whether anything had to wait."""
    bench.let_pass(20, at_most_steps=500)
    assert_nothing_is_missing(bench.root)
    waited = len(books.files_in(bench.root, *books.RESTING)) < len(ARRIVALS)
    if waited:
        assert bench.worker.condition.problems
        assert "full" in bench.worker.in_words() or "cannot" in bench.worker.in_words()
    make_room()
    bench.let_pass(LONG_ENOUGH_S, at_most_steps=1000)
    assert_recovered(bench)
    return waited


@pytest.mark.fault("D01", "S06")
@pytest.mark.parametrize("elsewhere", [False, True], ids=["one disk", "inbox on another disk"])
def test_a_disk_that_is_full_to_any_page_keeps_photos_waiting_and_says_so(tmp_path: Path, elsewhere: bool) -> None:
    waited: dict[int, bool] = {}
    for pages in [*range(0, 24, 2), *range(24, 100, 12)]:
        with (
            small_disk(tmp_path / "birdwatch") as root,
            garden(root, tmp_path / f"lamp{pages}", inbox_elsewhere=elsewhere) as bench,
        ):
            drop(root)
            ballast = fill(root, leave_pages=pages)
            waited[pages] = assert_told_and_then_recovered(bench, ballast.unlink)
    assert (waited[0], waited[96]) == (True, False), waited


@pytest.mark.fault("D02")
def test_a_disk_without_inodes_keeps_photos_waiting_and_says_so(tmp_path: Path) -> None:
    waited: dict[int, bool] = {}
    for inodes in range(12):
        with (
            small_disk(tmp_path / "birdwatch", inodes=60) as root,
            garden(root, tmp_path / f"lamp{inodes}") as bench,
        ):
            drop(root)
            ballast = use_up_inodes(root, leave=inodes)
            waited[inodes] = assert_told_and_then_recovered(bench, lambda full=ballast: shutil.rmtree(full))  # type: ignore[misc]
    assert (waited[0], waited[11]) == (True, False), waited


def is_told(running: Daemon, words: str) -> bool:
    """Whether the service manager has heard that since the last look."""
    return any(words in notice for notice in running.notices())


def drop_by_name_only(root: Path) -> Callable[[], None]:
    """Put photos under hidden names now; what is returned gives them their own, which takes no room."""
    drop(root, {f"{Path(name).parent}/.{Path(name).name}": data for name, data in ARRIVALS.items()})

    def appear() -> None:
        for name in ARRIVALS:
            path = root / "inbox" / name
            path.with_name(f".{path.name}").rename(path)

    return appear


@pytest.mark.fault("D01")
def test_a_daemon_whose_disk_is_full_says_so_in_a_sweep_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "birdwatch") as root:
        Files(root).create()
        appear = drop_by_name_only(root)
        with daemon(root, command=STUBBED, environment=NO_RESERVE_ENVIRONMENT) as running:
            ballast = fill(root)
            appear()
            until("the service manager is told", lambda: is_told(running, "disk is full"))
            assert "make room" in birdwatchd("doctor", root=root).stdout
            assert_nothing_is_missing(root)
            ballast.unlink()
            until("all at rest", lambda: at_rest(root) == len(ARRIVALS))
            nobody_complains(root)
            assert running.stop() == 0
        books.check(root, DROPPED)


@pytest.mark.fault("D03")
def test_a_daemon_whose_quota_is_used_up_says_so_in_a_sweep_and_goes_on_when_there_is_more(root: Path) -> None:
    with daemon(root, command=STUBBED) as running:
        with failing(running.process.pid, "pwrite64,mkdir:error=EDQUOT"):
            drop(root)
            until("the service manager is told", lambda: is_told(running, "cannot use"))
            assert_nothing_is_missing(root)
        until("all at rest", lambda: at_rest(root) == len(ARRIVALS))
        nobody_complains(root)
        assert running.stop() == 0
    books.check(root, DROPPED)


# -- calls of the real process that fail


def scan_with(root: Path, rule: str) -> int:
    """One `scan` under a fault; returns how many photos it reported."""
    done = subprocess.run(
        [*traced(rule), *STUBBED, "scan", "--json", "--root", str(root)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"BIRDWATCHD_INBOX__SETTLE_S": "0"},
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in {0, 1, 2}, done
    reported = int(json.loads(done.stdout)["photos"]) if done.stdout else 0
    assert reported <= len(books.files_in(root, *books.RESTING))
    return reported


def scan_through(tmp_path: Path, rules: Iterable[str]) -> int:
    """One life under each fault, and then one without; returns how many the fault left something to do."""
    hindered = 0
    for number, rule in enumerate(rules):
        root = tmp_path / str(number)
        Files(root).create()
        drop(root)
        hindered += scan_with(root, rule) < len(ARRIVALS)
        assert_nothing_is_missing(root)
        bench = Bench(root, tmp_path / f"lamp{number}", inbox=QUICK)
        try:
            bench.let_pass(LONG_ENOUGH_S, at_most_steps=1000)
            assert_recovered(bench)
        except BaseException as error:
            error.add_note(f"after {rule}")
            raise
        finally:
            bench.close()
        shutil.rmtree(root)
    return hindered


@pytest.mark.fault("D04")
def test_an_fsync_of_the_real_process_that_fails_loses_nothing(tmp_path: Path) -> None:
    rules = [f"fsync:error=EIO:when={when}" for when in ("1", "2+", "5+")]
    rules += [f"fdatasync:error=EIO:when={when}" for when in ("1", "12+", "14")]
    assert scan_through(tmp_path, rules) > 3


CALLS = {
    "fsync": 20,
    "fdatasync": 40,
    "pwrite64": 200,
    "renameat2": 12,
    "mkdir": 12,
    "unlink": 12,
    "ftruncate": 8,
    "pread64": 40,
}
"""System calls of one scan, and more than it makes of each."""


@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.fault("D04", "D09", "D10")
@pytest.mark.parametrize(
    ("error", "lasting"),
    [
        *itertools.product(["EIO", "ENOSPC", "EDQUOT", "EROFS"], ["", "+"]),
        ("EINTR", ""),  # never from then on: Python itself would make the call again for ever (PEP 475)
    ],
    ids=lambda value: {"": "once", "+": "from then on"}.get(value, value),
)
@pytest.mark.parametrize("call", CALLS)
def test_whichever_system_call_fails_with_whichever_error_nothing_is_lost(
    tmp_path: Path, call: str, error: str, lasting: str
) -> None:
    step = max(1, CALLS[call] // 20)
    scan_through(tmp_path, [f"{call}:error={error}:when={n}{lasting}" for n in range(1, CALLS[call], step)])


@pytest.mark.fault("D10")
def test_interrupted_system_calls_are_made_again(root: Path) -> None:
    calls = ("read", "pread64", "write", "pwrite64", "fsync", "fallocate", "renameat2", "mkdir")
    with daemon(root, command=STUBBED) as running:
        drop(root, {"first.jpg": scratched(BIRD)})  # loads what is loaded late, which is not ours to repeat
        until("the first is at rest", lambda: at_rest(root) == 1)
        with failing(running.process.pid, *(f"{call}:error=EINTR:when=1+3" for call in calls)):
            drop(root)
            until("all at rest", lambda: at_rest(root) == 1 + len(ARRIVALS))
        nobody_complains(root)
        assert running.stop() == 0
    books.check(root, DROPPED + Counter([books.content(scratched(BIRD))]))


@pytest.mark.fault("D10")
@pytest.mark.parametrize("elsewhere", [False, True], ids=["one disk", "inbox on another disk"])
def test_writes_that_take_only_half_are_continued(tmp_path: Path, elsewhere: bool) -> None:
    with (
        passed_through(tmp_path / "behind", tmp_path / "birdwatch", "short-writes") as root,
        garden(root, tmp_path / "lamp", inbox_elsewhere=elsewhere) as bench,
    ):
        drop(root)
        bench.let_pass(20)
        assert_recovered(bench)


RENAME_ENDS = {
    "EXDEV": "waits",  # taken as from another disk, but there is no other disk to take it to
    "EINVAL": "goes on",
    "ENOSYS": "goes on",
    "EOPNOTSUPP": "goes on",
    "EACCES": "waits",
    "EPERM": "waits",
    "ESTALE": "waits",
    "EROFS": "waits",
    "EIO": "waits",
    "EBUSY": "waits",
    "EMLINK": "waits",
    "ENOSPC": "waits",
}


@pytest.mark.fault("D09")
@pytest.mark.parametrize("error", RENAME_ENDS)
def test_a_rename_that_is_refused_keeps_photos_waiting_or_goes_another_way(memory: Path, error: str) -> None:
    with garden(memory / "birdwatch", memory / "lamp") as bench:
        machine = Machine(bench.root)
        drop(bench.root)
        with machine.working(Fault(1, getattr(errno, error), lasting=True, only="renameat2")):
            bench.let_pass(20, at_most_steps=500)
        books.check(bench.root, DROPPED, settled=False)
        filed = len(books.files_in(bench.root, *books.RESTING))
        assert filed == (len(ARRIVALS) if RENAME_ENDS[error] == "goes on" else 0)
        assert bool(bench.worker.condition.problems) == (RENAME_ENDS[error] == "waits")
        bench.let_pass(LONG_ENOUGH_S, at_most_steps=1000)
        assert_recovered(bench)


# -- bad spots, dying devices


def scratched(photo: bytes) -> bytes:
    """A whole photo that the file system of `passing` does not give while it has bad spots."""
    return photo[:2] + b"\xff\xfe\x00\x0bscratched" + photo[2:]


@pytest.mark.fault("D05")
def test_a_photo_that_the_disk_does_not_give_is_set_aside_with_a_note_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = tmp_path / "behind"
    with passed_through(behind, tmp_path / "birdwatch") as root, garden(root, tmp_path / "lamp") as bench:
        bad = {"bad.jpg": scratched(BIRD), "good.jpg": OTHER}
        sync = bench.files.sync

        def sync_and_scratch(names: Iterable[str]) -> None:
            sync(names)
            change_habits(behind, "bad-spot")

        monkeypatch.setattr(bench.files, "sync", sync_and_scratch)
        drop(root, bad)
        bench.let_pass(4.5)
        assert bench.states() == {"claimed": 1, "review": 1}
        assert "Input/output error" in bench.worker.in_words()
        bench.let_pass(20)
        assert bench.states() == {"quarantined": 1, "review": 1}
        assert bench.worker.condition.problems == {}
        (note,) = (root / "quarantine" / "unreadable").glob("*.json")
        assert "check the disk" in json.loads(note.read_text())["what_to_do"]
        change_habits(behind)
        books.check(root, Counter(books.content(data) for data in bad.values()))


@pytest.mark.fault("D05")
@pytest.mark.parametrize("seen_by", ["look", "copy"])
def test_a_photo_on_a_bad_card_stays_there_is_told_of_and_is_taken_once_it_can_be_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen_by: str
) -> None:
    bad = {"bad.jpg": scratched(BIRD), "good.jpg": OTHER}
    with passed_through(tmp_path / "card", root / "inbox"):
        bench = Bench(root, tmp_path / "lamp", inbox=QUICK)
        try:
            drop(root, bad)
            if seen_by == "look":
                change_habits(tmp_path / "card", "bad-spot")
            else:
                claim = bench.files.claim

                def scratch_and_claim(inbox_path: str, *rest: Any) -> None:
                    change_habits(tmp_path / "card", "bad-spot")
                    try:
                        claim(inbox_path, *rest)
                    finally:
                        change_habits(tmp_path / "card")

                monkeypatch.setattr(bench.files, "claim", scratch_and_claim)
            bench.let_pass(30, at_most_steps=500)
            assert bench.states() == {"review": 1}
            assert (root / "inbox" / "bad.jpg").exists()
            assert "bad.jpg" in bench.worker.in_words()
            assert "Input/output error" in bench.worker.in_words()
            change_habits(tmp_path / "card")
            monkeypatch.undo()
            bench.let_pass(LONG_ENOUGH_S)
            assert bench.worker.condition.problems == {}
            books.check(root, Counter(books.content(data) for data in bad.values()))
        finally:
            bench.close()


@contextmanager
def dying_device(place: Path) -> Iterator[tuple[Path, Callable[[], None], Callable[[], None]]]:
    """A block device with ext4; gives it, what makes all its writes fail, and what mends it."""
    need_root()
    sick, socket, folder = place / "sick", place / "nbd.socket", place / "nbd"
    folder.mkdir()
    with ExitStack() as stack:
        nbdkit = [
            need("nbdkit", "nbdkit"),
            "--foreground",
            "--exit-with-parent",
            "--unix",
            str(socket),
            "--filter=error",
        ]
        server = subprocess.Popen(
            [*nbdkit, "memory", "32M", "error-pwrite=EIO", "error-pwrite-rate=100%", f"error-file={sick}"]
        )
        stack.callback(server.wait, 30)
        stack.callback(server.terminate)
        until("nbdkit listens", socket.exists)
        if not Path("/dev/fuse").exists():
            pytest.skip("no /dev/fuse: this kernel or container knows no FUSE")
        bridge = subprocess.Popen([need("nbdfuse", "libnbd-bin"), str(folder), "--unix", str(socket)])
        stack.callback(bridge.wait, 30)
        stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=False)
        until("the device is there", (folder / "nbd").exists)
        subprocess.run([need("mkfs.ext4", "e2fsprogs"), "-q", str(folder / "nbd")], check=True)
        done = subprocess.run(
            [need("losetup", "mount"), "--find", "--show", str(folder / "nbd")],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"no loop device: {done.stderr.strip()}")
        device = Path(done.stdout.strip())
        stack.callback(subprocess.run, ["losetup", "--detach", str(device)], check=True)
        yield device, sick.touch, sick.unlink


@pytest.mark.fault("D06")
def test_a_device_that_fails_is_told_of_and_after_its_repair_everything_is_there(tmp_path: Path) -> None:
    root = tmp_path / "birdwatch"
    with dying_device(tmp_path) as (device, fall_sick, get_well):
        with mounted(root, "-t", "ext4", "-o", "errors=remount-ro", device):
            Files(root).create()
            first = {"first.jpg": BIRD}
            with daemon(root, command=STUBBED, environment=NO_RESERVE_ENVIRONMENT) as running:
                drop(root, first)
                until("the first is filed", lambda: at_rest(root) == 1)
                drop(root, {".next.jpg": OTHER})
                os.sync()
                fall_sick()
                (root / "inbox" / ".next.jpg").rename(root / "inbox" / "next.jpg")
                until("the service manager is told", lambda: is_told(running, "cannot"))
                until("the file system is read-only", lambda: "ro," in mount_options(root))
                assert running.process.poll() is None, "it waits"
                assert "log" in birdwatchd("doctor", root=root).stdout
                running.kill()
        get_well()
        subprocess.run([need("e2fsck", "e2fsprogs"), "-fy", str(device)], stdout=subprocess.DEVNULL, check=False)
        with mounted(root, "-t", "ext4", device):
            if (hidden := root / "inbox" / ".next.jpg").exists():  # the device never heard of the other name
                hidden.rename(root / "inbox" / "next.jpg")
            with daemon(root, command=STUBBED, environment=NO_RESERVE_ENVIRONMENT) as running:
                until("both are filed", lambda: at_rest(root) == 2)
                assert running.stop() == 0
            books.check(root, Counter(map(books.content, (BIRD, OTHER))))


def mount_options(place: Path) -> str:
    table = Path("/proc/self/mountinfo").read_text()
    (options,) = re.findall(rf" {re.escape(str(place))} (.*)", table)
    return str(options)


@pytest.mark.fault("D11")
def test_a_bird_folder_that_is_read_only_at_the_start_is_refused_with_words(root: Path) -> None:
    drop(root)
    with mounted(root, "--bind", root):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(root)], check=True)
        for command in ("run", "scan"):
            done = birdwatchd(command, root=root)
            assert done.returncode == 2, done
            assert "Read-only file system" in done.stderr or "not writable" in done.stderr
            assert len(done.stderr.strip().splitlines()) <= 2, "a line and a hint"
    assert_nothing_is_missing(root)
    with daemon(root, command=STUBBED):
        until("it works when it may", lambda: at_rest(root) == len(ARRIVALS))


# -- slow


@pytest.mark.fault("D12")
def test_a_very_slow_disk_does_not_put_the_lamp_out(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with garden(root, tmp_path / "lamp") as bench:
        lit: list[float] = []
        fsync = os.fsync

        def slow(handle: int) -> None:
            bench.clock.now_s += 2.0
            fsync(handle)

        monkeypatch.setattr(os, "fsync", slow)
        monkeypatch.setattr(bench.worker._lamp._notifier, "working", lambda _: lit.append(bench.clock.now_s))
        for seed in range(32):
            bench.drop(f"{seed}.jpg", seed=seed)
            (root / "inbox" / f"note{seed}.txt").write_bytes(b"%d" % seed)
        begun = bench.clock.now_s
        bench.let_pass(300)
        assert sum(bench.states().values()) == 64
        gaps = [after - before for before, after in pairwise([begun, *lit])]
        assert max(gaps) < 20, f"the watchdog waits 60 s: {max(gaps)}"


@pytest.mark.fault("D12")
def test_a_daemon_on_a_very_slow_disk_files_photos_and_feeds_the_watchdog(root: Path) -> None:
    with (
        daemon(root, command=STUBBED) as running,
        failing(running.process.pid, "fsync,fdatasync:delay_exit=200000"),
    ):
        running.notices()
        drop(root)
        until("all at rest", lambda: at_rest(root) == len(ARRIVALS))
        until("the lamp is lit", lambda: is_told(running, "WATCHDOG=1"))
    books.check(root, DROPPED)


# -- spread, and of other habits


@pytest.mark.fault("D13")
@pytest.mark.parametrize("shelf", ["library", "review", "quarantine", ".birdwatchd/work"])
def test_a_shelf_on_another_disk_is_refused_at_the_start(root: Path, shelf: str) -> None:
    with small_disk(root / shelf):
        done = birdwatchd("run", root=root)
    assert done.returncode == 2
    assert "another file system" in done.stderr


@pytest.mark.fault("D13")
def test_a_shelf_over_which_a_disk_is_mounted_meanwhile_keeps_photos_waiting_and_says_so(
    root: Path, tmp_path: Path
) -> None:
    with garden(root, tmp_path / "lamp") as bench:
        with small_disk(root / "review"):
            drop(root)
            bench.let_pass(20, at_most_steps=500)
            assert_nothing_is_missing(root)
            assert "cross-device" in bench.worker.in_words()
        bench.let_pass(LONG_ENOUGH_S)
        assert_recovered(bench)


@pytest.mark.fault("D14")
@pytest.mark.parametrize(
    "habits", [["no-noreplace", "no-links"], ["no-noreplace", "no-links", "case-blind"]], ids="-".join
)
def test_on_a_file_system_without_rename_flags_links_or_case_nothing_is_written_over(
    tmp_path: Path, habits: list[str]
) -> None:
    with passed_through(tmp_path / "behind", tmp_path / "birdwatch", *habits) as root:
        Files(root).create()
        dropped: Counter[str] = Counter()
        with daemon(root, command=STUBBED, environment=NO_RESERVE_ENVIRONMENT) as running:
            for number, (name, data) in enumerate(
                [("IMG.JPG", BIRD), ("img.jpg", OTHER), ("Img.jpg", BIRD), ("x/IMG.jpg", BIRD), ("y/img.JPG", BIRD)], 1
            ):
                drop(root, {name: data})
                dropped[books.content(data)] += 1
                until(f"{name} is at rest", lambda count=number: at_rest(root) == count)  # type: ignore[misc]
            assert running.stop() == 0
        books.check(root, dropped)


@pytest.mark.fault("D14")
def test_on_a_folder_that_ignores_case_nothing_is_written_over(tmp_path: Path) -> None:
    """The same on a real file system."""
    need_root()
    if not Path("/sys/fs/ext4/features/casefold").exists():
        pytest.skip("this kernel's ext4 cannot ignore case: it is built without CONFIG_UNICODE")
    image = tmp_path / "disk"
    image.touch()
    os.truncate(image, 32 << 20)
    subprocess.run([need("mkfs.ext4", "e2fsprogs"), "-q", "-O", "casefold", str(image)], check=True)
    with mounted(tmp_path / "mount", "-o", "loop", image) as mount:
        root = mount / "birdwatch"
        root.mkdir()
        subprocess.run([need("chattr", "e2fsprogs"), "+F", str(root)], check=True)
        with garden(root, tmp_path / "lamp") as bench:
            dropped: Counter[str] = Counter()
            for name, data in (("IMG.JPG", BIRD), ("img.jpg", OTHER), ("Img.jpg", BIRD)):
                drop(root, {name: data})
                dropped[books.content(data)] += 1
                bench.let_pass(20)
            books.check(root, dropped)
