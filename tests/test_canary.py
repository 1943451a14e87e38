"""The canary: what it proves, and that nobody ever takes it for a photo."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.canary import AGAIN_AFTER_S, EVERY_S
from birdwatchd.edges.files import CANARY
from tests import books
from tests.fakes import StubSpotter
from tests.test_worker import Bench


class Ears:
    """A watch for tests: tells of the canary at once, or of nothing."""

    kind = "events"
    problem: str | None = None

    def __init__(self, inbox: Path) -> None:
        self._canary = inbox / CANARY
        self.deaf = False
        self.well = True
        self.started = 0

    def is_well(self) -> bool:
        return self.well

    def stop(self) -> None:
        self.well = False

    def revive(self) -> bool:
        self.started += not self.well
        self.well = True
        return True

    def tell(self, bench: Bench) -> None:
        if not self.deaf and self._canary.exists():
            bench.worker.hint(CANARY)


class Garden(Bench):
    """A bench whose worker hears."""

    def __init__(self, root: Path, lamp: Path, **settings: Any) -> None:
        self.ears = Ears(root / "inbox")
        self.looks = 0
        super().__init__(root, lamp, watch=self.ears, **settings)

    def live(self, seconds: float) -> None:
        """Let time pass, with what the ears tell."""
        for _ in range(round(seconds)):
            self.let_pass(1)
            self.ears.tell(self)

    @property
    def eye_looked(self) -> int:
        assert isinstance(self.eye, StubSpotter)
        return self.eye.looked


@pytest.fixture
def garden(root: Path, tmp_path: Path) -> Iterator[Garden]:
    one = Garden(root, tmp_path / "lamp", inbox={"sweep_s": 60.0})
    yield one
    one.close()


def test_a_canary_is_heard_and_seen_every_few_minutes_and_never_logged(garden: Garden) -> None:
    garden.live(3 * EVERY_S + 30)
    assert garden.eye_looked == 4
    assert garden.states() == {}
    assert not (garden.root / "inbox" / CANARY).exists()
    assert garden.worker.condition.problems == {}
    assert garden.ears.started == 0
    books.check(garden.root, Counter())


def test_a_canary_that_only_the_sweep_finds_means_a_deaf_watch_that_is_set_up_anew(garden: Garden) -> None:
    garden.ears.deaf = True
    garden.live(90)
    assert "does not tell of new files" in garden.worker.condition.problems["canary"]
    assert garden.ears.started == 1
    assert garden.eye_looked == 1, "the sweep brought it to the eye"
    garden.ears.deaf = False
    garden.live(60 + AGAIN_AFTER_S)
    assert garden.worker.condition.problems == {}


def test_a_dead_watch_is_revived_within_seconds(garden: Garden) -> None:
    garden.live(10)
    garden.ears.well = False
    garden.live(8)
    assert garden.ears.started == 1


def test_an_eye_that_does_not_see_what_it_saw_is_closed_and_opened_anew(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    garden.live(10)
    spot = StubSpotter._spot
    with monkeypatch.context() as patch:
        patch.setattr(
            StubSpotter,
            "_spot",
            lambda eye, one: spot(eye, one * float("nan")),
        )
        garden.live(EVERY_S + 1)
        assert "does not see today" in garden.worker.condition.problems["spotter"]
        assert garden.worker.pipeline.examiner is None
    garden.live(70)
    assert garden.worker.condition.problems == {}


def test_a_canary_left_by_a_killed_daemon_is_no_photo_and_goes(root: Path, tmp_path: Path) -> None:
    (root / "inbox" / CANARY).write_bytes(b"an old song")
    garden = Garden(root, tmp_path / "lamp", inbox={"sweep_s": 60.0})
    try:
        garden.live(70)
        assert list((root / "inbox").iterdir()) == []
        assert garden.states() == {}
    finally:
        garden.close()


def test_a_canary_never_goes_through_a_link_that_somebody_laid(garden: Garden, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (garden.root / "inbox" / CANARY).symlink_to(precious)
    garden.live(EVERY_S + 10)
    assert precious.read_bytes() == b"mine"
    assert garden.eye_looked >= 1


def test_a_disk_that_gives_back_something_else_is_told(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    garden.live(10)
    with monkeypatch.context() as patch:
        patch.setattr(garden.files, "canary", lambda: b"\xff\xd8\xff" + bytes(500))
        garden.live(EVERY_S + 10)
        assert "came back damaged" in garden.worker.condition.problems["inbox disk"]
    garden.live(EVERY_S + 10)
    assert garden.worker.condition.problems == {}


def test_a_long_piece_of_work_does_not_make_the_watch_seem_deaf(garden: Garden) -> None:
    garden.let_pass(6)
    assert (garden.root / "inbox" / CANARY).exists(), "sent, and its event lies on the queue"
    for _ in range(10):  # a copy, a recovery, an import: alive, but nobody reads the queue
        garden.clock.now_s += 6
        garden.files.alive()
    garden.ears.tell(garden)
    garden.live(10)
    assert garden.worker.condition.problems == {}
    assert garden.ears.started == 0


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_only_has_the_name_of_an_original_or_a_canary_holds_nothing_up(garden: Garden, kind: str) -> None:
    for name in (".birdwatchd-x", ".birdwatchd-7-a.jpg"):
        path = garden.root / "inbox" / name
        match kind:
            case "pipe":
                os.mkfifo(path)
            case "link":
                path.symlink_to("/dev/zero")
            case _:
                path.mkdir()
    garden.drop("a.jpg")
    garden.live(70)
    assert garden.states() == {"review": 1}
