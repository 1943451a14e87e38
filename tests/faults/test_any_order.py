"""Whatever people, cameras and misfortune do, and in whatever order: no photo is lost, none is doubled, rows and files agree."""

import errno
import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from birdwatchd.core.deciding import Reason
from birdwatchd.edges.files import Files
from birdwatchd.mover import LOST
from tests import books
from tests.crash.dying import Death
from tests.faults.breaking import NO_RESERVE
from tests.faults.tripping import Fault, Machine
from tests.pictures import jpeg, png
from tests.service.running import birdwatchd
from tests.test_worker import Bench

KEPT = ("library", "review", "empty")
HOURS = 3600.0
PHOTOS = [jpeg(width=64, height=64, seed=seed) for seed in range(4)] + [png(width=64, height=64, seed=9)]
"""Few, so that the same comes again."""

SPECIES = st.sampled_from(["robin", "jay", "Zaunkönig", "empty"])
NAMES = st.sampled_from(["a.jpg", "b.jpg", "cam/a.jpg", "cam/c.png", "a b\n.jpg"])
WHICH = st.integers(0, 1000)


class AnyOrder(RuleBasedStateMachine):
    """A bird folder, and all that may happen to it. What must be in it is kept count of beside it."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.place = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.root = self.place / "birdwatch"
        self.inbox = self.root / "inbox"
        Files(self.root).create()
        self.present: Counter[str] = Counter()
        self.writing: dict[Path, tuple[IO[bytes], bytes]] = {}
        self.touched: set[str] = set()
        """Paths on the shelves that a person moved something to or from."""
        self.second_look: Counter[str] = Counter()
        """Contents that a person took away or brought: they may be judged again."""
        self.lives = 0
        self.bench = self.born()

    def born(self) -> Bench:
        self.lives += 1
        return Bench(self.root, self.place / f"lamp{self.lives}", inbox={"sweep_s": 5.0, **NO_RESERVE})

    def reborn(self) -> None:
        self.bench.close()
        self.bench = self.born()

    def teardown(self) -> None:
        try:
            for path in list(self.writing):
                self.end_writing(path)
            self.bench.let_pass(HOURS)
            self.check(settled=True)
        finally:
            for file, _ in self.writing.values():
                file.close()
            self.bench.close()
            shutil.rmtree(self.place)

    # -- what cameras and uploads do

    def gone(self, path: Path) -> None:
        """Somebody overwrites or deletes what lies there."""
        if path.exists():
            self.present[books.content(path.read_bytes())] -= 1

    @rule(name=NAMES, photo=st.sampled_from(PHOTOS))
    def a_photo_arrives(self, name: str, photo: bytes) -> None:
        path = self.inbox / name
        assume(path not in self.writing)
        path.parent.mkdir(exist_ok=True)
        self.gone(path)
        arriving = path.with_name(".arriving")
        arriving.write_bytes(photo)
        arriving.replace(path)
        self.present[books.content(photo)] += 1

    @rule(name=NAMES, photo=st.sampled_from(PHOTOS), closed=st.booleans())
    def half_a_photo_arrives(self, name: str, photo: bytes, closed: bool) -> None:
        path = self.inbox / name
        assume(not path.exists())
        path.parent.mkdir(exist_ok=True)
        half = photo[: len(photo) // 2]
        file = path.open("xb")
        file.write(half)
        file.flush()
        self.present[books.content(half)] += 1
        if closed:
            file.close()
        else:
            self.writing[path] = (file, photo)

    @precondition(lambda self: self.writing)
    @rule(which=WHICH)
    def its_other_half_arrives(self, which: int) -> None:
        self.end_writing(list(self.writing)[which % len(self.writing)])

    def end_writing(self, path: Path) -> None:
        file, photo = self.writing.pop(path)
        with file:
            assert path.stat().st_ino == os.fstat(file.fileno()).st_ino, "I4: what somebody writes is not taken"
            half = photo[: len(photo) // 2]
            file.write(photo[len(half) :])
        self.present[books.content(half)] -= 1
        self.present[books.content(photo)] += 1

    def in_inbox(self, which: int) -> Path:
        there = sorted(path for path in self.inbox.rglob("*") if path.is_file() and path not in self.writing)
        assume(there)
        return there[which % len(there)]

    @rule(which=WHICH, at=st.sampled_from([0, 1, 2**31, 10**9]))
    def a_date_is_set(self, which: int, at: int) -> None:
        os.utime(self.in_inbox(which), (at, at))

    @rule(which=WHICH, name=NAMES)
    def a_waiting_photo_is_renamed(self, which: int, name: str) -> None:
        path, target = self.in_inbox(which), self.inbox / name
        assume(not target.exists())
        target.parent.mkdir(exist_ok=True)
        path.rename(target)

    @rule(which=WHICH)
    def a_waiting_photo_is_deleted(self, which: int) -> None:
        path = self.in_inbox(which)
        self.gone(path)
        path.unlink()

    # -- what people do

    def kept(self, which: int) -> Path:
        there = sorted(path for shelf in KEPT for path in (self.root / shelf).rglob("*") if path.is_file())
        assume(there)
        path = there[which % len(there)]
        self.touched.add(path.relative_to(self.root).as_posix())
        self.second_look[books.content(path.read_bytes())] += 1
        return path

    @rule(which=WHICH, species=SPECIES, renamed=st.booleans())
    def a_kept_photo_is_moved(self, which: int, species: str, renamed: bool) -> None:
        path = self.kept(which)
        target = self.root / "library" / species / (f"mine {path.name}" if renamed else path.name)
        assume(not target.exists() and len(target.name) < 200)
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
        self.touched.add(target.relative_to(self.root).as_posix())

    @rule(which=WHICH)
    def a_kept_photo_is_deleted(self, which: int) -> None:
        path = self.kept(which)
        self.gone(path)
        path.unlink()

    @rule(which=WHICH)
    def a_kept_photo_is_dropped_again(self, which: int) -> None:
        path = self.kept(which)
        target = self.inbox / "again.jpg"
        assume(not target.exists())
        path.rename(target)

    @rule(which=WHICH, species=SPECIES)
    def a_photo_is_named(self, which: int, species: str) -> None:
        last = int(self.bench.store.connection.value("SELECT coalesce(max(id), 0) FROM photos"))
        self.bench.ask("label", photo_id=which % (last + 2), species=species)

    @rule()
    def all_is_undone(self) -> None:
        self.bench.ask("undo", since="2000", until="9999")

    # -- time and misfortune

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0, 70.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.let_pass(seconds)

    @rule()
    def it_is_started_anew(self) -> None:
        self.reborn()

    @rule(call=st.integers(1, 250))
    def it_is_killed(self, call: int) -> None:
        self.broken(Fault(call, deadly=True))

    @rule(call=st.integers(1, 250), code=st.sampled_from([errno.EIO, errno.ENOSPC, errno.EROFS]), lasting=st.booleans())
    def the_disk_fails(self, call: int, code: int, lasting: bool) -> None:
        self.broken(Fault(call, code, lasting))

    def broken(self, fault: Fault) -> None:
        machine = Machine(self.root, receipts_are_checked=False)
        machine.watch(self.bench.store)
        try:
            with machine.working(fault):
                self.bench.let_pass(12)
        except Death:
            pass
        finally:
            machine.book.close()
        self.reborn()

    # -- what must hold

    @initialize()
    def nothing_yet(self) -> None:
        self.check()

    @invariant()
    def the_books_are_right(self) -> None:
        self.check()

    def check(self, *, settled: bool = False) -> None:
        files = books.files_in(self.root, *books.RESTING, "inbox", ".birdwatchd/work")
        there = Counter(sha256 for path, sha256 in files.items() if not path.endswith(".part"))
        assert there == +self.present, f"missing {self.present - there}, too many {there - self.present}"
        with closing(sqlite3.connect(f"file:{self.root / 'birdwatchd.db'}?mode=ro", uri=True)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
            rows = db.execute("SELECT path, sha256, state, reason FROM photos").fetchall()
            judged = Counter(
                row[0] for row in db.execute("SELECT sha256 FROM predictions JOIN photos ON photos.id = photo_id")
            )
            journeys = db.execute("SELECT count(*) FROM journeys").fetchone()[0]
        assert LOST not in {reason for _, _, _, reason in rows}
        at_rest = {path: sha256 for path, sha256, state, _ in rows if state not in {"claimed", "decided", "missing"}}
        for path, sha256 in at_rest.items():
            assert path in self.touched or files.get(path) == sha256 or sha256 is None, f"the row says {path}"
        for sha256, times in judged.items():
            assert times <= 1 + self.second_look[sha256], "judged twice"
        if settled:
            resting = {path for path in files if path.split("/")[0] in books.RESTING}
            assert at_rest.keys() - self.touched == resting - self.touched
            assert (len(files), journeys) == (len(resting), 0), "something is still under way"
            assert self.bench.worker.condition.problems == {}
            assert self.bench.store.requests.open() == []
            for path in (path for path in resting if path.startswith("quarantine/")):
                assert (self.root / f"{path}.json").is_file(), f"no note beside {path}"


def in_any_order(examples: int, steps: int, *, derandomize: bool) -> None:
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=derandomize,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.fault("C13", "C14")
@pytest.mark.timeout(300)
def test_in_any_order_nothing_is_lost_or_doubled() -> None:
    in_any_order(12, 20, derandomize=True)


@pytest.mark.torture
@pytest.mark.timeout(14400)
@pytest.mark.fault("C13", "C14")
def test_in_five_hundred_long_orders_nothing_is_lost_or_doubled() -> None:
    in_any_order(500, 50, derandomize=False)


# -- people on the shelves


@pytest.fixture
def garden(root: Path, tmp_path: Path) -> Iterator[Callable[[int], Bench]]:
    made: list[Bench] = []

    def with_photos(count: int) -> Bench:
        bench = Bench(root, tmp_path / "lamp", inbox={"sweep_s": 5.0, **NO_RESERVE})
        made.append(bench)
        for seed in range(count):
            bench.drop(f"{seed}.jpg", seed=seed)
        bench.let_pass(20)
        assert bench.states() == {"review": count}
        return bench

    yield with_photos
    for one in made:
        one.close()


def photos_in(root: Path) -> list[Path]:
    return sorted((root / "review").rglob("*.jpg"), key=lambda path: int(path.name.partition("-")[0]))


def row_of(bench: Bench, photo_id: int) -> tuple[str, str | None]:
    row = bench.store.questions.photo(photo_id)
    assert row is not None
    return row["state"], row["reason"]


@pytest.mark.fault("C14")
def test_what_people_move_or_delete_is_never_made_again(garden: Callable[[int], Bench], root: Path) -> None:
    bench = garden(4)
    deleted, moved, *_ = photos_in(root)
    deleted.unlink()
    mine = root / "library" / "my robins" / f"best {moved.name}"
    mine.parent.mkdir()
    moved.rename(mine)
    before = books.files_in(root, *books.RESTING)
    bench.let_pass(HOURS)
    bench.worker.resume()
    assert books.files_in(root, *books.RESTING) == before
    assert bench.worker.condition.problems == {}
    bench.drop("0 again.jpg", seed=0)
    bench.drop("1 again.jpg", seed=1)
    bench.let_pass(20)
    assert row_of(bench, 1)[0] == "missing", "its content came again, and it was not there"
    assert row_of(bench, 5) == ("review", Reason.NO_CLASSIFIER), "what was deleted is judged again"
    assert row_of(bench, 6) == ("duplicate", Reason.SAME_BYTES)


@pytest.mark.fault("C14")
def test_when_a_whole_shelf_is_gone_nothing_is_inferred_and_the_doctor_asks_for_the_disk(
    garden: Callable[[int], Bench], root: Path
) -> None:
    bench = garden(12)
    (root / "review").rename(root.parent / "unmounted")
    (root / "review").mkdir()
    bench.let_pass(HOURS)
    assert bench.states() == {"review": 12}, "not one is called missing"
    assert "is the disk mounted?" in " ".join(birdwatchd("doctor", root=root).stdout.split())
    (root / "review").rmdir()
    (root.parent / "unmounted").rename(root / "review")
    books.check(root, Counter(books.files_in(root, "review").values()))
