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

from birdwatchd.core.detecting import DETAIL_PX, with_surroundings
from birdwatchd.core.formats import HEAD_BYTES, Kind, sniff
from birdwatchd.core.naming import Naming
from birdwatchd.core.photo import Box, Shot, Spotting, Vector
from birdwatchd.core.preprocess import ModelInput, Recipe, to_model_input
from birdwatchd.core.settings import Settings
from birdwatchd.edges.images import Limits, Picture, decode
from birdwatchd.edges.vision import Classifier, Spotter, usable_cores

MOST_LOOKS_AT_ONCE = 4
"""More would cost memory and bring little: reading, moving and writing go on meanwhile in the main thread."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What one look told.

    Attributes:
        width_px, height_px: of the upright picture at full size.
        naming: what the classifier said; None while there is none.
        thumbnail: a small JPEG of the bird and what is around it, without metadata.
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
        classifier = self.classifier
        picture = self._decode(data, classifier)
        spotting = self.spotter.find(picture)
        naming: Naming | None = None
        if classifier is not None and spotting.is_number:
            pixels = classifier.card.pixels
            own = None if pixels is None else _inputs(picture, pixels, spotting.box)
            (naming,) = classifier.name([spotting.embedding], own)
        return Examined(
            width_px=picture.width_px,
            height_px=picture.height_px,
            shot=picture.shot,
            spotting=spotting,
            naming=naming,
            thumbnail=picture.thumbnail(with_surroundings(spotting.box)),
            took_ms=(self._clock() - begun) * 1000,
        )

    def name_again(self, data: bytes, embedding: Vector, box: Box, classifier: Classifier) -> Naming:
        """Have a classifier that looks at photos itself name one whose embedding is known; the spotter is not asked.

        Args:
            box: the bird, as the spotter found it.
        Raises:
            PhotoError: it is no whole, allowed picture any more.
            ModelError: the network gave an answer that is none.
            ValueError: the classifier looks at no photo.
        """
        if (pixels := classifier.card.pixels) is None:
            raise ValueError("it names by the embedding alone")
        return classifier.name([embedding], _inputs(self._decode(data, classifier), pixels, box))[0]

    def _decode(self, data: bytes, classifier: Classifier | None) -> Picture:
        """Sharp enough for all who look at it."""
        pixels = None if classifier is None else classifier.card.pixels
        view_px = max(self.spotter.recipe.size_px, 0 if pixels is None else pixels.size_px)
        # All but JPEG are unpacked at full size, up to a gigabyte: one at a time.
        with nullcontext() if sniff(data[:HEAD_BYTES]) is Kind.JPEG else self._large:
            return decode(data, self.limits, view_px=view_px, detail_px=DETAIL_PX)

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


def _inputs(picture: Picture, recipe: Recipe, box: Box) -> ModelInput:
    return to_model_input(picture.view(recipe.size_px, recipe.resize, box), recipe)


def content_hash(data: bytes) -> str:
    """The identity of a photo: hex SHA-256 of its bytes."""
    return hashlib.sha256(data).hexdigest()
