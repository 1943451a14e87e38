"""The daemon's round, with a clock that is turned by hand: nothing that one photo, one file or one wish does may stop the rest."""

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from birdwatchd import keeping
from birdwatchd.core.errors import DiskFull, DiskTrouble, ModelDamaged, ModelError, NotAllowed
from birdwatchd.core.settings import Settings
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store
from birdwatchd.edges.systemd import Notifier
from birdwatchd.lamp import FRESH_S
from birdwatchd.worker import Chore, Worker
from tests import books
from tests.fakes import StubSpotter
from tests.pictures import jpeg
from tests.service.running import until


class Clock:
    """Seconds, turned by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Bench:
    """A worker on a real folder and a real log, with a stub eye."""

    def __init__(self, root: Path, lamp: Path, *, watch: Any = None, **settings: Any) -> None:
        self.root = root
        self.clock = Clock()
        self.fed = 0
        self.eye: StubSpotter | ModelError = StubSpotter()
        self.files = Files(root)
        self.files.check()
        self.store = Store.open(root / "birdwatchd.db")
        self.lamp = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.lamp.bind(str(lamp))
        self.lamp.setblocking(False)
        self.worker = Worker(
            Settings(root=root, **settings),
            self.files,
            self.store,
            load_spotter=self._open_eye,
            watch=watch,
            notifier=Notifier(str(lamp)),
            clock=self.clock,
        )
        try:
            self.worker.open_eye()
            self.worker.sweep()
        except BaseException:
            self.close()
            raise

    def _open_eye(self) -> Any:
        if isinstance(self.eye, ModelError):
            raise self.eye
        return self.eye

    def close(self) -> None:
        self.lamp.close()
        self.store.close()

    def drop(self, name: str, seed: int = 1) -> None:
        path = self.root / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(width=64, height=64, seed=seed))

    def let_pass(self, seconds: float, *, at_most_steps: int = 10_000) -> int:
        """Let the worker live that long; returns how many rounds it made."""
        until = self.clock.now_s + seconds
        steps = 0
        while self.clock.now_s < until:
            pause_s = self.worker.step()
            steps += 1
            assert steps <= at_most_steps, "the worker spins"
            self.clock.now_s += max(pause_s, 0.001)
            self.fed += self._heard()
        return steps

    def _heard(self) -> int:
        fed = 0
        while True:
            try:
                fed += b"WATCHDOG=1" in self.lamp.recv(4096)
            except BlockingIOError:
                return fed

    def states(self) -> dict[str, int]:
        return self.store.questions.states()

    def ask(self, kind: str, **arguments: Any) -> int:
        return self.store.requests.ask(kind, arguments, actor="test", at=now_utc())


@pytest.fixture
def bench(root: Path, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**settings: Any) -> Bench:
        made.append(Bench(root, tmp_path / f"lamp{len(made)}", **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_settled_photo_is_taken_within_a_sweep(bench: Callable[..., Bench]) -> None:
    garden = bench()
    garden.drop("a.jpg")
    garden.let_pass(35)
    assert garden.states() == {"review": 1}


def test_a_hint_makes_it_quicker_than_the_sweep(bench: Callable[..., Bench]) -> None:
    garden = bench()
    garden.let_pass(1)
    garden.drop("a.jpg")
    garden.worker.hint("a.jpg")
    garden.let_pass(3)
    assert garden.states() == {"review": 1}


def test_a_wish_that_nobody_understands_stands_in_nobodys_way(bench: Callable[..., Bench]) -> None:
    garden = bench()
    garden.drop("a.jpg")
    garden.let_pass(35)
    broken, unknown, good = garden.ask("label"), garden.ask("fly"), garden.ask("label", photo_id=1, species="robin")
    garden.let_pass(5)
    outcomes = [garden.store.requests.get(number).outcome for number in (broken, unknown, good)]
    assert outcomes == ["failed", "failed", "done"]


def test_a_wish_that_cannot_be_done_now_holds_up_no_photo_no_other_wish_and_not_the_watchdog(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    garden = bench()
    garden.drop("a.jpg")
    garden.drop("b.jpg", seed=2)
    garden.let_pass(35)
    (tmp_path / "elsewhere").mkdir()
    (garden.root / "library" / "wren").symlink_to(tmp_path / "elsewhere")
    stuck, good = garden.ask("label", photo_id=1, species="wren"), garden.ask("label", photo_id=2, species="robin")
    garden.drop("c.jpg", seed=3)
    before = garden.fed
    garden.let_pass(120)
    assert garden.fed - before > 10
    assert garden.store.requests.get(good).outcome == "done"
    assert "symbolic link" in garden.store.requests.get(stuck).result["waiting"]
    assert garden.states() == {"filed": 1, "review": 2}
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert "symbolic link" in garden.worker.condition.problems["request"], "it does not come and go"
    (garden.root / "library" / "wren").unlink()
    garden.let_pass(40)
    assert garden.store.requests.get(stuck).outcome == "done"
    assert garden.worker.condition.problems == {}


def test_a_file_of_an_import_that_cannot_be_read_is_listed_and_the_rest_imported(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    garden = bench()
    tree = tmp_path / "tree" / "robin"
    tree.mkdir(parents=True)
    (tree / "good.jpg").write_bytes(jpeg(width=64, height=64, seed=5))
    (tree / "gone.jpg").symlink_to(tree / "nowhere.jpg")
    (tree / "loop").symlink_to(tree / "loop")
    wish = garden.ask("import", folder=str(tree.parent))
    garden.let_pass(10)
    request = garden.store.requests.get(wish)
    assert (request.outcome, request.result["imported"]) == ("done", 1)


def test_a_wish_that_is_called_off_ends(bench: Callable[..., Bench], tmp_path: Path) -> None:
    garden = bench()
    tree = tmp_path / "tree" / "robin"
    tree.mkdir(parents=True)
    for seed in range(40):
        (tree / f"{seed}.jpg").write_bytes(jpeg(width=64, height=64, seed=seed))
    clock = garden.clock

    wish = garden.ask("import", folder=str(tree.parent))
    looked = StubSpotter.spot

    def slow(eye: StubSpotter, inputs: Any) -> Any:
        clock.now_s += 0.4  # each photo takes its time, so that one slice is not enough
        return looked(eye, inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StubSpotter, "spot", slow)
        garden.worker.step()
        garden.store.requests.finish(wish, "failed", {"error": "it was called off"}, at=now_utc())
        garden.let_pass(30)
    assert 0 < garden.states().get("filed", 0) < 10
    assert garden.store.requests.get(wish).outcome == "failed"


def test_when_the_network_fails_photos_stay_in_the_inbox_until_it_is_back(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = bench()

    def fail(*_: object) -> None:
        raise ModelError("the graphics card is gone")

    with monkeypatch.context() as patch:
        patch.setattr(StubSpotter, "spot", fail)
        garden.eye = ModelDamaged("still gone")
        garden.drop("a.jpg")
        garden.let_pass(40)
        for seed in range(2, 6):
            garden.drop(f"{seed}.jpg", seed=seed)
        garden.let_pass(100)
    assert garden.states() == {"claimed": 1}, "only the one that was in work"
    assert "spotter" in garden.worker.condition.problems
    garden.eye = StubSpotter()
    garden.let_pass(40)
    assert garden.states() == {"review": 5}
    assert garden.worker.condition.problems == {}


def test_files_that_may_not_be_opened_are_told_of_and_do_not_make_it_spin(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = bench()
    for number in range(50):
        garden.drop(f"locked-{number}.jpg", seed=number)
    look = garden.files.look
    monkeypatch.setattr(garden.files, "look", lambda path: None if path.startswith("locked") else look(path))
    steps = garden.let_pass(300, at_most_steps=3000)
    assert "49 more" in garden.worker.condition.problems["inbox"]
    garden.drop("open.jpg", seed=99)
    garden.let_pass(35)
    assert garden.states() == {"review": 1}
    assert "inbox" in garden.worker.condition.problems, "it does not come and go"
    monkeypatch.setattr(garden.files, "look", look)
    garden.let_pass(120)
    assert garden.states() == {"review": 51}
    assert garden.worker.condition.problems == {}
    assert steps < 3000


def test_a_file_that_its_folder_keeps_is_named_and_holds_up_no_other(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = bench()
    garden.drop("kept.jpg")
    garden.drop("free.jpg", seed=2)
    claim = garden.files.claim

    def refuse(inbox_path: str, *rest: Any) -> None:
        if inbox_path == "kept.jpg":
            raise NotAllowed("kept.jpg may not be taken: Permission denied")
        claim(inbox_path, *rest)

    monkeypatch.setattr(garden.files, "claim", refuse)
    garden.let_pass(100)
    assert garden.states() == {"review": 1}
    assert "kept.jpg" in garden.worker.condition.problems["inbox"]
    monkeypatch.setattr(garden.files, "claim", claim)
    garden.let_pass(100)
    assert garden.states() == {"review": 2}
    assert "inbox" not in garden.worker.condition.problems


def test_quarantine_is_emptied_only_when_a_person_says_so_and_never_of_whole_files(
    bench: Callable[..., Bench], root: Path
) -> None:
    for days, left in ((0, 2), (30, 1)):
        garden = bench(retention={"quarantine_days": days})
        if days == 0:
            (root / "inbox" / "notes.txt").write_bytes(b"buy seeds\n")
            (root / "inbox" / "film.mp4").write_bytes(
                b"\x00\x00\x00\x14ftypisom\x00\x00\x00\x00isom\x00\x00\x00\x08free"
            )
            garden.let_pass(35)
            assert garden.states() == {"quarantined": 2}
            for day in range(1, 32):
                lived = (day, f"2026-01-{day:02}T00:00:00.000Z")
                garden.store.connection.execute("INSERT INTO lived_days VALUES (?, ?, '', 0, 2)", lived)
        garden.worker.do_chore(Chore("expire-quarantine"))
        assert len(books.files_in(root, "quarantine")) == left
        assert garden.states() == ({"quarantined": 2} if days == 0 else {"missing": 1, "quarantined": 1})
        garden.worker.do_chore(Chore("expire-quarantine"))
        garden.close()
    books.check(root, Counter(books.files_in(root, "quarantine").values()))
    assert list((root / "quarantine").rglob("notes*")) == [], "the note went with its file"


def test_the_chores_of_keeping_are_done_and_their_trouble_keeps_no_photo_waiting(
    bench: Callable[..., Bench], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = bench()
    garden.worker.do_chore(Chore("tidy"))
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "RESERVE_BYTES", 1 << 60)
        garden.worker.do_chore(Chore("backup"))
    assert "no room for a backup" in garden.worker.condition.problems["backup"]
    garden.drop("a.jpg")
    garden.let_pass(35)
    assert garden.states() == {"review": 1}
    garden.worker.do_chore(Chore("backup"))
    backups = root / ".birdwatchd/backups"
    until("a backup", lambda: any(backups.glob("birdwatchd-*.db")))

    def all_is_well() -> bool:
        garden.worker.do_chore(Chore("backup"))
        return "backup" not in garden.worker.condition.problems

    until("the errand back", all_is_well)
    garden.worker.keeper.close()


def test_the_checkpoint_empties_the_write_ahead_log(bench: Callable[..., Bench], root: Path) -> None:
    garden = bench()
    garden.drop("a.jpg")
    garden.let_pass(35)
    assert (root / "birdwatchd.db-wal").stat().st_size > 0
    garden.worker.do_chore(Chore("checkpoint"))
    assert (root / "birdwatchd.db-wal").stat().st_size == 0


def test_the_status_says_what_is(bench: Callable[..., Bench]) -> None:
    garden = bench()
    garden.drop("a.jpg")
    garden.let_pass(36)
    status = garden.store.requests.status()
    assert status is not None
    assert (status["state"], status["waiting"], status["in_flight"]) == ("working", 0, 0)
    assert status["spotter_id"] == StubSpotter().id
    assert status["last_photo_at"]
    garden.worker.note_stop()
    status = garden.store.requests.status()
    assert status is not None
    assert (status["state"], status["pid"]) == ("stopped", None)


def test_one_photo_that_cannot_be_read_holds_up_no_other(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = bench(inbox={"sweep_s": 2.0})
    read = garden.files.read

    def failing_disk(relative: str, *, max_bytes: int) -> bytes:
        if relative.endswith("work/1"):
            raise DiskTrouble("cannot read work/1: Input/output error")
        return read(relative, max_bytes=max_bytes)

    with monkeypatch.context() as patch:
        patch.setattr(garden.files, "read", failing_disk)
        garden.drop("bad.jpg")
        garden.let_pass(10)
        garden.drop("good.jpg", seed=2)
        garden.let_pass(60)
        assert garden.states() == {"claimed": 1, "review": 1}
        assert "Input/output error" in garden.worker.condition.problems["unfinished"]
    garden.let_pass(10)
    assert garden.states() == {"review": 2}
    assert garden.worker.condition.problems == {}


def test_trouble_with_the_log_stays_a_problem_until_it_is_over(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = bench()

    def full(_: object) -> None:
        raise DiskFull("cannot write the log: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(garden.store.requests, "write_status", full)
        garden.let_pass(40)
        assert "the disk is full" in garden.worker.condition.problems["log"]
    garden.let_pass(40)
    assert garden.worker.condition.problems == {}


def test_below_its_reserve_the_disk_gets_no_more_photos_and_above_it_they_are_taken(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = bench()
    free = [(100_000_000, 10_000)]
    monkeypatch.setattr(garden.files, "_room", lambda: free[0])
    garden.drop("a.jpg")
    steps = garden.let_pass(300, at_most_steps=1000)
    assert garden.states() == {}
    assert "less than 200 MB are free" in garden.worker.condition.problems["room"]
    assert garden.fed > 10, "waiting for room is no reason to be restarted"
    assert steps < 1000
    free[0] = (300_000_000, 5)
    garden.let_pass(30)
    assert "room for hardly 100 more files" in garden.worker.condition.problems["room"]
    free[0] = (300_000_000, 10_000)
    garden.let_pass(10)
    assert garden.states() == {"review": 1}
    assert garden.worker.condition.problems == {}


def test_a_reserve_of_nothing_lets_the_disk_fill(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    garden = bench(inbox={"reserve_mb": 0})
    monkeypatch.setattr(garden.files, "_room", lambda: (0, 0))
    garden.drop("a.jpg")
    garden.let_pass(35)
    assert garden.states() == {"review": 1}


def test_the_watchdog_is_not_fed_by_a_loop_that_finishes_nothing(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = bench()
    garden.let_pass(100)
    assert garden.fed > 10
    monkeypatch.setattr(garden.worker, "sweep", lambda: None)
    garden.let_pass(FRESH_S, at_most_steps=100_000)
    fed = garden.fed
    garden.let_pass(100, at_most_steps=100_000)
    assert garden.fed == fed
    monkeypatch.undo()
    garden.let_pass(10)
    assert garden.fed > fed


def test_want_of_room_is_over_when_there_is_room_even_if_no_photo_waits_any_more(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = bench()
    garden.drop("a.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(garden.files, "_room", lambda: (0, 10_000))
        garden.let_pass(35)
        assert "room" in garden.worker.condition.problems
        (garden.root / "inbox" / "a.jpg").unlink()
    garden.let_pass(35)
    assert garden.worker.condition.problems == {}
