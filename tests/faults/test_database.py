"""The log in trouble: many writers, a lock that is held, an endless reader, damage, parts that are gone, a migration that is killed."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdwatchd import chores
from birdwatchd.core import shelving
from birdwatchd.core.errors import DamagedDatabase, DiskFull
from birdwatchd.core.intake import camera_of
from birdwatchd.core.journey import Claim
from birdwatchd.core.photo import Stamp
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Connection, Store, connection, work_path
from birdwatchd.edges.store.schema import migrations
from tests import books
from tests.faults.breaking import NO_RESERVE, fill, small_disk, traced
from tests.faults.told import at_rest, nobody_complains, rows
from tests.pictures import jpeg
from tests.service.running import STUBBED, birdwatchd, daemon, until
from tests.test_worker import Bench

LOG = shelving.DATABASE
PARTS = ("", "-wal", "-shm")


def photo(seed: int) -> bytes:
    return jpeg(width=64, height=64, seed=seed)


def drop(root: Path, *seeds: int) -> Counter[str]:
    """Put photos into the inbox; returns their contents."""
    for seed in seeds:
        (root / "inbox" / f"{seed}.jpg").write_bytes(photo(seed))
    return Counter(books.content(photo(seed)) for seed in seeds)


def everything(root: Path) -> Counter[str]:
    """Contents of all photos anywhere in the bird folder."""
    return Counter(books.files_in(root, *books.RESTING, "inbox", ".birdwatchd/work").values())


@contextmanager
def garden(root: Path, lamp: Path) -> Iterator[Bench]:
    bench = Bench(root, lamp, inbox={"sweep_s": 2.0, **NO_RESERVE})
    try:
        yield bench
    finally:
        bench.close()


# -- many writers

WISHING = """
import sys
from pathlib import Path
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.store import Store
with Store.open(Path(sys.argv[1]), migrate=False) as store:
    for number in range(int(sys.argv[2])):
        kind, about = [("label", {"photo_id": number % 8 + 1, "species": f"bird {number % 3}"}), ("fly", {})][number % 2]
        wish = store.requests.ask(kind, about, actor="test", at=now_utc())
        if number % 5 == 0:
            store.requests.withdraw(wish)
"""

READING = """
import sqlite3, sys, time
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
while True:
    for view in ("sightings", "daily_counts", "review_queue", "current_predictions", "requests"):
        for _ in db.execute(f"SELECT * FROM {view}"):
            time.sleep(0.001)
"""


def let_many_write(root: Path, *, wishes: int) -> None:
    """A daemon at work, two programs that leave wishes as fast as they can, and one that keeps reading."""
    dropped = drop(root, *range(1, 9))
    with daemon(root, command=STUBBED) as running:
        until("photos to name", lambda: at_rest(root) == 8)
        reader = subprocess.Popen([sys.executable, "-c", READING, str(root / LOG)])
        writers = [
            subprocess.Popen([sys.executable, "-c", WISHING, str(root / LOG), str(wishes)], stderr=subprocess.PIPE)
            for _ in range(2)
        ]
        try:
            for seed in range(100, 140):
                dropped += drop(root, seed)
                time.sleep(0.02)
            said = [writer.communicate(timeout=600)[1] for writer in writers]
            assert said == [b"", b""]
            until("all at rest", lambda: at_rest(root) == 48)
            with Store.read_only(root / LOG) as store:
                until("no wish is left", lambda: store.requests.open() == [])
                outcomes = Counter(row["outcome"] for row in store.connection.rows("SELECT outcome FROM requests"))
        finally:
            reader.kill()
            reader.wait()
            for writer in writers:
                writer.kill()
                writer.wait()
        nobody_complains(root)
        assert running.stop() == 0
        assert "locked" not in running.err.read_text()
    assert outcomes["done"] > wishes / 2
    assert outcomes["failed"] > wishes / 2
    books.check(root, dropped)


@pytest.mark.fault("S01")
def test_a_daemon_two_writers_and_a_reader_never_find_the_log_locked(root: Path) -> None:
    """About 2,500 transactions: each wish is left, taken and fulfilled, a label in three steps more."""
    let_many_write(root, wishes=300)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.fault("S01")
def test_ten_thousand_transactions_never_find_the_log_locked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.service.running.PATIENCE_S", 600.0)
    let_many_write(root, wishes=1400)


# -- locked


def lamps(notices: Callable[[], list[str]], seconds: float) -> list[float]:
    """When the watchdog was fed during that time, with its begin and end."""
    begun = time.monotonic()
    lit = [begun]
    while time.monotonic() < begun + seconds:
        if any("WATCHDOG=1" in notice for notice in notices()):
            lit.append(time.monotonic())
        time.sleep(0.1)
    return [*lit, time.monotonic()]


@pytest.mark.fault("S02")
@pytest.mark.timeout(240)
def test_a_lock_that_another_program_holds_for_half_a_minute_is_told_and_puts_no_lamp_out(root: Path) -> None:
    dropped = drop(root, 1, 2)
    with daemon(root, command=STUBBED) as running, closing(sqlite3.connect(root / LOG, timeout=30)) as other:
        until("photos to name", lambda: at_rest(root) == 2)
        with Store.open(root / LOG, migrate=False) as store:
            wish = store.requests.ask("label", {"photo_id": 1, "species": "robin"}, actor="test", at=now_utc())
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        running.notices()
        dropped += drop(root, *range(3, 20))
        lit = lamps(running.notices, 30)
        assert max(after - before for before, after in pairwise(lit)) < 12, "the watchdog waits 60 s"
        until("the service manager is told", lambda: any("locked" in one for one in running.notices()))
        assert not dropped - everything(root)
        other.execute("ROLLBACK")
        until("all at rest", lambda: at_rest(root) == 19)
        nobody_complains(root)
        with Store.read_only(root / LOG) as store:
            until("the wish is fulfilled", lambda: store.requests.get(wish).outcome == "done")
        assert running.stop() == 0
    books.check(root, dropped)


def interrupted(root: Path, seeds: range) -> Counter[str]:
    """What a process that was killed leaves: every second photo claimed in the log only, the others taken, too."""
    files = Files(root)
    files.check()
    dropped = drop(root, *seeds)
    with Store.open(root / LOG) as store:
        for seed in seeds:
            stamp = files.inbox_stamp(f"{seed}.jpg")
            assert stamp is not None
            (photo_id,) = store.journeys.record_claims([Claim(f"{seed}.jpg", stamp, camera_of("x"), now_utc())])
            if seed % 2:
                files.claim(f"{seed}.jpg", stamp, work_path(photo_id))
    return dropped


@pytest.mark.fault("S02")
def test_work_that_was_cut_short_waits_for_the_lock_and_lights_the_lamp_meanwhile(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0.1)
    monkeypatch.setattr(connection, "BUSY_SLICE_S", 0.02)
    dropped = interrupted(root, range(20))
    with garden(root, tmp_path / "lamp") as bench, closing(sqlite3.connect(root / LOG, timeout=0)) as other:
        assert sum(bench.states().values()) == 10, "those that never left the inbox are forgotten, the others looked at"
        bench.let_pass(20)
        books.check(root, dropped)
        dropped += interrupted(root, range(100, 120))
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        lit: list[float] = []
        monkeypatch.setattr(bench.store.connection, "alive", lambda: lit.append(time.monotonic()))
        begun = time.monotonic()
        bench.worker.sweep()
        gaps = [after - before for before, after in pairwise([begun, *lit, time.monotonic()])]
        assert len(lit) > 10
        assert max(gaps) < 0.5, "five slices of a lock, however many wait"
        assert "locked" in bench.worker.in_words()
        other.execute("ROLLBACK")
        bench.let_pass(60)
        assert bench.worker.condition.problems == {}
        books.check(root, dropped)


# -- an endless reader


@pytest.mark.fault("S03")
def test_a_reader_without_an_end_is_told_and_what_it_kept_back_is_tidied_when_it_ends(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "WAL_ALERT_BYTES", 1 << 20)
    dropped: Counter[str] = Counter()
    with garden(root, tmp_path / "lamp") as bench, closing(sqlite3.connect(root / LOG)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM photos").fetchall()
        for seed in count():
            dropped += drop(root, seed)
            bench.let_pass(4)
            if "reader" in bench.worker.condition.problems:
                break
            assert bench.store.connection.wal_bytes() < 3 << 20, "it is said before it is twice as much"
        assert "keeps reading" in bench.worker.in_words()
        assert bench.store.connection.wal_bytes() > 1 << 20
        status = bench.store.requests.status()
        assert status is not None
        assert status["state"] == "degraded"
        reader.execute("ROLLBACK")
        bench.let_pass(10)
        assert bench.worker.condition.problems == {}
        assert bench.store.connection.wal_bytes() < 1 << 20
        books.check(root, dropped)


def test_the_alert_for_an_endless_reader_is_set_at_64_mib() -> None:
    assert chores.WAL_ALERT_BYTES == 64 << 20


# -- damaged


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bird folder with a history, at rest; copied by each test."""
    place = tmp_path_factory.mktemp("kept")
    root = place / "birdwatch"
    Files(root).create()
    with garden(root, place / "lamp") as bench:
        drop(root, *range(6))
        bench.let_pass(20)
        bench.ask("label", photo_id=1, species="robin")
        bench.let_pass(5)
        bench.store.connection.checkpoint()
    return root


def copy_of(kept: Path, place: Path) -> Path:
    return Path(shutil.copytree(kept, place / "birdwatch"))


def damaged(data: bytes, way: str, chance: random.Random) -> bytes:
    page = 4096 * chance.randrange(len(data) // 4096)
    match way:
        case "header":
            return chance.randbytes(100) + data[100:]
        case "cut":
            return data[: chance.randrange(1, len(data))]
        case "page":
            return data[:page] + chance.randbytes(4096) + data[page + 4096 :]
        case "zeros":
            return data[:page] + bytes(4096) + data[page + 4096 :]
        case _:
            flipped = bytearray(data)
            for _ in range(20):
                flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            return bytes(flipped)


def live_with_damage(kept: Path, place: Path, way: str, seed: int) -> str:
    """What becomes of a bird folder whose log is damaged: refused, given up later, or worked with."""
    root = copy_of(kept, place)
    before = everything(root)
    log = damaged((kept / LOG).read_bytes(), way, random.Random(seed))  # noqa: S311
    (root / LOG).write_bytes(log)
    try:
        with garden(root, place / "lamp") as bench:
            before += drop(root, 99)
            bench.let_pass(20)
            end = "works" if bench.store.connection.problems() == [] else "works, and a check finds it"
    except DamagedDatabase:
        end = "refused"
    except sqlite3.Error:  # names of columns were hit: no damage that SQLite knows of; the daemon ends, too
        assert way == "bits"
        end = "broke down"
    assert not before - everything(root), "no photo is lost with the log"
    shutil.rmtree(root)
    (place / "lamp").unlink(missing_ok=True)
    return end


@pytest.mark.fault("S04")
@pytest.mark.parametrize("way", ["header", "cut", "page", "zeros", "bits"])
def test_whatever_is_wrong_with_the_log_no_photo_is_lost_and_it_is_said(kept: Path, tmp_path: Path, way: str) -> None:
    ends = Counter(live_with_damage(kept, tmp_path, way, seed) for seed in range(12))
    assert ends["works"] < 12, ends
    if way in {"header", "cut"}:
        assert ends["refused"] >= 11, f"a cut may hit what is not in use: {ends}"


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.fault("S04")
@pytest.mark.parametrize("way", ["header", "cut", "page", "zeros", "bits"])
def test_five_hundred_times_whatever_is_wrong_with_the_log(kept: Path, tmp_path: Path, way: str) -> None:
    ends = Counter(live_with_damage(kept, tmp_path, way, seed) for seed in range(500))
    assert ends["broke down"] < 25, ends


@pytest.mark.fault("S04")
@pytest.mark.parametrize("way", ["header", "cut"])
def test_each_command_refuses_a_damaged_log_and_leaves_it_as_it_is(kept: Path, tmp_path: Path, way: str) -> None:
    root = copy_of(kept, tmp_path)
    drop(root, 99)
    before = everything(root)
    log = damaged((root / LOG).read_bytes(), way, random.Random(7))  # noqa: S311
    (root / LOG).write_bytes(log)
    for words in (["run"], ["scan"], ["log"], ["doctor"]):
        done = birdwatchd(*words, root=root)
        assert done.returncode in {1, 2}, done
        assert "Traceback" not in done.stderr
        assert "damaged" in done.stderr + done.stdout
    assert (root / LOG).read_bytes() == log
    assert everything(root) == before


# -- parts that are gone, and older copies


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Path, Counter[str], Path]:
    """A bird folder as a kill leaves it: six photos filed, four of them only in the write-ahead log, one in work.

    Gives also an older log, of the time of the second photo.
    """
    root, older = tmp_path / "alive", tmp_path / "older"
    Files(root).create()
    with garden(root, tmp_path / "lamp-alive") as bench:
        dropped = drop(root, 1, 2)
        bench.let_pass(10)
        bench.store.connection.checkpoint()
        older.write_bytes((root / LOG).read_bytes())
        dropped += drop(root, 3, 4, 5, 6)
        bench.let_pass(10)
        dropped += interrupted(root, range(7, 8))
        left = tmp_path / "birdwatch"
        shutil.copytree(root, left, ignore=shutil.ignore_patterns("*-shm"))
        (left / f"{LOG}-shm").write_bytes((root / f"{LOG}-shm").read_bytes())
    return left, dropped, older


def recovered(root: Path, lamp: Path) -> list[str]:
    """Live on; returns the photos that the log does not know any more. They are the only thing to complain of."""
    with garden(root, lamp) as bench:
        bench.let_pass(20)
        problems = dict(bench.worker.condition.problems)
        assert bench.store.connection.problems() == []
        known = {row["path"] for row in bench.store.questions.kept_paths()}
    strangers = [path for path in books.files_in(root, *books.RESTING) if path not in known]
    assert problems.keys() == ({"left"} if strangers else set())
    assert not strangers or f"{min(strangers)} (and {len(strangers) - 1} more) is not known here" in problems["left"]
    return strangers


@pytest.mark.fault("S05")
def test_without_its_shared_memory_nothing_is_forgotten(
    killed: tuple[Path, Counter[str], Path], tmp_path: Path
) -> None:
    root, dropped, _ = killed
    (root / f"{LOG}-shm").unlink()
    assert recovered(root, tmp_path / "lamp") == []
    books.check(root, dropped)


@pytest.mark.fault("S05")
@pytest.mark.parametrize("way", ["write-ahead log deleted", "older copy put back"])
def test_photos_that_the_log_has_forgotten_stay_where_they_are_and_are_told_of(
    killed: tuple[Path, Counter[str], Path], tmp_path: Path, way: str
) -> None:
    root, dropped, older = killed
    for part in PARTS[1:]:
        (root / f"{LOG}{part}").unlink()
    if way == "older copy put back":
        (root / LOG).write_bytes(older.read_bytes())
    strangers = recovered(root, tmp_path / "lamp")
    assert len(strangers) == 4
    assert everything(root) == dropped
    assert [row["original_name"] for row in rows(root)][2:] == ["recovered-7.jpeg"], (
        "what was in work is looked at anew"
    )
    assert "4 files in the folders are not in the log" in birdwatchd("doctor", root=root).stdout


@pytest.mark.fault("S05")
def test_an_older_copy_under_a_younger_write_ahead_log_loses_no_photo(
    killed: tuple[Path, Counter[str], Path], tmp_path: Path
) -> None:
    """SQLite cannot know that they do not belong together; here the younger rows are simply there again."""
    root, dropped, older = killed
    (root / LOG).write_bytes(older.read_bytes())
    recovered(root, tmp_path / "lamp")
    assert not dropped - everything(root)


@pytest.mark.fault("S05")
def test_a_log_that_is_taken_away_from_under_the_daemon_stops_it_from_taking_photos(root: Path) -> None:
    with daemon(root, command=STUBBED) as running:
        dropped = drop(root, 1)
        until("the first is at rest", lambda: at_rest(root) == 1)
        (root / LOG).rename(root / "elsewhere.db")
        until("the service manager is told", lambda: any("birdwatchd.db is gone" in one for one in running.notices()))
        dropped += drop(root, 2)
        time.sleep(3)
        assert (root / "inbox" / "2.jpg").exists()
        (root / "elsewhere.db").rename(root / LOG)
        until("both at rest", lambda: at_rest(root) == 2)
        nobody_complains(root)
    books.check(root, dropped)


# -- full


@pytest.mark.fault("S06")
def test_a_transaction_that_finds_the_disk_full_leaves_nothing_and_can_be_made_again(tmp_path: Path) -> None:
    stamp = Stamp(1, 2, 3, 4, 5)
    ends: Counter[str] = Counter()
    for pages in range(0, 120, 6):
        with small_disk(tmp_path / "disk", pages=600) as disk, Store.open(disk / LOG) as store:
            before = store.journeys.record_claims([Claim("a.jpg", stamp, None, now_utc())])
            ballast = fill(disk, leave_pages=pages)
            claims = [Claim(f"{n}" * 100, stamp, None, now_utc()) for n in range(300)]
            try:
                ids = store.journeys.record_claims(claims)
                ends["done"] += 1
            except DiskFull:
                ends["full"] += 1
                assert [one.photo_id for one in store.journeys.under_way()] == before
                ballast.unlink()
                ids = store.journeys.record_claims(claims)
            assert [one.photo_id for one in store.journeys.under_way()] == [*before, *ids]
            assert store.connection.problems() == []
    assert ends["full"] > 5, ends
    assert ends["done"] > 0, ends


# -- migrations

NAMES = [migration.name for migration in migrations._migrations]


def log_of_version(path: Path, version: int) -> None:
    """A log as the program of that version made it."""
    if version == 0:
        path.touch()
        return
    from sqlite_utils import Database

    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        migrations.apply(
            Database(db, execute_plugins=False), stop_before=NAMES[version] if version < len(NAMES) else None
        )
        db.execute(f"PRAGMA user_version = {version}")
        if version:
            db.execute(
                "INSERT INTO photos (original_name, received_at, bytes, path, state)"
                " VALUES ('a.jpg', '2026-05-01T05:30:00.250Z', 3, 'review/jay/a.jpg', 'review')"
            )
        db.commit()


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        lines = [line for line in db.iterdump() if "_sqlite_migrations" not in line]
    return [f"version {version}", *lines]


def dying_in_migration(path: Path, statement: int) -> bool:
    """Bring a log up to date in a process that is killed before its n-th sentence of SQL; True if it was."""
    child = os.fork()
    if child == 0:
        try:
            said = count(1)

            def kill(_: str) -> None:
                if next(said) == statement:
                    os.kill(os.getpid(), signal.SIGKILL)

            connect = sqlite3.connect

            def traced_connect(*args: object, **kwargs: object) -> sqlite3.Connection:
                db: sqlite3.Connection = connect(*args, **kwargs)  # type: ignore[call-overload]
                db.set_trace_callback(kill)
                return db

            sqlite3.connect = traced_connect  # type: ignore[assignment]
            Connection.open(path).close()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.fault("S07")
@pytest.mark.parametrize("version", range(len(NAMES)))
def test_a_migration_killed_before_any_of_its_sentences_leaves_the_old_log_or_the_new_one(
    tmp_path: Path, version: int
) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    log_of_version(old, version)
    log_of_version(new, version)
    Connection.open(new).close()
    before, after = dump(old), dump(new)
    assert before != after
    ends: Counter[str] = Counter()
    for statement in count(1):
        path = tmp_path / f"{statement}.db"
        log_of_version(path, version)
        was_killed = dying_in_migration(path, statement)
        found = dump(path)
        assert found in (before, after), f"killed before sentence {statement}: neither old nor new"
        ends["old" if found == before else "new"] += 1
        with Connection.open(path) as healed:
            assert healed.problems() == []
        assert dump(path) == after
        for part in PARTS:
            path.with_name(path.name + part).unlink(missing_ok=True)
        if not was_killed:
            break
    assert ends["old"] > 5, ends


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.fault("S07")
@pytest.mark.parametrize("version", range(len(NAMES)))
def test_a_migration_killed_at_any_system_call_leaves_the_old_log_or_the_new_one(tmp_path: Path, version: int) -> None:
    new = tmp_path / "new.db"
    log_of_version(new, version)
    before = dump(new)
    Connection.open(new).close()
    after = dump(new)
    for call in ("pwrite64", "fdatasync", "ftruncate", "unlink"):
        for number in count(1):
            path = tmp_path / f"{call}-{number}.db"
            log_of_version(path, version)
            opening = "import sys; from pathlib import Path; from birdwatchd.edges.store import Connection"
            done = subprocess.run(
                [
                    *traced(f"{call}:signal=SIGKILL:when={number}"),
                    *(sys.executable, "-c", f"{opening}; Connection.open(Path(sys.argv[1])).close()", str(path)),
                ],
                check=False,
            )
            assert dump(path) in (before, after), f"killed at {call} {number}: neither old nor new"
            Connection.open(path).close()
            assert dump(path) == after
            if done.returncode == 0:
                break


@pytest.mark.fault("S08")
def test_a_log_of_a_newer_program_stops_every_command_and_stays_as_it_is(kept: Path, tmp_path: Path) -> None:
    root = copy_of(kept, tmp_path)
    with closing(sqlite3.connect(root / LOG)) as db:
        db.execute(f"PRAGMA user_version = {connection.SCHEMA_VERSION + 1}")
    before, dropped = (root / LOG).read_bytes(), everything(root) + drop(root, 99)
    for words in (["run"], ["scan"], ["init"], ["log"], ["label", "1", "robin"]):
        done = birdwatchd(*words, root=root)
        assert (done.returncode, "newer birdwatchd" in done.stderr) == (2, True), done
    assert "newer birdwatchd" in birdwatchd("doctor", root=root).stdout
    assert (root / LOG).read_bytes() == before
    assert everything(root) == dropped


# -- hostile texts


def _file_names() -> st.SearchStrategy[bytes]:
    """What a file system allows; not what the inbox ignores."""
    raw = st.binary(min_size=1, max_size=80).filter(lambda name: not {0, 47} & set(name))
    text = st.text(min_size=1, max_size=60).map(lambda name: name.encode("utf-8", "surrogatepass"))
    return (raw | text).map(lambda name: b"a" + name.replace(b"\0", b"").replace(b"/", b"") + b".jpg")


@pytest.mark.fault("S10")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=_file_names(), camera=_file_names(), label=st.text(max_size=40), actor=st.text(max_size=40))
def test_names_and_labels_of_any_text_go_in_and_come_out_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, name: bytes, camera: bytes, label: str, actor: str
) -> None:
    place = tmp_path_factory.mktemp("hostile")
    root = place / "birdwatch"
    Files(root).create()
    with garden(root, place / "lamp") as bench:
        folder = root / "inbox" / os.fsdecode(camera)
        folder.mkdir()
        (folder / os.fsdecode(name)).write_bytes(photo(1))
        bench.let_pass(10)
        (row,) = bench.store.questions.recent(limit=5)
        assert row["original_name"] == shelving.printable(os.fsdecode(name))
        assert row["camera"] == shelving.printable(os.fsdecode(camera))
        try:
            wish = bench.store.requests.ask("label", {"photo_id": 1, "species": label}, actor=actor, at=now_utc())
        except UnicodeEncodeError:  # half of a pair: no text that anybody can type
            wish = 0
        bench.let_pass(10)
        if wish:
            request = bench.store.requests.get(wish)
            assert (request.actor, request.arguments["species"]) == (actor, label)
            if request.outcome == "done":
                assert request.result["label"] == shelving.species_name(label)
                assert (root / "library" / request.result["label"]).is_dir() or label == shelving.NO_BIRD
        assert bench.worker.condition.problems == {}
        books.check(root, Counter([books.content(photo(1))]))
    shutil.rmtree(place)
