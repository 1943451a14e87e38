"""Photos under way: claim, decision, receipt. Each method is one transaction, for as many photos as are at hand."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from birdwatchd.core import shelving
from birdwatchd.core.deciding import Decision, birds_of
from birdwatchd.core.journey import Advice, Claim, Journey, Move, may_become
from birdwatchd.core.photo import Bird, Box, Spotting, Stamp, State
from birdwatchd.core.visiting import Word
from birdwatchd.edges.store.connection import Connection, Row


@dataclass(frozen=True, slots=True)
class Decided:
    """All that is written when a photo's fate is fixed.

    Attributes:
        sha256: None for a file too big to be read.
        spotting, decision: None when it was not looked at: a duplicate, or no picture.
        took_ms: from the first byte read to the decision.
    """

    move: Move
    sha256: str | None
    size_bytes: int
    width_px: int | None
    height_px: int | None
    captured_at: str | None
    camera: str | None
    spotting: Spotting | None
    decision: Decision | None
    decided_at: str
    took_ms: float


@dataclass(frozen=True, slots=True)
class Twin:
    """A photo that the log knows with the same content, and where it may be: at its place, or on the way to it."""

    photo_id: int
    paths: tuple[str, ...]
    state: State


@dataclass(frozen=True, slots=True)
class Said:
    """A human word that is written together with the move it asks for."""

    label: str | None
    source: str
    actor: str | None
    at: str


@dataclass(frozen=True, slots=True)
class MovedByHand:
    """A photo that a person moved: where it lies now, what that makes of it, and the word that is in it, if one is."""

    photo_id: int
    path: str
    state: State
    reason: str | None
    said: Said | None


def work_path(photo_id: int) -> str:
    """Where a claimed photo's bytes are, relative to the bird folder."""
    return f"{shelving.WORK}/{photo_id}"


class Journeys:
    """The rows of photos on their way. Only the holder of the bird folder's lock writes here."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def record_claims(self, claims: Sequence[Claim]) -> list[int]:
        """Announce that these inbox files are about to be taken, each for its first attempt; returns their photo ids."""
        ids: list[int] = []
        with self._db.writing():
            for claim in claims:
                name = claim.inbox_path.rsplit("/", 1)[-1]
                cursor = self._db.execute(
                    "INSERT INTO photos (original_name, camera, received_at, bytes, path, state) VALUES (?, ?, ?, ?, '', ?)",
                    (
                        shelving.printable(name),
                        None if claim.camera is None else shelving.printable(claim.camera),
                        claim.received_at,
                        claim.stamp.size_bytes,
                        State.CLAIMED,
                    ),
                )
                photo_id = int(cursor.lastrowid or 0)
                self._db.execute("UPDATE photos SET path = ? WHERE id = ?", (work_path(photo_id), photo_id))
                stamp = claim.stamp
                self._db.execute(
                    "INSERT INTO journeys (photo_id, source, attempts, inbox_path, device, inode, size_bytes, mtime_ns, ctime_ns)"
                    " VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?)",
                    (
                        photo_id,
                        work_path(photo_id),
                        os.fsencode(claim.inbox_path),
                        stamp.device,
                        stamp.inode,
                        stamp.size_bytes,
                        stamp.mtime_ns,
                        stamp.ctime_ns,
                    ),
                )
                ids.append(photo_id)
        return ids

    def withdraw_claims(self, photo_ids: Iterable[int]) -> None:
        """Forget claims whose files never left the inbox, or went back."""
        with self._db.writing():
            for photo_id in photo_ids:
                self._db.execute("DELETE FROM journeys WHERE photo_id = ?", (photo_id,))
                self._db.execute("DELETE FROM photos WHERE id = ? AND state = ?", (photo_id, State.CLAIMED))

    def count_attempt(self, photo_id: int) -> None:
        """Note, before work begins, that it is begun once more."""
        with self._db.writing():
            self._db.execute("UPDATE journeys SET attempts = attempts + 1 WHERE photo_id = ?", (photo_id,))

    def record_decisions(self, decided: Sequence[Decided], missing: Iterable[int] = ()) -> None:
        """Fix what becomes of claimed photos, and where they go. From here on nothing is decided again.

        Args:
            missing: photos of the same content that turned out to be no longer there.
        """
        with self._db.writing():
            self._mark_missing(missing)
            for one in decided:
                photo_id = one.move.photo_id
                self._step(photo_id, State.DECIDED, one.move.reason)
                self._db.execute(
                    "UPDATE photos SET sha256 = ?, bytes = ?, width_px = ?, height_px = ?, captured_at = ?, camera = ? WHERE id = ?",
                    (one.sha256, one.size_bytes, one.width_px, one.height_px, one.captured_at, one.camera, photo_id),
                )
                self._db.execute(
                    "UPDATE journeys SET target = ?, outcome = ?, reason = ?, advice = ? WHERE photo_id = ?",
                    (one.move.target, one.move.outcome, one.move.reason, _advice_text(one.move.advice), photo_id),
                )
                if one.spotting is not None and one.spotting.is_number:
                    self._keep_embedding(photo_id, one.spotting)
                if one.spotting is not None and one.decision is not None:
                    self._keep_prediction(photo_id, one.spotting.spotter_id, one.decision, one.decided_at, one.took_ms)
                    self._keep_others(photo_id, one.spotting.spotter_id, birds_of(one.spotting, one.decision)[1:])

    def record_import(self, decided: Decided, said: Said, *, original_name: str, received_at: str) -> int:
        """Enter a photo that a person brought with its name: row, label, embedding and plan at once; returns its id.

        `decided.move.photo_id` is ignored: the row is made here. One that lies at its target already rests there at once.
        """
        move = decided.move
        rests = move.source == move.target
        with self._db.writing():
            cursor = self._db.execute(
                "INSERT INTO photos (sha256, original_name, received_at, captured_at, width_px, height_px, bytes, path, state, reason)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    decided.sha256,
                    shelving.printable(original_name),
                    received_at,
                    decided.captured_at,
                    decided.width_px,
                    decided.height_px,
                    decided.size_bytes,
                    move.source,
                    move.outcome if rests else State.DECIDED,
                    move.reason,
                ),
            )
            photo_id = int(cursor.lastrowid or 0)
            if not rests:
                self._db.execute(
                    "INSERT INTO journeys (photo_id, source, target, outcome, reason, attempts) VALUES (?, ?, ?, ?, ?, 1)",
                    (photo_id, move.source, move.target, move.outcome, move.reason),
                )
            if decided.spotting is not None and decided.spotting.is_number:
                self._keep_embedding(photo_id, decided.spotting)
                if said.label != shelving.NO_BIRD:
                    self._keep_others(photo_id, decided.spotting.spotter_id, decided.spotting.others)
            self._add_label(photo_id, said)
        return photo_id

    def record_look(self, photo_id: int, spotting: Spotting, *, with_others: bool) -> None:
        """Keep what a spotter sees in a photo that was decided on long ago; said again, it changes nothing.

        Args:
            with_others: whether further birds count, which they do not in a photo without a bird.
        """
        with self._db.writing():
            if spotting.is_number and not self._db.value(
                "SELECT EXISTS (SELECT 1 FROM embeddings WHERE photo_id = ? AND spotter_id = ?)",
                (photo_id, spotting.spotter_id),
            ):
                self._keep_embedding(photo_id, spotting)
                self._keep_others(photo_id, spotting.spotter_id, spotting.others if with_others else ())

    def record_relocation(self, move: Move, said: Said | None) -> None:
        """Plan to move a photo that rests, with the human word that asks for it, if one does.

        A plan that could not be carried out yet is replaced; a word that was written with it is not written twice.
        """
        with self._db.writing():
            state = State(self._db.value("SELECT state FROM photos WHERE id = ?", (move.photo_id,)))
            if not may_become(state, move.outcome):
                raise ValueError(f"photo {move.photo_id} is {state}; it cannot become {move.outcome}")
            again = self._db.value("SELECT photo_id FROM journeys WHERE photo_id = ?", (move.photo_id,))
            self._db.execute(
                "INSERT INTO journeys (photo_id, source, target, outcome, reason) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (photo_id) DO UPDATE SET source = excluded.source, target = excluded.target,"
                " outcome = excluded.outcome, reason = excluded.reason",
                (move.photo_id, move.source, move.target, move.outcome, move.reason),
            )
            if said is not None and (again is None or self._latest_label(move.photo_id) != said.label):
                self._add_label(move.photo_id, said)

    def record_judged_again(
        self, spotter_id: str, decision: Decision, move: Move | None, photo_id: int, at: str
    ) -> None:
        """What a model says of a photo that was judged before, and the plan to move it, if it moves.

        What the same model said of it once is replaced: its last word is the newest row.
        """
        with self._db.writing():
            self._db.execute(  # else it would count for the next row, which may get the same id
                "DELETE FROM visit_words WHERE photo_id = ?1"
                " AND prediction_id IN (SELECT id FROM predictions WHERE photo_id = ?1 AND model_id = ?2)",
                (photo_id, decision.model_id),
            )
            self._db.execute(
                "DELETE FROM predictions WHERE photo_id = ? AND model_id = ?", (photo_id, decision.model_id)
            )
            self._keep_prediction(photo_id, spotter_id, decision, at, 0.0)
            if move is None:
                self._db.execute("UPDATE photos SET reason = ? WHERE id = ?", (decision.reason, photo_id))
                return
            self._db.execute(
                "INSERT INTO journeys (photo_id, source, target, outcome, reason) VALUES (?, ?, ?, ?, ?)",
                (photo_id, move.source, move.target, move.outcome, move.reason),
            )

    def record_word_of_company(self, photo_id: int, prediction_id: int, word: Word, move: Move | None, at: str) -> None:
        """What other photos of the same camera tell of this one, and the plan to move it, if it moves.

        What was told earlier of what it told by itself is replaced. The time stays while verdict and label do.

        Args:
            prediction_id: what the photo told by itself; when that is no longer the last, the word does not count any more.
        """
        with self._db.writing():
            self._db.execute(
                "INSERT INTO visit_words (photo_id, prediction_id, verdict, reason, label, probability, said_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (photo_id, prediction_id) DO UPDATE SET said_at ="
                " CASE WHEN (verdict, label) IS (excluded.verdict, excluded.label) THEN said_at ELSE excluded.said_at END,"
                " verdict = excluded.verdict, reason = excluded.reason, label = excluded.label, probability = excluded.probability",
                (photo_id, prediction_id, word.outcome, word.reason, word.label, word.probability, at),
            )
            if move is None:
                self._db.execute("UPDATE photos SET reason = ? WHERE id = ?", (word.reason, photo_id))
                return
            self._db.execute(
                "INSERT INTO journeys (photo_id, source, target, outcome, reason) VALUES (?, ?, ?, ?, ?)",
                (photo_id, move.source, move.target, move.outcome, move.reason),
            )

    def record_label(self, photo_id: int, said: Said) -> None:
        """A human word about a photo that lies in the right place already. A plan to move it from there that could not be carried out
        yet is called off: it was for another word."""
        with self._db.writing():
            self._db.execute(
                "DELETE FROM journeys WHERE photo_id = ?1 AND source = (SELECT path FROM photos WHERE id = ?1)",
                (photo_id,),
            )
            self._add_label(photo_id, said)

    def retarget(self, photo_id: int, target: str) -> None:
        """The planned name was taken meanwhile: plan another."""
        with self._db.writing():
            self._db.execute("UPDATE journeys SET target = ? WHERE photo_id = ?", (target, photo_id))

    def give_up(self, photo_id: int, *, reason: str) -> None:
        """End a journey whose bytes are nowhere that we know."""
        with self._db.writing():
            self._db.execute("UPDATE photos SET state = ?, reason = ? WHERE id = ?", (State.MISSING, reason, photo_id))
            self._db.execute("DELETE FROM journeys WHERE photo_id = ?", (photo_id,))

    def record_receipts(self, moves: Sequence[Move]) -> None:
        """The bytes are where they were to go."""
        with self._db.writing():
            for move in moves:
                self._step(move.photo_id, move.outcome, move.reason)
                self._db.execute("UPDATE photos SET path = ? WHERE id = ?", (move.target, move.photo_id))
                self._db.execute("DELETE FROM journeys WHERE photo_id = ?", (move.photo_id,))

    def record_missing(self, photo_ids: Iterable[int]) -> None:
        """Photos that are not where they were put, nor anywhere we know."""
        with self._db.writing():
            self._mark_missing(photo_ids)

    def record_found(self, photo_id: int, path: str) -> None:
        """A person moved this photo; it lies here now."""
        with self._db.writing():
            self._db.execute("UPDATE photos SET path = ? WHERE id = ?", (path, photo_id))

    def record_moves_by_hand(self, moves: Iterable[MovedByHand]) -> None:
        """People moved these photos, each to a place that says something or nothing. Photos under way are passed over."""
        with self._db.writing():
            for move in moves:
                if self._db.value("SELECT photo_id FROM journeys WHERE photo_id = ?", (move.photo_id,)) is not None:
                    continue
                reason = self._db.value("SELECT reason FROM photos WHERE id = ?", (move.photo_id,))
                self._step(move.photo_id, move.state, move.reason if move.said is not None else reason)
                self._db.execute("UPDATE photos SET path = ? WHERE id = ?", (move.path, move.photo_id))
                if move.said is not None:
                    self._add_label(move.photo_id, move.said)

    def get(self, photo_id: int) -> Journey:
        """One journey that is not finished."""
        (row,) = self._db.rows(f"{_JOURNEYS} WHERE journeys.photo_id = ?", (photo_id,))
        return _journey(row)

    def under_way(self) -> list[Journey]:
        """Every journey that is not finished, oldest first."""
        return [_journey(row) for row in self._db.rows(f"{_JOURNEYS} ORDER BY journeys.photo_id")]

    def under_way_count(self) -> int:
        """How many journeys are not finished."""
        return int(self._db.value("SELECT count(*) FROM journeys"))

    def targets(self) -> set[str]:
        """Names that are planned but may not be taken yet."""
        return {row["target"] for row in self._db.rows("SELECT target FROM journeys WHERE target IS NOT NULL")}

    def twins(self, sha256: str) -> list[Twin]:
        """Photos of the same content that are kept or on their way to it; those in quarantine do not count."""
        found = self._db.rows(
            "SELECT photos.id, photos.path, journeys.target, photos.state FROM photos"
            " LEFT JOIN journeys ON journeys.photo_id = photos.id WHERE sha256 = ? AND (state IN ('filed', 'review', 'empty')"
            " OR (state = 'decided' AND journeys.outcome IN ('filed', 'review', 'empty'))) ORDER BY photos.id",
            (sha256,),
        )
        return [Twin(row["id"], (row["path"], *filter(None, [row["target"]])), State(row["state"])) for row in found]

    def is_anothers(self, path: str, photo_id: int) -> bool:
        """Whether another photo lies at this place, or is planned to."""
        other = "SELECT id FROM photos WHERE path = ? AND state <> 'missing' UNION SELECT photo_id FROM journeys WHERE target = ?"
        return any(row["id"] != photo_id for row in self._db.rows(other, (path, path)))

    # -- inside a transaction

    def _step(self, photo_id: int, state: State, reason: str | None) -> None:
        now = State(self._db.value("SELECT state FROM photos WHERE id = ?", (photo_id,)))
        if now is not state and not may_become(now, state):
            raise ValueError(f"photo {photo_id} is {now}; it cannot become {state}")
        self._db.execute("UPDATE photos SET state = ?, reason = ? WHERE id = ?", (state, reason, photo_id))

    def _mark_missing(self, photo_ids: Iterable[int]) -> None:
        for photo_id in photo_ids:
            self._db.execute("UPDATE photos SET state = ? WHERE id = ?", (State.MISSING, photo_id))

    def _keep_embedding(self, photo_id: int, spotting: Spotting) -> None:
        self._db.execute(
            "INSERT INTO embeddings (photo_id, spotter_id, vector, box, birdness) VALUES (?, ?, ?, ?, ?)",
            (
                photo_id,
                spotting.spotter_id,
                spotting.embedding.astype("<f4").tobytes(),
                _box_text(spotting.box),
                spotting.birdness,
            ),
        )

    def _keep_others(self, photo_id: int, spotter_id: str, others: Sequence[Bird]) -> None:
        """The birds beside the main one. What the same spotter saw there before is replaced: it may see fewer now."""
        self._db.execute("DELETE FROM other_birds WHERE photo_id = ? AND spotter_id = ?", (photo_id, spotter_id))
        for number, bird in enumerate(others, start=2):
            self._db.execute(
                "INSERT INTO other_birds (photo_id, spotter_id, number, box, birdness) VALUES (?, ?, ?, ?, ?)",
                (photo_id, spotter_id, number, _box_text(bird.box), bird.birdness),
            )

    def _keep_prediction(self, photo_id: int, spotter_id: str, decision: Decision, at: str, took_ms: float) -> None:
        self._db.execute(
            "INSERT INTO predictions (photo_id, model_id, spotter_id, label, probability, top, birdness, novelty, box, verdict,"
            " reason, predicted_at, took_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                photo_id,
                decision.model_id,
                spotter_id,
                decision.label,
                decision.probability,
                json.dumps([[label, round(p, 6)] for label, p in decision.ranking]),
                decision.birdness,
                decision.novelty,
                _box_text(decision.box),
                decision.outcome,
                decision.reason,
                at,
                round(took_ms, 2),
            ),
        )

    def _add_label(self, photo_id: int, said: Said) -> None:
        self._db.execute(
            "INSERT INTO labels (photo_id, label, previous, source, actor, labelled_at) VALUES (?, ?, ?, ?, ?, ?)",
            (photo_id, said.label, self._latest_label(photo_id), said.source, said.actor, said.at),
        )

    def _latest_label(self, photo_id: int) -> str | None:
        label = self._db.value("SELECT label FROM labels WHERE photo_id = ? ORDER BY id DESC LIMIT 1", (photo_id,))
        return None if label is None else str(label)


_JOURNEYS = (
    "SELECT journeys.*, photos.sha256, photos.original_name, photos.received_at, photos.camera FROM journeys"
    " CROSS JOIN photos ON photos.id = journeys.photo_id"  # CROSS: the few journeys first, whatever SQLite guesses
)


def _box_text(box: Box) -> str:
    return json.dumps([box.x, box.y, box.width, box.height])


def _advice_text(advice: Advice | None) -> str | None:
    return None if advice is None else json.dumps({"what": advice.what, "do": advice.do})


def _journey(row: Row) -> Journey:
    stamp: Any = (row["device"], row["inode"], row["size_bytes"], row["mtime_ns"], row["ctime_ns"])
    return Journey(
        photo_id=row["photo_id"],
        source=row["source"],
        target=row["target"],
        outcome=None if row["outcome"] is None else State(row["outcome"]),
        reason=row["reason"],
        advice=None if row["advice"] is None else Advice(**json.loads(row["advice"])),
        attempts=row["attempts"],
        sha256=row["sha256"],
        original_name=row["original_name"],
        received_at=row["received_at"],
        camera=row["camera"],
        inbox_path=os.fsdecode(row["inbox_path"] or b""),
        stamp=None if row["device"] is None else Stamp(*stamp),
    )
