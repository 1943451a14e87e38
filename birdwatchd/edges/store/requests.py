"""What a command asks of a running daemon, and what the daemon says of itself. Written by both, a row at a time."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from birdwatchd.edges.store.connection import Connection, Row


@dataclass(frozen=True, slots=True)
class Request:
    """One wish. `arguments` is what the command was given; `result` what came of it, or how far it is."""

    id: int
    kind: str
    arguments: dict[str, Any]
    actor: str | None
    outcome: str | None
    result: dict[str, Any]


class Elsewhere(dict[str, Any]):
    """How far a wish is that another process works on: asked again at once it would say the same."""


class Requests:
    """The counter between commands and daemon."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def ask(self, kind: str, arguments: dict[str, Any], *, actor: str | None, at: str) -> int:
        """Leave a wish; returns its number."""
        with self._db.writing():
            return self._leave(kind, arguments, actor=actor, at=at)

    def ask_checked(
        self,
        check: Callable[[], Request | tuple[str, dict[str, Any]]],
        *,
        actor: str | None,
        at: str,
        key: str | None = None,
        left_by: str | None = None,
    ) -> Request:
        """Leave a wish for which nothing may change between its check and its row.

        Args:
            check: runs while nobody else can write; says kind and arguments, or a wish that says the same already. What it raises
                leaves nothing behind.
            key: what nobody sends twice; `with_key` finds the wish by it.
            left_by: the browser, or that it was a program; `last_answer` finds its answers by it.
        """
        with self._db.writing():
            told = check()
            if isinstance(told, Request):
                return told
            number = self._leave(*told, actor=actor, at=at, key=key, left_by=left_by)
        return Request(number, told[0], told[1], actor, None, {})

    def _leave(
        self,
        kind: str,
        arguments: dict[str, Any],
        *,
        actor: str | None,
        at: str,
        key: str | None = None,
        left_by: str | None = None,
    ) -> int:
        takes_back = arguments.get("request_id") if kind == "take-back" else None
        cursor = self._db.execute(
            "INSERT INTO requests (kind, arguments, actor, requested_at, key, left_by, takes_back) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (kind, json.dumps(arguments), actor, at, key, left_by, takes_back),
        )
        return int(cursor.lastrowid or 0)

    def open(self) -> list[Request]:
        """Wishes that are not fulfilled, taken up already or not, oldest first."""
        return [_request(row) for row in self._db.rows("SELECT * FROM requests WHERE finished_at IS NULL ORDER BY id")]

    def get(self, request_id: int) -> Request:
        """How a wish stands."""
        return _request(self._db.rows("SELECT * FROM requests WHERE id = ?", (request_id,))[0])

    def find(self, request_id: int) -> Request | None:
        """The same; None for one that was never left, or that is forgotten."""
        return next(map(_request, self._db.rows("SELECT * FROM requests WHERE id = ?", (request_id,))), None)

    def last_answer(self, *, left_by: str) -> Request | None:
        """The last answer of somebody that none has taken back yet, fulfilled or not; None when all are, or were forgotten."""
        rows = self._db.rows(
            "SELECT * FROM requests AS given WHERE left_by = ? AND kind = 'answers' AND outcome IS NOT 'failed'"
            " AND NOT EXISTS (SELECT 1 FROM requests AS back WHERE back.takes_back = given.id) ORDER BY id DESC LIMIT 1",
            (left_by,),
        )
        return _request(rows[0]) if rows else None

    def after(self, request_id: int, *kinds: str) -> list[Request]:
        """Wishes of these kinds that were left after that one, fulfilled or not, in that order."""
        rows = self._db.rows(
            f"SELECT * FROM requests WHERE id > ? AND kind IN ({', '.join('?' * len(kinds))}) ORDER BY id",  # noqa: S608
            (request_id, *kinds),
        )
        return [_request(row) for row in rows]

    def with_key(self, key: str) -> Request | None:
        """The wish that was left under this key of whoever left it; None if there is none, or none any more."""
        rows = self._db.rows("SELECT * FROM requests WHERE key = ? ORDER BY id LIMIT 1", (key,))
        return _request(rows[0]) if rows else None

    def take(self, request_id: int, *, at: str) -> bool:
        """Work on it begins; it stays open until `finish`, so that a crash leaves it to be done again. Whether it is the first try."""
        with self._db.writing():
            cursor = self._db.execute(
                "UPDATE requests SET taken_at = ? WHERE id = ? AND taken_at IS NULL", (at, request_id)
            )
        return cursor.rowcount == 1

    def make_definite(self, request_id: int, arguments: dict[str, Any]) -> None:
        """Write down what a wish means now, before it is carried out: after a crash it must not mean something else."""
        with self._db.writing():
            self._db.execute("UPDATE requests SET arguments = ? WHERE id = ?", (json.dumps(arguments), request_id))

    def report(self, request_id: int, result: dict[str, Any]) -> None:
        """How far it is."""
        with self._db.writing():
            self._db.execute("UPDATE requests SET result = ? WHERE id = ?", (json.dumps(result), request_id))

    def finish(self, request_id: int, outcome: str, result: dict[str, Any], *, at: str) -> None:
        """It is `done` or `failed`; the first word counts."""
        with self._db.writing():
            self._db.execute(
                "UPDATE requests SET outcome = ?, result = ?, finished_at = ? WHERE id = ? AND finished_at IS NULL",
                (outcome, json.dumps(result), at, request_id),
            )

    def withdraw(self, request_id: int) -> bool:
        """Take a wish back that nobody has taken up; False when somebody has."""
        with self._db.writing():
            cursor = self._db.execute("DELETE FROM requests WHERE id = ? AND taken_at IS NULL", (request_id,))
        return cursor.rowcount == 1

    def forget_finished(self, *, keep: int) -> None:
        """Let go of wishes that were fulfilled long ago, but for the latest; who waits for one reads its end within a second."""
        with self._db.writing():
            self._db.execute(
                "DELETE FROM requests WHERE finished_at IS NOT NULL AND id <= (SELECT id FROM requests"
                " WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (keep,),
            )

    def open_count(self) -> int:
        """How many wishes are not over."""
        return int(self._db.value("SELECT count(*) FROM requests WHERE finished_at IS NULL"))

    def write_status(self, status: dict[str, Any]) -> None:
        """Replace the one row that says how the daemon is."""
        columns = ", ".join(status)
        places = ", ".join(f":{column}" for column in status)
        with self._db.writing():
            self._db.execute(f"INSERT OR REPLACE INTO status (id, {columns}) VALUES (1, {places})", status)  # noqa: S608

    def status(self) -> Row | None:
        """The daemon's last word about itself; None before its first sweep."""
        rows = self._db.rows("SELECT * FROM status")
        return rows[0] if rows else None


def _request(row: Row) -> Request:
    return Request(
        id=row["id"],
        kind=row["kind"],
        arguments=json.loads(row["arguments"]),
        actor=row["actor"],
        outcome=row["outcome"],
        result=json.loads(row["result"] or "{}"),
    )
