"""Models and trainings: which one serves, what each learned from, what came of it. The one row that serves is the only truth."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from birdwatchd.edges.store.connection import Connection, Row


@dataclass(frozen=True, slots=True)
class NewModel:
    """A model that is entered: `path` is relative to the bird folder."""

    kind: str
    labels: Sequence[str]
    metrics: Mapping[str, float]
    path: str
    parent_id: int | None
    recipe: Mapping[str, object]


class Models:
    """The shelf of models in the log. Only the holder of the bird folder's lock writes here."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def serving(self) -> Row | None:
        """The model in use."""
        return next(
            iter(self._db.rows("SELECT * FROM models WHERE promoted_at IS NOT NULL AND retired_at IS NULL")), None
        )

    def get(self, model_id: int) -> Row | None:
        """One model."""
        return next(iter(self._db.rows("SELECT * FROM models WHERE id = ?", (model_id,))), None)

    def all(self) -> list[Row]:
        """Every model, the latest first."""
        return self._db.rows("SELECT * FROM models ORDER BY id DESC")

    def before(self) -> Row | None:
        """The model that served last before the one in use, but for those that were taken back: to go back to."""
        return next(iter(self.served_before(1)), None)

    def served_before(self, count: int) -> list[Row]:
        """So many of those that `before` would give one after the other, if each turned out worse in its turn.

        In the order in which they took over: clocks leap.
        """
        return self._db.rows(
            "SELECT * FROM models WHERE retired_at IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM taken_back WHERE model_id = models.id)"
            " ORDER BY (SELECT max(number) FROM promotions WHERE model_id = models.id) DESC, id DESC LIMIT ?",
            (count,),
        )

    def newest(self, count: int) -> list[Row]:
        """The newest models, whether they ever served or not."""
        return self._db.rows("SELECT * FROM models ORDER BY id DESC LIMIT ?", (count,))

    def paths(self) -> set[str]:
        """Every file that any model ever had."""
        return {row["path"] for row in self._db.rows("SELECT path FROM models")}

    # -- what to learn from

    def examples(self, spotter_id: str) -> list[Row]:
        """Photos that a person named and that are still there, each with its embedding as bytes and the box of that; oldest first.

        `confirmed`: a person gave it this name again, after the first time.
        """
        return self._db.rows(
            "SELECT photos.id, photos.sha256, photos.path, photos.camera, photos.captured_at, said.label, embeddings.vector,"
            f" embeddings.box, {_CONFIRMED} AS confirmed {_LEARNABLE} ORDER BY photos.id",
            (spotter_id,),
        )

    def learnable(self, spotter_id: str) -> dict[str, int]:
        """How many of these photos have each name."""
        rows = self._db.rows(f"SELECT said.label, count(*) AS n {_LEARNABLE} GROUP BY said.label", (spotter_id,))
        return {row["label"]: row["n"] for row in rows}

    def latest_label(self) -> int | None:
        """Id of the newest human word."""
        newest = self._db.value("SELECT max(id) FROM labels")
        return None if newest is None else int(newest)

    def labels_since(self, training_id: int) -> int:
        """How many human words are newer than those that a training knew of; by no clock."""
        return int(
            self._db.value(
                "SELECT count(*) FROM labels WHERE id > coalesce((SELECT newest_label FROM lessons WHERE training_id = ?), 0)",
                (training_id,),
            )
        )

    # -- trainings

    def latest_training(self) -> Row | None:
        """The newest training, whatever came of it."""
        return next(iter(self._db.rows("SELECT * FROM trainings WHERE id = (SELECT max(id) FROM trainings)")), None)

    def latest_lesson(self, kind: str) -> Row | None:
        """The newest training of this kind that came to an end; one that failed taught nothing and is tried again."""
        return next(
            iter(
                self._db.rows(
                    "SELECT * FROM trainings WHERE outcome IN ('promoted', 'kept') AND kind = ? ORDER BY id DESC LIMIT 1",
                    (kind,),
                )
            ),
            None,
        )

    def was_begun_between(self, kind: str, since: str, until: str) -> bool:
        """Whether a training of this kind was begun then, whatever came of it."""
        return bool(
            self._db.value(
                "SELECT EXISTS (SELECT 1 FROM trainings WHERE kind = ? AND started_at > ? AND started_at < ?)",
                (kind, since, until),
            )
        )

    def begin_training(self, kind: str, *, fingerprint: str, label_count: int, newest_label: int, at: str) -> int:
        """Note that one begins, and that none else is under way; returns its id.

        Args:
            newest_label: id of the newest human word that it knows of; 0 without any.
        """
        with self._db.writing():
            self._db.execute(
                "UPDATE trainings SET finished_at = ?, outcome = 'failed', reasons = ? WHERE finished_at IS NULL",
                (at, json.dumps(["it was interrupted"])),
            )
            cursor = self._db.execute(
                "INSERT INTO trainings (kind, started_at, fingerprint, label_count) VALUES (?, ?, ?, ?)",
                (kind, at, fingerprint, label_count),
            )
            training_id = int(cursor.lastrowid or 0)
            self._db.execute(
                "INSERT INTO lessons (training_id, newest_label) VALUES (?, ?)", (training_id, newest_label)
            )
        return training_id

    def end_training(self, training_id: int, outcome: str, reasons: Sequence[str], *, at: str) -> None:
        """Note what came of it, if it was not noted already."""
        with self._db.writing():
            self._end(training_id, outcome, reasons, at)

    def without_page(self, *, limit: int) -> list[int]:
        """Of the newest trainings that came to an end: those that nobody can read about yet, the newest first."""
        rows = self._db.rows(
            "SELECT id, report_path FROM trainings WHERE id > (SELECT max(id) FROM trainings) - 20"
            " AND outcome IN ('promoted', 'kept') ORDER BY id DESC LIMIT ?",
            (limit,),
        )
        return [row["id"] for row in rows if row["report_path"] is None]

    def note_page(self, training_id: int, path: str) -> None:
        """Note where one can read about a training; relative to the bird folder."""
        with self._db.writing():
            self._db.execute("UPDATE trainings SET report_path = ? WHERE id = ?", (path, training_id))

    def page_of(self, training_id: int | None) -> str | None:
        """Where one can read about a training, relative to the bird folder; None if nowhere."""
        path = self._db.value("SELECT report_path FROM trainings WHERE id = ?", (training_id,))
        return None if path is None else str(path)

    def give_up_training(self, *, at: str) -> None:
        """End the training whose program did not live to see its end, if there is one; they follow one another."""
        latest = self.latest_training()
        if latest is not None and latest["finished_at"] is None:
            self.end_training(latest["id"], "failed", ["it was interrupted"], at=at)

    def enter(self, model: NewModel, training_id: int, reasons: Sequence[str], *, promote: bool, at: str) -> int:
        """Enter what a training made, promoted or only kept, and end the training: all at once; returns the model's id."""
        with self._db.writing():
            if promote:
                self._retire(at)
            cursor = self._db.execute(
                "INSERT INTO models (kind, created_at, promoted_at, labels, metrics, path, parent_id, recipe)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    model.kind,
                    at,
                    at if promote else None,
                    json.dumps(list(model.labels)),
                    json.dumps(dict(model.metrics)),
                    model.path,
                    model.parent_id,
                    json.dumps(dict(model.recipe)),
                ),
            )
            model_id = int(cursor.lastrowid or 0)
            if promote:
                self._note_promotion(model_id)
            self._end(training_id, "promoted" if promote else "kept", reasons, at)
        return model_id

    def promote(self, model_id: int, *, at: str) -> None:
        """Let this one serve, and retire the one that does: one transaction, so that exactly one serves at any moment.

        If it was taken back once, that is forgotten: a person's word counts more.
        """
        with self._db.writing():
            self._replace(model_id, at)
            self._db.execute("DELETE FROM taken_back WHERE model_id = ?", (model_id,))

    # -- taken back

    def take_back(self, model_id: int, *, before: int, why: str, at: str) -> None:
        """Let the one before serve again, and note that this one was worse, all at once."""
        with self._db.writing():
            self._replace(before, at)
            self._db.execute("INSERT INTO taken_back (model_id, at, why) VALUES (?, ?, ?)", (model_id, at, why))

    def taken_back(self, model_id: int) -> Row | None:
        """When and why this one was taken back; None if it was not."""
        return next(iter(self._db.rows("SELECT at, why FROM taken_back WHERE model_id = ?", (model_id,))), None)

    def last_taken_back(self) -> Row | None:
        """The one that was taken back last: `model_id`, `at`, `why`."""
        return next(iter(self._db.rows("SELECT * FROM taken_back ORDER BY at DESC, model_id DESC LIMIT 1")), None)

    def was_regretted(self, fingerprint: str) -> bool:
        """Whether a model that learned from just these labels was taken back."""
        return bool(
            self._db.value(
                "SELECT EXISTS (SELECT 1 FROM taken_back CROSS JOIN models ON models.id = taken_back.model_id"
                " CROSS JOIN trainings ON trainings.id = json_extract(models.recipe, '$.training_id')"
                " WHERE trainings.fingerprint = ?)",
                (fingerprint,),
            )
        )

    # -- judged again

    def judged_by_others(
        self, model_id: int, spotter_id: str, states: Sequence[str], *, after: int, limit: int
    ) -> list[Row]:
        """Photos of which the machine's last word is not this model's, and people never said anything; some at a time, by id.

        With what this spotter saw: birdness, box and embedding. Those taken back, and the first of a kind that waits for
        a person, are left alone.
        """
        return self._db.rows(
            "SELECT photos.id, photos.path, photos.sha256, photos.original_name, photos.state, embeddings.vector,"
            " coalesce(embeddings.birdness, latest.birdness) AS birdness, coalesce(embeddings.box, latest.box) AS box"
            f" {_JUDGED_BY_OTHERS.format(', '.join('?' * len(states)))}"
            " AND photos.id > ? ORDER BY photos.id LIMIT ?",
            (spotter_id, *states, model_id, after, limit),
        )

    def count_judged_by_others(self, model_id: int, spotter_id: str, states: Sequence[str]) -> int:
        """How many of these there are."""
        return int(
            self._db.value(
                f"SELECT count(*) {_JUDGED_BY_OTHERS.format(', '.join('?' * len(states)))}",
                (spotter_id, *states, model_id),
            )
        )

    def count_unseen(self, model_id: int, spotter_id: str, states: Sequence[str]) -> int:
        """How many more of these there would be, if this spotter had seen them."""
        return int(
            self._db.value(
                f"SELECT count(*) {_NOT_SEEN_YET.format(', '.join('?' * len(states)))}",
                (*states, model_id, spotter_id),
            )
        )

    def was_named(self, label: str) -> bool:
        """Whether the machine has put, or wanted to put, a photo under this label before."""
        return bool(
            self._db.value(
                "SELECT EXISTS (SELECT 1 FROM predictions WHERE label = ? AND model_id IS NOT NULL"
                " AND (verdict = 'filed' OR reason = 'first-of-its-kind'))",
                (label,),
            )
        )

    # -- inside a transaction

    def _replace(self, model_id: int, at: str) -> None:
        self._retire(at)
        self._db.execute("UPDATE models SET promoted_at = ?, retired_at = NULL WHERE id = ?", (at, model_id))
        self._note_promotion(model_id)

    def _note_promotion(self, model_id: int) -> None:
        self._db.execute("INSERT INTO promotions (model_id) VALUES (?)", (model_id,))

    def _retire(self, at: str) -> None:
        self._db.execute("UPDATE models SET retired_at = ? WHERE promoted_at IS NOT NULL AND retired_at IS NULL", (at,))

    def _end(self, training_id: int, outcome: str, reasons: Sequence[str], at: str) -> None:
        self._db.execute(
            "UPDATE trainings SET finished_at = ?, outcome = ?, reasons = ? WHERE id = ? AND finished_at IS NULL",
            (at, outcome, json.dumps(list(reasons)), training_id),
        )


_LEARNABLE = (
    "FROM current_labels AS said"
    " JOIN photos ON photos.id = said.photo_id"
    " JOIN embeddings ON embeddings.photo_id = photos.id AND embeddings.spotter_id = ?"
    " WHERE photos.state IN ('filed', 'empty', 'review')"
)

_CONFIRMED = "EXISTS (SELECT 1 FROM labels AS old WHERE old.photo_id = said.photo_id AND old.id < said.id AND old.label = said.label)"

_LATEST = (
    " CROSS JOIN predictions AS latest ON latest.id = (SELECT max(id) FROM predictions WHERE photo_id = photos.id)"
)

_BY_OTHERS = (
    " WHERE photos.state IN ({}) AND photos.reason NOT IN ('undone', 'first-of-its-kind') AND latest.model_id IS NOT ?"
    " AND NOT EXISTS (SELECT 1 FROM labels WHERE labels.photo_id = photos.id)"
    " AND NOT EXISTS (SELECT 1 FROM journeys WHERE journeys.photo_id = photos.id)"
)

_JUDGED_BY_OTHERS = (
    f"FROM photos{_LATEST}"
    f" CROSS JOIN embeddings ON embeddings.photo_id = photos.id AND embeddings.spotter_id = ?{_BY_OTHERS}"
)

_NOT_SEEN_YET = (
    f"FROM photos{_LATEST}{_BY_OTHERS}"  # noqa: S608
    " AND NOT EXISTS (SELECT 1 FROM embeddings WHERE embeddings.photo_id = photos.id AND embeddings.spotter_id = ?)"
)
