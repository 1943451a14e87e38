"""What a graphics card brings: the same looks by the processor and by the card, in turns, and whether both say the same."""

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.figures import skipped, spread
from benchmarks.folders import bird_folder
from benchmarks.photos import camera_frames, small_photos
from birdwatchd.core import shelving
from birdwatchd.core.photo import Box, Spotting, Vector
from birdwatchd.core.settings import Settings
from birdwatchd.edges.vision import Spotter
from birdwatchd.examining import Examiner

_SAME_BOX = 0.5
"""Boxes that share this much of what they cover together are one box."""


def card(*, photos: int = 60, repeats: int = 3) -> None:
    """Decode to answer, one photo after the other and as many at once as the daemon takes."""
    with bird_folder() as root:
        begun = time.perf_counter()
        quick = Spotter.load(root / shelving.MODELS)
        opened_s = time.perf_counter() - begun
        if quick.provider == "cpu":
            skipped("graphics card", "nothing but the processor computes here (needs an NVIDIA card, CUDA and cuDNN)")
            return
        slow = Spotter.load(root / shelving.MODELS, providers=("cpu",))
    print(f"graphics card: {quick.provider}, open after {opened_s:.1f} s")
    settings = Settings(root=root)
    pair = (Examiner.by_settings(settings, slow), Examiner.by_settings(settings, quick))
    with camera_frames(photos) as frames:
        _compare("12-megapixel frames", frames, pair, repeats)
    with small_photos(photos) as crops:
        _compare("small photos", crops, pair, repeats)


def _compare(what: str, photos: Sequence[Path], pair: tuple[Examiner, Examiner], repeats: int) -> None:
    data = [photo.read_bytes() for photo in photos]
    found = [[one.examine(bytes_).spotting for bytes_ in data] for one in pair]  # the first looks of all warm the card
    for at_once in (1, pair[0].looks_at_once):
        times: dict[Examiner, list[float]] = {one: [] for one in pair}
        for _ in range(repeats):
            for one in pair:
                times[one].append(_ms_a_photo(one, data, at_once))
        for name, one in zip(("processor", pair[1].spotter.provider), pair, strict=True):
            print(f"  {what}, {at_once} at once, {name}: {spread(times[one], 'ms a photo', 1)}")
        ratios = [slow / quick for slow, quick in zip(times[pair[0]], times[pair[1]], strict=True)]
        print(f"  {what}, {at_once} at once: {spread(ratios, 'times as fast')}", flush=True)
    _tell_agreement(what, *found)


def _ms_a_photo(examiner: Examiner, data: Sequence[bytes], at_once: int) -> float:
    with ThreadPoolExecutor(at_once) as crew:
        begun = time.perf_counter()
        for _ in crew.map(examiner.examine, data):
            pass
        return 1000 * (time.perf_counter() - begun) / len(data)


def _tell_agreement(what: str, slow: Sequence[Spotting], quick: Sequence[Spotting]) -> None:
    pairs = list(zip(slow, quick, strict=True))
    boxes = sum(_overlap(one.box, other.box) >= _SAME_BOX for one, other in pairs)
    alike = [_cosine(one.embedding, other.embedding) for one, other in pairs]
    apart = [abs(one.birdness - other.birdness) for one, other in pairs]
    guesses = sum(
        [label for label, _ in one.ranking[:1]] == [label for label, _ in other.ranking[:1]] for one, other in pairs
    )
    print(f"  {what}: same box in {boxes} of {len(pairs)}, same first guess in {guesses};")
    print(f"    birdness apart {statistics.median(apart):.1e} (most {max(apart):.1e}),", end=" ")
    print(f"embeddings alike {statistics.median(alike):.5f} (least {min(alike):.5f})")


def _cosine(one: Vector, other: Vector) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def _overlap(one: Box, other: Box) -> float:
    """What two boxes share of what they cover together."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (one.width * one.height + other.width * other.height - shared)
