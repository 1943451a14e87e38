"""From labels to a model that serves: on real folders, real SQLite, with the real training program and real ONNX files."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdwatchd.core.job import Job
from birdwatchd.edges.files import disk
from birdwatchd.edges.images import as_jpeg
from tests import books
from tests.gardens import Garden, five, picture
from tests.handmade import RIGHT, teach

pytestmark = pytest.mark.alone

YEARS_S = 10 * 365.25 * 24 * 3600
NOW = "2026-05-01T05:30:00.250Z"


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root)
    yield one
    one.close()


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


@pytest.mark.fault("T01", "T02")
def test_after_a_clock_that_was_years_ahead_it_goes_on_learning(garden: Garden, tmp_path: Path) -> None:
    """All names given since seemed older than the training, so that none of them was new."""
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    garden.wall_ahead_s = YEARS_S
    teach(garden, RIGHT)
    garden.wall_ahead_s = 0.0
    garden.fall_quiet()
    garden.rest()
    assert garden.outcomes() == ["promoted"], "there is nothing new"
    garden.bring(tmp_path / "tree", *five("bluetit", count=10))
    garden.learn()
    assert len(garden.outcomes()) == 2


@pytest.mark.fault("T01", "T02")
def test_which_model_served_before_is_no_matter_of_the_clock(garden: Garden) -> None:
    """The one that was retired by a clock that was ahead seemed to be the last for years, and the one to go back to."""
    for ahead_s in (0.0, YEARS_S, 0.0):
        garden.wall_ahead_s = ahead_s
        teach(garden, RIGHT)
    assert [row["id"] for row in garden.store.models.served_before(5)] == [2, 1]
    garden.wall_ahead_s = -3600.0
    assert [garden.wish("rollback").result["model_id"] for _ in range(4)] == [2, 3, 2, 3]


def test_a_model_that_was_compared_with_another_than_the_one_in_use_does_not_take_over(
    garden: Garden, tmp_path: Path
) -> None:
    """Who goes back to an older model while the next is being trained finds that one in use, and not the new one a moment later."""
    teach(garden, RIGHT)
    teach(garden, RIGHT)
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"), *five("bluetit"))
    garden.fall_quiet()
    garden.steps_until(lambda: garden.worker.retraining.under_way() is not None)
    rollback = garden.store.requests.ask("rollback", {}, actor="test", at=NOW)
    list(garden.worker.serving.roll_back(garden.store.requests.get(rollback)))
    garden.steps_until(lambda: None not in garden.outcomes())
    assert (garden.outcomes(), garden.serving()) == (["promoted", "promoted", "kept"], 1)
    told = garden.store.models.latest_training()
    assert told is not None
    assert "not compared with it" in told["reasons"]


def test_a_name_that_is_taken_back_while_it_is_put_together_is_not_learned(
    garden: Garden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "birdwatchd.retraining.SLICE_S", -1.0
    )  # a step at a time, and wishes have their turn in between
    garden.bring(tmp_path / "tree", *five("redstart", count=7), *five("greenfinch", count=7))
    garden.fall_quiet()
    begun = [row["id"] for row in garden.store.connection.rows("SELECT id FROM photos WHERE id IN (1, 8)")]
    read: list[str] = []
    examples = garden.store.models.examples

    def taken_back_as_they_are_read(spotter_id: str) -> list[dict[str, Any]]:
        rows = examples(spotter_id)
        if not read:
            for photo_id, name in zip(begun, ("greenfinch", None), strict=True):
                garden.store.requests.ask(
                    "answers", {"photo_ids": [photo_id], "species": name, "key": f"{photo_id}"}, actor="web", at=NOW
                )
        read.append(spotter_id)
        return rows

    monkeypatch.setattr(garden.store.models, "examples", taken_back_as_they_are_read)
    garden.steps_until(lambda: garden.outcomes() == ["promoted"])
    assert len(read) == 2
    job = Job.from_json((garden.root / ".birdwatchd" / "jobs" / "1" / "job.json").read_text())
    assert Counter(one.label for one in job.examples) == {"redstart": 6, "greenfinch": 7}
    assert {one.photo_id: one.label for one in job.examples}.get(begun[0]) == "greenfinch"
    assert begun[1] not in {one.photo_id for one in job.examples}
    assert garden.store.models.labels_since(1) == 0


def test_a_species_that_people_have_renamed_holds_no_new_model_up(garden: Garden, tmp_path: Path) -> None:
    """It could never be learned again: the old model would serve, and file photos under the old name, for ever."""
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    garden.learn()
    garden.leap_s += 100
    (garden.root / "library" / "greenfinch").rename(garden.root / "library" / "european-greenfinch")
    garden.worker.noticing.compare()
    garden.worker.notice()
    assert garden.where() == {("filed", "redstart"): 6, ("filed", "european-greenfinch"): 6}
    garden.bring(tmp_path / "tree", *five("redstart", 20, 4))
    garden.learn()
    assert (garden.outcomes(), garden.serving()) == (["promoted", "promoted"], 2)
    garden.drop(("greenfinch", 300))
    assert garden.store.questions.recent(limit=1)[0]["label"] == "european-greenfinch"


def test_a_species_of_which_people_have_left_too_few_photos_holds_no_new_model_up(
    garden: Garden, tmp_path: Path
) -> None:
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"), *five("bluetit"))
    garden.learn()
    garden.leap_s += 100
    tits = garden.root / "library" / "bluetit"
    for photo in sorted(path for path in tits.rglob("*") if path.is_file())[2:]:
        photo.rename(garden.root / "library" / "greenfinch" / photo.name)
    garden.worker.noticing.compare()
    garden.worker.notice()
    assert garden.where()[("filed", "bluetit")] == 2
    garden.bring(tmp_path / "tree", *five("redstart", 20, 8))
    garden.learn()
    assert (garden.outcomes(), garden.serving()) == (["promoted", "promoted"], 2)


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


def test_a_new_model_ends_the_trouble_with_a_damaged_one(garden: Garden, tmp_path: Path) -> None:
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    garden.learn()
    path = garden.root / (garden.store.models.get(1) or {})["path"]
    path.write_bytes(path.read_bytes()[:2000])
    garden.close()
    again = Garden(garden.root)
    try:
        assert "nobody" in again.worker.condition.problems["model"]
        refused = again.wish("promote", model_id=1).result
        assert "model 1 cannot be used" in refused["error"]
        assert "rollback" not in refused["hint"]
        assert again.wish("train").result["outcome"] == "promoted"
        assert "model" not in again.worker.condition.problems
    finally:
        again.close()


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
