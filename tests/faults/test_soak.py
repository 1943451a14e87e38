"""A hundred thousand photos, one after the other: at the end it is the same daemon as at the beginning."""

import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests import books
from tests.faults.told import at_rest, nobody_complains, states
from tests.faults.writers import drop
from tests.pictures import jpeg
from tests.service.running import STUBBED, Daemon, daemon

ARRIVALS = 100_000
WAVE = 2000
WARM_AFTER = 5
"""So many waves until caches are filled and pools grown."""

DRIFT_MOST = 0.05
PATIENCE_S = 600.0

PHOTO = jpeg(width=64, height=64, seed=1)


def arrival(number: int) -> tuple[str, bytes]:
    """What the garden brings: now and then the same again, a cut one that is given up, and what is no photo."""
    if number % 50 == 49:
        return f"again {number}.jpg", PHOTO + b"\n; number %d" % (number - 7)
    if number % 100 == 0:
        return f"notes {number}.txt", b"buy seeds, the %dth time\n" % number
    if number % 100 == 50:
        return f"cut {number}.jpg", PHOTO[:700] + b"%d" % number
    return f"IMG_{number}.jpg", PHOTO + b"\n; number %d" % number


def open_files(running: Daemon) -> int:
    return len(list(Path(f"/proc/{running.process.pid}/fd").iterdir()))


def memory_kb(running: Daemon) -> int:
    said = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(said.partition("VmRSS:")[2].split()[0])


def wait_for(root: Path, count: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while at_rest(root) < count:
        assert time.monotonic() < end, f"stuck before {count}: {states(root)}"
        time.sleep(0.5)


@pytest.mark.torture
@pytest.mark.timeout(14_000)
@pytest.mark.fault("A15", "A29")
def test_after_a_hundred_thousand_photos_memory_and_handles_are_what_they_were(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory: list[int] = []
    handles: list[int] = []
    environment = {"BIRDWATCHD_INBOX__UNFINISHED_S": "1", "BIRDWATCHD_INBOX__SWEEP_S": "10"}
    with daemon(root, command=STUBBED, environment=environment) as running:
        begun = time.monotonic()
        for first in range(0, ARRIVALS, WAVE):
            for number in range(first, first + WAVE):
                drop(root / "inbox", *arrival(number))
            wait_for(root, first + WAVE)
            memory.append(memory_kb(running))
            handles.append(open_files(running))
        rate = ARRIVALS / (time.monotonic() - begun)
        nobody_complains(root)
        assert running.stop() == 0
    early, late = statistics.median(memory[WARM_AFTER : 2 * WARM_AFTER]), statistics.median(memory[-WARM_AFTER:])
    with capsys.disabled():
        sys.stdout.write(
            f"\n{ARRIVALS} arrivals, {rate:.0f} a second: memory {early / 1024:.0f} -> {late / 1024:.0f} MB"
            f" ({late / early - 1:+.1%}), at most {max(memory) / 1024:.0f}; handles {min(handles)} to {max(handles)}\n"
        )
    assert late / early - 1 < DRIFT_MOST
    assert len(set(handles[1:])) == 1
    assert states(root) == {
        "review": ARRIVALS * 96 // 100,
        "duplicate": ARRIVALS * 2 // 100,
        "quarantined": ARRIVALS * 2 // 100,
    }
    books.check(root, Counter(books.content(arrival(number)[1]) for number in range(ARRIVALS)))
