"""The telephone to the other program: starts `python -m birdwatchd.training` and waits for its answer."""

import json
import subprocess
import sys
from pathlib import Path

from birdwatchd.core.errors import ModelError

BUILD_TIMEOUT_S = 120.0


def build_spotter(models: Path) -> Path:
    """Have the spotter built into this folder, unless it is there already; returns its file.

    A child process does it, because building needs `onnx`, which the daemon never imports.

    Raises:
        ModelError: it could not be built, with the reason the child gave.
    """
    # -P: whatever lies in the folder where somebody typed the command must not be imported.
    command = [sys.executable, "-P", "-m", "birdwatchd.training", "spotter", str(models)]
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
