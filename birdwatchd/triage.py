"""Everything that can be said of claimed photos: read and hashed once, known already?, decoded and looked at, decided, given a target.

Moves nothing. While some photos are decoded on all cores the next ones are read, and their bytes are brought to the disk; only so many
lie in memory at a time. Which ones is noted, so that after a death it is known who may have been the killer.
"""

import functools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from birdwatchd.core import deciding, shelving
from birdwatchd.core.deciding import Decision, Reason, Rules
from birdwatchd.core.errors import DiskTrouble, ModelError, PhotoError, PhotoVanished, TransientError, Unreadable
from birdwatchd.core.journey import Advice, Journey, Move
from birdwatchd.core.photo import State
from birdwatchd.edges.files import BadSpot, Files
from birdwatchd.edges.store import Decided, Journeys, Models
from birdwatchd.examining import Answer, Examined, Examiner, content_hash
from birdwatchd.mover import Mover

UNSEEN_MAX_BYTES = 1 << 28
"""The longest file that is read while there is no spotter whose limits count."""

MAX_READS = 3
"""A photo whose bytes the disk refused this often, at one sweep after the other, is set aside as unreadable."""

Hindrance = TransientError | ModelError


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one photo, before any of it is written down or done.

    Attributes:
        what: why, in words.
        missing: photos of the same content that turned out to be gone.
    """

    journey: Journey
    decided: Decided
    what: str
    missing: list[int]


@dataclass(frozen=True, slots=True)
class Hindered:
    """Nothing can be said of this photo now; `why` is its own trouble or everybody's."""

    journey: Journey
    why: Hindrance


@dataclass(slots=True)
class _Opened:
    """A photo between its first byte and its verdict."""

    journey: Journey
    read_ms: float = 0.0
    size_bytes: int = 0
    sha256: str | None = None
    twin: str | None = None
    missing: list[int] = field(default_factory=list)
    durable: Callable[[], bool] = lambda: False
    answer: Answer | None = None
    error: PhotoError | Hindrance | None = None


@dataclass(slots=True)
class _Batch:
    """What photos that are assessed together must know of each other.

    Attributes:
        reserved: names that are planned for others.
        in_hand: photos that are being read or looked at.
        ends: how the first of each content ended: kept if None, else the reason why not.
    """

    reserved: set[str]
    in_hand: list[int] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)
    ends: dict[str, PhotoError | Hindrance | None] = field(default_factory=dict)


class Triage:
    """For the holder of the bird folder's lock.

    Args:
        examiner: None while there is no spotter that can be trusted; then only refusals and duplicates can be told.
        now: the time of the wall clock as ISO-8601 UTC.
    """

    def __init__(
        self,
        files: Files,
        journeys: Journeys,
        models: Models,
        mover: Mover,
        examiner: Examiner | None,
        rules: Rules,
        *,
        now: Callable[[], str],
    ) -> None:
        self._files = files
        self._journeys = journeys
        self._mover = mover
        self.examiner = examiner
        self._rules = rules
        self._now = now
        self._unread: Counter[int] = Counter()
        self._models = models
        self._named: set[str] = set()

    def assess(
        self,
        journeys: Sequence[Journey],
        *,
        refuse: PhotoError | None = None,
        before_each: Callable[[Journey], None] | None = None,
    ) -> Iterator[Verdict | Hindered]:
        """Answers in the order asked.

        Args:
            refuse: all of them are to be set aside, for this reason.
            before_each: is called before anything is done about a photo; then they are looked at strictly one after the other.

        Raises:
            TransientError: the log refused, or `before_each` did.
        """
        batch = _Batch(reserved=self._journeys.targets())
        ahead = self.examiner.looks_at_once if self.examiner is not None and before_each is None else 0
        opened: deque[_Opened] = deque()
        with self._looking(min(len(journeys), ahead)) as begin, self._syncing(ahead) as sync:
            for journey in journeys:
                if before_each is not None:
                    self._count(before_each, journey)
                batch.in_hand.append(journey.photo_id)
                opened.append(self._open(journey, begin, sync, refuse, batch))
                if len(opened) > ahead:
                    yield self._let_go(opened.popleft(), batch)
            while opened:
                yield self._let_go(opened.popleft(), batch)
        self._files.note_in_hand([])

    def _count(self, before_each: Callable[[Journey], None], journey: Journey) -> None:
        try:
            before_each(journey)
        except TransientError:
            self._files.note_in_hand([])  # the one before it lived
            raise

    def _let_go(self, one: _Opened, batch: _Batch) -> Verdict | Hindered:
        answer = self._conclude(one, batch)
        batch.in_hand.remove(one.journey.photo_id)
        return answer

    def _looking(self, photos: int) -> AbstractContextManager[Callable[[bytes], Answer]]:
        return nullcontext(_blind) if self.examiner is None else self.examiner.looking(photos)

    @contextmanager
    def _syncing(self, ahead: int) -> Iterator[Callable[[str], Callable[[], bool]]]:
        """A way to begin to bring a photo to the disk, and to wait for it later; in a thread of its own where several cores work."""
        if ahead <= 1:
            yield lambda source: functools.partial(self._files.make_durable, source)
            return
        pool = ThreadPoolExecutor(1, thread_name_prefix="sync")

        def begin(source: str) -> Callable[[], bool]:
            try:
                return pool.submit(self._files.make_durable, source).result
            except RuntimeError:  # no thread can be started
                return functools.partial(self._files.make_durable, source)

        try:
            yield begin
        finally:
            pool.shutdown(cancel_futures=True)

    def _open(
        self,
        journey: Journey,
        begin: Callable[[bytes], Answer],
        sync: Callable[[str], Callable[[], bool]],
        refuse: PhotoError | None,
        batch: _Batch,
    ) -> _Opened:
        """Read a photo, tell whether its content is known, and begin to look at it if not."""
        begun = time.perf_counter()
        one = _Opened(journey, size_bytes=journey.stamp.size_bytes if journey.stamp else 0)
        try:
            self._files.note_in_hand(batch.in_hand)
            one.durable = sync(journey.source)
            data = self._read(journey)
            one.sha256, one.size_bytes = content_hash(data), len(data)
            if journey.stamp is not None and not self._files.is_as_claimed(journey.source, journey.stamp):
                raise PhotoVanished(f"{journey.original_name} was written to after it was taken")
            if refuse is not None:
                raise refuse
            one.twin, one.missing = self.kept_twin(one.sha256)
            if one.twin is None and one.sha256 not in batch.begun:
                batch.begun.add(one.sha256)
                one.answer = begin(data)
        except (PhotoError, TransientError) as error:
            one.error = error
        one.read_ms = (time.perf_counter() - begun) * 1000
        return one

    def _read(self, journey: Journey) -> bytes:
        """Its bytes. When the disk refuses them at one sweep after the other, the photo is set aside, with a note."""
        try:
            data = self._files.read(journey.source, max_bytes=self._max_bytes())
        except BadSpot as error:
            self._unread[journey.photo_id] += 1
            if self._unread[journey.photo_id] < MAX_READS:
                raise
            del self._unread[journey.photo_id]
            raise Unreadable(error.message) from error
        self._unread.pop(journey.photo_id, None)
        return data

    def _conclude(self, one: _Opened, batch: _Batch) -> Verdict | Hindered:
        """Wait for the look, then decide. Touches nothing but the thumbnail."""
        examined: Examined | None = None
        decision: Decision | None = None
        advice: Advice | None = None
        try:
            self._wait_until_durable(one)
            if one.error is not None:
                raise one.error
            if one.answer is not None and one.sha256 is not None:
                examined = self._answered(one.answer, one.sha256, batch)
                decision = deciding.judge(
                    examined.spotting, self._rules, examined.naming, seen_before=self._seen_before
                )
                self._remember(decision)
                outcome, reason = decision.outcome, str(decision.reason)
                what = deciding.IN_WORDS[decision.reason]
            else:
                if one.twin is None and (end := batch.ends[one.sha256 or ""]) is not None:
                    raise end  # the same bytes, the same end
                outcome, reason = State.DUPLICATE, str(Reason.SAME_BYTES)
                what = f"the same bytes as {one.twin or 'a photo that came with it'}"
        except PhotoError as error:
            outcome, reason, what = State.QUARANTINED, error.reason, error.message
            advice = Advice(error.message, error.hint)
        except (TransientError, ModelError) as error:
            if one.answer is not None and one.sha256 is not None:
                batch.ends[one.sha256] = error
            return Hindered(one.journey, error)
        folder = shelving.folder_of(outcome, label=decision.label if decision else None, reason=reason)
        target = self._mover.free_target(
            folder,
            one.journey.original_name,
            sha256=one.sha256,
            photo_id=one.journey.photo_id,
            reserved=batch.reserved,
            beside_sidecar=advice is not None,
        )
        decided = Decided(
            move=Move(one.journey.photo_id, one.journey.source, target, outcome, reason, advice),
            sha256=one.sha256,
            size_bytes=one.size_bytes,
            width_px=examined.width_px if examined else None,
            height_px=examined.height_px if examined else None,
            captured_at=examined.shot.captured_at if examined else None,
            camera=one.journey.camera or (examined.shot.camera if examined else None),
            spotting=examined.spotting if examined else None,
            decision=decision,
            decided_at=self._now(),
            took_ms=one.read_ms + (examined.took_ms if examined else 0.0),
        )
        return Verdict(one.journey, decided, what, one.missing)

    def _wait_until_durable(self, one: _Opened) -> None:
        """Also for a photo that goes back: nothing may still work on its file in another thread."""
        try:
            copied = one.durable()
            if copied and one.sha256 is not None and self._files.sha256_of(one.journey.source) != one.sha256:
                raise DiskTrouble(f"{one.journey.source} does not read the same twice")
        except TransientError as error:
            if not isinstance(one.error, TransientError | Unreadable):
                one.error = error

    def _answered(self, answer: Answer, sha256: str, batch: _Batch) -> Examined:
        """What the look told, with its thumbnail kept; notes for later twins how it ended."""
        try:
            examined = answer()
            self._files.write_thumbnail(sha256, examined.thumbnail)
        except (PhotoError, TransientError, ModelError) as error:
            batch.ends[sha256] = error
            raise
        batch.ends[sha256] = None
        return examined

    def _seen_before(self, label: str) -> bool:
        """Also within a batch, whose decisions are written down together later."""
        return label in self._named or self._models.was_named(label)

    def _remember(self, decision: Decision) -> None:
        if decision.label is not None and decision.reason in deciding.NAMED:
            self._named.add(decision.label)

    def _max_bytes(self) -> int:
        return self.examiner.limits.max_bytes if self.examiner else UNSEEN_MAX_BYTES

    def kept_twin(self, sha256: str) -> tuple[str | None, list[int]]:
        """Path of a photo of the same content that is still there, if any; and the photos that turn out to be gone."""
        gone: list[int] = []
        for twin in self._journeys.twins(sha256):
            if (there := next(filter(self._files.exists, twin.paths), None)) is not None:
                return there, gone
            if moved := self._files.find_content(sha256):
                return moved, gone
            gone.append(twin.photo_id)
        return None, gone


def _blind(_: bytes) -> Answer:
    def answer() -> Examined:
        raise ModelError("there is no spotter to look with")

    return answer
