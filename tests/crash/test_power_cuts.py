"""The power goes while the daemon works. What it has acknowledged by then is there afterwards; the rest is somewhere, whole."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.store import Store
from tests import books
from tests.crash import lives
from tests.crash.cutting import Card
from tests.crash.dropping import Producer
from tests.crash.launching import LAUNCH, fault
from tests.crash.nursery import Nursery
from tests.service.running import until

Tell = Callable[[str], None]

AT_REST = "SELECT id, sha256 FROM photos WHERE state NOT IN ('claimed', 'decided', 'missing')"
SPECIES = ("robin", "wren", "dunnock")


@dataclass
class Acknowledged:
    """What somebody could have read from the log, or was told by fsync, before the power went."""

    photos: dict[int, str]
    labels: set[tuple[int, str]]
    synced: Counter[str]


@dataclass
class Loss:
    """What was missing after one cut."""

    photos: int = 0
    labels: int = 0
    synced: int = 0
    disorder: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.photos or self.labels or self.synced or self.disorder)


@contextlib.contextmanager
def daemon_at_work(root: Path, *faults: str) -> Iterator[None]:
    """A daemon that takes what is dropped."""
    err = root.parent.parent / "daemon.err"
    with (
        err.open("wb") as out,
        subprocess.Popen(
            [*LAUNCH, "run", "--root", str(root)], stdout=out, stderr=out, env=lives.at_once(fault(*faults))
        ) as process,
    ):
        try:
            until("the first photos at rest", lambda: len(at_rest(root)) > 20)
            yield
            assert process.poll() is None, err.read_text()[-2000:]
        finally:
            process.send_signal(signal.SIGKILL)


def at_rest(root: Path) -> dict[int, str]:
    """Photos that the log says are in their places, with their contents."""
    return {row["id"]: row["sha256"] for row in lives.rows(root, AT_REST)}


def acknowledged(root: Path, producer: Producer) -> Acknowledged:
    """Read before the cut, so all of it is older than the cut."""
    labels = lives.rows(root, "SELECT photo_id, label FROM labels")
    synced = Counter(producer.synced)
    return Acknowledged(at_rest(root), {(row["photo_id"], row["label"]) for row in labels}, synced)


def name_somebody(root: Path, dice: random.Random) -> None:
    """A person's word about one of the birds."""
    known = lives.rows(root, "SELECT id FROM photos WHERE state IN ('review', 'filed')")
    with Store.open(root / "birdwatchd.db", migrate=False) as store:
        wish: dict[str, Any] = {"photo_id": dice.choice(known)["id"], "species": dice.choice(SPECIES)}
        store.requests.ask("label", wish, actor="test", at=now_utc())


def after_the_cut(root: Path, told: Acknowledged, nursery: Nursery) -> Loss:
    """The daemon's next start, and then the books against what was acknowledged."""
    loss = Loss()
    there = Counter(books.files_in(root, "inbox", ".birdwatchd/work", *books.RESTING).values())
    loss.synced = (told.synced - there).total()
    try:
        lives.recover(root, nursery=nursery)
        books.check(root, there)
        assert lives.rows(root, "SELECT id FROM photos WHERE reason = 'lost'") == []
    except AssertionError as broken:
        loss.disorder.append(str(broken).splitlines()[0])
    places = {row["id"]: row["path"] for row in lives.rows(root, "SELECT id, path FROM photos")}
    contents = books.files_in(root, *books.RESTING)
    loss.photos = sum(contents.get(places.get(photo, "")) != sha256 for photo, sha256 in told.photos.items())
    named = {(row["photo_id"], row["label"]) for row in lives.rows(root, "SELECT photo_id, label FROM labels")}
    loss.labels = len(told.labels - named)
    return loss


def cut_again_and_again(place: Path, *faults: str, cuts: int, label: bool, seed: int) -> tuple[list[Loss], int, int]:
    """A daemon under load on a card whose copies are looked at; returns losses, photos and labels acknowledged at the last cut."""
    dice = random.Random(seed)  # noqa: S311
    losses: list[Loss] = []
    told = Acknowledged({}, set(), Counter())
    with Card(place) as card, contextlib.closing(Nursery()) as nursery:
        root = lives.new_folder(card.mounted / "birdwatch")
        os.sync()
        with Producer(root, seed=seed, sync_one_in=3) as producer, daemon_at_work(root, *faults):
            for _ in range(cuts):
                time.sleep(dice.uniform(0.05, 0.5))
                if label:
                    for _word in range(3):
                        name_somebody(root, dice)
                    time.sleep(dice.uniform(0.1, 0.8))
                told = acknowledged(root, producer)
                copy = card.copy()
                with card.cut(copy) as after:
                    losses.append(after_the_cut(after / "birdwatch", told, nursery))
        assert producer.broke is None
    return losses, len(told.photos), len(told.labels)


def judge(what: str, losses: list[Loss], photos: int, labels: int, tell: Tell) -> None:
    """Assert that nothing that was acknowledged is gone."""
    lost = sum(loss.photos + loss.labels for loss in losses)
    tell(
        f"{what}: {len(losses)} cuts, {photos} photos and {labels} labels acknowledged by the last, {lost} of them lost"
    )
    assert [loss for loss in losses if loss] == []
    assert photos > 10 * len(losses) ** 0.5, "too little work to mean anything"


@pytest.mark.fault("D07", "D08")
@pytest.mark.timeout(400)
def test_what_was_acknowledged_outlives_a_power_cut(tmp_path: Path, tell: Tell) -> None:
    losses, photos, labels = cut_again_and_again(tmp_path / "disk", cuts=10, label=True, seed=7)
    judge("power", losses, photos, labels, tell)
    assert labels >= 5


@pytest.mark.fault("D07")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("careless", ["normal-sync", "no-file-sync"])
def test_a_power_cut_finds_a_program_that_does_not_sync(tmp_path: Path, tell: Tell, careless: str) -> None:
    losses, _, _ = cut_again_and_again(tmp_path / "disk", careless, cuts=3, label=False, seed=8)
    lost, disorder = sum(loss.photos for loss in losses), sum(len(loss.disorder) for loss in losses)
    tell(
        f"{careless}: {len(losses)} cuts, {lost} acknowledged photos lost, {disorder} folders in disorder (must be some)"
    )
    assert lost > 0


@pytest.mark.torture
@pytest.mark.fault("D07", "D08")
@pytest.mark.timeout(3600)
def test_a_hundred_power_cuts(tmp_path: Path, tell: Tell) -> None:
    losses: list[Loss] = []
    photos = labels = 0
    for card in range(10):
        lost, more_photos, more_labels = cut_again_and_again(tmp_path / f"{card}", cuts=10, label=True, seed=100 + card)
        losses, photos, labels = losses + lost, photos + more_photos, labels + more_labels
    judge("power", losses, photos, labels, tell)
