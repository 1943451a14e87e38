"""What people ask of the log. Reads only; usable on a read-only connection."""

import json
from typing import Any

from birdwatchd.edges.store.connection import Connection, Row

_PHOTO = """
SELECT photos.id, photos.received_at, photos.captured_at, photos.camera, photos.original_name, photos.state, photos.reason,
    photos.path, photos.sha256, photos.width_px, photos.height_px, photos.bytes,
    CASE WHEN word.verdict IS NOT 'empty' THEN coalesce(word.label, named.label) END AS label,
    CASE WHEN word.verdict IS NOT 'empty' THEN coalesce(word.probability, named.probability) END AS probability,
    named.birdness,
    CASE WHEN named.birdness IS NOT NULL THEN (SELECT count(*) FROM birds WHERE birds.photo_id = photos.id) END AS birds,
    said.label AS human_label
FROM photos
LEFT JOIN current_predictions AS named ON named.photo_id = photos.id
LEFT JOIN visit_words AS word ON word.photo_id = photos.id AND word.prediction_id = named.id
LEFT JOIN current_labels AS said ON said.photo_id = photos.id
"""


class Questions:
    """Answers as plain rows, ready for a table or for JSON."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def recent(
        self,
        *,
        limit: int,
        state: str | None = None,
        camera: str | None = None,
        since: str | None = None,
        reason: str | None = None,
    ) -> list[Row]:
        """The latest arrivals, newest first."""
        wanted = {
            "photos.state = ?": state,
            "photos.camera = ?": camera,
            "photos.received_at >= ?": since,
            "photos.reason = ?": reason,
        }
        given = {condition: value for condition, value in wanted.items() if value is not None}
        where = " AND ".join(["1", *given])
        return self._db.rows(f"{_PHOTO} WHERE {where} ORDER BY photos.id DESC LIMIT ?", [*given.values(), limit])

    def photo(self, photo_id: int) -> Row | None:
        """One photo's line."""
        rows = self._db.rows(f"{_PHOTO} WHERE photos.id = ?", (photo_id,))
        return rows[0] if rows else None

    def ids_by_content(self, sha256: str) -> list[int]:
        """Photos of that content: kept ones first, then the latest arrivals."""
        return [
            row["id"]
            for row in self._db.rows(
                "SELECT id FROM photos WHERE sha256 = ? ORDER BY state IN ('filed', 'review', 'empty') DESC, id DESC",
                (sha256,),
            )
        ]

    def receipt(self, photo_id: int) -> dict[str, Any] | None:
        """Everything the log knows of one photo; None when it knows nothing."""
        photo = self.photo(photo_id)
        if photo is None:
            return None
        predictions = self._db.rows("SELECT * FROM predictions WHERE photo_id = ? ORDER BY id", (photo_id,))
        for prediction in predictions:
            prediction["top"] = json.loads(prediction["top"])
            prediction["box"] = json.loads(prediction["box"])
        birds = self._db.rows("SELECT number, box, birdness FROM birds WHERE photo_id = ? ORDER BY number", (photo_id,))
        for bird in birds:
            bird["box"] = json.loads(bird["box"])
        return {
            "photo": photo,
            "predictions": predictions,
            "birds": birds,
            "labels": self._db.rows("SELECT * FROM labels WHERE photo_id = ? ORDER BY id", (photo_id,)),
            "journey": next(
                iter(self._db.rows("SELECT target, outcome, attempts FROM journeys WHERE photo_id = ?", (photo_id,))),
                None,
            ),
            "visit": self._visit_of(photo_id),
            "twins": [
                row["id"]
                for row in self._db.rows(
                    "SELECT id FROM photos WHERE id <> ? AND sha256 = (SELECT sha256 FROM photos WHERE id = ?) ORDER BY id",
                    (photo_id, photo_id),
                )
            ],
        }

    def _visit_of(self, photo_id: int) -> Row | None:
        """The visit in which it was taken, if there are other photos of it."""
        found = self._db.rows(
            "SELECT visits.* FROM visit_photos JOIN visits ON visits.id = visit_photos.visit_id WHERE visit_photos.photo_id = ?",
            (photo_id,),
        )
        for visit in found:
            visit["evidence"] = json.loads(visit["evidence"])
        return next(iter(found), None)

    def last_decided_at(self) -> str | None:
        """When a photo was last judged; None if none was."""
        found: str | None = self._db.value("SELECT max(predicted_at) FROM predictions")
        return found

    def states(self) -> dict[str, int]:
        """How many photos are in each state."""
        return {
            row["state"]: row["n"]
            for row in self._db.rows("SELECT state, count(*) AS n FROM photos GROUP BY state ORDER BY state")
        }

    def set_aside_count(self) -> int:
        """How many files lie in quarantine; no other photo is counted for that."""
        return int(self._db.value("SELECT count(*) FROM photos WHERE state = 'quarantined'"))

    def days(self, *, since: str | None = None) -> list[Row]:
        """Named birds per day, camera and species."""
        return self._db.rows(
            "SELECT * FROM daily_counts WHERE day >= coalesce(?, '') ORDER BY day DESC, photos DESC", (since,)
        )

    def guesses(self) -> list[Row]:
        """What waits for a look, by guess."""
        return self._db.rows(
            "SELECT coalesce(guess, 'unknown') AS guess, count(*) AS photos FROM review_queue"
            " GROUP BY guess ORDER BY photos DESC, guess"
        )

    def filed_by_machine(self, *, since: str, until: str) -> list[Row]:
        """Photos that the machine, not a person, filed or put into `empty/` in that time, with its last guess.

        Also by what other photos of their visit told. One that was only judged again then, and found to be what it was before, is none
        of them.
        """
        return self._db.rows(
            _FILED_BY_MACHINE,
            {"since": since, "until": until},
        )

    def kept_paths(self) -> list[Row]:
        """Every photo that rests somewhere, and where."""
        return self._db.rows(
            "SELECT id, path, state, sha256 FROM photos WHERE state NOT IN ('claimed', 'decided', 'missing')"
        )

    def kept_on_shelves(self, *, after: int, limit: int) -> list[Row]:
        """Photos that rest in library, review or empty, some at a time, by id: what a listing of these is compared with."""
        return self._db.rows(
            "SELECT id, path, state, sha256, bytes FROM photos WHERE id > ? AND +state IN ('filed', 'review', 'empty')"
            " AND NOT EXISTS (SELECT 1 FROM journeys WHERE photo_id = photos.id) AND sha256 IS NOT NULL ORDER BY id LIMIT ?",
            (after, limit),
        )

    def labels_given(self, *, after: int, limit: int) -> list[Row]:
        """Names that people gave and did not take back, some at a time, by the id of the label."""
        return self._db.rows(
            "SELECT id, label FROM labels AS given WHERE id > ? AND label IS NOT NULL"
            " AND id = (SELECT max(id) FROM labels WHERE photo_id = given.photo_id) ORDER BY id LIMIT ?",
            (after, limit),
        )

    def with_digits(self, digits: str) -> list[Row]:
        """Photos whose content begins with these hex digits."""
        return self._db.rows(
            "SELECT id, path, state, sha256, bytes FROM photos WHERE sha256 >= ? AND sha256 < ? || 'g'",
            (digits, digits),
        )

    def is_under_way(self, photo_id: int) -> bool:
        """Whether it has a journey that is not finished."""
        return bool(self._db.value("SELECT count(*) FROM journeys WHERE photo_id = ?", (photo_id,)))

    def label_counts(self) -> dict[str, int]:
        """How many photos have each name that people gave."""
        rows = self._db.rows("SELECT label, count(*) AS n FROM current_labels GROUP BY label ORDER BY label")
        return {row["label"]: row["n"] for row in rows}

    def species(self) -> list[str]:
        """All labels that people have given so far."""
        return [row["label"] for row in self._db.rows("SELECT DISTINCT label FROM current_labels ORDER BY label")]


_FILED_BY_MACHINE = """
SELECT photos.id, photos.path, photos.sha256, coalesce(word.label, named.label) AS label
FROM (
    SELECT photo_id, id AS prediction_id FROM predictions WHERE predicted_at BETWEEN :since AND :until
    UNION
    SELECT photo_id, prediction_id FROM visit_words WHERE said_at BETWEEN :since AND :until
) AS moved
CROSS JOIN photos ON photos.id = moved.photo_id
CROSS JOIN predictions AS named ON named.id = moved.prediction_id
LEFT JOIN visit_words AS word ON word.photo_id = photos.id AND word.prediction_id = named.id
WHERE photos.state IN ('filed', 'empty')
    AND named.id = (SELECT max(id) FROM predictions WHERE photo_id = photos.id)
    AND coalesce(word.said_at, named.predicted_at) BETWEEN :since AND :until
    AND NOT EXISTS (SELECT 1 FROM current_labels WHERE photo_id = photos.id)
    AND (named.predicted_at < :since  -- then it is the word that is new, and there is none that changes nothing
        OR (coalesce(word.verdict, named.verdict), coalesce(word.label, named.label, '')) IS NOT
            (SELECT coalesce(told.verdict, seen.verdict), coalesce(told.label, seen.label, '')
            FROM predictions AS seen
            LEFT JOIN visit_words AS told ON told.photo_id = seen.photo_id AND told.prediction_id = seen.id AND told.said_at < :since
            WHERE seen.photo_id = photos.id AND seen.predicted_at < :since ORDER BY seen.id DESC LIMIT 1))
ORDER BY photos.id
"""
