"""Sweeps of an inbox full of waiting files, by the daemon's own worker. `python -m benchmarks.children.sweeping ROOT FILES TIMES`.

Tells as JSON what each sweep took, what a bare listing with the same questions took right after it, and what memory it all cost.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from birdwatchd.core.settings import Settings
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store
from birdwatchd.edges.vision import Spotter
from birdwatchd.worker import Worker


def main(root: Path, files: int, times: int) -> None:
    """Fill the inbox, sweep, tell."""
    place = Files(root)
    place.check()
    with place.lock(), Store.open(root / "birdwatchd.db") as store:
        worker = Worker(
            Settings(root=root),
            place,
            store,
            load_spotter=lambda: Spotter.load(root / ".birdwatchd/models", providers=("cpu",)),
        )
        worker.sweep()  # of the empty inbox, so that everything is loaded
        for number in range(files):
            os.close(os.open(root / f"inbox/photo-{number:06d}.jpg", os.O_CREAT | os.O_WRONLY))
        rss_mb, sweeps, bare = _rss_mb(), list[float](), list[float]()
        for _ in range(times):
            sweeps.append(_seconds(worker.sweep))
            bare.append(_seconds(lambda: _listing(root / "inbox")))
        told = {"sweeps": sweeps, "bare": bare, "grown_mb": _rss_mb() - rss_mb, "watched": len(worker.waiting())}
    print(json.dumps(told))


def _seconds(do: Callable[[], object]) -> float:
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun


def _listing(inbox: Path) -> int:
    with os.scandir(inbox) as entries:
        return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
