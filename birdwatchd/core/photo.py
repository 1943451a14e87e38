"""The nouns: what is said of a photo on its way."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""RGB, shape (H, W, 3), uint8, upright."""

Vector = npt.NDArray[np.float32]
"""One embedding, shape (1280,), float32."""


class State(StrEnum):
    """Where a photo is in its life; `photos.state`."""

    CLAIMED = "claimed"
    DECIDED = "decided"
    FILED = "filed"
    REVIEW = "review"
    EMPTY = "empty"
    QUARANTINED = "quarantined"
    DUPLICATE = "duplicate"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the file system says of a file; equal stamps mean that nothing was written in between."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the upright picture; all four in 0–1 of its width or height."""

    x: float
    y: float
    width: float
    height: float


WHOLE_FRAME = Box(0.0, 0.0, 1.0, 1.0)

Ranking = tuple[tuple[str, float], ...]
"""Labels with their probabilities, best first, at most five."""


@dataclass(frozen=True, slots=True)
class Bird:
    """One bird in a picture: where it is, and with which probability (0–1) it is one."""

    box: Box
    birdness: float


@dataclass(frozen=True, slots=True)
class Spotting:
    """What the spotter saw.

    Attributes:
        spotter_id: first 16 hex digits of the SHA-256 of the spotter's file.
        birdness: probability 0–1 that a bird is in the picture.
        ranking: its five best guesses among the birds it knows.
        box: where the bird is; the main one, if there are several.
        embedding: that bird as the network sees it; comparable across all times of one spotter.
        others: more birds beside the main one, the surest first.
    """

    spotter_id: str
    birdness: float
    ranking: Ranking
    box: Box
    embedding: Vector
    others: tuple[Bird, ...] = ()

    @property
    def is_number(self) -> bool:
        """False when the network answered NaN or infinity; then nothing of it means anything."""
        return math.isfinite(self.birdness)


@dataclass(frozen=True, slots=True)
class Shot:
    """What the camera wrote about the photo; None where it wrote nothing usable.

    Attributes:
        captured_at: the camera's own clock, ISO-8601, with its offset if the camera knew one; never converted.
        camera: the model's name.
    """

    captured_at: str | None
    camera: str | None
