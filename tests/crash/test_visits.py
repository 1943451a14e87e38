"""The crash matrix of visits: death before and after each call of an edge, while photos move because of the company they are in."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store
from tests import books
from tests.crash.dying import Death, Dying, Fate, make_hands_mortal
from tests.gardens import Garden
from tests.visits import GREENFINCH, REDSTART, REDSTART_OR_BLUETIT, REDSTART_OR_GREENFINCH, Visited

WANTED = {
    ("library/redstart", "visit"): 2,
    ("review/redstart", "visit-disagrees"): 1,
    ("review/greenfinch", "visit-disagrees"): 1,
}


def with_two_visits(root: Path) -> None:
    """Photos of two visits, judged one by one: two that will be filed together, and two that disagree."""
    Files(root).create()
    garden = Visited(root)
    garden.shoot(("10:02:11", REDSTART_OR_BLUETIT), ("10:02:13", REDSTART_OR_GREENFINCH))
    garden.shoot(("11:02:11", REDSTART), ("11:02:13", GREENFINCH))
    garden.close()


def survives(root: Path, fate: Fate, monkeypatch: pytest.MonkeyPatch) -> bool:
    """One life that looks at visits under a fate."""
    garden = Garden(root)
    visiting = garden.worker.visiting
    garden.store.journeys = Dying(garden.store.journeys, fate)  # type: ignore[assignment]
    garden.store.visits = Dying(garden.store.visits, fate)  # type: ignore[assignment]
    visiting._files = visiting._mover._files = Dying(garden.files, fate)  # type: ignore[assignment]
    visiting._mover._journeys = garden.store.journeys
    with monkeypatch.context() as patch:
        make_hands_mortal(patch, fate)
        try:
            garden.worker.end_visits()
        except Death:
            return False
        finally:
            garden.close()
    return True


def where(root: Path) -> Counter[tuple[str, str]]:
    with Store.read_only(root / "birdwatchd.db") as store:
        rows = store.connection.rows("SELECT path, reason FROM photos")
    return Counter((row["path"].rpartition("/")[0], row["reason"]) for row in rows)


@pytest.mark.timeout(400)
def test_no_death_while_visits_are_judged_loses_or_doubles_a_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    with_two_visits(begun)
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
            assert where(root) == WANTED, f"died {fate.died_at}"
            books.check(root, photos)
            with Store.read_only(root / "birdwatchd.db") as store:
                told = store.connection.rows("SELECT photos, label, verdict FROM visits ORDER BY id")
                assert [tuple(row.values())[1:] for row in told] == [("redstart", "named"), ("redstart", "disagrees")]
                assert store.connection.value("SELECT count(*) FROM visit_words") == 4
                assert store.visits.looked_at() == (4, 0)
            shutil.rmtree(root)
    assert deaths > 60, "the matrix has too few points to mean anything"
