"""What was said of photos since a training learned from their names. Reads only."""

import json
from collections.abc import Iterable

from birdwatchd.edges.store.connection import Connection, Row


class SecondLooks:
    """For people who look at named photos again."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def lessons(self, *, limit: int) -> list[Row]:
        """The newest trainings that came to an end, `id`, `started_at`, and the `newest_label` that it knew of; the newest first."""
        return self._db.rows(
            "SELECT id, started_at, newest_label FROM trainings CROSS JOIN lessons ON lessons.training_id = trainings.id"
            " WHERE id > (SELECT max(id) FROM trainings) - 100 AND outcome IN ('promoted', 'kept') ORDER BY id DESC LIMIT ?",
            (limit,),
        )

    def photos(self, photo_ids: Iterable[int], *, since: int) -> dict[int, Row]:
        """Of photos that are still there: content, place, and whether a person has said something of them since (`said`: 0 or 1).

        Args:
            since: id of the last word before.
        """
        rows = self._db.rows(
            "SELECT photos.id, photos.sha256, photos.path,"
            " EXISTS (SELECT 1 FROM labels WHERE labels.photo_id = photos.id AND labels.id > ?) AS said"
            " FROM json_each(?) AS photo CROSS JOIN photos ON photos.id = photo.value"
            " WHERE photos.state IN ('filed', 'review', 'empty')",
            (since, json.dumps(list(photo_ids))),
        )
        return {row["id"]: row for row in rows}
