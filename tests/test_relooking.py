"""After the spotter was exchanged: older photos are looked at again, and what was known comes back by itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.core import gate
from birdwatchd.core.errors import RootGone, StoreBusy, TransientError
from birdwatchd.core.settings import Settings
from birdwatchd.doctor.finding import Finding
from birdwatchd.doctor.learning import of_learning
from birdwatchd.edges.store.looks import Looks
from birdwatchd.worker import Chore
from tests.fakes import StubSpotter
from tests.gardens import Garden, with_two_models

pytestmark = pytest.mark.alone

OLD = "0" * 16


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A bird folder with two models of a former spotter, 22 named photos and two others."""
    root = with_two_models(tmp_path)
    one = Garden(root)
    try:
        one.drop(("redstart", 50), ("greenfinch", 50))
        with one.store.connection.writing():
            one.store.connection.execute("UPDATE embeddings SET spotter_id = ?, box = NULL, birdness = NULL", (OLD,))
    finally:
        one.close()
    return root


@pytest.fixture
def garden(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Garden]:
    monkeypatch.setattr(StubSpotter, "id", "7" * 16)
    monkeypatch.setattr("tests.gardens.StubSpotter", lambda: StubSpotter(id="7" * 16))
    one = Garden(root)
    yield one
    one.close()


def seen(garden: Garden, spotter_id: str = "7" * 16) -> list[int]:
    rows = garden.store.connection.rows(
        "SELECT photo_id FROM embeddings WHERE spotter_id = ? ORDER BY rowid", (spotter_id,)
    )
    return [row["photo_id"] for row in rows]


def until_named_are_seen(garden: Garden) -> None:
    while not garden.worker.relooking.has_seen_labelled("7" * 16):
        garden.worker.step()


def predictions(garden: Garden) -> list[Any]:
    return garden.store.connection.rows("SELECT * FROM predictions ORDER BY id")


def test_all_older_photos_are_looked_at_again_and_nothing_else_about_them_changes(garden: Garden) -> None:
    before, where, old = predictions(garden), garden.where(), seen(garden, OLD)
    garden.steps_until(lambda: len(seen(garden)) == 24)
    assert predictions(garden)[: len(before)] == before
    assert garden.where() == where
    assert seen(garden, OLD) == old
    rows = garden.store.connection.rows("SELECT box, birdness FROM embeddings WHERE spotter_id = ?", ("7" * 16,))
    assert {(row["box"], row["birdness"]) for row in rows} == {("[0.0, 0.0, 1.0, 1.0]", 0.9)}


def test_photos_with_a_human_name_come_first(garden: Garden) -> None:
    garden.steps_until(lambda: len(seen(garden)) == 24)
    named = {row["photo_id"] for row in garden.store.connection.rows("SELECT photo_id FROM current_labels")}
    assert set(seen(garden)[:22]) == named


def test_names_come_back_by_themselves_and_only_once(garden: Garden) -> None:
    garden.sweep()
    assert "made by itself" in garden.problems()["model"]
    trainings = len(garden.outcomes())
    until_named_are_seen(garden)
    garden.sweep()
    assert "when your names are enough" in garden.problems()["model"]
    garden.fall_quiet()
    garden.steps_until(lambda: garden.serving() == 3)
    assert json.loads(garden.store.models.get(3)["recipe"])["training_id"] == trainings + 1  # type: ignore[index]
    assert garden.store.models.get(3)["parent_id"] is None  # type: ignore[index]
    assert garden.problems() == {}
    assert garden.named_by(("bluetit", 70)) == 3
    garden.leap_s += 1000
    garden.sweep()
    garden.rest()
    assert len(garden.outcomes()) == trainings + 1


def test_nothing_is_learned_before_all_named_photos_were_seen(garden: Garden) -> None:
    while len(seen(garden)) < 20:
        garden.worker.step()
        assert garden.serving() == 2
        assert None not in garden.outcomes()


def test_new_names_make_it_learn_no_sooner_than_all_named_photos_were_seen(garden: Garden) -> None:
    """As many new ones as a training waits for, and two species of which enough photos were seen."""
    with garden.store.connection.writing():
        garden.store.connection.execute(
            "INSERT INTO labels (photo_id, label, source, labelled_at)"
            " SELECT photo_id, label, 'cli', '2099-01-01T00:00:00.000+00:00' FROM labels"
        )
    trainings = len(garden.outcomes())
    while len(seen(garden)) < 20:
        garden.worker.step()
        garden.leap_s += 20
        garden.worker.do_chore(Chore("fine-tune"))
        assert garden.worker.retraining._freezing is None
        assert len(garden.outcomes()) == trainings
    garden.steps_until(lambda: garden.serving() == 3)
    assert garden.store.models.latest_training()["label_count"] == 22  # type: ignore[index]


def test_names_that_were_learned_in_vain_are_not_learned_again_at_each_start(garden: Garden, root: Path) -> None:
    """The new model was kept out, so the one in use is still of another spotter."""
    trainings = len(garden.outcomes())
    garden.worker.retraining._verdict = lambda *_: gate.Verdict(False, ("Worse.", "It stays."), (), (), ("worse",))  # type: ignore[method-assign]
    until_named_are_seen(garden)
    garden.fall_quiet()
    garden.steps_until(lambda: garden.outcomes()[trainings:] == ["kept"])
    garden.close()
    again = Garden(root)
    try:
        until_named_are_seen(again)
        again.fall_quiet()
        again.rest()
        again.leap_s += 100
        again.rest()
        assert again.outcomes()[trainings:] == ["kept"]
        assert "when your names are enough" in again.problems()["model"]
    finally:
        again.close()


def test_a_training_of_the_former_spotter_that_ends_after_the_exchange_gives_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Garden(with_two_models(tmp_path))
    try:
        one.store.requests.ask("train", {}, actor="test", at="2026-01-01T00:00:00Z")
        one.steps_until(lambda: None in one.outcomes())
        one.worker.serving.spotter_id = "7" * 16
        one.steps_until(lambda: None not in one.outcomes())
        assert one.outcomes()[-1] == "failed"
        assert "made for another spotter" in one.store.models.latest_training()["reasons"]  # type: ignore[index]
        assert one.serving() == 2
    finally:
        one.close()


def test_a_training_that_is_asked_for_waits_for_the_looks(garden: Garden) -> None:
    done = garden.wish("train")
    assert done.outcome == "done", done
    assert set(seen(garden)) >= {
        row["photo_id"] for row in garden.store.connection.rows("SELECT photo_id FROM current_labels")
    }


def test_a_model_of_another_spotter_is_not_gone_back_to(garden: Garden) -> None:
    until_named_are_seen(garden)
    garden.fall_quiet()
    garden.steps_until(lambda: garden.serving() == 3)
    done = garden.wish("rollback")
    assert done.outcome == "failed"
    assert "made for another spotter" in str(done.result)
    assert garden.serving() == 3


def test_a_photo_that_is_gone_or_another_is_passed_over(garden: Garden) -> None:
    rows = garden.store.connection.rows("SELECT id, path FROM photos ORDER BY id")
    (garden.root / rows[0]["path"]).unlink()
    (garden.root / rows[1]["path"]).write_bytes(b"something else")
    garden.steps_until(lambda: len(seen(garden)) == 22 and garden.worker.relooking.in_words() is None)
    assert set(seen(garden)) == {row["id"] for row in rows[2:]}


def test_a_photo_that_may_not_be_read_holds_up_neither_the_others_nor_the_learning(garden: Garden) -> None:
    """Named, so that it comes before all others."""
    (path,) = [row["path"] for row in garden.store.connection.rows("SELECT path FROM photos WHERE id = 1")]
    (garden.root / path).unlink()
    (garden.root / path).mkdir()
    garden.steps_until(lambda: len(seen(garden)) == 23 and garden.worker.relooking.in_words() is None)
    assert "training" not in garden.problems()
    garden.leap_s += 20
    garden.steps_until(lambda: garden.serving() == 3)


def test_what_was_passed_over_is_not_asked_again_in_this_life(garden: Garden, caplog: pytest.LogCaptureFixture) -> None:
    (path,) = [row["path"] for row in garden.store.connection.rows("SELECT path FROM photos WHERE id = 1")]
    (garden.root / path).write_bytes(b"something else")
    garden.steps_until(lambda: len(seen(garden)) == 23 and garden.worker.relooking.in_words() is None)
    assert [one.getMessage() for one in caplog.records if "not looked at again" in one.getMessage()] == [
        f"not looked at again: 0.jpg: {path} holds other bytes than before"
    ]


def test_while_the_bird_folder_is_away_nothing_is_passed_over(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise RootGone("gone")

    away = garden.root.with_name("away")
    garden.root.joinpath("library").rename(away)
    with monkeypatch.context() as patch:
        patch.setattr(garden.files, "check_still_there", gone)
        for _ in range(5):
            with pytest.raises(RootGone):
                garden.worker.relooking.step(garden.worker.pipeline.examiner)
    away.rename(garden.root / "library")
    garden.steps_until(lambda: len(seen(garden)) == 24)


def test_a_log_that_is_busy_while_it_is_asked_what_is_left_ends_nothing(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    between, asked = Looks.between, []

    def busy_at_first(looks: Looks, *which: Any) -> list[int]:
        asked.append(which)
        if len(asked) == 1:
            raise StoreBusy("busy")
        return between(looks, *which)

    monkeypatch.setattr(Looks, "between", busy_at_first)
    garden.steps_until(lambda: len(seen(garden)) == 24)


def test_nobody_waits_while_it_is_found_out_that_nothing_is_left(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a million photos that takes seconds, and is done at each start: a page at a time, between others."""
    monkeypatch.setattr("birdwatchd.relooking.IDS_AT_ONCE", 1)
    with garden.store.connection.writing():
        garden.store.connection.execute("UPDATE embeddings SET spotter_id = ? WHERE photo_id > 1", ("7" * 16,))
        garden.store.connection.execute(
            "INSERT INTO embeddings (photo_id, spotter_id, vector) VALUES (1, ?, x'00')", ("7" * 16,)
        )
    asked: list[str] = []
    garden.store.connection._db.set_trace_callback(asked.append)
    steps = 0
    while garden.worker.relooking.step(garden.worker.pipeline.examiner):
        assert sum("BETWEEN" in one for one in asked) <= 1
        steps += 1
        asked.clear()
    garden.store.connection._db.set_trace_callback(None)
    assert steps == 3 * 24


def test_it_says_how_many_there_are_and_how_many_are_done(garden: Garden, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    relooking, examiner = garden.worker.relooking, garden.worker.pipeline.examiner
    relooking.step(examiner)
    assert (
        relooking.in_words()
        == "older photos are looked at again with the new spotter, those that you named first: 2 of 24 are done"
    )
    while relooking.step(examiner):
        pass
    assert relooking.in_words() is None
    told = [one.getMessage() for one in caplog.records if "looked at again" in one.getMessage()]
    assert len(told) == 2
    assert told[1] == "all older photos have been looked at again: 24"


def test_what_waits_is_judged_as_soon_as_it_was_seen_and_not_only_when_all_were(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(garden.worker.relooking, "_news", lambda: told.append(len(seen(garden))))
    with garden.store.connection.writing():
        garden.store.connection.execute("UPDATE photos SET state = 'review' WHERE id = 23")
    while garden.worker.relooking.step(garden.worker.pipeline.examiner):
        pass
    assert told == [22, 23, 24]


def told_by_the_doctor(garden: Garden) -> dict[str, Finding]:
    settings = Settings(root=garden.root)
    return {one.subject: one for one in of_learning(garden.files, garden.store, settings, "7" * 16, lambda _: 0.0)}


def test_status_and_doctor_say_what_is_being_done_and_ask_nothing_of_anybody(garden: Garden) -> None:
    told = told_by_the_doctor(garden)
    assert told["older photos"].what.startswith("24 are still to be looked at again")
    assert told["learning"].what == (
        "22 photos with a name are still to be looked at again with the new spotter; seen so far: none"
    )
    garden.worker.step()
    assert "2 of 24 are done; 0 waiting" in garden.worker.in_words()
    until_named_are_seen(garden)
    garden.steps_until(lambda: garden.worker.relooking.in_words() is None)
    garden.worker.step()
    assert "older photos" not in garden.worker.in_words()
    told = told_by_the_doctor(garden)
    assert "older photos" not in told
    assert told["learning"].what.endswith("with the new spotter, and begins by itself as soon as you name no more")
    assert all(one.ok for one in told.values())
    garden.fall_quiet()
    garden.steps_until(lambda: garden.serving() == 3)
    assert "new names since training 3" in told_by_the_doctor(garden)["learning"].what


def test_a_model_of_another_spotter_is_neither_compared_with_nor_recommended(garden: Garden) -> None:
    until_named_are_seen(garden)
    garden.fall_quiet()
    garden.steps_until(lambda: garden.serving() == 3)
    assert garden.worker.reconsidering._watched() is None
    garden.worker.do_chore(Chore("reconsider"))
    garden.rest()
    assert garden.problems() == {}


def test_while_the_model_in_use_is_of_another_spotter_it_is_not_reconsidered(garden: Garden) -> None:
    garden.worker.do_chore(Chore("reconsider"))
    garden.worker.step()
    assert garden.serving() == 2
    assert set(garden.problems()) <= {"model"}


def test_a_refiling_counts_what_was_not_seen_yet_as_left(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    until_named_are_seen(garden)
    monkeypatch.setattr(garden.worker.relooking, "step", lambda _: False)
    garden.fall_quiet()
    garden.steps_until(lambda: garden.serving() == 3)
    result = garden.wish("refile", dry_run=True).result
    assert (result["judged"], result["left"]) == (0, 2)
    monkeypatch.undo()
    monkeypatch.setattr("tests.gardens.StubSpotter", lambda: StubSpotter(id="7" * 16))
    garden.steps_until(lambda: len(seen(garden)) == 24)
    garden.rest()
    result = garden.wish("refile", dry_run=True).result
    assert (result["judged"], result["left"]) == (2, 0)


def test_after_a_death_in_the_midst_it_goes_on(garden: Garden, root: Path) -> None:
    garden.steps_until(lambda: len(seen(garden)) >= 7)
    garden.close()
    again = Garden(root)
    try:
        again.steps_until(lambda: len(seen(again)) == 24)
        assert len(set(seen(again))) == 24
    finally:
        again.close()


def test_a_log_that_is_busy_costs_nothing(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object, **__: object) -> None:
        raise TransientError("busy")

    with monkeypatch.context() as patch:
        patch.setattr(garden.store.journeys, "record_look", busy)
        for _ in range(5):
            garden.worker.step()
        assert seen(garden) == []
    garden.leap_s += 10
    garden.steps_until(lambda: len(seen(garden)) == 24)


def test_with_one_spotter_ever_nothing_is_asked_of_the_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = with_two_models(tmp_path)

    def asked(*_: object, **__: object) -> list[int]:
        raise AssertionError("asked")

    monkeypatch.setattr(Looks, "named", asked)
    monkeypatch.setattr(Looks, "between", asked)
    one = Garden(root)
    try:
        one.rest()
        assert one.worker.relooking.in_words() is None
    finally:
        one.close()


@pytest.mark.parametrize("sentence", ["knows_another_spotter", "between", "named"])
def test_what_is_asked_again_and_again_uses_an_index(garden: Garden, sentence: str) -> None:
    asked: list[str] = []
    garden.store.connection._db.set_trace_callback(asked.append)
    try:
        if sentence == "between":
            garden.store.looks.between(1, 100, OLD, ("review",))
        elif sentence == "named":
            garden.store.looks.named(1, 100, OLD)
        else:
            garden.store.looks.knows_another_spotter(OLD)
    finally:
        garden.store.connection._db.set_trace_callback(None)
    plan = " ".join(row["detail"] for row in garden.store.connection.rows(f"EXPLAIN QUERY PLAN {asked[-1]}"))
    assert "SCAN photos" not in plan
    assert "SCAN latest" not in plan
    assert "TEMP B-TREE" not in plan
    assert "SCAN embeddings" not in plan, plan
