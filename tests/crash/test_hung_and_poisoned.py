"""A daemon that hangs must not look alive; a photo that takes the daemon along must not do so for ever."""

import contextlib
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdwatchd.lamp import LAMP_EVERY_S
from tests import books
from tests.crash import lives
from tests.crash.launching import ASLEEP, LAUNCH, fault, poisoned
from tests.crash.nursery import Nursery
from tests.pictures import jpeg
from tests.service.running import STUBBED, Daemon, daemon, until

LONG_S = 2 * LAMP_EVERY_S + 1
"""A lamp that is fed every so often has been fed again by then."""

COMPANIONS = 20
"""More than travel in one batch."""


def is_fed(one: Daemon) -> bool:
    """Whether the lamp was fed since the last look."""
    return any("WATCHDOG=1" in notice for notice in one.notices())


def stays_dark(one: Daemon) -> bool:
    """Whether the service manager hears nothing for so long that it would act."""
    one.notices()
    time.sleep(LONG_S)
    return not is_fed(one)


def at_rest(root: Path) -> int:
    """Photos that have come to their end."""
    return len(lives.rows(root, "SELECT id FROM photos WHERE state NOT IN ('claimed', 'decided')"))


@pytest.mark.fault("C07")
def test_a_stopped_daemon_goes_dark_and_goes_on_when_it_may(root: Path) -> None:
    with daemon(root, command=STUBBED) as one:
        until("the lamp is fed", lambda: is_fed(one))
        one.process.send_signal(signal.SIGSTOP)
        dropped = lives.drop(root, {"late.jpg": jpeg(width=64, height=64)})
        assert stays_dark(one)
        one.process.send_signal(signal.SIGCONT)
        until("the lamp is fed again", lambda: is_fed(one))
        until("the photo is filed", lambda: at_rest(root) == 1)
        assert one.stop() == 0
    books.check(root, dropped)


@pytest.mark.fault("C08")
@pytest.mark.parametrize("where", ["sleep-before record_decisions 1", "poison sleep"])
def test_a_blocked_daemon_goes_dark_and_the_next_one_ends_its_work(root: Path, where: str) -> None:
    with daemon(root, command=LAUNCH, environment=fault(where)) as one:
        until("the lamp is fed", lambda: is_fed(one))
        dropped = lives.drop(
            root, {"a.jpg": poisoned(jpeg(width=64, height=64)), "b.jpg": jpeg(width=64, height=64, seed=2)}
        )
        until("it walked into the trap", lambda: ASLEEP in one.err.read_text())
        time.sleep(1)  # for what other threads have at hand
        threads = len(list(Path(f"/proc/{one.process.pid}/task").iterdir()))
        assert threads > 1, "the others are alive: only progress may feed the lamp"
        assert stays_dark(one)
        assert at_rest(root) == 0 or where == "poison sleep"
        one.process.send_signal(signal.SIGABRT)  # as systemd does
        one.process.wait()
    with daemon(root, command=STUBBED) as one:
        until("both are filed", lambda: at_rest(root) == 2)
        assert one.stop() == 0
    books.check(root, dropped)
    assert lives.crashed(root) == 0


def with_poison(poisons: int) -> dict[str, bytes]:
    """Birds that came together, and among them photos that no process survives."""
    birds = {f"bird {n:02d}.jpg": jpeg(width=64, height=64, seed=n) for n in range(COMPANIONS)}
    poison = {
        f"bird {7 * n + 3:02d} is poison.jpg": poisoned(jpeg(width=64, height=64, seed=100 + n)) for n in range(poisons)
    }
    return birds | poison


def check_the_end(root: Path, dropped: Counter[str], poisons: int) -> None:
    """Only the poison was set aside."""
    books.check(root, dropped)
    told = lives.rows(root, "SELECT original_name, state, reason FROM photos")
    set_aside = [row["original_name"] for row in told if row["state"] == "quarantined"]
    assert len(set_aside) == poisons
    assert all("poison" in name for name in set_aside), set_aside
    assert {row["reason"] for row in told if row["state"] == "quarantined"} == {"crashed"}


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """One for all of them."""
    with contextlib.closing(Nursery()) as open_nursery:
        yield open_nursery


@pytest.mark.fault("B17")
@pytest.mark.parametrize("poisons", [1, 2])
@pytest.mark.parametrize("how", ["exit", "segfault"])
def test_a_photo_that_kills_the_process_is_set_aside_on_its_third_try(
    tmp_path: Path, nursery: Nursery, how: str, poisons: int
) -> None:
    root = lives.new_folder(tmp_path / "birdwatch")
    dropped = lives.drop(root, with_poison(poisons))
    codes: list[int] = []
    while not codes or (codes[-1] != 0 and len(codes) < 10):
        codes.append(lives.live(root, nursery=nursery, environment=fault(f"poison {how}")).code)
        books.check(root, dropped, settled=False)
    died = {"exit": 3, "segfault": -signal.SIGSEGV}[how]
    assert codes == [died] * (len(codes) - 1) + [0]
    assert 2 * (poisons > 0) <= len(codes) - 1 <= 2 * poisons, "two deaths for each, and then no more"
    check_the_end(root, dropped, poisons)


@pytest.mark.fault("B17")
def test_a_photo_that_hangs_the_daemon_is_set_aside_on_its_third_try(tmp_path: Path) -> None:
    root = lives.new_folder(tmp_path / "birdwatch")
    dropped = lives.drop(root, with_poison(1))
    restarts = 0
    while restarts < 10:
        with daemon_from_its_first_breath(root, "poison sleep") as (process, said):
            until("an end or a trap", lambda said=said: at_rest(root) == dropped.total() or ASLEEP in said.read_text())  # type: ignore[misc]
            if at_rest(root) == dropped.total():
                break
            time.sleep(0.5)  # for what other threads have at hand
            process.send_signal(signal.SIGABRT)  # as systemd does when the lamp is dark
            restarts += 1
    assert restarts == 2
    check_the_end(root, dropped, 1)


@contextlib.contextmanager
def daemon_from_its_first_breath(root: Path, *faults: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A daemon that may never become ready; with the file that holds what it says."""
    said = root.with_suffix(".said")
    with (
        said.open("wb") as log,
        subprocess.Popen(
            [*LAUNCH, "run", "--root", str(root)], stdout=log, stderr=log, env=lives.at_once(fault(*faults))
        ) as process,
    ):
        try:
            yield process, said
        finally:
            process.kill()
