"""What lives beside the daemon: begun anew with growing pauses, ended with it, and never waited for."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdwatchd.edges.companion import LONGEST_PAUSE_S, SETTLED_S, Companion
from tests.service.running import until


class Life:
    """A companion whose time is told by the test, and what was heard of it."""

    def __init__(self, code: str, *words: str) -> None:
        self.now = 0.0
        self.heard: list[str] = []
        self.companion = Companion(
            words,
            trouble=self.heard.append,
            fine=lambda: self.heard.append("fine"),
            clock=lambda: self.now,
            program=[sys.executable, "-c", code],
        )

    def child(self) -> "subprocess.Popen[bytes] | None":
        return self.companion._child

    def dies(self) -> None:
        """Let it begin, and wait until it is dead."""
        self.companion.look_after()
        child = self.child()
        assert child is not None
        child.wait(30)
        self.companion.look_after()

    def pauses(self) -> bool:
        """Whether it is dead and not begun again now."""
        self.companion.look_after()
        return self.child() is None


@pytest.fixture
def lives() -> Iterator[list[Life]]:
    made: list[Life] = []
    yield made
    for one in made:
        one.companion.end()


def test_it_is_begun_anew_after_pauses_that_grow_to_some_minutes(lives: list[Life]) -> None:
    life = Life("raise SystemExit(3)")
    lives.append(life)
    pause_s = 1.0
    for _ in range(11):
        life.dies()
        assert life.heard[-1] == "it ended with 3"
        life.now += pause_s - 0.1
        assert life.pauses()
        life.now += 0.2
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    assert pause_s == LONGEST_PAUSE_S


def test_one_that_has_stayed_is_no_trouble_when_it_dies(lives: list[Life]) -> None:
    life = Life("import time; time.sleep(1000)")
    lives.append(life)
    life.companion.look_after()
    life.now += SETTLED_S
    life.companion.look_after()
    child = life.child()
    assert child is not None
    child.kill()
    child.wait(30)
    assert life.pauses()
    life.now += 1.1
    life.companion.look_after()
    assert life.child() is not None
    assert life.heard == ["fine"]


def test_one_that_does_not_hear_is_ended_by_force(
    lives: list[Life], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("birdwatchd.edges.companion.FAREWELL_S", 0.2)
    deaf = tmp_path / "deaf"
    life = Life(f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(deaf)!r}, 'w'); time.sleep(1000)")
    lives.append(life)
    life.companion.look_after()
    child = life.child()
    assert child is not None
    until("it is deaf", deaf.exists)
    life.companion.end()
    assert child.returncode == -signal.SIGKILL
    assert life.pauses()


def test_what_the_service_manager_said_is_kept_from_it(
    lives: list[Life], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("LISTEN_FDS", "1")
    seen = tmp_path / "seen"
    life = Life(f"import os; open({str(seen)!r}, 'w').write(' '.join(os.environ))")
    lives.append(life)
    life.dies()
    assert "NOTIFY_SOCKET" not in seen.read_text().split()
    assert "LISTEN_FDS" not in seen.read_text().split()
    assert "PATH" in seen.read_text().split()


def test_it_does_not_outlive_who_began_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from birdwatchd.edges.companion import end_with;"
        "end_with(int(sys.argv[-1])); open(sys.argv[1], 'w').write(str(__import__('os').getpid())); time.sleep(1000)"
    )
    begin = (
        "import sys, time; from birdwatchd.edges.companion import Companion;"
        "Companion([sys.argv[1]], trouble=print, fine=print, clock=time.monotonic,"
        "program=[sys.executable, '-c', sys.argv[2]]).look_after();"
        "time.sleep(1000)"
    )
    note = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", begin, str(note), code])
    try:
        until("the companion has said its number", lambda: note.exists() and bool(note.read_text()))
        companion = int(note.read_text())
    finally:
        parent.kill()
        parent.wait(30)
    until("it is gone", lambda: not _is_alive(companion))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
