"""One photo's journey, told top to bottom.

    settled inbox file -> claim -> read and hash -> twin? -> decode and look -> decide -> plan -> move -> receipt

`take` begins journeys, `resume` ends those that a crash, a full disk or a missing spotter cut short. Both go through the same steps;
both can be repeated at any time. Photos travel in small batches, because three synced commits for sixteen photos cost as much as
three for one; nothing is reported as filed before its receipt is on the disk.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from birdwatchd.core import shelving
from birdwatchd.core.deciding import Rules, birds_of
from birdwatchd.core.errors import Crashed, ModelError, NotAllowed, PhotoError, PhotoVanished, TransientError
from birdwatchd.core.facts import about
from birdwatchd.core.intake import camera_of
from birdwatchd.core.journey import MAX_ATTEMPTS, Claim, Journey, Move
from birdwatchd.core.photo import Stamp, State
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store, work_path
from birdwatchd.examining import Examiner
from birdwatchd.mover import Carried, Mover
from birdwatchd.triage import Triage, Verdict

log = logging.getLogger(__name__)

BATCH_PHOTOS = 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one journey ended; becomes one line of the daemon's log and one row of a summary.

    Attributes:
        birds: how many are in the photo; None when it was not looked at now.
    """

    photo_id: int
    original_name: str
    state: State
    path: str
    reason: str | None
    label: str | None = None
    probability: float | None = None
    birdness: float | None = None
    birds: int | None = None
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

    @classmethod
    def of(cls, rounds: Iterable["Round"]) -> "Round":
        """Several as one; the last trouble counts."""
        whole = cls()
        for one in rounds:
            whole = cls(whole.outcomes + one.outcomes, whole.refused | one.refused, one.trouble or whole.trouble)
        return whole


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
        self._triage = Triage(files, store.journeys, store.models, self._mover, examiner, rules, now=now)
        self._now = now

    @property
    def examiner(self) -> Examiner | None:
        """What looks at photos, while there is something that can be trusted."""
        return self._triage.examiner

    @examiner.setter
    def examiner(self, examiner: Examiner | None) -> None:
        self._triage.examiner = examiner

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
                log.info("not taken: %s", error.message, extra=about(photo=photo_id))
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
            return Round([], refused, error)
        return Round.of([Round([], refused, trouble), self._work(journeys)])

    def resume(
        self, *, alive: Callable[[], None] = lambda: None, stopping: Callable[[], bool] = lambda: False
    ) -> Round:
        """End every journey that was cut short, and clear the work folder. May be repeated; does nothing when all is in order.

        Args:
            alive: is called after each batch, for whoever waits.
            stopping: asked before each batch; what is left then is for the next process.
        """
        journeys = self._journeys.under_way()
        self._clear_work_folder({journey.source for journey in journeys})
        return Round.of(self._resume(journeys, alive, stopping))

    def _resume(
        self, journeys: Sequence[Journey], alive: Callable[[], None], stopping: Callable[[], bool]
    ) -> Iterator[Round]:
        for batch in _batches([journey for journey in journeys if journey.target is not None], stopping):
            yield self._finished(batch, self._mover.finish(batch))
            alive()
        here: list[Journey] = []
        for journey in (journey for journey in journeys if journey.target is None):
            try:
                here += [journey] if self._is_here(journey) else []
            except TransientError as error:
                yield Round(trouble=error)
        in_hand = self._files.in_hand()
        suspects = [journey for journey in here if in_hand is None or journey.photo_id in in_hand]
        killers = [journey for journey in suspects if journey.attempts >= MAX_ATTEMPTS]
        for batch in _batches(killers, stopping):
            yield self._work(batch, refuse=Crashed("birdwatchd stopped twice while it read this file"))
        if self.examiner is None:
            return
        for journey in (journey for journey in suspects if journey not in killers):
            if stopping():
                return
            yield self._work([journey], alone=True)  # to its receipt, before the next one may kill: it was counted
            alive()
        for batch in _batches([journey for journey in here if journey not in suspects], stopping):
            yield self._work(batch)
            alive()

    def _is_here(self, journey: Journey) -> bool:
        """Whether a claimed photo is in the work folder, with its original out of the way; else the claim is forgotten."""
        here = self._files.exists(journey.source)
        self._files.release(journey.inbox_path, journey.source)
        if not here:
            self._journeys.withdraw_claims([journey.photo_id])
        return here

    def look_after_strays(self, held_paths: Sequence[str]) -> None:
        """Originals on another disk that kept the hidden name of a claim which ended while their disk was away."""
        for path in held_paths:
            try:
                twin, _ = self._triage.kept_twin(self._files.sha256_of(f"{shelving.INBOX}/{path}"))
                self._files.release_stray(path, remove=twin is not None)
            except TransientError as error:
                log.warning("%s keeps its hidden name for now: %s", shelving.printable(path), error)

    def has_unfinished(self) -> bool:
        """Whether `resume` has something to do."""
        return self._journeys.under_way_count() > 0 or bool(self._files.work_files())

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

    def _work(self, journeys: Sequence[Journey], *, refuse: PhotoError | None = None, alone: bool = False) -> Round:
        """From the work folder to the receipt, for a batch. One that cannot be worked on now does not hold up the others.

        Args:
            alone: any of them may have killed a process before: they are looked at one by one, and each is counted first.
        """
        verdicts: list[Verdict] = []
        trouble: TransientError | ModelError | None = None
        try:
            for one in self._triage.assess(journeys, refuse=refuse, before_each=self._count_attempt if alone else None):
                if isinstance(one, Verdict):
                    verdicts.append(one)
                elif isinstance(one.why, PhotoVanished):
                    log.info("given back to the inbox: %s", one.why.message, extra=about(photo=one.journey.photo_id))
                    trouble = self._give_back(one.journey) or trouble
                else:
                    trouble = one.why
                self._files.alive()
        except TransientError as error:
            trouble = error
        if not verdicts:
            return Round(trouble=trouble)
        return Round.of([Round(trouble=trouble), self._carry_out(verdicts)])

    def _count_attempt(self, journey: Journey) -> None:
        self._journeys.count_attempt(journey.photo_id)

    def _carry_out(self, verdicts: Sequence[Verdict]) -> Round:
        journeys = {
            one.journey.photo_id: replace(one.journey, sha256=one.decided.sha256, camera=one.decided.camera)
            for one in verdicts
        }
        try:
            self._journeys.record_decisions(
                [one.decided for one in verdicts], [gone for one in verdicts for gone in one.missing]
            )
        except TransientError as error:
            return Round(trouble=error)
        done = self._mover.carry_out([one.decided.move for one in verdicts], journeys)
        return self._finished(list(journeys.values()), done, {one.journey.photo_id: one for one in verdicts})

    def _finished(
        self, journeys: Sequence[Journey], done: Carried, verdicts: Mapping[int, Verdict] | None = None
    ) -> Round:
        about_it = {journey.photo_id: journey for journey in journeys}
        outcomes = [_outcome(about_it[move.photo_id], move, (verdicts or {}).get(move.photo_id)) for move in done.moves]
        return Round(outcomes, {}, done.trouble)

    def _give_back(self, journey: Journey) -> TransientError | None:
        """Into the inbox again, as if it had never been claimed; what hindered that, if anything did."""
        try:
            self._files.give_back(journey.source, journey.inbox_path)
            self._journeys.withdraw_claims([journey.photo_id])
        except TransientError as error:
            return error
        return None


def _batches(journeys: Sequence[Journey], stopping: Callable[[], bool]) -> Iterator[Sequence[Journey]]:
    for start in range(0, len(journeys), BATCH_PHOTOS):
        if stopping():
            return
        yield journeys[start : start + BATCH_PHOTOS]


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


def _outcome(journey: Journey, move: Move, verdict: Verdict | None) -> Outcome:
    decided = verdict.decided if verdict else None
    decision = decided.decision if decided else None
    spotting = decided.spotting if decided else None
    return Outcome(
        photo_id=move.photo_id,
        original_name=journey.original_name,
        state=move.outcome,
        path=move.target,
        reason=move.reason,
        label=decision.label if decision else None,
        probability=decision.probability if decision else None,
        birdness=decision.birdness if decision else None,
        birds=len(birds_of(spotting, decision)) if spotting and decision else None,
        took_ms=decided.took_ms if decided else None,
        what=verdict.what if verdict else None,
    )
