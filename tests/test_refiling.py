"""Old photos judged again by the model in use: what moves, what stays, what a person's word is worth, and what comes after a death."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.edges.store import Store
from tests import books
from tests.crash.dying import Death, Dying, Fate, make_hands_mortal
from tests.gardens import Garden, five, picture
from tests.handmade import RIGHT, SWAPPED, teach


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root)
    yield one
    one.close()


def misfiled(garden: Garden, redstarts: int = 3, greenfinches: int = 2) -> None:
    """Photos that a poor model has filed under each other's name; then a good one serves."""
    teach(garden, SWAPPED)
    garden.drop(*five("redstart", 0, redstarts), *five("greenfinch", 0, greenfinches))
    assert garden.where() == +Counter({("filed", "greenfinch"): redstarts, ("filed", "redstart"): greenfinches})
    garden.leap_s += 10
    teach(garden, RIGHT)
    garden.rest()


def photo_of(garden: Garden, name: str) -> dict[str, Any]:
    (row,) = garden.store.connection.rows("SELECT * FROM photos WHERE original_name = ?", (name,))
    return row


def test_photos_that_the_new_model_sees_otherwise_move_and_a_dry_run_only_tells(garden: Garden) -> None:
    misfiled(garden)
    before, rows = (
        books.files_in(garden.root, *books.RESTING),
        garden.store.connection.rows("SELECT * FROM predictions"),
    )
    told = garden.wish("refile", dry_run=True).result
    changes = [
        {"from": "greenfinch", "to": "redstart", "photos": 3},
        {"from": "redstart", "to": "greenfinch", "photos": 2},
    ]
    assert (told["judged"], len(told["moves"]), told["left"], told["changes"]) == (5, 5, 0, changes)
    assert books.files_in(garden.root, *books.RESTING) == before
    assert garden.store.connection.rows("SELECT * FROM predictions") == rows
    done = garden.wish("refile", dry_run=False).result
    assert (done["changes"], done["moves"]) == (changes, told["moves"])
    assert garden.where() == {("filed", "redstart"): 3, ("filed", "greenfinch"): 2}
    again = garden.wish("refile", dry_run=False).result
    assert (again["judged"], again["moves"]) == (0, [])
    photos = [*five("redstart", 0, 3), *five("greenfinch", 0, 2)]
    books.check(garden.root, Counter(books.content(picture(*one)) for one in photos))


def test_a_photo_that_is_no_longer_sure_waits_for_a_person_and_one_without_a_bird_is_empty(garden: Garden) -> None:
    teach(garden, RIGHT)
    garden.drop(("redstart", 1), ("bluetit", 1))
    teach(garden, {"greenfinch": ["greenfinch"], "redstart": ["redstart"], "empty": ["bluetit"]}, sure_above=0.5)
    result = garden.wish("refile", dry_run=False).result
    assert result["changes"] == [{"from": "bluetit", "to": "empty", "photos": 1}]
    assert photo_of(garden, "bluetit-1.jpg")["state"] == "empty"
    teach(garden, RIGHT, sure_above=1.1)
    result = garden.wish("refile", dry_run=False).result
    assert {(one["from"], one["to"]) for one in result["changes"]} == {("redstart", "review"), ("empty", "review")}
    assert garden.where() == {("review", "redstart"): 1, ("review", "bluetit"): 1}
    assert photo_of(garden, "redstart-1.jpg")["reason"] == "unsure"


def test_what_a_person_named_withdrew_undid_moved_or_deleted_is_left(garden: Garden) -> None:
    misfiled(garden, redstarts=6, greenfinches=0)
    named, withdrawn, moved, deleted, changed, sorted_away = (photo_of(garden, f"redstart-{n}.jpg") for n in range(6))
    garden.wish("label", photo_id=named["id"], species="greenfinch")
    (garden.root / "review" / "mine").mkdir(parents=True)
    (garden.root / withdrawn["path"]).rename(garden.root / "review" / "mine" / "back.jpg")
    garden.worker.noticing.compare()
    garden.worker.notice()
    assert photo_of(garden, "redstart-1.jpg")["reason"] == "withdrawn"
    (garden.root / "library" / "wren").mkdir()
    (garden.root / moved["path"]).rename(garden.root / "library" / "wren" / "moved.jpg")  # not noticed yet
    (garden.root / deleted["path"]).unlink()
    (garden.root / changed["path"]).write_bytes(b"cropped by a person")
    (garden.root / "library" / "greenfinch" / "best").mkdir()
    (garden.root / sorted_away["path"]).rename(garden.root / "library" / "greenfinch" / "best" / "a.jpg")
    garden.worker.noticing._agenda.begin_comparison()  # as if it had been made, and nothing heard of
    garden.worker.noticing._agenda.take_hinted()
    work = garden.worker.rejudging.refile(
        lambda: garden.worker.serving.model, garden.worker.pipeline.examiner, dry_run=False
    )
    try:
        while True:
            next(work)
    except StopIteration as end:
        result = end.value
    assert (result["judged"], result["left"], result["moves"]) == (0, 4, [])
    assert photo_of(garden, "redstart-0.jpg")["path"].startswith("library/greenfinch/")
    assert (garden.root / "library" / "wren" / "moved.jpg").is_file()


def test_a_photo_stays_in_the_folder_that_a_person_made_within_its_species(garden: Garden) -> None:
    teach(garden, RIGHT)
    garden.drop(("redstart", 1))
    (garden.root / "library" / "redstart" / "best").mkdir()
    old = photo_of(garden, "redstart-1.jpg")["path"]
    best = old.replace("redstart/", "redstart/best/")
    (garden.root / old).rename(garden.root / best)
    garden.leap_s += 3600  # until everything is compared again
    garden.worker.noticing.compare()
    garden.steps_until(lambda: photo_of(garden, "redstart-1.jpg")["path"] == best)
    teach(garden, RIGHT)
    result = garden.wish("refile", dry_run=False).result
    assert (result["judged"], result["moves"]) == (1, [])
    assert photo_of(garden, "redstart-1.jpg")["path"] == best


def test_undone_photos_and_the_first_of_a_kind_are_left(garden: Garden) -> None:
    misfiled(garden)
    garden.wish("undo", since="2000-01-01T00:00:00Z", until="2999-01-01T00:00:00Z")
    assert garden.wish("refile", dry_run=False).result["judged"] == 0
    assert {state for state, _ in garden.where()} == {"review"}


def test_undo_takes_back_what_a_refiling_moved_and_nothing_that_it_found_right(garden: Garden) -> None:
    teach(garden, SWAPPED)
    garden.drop(("redstart", 1), ("bluetit", 1))
    garden.leap_s += 3600
    since = garden.now()
    garden.leap_s += 1
    teach(garden, RIGHT)
    assert garden.wish("refile", dry_run=False).result["judged"] == 2
    undone = garden.wish("undo", since=since, until="2999-01-01T00:00:00Z").result["undone"]
    assert [one["photo_id"] for one in undone] == [photo_of(garden, "redstart-1.jpg")["id"]]
    assert garden.where() == {("review", "redstart"): 1, ("filed", "bluetit"): 1}


def test_after_going_back_the_old_models_word_is_the_last_again_and_is_there_once(garden: Garden) -> None:
    teach(garden, RIGHT)
    garden.drop(("redstart", 1))
    teach(garden, SWAPPED)
    garden.wish("refile", dry_run=False)
    assert garden.where() == {("filed", "greenfinch"): 1}
    garden.wish("rollback")
    assert garden.wish("refile", dry_run=False).result["changes"][0]["to"] == "redstart"
    rows = garden.store.connection.rows("SELECT model_id, label FROM predictions ORDER BY id")
    assert [(row["model_id"], row["label"]) for row in rows] == [(2, "greenfinch"), (1, "redstart")]


def test_a_photo_judged_again_keeps_the_box_in_which_its_bird_is(garden: Garden) -> None:
    misfiled(garden, 1, 0)
    with garden.store.connection.writing():
        garden.store.connection.execute("UPDATE embeddings SET box = '[0.1, 0.2, 0.3, 0.4]'")
    garden.wish("refile", dry_run=False)
    (newest,) = garden.store.connection.rows("SELECT box FROM predictions ORDER BY id DESC LIMIT 1")
    assert newest["box"] == "[0.1, 0.2, 0.3, 0.4]"


def test_without_a_model_nothing_can_be_refiled(garden: Garden) -> None:
    refused = garden.wish("refile", dry_run=True)
    assert (refused.outcome, "no model" in refused.result["error"]) == ("failed", True)


def test_a_new_model_in_the_middle_ends_the_refiling(garden: Garden) -> None:
    misfiled(garden)
    old = garden.worker.serving.model
    work = garden.worker.rejudging.refile(
        lambda: garden.worker.serving.model, garden.worker.pipeline.examiner, dry_run=True
    )
    next(work)
    teach(garden, RIGHT)
    assert garden.worker.serving.model is not old
    with pytest.raises(Exception, match="another model"):
        for _ in work:
            pass


def test_the_bar_moves_with_each_slice(garden: Garden) -> None:
    teach(garden, SWAPPED)
    garden.drop(*five("redstart", 0, 20))
    teach(garden, RIGHT)
    work = garden.worker.rejudging.refile(
        lambda: garden.worker.serving.model, garden.worker.pipeline.examiner, dry_run=True
    )
    assert list(work) == [{"done": 0, "total": 20}, {"done": 16, "total": 20}, {"done": 20, "total": 20}]


@pytest.mark.timeout(400)
def test_no_death_while_refiling_loses_or_doubles_a_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after each call of an edge: every photo is there once, and in the end the log says what is true."""
    from birdwatchd.edges.files import Files

    deaths, n = 0, 0
    survived = False
    dropped = Counter(books.content(picture(*one)) for one in [*five("redstart", 0, 2), *five("greenfinch", 0, 1)])
    while not survived:
        n += 1
        for when in ("before", "after"):
            root = tmp_path / f"{n}-{when}"
            Files(root).create()
            first = Garden(root)
            misfiled(first, 2, 1)
            first.store.requests.ask("refile", {"dry_run": False}, actor="test", at="2026-01-01T00:00:00Z")
            fate = Fate(n, when)
            survived = _refile_under(first, fate, monkeypatch)
            deaths += not survived
            first.close()
            assert Counter(books.files_in(root, *books.RESTING).values()) == dropped
            second = Garden(root)
            second.worker.sweep()
            second.steps_until(lambda garden=second: not garden.store.requests.open())
            assert second.where() == {("filed", "redstart"): 2, ("filed", "greenfinch"): 1}, f"died {fate.died_at}"
            second.close()
            books.check(root, dropped)
            with Store.read_only(root / "birdwatchd.db") as store:
                said = store.connection.rows("SELECT photo_id, model_id FROM predictions ORDER BY photo_id, id")
            assert [(row["photo_id"], row["model_id"]) for row in said] == [(p, m) for p in (1, 2, 3) for m in (1, 2)]
    assert deaths > 20, "the matrix has too few points to mean anything"


def _refile_under(garden: Garden, fate: Fate, monkeypatch: pytest.MonkeyPatch) -> bool:
    rejudging = garden.worker.rejudging
    mortal = Dying(garden.files, fate)
    garden.store.journeys = Dying(garden.store.journeys, fate)  # type: ignore[assignment]
    rejudging._files = rejudging._mover._files = mortal  # type: ignore[assignment]
    rejudging._mover._journeys = garden.store.journeys
    (request,) = garden.store.requests.open()
    with monkeypatch.context() as patch:
        make_hands_mortal(patch, fate)
        try:
            for _ in garden.worker.review.fulfil(request):
                pass
        except Death:
            return False
    return True
