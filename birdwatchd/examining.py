"""A look at a photo's bytes: whole? what is in it? The same look for `run`, `scan`, `classify` and `import`.

Decoding is nearly all of the cost, and Pillow and ONNX Runtime both let go of Python's lock while they work; so several looks at
once, in threads of their own, use all cores. A look touches nothing but the bytes that it was given.
"""

import functools
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from birdwatchd.core.formats import HEAD_BYTES, Kind, sniff
from birdwatchd.core.naming import Naming
from birdwatchd.core.photo import Shot, Spotting
from birdwatchd.core.preprocess import to_model_input
from birdwatchd.core.settings import Settings
from birdwatchd.edges.images import Limits, decode
from birdwatchd.edges.vision import Classifier, Spotter, usable_cores

MOST_LOOKS_AT_ONCE = 4
"""More would cost memory and bring little: reading, moving and writing go on meanwhile in the main thread."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What one look told.

    Attributes:
        width_px, height_px: of the upright picture at full size.
        naming: what the classifier said; None while there is none.
        thumbnail: a small JPEG without metadata.
        took_ms: for decoding and looking.
    """

    width_px: int
    height_px: int
    shot: Shot
    spotting: Spotting
    naming: Naming | None
    thumbnail: bytes
    took_ms: float


Answer = Callable[[], Examined]
"""Waits for a look that was begun and gives what it told, or raises why it could not."""


class Examiner:
    """A spotter with the limits of what it is shown.

    Args:
        cores: how many looks at once are worth while.
    """

    def __init__(
        self, spotter: Spotter, limits: Limits, *, cores: int = 1, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.spotter = spotter
        self.limits = limits
        self.looks_at_once = min(cores, MOST_LOOKS_AT_ONCE)
        self._clock = clock
        self.classifier: Classifier | None = None
        """Names what was spotted; exchanged as a whole, between two looks."""
        self._large = threading.Lock()

    @classmethod
    def by_settings(cls, settings: Settings, spotter: Spotter) -> "Examiner":
        """With the limits that a person set."""
        images = settings.images
        limits = Limits(max_megapixels=images.max_megapixels, formats=frozenset(images.formats))
        return cls(spotter, limits, cores=settings.inference.threads or usable_cores())

    def examine(self, data: bytes) -> Examined:
        """Prove the photo whole and look at it; one decode serves proof, network and thumbnail.

        Raises:
            PhotoError: it is no whole, allowed picture of sane size.
            ModelError: the network gave an answer that is none.
        """
        begun = self._clock()
        size_px = self.spotter.recipe.size_px
        # All but JPEG are unpacked at full size, up to a gigabyte: one at a time.
        with nullcontext() if sniff(data[:HEAD_BYTES]) is Kind.JPEG else self._large:
            picture = decode(data, self.limits, view_px=size_px)
        (spotting,) = self.spotter.spot(to_model_input(picture.view(size_px), self.spotter.recipe))
        classifier = self.classifier
        naming = classifier.name([spotting.embedding])[0] if classifier is not None and spotting.is_number else None
        return Examined(
            width_px=picture.width_px,
            height_px=picture.height_px,
            shot=picture.shot,
            spotting=spotting,
            naming=naming,
            thumbnail=picture.thumbnail(),
            took_ms=(self._clock() - begun) * 1000,
        )

    @contextmanager
    def looking(self, photos: int) -> Iterator[Callable[[bytes], Answer]]:
        """For this many photos: a way to begin a look and go on with something else until its answer is wanted.

        With one core or one photo, or on a machine that has no thread left to give, the look is made when its answer is wanted.
        """
        if min(self.looks_at_once, photos) <= 1:
            yield lambda data: functools.partial(self.examine, data)
            return
        pool = ThreadPoolExecutor(min(self.looks_at_once, photos), thread_name_prefix="look")

        def begin(data: bytes) -> Answer:
            try:
                return pool.submit(self.examine, data).result
            except RuntimeError:  # no thread can be started
                return functools.partial(self.examine, data)

        try:
            yield begin
        finally:
            pool.shutdown(cancel_futures=True)


def content_hash(data: bytes) -> str:
    """The identity of a photo: hex SHA-256 of its bytes."""
    return hashlib.sha256(data).hexdigest()
