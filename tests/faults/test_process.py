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
from PIL import Image

from birdwatchd.edges.store import Store
from tests import books
from tests.crash import lives
from tests.pictures import jpeg, saved
from tests.service.running import STUBBED, Daemon, birdwatchd, daemon, until

pytestmark = pytest.mark.alone


def drop(root: Path, *seeds: int, width: int = 320, height: int = 240) -> Counter[str]:
    """Photos into the inbox, each complete at once; their contents."""
    photos = {seed: jpeg(seed=seed, width=width, height=height) for seed in seeds}
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
def stubbed(root: Path, command: list[str] = STUBBED) -> Iterator[Daemon]:
    with daemon(root, command=command, settle_s=0) as running:
        yield running


@contextmanager
def control_group(kind: str, setting: str, value: str) -> Iterator[Path]:
    """A control group with one limit; skips where none can be made."""
    mounted = Path("/sys/fs/cgroup") / kind
    if not (mounted / "cgroup.procs").exists() or os.geteuid() != 0:
        pytest.skip(f"no {kind} control group (version 1) can be made here: needs root and {mounted}")
    group = mounted / f"birdwatchd-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / setting).write_text(value)
    except OSError as error:
        pytest.skip(f"no {kind} control group can be made here: {error}")
    try:
        yield group
    finally:
        until("the control group is empty", lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def inside(group: Path) -> list[str]:
    """The program with a stub eye, in a control group from its first step on."""
    return ["bash", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "-", *STUBBED]


# -- signals


def stopped_in_the_middle(root: Path, times: int, dice: random.Random) -> tuple[Counter[str], int]:
    """Lives that are ended by a signal somewhere in their work; what was dropped, and how many had work left."""
    dropped: Counter[str] = Counter()
    interrupted = 0
    for life in range(times):
        with stubbed(root) as running:
            before = lives.newest(root)
            dropped += drop(root, *range(24 * life, 24 * life + 24), width=800, height=600)
            taken = before + dice.randrange(12)
            until("so many are taken", lambda taken=taken: lives.newest(root) >= taken)  # type: ignore[misc]
            time.sleep(dice.uniform(0, 0.02))
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


def ended(process: "subprocess.Popen[bytes]", trace: Path) -> int:
    """Its exit code; or, of one that does not end, where it is: its threads in the kernel, what it used, its Python stacks."""
    try:
        return process.wait(90)
    except subprocess.TimeoutExpired:
        threads = sorted(Path(f"/proc/{process.pid}/task").iterdir())
        where = [f"{(one / 'comm').read_text().strip()}: {(one / 'wchan').read_text()}" for one in threads]
        used = Path(f"/proc/{process.pid}/stat").read_text().split()[13:15]
        process.send_signal(signal.SIGUSR2)
        time.sleep(1)
        told = "; ".join(where)
        raise AssertionError(f"it hangs: {told}; user and system ticks {used}\n{trace.read_text()}") from None


@pytest.mark.fault("C06")
def test_when_its_terminal_is_closed_it_stops_as_if_told_to(root: Path) -> None:
    """A daemon that nobody sees any more would keep the folder locked for the next one."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*STUBBED, "run", "--root", str(root)],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup(1), under which tests run too, has it ignored
        env=os.environ | {"TRACE": str(root.with_suffix(".trace"))},
    )  # fmt: skip
    os.close(theirs)
    try:
        said = b""
        while b"birdwatchd is ready" not in said:
            said += os.read(ours, 4096)
        os.close(ours)
        for _ in range(50):  # one may come while another is being seen to
            if process.poll() is None:
                process.send_signal(signal.SIGHUP)
        assert ended(process, root.with_suffix(".trace")) in {0, 120}, (
            "120: Python could not say good-bye to the terminal"
        )
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


# -- nothing left


@pytest.mark.fault("C10")
def test_without_a_descriptor_left_photos_wait_and_it_says_so_and_goes_on(root: Path) -> None:
    with stubbed(root) as running:
        pid = running.process.pid
        dropped = drop(root, 0)
        until("a photo is filed, and all is open that stays open", lambda: is_empty(root))
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(list(Path(f"/proc/{pid}/fd").iterdir())), before[1]))
        dropped += drop(root, 1, 2, 3)
        until("it says so", lambda: "Too many open files" in problems(root))
        assert status(root)["state"] == "degraded"
        examined = birdwatchd("doctor", root=root, environment={"BIRDWATCHD_INBOX__SWEEP_S": "1"})
        assert "BAD  daemon: cannot " in examined.stdout
        assert "do this: restart it" in examined.stdout
        books.check(root, dropped, settled=False)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for photo in (root / "inbox").glob("*.jpg"):
            os.utime(photo)  # what could not be opened is looked at again after a minute, or when it changes
        until("all is filed", lambda: is_empty(root))
        until("it is well again", lambda: problems(root) == "[]")
        assert running.stop() == 0
    books.check(root, dropped)


@pytest.mark.fault("C11")
@pytest.mark.parametrize("threads", [2, 5])
def test_with_too_few_threads_it_works_on_and_says_so(root: Path, threads: int) -> None:
    """Watchdog wants three or four, the timetable one, looks at photos some more. One and a helper of numpy's is all there need be."""
    with control_group("pids", "pids.max", str(threads)) as group, stubbed(root, inside(group)) as running:
        dropped = drop(root, *range(20), width=800, height=600)
        until("all is filed", lambda: is_empty(root))
        until("it says so", lambda: status(root)["state"] == "degraded")
        assert "can't start new thread" in problems(root)
        assert running.stop() == 0
    assert "Traceback" not in running.err.read_text()
    books.check(root, dropped)


@pytest.mark.fault("C12")
def test_when_memory_runs_out_it_is_ended_and_a_later_life_sets_that_photo_aside(root: Path) -> None:
    """The kernel ends the whole process. As a service manager would, we start it again, and again."""
    huge = saved(Image.new("RGB", (6000, 6000), (90, 120, 60)), "PNG")  # 108 MB of pixels
    (root / "inbox" / "huge.png").write_bytes(huge)
    dropped = drop(root, *range(12)) + Counter([books.content(huge)])
    Store.open(root / "birdwatchd.db").close()
    with control_group("memory", "memory.limit_in_bytes", str(150 << 20)) as group:
        ends = [life(root, inside(group)) for _ in range(3)]
    assert ends == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert reasons(root) == {"no-classifier": 12, "crashed": 1}
    books.check(root, dropped)


def life(root: Path, command: list[str]) -> int:
    """From a start to when all is filed, or to its own end; how it ended."""
    with subprocess.Popen(
        [*command, "run", "--root", str(root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"BIRDWATCHD_INBOX__SETTLE_S": "0", "BIRDWATCHD_INBOX__SWEEP_S": "1"},
    ) as process:
        until("all is filed, or the end", lambda: process.poll() is not None or is_empty(root))
        process.terminate()
        return process.wait(30)


def address_space(pid: int) -> int:
    """In bytes: what RLIMIT_AS limits."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def reasons(root: Path) -> dict[str, int]:
    with Store.read_only(root / "birdwatchd.db") as store:
        return dict(Counter(row["reason"] for row in store.questions.recent(limit=1000)))


@pytest.mark.fault("C12")
def test_a_photo_that_asks_for_more_memory_than_there_is_harms_no_other(root: Path) -> None:
    """A limit that says no, where the kernel would have killed: what the daemon holds, and less than this picture asks for."""
    huge = saved(Image.new("RGB", (6000, 6000), (90, 120, 60)), "PNG")  # 108 MB of pixels
    with stubbed(root) as running:
        dropped = drop(root, *range(3))
        until("all is filed", lambda: is_empty(root))  # its threads have their stacks
        pid = running.process.pid
        held = address_space(pid)
        resource.prlimit(pid, resource.RLIMIT_AS, (held + (80 << 20), resource.RLIM_INFINITY))
        (root / "inbox" / "huge.png").write_bytes(huge)
        dropped += drop(root, *range(3, 9)) + Counter([books.content(huge)])
        until("all is filed", lambda: is_empty(root))
        assert running.stop() == 0
    assert reasons(root) == {"no-classifier": 9, "too-large": 1}
    books.check(root, dropped)
