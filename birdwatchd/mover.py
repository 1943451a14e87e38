"""Plan, move, receipt: the one way in which a photo changes its place.

The plan is in the log before anything is touched. Then the bytes go in one step, never over another file. Then the folders are
synced, and only then the receipt is written. A process that dies in between leaves a journey that `finish` ends, without deciding
anything again.
"""

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from birdwatchd import __version__
from birdwatchd.core import shelving
from birdwatchd.core.errors import PhotoVanished, TransientError
from birdwatchd.core.facts import about
from birdwatchd.core.journey import Advice, Journey, Move
from birdwatchd.core.photo import State
from birdwatchd.edges.files import Files, TargetTaken
from birdwatchd.edges.store import Journeys, Row

log = logging.getLogger(__name__)

LOST = "lost"
"""`photos.reason` of a photo that vanished from our own work folder; `doctor` names it for ever."""

GONE = "gone"
"""`photos.reason` of a photo that a person took away while it was to be moved."""

EASY_NUMBERS = 3


@dataclass(frozen=True, slots=True)
class Carried:
    """Moves that are done, with the names they really got; and what hindered the others, which stay under way."""

    moves: list[Move] = field(default_factory=list)
    trouble: TransientError | None = None


class Mover:
    """The hands of the daemon and of the commands that move photos; only for the holder of the bird folder's lock."""

    def __init__(self, files: Files, journeys: Journeys) -> None:
        self._files = files
        self._journeys = journeys

    def free_target(
        self,
        folder: str,
        original_name: str,
        *,
        sha256: str | None,
        photo_id: int,
        reserved: set[str],
        beside_sidecar: bool = False,
    ) -> str:
        """A name in the folder that nothing has and nobody plans; it is added to `reserved`."""
        numbers = itertools.chain(range(1, EASY_NUMBERS + 1), itertools.count(max(photo_id, EASY_NUMBERS + 1)))
        names = (
            shelving.file_name(original_name, sha256=sha256, photo_id=photo_id, number=number) for number in numbers
        )
        target = next(
            target
            for target in (f"{folder}/{name}" for name in names)
            if not self._files.taken(target)
            and not (beside_sidecar and self._files.taken(f"{target}.json"))
            and target not in reserved
        )
        reserved.add(target)
        return target

    def send(self, photo: Row, folder: str, outcome: State, reason: str, *, plan: Callable[[Move], None]) -> str:
        """Move one photo that rests; returns where it lies then, relative to the bird folder.

        Args:
            photo: its row, with id, path and sha256.
            plan: writes the plan, with whatever belongs into the same transaction.

        Raises:
            TransientError: it stays where it is; the plan is carried out later.
        """
        target = self.free_target(
            folder,
            photo["path"].rpartition("/")[2],
            sha256=photo["sha256"],
            photo_id=photo["id"],
            reserved=self._journeys.targets(),
        )
        move = Move(photo["id"], photo["path"], target, outcome, reason)
        plan(move)
        done = self.carry_out([move], {photo["id"]: self._journeys.get(photo["id"])})
        if done.trouble is not None:
            raise done.trouble
        return done.moves[0].target

    def carry_out(self, moves: Sequence[Move], journeys: Mapping[int, Journey]) -> Carried:
        """Carry out moves whose plans are written; the receipt of all in one transaction.

        Args:
            journeys: by photo, for the sidecars of quarantined files.
        """
        placed: list[Move] = []
        trouble: TransientError | None = None
        for move in moves:
            try:
                placed.append(self._place(move, journeys[move.photo_id]))
            except TransientError as error:
                log.warning("it stays where it is: %s", error, extra=about(photo=move.photo_id))
                trouble = error
        if not placed:
            return Carried([], trouble)
        try:
            self._files.sync([path for move in placed for path in (move.source, move.target)])
            self._journeys.record_receipts(placed)
        except TransientError as error:
            return Carried([], error)
        return Carried(placed, trouble)

    def _place(self, move: Move, journey: Journey) -> Move:
        while True:
            try:
                if self._files.exists(move.source):
                    self._files.place(move.source, move.target)
                elif self._is_at_its_place(move, journey):
                    self._files.place_anew(move.source, move.target)
                else:
                    raise PhotoVanished(f"{shelving.printable(move.source)} is not there any more")
                break
            except TargetTaken:
                folder = move.target.rpartition("/")[0]
                target = self.free_target(
                    folder,
                    journey.original_name,
                    sha256=journey.sha256,
                    photo_id=move.photo_id,
                    reserved=self._journeys.targets(),
                    beside_sidecar=move.advice is not None,
                )
                self._journeys.retarget(move.photo_id, target)
                move = replace(move, target=target)
        if move.advice is not None:
            self._files.write_sidecar(move.target, _sidecar(move, move.advice, journey))
        return move

    def _is_at_its_place(self, move: Move, journey: Journey) -> bool:
        return self._files.exists(move.target) and (
            journey.sha256 is None or self._files.sha256_of(move.target) == journey.sha256
        )

    def finish(self, journeys: Sequence[Journey]) -> Carried:
        """End journeys whose plans are written, wherever each was interrupted."""
        moves: list[Move] = []
        found: list[Move] = []
        trouble: TransientError | None = None
        for journey in journeys:
            try:
                move = self._rest_of(journey)
                if move is not None and move.target != journey.target:
                    self._journeys.record_receipts([move])
                    found.append(move)
                elif move is not None:
                    moves.append(move)
            except TransientError as error:
                trouble = error
        done = self.carry_out(moves, {journey.photo_id: journey for journey in journeys})
        return Carried(found + done.moves, done.trouble or trouble)

    def _rest_of(self, journey: Journey) -> Move | None:
        """What is left of a planned move; with another target when a person carried it out, to a place of their own.

        None when its bytes cannot be found, which ends the journey.
        """
        if journey.target is None or journey.outcome is None:
            raise ValueError(f"photo {journey.photo_id} has no plan yet")
        move = Move(journey.photo_id, journey.source, journey.target, journey.outcome, journey.reason, journey.advice)
        this = about(photo=move.photo_id)
        if self._files.exists(move.source):
            return move
        if self._is_at_its_place(move, journey):
            return move
        found = None if journey.sha256 is None else self._files.find_content(journey.sha256)
        if found is not None and not self._journeys.is_anothers(found, journey.photo_id):
            log.info("it was moved by somebody to %s", shelving.printable(found), extra=this)
            return replace(move, target=found, advice=None)
        if move.source.startswith(shelving.WORK):
            log.error("lost: neither at %s nor at %s", move.source, shelving.printable(move.target), extra=this)
            self._journeys.give_up(move.photo_id, reason=LOST)
        else:
            log.warning("it is not at %s any more", shelving.printable(move.source), extra=this)
            self._journeys.give_up(move.photo_id, reason=GONE)
        return None


def _sidecar(move: Move, advice: Advice, journey: Journey) -> dict[str, object]:
    return {
        "file": move.target.rpartition("/")[2],
        "reason": move.reason,
        "what_was_wrong": advice.what,
        "what_to_do": advice.do,
        "original_name": journey.original_name,
        "camera": journey.camera,
        "received_at": journey.received_at,
        "sha256": journey.sha256,
        "photo_id": move.photo_id,
        "written_by": f"birdwatchd {__version__}",
    }
