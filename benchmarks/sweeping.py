"""What an inbox full of waiting files costs: a sweep's time, and the memory that it keeps."""

import json
import subprocess
import sys
from typing import Any

from benchmarks.figures import at_most, spread
from benchmarks.folders import CHECKOUT, bird_folder

TIMES = 4
LONGEST_S = 0.5


def sweep(*, files: int = 50_000, many: int = 200_000, repeats: int = 3) -> None:
    """First and repeated sweeps against a bare listing, and the memory kept for so many files and for four times as many."""
    told = [_told(files) for _ in range(repeats)]
    first = [one["sweeps"][0] for one in told]
    again = [seconds for one in told for seconds in one["sweeps"][1:]]
    bare = [seconds for one in told for seconds in one["bare"]]
    slowest = max(*first, *again)
    print(f"sweep of {files:,} waiting files: first {spread(first, 's')}, again {spread(again, 's')};")
    print(
        f"  slowest {slowest:.2f} s, {at_most(slowest, LONGEST_S, 's')}; listing them and asking for each: {spread(bare, 's')}"
    )
    crowd = _told(many)
    for count, one in ((files, told[-1]), (many, crowd)):
        print(f"  memory kept for {count:,}: {one['grown_mb']:.0f} MB ({one['watched']:,} of them watched)")


def _told(files: int) -> dict[str, Any]:
    with bird_folder() as root:
        words = [sys.executable, "-m", "benchmarks.children.sweeping", str(root), str(files), str(TIMES)]
        done = subprocess.run(words, cwd=CHECKOUT, check=True, capture_output=True, text=True)
        told: dict[str, Any] = json.loads(done.stdout)
        return told
