"""The crash matrix of the page's answers: death before and after each call of an edge, while a group is named and taken back."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store
from tests import books
from tests.crash.dying import Death, Dying, Fate, make_hands_mortal
from tests.gardens import Garden

WISHES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("answers", {"photo_ids": [1, 2], "species": "robin"}),
    ("take-back", {"request_id": 1}),
    ("answers", {"photo_ids": [1, 3], "species": "wren"}),
    ("answers", {"photo_ids": [3], "species": "wren"}),
    ("take-back", {"request_id": 4}),
    ("answers", {"photo_ids": [3], "species": None}),
    ("take-back", {"request_id": 6}),
)
"""A group named, and taken back; another name; a name once more, and that taken back too; a name taken away, and given back."""

WORDS = [
    (1, "robin"),
    (2, "robin"),
    (1, None),
    (2, None),
    (1, "wren"),
    (3, "wren"),
    (3, "wren"),
    (3, "wren"),
    (3, None),
    (3, "wren"),
]


def with_wishes(root: Path) -> None:
    Files(root).create()
    garden = Garden(root)
    garden.drop(("redstart", 1), ("redstart", 2), ("greenfinch", 1))
    for kind, arguments in WISHES:
        garden.store.requests.ask(kind, arguments, actor="web", at="2026-05-01T00:00:00Z")
    garden.close()


def survives(root: Path, fate: Fate, monkeypatch: pytest.MonkeyPatch) -> bool:
    """One life that fulfils what is open under a fate."""
    garden = Garden(root)
    garden.store.journeys = Dying(garden.store.journeys, fate)  # type: ignore[assignment]
    garden.store.requests = Dying(garden.store.requests, fate)  # type: ignore[assignment]
    saying = garden.worker.answering._saying
    saying._files = saying._mover._files = Dying(garden.files, fate)  # type: ignore[assignment]
    saying._mover._journeys = garden.store.journeys
    with monkeypatch.context() as patch:
        make_hands_mortal(patch, fate)
        try:
            for request in garden.store.requests.open():
                for _ in garden.worker.review.fulfil(request):
                    pass
        except Death:
            return False
        finally:
            garden.close()
    return True


@pytest.mark.fault("C04")
@pytest.mark.timeout(400)
def test_no_death_loses_or_doubles_an_answer_or_one_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = tmp_path / "begun"
    with_wishes(begun)
    photos = Counter(books.files_in(begun, *books.RESTING).values())
    deaths, n, survived = 0, 0, False
    while not survived:
        n += 1
        for when in ("before", "after"):
            root = tmp_path / f"{n}-{when}"
            shutil.copytree(begun, root)
            fate = Fate(n, when)
            survived = survives(root, fate, monkeypatch)
            deaths += not survived
            assert Counter(books.files_in(root, *books.RESTING).values()) == photos, f"died {fate.died_at}"
            assert survives(root, Fate(0, when), monkeypatch)
            books.check(root, photos)
            with Store.read_only(root / "birdwatchd.db") as store:
                rows = store.connection.rows("SELECT photo_id, label FROM labels ORDER BY id")
                assert [tuple(row.values()) for row in rows] == WORDS, f"died {fate.died_at}"
                places = store.connection.rows("SELECT path, reason FROM photos ORDER BY id")
                assert [row["path"].rpartition("/")[0] for row in places][::2] == ["library/wren"] * 2
                assert places[1]["path"].startswith("review/")
                assert places[1]["reason"] == "no-classifier", "as it was before"
                ends = store.connection.rows("SELECT DISTINCT outcome FROM requests")
                assert [row["outcome"] for row in ends] == ["done"], f"died {fate.died_at}"
            shutil.rmtree(root)
    assert deaths > 60, "the matrix has too few points to mean anything"
