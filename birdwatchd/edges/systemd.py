"""The lamp and its keeper: what the service manager is told (sd_notify(3)), and what it says of our unit.

Does nothing, and says nothing, where there is no systemd.
"""

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

UNIT = "birdwatchd.service"
TRAINING_UNIT, TRAINING_PATH = "birdwatchd-train.service", "birdwatchd-train.path"
"""What does the trainings, and what sees that one is due."""

ANSWER_WITHIN_S = 10.0

START_S = 60.0
"""How long one piece of work may take before the daemon is ready."""


class Notifier:
    """Sends lines to the socket that systemd names; silent when it names none.

    Args:
        address: value of NOTIFY_SOCKET; None outside systemd.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._is_ready = False

    @classmethod
    def from_environment(cls) -> "Notifier":
        """The socket this process was given, if any."""
        return cls(os.environ.get("NOTIFY_SOCKET"))

    def ready(self, status: str) -> None:
        """Recovery is over, the eye is proved, the watch is set."""
        self._is_ready = True
        self._send(f"READY=1\nSTATUS={status}")

    def working(self, status: str) -> None:
        """A piece of work has been finished just now: feeds the watchdog and shows the status line.

        Before `ready` it also asks for more time: a start that gets on with its work is no start that hangs.
        """
        more = "" if self._is_ready else f"EXTEND_TIMEOUT_USEC={int(START_S * 1e6)}\n"
        self._send(f"{more}WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def more_time(self, seconds: float) -> None:
        """Starting takes longer, and is going on."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as lamp:
                lamp.sendto(text.encode(), socket.MSG_DONTWAIT, address)
        except OSError:  # a manager that went away or does not listen must not stop the daemon
            return


@dataclass(frozen=True, slots=True)
class Unit:
    """What systemd says of a unit of ours.

    Attributes:
        state: active, activating, inactive, failed …
        result: how it ended last: success, exit-code, signal, watchdog, oom-kill, start-limit-hit …
        exit_code: of the last main process.
        restarts: how often it was started again by itself.
        is_stale: files of the unit have changed and were not read again.
        drop_ins: absolute paths of the files that change it.
        properties: all of them, as systemd writes them.
    """

    state: str
    sub_state: str
    result: str
    exit_code: int
    restarts: int
    is_stale: bool
    drop_ins: tuple[Path, ...]
    properties: dict[str, str]


def unit(name: str = UNIT) -> Unit | None:
    """A unit of ours; None where it is not installed or there is no systemd."""
    said = _said(["systemctl", "show", "--all", name])
    told = dict(line.split("=", 1) for line in (said or "").splitlines() if "=" in line)
    if told.get("LoadState") != "loaded":
        return None
    return Unit(
        state=told.get("ActiveState", "unknown"),
        sub_state=told.get("SubState", "unknown"),
        result=told.get("Result", "success"),
        exit_code=_number(told.get("ExecMainStatus")),
        restarts=_number(told.get("NRestarts")),
        is_stale=told.get("NeedDaemonReload") == "yes",
        drop_ins=tuple(map(Path, told.get("DropInPaths", "").split())),
        properties=told,
    )


def keys_set_in(drop_in: Path) -> list[str]:
    """Which keys a drop-in sets, without their values; empty when it may not be read."""
    try:
        text = drop_in.read_text(encoding="utf-8", errors="replace")
    except OSError:  # only its owner may
        return []
    return sorted({key[1] for key in re.finditer(r"^([A-Za-z]+)=", text, re.MULTILINE)})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the journal; `priority` as in syslog(3): 4 is a warning, lower is worse."""

    at: str
    priority: int
    text: str


def journal(*, most: int) -> list[Line] | None:
    """The last warnings and errors of our unit, oldest first; None when there are none to be read, or not by this user."""
    said = _said(["journalctl", f"--unit={UNIT}", "--priority=warning", f"--lines={most}", "--output=json", "--quiet",
                  "--no-pager"])  # fmt: skip
    return list(_lines(said.splitlines())) if said else None


def _lines(said: Iterable[str]) -> Iterable[Line]:
    for line in said:
        entry = json.loads(line)
        message = entry.get("MESSAGE")
        if isinstance(message, list):  # how journalctl writes what is no text
            message = bytes(message).decode("utf-8", "replace")
        at = datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
        yield Line(at.isoformat(timespec="seconds"), _number(entry.get("PRIORITY")), str(message or ""))


def _said(command: list[str]) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=ANSWER_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _number(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isdigit() else 0
