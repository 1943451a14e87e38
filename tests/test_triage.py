"""Several looks at once: the answers stay those of one look after the other, and one photo's trouble stays its own."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.core.deciding import Rules
from birdwatchd.core.errors import DiskFull, DiskTrouble, ModelError, StoreBusy
from birdwatchd.core.intake import is_ignored
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.files import Files
from birdwatchd.edges.images import Limits, decode
from birdwatchd.edges.store import Store
from birdwatchd.examining import Examiner
from birdwatchd.pipeline import Pipeline, Round
from tests import books
from tests.fakes import StubSpotter
from tests.pictures import jpeg, png

LIMITS = Limits(max_megapixels=40, formats=frozenset({"jpeg", "png"}))


class Garden:
    """A bird folder whose pipeline looks at several photos at once."""

    def __init__(self, root: Path, looks_at_once: int) -> None:
        self.root = root
        self.files = Files(root)
        self.files.check()
        self.store = Store.open(root / "birdwatchd.db")
        self.eye = StubSpotter()
        self.examiner = Examiner(self.eye, LIMITS, cores=looks_at_once)  # type: ignore[arg-type]
        self.pipeline = Pipeline(self.files, self.store, self.examiner, Rules(empty_below=0.05), now=now_utc)

    def take(self, photos: dict[str, bytes]) -> Round:
        for name, data in photos.items():
            (self.root / "inbox" / name).write_bytes(data)
        return self.pipeline.take(sorted(self.files.inbox_files(is_ignored)))

    def places(self) -> list[tuple[str, str, str]]:
        rows = self.store.connection.rows("SELECT original_name, path, state FROM photos ORDER BY id")
        return [(row["original_name"], row["path"], row["state"]) for row in rows]


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root, looks_at_once=3)
    yield one
    one.store.close()


def _arrivals() -> dict[str, bytes]:
    photos = {f"{seed:02d}.jpg": jpeg(width=64 + 8 * seed, height=64, seed=seed) for seed in range(9)}
    broken = bytearray(jpeg(width=640, height=480, seed=20, quality=95))
    broken[len(broken) // 2 : len(broken) // 2 + 400] = b"\xff\xd8" * 200
    return photos | {
        "10 twin of 03.jpg": photos["03.jpg"],
        "11 broken.png": png(width=64, height=64, seed=3)[:900],
        "12 broken twin.png": png(width=64, height=64, seed=3)[:900],
        "13.txt": b"buy seeds\n",
    }


def test_many_looks_at_once_decide_as_one_after_the_other(tmp_path: Path) -> None:
    places: list[Any] = []
    for looks in (1, 2, 4):
        root = tmp_path / str(looks)
        Files(root).create()
        one = Garden(root, looks)
        try:
            done = one.take(_arrivals())
            assert done.trouble is None
            assert [outcome.original_name for outcome in done.outcomes] == sorted(_arrivals())
            books.check(root, Counter(map(books.content, _arrivals().values())))
            places.append(one.places())
        finally:
            one.store.close()
    assert places[0] == places[1] == places[2]
    states = Counter(state for _, _, state in places[0])
    assert states == {"review": 9, "duplicate": 1, "quarantined": 3}


def test_looks_really_happen_at_the_same_time(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3, timeout=30)
    spot = StubSpotter.spot

    def meet(eye: StubSpotter, inputs: Any) -> Any:
        together.wait()  # breaks, and fails the test, unless three are here at once
        return spot(eye, inputs)

    monkeypatch.setattr(StubSpotter, "spot", meet)
    done = garden.take({f"{seed}.jpg": jpeg(width=64, height=64, seed=seed) for seed in range(3)})
    assert (len(done.outcomes), done.trouble) == (3, None)


def test_only_a_few_photos_lie_in_memory_at_a_time(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    read, alive, most = garden.files.read, [0], [0]
    spot = StubSpotter.spot

    def count(relative: str, *, max_bytes: int) -> bytes:
        alive[0] += 1
        most[0] = max(most[0], alive[0])
        return read(relative, max_bytes=max_bytes)

    def slow(eye: StubSpotter, inputs: Any) -> Any:
        time.sleep(0.01)
        alive[0] -= 1
        return spot(eye, inputs)

    monkeypatch.setattr(garden.files, "read", count)
    monkeypatch.setattr(StubSpotter, "spot", slow)
    garden.take({f"{seed}.jpg": jpeg(width=64, height=64, seed=seed) for seed in range(16)})
    assert most[0] <= 3 + 1


def test_when_the_eye_fails_in_the_middle_what_it_saw_before_is_kept_and_the_rest_waits(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    spot = StubSpotter.spot

    def fail_later(eye: StubSpotter, inputs: Any) -> Any:
        if eye.looked >= 4:
            raise ModelError("the graphics card is gone")
        return spot(eye, inputs)

    photos = {f"{seed}.jpg": jpeg(width=64, height=64, seed=seed) for seed in range(8)}
    with monkeypatch.context() as patch:
        patch.setattr(StubSpotter, "spot", fail_later)
        done = garden.take(photos | {"8 twin.jpg": photos["7.jpg"]})
    assert isinstance(done.trouble, ModelError)
    assert 4 <= len(done.outcomes) <= 7
    garden.eye.looked = 0
    again = garden.pipeline.resume()
    assert again.trouble is None
    assert len(done.outcomes) + len(again.outcomes) == 9
    books.check(garden.root, Counter(map(books.content, photos.values())) + Counter([books.content(photos["7.jpg"])]))


def test_a_machine_without_a_thread_to_give_looks_at_one_after_the_other(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = garden.take(_arrivals())
    assert (len(done.outcomes), done.trouble) == (len(_arrivals()), None)


def test_large_kinds_are_unpacked_one_at_a_time(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = [0], [0]

    def count(data: bytes, *rest: Any, **more: Any) -> Any:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        picture = decode(data, *rest, **more)
        inside[0] -= 1
        return picture

    monkeypatch.setattr("birdwatchd.examining.decode", count)
    garden.take({f"{seed}.png": png(width=64, height=64, seed=seed) for seed in range(6)})
    assert most[0] == 1


# -- photos that a dead process left behind


def _left_behind(garden: Garden, count: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Photos that were claimed by a process that died before it decided anything; looking at the seventh killed it."""
    photos = {f"{seed:02d}.jpg": jpeg(width=64, height=64, seed=seed) for seed in range(count)}
    with monkeypatch.context() as patch:
        patch.setattr(Examiner, "examine", _deadly(photos["06.jpg"]))
        with pytest.raises(Death):
            garden.take(photos)
    _restart(garden)
    return photos


class Death(BaseException):
    """The process ends here."""


def _deadly(*poison: bytes) -> Any:
    examine = Examiner.examine

    def look(examiner: Examiner, data: bytes) -> Any:
        if data in poison:
            raise Death
        return examine(examiner, data)

    return look


def _restart(garden: Garden) -> None:
    garden.pipeline = Pipeline(garden.files, garden.store, garden.examiner, Rules(empty_below=0.05), now=now_utc)


def _attempts(garden: Garden) -> list[int]:
    return [row["attempts"] for row in garden.store.connection.rows("SELECT attempts FROM journeys ORDER BY photo_id")]


def test_after_a_death_only_photos_that_were_in_hand_are_suspected_and_only_the_killer_is_set_aside(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = _left_behind(garden, 12, monkeypatch)
    assert _attempts(garden) == [1] * 12
    in_hand = garden.files.in_hand()
    assert in_hand is not None
    assert 7 in in_hand
    assert len(in_hand) <= 4, "looked at at once, and the one that was being read"
    with monkeypatch.context() as patch:
        patch.setattr(Examiner, "examine", _deadly(photos["06.jpg"]))
        with pytest.raises(Death):
            garden.pipeline.resume()
        assert garden.files.in_hand() == {7}, "suspects are looked at alone"
        assert {number for number, attempts in enumerate(_attempts(garden), 1) if attempts == 2} <= in_hand
        _restart(garden)
        done = garden.pipeline.resume()
    assert done.trouble is None
    assert Counter(str(outcome.state) for outcome in done.outcomes) == {"review": 11, "quarantined": 1}
    (crashed,) = [outcome for outcome in done.outcomes if outcome.reason == "crashed"]
    assert crashed.original_name == "06.jpg"
    books.check(garden.root, Counter(map(books.content, photos.values())))


def test_a_suspect_that_was_cleared_is_not_blamed_for_the_next_death(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two killers side by side, each quicker than its neighbours: those were in hand at both deaths."""
    photos = _left_behind(garden, 12, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(Examiner, "examine", _deadly(photos["06.jpg"], photos["07.jpg"]))
        for in_hand in ([5, 6, 7], [7], [5, 6, 8], [8]):
            garden.files.note_in_hand(in_hand)
            with suppress(Death):
                garden.pipeline.resume()
            _restart(garden)
    garden.pipeline.resume()
    rows = garden.store.connection.rows("SELECT original_name FROM photos WHERE reason = 'crashed' ORDER BY id")
    assert [row["original_name"] for row in rows] == ["06.jpg", "07.jpg"]
    books.check(garden.root, Counter(map(books.content, photos.values())))


def test_many_that_were_left_behind_share_their_commits(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    _left_behind(garden, 16, monkeypatch)
    suspects = garden.files.in_hand() or set()
    commits = [0]
    record = garden.store.journeys.record_receipts

    def count(moves: Any) -> None:
        commits[0] += 1
        record(moves)

    monkeypatch.setattr(garden.store.journeys, "record_receipts", count)
    assert len(garden.pipeline.resume().outcomes) == 16
    assert commits[0] <= 1 + len(suspects) < 6, "each suspect, and all the others"


def test_who_is_told_to_stop_leaves_the_rest_of_a_long_recovery_to_the_next_process(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = _left_behind(garden, 12, monkeypatch)
    assert garden.pipeline.resume(stopping=lambda: True).outcomes == []
    assert len(garden.pipeline.resume().outcomes) == 12
    books.check(garden.root, Counter(map(books.content, photos.values())))


def test_the_twin_of_a_photo_that_is_not_kept_is_no_duplicate(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = jpeg(width=64, height=64, seed=1)
    durable = garden.files.make_durable

    def fail(path: str) -> None:
        if path.endswith("/1"):
            raise DiskTrouble("input/output error")
        durable(path)

    with monkeypatch.context() as patch:
        patch.setattr(garden.files, "make_durable", fail)
        done = garden.take({"a.jpg": photo, "b.jpg": photo})
    assert (done.outcomes, isinstance(done.trouble, DiskTrouble)) == ([], True)
    again = garden.pipeline.resume()
    assert Counter(str(outcome.state) for outcome in again.outcomes) == {"review": 1, "duplicate": 1}


def test_trouble_while_suspects_are_counted_accuses_nobody(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    _left_behind(garden, 12, monkeypatch)
    count = garden.store.journeys.count_attempt
    counted: list[int] = []

    def busy_the_second_time(photo_id: int) -> None:
        if counted:
            raise StoreBusy("the log is locked")
        counted.append(photo_id)
        count(photo_id)

    def full(*_: object) -> None:
        raise DiskFull("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(garden.store.journeys, "count_attempt", busy_the_second_time)
        patch.setattr(garden.store.journeys, "record_decisions", full)
        garden.pipeline.resume()
    _restart(garden)
    assert [outcome for outcome in garden.pipeline.resume().outcomes if outcome.reason == "crashed"] == []
