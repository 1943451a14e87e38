"""How soon it is ready: on a fresh folder, with a long log, after a crash, on a fresh clone."""

import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.figures import at_most, spread
from benchmarks.folders import CHECKOUT, at_rest, bird_folder, daemon, states
from benchmarks.loops import bare_loop
from benchmarks.photos import camera_frames, fill, small_photos

DYING = (sys.executable, "-m", "benchmarks.children.dying")
READY_S = 1.5
RECOVERED_S = 10.0


def start(*, repeats: int = 7, rows: int = 100_000) -> None:
    """Start to READY with an empty log and with a long one, against importing what is needed in any case."""
    fresh_log: list[float] = []
    long_log: list[float] = []
    bare: list[float] = []
    with bird_folder() as fresh_root, bird_folder() as long_root:
        _write_log(long_root / "birdwatchd.db", rows)
        for _ in range(repeats):
            for root, times in ((fresh_root, fresh_log), (long_root, long_log)):
                with daemon(root) as running:
                    times.append(running.ready_s)
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import numpy, onnxruntime, sqlite3"], check=True)
            bare.append(time.perf_counter() - begun)
        megabytes = (long_root / "birdwatchd.db").stat().st_size / 1e6
    extra = "full" if find_spec("torch") is not None else "base"
    print(
        f"start -> READY, {extra} install: {spread(fresh_log, 's')}; {at_most(statistics.median(fresh_log), READY_S, 's')}"
    )
    print(
        f"  with {rows:,} photos in the log ({megabytes:.0f} MB): {spread(long_log, 's')};"
        f" {at_most(statistics.median(long_log), READY_S, 's')}"
    )
    print(f"  importing numpy and onnxruntime alone: {spread(bare, 's')}")


def _write_log(database: Path, rows: int) -> None:
    """A log of years: each photo with its prediction, its embedding and a label."""
    at, vector = "2026-05-01T05:30:00.250Z", bytes(range(256)) * 20
    numbers = range(1, rows + 1)
    with sqlite3.connect(database) as db:
        db.executemany(
            "INSERT INTO photos (id, sha256, original_name, camera, received_at, bytes, path, state, reason)"
            " VALUES (?, ?, 'a.jpg', 'feeder', ?, 9000, ?, 'filed', 'sure')",
            ((one, f"{one:064x}", at, f"library/robin/a-{one:016x}.jpg") for one in numbers),
        )
        db.executemany(
            "INSERT INTO predictions (photo_id, spotter_id, label, probability, top, birdness, box, verdict, reason, predicted_at,"
            " took_ms) VALUES (?, 's', 'robin', 0.9, '[[\"robin\", 0.9]]', 0.9, '[0, 0, 1, 1]', 'filed', 'sure', ?, 40)",
            ((one, at) for one in numbers),
        )
        db.executemany(
            "INSERT INTO embeddings (photo_id, spotter_id, vector) VALUES (?, 's', ?)",
            ((one, vector) for one in numbers),
        )
        db.executemany(
            "INSERT INTO labels (photo_id, label, source, labelled_at) VALUES (?, 'robin', 'folder', ?)",
            ((one, at) for one in numbers),
        )
    db.close()


def recover(*, photos: int = 500, repeats: int = 3) -> None:
    """Start to READY when a daemon died with many photos in flight, half of them claimed, half decided."""
    with small_photos(photos) as crops:
        _recover("small photos", crops, photos, repeats)
    with camera_frames() as frames:
        _recover("12-megapixel frames", frames, photos, repeats)


def _recover(what: str, stock: Sequence[Path], photos: int, repeats: int) -> None:
    ready: list[float] = []
    bare: list[float] = []
    for _ in range(repeats):
        with bird_folder() as root:
            fill(root / "inbox", stock, photos)
            died = subprocess.run(
                [*DYING, "scan", "--json", "--root", str(root)], cwd=CHECKOUT, capture_output=True, check=False
            )
            assert died.returncode == -signal.SIGKILL, died
            in_work = sorted((root / ".birdwatchd/work").iterdir(), key=lambda path: int(path.name))
            assert len(in_work) == photos, len(in_work)
            with bare_loop(root) as loop:
                bare.append(sum(loop.over(in_work[photos // 2 :])))  # the half that was decided need not be looked at
            with daemon(root) as running:
                ready.append(running.ready_s)
                assert at_rest(root) == photos, states(root)
    print(
        f"start -> READY, {photos} {what} in flight: {spread(ready, 's')}; {at_most(statistics.median(ready), RECOVERED_S, 's')}"
    )
    print(f"  decoding and looking at the undecided half alone, one after the other: {spread(bare, 's')}")


def fresh() -> None:
    """`make run` on a fresh copy of the checkout until READY, packages cached by an earlier run."""
    with tempfile.TemporaryDirectory(prefix="birdwatchd-fresh-") as place:
        clone = Path(place) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(clone)], check=True)
        environment = {
            key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL"}
        }
        begun = time.perf_counter()
        process = subprocess.Popen(
            ["make", "run", f"ROOT={place}/birdwatch"],
            cwd=clone,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "is ready" in line:
                break
        seconds = time.perf_counter() - begun
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        process.stdout.close()
    print(f"make run on a fresh clone -> READY, packages cached: {seconds:.1f} s")
