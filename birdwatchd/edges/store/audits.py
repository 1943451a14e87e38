"""Photos that the machine was sure of and that a person shall look at all the same. What it said is kept as it was said then.

The answer is not kept twice: it is the person's last name for the photo, from wherever it came (view `audits`).
"""

from birdwatchd.core.auditing import chosen_below
from birdwatchd.edges.store.connection import Connection, Row


class Audits:
    """The rows of photos put up for a look. Only the holder of the bird folder's lock puts some up."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def put_up(self, *, one_in: int, since: str, at: str) -> int:
        """Put up all that are chosen and not yet up; returns how many there were.

        Also those that a person has named already: else what people mend at once would be missing, and the machine look better. None
        that follow others of their visit: they may have their name from a person, and no model was sure of it.

        Args:
            since: what the machine named before that was chosen from already.
            at: now.
        """
        with self._db.writing():
            cursor = self._db.execute(
                "INSERT INTO put_up (photo_id, model_id, label, put_up_at)"
                " SELECT photos.id, named.model_id, named.label, ? FROM predictions AS named"
                " CROSS JOIN photos ON photos.id = named.photo_id"
                " LEFT JOIN visit_words AS word ON word.photo_id = photos.id AND word.prediction_id = named.id"
                " WHERE named.predicted_at BETWEEN ? AND ? AND named.model_id IS NOT NULL"
                " AND named.verdict = 'filed' AND coalesce(word.verdict, 'filed') = 'filed'"
                " AND named.id = (SELECT max(id) FROM predictions WHERE photo_id = photos.id)"
                " AND photos.sha256 < ? AND photos.state IN ('filed', 'review', 'empty') AND photos.reason IS NOT 'undone'"
                " AND NOT EXISTS (SELECT 1 FROM put_up WHERE put_up.photo_id = photos.id)"
                " AND NOT EXISTS (SELECT 1 FROM journeys WHERE journeys.photo_id = photos.id)",
                (at, since, at, chosen_below(one_in)),
            )
        return cursor.rowcount

    def waiting(self, *, limit: int) -> list[Row]:
        """Photos that wait for a look and are still there, the latest first."""
        return self._db.rows(
            "SELECT audits.photo_id, audits.label AS guess, audits.model_id, audits.put_up_at, photos.path, photos.state"
            f" {_WAITING} ORDER BY audits.photo_id DESC LIMIT ?",
            (limit,),
        )

    def counts(self) -> dict[str, int]:
        """How many were put up, are answered, and wait."""
        return {
            "put_up": int(self._db.value("SELECT count(*) FROM put_up")),
            "answered": int(self._db.value("SELECT count(*) FROM audits WHERE answer IS NOT NULL")),
            "waiting": int(self._db.value(f"SELECT count(*) {_WAITING}")),
        }

    def answered(self, label: str | None = None) -> dict[str, tuple[int, int]]:
        """For each name that the machine gave, or for one: how many photos are answered, and how many of these confirmed."""
        only = "" if label is None else "label = :label AND "
        rows = self._db.rows(
            f"SELECT label, count(*) AS n, sum(answer = label) AS right FROM audits WHERE {only}answer IS NOT NULL GROUP BY label",  # noqa: S608
            {"label": label},
        )
        return {row["label"]: (row["n"], row["right"]) for row in rows}


_WAITING = (
    "FROM audits JOIN photos ON photos.id = audits.photo_id"
    " WHERE audits.answer IS NULL AND photos.state IN ('filed', 'review', 'empty')"
)
