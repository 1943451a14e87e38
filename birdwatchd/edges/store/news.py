"""What is new in the log, asked every second by each open page. Reads only, and only rows that are told by their number."""

from collections.abc import Collection

from birdwatchd.edges.store.connection import Connection, Row


class News:
    """The latest numbers, and what is behind them."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def newest_photo(self) -> int:
        """Its number; 0 without photos."""
        return int(self._db.value("SELECT coalesce(max(id), 0) FROM photos"))

    def arrived(self, after: int, *, limit: int) -> int:
        """How many photos with higher numbers have come to rest on a shelf; no more than the limit are counted."""
        return int(
            self._db.value(
                "SELECT count(*) FROM (SELECT 1 FROM photos WHERE id > ? AND +state IN ('filed', 'review', 'empty') LIMIT ?)",
                (after, limit),
            )
        )

    def newest_wish(self) -> int:
        """Its number; 0 without wishes."""
        return int(self._db.value("SELECT coalesce(max(id), 0) FROM requests"))

    def wishes(self, after: int, also: Collection[int], *, limit: int) -> list[Row]:
        """`id`, `kind` and `outcome` of wishes with higher numbers, the first of them, and of some others."""
        places = ", ".join("?" * len(also))
        columns = "id, kind, outcome FROM requests WHERE id"
        return self._db.rows(
            f"SELECT * FROM (SELECT {columns} > ? ORDER BY id LIMIT ?) UNION ALL SELECT {columns} IN ({places})",  # noqa: S608
            (after, limit, *also),
        )
