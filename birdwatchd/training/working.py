"""The training program's side of a training on its way: whose turn it is, the lock, how far it is, how it ended.

The daemon's side is `birdwatchd.edges.trainer`; the files that both know are told in `birdwatchd.core.course`.
"""

import fcntl
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from birdwatchd.core.course import CALLED_OFF_FILE, DUE, FAILURE_FILE, LOCK_FILE, PROGRESS_FILE, Failure, Progress
from birdwatchd.core.errors import BirdwatchdError, Refused
from birdwatchd.core.job import JOB_FILE, Job, Report
from birdwatchd.training import bounds

Tell = Callable[[float, str], None]

TELL_EVERY_S = 0.25
"""Between two notes of progress that differ in the share alone."""


def do(folder: Path, tell: Tell) -> Report:
    """Do the job in this folder: under its lock, within its bounds; leaves a report there, or a failure.

    Raises:
        Refused: there is no such job, or somebody works on it.
        BirdwatchdError: it failed.
    """
    with _locked(folder):
        # From here on the lock says that it is under way. The file goes first of all, so that a job that kills the program is begun
        # only once.
        due = folder.parent / DUE / folder.name
        due.unlink(missing_ok=True)
        try:
            if (folder / CALLED_OFF_FILE).exists():
                raise Refused("it was called off", hint="")
            return _within_bounds(folder, tell)
        except BirdwatchdError as error:
            _note_failure(folder, Failure(error.message, error.hint))
            raise
        except MemoryError:
            _note_failure(folder, Failure("there was not enough memory", "close other programs"))
            raise
        except Exception as error:
            _note_failure(folder, Failure(f"it broke down: {error!r}", "please report this"))
            raise


def work(jobs: Path, tell: Tell) -> None:
    """Do what is due, oldest first, until nothing is; what fails is told, and the next is begun.

    Names that are no number get hidden: nobody here knows what they want, and they would have the program started for ever.
    """
    tried: set[str] = set()
    while (name := _next_due(jobs / DUE, tried)) is not None:
        tried.add(name)
        try:
            do(jobs / name, tell)
        except BirdwatchdError as error:
            say(Failure(error.message, error.hint), of=name)
        except Exception:  # noqa: BLE001  # told; the next job is another
            traceback.print_exc()


def _next_due(due: Path, tried: set[str]) -> str | None:
    try:
        names = [path.name for path in due.iterdir()]
    except FileNotFoundError:
        return None
    for name in names:
        if not name.isdecimal() and not name.startswith("."):
            (due / name).rename(due / f".{name}")
    return min((name for name in names if name.isdecimal() and name not in tried), key=int, default=None)


def say(failure: Failure, *, of: str = "") -> None:
    """Tell on stderr what went wrong and what to do, as `birdwatchd` does."""
    sys.stderr.write(f"birdwatchd: {f'training {of}: ' if of else ''}{failure.words}\n")
    if failure.hint:
        sys.stderr.write(f"  hint: {failure.hint}\n")
    sys.stderr.flush()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        (folder.parent / DUE / folder.name).unlink(missing_ok=True)
        raise Refused(f"{folder.name} holds no training job: {error.strerror}", hint="") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(f"somebody works on training {folder.name} already", hint="") from error
        yield
    finally:
        os.close(handle)


def _within_bounds(folder: Path, tell: Tell) -> Report:
    # numpy and all that is loaded after the bounds are set: threads get what their maker has.
    from birdwatchd.training.teach import teach

    try:
        job = Job.from_json((folder / JOB_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"{folder.name} holds no training job that can be read: {error}", hint="") from error

    def end(failure: Failure) -> None:
        _note_failure(folder, failure)
        say(failure)
        os._exit(1)  # whatever the rest is doing: nothing of it counts before the report

    with bounds.bounded(folder, max_memory_mb=job.max_memory_mb, max_minutes=job.max_minutes, end=end):
        return teach(folder, _noting(folder, tell))


def _noting(folder: Path, tell: Tell) -> Tell:
    noted = Progress(-1.0, "")
    noted_at = 0.0

    def note(done: float, what: str) -> None:
        nonlocal noted, noted_at
        if what == noted.what and time.monotonic() - noted_at < TELL_EVERY_S:
            return
        noted, noted_at = Progress(done, what), time.monotonic()
        with suppress(OSError):  # a full disk shall end the training where it matters
            _replace(folder / PROGRESS_FILE, noted.to_json())
        tell(done, what)

    return note


def _note_failure(folder: Path, failure: Failure) -> None:
    try:
        _replace(folder / FAILURE_FILE, failure.to_json())
    except OSError as error:  # the daemon finds out by the lock, without the words
        sys.stderr.write(f"birdwatchd: cannot write down why it failed: {error.strerror}\n")


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
