"""One look at one photo's bytes: whole? what is in it? The same look for `run`, `scan`, `classify` and `import`."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from birdwatchd.core.photo import Shot, Spotting
from birdwatchd.core.preprocess import to_model_input
from birdwatchd.core.settings import Settings
from birdwatchd.edges.images import Limits, decode
from birdwatchd.edges.vision import Spotter


@dataclass(frozen=True, slots=True)
class Examined:
    """What one look told.

    Attributes:
        width_px, height_px: of the upright picture at full size.
        thumbnail: a small JPEG without metadata.
        took_ms: for decoding and looking.
    """

    width_px: int
    height_px: int
    shot: Shot
    spotting: Spotting
    thumbnail: bytes
    took_ms: float


class Examiner:
    """A spotter with the limits of what it is shown."""

    def __init__(self, spotter: Spotter, limits: Limits, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.spotter = spotter
        self.limits = limits
        self._clock = clock

    @classmethod
    def by_settings(cls, settings: Settings, spotter: Spotter) -> "Examiner":
        """With the limits that a person set."""
        images = settings.images
        return cls(spotter, Limits(max_megapixels=images.max_megapixels, formats=frozenset(images.formats)))

    def examine(self, data: bytes) -> Examined:
        """Prove the photo whole and look at it; one decode serves proof, network and thumbnail.

        Raises:
            PhotoError: it is no whole, allowed picture of sane size.
            ModelError: the network gave an answer that is none.
        """
        begun = self._clock()
        size_px = self.spotter.recipe.size_px
        picture = decode(data, self.limits, view_px=size_px)
        (spotting,) = self.spotter.spot(to_model_input(picture.view(size_px), self.spotter.recipe))
        return Examined(
            width_px=picture.width_px,
            height_px=picture.height_px,
            shot=picture.shot,
            spotting=spotting,
            thumbnail=picture.thumbnail(),
            took_ms=(self._clock() - begun) * 1000,
        )


def content_hash(data: bytes) -> str:
    """The identity of a photo: hex SHA-256 of its bytes."""
    return hashlib.sha256(data).hexdigest()
