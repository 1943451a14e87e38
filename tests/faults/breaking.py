"""Ways to break the machine below a bird folder, each of which undoes itself: small disks, failing system calls, strange file systems.

What this machine cannot do is skipped with the reason and how to get it.
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from birdwatchd.core.settings import Inbox

PATIENCE_S = 30.0

NO_RESERVE = {"reserve_mb": 0} if "reserve_mb" in Inbox.model_fields else {}
"""Settings below [inbox] with which the disk may be filled to its last page: what happens then is what is tested."""

NO_RESERVE_ENVIRONMENT = {f"BIRDWATCHD_INBOX__{key.upper()}": str(value) for key, value in NO_RESERVE.items()}


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount and trace: run the tests as root (in a container or a virtual machine)")


def need(program: str, package: str) -> str:
    """Path of a program."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{program} is missing: apt-get install {package}")
    return found


def _until(what: str, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"waited {PATIENCE_S:.0f} s in vain: {what}"
        time.sleep(0.02)


# -- disks


@contextmanager
def mounted(place: Path, *words: str | Path) -> Iterator[Path]:
    """Something mounted on a folder, such as `-t tmpfs -o size=1m tmpfs`; gone at the end, whoever still uses it."""
    need_root()
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *map(str, words), str(place)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this machine does not mount it: {done.stderr.strip()}")
    try:
        yield place
    finally:
        _unmount(place)


def _unmount(place: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode != 0:
        if time.monotonic() > end:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
            return
        time.sleep(0.05)


def small_disk(place: Path, *, pages: int = 2048, inodes: int = 0) -> AbstractContextManager[Path]:
    """A file system of that many pages of 4 kB, and that many inodes (0: as many as one likes)."""
    return mounted(place, "-t", "tmpfs", "-o", f"size={4 * pages}k,nr_inodes={inodes}", "tmpfs")


def fill(place: Path, *, leave_pages: int = 0) -> Path:
    """Use up a disk but for so many pages; returns the file to remove to make room again."""
    ballast = place / ".ballast"
    end = time.monotonic() + PATIENCE_S
    with ballast.open("wb") as file:
        while True:
            room = os.statvfs(place)
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, room.f_bavail - leave_pages) * room.f_frsize)
            except OSError as error:  # a daemon that works here took some of it since
                if error.errno != errno.ENOSPC or time.monotonic() > end:
                    raise
            else:
                return ballast


def use_up_inodes(place: Path, *, leave: int = 0) -> Path:
    """The same for inodes; returns the folder to remove."""
    ballast = place / ".ballast"
    ballast.mkdir()
    for number in range(os.statvfs(place).f_ffree - leave):
        (ballast / str(number)).touch()
    return ballast


# -- system calls


def traced(*rules: str, path: Path | None = None) -> list[str]:
    """A command in front of another, by which system calls of it fail, such as `fsync:error=EIO:when=3`."""
    return [*_strace(*rules, path=path), "--"]


def _strace(*rules: str, path: Path | None = None) -> list[str]:
    need_root()
    calls = ",".join(rule.partition(":")[0] for rule in rules)
    words = [need("strace", "strace"), "-f", "-qqq", "-o", "/dev/null", "-e", f"trace={calls}"]
    for rule in rules:
        words += ["-e", f"inject={rule}"]
    return words if path is None else [*words, "-P", str(path)]


@contextmanager
def failing(pid: int, *rules: str, path: Path | None = None) -> Iterator[None]:
    """System calls of a running process fail for as long as this lasts.

    Args:
        path: only those that name this file, or a handle of it.
    """
    tracer = subprocess.Popen([*_strace(*rules, path=path), "-p", str(pid)])
    try:
        _until("strace holds the process", lambda: _tracer_of(pid) == tracer.pid)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(PATIENCE_S)


def _tracer_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("TracerPid:"))


# -- file systems of other habits


@contextmanager
def passed_through(behind: Path, place: Path, *habits: str, kind: str = "mergerfs") -> Iterator[Path]:
    """A folder seen through a file system with habits of its own; see `passing.py`, and `change_habits`."""
    need_root()
    need("fusermount3", "fuse3")
    pytest.importorskip("mfusepy", reason="mfusepy is missing: pip install mfusepy")
    if not Path("/dev/fuse").exists():
        pytest.skip("no /dev/fuse: this kernel or container knows no FUSE")
    behind.mkdir(exist_ok=True)
    place.mkdir(exist_ok=True)
    change_habits(behind, *habits)
    process = subprocess.Popen([sys.executable, "-m", "tests.faults.passing", str(behind), str(place), kind])
    try:
        _until("the file system is there", lambda: place.is_mount() or process.poll() is not None)
        assert process.poll() is None
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)
        process.kill()  # it would wait for whoever still has a file open there
        process.wait(PATIENCE_S)


def change_habits(behind: Path, *habits: str) -> None:
    """From now on it has these."""
    behind.with_name(f"{behind.name}.habits").write_text(" ".join(habits))
