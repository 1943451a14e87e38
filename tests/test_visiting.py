"""Photos of one visit on real folders and a real log: who follows whom, what a person's word is worth, and what comes after a death."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from birdwatchd import service
from birdwatchd.cli import asking  # noqa: F401  its commands
from birdwatchd.cli.app import app
from birdwatchd.core import stillness, visiting
from birdwatchd.core.errors import DiskTrouble, StoreBusy
from birdwatchd.core.photo import Box, Spotting
from birdwatchd.core.settings import Deciding, Inbox, Settings
from birdwatchd.edges.files import Files
from birdwatchd.edges.images import as_jpeg
from birdwatchd.edges.store import Store, schema
from tests import books
from tests.fakes import StubSpotter
from tests.gardens import Garden, picture
from tests.handmade import embedding
from tests.visits import (
    GREENFINCH,
    REDSTART,
    REDSTART_OR_BLUETIT,
    REDSTART_OR_GREENFINCH,
    Visited,
    taken_at,
)

LONG_AGO, FAR_AHEAD = "2000-01-01T00:00:00Z", "2999-01-01T00:00:00Z"


@pytest.fixture
def garden(root: Path) -> Iterator[Visited]:
    one = Visited(root)
    yield one
    one.close()


def log_of(garden: Visited) -> list[Any]:
    return [
        garden.store.connection.rows(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608
        for table in ("photos", "predictions", "visits", "visit_photos", "visit_words", "journeys")
    ]


# -- one name for a visit


def test_unsure_photos_get_the_name_of_their_visit_once_it_is_over(garden: Visited) -> None:
    one, two, three = garden.shoot(
        ("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH), ("10:02:15", REDSTART)
    )
    garden.rest()
    assert garden.where() == {("review", "redstart"): 2, ("filed", "redstart"): 1}, "it may not be over yet"
    garden.end_visits()
    assert garden.places() == {
        one: "library/redstart: visit",
        two: "library/redstart: visit",
        three: "library/redstart: sure",
    }
    assert garden.visits() == [{"photos": 3, "label": "redstart", "verdict": "named"}]


def test_what_the_visit_told_is_shown_and_counted(garden: Visited) -> None:
    one, two = garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:15", REDSTART_OR_GREENFINCH))
    garden.end_visits()
    photo_id = str(garden.photo(one)["id"])
    told = CliRunner().invoke(app, ["explain", photo_id, "--root", str(garden.root)]).output
    assert "one visit of 2 photos, 10:02:11 to 10:02:15: redstart 0.8" in told
    assert "2 of 2 agree" in told
    assert "its visit tells the name" in told
    seen = garden.store.connection.rows("SELECT species, named_by, probability FROM sightings")
    assert [(row["species"], row["named_by"], row["probability"] > 0.8) for row in seen] == [
        ("redstart", "machine", True)
    ] * 2
    (day,) = garden.store.questions.days()
    assert (day["species"], day["photos"], day["visits"]) == ("redstart", 2, 1)
    assert garden.photo(two)["state"] == "filed"
    judged = garden.store.connection.rows("SELECT verdict, reason FROM predictions")
    assert [tuple(row.values()) for row in judged] == [("review", "unsure")] * 2, "what each said by itself stays"


def test_a_visit_that_disagrees_with_itself_waits_for_a_person(garden: Visited) -> None:
    one, two, three = garden.shoot(("10:02:11", REDSTART), ("10:02:13", GREENFINCH), ("10:02:15", REDSTART_OR_BLUETIT))
    garden.end_visits()
    assert garden.places() == {
        one: "review/redstart: visit-disagrees",
        two: "review/greenfinch: visit-disagrees",
        three: "review/redstart: unsure",
    }
    assert garden.visits()[0]["verdict"] == "disagrees"
    assert garden.store.connection.rows("SELECT * FROM sightings") == []
    assert len(garden.store.connection.rows("SELECT * FROM review_queue")) == 3
    (garden.root / garden.photo(one)["path"]).unlink()
    garden.worker.noticing.compare()
    garden.leap_s += 10
    garden.steps_until(lambda: garden.photo(one)["state"] == "missing")
    assert garden.store.connection.rows("SELECT * FROM sightings") == [], "nor when it is deleted"


def test_what_is_far_in_time_or_of_another_camera_or_of_none_has_no_company(garden: Visited) -> None:
    garden.shoot(("10:02:11", REDSTART), ("10:02:17", GREENFINCH))
    garden.shoot(("10:02:12", GREENFINCH), camera="pond")
    garden.end_visits()
    assert {state for state, _ in garden.where()} == {"filed"}
    assert garden.visits() == []


def test_photos_without_camera_or_time_are_each_a_visit_of_their_own(garden: Visited) -> None:
    for number, ranking in enumerate((REDSTART, GREENFINCH)):
        for folder, data in (
            ("", taken_at(picture("redstart", 50 + number), "10:02:11")),
            ("pond", picture("redstart", 60 + number)),
        ):
            garden.answers[embedding(data).tobytes()] = (ranking, 0.1)
            (garden.root / "inbox" / folder).mkdir(exist_ok=True)
            (garden.root / "inbox" / folder / f"{number}.jpg").write_bytes(data)
    garden.steps_until(lambda: not any(path.is_file() for path in (garden.root / "inbox").rglob("*")))
    garden.end_visits()
    assert {state for state, _ in garden.where()} == {"filed"}
    assert garden.visits() == []


def test_a_photo_that_comes_late_has_its_visit_looked_at_once_more(garden: Visited) -> None:
    one, two = garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:15", REDSTART_OR_GREENFINCH))
    three, four = garden.shoot(("10:02:23", REDSTART), ("10:02:25", REDSTART))
    garden.end_visits()
    assert [row["photos"] for row in garden.visits()] == [2, 2]
    (five,) = garden.shoot(("10:02:19", GREENFINCH))
    garden.end_visits()
    assert garden.visits() == [{"photos": 5, "label": "redstart", "verdict": "disagrees"}]
    assert garden.places() == {
        one: "review/redstart: unsure",
        two: "review/redstart: unsure",
        three: "review/redstart: visit-disagrees",
        four: "review/redstart: visit-disagrees",
        five: "review/greenfinch: visit-disagrees",
    }


def test_in_whatever_order_photos_come_the_end_is_the_same(tmp_path: Path) -> None:
    shots = [("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART), ("10:02:15", REDSTART_OR_GREENFINCH)]
    ends = []
    for number, order in enumerate(([0, 1, 2], [2, 0, 1], [1, 2, 0])):
        Files(tmp_path / f"{number}").create()
        garden = Visited(tmp_path / f"{number}")
        for place in order:
            garden.shoot(shots[place])
            garden.end_visits()
        rows = garden.store.connection.rows("SELECT captured_at, state, reason FROM photos ORDER BY captured_at")
        ends.append((rows, garden.visits()))
        garden.close()
    assert ends[0] == ends[1] == ends[2]


def test_a_second_look_changes_nothing_and_a_new_process_goes_on_where_the_old_one_was(garden: Visited) -> None:
    garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH))
    garden.shoot(("11:02:11", REDSTART), ("11:02:13", GREENFINCH))
    garden.worker.end_visits()
    before = log_of(garden)
    model = garden.worker.serving.model
    changes = garden.store.connection.value("SELECT total_changes()")
    again = garden.worker.visiting
    again._heard = (0, 0)
    looks = 0
    while again.step(model, at_once=True):
        looks += 1
    assert looks >= 2
    assert log_of(garden) == before
    again._heard = None
    assert not again.step(model, at_once=True), "all of it was looked at"
    assert garden.store.connection.value("SELECT total_changes()") - changes <= 1, "but for how far it was looked"


def test_nothing_is_moved_by_an_update_that_brings_visits(garden: Visited) -> None:
    garden.shoot(("10:02:11", REDSTART), ("10:02:13", GREENFINCH))
    garden.store.connection.execute("DELETE FROM visits_looked_at")
    (begin,) = [one for one in schema._VISITS if "INSERT INTO" in one]
    garden.store.connection.execute(begin)
    garden.worker.visiting._heard = None
    garden.worker.visiting._cameras.clear()
    garden.end_visits()
    assert {state for state, _ in garden.where()} == {"filed"}


def test_a_camera_that_never_falls_quiet_is_not_waited_for(garden: Visited) -> None:
    garden.shoot(("10:00:00", REDSTART), ("10:00:01", GREENFINCH))
    garden.worker.step()
    for _ in range(50):  # ten seconds each, and in each of them something new of that camera
        assert garden.where() == {("filed", "redstart"): 1, ("filed", "greenfinch"): 1}
        garden.worker.visiting._cameras["feeder"].heard = garden.worker._clock()
        garden.leap_s += 10
        garden.worker.step()
    garden.leap_s += 120
    garden.worker.visiting._cameras["feeder"].heard = garden.worker._clock()
    garden.rest()
    assert garden.where() == {("review", "redstart"): 1, ("review", "greenfinch"): 1}


def test_a_camera_that_never_stops_makes_no_visit(garden: Visited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visiting, "MOST_PHOTOS", 3)
    garden.shoot(*((f"10:00:0{second}", REDSTART if second % 2 else GREENFINCH) for second in range(5)))
    garden.end_visits()
    assert {state for state, _ in garden.where()} == {"filed"}
    assert garden.visits() == []


def test_the_first_of_its_kind_waits_also_in_a_visit(root: Path) -> None:
    garden = Visited(root, confirm_first=True)
    try:
        garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH))
        garden.end_visits()
        assert {state for state, _ in garden.where()} == {"review"}
    finally:
        garden.close()


def test_what_is_unlike_anything_stays_in_review(garden: Visited) -> None:
    garden.shoot(("10:02:11", REDSTART), ("10:02:12", REDSTART))
    (strange,) = garden.shoot(("10:02:13", REDSTART_OR_BLUETIT), novelty=0.9)
    garden.end_visits()
    assert garden.places()[strange] == "review/redstart: unlike-anything"


def test_photos_judged_anew_by_another_model_have_their_visit_judged_by_it(garden: Visited) -> None:
    garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH))
    garden.end_visits()
    assert garden.where() == {("filed", "redstart"): 2}
    garden.answers = dict.fromkeys(garden.answers, (GREENFINCH, 0.1))
    garden.teach()
    garden.wish("refile", dry_run=False)
    garden.end_visits()
    assert garden.where() == {("filed", "greenfinch"): 2}
    assert garden.visits() == [{"photos": 2, "label": "greenfinch", "verdict": "named"}]
    seen = garden.store.connection.rows("SELECT species FROM sightings")
    assert [row["species"] for row in seen] == ["greenfinch"] * 2


def test_what_a_visit_told_stands_when_a_new_model_has_judged_only_some_of_its_photos(garden: Visited) -> None:
    one, two, three = garden.shoot(
        ("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH), ("10:02:15", REDSTART)
    )
    garden.end_visits()
    before = log_of(garden)[2:]
    garden.teach()
    (four,) = garden.shoot(("10:02:17", REDSTART_OR_BLUETIT))
    garden.end_visits()
    assert log_of(garden)[2:] == before
    assert garden.places()[four] == "review/redstart: unsure"
    garden.wish("label", photo_id=garden.photo(one)["id"], species="redstart")
    garden.end_visits()
    assert {garden.places()[name] for name in (two, four)} == {"library/redstart: visit"}
    assert garden.places()[three] == "library/redstart: sure"
    assert garden.visits() == [{"photos": 4, "label": "redstart", "verdict": "named"}]


def test_a_person_has_their_name_heard_whichever_model_saw_the_others(garden: Visited) -> None:
    one, two = garden.shoot(("10:02:11", REDSTART), ("10:02:13", REDSTART))
    garden.end_visits()
    garden.teach()
    garden.wish("label", photo_id=garden.photo(one)["id"], species="bluetit")
    garden.end_visits()
    assert garden.places() == {one: "library/bluetit: labelled", two: "review/redstart: visit-disagrees"}


# -- what falls apart


def delete(garden: Visited, name: str) -> None:
    """As a person does, and it is noticed."""
    (garden.root / garden.photo(name)["path"]).unlink()
    garden.worker.noticing.compare()
    garden.leap_s += 10
    garden.steps_until(lambda: garden.photo(name)["state"] == "missing")


def members(garden: Visited) -> list[tuple[int, list[str]]]:
    """Of each visit, how many photos it says it has, and which it has."""
    rows = garden.store.connection.rows(
        "SELECT visits.photos, visits.id, photos.original_name AS name FROM visits"
        " LEFT JOIN visit_photos ON visit_photos.visit_id = visits.id LEFT JOIN photos ON photos.id = visit_photos.photo_id"
        " ORDER BY photos.captured_at"
    )
    ids = dict.fromkeys(row["id"] for row in rows)
    return [
        (next(row["photos"] for row in rows if row["id"] == one), [row["name"] for row in rows if row["id"] == one])
        for one in ids
    ]


@pytest.mark.parametrize("news", [0, 4])
def test_a_visit_that_falls_apart_is_two_visits_from_whichever_end_it_is_looked_at(garden: Visited, news: int) -> None:
    names = garden.shoot(
        ("10:02:11", REDSTART_OR_BLUETIT),
        ("10:02:14", REDSTART),
        ("10:02:18", REDSTART),
        ("10:02:22", REDSTART),
        ("10:02:25", GREENFINCH),
    )
    garden.end_visits()
    assert members(garden) == [(5, names)]
    first = garden.store.connection.value("SELECT id FROM visits")
    delete(garden, names[2])
    garden.wish("label", photo_id=garden.photo(names[news])["id"], species=("redstart", "", "", "", "greenfinch")[news])
    garden.end_visits()
    assert members(garden) == [(2, names[:2]), (2, names[3:])]
    assert garden.store.questions.receipt(garden.photo(names[0])["id"])["visit"]["id"] == first  # type: ignore[index]
    assert garden.places()[names[1]] == "library/redstart: sure", (
        "it is with nobody any more who is sure of another name"
    )
    before = log_of(garden)
    garden.worker.visiting._heard = (0, 0)
    garden.worker.end_visits()
    assert log_of(garden) == before


def test_a_photo_that_is_left_alone_says_again_what_it_says_by_itself(garden: Visited) -> None:
    one, two = garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:14", REDSTART_OR_GREENFINCH))
    garden.end_visits()
    assert garden.where() == {("filed", "redstart"): 2}
    delete(garden, two)
    garden.worker.visiting._heard = (0, 0)
    garden.worker.end_visits()
    assert garden.places()[one] == "review/redstart: unsure"
    assert members(garden) == []


def test_a_visit_that_grows_without_an_end_is_none_any_more(garden: Visited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visiting, "MOST_PHOTOS", 3)
    garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:14", REDSTART_OR_GREENFINCH))
    garden.end_visits()
    assert garden.where() == {("filed", "redstart"): 2}
    garden.shoot(("10:02:17", REDSTART_OR_BLUETIT), ("10:02:20", REDSTART_OR_GREENFINCH))
    garden.end_visits()
    assert garden.where() == {("review", "redstart"): 4}
    assert members(garden) == []


# -- people


def test_others_of_the_visit_follow_a_name_that_a_person_gave(garden: Visited) -> None:
    one, two = garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_BLUETIT))
    garden.end_visits()
    assert garden.where() == {("review", "redstart"): 2}, "they are no surer together"
    garden.wish("label", photo_id=garden.photo(one)["id"], species="bluetit")
    garden.end_visits()
    assert garden.places() == {one: "library/bluetit: labelled", two: "library/bluetit: visit"}


def test_what_a_person_named_withdrew_moved_changed_or_deleted_is_left(garden: Visited) -> None:
    names = garden.shoot(*((f"10:02:1{second}", REDSTART) for second in range(5)))
    named, withdrawn, sorted_away, deleted, changed = (garden.photo(name) for name in names)
    garden.wish("label", photo_id=named["id"], species="redstart")
    (garden.root / "review" / "mine").mkdir(parents=True)
    (garden.root / withdrawn["path"]).rename(garden.root / "review" / "mine" / "back.jpg")
    (garden.root / "library" / "redstart" / "best").mkdir()
    (garden.root / sorted_away["path"]).rename(garden.root / "library" / "redstart" / "best" / "a.jpg")
    garden.worker.noticing.compare()
    garden.leap_s += 3
    garden.worker.notice()
    (garden.root / deleted["path"]).unlink()
    (garden.root / changed["path"]).write_bytes(b"cropped by a person")
    (against,) = garden.shoot(("10:02:15", GREENFINCH))
    before = {name: where for name, where in garden.places().items() if name != against}
    while garden.worker.visiting.step(garden.worker.serving.model, at_once=True):
        pass
    after = garden.places()
    assert after.pop(against) == "review/greenfinch: visit-disagrees"
    assert after == before


def test_undo_takes_back_what_a_visit_filed_and_it_is_not_filed_again(garden: Visited) -> None:
    one, two = garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH))
    garden.leap_s += 100
    since = garden.now()
    garden.end_visits()
    assert garden.where() == {("filed", "redstart"): 2}
    undone = garden.wish("undo", since=since, until=FAR_AHEAD).result["undone"]
    assert [entry["photo_id"] for entry in undone] == [garden.photo(one)["id"], garden.photo(two)["id"]]
    assert garden.places() == {one: "review/redstart: undone", two: "review/redstart: undone"}
    assert garden.store.connection.rows("SELECT * FROM sightings") == []
    garden.shoot(("10:02:14", REDSTART))
    garden.end_visits()
    garden.worker.visiting._heard = (0, 0)
    garden.worker.end_visits()
    assert garden.places()[one] == "review/redstart: undone"


def test_what_was_taken_back_waits_under_the_name_that_its_visit_told(garden: Visited) -> None:
    unsure = (("bluetit", 0.55), ("redstart", 0.45))
    garden.shoot(("10:02:11", REDSTART), ("10:02:13", REDSTART), ("10:02:15", REDSTART))
    (one,) = garden.shoot(("10:02:17", unsure))
    garden.end_visits()
    assert garden.places()[one] == "library/redstart: visit"
    garden.wish("undo", since=LONG_AGO, until=FAR_AHEAD)
    waiting = garden.store.connection.rows("SELECT path, guess, probability > 0.8 AS sure FROM review_queue")
    assert len(waiting) == 4
    assert all(row["path"].startswith("review/redstart/") and row["guess"] == "redstart" for row in waiting)
    assert all(row["sure"] for row in waiting)


def test_undo_leaves_what_a_visit_filed_after_it_was_asked_or_before_its_time(garden: Visited) -> None:
    garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH))
    until = garden.now()
    garden.leap_s += 100
    garden.end_visits()
    assert garden.wish("undo", since=LONG_AGO, until=until).result["undone"] == []
    garden.leap_s += 100
    assert garden.wish("undo", since=garden.now(), until=FAR_AHEAD).result["undone"] == []


def test_undo_leaves_what_a_visit_filed_long_ago_when_only_its_probability_changes(garden: Visited) -> None:
    one, two = garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH))
    garden.end_visits()
    garden.leap_s += 1000
    since = garden.now()
    before = garden.store.questions.receipt(garden.photo(two)["id"])
    garden.wish("label", photo_id=garden.photo(one)["id"], species="redstart")
    garden.end_visits()
    after = garden.store.questions.receipt(garden.photo(two)["id"])
    assert before is not None
    assert after is not None
    assert after["photo"]["probability"] != before["photo"]["probability"]
    assert garden.wish("undo", since=since, until=FAR_AHEAD).result["undone"] == []
    assert garden.places()[two] == "library/redstart: visit"


def test_undo_takes_back_what_another_model_filed_after_its_visit_was_doubted(garden: Visited) -> None:
    one, two = garden.shoot(("10:02:11", REDSTART), ("10:02:13", GREENFINCH))
    garden.end_visits()
    assert {state for state, _ in garden.where()} == {"review"}
    garden.leap_s += 1000
    since = garden.now()
    garden.answers = dict.fromkeys(garden.answers, (REDSTART, 0.1))
    garden.teach()
    garden.wish("refile", dry_run=False)
    garden.end_visits()
    assert garden.where() == {("filed", "redstart"): 2}
    undone = garden.wish("undo", since=since, until=FAR_AHEAD).result["undone"]
    assert {entry["photo_id"] for entry in undone} == {garden.photo(name)["id"] for name in (one, two)}


def test_undo_leaves_what_another_model_and_its_visit_file_under_the_name_that_it_had(garden: Visited) -> None:
    garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH))
    garden.end_visits()
    garden.leap_s += 1000
    since = garden.now()
    garden.answers = dict.fromkeys(garden.answers, (REDSTART, 0.1))
    garden.teach()
    garden.wish("refile", dry_run=False)
    garden.end_visits()
    assert garden.where() == {("filed", "redstart"): 2}
    assert {row["reason"] for row in garden.store.connection.rows("SELECT reason FROM photos")} == {"sure"}
    assert garden.wish("undo", since=since, until=FAR_AHEAD).result["undone"] == []


def test_how_often_the_machine_is_right_is_asked_of_what_it_was_sure_of_and_filed_in_the_end(garden: Visited) -> None:
    one, two = garden.shoot(("09:02:11", REDSTART), ("09:02:13", REDSTART))
    garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH))
    garden.shoot(("11:02:11", REDSTART), ("11:02:13", GREENFINCH))
    garden.end_visits()
    (named, follows) = garden.shoot(("12:02:11", REDSTART_OR_BLUETIT), ("12:02:13", REDSTART_OR_BLUETIT))
    garden.wish("label", photo_id=garden.photo(named)["id"], species="bluetit")
    garden.end_visits()
    assert garden.places()[follows] == "library/bluetit: visit"
    (seen,) = garden.store.connection.rows(
        "SELECT named_by, probability FROM sightings WHERE photo_id = ?", (garden.photo(follows)["id"],)
    )
    assert seen == {"named_by": "machine", "probability": 0.28}
    garden.store.audits.put_up(one_in=1, since=LONG_AGO, at=FAR_AHEAD)
    up = garden.store.audits.waiting(limit=9)
    assert {row["photo_id"] for row in up} == {garden.photo(name)["id"] for name in (one, two)}
    assert {row["guess"] for row in up} == {"redstart"}


# -- what stands still

KNOT = Box(0.4, 0.4, 0.2, 0.2)
SPOT: Callable[[StubSpotter, Any], Spotting] = StubSpotter._spot


def knot(number: int) -> bytes:
    """The same thing in every photo, but for the camera's noise."""
    stripes = 140 + 80 * (np.arange(64) // 8 % 2)
    pixels = stripes[None, :, None] + np.random.default_rng(number).integers(-3, 4, (64, 64, 3))
    return as_jpeg(pixels.astype(np.uint8))


@pytest.fixture
def sees_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StubSpotter, "_spot", lambda eye, one: replace(SPOT(eye, one), box=KNOT))


def watch_all_morning(root: Path, times: int = 10, camera: str = "feeder", make: Callable[[int], bytes] = knot) -> None:
    (root / "inbox" / camera).mkdir(exist_ok=True)
    for number in range(times):
        shot = taken_at(make(number), f"{8 + number // 6:02}:{number % 6}0:00")
        (root / "inbox" / camera / f"{camera}-{number}.jpg").write_bytes(shot)


def scan(root: Path, monkeypatch: pytest.MonkeyPatch) -> service.Scanned:
    monkeypatch.setattr(service, "spotter_loader", lambda _: StubSpotter)
    return service.scan(
        Settings(root=root, inbox=Inbox(settle_s=0)), sleep=lambda _: None, progress=lambda _done, _total: None
    )


@pytest.mark.usefixtures("sees_boxes")
def test_what_stands_still_in_every_frame_of_a_day_is_no_bird(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch_all_morning(root)
    watch_all_morning(root, camera="pond", make=lambda number: picture("redstart", number))
    assert scan(root, monkeypatch).problems == []
    with Store.open(root / "birdwatchd.db") as store:
        rows = store.connection.rows("SELECT camera, state, reason, count(*) AS n FROM photos GROUP BY 1, 2, 3")
        assert [tuple(row.values()) for row in rows] == [
            ("feeder", "empty", "stands-still", 10),
            ("pond", "review", "no-classifier", 10),
        ]
        (told,) = store.questions.recent(limit=1, camera="feeder")
        assert (told["state"], told["label"], told["birds"]) == ("empty", None, 0)
        seen = store.connection.rows("SELECT camera FROM birds JOIN photos ON photos.id = birds.photo_id")
        assert [row["camera"] for row in seen] == ["pond"] * 10
        undone = store.questions.filed_by_machine(since=LONG_AGO, until=FAR_AHEAD)
        assert len(undone) == 10
        assert all(row["label"] for row in undone)


@pytest.mark.usefixtures("sees_boxes")
def test_a_name_that_a_person_gave_keeps_what_stands_still_where_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch_all_morning(root, 6)
    scan(root, monkeypatch)
    with Store.open(root / "birdwatchd.db") as store:
        store.requests.ask("label", {"photo_id": 3, "species": "owl"}, actor="test", at=LONG_AGO)
    garden = Garden(root)
    garden.steps_until(lambda: not garden.store.requests.open())
    garden.close()
    watch_all_morning(root, 10)
    scan(root, monkeypatch)
    with Store.open(root / "birdwatchd.db") as store:
        assert "empty" not in store.questions.states()


@pytest.mark.usefixtures("sees_boxes")
def test_all_that_was_taken_for_a_thing_comes_back_when_a_person_names_one_of_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch_all_morning(root)
    scan(root, monkeypatch)
    garden = Garden(root)
    try:
        garden.wish("label", photo_id=3, species="owl")
        garden.worker.end_visits()
        reasons = garden.store.connection.rows("SELECT reason, count(*) AS n FROM photos GROUP BY 1 ORDER BY 1")
        assert [tuple(row.values()) for row in reasons] == [("labelled", 1), ("no-classifier", 9)]
        garden.worker.visiting._heard = (0, 0)
        garden.worker.end_visits()
        assert garden.store.questions.states() == {"filed": 1, "review": 9}
    finally:
        garden.close()


@pytest.mark.usefixtures("sees_boxes")
def test_what_stood_still_for_a_part_of_the_day_only_comes_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch_all_morning(root)
    scan(root, monkeypatch)
    with Store.open(root / "birdwatchd.db") as store:
        assert store.questions.states() == {"empty": 10}
    monkeypatch.setattr(StubSpotter, "_spot", lambda eye, one: replace(SPOT(eye, one), box=Box(0.1, 0.6, 0.2, 0.2)))
    for number in range(10, 20):
        shot = taken_at(knot(number), f"{8 + number // 6:02}:{number % 6}0:00")
        (root / "inbox" / "feeder" / f"later-{number}.jpg").write_bytes(shot)
    scan(root, monkeypatch)
    with Store.open(root / "birdwatchd.db") as store:
        rows = store.connection.rows("SELECT state, reason, count(*) AS n FROM photos GROUP BY 1, 2")
        assert [tuple(row.values()) for row in rows] == [("review", "no-classifier", 20)]


@pytest.mark.usefixtures("sees_boxes")
def test_frames_that_another_spotter_saw_are_frames_of_the_day_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stillness, "FEWEST", 11)
    watch_all_morning(root)
    scan(root, monkeypatch)
    monkeypatch.setattr(stillness, "FEWEST", 8)
    with Store.open(root / "birdwatchd.db") as store:
        assert store.questions.states() == {"review": 10}
        store.connection.execute("UPDATE predictions SET spotter_id = 'another' WHERE photo_id <= 2")
        store.visits.note_looked_at(0, 0)
    scan(root, monkeypatch)
    with Store.open(root / "birdwatchd.db") as store:
        assert store.questions.states() == {"review": 10}, "eight of ten are not nearly all"


def test_whole_frames_say_nothing_about_standing_still(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch_all_morning(root)
    scan(root, monkeypatch)
    with Store.open(root / "birdwatchd.db") as store:
        assert store.questions.states() == {"review": 10}


# -- doors, work, and death


def test_scan_judges_visits_at_its_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Visited(root).close()
    (root / "inbox" / "feeder").mkdir()
    for number, species in enumerate(("redstart", "greenfinch")):
        shot = taken_at(picture(species, number), f"10:02:1{number}")
        (root / "inbox" / "feeder" / f"{species}.jpg").write_bytes(shot)
    monkeypatch.setattr(service, "spotter_loader", lambda _: StubSpotter)
    settings = Settings(root=root, inbox=Inbox(settle_s=0), deciding=Deciding(confirm_first=False))
    service.scan(settings, sleep=lambda _: None, progress=lambda _done, _total: None)
    with Store.open(root / "birdwatchd.db") as store:
        assert store.questions.states() == {"review": 2}
        assert store.visits.looked_at() == (2, 0)


def test_every_look_goes_by_an_index(garden: Visited, monkeypatch: pytest.MonkeyPatch) -> None:
    garden.shoot(("10:02:11", REDSTART), ("10:02:13", GREENFINCH))
    asked: list[tuple[str, Any]] = []
    rows = garden.store.connection.rows

    def listen(sql: str, parameters: Any = ()) -> Any:
        asked.append((sql, parameters))
        return rows(sql, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(garden.store.connection, "rows", listen)
        garden.worker.end_visits()
    assert len(asked) > 5
    for sql, parameters in asked:
        plan = [row["detail"] for row in rows(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        scanned = [
            step
            for step in plan
            if step.startswith("SCAN") and "visits_looked_at" not in step and "photo VIRTUAL" not in step
        ]
        assert scanned == [], sql
        if "photos.captured_at >=" in sql or "photos.captured_at <" in sql:
            assert any("photos_by_capture (camera=? AND captured_at" in step for step in plan), plan


def test_one_photo_that_cannot_be_read_keeps_no_other_from_its_name(
    garden: Visited, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH))
    garden.shoot(("11:02:11", REDSTART_OR_BLUETIT), ("11:02:13", REDSTART_OR_GREENFINCH))
    closed, hash_of = garden.photo(one)["path"], garden.worker._files.sha256_of

    def read(path: str) -> str:
        if path == closed:
            raise DiskTrouble(f"cannot read {path}: Permission denied")
        return hash_of(path)

    monkeypatch.setattr(garden.worker._files, "sha256_of", read)
    garden.end_visits()
    assert garden.where() == {("review", "redstart"): 1, ("filed", "redstart"): 3}
    assert garden.places()[two] == "library/redstart: visit"
    assert garden.worker.condition.problems == {}
    assert f"left where it is: cannot read {closed}" in caplog.text


def test_trouble_with_visits_keeps_nothing_else_from_being_done(
    garden: Visited, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[bool] = []

    def trouble(_model: Any) -> bool:
        raise StoreBusy("the log is locked by another program")

    def train(**_: object) -> bool:
        trained.append(True)
        return False

    with monkeypatch.context() as patch:
        patch.setattr(garden.worker.visiting, "step", trouble)
        patch.setattr(garden.worker.retraining, "step", train)
        garden.worker.step()
    assert trained
    assert [*garden.worker.condition.problems] == ["visits"]
    garden.worker.step()
    assert garden.worker.condition.problems == {}


def test_while_photos_are_under_way_visits_wait(garden: Visited, monkeypatch: pytest.MonkeyPatch) -> None:
    garden.shoot(("10:02:11", REDSTART), ("10:02:13", GREENFINCH))
    monkeypatch.setattr(garden.store.journeys, "under_way_count", lambda: 1)
    assert not garden.worker.visiting.step(garden.worker.serving.model, at_once=True)
    assert {state for state, _ in garden.where()} == {"filed"}


def test_the_photos_are_all_there_in_the_end(garden: Visited) -> None:
    garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH), ("10:02:30", REDSTART))
    garden.shoot(("10:02:32", GREENFINCH))
    garden.end_visits()
    kept = books.files_in(garden.root, *books.RESTING)
    assert len(Counter(kept.values())) == 4
    books.check(garden.root, Counter(kept.values()))
