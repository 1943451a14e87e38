"""The daemon is killed at any moment, again and again, while photos keep coming. Nothing may be lost, nothing may be there twice."""

import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import books
from tests.crash import lives
from tests.crash.dropping import Producer
from tests.service.running import STUBBED, until

Tell = Callable[[str], None]


@dataclass
class Course:
    """What the lives were like: a kill that hits an idle daemon proves little."""

    kills: int = 0
    in_flight: int = 0
    while_starting: int = 0


def begin(root: Path) -> subprocess.Popen[bytes]:
    """A daemon in a fresh Python; what it says goes beside the folder."""
    out, err = root.with_suffix(".out").open("wb"), root.with_suffix(".err").open("ab")
    with out, err:
        return subprocess.Popen([*STUBBED, "run", "--root", str(root)], stdout=out, stderr=err, env=lives.at_once())


def is_ready(root: Path, process: subprocess.Popen[bytes]) -> bool:
    """Whether it has said so."""
    assert process.poll() is None, root.with_suffix(".err").read_text()[-2000:]
    return b"is ready" in root.with_suffix(".out").read_bytes()


def under_way(root: Path) -> int:
    """Photos between inbox and place."""
    return len(lives.rows(root, "SELECT photo_id FROM journeys")) + len(list((root / ".birdwatchd/work").iterdir()))


def kill_again_and_again(root: Path, *, cycles: int, dice: random.Random) -> Course:
    """Each life ends at a random moment: most after it was ready, some while it starts and recovers.

    Those that had no photo in hand then do not count as cycles.
    """
    course = Course()
    starting_s = 1.0
    while course.in_flight < cycles:
        begun, before = time.monotonic(), lives.newest(root)
        with begin(root) as process:
            try:
                if dice.random() < 0.25:
                    course.while_starting += 1
                    time.sleep(dice.uniform(0.5, 1.1) * starting_s)
                else:
                    until("ready", lambda: is_ready(root, process))
                    starting_s = time.monotonic() - begun
                    until("photos are taken", lambda before=before: lives.newest(root) > before)  # type: ignore[misc]
                    time.sleep(dice.uniform(0, 0.4))
                    until("photos are under way", lambda: under_way(root) > 0)
            finally:
                process.kill()
        course.kills += 1
        course.in_flight += under_way(root) > 0
    return course


def run_course(root: Path, *, cycles: int, arrivals: int, seed: int, tell: Tell) -> None:
    """Kill under load, then let it finish, then open the books."""
    course = Course()
    with Producer(root, seed=seed) as producer:
        until("photos", lambda: producer.waiting() > 0)
        course = kill_again_and_again(root, cycles=cycles, dice=random.Random(seed))  # noqa: S311
        books_so_far(root)
    assert producer.broke is None
    came = producer.dropped.total()
    lives.recover(root)
    books.check(root, producer.dropped)
    assert len(lives.rows(root, "SELECT id FROM photos")) == came, "a row for each arrival"
    assert lives.litter(root) == []
    crashed = lives.crashed(root)
    tell(
        f"{course.kills} kills, {course.while_starting} of them while it started, {course.in_flight} with photos under way;"
        f" {came} arrivals, 0 lost, 0 doubled, {crashed} set aside because it was killed over them again and again"
    )
    assert came >= arrivals
    assert crashed <= course.kills / 4


def books_so_far(root: Path) -> None:
    """While photos still come, only what rests can be checked: each row of a photo in its place has its bytes."""
    resting = books.files_in(root, *books.RESTING)
    told = lives.rows(root, "SELECT path, sha256 FROM photos WHERE state NOT IN ('claimed', 'decided', 'missing')")
    assert [row for row in told if row["sha256"] not in (resting.get(row["path"]), None)] == []


@pytest.mark.fault("C02")
@pytest.mark.timeout(400)
def test_killed_at_random_under_load_it_loses_and_doubles_nothing(tmp_path: Path, tell: Tell) -> None:
    run_course(lives.new_folder(tmp_path / "birdwatch"), cycles=30, arrivals=300, seed=30, tell=tell)


@pytest.mark.torture
@pytest.mark.fault("C02")
@pytest.mark.timeout(3600)
def test_killed_at_random_three_hundred_times(tmp_path: Path, tell: Tell) -> None:
    run_course(lives.new_folder(tmp_path / "birdwatch"), cycles=320, arrivals=10_000, seed=300, tell=tell)
