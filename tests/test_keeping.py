"""Backups and the end of quarantine, on a real folder and a real log: nothing good is given up before something better is proved."""

import datetime as dt
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from birdwatchd import keeping
from birdwatchd.core import shelving
from birdwatchd.core.errors import ConfigError, DamagedDatabase, DiskFull, DiskTrouble, TransientError
from birdwatchd.core.settings import Retention
from birdwatchd.edges.clock import since_boot
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store, copies
from birdwatchd.keeping import Keeper, make_backup
from tests.edges.test_store import all_of, arrive, quarantined
from tests.service.running import until

THEN = "2026-05-01T05:30:00.250Z"
HOUR = 3600.0


class Garden:
    """A bird folder with its keeper, and clocks that are turned by hand."""

    def __init__(self, root: Path, **retention: int) -> None:
        self.root = root
        self.files = Files(root)
        self.files.check()
        self.store = Store.open(root / "birdwatchd.db")
        self.ran_s = 0.0
        self.wall = dt.datetime.now(dt.UTC)  # an errand looks at the real one
        self.boot = "first"
        self.keeper = Keeper(
            self.files,
            self.store,
            Retention(**{"quarantine_days": 0, "backups": 3} | retention),
            clock=lambda: self.ran_s,
            now=self.now,
            uptime=lambda: (self.boot, self.ran_s),
        )

    def now(self) -> str:
        return self.wall.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def let_pass(self, hours: float) -> None:
        self.ran_s += hours * HOUR
        self.wall += dt.timedelta(hours=hours)

    def backups(self) -> list[int]:
        return [one.number for one in copies.backups_in(self.root / shelving.BACKUPS)]

    def back_up_to_the_end(self) -> None:
        """The chore, and once more when its errand is back."""
        self.keeper.back_up()
        until("the errand is back", self.is_back)
        self.keeper.back_up()

    def is_back(self) -> bool:
        sent = self.keeper._errand
        return sent is None or sent._child.poll() is not None

    def close(self) -> None:
        self.keeper.close()
        self.store.close()


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root)
    yield one
    one.close()


@pytest.fixture
def backups(root: Path) -> Path:
    return root / shelving.BACKUPS


# -- one backup


def test_a_backup_is_whole_and_proved_and_named_by_time_and_number(garden: Garden, backups: Path) -> None:
    arrive(garden.store)
    made = make_backup(garden.files, keep=3, at=THEN)
    assert (made.proof.photos, made.removed) == (1, [])
    assert [path.name for path in backups.iterdir()] == ["birdwatchd-20260501T053000Z-1.db"]
    assert made.backup.path.parent == backups
    with Store.read_only(made.backup.path) as then:
        assert then.questions.states() == {"filed": 1}


def test_the_oldest_backups_make_room_whatever_the_clock_says(garden: Garden) -> None:
    leaps = (0, 10 * 365, -50 * 365, 1, 2)
    for days in leaps:
        at = garden.wall + dt.timedelta(days=days)
        make_backup(garden.files, keep=3, at=at.isoformat())
    assert garden.backups() == [3, 4, 5]
    make_backup(garden.files, keep=0, at=garden.now())
    assert garden.backups() == [3, 4, 5, 6], "without a limit none goes"
    made = make_backup(garden.files, keep=1, at=garden.now())
    assert garden.backups() == [7]
    assert len(made.removed) == 4


@pytest.mark.fault("S04")
def test_no_old_backup_goes_for_one_that_could_not_be_made(garden: Garden, root: Path, backups: Path) -> None:
    for _ in range(50):
        arrive(garden.store)
    make_backup(garden.files, keep=1, at=THEN)
    garden.close()
    log = root / "birdwatchd.db"
    whole = log.read_bytes()
    log.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
    for spoiled in (log.read_bytes(), b"buy seeds\n" * 999):
        log.write_bytes(spoiled)
        with pytest.raises(DamagedDatabase):
            make_backup(garden.files, keep=1, at=THEN)
        assert [path.name for path in backups.iterdir()] == ["birdwatchd-20260501T053000Z-1.db"]


def test_a_copy_that_turns_out_damaged_is_no_backup(
    garden: Garden, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(50):
        arrive(garden.store)
    make_backup(garden.files, keep=1, at=THEN)
    copy = copies.copy_log

    def badly(source: Path, target: Path, *, gently: bool) -> None:
        copy(source, target, gently=gently)
        os.truncate(target, target.stat().st_size - 8192)

    monkeypatch.setattr(keeping, "copy_log", badly)
    with pytest.raises(DamagedDatabase):
        make_backup(garden.files, keep=1, at=THEN)
    assert [path.name for path in backups.iterdir()] == ["birdwatchd-20260501T053000Z-1.db"]


def test_what_a_killed_backup_left_is_cleared_away_and_others_files_stay(garden: Garden, backups: Path) -> None:
    backups.mkdir()
    for name in (".birdwatchd-20260501T053000Z-7.db.part", ".birdwatchd-20260501T053000Z-7.db.part-journal", "mine.db"):
        (backups / name).write_bytes(b"half")
    make_backup(garden.files, keep=3, at=THEN)
    assert sorted(path.name for path in backups.iterdir()) == ["birdwatchd-20260501T053000Z-1.db", "mine.db"]


@pytest.mark.fault("D01")
def test_a_backup_leaves_room_for_photos(garden: Garden, backups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive(garden.store)
    room = os.statvfs(garden.root)
    monkeypatch.setattr(keeping, "RESERVE_BYTES", room.f_blocks * room.f_frsize)
    with pytest.raises(DiskFull, match="no room for a backup") as refused:
        make_backup(garden.files, keep=3, at=garden.now())
    assert "backups = 0" in refused.value.hint
    assert list(backups.iterdir()) == []


def test_there_is_no_backup_of_no_log(root: Path) -> None:
    with pytest.raises(ConfigError, match="there is no log"):
        make_backup(Files(root), keep=3, at=THEN)
    assert not (root / "birdwatchd.db").exists()


# -- the daily chore


def test_a_backup_is_made_each_day_and_so_many_are_kept(root: Path) -> None:
    garden = Garden(root, backups=2)
    for _ in range(3 * 4):  # looked at every six hours
        garden.back_up_to_the_end()
        garden.let_pass(6)
    garden.close()
    assert garden.backups() == [2, 3]


def test_a_machine_that_starts_again_and_again_makes_no_backup_each_time(root: Path, garden: Garden) -> None:
    garden.back_up_to_the_end()
    for _ in range(3):
        garden.close()
        garden.__init__(root)  # type: ignore[misc]  # as another process would begin
        garden.wall += dt.timedelta(hours=1)
        garden.back_up_to_the_end()
    assert garden.backups() == [1]


@pytest.mark.fault("T01", "T02")
def test_a_clock_that_leaps_makes_no_backup_while_the_daemon_runs_and_ends_none_for_years(garden: Garden) -> None:
    garden.back_up_to_the_end()
    for days in (3650, -3650 * 2, 3650, 1):
        garden.wall += dt.timedelta(days=days)
        garden.ran_s += HOUR
        garden.back_up_to_the_end()
    assert garden.backups() == [1]
    garden.let_pass(20)
    garden.back_up_to_the_end()
    assert garden.backups() == [1, 2], "a day after the last, whatever the clock says"


@pytest.mark.fault("T01")
def test_a_backup_from_the_future_does_not_stop_those_of_today(root: Path, garden: Garden) -> None:
    make_backup(garden.files, keep=3, at=(garden.wall + dt.timedelta(days=3650)).isoformat())
    garden.back_up_to_the_end()
    assert garden.backups() == [1, 2]
    garden.close()
    garden.__init__(root)  # type: ignore[misc]
    garden.wall -= dt.timedelta(hours=3)  # set back a little: still the same day
    garden.back_up_to_the_end()
    assert garden.backups() == [1, 2]


def test_no_backups_are_made_where_none_are_wanted(root: Path) -> None:
    garden = Garden(root, backups=0)
    garden.back_up_to_the_end()
    garden.close()
    assert not (root / shelving.BACKUPS).exists()


def test_photos_go_on_while_a_backup_is_made(garden: Garden) -> None:
    garden.keeper.back_up()
    arrive(garden.store)
    garden.keeper.back_up()
    until("the errand is back", garden.is_back)
    garden.keeper.back_up()
    assert garden.backups() == [1]


def test_a_backup_that_fails_is_told_until_one_is_made(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "RESERVE_BYTES", 1 << 60)
        for _ in range(2):
            with pytest.raises(DiskFull, match="no room"):
                garden.keeper.back_up()
    (garden.root / shelving.BACKUPS).rmdir()
    (garden.root / shelving.BACKUPS).write_bytes(b"a file in its place")
    with pytest.raises(DiskTrouble):
        garden.keeper.back_up()
    (garden.root / shelving.BACKUPS).unlink()
    with pytest.raises(DiskTrouble):  # told until the errand is back
        garden.keeper.back_up()
    until("the errand is back", garden.is_back)
    garden.keeper.back_up()
    assert garden.backups() == [1]


def test_a_backup_that_a_person_makes_ends_the_trouble(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "RESERVE_BYTES", 1 << 60)
        with pytest.raises(DiskFull, match="no room"):
            garden.keeper.back_up()
    make_backup(garden.files, keep=3, at=garden.now())
    garden.keeper.back_up()
    assert garden.backups() == [1]


@pytest.mark.fault("S04")
def test_what_the_errand_said_is_passed_on(root: Path) -> None:
    garden = Garden(root)
    for _ in range(50):
        arrive(garden.store)
    garden.store.connection.checkpoint()
    whole = (root / "birdwatchd.db").read_bytes()
    garden.close()
    (root / "birdwatchd.db").write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
    garden.keeper.back_up()
    until("the errand is back", garden.is_back)
    with pytest.raises(TransientError, match=r"no backup was made: .*birdwatchd\.db is damaged") as told:
        garden.keeper.back_up()
    assert "birdwatchd restore" in told.value.hint
    garden.keeper.close()


@pytest.mark.fault("C11")
def test_without_room_for_another_process_the_daemon_lives_on(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        with pytest.raises(TransientError, match="cannot start another process"):
            garden.keeper.back_up()


@pytest.mark.fault("C05")
def test_a_backup_that_is_being_made_when_the_daemon_stops_is_called_off_and_leaves_nothing_that_counts(
    garden: Garden, backups: Path
) -> None:
    with closing(sqlite3.connect(garden.root / "birdwatchd.db", isolation_level=None)) as db:
        count = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)"
        row = "'x', randomblob(4000), ''"
        db.execute(f"INSERT INTO requests (kind, arguments, requested_at) {count} SELECT {row} FROM n")  # noqa: S608
    garden.keeper.back_up()
    sent = garden.keeper._errand
    assert sent is not None
    until("it has begun", lambda: (backups.is_dir() and any(backups.glob(".*.part"))) or sent._child.poll() is not None)
    garden.keeper.close()
    assert sent._child.returncode == -signal.SIGKILL
    assert garden.backups() == []
    garden.keeper.back_up()
    until("the errand is back", garden.is_back)
    garden.keeper.back_up()
    assert [path.name.startswith("birdwatchd-") for path in backups.iterdir()] == [True]


def test_a_backup_that_never_ends_is_called_off_and_told(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    garden.keeper.back_up()
    sent = garden.keeper._errand
    assert sent is not None
    os.kill(sent._child.pid, signal.SIGSTOP)
    garden.let_pass(7)
    monkeypatch.setattr(keeping, "RESERVE_BYTES", 1 << 60)  # so that the next is not begun at once
    with pytest.raises(DiskFull):
        garden.keeper.back_up()
    assert sent._child.returncode == -signal.SIGKILL


# -- quarantine


def put_into_quarantine(garden: Garden, reason: str) -> tuple[int, Path]:
    photo_id = quarantined(garden.store, reason)
    path = garden.root / f"quarantine/{reason}/{photo_id}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"no bird")
    path.with_name(f"{path.name}.json").write_text("{}")
    return photo_id, path


def test_quarantine_is_emptied_after_so_many_lived_days_but_for_whole_files(root: Path) -> None:
    garden = Garden(root, quarantine_days=3)
    _, broken = put_into_quarantine(garden, "damaged")
    _, film = put_into_quarantine(garden, "unsupported")
    for _ in range(4):
        assert broken.exists()
        garden.keeper.expire_quarantine()
        garden.let_pass(24)
    assert (broken.exists(), broken.with_name(f"{broken.name}.json").exists()) == (False, False)
    assert film.exists()
    assert garden.store.questions.states() == {"missing": 1, "quarantined": 1}
    for _ in range(50):
        garden.keeper.expire_quarantine()
        garden.let_pass(24)
    assert film.exists()
    garden.close()


def test_nothing_is_deleted_by_default_and_the_days_are_counted_all_the_same(garden: Garden, root: Path) -> None:
    _, broken = put_into_quarantine(garden, "damaged")
    for _ in range(50):
        garden.keeper.expire_quarantine()
        garden.let_pass(24)
    assert broken.exists()
    garden.close()
    sure = Garden(root, quarantine_days=30)
    sure.keeper.expire_quarantine()
    sure.close()
    assert not broken.exists()


@pytest.mark.fault("T01", "T02", "T03")
def test_no_leap_of_the_clock_deletes_anything(root: Path) -> None:
    garden = Garden(root, quarantine_days=2)
    _, broken = put_into_quarantine(garden, "damaged")
    for year in (2036, 1970, 2050, 2026, 9000, 2026):  # each time a restart of the daemon, and an hour
        garden.wall = garden.wall.replace(year=year)
        garden.ran_s += HOUR
        garden.keeper.expire_quarantine()
    assert broken.exists()
    garden.boot, garden.ran_s = "second", 60.0
    garden.wall = garden.wall.replace(year=2037)
    garden.keeper.expire_quarantine()
    assert broken.exists(), "one leap with a start of the machine"
    garden.close()


def test_another_file_that_a_person_put_in_its_place_stays(root: Path) -> None:
    garden = Garden(root, quarantine_days=1)
    _, replaced = put_into_quarantine(garden, "damaged")
    replaced.write_bytes(b"something else that I keep here")
    _, gone = put_into_quarantine(garden, "damaged")
    gone.unlink()
    for _ in range(3):
        garden.keeper.expire_quarantine()
        garden.let_pass(24)
    assert replaced.exists()
    assert garden.store.questions.states() == {"missing": 2}
    garden.close()


def test_a_file_that_cannot_be_deleted_holds_up_no_other_and_is_tried_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = Garden(root, quarantine_days=1)
    _, stuck = put_into_quarantine(garden, "damaged")
    _, other = put_into_quarantine(garden, "damaged")
    garden.keeper.expire_quarantine()
    garden.let_pass(24)
    remove = garden.files.remove_from_quarantine

    def refuse(photo: str) -> None:
        if photo.endswith(stuck.name):
            raise DiskTrouble(f"cannot remove {photo}: Operation not permitted")
        remove(photo)

    with monkeypatch.context() as patch:
        patch.setattr(garden.files, "remove_from_quarantine", refuse)
        with pytest.raises(DiskTrouble, match="not permitted"):
            garden.keeper.expire_quarantine()
    assert (stuck.exists(), other.exists()) == (True, False)
    garden.keeper.expire_quarantine()
    assert not stuck.exists()
    assert garden.store.questions.states() == {"missing": 2}
    garden.close()


def test_not_everything_is_deleted_in_one_go(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST_EXPIRED", 2)
    garden = Garden(root, quarantine_days=1)
    files = [put_into_quarantine(garden, "damaged")[1] for _ in range(5)]
    garden.keeper.expire_quarantine()
    garden.let_pass(24)
    garden.keeper.expire_quarantine()
    assert [path.exists() for path in files] == [False, False, True, True, True]
    garden.close()


def test_a_death_between_file_and_row_is_made_good_by_the_next_chore(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = Garden(root, quarantine_days=1)
    _, broken = put_into_quarantine(garden, "damaged")
    garden.keeper.expire_quarantine()
    garden.let_pass(24)

    def die(_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(garden.store.journeys, "record_missing", die)
        with pytest.raises(InterruptedError):
            garden.keeper.expire_quarantine()
    assert not broken.exists()
    assert garden.store.questions.states() == {"quarantined": 1}
    garden.keeper.expire_quarantine()
    assert garden.store.questions.states() == {"missing": 1}
    garden.close()


def test_the_kernels_clock_names_its_start_and_goes_on() -> None:
    boot, begun_s = since_boot()
    again, later_s = since_boot()
    assert (boot, len(boot)) == (again, 36)
    assert 0 < begun_s <= later_s


def test_wishes_of_long_ago_are_let_go(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "REQUESTS_KEPT", 2)
    for _ in range(5):
        number = garden.store.requests.ask("undo", {}, actor=None, at=garden.now())
        garden.store.requests.finish(number, "done", {}, at=garden.now())
    garden.keeper.tidy()
    assert [row["id"] for row in all_of(garden.store, "requests")] == [4, 5]
