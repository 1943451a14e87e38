"""Photos by what they show, where and when: pages of them, newest first. Reads only.

Each kind of photo that is asked for lies in an index by time, so a page of a million photos costs what a page costs: where several
kinds are wanted (all cameras, say), the newest of each are read and put in order. A page begins after the last photo of the one before,
and nothing is counted through.
"""
# ruff: noqa: S608  # sentences put together from parts of this room; values are parameters

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from birdwatchd.edges.store.connection import Connection, Row

RESTING = ("filed", "review", "empty", "quarantined", "duplicate", "missing")
"""All states in which a photo can be found; others are on their way."""

Mark = tuple[str, int]
"""A place in the order: when it was taken (or arrived), and the photo's number."""

Stream = tuple[str, dict[str, object]]
"""A question that an index answers in order, and its values."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which photos.

    Attributes:
        species: with this name, from a person or the machine.
        named_by: who gave the name.
        states: where they rest; not to be given together with a species or `named_by`.
        camera: "" for those without one; None for all.
        since, before: times between which they were taken by their cameras' clocks, the second excluded.
        arrived_since, arrived_before: the same time in UTC, for photos that have only the time of their arrival; given where the
            others are.
    """

    species: str | None = None
    named_by: Literal["human", "machine"] | None = None
    states: Sequence[str] = RESTING
    camera: str | None = None
    since: str | None = None
    before: str | None = None
    arrived_since: str | None = None
    arrived_before: str | None = None


class Gallery:
    """Pages of photos."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def cameras(self) -> list[str]:
        """All cameras, by name; "" stands for photos without one."""
        some_have_none = bool(self._db.value("SELECT EXISTS (SELECT 1 FROM photos WHERE camera IS NULL)"))
        return [""] * some_have_none + self._db.distinct("photos", "camera")

    def named(self, wanted: Wanted, *, limit: int, after: Mark | None = None, newer: bool = False) -> list[Row]:
        """Photos with a name, as cards; the newest first.

        Args:
            after: the last one that is not wanted any more.
            newer: those that come before it in the order, the nearest ones.
        """
        where, order, values = _cut(wanted, "at", "photo_id", "timed", after, newer=newer)
        if wanted.species is None and wanted.camera is None and wanted.named_by != "human":
            by = "" if wanted.named_by is None else "named_by = 'machine' AND "
            sql = f"SELECT at, photo_id FROM sighted WHERE {by}{where} {order} LIMIT :limit"
            return self._cards(self._marks(sql, values | {"limit": limit}), limit, newer=newer)
        streams: list[Stream] = []
        for species in self._db.distinct("sighted", "species") if wanted.species is None else [wanted.species]:
            streams += self._of_species(species, wanted)
        told = [
            (f"SELECT at, photo_id FROM sighted WHERE {sql} AND {where} {order}", values | more)
            for sql, more in streams
        ]
        return self._cards(self._merged(told, limit, newer=newer), limit, newer=newer)

    def _of_species(self, species: str, wanted: Wanted) -> Iterator[Stream]:
        if wanted.named_by == "human":  # few, and in an index of their own
            camera = "" if wanted.camera is None else "camera = :camera AND "
            yield f"{camera}species = :species AND named_by = 'human'", {"species": species, "camera": wanted.camera}
            return
        by = "" if wanted.named_by is None else " AND named_by = 'machine'"
        for camera, timed in self._places(species):
            if wanted.camera in (None, camera):
                values = {"species": species, "camera": camera, "timed": timed}
                yield f"species = :species AND camera = :camera AND timed = :timed{by}", values

    def resting(self, wanted: Wanted, *, limit: int, after: Mark | None = None, newer: bool = False) -> list[Row]:
        """Photos of certain states, with a name or without, as cards; like `named`."""
        where, order, values = _cut(wanted, _MOMENT, "id", _TIMED, after, newer=newer)
        cameras = self.cameras() if wanted.camera is None else [wanted.camera]
        sql = (
            f"SELECT {_MOMENT} AS at, id AS photo_id FROM photos WHERE state = :state AND coalesce(camera, '') = :camera"
            f" AND {where} {order}"
        )
        streams = [
            (sql, values | {"state": state, "camera": camera}) for state, camera in product(wanted.states, cameras)
        ]
        return self._cards(self._merged(streams, limit, newer=newer), limit, newer=newer)

    def _merged(self, streams: Sequence[Stream], limit: int, *, newer: bool) -> list[Mark]:
        """The nearest of all streams. Of each a few are read, and more only of those whose few are all among the nearest."""
        few = max(8, 3 * limit // max(1, len(streams)))
        read = [self._marks(f"{sql} LIMIT :limit", values | {"limit": few}) for sql, values in streams]
        nearest = set(sorted((mark for marks in read for mark in marks), reverse=not newer)[:limit])
        for place, marks in enumerate(read):
            if few <= len(marks) < limit and (len(nearest) < limit or marks[-1] in nearest):
                sql, values = streams[place]
                read[place] = self._marks(f"{sql} LIMIT :limit", values | {"limit": limit})
        return [mark for marks in read for mark in marks]

    def count_resting(self, wanted: Wanted, *, most: int) -> int:
        """How many there are; counted no further than `most`."""
        where, _, values = _cut(wanted, _MOMENT, "id", _TIMED, None, newer=False)
        cameras = self.cameras() if wanted.camera is None else [wanted.camera]
        counted = 0
        for state, camera in product(wanted.states, cameras):
            sql = (
                "SELECT count(*) FROM (SELECT 1 FROM photos WHERE state = :state AND coalesce(camera, '') = :camera"
                f" AND {where} LIMIT :limit)"
            )
            counted += self._db.value(sql, values | {"state": state, "camera": camera, "limit": most})
        return min(most, counted)

    def between(self, since: str, before: str, *, timed: bool, limit: int) -> list[Row]:
        """Named photos of some time, as cards; the first first.

        Args:
            timed: those whose camera told the time; else those that have only the time of their arrival, in UTC.
        """
        sql = (
            "SELECT at, photo_id FROM sighted WHERE at >= :since AND at < :before AND +timed = :timed"
            " ORDER BY at, photo_id LIMIT :limit"
        )
        found = self._marks(sql, {"since": since, "before": before, "timed": timed, "limit": limit})
        return self._cards(found, limit, newer=True)[::-1]

    def cards_of(self, photo_ids: Sequence[int]) -> list[Row]:
        """These photos, in no order."""
        return self._db.rows(
            f"{_CARD} WHERE photos.id IN (SELECT value FROM json_each(?))", (json.dumps(list(photo_ids)),)
        )

    def of_visit(self, visit_id: int, *, limit: int) -> list[Row]:
        """Photos that were taken together, as cards; the first first."""
        rows = self._db.rows(
            "SELECT photos.id, coalesce(photos.captured_at, photos.received_at) AS at FROM visit_photos AS mine"
            " CROSS JOIN photos ON photos.id = mine.photo_id WHERE mine.visit_id = ? LIMIT ?",
            (visit_id, limit),
        )
        return self._cards([(row["at"], row["id"]) for row in rows], limit, newer=True)[::-1]

    def _places(self, species: str) -> Iterator[tuple[str, int]]:
        """The cameras that saw a species, by what clock; without reading more than the first photo of each."""
        camera = self._db.value("SELECT min(camera) FROM sighted WHERE species = ?", (species,))
        while camera is not None:
            for timed in (0, 1):
                sql = "SELECT EXISTS (SELECT 1 FROM sighted WHERE species = ? AND camera = ? AND timed = ?)"
                if self._db.value(sql, (species, camera, timed)):
                    yield camera, timed
            camera = self._db.value(
                "SELECT min(camera) FROM sighted WHERE species = ? AND camera > ?", (species, camera)
            )

    def _marks(self, sql: str, values: dict[str, object]) -> list[Mark]:
        return [(at, number) for at, number in self._db.execute(sql, values).fetchall()]

    def _cards(self, marks: list[Mark], limit: int, *, newer: bool) -> list[Row]:
        nearest = sorted(marks, reverse=not newer)[:limit]
        order = sorted(nearest, reverse=True)
        cards = {row["id"]: row for row in self.cards_of([number for _, number in order])}
        return [cards[number] | {"at": at} for at, number in order]


_MOMENT = "coalesce(captured_at, received_at)"
"""As in the index `photos_by_place` and the view `sightings`."""

_TIMED = "captured_at IS NOT NULL"


def _cut(
    wanted: Wanted, at: str, number: str, timed: str, after: Mark | None, *, newer: bool
) -> tuple[str, str, dict[str, object]]:
    """The condition of time, the order, and their values.

    Both clocks lie in one index: its part that holds all that is wanted is read, and of each photo its own clock counts.

    Args:
        timed: whether the camera's clock told the time.
    """
    since = (wanted.since or "", wanted.arrived_since or "")
    before = (wanted.before, wanted.arrived_before)
    conditions = [f"{at} >= :since"]
    values: dict[str, object] = {"since": min(since), "before": None}
    if since[0] != since[1]:
        conditions.append(f"{at} >= CASE WHEN {timed} THEN :since_taken ELSE :since_arrived END")
        values |= {"since_taken": since[0], "since_arrived": since[1]}
    if before[0] is not None and before[1] is not None:
        conditions += [f"{at} < :before", f"{at} < CASE WHEN {timed} THEN :before_taken ELSE :before_arrived END"]
        values |= {"before": max(before[0], before[1]), "before_taken": before[0], "before_arrived": before[1]}
    if after is not None:
        conditions.append(f"({at}, {number}) {'>' if newer else '<'} (:mark_at, :mark_id)")
    way = "" if newer else " DESC"
    if after is not None:
        values |= {"mark_at": after[0], "mark_id": after[1]}
    return " AND ".join(conditions), f"ORDER BY {at}{way}, {number}{way}", values


_CARD = """
SELECT photos.id, photos.state, photos.reason, photos.camera, photos.captured_at, photos.received_at,
    CASE WHEN said.label IS NULL THEN CASE WHEN coalesce(word.verdict, seen.verdict) <> 'empty'
        THEN coalesce(word.label, seen.label) END ELSE said.label END AS species,
    CASE WHEN said.label IS NULL THEN coalesce(word.probability, seen.probability) END AS probability,
    CASE WHEN said.label IS NULL THEN 'machine' ELSE 'human' END AS named_by,
    photos.reason = 'unlike-anything' OR (seen.reason = 'unlike-anything' AND word.prediction_id IS NULL) AS is_strange
FROM photos
LEFT JOIN predictions AS seen ON seen.id = (SELECT max(id) FROM predictions WHERE photo_id = photos.id)
LEFT JOIN visit_words AS word ON word.photo_id = photos.id AND word.prediction_id = seen.id
LEFT JOIN labels AS said ON said.id = (SELECT max(id) FROM labels WHERE photo_id = photos.id)
"""
