"""How many photos a minute: `scan` against loops that do less, or do it as others would."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import at_least, skipped, spread
from benchmarks.folders import bird_folder, scan
from benchmarks.loops import Loop, bare_loop, fastai_loop, training_python
from benchmarks.photos import camera_frames, fill, small_photos
from tests.pictures import data_folder

_PLACES = ("empty", "review", "library", "quarantine", "duplicates")


def speed(*, photos: int = 300, repeats: int = 5) -> None:
    """Camera frames of 12 megapixels, first claim to last receipt, against decoding and looking alone."""
    with camera_frames() as stock:
        _against_bare("12-megapixel frames", stock, photos, repeats, wanted=0.8)


def small(*, photos: int = 2000, repeats: int = 5) -> None:
    """Small photos: here the log and the disk weigh more than the looking. Every commit is synced, as it always is."""
    with small_photos(photos) as stock:
        _against_bare("small photos, each commit synced", stock, photos, repeats, wanted=0.5)


def fastai(*, photos: int = 300, repeats: int = 4) -> None:
    """The same frames against the loop that a fastai user would write; each time in a fresh process, as `scan` is one."""
    python = training_python()
    if python is None or data_folder() is None:
        skipped(
            "speed against fastai",
            "no full install (make .venv-train/ready, or BIRDWATCHD_TRAIN_PYTHON)"
            if python is None
            else "no real photos (set BIRDWATCHD_TEST_DATA)",
        )
        return
    ratios: list[float] = []
    with camera_frames(min(photos, 60)) as stock:
        for repeat in range(repeats):
            with fastai_loop(python) as loop:
                ratios.append(_ratio(stock, photos, "fastai", loop, loop_first=repeat % 2 == 0))
    print(f"speed, 12-megapixel frames: scan is {spread(ratios, 'times as fast as a fastai loop', 1)};")
    print(f"  {at_least(statistics.median(ratios), 5)}")


def _against_bare(what: str, stock: Sequence[Path], photos: int, repeats: int, *, wanted: float) -> None:
    with bird_folder() as eye, bare_loop(eye) as loop:
        ratios = _ratios(stock, photos, repeats, "bare loop", loop)
    print(f"speed, {photos} {what}: scan reaches {spread(ratios, 'of the bare loop')};")
    print(f"  {at_least(statistics.median(ratios), wanted)}")


def _ratios(stock: Sequence[Path], photos: int, repeats: int, name: str, loop: Loop) -> list[float]:
    """Taken in turns: every second time the loop comes after `scan`."""
    return [_ratio(stock, photos, name, loop, loop_first=repeat % 2 == 0) for repeat in range(repeats)]


def _ratio(stock: Sequence[Path], photos: int, name: str, loop: Loop, *, loop_first: bool) -> float:
    """How many times as fast `scan` is, over the same files, which are fresh ones each time."""
    with bird_folder() as root:
        dropped = fill(root / "inbox", stock, photos)
        if loop_first:
            others = sum(loop.over(dropped))
            ours = scan(root, photos)
        else:
            ours = scan(root, photos)
            others = sum(loop.over(_resting(root)))
    print(f"  {name} {1000 * others / photos:.1f} ms a photo, scan {1000 * ours / photos:.1f} ms a photo", flush=True)
    return others / ours


def _resting(root: Path) -> list[Path]:
    """The photos where `scan` put them."""
    return [path for place in _PLACES for path in sorted((root / place).rglob("*.jpg"))]
