"""A daemon that goes on for long: what memory it needs."""

import time
from pathlib import Path

from benchmarks.folders import at_rest, bird_folder, daemon
from benchmarks.photos import Drop, camera_frames


def memory() -> None:
    """Resident memory over 300 frames of 12 megapixels, dropped in threes."""
    with bird_folder() as root, camera_frames(30) as found, daemon(root) as running:
        print(f"memory after READY: {running.rss_mb():.0f} MB")
        marks: dict[int, float] = {}
        for number in range(300):
            Drop(root / "inbox", found[number % len(found)], number).fall()
            if (number + 1) % 20 == 0:
                wait_until_filed(root, number + 1)
                marks[number + 1] = running.rss_mb()
    for count in (20, 60, 100, 200, 300):
        print(f"  after {count:3d} frames: {marks[count]:.0f} MB")
    late = [mark for count, mark in marks.items() if count >= 100]
    print(f"  from the hundredth on: {min(late):.0f} to {max(late):.0f} MB")


def wait_until_filed(root: Path, count: int) -> None:
    """Until that many photos rest in their places."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if at_rest(root) >= count:
            return
        time.sleep(0.2)
    raise TimeoutError(f"{count} photos did not reach their places")
