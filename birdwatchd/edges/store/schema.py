"""The log's tables and views, and how an older log becomes a newer one.

The names of `photos`, `predictions`, `labels`, `models`, `trainings`, `requests`, `status` and of the five views are a promise to
people who query them, and so are those of the view `birds`, and of `visits` and `visit_photos`. `journeys`, `embeddings`, `lived_days`,
`put_up`, `taken_back`, `other_birds`, `visit_words`, `visits_looked_at`, `sighted`, `tallies`, `monthly`, `promotions` and `lessons`
are birdwatchd's own.
"""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from birdwatchd.edges.store.tallying import TALLYING


@contextmanager
def _without_pandas() -> Iterator[None]:
    """sqlite_utils imports pandas when that is installed, for a table conversion that nobody asks for here; it costs a second."""
    there_already = "pandas" in sys.modules
    if not there_already:
        sys.modules["pandas"] = None  # type: ignore[assignment]  # how Python marks a module as not to be found
    try:
        yield
    finally:
        if not there_already:
            del sys.modules["pandas"]


with _without_pandas():
    from sqlite_utils import Database, Migrations

migrations = Migrations("birdwatchd")


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that this log has not had yet, inside the caller's transaction."""
    migrations.apply(Database(connection, execute_plugins=False))


@migrations(name="0001_first")
def _first(db: Any) -> None:
    db.executescript(_FIRST)


@migrations(name="0002_lived_days")
def _lived_days(db: Any) -> None:
    db.execute(_LIVED_DAYS)


@migrations(name="0003_learning")
def _learning(db: Any) -> None:
    for index in _LEARNING:
        db.execute(index)


@migrations(name="0004_after_promotion")
def _after_promotion(db: Any) -> None:
    for sentence in _AFTER_PROMOTION:
        db.execute(sentence)


@migrations(name="0005_birds")
def _birds(db: Any) -> None:
    for sentence in _BIRDS:
        db.execute(sentence)


# An answer that is no number has no birdness and tells of no bird, although its photo has a box.
_BIRDS = (
    """
CREATE TABLE other_birds (
    photo_id INTEGER NOT NULL REFERENCES photos (id),
    spotter_id TEXT NOT NULL,
    number INTEGER NOT NULL CHECK (number >= 2),
    box TEXT NOT NULL,
    birdness REAL NOT NULL,
    PRIMARY KEY (photo_id, spotter_id, number)
) WITHOUT ROWID
""",
    """
CREATE VIEW birds AS
SELECT
    seen.photo_id,
    coalesce(other.number, 1) AS number,
    coalesce(other.box, seen.box) AS box,
    coalesce(other.birdness, seen.birdness) AS birdness
FROM current_predictions AS seen
CROSS JOIN (SELECT 0 AS beside UNION ALL SELECT 1) AS turn
LEFT JOIN other_birds AS other ON turn.beside AND other.photo_id = seen.photo_id AND other.spotter_id = seen.spotter_id
WHERE seen.verdict <> 'empty' AND seen.birdness IS NOT NULL AND (NOT turn.beside OR other.number IS NOT NULL)
""",
)


@migrations(name="0006_what_was_embedded")
def _what_was_embedded(db: Any) -> None:
    for column in _WHAT_WAS_EMBEDDED:
        db.execute(column)


_WHAT_WAS_EMBEDDED = (
    "ALTER TABLE embeddings ADD COLUMN box TEXT",  # as in predictions; NULL: the whole frame, by an older birdwatchd
    "ALTER TABLE embeddings ADD COLUMN birdness REAL",
    "CREATE INDEX embeddings_by_spotter ON embeddings (spotter_id, photo_id)",
)


@migrations(name="0007_visits")
def _visits(db: Any) -> None:
    for sentence in _VISITS:
        db.execute(sentence)


@migrations(name="0008_tallying")
def _tallying(db: Any) -> None:
    for sentence in TALLYING:
        db.execute(sentence)


@migrations(name="0009_keys_of_wishes")
def _keys_of_wishes(db: Any) -> None:
    for sentence in _KEYS_OF_WISHES:
        db.execute(sentence)


_KEYS_OF_WISHES = (
    "ALTER TABLE requests ADD COLUMN key TEXT",  # of a program that may send the same again; NULL: of none that does
    # Until now it was one of the arguments. What cannot be read there was no wish that anybody sends again.
    """
UPDATE requests SET key = json_extract(arguments, '$.key')
WHERE CASE WHEN typeof(arguments) = 'text' AND json_valid(arguments) THEN json_type(arguments, '$.key') = 'text' END
""",
    "CREATE INDEX requests_by_key ON requests (key) WHERE key IS NOT NULL",
)


@migrations(name="0010_whose_answers")
def _whose_answers(db: Any) -> None:
    for sentence in _WHOSE_ANSWERS:
        db.execute(sentence)


_WHOSE_ANSWERS = (
    # Which browser left it, or that a program did: so that people who answer at the same time take back only what they said themselves.
    "ALTER TABLE requests ADD COLUMN left_by TEXT",
    "ALTER TABLE requests ADD COLUMN takes_back INTEGER",  # the number of an answer; NULL for all other wishes
    """
UPDATE requests SET takes_back = json_extract(arguments, '$.request_id')
WHERE kind = 'take-back'
    AND CASE WHEN typeof(arguments) = 'text' AND json_valid(arguments) THEN json_type(arguments, '$.request_id') = 'integer' END
""",
    "CREATE INDEX requests_by_whom ON requests (left_by, id) WHERE left_by IS NOT NULL",
    "CREATE INDEX answers_taken_back ON requests (takes_back) WHERE takes_back IS NOT NULL",
)


@migrations(name="0011_order_without_a_clock")
def _order_without_a_clock(db: Any) -> None:
    for sentence in _ORDER_WITHOUT_A_CLOCK:
        db.execute(sentence)


_ORDER_WITHOUT_A_CLOCK = (
    # Which model served after which. Of an older log only the times are known.
    "CREATE TABLE promotions (number INTEGER PRIMARY KEY, model_id INTEGER NOT NULL REFERENCES models (id))",
    "CREATE INDEX promotions_by_model ON promotions (model_id, number)",
    """
INSERT INTO promotions (model_id)
SELECT id FROM models WHERE promoted_at IS NOT NULL ORDER BY retired_at IS NULL, retired_at, id
""",
    # The newest word of people that a training knew of.
    "CREATE TABLE lessons (training_id INTEGER PRIMARY KEY REFERENCES trainings (id), newest_label INTEGER NOT NULL)",
    """
INSERT INTO lessons (training_id, newest_label)
SELECT id, (SELECT coalesce(max(labels.id), 0) FROM labels WHERE labelled_at <= started_at) FROM trainings
""",
)

_VISITS = (
    """
CREATE TABLE visits (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    camera TEXT NOT NULL,
    began_at TEXT NOT NULL,
    ended_at TEXT NOT NULL,
    photos INTEGER NOT NULL,
    label TEXT,
    probability REAL,
    verdict TEXT NOT NULL CHECK (verdict IN ('named', 'disagrees', 'unsure', 'models-differ')),
    evidence TEXT NOT NULL,
    judged_at TEXT NOT NULL,
    model_id INTEGER NOT NULL REFERENCES models (id)
)
""",
    """
CREATE TABLE visit_photos (
    photo_id INTEGER PRIMARY KEY REFERENCES photos (id),
    visit_id INTEGER NOT NULL REFERENCES visits (id)
)
""",
    "CREATE INDEX visit_photos_by_visit ON visit_photos (visit_id)",
    # prediction_id: the word counts as long as that is the machine's last look at the photo; said_at: since when it says that.
    """
CREATE TABLE visit_words (
    photo_id INTEGER NOT NULL REFERENCES photos (id),
    prediction_id INTEGER NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('filed', 'review', 'empty')),
    reason TEXT NOT NULL,
    label TEXT,
    probability REAL,
    said_at TEXT NOT NULL,
    PRIMARY KEY (photo_id, prediction_id)
) WITHOUT ROWID
""",
    "CREATE INDEX visit_words_by_time ON visit_words (said_at)",
    """
CREATE TABLE visits_looked_at (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    prediction_id INTEGER NOT NULL,
    label_id INTEGER NOT NULL
)
""",
    # Photos that lie where they lie since long ago are not moved by an update.
    """
INSERT INTO visits_looked_at (id, prediction_id, label_id)
SELECT 1, coalesce((SELECT max(id) FROM predictions), 0), coalesce((SELECT max(id) FROM labels), 0)
""",
    "CREATE INDEX photos_by_capture ON photos (camera, captured_at) WHERE camera IS NOT NULL AND captured_at IS NOT NULL",
    "DROP VIEW sightings",
    """
CREATE VIEW sightings AS
SELECT
    photos.id AS photo_id,
    coalesce(photos.captured_at, photos.received_at) AS at,
    photos.camera,
    coalesce(said.label, word.label, named.label) AS species,
    CASE WHEN said.label IS NULL THEN coalesce(word.probability, named.probability) END AS probability,
    CASE WHEN said.label IS NULL THEN 'machine' ELSE 'human' END AS named_by,
    photos.path
FROM photos
LEFT JOIN current_labels AS said ON said.photo_id = photos.id
LEFT JOIN current_predictions AS named ON named.photo_id = photos.id
LEFT JOIN visit_words AS word ON word.photo_id = photos.id AND word.prediction_id = named.id
WHERE said.label <> 'empty'
    OR (said.label IS NULL AND coalesce(word.verdict, named.verdict) = 'filed' AND photos.state IN ('filed', 'missing')
        AND photos.reason IS NOT 'undone')
""",
    "DROP VIEW review_queue",
    """
CREATE VIEW review_queue AS
SELECT
    photos.id AS photo_id,
    photos.path,
    coalesce(word.label, named.label) AS guess,
    coalesce(word.probability, named.probability) AS probability,
    photos.reason,
    photos.camera,
    coalesce(photos.captured_at, photos.received_at) AS at,
    photos.received_at
FROM photos
LEFT JOIN current_predictions AS named ON named.photo_id = photos.id
LEFT JOIN visit_words AS word ON word.photo_id = photos.id AND word.prediction_id = named.id
WHERE photos.state = 'review'
    AND NOT EXISTS (SELECT 1 FROM current_labels WHERE current_labels.photo_id = photos.id)
""",
    "DROP VIEW birds",
    """
CREATE VIEW birds AS
SELECT
    seen.photo_id,
    coalesce(other.number, 1) AS number,
    coalesce(other.box, seen.box) AS box,
    coalesce(other.birdness, seen.birdness) AS birdness
FROM current_predictions AS seen
LEFT JOIN visit_words AS word ON word.photo_id = seen.photo_id AND word.prediction_id = seen.id
CROSS JOIN (SELECT 0 AS beside UNION ALL SELECT 1) AS turn
LEFT JOIN other_birds AS other ON turn.beside AND other.photo_id = seen.photo_id AND other.spotter_id = seen.spotter_id
WHERE coalesce(word.verdict, seen.verdict) <> 'empty' AND seen.birdness IS NOT NULL AND (NOT turn.beside OR other.number IS NOT NULL)
""",
)

_AFTER_PROMOTION = (
    """
CREATE TABLE put_up (
    photo_id INTEGER PRIMARY KEY REFERENCES photos (id),
    model_id INTEGER NOT NULL REFERENCES models (id),
    label TEXT NOT NULL,
    put_up_at TEXT NOT NULL
)
""",
    """
CREATE VIEW audits AS
SELECT put_up.photo_id, put_up.model_id, put_up.label, put_up.put_up_at, said.label AS answer, said.labelled_at AS answered_at
FROM put_up
LEFT JOIN current_labels AS said ON said.photo_id = put_up.photo_id
""",
    """
CREATE TABLE taken_back (
    model_id INTEGER PRIMARY KEY REFERENCES models (id),
    at TEXT NOT NULL,
    why TEXT NOT NULL
)
""",
)

_LEARNING = (
    "CREATE INDEX labels_by_time ON labels (labelled_at)",
    "CREATE INDEX predictions_that_named ON predictions (label)"
    " WHERE model_id IS NOT NULL AND (verdict = 'filed' OR reason = 'first-of-its-kind')",
)

_LIVED_DAYS = """
CREATE TABLE lived_days (
    number INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    boot TEXT NOT NULL,
    uptime_s REAL NOT NULL,
    newest_photo INTEGER NOT NULL
)
"""

_FIRST = """
CREATE TABLE photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 TEXT,
    original_name TEXT NOT NULL,
    camera TEXT,
    received_at TEXT NOT NULL,
    captured_at TEXT,
    width_px INTEGER,
    height_px INTEGER,
    bytes INTEGER NOT NULL,
    path TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('claimed', 'decided', 'filed', 'review', 'empty', 'quarantined', 'duplicate', 'missing')),
    reason TEXT
);
CREATE INDEX photos_by_content ON photos (sha256);
CREATE UNIQUE INDEX one_kept_photo_per_content ON photos (sha256) WHERE state IN ('filed', 'review', 'empty');
CREATE INDEX photos_by_state ON photos (state, id);
CREATE INDEX photos_by_camera ON photos (camera, id);

CREATE TABLE journeys (
    photo_id INTEGER PRIMARY KEY REFERENCES photos (id),
    source TEXT NOT NULL,
    target TEXT,
    outcome TEXT,
    reason TEXT,
    advice TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    inbox_path BLOB,
    device INTEGER,
    inode INTEGER,
    size_bytes INTEGER,
    mtime_ns INTEGER,
    ctime_ns INTEGER
);
CREATE UNIQUE INDEX one_journey_per_target ON journeys (target);

CREATE TABLE models (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('linear', 'finetuned')),
    created_at TEXT NOT NULL,
    promoted_at TEXT,
    retired_at TEXT,
    labels TEXT NOT NULL,
    metrics TEXT NOT NULL,
    path TEXT NOT NULL,
    parent_id INTEGER REFERENCES models (id),
    recipe TEXT NOT NULL
);
CREATE UNIQUE INDEX one_serving_model ON models (1) WHERE promoted_at IS NOT NULL AND retired_at IS NULL;

CREATE TABLE predictions (
    id INTEGER PRIMARY KEY,
    photo_id INTEGER NOT NULL REFERENCES photos (id),
    model_id INTEGER REFERENCES models (id),
    spotter_id TEXT NOT NULL,
    label TEXT,
    probability REAL,
    top TEXT NOT NULL,
    birdness REAL,
    novelty REAL,
    box TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('filed', 'review', 'empty')),
    reason TEXT NOT NULL,
    predicted_at TEXT NOT NULL,
    took_ms REAL NOT NULL
);
CREATE UNIQUE INDEX one_prediction_per_photo_and_model ON predictions (photo_id, coalesce(model_id, 0));
CREATE INDEX predictions_by_photo ON predictions (photo_id, id);
CREATE INDEX predictions_by_time ON predictions (predicted_at);

CREATE TABLE embeddings (
    photo_id INTEGER NOT NULL REFERENCES photos (id),
    spotter_id TEXT NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (photo_id, spotter_id)
);

CREATE TABLE labels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    photo_id INTEGER NOT NULL REFERENCES photos (id),
    label TEXT,
    previous TEXT,
    source TEXT NOT NULL CHECK (source IN ('folder', 'web', 'cli', 'import')),
    actor TEXT,
    labelled_at TEXT NOT NULL
);
CREATE INDEX labels_by_photo ON labels (photo_id, id);

CREATE TABLE trainings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('linear', 'finetuned')),
    started_at TEXT NOT NULL,
    finished_at TEXT,
    outcome TEXT CHECK (outcome IN ('promoted', 'kept', 'failed')),
    reasons TEXT,
    fingerprint TEXT,
    label_count INTEGER,
    report_path TEXT
);

CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    arguments TEXT NOT NULL,
    actor TEXT,
    requested_at TEXT NOT NULL,
    taken_at TEXT,
    finished_at TEXT,
    outcome TEXT CHECK (outcome IN ('done', 'failed')),
    result TEXT
);
CREATE INDEX open_requests ON requests (id) WHERE finished_at IS NULL;

CREATE TABLE status (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    updated_at TEXT NOT NULL,
    started_at TEXT NOT NULL,
    pid INTEGER,
    version TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('working', 'degraded', 'stopped')),
    problems TEXT NOT NULL,
    waiting INTEGER NOT NULL,
    waiting_files TEXT NOT NULL,
    in_flight INTEGER NOT NULL,
    watcher TEXT NOT NULL,
    disk_free_bytes INTEGER,
    spotter_id TEXT,
    provider TEXT,
    model_id INTEGER,
    last_photo_at TEXT,
    training TEXT
);

CREATE VIEW current_predictions AS
SELECT * FROM predictions AS latest
WHERE latest.id = (SELECT max(id) FROM predictions WHERE photo_id = latest.photo_id);

CREATE VIEW current_labels AS
SELECT * FROM labels AS latest
WHERE latest.id = (SELECT max(id) FROM labels WHERE photo_id = latest.photo_id) AND latest.label IS NOT NULL;

CREATE VIEW sightings AS
SELECT
    photos.id AS photo_id,
    coalesce(photos.captured_at, photos.received_at) AS at,
    photos.camera,
    coalesce(said.label, named.label) AS species,
    CASE WHEN said.label IS NULL THEN named.probability END AS probability,
    CASE WHEN said.label IS NULL THEN 'machine' ELSE 'human' END AS named_by,
    photos.path
FROM photos
LEFT JOIN current_labels AS said ON said.photo_id = photos.id
LEFT JOIN current_predictions AS named ON named.photo_id = photos.id
WHERE said.label <> 'empty'
    OR (said.label IS NULL AND named.verdict = 'filed' AND photos.state IN ('filed', 'missing')
        AND photos.reason IS NOT 'undone');

CREATE VIEW daily_counts AS
WITH timed AS (
    SELECT
        substr(sightings.at, 1, 10) AS day,
        sightings.camera,
        sightings.species,
        photos.captured_at,
        lag(photos.captured_at) OVER (
            PARTITION BY sightings.camera, sightings.species, photos.captured_at IS NULL ORDER BY photos.captured_at
        ) AS before
    FROM sightings
    JOIN photos ON photos.id = sightings.photo_id
)
SELECT
    day,
    camera,
    species,
    count(*) AS photos,
    sum(captured_at IS NULL OR before IS NULL OR round((julianday(captured_at) - julianday(before)) * 86400) > 300) AS visits
FROM timed
GROUP BY day, camera, species;

CREATE VIEW review_queue AS
SELECT
    photos.id AS photo_id,
    photos.path,
    named.label AS guess,
    named.probability,
    photos.reason,
    photos.camera,
    coalesce(photos.captured_at, photos.received_at) AS at,
    photos.received_at
FROM photos
LEFT JOIN current_predictions AS named ON named.photo_id = photos.id
WHERE photos.state = 'review'
    AND NOT EXISTS (SELECT 1 FROM current_labels WHERE current_labels.photo_id = photos.id);
"""
