"""A garden whose cameras take several photos of one visit, and a model that says of each what a test wants it to say."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from birdwatchd.core.naming import Naming
from birdwatchd.core.photo import Ranking, Vector
from tests.gardens import Garden, picture
from tests.handmade import RIGHT, embedding, teach
from tests.pictures import exif, with_segment

REDSTART = (("redstart", 0.97), ("bluetit", 0.02), ("greenfinch", 0.01))
GREENFINCH = (("greenfinch", 0.95), ("redstart", 0.04), ("bluetit", 0.01))
REDSTART_OR_BLUETIT = (("redstart", 0.7), ("bluetit", 0.28), ("greenfinch", 0.02))
REDSTART_OR_GREENFINCH = (("redstart", 0.7), ("greenfinch", 0.28), ("bluetit", 0.02))


def taken_at(photo: bytes, time: str, day: str = "2026:05:01") -> bytes:
    """The photo, with the camera's clock in it."""
    return with_segment(photo, 0xE1, exif(taken=f"{day} {time}").tobytes())


class Visited(Garden):
    """A bird folder with cameras, and with a model that needs 0.8 to be sure."""

    def __init__(self, root: Path, **deciding: Any) -> None:
        super().__init__(root, **deciding)
        self.answers: dict[bytes, tuple[Ranking, float]] = {}
        self.shots = 0
        if self.serving() is None:
            self.teach()

    def teach(self) -> None:
        teach(self, RIGHT, sure_above=0.8)
        model = self.worker.serving.model
        assert model is not None

        def name(embeddings: Sequence[Vector], pixels: Any = None) -> list[Naming]:
            return [self._answer(model.model_id, one) for one in embeddings]

        model.card = replace(model.card, strange_above=0.5)
        model.name = name  # type: ignore[method-assign]

    def _answer(self, model_id: int, one: Vector) -> Naming:
        ranking, novelty = self.answers[one.tobytes()]
        return Naming(model_id, ranking, novelty, 0.8, 0.5)

    def shoot(self, *photos: tuple[str, Ranking], camera: str = "feeder", novelty: float = 0.1) -> list[str]:
        """Drop photos, each with the time at which it was taken and what the model says of it; returns their names."""
        names = []
        for time, ranking in photos:
            self.shots += 1
            data = taken_at(picture("redstart", self.shots), time)
            self.answers[embedding(data).tobytes()] = (ranking, novelty)
            names.append(f"{self.shots}.jpg")
            (self.root / "inbox" / camera).mkdir(exist_ok=True)
            (self.root / "inbox" / camera / names[-1]).write_bytes(data)
        self.steps_until(lambda: not any(path.is_file() for path in (self.root / "inbox").rglob("*")))
        return names

    def end_visits(self) -> None:
        """Let the quiet pass after which visits are over."""
        self.worker.step()
        self.leap_s += 20
        self.rest()
        self.rest()

    def photo(self, name: str) -> dict[str, Any]:
        (row,) = self.store.connection.rows("SELECT * FROM photos WHERE original_name = ?", (name,))
        return row

    def places(self) -> dict[str, str]:
        """Where each photo lies, and why."""
        rows = self.store.connection.rows("SELECT original_name, path, reason FROM photos")
        return {row["original_name"]: f"{row['path'].rpartition('/')[0]}: {row['reason']}" for row in rows}

    def visits(self) -> list[dict[str, Any]]:
        return self.store.connection.rows("SELECT photos, label, verdict FROM visits ORDER BY id")
