"""Visits: which photos were taken together, what they tell together, and how far that was looked at.

Every question goes by an index (`photos_by_capture`, or the ids of what is new), and is asked for a bounded number of rows.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from birdwatchd.edges.store.connection import Connection, Row


@dataclass(frozen=True, slots=True)
class Visit:
    """A row of `visits` before it is written.

    Attributes:
        began_at, ended_at: by the camera's own clock, as it wrote it.
        evidence: what each photo says by itself, and how many agree; for people and for JSON.
    """

    camera: str
    began_at: str
    ended_at: str
    photo_ids: Sequence[int]
    label: str | None
    probability: float | None
    verdict: str
    evidence: Mapping[str, Any]
    model_id: int


class Visits:
    """The rows of visits. Only the holder of the bird folder's lock writes here."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    # -- how far it was looked

    def looked_at(self) -> tuple[int, int]:
        """The newest prediction and the newest label whose visits have been judged."""
        row = next(iter(self._db.rows("SELECT prediction_id, label_id FROM visits_looked_at")), None)
        return (0, 0) if row is None else (row["prediction_id"], row["label_id"])

    def note_looked_at(self, prediction_id: int, label_id: int) -> None:
        """All visits of what is not newer are judged."""
        with self._db.writing():
            self._db.execute(
                "INSERT INTO visits_looked_at (id, prediction_id, label_id) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE"
                " SET prediction_id = excluded.prediction_id, label_id = excluded.label_id",
                (prediction_id, label_id),
            )

    def judged_after(self, prediction_id: int, *, limit: int) -> list[Row]:
        """Photos that the machine has judged since, by the id of the prediction."""
        return self._db.rows(
            "SELECT news.id AS news_id, photos.id, photos.camera, photos.captured_at FROM predictions AS news"
            " CROSS JOIN photos ON photos.id = news.photo_id WHERE news.id > ? ORDER BY news.id LIMIT ?",
            (prediction_id, limit),
        )

    def named_after(self, label_id: int, *, limit: int) -> list[Row]:
        """Photos of which a person has said something since, by the id of the label."""
        return self._db.rows(
            "SELECT news.id AS news_id, photos.id, photos.camera, photos.captured_at FROM labels AS news"
            " CROSS JOIN photos ON photos.id = news.photo_id WHERE news.id > ? ORDER BY news.id LIMIT ?",
            (label_id, limit),
        )

    # -- which photos belong together

    def taken_from(self, camera: str, captured_at: str, *, skip: int, limit: int) -> list[Row]:
        """Photos that rest, taken then or later, the first first; with all that was said of them."""
        return self._db.rows(
            f"{_TAKEN} AND photos.captured_at >= ? ORDER BY photos.captured_at, photos.id LIMIT ? OFFSET ?",
            (camera, captured_at, limit, skip),
        )

    def taken_before(self, camera: str, captured_at: str, *, skip: int, limit: int) -> list[Row]:
        """The same for photos taken earlier, the last first."""
        return self._db.rows(
            f"{_TAKEN} AND photos.captured_at < ? ORDER BY photos.captured_at DESC, photos.id DESC LIMIT ? OFFSET ?",
            (camera, captured_at, limit, skip),
        )

    def of_day(self, camera: str, day: str, *, limit: int) -> list[Row]:
        """The latest photos of one day by the camera's clock, the last first."""
        return self._db.rows(
            f"{_TAKEN} AND photos.captured_at >= ? AND photos.captured_at < ? || 'U'"  # after the T of any time of that day
            " ORDER BY photos.captured_at DESC, photos.id DESC LIMIT ?",
            (camera, day, day, limit),
        )

    # -- what they tell

    def are_known(self, photo_ids: Sequence[int]) -> bool:
        """Whether anything was told of a visit to which one of them belongs."""
        return bool(
            self._db.rows(
                "SELECT 1 FROM json_each(?) AS photo CROSS JOIN visit_photos ON visit_photos.photo_id = photo.value LIMIT 1",
                (json.dumps(list(photo_ids)),),
            )
        )

    def record(self, visit: Visit, *, at: str) -> dict[int, str]:
        """Write down what a visit tells, if that is not known already.

        A row stays that of the visit with its first photo. Others of which the first photo turns out to be in this visit become one
        with it.

        Returns:
            Photos that were in one visit with some of these and are not any more, with the time at which each was taken: their own
            visits are to be judged.
        """
        evidence = json.dumps(dict(visit.evidence))
        told = (
            visit.camera,
            visit.began_at,
            visit.ended_at,
            len(visit.photo_ids),
            visit.label,
            visit.probability,
            visit.verdict,
            evidence,
            visit.model_id,
        )
        ids = set(visit.photo_ids)
        members = self._with_them(visit.photo_ids)
        owner: dict[int, bool] = {}
        for photo in members:  # by time: the first of each visit comes first
            if photo["rests"]:
                owner.setdefault(photo["visit_id"], photo["id"] in ids)
        ours = sorted(visit_id for visit_id, is_ours in owner.items() if is_ours)
        left = {photo["id"]: photo["captured_at"] for photo in members if photo["id"] not in ids and photo["rests"]}
        if len(owner) == len(ours) == 1 and {photo["id"] for photo in members} == ids and self._row(ours[0]) == told:
            return {}
        with self._db.writing():
            if ours:
                visit_id = ours[0]
                columns = ", ".join(f"{name} = ?" for name in (*_TOLD, "judged_at"))
                self._db.execute(f"UPDATE visits SET {columns} WHERE id = ?", (*told, at, visit_id))  # noqa: S608
            else:
                cursor = self._db.execute(
                    f"INSERT INTO visits ({', '.join(_TOLD)}, judged_at) VALUES ({', '.join('?' * (len(_TOLD) + 1))})",  # noqa: S608
                    (*told, at),
                )
                visit_id = int(cursor.lastrowid or 0)
            for mine in ours:
                self._db.execute("DELETE FROM visit_photos WHERE visit_id = ?", (mine,))
            for photo_id in visit.photo_ids:
                self._db.execute(
                    "INSERT INTO visit_photos (photo_id, visit_id) VALUES (?, ?)"
                    " ON CONFLICT (photo_id) DO UPDATE SET visit_id = excluded.visit_id",
                    (photo_id, visit_id),
                )
            for other in ours[1:]:
                self._db.execute("DELETE FROM visits WHERE id = ?", (other,))
        return left

    def forget(self, photo_ids: Sequence[int]) -> dict[int, str]:
        """These are in no visit any more; returns what `record` does. A visit of which nothing is left is gone."""
        members = self._with_them(photo_ids)
        if not members:
            return {}
        ids = set(photo_ids)
        left = {photo["id"]: photo for photo in members if photo["id"] not in ids and photo["rests"]}
        with self._db.writing():
            for photo_id in photo_ids:
                self._db.execute("DELETE FROM visit_photos WHERE photo_id = ?", (photo_id,))
            for visit_id in {photo["visit_id"] for photo in members} - {photo["visit_id"] for photo in left.values()}:
                self._db.execute("DELETE FROM visit_photos WHERE visit_id = ?", (visit_id,))
                self._db.execute("DELETE FROM visits WHERE id = ?", (visit_id,))
        return {photo_id: photo["captured_at"] for photo_id, photo in left.items()}

    def _with_them(self, photo_ids: Sequence[int]) -> list[Row]:
        """All photos of the visits to which some of these belong, by the time at which they were taken."""
        return self._db.rows(
            "SELECT photos.id, photos.captured_at, photos.state IN ('filed', 'review', 'empty') AS rests, beside.visit_id"
            " FROM visit_photos AS beside CROSS JOIN photos ON photos.id = beside.photo_id WHERE beside.visit_id IN ("
            "SELECT mine.visit_id FROM json_each(?) AS photo CROSS JOIN visit_photos AS mine ON mine.photo_id = photo.value)"
            " ORDER BY photos.captured_at, photos.id",
            (json.dumps(list(photo_ids)),),
        )

    def _row(self, visit_id: int) -> tuple[object, ...]:
        (row,) = self._db.rows("SELECT * FROM visits WHERE id = ?", (visit_id,))
        return tuple(row[name] for name in _TOLD)


_TOLD = ("camera", "began_at", "ended_at", "photos", "label", "probability", "verdict", "evidence", "model_id")

_TAKEN = (
    "SELECT photos.id, photos.path, photos.sha256, photos.original_name, photos.captured_at, photos.state, photos.reason,"
    " seen.id AS prediction_id, seen.model_id, seen.spotter_id, seen.label, seen.probability, seen.top, seen.novelty, seen.box,"
    " seen.verdict, seen.reason AS own_reason,"
    " word.verdict AS word_verdict, word.reason AS word_reason, word.label AS word_label, word.probability AS word_probability,"
    " said.id IS NOT NULL AS is_spoken_of, said.label AS human"
    " FROM photos"
    " CROSS JOIN predictions AS seen ON seen.id = (SELECT max(id) FROM predictions WHERE photo_id = photos.id)"
    " LEFT JOIN visit_words AS word ON word.photo_id = photos.id AND word.prediction_id = seen.id"
    " LEFT JOIN labels AS said ON said.id = (SELECT max(id) FROM labels WHERE photo_id = photos.id)"
    " WHERE photos.camera = ? AND photos.state IN ('filed', 'review', 'empty')"
)
