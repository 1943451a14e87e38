"""The crash matrix: the pipeline dies before and after its n-th edge call, starts again, recovers, and the books are checked, for
n = 1, 2, 3 … until it survives. Then the same with a second death during the recovery.
"""

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from birdwatchd.core.deciding import Rules
from birdwatchd.core.intake import is_ignored
from birdwatchd.core.photo import State
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.files import Files
from birdwatchd.edges.files import disk as hands
from birdwatchd.edges.images import Limits
from birdwatchd.edges.store import Store
from birdwatchd.examining import Examiner
from birdwatchd.pipeline import Pipeline
from birdwatchd.review import Review
from tests import books
from tests.crash.dying import Death, Dying, Fate, make_hands_mortal
from tests.crash.lives import arrivals, drop, expected_places, with_open_copies
from tests.fakes import StubSpotter
from tests.pictures import jpeg

When = Literal["before", "after"]
LIMITS = Limits(max_megapixels=40, formats=frozenset({"jpeg", "png", "webp"}))
MAX_CALLS = 2000


@contextmanager
def daemon(root: Path, fate: Fate | None = None) -> Iterator[tuple[Files, Pipeline, Review]]:
    """A process: edges opened anew, mortal if a fate is given; at its end, also by death, everything it held is dropped."""
    files = Files(root)
    files.check()
    store = Store.open(root / "birdwatchd.db")
    try:
        held: Any = files
        if fate is not None:
            held = Dying(files, fate)
            store.journeys = Dying(store.journeys, fate)  # type: ignore[assignment]
            store.requests = Dying(store.requests, fate)  # type: ignore[assignment]
        examiner = Examiner(StubSpotter(), LIMITS)  # type: ignore[arg-type]
        yield (
            held,
            Pipeline(held, store, examiner, Rules(empty_below=0.05), now=now_utc),
            Review(held, store, examiner, now=now_utc),
        )
    finally:
        store.close()


def take_everything(files: Files, pipeline: Pipeline) -> None:
    """A life: recover, then take what lies in the inbox."""
    pipeline.resume()
    settled = sorted(files.inbox_files(is_ignored))
    if settled:
        pipeline.take(settled)


def live(
    root: Path, fate: Fate, monkeypatch: pytest.MonkeyPatch, life: Callable[[Files, Pipeline, Review], None]
) -> bool:
    """One life under a fate; True when it was survived."""
    with monkeypatch.context() as patch:
        make_hands_mortal(patch, fate)
        try:
            with daemon(root, fate) as (files, pipeline, review):
                life(files, pipeline, review)
        except Death:
            return False
    return True


def recover_fully(root: Path) -> None:
    """Lives without death, until the inbox stays empty."""
    for _ in range(3):
        with daemon(root) as (files, pipeline, _):
            take_everything(files, pipeline)


def fates() -> Iterator[tuple[int, When]]:
    return ((n, when) for n in itertools.count(1) for when in ("before", "after"))


def _life(files: Files, pipeline: Pipeline, _: Review) -> None:
    take_everything(files, pipeline)


def fresh(tmp_path: Path, name: str) -> Path:
    root = tmp_path / name
    Files(root).create()
    return root


def _across_file_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the inbox behave as if it lay on another disk: no file can be renamed out of it or into it."""
    rename = hands.rename_noreplace

    def refuse(source: Path, target: Path) -> None:
        if ("/inbox/" in str(source)) != ("/inbox/" in str(target)):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target)

    monkeypatch.setattr(hands, "rename_noreplace", refuse)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("disks", ["one disk", "inbox on another disk"])
def test_no_death_loses_or_doubles_a_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disks: str) -> None:
    if disks == "inbox on another disk":
        _across_file_systems(monkeypatch)
    undisturbed = fresh(tmp_path, "undisturbed")
    drop(undisturbed)
    recover_fully(undisturbed)
    wanted = expected_places(undisturbed)
    assert len(wanted) == len(arrivals())
    deaths = 0
    for n, when in fates():
        root = fresh(tmp_path, f"{n}-{when}")
        dropped = drop(root)
        fate = Fate(n, when)
        survived = live(root, fate, monkeypatch, _life)
        if not survived:
            deaths += 1
            books.check(root, with_open_copies(root, dropped), settled=False)
        recover_fully(root)
        books.check(root, dropped)
        assert expected_places(root) == wanted, f"died {fate.died_at}"
        if survived and when == "after":
            break
        assert n < MAX_CALLS
    assert deaths > 60, "the matrix has too few points to mean anything"


@pytest.mark.fault("C03")
@pytest.mark.timeout(400)
def test_a_second_death_during_recovery_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = 0
    for n in itertools.count(2, 7):
        root = fresh(tmp_path, f"first-{n}")
        drop(root)
        if live(root, Fate(n, "after"), monkeypatch, _life):
            break
        for m in itertools.count(1, 7):
            again = fresh(tmp_path, f"{n}-{m}")
            dropped = drop(again)
            assert not live(again, Fate(n, "after"), monkeypatch, _life)
            survived = live(again, Fate(m, "before" if m % 2 else "after"), monkeypatch, _life)
            recover_fully(again)
            books.check(again, dropped)
            points += 1
            if survived:
                break
    assert points > 60


def test_recovering_twice_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = drop(root)
    assert not live(root, Fate(25, "after"), monkeypatch, _life)
    recover_fully(root)
    before = books.files_in(root, *books.RESTING), rows_of(root)
    with daemon(root) as (_, pipeline, _):
        assert pipeline.resume().outcomes == []
    assert (books.files_in(root, *books.RESTING), rows_of(root)) == before
    books.check(root, dropped)


def rows_of(root: Path) -> list[dict[str, Any]]:
    with Store.read_only(root / "birdwatchd.db") as store:
        return store.connection.rows("SELECT * FROM photos ORDER BY id")


# -- the human's word


def _named(root: Path, tmp_path: Path) -> Path:
    """A tree of named photos: one new, one that the log knows."""
    tree = tmp_path / f"tree-{root.name}"
    (tree / "robin").mkdir(parents=True)
    (tree / "robin" / "new.jpg").write_bytes(jpeg(width=64, height=64, seed=7))
    (tree / "robin" / "known.jpg").write_bytes(jpeg(width=64, height=64, seed=2))
    return tree


def _exhaust(work: Iterator[Any]) -> None:
    for _ in work:
        pass


@pytest.mark.timeout(400)
def test_no_death_loses_a_label_an_undo_or_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaths = 0
    for n, when in fates():
        root = fresh(tmp_path, f"word-{n}-{when}")
        dropped = drop(root)
        recover_fully(root)
        tree = _named(root, tmp_path)
        dropped[books.content((tree / "robin" / "new.jpg").read_bytes())] += 1

        with Store.open(root / "birdwatchd.db") as store:
            store.requests.ask("undo", {"since": "2000", "until": "9999"}, actor="test", at=now_utc())
            store.requests.ask("label", {"photo_id": 1, "species": "robin"}, actor="test", at=now_utc())
            store.requests.ask("import", {"folder": str(tree)}, actor="test", at=now_utc())

        def word(_: Files, pipeline: Pipeline, review: Review) -> None:
            pipeline.resume()
            for request in review._store.requests.open():
                _exhaust(review.fulfil(request))

        survived = live(root, Fate(n, when), monkeypatch, word)
        deaths += not survived
        assert live(root, Fate(0, when), monkeypatch, word)
        books.check(root, dropped)
        with Store.read_only(root / "birdwatchd.db") as store:
            named = store.connection.rows(
                "SELECT photo_id, label, count(*) AS said FROM labels GROUP BY photo_id, label"
            )
            assert [(row["label"], row["said"]) for row in named] == [("robin", 1)] * 3, "a word is written once"
            assert store.questions.states()[State.FILED] == 3
            assert State.EMPTY not in store.questions.states(), "undone"
            assert store.connection.value("SELECT count(*) FROM requests WHERE outcome = 'done'") == 3
        if survived and when == "after":
            break
    assert deaths > 40
