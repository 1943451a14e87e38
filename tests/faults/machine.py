"""What is asked of the machine: limits, mounts, powers taken away. What it cannot do is skipped, and says what is missing."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_IN_ITS_OWN = ["unshare", "--user", "--map-root-user"]
_SET = 'while [ "$1" != -- ]; do echo "$2" > "/proc/sys/user/$1" || exit 99; shift 2; done; shift; exec "$@"'


def within(command: list[str], **limits: int) -> list[str]:
    """The same command where the kernel gives no more than this: `max_inotify_watches`, `max_inotify_instances`.

    In a user namespace of its own, so that no other program on the machine meets these limits.
    """
    words = [word for name, value in limits.items() for word in (name, str(value))]
    whole = [*_IN_ITS_OWN, "sh", "-c", _SET, "sh", *words, "--"]
    tried = subprocess.run([*whole, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(
            f"no user namespace: {tried.stderr.strip()} (allow them: sysctl kernel.unprivileged_userns_clone=1)"
        )
    return [*whole, *command]


def loosen(process: int, **limits: int) -> None:
    """Set other limits for a process that runs `within` some."""
    words = [word for name, value in limits.items() for word in (name, str(value))]
    subprocess.run(
        [
            "nsenter",
            "--user",
            "--preserve-credentials",
            f"--target={process}",
            "sh",
            "-c",
            _SET,
            "sh",
            *words,
            "--",
            "true",
        ],
        check=True,
    )


def without_powers(command: list[str]) -> list[str]:
    """The same command for a root that is a user like any other: it may not read, write, chown or lease what is not its own."""
    if os.geteuid() != 0:
        return command
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv: install util-linux")
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", *command]


def only_for_root() -> None:
    """Skip where other users, mounts and flags cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("not root: run the tests as root in a throw-away machine")


@contextmanager
def mounted(where: Path, *words: str) -> Iterator[None]:
    """Something mounted there by `mount WORDS… WHERE`; gone at the end, whoever still uses it."""
    only_for_root()
    tried = subprocess.run(["mount", *words, str(where)], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"cannot mount: {tried.stderr.strip()}")
    try:
        yield
    finally:
        unmount(where)


def unmount(where: Path) -> None:
    """`umount -l`, if something is mounted there."""
    if where.is_mount():
        subprocess.run(["umount", "--lazy", str(where)], check=True)
