"""What a photo waits for while birdwatchd learns: frames dropped one after another, on a machine whose cores are all learning."""

import random
import shutil
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.arriving import SETTLE_S
from benchmarks.figures import at_most, delays, skipped, slow_end
from benchmarks.folders import ONLY_WHEN_ASKED, Daemon, bird_folder, bring, command, daemon
from benchmarks.looks import by_species
from benchmarks.photos import Drop, camera_frames
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.store import Store
from tests.pictures import data_folder

CORES = 2
POLL_S = 0.1


def besides(*, drops: int = 40, labels: int = 2000) -> None:
    """Settled to receipt while the daemon learns, and another one beside it, against the same daemon at rest.

    The quick training keeps one core busy; so a second daemon learns in a bird folder of its own. Both start their trainings
    themselves, one after another, with so many labels.
    """
    if data_folder() is None:
        skipped("besides", "no real photos (set BIRDWATCHD_TEST_DATA)")
        return
    environment = ONLY_WHEN_ASKED | {"BIRDWATCHD_INBOX__SETTLE_S": str(SETTLE_S)}
    with camera_frames() as stock, bird_folder() as root, ExitStack() as running:
        bring(root, ((look.species, look.path) for photos in by_species().values() for look in photos[: labels // 40]))
        command("train", root=root)
        roots = [root, *(root.parent / f"other-{number}" for number in range(1, CORES))]
        for other in roots[1:]:
            shutil.copytree(root, other)
        daemons = [running.enter_context(daemon(one, environment=environment)) for one in roots]
        at_rest = _arrivals(daemons[0], root, stock, range(drops))
        before = _ticks()
        with _always_learning(roots) as finished:
            while_learning = _arrivals(daemons[0], root, stock, range(drops, 2 * drops))
        idle, total = (now - then for now, then in zip(_ticks(), before, strict=True))
    print(f"12-megapixel frames, settled -> receipt, at rest: {delays(at_rest)}")
    print(
        f"  while {CORES} trainings ran, {len(finished)} one after another, the cores {1 - idle / total:.0%} busy:",
        end=" ",
    )
    print(delays(while_learning))
    middle = statistics.median(while_learning) / statistics.median(at_rest)
    slow = slow_end(while_learning) / slow_end(at_rest)
    print(f"  ratio p50 {middle:.2f}, p95 {slow:.2f}; {at_most(slow, 2)}")


def _arrivals(running: Daemon, root: Path, stock: Sequence[Path], numbers: Sequence[int]) -> list[float]:
    chance = random.Random(3)  # noqa: S311  # no secret
    took = []
    for number in numbers:
        drop = Drop(root / "inbox", stock[number % len(stock)], number)
        time.sleep(chance.uniform(1.05, 1.5))
        at = time.perf_counter()
        drop.fall()
        took.append(running.receipt(drop.name) - at - SETTLE_S)
    return took


@contextmanager
def _always_learning(roots: Sequence[Path]) -> Iterator[list[str]]:
    """In each of these folders the daemon is asked to train, again and again; what came of each."""
    over, outcomes = threading.Event(), list[str]()

    def ask_again_and_again(root: Path) -> None:
        with Store.open(root / "birdwatchd.db", migrate=False) as store:
            while not over.is_set():
                number = store.requests.ask("train", {}, actor="benchmark", at=now_utc())
                while (request := store.requests.get(number)).outcome is None and not over.wait(POLL_S):
                    pass
                outcomes.append(str(request.outcome))

    threads = [threading.Thread(target=ask_again_and_again, args=[root]) for root in roots]
    for thread in threads:
        thread.start()
    time.sleep(2)  # until they are at work
    try:
        yield outcomes
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _ticks() -> tuple[int, int]:
    """What all cores have idled, and all that they could have done, since the machine started."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)
