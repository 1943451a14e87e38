"""birdwatchd with instruments, for the tests of bad pictures: `python -m tests.faults.rigged COMMAND …`.

RIGGED_STOPWATCH  a file that gets a line for each photo that was decoded: its SHA-256 and the seconds that took.
RIGGED_EYE        "stub" (default) needs no network. "real" is the real one; "nan", "inf", "constant", "zeros", "wild" are the real
                  one after it went mad: it opened well, and its answers are what the word says.
RIGGED_POISON     a photo that holds these bytes ends the process at once, as a parser that is overrun may.
"""

import hashlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from birdwatchd import service
from birdwatchd.cli import main
from birdwatchd.core.settings import Settings
from birdwatchd.edges import images
from birdwatchd.edges.vision import Spotter
from tests.fakes import StubSpotter

MAD: dict[str, Callable[[tuple[int, ...]], npt.NDArray[np.float32]]] = {
    "nan": lambda shape: np.full(shape, np.nan, np.float32),
    "inf": lambda shape: np.full(shape, np.inf, np.float32),
    "constant": lambda shape: np.full(shape, 0.001, np.float32),
    "zeros": lambda shape: np.zeros(shape, np.float32),
    "wild": lambda shape: np.random.default_rng(1).normal(0, 1e6, shape).astype(np.float32),
}


class MadSession:
    """A network whose answers mean nothing."""

    def __init__(self, eye: str) -> None:
        self.answer = MAD[eye]

    def run(self, _outputs: list[str], feeds: dict[str, npt.NDArray[np.float32]], /) -> list[npt.NDArray[np.float32]]:
        """As onnxruntime's."""
        count, _, height, width = feeds["pixels"].shape
        parts = (1, -(-height // 32), -(-width // 32))
        return [self.answer((count, *shape)) for shape in ((1280,), (1000,), parts)]


def rigged_loader(settings: Settings) -> Callable[[], Any]:
    """In place of the loader of the real network."""
    eye = os.environ.get("RIGGED_EYE", "stub")
    if eye == "stub":
        return StubSpotter

    def load() -> Spotter:
        spotter = Spotter.load(settings.root / ".birdwatchd" / "models", providers=("cpu",), threads=1)
        if eye != "real":
            spotter._session = MadSession(eye)  # type: ignore[assignment]
        return spotter

    return load


def rigged_decode(data: bytes, limits: images.Limits, **sizes: int) -> images.Picture:
    """In place of `images.decode`."""
    poison = os.environ.get("RIGGED_POISON")
    if poison and poison.encode() in data:
        os._exit(139)
    begun = time.perf_counter()
    try:
        return DECODE(data, limits, **sizes)
    finally:
        if stopwatch := os.environ.get("RIGGED_STOPWATCH"):
            line = f"{hashlib.sha256(data).hexdigest()} {time.perf_counter() - begun:.6f}\n"
            with Path(stopwatch).open("a") as file:
                file.write(line)


DECODE = images.decode


def rig() -> None:
    """Put the instruments in, wherever the program has taken hold of the real thing."""
    service.spotter_loader = rigged_loader
    holders = [
        one
        for name, one in sys.modules.items()
        if name.startswith("birdwatchd.") and getattr(one, "decode", None) is DECODE
    ]
    assert len(holders) >= 2, "the room of pictures and somebody who uses it"
    for holder in holders:
        vars(holder)["decode"] = rigged_decode


if __name__ == "__main__":
    rig()
    main()
