"""Copies of the log on real SQLite: whole, proved, harmless to who goes on writing, and no number given twice."""

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.core.errors import DamagedDatabase, DiskTrouble, NewerDatabase, Refused, StoreBusy
from birdwatchd.edges.store import Store, connection, copies
from tests.edges.test_store import NOW, all_of, arrive, dump, say

AT = datetime(2026, 5, 1, 5, 30, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "birdwatchd.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as store:
        yield store


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


def fill(store: Store) -> None:
    """More than SQLite holds back in memory: 10 megabytes."""
    count = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2000)"
    row = "'import', hex(randomblob(2500)), '2026'"
    store.connection.execute(f"INSERT INTO requests (kind, arguments, requested_at) {count} SELECT {row} FROM n")  # noqa: S608


# -- copying


def test_a_copy_holds_also_what_is_only_in_the_write_ahead_log(path: Path, store: Store, copy: Path) -> None:
    store.connection.checkpoint()
    arrive(store)
    say(store, 1, "robin")
    assert store.connection.wal_bytes() > 0
    copies.copy_log(path, copy)
    assert sorted(dump(copy)) == sorted(dump(path))  # VACUUM puts indexes before views
    assert copies.prove(copy, thoroughly=True) == copies.Proof(connection.SCHEMA_VERSION, 1)
    assert [one.name for one in copy.parent.iterdir() if one.name.startswith("copy")] == ["copy.db"], "one whole file"


@pytest.mark.fault("S09")
def test_a_copy_is_one_moment_of_a_log_that_is_written_on(path: Path, store: Store, copy: Path) -> None:
    for _ in range(300):
        arrive(store)
    done = threading.Event()
    written = 0

    def go_on() -> None:
        nonlocal written
        with Store.open(path) as own:
            while not done.is_set():
                arrive(own)
                written += 1

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        for _ in range(5):
            copy.unlink(missing_ok=True)
            copies.copy_log(path, copy, gently=True)
            known = copies.prove(copy, thoroughly=True).photos
            with Store.open(copy) as then:
                assert len(all_of(then, "predictions")) in {known, known - 1}, "the last may just be on its way"
    finally:
        done.set()
        writer.join()
    assert written > 0
    assert known > 300


def test_a_copy_can_be_made_where_names_are_no_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9 ?#%20")
    folder.mkdir()
    with Store.open(folder / "birdwatchd.db") as store:
        arrive(store)
        copies.copy_log(folder / "birdwatchd.db", folder / "copy.db")
    assert copies.prove(folder / "copy.db", thoroughly=True).photos == 1
    assert copies.photos_in(folder / "copy.db") == 1


def test_a_gentle_copy_waits_in_between_and_is_the_same(
    path: Path, store: Store, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    monkeypatch.setattr(copies, "PIECE_BYTES", 1 << 20)
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    copies.copy_log(path, copy)
    assert waited == []
    copy.unlink()
    copies.copy_log(path, copy, gently=True)
    assert len(waited) > 5
    assert all(0 <= pause <= copies.LONGEST_PAUSE_S for pause in waited)
    assert sorted(dump(copy)) == sorted(dump(path))  # VACUUM puts indexes before views


def test_a_disk_that_fails_under_a_gentle_copy_is_told_as_such(
    path: Path, store: Store, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    monkeypatch.setattr(copies, "PIECE_BYTES", 1 << 20)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        copies.copy_log(path, copy, gently=True)


@pytest.mark.fault("D01")
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare for a small disk"
)
def test_a_full_disk_is_said_to_be_one(path: Path, store: Store, tmp_path: Path) -> None:
    fill(store)
    small = tmp_path / "small"
    small.mkdir()
    copy = """
import sys
from pathlib import Path
from birdwatchd.core.errors import DiskFull
from birdwatchd.edges.store.copies import copy_log
try:
    copy_log(Path(sys.argv[1]), Path(sys.argv[2]) / "copy.db")
except DiskFull as error:
    print(error)
"""
    inside = f'mount -t tmpfs -o size=3m none {small} && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", inside, "sh", sys.executable, "-c", copy, str(path), str(small)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if "mount:" in child.stderr or "unshare:" in child.stderr:
        pytest.skip(f"no mount of its own: {child.stderr.strip()}; run where root may mount")
    assert "the disk is full" in child.stdout, child


def test_a_damaged_log_gives_no_copy_and_is_named(path: Path, copy: Path) -> None:
    with Store.open(path) as store:
        for _ in range(50):
            arrive(store)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
    with pytest.raises(DamagedDatabase, match=r"birdwatchd\.db is damaged"):
        copies.copy_log(path, copy)
    path.write_bytes(b"buy seeds\n" * 999)
    copy.unlink()
    with pytest.raises(DamagedDatabase, match=r"birdwatchd\.db is damaged"):
        copies.copy_log(path, copy)


# -- proving


def _zeroed(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _no_log(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE bookmarks (id); PRAGMA user_version = 5;")


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA user_version = {connection.SCHEMA_VERSION + 1}")


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (_zeroed, DamagedDatabase),
        (_cut, DamagedDatabase),
        (lambda path: path.write_bytes(b"buy seeds\n" * 999), DamagedDatabase),
        (lambda path: path.write_bytes(b""), Refused),
        (_no_log, Refused),
        (_newer, NewerDatabase),
        (lambda path: path.unlink(), DiskTrouble),
    ],
)
@pytest.mark.parametrize("thoroughly", [True, False])
def test_what_is_no_sound_log_is_not_proved(
    path: Path, copy: Path, spoil: Callable[[Path], Any], error: type[Exception], thoroughly: bool
) -> None:
    with Store.open(path) as store:
        for _ in range(50):
            arrive(store)
        copies.copy_log(path, copy)
    spoil(copy)
    with pytest.raises(error):
        copies.prove(copy, thoroughly=thoroughly)
    assert copies.photos_in(copy) is None or spoil in {_newer, _zeroed}


def test_an_index_that_differs_from_its_table_is_found_by_a_thorough_look(path: Path, copy: Path) -> None:
    with Store.open(path) as store:
        for _ in range(50):
            arrive(store)
        copies.copy_log(path, copy)
    sha256 = f"{44:064x}".encode()
    assert copy.read_bytes().count(sha256) > 1
    copy.write_bytes(copy.read_bytes().replace(sha256, b"0" * 64, 1))
    with pytest.raises(DamagedDatabase):
        copies.prove(copy, thoroughly=True)


def test_looking_at_a_copy_leaves_it_as_it_is(path: Path, store: Store, copy: Path) -> None:
    arrive(store)
    copies.copy_log(path, copy)
    copy.chmod(0o444)
    before = copy.read_bytes(), copy.stat().st_mtime_ns
    copies.prove(copy, thoroughly=True)
    assert copies.photos_in(copy) == 1
    assert copies.numbers_given(copy) == {"photos": 1}
    assert (copy.read_bytes(), copy.stat().st_mtime_ns) == before


# -- the folder


def test_backups_are_sorted_by_their_numbers_and_others_files_are_none(tmp_path: Path) -> None:
    for name in (
        "birdwatchd-20360101T000000Z-9.db",  # the clock was ahead
        "birdwatchd-20260501T053000Z-10.db",
        "birdwatchd-19700101T000000Z-11.db",  # and behind
        "birdwatchd-20260501T053000Z.db",
        "birdwatchd-20269901T053000Z-12.db",
        "birdwatchd-old.db",
        ".birdwatchd-20260501T053000Z-13.db.part",
        "notes.txt",
    ):
        (tmp_path / name).write_bytes(b"1234")
    (tmp_path / "birdwatchd-20260501T053000Z-14.db").mkdir()
    found = copies.backups_in(tmp_path)
    assert [one.number for one in found] == [9, 10, 11]
    assert (found[1].made_at, found[1].size_bytes) == (AT, 4)
    assert copies.backup_name(10, AT) == found[1].path.name
    assert copies.backups_in(tmp_path / "nowhere") == []


def test_only_one_makes_backups_at_a_time(tmp_path: Path) -> None:
    with copies.sole_maker(tmp_path):
        another = copies.sole_maker(tmp_path)
        with pytest.raises(StoreBusy, match="just being made"):
            another.__enter__()
    with copies.sole_maker(tmp_path):
        pass


# -- before a restore


def _hold_open(path: Path, mode: str) -> "subprocess.Popen[str]":
    hold = """
import sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode={sys.argv[2]}", uri=True)
db.execute("SELECT count(*) FROM photos").fetchall()
print("open", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", hold, str(path), mode]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    return child


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_a_log_that_any_program_has_open_is_not_ours_alone(path: Path, mode: str) -> None:
    Store.open(path).close()
    with _hold_open(path, mode) as child:
        with pytest.raises(StoreBusy, match=r"has .*birdwatchd\.db open"), copies.alone_with(path):
            pass
        child.communicate()
    with copies.alone_with(path):
        ask = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('SELECT * FROM photos')"
        child2 = subprocess.run([sys.executable, "-c", ask, str(path)], capture_output=True, text=True, check=False)
        assert "database is locked" in child2.stderr
    with copies.alone_with(path.with_name("nowhere.db")):
        pass


def test_a_copy_that_becomes_the_log_gives_no_number_a_second_time(path: Path, store: Store, copy: Path) -> None:
    arrive(store)
    copies.copy_log(path, copy)
    for _ in range(4):
        say(store, arrive(store), "robin")
    given = copies.numbers_given(path)
    assert given == {"photos": 5, "labels": 4}
    copies.make_ready(copy, given=given | {"no_such_table": 7}, at=NOW)
    with Store.open(copy) as restored:
        assert arrive(restored) == 6
        say(restored, 6, "robin")
        assert all_of(restored, "labels")[0]["id"] == 5
        assert {row["name"] for row in all_of(restored, "sqlite_sequence")} == {"photos", "labels"}
    copies.make_ready(copy, given={"photos": 2}, at=NOW)
    assert copies.numbers_given(copy) == {"photos": 6, "labels": 5}, "never backwards"


def test_a_copy_that_becomes_the_log_fulfils_no_wish_of_long_ago_and_says_nothing_of_the_daemon_then(
    path: Path, store: Store, copy: Path
) -> None:
    done = store.requests.ask("label", {}, actor=None, at=NOW)
    store.requests.finish(done, "done", {"path": "x"}, at=NOW)
    store.requests.ask("undo", {"since": "2000"}, actor=None, at=NOW)
    word = {"updated_at": NOW, "started_at": NOW, "version": "0", "state": "working", "problems": "[]", "waiting": 0}
    store.requests.write_status(word | {"waiting_files": "[]", "in_flight": 0, "watcher": "events"})
    copies.copy_log(path, copy)
    copies.make_ready(copy, given={}, at=NOW)
    with Store.read_only(copy) as restored:
        assert restored.requests.open() == []
        assert [row["outcome"] for row in all_of(restored, "requests")] == ["done", "failed"]
        assert restored.requests.get(2).result["hint"] == "ask again"
        assert restored.requests.status() is None


def test_numbers_of_what_cannot_be_read_are_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"buy seeds\n" * 99)
    assert copies.numbers_given(tmp_path / "a.db") is None
    assert copies.numbers_given(tmp_path / "nowhere.db") is None


def test_what_a_member_with_a_narrow_umask_makes_is_open_to_the_group(tmp_path: Path) -> None:
    model, made = tmp_path / "model", tmp_path / "made"
    model.touch()
    model.chmod(0o660)
    made.touch()
    made.chmod(0o600)
    copies.give_rights(made, model.stat())
    assert stat.S_IMODE(made.stat().st_mode) == 0o660
    made.chmod(0o664)
    copies.give_rights(made, model.stat())
    assert stat.S_IMODE(made.stat().st_mode) == 0o664, "nothing is taken away"
    if os.geteuid() == 0:
        os.chown(model, 65534, 65533)
        copies.give_rights(made, model.stat())
        assert (made.stat().st_uid, made.stat().st_gid) == (65534, 65533)
