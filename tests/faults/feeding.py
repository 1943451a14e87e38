"""Bad pictures, dropped into the real program; and the law that must hold for each of them afterwards."""

import json
import os
import sqlite3
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from birdwatchd.core.errors import PhotoError
from birdwatchd.core.intake import is_ignored
from birdwatchd.edges.files import Files
from tests import books

RIGGED = [sys.executable, "-m", "tests.faults.rigged"]
REASONS = frozenset(kind.reason for kind in PhotoError.__subclasses__())
KEPT = frozenset({"filed", "review", "empty"})
MOST_S = 20.0
"""What one photo may take."""

AT_ONCE = {"BIRDWATCHD_INBOX__SETTLE_S": "0", "BIRDWATCHD_INBOX__UNFINISHED_S": "0"}
"""A file whose end is missing is not waited for."""


@dataclass(frozen=True)
class Fate:
    """How one file ended: its row in `photos`, and the best of its row in `predictions`."""

    name: str
    state: str
    reason: str
    path: str
    sha256: str
    label: str | None
    probability: float | None
    birdness: float | None
    camera: str | None
    size_px: tuple[int | None, int | None]


@dataclass(frozen=True)
class Fed:
    """What came of everything that was dropped. `seconds`: for decoding, by SHA-256."""

    root: Path
    fates: dict[str, Fate]
    seconds: dict[str, float]

    @property
    def slowest(self) -> tuple[float, str]:
        """Seconds and name of the file that took longest."""
        return max((self.seconds.get(fate.sha256, 0.0), name) for name, fate in self.fates.items())

    def note(self, fate: Fate) -> dict[str, object]:
        """What lies beside a file in quarantine."""
        note: dict[str, object] = json.loads((self.root / f"{fate.path}.json").read_text())
        return note


def fresh_root(folder: Path, models: Path | None = None) -> Path:
    """A bird folder; with the models of another one if an eye is needed."""
    files = Files(folder)
    files.create()
    for model in () if models is None else models.iterdir():
        (folder / ".birdwatchd" / "models" / model.name).hardlink_to(model)
    return folder


def inbox_name(number: int, name: str) -> str:
    """A name under which nothing is passed over and nothing is met twice; the ending stays."""
    name = f"{number:05d}-{name}"
    return f"{name}.x" if is_ignored(name) else name


def feed(root: Path, files: Iterable[tuple[str, bytes]], *, eye: str = "stub", patience_s: float = 600) -> Fed:
    """Drop everything, let one process take it all, and check the books."""
    dropped: Counter[str] = Counter()
    for name, data in files:
        (root / "inbox" / name).write_bytes(data)
        dropped[books.content(data)] += 1
    stopwatch = root.parent / f"{root.name}.stopwatch"
    done = subprocess.run(
        [*RIGGED, "scan", "--json", "--root", str(root)],
        env=os.environ | AT_ONCE | {"RIGGED_STOPWATCH": str(stopwatch), "RIGGED_EYE": eye},
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    books.check(root, dropped)
    said = [line.split() for line in stopwatch.read_text().splitlines()] if stopwatch.exists() else []
    fed = Fed(root, {fate.name: fate for fate in fates(root)}, {sha256: float(seconds) for sha256, seconds in said})
    assert len(fed.fates) == dropped.total(), "each file has its row"
    untimed = [fate for fate in fed.fates.values() if fate.sha256 not in fed.seconds]
    assert untimed == [], "each content was timed"
    return fed


def fates(root: Path) -> Iterator[Fate]:
    """Every row of the log."""
    with closing(sqlite3.connect(f"file:{root / 'birdwatchd.db'}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        for row in db.execute(
            "SELECT original_name, state, photos.reason AS why, path, sha256, label, probability, birdness, camera, width_px, height_px"
            " FROM photos LEFT JOIN predictions ON predictions.photo_id = photos.id ORDER BY photos.id"
        ):
            yield Fate(
                name=row["original_name"],
                state=row["state"],
                reason=row["why"],
                path=row["path"],
                sha256=row["sha256"],
                label=row["label"],
                probability=row["probability"],
                birdness=row["birdness"],
                camera=row["camera"],
                size_px=(row["width_px"], row["height_px"]),
            )


def hold_the_law(fed: Fed, names: Iterable[str] | None = None) -> Counter[str]:
    """Nothing is kept that does not decode, everything else is set aside with its reason, and nothing took long.

    Returns:
        How many ended how: states, and reasons of what is in quarantine.
    """
    ends: Counter[str] = Counter()
    for name in fed.fates if names is None else names:
        fate = fed.fates[name]
        assert fed.seconds.get(fate.sha256, 0.0) <= MOST_S, f"{name} took {fed.seconds[fate.sha256]:.1f} s"
        if fate.state == "duplicate":
            assert fate.path.startswith("duplicates/"), fate
        elif fate.state in KEPT:
            assert (wrong := what_is_wrong(fed.root / fate.path)) is None, (
                f"{name} is kept as {fate.state}, but: {wrong}"
            )
        else:
            assert fate.state == "quarantined", fate
            assert fate.reason in REASONS, fate
            assert fate.path.startswith(f"quarantine/{fate.reason}/"), fate
            note = fed.note(fate)
            assert note["reason"] == fate.reason, fate
            assert note["what_was_wrong"], fate
            assert note["what_to_do"], fate
        ends[fate.reason if fate.state == "quarantined" else fate.state] += 1
    return ends


def what_is_wrong(path: Path) -> str | None:
    """Ask Pillow alone, without a word of ours: does this file verify, and does every pixel of it load?"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=["JPEG", "PNG", "WEBP"]) as image:
                image.verify()
            with Image.open(path, formats=["JPEG", "PNG", "WEBP"]) as image:
                image.load()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is wrong
            return f"{type(error).__name__}: {error}"
    return None


def numbered(files: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """The same files under names for the inbox."""
    pairs = files.items() if isinstance(files, Mapping) else files
    return ((inbox_name(number, name), data) for number, (name, data) in enumerate(pairs))


def tell(what: str) -> None:
    """A measured figure, for whoever looks with `pytest -rP`."""
    sys.stdout.write(f"{what}\n")
