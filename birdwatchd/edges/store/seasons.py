"""Which birds came when: counts by day, hour and month, first and last day. Reads only the tables that SQLite keeps (`tallying`).

Every question goes by an index: by days for all species, by species and days for one.
"""
# ruff: noqa: S608  # sentences put together from parts of this room; values are parameters

from collections.abc import Sequence

from birdwatchd.core.seasons import Stretch
from birdwatchd.edges.store.connection import Connection, Row


class Seasons:
    """Counts as plain rows. Hours and days are those of the stretch's clock, shifted by its hours."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def species(self) -> list[str]:
        """Every species of which a photo is named now, by its label."""
        return self._db.distinct("sighted", "species")

    def by_day(self, stretch: Stretch, species: str | None = None) -> list[Row]:
        """`day`, `species`, `photos`, `visits`; a shift may bring days just outside of the stretch."""
        return self._counted({"day": _day(stretch), "species": "species"}, stretch, species)

    def by_hour(self, stretch: Stretch, species: str | None = None) -> list[Row]:
        """`day`, `hour` (0-23), `species`, `photos`, `visits`; for some weeks at most."""
        hour = "(hour + :shift + 24) % 24"
        return self._counted({"day": _day(stretch), "hour": hour, "species": "species"}, stretch, species)

    def all_by_day(self, stretch: Stretch) -> list[Row]:
        """`day`, `species` (empty), `photos`, `visits` of all species together."""
        return self._counted({"day": _day(stretch), "species": "''"}, stretch, None)

    def _counted(self, wanted: dict[str, str], stretch: Stretch, species: str | None) -> list[Row]:
        told = ", ".join(f"{what} AS {name}" for name, what in wanted.items())
        only = "" if species is None else "species = :species AND "
        groups = ", ".join(dict.fromkeys(what for what in wanted.values() if what != "''"))
        return self._db.rows(
            f"SELECT {told}, sum(photos) AS photos, sum(visits) AS visits FROM tallies"
            f" WHERE {only}day BETWEEN :first AND :last AND timed = :timed GROUP BY {groups}",
            {
                "first": stretch.first,
                "last": stretch.last,
                "timed": stretch.timed,
                "shift": stretch.shift_h,
                "species": species,
            },
        )

    def by_month(self, first: str, last: str, species: str | None = None) -> list[Row]:
        """`month`, `hour`, `timed`, `species`, `photos`, `visits`, by the clocks that wrote them.

        Args:
            first, last: months such as 2026-05, both included.
        """
        only = "" if species is None else "species = :species AND "
        return self._db.rows(
            f"SELECT month, hour, timed, species, photos, visits FROM monthly WHERE {only}month BETWEEN :first AND :last",
            {"first": first, "last": last, "species": species},
        )

    def first_and_last(self, species: str) -> list[Row]:
        """`day`, `hour` and `timed` of the first day and of the last on which it was seen, by the clocks that wrote them."""
        return self._db.rows(
            "SELECT DISTINCT day, hour, timed FROM tallies WHERE species = :one AND day IN ("
            "(SELECT min(day) FROM tallies WHERE species = :one), (SELECT max(day) FROM tallies WHERE species = :one))",
            {"one": species},
        )

    def first_since(self, species: str, day: str) -> list[Row]:
        """The same of the day before that one, and of the first two from it on: on one of these it was first seen since that day by
        the clock on the wall, wherever that wall is."""
        first = "SELECT min(day) FROM tallies WHERE species = :one AND day >= :day"
        return self._db.rows(
            "SELECT DISTINCT day, hour, timed FROM tallies WHERE species = :one AND day IN (date(:day, '-1 day'),"
            f" ({first}), (SELECT min(day) FROM tallies WHERE species = :one AND day > ({first})))",
            {"one": species, "day": day},
        )

    def first_of_all(self) -> list[Row]:
        """The same of the first day on which any bird was seen; nothing where none was."""
        return self._db.rows("SELECT DISTINCT day, hour, timed FROM tallies WHERE day = (SELECT min(day) FROM tallies)")

    def named_by_people(self, species: Sequence[str]) -> dict[str, int]:
        """How many photos of each have their name from a person."""
        counted = "SELECT count(*) FROM sighted WHERE species = ? AND named_by = 'human'"
        return {one: int(self._db.value(counted, (one,))) for one in species}

    def lessons(self, *, limit: int) -> list[Row]:
        """Of the newest models: how many labels there were when they learned, and how they did (`metrics`, JSON); the newest first."""
        return self._db.rows(
            "SELECT models.metrics, trainings.label_count AS labels FROM models CROSS JOIN trainings"
            " ON trainings.id = json_extract(models.recipe, '$.training_id')"
            " WHERE trainings.label_count IS NOT NULL ORDER BY models.id DESC LIMIT ?",
            (limit,),
        )


def _day(stretch: Stretch) -> str:
    return "day" if stretch.shift_h == 0 else _SHIFTED_DAY


_SHIFTED_DAY = (
    "CASE WHEN hour + :shift > 23 THEN date(day, '+1 day') WHEN hour + :shift < 0 THEN date(day, '-1 day') ELSE day END"
)
