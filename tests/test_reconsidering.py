"""A model that took over by itself is watched, and taken back when people's answers prove it worse than the one before."""

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.cli.app import run_command
from birdwatchd.core.evidence import FEWEST_AGAINST
from birdwatchd.core.settings import Training
from birdwatchd.examining import Examiner
from birdwatchd.worker import Chore
from tests import books
from tests.gardens import Garden, five, picture
from tests.handmade import RIGHT, SWAPPED, teach

UNTAUGHT = Training(enabled=False)
BLIND_TO_REDSTARTS = {"greenfinch": ["greenfinch", "redstart"], "bluetit": ["bluetit"]}
KNOWS_ONLY_REDSTARTS = {"redstart": ["redstart"], "bluetit": ["greenfinch"], "greenfinch": ["bluetit"]}
DAY_S = 86_400.0


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root, training=UNTAUGHT)
    yield one
    one.close()


def judged(
    garden: Garden, before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]], **photos: int
) -> None:
    """The model before, the one that took over from it, and so many photos of each species that this one filed."""
    teach(garden, before)
    garden.leap_s += 10
    teach(garden, now)
    garden.leap_s += 10
    garden.drop(*(one for species, count in photos.items() for one in five(species, 0, count)))


def mend(garden: Garden, *species: str, at_most: int = 1000) -> int:
    """Give photos of these species their right name, where the machine gave another; returns how many there were."""
    rows = garden.store.connection.rows(
        "SELECT photos.id, original_name, label FROM photos JOIN current_predictions ON photo_id = photos.id"
    )
    wrong = [(row["id"], right) for row in rows if (right := row["original_name"].split("-")[0]) != row["label"]]
    mended = [(photo_id, right) for photo_id, right in wrong if right in species][:at_most]
    for photo_id, right in mended:
        garden.wish("label", photo_id=photo_id, species=right)
    return len(mended)


def reconsider(garden: Garden, *, days: float = 1.1) -> int | None:
    """Let the time pass that people need, and the daily look be taken; which model serves then."""
    garden.leap_s += days * DAY_S
    garden.worker.do_chore(Chore("reconsider"))
    garden.rest()
    return garden.serving()


def taken_back(garden: Garden) -> list[int]:
    return [row["model_id"] for row in garden.store.connection.rows("SELECT model_id FROM taken_back")]


def worse(garden: Garden) -> None:
    """Model 2 took over from 1, and people mended what it made of twelve photos."""
    judged(garden, RIGHT, SWAPPED, redstart=6, greenfinch=6)
    assert mend(garden, "redstart", "greenfinch") == 12


def answered(garden: Garden, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert run_command([*words, "--root", str(garden.root)]) == 0
    return capsys.readouterr().out


def test_a_worse_model_is_taken_back_and_the_one_before_names_birds_again(garden: Garden) -> None:
    worse(garden)
    assert reconsider(garden) == 1
    assert taken_back(garden) == [2]
    (row,) = garden.store.connection.rows("SELECT * FROM taken_back")
    assert row["why"].endswith("model 1 is right on 12, model 2 on 0.")
    assert garden.named_by(("redstart", 50)) == 1, "without a restart"
    books.check(garden.root, Counter(books.content(picture(one, n)) for one in ("redstart", "greenfinch") for n in range(6))
                + Counter([books.content(picture("redstart", 50))]))  # fmt: skip


def test_a_better_model_whose_errors_people_mend_is_not_taken_back(garden: Garden) -> None:
    """All of its errors are told and none of its merits: nobody confirms what is right."""
    judged(garden, KNOWS_ONLY_REDSTARTS, BLIND_TO_REDSTARTS, redstart=30, greenfinch=30)
    assert mend(garden, "redstart") == 30
    assert reconsider(garden) == 2
    assert taken_back(garden) == []


def test_the_same_errors_condemn_a_model_that_is_better_at_nothing(garden: Garden) -> None:
    judged(garden, RIGHT, BLIND_TO_REDSTARTS, redstart=30, greenfinch=30)
    assert mend(garden, "redstart") == 30
    assert reconsider(garden) == 1


def test_few_answers_take_no_model_back(garden: Garden) -> None:
    judged(garden, RIGHT, SWAPPED, redstart=9)
    assert mend(garden, "redstart") == 9
    assert reconsider(garden) == 2


def test_photos_that_people_had_no_time_to_mend_tell_nothing_either_way(garden: Garden) -> None:
    worse(garden)
    assert reconsider(garden, days=0.5) == 2
    assert reconsider(garden, days=0.6) == 1


def test_photos_of_one_visit_are_one_answer(garden: Garden) -> None:
    worse(garden)
    with garden.store.connection.writing():
        garden.store.connection.execute("UPDATE photos SET captured_at = '2026-05-01T05:30:' || printf('%02d', id)")
    assert reconsider(garden) == 2


def test_what_a_person_promoted_is_never_taken_back(garden: Garden) -> None:
    teach(garden, RIGHT)
    garden.leap_s += 10
    teach(garden, SWAPPED, promote=False)
    garden.leap_s += 10
    garden.wish("promote", model_id=2)
    garden.drop(*five("redstart"), *five("greenfinch"))
    assert mend(garden, "redstart", "greenfinch") == 12
    assert reconsider(garden) == 2


def test_a_person_who_promotes_a_model_that_serves_already_vouches_for_it(garden: Garden) -> None:
    worse(garden)
    garden.wish("promote", model_id=2)
    assert reconsider(garden) == 2


def test_a_person_who_goes_back_while_a_look_is_taken_has_the_last_word(garden: Garden) -> None:
    worse(garden)
    garden.leap_s += 1.1 * DAY_S
    garden.worker.reconsidering.begin()
    garden.wish("rollback")
    garden.rest()
    assert (garden.serving(), taken_back(garden)) == (1, [])


def test_a_photo_that_was_taken_back_or_waits_tells_nothing(garden: Garden) -> None:
    worse(garden)
    with garden.store.connection.writing():
        garden.store.connection.execute(
            "INSERT INTO labels (photo_id, label, source, labelled_at) SELECT id, NULL, 'folder', '2026' FROM photos LIMIT 3"
        )
    assert reconsider(garden) == 2


def test_a_model_before_that_is_damaged_takes_no_place(garden: Garden, caplog: pytest.LogCaptureFixture) -> None:
    worse(garden)
    (garden.root / garden.store.models.get(1)["path"]).write_bytes(b"rust")  # type: ignore[index]
    assert reconsider(garden) == 2
    assert "model 2 cannot be compared with the one before" in caplog.text
    assert garden.named_by(("redstart", 50)) == 2
    assert garden.problems() == {}


def test_photos_that_wait_are_judged_again_by_the_model_that_came_back(garden: Garden) -> None:
    teach(garden, RIGHT)
    garden.leap_s += 10
    teach(garden, SWAPPED, sure_above=1.1)
    garden.leap_s += 10
    garden.drop(*five("redstart"), *five("greenfinch"), ("redstart", 50))
    assert mend(garden, "redstart", "greenfinch", at_most=12) == 12
    garden.drop(("redstart", 51))
    assert garden.where()["review", "greenfinch"] == 2
    assert reconsider(garden) == 1
    assert garden.where() == {("filed", "redstart"): 8, ("filed", "greenfinch"): 6}


def test_rollback_skips_what_was_taken_back(garden: Garden) -> None:
    teach(garden, RIGHT)
    garden.leap_s += 10
    worse(garden)
    assert reconsider(garden) == 2
    assert taken_back(garden) == [3]
    assert garden.wish("rollback").result["model_id"] == 1
    assert garden.wish("rollback").result["model_id"] == 2
    refused = garden.wish("promote", model_id=3)
    assert refused.outcome == "done", "a person may"
    assert taken_back(garden) == [], "and that counts more"
    assert garden.wish("rollback").result["model_id"] == 2
    assert garden.wish("rollback").result["model_id"] == 3


def test_the_model_that_came_back_is_not_taken_back_in_its_turn(garden: Garden) -> None:
    teach(garden, RIGHT)
    garden.leap_s += 10
    teach(garden, SWAPPED)
    garden.leap_s += 10
    teach(garden, SWAPPED | {"wren": ["bluetit"]})
    garden.store.models.take_back(3, before=2, why="for the test", at=garden.now())
    garden.worker.serving.refresh()
    garden.drop(*five("redstart"), *five("greenfinch"))
    assert mend(garden, "redstart", "greenfinch") == 12
    assert reconsider(garden) == 2


def test_what_was_taken_back_is_not_learned_again_from_the_same_names(root: Path, tmp_path: Path) -> None:
    """Else it would be promoted and taken back for ever; a new name ends the pause."""
    garden = Garden(root, training=Training(min_new_labels=1))
    try:
        garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
        garden.learn()
        garden.leap_s += 100
        garden.bring(tmp_path / "tree", *five("bluetit", count=10))
        garden.learn()
        assert garden.serving() == 2
        garden.store.models.take_back(2, before=1, why="for the test", at=garden.now())
        garden.worker.serving.refresh()
        with (
            garden.store.connection.writing()
        ):  # the last lesson is another, so that nothing else holds the next one up
            garden.store.connection.execute(
                "INSERT INTO trainings (kind, started_at, finished_at, outcome, fingerprint)"
                " VALUES ('linear', '2026-01-01', '2026-01-01', 'kept', 'other')"
            )
        garden.close()
        garden = Garden(root, training=Training(min_new_labels=1))  # the next life looks at all names anew
        before = garden.outcomes()
        garden.fall_quiet()
        for _ in range(20):
            garden.worker.step()
        assert garden.outcomes() == before
        garden.bring(tmp_path / "tree", ("redstart", 30))
        garden.learn()
        assert len(garden.outcomes()) == len(before) + 1
    finally:
        garden.close()


def test_a_look_waits_while_a_training_measures_itself_by_the_model(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse(garden)
    monkeypatch.setattr(garden.worker.retraining, "under_way", lambda: {"training_id": 9})
    assert reconsider(garden) == 2
    monkeypatch.undo()
    garden.rest()
    assert garden.serving() == 1


def test_it_is_told_in_log_status_and_list(
    garden: Garden, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    worse(garden)
    reconsider(garden)
    said = "model 2 was taken back, and model 1 names birds again. On 12 visits the two models differ"
    assert said in caplog.text
    status = garden.store.requests.status() or {}
    assert said in status["problems"]
    rows = {row["id"]: row for row in json.loads(answered(garden, capsys, "models", "list", "--json"))}
    assert (rows[1]["use"], rows[2]["use"], rows[1]["taken_back"]) == ("in use", "taken back", None)
    assert "model 1 is right on 12, model 2 on 0" in rows[2]["taken_back"]["why"]
    shown = answered(garden, capsys, "models", "show", "2")
    assert "Model 2, taken back" in shown
    assert "model 1 is right on 12, model 2 on 0." in shown
    garden.worker.condition.fine("model taken back")
    garden.worker.do_chore(Chore("reconsider"))
    assert "model taken back" in garden.problems(), "told after a restart, too"
    reconsider(garden, days=3)
    assert garden.problems() == {}, "in the end it is no news"


def test_a_new_model_ends_what_is_told_of_the_old_one(garden: Garden) -> None:
    worse(garden)
    reconsider(garden)
    assert "model taken back" in garden.problems()
    teach(garden, RIGHT)
    assert garden.problems() == {}


def test_a_model_that_stays_is_told_why(garden: Garden, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    judged(garden, KNOWS_ONLY_REDSTARTS, BLIND_TO_REDSTARTS, redstart=30, greenfinch=30)
    mend(garden, "redstart")
    assert reconsider(garden) == 2
    told = re.search(r"model 1 is right on (\d+), model 2 on (\d+)\. Model 2 stays\.", caplog.text)
    assert told is not None
    assert FEWEST_AGAINST <= int(told[1]) <= 30, "enough to condemn it, if it had no merits"


def test_far_more_photos_in_review_are_told_of_and_nothing_is_taken_back(garden: Garden) -> None:
    teach(garden, RIGHT)
    garden.leap_s += 10
    garden.drop(*five("redstart", 0, 55))
    teach(garden, RIGHT, sure_above=1.1)
    garden.leap_s += 10
    garden.drop(*five("greenfinch", 0, 49))
    assert reconsider(garden) == 2
    assert garden.problems() == {}, "too few to compare"
    garden.drop(("greenfinch", 60))
    assert reconsider(garden) == 2
    assert garden.problems()["more waits"] == (
        "since model 2 names birds, 50 of 50 photos wait for you, before it were 0 of 55"
        " (`birdwatchd models rollback` goes back to model 1)"
    )
    garden.wish("rollback")
    assert garden.problems() == {}


def test_a_model_before_that_looks_at_photos_itself_looks_again(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few at a time; a photo that cannot be read is not compared."""
    worse(garden)
    seen: list[int] = []

    class Seeing:
        def __init__(self, model: Any) -> None:
            self.model_id, self._model = model.model_id, model
            card = model.card
            self.card = type("Card", (), {"pixels": object(), "spotter_id": card.spotter_id, "labels": card.labels})

        def name(self, embeddings: Any) -> Any:
            return self._model.name(embeddings)

    def look_again(_: Examiner, data: bytes, embedding: Any, box: Any, classifier: Any) -> Any:
        seen.append(len(data))
        return classifier.name([embedding])[0]

    load = garden.worker.serving.load
    monkeypatch.setattr(garden.worker.serving, "load", lambda row: Seeing(load(row)))
    monkeypatch.setattr(Examiner, "name_again", look_again)
    rows = garden.store.connection.rows("SELECT path FROM photos ORDER BY id")
    (garden.root / rows[0]["path"]).unlink()
    garden.leap_s += 1.1 * DAY_S
    garden.worker.reconsidering.begin()
    examiner = garden.worker.pipeline.examiner
    steps = 0
    while garden.worker.reconsidering.step(examiner):
        steps += 1
    assert (steps, len(seen)) == (12 // 4 + 1, 11)
    assert taken_back(garden) == [2]


KILLED = """
import os, signal, sys
from pathlib import Path
from birdwatchd.core.evidence import FEWEST_AGAINST
from birdwatchd.core.settings import Training
from birdwatchd.worker import Chore
from tests.gardens import Garden
garden = Garden(Path(sys.argv[1]), training=Training(enabled=False))
garden.leap_s = 1.2 * 86_400
left, begun = int(sys.argv[2]), []
def count(sentence):
    begun.append(begun or "SET retired_at" in sentence)
    if sum(map(bool, begun)) > left:
        os.kill(os.getpid(), signal.SIGKILL)
garden.store.connection._db.set_trace_callback(count)
garden.worker.do_chore(Chore("reconsider"))
garden.rest()
"""


@pytest.mark.parametrize("sentences", [0, 1, 2, 3, 4])
def test_killed_between_any_two_steps_it_serves_the_one_or_the_other(root: Path, sentences: int) -> None:
    garden = Garden(root, training=UNTAUGHT)
    try:
        worse(garden)
    finally:
        garden.close()
    done = subprocess.run([sys.executable, "-c", KILLED, str(root), str(sentences)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    again = Garden(root, training=UNTAUGHT)
    try:
        assert (again.serving(), taken_back(again)) in ([(2, []), (1, [2])] if sentences == 4 else [(2, [])])
        serving = again.worker.serving.model
        assert serving is not None
        assert serving.model_id == again.serving()
        again.leap_s = 1.2 * DAY_S
        assert reconsider(again) == 1
        assert taken_back(again) == [2]
    finally:
        again.close()
