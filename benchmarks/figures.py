"""How figures are told: the middle with its extremes, the slow end, and whether what was wanted is reached."""

import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path


def spread(values: Sequence[float], unit: str, digits: int = 2) -> str:
    """The median, with the least and the most."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} {unit} (min {low:.{digits}f}, max {high:.{digits}f})"


def average(values: Sequence[float], unit: str, digits: int = 1) -> str:
    """The mean, with the least and the most."""
    unit = unit and f" {unit}"
    return f"{statistics.fmean(values):.{digits}f}{unit} (mean of {len(values)}; {min(values):.{digits}f} to {max(values):.{digits}f})"


def slow_end(values: Sequence[float]) -> float:
    """The value that 95 of 100 stay below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


def delays(seconds: Sequence[float]) -> str:
    """Half of them and 95 of 100 stay below; least and most."""
    ms = [1000 * value for value in seconds]
    return f"p50 {statistics.median(ms):.0f} ms, p95 {slow_end(ms):.0f} ms (min {min(ms):.0f}, max {max(ms):.0f})"


def at_least(value: float, wanted: float, unit: str = "") -> str:
    """The verdict on a figure that should be high."""
    return f"wanted >= {wanted:g}{unit and ' '}{unit}: {'reached' if value >= wanted else 'MISSED'}"


def at_most(value: float, wanted: float, unit: str = "") -> str:
    """The verdict on a figure that should be low."""
    return f"wanted <= {wanted:g}{unit and ' '}{unit}: {'reached' if value <= wanted else 'MISSED'}"


def skipped(what: str, why: str) -> None:
    """Say loudly that a figure is missing, and how to get it."""
    print(f"{what}: SKIPPED, {why}")


def machine() -> str:
    """What the figures below were taken on: others at work, or a disk that is none, make them worth little."""
    cores, load, kind = len(os.sched_getaffinity(0)), os.getloadavg()[0], _file_system(Path(tempfile.gettempdir()))
    line = f"{cores} cores, {load:.1f} busy before the start; bird folders on {kind} ({tempfile.gettempdir()})"
    if load > 0.5:
        line += "\n  NOT QUIET: others are at work here, the figures will be worse than the machine"
    if kind in ("tmpfs", "ramfs"):
        line += "\n  NO REAL DISK: a sync costs nothing there; set TMPDIR to a folder on a disk"
    return line


def _file_system(place: Path) -> str:
    """Of the mount that this path lies on."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    fitting = [(point, kind) for point, kind in mounts if place.resolve().is_relative_to(point)]
    return max(fitting, key=lambda mount: len(mount[0]), default=("/", "unknown"))[1]
