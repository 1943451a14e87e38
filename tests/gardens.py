"""A bird folder with a whole worker and the real training program; only the eye is a stub, and the clock leaps."""

import shutil
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from birdwatchd.core.settings import Deciding, Inbox, Settings, Training
from birdwatchd.edges.files import Files
from birdwatchd.edges.images import as_jpeg
from birdwatchd.edges.store import Request, Store
from birdwatchd.worker import Worker
from tests.fakes import StubSpotter

STRIPES_PX = {"redstart": 32, "greenfinch": 16, "bluetit": 8}
PATIENCE_S = 60.0


def picture(species: str, number: int) -> bytes:
    """A photo in the species' stripes, each a little different."""
    chance = np.random.default_rng(1000 * sorted(STRIPES_PX).index(species) + number)
    stripes = 140 + 80 * (np.arange(64) // STRIPES_PX[species] % 2)
    pixels = stripes[None, :, None] + chance.integers(-30, 30, (8, 8, 3)).repeat(8, 0).repeat(8, 1)
    return as_jpeg(pixels.clip(0, 255).astype(np.uint8))


class Garden:
    """A bird folder with a whole worker, whose day passes in no time."""

    def __init__(self, root: Path, *, training: Training | None = None, **deciding: Any) -> None:
        self.root = root
        self.files = Files(root)
        self.files.check()
        self.store = Store.open(root / "birdwatchd.db")
        self.leap_s = 0.0
        self.wall_ahead_s = 0.0
        """By how much the wall clock is wrong; the other one nobody can set."""
        settings = Settings(
            root=root,
            inbox=Inbox(settle_s=0, sweep_s=1),
            deciding=Deciding(**({"confirm_first": False, "strangers_let_in": 1.0} | deciding)),
            training=training or Training(),
        )
        self.worker = Worker(
            settings,
            self.files,
            self.store,
            load_spotter=StubSpotter,  # type: ignore[arg-type]
            clock=lambda: time.monotonic() + self.leap_s,
            now=self.now,
        )
        self.worker.open_eye()
        self.worker.resume()

    def now(self) -> str:
        """The garden's wall clock."""
        return (datetime.now(UTC) + timedelta(seconds=self.leap_s + self.wall_ahead_s)).isoformat(
            timespec="milliseconds"
        )

    def drop(self, *photos: tuple[str, int]) -> None:
        for species, number in photos:
            (self.root / "inbox" / f"{species}-{number}.jpg").write_bytes(picture(species, number))
        self.steps_until(lambda: not any((self.root / "inbox").iterdir()))

    def bring(self, tree: Path, *photos: tuple[str, int]) -> None:
        """Import named photos."""
        shutil.rmtree(tree, ignore_errors=True)
        for species, number in photos:
            (tree / species).mkdir(parents=True, exist_ok=True)
            (tree / species / f"{number}.jpg").write_bytes(picture(species, number))
        self.wish("import", folder=str(tree))

    def wish(self, kind: str, **arguments: object) -> Request:
        number = self.store.requests.ask(kind, arguments, actor="test", at="2026-01-01T00:00:00Z")
        self.steps_until(lambda: self.store.requests.get(number).outcome is not None)
        return self.store.requests.get(number)

    def steps_until(self, holds: Any) -> None:
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(min(self.worker.step(), 0.02))

    def learn(self) -> None:
        """Let the quiet after the last word pass, and the training end."""
        before = len(self.outcomes())
        self.fall_quiet()
        self.steps_until(lambda: len(self.outcomes()) > before and None not in self.outcomes())
        self.rest()

    def fall_quiet(self) -> None:
        """Let the worker hear the last word, and then the quiet pass: a leap before it has heard passes none of it."""
        self.leap_s += 3
        self.worker.step()
        self.leap_s += 20

    def sweep(self) -> None:
        """Let the time for the next look everywhere come."""
        self.leap_s += 2
        self.worker.step()

    def rest(self) -> None:
        for _ in range(5):
            self.worker.step()

    def outcomes(self) -> list[str | None]:
        return [row["outcome"] for row in self.store.connection.rows("SELECT outcome FROM trainings ORDER BY id")]

    def where(self) -> Counter[tuple[str, str]]:
        rows = self.store.connection.rows("SELECT state, path FROM photos")
        return Counter((row["state"], row["path"].split("/")[1]) for row in rows)

    def serving(self) -> int | None:
        row = self.store.models.serving()
        return None if row is None else int(row["id"])

    def named_by(self, photo: tuple[str, int]) -> int | None:
        """Drop a photo; which model named it."""
        self.drop(photo)
        row = self.store.connection.rows("SELECT model_id FROM predictions ORDER BY id DESC LIMIT 1")[0]
        return None if row["model_id"] is None else int(row["model_id"])

    def problems(self) -> dict[str, str]:
        """What the daemon says is wrong with it."""
        return self.worker.condition.problems

    def close(self) -> None:
        self.worker.reporting.close()
        self.worker.retraining.close()
        self.store.close()


def five(species: str, begin: int = 0, count: int = 6) -> list[tuple[str, int]]:
    return [(species, number) for number in range(begin, begin + count)]


def with_two_models(place: Path) -> Path:
    """A new bird folder with two models, the second of them in use: it knows bluetits too."""
    root = place / "birdwatch"
    Files(root).create()
    one = Garden(root)
    try:
        one.bring(place / "tree", *five("redstart"), *five("greenfinch"))
        one.learn()
        one.leap_s += 100
        one.bring(place / "tree", *five("bluetit", count=10))
        one.learn()
        assert one.serving() == 2
    finally:
        one.close()
    return root
