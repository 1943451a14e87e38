"""The ground it stands on: processor, memory, kernel, disks. Asked only for the report to whoever helps.

Every answer may be missing: what a machine does not have, or does not tell this user, is None.
"""

import importlib.metadata
import os
import platform
import pwd
import re
import socket
import sqlite3
import sys
from pathlib import Path, PurePosixPath

from birdwatchd.core import mounts

TELLING_OPTIONS = frozenset(
    (
        "rw",
        "ro",
        "sync",
        "noatime",
        "relatime",
        "lazytime",
        "noexec",
        "nosuid",
        "nodev",
        "nolock",
        "nobarrier",
        "discard",
    )
)
TELLING_SETTINGS = ("errors", "data", "commit", "compress", "vers", "soft", "hard", "cache", "actimeo", "barrier")
"""Options of a mount that may be told: the others hold names of users and machines."""

PERSONS_FROM = 1000
"""User ids from here on are people's."""


def about() -> dict[str, object]:
    """Processor, memory, kernel and system."""
    memory = _pairs(Path("/proc/meminfo"), ":")
    system = _pairs(Path("/etc/os-release"), "=")
    return {
        "system": system.get("PRETTY_NAME", "").strip('"') or None,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "processor": _pairs(Path("/proc/cpuinfo"), ":").get("model name"),
        "cores": os.cpu_count(),
        "cores_for_us": len(os.sched_getaffinity(0)),
        "load": [round(load, 2) for load in os.getloadavg()],
        "memory_kb": {key: _number(memory.get(key)) for key in ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")},
        "inotify": {path.name: _number(_text(path)) for path in sorted(Path("/proc/sys/fs/inotify").glob("max_*"))},
        "nvidia_driver": next(iter(_text(Path("/proc/driver/nvidia/version")).splitlines()), None),
    }


def versions(package: str) -> dict[str, object]:
    """Of Python, SQLite, this package and the ones that it names."""
    found: dict[str, object] = {"python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version}
    for line in [package, *(importlib.metadata.requires(package) or [])]:
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # one that only another machine or an extra needs
            continue
    return found


def disk(folder: Path) -> dict[str, object]:
    """The disk that a folder lies on: its room, and how it is mounted, without any name."""
    try:
        room = os.statvfs(folder)
        mount = mounts.mount_of(PurePosixPath(folder.resolve()), mounts.mounts_in(_text(Path(mounts.TABLE))))
    except OSError as error:
        return {"trouble": error.strerror}
    options = sorted(mount.options) if mount else []
    return {
        "kind": mount.kind if mount else None,
        "options": [one for one in options if one in TELLING_OPTIONS or one.partition("=")[0] in TELLING_SETTINGS],
        "total_bytes": room.f_blocks * room.f_frsize,
        "free_bytes": room.f_bavail * room.f_frsize,
        "total_inodes": room.f_files,
        "free_inodes": room.f_favail,
    }


def names() -> set[str]:
    """What must not be told: names of this machine, of the people on it, of their homes, of who is asking."""
    found = {socket.gethostname(), socket.gethostname().partition(".")[0], platform.node()}
    found |= {os.environ.get(key, "") for key in ("USER", "LOGNAME", "SUDO_USER", "HOSTNAME")}
    for person in pwd.getpwall():
        if person.pw_uid >= PERSONS_FROM or person.pw_uid == os.getuid():
            found |= {person.pw_name, *person.pw_gecos.replace(",", " ").split(), Path(person.pw_dir).name}
    found |= {Path(os.environ.get("HOME", "/")).name, Path.home().name}
    return {name for name in found if name}


def _pairs(path: Path, mark: str) -> dict[str, str]:
    parted = (line.partition(mark) for line in _text(path).splitlines() if mark in line)
    return {key.strip(): value.strip() for key, _, value in parted}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not on this machine, or not for this user
        return ""


def _number(text: str | None) -> int | None:
    found = re.match(r"\d+", text or "")
    return int(found[0]) if found else None
