"""The wall clock leaps, steps, starts in 1970, sleeps and speaks Turkish: photos are taken all the same, and chores are done once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.edges.files import Files
from birdwatchd.service import CHORES
from tests import books
from tests.faults.breaking import need, need_root
from tests.faults.told import at_rest, nobody_complains, rows, status
from tests.pictures import exif, jpeg
from tests.service.running import STUBBED, Daemon, birdwatchd, daemon, until

pytestmark = pytest.mark.alone

TICKING = [sys.executable, "-m", "tests.service.ticking"]


def photo(seed: int, taken: str | None = None) -> bytes:
    return jpeg(width=64, height=64, seed=seed, exif=None if taken is None else exif(taken=taken))


def drop(root: Path, name: str, seed: int) -> None:
    (root / "inbox" / name).write_bytes(photo(seed))


class WallClock:
    """The wall clock that a process sees; its other clocks go as ever."""

    def __init__(self, place: Path) -> None:
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not found:
            pytest.skip("libfaketime is missing: apt-get install faketime")
        self._file = place / "wall-clock"
        self.environment = {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set("+0")

    def set(self, to: str) -> None:
        """Such as +3650d, -1h, or @1970-01-01 00:01:00."""
        new = self._file.with_suffix(".new")
        new.write_text(to)
        new.replace(self._file)


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


def chores_done(running: Daemon) -> Counter[str]:
    """How often each chore has been done."""
    return Counter(
        line.rpartition("did the chore ")[2] for line in running.err.read_text().splitlines() if "did the chore" in line
    )


def each_chore_is_done(running: Daemon, times: int, *, daily: int | None = None) -> None:
    """Wait until each has been done that often, or daily ones so often; and no more."""
    wanted = Counter({name: times if daily is None or hours < 24 else daily for name, hours in CHORES})
    until(f"each chore done {times} times", lambda: chores_done(running) >= wanted)
    time.sleep(1.0)
    assert chores_done(running) == wanted


class Lamp:
    """How long the watchdog had to wait."""

    def __init__(self, running: Daemon) -> None:
        self._running = running
        self._lit = [time.monotonic()]

    def look(self) -> bool:
        if any("WATCHDOG=1" in notice for notice in self._running.notices()):
            self._lit.append(time.monotonic())
        return True

    def check(self) -> None:
        """Wait until it is lit once more; it has never been dark for long."""
        before = len(self._lit)
        until("the lamp is lit", lambda: self.look() and len(self._lit) > before)
        assert max(after - earlier for earlier, after in pairwise(self._lit)) < 20


@pytest.mark.fault("T01", "T02")
def test_whatever_the_wall_clock_does_photos_are_taken_the_lamp_is_lit_and_chores_are_done_once(
    root: Path, wall_clock: WallClock
) -> None:
    leaps = ["+0", "+3650d", "-3650d", "-3650d", "-1h", "-30d"]
    dropped: Counter[str] = Counter()
    with daemon(root, command=TICKING, environment=wall_clock.environment) as running:
        lamp = Lamp(running)
        each_chore_is_done(running, times := 1)
        for number, leap in enumerate(leaps):
            wall_clock.set(leap)
            times += number > 0 and leap != leaps[number - 1]
            drop(root, f"{number}.jpg", number)
            dropped[books.content(photo(number))] += 1
            until(f"taken at {leap}", lambda count=number + 1: lamp.look() and at_rest(root) == count)  # type: ignore[misc]
            each_chore_is_done(running, times)
        lamp.check()
        nobody_complains(root)
        assert running.stop() == 0
    books.check(root, dropped)
    years = [int(row["received_at"][:4]) - time.gmtime().tm_year for row in rows(root)]
    assert [round(year / 10) for year in years] == [0, 1, -1, -1, 0, 0]
    listed = json.loads(birdwatchd("log", "--json", root=root).stdout)
    assert [row["original_name"] for row in listed] == [f"{number}.jpg" for number in reversed(range(6))], "by number"


@pytest.mark.fault("T01")
def test_a_file_waits_its_time_by_the_clock_that_nobody_sets(root: Path, wall_clock: WallClock) -> None:
    with daemon(root, command=STUBBED, environment=wall_clock.environment, settle_s=2.0) as running:
        drop(root, "a.jpg", 1)
        begun = time.monotonic()
        wall_clock.set("+3650d")
        until("taken", lambda: at_rest(root) == 1)
        assert 1.8 < time.monotonic() - begun < 30
        cut = photo(2)[:-300]
        (root / "inbox" / "cut.jpg").write_bytes(cut)
        wall_clock.set("-3650d")
        time.sleep(4)
        assert (root / "inbox" / "cut.jpg").exists(), "it is given ten minutes for its end, and they have not passed"
        assert running.stop() == 0


@pytest.mark.fault("T03")
def test_a_machine_that_wakes_up_in_1970_works(root: Path, wall_clock: WallClock) -> None:
    wall_clock.set("@1970-01-01 00:01:00")
    with daemon(root, command=TICKING, environment=wall_clock.environment) as running:
        drop(root, "old.jpg", 1)
        until("taken in 1970", lambda: at_rest(root) == 1)
        each_chore_is_done(running, 1)
        wall_clock.set("+0")  # a time server has been reached
        drop(root, "new.jpg", 2)
        until("taken today", lambda: at_rest(root) == 2)
        each_chore_is_done(running, 2)
        nobody_complains(root)
        assert running.stop() == 0
    years = [int(row["received_at"][:4]) for row in rows(root)]
    assert years[0] == 1970, "what the clock said stands in the log"
    assert years[1] > 2000
    books.check(root, Counter([books.content(photo(1)), books.content(photo(2))]))
    for words in (["log"], ["stats"], ["explain", "1"]):
        assert birdwatchd(*words, root=root).returncode == 0


@pytest.mark.fault("T04")
def test_a_machine_that_slept_finds_what_came_meanwhile_and_does_each_late_chore_once(
    root: Path, wall_clock: WallClock
) -> None:
    """Asleep: no process runs, the monotonic clock stands, the wall clock goes on."""
    with daemon(root, command=TICKING, environment=wall_clock.environment) as running:
        each_chore_is_done(running, 1)
        running.process.send_signal(signal.SIGSTOP)
        drop(root, "by night.jpg", 1)
        wall_clock.set("+9h")
        time.sleep(2)
        running.process.send_signal(signal.SIGCONT)
        until("taken", lambda: at_rest(root) == 1)
        each_chore_is_done(running, 2, daily=1)
        Lamp(running).check()
        assert running.stop() == 0
    books.check(root, Counter([books.content(photo(1))]))


@pytest.mark.fault("T04")
def test_a_machine_that_has_run_and_slept_for_years_is_like_any_other(root: Path) -> None:
    need_root()
    years_s = str(3 * 365 * 86400)
    inside = [
        need("unshare", "util-linux"),
        "-T",
        "--boottime",
        years_s,
        "--monotonic",
        "1000000",
        "--fork",
        "--kill-child",
    ]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no time namespaces: this kernel is built without CONFIG_TIME_NS, or the container forbids them")
    with daemon(root, command=[*inside, *STUBBED]):
        drop(root, "a.jpg", 1)
        until("taken", lambda: at_rest(root) == 1)
        nobody_complains(root)
    books.check(root, Counter([books.content(photo(1))]), settled=False)


@pytest.mark.fault("T05")
def test_a_timetable_whose_threads_are_all_stuck_holds_up_no_photo_and_no_sweep(root: Path) -> None:
    with daemon(root, command=TICKING, environment={"TICKING_STUCK": "1"}) as running:
        time.sleep(2)
        assert threads_of(running.process.pid) > 10
        drop(root, "a.jpg", 1)
        until("taken", lambda: at_rest(root) == 1)
        before = status(root)["updated_at"]
        until("a sweep", lambda: status(root)["updated_at"] > before)
        Lamp(running).check()
        running.kill()
    books.check(root, Counter([books.content(photo(1))]))


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


# -- languages and time zones


ARRIVALS = {
    "feeder/IMG_1.JPG": photo(1, taken="2026:05:01 05:30:00"),
    "Istanbul/KIZIL İĞDE.jpg": photo(2),
    "καμερα/ουρά.jpg": photo(3, taken="2026:10:25 02:30:00"),  # an hour that is there twice in many places
    "notes.txt": b"buy seeds\n",
    "again.jpg": photo(1, taken="2026:05:01 05:30:00"),
}


def outcome(place: Path, environment: dict[str, str], *, running: bool) -> list[Any]:
    """What becomes of the arrivals under this environment, and what commands say of it."""
    root = place / "birdwatch"
    Files(root).create()
    for name, data in ARRIVALS.items():
        path = root / "inbox" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    environment = environment | {"BIRDWATCHD_INBOX__SETTLE_S": "0"}
    if running:
        with daemon(root, command=TICKING, environment=environment) as one:
            until("all at rest", lambda: at_rest(root) == len(ARRIVALS))
            each_chore_is_done(one, 1)
            assert one.stop() == 0
    else:
        scanned = [*STUBBED, "scan", "--root", str(root)]
        subprocess.run(scanned, env=os.environ | environment, capture_output=True, check=True)
    columns = "original_name, camera, captured_at, state, reason, path, sha256"
    found = sorted(map(tuple, (row.values() for row in rows(root, columns))), key=str)
    states = json.loads(birdwatchd("stats", "--json", root=root, environment=environment).stdout)["states"]
    shutil.rmtree(place)
    return [found, states]


@contextmanager
def turkish(place: Path) -> Iterator[dict[str, str]]:
    """A real Turkish locale, in which the capital of i has a dot."""
    if not Path("/usr/share/i18n/locales/tr_TR").exists():
        pytest.skip("no Turkish locale can be made: apt-get install locales")
    made = place / "tr_TR.UTF-8"
    subprocess.run([need("localedef", "libc-bin"), "-i", "tr_TR", "-f", "UTF-8", str(made)], check=True)
    yield {"LOCPATH": str(place), "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Europe/Istanbul"}


def without_time_zones(place: Path) -> dict[str, str]:
    """Neither the system's data base of time zones nor the package that stands in for it."""
    (place / "tzdata").mkdir()
    (place / "tzdata" / "__init__.py").write_text("raise ImportError('there is none')\n")
    path = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONTZPATH": "", "PYTHONPATH": path, "TZ": ":/nonexistent", "TZDIR": "/nonexistent"}


@pytest.mark.fault("T06")
def test_time_zones_and_languages_change_nothing(tmp_path: Path) -> None:
    plain = outcome(tmp_path / "plain", {"LC_ALL": "C.UTF-8", "TZ": "UTC"}, running=False)
    assert plain[1] == {"duplicate": 1, "quarantined": 1, "review": 3}
    elsewhere = {
        "C": {"LC_ALL": "C", "TZ": "Pacific/Kiritimati"},
        "POSIX": {"LC_ALL": "POSIX", "LANG": "", "TZ": "America/St_Johns"},
        "a language that is not installed": {"LC_ALL": "xx_XX.UTF-8", "TZ": "Nowhere/Nowhere"},
    }
    for name, environment in elsewhere.items():
        assert outcome(tmp_path / name, environment, running=False) == plain, name
    (tmp_path / "without").mkdir()
    assert outcome(tmp_path / "none", without_time_zones(tmp_path / "without"), running=True) == plain, "no time zones"


@pytest.mark.fault("T06")
def test_the_turkish_language_changes_nothing(tmp_path: Path) -> None:
    plain = outcome(tmp_path / "plain", {"LC_ALL": "C.UTF-8", "TZ": "UTC"}, running=False)
    (tmp_path / "locales").mkdir()
    with turkish(tmp_path / "locales") as environment:
        assert outcome(tmp_path / "turkish", environment, running=True) == plain
