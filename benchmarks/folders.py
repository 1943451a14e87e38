"""Bird folders and daemons to measure: each in a process of its own, as a person would start it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

CHECKOUT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "birdwatchd")
RESTING = ("filed", "review", "empty", "quarantined", "duplicate")
PATIENCE_S = 180.0


def command(*words: str, root: Path) -> str:
    """Run one birdwatchd command to its end; returns what it printed."""
    done = subprocess.run(
        [*COMMAND, *words, "--root", str(root)], cwd=CHECKOUT, check=True, capture_output=True, text=True
    )
    return done.stdout


def scan(root: Path, photos: int) -> float:
    """Empty the inbox; returns the seconds from the first claim to the last receipt, for that many photos and no less."""
    done = json.loads(command("scan", "--json", root=root))
    assert done["photos"] == photos, done
    return float(done["seconds"])


@contextmanager
def bird_folder() -> Iterator[Path]:
    """A fresh bird folder, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="birdwatchd-bench-") as place:
        root = Path(place) / "birdwatch"
        command("init", root=root)
        yield root


class Daemon:
    """A running daemon that is listened to. A receipt is heard as the line that it writes after the receipt is on the disk; so
    waiting for one costs the daemon nothing, as asking the log again and again would.

    Attributes:
        ready_s: seconds from its start to READY.
    """

    def __init__(self, process: subprocess.Popen[str], ready_s: float) -> None:
        self.process = process
        self.ready_s = ready_s
        self._receipts: dict[str, float] = {}
        self._came = threading.Condition()

    def listen(self, lines: TextIO) -> None:
        """Note when photos came to rest, until the daemon falls silent."""
        for line in lines:
            at = time.perf_counter()
            fact = json.loads(line) if line.startswith("{") else {}
            if fact.get("state") in RESTING:
                with self._came:
                    self._receipts[str(fact["what"]).partition(" -> ")[0]] = at
                    self._came.notify_all()

    def receipt(self, name: str) -> float:
        """When the photo of this name came to rest, by `time.perf_counter`; waits for it."""
        with self._came:
            if not self._came.wait_for(lambda: name in self._receipts, PATIENCE_S):
                raise TimeoutError(f"{name} did not reach its place")
            return self._receipts[name]

    def rss_mb(self) -> float:
        """Its resident memory now, in megabytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def daemon(
    root: Path, *, environment: Mapping[str, str] | None = None, program: tuple[str, ...] = COMMAND
) -> Iterator[Daemon]:
    """A daemon that has said that it is ready; stopped afterwards.

    Args:
        program: something else that ends in birdwatchd's command line.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*program, "run", "--log", "json", "--root", str(root)],
        cwd=CHECKOUT,
        env=os.environ | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    one = Daemon(process, 0.0)
    listener = threading.Thread(target=one.listen, args=[process.stderr])
    listener.start()
    try:
        line = process.stdout.readline()
        one.ready_s = time.perf_counter() - begun
        assert "ready" in line, line
        yield one
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.wait()
        listener.join()
        process.stdout.close()
        process.stderr.close()


def states(root: Path) -> dict[str, int]:
    """How many photos the log has in each state."""
    counted: dict[str, Any] = json.loads(command("stats", "--json", root=root))["states"]
    return {state: int(count) for state, count in counted.items()}


def at_rest(root: Path) -> int:
    """How many photos have reached their places."""
    counted = states(root)
    return sum(counted.get(state, 0) for state in RESTING)
