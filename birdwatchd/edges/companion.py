"""A command of our own that lives beside us: begun when we are ready, begun anew when it dies, ended when we end.

Nothing of ours waits for it. What it says goes where our own words go.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

FAREWELL_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
SETTLED_S = 60.0
"""What has lived that long has begun well; if it dies then, it is begun anew at once."""

_PR_SET_PDEATHSIG = 1
_OURS_ALONE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
"""What the service manager has told us, and means nobody else."""

_libc = ctypes.CDLL(None, use_errno=True)


class Companion:
    """One command beside us.

    Args:
        words: of the command line, after `birdwatchd`; `--parent` with our number is added.
        trouble: is told, with what it ended, each time that it does not stay.
        fine: is told when it has stayed after all.
        clock: seconds, monotonic.
        program: what runs it.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        trouble: Callable[[str], None],
        fine: Callable[[], None],
        clock: Callable[[], float],
        program: Sequence[str] = (sys.executable, "-P", "-m", "birdwatchd"),
    ) -> None:
        # -P: whatever lies in the folder where somebody typed the command must not be imported.
        self._command = [*program, *words, "--parent", str(os.getpid())]
        self._trouble = trouble
        self._fine = fine
        self._clock = clock
        self._child: subprocess.Popen[bytes] | None = None
        self._begun_at = self._again_at = clock()
        self._pause_s = FIRST_PAUSE_S
        self._is_settled = False

    def look_after(self) -> None:
        """Begin it if it is not there and the time has come. Takes milliseconds; to be called about once a second."""
        now = self._clock()
        code = None if self._child is None else self._child.poll()
        if self._child is not None and code is None:
            if not self._is_settled and now - self._begun_at >= SETTLED_S:
                self._is_settled, self._pause_s = True, FIRST_PAUSE_S
                self._fine()
            return
        if code is not None:
            self._child = None
            self._put_off(now, f"it ended with {code}")
        if now >= self._again_at:
            self._begin(now)

    def _put_off(self, now: float, how: str) -> None:
        if not self._is_settled:
            self._trouble(how)
        self._is_settled = False
        self._again_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _begin(self, now: float) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _OURS_ALONE}
        try:
            # A session of its own: Ctrl-C in a terminal reaches only us, and we end it.
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
            )
        except OSError as error:
            self._put_off(now, f"cannot start another process: {error.strerror}")
        else:
            self._begun_at = now

    def end(self) -> None:
        """End it: with a word first, by force if that is not heard. It is not begun again."""
        self._again_at = float("inf")
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(FAREWELL_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            with suppress(subprocess.TimeoutExpired):  # it hangs in the disk; the kernel ends it as soon as it is out
                self._child.wait(FAREWELL_S)
        self._child = None


def end_with(parent: int) -> None:
    """In the companion: be told to stop as soon as the process that began us is gone, however it went; at once if it is already.

    Args:
        parent: its number, as it told us itself.
    """
    if hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask
        os.kill(os.getpid(), signal.SIGTERM)
