"""A garden as people have one: photos over half a year, six species named, a model that has learned, and some photos that wait."""

import io
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from birdwatchd.core import shelving
from birdwatchd.edges.store import Store
from tests.service.running import birdwatchd, daemon, until

SPECIES = (
    "american-goldfinch",
    "blue-jay",
    "cedar-waxwing",
    "downy-woodpecker",
    "ruby-throated-hummingbird",
    "tree-swallow",
)
STRANGER = "belted-kingfisher"
NAMED, NEW, WRONG = 10, 4, 2
"""Photos of each species that are named from the beginning, and that come by themselves; and so many in all bear a wrong name."""

CAMERAS = ("orchard", "feeder")
EXIF_OFFSETS, TAKEN_AT = 0x8769, 0x9003
DAYS = 180
QUIET = {"BIRDWATCHD_WEB__ENABLED": "false"}
"""The page is served by the test itself."""


def dated(photo: Path, at: datetime) -> bytes:
    """The photo, taken at that moment by its own word."""
    with Image.open(photo) as image:
        exif = Image.Exif()
        exif.get_ifd(EXIF_OFFSETS)[TAKEN_AT] = at.strftime("%Y:%m:%d %H:%M:%S")
        out = io.BytesIO()
        image.convert("RGB").save(out, "JPEG", quality=92, exif=exif)
    return out.getvalue()


def make(
    root: Path,
    photos: Path,
    *,
    today: datetime,
    species: Sequence[str] = SPECIES,
    stranger: str = STRANGER,
    named: int = NAMED,
    new: int = NEW,
) -> None:
    """Fill a bird folder that has a spotter: names are imported and learned from, then a daemon takes what comes.

    Args:
        photos: a folder with `birds/SPECIES` and `scenes/no-bird`.
        today: the last day of the half year in which the photos were taken.
        stranger: a species that nobody has named.
    """
    tree = root.parent / "tree"
    chance = np.random.default_rng(7)
    for place, one in enumerate(species):
        of_it = sorted((photos / "birds" / one).glob("*.jpg"))
        for number, photo in enumerate(of_it[:named]):
            called = species[(place + 1) % len(species)] if number == 0 and place < WRONG else one
            (tree / called).mkdir(parents=True, exist_ok=True)
            (tree / called / f"IMG_{place}{number:03d}.jpg").write_bytes(dated(photo, moment(chance, today)))
    assert birdwatchd("init", root=root).returncode == 0
    assert birdwatchd("import", tree, root=root).returncode == 0
    learned = birdwatchd("train", root=root)
    assert learned.returncode == 0, learned.stdout + learned.stderr
    shutil.rmtree(tree)
    with daemon(root, environment=QUIET) as running:
        at = today
        coming = [photo for one in species for photo in sorted((photos / "birds" / one).glob("*.jpg"))[named:][:new]]
        coming += sorted((photos / "birds" / stranger).glob("*.jpg"))[:new]
        coming += sorted((photos / "scenes" / "no-bird").glob("*.jpg"))[:2]
        for number, photo in enumerate(coming):
            camera = CAMERAS[number // 2 % len(CAMERAS)]
            at = moment(chance, today) if number % 2 == 0 else at + timedelta(seconds=4)  # two of each visit
            (root / "inbox" / camera).mkdir(exist_ok=True)
            part = root.parent / "part.jpg"
            part.write_bytes(dated(photo, at))
            part.rename(root / "inbox" / camera / f"DSC_{number:04d}.jpg")
        until("all photos at rest", lambda: at_rest(root) == named * len(species) + len(coming))
        running.stop()


def at_rest(root: Path) -> int:
    """How many photos lie on a shelf."""
    with Store.read_only(root / shelving.DATABASE) as store:
        states = store.questions.states()
    return sum(states.get(state, 0) for state in ("filed", "review", "empty"))


def moment(chance: np.random.Generator, today: datetime) -> datetime:
    """Some moment of that half year, mostly in the morning."""
    dawn = today.replace(hour=6, minute=0, second=0, microsecond=0)
    hours = min(14.0, float(chance.gamma(2.0, 1.6)))
    return dawn - timedelta(days=int(chance.integers(1, DAYS))) + timedelta(hours=hours)
