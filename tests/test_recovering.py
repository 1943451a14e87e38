"""Odd ends of journeys: what a person did in between must not look like a loss, nor a loss like nothing."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdwatchd.core.deciding import Rules
from birdwatchd.core.errors import DiskTrouble, ModelError
from birdwatchd.core.intake import is_ignored
from birdwatchd.core.photo import State
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.files import HELD_PREFIX, Files
from birdwatchd.edges.images import Limits
from birdwatchd.edges.store import Request, Store
from birdwatchd.examining import Examiner
from birdwatchd.mover import Mover
from birdwatchd.pipeline import Pipeline
from birdwatchd.review import Review
from birdwatchd.triage import Hindered, Triage
from tests import books
from tests.fakes import StubSpotter
from tests.pictures import jpeg

PHOTO = jpeg(width=64, height=64, seed=1)


class Garden:
    """A bird folder with its pipeline."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = Files(root)
        self.files.check()
        self.store = Store.open(root / "birdwatchd.db")
        examiner = Examiner(StubSpotter(), Limits(max_megapixels=40, formats=frozenset({"jpeg"})))  # type: ignore[arg-type]
        self.pipeline = Pipeline(self.files, self.store, examiner, Rules(empty_below=0.05), now=now_utc)

    def take(self, name: str = "a.jpg", data: bytes = PHOTO) -> None:
        (self.root / "inbox" / name).write_bytes(data)
        self.pipeline.take(sorted(self.files.inbox_files(is_ignored)))

    def row(self) -> dict[str, object]:
        return self.store.questions.recent(limit=1)[0]


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root)
    yield one
    one.store.close()


def _die_before_the_receipt(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Take a photo whose receipt is never written; returns where it lies."""

    class Death(BaseException):
        pass

    def die(_: object) -> None:
        raise Death

    with monkeypatch.context() as patch:
        patch.setattr(garden.store.journeys, "record_receipts", die)
        with pytest.raises(Death):
            garden.take()
    (photo,) = (garden.root / "review").rglob("*.jpg")
    return photo


def test_a_photo_that_a_person_moved_before_its_receipt_is_found(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = _die_before_the_receipt(garden, monkeypatch)
    (garden.root / "library" / "robin").mkdir()
    photo.rename(garden.root / "library" / "robin" / photo.name)
    garden.pipeline.resume()
    assert garden.row()["path"] == f"library/robin/{photo.name}"
    books.check(garden.root, Counter([books.content(PHOTO)]))


def test_a_photo_that_is_gone_before_its_receipt_is_told_and_a_new_copy_is_judged(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    _die_before_the_receipt(garden, monkeypatch).unlink()
    garden.pipeline.resume()
    assert (garden.row()["state"], garden.row()["reason"]) == (State.MISSING, "lost")
    assert garden.store.journeys.under_way() == []
    garden.take()
    assert garden.row()["state"] == State.REVIEW


def test_a_file_in_the_work_folder_that_no_row_knows_goes_back_to_the_inbox_with_its_kind(garden: Garden) -> None:
    (garden.root / ".birdwatchd/work/77").write_bytes(PHOTO)
    assert garden.pipeline.has_unfinished()
    garden.pipeline.resume()
    assert (garden.root / "inbox" / "recovered-77.jpeg").read_bytes() == PHOTO
    assert not garden.pipeline.has_unfinished()


def test_a_hidden_original_of_a_photo_that_is_kept_goes_and_any_other_comes_back(garden: Garden) -> None:
    garden.take()
    inbox = garden.root / "inbox"
    other = jpeg(width=64, height=64, seed=2)
    (inbox / f"{HELD_PREFIX}1-a.jpg").write_bytes(PHOTO)
    (inbox / f"{HELD_PREFIX}9-b.jpg").write_bytes(other)
    held: list[str] = []
    list(garden.files.inbox_files(is_ignored, on_held=held.append))
    garden.pipeline.look_after_strays(held)
    assert {path.name: path.read_bytes() for path in inbox.iterdir()} == {"b.jpg": other}


def test_a_photo_written_to_after_it_was_taken_goes_back(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = garden.files.claim

    def claimed_and_then_written(inbox_path: str, stamp: object, work_path: str) -> None:
        claim(inbox_path, stamp, work_path)  # type: ignore[arg-type]
        with (garden.root / work_path).open("r+b") as writer:
            writer.write(PHOTO[:10])
        os.utime(garden.root / work_path, ns=(1, 1))

    with monkeypatch.context() as patch:
        patch.setattr(garden.files, "claim", claimed_and_then_written)
        garden.take()
    assert (garden.root / "inbox" / "a.jpg").read_bytes() == PHOTO
    assert garden.store.questions.states() == {}


def test_the_same_photo_many_times_under_one_name_is_not_slower_each_time(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(8):
        garden.take()
    names = sorted(path.name for path in (garden.root / "duplicates").iterdir())
    assert len(names) == 7
    tried: list[str] = []
    taken = garden.files.taken

    def noted(path: str) -> bool:
        tried.append(path)
        return taken(path)

    with monkeypatch.context() as patch:
        patch.setattr(garden.files, "taken", noted)
        garden.take()
    assert len(tried) <= 5


def test_the_file_of_another_photo_is_never_taken_for_one_that_was_moved(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A duplicate whose file a person took away before its receipt: its twin is not it."""
    garden.take("a.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(garden.store.journeys, "record_receipts", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            garden.take("b.jpg")
    (copy,) = (garden.root / "duplicates").iterdir()
    copy.unlink()
    garden.pipeline.resume()
    paths = garden.store.connection.rows("SELECT path, state FROM photos ORDER BY id")
    assert [row["state"] for row in paths] == ["review", "missing"]
    books.check(garden.root, Counter([books.content(PHOTO)]))


def test_a_move_that_waited_does_not_claim_the_same_photo_come_again(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not be moved to its name; meanwhile a person dropped it into the inbox anew."""
    garden.take("a.jpg")
    (photo,) = (garden.root / "review").rglob("*.jpg")
    review = Review(garden.files, garden.store, None, now=now_utc)
    (garden.root / "library" / "robin").symlink_to(garden.root / "reports")
    with pytest.raises(DiskTrouble):
        for _ in review.fulfil(_wish(garden, photo_id=1, species="robin")):
            pass
    photo.rename(garden.root / "inbox" / "again.jpg")
    garden.take("other.jpg", jpeg(width=64, height=64, seed=9))
    garden.pipeline.resume()
    states = garden.store.connection.rows("SELECT state FROM photos ORDER BY id")
    assert [row["state"] for row in states] == ["missing", "review", "review"]
    assert not garden.pipeline.has_unfinished()


def test_the_copy_of_a_photo_that_a_person_filed_elsewhere_is_a_duplicate_of_that(garden: Garden) -> None:
    garden.take("a.jpg")
    (photo,) = (garden.root / "review").rglob("*.jpg")
    (garden.root / "library" / "robin").mkdir()
    photo.rename(garden.root / "library" / "robin" / photo.name)
    garden.take("b.jpg")
    assert garden.row()["state"] == State.DUPLICATE
    assert photo.name in {path.name for path in (garden.root / "library" / "robin").iterdir()}
    assert len(list((garden.root / "duplicates").iterdir())) == 1


def test_a_recovery_told_to_stop_leaves_the_rest_to_the_next_life(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    _die_before_the_receipt(garden, monkeypatch)
    assert garden.pipeline.resume(stopping=lambda: True).outcomes == []
    assert garden.pipeline.has_unfinished()
    assert len(garden.pipeline.resume().outcomes) == 1
    books.check(garden.root, Counter([books.content(PHOTO)]))


def test_without_an_eye_a_photo_in_work_waits_and_stays_whole(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(garden.store.journeys, "record_decisions", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            garden.take()
    mover = Mover(garden.files, garden.store.journeys)
    blind = Triage(
        garden.files, garden.store.journeys, garden.store.models, mover, None, Rules(empty_below=0.05), now=now_utc
    )
    (waiting,) = blind.assess(garden.store.journeys.under_way())
    assert isinstance(waiting, Hindered)
    assert isinstance(waiting.why, ModelError)
    assert len(garden.pipeline.resume().outcomes) == 1
    books.check(garden.root, Counter([books.content(PHOTO)]))


def _wish(garden: Garden, **arguments: object) -> Request:
    number = garden.store.requests.ask("label", arguments, actor="test", at=now_utc())
    return garden.store.requests.get(number)
