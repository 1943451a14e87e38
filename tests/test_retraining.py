"""From labels to a model that serves: on real folders, real SQLite, with the real training program and real ONNX files."""

import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdwatchd.core.errors import ModelDamaged
from birdwatchd.core.settings import Deciding, Inbox, Settings
from birdwatchd.edges.files import Files, disk
from birdwatchd.edges.images import as_jpeg
from birdwatchd.edges.store import Request, Store
from birdwatchd.edges.vision import Classifier
from birdwatchd.worker import Worker
from tests import books
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

    def __init__(self, root: Path, **deciding: Any) -> None:
        self.root = root
        self.files = Files(root)
        self.files.check()
        self.store = Store.open(root / "birdwatchd.db")
        self.leap_s = 0.0
        settings = Settings(
            root=root,
            inbox=Inbox(settle_s=0, sweep_s=1),
            deciding=Deciding(**({"confirm_first": False, "strangers_let_in": 1.0} | deciding)),
        )
        self.worker = Worker(
            settings,
            self.files,
            self.store,
            load_spotter=StubSpotter,  # type: ignore[arg-type]
            clock=lambda: time.monotonic() + self.leap_s,
            now=lambda: (datetime.now(UTC) + timedelta(seconds=self.leap_s)).isoformat(timespec="milliseconds"),
        )
        self.worker.open_eye()
        self.worker.resume()

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

    def close(self) -> None:
        self.worker.retraining.close()
        self.store.close()


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root)
    yield one
    one.close()


def five(species: str, begin: int = 0, count: int = 6) -> list[tuple[str, int]]:
    return [(species, number) for number in range(begin, begin + count)]


def test_with_five_labels_of_two_species_waiting_photos_get_their_names_by_themselves(
    garden: Garden, tmp_path: Path
) -> None:
    garden.drop(*five("redstart", 100, 3), *five("greenfinch", 100, 3))
    assert {state for state, _ in garden.where()} == {"review"}
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    garden.learn()
    assert garden.outcomes() == ["promoted"]
    assert garden.where() == {("filed", "redstart"): 9, ("filed", "greenfinch"): 9}
    garden.drop(("greenfinch", 200))
    newest = garden.store.questions.recent(limit=1)[0]
    assert (newest["state"], newest["reason"], newest["label"]) == ("filed", "sure", "greenfinch")
    rows = garden.store.connection.rows("SELECT model_id FROM predictions WHERE verdict = 'filed'")
    assert {row["model_id"] for row in rows} == {1}
    photos = [
        *five("redstart", 100, 3),
        *five("greenfinch", 100, 3),
        *five("redstart"),
        *five("greenfinch"),
        ("greenfinch", 200),
    ]
    books.check(garden.root, Counter(books.content(picture(*one)) for one in photos))


def test_too_few_labels_teach_nothing_and_train_says_what_is_missing(garden: Garden, tmp_path: Path) -> None:
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch", count=4))
    garden.fall_quiet()
    garden.rest()
    assert garden.outcomes() == []
    refused = garden.wish("train")
    assert refused.outcome == "failed"
    assert "greenfinch 4, redstart 6" in refused.result["hint"]


def test_the_same_labels_are_not_learned_twice(garden: Garden, tmp_path: Path) -> None:
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    garden.learn()
    garden.leap_s += 100
    garden.rest()
    assert garden.outcomes() == ["promoted"]


def test_a_new_species_is_welcome_and_one_can_go_back_and_forth(garden: Garden, tmp_path: Path) -> None:
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    garden.learn()
    garden.leap_s += 100
    garden.bring(tmp_path / "tree", *five("bluetit", count=10))
    garden.learn()
    assert (garden.outcomes(), garden.serving()) == (["promoted", "promoted"], 2)
    assert garden.wish("rollback").result["model_id"] == 1
    garden.drop(("redstart", 300))
    rows = garden.store.connection.rows("SELECT model_id FROM predictions ORDER BY id DESC LIMIT 1")
    assert (rows[0]["model_id"], garden.serving()) == (1, 1)
    assert garden.wish("promote", model_id=2).result["model_id"] == 2
    assert garden.wish("promote", model_id=7).outcome == "failed"
    assert garden.serving() == 2


def test_the_first_of_its_kind_waits_for_a_person_and_no_new_model_takes_it_away(root: Path, tmp_path: Path) -> None:
    one = Garden(root, confirm_first=True)
    try:
        one.drop(*five("redstart", 100, 3))
        one.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
        one.learn()
        assert one.where() == {("review", "redstart"): 1, ("filed", "redstart"): 8, ("filed", "greenfinch"): 6}
        one.drop(*five("greenfinch", 100, 2))
        assert one.where()[("review", "greenfinch")] == 1
        one.leap_s += 100
        one.bring(tmp_path / "tree", *five("bluetit", count=10))
        one.learn()
        assert one.serving() == 2
        assert (one.where()[("review", "redstart")], one.where()[("review", "greenfinch")]) == (1, 1)
    finally:
        one.close()


def test_what_a_new_model_does_not_know_either_stays_where_it_waits(root: Path, tmp_path: Path) -> None:
    one = Garden(root, strangers_let_in=0.08)
    try:
        one.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
        one.learn()
        strange = np.full((64, 64, 3), 60, dtype=np.uint8)
        strange[:, :16] = 250  # bright only where the others are dark
        (root / "inbox" / "stranger.jpg").write_bytes(as_jpeg(strange))
        one.steps_until(lambda: not any((root / "inbox").iterdir()))
        (stranger,) = one.store.questions.recent(limit=1)
        assert (stranger["state"], stranger["reason"]) == ("review", "unlike-anything")
        one.leap_s += 100
        one.bring(tmp_path / "tree", *five("redstart", 20), *five("greenfinch", 20))
        one.learn()
        assert one.serving() == 2
        judged = one.store.connection.rows(
            "SELECT model_id, verdict FROM predictions WHERE photo_id = ? ORDER BY id", (stranger["id"],)
        )
        assert [(row["model_id"], row["verdict"]) for row in judged] == [(1, "review"), (2, "review")]
        assert (one.store.questions.photo(stranger["id"]) or {})["path"] == stranger["path"]
    finally:
        one.close()


def test_a_damaged_model_is_refused_and_the_old_one_still_names_birds(garden: Garden, tmp_path: Path) -> None:
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    garden.learn()
    garden.leap_s += 100
    garden.bring(tmp_path / "tree", *five("bluetit", count=10))
    garden.learn()
    old = garden.root / (garden.store.models.get(1) or {})["path"]
    content = bytearray(old.read_bytes())
    content[len(content) // 2] ^= 1
    old.write_bytes(content)
    refused = garden.wish("rollback")
    assert refused.outcome == "failed"
    assert "damaged" in refused.result["error"]
    assert garden.serving() == 2
    garden.drop(("bluetit", 300))
    assert garden.store.questions.recent(limit=1)[0]["label"] == "bluetit"


def test_a_changed_model_file_is_never_loaded(garden: Garden, tmp_path: Path) -> None:
    """250 of them: any bit flipped, any part cut off, anything appended."""
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    garden.learn()
    path = garden.root / (garden.store.models.get(1) or {})["path"]
    whole, chance = path.read_bytes(), np.random.default_rng(1)
    assert Classifier.load(path, model_id=1, spotter_id="5" * 16).card.labels == ("greenfinch", "redstart")
    with pytest.raises(ModelDamaged, match="another spotter"):
        Classifier.load(path, model_id=1, spotter_id="6" * 16)
    for number in range(250):
        damaged = bytearray(whole)
        match number % 3:
            case 0:
                damaged[chance.integers(len(whole))] ^= 1 << int(chance.integers(8))
            case 1:
                del damaged[chance.integers(len(whole)) :]
            case _:
                damaged += chance.bytes(int(chance.integers(1, 50)))
        path.write_bytes(damaged)
        with pytest.raises(ModelDamaged):
            Classifier.load(path, model_id=1, spotter_id="5" * 16)


class Death(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("moment", ["before the move", "after the move", "before the entry", "after the entry"])
def test_death_at_any_moment_of_a_promotion_leaves_one_model_or_none(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    first = Garden(root)
    first.drop(*five("redstart", 100, 2))
    first.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    when, what = moment.split(" the ")
    owner, name = (disk, "rename_noreplace") if what == "move" else (first.store.models, "enter")
    done = getattr(owner, name)

    def die(*arguments: Any, **named: Any) -> None:
        if what == "move" and not str(arguments[1]).endswith(".onnx"):
            return done(*arguments, **named)  # type: ignore[no-any-return]
        if when == "after":
            done(*arguments, **named)
        raise Death

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(Death):
            first.learn()
    first.close()
    with closing(sqlite3.connect(root / "birdwatchd.db")) as db:
        assert db.execute("SELECT count(*) FROM models WHERE retired_at IS NULL").fetchone()[0] == (
            moment == "after the entry"
        )
    second = Garden(root)
    try:
        second.fall_quiet()
        second.steps_until(lambda: second.serving() is not None)
        second.rest()
        assert second.outcomes()[-1] == "promoted"
        assert second.where()[("filed", "redstart")] == 8
        assert None not in second.outcomes()
    finally:
        second.close()
