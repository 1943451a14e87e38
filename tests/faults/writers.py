"""Those who bring photos: programs that write in steps, stop, pause and die, each a process of its own."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OBEYS = """
import mmap, os, sys
target, source = sys.argv[1:]
with open(source, "rb") as file:
    data = file.read()
handle = os.open(target, os.O_RDWR | os.O_CREAT, 0o664)
print("ready", flush=True)
for order in sys.stdin:
    exec(order)
    print("done", flush=True)
"""

DESPITE_THE_END = b"\n; more of it"
"""Something behind a photo that is whole already: such a file looks finished before it is."""


class Writer:
    """One program that writes `data` to `target`, as far as it is told.

    In an order, `handle` is the open file and `data` all that it will hold; `write_to` and the rest are orders often given.
    """

    def __init__(self, target: Path, data: bytes, scratch: Path) -> None:
        source = scratch / f"source of {target.name}"
        source.write_bytes(data)
        self.data = data
        self._written = 0
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _OBEYS, str(target), str(source)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._hear("ready")

    def _hear(self, word: str) -> None:
        assert self.process.stdout is not None
        heard = self.process.stdout.readline().strip()
        assert heard == word, f"the writer is gone, or says {heard!r}"

    def do(self, order: str) -> None:
        """One line of Python, done before this returns."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        self._hear("done")

    def write_to(self, share: float) -> None:
        """Go on writing up to this share of the whole."""
        end = int(len(self.data) * share)
        self.do(f"os.pwrite(handle, data[{self._written}:{end}], {self._written})")
        self._written = end

    def close(self) -> None:
        """Close the file; the program lives on."""
        self.do("os.close(handle)")

    def stop(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; whatever it had open is closed by the system."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def writing(target: Path, data: bytes, scratch: Path) -> Iterator[Writer]:
    """A writer that is gone at the end, however it went."""
    writer = Writer(target, data, scratch)
    try:
        yield writer
    finally:
        writer.kill()


def drop(inbox: Path, name: str, data: bytes) -> None:
    """Put a file into the inbox in one step, as programs do that know what they are doing."""
    part = inbox / f".{name[:40]}.part"
    part.write_bytes(data)
    part.rename(inbox / name)
