"""The logbook on real SQLite: the promised names, whole transactions, and what a human's word does to the views."""

import dataclasses
import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Migrations

from birdwatchd.core import shelving
from birdwatchd.core.deciding import Decision, Reason
from birdwatchd.core.errors import ConfigError, DamagedDatabase, DiskFull, DiskTrouble, NewerDatabase, StoreBusy
from birdwatchd.core.journey import Advice, Claim, Move
from birdwatchd.core.photo import WHOLE_FRAME, Bird, Box, Spotting, Stamp, State
from birdwatchd.edges.store import Decided, Said, Store, Twin, connection, days, schema, work_path

CONTRACT = {
    "photos": "id sha256 original_name camera received_at captured_at width_px height_px bytes path state reason",
    "predictions": "id photo_id model_id spotter_id label probability top birdness novelty box verdict reason predicted_at took_ms",
    "labels": "id photo_id label previous source actor labelled_at",
    "models": "id kind created_at promoted_at retired_at labels metrics path parent_id recipe",
    "trainings": "id kind started_at finished_at outcome reasons fingerprint label_count report_path",
    "visits": "id camera began_at ended_at photos label probability verdict evidence judged_at model_id",
    "visit_photos": "photo_id visit_id",
    "sightings": "photo_id at camera species probability named_by path",
    "daily_counts": "day camera species photos visits",
    "birds": "photo_id number box birdness",
    "current_predictions": "id photo_id model_id spotter_id label probability top birdness novelty box verdict reason"
    " predicted_at took_ms",
}
"""Names that people may build on."""

NOW = "2026-05-01T05:30:00.250Z"
STAMP = Stamp(device=1, inode=2**62, size_bytes=7, mtime_ns=-1, ctime_ns=2**62)
PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "birdwatchd.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as store:
        yield store


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0.05)


def claim(inbox_path: str = "a.jpg", camera: str | None = None, received_at: str = NOW) -> Claim:
    return Claim(inbox_path, STAMP, camera, received_at)


def decided(
    photo_id: int,
    *,
    outcome: State = State.FILED,
    label: str | None = "robin",
    sha256: str | None = None,
    captured_at: str | None = None,
    camera: str | None = None,
    reason: str = "no-classifier",
    others: tuple[Bird, ...] = (),
) -> Decided:
    """What is written when a photo's fate is fixed, as a classifier would have it."""
    ranking = ((label, 0.75), ("jay", 0.125)) if label else ()
    seen = Spotting("5" * 16, 0.9, ranking, WHOLE_FRAME, np.arange(1280, dtype=np.float32), others)
    judged = Decision(
        outcome, Reason(reason), label, 0.75 if label else None, ranking, 0.9, None, WHOLE_FRAME
    )  # fmt: skip
    looked_at = outcome in {State.FILED, State.REVIEW, State.EMPTY}
    return Decided(
        move=Move(photo_id, work_path(photo_id), f"{outcome}/{photo_id}.jpg", outcome, reason),
        sha256=sha256 or f"{photo_id:064x}",
        size_bytes=7,
        width_px=64,
        height_px=48,
        captured_at=captured_at,
        camera=camera,
        spotting=seen if looked_at else None,
        decision=judged if looked_at else None,
        decided_at=NOW,
        took_ms=12.3456,
    )


def arrive(store: Store, *, received_at: str = NOW, **what: Any) -> int:
    """A whole journey; returns the photo's id."""
    (photo_id,) = store.journeys.record_claims([claim(camera=what.get("camera"), received_at=received_at)])
    one = decided(photo_id, **what)
    store.journeys.record_decisions([one])
    store.journeys.record_receipts([one.move])
    return photo_id


def say(store: Store, photo_id: int, label: str | None) -> None:
    store.journeys.record_label(photo_id, Said(label, "cli", "me", NOW))


def relocate(store: Store, photo_id: int, outcome: State, *, reason: str, said: Said | None = None) -> Move:
    source = store.connection.value("SELECT path FROM photos WHERE id = ?", (photo_id,))
    move = Move(photo_id, source, f"{outcome}/moved-{photo_id}.jpg", outcome, reason)
    store.journeys.record_relocation(move, said)
    return move


def all_of(store: Store, name: str) -> list[dict[str, Any]]:
    return store.connection.rows(f"SELECT * FROM {name}")  # noqa: S608


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as plain:
        lines = list(plain.iterdump())
    plain.close()
    return lines


@contextmanager
def fresh() -> Iterator[Store]:
    """A log for one example."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "birdwatchd.db") as store:
        yield store


# -- opening


def test_a_fresh_log_has_exactly_the_promised_names(store: Store) -> None:
    for name, columns in CONTRACT.items():
        told = store.connection.rows(f"SELECT name FROM pragma_table_info('{name}')")  # noqa: S608
        assert [row["name"] for row in told] == columns.split(), name
    found = {
        row["name"] for row in store.connection.rows("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    }
    assert {"requests", "status", "review_queue"} <= found
    assert store.connection.problems() == []


def test_every_view_can_be_asked_of_an_empty_log(store: Store) -> None:
    for name in ("current_predictions", "sightings", "daily_counts", "review_queue", "audits"):
        assert all_of(store, name) == []


def test_the_log_is_kept_so_that_a_power_cut_takes_nothing_acknowledged(store: Store) -> None:
    assert store.connection.value("PRAGMA journal_mode") == "wal"
    assert store.connection.value("PRAGMA synchronous") == 2
    assert store.connection.value("PRAGMA foreign_keys") == 1


def test_opening_it_again_changes_nothing(path: Path) -> None:
    with Store.open(path) as store:
        arrive(store)
    before = path.read_bytes()
    Store.open(path).close()
    Store.read_only(path).close()
    assert path.read_bytes() == before


def test_a_log_of_a_newer_birdwatchd_is_refused_and_left_as_it_is(path: Path) -> None:
    Store.open(path).close()
    with sqlite3.connect(path) as plain:
        plain.execute(f"PRAGMA user_version = {connection.SCHEMA_VERSION + 1}")
    plain.close()
    before = path.read_bytes()
    for open_it in (Store.open, Store.read_only):
        with pytest.raises(NewerDatabase, match="newer birdwatchd") as refused:
            open_it(path)
        assert refused.value.exit_code == 2
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["garbage", "cut short", "a text file"])
def test_a_file_that_is_no_whole_database_is_refused_and_left_as_it_is(path: Path, damage: str) -> None:
    with Store.open(path) as store:
        arrive(store)
    whole = path.read_bytes()
    path.write_bytes(
        {"garbage": os.urandom(8192), "cut short": whole[: len(whole) // 2], "a text file": b"buy seeds\n" * 99}[damage]
    )
    before = path.read_bytes()
    for open_it in (Store.open, Store.read_only):
        with pytest.raises(DamagedDatabase):
            open_it(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("badly", [True, False])
def test_damage_inside_is_found_by_a_check(path: Path, badly: bool) -> None:
    with Store.open(path) as store:
        for _ in range(50):
            arrive(store)
        sha256 = str(store.connection.value("SELECT sha256 FROM photos WHERE id = 44")).encode()
    whole = path.read_bytes()
    path.write_bytes(
        whole[: len(whole) // 2] + bytes(len(whole) // 2) if badly else whole.replace(sha256, b"0" * 64, 1)
    )
    with Store.read_only(path) as store:
        assert store.connection.problems() != []


def test_a_row_that_points_nowhere_is_found_by_a_check(store: Store) -> None:
    store.connection.execute("PRAGMA foreign_keys = OFF")
    say(store, 99, "robin")
    assert store.connection.problems() == ["row 1 of labels points nowhere"]


def test_without_a_log_or_before_its_tables_there_is_nothing_to_read(path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no log"):
        Store.read_only(path)
    assert not path.exists()
    with pytest.raises(ConfigError, match="there is no log"):
        Store.open(path, migrate=False)
    assert not path.exists()
    path.touch()
    with pytest.raises(ConfigError, match="not set up yet"):
        Store.read_only(path)


def for_wishes(path: Path) -> Store:
    """As a command opens it that does not hold the bird folder's lock."""
    return Store.open(path, migrate=False)


def restoring(path: Path) -> Path:
    plan = path.parent / shelving.RESTORE_PLAN
    plan.parent.mkdir(exist_ok=True)
    plan.write_text("{}")
    return plan


@pytest.mark.fault("S05")
def test_nobody_opens_the_log_in_the_middle_of_a_restore_and_no_empty_one_is_made(path: Path) -> None:
    plan = restoring(path)
    for open_it in (Store.open, Store.read_only, for_wishes):
        with pytest.raises(ConfigError, match="cut short") as refused:
            open_it(path)
        assert "birdwatchd restore" in refused.value.hint
    assert not path.exists()
    plan.unlink()
    Store.open(path).close()


@pytest.mark.fault("S05")
def test_a_log_that_is_gone_while_its_last_rows_are_there_is_not_begun_anew(path: Path, store: Store) -> None:
    arrive(store)
    wal = path.with_name(f"{path.name}-wal")
    kept = wal.read_bytes()
    assert len(kept) > 0
    for _ in range(2):  # gone, then empty
        path.unlink()
        with pytest.raises(DamagedDatabase, match="still holds its latest rows"):
            Store.open(path)
        assert not path.exists()
        path.touch()
        with pytest.raises(DamagedDatabase, match="still holds its latest rows"):
            Store.open(path)
    assert wal.read_bytes() == kept


@pytest.mark.fault("S05")
def test_a_log_that_is_gone_while_there_are_backups_of_it_is_not_begun_anew(path: Path) -> None:
    backups = path.parent / shelving.BACKUPS
    backups.mkdir(parents=True)
    Store.open(path).close()
    path.rename(backups / "birdwatchd-20260501T053000Z-1.db")
    with pytest.raises(ConfigError, match="there are backups") as refused:
        Store.open(path)
    assert "birdwatchd restore" in refused.value.hint
    assert not path.exists()


@pytest.mark.parametrize("how", ["for reading", "for wishes", "for everything"])
def test_a_log_that_was_replaced_while_it_was_waited_for_is_not_mixed_with_the_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """SQLite finds a log's `-wal` by name: a connection to the old file would read, and write, that of the new one."""
    Store.open(path).close()
    look = connection.refuse_newer

    def replaced_meanwhile(*args: Any) -> None:
        look(*args)
        new = path.with_name("new.db")
        new.write_bytes(path.read_bytes())
        new.rename(path)

    open_it: Callable[[Path], Store] = {
        "for reading": Store.read_only,
        "for wishes": for_wishes,
        "for everything": Store.open,
    }[how]
    with monkeypatch.context() as patch:
        patch.setattr(connection, "refuse_newer", replaced_meanwhile)
        with pytest.raises(StoreBusy, match="just been restored"):
            open_it(path)
    open_it(path).close()


def test_a_log_whose_folder_is_closed_to_us_is_trouble_not_a_crash(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    Store.open(path).close()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        with pytest.raises(DiskTrouble, match="Permission denied"):
            Store.read_only(path)


def test_a_place_that_cannot_hold_a_log_is_trouble_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(DiskTrouble):
        Store.open(tmp_path)
    with pytest.raises(DiskTrouble):
        Store.open(tmp_path / "nowhere" / "birdwatchd.db")


def test_a_reader_cannot_write(path: Path, store: Store) -> None:
    with Store.read_only(path) as reader:
        assert reader.questions.states() == {}
        with pytest.raises(DiskTrouble):
            reader.requests.ask("undo", {}, actor=None, at=NOW)


# -- several birds in one photo

LEFT, RIGHT = Bird(Box(0.0, 0.25, 0.125, 0.25), 0.75), Bird(Box(0.5, 0.25, 0.125, 0.25), 0.625)


def birds(store: Store) -> list[tuple[int, int, str, float]]:
    return [tuple(row.values()) for row in all_of(store, "birds ORDER BY photo_id, number")]


def test_other_birds_are_written_with_the_decision(store: Store) -> None:
    (photo_id,) = store.journeys.record_claims([claim()])
    store.journeys.record_decisions([decided(photo_id, others=(LEFT, RIGHT))])
    assert [tuple(row.values()) for row in all_of(store, "other_birds")] == [
        (photo_id, "5" * 16, 2, "[0.0, 0.25, 0.125, 0.25]", 0.75),
        (photo_id, "5" * 16, 3, "[0.5, 0.25, 0.125, 0.25]", 0.625),
    ]


def test_a_decision_that_cannot_be_written_leaves_no_bird(store: Store) -> None:
    (photo_id,) = store.journeys.record_claims([claim()])
    with pytest.raises(ValueError):
        store.journeys.record_decisions([decided(photo_id, others=(LEFT,)), decided(photo_id + 1)])
    assert all_of(store, "other_birds") == []


def test_the_main_bird_is_number_one_and_the_others_follow(store: Store) -> None:
    alone, together = arrive(store), arrive(store, others=(LEFT, RIGHT))
    whole = "[0.0, 0.0, 1.0, 1.0]"
    assert birds(store) == [
        (alone, 1, whole, 0.9),
        (together, 1, whole, 0.9),
        (together, 2, "[0.0, 0.25, 0.125, 0.25]", 0.75),
        (together, 3, "[0.5, 0.25, 0.125, 0.25]", 0.625),
    ]


def test_no_bird_is_in_an_empty_photo_nor_in_one_whose_answer_is_no_number(store: Store) -> None:
    arrive(store, outcome=State.EMPTY, label=None, reason="no-bird", others=(LEFT,))
    (odd,) = store.journeys.record_claims([claim()])
    one = decided(odd, outcome=State.REVIEW, label=None, reason="odd-answer", others=(LEFT,))
    assert one.spotting is not None
    assert one.decision is not None
    unheard = dataclasses.replace(one.spotting, birdness=float("nan"))
    store.journeys.record_decisions(
        [dataclasses.replace(one, spotting=unheard, decision=dataclasses.replace(one.decision, birdness=None))]
    )
    assert all_of(store, "other_birds") == []
    assert birds(store) == []


def test_a_photo_that_is_looked_at_once_more_has_the_birds_of_the_last_look(store: Store) -> None:
    photo_id = arrive(store, others=(LEFT, RIGHT))
    with store.connection.writing():
        store.journeys._keep_others(photo_id, "5" * 16, [RIGHT])
        store.journeys._keep_others(photo_id, "5" * 16, [RIGHT])
        store.journeys._keep_others(photo_id, "6" * 16, [LEFT, LEFT, LEFT])
    assert [(number, birdness) for _, number, _, birdness in birds(store)] == [(1, 0.9), (2, 0.625)], "of one spotter"


@pytest.mark.parametrize(("label", "kept"), [("robin", 1), (shelving.NO_BIRD, 0)])
def test_an_imported_photo_keeps_its_other_birds_unless_its_person_says_that_there_are_none(
    store: Store, label: str, kept: int
) -> None:
    one = dataclasses.replace(decided(0, others=(LEFT,)), decision=None)
    store.journeys.record_import(one, Said(label, "import", "me", NOW), original_name="a.jpg", received_at=NOW)
    assert len(all_of(store, "other_birds")) == kept


@pytest.mark.parametrize(
    ("question", "may_go_through"),
    [
        ("SELECT * FROM birds WHERE photo_id = 5", []),
        ("SELECT (SELECT count(*) FROM birds WHERE birds.photo_id = photos.id) FROM photos WHERE id > 5", []),
        ("SELECT photo_id, count(*) FROM birds GROUP BY photo_id", ["latest"]),  # each photo once
    ],
)
def test_the_birds_of_a_photo_are_found_by_indexes(store: Store, question: str, may_go_through: list[str]) -> None:
    steps = [row["detail"] for row in store.connection.rows(f"EXPLAIN QUERY PLAN {question}")]
    through = [
        step.split()[1] for step in steps if step.startswith("SCAN") and step.split()[1] not in {"turn", "CONSTANT"}
    ]
    assert through == may_go_through, steps
    assert "SEARCH other USING PRIMARY KEY (photo_id=? AND spotter_id=?) LEFT-JOIN" in steps
    assert not any("AUTOMATIC" in step or "TEMP B-TREE" in step for step in steps), steps


# -- migrations


def test_a_log_has_the_version_of_its_last_migration() -> None:
    """Else an older program would take it for its own, or this one would leave it as it is."""
    names = [one.name for one in schema.migrations._migrations]
    assert names == sorted(names)
    assert [int(name[:4]) for name in names] == [*range(1, connection.SCHEMA_VERSION + 1)]


def _broken(db: Any) -> None:
    db.execute("CREATE TABLE half_way (id INTEGER)")
    raise InterruptedError("killed here")


def _with_broken_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Migrations("birdwatchd")
    for one in schema.migrations._migrations:
        broken(name=one.name)(one.fn)
    broken(name="9999_broken")(_broken)
    monkeypatch.setattr(schema, "migrations", broken)
    monkeypatch.setattr(connection, "SCHEMA_VERSION", connection.SCHEMA_VERSION + 1)


def test_a_migration_that_dies_leaves_nothing_of_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _with_broken_migration(patch)
        with pytest.raises(InterruptedError):
            Store.open(path)
    assert [line for line in dump(path) if "CREATE" in line] == []
    with Store.open(path) as store:
        assert store.connection.problems() == []


def test_an_older_log_stays_as_it_was_when_its_migration_dies(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(path) as store:
        arrive(store)
    before = dump(path)
    with monkeypatch.context() as patch:
        _with_broken_migration(patch)
        with pytest.raises(InterruptedError):
            Store.open(path)
    assert dump(path) == before
    with Store.open(path) as store:
        assert store.questions.states() == {"filed": 1}


def first_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log as the first birdwatchd made it, with a photo in it."""
    with monkeypatch.context() as patch:
        only = Migrations("birdwatchd")
        only(name="0001_first")(schema._first)
        patch.setattr(schema, "migrations", only)
        patch.setattr(connection, "SCHEMA_VERSION", 1)
        with Store.open(path) as store, store.connection.writing():
            store.connection.execute(
                "INSERT INTO photos (id, sha256, original_name, received_at, bytes, path, state, reason)"
                " VALUES (1, 'a', 'a.jpg', '2026', 7, 'library/robin/a.jpg', 'filed', 'sure')"
            )
            store.connection.execute(
                "INSERT INTO predictions (photo_id, spotter_id, label, top, birdness, box, verdict, reason, predicted_at, took_ms)"
                " VALUES (1, '5', 'robin', '[]', 0.75, '[0.0, 0.0, 1.0, 1.0]', 'filed', 'sure', '2026', 3)"
            )


def test_a_log_of_the_first_version_is_brought_up_to_date_and_keeps_its_photos(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_log(path, monkeypatch)
    with pytest.raises(ConfigError, match="older"):
        Store.open(path, migrate=False)
    with Store.open(path) as store:
        assert store.connection.value("PRAGMA user_version") == connection.SCHEMA_VERSION
        assert store.questions.states() == {"filed": 1}
        assert birds(store) == [(1, 1, "[0.0, 0.0, 1.0, 1.0]", 0.75)]
        assert store.days.note(at=NOW, boot="a", uptime_s=1)


def log_before(
    name: str, path: Path, monkeypatch: pytest.MonkeyPatch, *sentences: tuple[str, tuple[object, ...]]
) -> None:
    """A log as the birdwatchd before that migration made it, to which these sentences were said."""
    older = Migrations("birdwatchd")
    names = [one.name for one in schema.migrations._migrations]
    version = names.index(name)
    for one in schema.migrations._migrations[:version]:
        older(name=one.name)(one.fn)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "migrations", older)
        patch.setattr(connection, "SCHEMA_VERSION", version)
        with connection.Connection.open(path) as log, log.writing():
            for sql, values in sentences:
                log.execute(sql, values)


def test_a_wish_of_an_older_log_is_found_by_its_key_and_a_damaged_one_stops_no_update(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = "INSERT INTO requests (kind, arguments, requested_at) VALUES ('answers', ?, '2026')"
    arguments = (
        '{"key": "an-older-key", "photo_ids": [1]}',
        "{}",
        '{"key": "half of',
        "",
        b"\x00\xff",
        '{"key": ["no", "word"]}',
        '{"key": null}',
        "[1]",
        "null",
        '{"key": "another-key"}',
    )
    log_before("0009_keys_of_wishes", path, monkeypatch, *((leave, (one,)) for one in arguments))
    with Store.open(path) as store:
        assert store.connection.problems() == []
        assert [row["arguments"] for row in all_of(store, "requests")] == list(arguments)
        keys = [row["key"] for row in all_of(store, "requests")]
        assert keys == ["an-older-key", *[None] * 8, "another-key"]
        found = store.requests.with_key("an-older-key")
        assert found is not None
        assert (found.id, found.arguments["photo_ids"]) == (1, [1])
        assert store.requests.with_key("half of") is None


def test_a_process_killed_in_a_migration_leaves_nothing_of_it(path: Path) -> None:
    kill = """
import os, signal, sys
from pathlib import Path
from birdwatchd.edges.store import Store, schema
real = schema.migrations.apply
def killed_after(db):
    real(db)
    os.kill(os.getpid(), signal.SIGKILL)
schema.migrations.apply = killed_after
Store.open(Path(sys.argv[1]))
"""
    child = subprocess.run([sys.executable, "-c", kill, str(path)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert [line for line in dump(path) if "CREATE" in line] == []
    with Store.open(path) as store:
        assert arrive(store) == 1


# -- transactions


def test_what_fails_half_way_leaves_nothing(store: Store) -> None:
    def fail_half_way() -> None:
        with store.connection.writing():
            store.connection.execute("INSERT INTO requests (kind, arguments, requested_at) VALUES ('undo', '{}', '')")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail_half_way()
    assert all_of(store, "requests") == []
    with store.connection.writing():
        pass


def test_a_mistake_in_sql_is_no_trouble_of_the_disk(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError):
        store.connection.execute("SELECT * FROM no_such_table")
    with pytest.raises(sqlite3.IntegrityError):
        say(store, 99, "robin")
    assert all_of(store, "labels") == []


@pytest.mark.usefixtures("impatient")
def test_a_lock_held_elsewhere_is_said_to_be_and_nothing_is_written(path: Path) -> None:
    with Store.open(path) as holder, Store.open(path) as other:
        with holder.connection.writing():
            with pytest.raises(StoreBusy, match="locked by another program"):
                other.requests.ask("undo", {}, actor=None, at=NOW)
            assert all_of(other, "requests") == [], "readers are not held up"
        other.requests.ask("undo", {}, actor=None, at=NOW)


def test_a_full_disk_is_said_to_be_one(store: Store) -> None:
    pages = store.connection.value("PRAGMA page_count")
    store.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull):
        store.requests.ask("import", {"folder": "x" * 10**6}, actor=None, at=NOW)
    assert all_of(store, "requests") == []


def test_a_checkpoint_cuts_the_write_ahead_log_short(path: Path, store: Store) -> None:
    arrive(store)
    wal = path.with_name(f"{path.name}-wal")
    patience = store.connection.value("PRAGMA busy_timeout")
    assert store.connection.wal_bytes() == wal.stat().st_size > 0
    assert store.connection.checkpoint()
    assert store.connection.wal_bytes() == wal.stat().st_size == 0
    assert store.connection.value("PRAGMA busy_timeout") == patience


@pytest.mark.fault("S03")
def test_a_checkpoint_does_not_wait_for_an_endless_reader(path: Path, store: Store) -> None:
    arrive(store)
    with Store.read_only(path) as reader:
        reader.connection.execute("BEGIN")
        assert reader.questions.states() == {"filed": 1}
        arrive(store)
        begun = time.monotonic()
        assert not store.connection.checkpoint()
        assert time.monotonic() - begun < connection.BUSY_TIMEOUT_S / 4
        assert store.connection.wal_bytes() > 0
        assert reader.questions.states() == {"filed": 1}, "it reads on what it began with"
    assert store.connection.checkpoint()
    assert store.connection.wal_bytes() == 0


ROUNDS = 200


def test_two_threads_that_read_and_then_write_never_find_it_locked(path: Path, store: Store) -> None:
    store.journeys.record_claims([claim()])
    failures: list[Exception] = []

    def count_up() -> None:
        try:
            with Store.open(path) as own:
                for _ in range(ROUNDS):
                    with own.connection.writing():
                        count = own.connection.value("SELECT attempts FROM journeys WHERE photo_id = 1")
                        own.connection.execute("UPDATE journeys SET attempts = ?", (count + 1,))
        except Exception as error:  # noqa: BLE001  # told by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=count_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.journeys.under_way()[0].attempts == 1 + 2 * ROUNDS


def test_two_processes_that_read_and_then_write_never_find_it_locked(path: Path, store: Store) -> None:
    store.journeys.record_claims([claim()])
    count_up = """
import sys
from pathlib import Path
from birdwatchd.edges.store import Store
with Store.open(Path(sys.argv[1])) as store:
    for _ in range(int(sys.argv[2])):
        with store.connection.writing():
            count = store.connection.value("SELECT attempts FROM journeys WHERE photo_id = 1")
            store.connection.execute("UPDATE journeys SET attempts = ?", (count + 1,))
"""
    children = [subprocess.Popen([sys.executable, "-c", count_up, str(path), str(ROUNDS)]) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert store.journeys.under_way()[0].attempts == 1 + 2 * ROUNDS


# -- journeys


def test_a_journey_is_remembered_from_claim_to_receipt(store: Store) -> None:
    name = os.fsdecode(b"feeder/caf\xe9\n.jpg")
    (photo_id,) = store.journeys.record_claims([claim(name, "feeder")])
    (begun,) = store.journeys.under_way()
    assert (begun.inbox_path, begun.stamp, begun.attempts, begun.camera) == (name, STAMP, 1, "feeder")
    assert (begun.source, begun.target, begun.outcome) == (work_path(photo_id), None, None)
    assert begun.original_name == "caf\\xe9\\n.jpg"
    one = decided(photo_id, outcome=State.REVIEW, captured_at="2026-05-01T07:30:00", camera="feeder")
    store.journeys.record_decisions([one])
    (planned,) = store.journeys.under_way()
    assert store.journeys.get(photo_id) == planned
    assert (planned.target, planned.outcome, planned.sha256) == (one.move.target, State.REVIEW, one.sha256)
    assert store.journeys.targets() == {one.move.target}
    store.journeys.record_receipts([one.move])
    assert (store.journeys.under_way(), store.journeys.under_way_count(), store.journeys.targets()) == ([], 0, set())
    (photo,) = all_of(store, "photos")
    assert (photo["state"], photo["path"], photo["reason"]) == ("review", one.move.target, "no-classifier")
    assert (photo["width_px"], photo["height_px"], photo["bytes"]) == (64, 48, 7)


def test_a_decision_is_written_down_whole(store: Store) -> None:
    photo_id = arrive(store)
    receipt = store.questions.receipt(photo_id)
    assert receipt is not None
    (prediction,) = receipt["predictions"]
    assert prediction["top"] == [["robin", 0.75], ["jay", 0.125]]
    assert prediction["box"] == [0, 0, 1, 1]
    assert (prediction["verdict"], prediction["label"], prediction["took_ms"]) == ("filed", "robin", 12.35)
    vector = store.connection.value("SELECT vector FROM embeddings")
    assert np.frombuffer(vector, "<f4").tolist() == list(range(1280))
    assert store.questions.receipt(99) is None


def test_a_claim_that_was_not_carried_out_leaves_no_trace_but_its_number(store: Store) -> None:
    first, second = store.journeys.record_claims([claim("a.jpg"), claim("b.jpg")])
    store.journeys.withdraw_claims([first])
    assert [journey.photo_id for journey in store.journeys.under_way()] == [second]
    assert [row["id"] for row in all_of(store, "photos")] == [second]
    store.journeys.withdraw_claims([second])
    assert store.journeys.record_claims([claim()])[0] > second, "a number is never given twice"


def test_attempts_are_counted(store: Store) -> None:
    (photo_id,) = store.journeys.record_claims([claim()])
    store.journeys.count_attempt(photo_id)
    assert store.journeys.under_way()[0].attempts == 2


def test_the_advice_for_a_quarantined_file_survives_a_restart(path: Path) -> None:
    advice = Advice("the file ends before the picture does", "copy it again, «ganz»")
    with Store.open(path) as store:
        (photo_id,) = store.journeys.record_claims([claim()])
        move = Move(photo_id, work_path(photo_id), "quarantine/truncated/a.jpg", State.QUARANTINED, "truncated", advice)
        store.journeys.record_decisions(
            [Decided(move, None, 7, None, None, None, None, None, None, decided_at=NOW, took_ms=1.0)]
        )
    with Store.open(path) as store:
        (journey,) = store.journeys.under_way()
        assert (journey.advice, journey.reason, journey.sha256) == (advice, "truncated", None)


def test_no_content_is_kept_twice(store: Store) -> None:
    arrive(store, sha256="a" * 64)
    with pytest.raises(sqlite3.IntegrityError):
        arrive(store, sha256="a" * 64)
    assert store.questions.states() == {"decided": 1, "filed": 1}


def test_no_name_is_planned_for_two_photos(store: Store) -> None:
    first, second = store.journeys.record_claims([claim("a.jpg"), claim("b.jpg")])
    store.journeys.record_decisions([decided(first)])
    store.journeys.record_decisions([decided(second)])
    with pytest.raises(sqlite3.IntegrityError):
        store.journeys.retarget(second, decided(first).move.target)
    store.journeys.retarget(second, "filed/another.jpg")
    assert store.journeys.targets() == {decided(first).move.target, "filed/another.jpg"}


def test_twins_are_photos_that_are_kept_or_on_their_way_to_it(store: Store) -> None:
    same = "a" * 64
    assert store.journeys.twins(same) == []
    arrive(store, outcome=State.QUARANTINED, sha256=same, reason="odd-answer")
    arrive(store, outcome=State.DUPLICATE, sha256=same, reason="same-bytes")
    assert store.journeys.twins(same) == []
    (photo_id,) = store.journeys.record_claims([claim()])
    one = decided(photo_id, sha256=same)
    store.journeys.record_decisions([one])
    assert store.journeys.twins(same) == [Twin(photo_id, (work_path(photo_id), one.move.target), State.DECIDED)]
    store.journeys.record_receipts([one.move])
    assert store.journeys.twins(same) == [Twin(photo_id, (one.move.target,), State.FILED)]
    assert store.questions.ids_by_content(same)[0] == photo_id, "kept ones first"
    store.journeys.record_missing([photo_id])
    assert store.journeys.twins(same) == []


def test_an_illegal_step_is_refused_and_nothing_is_written(store: Store) -> None:
    photo_id = arrive(store, outcome=State.QUARANTINED, reason="odd-answer")
    with pytest.raises(ValueError, match="cannot become"):
        relocate(store, photo_id, State.FILED, reason="labelled", said=Said("robin", "cli", None, NOW))
    with pytest.raises(ValueError, match="cannot become"):
        store.journeys.record_receipts([Move(photo_id, "x", "library/robin/x.jpg", State.FILED, None)])
    assert (all_of(store, "labels"), store.journeys.under_way()) == ([], [])
    assert store.questions.states() == {"quarantined": 1}


def test_a_plan_to_move_a_resting_photo_can_be_made_again_and_its_word_counts_once(store: Store) -> None:
    """A full disk stopped the move; the wish is fulfilled once more."""
    photo_id = arrive(store, outcome=State.REVIEW)
    said = Said("robin", "cli", "me", NOW)
    relocate(store, photo_id, State.FILED, reason="labelled", said=said)
    again = relocate(store, photo_id, State.FILED, reason="labelled", said=said)
    assert [journey.target for journey in store.journeys.under_way()] == [again.target]
    assert [row["label"] for row in all_of(store, "labels")] == ["robin"]
    relocate(store, photo_id, State.EMPTY, reason="labelled", said=Said("empty", "cli", "me", NOW))
    assert [row["label"] for row in all_of(store, "labels")] == ["robin", "empty"]
    store.journeys.record_receipts([again])
    assert store.questions.states() == {"filed": 1}


def test_a_plan_that_is_made_again_with_the_same_word_does_not_say_it_twice_but_without_a_word_says_nothing(
    store: Store,
) -> None:
    photo_id = arrive(store, outcome=State.REVIEW)
    relocate(store, photo_id, State.REVIEW, reason="undone")
    assert all_of(store, "labels") == []
    relocate(store, photo_id, State.FILED, reason="labelled", said=Said("robin", "cli", "me", NOW))
    assert [row["label"] for row in all_of(store, "labels")] == ["robin"]


def test_a_photo_that_a_person_moved_is_known_at_its_new_place(store: Store) -> None:
    photo_id = arrive(store)
    store.journeys.record_found(photo_id, "library/robin/moved.jpg")
    assert [row["path"] for row in store.questions.kept_paths()] == ["library/robin/moved.jpg"]


def test_an_import_that_could_not_be_looked_at_has_no_embedding(store: Store) -> None:
    """As for a decision whose picture gave no number."""
    one = dataclasses.replace(decided(0, reason="imported"), spotting=None)
    store.journeys.record_import(one, Said("robin", "import", "me", NOW), original_name="a.jpg", received_at=NOW)
    assert all_of(store, "embeddings") == []
    assert [row["label"] for row in all_of(store, "labels")] == ["robin"]


def test_a_plan_is_given_up_when_a_person_took_the_photo_elsewhere(store: Store) -> None:
    photo_id = arrive(store, outcome=State.REVIEW)
    relocate(store, photo_id, State.FILED, reason="labelled")
    store.journeys.give_up(photo_id, reason="gone")
    assert (store.journeys.under_way(), store.questions.states()) == ([], {"missing": 1})


def test_an_imported_photo_has_row_label_embedding_and_plan_at_once(store: Store) -> None:
    one = decided(0, outcome=State.FILED, reason="imported")
    said = Said("robin", "import", "me", NOW)
    photo_id = store.journeys.record_import(one, said, original_name="my\nrobin.jpg", received_at=NOW)
    (journey,) = store.journeys.under_way()
    assert (journey.photo_id, journey.target, journey.stamp, journey.inbox_path) == (
        photo_id,
        one.move.target,
        None,
        "",
    )
    assert [(row["label"], row["source"]) for row in all_of(store, "labels")] == [("robin", "import")]
    assert len(all_of(store, "embeddings")) == 1
    assert all_of(store, "predictions") == []
    assert all_of(store, "photos")[0]["original_name"] == "my\\nrobin.jpg"


# -- the views


def test_the_machines_word_is_a_sighting_once_it_filed_the_photo(store: Store) -> None:
    photo_id = arrive(store, camera="feeder", captured_at="2026-05-01T07:30:00+02:00")
    arrive(store, outcome=State.REVIEW)
    arrive(store, outcome=State.EMPTY, label=None, reason="no-bird")
    assert all_of(store, "sightings") == [
        {
            "photo_id": photo_id,
            "at": "2026-05-01T07:30:00+02:00",
            "camera": "feeder",
            "species": "robin",
            "probability": 0.75,
            "named_by": "machine",
            "path": f"filed/{photo_id}.jpg",
        }
    ]


def sighted(store: Store) -> list[tuple[str, str]]:
    return [(row["species"], row["named_by"]) for row in all_of(store, "sightings")]


def test_the_humans_latest_word_wins(store: Store) -> None:
    photo_id = arrive(store)
    say(store, photo_id, "wren")
    say(store, photo_id, "house finch")
    assert sighted(store) == [("house finch", "human")]
    assert all_of(store, "sightings")[0]["probability"] is None
    labels = [(row["label"], row["previous"]) for row in all_of(store, "labels")]
    assert labels == [("wren", None), ("house finch", "wren")], "nothing is overwritten"
    assert store.questions.species() == ["house finch"]


def test_a_human_names_a_photo_that_the_machine_was_unsure_of(store: Store) -> None:
    photo_id = arrive(store, outcome=State.REVIEW)
    assert sighted(store) == []
    say(store, photo_id, "wren")
    assert sighted(store) == [("wren", "human")]


def test_a_withdrawn_label_gives_the_word_back_to_the_machine(store: Store) -> None:
    filed, unsure = arrive(store), arrive(store, outcome=State.REVIEW)
    for photo_id in (filed, unsure):
        say(store, photo_id, "wren")
        say(store, photo_id, None)
    assert sighted(store) == [("robin", "machine")]
    assert [row["photo_id"] for row in all_of(store, "review_queue")] == [unsure]
    assert store.questions.species() == []


def test_a_photo_that_a_human_calls_empty_is_no_sighting(store: Store) -> None:
    say(store, arrive(store), "empty")
    assert sighted(store) == []


def test_what_was_undone_is_no_sighting_any_more_and_waits_for_a_look(store: Store) -> None:
    photo_id = arrive(store)
    assert [row["id"] for row in store.questions.filed_by_machine(since="2026", until="9999")] == [photo_id]
    store.journeys.record_receipts([relocate(store, photo_id, State.REVIEW, reason="undone")])
    assert sighted(store) == []
    (waiting,) = all_of(store, "review_queue")
    assert (waiting["guess"], waiting["reason"]) == ("robin", "undone")
    store.journeys.record_missing([photo_id])
    assert sighted(store) == [], "also when its file is deleted then"


def test_a_sighting_stays_one_when_the_photo_is_deleted(store: Store) -> None:
    store.journeys.record_missing([arrive(store)])
    assert sighted(store) == [("robin", "machine")]


def test_what_a_human_named_is_not_the_machines_to_undo(store: Store) -> None:
    say(store, arrive(store), "robin")
    assert store.questions.filed_by_machine(since="2026", until="9999") == []


def test_the_queue_holds_what_waits_for_a_word(store: Store) -> None:
    first = arrive(store, outcome=State.REVIEW, label="jay")
    second = arrive(store, outcome=State.REVIEW, label=None, reason="odd-answer")
    arrive(store)
    assert [(row["photo_id"], row["guess"]) for row in all_of(store, "review_queue")] == [
        (first, "jay"),
        (second, None),
    ]
    assert {row["guess"]: row["photos"] for row in store.questions.guesses()} == {"jay": 1, "unknown": 1}
    say(store, first, "jay")
    assert [row["photo_id"] for row in all_of(store, "review_queue")] == [second]


def test_the_latest_prediction_is_the_current_one(store: Store) -> None:
    photo_id = arrive(store)
    with store.connection.writing():
        store.connection.execute(
            "INSERT INTO models (kind, created_at, labels, metrics, path, recipe) VALUES ('linear', ?, '[]', '{}', '', '{}')",
            (NOW,),
        )
        store.connection.execute(
            "INSERT INTO predictions (photo_id, model_id, spotter_id, label, probability, top, box, verdict, reason,"
            " predicted_at, took_ms) VALUES (?, 1, '', 'wren', 0.99, '[]', '[]', 'filed', '', ?, 1)",
            (photo_id, NOW),
        )
    assert [row["label"] for row in all_of(store, "current_predictions")] == ["wren"]
    assert sighted(store) == [("wren", "machine")]


def test_only_one_model_serves(store: Store) -> None:
    serving = (
        "INSERT INTO models (kind, created_at, promoted_at, labels, metrics, path, recipe)"
        " VALUES ('linear', '', '2026', '[]', '{}', '', '{}')"
    )
    with store.connection.writing():
        store.connection.execute(serving)
    with pytest.raises(sqlite3.IntegrityError), store.connection.writing():
        store.connection.execute(serving)


def counts(store: Store) -> list[tuple[Any, ...]]:
    return [(row["day"], row["camera"], row["species"], row["photos"], row["visits"]) for row in store.questions.days()]


def test_photos_within_five_minutes_are_one_visit(store: Store) -> None:
    for clock in ("08:00:00", "08:04:00", "08:09:00", "08:14:01", "09:30:00"):
        arrive(store, camera="feeder", captured_at=f"2026-05-01T{clock}")
    assert counts(store) == [("2026-05-01", "feeder", "robin", 5, 3)]


@settings(deadline=None)  # a busy machine is no fault of the log
@given(st.integers(0, 86_399 - 300), st.sampled_from([0, 1, 299, 300, 301, 600]))
def test_a_gap_of_more_than_five_minutes_and_no_less_begins_a_new_visit(begun_s: int, gap_s: int) -> None:
    def clock(second: int) -> str:
        return f"2026-05-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"

    end_s = min(begun_s + gap_s, 86_399)
    with fresh() as store:
        arrive(store, captured_at=clock(begun_s))
        arrive(store, captured_at=clock(end_s))
        assert counts(store) == [("2026-05-01", None, "robin", 2, 1 if end_s - begun_s <= 300 else 2)]


def test_visits_are_told_apart_by_camera_and_species(store: Store) -> None:
    for camera, label in (("feeder", "robin"), ("pond", "robin"), ("feeder", "wren"), ("feeder", "robin")):
        arrive(store, camera=camera, label=label, captured_at="2026-05-01T08:00:00")
    assert sorted(counts(store)) == [
        ("2026-05-01", "feeder", "robin", 2, 1),
        ("2026-05-01", "feeder", "wren", 1, 1),
        ("2026-05-01", "pond", "robin", 1, 1),
    ]


def test_a_photo_without_a_capture_time_is_a_visit_of_its_own_on_the_day_it_came(store: Store) -> None:
    for _ in range(3):
        arrive(store, received_at="2026-05-02T00:00:00.000Z")
    arrive(store, captured_at="2026-05-02T00:00:01")
    assert counts(store) == [("2026-05-02", None, "robin", 4, 4)]


def test_the_days_are_told_newest_first_from_a_day_on(store: Store) -> None:
    for day in (1, 3, 2):
        arrive(store, captured_at=f"2026-05-0{day}T08:00:00")
    assert [row["day"] for row in store.questions.days(since="2026-05-02")] == ["2026-05-03", "2026-05-02"]


# -- questions


def test_the_latest_arrivals_come_first_and_can_be_chosen(store: Store) -> None:
    ids = [
        arrive(store, camera="feeder", received_at="2026-05-01"),
        arrive(store, outcome=State.REVIEW, received_at="2026-05-02"),
    ]
    assert [row["id"] for row in store.questions.recent(limit=9)] == ids[::-1]
    assert [row["id"] for row in store.questions.recent(limit=1)] == ids[1:]
    assert [row["id"] for row in store.questions.recent(limit=9, state="filed", camera="feeder")] == ids[:1]
    assert [row["id"] for row in store.questions.recent(limit=9, since="2026-05-02")] == ids[1:]
    assert [row["id"] for row in store.questions.kept_paths()] == ids


# -- lived days

H = 3600.0


def quarantined(store: Store, reason: str, received_at: str = NOW) -> int:
    (photo_id,) = store.journeys.record_claims([claim(received_at=received_at)])
    move = Move(photo_id, work_path(photo_id), f"quarantine/{reason}/{photo_id}", State.QUARANTINED, reason)
    store.journeys.record_decisions(
        [Decided(move, None, 7, None, None, None, None, None, None, decided_at=NOW, took_ms=1.0)]
    )
    store.journeys.record_receipts([move])
    return photo_id


def live_days(store: Store, days: int) -> None:
    """A machine that is never switched off lives that many days."""
    begun = 1 + int(store.connection.value("SELECT coalesce(max(uptime_s), 0) FROM lived_days") / (24 * H))
    for day in range(begun, begun + days):
        assert store.days.note(at=f"2026-01-01T{day % 24:02}:00:00.000Z", boot="boot", uptime_s=day * 24 * H)


def test_a_day_is_over_when_twenty_hours_have_really_passed(store: Store) -> None:
    assert store.days.note(at="2026-05-01T06:00:00.000Z", boot="a", uptime_s=60)
    assert not store.days.note(at="2026-05-02T01:00:00.000Z", boot="a", uptime_s=60 + 19 * H)
    assert store.days.note(at="2026-05-02T02:00:00.000Z", boot="a", uptime_s=60 + 20 * H)
    assert [row["number"] for row in all_of(store, "lived_days")] == [1, 2]


def test_a_machine_that_is_off_at_night_lives_a_day_each_day(store: Store) -> None:
    for day in range(1, 11):
        early = day % 2
        assert store.days.note(at=f"2026-05-{day:02}T0{6 + early}:30:00.000Z", boot=f"boot {day}", uptime_s=60)
        assert not store.days.note(at=f"2026-05-{day:02}T18:00:00.000Z", boot=f"again {day}", uptime_s=60)


@pytest.mark.fault("T01", "T02")
@settings(deadline=None)  # a busy machine is no fault of the log
@given(st.lists(st.tuples(st.floats(0, 19.9), st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(9000, 1, 1)))))
def test_no_leap_of_the_wall_clock_makes_a_day_in_one_run_of_the_machine(
    leaps: list[tuple[float, dt.datetime]],
) -> None:
    with fresh() as store:
        assert store.days.note(at=NOW, boot="a", uptime_s=60)
        for hours, at in leaps:
            assert not store.days.note(
                at=at.isoformat(timespec="milliseconds") + "Z", boot="a", uptime_s=60 + hours * H
            )


@pytest.mark.fault("T01", "T03")
def test_a_clock_that_comes_back_to_the_same_days_after_each_start_makes_no_more_of_them(store: Store) -> None:
    """A machine without a clock of its own wakes up in 1970, or where somebody set it to once."""
    noted = 0
    for start in range(60):
        at = ("1970-01-01T00:01:00.000Z", "2026-05-01T06:00:00.000Z", "2036-01-01T00:00:00.000Z")[start % 3]
        noted += store.days.note(at=at, boot=f"boot {start}", uptime_s=60)
    assert noted == 3
    assert store.days.note(at="1970-01-01T20:01:00.000Z", boot="long", uptime_s=20 * H), "it was on for so long"


def test_a_kernel_that_does_not_tell_its_start_leaves_only_the_calendar(store: Store) -> None:
    assert store.days.note(at="2026-05-01T06:00:00.000Z", boot="", uptime_s=60)
    assert not store.days.note(at="2026-05-01T07:00:00.000Z", boot="", uptime_s=99 * H)
    assert store.days.note(at="2026-05-02T06:00:00.000Z", boot="", uptime_s=60)


def test_what_was_in_quarantine_for_so_many_whole_days_may_expire_and_nothing_else(store: Store) -> None:
    live_days(store, 3)
    old = quarantined(store, "damaged")
    quarantined(store, "unsupported")
    live_days(store, 30)
    assert store.days.expired(days=30, limit=9) == [], "the first row after it came only begins to count"
    young = quarantined(store, "damaged", "1970-01-01T00:00:00.000Z")
    live_days(store, 1)
    assert [row["id"] for row in store.days.expired(days=30, limit=9)] == [old]
    live_days(store, 30)
    assert [row["id"] for row in store.days.expired(days=30, limit=9)] == [old, young]
    assert [row["id"] for row in store.days.expired(days=30, limit=1)] == [old]


def test_no_more_days_are_kept_than_can_be_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(days, "MOST_KEPT", 5)
    live_days(store, 20)
    assert [row["number"] for row in all_of(store, "lived_days")] == [16, 17, 18, 19, 20]


# -- requests and status


def test_a_wish_stays_open_until_it_is_fulfilled(store: Store) -> None:
    first = store.requests.ask("label", {"photo_id": 1}, actor="me", at=NOW)
    second = store.requests.ask("undo", {"since": "2h"}, actor=None, at=NOW)
    store.requests.take(first, at=NOW)
    store.requests.report(first, {"done": 1})
    wish = next(iter(store.requests.open()), None)
    assert wish is not None
    assert (wish.id, wish.kind, wish.arguments, wish.result, wish.outcome) == (
        first, "label", {"photo_id": 1}, {"done": 1}, None,
    )  # fmt: skip
    assert not store.requests.withdraw(first), "somebody has taken it up"
    store.requests.finish(first, "done", {"path": "x"}, at=NOW)
    assert store.requests.get(first).outcome == "done"
    assert store.requests.withdraw(second)
    assert next(iter(store.requests.open()), None) is None


def test_a_wish_is_found_by_the_key_that_it_was_left_under_whatever_stands_beside_it(store: Store) -> None:
    def leave(key: str | None) -> int:
        return store.requests.ask_checked(lambda: ("answers", {}), actor="web", at=NOW, key=key).id

    first, without, second = leave("one-key"), leave(None), leave("another")
    store.requests.ask("label", {"key": "third"}, actor=None, at=NOW)
    with store.connection.writing():
        store.connection.execute("UPDATE requests SET arguments = '{\"key' WHERE id = ?", (without,))
    found = {key: one and one.id for key in ("one-key", "another", "third") for one in [store.requests.with_key(key)]}
    assert found == {"one-key": first, "another": second, "third": None}


def test_the_last_answer_is_one_of_theirs_that_was_given_and_not_taken_back(store: Store) -> None:
    def leave(who: str | None, kind: str = "answers", **arguments: int) -> int:
        return store.requests.ask_checked(lambda: (kind, dict(arguments)), actor="web", at=NOW, left_by=who).id

    assert store.requests.last_answer(left_by="ann") is None
    first, of_bob, second, third = (leave(who) for who in ("ann", "bob", "ann", "ann"))
    leave(None)
    leave("ann", "label", photo_id=1)
    store.requests.finish(third, "failed", {}, at=NOW)
    told = []
    for who in ("ann", "ann", "ann", "bob", "bob"):
        last = store.requests.last_answer(left_by=who)
        told.append(None if last is None else last.id)
        if last is not None:
            leave(who, "take-back", request_id=last.id)
    assert told == [second, first, None, of_bob, None]


def test_an_answer_that_somebody_else_has_taken_back_is_not_taken_back_again(store: Store) -> None:
    number = store.requests.ask_checked(lambda: ("answers", {}), actor="web", at=NOW, left_by="ann").id
    store.requests.ask("take-back", {"request_id": number}, actor="me", at=NOW)
    assert store.requests.last_answer(left_by="ann") is None


def test_answers_of_an_older_log_that_were_taken_back_are_known_as_such(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = "INSERT INTO requests (kind, arguments, requested_at) VALUES (?, ?, '2026')"
    wishes: tuple[tuple[str, object], ...] = (
        ("take-back", '{"request_id": 7, "photo_ids": [1]}'),
        ("take-back", '{"request_id": "7"}'),
        ("take-back", '{"request'),
        ("take-back", b"\x00"),
        ("take-back", "[]"),
        ("answers", '{"request_id": 8}'),
    )
    log_before("0010_whose_answers", path, monkeypatch, *((leave, one) for one in wishes))
    with Store.open(path) as store:
        assert store.connection.problems() == []
        assert [row["takes_back"] for row in all_of(store, "requests")] == [7, *[None] * 5]
        assert {row["left_by"] for row in all_of(store, "requests")} == {None}


def test_only_the_latest_wishes_are_remembered_and_no_open_one_is_forgotten(store: Store) -> None:
    waiting = store.requests.ask("label", {}, actor=None, at=NOW)
    done = [store.requests.ask("undo", {}, actor=None, at=NOW) for _ in range(10)]
    store.requests.forget_finished(keep=3)
    assert len(all_of(store, "requests")) == 11
    for number in done:
        store.requests.finish(number, "done", {}, at=NOW)
    for _ in range(2):
        store.requests.forget_finished(keep=3)
        assert [row["id"] for row in all_of(store, "requests")] == [waiting, *done[-3:]]
    assert store.requests.ask("undo", {}, actor=None, at=NOW) > done[-1], "a number is never given twice"


def test_the_daemons_word_about_itself_is_one_row(store: Store) -> None:
    assert store.requests.status() is None
    word = {
        "updated_at": NOW, "started_at": NOW, "pid": 1, "version": "0", "state": "working", "problems": "[]",
        "waiting": 0, "waiting_files": "[]", "in_flight": 0, "watcher": "events",
    }  # fmt: skip
    store.requests.write_status(word)
    store.requests.write_status(word | {"waiting": 5, "state": "degraded"})
    status = store.requests.status()
    assert status is not None
    assert (len(all_of(store, "status")), status["waiting"], status["state"]) == (1, 5, "degraded")


# -- words of any kind


@settings(deadline=None)  # a busy machine is no fault of the log
@given(PLAIN_TEXT, PLAIN_TEXT, st.binary(min_size=1, max_size=255))
def test_words_and_names_of_any_kind_come_back_as_they_went_in(label: str, actor: str, raw: bytes) -> None:
    name = os.fsdecode(raw)
    with fresh() as store:
        store.journeys.record_claims([claim(name)])
        assert store.journeys.under_way()[0].inbox_path == name
        photo_id = arrive(store, label=label or None, camera=actor)
        say(store, photo_id, label)
        wish = store.requests.ask(label, {"name": name}, actor=actor, at=NOW)
        assert store.requests.get(wish).arguments == {"name": name}
        assert (store.requests.get(wish).kind, store.requests.get(wish).actor) == (label, actor)
        assert store.questions.recent(limit=1, camera=actor)[0]["human_label"] == label


# -- start-up


def test_pandas_is_not_loaded_and_can_still_be_loaded_after(tmp_path: Path) -> None:
    """sqlite_utils would, where it is installed, and it takes a second."""
    (tmp_path / "pandas").mkdir()
    (tmp_path / "pandas" / "__init__.py").write_text("HERE = True\n")
    look = "import sys; import birdwatchd.edges.store; assert 'pandas' not in sys.modules; import pandas; assert pandas.HERE"
    subprocess.run([sys.executable, "-c", look], check=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})


def test_a_pandas_that_is_loaded_already_stays_loaded(tmp_path: Path) -> None:
    (tmp_path / "pandas").mkdir()
    (tmp_path / "pandas" / "__init__.py").write_text("class Timestamp: ...\n")
    look = "import pandas, sys; import birdwatchd.edges.store; assert sys.modules['pandas'] is pandas"
    subprocess.run([sys.executable, "-c", look], check=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})


def test_what_another_spotter_sees_is_kept_once_beside_what_was_seen_and_never_if_it_is_no_number(store: Store) -> None:
    photo_id = arrive(store)
    (first,) = all_of(store, "embeddings")
    seen = Spotting("9" * 16, 0.8, (), Box(0.1, 0.2, 0.3, 0.3), np.ones(1280, dtype=np.float32))
    for look in (dataclasses.replace(seen, birdness=float("nan")), seen, dataclasses.replace(seen, birdness=0.4)):
        store.journeys.record_look(photo_id, look, with_others=True)
    assert first in all_of(store, "embeddings")
    (kept,) = [row for row in all_of(store, "embeddings") if row["spotter_id"] == "9" * 16]
    assert (kept["birdness"], kept["box"]) == (0.8, "[0.1, 0.2, 0.3, 0.3]")
