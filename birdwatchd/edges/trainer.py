"""The telephone to the other program: `python -m birdwatchd.training`, which builds the spotter and does the trainings.

A training is begun in one of two ways. As a child it is sent off by us and dies with us. For a unit of its own it is only written down
as due: `birdwatchd-train.path` sees that and starts a program that has memory, priority and walls of its own, and that outlives us; we
look after it by the files in the job's folder alone (`birdwatchd.core.course`), and so may whoever comes after us.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from birdwatchd.core.course import CALLED_OFF_FILE, DUE, FAILURE_FILE, LOCK_FILE, PROGRESS_FILE, Failure, Progress
from birdwatchd.core.errors import ModelError, TransientError
from birdwatchd.core.job import EMBEDDINGS_FILE, JOB_FILE, REPORT_FILE, Job
from birdwatchd.core.tuning import NEEDED

PROGRAM = "birdwatchd.training"
BUILD_TIMEOUT_S = 120.0

PART, GONE = ".part", ".gone"
"""How the hidden name ends that a job's folder has until it is whole, and from the moment when it goes."""

UNHEARD_AFTER_S = 60.0
"""So long a due training may wait before somebody is told that nobody begins it."""

NOBODY_BEGINS_IT = "a training waits, and nobody begins it"
WAKE_IT = "`sudo systemctl restart birdwatchd-train.path`; if that does not help, `systemctl status birdwatchd-train` says why"

GRACE_S = 60.0
"""The program ends itself when its time is up; one that hangs is called off by us so much later."""


def can_finetune() -> bool:
    """Whether the extra `train` is installed here; nothing of it is loaded for that."""
    return not missing_for_finetuning()


def missing_for_finetuning() -> list[str]:
    """What of the extra `train` is not installed here, by the names of its modules; nothing of it is loaded for that."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def build_spotter(models: Path) -> Path:
    """Have the spotter built into this folder, unless it is there already; returns its file.

    A child process does it, because building needs `onnx`, which the daemon never imports.

    Raises:
        ModelError: it could not be built, with the reason the child gave.
    """
    # -P: whatever lies in the folder where somebody typed the command must not be imported.
    command = [sys.executable, "-P", "-m", PROGRAM, "spotter", str(models)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"building the spotter took longer than {BUILD_TIMEOUT_S:.0f} s", hint="try again when the machine is idle"
        ) from error
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines()
        if child.returncode == 1 and lines:  # its last line says what is wrong and what to do
            raise ModelError(f"the spotter could not be built: {lines[-1].removeprefix('birdwatchd: ')}", hint="")
        raise ModelError(
            f"the spotter could not be built: exit code {child.returncode}",
            hint="reinstall birdwatchd if this comes again",
        )
    return Path(json.loads(child.stdout)["path"])


def write_down(folder: Path, job: Job, embeddings: npt.NDArray[np.float32]) -> None:
    """Make a job's folder, whole or not at all; one that an earlier life or another log left under that number goes.

    Raises:
        TransientError: somebody still works on that one; it is called off.
        OSError: the disk refuses.
    """
    if _is_under_way(folder):
        (folder / CALLED_OFF_FILE).touch()
        raise TransientError(f"an older training {folder.name} has not come to its end yet")
    (folder.parent / DUE / folder.name).unlink(missing_ok=True)
    part = folder.with_name(f".{folder.name}{PART}")
    for old in (part, folder):
        if old.exists():
            shutil.rmtree(old)
    part.mkdir()
    with (part / EMBEDDINGS_FILE).open("xb") as file:
        np.save(file, embeddings)
        _sync(file.fileno(), file.flush)
    with (part / JOB_FILE).open("x", encoding="utf-8") as text:
        text.write(job.to_json())
        _sync(text.fileno(), text.flush)
    part.rename(folder)
    _sync_folder(folder.parent)


def job_folders(jobs: Path) -> list[Path]:
    """The folders of all trainings that are still there, the oldest first.

    Raises:
        OSError: the disk refuses.
    """
    folders = [path for path in jobs.glob("*") if path.name.isdecimal() and path.is_dir() and not path.is_symlink()]
    return sorted(folders, key=lambda path: int(path.name))


def take_away(folder: Path) -> int | None:
    """Remove a job's folder, whole or not at all; returns how many bytes went, None if somebody is still to work on it.

    Raises:
        OSError: the disk refuses.
    """
    if _is_under_way(folder) or (folder.parent / DUE / folder.name).exists():
        return None
    freed_bytes = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
    gone = folder.with_name(f".{folder.name}{GONE}")
    if gone.exists():
        shutil.rmtree(gone)
    folder.rename(gone)
    shutil.rmtree(gone)
    return freed_bytes


def clear_litter(jobs: Path) -> None:
    """Remove what a death left of jobs that were just being written down or taken away; only while no training is begun.

    Raises:
        OSError: the disk refuses.
    """
    for path in jobs.glob(".*"):
        if path.name.endswith((PART, GONE)) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)


def _sync(handle: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Ended(Protocol):
    """How a process ended that was sent off; `words` and `hint` are its own."""

    @property
    def well(self) -> bool:
        """Whether all went well."""

    @property
    def words(self) -> str:
        """Its last words."""

    @property
    def hint(self) -> str:
        """What to do."""


class Sent(Protocol):
    """A process that was sent off, as `errand` does it."""

    def look(self) -> Ended | None:
        """How it ended; None while it is on its way."""

    def call_off(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class Return:
    """How a training ended. `words` say why it failed, `hint` what to do; both are empty when all went well."""

    well: bool
    words: str = ""
    hint: str = ""


class Course:
    """One training on its way.

    Args:
        folder: of the job.
        child: the process that does it; None when it is somebody else's.
        max_minutes: what the program was told.
        clock: seconds, monotonic.
    """

    def __init__(self, folder: Path, child: Sent | None, *, max_minutes: float, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._due = folder.parent / DUE / folder.name
        self._child = child
        self._clock = clock
        self._most_s = 60 * max_minutes + GRACE_S
        self._since = clock()
        self._is_due = child is None
        self._back: Return | None = None

    @classmethod
    def begin(
        cls, folder: Path, job: Job, *, run_by: str, send: Callable[..., Sent], clock: Callable[[], float]
    ) -> "Course":
        """Have a job begun that was written down.

        Args:
            run_by: "child" or "unit".
            send: sends a command off, as `errand.Errand` does.

        Raises:
            TransientError: no process can be started now.
            OSError: the disk refuses.
        """
        child: Sent | None = None
        if run_by == "child":
            child = send("teach", str(folder), "--parent", str(os.getpid()), program=PROGRAM)
        else:
            due = folder.parent / DUE
            due.mkdir(exist_ok=True)
            (due / folder.name).touch()
        return cls(folder, child, max_minutes=job.max_minutes, clock=clock)

    @classmethod
    def resume(cls, folder: Path, *, clock: Callable[[], float]) -> "Course | None":
        """Go on looking after a job that another life began; None when nobody works on it and nothing came of it."""
        is_somebodys = (folder.parent / DUE / folder.name).exists() or _is_under_way(folder)
        if not is_somebodys and not (folder / REPORT_FILE).exists() and not (folder / FAILURE_FILE).exists():
            return None
        try:
            job = Job.from_json((folder / JOB_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # of another version, or torn: nobody could judge what comes of it
            return None
        return cls(folder, None, max_minutes=job.max_minutes, clock=clock)

    def look(self) -> Return | None:
        """How it ended; None while it is on its way.

        Raises:
            TransientError: it is due, and nobody begins it.
        """
        if self._back is None:
            self._back = self._ended()
        return self._back

    def progress(self) -> Progress:
        """How far it is, as it said last."""
        try:
            return Progress.from_json((self._folder / PROGRESS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # nothing was said yet
            return Progress(0.0, "waiting for its turn" if self._is_due else "beginning")

    def call_off(self) -> None:
        """End it, wherever it is; nothing is waited for."""
        if self._child is not None:
            self._child.call_off()
            return
        (self._folder / CALLED_OFF_FILE).touch()  # first: who begins it at this moment shall find it
        self._due.unlink(missing_ok=True)

    def leave(self) -> None:
        """We end. A child of ours ends with us; what another program does goes on, and is looked after by whoever comes next."""
        if self._child is not None:
            self._child.call_off()

    def _ended(self) -> Return | None:
        if self._child is not None:
            back = self._child.look()
            if back is None:
                return self._past_its_time()
            return self._told() or Return(well=False, words=_plain(back.words), hint=back.hint)
        # In this order, for who begins it locks it before it takes it from the list.
        if self._due.exists():
            if self._clock() - self._since > UNHEARD_AFTER_S:
                raise TransientError(NOBODY_BEGINS_IT, hint=WAKE_IT)
            return None
        if self._is_due:
            self._is_due, self._since = False, self._clock()
        if _is_under_way(self._folder):
            return self._past_its_time()
        return self._told() or Return(
            well=False,
            words="the program ended without a word",
            hint="most often memory ran out; `sudo journalctl -u birdwatchd-train` may say more",
        )

    def _told(self) -> Return | None:
        """What the program left when it ended; None if it could not."""
        if (self._folder / REPORT_FILE).exists():
            return Return(well=True)
        try:
            failure = Failure.from_json((self._folder / FAILURE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # it was killed
            return None
        return Return(well=False, words=failure.words, hint=failure.hint)

    def _past_its_time(self) -> Return | None:
        if self._clock() - self._since < self._most_s:
            return None
        self.call_off()
        return Return(well=False, words="it took too long", hint="see max_minutes under [training] in config.toml")


@dataclass(frozen=True, slots=True)
class Sign:
    """How a training stands, as far as its files tell.

    Attributes:
        state: "nobody" has not said a word of it yet, or has died.
        at: when the last thing was heard of it, ISO-8601 UTC; None if nothing was.
        progress: what it said last.
    """

    state: Literal["due", "under way", "over", "nobody"]
    at: str | None
    progress: Progress | None


def sign_of(folder: Path) -> Sign:
    """Look at a training without touching it; beside a daemon that looks after it.

    Raises:
        OSError: this user may not look.
    """
    with contextlib.suppress(FileNotFoundError):
        return Sign("due", _moment_of(folder.parent / DUE / folder.name), None)
    if (folder / REPORT_FILE).exists() or (folder / FAILURE_FILE).exists():
        return Sign("over", None, None)
    # Who has said something has its lock: one that is just about to take it must not find it taken by us.
    try:
        progress = Progress.from_json((folder / PROGRESS_FILE).read_text(encoding="utf-8"))
        at = _moment_of(folder / PROGRESS_FILE)
    except (FileNotFoundError, ValueError):
        return Sign("nobody", None, None)
    return Sign("under way" if _is_under_way(folder) else "nobody", at, progress)


def _moment_of(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()


def _is_under_way(folder: Path) -> bool:
    """Whether a program works on that job: the kernel drops its lock when it ends, however it ends."""
    try:
        handle = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)


def _plain(words: str) -> str:
    """An end by the system's hand, in words."""
    return "the system ended it, most often because memory ran out" if words == "it ended with -9" else words
