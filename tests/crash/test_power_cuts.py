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
FULL_GROWN = 22
"""After so many batches SQLite writes its `-wal` from the beginning again."""

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
def daemon_at_work(root: Path, *faults: str) -> Iterator[subprocess.Popen[bytes]]:
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
            yield process
            assert process.poll() is None, err.read_text()[-2000:]
        finally:
            process.send_signal(signal.SIGKILL)


def stands_still(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process is stopped; it must not have ended."""
    assert process.poll() is None, "the daemon has ended"
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@contextlib.contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A process that does nothing for a moment: so no later step of its own makes up for one that it left out."""
    process.send_signal(signal.SIGSTOP)
    until("it stands still", lambda: stands_still(process))
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


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


@contextlib.contextmanager
def work_on_a_card(place: Path, *faults: str, seed: int, sync_one_in: int) -> Iterator["Work"]:
    """A busy garden, and a daemon at work, on a card."""
    with Card(place) as card, contextlib.closing(Nursery()) as nursery:
        root = lives.new_folder(card.mounted / "birdwatch")
        os.sync()
        with (
            Producer(root, seed=seed, sync_one_in=sync_one_in) as producer,
            daemon_at_work(root, *faults) as process,
        ):
            yield Work(card, root, producer, process, nursery)
        assert producer.broke is None


@dataclass
class Work:
    """What is going on when the power goes."""

    card: Card
    root: Path
    producer: Producer
    process: subprocess.Popen[bytes]
    nursery: Nursery
    losses: list[Loss] = field(default_factory=list)
    told: Acknowledged = field(default_factory=lambda: Acknowledged({}, set(), Counter()))

    def cut(self) -> None:
        """The power goes now; the daemon stands still meanwhile. Then the copy is looked at, and the daemon goes on."""
        self.told = acknowledged(self.root, self.producer)
        with self.card.cut(self.card.copy()) as after:
            self.losses.append(after_the_cut(after / "birdwatch", self.told, self.nursery))


def cut_again_and_again(place: Path, *faults: str, cuts: int, label: bool, seed: int) -> Work:
    """The power goes at random moments."""
    dice = random.Random(seed)  # noqa: S311
    with work_on_a_card(place, *faults, seed=seed, sync_one_in=10) as work:
        for _ in range(cuts):
            time.sleep(dice.uniform(0.05, 0.5))
            if label:
                for _word in range(3):
                    name_somebody(work.root, dice)
                time.sleep(dice.uniform(0.1, 0.8))
            with work.producer.busy, stopped(work.process):
                work.cut()
    return work


def cut_after_receipts(place: Path, *faults: str, cuts: int) -> Work:
    """The power goes at the worst moment: a receipt is just written, and nothing has been done since that syncs anything.

    The first receipts would prove little: as long as SQLite's `-wal` grows, ext4 commits its whole journal with it.
    """
    with work_on_a_card(place, f"stop-after record_receipts {FULL_GROWN}", *faults, seed=9, sync_one_in=0) as work:
        for _ in range(cuts):
            until("a receipt is written", lambda: stands_still(work.process))
            with work.producer.busy:
                work.cut()
            work.process.send_signal(signal.SIGCONT)
            until("it goes on", lambda: not stands_still(work.process))
    return work


def judge(what: str, works: list[Work], tell: Tell) -> None:
    """Assert that nothing that was acknowledged is gone."""
    losses = [loss for work in works for loss in work.losses]
    photos, labels = sum(len(work.told.photos) for work in works), sum(len(work.told.labels) for work in works)
    lost = sum(loss.photos + loss.labels for loss in losses)
    tell(f"{what}: {len(losses)} cuts, {photos} photos and {labels} labels acknowledged, {lost} of them lost")
    assert [loss for loss in losses if loss] == []
    assert photos > 10 * len(losses), "too little work to mean anything"


@pytest.mark.fault("D07", "D08")
@pytest.mark.timeout(400)
def test_what_was_acknowledged_outlives_a_power_cut(tmp_path: Path, tell: Tell) -> None:
    work = cut_again_and_again(tmp_path / "disk", cuts=10, label=True, seed=7)
    judge("power cuts at random", [work], tell)
    assert len(work.told.labels) >= 5


@pytest.mark.fault("D07")
@pytest.mark.timeout(400)
def test_a_receipt_outlives_a_power_cut_in_the_same_instant(tmp_path: Path, tell: Tell) -> None:
    judge("power cuts right after receipts", [cut_after_receipts(tmp_path / "disk", cuts=6)], tell)


@pytest.mark.fault("D07")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("careless", ["normal-sync", "no-file-sync", "no-folder-sync"])
def test_a_power_cut_finds_a_program_that_does_not_sync(tmp_path: Path, tell: Tell, careless: str) -> None:
    losses = cut_after_receipts(tmp_path / "disk", careless, cuts=3).losses
    lost, disorder = sum(loss.photos for loss in losses), sum(len(loss.disorder) for loss in losses)
    tell(
        f"{careless}: {len(losses)} cuts, {lost} acknowledged photos lost, {disorder} folders in disorder (must be some)"
    )
    assert lost + disorder > 0


@pytest.mark.torture
@pytest.mark.fault("D07", "D08")
@pytest.mark.timeout(3600)
def test_a_hundred_power_cuts(tmp_path: Path, tell: Tell) -> None:
    cards = [cut_again_and_again(tmp_path / f"{n}", cuts=10, label=True, seed=100 + n) for n in range(8)]
    cards += [cut_after_receipts(tmp_path / f"receipts {n}", cuts=10) for n in range(3)]
    judge("power cuts", cards, tell)
