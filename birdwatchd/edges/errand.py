"""A command of our own, sent off in a process of its own; asked now and then whether it is back, and called off at the end."""

import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from birdwatchd.core.errors import TransientError

FAREWELL_S = 2.0


@dataclass(frozen=True, slots=True)
class Return:
    """How an errand ended. `words` and `hint` are its own, as it said them on stderr; empty when all went well."""

    well: bool
    words: str
    hint: str


class Errand:
    """One command on its way.

    It has a session of its own, so that Ctrl-C in a terminal reaches only us; who sent it ends it with `call_off`. What it says goes to
    a file: a pipe that nobody reads for a while would stop it.

    Args:
        program: the module that is run; `birdwatchd` or `birdwatchd.training`.

    Raises:
        TransientError: no process can be started now.
    """

    def __init__(self, *words: str, program: str = "birdwatchd") -> None:
        with ExitStack() as stack:
            try:
                self._said = stack.enter_context(tempfile.TemporaryFile())
                # -P: whatever lies in the folder where somebody typed the command must not be imported.
                self._child = subprocess.Popen(
                    [sys.executable, "-P", "-m", program, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._said,
                    start_new_session=True,
                )
            except OSError as error:
                raise TransientError(f"cannot start another process: {error.strerror}") from error
            stack.pop_all()  # it stays open until the errand is back

    def look(self) -> Return | None:
        """How it ended; None while it is on its way. To be asked only once after that."""
        code = self._child.poll()
        if code is None:
            return None
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").splitlines()
        self._said.close()
        words = [line.removeprefix("birdwatchd: ") for line in lines if line.startswith("birdwatchd: ")]
        hints = [line.removeprefix("  hint: ") for line in lines if line.startswith("  hint: ")]
        if code == 0:
            return Return(well=True, words="", hint="")
        last = lines[-1] if lines else f"it ended with {code}"
        return Return(well=False, words=words[-1] if words else last, hint=hints[-1] if hints else "")

    def call_off(self) -> None:
        """End it, wherever it is; nothing is waited for that the disk holds up."""
        self._child.kill()
        with suppress(subprocess.TimeoutExpired):  # it hangs in the disk; the kernel ends it as soon as it is out
            self._child.wait(FAREWELL_S)
        self._said.close()
