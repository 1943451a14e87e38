"""Answers of the page: a whole group named by one wish, and taken back by another."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.cli import wishing
from birdwatchd.core.errors import TransientError
from birdwatchd.core.journey import Move
from birdwatchd.core.photo import State
from birdwatchd.core.settings import Settings
from birdwatchd.edges.store import Request, Said, connection
from tests.fakes import StubSpotter
from tests.gardens import Garden

PHOTOS = [("redstart", 1), ("redstart", 2), ("greenfinch", 1)]


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    """Three photos in review."""
    one = Garden(root)
    one.drop(*PHOTOS)
    yield one
    one.close()


def answer(garden: Garden, *photo_ids: int, species: str = "robin") -> Request:
    return garden.wish("answers", photo_ids=list(photo_ids), species=species)


def take_back(garden: Garden, request: Request) -> Request:
    return garden.wish("take-back", request_id=request.id)


def folders(garden: Garden) -> dict[int, str]:
    rows = garden.store.connection.rows("SELECT id, path FROM photos ORDER BY id")
    assert all((garden.root / row["path"]).is_file() for row in rows)
    return {row["id"]: row["path"].rpartition("/")[0] for row in rows}


def photos(garden: Garden) -> list[dict[str, Any]]:
    return garden.store.connection.rows("SELECT id, path, state, reason FROM photos ORDER BY id")


def said(garden: Garden) -> list[tuple[int, str | None, str]]:
    rows = garden.store.connection.rows("SELECT photo_id, label, source FROM labels ORDER BY id")
    return [(row["photo_id"], row["label"], row["source"]) for row in rows]


def test_one_answer_names_a_whole_group(garden: Garden) -> None:
    request = answer(garden, 1, 2, 3)
    assert request.result == {"species": "robin", "named": [1, 2, 3], "left": []}
    assert said(garden) == [(1, "robin", "web"), (2, "robin", "web"), (3, "robin", "web")]
    assert set(folders(garden).values()) == {"library/robin"}


def test_no_bird_goes_to_empty(garden: Garden) -> None:
    answer(garden, 1, species="empty")
    assert folders(garden)[1] == "empty"


def test_a_photo_that_is_gone_is_told_and_stops_no_other(garden: Garden) -> None:
    (garden.root / photos(garden)[1]["path"]).unlink()
    request = answer(garden, 1, 2, 3, 99)
    assert request.outcome == "done"
    assert request.result["named"] == [1, 3]
    assert [one["photo_id"] for one in request.result["left"]] == [2, 99]
    assert "is not in the bird folder any more" in request.result["left"][0]["error"]


def test_the_same_name_again_says_that_it_is_no_slip(garden: Garden) -> None:
    answer(garden, 1)
    answer(garden, 1)
    assert said(garden) == [(1, "robin", "web")] * 2


def test_a_name_is_taken_away_and_the_photo_waits_for_another(garden: Garden) -> None:
    answer(garden, 1, 2)
    request = garden.wish("answers", photo_ids=[1, 3], species=None)
    assert request.result == {"species": None, "named": [1, 3], "left": []}
    assert said(garden)[2:] == [(1, None, "web")]
    assert folders(garden)[1].startswith("review/")
    assert folders(garden)[2] == "library/robin"
    assert {row["photo_id"] for row in garden.store.connection.rows("SELECT * FROM review_queue")} == {1, 3}


def test_a_name_that_was_taken_away_comes_back(garden: Garden) -> None:
    answer(garden, 1)
    away = garden.wish("answers", photo_ids=[1], species=None)
    back = take_back(garden, away)
    assert (back.result["back"], back.result["left"]) == ([1], [])
    assert said(garden) == [(1, "robin", "web"), (1, None, "web"), (1, "robin", "web")]
    assert folders(garden)[1] == "library/robin"


def test_an_answer_taken_back_leaves_all_as_it_was(garden: Garden) -> None:
    before = photos(garden)
    back = take_back(garden, answer(garden, 1, 2, 3))
    assert (back.result["back"], back.result["left"]) == ([1, 2, 3], [])
    assert photos(garden) == before
    assert said(garden)[3:] == [(1, None, "web"), (2, None, "web"), (3, None, "web")]
    assert len(garden.store.connection.rows("SELECT * FROM review_queue")) == 3


def test_what_was_named_before_gets_that_name_back(garden: Garden) -> None:
    answer(garden, 1, species="wren")
    take_back(garden, answer(garden, 1, 2))
    assert folders(garden) == {1: "library/wren", 2: folders(garden)[2], 3: folders(garden)[3]}
    assert folders(garden)[2].startswith("review/")
    assert said(garden)[-2:] == [(1, "wren", "web"), (2, None, "web")]


def test_what_the_machine_had_filed_goes_back_to_where_it_had_put_it(garden: Garden) -> None:
    """An audited photo: nobody but the machine had named it."""
    photo = photos(garden)[0]
    there = garden.root / "library" / "jay" / photo["path"].rpartition("/")[2]
    there.parent.mkdir(parents=True, exist_ok=True)
    (garden.root / photo["path"]).rename(there)
    with garden.store.connection.writing():
        garden.store.connection.execute(
            "UPDATE photos SET path = ?, state = 'filed', reason = 'sure' WHERE id = 1",
            (there.relative_to(garden.root).as_posix(),),
        )
    before = photos(garden)
    for species in ("jay", "robin"):
        take_back(garden, answer(garden, 1, species=species))
        assert photos(garden) == before, species


def test_taking_back_lets_newer_words_of_people_stay(garden: Garden) -> None:
    first = answer(garden, 1, 2)
    garden.store.journeys.record_label(1, Said("robin", "cli", "ann", "2026"))
    back = take_back(garden, first)
    assert back.result["back"] == [2]
    assert "somebody has said more" in back.result["left"][0]["error"]
    assert folders(garden)[1] == "library/robin"


@pytest.mark.parametrize("between", ["wren", None])
def test_a_name_that_was_given_once_more_since_stays(garden: Garden, between: str | None) -> None:
    first = answer(garden, 1, 2)
    second = garden.wish("answers", photo_ids=[1], species=between)
    third = answer(garden, 1)
    result = take_back(garden, first).result
    assert result["back"] == [2]
    assert [one["photo_id"] for one in result["left"]] == [1]
    assert folders(garden)[1] == "library/robin"
    for later in (third, second):
        assert take_back(garden, later).result["back"] == [1]
    assert take_back(garden, first).result["back"] == [1, 2], "now nothing newer stands"
    assert folders(garden)[1].startswith("review/")


def test_what_was_taken_back_is_not_taken_back_once_more_by_another_undo(garden: Garden) -> None:
    wren, owl = answer(garden, 1, species="wren"), answer(garden, 1, species="owl")
    wren_again = answer(garden, 1, species="wren")
    for undone in (wren_again, owl, wren_again):
        take_back(garden, undone)
    assert folders(garden)[1] == "library/wren"
    take_back(garden, wren)
    assert folders(garden)[1].startswith("review/")
    take_back(garden, wren_again)
    assert folders(garden)[1].startswith("review/")


def test_a_photo_that_was_set_aside_since_is_not_filed_again(garden: Garden) -> None:
    """The machine had filed it; so the answer before tells the same as the one that sets it aside: no name of a person."""
    (garden.root / "library/wren").mkdir()
    there = f"library/wren/{Path(photos(garden)[0]['path']).name}"
    garden.store.journeys.record_relocation(
        Move(1, photos(garden)[0]["path"], there, State.FILED, "sure"),
        None,
    )
    garden.worker.resume()
    assert folders(garden)[1] == "library/wren"
    first = answer(garden, 1)
    garden.wish("answers", photo_ids=[1], species=None)
    assert [one["photo_id"] for one in take_back(garden, first).result["left"]] == [1]
    assert folders(garden)[1].startswith("review/")


def test_answers_can_be_taken_back_one_after_another_to_the_first(garden: Garden) -> None:
    before = photos(garden)
    answers = [answer(garden, 1, 2, species=name) for name in ("robin", "wren", "robin", "jay")]
    for one in reversed(answers):
        assert take_back(garden, one).result["back"] == [1, 2]
    assert photos(garden) == before


def test_taking_back_twice_changes_nothing_more(garden: Garden) -> None:
    first = answer(garden, 1)
    take_back(garden, first)
    words = said(garden)
    assert take_back(garden, first).result["back"] == [1]
    assert said(garden) == words


def test_an_answer_that_is_taken_back_before_it_is_fulfilled_never_is(garden: Garden) -> None:
    before = photos(garden)
    requests = garden.store.requests
    number = requests.ask("answers", {"photo_ids": [1], "species": "robin"}, actor="web", at="2026")
    list(garden.worker.answering.take_back(Request(0, "take-back", {"request_id": number}, "web", None, {})))
    garden.rest()
    assert requests.get(number).result["withdrawn"]
    assert (photos(garden), said(garden)) == (before, [])


@pytest.fixture
def trouble(garden: Garden) -> Path:
    """A file where the folder of robins should be: no photo can be moved there until somebody removes it."""
    file = garden.root / "library" / "robin"
    file.touch()
    return file


def left(garden: Garden, kind: str, **arguments: Any) -> int:
    """A wish that may have to wait."""
    return garden.store.requests.ask(kind, arguments, actor="web", at="2026-05-01T00:00:00Z")


def mended(garden: Garden, trouble: Path) -> None:
    """The trouble is over, and everything is tried again."""
    trouble.unlink()
    garden.leap_s += 20
    garden.sweep()
    garden.steps_until(lambda: not garden.store.requests.open() and not garden.store.journeys.under_way_count())


@pytest.mark.fault("D09")
def test_taking_back_an_answer_that_waits_for_the_disk_calls_its_move_off(garden: Garden, trouble: Path) -> None:
    before = photos(garden)
    number = left(garden, "answers", photo_ids=[1], species="robin")
    garden.rest()
    assert garden.store.requests.get(number).outcome is None, "it waits, with a plan in the log"
    assert take_back(garden, garden.store.requests.get(number)).result["back"] == [1]
    assert photos(garden) == before
    mended(garden, trouble)
    assert photos(garden) == before
    assert said(garden) == [(1, "robin", "web"), (1, None, "web")]


@pytest.mark.fault("D09")
@pytest.mark.parametrize("first", [{"photo_ids": [1, 2]}, {"photo_id": 1}], ids=["answers", "label"])
def test_the_last_word_counts_also_when_the_one_before_had_to_wait(
    garden: Garden, trouble: Path, first: dict[str, Any]
) -> None:
    left(garden, "label" if "photo_id" in first else "answers", **first, species="robin")
    garden.rest()
    second = left(garden, "answers", photo_ids=[1], species="wren")
    other = answer(garden, 3, species="owl")
    assert other.outcome == "done", "who speaks of other photos does not wait"
    assert garden.store.requests.get(second).outcome is None
    mended(garden, trouble)
    assert folders(garden)[1] == "library/wren"
    assert [label for photo_id, label, _ in said(garden) if photo_id == 1] == ["robin", "wren"]
    assert garden.store.requests.get(second).result["named"] == [1]


@pytest.mark.fault("D09")
def test_a_command_without_a_daemon_does_not_overtake_a_word_that_waits(
    garden: Garden, trouble: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wishing, "spotter_loader", lambda _: StubSpotter)
    settings = Settings(root=garden.root)

    def label(photo_id: int, species: str) -> None:
        wishing.wish(settings, "label", {"photo_id": photo_id, "species": species}, lambda *_: None)

    left(garden, "label", photo_id=1, species="robin")
    label(2, "owl")
    with pytest.raises(TransientError, match="robin"):
        label(1, "wren")
    assert [word[:2] for word in said(garden)] == [(1, "robin"), (2, "owl")]
    trouble.unlink()
    label(1, "wren")
    assert folders(garden)[1] == "library/wren"
    assert [label for photo_id, label, _ in said(garden) if photo_id == 1] == ["robin", "wren"]


@pytest.mark.fault("S02")
def test_the_last_word_counts_also_when_the_log_was_locked_for_the_one_before(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(garden, "answers", photo_ids=[1], species="robin")
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0)
    garden.store.connection.execute("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(garden.root / "birdwatchd.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        garden.worker.step()
        assert "locked" in garden.problems()["request"]
    left(garden, "answers", photo_ids=[1], species="wren")
    garden.rest()
    garden.leap_s += 20
    garden.steps_until(lambda: not garden.store.requests.open())
    assert folders(garden)[1] == "library/wren"
    assert said(garden) == [(1, "robin", "web"), (1, "wren", "web")]


@pytest.mark.fault("D09")
def test_what_waits_can_be_taken_back_answer_by_answer(garden: Garden, trouble: Path) -> None:
    before = photos(garden)
    first = left(garden, "answers", photo_ids=[1], species="robin")
    garden.rest()
    second = left(garden, "answers", photo_ids=[1], species="wren")
    for number in (second, first):
        assert take_back(garden, garden.store.requests.get(number)).outcome == "done"
    mended(garden, trouble)
    assert photos(garden) == before


def test_a_wish_that_lacks_its_photos_stands_in_nobodys_way(garden: Garden, trouble: Path) -> None:
    left(garden, "answers", photo_ids=[1], species="robin")
    garden.rest()
    for kind, arguments in (("label", {}), ("answers", {"photo_ids": "x"}), ("take-back", {"request_id": None})):
        assert garden.wish(kind, **arguments).outcome == "failed"
    assert garden.wish("take-back", request_id=77).outcome == "failed"
    assert answer(garden, 2, species="wren").outcome == "done"


def test_taking_back_what_was_never_answered_is_refused(garden: Garden) -> None:
    back = garden.wish("take-back", request_id=77)
    assert (back.outcome, back.result["error"]) == ("failed", "there is no answer 77 any more")


def test_a_photo_moved_by_hand_just_before_keeps_both_words(garden: Garden) -> None:
    """The answer is the later one; what the move said is in the log all the same."""
    photo = photos(garden)[0]
    there = garden.root / "library" / "wren" / photo["path"].rpartition("/")[2]
    there.parent.mkdir(parents=True)
    (garden.root / photo["path"]).rename(there)
    number = garden.store.requests.ask("answers", {"photo_ids": [1], "species": "robin"}, actor="web", at="2026")
    list(garden.worker.review.fulfil(garden.store.requests.get(number)))
    assert said(garden) == [(1, "wren", "folder"), (1, "robin", "web")]
    assert folders(garden)[1] == "library/robin"


def test_an_answer_of_the_command_line_is_its_own_word(garden: Garden) -> None:
    request = garden.wish("answers", photo_ids=[1, 2], species="robin", source="cli")
    assert said(garden) == [(1, "robin", "cli"), (2, "robin", "cli")]
    assert take_back(garden, request).result["back"] == [1, 2]
    assert said(garden)[2:] == [(1, None, "cli"), (2, None, "cli")]
