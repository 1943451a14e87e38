"""One photo's journey, told top to bottom.

    settled inbox file -> claim -> read and hash -> twin? -> decode and look -> decide -> plan -> move -> receipt

`take` begins journeys, `resume` ends those that a crash, a full disk or a missing spotter cut short. Both go through the same steps;
both can be repeated at any time. Photos travel in small batches, because three synced commits for sixteen photos cost as much as
three for one; nothing is reported as filed before its receipt is on the disk.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from birdwatchd.core import deciding, shelving
from birdwatchd.core.deciding import Decision, Reason, Rules
from birdwatchd.core.errors import Crashed, ModelError, NotAllowed, PhotoError, PhotoVanished, TransientError
from birdwatchd.core.intake import camera_of
from birdwatchd.core.journey import MAX_ATTEMPTS, Advice, Claim, Journey, Move
from birdwatchd.core.photo import Stamp, State
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Decided, Store, work_path
from birdwatchd.examining import Examined, Examiner, content_hash
from birdwatchd.mover import Mover

log = logging.getLogger(__name__)

BATCH_PHOTOS = 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one journey ended; becomes one line of the daemon's log and one row of a summary."""

    photo_id: int
    original_name: str
    state: State
    path: str
    reason: str | None
    label: str | None = None
    probability: float | None = None
    birdness: float | None = None
    took_ms: float | None = None
    what: str | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """What one call could do, and what it could not.

    Attributes:
        outcomes: the journeys that ended.
        refused: inbox files that may not be taken, with why; their own trouble and nobody else's.
        trouble: something that concerns more than one photo, such as a full disk; what was begun is ended by `resume`.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    trouble: TransientError | ModelError | None = None


class Pipeline:
    """The daemon's hands and eyes, for one bird folder; only for the holder of its lock.

    Args:
        examiner: None while there is no spotter that can be trusted; then nothing is claimed, and `resume` only ends what is decided.
        now: the time of the wall clock as ISO-8601 UTC.
    """

    def __init__(
        self, files: Files, store: Store, examiner: Examiner | None, rules: Rules, *, now: Callable[[], str]
    ) -> None:
        self._files = files
        self._journeys = store.journeys
        self._mover = Mover(files, store.journeys)
        self._rules = rules
        self._now = now
        self.examiner = examiner
        self._survivors: set[int] = set()

    def take(self, settled: Sequence[tuple[str, Stamp]]) -> Round:
        """Take settled inbox files on their whole journey.

        Args:
            settled: inbox path and the stamp under which it was found settled, at most `BATCH_PHOTOS` at a time.

        Returns:
            Files that vanished or changed meanwhile are simply not in it.

        Raises:
            TransientError: the log refused; nothing was touched.
        """
        if self.examiner is None:
            return Round()
        claims = [Claim(path, stamp, camera_of(path), self._now()) for path, stamp in settled]
        ids = self._journeys.record_claims(claims)
        taken: list[tuple[int, Claim]] = []
        not_taken: list[int] = []
        refused: dict[str, str] = {}
        trouble: TransientError | ModelError | None = None
        for photo_id, claim in zip(ids, claims, strict=True):
            try:
                self._files.claim(claim.inbox_path, claim.stamp, work_path(photo_id))
                taken.append((photo_id, claim))
                continue
            except PhotoVanished as error:
                log.info("not taken: %s", error.message)
            except NotAllowed as error:
                refused[claim.inbox_path] = str(error)
            except TransientError as error:
                trouble = error
            if not self._files.exists(work_path(photo_id)):  # else `resume` goes on with it
                not_taken.append(photo_id)
        if not_taken:
            self._journeys.withdraw_claims(not_taken)
        journeys = [_begun(photo_id, claim) for photo_id, claim in taken]
        try:
            self._files.sync([path for one in journeys for path in (one.source, f"{shelving.INBOX}/{one.inbox_path}")])
        except TransientError as error:
            self._interrupted(journeys)
            return Round([], refused, error)
        done = self._work(journeys)
        return Round(done.outcomes, refused, done.trouble or trouble)

    def resume(self, *, alive: Callable[[], None] = lambda: None) -> Round:
        """End every journey that was cut short, and clear the work folder. May be repeated; does nothing when all is in order.

        Args:
            alive: is called after each journey, for whoever waits.
        """
        outcomes: list[Outcome] = []
        trouble: TransientError | ModelError | None = None
        journeys = self._journeys.under_way()
        self._clear_work_folder({journey.source for journey in journeys})
        for journey in journeys:
            try:
                done = self._resume(journey)
            except TransientError as error:
                done = Round(trouble=error)
            outcomes += done.outcomes
            trouble = done.trouble or trouble
            alive()
        return Round(outcomes, {}, trouble)

    def look_after_strays(self, held_paths: Sequence[str]) -> None:
        """Originals on another disk that kept the hidden name of a claim which ended while their disk was away."""
        for path in held_paths:
            try:
                twin, _ = self._kept_twin(self._files.sha256_of(f"{shelving.INBOX}/{path}"))
                self._files.release_stray(path, remove=twin is not None)
            except TransientError as error:
                log.warning("%s keeps its hidden name for now: %s", shelving.printable(path), error)

    def has_unfinished(self) -> bool:
        """Whether `resume` has something to do."""
        return self._journeys.under_way_count() > 0 or bool(self._files.work_files())

    def _resume(self, journey: Journey) -> Round:
        if journey.target is not None:
            move = self._mover.finish(journey)
            return Round() if move is None else Round([_outcome(journey, move)])
        if not self._files.exists(journey.source):
            self._files.release(journey.inbox_path, journey.source, copied_as=None)
            self._journeys.withdraw_claims([journey.photo_id])
            return Round()
        return self._resume_claimed(journey)

    def _resume_claimed(self, journey: Journey) -> Round:
        self._files.release(journey.inbox_path, journey.source, copied_as=self._files.sha256_of(journey.source))
        if self.examiner is None and journey.attempts < MAX_ATTEMPTS:
            return Round()
        if journey.photo_id not in self._survivors:
            if journey.attempts >= MAX_ATTEMPTS:
                return self._work([journey], refuse=Crashed("birdwatchd stopped twice while it read this file"))
            self._journeys.count_attempt(journey.photo_id)
        return self._work([journey])

    def _clear_work_folder(self, known: set[str]) -> None:
        for path in self._files.work_files():
            if path in known:
                continue
            if path.endswith(".part"):  # an unfinished copy; its original was never removed
                self._files.drop_litter(path)
            else:
                wanted = f"recovered-{path.rpartition('/')[2]}{self._files.suffix_of(path)}"
                name = self._files.give_back(path, wanted)
                log.warning("the log does not know %s; it is back in the inbox as %s", path, name)

    def _work(self, journeys: Sequence[Journey], *, refuse: PhotoError | None = None) -> Round:
        """From the work folder to the receipt, for a batch. One that cannot be worked on now does not hold up the others."""
        decided: list[Decided] = []
        missing: list[int] = []
        words: dict[int, str] = {}
        about: dict[int, Journey] = {}
        on_their_way: set[str] = set()
        reserved = self._journeys.targets()
        trouble: TransientError | ModelError | None = None
        for journey in journeys:
            try:
                one, gone, what = self._decide(journey, refuse, on_their_way, reserved)
            except PhotoVanished as error:
                log.info("given back to the inbox: %s", error.message)
                trouble = self._give_back(journey) or trouble
            except (TransientError, ModelError) as error:
                trouble = error
                self._interrupted([journey])
            else:
                decided.append(one)
                missing += gone
                words[journey.photo_id] = what
                about[journey.photo_id] = replace(journey, sha256=one.sha256, camera=one.camera)
                if one.sha256 is not None and one.decision is not None:
                    on_their_way.add(one.sha256)
        if not decided:
            return Round(trouble=trouble)
        try:
            self._journeys.record_decisions(decided, missing)
            moves = self._mover.carry_out([one.move for one in decided], about)
        except TransientError as error:
            self._interrupted(list(about.values()))
            return Round(trouble=error)
        self._survivors.difference_update(move.photo_id for move in moves)
        by_id = {one.move.photo_id: one for one in decided}
        outcomes = [_outcome(about[move.photo_id], move, by_id[move.photo_id], words[move.photo_id]) for move in moves]
        return Round(outcomes, {}, trouble)

    def _give_back(self, journey: Journey) -> TransientError | None:
        """Into the inbox again, as if it had never been claimed; what hindered that, if anything did."""
        try:
            self._files.give_back(journey.source, journey.inbox_path)
            self._journeys.withdraw_claims([journey.photo_id])
        except TransientError as error:
            self._interrupted([journey])
            return error
        return None

    def _interrupted(self, journeys: Sequence[Journey]) -> None:
        """Work stopped, but this process lives: what was begun must not count as if the photo had killed it."""
        ids = [journey.photo_id for journey in journeys]
        self._survivors.update(ids)
        try:
            self._journeys.record_survival(ids)
        except TransientError as error:
            log.warning("could not note that work was only interrupted: %s", error)

    def _decide(
        self, journey: Journey, refuse: PhotoError | None, on_their_way: set[str], reserved: set[str]
    ) -> tuple[Decided, list[int], str]:
        """Everything that can be said of one photo; touches nothing but its thumbnail."""
        begun = time.perf_counter()
        sha256: str | None = None
        examined: Examined | None = None
        decision: Decision | None = None
        advice: Advice | None = None
        gone: list[int] = []
        size_bytes = journey.stamp.size_bytes if journey.stamp else 0
        try:
            data = self._files.read(journey.source, max_bytes=self._max_bytes())
            sha256, size_bytes = content_hash(data), len(data)
            if journey.stamp is not None and not self._files.is_as_claimed(journey.source, journey.stamp):
                raise PhotoVanished(f"{journey.original_name} was written to after it was taken")
            if refuse is not None:
                raise refuse
            twin, gone = self._kept_twin(sha256)
            if twin is not None or sha256 in on_their_way:
                outcome, reason = State.DUPLICATE, str(Reason.SAME_BYTES)
                what = f"the same bytes as {twin}" if twin else "the same bytes as a photo that came with it"
            else:
                examined = self._examine(data)
                decision = deciding.judge(examined.spotting, self._rules)
                outcome, reason = decision.outcome, str(decision.reason)
                what = deciding.IN_WORDS[decision.reason]
                self._files.write_thumbnail(sha256, examined.thumbnail)
        except PhotoError as error:
            outcome, reason, what = State.QUARANTINED, error.reason, error.message
            advice = Advice(error.message, error.hint)
        target = self._mover.free_target(
            shelving.folder_of(outcome, label=decision.label if decision else None, reason=reason),
            journey.original_name,
            sha256=sha256,
            photo_id=journey.photo_id,
            reserved=reserved,
            beside_sidecar=advice is not None,
        )
        decided = Decided(
            move=Move(journey.photo_id, journey.source, target, outcome, reason, advice),
            sha256=sha256,
            size_bytes=size_bytes,
            width_px=examined.width_px if examined else None,
            height_px=examined.height_px if examined else None,
            captured_at=examined.shot.captured_at if examined else None,
            camera=journey.camera or (examined.shot.camera if examined else None),
            spotting=examined.spotting if examined else None,
            decision=decision,
            decided_at=self._now(),
            took_ms=(time.perf_counter() - begun) * 1000,
        )
        return decided, gone, what

    def _examine(self, data: bytes) -> Examined:
        if self.examiner is None:
            raise ModelError("there is no spotter to look with")
        return self.examiner.examine(data)

    def _max_bytes(self) -> int:
        return self.examiner.limits.max_bytes if self.examiner else 1 << 28

    def _kept_twin(self, sha256: str) -> tuple[str | None, list[int]]:
        """Path of a photo of the same content that is still there, if any; and the photos that turn out to be gone."""
        gone: list[int] = []
        for twin in self._journeys.twins(sha256):
            if (there := next(filter(self._files.exists, twin.paths), None)) is not None:
                return there, gone
            if moved := self._files.find_content(sha256):
                return moved, gone
            gone.append(twin.photo_id)
        return None, gone


def _begun(photo_id: int, claim: Claim) -> Journey:
    return Journey(
        photo_id=photo_id,
        source=work_path(photo_id),
        target=None,
        outcome=None,
        reason=None,
        advice=None,
        attempts=1,
        sha256=None,
        original_name=shelving.printable(claim.inbox_path.rsplit("/", 1)[-1]),
        received_at=claim.received_at,
        camera=None if claim.camera is None else shelving.printable(claim.camera),
        inbox_path=claim.inbox_path,
        stamp=claim.stamp,
    )


def _outcome(journey: Journey, move: Move, decided: Decided | None = None, what: str | None = None) -> Outcome:
    decision = decided.decision if decided else None
    return Outcome(
        photo_id=move.photo_id,
        original_name=journey.original_name,
        state=move.outcome,
        path=move.target,
        reason=move.reason,
        label=decision.label if decision else None,
        probability=decision.probability if decision else None,
        birdness=decision.birdness if decision else None,
        took_ms=decided.took_ms if decided else None,
        what=what,
    )
