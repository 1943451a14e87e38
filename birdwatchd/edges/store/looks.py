"""Photos that the present spotter has not seen yet: what it says of them is written beside what former ones said."""

from collections.abc import Sequence

from birdwatchd.edges.store.connection import Connection, Row


class Looks:
    """What is left to be looked at again. Reads only; what was seen is written by `Journeys.record_look`."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def knows_another_spotter(self, spotter_id: str) -> bool:
        """Whether any photo was ever seen by another one: else there is nothing to be done, and that is told at once."""
        return bool(
            self._db.value(
                "SELECT EXISTS (SELECT 1 FROM embeddings WHERE spotter_id < ?)"
                " OR EXISTS (SELECT 1 FROM embeddings WHERE spotter_id > ?)",
                (spotter_id, spotter_id),
            )
        )

    def named(self, first: int, last: int, spotter_id: str) -> list[int]:
        """Photos with a human name that it has not seen, of those with such an id: from them it can learn again."""
        rows = self._db.rows(
            f"SELECT photos.id {_NAMED} AND said.photo_id BETWEEN ? AND ? AND {_UNSEEN} ORDER BY said.photo_id",
            (first, last, spotter_id),
        )
        return [row["id"] for row in rows]

    def between(self, first: int, last: int, spotter_id: str, states: Sequence[str]) -> list[int]:
        """Photos in these states that it has not seen, of those with such an id."""
        of_these = _BETWEEN.format(", ".join("?" * len(states)))
        rows = self._db.rows(
            f"SELECT photos.id {of_these} AND {_UNSEEN} ORDER BY photos.id", (first, last, *states, spotter_id)
        )
        return [row["id"] for row in rows]

    def photo(self, photo_id: int) -> Row:
        """Where it lies, and what it is."""
        return self._db.rows("SELECT id, path, sha256, original_name, state FROM photos WHERE id = ?", (photo_id,))[0]

    def left(self, spotter_id: str) -> int:
        """How many photos it has not seen. Goes through all of them; to be asked only where there are some."""
        return int(self._db.value(f"SELECT count(*) {_KEPT} AND {_UNSEEN}", (spotter_id,)))

    def named_left(self, spotter_id: str) -> int:
        """How many of these have a human name."""
        return int(self._db.value(f"SELECT count(*) {_NAMED} AND {_UNSEEN}", (spotter_id,)))


_KEPT = "FROM photos WHERE photos.state IN ('filed', 'review', 'empty')"
_NAMED = "FROM current_labels AS said CROSS JOIN photos ON photos.id = said.photo_id WHERE photos.state IN ('filed', 'review', 'empty')"
_BETWEEN = "FROM photos WHERE photos.id BETWEEN ? AND ? AND photos.state IN ({})"
_UNSEEN = "NOT EXISTS (SELECT 1 FROM embeddings WHERE embeddings.photo_id = photos.id AND embeddings.spotter_id = ?)"
