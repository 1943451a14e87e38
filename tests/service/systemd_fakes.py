"""Stand-ins for systemctl and journalctl, on machines that have no systemd or no such unit: they print what a test wants."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

HEALTHY = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "Result": "success", "ExecMainStatus": "0",
           "NRestarts": "0", "NeedDaemonReload": "no", "DropInPaths": ""}  # fmt: skip


def tools(folder: Path, properties: dict[str, str], lines: Sequence[tuple[int, str]] = ()) -> dict[str, str]:
    """The environment in which they are found first.

    Args:
        lines: priority and text of the journal's.
    """
    folder.mkdir(exist_ok=True)
    said = "".join(f"{key}={value}\n" for key, value in properties.items())
    entries = [
        {"__REALTIME_TIMESTAMP": str(1_780_000_000_000_000 + number), "PRIORITY": str(priority), "MESSAGE": text}
        for number, (priority, text) in enumerate(lines)
    ]
    for name, text in (("systemctl", said), ("journalctl", "".join(f"{json.dumps(one)}\n" for one in entries))):
        (folder / f"{name}.said").write_text(text)
        (folder / name).write_text(f"#!/bin/sh\ncat {folder}/{name}.said\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}
