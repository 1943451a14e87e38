"""Which species the machine takes for one another, by what people said of photos that it had named. Reads only."""

from birdwatchd.edges.store.connection import Connection, Row


class Doubts:
    """Names against guesses."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def confused(self, species: str, *, of_the_latest: int) -> list[Row]:
        """Pairs of `said` (by people) and `guess` (a model's first) one of which is this species; `photos`, the most frequent first.

        Args:
            of_the_latest: so many of the names that people gave last are looked at.
        """
        newest = self._db.value("SELECT max(id) FROM labels") or 0
        return self._db.rows(
            "SELECT said, guess, count(*) AS photos FROM (SELECT given.label AS said, ("
            "SELECT label FROM predictions AS first WHERE first.photo_id = given.photo_id AND first.model_id IS NOT NULL"
            " AND first.label IS NOT NULL ORDER BY first.id LIMIT 1)"
            " AS guess FROM labels AS given WHERE given.id > :from AND given.label IS NOT NULL"
            " AND given.id = (SELECT max(id) FROM labels WHERE photo_id = given.photo_id))"
            " WHERE guess IS NOT NULL AND said <> guess AND :species IN (said, guess)"
            " GROUP BY said, guess ORDER BY photos DESC, said, guess LIMIT 20",
            {"from": newest - of_the_latest, "species": species},
        )
