"""The real page in a process of its own, and what a program or a browser needs to speak to it."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from birdwatchd.edges.files import Files
from birdwatchd.web.server import token_file
from tests.service.running import COMMAND, until


@dataclass
class Served:
    """A running page."""

    root: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """What logs in."""
        return token_file(self.root).read_text().strip()

    def client(self) -> httpx.Client:
        """A program with the token; to be closed."""
        return httpx.Client(base_url=self.address, headers={"Authorization": f"Bearer {self.token}"}, timeout=30)

    def stranger(self) -> httpx.Client:
        """One without; to be closed."""
        return httpx.Client(base_url=self.address, timeout=30)


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def page_of(
    root: Path,
    *words: str,
    environment: dict[str, str] | None = None,
    port: int | None = None,
    before: Sequence[str] = (),
) -> Iterator[Served]:
    """`birdwatchd web` over a bird folder, until the block ends; `before` is a command that runs it, and stays out of sight."""
    Files(root).create()
    port = port or free_port()
    more = {"BIRDWATCHD_WEB__PORT": str(port)} | (environment or {})
    said = root.parent / "page.err"
    with said.open("ab") as err:
        process = subprocess.Popen(
            [*before, *COMMAND, "web", *words, "--root", str(root)], stdout=err, stderr=err, env=os.environ | more
        )
        try:
            served = Served(root, port, process)
            until("the page answers", lambda: _answers(served, said))
            yield served
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def _answers(served: Served, said: Path) -> bool:
    assert served.process.poll() is None, said.read_text()
    try:
        return httpx.get(f"{served.address}/login").status_code == 200
    except httpx.TransportError:
        return False
