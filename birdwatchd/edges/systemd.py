"""The lamp: what the service manager is told (sd_notify(3)). Does nothing where there is none."""

import os
import socket
import subprocess

UNIT = "birdwatchd.service"


class Notifier:
    """Sends lines to the socket that systemd names; silent when it names none.

    Args:
        address: value of NOTIFY_SOCKET; None outside systemd.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address

    @classmethod
    def from_environment(cls) -> "Notifier":
        """The socket this process was given, if any."""
        return cls(os.environ.get("NOTIFY_SOCKET"))

    def ready(self, status: str) -> None:
        """Recovery is over, the eye is proved, the watch is set."""
        self._send(f"READY=1\nSTATUS={status}")

    def working(self, status: str) -> None:
        """A piece of work has been finished just now: feeds the watchdog and shows the status line."""
        self._send(f"WATCHDOG=1\nSTATUS={status}")

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


def unit_state() -> str | None:
    """What systemd says of our unit: active, inactive, failed …; None where it is not installed or there is no systemd."""
    ask = ["systemctl", "show", "--property=LoadState,ActiveState", UNIT]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    state = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    return state.get("ActiveState") if state.get("LoadState") == "loaded" else None
