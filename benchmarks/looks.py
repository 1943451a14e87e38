"""Every real photo as the eye sees it: looked at once, and remembered in a temporary folder for the next measurement."""

import functools
import hashlib
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.folders import bird_folder
from birdwatchd.core import shelving, splits
from birdwatchd.core.detecting import DETAIL_PX
from birdwatchd.core.photo import WHOLE_FRAME, Spotting
from birdwatchd.core.splits import Labelled
from birdwatchd.edges.images import Limits, decode
from birdwatchd.edges.vision import Spotter
from tests.pictures import data_folder

AT_ONCE = 2


@dataclass(frozen=True)
class Look:
    """One photo.

    Attributes:
        number: as its id in a job.
        species: the folder it lies in; "no-bird" for scenes without a bird.
        visit: photos of one bird in one scene share it; one of them must not be learned where another judges.
    """

    number: int
    path: Path
    species: str
    sha256: str
    spotting: Spotting
    visit: int

    @property
    def labelled(self) -> Labelled:
        """As the split of a training wants it: nothing is known of camera and time."""
        return Labelled(self.number, self.sha256, self.species, None, None)


@functools.cache
def birds() -> tuple[Look, ...]:
    """All close-ups of birds, by species and name."""
    data = _data()
    return _looks([(path, path.parent.name) for path in sorted(data.glob("birds/*/*.jpg"))])


@functools.cache
def without_a_bird() -> tuple[Look, ...]:
    """Scenes in which there is no bird."""
    return _looks([(path, "no-bird") for path in sorted(_data().glob("scenes/no-bird/*.jpg"))])


def by_species() -> dict[str, list[Look]]:
    """The close-ups of each species."""
    found: dict[str, list[Look]] = {}
    for look in birds():
        found.setdefault(look.species, []).append(look)
    return found


def _data() -> Path:
    data = data_folder()
    assert data is not None, "asked for only where there are real photos"
    return data


def _looks(photos: Sequence[tuple[Path, str]]) -> tuple[Look, ...]:
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path, _ in photos]
    with bird_folder() as root:
        spotter = Spotter.load(root / shelving.MODELS, providers=("cpu",))
        key = hashlib.sha256("".join([spotter.id, *hashes]).encode()).hexdigest()[:16]
        remembered = Path(tempfile.gettempdir()) / f"birdwatchd-bench-looks-{key}.npz"
        if not remembered.is_file():
            _remember(remembered, spotter, [path for path, _ in photos])
    with np.load(remembered, allow_pickle=False) as kept:
        birdness, embeddings = kept["birdness"].tolist(), kept["embeddings"]
    labelled = [
        Labelled(number, sha256, species, None, None)
        for number, (sha256, (_, species)) in enumerate(zip(hashes, photos, strict=True))
    ]
    visits = splits.visits(labelled, embeddings)
    return tuple(
        Look(number, path, species, hashes[number], Spotting(spotter.id, seen, (), WHOLE_FRAME, vector), visits[number])
        for number, ((path, species), seen, vector) in enumerate(zip(photos, birdness, embeddings, strict=True))
    )


def _remember(place: Path, spotter: Spotter, photos: Sequence[Path]) -> None:
    limits = Limits(max_megapixels=40, formats=frozenset({"jpeg"}))
    size_px = spotter.recipe.size_px

    def spot(photo: Path) -> Spotting:
        return spotter.find(decode(photo.read_bytes(), limits, view_px=size_px, detail_px=DETAIL_PX))

    with ThreadPoolExecutor(AT_ONCE) as crew:
        spottings = list(crew.map(spot, photos))
    part = place.with_suffix(".part.npz")
    np.savez(
        part,
        birdness=np.array([one.birdness for one in spottings]),
        embeddings=np.stack([one.embedding for one in spottings]),
    )
    part.replace(place)
