"""The photos of a job, decoded as the daemon decodes them and kept as squares, so that each is opened only once.

People move photos while a training runs. What cannot be read, or is another photo by now, is left out; it ends no training.
"""

import errno
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from birdwatchd.core.detecting import DETAIL_PX
from birdwatchd.core.errors import DiskFull, DiskTrouble, PhotoError
from birdwatchd.core.job import Example, Job
from birdwatchd.core.photo import Pixels
from birdwatchd.core.preprocess import ModelInput, Recipe, Resize, to_model_input
from birdwatchd.edges.images import Limits, Picture, decode
from birdwatchd.training.lesson import Lesson, Mask


@dataclass(frozen=True, slots=True)
class Square:
    """One photo among many in a file: read when it is looked at, so that however many there are need no memory."""

    file: Path
    place: int
    size_px: int

    def read(self) -> Pixels:
        """Shape (size_px, size_px, 3)."""
        count = self.size_px * self.size_px * 3
        flat = np.fromfile(self.file, dtype=np.uint8, count=count, offset=self.place * count)
        return flat.reshape(self.size_px, self.size_px, 3)


@dataclass(frozen=True, slots=True)
class Squares:
    """The photos of a lesson, in its order.

    Attributes:
        served: as the finished model will get them.
        larger: the whole photo with room to cut something out; as `served` if that is not wanted.
        there: which could be read; of the others there is nothing to look at.
    """

    served: tuple[Square, ...]
    larger: tuple[Square, ...]
    there: Mask


@contextmanager
def squares(
    lesson: Lesson,
    recipe: Recipe,
    folder: Path,
    limits: Limits,
    *,
    larger_px: int | None,
    tell: Callable[[float], None],
    wanted: Mask | None = None,
) -> Iterator[Squares]:
    """Decode the photos of a lesson; the files are gone at the end.

    Args:
        recipe: of the model.
        larger_px: edge of the larger squares, if those are wanted.
        tell: how far it is (0–1).
        wanted: which photos; None: all.

    Raises:
        DiskFull, DiskTrouble: there is no room for them.
    """
    sizes: dict[Path, tuple[int, Resize]] = {folder / "served.pixels": (recipe.size_px, recipe.resize)}
    if larger_px is not None:
        sizes[folder / "larger.pixels"] = (larger_px, "squash")
    largest_px = max(size_px for size_px, _ in sizes.values())
    count = len(lesson.ids)
    there = np.zeros(count, dtype=bool)
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in sizes]
            for place in np.flatnonzero(np.ones(count, dtype=bool) if wanted is None else wanted).tolist():
                tell(place / count)
                example = lesson.job.examples[place]
                picture = look(Path(lesson.job.root), example, limits, largest_px)
                there[place] = picture is not None
                for file, (size_px, resize) in zip(files, sizes.values(), strict=True):
                    if picture is not None:
                        file.seek(place * size_px * size_px * 3)
                        file.write(picture.view(size_px, resize, example.box).tobytes())
        kept = [tuple(Square(path, place, size) for place in range(count)) for path, (size, _) in sizes.items()]
        yield Squares(kept[0], kept[-1], there)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"no room for the photos of the training in {folder}", hint="make room there") from error
        raise DiskTrouble(f"the photos of the training cannot be kept in {folder}: {error.strerror}") from error
    finally:
        for path in sizes:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def limits_of(job: Job) -> Limits:
    """What a photo may ask of this machine, as for the daemon."""
    return Limits(max_megapixels=job.max_megapixels, formats=frozenset(job.formats))


def look(root: Path, example: Example, limits: Limits, view_px: int) -> Picture | None:
    """Read a photo as the daemon does; None if it is not there, is another one, or is none any more.

    Args:
        view_px: of the largest view that will be asked for.
    """
    try:
        data = (root / example.path).read_bytes()
        if hashlib.sha256(data).hexdigest() != example.sha256:
            return None
        return decode(data, limits, view_px=view_px, detail_px=DETAIL_PX)
    except (OSError, PhotoError):
        return None


def inputs(shown: Iterable[Square], recipe: Recipe) -> ModelInput:
    """As a network takes them; shape (N, 3, S, S)."""
    return np.concatenate([to_model_input(one.read(), recipe) for one in shown])
