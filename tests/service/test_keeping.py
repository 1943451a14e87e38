"""Backup and restore as a person meets them: beside a running daemon, after a bad day, and back again."""

import contextlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.cli.app import run_command
from birdwatchd.core import shelving
from birdwatchd.core.deciding import Rules
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.files import Files
from birdwatchd.edges.images import Limits
from birdwatchd.edges.store import Store, connection
from birdwatchd.edges.store.copies import sole_maker
from birdwatchd.examining import Examiner
from birdwatchd.keeping import make_backup
from birdwatchd.pipeline import Pipeline
from birdwatchd.service import bird_folder
from tests import books
from tests.fakes import StubSpotter
from tests.pictures import jpeg
from tests.service.running import STUBBED, daemon, until
from tests.service.running import birdwatchd as birdwatchd_by_itself

pytestmark = pytest.mark.alone

HURRIED = [sys.executable, "-m", "tests.service.hurried"]
RULES = Rules(empty_below=0.05)


def birdwatchd(*words: str | Path, root: Path) -> "subprocess.CompletedProcess[str]":
    """One command, as typed, but in this process: many are given here, and each of its own would take a second."""
    command = [*map(str, words), "--root", str(root)]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command(command)
    answers = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(command, code, *answers)


def photo(seed: int) -> bytes:
    return jpeg(width=64, height=64, seed=seed)


def drop(root: Path, *seeds: int) -> None:
    for seed in seeds:
        path = root / "inbox" / f"{seed}.jpg"
        path.with_suffix(".part").write_bytes(photo(seed))
        path.with_suffix(".part").rename(path)


def take_everything(root: Path) -> None:
    """A short life of a daemon: end what was cut short, then take what lies in the inbox."""
    with bird_folder(root) as (files, store):
        examiner = Examiner(StubSpotter(), Limits(max_megapixels=40, formats=frozenset({"jpeg"})))  # type: ignore[arg-type]
        pipeline = Pipeline(files, store, examiner, RULES, now=now_utc)
        for _ in range(2):
            assert pipeline.resume().trouble is None
            pipeline.take(sorted(files.inbox_files(lambda *_, **__: False)))
        assert store.journeys.under_way() == []


def backups(root: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(birdwatchd("restore", "--json", root=root).stdout)
    return listed


def told(done: "subprocess.CompletedProcess[str]", code: int, *words: str) -> None:
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    assert "hint:" in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def resting(root: Path) -> Counter[str]:
    return Counter(books.files_in(root, *books.RESTING, "inbox").values())


@pytest.fixture
def garden(root: Path) -> Path:
    """Three photos and a backup of them, then two more."""
    drop(root, 1, 2, 3)
    take_everything(root)
    make_backup(Files(root), keep=9, at="2026-05-01T05:30:00.000Z")
    drop(root, 4, 5)
    take_everything(root)
    return root


def test_a_backup_is_made_now_and_listed(root: Path) -> None:
    told(birdwatchd("backup", root=root), 2, "there is no log")
    drop(root, 1)
    take_everything(root)
    assert "There are no backups yet" in birdwatchd("restore", root=root).stdout
    assert backups(root) == []
    said = birdwatchd_by_itself("backup", root=root)
    assert said.returncode == 0, said
    (listed,) = backups(root)
    assert said.stdout.startswith(listed["path"])
    assert "1 photos" in said.stdout
    assert (listed["photos"], listed["bytes"]) == (1, Path(listed["path"]).stat().st_size)
    again = json.loads(birdwatchd("backup", "--json", root=root).stdout)
    assert again == backups(root)[0], "the newest first"
    Path(again["path"]).write_bytes(b"damaged")
    plain = birdwatchd("restore", root=root).stdout
    assert listed["name"] in plain
    assert "cannot be read" in plain
    (root / "config.toml").write_text("[retention]\nbackups = 1\n")
    said = birdwatchd("backup", root=root)
    assert "made room" in said.stdout
    assert len(backups(root)) == 1


def test_a_restore_puts_the_backup_in_place_and_says_what_is_not_in_it(garden: Path) -> None:
    before = resting(garden)
    (listed,) = backups(garden)
    done = birdwatchd_by_itself("restore", listed["name"], root=garden)
    assert done.returncode == 0, done
    assert "it knows 3 photos" in done.stdout
    assert "2 files in the folders are not in it" in done.stdout
    (aside,) = (garden / shelving.BACKUPS).glob("replaced-*")
    assert str(aside) in done.stdout
    with Store.read_only(garden / "birdwatchd.db") as store:
        assert store.questions.states() == {"review": 3}
    with Store.open(aside / "birdwatchd.db") as store:
        assert store.questions.states() == {"review": 5}
    assert resting(garden) == before, "no photo is touched"
    drop(garden, 6)
    take_everything(garden)
    with Store.read_only(garden / "birdwatchd.db") as store:
        (new,) = store.questions.recent(limit=1)
        assert new["id"] == 6, "no number is given twice"


def test_a_restore_is_taken_back_by_another(garden: Path) -> None:
    (listed,) = backups(garden)
    assert birdwatchd("restore", listed["path"], root=garden).returncode == 0
    (aside,) = (garden / shelving.BACKUPS).glob("replaced-*")
    done = birdwatchd("restore", aside / "birdwatchd.db", "--json", root=garden)
    answer = json.loads(done.stdout)
    assert (answer["photos"], answer["not_in_log"]) == (5, 0)
    assert (garden / answer["replaced"] / "birdwatchd.db").is_file()
    with Store.read_only(garden / "birdwatchd.db") as store:
        assert store.questions.states() == {"review": 5}


def test_what_a_person_moved_since_then_counts_as_known_and_a_damaged_file_as_a_strange_one(garden: Path) -> None:
    first = next((garden / "review").rglob("1-*.jpg"))
    (garden / "library" / "robin").mkdir()
    first.rename(garden / "library" / "robin" / first.name)
    answer = json.loads(birdwatchd("restore", backups(garden)[0]["path"], "--json", root=garden).stdout)
    assert answer["not_in_log"] == 2
    (garden / "library" / "robin" / "brought by hand.jpg").write_bytes(photo(9))
    answer = json.loads(birdwatchd("restore", backups(garden)[0]["path"], "--json", root=garden).stdout)
    assert answer["not_in_log"] == 3


@pytest.mark.fault("C09")
def test_a_restore_is_refused_while_a_daemon_runs_and_a_backup_is_not(garden: Path) -> None:
    (listed,) = backups(garden)
    with daemon(garden, command=STUBBED) as running:
        told(birdwatchd("restore", listed["path"], root=garden), 1, "already works", "systemctl stop birdwatchd")
        drop(garden, 7)
        until("it is taken", lambda: not (garden / "inbox" / "7.jpg").exists())
        assert birdwatchd("backup", root=garden).returncode == 0
        assert running.process.poll() is None
        assert running.stop() == 0
    assert len(backups(garden)) == 2
    assert not list((garden / shelving.BACKUPS).glob("replaced-*"))


def test_a_restore_is_refused_while_another_program_reads_the_log(garden: Path) -> None:
    (listed,) = backups(garden)
    hold = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM photos'); print(1, flush=True); input()"
    command = [sys.executable, "-c", hold, str(garden / "birdwatchd.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        told(birdwatchd("restore", listed["path"], root=garden), 1, "another program has", "Datasette")
        reader.communicate("\n")
    assert sorted(path.name for path in (garden / shelving.PRIVATE).glob("*restor*")) == []
    assert birdwatchd("restore", listed["path"], root=garden).returncode == 0


@pytest.mark.fault("S04", "S08")
def test_what_is_no_sound_backup_is_refused_and_the_log_stays(garden: Path, tmp_path: Path) -> None:
    (listed,) = backups(garden)
    backup = Path(listed["path"])
    whole = backup.read_bytes()
    before = (garden / "birdwatchd.db").read_bytes()
    for words, spoiled in (
        ("damaged", whole[: len(whole) // 2] + bytes(len(whole) // 2)),
        ("damaged", b"buy seeds\n" * 999),
        ("no log of birdwatchd", b""),
    ):
        backup.write_bytes(spoiled)
        done = birdwatchd("restore", backup, root=garden)
        assert done.returncode in {1, 2}
        told(done, done.returncode, words)
    backup.write_bytes(whole)
    with closing(sqlite3.connect(backup, isolation_level=None)) as db:
        db.execute(f"PRAGMA user_version = {connection.SCHEMA_VERSION + 1}")
    told(birdwatchd("restore", backup, root=garden), 2, "newer birdwatchd")
    done = birdwatchd("restore", tmp_path / "nowhere.db", root=garden)
    told(done, 1, "there is no backup", "nowhere.db")
    assert (garden / "birdwatchd.db").read_bytes() == before
    assert not list((garden / shelving.BACKUPS).glob("replaced-*"))


@pytest.mark.fault("S04", "S05")
@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_after_a_bad_day_the_garden_goes_on_with_its_backup(garden: Path, how: str) -> None:
    log = garden / "birdwatchd.db"
    before = resting(garden)
    if how == "damaged":
        log.write_bytes(b"this was a log once" * 1000)
        told(birdwatchd("scan", root=garden), 2, "damaged", "birdwatchd restore")
    else:
        log.unlink()
        told(birdwatchd("scan", root=garden), 2, "there are backups", "birdwatchd restore")
        told(birdwatchd("init", root=garden), 2, "there are backups")
    assert birdwatchd("restore", backups(garden)[0]["path"], root=garden).returncode == 0
    kept = [path.read_bytes() for path in (garden / shelving.BACKUPS).glob("replaced-*/birdwatchd.db")]
    assert kept == ([b"this was a log once" * 1000] if how == "damaged" else [])
    with daemon(garden, command=STUBBED) as running:
        drop(garden, 6)
        until("it is taken", lambda: not (garden / "inbox" / "6.jpg").exists())
        assert running.stop() == 0
    with Store.read_only(log) as store:
        assert store.questions.states() == {"review": 4}
        assert store.questions.recent(limit=1)[0]["id"] > 5, "no number is given twice"
    assert resting(garden) == before + Counter([books.content(photo(6))])


@pytest.mark.fault("S05")
def test_a_backup_of_an_older_birdwatchd_is_brought_up_to_date(garden: Path) -> None:
    backup = Path(backups(garden)[0]["path"])
    with closing(sqlite3.connect(backup, isolation_level=None)) as db:
        db.execute("DROP TABLE lived_days")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = '0002_lived_days'")
        db.execute("PRAGMA user_version = 1")
    assert birdwatchd("restore", backup, root=garden).returncode == 0
    with Store.read_only(garden / "birdwatchd.db") as store:
        assert store.days.expired(days=1, limit=1) == []


def test_a_photo_that_was_on_its_way_when_the_log_was_restored_is_not_lost(garden: Path) -> None:
    """Its row is in the log that went; its file goes back into the inbox, and what is given its number is another photo."""
    data = photo(8)
    (garden / shelving.WORK / "6").write_bytes(data)
    with Store.open(garden / "birdwatchd.db") as store:
        store.connection.execute("UPDATE sqlite_sequence SET seq = 6 WHERE name = 'photos'")
    (garden / "birdwatchd.db").write_bytes(b"damaged" * 999)
    assert birdwatchd("restore", backups(garden)[0]["path"], root=garden).returncode == 0
    drop(garden, 9)
    take_everything(garden)
    take_everything(garden)
    assert books.content(data) in resting(garden)
    assert not list((garden / shelving.WORK).iterdir())
    with Store.read_only(garden / "birdwatchd.db") as store:
        assert min(row["id"] for row in store.questions.recent(limit=2)) > 6


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become a member of another's group")
def test_a_member_with_a_narrow_umask_leaves_a_log_that_the_daemon_can_write(garden: Path) -> None:
    """As the README sets it up: a user of its own, and a group whose members may work in the folder."""
    (garden / "birdwatchd.db").chmod(0o660)
    os.chown(garden / "birdwatchd.db", 65534, 65533)
    umask = os.umask(0o077)
    try:
        assert birdwatchd("backup", root=garden).returncode == 0
        assert birdwatchd("restore", backups(garden)[-1]["path"], root=garden).returncode == 0
    finally:
        os.umask(umask)
    for path in (garden / "birdwatchd.db", Path(backups(garden)[0]["path"])):
        found = path.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (65534, 65533, 0o660), path


@pytest.mark.fault("S05")
def test_a_restore_that_was_cut_short_is_finished_by_whoever_comes_next(garden: Path) -> None:
    files = Files(garden)
    (listed,) = backups(garden)
    for finish in ("restore", "init", "run"):
        cut_short = """
import os, sys
from pathlib import Path
from birdwatchd import restoring
from birdwatchd.edges.files import Files
restoring.disk.rename_noreplace = lambda *_: os.kill(os.getpid(), 9)
files = Files(Path(sys.argv[1]))
with files.lock():
    restoring.restore(files, Path(sys.argv[2]), at="2026-05-02T05:30:00.000Z")
"""
        command = [sys.executable, "-c", cut_short, str(garden), listed["path"]]
        assert subprocess.run(command, capture_output=True, check=False).returncode == -9
        told(birdwatchd("log", root=garden), 2, "cut short", "birdwatchd restore")
        told(birdwatchd("label", "1", "robin", root=garden), 2, "cut short")
        told(birdwatchd("backup", root=garden), 2, "cut short")
        assert birdwatchd("doctor", root=garden).stdout.count("cut short") == 1
        if finish == "run":
            with daemon(garden, command=STUBBED) as running:
                assert running.stop() == 0
        elif finish == "init":
            birdwatchd("init", root=garden)
        else:
            listing = birdwatchd("restore", "--json", root=garden)
            assert "is finished now" in listing.stderr
            assert len(json.loads(listing.stdout)) == 1
        assert not files.path(shelving.RESTORE_PLAN).exists()
        with Store.read_only(garden / "birdwatchd.db") as store:
            assert store.questions.states() == {"review": 3}
        take_everything(garden)


def test_backups_may_lie_on_another_disk(garden: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == garden.stat().st_dev:
        pytest.skip("no second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=other) as far:
        shutil.move(garden / shelving.BACKUPS, far)
        (garden / shelving.BACKUPS).symlink_to(Path(far) / "backups")
        assert birdwatchd("backup", root=garden).returncode == 0
        answer = json.loads(birdwatchd("restore", backups(garden)[1]["path"], "--json", root=garden).stdout)
    assert answer["photos"] == 3
    with Store.open(garden / answer["replaced"] / "birdwatchd.db") as store:
        assert store.questions.states() == {"review": 5}


# -- the daemon's own


def test_the_daemon_makes_its_backup_by_itself_and_stops_at_once_in_the_middle(root: Path) -> None:
    with daemon(root, command=HURRIED) as running:
        until("a backup", lambda: len(list((root / shelving.BACKUPS).glob("birdwatchd-*.db"))) == 1)
        until("it says so", lambda: "the log is backed up" in running.err.read_text())
        assert running.stop() == 0
    (listed,) = backups(root)
    Path(listed["path"]).unlink()
    with closing(sqlite3.connect(root / "birdwatchd.db", isolation_level=None)) as db:
        count = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 30000)"
        row = "'x', randomblob(4000), '', 'done', ''"
        names = "kind, arguments, requested_at, outcome, finished_at"
        db.execute(f"INSERT INTO requests ({names}) {count} SELECT {row} FROM n")  # noqa: S608
    with daemon(root, command=HURRIED) as running:
        until("one is begun", lambda: any((root / shelving.BACKUPS).glob(".birdwatchd-*.part")))
        assert running.stop() == 0
    assert not list((root / shelving.BACKUPS).glob("birdwatchd-*.db")), "it was not waited for"
    with sole_maker(root / shelving.BACKUPS):
        pass  # and nobody goes on with it


def wish(root: Path, known: int, turn: int) -> None:
    """Labels for the latest photos, and a new one for the first."""
    with Store.open(root / "birdwatchd.db", migrate=False) as store:
        for photo_id in {1, *range(max(1, known - 8), known)} if known else ():
            species = ("robin", "wren", "empty")[(photo_id + turn) % 3]
            store.requests.ask("label", {"photo_id": photo_id, "species": species}, actor="test", at=now_utc())


@pytest.mark.fault("S09")
def test_each_backup_made_while_the_daemon_works_can_be_restored_and_its_books_hold(root: Path) -> None:
    hold_for_each_backup(root, photos=40, backups_made=6)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.fault("S09")
def test_a_hundred_backups_made_while_the_daemon_works_can_be_restored(root: Path) -> None:
    assert hold_for_each_backup(root, photos=1500, backups_made=100) > 10, "photos were on their way"


def hold_for_each_backup(root: Path, *, photos: int, backups_made: int) -> int:
    """Returns how many of the backups caught photos on their way."""
    files = Files(root)
    made: list[tuple[Path, int]] = []
    with daemon(root, command=STUBBED, settle_s=0) as running:
        for turn in range(backups_made):
            drop(root, *range(turn * photos // backups_made, (turn + 1) * photos // backups_made))
            one = make_backup(files, keep=0, at=now_utc())
            made.append((one.backup.path, one.proof.photos))
            wish(root, one.proof.photos, turn)
        until("all are taken", lambda: not any((root / "inbox").iterdir()))
        with Store.read_only(root / "birdwatchd.db") as store:
            until("all wishes are fulfilled", lambda: not store.requests.open())
            until("all have arrived", lambda: store.journeys.under_way_count() == 0)
            wish(root, 1, backups_made)  # the others may have come while their photos were on their way
            until("the last wish is fulfilled", lambda: not store.requests.open())
            labels = store.connection.value("SELECT count(*) FROM labels")
        assert running.stop() == 0
    everything = resting(root)
    assert everything == Counter(books.content(photo(seed)) for seed in range(photos))
    assert labels > 0
    assert made[-1][1] > 0
    in_the_middle = 0
    for backup, known in made:
        done = birdwatchd("restore", backup, "--json", root=root)
        assert done.returncode == 0, done
        assert json.loads(done.stdout)["photos"] == known
        with bird_folder(root) as (_, store):
            pipeline = Pipeline(files, store, None, RULES, now=now_utc)
            in_the_middle += store.journeys.under_way_count() > 0
            pipeline.resume()  # what was on its way in that moment has long arrived
            assert store.journeys.under_way() == []
            assert store.connection.problems() == []
            assert store.requests.open() == []
            there = set(everything)
            for row in store.connection.rows("SELECT * FROM photos"):
                assert row["sha256"] in there, f"{backup.name}: a row without its photo"
                assert row["state"] in {"filed", "review", "empty"}, f"{backup.name}: {row}"
                judged = "SELECT count(*) FROM predictions WHERE photo_id = ?"
                assert store.connection.value(judged, (row["id"],)) == 1
            sound = "SELECT count(*) FROM labels WHERE photo_id NOT IN (SELECT id FROM photos)"
            assert store.connection.value(sound) == 0
        assert resting(root) == everything
    return in_the_middle
