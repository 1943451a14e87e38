"""The review queue: what waits for an answer, what it looks like, and what was said last. Reads only.

Every question goes by an index, and is asked for a bounded number of rows.
"""

from birdwatchd.edges.store.connection import Connection, Row


class Queue:
    """What the page needs to ask of the log."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    # -- what was said

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
