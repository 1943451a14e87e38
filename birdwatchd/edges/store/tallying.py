"""Tables that SQLite itself keeps, so that pages about a million photos are answered at once (migration 0008).

    sighted   each row of the view `sightings`, with an index for every way in which people ask, and whether it begins a visit
    tallies   how many photos and visits, by day, hour, species, camera and whose clock the hour is by
    monthly   the same by month, without the camera: a year of tallies takes a tenth of a second to add up

Nobody writes them: after whatever is written to photos, predictions, labels or visit_words, triggers make the one photo's row anew
from the view, and bring the tallies along. So they can never be forgotten, and never differ from the view.

A visit begins with a photo that no other one of the same camera and species was taken before, within 300 s by the camera's clock; a
photo whose camera told no time is a visit by itself (`timed` is 0 then, and `at` is when it arrived, in UTC).
"""

_BEGINS = """
    NOT {0}.timed OR coalesce(round((julianday({0}.at) - julianday((
        SELECT before.at FROM sighted AS before
        WHERE before.species = {0}.species AND before.camera = {0}.camera AND before.timed = 1
            AND (before.at, before.photo_id) < ({0}.at, {0}.photo_id)
        ORDER BY before.at DESC, before.photo_id DESC LIMIT 1
    ))) * 86400) > 300, 1)
"""
"""Whether a row begins a visit; to be filled in with the name of the row."""

_NEXT = """
    UPDATE sighted SET begins = {begins} WHERE photo_id = (
        SELECT later.photo_id FROM sighted AS later
        WHERE later.species = {0}.species AND later.camera = {0}.camera AND later.timed = 1
            AND (later.at, later.photo_id) > ({0}.at, {0}.photo_id)
        ORDER BY later.at, later.photo_id LIMIT 1
    ) AND {0}.timed;
"""
"""The photo after a row that came or went may begin a visit now, or not any more."""

_TALLY = """
    INSERT INTO monthly (month, species, hour, timed, photos, visits)
    VALUES (substr({0}.at, 1, 7), {0}.species, substr({0}.at, 12, 2), {0}.timed, {sign}1, {sign}{0}.begins)
    ON CONFLICT DO UPDATE SET photos = photos + excluded.photos, visits = visits + excluded.visits;
    INSERT INTO tallies (day, species, hour, timed, camera, photos, visits)
    VALUES (substr({0}.at, 1, 10), {0}.species, substr({0}.at, 12, 2), {0}.timed, {0}.camera, {sign}1, {sign}{0}.begins)
    ON CONFLICT DO UPDATE SET photos = photos + excluded.photos, visits = visits + excluded.visits;
"""

_ROWS = """
    SELECT sightings.photo_id, sightings.at, (SELECT captured_at IS NOT NULL FROM photos WHERE id = sightings.photo_id) AS timed,
        sightings.species, coalesce(sightings.camera, '') AS camera, sightings.named_by, sightings.probability
    FROM sightings WHERE sightings.species IS NOT NULL
"""
"""What was filed has a name; if it ever had none, the page would not count it, and nothing would fail."""

_ANEW = f"""
    DELETE FROM sighted WHERE photo_id = {{photo}};
    INSERT INTO sighted (photo_id, at, timed, species, camera, named_by, probability, begins)
    SELECT seen.*, {_BEGINS.format("seen")} FROM ({_ROWS} AND sightings.photo_id = {{photo}}) AS seen;
"""  # noqa: S608  # all of it from here

_MAY_COUNT = """
    EXISTS (SELECT 1 FROM photos WHERE id = {photo} AND state IN ('filed', 'missing'))
    OR EXISTS (SELECT 1 FROM sighted WHERE photo_id = {photo})
"""
"""What the machine says counts for these states only: while a photo is on its way nothing needs to be done."""


def _after(event: str, table: str, photo: str, when: str = "") -> str:
    name = f"sighted_after_{event.split(' ', maxsplit=1)[0].lower()}_of_{table}"
    return f"CREATE TRIGGER {name} AFTER {event} ON {table} {when and f'WHEN {when}'} BEGIN {_ANEW.format(photo=photo)} END"


def _by_rows_of(table: str, *, always: bool) -> list[str]:
    made = []
    for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        photo = f"{row}.photo_id"
        made.append(_after(event, table, photo, "" if always else _MAY_COUNT.format(photo=photo)))
    return made


_TABLES = (
    """
CREATE TABLE sighted (
    photo_id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    timed INTEGER NOT NULL,
    species TEXT NOT NULL,
    camera TEXT NOT NULL,
    named_by TEXT NOT NULL,
    probability REAL,
    begins INTEGER NOT NULL
)
""",
    """
CREATE TABLE tallies (
    day TEXT NOT NULL,
    species TEXT NOT NULL,
    hour TEXT NOT NULL,
    timed INTEGER NOT NULL,
    camera TEXT NOT NULL,
    photos INTEGER NOT NULL,
    visits INTEGER NOT NULL,
    PRIMARY KEY (day, species, hour, timed, camera)
) WITHOUT ROWID
""",
    """
CREATE TABLE monthly (
    month TEXT NOT NULL,
    species TEXT NOT NULL,
    hour TEXT NOT NULL,
    timed INTEGER NOT NULL,
    photos INTEGER NOT NULL,
    visits INTEGER NOT NULL,
    PRIMARY KEY (month, species, hour, timed)
) WITHOUT ROWID
""",
)

# The rule of visits once more, for all rows at once: one pass instead of a search for each.
_FILL = (
    f"""
INSERT INTO sighted (photo_id, at, timed, species, camera, named_by, probability, begins)
SELECT photo_id, at, timed, species, camera, named_by, probability,
    NOT timed OR coalesce(round((julianday(at) - julianday(lag(at) OVER (
        PARTITION BY species, camera, timed ORDER BY at, photo_id
    ))) * 86400) > 300, 1)
FROM ({_ROWS})
""",  # noqa: S608
    """
INSERT INTO tallies (day, species, hour, timed, camera, photos, visits)
SELECT substr(at, 1, 10), species, substr(at, 12, 2), timed, camera, count(*), sum(begins) FROM sighted GROUP BY 1, 2, 3, 4, 5
""",
    """
INSERT INTO monthly (month, species, hour, timed, photos, visits)
SELECT substr(day, 1, 7), species, hour, timed, sum(photos), sum(visits) FROM tallies GROUP BY 1, 2, 3, 4
""",
)

_INDEXES = (
    "CREATE INDEX sighted_by_time ON sighted (at, photo_id)",
    "CREATE INDEX sighted_by_species ON sighted (species, camera, timed, at, photo_id)",
    "CREATE INDEX sighted_by_person ON sighted (species, at, photo_id) WHERE named_by = 'human'",
    "CREATE INDEX tallies_by_species ON tallies (species, day, hour, timed, photos, visits)",
    "CREATE INDEX monthly_by_species ON monthly (species, month, hour, timed, photos, visits)",
    "CREATE INDEX labels_by_label ON labels (label, id)",
    "CREATE INDEX put_up_by_label ON put_up (label, photo_id)",
    "CREATE INDEX photos_by_place ON photos (state, coalesce(camera, ''), coalesce(captured_at, received_at), id)",
)

_DROP_EMPTY = (
    "DELETE FROM tallies WHERE day = substr(OLD.at, 1, 10) AND species = OLD.species AND hour = substr(OLD.at, 12, 2)"
    " AND timed = OLD.timed AND camera = OLD.camera AND photos = 0;"
    " DELETE FROM monthly WHERE month = substr(OLD.at, 1, 7) AND species = OLD.species AND hour = substr(OLD.at, 12, 2)"
    " AND timed = OLD.timed AND photos = 0;"
)

_TRIGGERS = (
    *_by_rows_of("labels", always=True),
    *_by_rows_of("predictions", always=False),
    *_by_rows_of("visit_words", always=False),
    _after(
        "UPDATE OF state, reason, captured_at, received_at, camera",
        "photos",
        "NEW.id",
        "(OLD.state, OLD.reason, OLD.captured_at, OLD.received_at, OLD.camera)"
        " IS NOT (NEW.state, NEW.reason, NEW.captured_at, NEW.received_at, NEW.camera)"
        " AND (NEW.state IN ('filed', 'missing') OR EXISTS (SELECT 1 FROM sighted WHERE photo_id = NEW.id))",
    ),
    "CREATE TRIGGER sighted_after_delete_of_photos AFTER DELETE ON photos BEGIN DELETE FROM sighted WHERE photo_id = OLD.id; END",
    "CREATE TRIGGER tallies_after_insert AFTER INSERT ON sighted BEGIN"
    f" {_TALLY.format('NEW', sign='')} {_NEXT.format('NEW', begins=_BEGINS.format('sighted'))} END",
    "CREATE TRIGGER tallies_after_delete AFTER DELETE ON sighted BEGIN"
    f" {_TALLY.format('OLD', sign='-')} {_NEXT.format('OLD', begins=_BEGINS.format('sighted'))} {_DROP_EMPTY} END",
    "CREATE TRIGGER tallies_after_begins AFTER UPDATE OF begins ON sighted WHEN OLD.begins <> NEW.begins BEGIN"
    " UPDATE tallies SET visits = visits + NEW.begins - OLD.begins WHERE day = substr(NEW.at, 1, 10) AND species = NEW.species"
    " AND hour = substr(NEW.at, 12, 2) AND timed = NEW.timed AND camera = NEW.camera;"
    " UPDATE monthly SET visits = visits + NEW.begins - OLD.begins WHERE month = substr(NEW.at, 1, 7) AND species = NEW.species"
    " AND hour = substr(NEW.at, 12, 2) AND timed = NEW.timed; END",
)

_VIEWS = (
    "DROP VIEW daily_counts",
    """
CREATE VIEW daily_counts AS
SELECT day, nullif(camera, '') AS camera, species, sum(photos) AS photos, sum(visits) AS visits
FROM tallies
GROUP BY day, camera, species
""",
)

TALLYING = (*_TABLES, *_FILL, *_INDEXES, *_TRIGGERS, *_VIEWS)
