"""However many photos the log knows, the daemon finds what it needs by an index: at its start, in each round, in each chore."""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.core.settings import Retention, Settings, Training
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store, connection
from birdwatchd.service import bird_folder
from birdwatchd.worker import Chore, Worker
from tests.fakes import StubSpotter
from tests.pictures import jpeg

GROWING = (
    "photos",
    "predictions",
    "embeddings",
    "labels",
    "trainings",
    "other_birds",
    "visits",
    "visit_photos",
    "visit_words",
)
"""Tables that grow with the years. All others have as many rows as there is work at hand, or are kept short."""

ROWS = 100_000


class Clock:
    """Seconds, turned by hand."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def fill(store: Store, rows: int) -> None:
    """A log of years."""
    count = f"WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows})"  # noqa: S608
    state = "CASE n % 10 WHEN 0 THEN 'duplicate' WHEN 1 THEN 'quarantined' ELSE 'review' END"
    photo = f"n, printf('%064x', n), n || '.jpg', '2026-05-01T05:30:00.250Z', 7, 'review/jay/' || n, {state}, 'no-classifier'"
    prediction = "n, '5', 'jay', 0.5, '[]', '[]', 'review', 'no-classifier', '2026-05-01T05:30:00.250Z', 3"
    with store.connection.writing():
        for table, columns, values in (
            ("photos", "id, sha256, original_name, received_at, bytes, path, state, reason", photo),
            ("predictions", "photo_id, spotter_id, label, probability, top, box, verdict, reason, predicted_at, took_ms", prediction),
            ("embeddings", "photo_id, spotter_id, vector", f"n, '{StubSpotter.id}', x'00'"),
            ("other_birds", "photo_id, spotter_id, number, box, birdness", f"n, '{StubSpotter.id}', 2, '[]', 0.5"),
            ("labels", "photo_id, label, source, labelled_at", "n, 'robin', 'cli', '2026'"),
        ):  # fmt: skip
            store.connection.execute(f"INSERT INTO {table} ({columns}) {count} SELECT {values} FROM n")  # noqa: S608
    store.visits.note_looked_at(rows, rows)  # long ago


@dataclass
class Heard:
    """What SQLite was asked, and how much it worked for that: steps of its machine, in tens."""

    statements: list[str] = field(default_factory=list)
    ten_steps: int = 0

    def step(self) -> int:
        self.ten_steps += 1
        return 0


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """Of any connection, from now on."""
    one = Heard()
    connect = sqlite3.connect

    def listening(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(*args, **kwargs)
        db.set_trace_callback(one.statements.append)
        db.set_progress_handler(one.step, 10)
        return db

    monkeypatch.setattr(connection.sqlite3, "connect", listening)  # type: ignore[attr-defined]
    yield one
    monkeypatch.undo()


def whole_tables_read(path: Path, statements: list[str]) -> list[str]:
    """Which of them go through all of a growing table."""
    found: list[str] = []
    with Store.open(path) as store:
        for statement in dict.fromkeys(statements):
            if not re.match(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)\b", statement):
                continue
            steps = [row["detail"] for row in store.connection.rows(f"EXPLAIN QUERY PLAN {statement}")]
            whole = rf"SCAN ({'|'.join(GROWING)}|latest|said|named|seen|other|word|news|given|mine)\b"
            found += [f"{step}: {statement}" for step in steps if re.match(whole, step)]
    return found


def live(root: Path) -> None:
    """A start, rounds with photos and wishes, every chore, and the end; all but the comparison of everything with the log."""
    clock = Clock()
    with bird_folder(root) as (files, store):
        settings = Settings(
            root=root,
            retention=Retention(quarantine_days=1, backups=0),
            training=Training(enabled=False),  # to learn means to read all labels
        )
        worker = Worker(settings, files, store, load_spotter=StubSpotter, clock=clock)  # type: ignore[arg-type]
        worker.noticing._agenda.begin_comparison()  # as if it had been made
        worker.open_eye()
        worker.resume()
        worker.sweep()
        (root / "inbox" / "a.jpg").write_bytes(jpeg(width=64, height=64, seed=1))
        (root / "inbox" / "twin.jpg").write_bytes(jpeg(width=64, height=64, seed=1))
        (root / "inbox" / "notes.txt").write_bytes(b"buy seeds\n")
        newest = store.connection.value("SELECT max(id) FROM photos")
        for _ in range(200):
            clock.now_s += max(worker.step(), 0.01)
        assert store.connection.value("SELECT max(id) FROM photos") == newest + 3
        (kept,) = store.connection.rows("SELECT id FROM photos WHERE state = 'review' AND id > ?", (newest,))
        wish = store.requests.ask("label", {"photo_id": kept["id"], "species": "robin"}, actor=None, at=now_utc())
        chores = (
            "checkpoint",
            "expire-quarantine",
            "expire-quarantine",
            "backup",
            "tidy",
            "tidy-models",
            "audit",
            "reconsider",
        )
        for name in chores:
            worker.do_chore(Chore(name))
            clock.now_s += max(worker.step(), 0.01)
        assert store.requests.get(wish).outcome == "done"
        assert worker.condition.problems == {}
        worker.note_stop()


def years_old(root: Path, rows: int) -> Path:
    Files(root).create()
    with Store.open(root / "birdwatchd.db") as store:
        fill(store, rows)
    return root


def test_nothing_that_the_daemon_does_reads_a_growing_table_from_end_to_end(tmp_path: Path, heard: Heard) -> None:
    root = years_old(tmp_path / "birdwatch", 100)
    heard.statements.clear()
    live(root)
    kinds = Counter(statement.split()[0] for statement in heard.statements)
    assert min(kinds["SELECT"], kinds["UPDATE"], kinds["DELETE"]) > 3, "something was listened to"
    assert whole_tables_read(root / "birdwatchd.db", heard.statements) == []


def test_the_comparison_of_everything_reads_the_log_page_by_page(tmp_path: Path, heard: Heard) -> None:
    """So that no photo waits for it."""
    root = years_old(tmp_path / "birdwatch", 100)
    with bird_folder(root) as (files, store):
        heard.statements.clear()
        worker = Worker(Settings(root=root), files, store, load_spotter=StubSpotter, clock=Clock())  # type: ignore[arg-type]
        worker.notice()
    assert any("FROM photos WHERE id >" in statement for statement in heard.statements)
    assert whole_tables_read(root / "birdwatchd.db", heard.statements) == []


def test_a_refiling_finds_its_photos_by_indexes_page_by_page(tmp_path: Path, heard: Heard) -> None:
    root = years_old(tmp_path / "birdwatch", 100)
    with Store.open(root / "birdwatchd.db") as store:
        heard.statements.clear()
        states = ("filed", "review", "empty")
        assert store.models.judged_by_others(1, "5", states, after=0, limit=16) == [], "all have names"
        assert store.models.count_judged_by_others(1, "5", states) == 0
        assert store.models.count_unseen(1, "5", states) == 0
        store.questions.filed_by_machine(since="2026", until="2027")
    assert len(heard.statements) > 2
    assert whole_tables_read(root / "birdwatchd.db", heard.statements) == []


def test_a_look_at_the_model_in_use_finds_its_photos_by_indexes(tmp_path: Path, heard: Heard) -> None:
    root = years_old(tmp_path / "birdwatch", 100)
    with Store.open(root / "birdwatchd.db") as store:
        heard.statements.clear()
        assert store.answers.outcomes(1, since="2026", until="2027", limit=500) == [], "none judged them"
        assert store.answers.waiting(1, since="2026", until="2027", limit=500) == (0, 0)
        assert len(store.answers.embeddings([1, 2], StubSpotter.id)) == 2
        assert not store.models.was_regretted("0" * 64)
        assert store.models.before() is None
    assert len(heard.statements) > 4
    assert whole_tables_read(root / "birdwatchd.db", heard.statements) == []


def test_a_statement_that_reads_a_whole_table_would_be_found(root: Path, heard: Heard) -> None:
    with Store.open(root / "birdwatchd.db") as store:
        store.questions.kept_paths()
        store.questions.days()
    assert len(whole_tables_read(root / "birdwatchd.db", heard.statements)) >= 2


def test_the_daemon_has_no_more_work_with_a_log_of_years_than_with_a_young_one(tmp_path: Path, heard: Heard) -> None:
    """An index may be used and be of no use: half of all photos are in review."""
    worked = []
    for rows in (100, ROWS):
        root = years_old(tmp_path / str(rows), rows)
        heard.ten_steps = 0
        live(root)
        worked.append(heard.ten_steps)
    young, old = worked
    assert young > 50
    assert old < 1.2 * young


def test_a_start_with_a_log_of_years_reads_next_to_nothing_of_it(tmp_path: Path) -> None:
    root = years_old(tmp_path / "birdwatch", ROWS)
    before = _bytes_read()
    with bird_folder(root) as (files, store):
        settings = Settings(root=root)
        worker = Worker(settings, files, store, load_spotter=StubSpotter, clock=Clock())  # type: ignore[arg-type]
        worker.open_eye()
        worker.resume()
        worker.sweep()
        worker.note_stop()
        assert worker.condition.problems == {}
    assert (root / "birdwatchd.db").stat().st_size > 20e6
    assert _bytes_read() - before < 1e6


def _bytes_read() -> int:
    """By this process, from files and from memory in their place."""
    told = Path("/proc/self/io").read_text(encoding="ascii")
    return int(dict(line.split(": ") for line in told.splitlines())["rchar"])
