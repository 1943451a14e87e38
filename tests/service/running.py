"""The real program in a process of its own, as a person would start it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND = [sys.executable, "-m", "birdwatchd"]
STUBBED = [sys.executable, "-m", "tests.service.stubbed"]
"""The same with a stub eye; no spotter need be built."""
PATIENCE_S = 60.0


def birdwatchd(
    *words: str | Path, root: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One command, run to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, words), "--root", str(root)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=os.environ | (environment or {}),
        check=False,
    )


def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait until something holds; fail with its name when patience ends."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"waited {PATIENCE_S:.0f} s in vain: {what}"
        time.sleep(0.05)


@dataclass
class Daemon:
    """A running daemon; what it says goes to files beside the bird folder."""

    process: subprocess.Popen[bytes]
    lamp: socket.socket
    out: Path
    err: Path

    def notices(self) -> list[str]:
        """What it has told the service manager since the last look."""
        heard: list[str] = []
        while True:
            try:
                heard.append(self.lamp.recv(4096).decode())
            except BlockingIOError:
                return heard

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def daemon(
    root: Path,
    *words: str,
    settle_s: float = 0.2,
    environment: dict[str, str] | None = None,
    command: list[str] = COMMAND,
) -> Iterator[Daemon]:
    """A daemon that has said that it is ready; it is gone at the end, however it went."""
    out, err, address = root.parent / "daemon.out", root.parent / "daemon.err", str(root.parent / "lamp")
    Path(address).unlink(missing_ok=True)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lamp,
        out.open("wb") as out_file,
        err.open("ab") as err_file,
    ):
        lamp.bind(address)
        lamp.setblocking(False)
        process = subprocess.Popen(
            [*command, "run", "--root", str(root), *words],
            stdout=out_file,
            stderr=err_file,
            env=os.environ
            | {"NOTIFY_SOCKET": address, "BIRDWATCHD_INBOX__SETTLE_S": str(settle_s), "BIRDWATCHD_INBOX__SWEEP_S": "1"}
            | (environment or {}),
        )
        one = Daemon(process, lamp, out, err)
        try:
            until("ready", lambda: process.poll() is not None or b"is ready" in out.read_bytes())
            assert process.poll() is None, err.read_text()
            yield one
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
