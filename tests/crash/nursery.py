"""Lives in quick succession: a parent that has read all of the program once, and a child of it for each life.

Every life is a process of its own, with the real command line in it, and can be killed and traced like any other; it only saves the
second that reading Python's modules takes. A child may wait until strace has attached itself to it.

`python -m tests.crash.nursery` is the parent: a line of JSON in for each life, its process id and then how it ended out.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
GRASP_S = 0.01
"""What strace needs from being the tracer to seeing calls; a call more or less that it misses only shifts the point."""


class Nursery:
    """The parent, seen from the test. One life at a time."""

    def __init__(self) -> None:
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}  # a child inherits no threads
        command = [sys.executable, "-m", "tests.crash.nursery"]
        self._parent = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def close(self) -> None:
        """No more lives."""
        with self._parent:
            if self._parent.stdin is not None:
                self._parent.stdin.close()

    def live(
        self, words: Sequence[str], environment: Mapping[str, str], *, out: Path, err: Path, strace: Sequence[str] = ()
    ) -> int:
        """One life; returns its exit code, negative for a signal.

        Args:
            out, err: files that get what it says.
            strace: a whole strace command; `-p` and the process are added.
        """
        life = {"words": list(words), "environment": dict(environment), "out": str(out), "err": str(err)}
        self._tell(json.dumps(life | {"wait": bool(strace)}))
        pid = int(self._hear())
        with _Patience(pid), contextlib.ExitStack() as watched:
            if strace:
                watched.enter_context(subprocess.Popen([*strace, "-p", str(pid)], stderr=subprocess.DEVNULL))
                _once_traced(pid)
                self._tell("go")
            return int(self._hear())

    def _tell(self, line: str) -> None:
        if self._parent.stdin is None:
            raise ValueError("the nursery has no ear")
        self._parent.stdin.write(f"{line}\n")
        self._parent.stdin.flush()

    def _hear(self) -> str:
        if self._parent.stdout is None:
            raise ValueError("the nursery has no mouth")
        return self._parent.stdout.readline()


class _Patience:
    """Ends a life that takes too long, or whose test ends: a hung child must not hang the tests."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._is_over = False
        self._timer = threading.Timer(PATIENCE_S, self._end)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        if self._is_over:
            raise TimeoutError(f"a life took longer than {PATIENCE_S:.0f} s")
        if kind is not None:
            self._end()

    def _end(self) -> None:
        self._is_over = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)


def _once_traced(pid: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
        if time.monotonic() > end:
            raise TimeoutError("strace did not attach itself: may this user trace processes?")
        time.sleep(0.002)
    time.sleep(GRASP_S)


def _be_parent() -> None:
    from PIL import Image

    from birdwatchd import service
    from birdwatchd.cli import main
    from birdwatchd.edges import images  # noqa: F401  so that no child reads it
    from tests.crash import launching
    from tests.service.stubbed import stub_loader

    Image.init()
    sys.argv = ["birdwatchd", "--help"]
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.suppress(SystemExit):
        main()  # reads what the command line needs
    for line in sys.stdin:
        life = json.loads(line)
        ear, mouth = os.pipe()
        pid = os.fork()
        if pid == 0:
            _begin(life)
            if life["wait"]:
                os.read(ear, 1)
            if life["environment"].get("EYE") != "real":
                service.spotter_loader = stub_loader
            launching.begin(life["environment"].get("FAULT", ""))
            main()
            return
        _say(pid)
        if life["wait"]:
            sys.stdin.readline()
            os.write(mouth, b"!")
        _say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        os.close(ear)
        os.close(mouth)


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _begin(life: dict[str, Any]) -> None:
    os.environ.update(life["environment"])
    for handle, path in ((1, life["out"]), (2, life["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), handle)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["birdwatchd", *life["words"]]


if __name__ == "__main__":
    _be_parent()
