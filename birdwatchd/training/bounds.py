"""What keeps a training from being a burden: it yields to everything else, dies with who sent it, and ends before it takes too much."""

import ctypes
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from birdwatchd.core.course import CALLED_OFF_FILE, Failure

LOOK_EVERY_S = 0.5

_PR_SET_PDEATHSIG = 1
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30}
"""Number of the system call; Python has none for it."""

_IDLE_IO = 3 << 13
_libc = ctypes.CDLL(None, use_errno=True)


def yield_to_others() -> None:
    """Have processor and disk mostly when nobody else wants them, and be the first to go when memory runs out.

    To be called before threads are made: they get what their maker has. All cores may be used, and none is asked for.
    """
    for step_back in (_lowest_priority, _lowest_priority_as_a_session, _long_turns, _idle_disk, _first_to_go):
        try:
            step_back()
        except (
            OSError
        ):  # not here (no such call), or not in this service, whose own lines say the same (Nice=, OOMScoreAdjust=)
            continue


def _lowest_priority() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, 19)


def _lowest_priority_as_a_session() -> None:
    # Where the kernel shares the processor out by session first (sched(7), autogroup), niceness counts only within one.
    if os.getsid(0) == os.getpid():  # else others are in it, whom nobody asked
        Path("/proc/self/autogroup").write_text("19", encoding="ascii")


def _long_turns() -> None:
    # Not SCHED_IDLE: on a machine that is busy day and night it would never come to an end.
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _idle_disk() -> None:
    if platform.system() == "Linux" and (number := _IOPRIO_SET.get(platform.machine())) is not None:
        _libc.syscall(number, 1, 0, _IDLE_IO)


def _first_to_go() -> None:
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def die_with(parent: int) -> None:
    """Be killed by the kernel as soon as the thread that sent us is gone, the main one of its process; at once if it is already.

    Args:
        parent: number of that process, as it told us itself.
    """
    if hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask
        os._exit(1)


@contextmanager
def bounded(
    folder: Path, *, max_memory_mb: float, max_minutes: float, end: Callable[[Failure], None]
) -> Iterator[None]:
    """Watch over the work done in here, from a thread of its own.

    Args:
        folder: of the job; `called-off` in there ends it.
        end: called from that thread when it has to end now, and does not return if that is meant.
    """
    over = threading.Event()
    until = time.monotonic() + 60 * max_minutes

    def watch() -> None:
        while not over.wait(LOOK_EVERY_S):
            failure = None
            if (folder / CALLED_OFF_FILE).exists():
                failure = Failure("it was called off", "")
            elif time.monotonic() >= until:
                failure = Failure(
                    f"it took longer than {max_minutes:g} minutes",
                    "raise max_minutes under [training] in config.toml, or train when the machine is idle",
                )
            elif (held_mb := _resident_bytes() / 1e6) > max_memory_mb:
                failure = Failure(
                    f"it needed more than {max_memory_mb:,.0f} MB of memory ({held_mb:,.0f} MB)",
                    "raise max_memory_mb under [training] in config.toml, if this machine has more",
                )
            if failure is not None:
                end(failure)

    watcher = threading.Thread(target=watch, name="bounds", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _resident_bytes() -> int:
    """Memory of this process that is in use now; helpers of its own are left to the unit's MemoryMax=."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # not Linux
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
