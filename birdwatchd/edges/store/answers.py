"""What became of photos since a model began to judge them. Reads only."""

from collections.abc import Sequence

from birdwatchd.edges.store.connection import Connection, Row


class Answers:
    """What people said, or let stand, about a model's words."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def outcomes(self, model_id: int, *, since: str, until: str, limit: int) -> list[Row]:
        """Photos that this model judged in that time and that a person named, or that it filed and nobody touched; the latest first.

        `answer` is NULL for the latter. Photos that wait, were taken back or are gone tell nothing.
        """
        return self._db.rows(
            "SELECT photos.id, photos.sha256, photos.path, photos.original_name, photos.camera, photos.captured_at,"
            " named.label AS guess, named.box, said.label AS answer"
            " FROM predictions AS named CROSS JOIN photos ON photos.id = named.photo_id"
            " LEFT JOIN labels AS said ON said.id = (SELECT max(id) FROM labels WHERE photo_id = photos.id)"
            " WHERE named.predicted_at BETWEEN ? AND ? AND named.model_id = ? AND named.label IS NOT NULL"
            " AND named.id = (SELECT max(id) FROM predictions WHERE photo_id = photos.id)"
            " AND photos.state IN ('filed', 'review', 'empty')"
            " AND (said.label IS NOT NULL OR (said.id IS NULL AND named.verdict = 'filed' AND photos.state = 'filed'))"
            " ORDER BY named.predicted_at DESC, named.id DESC LIMIT ?",
            (since, until, model_id, limit),
        )

    def embeddings(self, photo_ids: Sequence[int], spotter_id: str) -> dict[int, bytes]:
        """Of those photos that have one."""
        places = ", ".join("?" * len(photo_ids))
        rows = self._db.rows(
            f"SELECT photo_id, vector FROM embeddings WHERE photo_id IN ({places}) AND spotter_id = ?",  # noqa: S608
            (*photo_ids, spotter_id),
        )
        return {row["photo_id"]: row["vector"] for row in rows}

    def waiting(self, model_id: int, *, since: str, until: str, limit: int) -> tuple[int, int]:
        """Of the latest photos with a bird that came in that time and that this model judged: how many it left to people; of how many.

        What had waited already when the model began to serve is none of them.
        """
        (row,) = self._db.rows(
            "SELECT coalesce(sum(verdict = 'review'), 0) AS waiting, count(*) AS photos FROM ("
            "SELECT named.verdict FROM predictions AS named CROSS JOIN photos ON photos.id = named.photo_id"
            " WHERE named.predicted_at BETWEEN ? AND ? AND named.model_id = ? AND named.verdict IN ('filed', 'review')"
            " AND photos.received_at >= ? ORDER BY named.predicted_at DESC LIMIT ?)",
            (since, until, model_id, since, limit),
        )
        return row["waiting"], row["photos"]
