"""The trials themselves: where there is no wall they say so, and they leave nothing behind.

That the walls hold is tried in the real unit (tests/service/test_booted.py).
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from birdwatchd.core import shelving
from birdwatchd.core.errors import BirdwatchdError
from birdwatchd.edges.walls import Trial, Wall, trying
from birdwatchd.edges.walls.attempts import PassedError
from birdwatchd.edges.walls.trying import TRIALS

OFTEN_NOT_THERE = {"talk to the system's own services", "load code into the kernel"}
"""A container may have no other service, and a kernel no modules."""


def tried(root: Path) -> dict[str, Wall]:
    with Trial(root) as trial:
        while not trial.is_over():
            pass
        return {wall.must_not: wall for wall in trial.walls()}


def around() -> set[str]:
    """What lies in the places that are tried."""
    places = [
        "/",
        "/etc",
        "/usr",
        "/usr/bin",
        "/opt",
        "/srv",
        "/run",
        "/var",
        "/var/lib",
        "/tmp",
        "/var/tmp",
        "/dev/shm",
        sys.prefix,
    ]
    return {str(path) for place in places for path in Path(place).iterdir() if "birdwatchd-wall" in path.name}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has no walls at all")
def test_where_there_is_no_wall_every_trial_goes_through(root: Path) -> None:
    """A trial that is refused everywhere would prove nothing where it is refused."""
    with subprocess.Popen(["sleep", "60"], user=65534) as another:
        found = tried(root)
        another.kill()
    assert list(found) == list(TRIALS)
    standing = {name for name, wall in found.items() if wall.holds}
    assert standing <= OFTEN_NOT_THERE, {name: found[name].what for name in standing}
    assert not any(wall.what.startswith("untold") for wall in found.values())
    assert all(wall.what.startswith("it ") for name, wall in found.items() if name not in standing)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could do any harm")
def test_a_trial_that_goes_through_changes_nothing(root: Path) -> None:
    (host, zone), before = (socket.gethostname(), time.tzname), time.time() - time.monotonic()
    tried(root)
    assert around() == set()
    assert list((root / shelving.JOBS).iterdir()) == []
    assert (socket.gethostname(), time.tzname) == (host, zone)
    assert abs(time.time() - time.monotonic() - before) < 1
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, and setpriv to build walls"
)
def test_a_wall_that_is_built_is_told_from_those_that_are_not(root: Path) -> None:
    command = [sys.executable, "-P", "-m", "birdwatchd.edges.walls", str(root)]
    built = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "prlimit", "--rtprio=0", *command]
    told = subprocess.run(built, capture_output=True, text=True, check=True).stdout
    found = {one["must_not"]: one["holds"] for one in json.loads(told)}
    assert found["gain rights by programs"]
    assert not found["reach the network"]
    assert not found["write memory and run it"]


def test_a_trial_that_dies_or_hangs_is_no_wall(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(_: Path) -> None:
        os._exit(3)

    def hangs(_: Path) -> None:
        time.sleep(60)

    def stumbles(_: Path) -> None:
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(trying, "TRIAL_S", 1)
    monkeypatch.setattr(trying, "TRIALS", {"die": (dies,), "hang": (hangs,), "stumble": (stumbles,)})
    found = list(trying.try_all(root))
    assert [wall.holds for wall in found] == [False, False, False]
    assert all(wall.what.startswith("untold") for wall in found)


def test_whoever_is_ended_for_trying_has_met_a_wall(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the filter of system calls kills instead of refusing."""
    monkeypatch.setattr(trying, "TRIALS", {"call it": (lambda _: os.kill(os.getpid(), signal.SIGSYS),)})
    assert [wall.holds for wall in trying.try_all(root)] == [True]


def test_one_open_way_is_enough(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    def passes(_: Path) -> None:
        raise PassedError("it can")

    monkeypatch.setattr(trying, "TRIALS", {"do it": (refused, passes)})
    assert list(trying.try_all(root)) == [Wall("do it", holds=False, what="it can")]


def test_open_memory_is_meant_only_where_there_is_a_graphics_card(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def passes(_: Path) -> None:
        raise PassedError("it can")

    monkeypatch.setattr(trying, "TRIALS", {"write memory and run it": (passes,), "reach the network": (passes,)})
    monkeypatch.setattr(trying, "GRAPHICS", tmp_path / "nvidiactl")
    assert [wall.meant for wall in trying.try_all(root)] == [False, False]
    (tmp_path / "nvidiactl").touch()
    assert [(wall.meant, wall.holds) for wall in trying.try_all(root)] == [(True, False), (False, False)]


def test_no_answer_is_told_as_such(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BirdwatchdError, match="no answer"):
        tried(root)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(BirdwatchdError, match="cannot be tried: No such file"):
        tried(root)
