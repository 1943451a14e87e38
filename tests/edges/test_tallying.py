"""What SQLite keeps beside the log is what the log says, whatever was written to it in whatever order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Migrations

from birdwatchd.edges.store import Connection, connection, schema

BY_THE_VIEW = """
WITH timed AS (
    SELECT substr(sightings.at, 1, 10) AS day, sightings.camera, sightings.species, photos.captured_at,
        lag(photos.captured_at) OVER (
            PARTITION BY sightings.camera, sightings.species, photos.captured_at IS NULL ORDER BY photos.captured_at
        ) AS before
    FROM sightings JOIN photos ON photos.id = sightings.photo_id
)
SELECT day, camera, species, count(*) AS photos,
    sum(captured_at IS NULL OR before IS NULL OR round((julianday(captured_at) - julianday(before)) * 86400) > 300) AS visits
FROM timed GROUP BY day, camera, species ORDER BY 1, 2, 3
"""
"""`daily_counts` as it was before there were tallies: the promise."""

PHOTOS = st.integers(1, 6)
SPECIES = st.sampled_from(["robin", "robin", "wren", "empty"])
TIMES = st.one_of(
    st.sampled_from([f"2026-05-01T23:5{minute}:0{second}" for minute in (0, 4, 5, 8) for second in (0, 1)]),
    st.sampled_from([None, "2026-05-02T00:03:00", "2025-01-01T10:00:00+02:00"]),
)
STATES = st.sampled_from(["claimed", "decided", "filed", "review", "empty", "missing"])
VERDICTS = st.sampled_from(["filed", "review", "empty"])
STEPS = st.one_of(
    st.tuples(
        st.just("UPDATE photos SET state = ?, reason = ? WHERE id = ?"),
        st.tuples(STATES, st.sampled_from(["sure", "undone", None]), PHOTOS),
    ),
    st.tuples(
        st.just("UPDATE photos SET captured_at = ?, camera = ? WHERE id = ?"),
        st.tuples(TIMES, st.sampled_from(["feeder", "feeder", "feeder", None]), PHOTOS),
    ),
    st.tuples(
        st.just("INSERT INTO labels (label, photo_id, source, labelled_at) VALUES (?, ?, 'web', '2026')"),
        st.tuples(st.one_of(st.none(), SPECIES), PHOTOS),
    ),
    st.tuples(
        st.just(
            "INSERT OR IGNORE INTO predictions (photo_id, model_id, label, verdict, probability, spotter_id, top, box, reason,"
            " predicted_at, took_ms) VALUES (?, ?, ?, ?, 0.5, '5', '[]', '[]', 'sure', '2026', 1)"
        ),
        st.tuples(PHOTOS, st.sampled_from([None, 1, 2]), st.sampled_from(["robin", "wren"]), VERDICTS),
    ),
    st.tuples(st.just("DELETE FROM predictions WHERE photo_id = ? AND model_id = ?"), st.tuples(PHOTOS, st.just(1))),
    st.tuples(
        st.just(
            "INSERT INTO visit_words (photo_id, prediction_id, verdict, reason, label, probability, said_at)"
            " SELECT photo_id, max(id), ?, 'visit', ?, 0.75, '2026' FROM predictions WHERE photo_id = ? GROUP BY photo_id"
            " ON CONFLICT (photo_id, prediction_id) DO UPDATE SET verdict = excluded.verdict, label = excluded.label"
        ),
        st.tuples(VERDICTS, st.sampled_from(["robin", "wren"]), PHOTOS),
    ),
    st.tuples(st.just("DELETE FROM visit_words WHERE photo_id = ?"), st.tuples(PHOTOS)),
    st.tuples(st.just("DELETE FROM labels WHERE photo_id = ?"), st.tuples(PHOTOS)),
)


@contextmanager
def log_in(folder: Path) -> Iterator[Connection]:
    """A log with six photos of one camera, three of them filed, and two models."""
    with Connection.open(folder / "birdwatchd.db") as log:
        with log.writing():
            for number in (1, 2):
                log.execute(
                    "INSERT INTO models (id, kind, created_at, labels, metrics, path, recipe) VALUES (?, 'linear', '', '', '', '', '')",
                    (number,),
                )
            for number in range(1, 7):
                log.execute(
                    "INSERT INTO photos (id, original_name, received_at, captured_at, camera, bytes, path, state)"
                    " VALUES (?, 'a.jpg', ?, ?, 'feeder', 7, 'a', ?)",
                    (
                        number,
                        f"2026-05-01T23:5{number}:30.000Z",
                        f"2026-05-01T23:5{number}:00",
                        "filed" if number > 3 else "claimed",
                    ),
                )
                log.execute(
                    "INSERT INTO predictions (photo_id, model_id, label, verdict, probability, spotter_id, top, box, reason,"
                    " predicted_at, took_ms) VALUES (?, 1, 'robin', 'filed', 0.5, '5', '[]', '[]', 'sure', '2026', 1)",
                    (number,),
                )
        yield log


def the_table_is_the_view(log: Connection) -> None:
    assert log.rows(
        "SELECT photo_id, at, nullif(camera, '') AS camera, species, probability, named_by FROM sighted ORDER BY photo_id"
    ) == log.rows("SELECT photo_id, at, camera, species, probability, named_by FROM sightings ORDER BY photo_id")
    assert (
        log.rows("SELECT photo_id FROM sighted JOIN photos ON id = photo_id WHERE timed <> (captured_at IS NOT NULL)")
        == []
    )
    assert log.rows("SELECT day, camera, species, photos, visits FROM daily_counts ORDER BY 1, 2, 3") == log.rows(
        BY_THE_VIEW
    )
    assert log.rows("SELECT * FROM tallies ORDER BY day, species, hour, timed, camera") == log.rows(
        "SELECT substr(at, 1, 10) AS day, species, substr(at, 12, 2) AS hour, timed, camera, count(*) AS photos, sum(begins) AS visits"
        " FROM sighted GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
    )
    assert log.rows("SELECT * FROM monthly ORDER BY month, species, hour, timed") == log.rows(
        "SELECT substr(day, 1, 7) AS month, species, hour, timed, sum(photos) AS photos, sum(visits) AS visits FROM tallies"
        " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    )


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=150, deadline=None)
def test_after_every_step_of_any_storm_the_tables_are_what_the_views_say(
    storm: list[tuple[str, tuple[object, ...]]],
) -> None:
    with TemporaryDirectory() as folder, log_in(Path(folder)) as log:
        for sql, values in storm:
            with log.writing():
                log.execute(sql, values)
            the_table_is_the_view(log)


@given(st.lists(STEPS, min_size=10, max_size=60))
@settings(max_examples=25, deadline=None)
def test_an_older_log_is_filled_in_as_if_it_had_always_been_kept(storm: list[tuple[str, tuple[object, ...]]]) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        with patch.context() as older:
            before = Migrations("birdwatchd")
            for one in schema.migrations._migrations[:7]:
                before(name=one.name)(one.fn)
            older.setattr(schema, "migrations", before)
            older.setattr(connection, "SCHEMA_VERSION", 7)
            with log_in(Path(folder)) as log, log.writing():
                for sql, values in storm:
                    log.execute(sql, values)
        with Connection.open(Path(folder) / "birdwatchd.db") as log:
            the_table_is_the_view(log)


def test_a_photo_on_its_way_costs_nothing_until_it_is_filed(tmp_path: Path) -> None:
    with log_in(tmp_path) as log, log.writing():
        before = log.value("SELECT total_changes()")
        log.execute(
            "UPDATE photos SET camera = 'feeder', captured_at = '2026-05-01T10:00:00', state = 'decided' WHERE id = 1"
        )
        log.execute("UPDATE photos SET path = 'b' WHERE id = 1")
        assert log.value("SELECT total_changes()") - before == 2


def test_a_photo_that_is_deleted_is_not_counted(tmp_path: Path) -> None:
    with log_in(tmp_path) as log:
        with log.writing():
            log.execute("INSERT INTO labels (label, photo_id, source, labelled_at) VALUES ('robin', 1, 'web', '2026')")
        assert log.value("SELECT count(*) FROM sighted WHERE photo_id = 1") == 1
        with log.writing():
            for table in ("labels", "predictions"):
                log.execute(f"DELETE FROM {table} WHERE photo_id = 1")  # noqa: S608
            log.execute("DELETE FROM photos WHERE id = 1")
        the_table_is_the_view(log)
        assert log.value("SELECT count(*) FROM sighted WHERE photo_id = 1") == 0
