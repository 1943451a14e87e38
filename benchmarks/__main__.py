"""Measure: `make bench`, or `.venv/bin/python -m benchmarks [NAME …]`.

Each figure stands beside what it is to be compared with, taken in the same run; medians, because machines are noisy.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.pictures import data_folder, jpeg

COMMAND = [sys.executable, "-m", "birdwatchd"]
REPEATS = 7


def command(*words: str, root: Path) -> str:
    """Run one birdwatchd command to its end; returns what it printed."""
    done = subprocess.run([*COMMAND, *words, "--root", str(root)], check=True, capture_output=True, text=True)
    return done.stdout


@contextmanager
def bird_folder() -> Iterator[Path]:
    """A fresh bird folder, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="birdwatchd-bench-") as place:
        root = Path(place) / "birdwatch"
        command("init", root=root)
        yield root


@contextmanager
def daemon(root: Path) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """A running daemon, and the seconds it took from its start to READY."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*COMMAND, "run", "--root", str(root)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "ready" in line, line
        yield process, time.perf_counter() - begun
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def rss_mb(process: subprocess.Popen[str]) -> float:
    """Resident memory of a process now, in megabytes."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def frames(place: Path, count: int) -> list[Path]:
    """Camera frames of 12 megapixels with EXIF: composed from real photos where the composing tool lies beside them."""
    tool = (data_folder() or Path("-")).parent / "tools" / "make_frames.py"
    if tool.is_file():
        subprocess.run([sys.executable, str(tool), str(place), "--count", str(count), "--seed", "11"], check=True)
    else:
        place.mkdir(parents=True)
        for number in range(count):
            (place / f"frame-{number:05d}.jpg").write_bytes(jpeg(width=4000, height=3000, seed=number, quality=90))
    return sorted(place.glob("*.jpg"))


def start() -> None:
    """Start to READY, against a bare interpreter."""
    with bird_folder() as root:
        times: list[float] = []
        bare: list[float] = []
        for _ in range(REPEATS):
            with daemon(root) as (_, seconds):
                times.append(seconds)
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import numpy, onnxruntime, sqlite3"], check=True)
            bare.append(time.perf_counter() - begun)
    extra = "full" if _has("torch") else "base"
    print(
        f"start -> READY, {extra} install: median {statistics.median(times):.2f} s (min {min(times):.2f}, max {max(times):.2f});"
    )
    print(f"  importing numpy and onnxruntime alone: {statistics.median(bare):.2f} s")


def memory() -> None:
    """Resident memory over 300 frames of 12 megapixels, dropped in threes."""
    with bird_folder() as root, tempfile.TemporaryDirectory() as place:
        found = frames(Path(place) / "frames", 30)
        with daemon(root) as (process, _):
            print(f"memory after READY: {rss_mb(process):.0f} MB")
            marks: dict[int, float] = {}
            for number in range(300):
                # Each is a photo of its own: a byte behind the picture's end changes the content, not the picture.
                data = found[number % len(found)].read_bytes() + number.to_bytes(4, "big") + b"\xff"
                part = root / "inbox" / f".frame-{number}.part"
                part.write_bytes(data)
                part.rename(root / "inbox" / f"frame-{number}.jpg")
                if (number + 1) % 20 == 0:
                    wait_until_filed(root, number + 1)
                    marks[number + 1] = rss_mb(process)
        for count in (20, 60, 100, 200, 300):
            print(f"  after {count:3d} frames: {marks[count]:.0f} MB")
        late = [mark for count, mark in marks.items() if count >= 100]
        print(f"  from the hundredth on: {min(late):.0f} to {max(late):.0f} MB")


def wait_until_filed(root: Path, count: int) -> None:
    """Until that many photos rest in their places."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        states = json.loads(command("stats", "--json", root=root))["states"]
        if sum(states.get(state, 0) for state in ("filed", "review", "empty", "quarantined", "duplicate")) >= count:
            return
        time.sleep(0.2)
    raise TimeoutError(f"{count} photos did not reach their places")


def birdness() -> None:
    """How well empty frames are told from birds, on real photos."""
    data = data_folder()
    if data is None:
        print("birdness: SKIPPED, no real photos (set BIRDWATCHD_TEST_DATA)")
        return
    with bird_folder() as root:
        for kind, pattern in (
            ("photos without a bird", "scenes/no-bird/*"),
            ("bird crops", "birds/*/*"),
            ("birds in scenes", "scenes/bird/*"),
        ):
            photos = sorted(data.glob(pattern))
            empty = 0
            for begin in range(0, len(photos), 500):
                answers = json.loads(command("classify", "--json", *map(str, photos[begin : begin + 500]), root=root))
                empty += sum(answer["verdict"] == "empty" for answer in answers)
            print(f"{kind}: {empty} of {len(photos)} called empty ({100 * empty / len(photos):.2f} %)")


def speed() -> None:
    """`scan` over 60 frames of 12 megapixels, against a bare loop that only decodes and runs the network."""
    with tempfile.TemporaryDirectory() as place:
        found = frames(Path(place) / "frames", 60)
        ratios: list[float] = []
        for _ in range(3):
            with bird_folder() as root:
                bare = bare_loop(found, root)
                for photo in found:
                    shutil.copy(photo, root / "inbox")
                took = json.loads(command("scan", "--json", root=root))
                assert took["photos"] == len(found), took
                ratios.append(bare / took["seconds"])
                print(
                    f"  bare loop {1000 * bare / len(found):.0f} ms a frame, scan {1000 * took['seconds'] / len(found):.0f} ms a frame"
                )
        print(f"speed, 12-megapixel frames: scan reaches {statistics.median(ratios):.2f} of the bare loop")


def bare_loop(photos: Sequence[Path], root: Path) -> float:
    """Seconds for decoding and looking alone, in this process."""
    from birdwatchd.core.preprocess import to_model_input
    from birdwatchd.edges.images import Limits, decode
    from birdwatchd.edges.vision import Spotter

    spotter = Spotter.load(root / ".birdwatchd/models", providers=("cpu",))
    limits = Limits(max_megapixels=40, formats=frozenset({"jpeg"}))
    begun = time.perf_counter()
    for photo in photos:
        picture = decode(photo.read_bytes(), limits)
        spotter.spot(to_model_input(picture.view(spotter.recipe.size_px), spotter.recipe))
    return time.perf_counter() - begun


def fresh() -> None:
    """`make run` on a fresh copy of the checkout until READY, packages cached by an earlier run."""
    with tempfile.TemporaryDirectory(prefix="birdwatchd-fresh-") as place:
        clone = Path(place) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(Path(__file__).parents[1]), str(clone)], check=True)
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


def _has(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


ALL: dict[str, Callable[[], None]] = {
    "start": start,
    "memory": memory,
    "birdness": birdness,
    "speed": speed,
    "fresh": fresh,
}


def main(names: Sequence[str]) -> int:
    """Run the named measurements, or all."""
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"no such measurement: {', '.join(unknown)} (there are {', '.join(ALL)})", file=sys.stderr)
        return 2
    for name in names or ALL:
        ALL[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
