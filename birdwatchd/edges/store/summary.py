"""The log without anything that a person named: for the report to whoever helps."""

from typing import Any

from birdwatchd.edges.store.connection import Connection, Row

TABLES = ("photos", "predictions", "embeddings", "labels", "models", "trainings", "journeys", "requests", "put_up")


class Summary:
    """Counts and last photos, without names of files, cameras, species and people."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def sizes(self) -> dict[str, Any]:
        """Version of the tables, rows in each, bytes on the disk."""
        return {
            "schema_version": self._db.value("PRAGMA user_version"),
            "journal_mode": self._db.value("PRAGMA journal_mode"),
            "bytes": self._db.value("PRAGMA page_count") * self._db.value("PRAGMA page_size"),
            "free_pages": self._db.value("PRAGMA freelist_count"),
            "rows": {table: self._db.value(f"SELECT count(*) FROM {table}") for table in TABLES},  # noqa: S608  # our own names
        }

    def states(self) -> list[Row]:
        """How many photos are in each state, for which reason."""
        return self._db.rows(
            "SELECT state, reason, count(*) AS photos FROM photos GROUP BY state, reason ORDER BY 1, 2"
        )

    def last_photos(self, most: int) -> list[Row]:
        """The latest arrivals, newest first. `guess` is the machine's; of a person's word only that there is one."""
        return self._db.rows(
            "SELECT photos.id, received_at, captured_at, state, photos.reason, bytes, width_px, height_px,"
            " camera IS NOT NULL AS has_camera, named.label AS guess, named.probability, named.birdness, named.took_ms,"
            " EXISTS (SELECT 1 FROM labels WHERE photo_id = photos.id) AS named_by_a_person"
            " FROM photos LEFT JOIN current_predictions AS named ON named.photo_id = photos.id"
            " ORDER BY photos.id DESC LIMIT ?",
            (most,),
        )

    def under_way(self, most: int) -> list[Row]:
        """Photos between inbox and place."""
        return self._db.rows(
            "SELECT photo_id, outcome, reason, attempts, size_bytes, target IS NOT NULL AS is_decided"
            " FROM journeys ORDER BY photo_id LIMIT ?",
            (most,),
        )

    def names(self, most: int) -> set[str]:
        """What people named: cameras, species, and the files of the latest photos. For blanking, never for telling."""
        queries = (
            "SELECT DISTINCT camera FROM photos WHERE camera IS NOT NULL",
            "SELECT DISTINCT label FROM labels WHERE label IS NOT NULL",
            "SELECT DISTINCT actor FROM labels WHERE actor IS NOT NULL",
        )
        found = {str(row[0]) for query in queries for row in self._db.execute(query).fetchall()}
        latest = self._db.execute("SELECT original_name FROM photos ORDER BY id DESC LIMIT ?", (most,)).fetchall()
        return found | {str(row[0]) for row in latest}
