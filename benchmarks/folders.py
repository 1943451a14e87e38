"""Bird folders and daemons to measure: each in a process of its own, as a person would start it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

CHECKOUT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "birdwatchd")
RESTING = ("filed", "review", "empty", "quarantined", "duplicate")
PATIENCE_S = 180.0
ONLY_WHEN_ASKED = {"BIRDWATCHD_TRAINING__ENABLED": "false"}
"""The environment of a daemon that learns only when it is told to."""


def command(*words: str, root: Path, may_end_with: Sequence[int] = (0,)) -> str:
    """Run one birdwatchd command to its end; returns what it printed."""
    done = subprocess.run(
        [*COMMAND, *words, "--root", str(root)], cwd=CHECKOUT, check=False, capture_output=True, text=True
    )
    if done.returncode not in may_end_with:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def scan(root: Path, photos: int) -> float:
    """Empty the inbox; returns the seconds from the first claim to the last receipt, for that many photos and no less."""
    done = json.loads(command("scan", "--json", root=root))
    assert done["photos"] == photos, done
    return float(done["seconds"])


def bring(root: Path, photos: Iterable[tuple[str, Path]]) -> None:
    """Import named photos: the species and the file of each."""
    with tempfile.TemporaryDirectory(prefix="birdwatchd-bench-tree-") as tree:
        for number, (species, photo) in enumerate(photos):
            folder = Path(tree) / species
            folder.mkdir(exist_ok=True)
            shutil.copy(photo, folder / f"{number}-{photo.name}")
        command("import", tree, root=root)


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
        self._said: list[tuple[float, str]] = []
        self._came = threading.Condition()

    def listen(self, lines: TextIO) -> None:
        """Note when photos came to rest and what else was said, until the daemon falls silent."""
        for line in lines:
            at = time.perf_counter()
            fact = json.loads(line) if line.startswith("{") else {"what": line}
            with self._came:
                if fact.get("state") in RESTING:
                    self._receipts[str(fact["what"]).partition(" -> ")[0]] = at
                else:
                    self._said.append((at, str(fact["what"])))
                self._came.notify_all()

    def receipt(self, name: str) -> float:
        """When the photo of this name came to rest, by `time.perf_counter`; waits for it."""
        with self._came:
            if not self._came.wait_for(lambda: name in self._receipts, PATIENCE_S):
                raise TimeoutError(f"{name} did not reach its place")
            return self._receipts[name]

    def when_it_said(self, words: str) -> float:
        """When it first said something with these words in it, by `time.perf_counter`; waits for it."""
        with self._came:
            if not self._came.wait_for(lambda: any(words in said for _, said in self._said), PATIENCE_S):
                raise TimeoutError(f"it never said {words!r}")
            return next(at for at, said in self._said if words in said)

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
        [*program, "run", "--ingest-only", "--log", "json", "--root", str(root)],
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
