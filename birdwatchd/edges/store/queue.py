"""The review queue: what waits for an answer, what it looks like, and what was said last. Reads only.

Every question goes by an index, and is asked for a bounded number of rows.
"""

import json
from collections.abc import Iterable

from birdwatchd.edges.store.connection import Connection, Row


class Queue:
    """What the page needs to ask of the log."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    # -- what waits

    def waiting(self, *, limit: int) -> list[Row]:
        """Photos in review that nobody has named, the latest arrivals first."""
        return self._db.rows(
            f"{_CARD} WHERE photos.state = 'review' AND said.label IS NULL ORDER BY photos.id DESC LIMIT ?", (limit,)
        )

    def waiting_count(self, *, most: int, without: Iterable[int] = ()) -> int:
        """How many photos rest in review, without some of them; counted no further than `most`."""
        return int(
            self._db.value(
                "SELECT count(*) FROM (SELECT 1 FROM photos WHERE state = 'review'"
                " AND id NOT IN (SELECT value FROM json_each(?)) LIMIT ?)",
                (json.dumps(list(without)), most),
            )
        )

    def photos(self, photo_ids: Iterable[int]) -> list[Row]:
        """The same of certain photos that can be named, wherever they rest."""
        return self._db.rows(
            f"{_CARD} WHERE photos.id IN (SELECT value FROM json_each(?)) AND photos.state IN ('filed', 'review', 'empty')"  # noqa: S608
            " ORDER BY photos.id DESC",
            (json.dumps(list(photo_ids)),),
        )

    def put_up(self, *, of_the_latest: int, limit: int) -> list[Row]:
        """Of the photos that were put up last for a look, those that wait for one, the latest first."""
        newest = self._db.value("SELECT max(photo_id) FROM put_up")
        if newest is None:
            return []
        latest = self._db.rows(
            "SELECT photo_id FROM put_up WHERE photo_id <= ? ORDER BY photo_id DESC LIMIT ?", (newest, of_the_latest)
        )
        waiting = self._db.rows(
            "SELECT photo.value AS id FROM json_each(?) AS photo WHERE coalesce("
            "(SELECT label FROM labels WHERE photo_id = photo.value ORDER BY id DESC LIMIT 1), '') = '' LIMIT ?",
            (json.dumps([row["photo_id"] for row in latest]), limit),
        )
        return self.photos([row["id"] for row in waiting])

    def guesses_put_up(self, photo_ids: Iterable[int]) -> dict[int, str]:
        """What the machine had taken those of them for that were put up for a look."""
        rows = self._db.rows(
            "SELECT put_up.photo_id, put_up.label FROM json_each(?) AS photo CROSS JOIN put_up ON put_up.photo_id = photo.value",
            (json.dumps(list(photo_ids)),),
        )
        return {row["photo_id"]: row["label"] for row in rows}

    # -- what people have named

    def species(self) -> list[str]:
        """Every name that some photo has from a person, by name; one that was only ever taken back is none."""
        in_use = (
            "SELECT 1 FROM labels AS given WHERE given.label = ?"
            " AND given.id = (SELECT max(id) FROM labels WHERE photo_id = given.photo_id) LIMIT 1"
        )
        return [label for label in self._db.distinct("labels", "label") if self._db.rows(in_use, (label,))]

    def named(self, label: str, *, limit: int) -> list[int]:
        """The photos that were given this name last, and have it still, the latest first."""
        rows = self._db.rows(
            "SELECT photo_id FROM labels AS given WHERE given.label = ?"
            " AND given.id = (SELECT max(id) FROM labels WHERE photo_id = given.photo_id) ORDER BY given.id DESC LIMIT ?",
            (label, limit),
        )
        return [row["photo_id"] for row in rows]

    def used_lately(self, *, of_the_latest: int) -> dict[str, int]:
        """How often each name was given among the latest words, the most used first."""
        newest = self._db.value("SELECT max(id) FROM labels") or 0
        rows = self._db.rows(
            "SELECT label, count(*) AS n FROM labels WHERE id > ? AND label IS NOT NULL GROUP BY label ORDER BY n DESC, label",
            (newest - of_the_latest,),
        )
        return {row["label"]: row["n"] for row in rows}

    def answered_since(self, since: str) -> int:
        """Photos that were answered on the page since then."""
        return int(
            self._db.value(
                "SELECT count(DISTINCT photo_id) FROM labels WHERE labelled_at >= ? AND source = 'web' AND label IS NOT NULL",
                (since,),
            )
        )

    # -- what was said

    def last_words(self, photo_ids: Iterable[int]) -> dict[int, str | None]:
        """The name that each of these photos has from a person, None without one. Photos that cannot be named are left out."""
        rows = self._db.rows(
            "SELECT photos.id, (SELECT label FROM labels WHERE photo_id = photos.id ORDER BY id DESC LIMIT 1) AS label"
            " FROM json_each(?) AS photo CROSS JOIN photos ON photos.id = photo.value"
            " WHERE photos.state IN ('filed', 'review', 'empty')",
            (json.dumps(list(photo_ids)),),
        )
        return {row["id"]: row["label"] for row in rows}

    def last_word(self, photo_id: int) -> Row | None:
        """The last that a person said of a photo, with NULL for a name that was withdrawn; None if nobody said anything."""
        rows = self._db.rows(
            "SELECT id, label, source FROM labels WHERE photo_id = ? ORDER BY id DESC LIMIT 1", (photo_id,)
        )
        return rows[0] if rows else None

    def words_after(self, photo_id: int, label_id: int) -> list[Row]:
        """What people have said of it since, the first first."""
        return self._db.rows(
            "SELECT id, label, source FROM labels WHERE photo_id = ? AND id > ? ORDER BY id", (photo_id, label_id)
        )


_CARD = """
SELECT photos.id, photos.reason, photos.camera, photos.captured_at, photos.received_at,
    coalesce(word.label, seen.label) AS guess, coalesce(word.probability, seen.probability) AS probability,
    seen.model_id, seen.spotter_id, mine.visit_id,
    photos.reason = 'unlike-anything' OR (seen.reason = 'unlike-anything' AND word.prediction_id IS NULL) AS is_strange
FROM photos
LEFT JOIN predictions AS seen ON seen.id = (SELECT max(id) FROM predictions WHERE photo_id = photos.id)
LEFT JOIN visit_words AS word ON word.photo_id = photos.id AND word.prediction_id = seen.id
LEFT JOIN visit_photos AS mine ON mine.photo_id = photos.id
LEFT JOIN labels AS said ON said.id = (SELECT max(id) FROM labels WHERE photo_id = photos.id)
"""
