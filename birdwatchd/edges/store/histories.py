"""What became of models and trainings, for people who look back. Reads only."""

from collections.abc import Sequence

from birdwatchd.edges.store.connection import Connection, Row


class Histories:
    """Models with the training that made them, and the wishes about them."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def models(self, *, limit: int) -> list[Row]:
        """The newest models, each with its training (`training_id`, `reasons`, `fingerprint`, `report_path`; NULL if that is unknown)
        and with `taken_back_at` and `why` if it was taken back."""
        return self._db.rows(f"{_MODELS} ORDER BY models.id DESC LIMIT ?", (limit,))

    def model(self, model_id: int) -> Row | None:
        """One of them."""
        return next(iter(self._db.rows(f"{_MODELS} WHERE models.id = ?", (model_id,))), None)

    def audited(self, model_id: int) -> tuple[int, int]:
        """How many photos that this model was sure of were put up and answered, and in how many of these it was right."""
        (row,) = self._db.rows(
            "SELECT count(*) AS n, coalesce(sum(answer = label), 0) AS right FROM audits"
            " WHERE model_id = ? AND answer IS NOT NULL",
            (model_id,),
        )
        return row["n"], row["right"]

    def latest_wish(self, kinds: Sequence[str]) -> int | None:
        """The newest wish of these kinds; wishes of long ago are forgotten."""
        places = ", ".join("?" * len(kinds))
        found = self._db.value(f"SELECT max(id) FROM requests WHERE kind IN ({places})", tuple(kinds))  # noqa: S608
        return None if found is None else int(found)


_MODELS = (
    "SELECT models.*, taken_back.at AS taken_back_at, taken_back.why, trainings.id AS training_id, trainings.reasons,"
    " trainings.fingerprint, trainings.report_path FROM models"
    " LEFT JOIN taken_back ON taken_back.model_id = models.id"
    " LEFT JOIN trainings ON trainings.id = json_extract(models.recipe, '$.training_id')"
)
