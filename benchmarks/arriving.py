"""How soon: from the moment that a photo is dropped into the inbox of a running daemon to its receipt."""

import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import at_most, delays, slow_end
from benchmarks.folders import COMMAND, PATIENCE_S, bird_folder, daemon
from benchmarks.loops import bare_loop
from benchmarks.photos import Drop, camera_frames, small_photos

SETTLE_S = 2.0
"""As it is unless a person sets it; given to the daemon all the same, so that the two cannot differ."""

DEAF = (sys.executable, "-m", "benchmarks.children.deaf")


def latency(*, drops: int = 60) -> None:
    """Settled to receipt on an idle machine, against decoding and looking alone on the same machine, as idle.

    Twice: a photo after a pause, and a photo that is dropped while the one before it is at work.
    """
    chance = random.Random(1)  # noqa: S311  # no secret
    after_a_pause: list[float] = []
    close_behind: list[float] = []
    alone: list[float] = []
    synced: list[float] = []
    with (
        camera_frames() as stock,
        bird_folder() as root,
        daemon(root, environment={"BIRDWATCHD_INBOX__SETTLE_S": str(SETTLE_S)}) as running,
        bare_loop(root) as bare,
    ):
        for number in range(drops):
            frame = stock[number % len(stock)]
            first, second = (Drop(root / "inbox", frame, 2 * number + turn) for turn in (0, 1))
            pause_s = chance.uniform(1.05, 1.5)
            time.sleep(pause_s)
            first_at = time.perf_counter()
            first.fall()
            _wait_until_taken(first, first_at + SETTLE_S)
            time.sleep(chance.uniform(0.05, 0.3))
            second_at = time.perf_counter()
            second.fall()
            after_a_pause.append(running.receipt(first.name) - first_at - SETTLE_S)
            close_behind.append(running.receipt(second.name) - second_at - SETTLE_S)
            with _unsynced(root.parent / "unsynced", frame) as file:
                time.sleep(pause_s)
                alone += bare.over([frame])
                begun = time.perf_counter()
                os.fsync(file)
                synced.append(time.perf_counter() - begun)
    print(f"latency, 12-megapixel frames, settled -> receipt, after a pause: {delays(after_a_pause)}")
    print(f"  dropped 50 to 300 ms after the claim of the one before: {delays(close_behind)}")
    print(f"  decoding and looking alone, after the same pauses: {delays(alone)}")
    print(f"  syncing the bytes of such a frame alone: {delays(synced)}")
    for what, ours in (("after a pause", after_a_pause), ("close behind", close_behind)):
        middle, slow = statistics.median(ours) / statistics.median(alone), slow_end(ours) / slow_end(alone)
        print(f"  ratio {what}: p50 {middle:.2f}, p95 {slow:.2f}; {at_most(slow, 1.5)}")


def _wait_until_taken(drop: Drop, not_before: float) -> None:
    time.sleep(max(0.0, not_before - time.perf_counter() - 0.01))
    end = time.perf_counter() + PATIENCE_S
    while drop.is_there():
        if time.perf_counter() > end:
            raise TimeoutError(f"{drop.name} was not taken")
        time.sleep(0.002)


@contextmanager
def _unsynced(path: Path, photo: Path) -> Iterator[int]:
    """A file with a photo's bytes that the disk does not have yet."""
    with path.open("wb") as file:
        file.write(photo.read_bytes())
        file.flush()
        yield file.fileno()
    path.unlink()


def detection(*, drops: int = 60, sweep_s: float = 30.0) -> None:
    """Drop to receipt, where the kernel tells of new files and where it does not; drops fall at any moment between two sweeps."""
    with_events = _from_drop_to_receipt(drops, sweep_s, COMMAND)
    slow = slow_end(with_events)
    print(f"detection, drop -> receipt, with events: {delays(with_events)}")
    print(f"  {at_most(slow, SETTLE_S + 2, 's')} (settle + 2 s)")
    without = _from_drop_to_receipt(drops, sweep_s, DEAF)
    slow = slow_end(without) - SETTLE_S
    print(f"detection, drop -> receipt, without events, a sweep each {sweep_s:g} s: {delays(without)}")
    print(f"  less settling {slow:.1f} s; {at_most(slow, sweep_s, 's')} (one sweep)")


def _from_drop_to_receipt(drops: int, sweep_s: float, program: tuple[str, ...]) -> list[float]:
    chance = random.Random(2)  # noqa: S311  # no secret
    fell: dict[str, float] = {}
    pause_s = 2.5 * sweep_s / drops
    environment = {"BIRDWATCHD_INBOX__SETTLE_S": str(SETTLE_S), "BIRDWATCHD_INBOX__SWEEP_S": str(sweep_s)}
    with (
        small_photos(drops) as stock,
        bird_folder() as root,
        daemon(root, environment=environment, program=program) as running,
    ):
        for number in range(drops):
            drop = Drop(root / "inbox", stock[number % len(stock)], number)
            time.sleep(chance.uniform(0.5, 1.5) * pause_s)
            fell[drop.name] = time.perf_counter()
            drop.fall()
        return [running.receipt(name) - at for name, at in fell.items()]
