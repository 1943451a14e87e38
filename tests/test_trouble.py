"""Trouble at each step of a journey: nothing is lost, the others go on, and it ends by itself when the trouble does."""

import errno
import functools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.core.errors import DiskFull, DiskTrouble, NotAllowed, PhotoVanished, StoreBusy, TransientError
from birdwatchd.edges.files import HELD_PREFIX, BadSpot, TargetTaken
from birdwatchd.pipeline import Round
from tests import books
from tests.pictures import jpeg
from tests.test_triage import Garden

PHOTOS = {f"{seed}.jpg": jpeg(width=64, height=64, seed=seed) for seed in range(4)}
CONTENTS = Counter(map(books.content, PHOTOS.values()))


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root, looks_at_once=2)
    yield one
    one.store.close()


@contextmanager
def failing(edge: Any, name: str, error: Exception, *, when: Callable[..., bool] = lambda *_: True) -> Iterator[None]:
    """While in here, this method of an edge fails for the calls that `when` picks."""
    original = getattr(edge, name)

    def fail(*args: Any, **kwargs: Any) -> Any:
        if when(*args):
            raise error
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge, name, fail)
        yield


def _everything_ends_well(garden: Garden) -> None:
    """Trouble is over: two rounds later all photos rest, and nothing is left."""
    for _ in range(2):
        assert garden.pipeline.resume().trouble is None
        assert garden.take({}).trouble is None
    assert not garden.pipeline.has_unfinished()
    books.check(garden.root, CONTENTS)
    assert Counter(state for _, _, state in garden.places()) == {"review": len(PHOTOS)}


def _trouble_of(step: Callable[[], Round]) -> object:
    try:
        return step().trouble
    except TransientError as raised:
        return raised


FULL = DiskFull("the disk is full")
BUSY = StoreBusy("the log is locked")
BROKEN = DiskTrouble("input/output error")


@pytest.mark.parametrize(
    ("edge", "method", "error"),
    [
        ("files", "claim", BROKEN),
        ("files", "claim", PhotoVanished("gone")),
        ("files", "sync", BROKEN),
        ("files", "is_as_claimed", BROKEN),
        ("files", "write_thumbnail", FULL),
        ("files", "place", FULL),
        ("files", "exists", BROKEN),
        ("journeys", "targets", BUSY),
        ("journeys", "twins", BUSY),
        ("journeys", "record_decisions", FULL),
        ("journeys", "record_receipts", BUSY),
    ],
)
def test_trouble_of_all_photos_is_told_and_passes(
    garden: Garden, edge: str, method: str, error: TransientError
) -> None:
    held = garden.files if edge == "files" else garden.store.journeys
    with failing(held, method, error):
        troubles = [_trouble_of(lambda: garden.take(PHOTOS)), _trouble_of(garden.pipeline.resume)]
    assert troubles[0] is (None if isinstance(error, PhotoVanished) else error)
    books.check(garden.root, CONTENTS, settled=False)
    _everything_ends_well(garden)


@pytest.mark.parametrize("method", ["claim", "place", "write_thumbnail", "is_as_claimed"])
def test_trouble_of_one_photo_holds_up_no_other(garden: Garden, method: str) -> None:
    calls: list[int] = []

    def second(*_: object) -> bool:
        calls.append(1)
        return len(calls) == 2

    with failing(garden.files, method, BROKEN, when=second):
        done = garden.take(PHOTOS)
    assert (done.trouble, len(done.outcomes)) == (BROKEN, len(PHOTOS) - 1)
    _everything_ends_well(garden)


def test_a_photo_that_may_not_be_taken_is_named(garden: Garden) -> None:
    with failing(garden.files, "claim", NotAllowed("no"), when=lambda path, *_: path == "2.jpg"):
        done = garden.take(PHOTOS)
    assert (list(done.refused), len(done.outcomes), done.trouble) == (["2.jpg"], 3, None)
    _everything_ends_well(garden)


def test_a_log_that_cannot_forget_a_claim_forgets_it_later(garden: Garden) -> None:
    with (
        failing(garden.files, "claim", PhotoVanished("gone"), when=lambda path, *_: path == "2.jpg"),
        failing(garden.store.journeys, "withdraw_claims", BUSY),
        pytest.raises(StoreBusy),
    ):
        garden.take(PHOTOS)
    _everything_ends_well(garden)


def test_a_claim_whose_bytes_arrived_although_it_failed_is_gone_on_with(garden: Garden) -> None:
    claim = garden.files.claim

    def half(path: str, *rest: Any) -> None:
        claim(path, *rest)
        if path == "1.jpg":
            raise BROKEN

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(garden.files, "claim", half)
        done = garden.take(PHOTOS)
    assert (done.trouble, len(done.outcomes)) == (BROKEN, 3)
    _everything_ends_well(garden)


@pytest.mark.parametrize("method", ["give_back", "withdraw_claims"])
def test_a_photo_written_to_after_its_claim_goes_back_and_comes_again(garden: Garden, method: str) -> None:
    edge: Any = garden.files if method == "give_back" else garden.store.journeys
    with (
        pytest.MonkeyPatch.context() as patch,
        failing(edge, method, BUSY),
    ):
        patch.setattr(garden.files, "is_as_claimed", lambda path, _: not path.endswith("/2"))
        done = garden.take(PHOTOS)
    assert (done.trouble, len(done.outcomes)) == (BUSY, 3)
    _everything_ends_well(garden)


def test_trouble_with_the_counting_of_attempts_leaves_all_for_the_next_time(garden: Garden) -> None:
    with failing(garden.store.journeys, "record_decisions", BUSY):
        garden.take(PHOTOS)
    garden.files.note_in_hand([1, 2, 3, 4])
    with failing(garden.store.journeys, "count_attempt", BUSY):
        assert garden.pipeline.resume().trouble is BUSY
    _everything_ends_well(garden)


@pytest.mark.parametrize("edge", ["read", "note"])
def test_trouble_with_what_is_in_hand_leaves_all_for_the_next_time(garden: Garden, edge: str) -> None:
    method = "in_hand" if edge == "read" else "note_in_hand"
    with failing(garden.store.journeys, "record_decisions", BUSY):
        garden.take(PHOTOS)
    with failing(garden.files, method, BROKEN):
        assert _trouble_of(garden.pipeline.resume) is BROKEN
    _everything_ends_well(garden)


@pytest.mark.parametrize("words", [None, b"", b"\x00" * 512, b"1 2 x\n"])
def test_a_note_of_what_was_in_hand_that_is_gone_or_damaged_accuses_nobody_wrongly(
    garden: Garden, words: bytes | None
) -> None:
    with failing(garden.store.journeys, "record_decisions", BUSY):
        garden.take(PHOTOS)
    note = garden.root / ".birdwatchd" / "in-hand"
    note.unlink()
    if words is not None:
        note.write_bytes(words)
    _everything_ends_well(garden)


def test_without_an_eye_only_what_is_decided_is_finished(garden: Garden) -> None:
    with failing(garden.store.journeys, "record_decisions", BUSY):
        garden.take({"0.jpg": PHOTOS["0.jpg"]})
    with failing(garden.files, "place", FULL):
        garden.take({name: data for name, data in PHOTOS.items() if name != "0.jpg"})
    eye, garden.pipeline.examiner = garden.pipeline.examiner, None
    assert len(garden.pipeline.resume().outcomes) == 3
    assert garden.take({}).outcomes == []
    garden.pipeline.examiner = eye
    _everything_ends_well(garden)


def test_without_an_eye_a_photo_that_killed_twice_is_set_aside_all_the_same(garden: Garden) -> None:
    with failing(garden.store.journeys, "record_decisions", BUSY):
        garden.take({"0.jpg": PHOTOS["0.jpg"]})
    garden.files.note_in_hand([1])
    garden.store.journeys.count_attempt(1)
    garden.pipeline.examiner = None
    (outcome,) = garden.pipeline.resume().outcomes
    assert outcome.reason == "crashed"
    books.check(garden.root, Counter([books.content(PHOTOS["0.jpg"])]))


def test_an_original_with_a_hidden_name_whose_disk_fails_again_keeps_it_for_now(garden: Garden) -> None:
    garden.take(PHOTOS)
    held = garden.root / "inbox" / f"{HELD_PREFIX}9-0.jpg"
    held.write_bytes(PHOTOS["0.jpg"])
    with failing(garden.files, "release_stray", BROKEN):
        garden.pipeline.look_after_strays([held.name])
    assert held.exists()
    garden.pipeline.look_after_strays([held.name])
    assert not held.exists()
    books.check(garden.root, CONTENTS)


def test_a_name_that_is_taken_in_the_last_moment_gets_a_number(garden: Garden) -> None:
    place = garden.files.place
    taken: list[str] = []

    def somebody_was_faster(source: str, target: str) -> None:
        if len(taken) < 2:
            taken.append(target)
            raise TargetTaken(f"{target} is taken")
        place(source, target)

    taken_before = garden.files.taken
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(garden.files, "place", somebody_was_faster)
        patch.setattr(garden.files, "taken", lambda path: path in taken or taken_before(path))
        done = garden.take({"0.jpg": PHOTOS["0.jpg"]})
    (outcome,) = done.outcomes
    assert outcome.path.endswith("-3.jpg")
    assert (garden.root / outcome.path).is_file()


def test_a_photo_without_a_plan_cannot_be_finished(garden: Garden) -> None:
    with failing(garden.store.journeys, "record_decisions", BUSY):
        garden.take({"0.jpg": PHOTOS["0.jpg"]})
    (journey,) = garden.store.journeys.under_way()
    with pytest.raises(ValueError, match="has no plan"):
        garden.pipeline._mover.finish([journey])


def test_a_planned_photo_whose_bytes_are_gone_when_it_is_to_be_moved_waits(garden: Garden) -> None:
    exists = garden.files.exists

    def gone(path: str, *, left: list[int]) -> bool:
        left[0] -= 1
        return exists(path) if left[0] >= 0 else False

    with failing(garden.files, "place", FULL):
        garden.take({"0.jpg": PHOTOS["0.jpg"]})
    (journey,) = garden.store.journeys.under_way()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(garden.files, "exists", functools.partial(gone, left=[1]))
        done = garden.pipeline._mover.finish([journey])
    assert isinstance(done.trouble, PhotoVanished)
    assert len(garden.pipeline.resume().outcomes) == 1


def test_a_copy_that_reads_otherwise_than_the_original_is_not_filed_under_its_name(garden: Garden) -> None:
    """An fsync failed, the photo was copied to new pages, and the old ones no longer held what had been read."""
    durable = garden.files.make_durable

    def lossy(path: str) -> bool:
        durable(path)
        if path.endswith("/2"):
            (garden.root / path).write_bytes(b"\xff\xd8\xff" + bytes(100))
            return True
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(garden.files, "make_durable", lossy)
        done = garden.take(PHOTOS)
    assert isinstance(done.trouble, TransientError)
    garden.pipeline.resume()
    for row in garden.store.connection.rows("SELECT path, sha256 FROM photos"):
        assert books.content((garden.root / row["path"]).read_bytes()) == row["sha256"]


def test_a_photo_that_can_neither_be_read_nor_synced_is_set_aside_in_the_end(garden: Garden) -> None:
    with (
        failing(garden.files, "read", BadSpot("input/output error"), when=lambda path: path.endswith("/1")),
        failing(garden.files, "make_durable", BROKEN, when=lambda path: path.endswith("/1")),
    ):
        garden.take(PHOTOS)
        for _ in range(4):
            garden.pipeline.resume()
    reasons = {row["reason"] for row in garden.store.connection.rows("SELECT reason FROM photos WHERE id = 1")}
    assert reasons == {"unreadable"}


def test_a_note_made_by_another_user_is_made_anew(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    note = garden.root / ".birdwatchd" / "in-hand"
    note.write_bytes(b"7\n")
    before = note.stat().st_ino
    opened = os.open

    def closed(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if Path(path) == note and note.exists() and note.stat().st_ino == before:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, flags, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", closed)
        assert len(garden.take(PHOTOS).outcomes) == len(PHOTOS)
    assert note.stat().st_ino != before or note.read_bytes().strip() == b""
