"""The looks themselves, in slices: at everything, at places that were heard of, at new files that have settled."""

from collections.abc import Callable, Iterator

from birdwatchd.core import shelfmoves, shelving
from birdwatchd.core.errors import ModelError, TransientError
from birdwatchd.core.intake import is_ignored
from birdwatchd.core.photo import Stamp, State
from birdwatchd.core.shelfmoves import KEPT, Row
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store
from birdwatchd.examining import Examiner
from birdwatchd.noticing.agenda import RETRY_S, Agenda
from birdwatchd.noticing.bringing_in import BringingIn
from birdwatchd.noticing.contents import Contents
from birdwatchd.noticing.left import Left
from birdwatchd.noticing.missing import Missing
from birdwatchd.noticing.names import Names
from birdwatchd.noticing.newcomers import Newcomers
from birdwatchd.noticing.understanding import Understanding

SLICE_S = 0.2
"""How long a look may work before photos and the watchdog have their turn."""

PAGE = 2000


class Noticing:
    """Notices what people do on the shelves of one bird folder; only for the holder of its lock.

    Args:
        settle_s, unfinished_s: how long a new photo must have stood still, and one without its end; see `Settling`.
        clock: seconds, monotonic.
        now: the wall clock, ISO-8601 UTC.
    """

    def __init__(
        self,
        files: Files,
        store: Store,
        *,
        settle_s: float,
        unfinished_s: float,
        clock: Callable[[], float],
        now: Callable[[], str],
    ) -> None:
        self._files = files
        self._questions = store.questions
        self._clock = clock
        self._agenda = Agenda(clock)
        self._left = Left(files)
        self._names = Names(store.questions)
        self._contents = Contents(files, store.questions)
        self._newcomers = Newcomers(
            files, self._contents, self._left, settle_s=settle_s, unfinished_s=unfinished_s, clock=clock
        )
        self._bringing_in = BringingIn(files, store, self._agenda, self._newcomers, self._left, self._names, now=now)
        self._understanding = Understanding(
            files, store, self._agenda, self._contents, self._names, self._bringing_in, now=now
        )
        self._missing = Missing(files, store, self._agenda)
        self._seen: dict[str, Stamp] = {}
        self._work: Iterator[None] | None = None

    @property
    def examiner(self) -> Examiner | None:
        """None without a spotter; then new photos wait."""
        return self._bringing_in.examiner

    @examiner.setter
    def examiner(self, examiner: Examiner | None) -> None:
        self._bringing_in.examiner = examiner

    # -- when

    def hint(self, path: str | None) -> None:
        """Something may have happened at this path, relative to the bird folder; None: anywhere."""
        self._agenda.hint(path)

    def compare(self) -> None:
        """Compare everything soon, whatever was heard."""
        self._agenda.compare_in(0.0)

    def next_step(self) -> float | None:
        """When there will be something to do; None when nothing is foreseen."""
        if self._work is not None:
            return self._clock()
        foreseen = (self._agenda.next_at(), self._newcomers.next_look())
        return min((at for at in foreseen if at is not None), default=None)

    def step(self) -> bool:
        """Work for one slice; False when there is nothing to do.

        Raises:
            TransientError, ModelError: not now; everything is looked at again later.
        """
        work = self._work or self._next_work()
        if work is None:
            return False
        self._work = None  # whatever happens now ends it, but for the last line
        until = self._clock() + SLICE_S
        try:
            next(work)
            while self._clock() < until:
                next(work)
        except StopIteration:
            return True
        except (TransientError, ModelError):
            self._agenda.compare_in(RETRY_S)
            raise
        self._work = work
        return True

    def finish(self) -> None:
        """Do all that is due now, in one go."""
        while (at := self.next_step()) is not None and at <= self._clock() and self.step():
            pass

    def _next_work(self) -> Iterator[None] | None:
        if self._agenda.is_comparison_due():
            return self._compare_all()
        if self._agenda.are_hints_due():
            return self._look_where_hinted()
        if (at := self._newcomers.next_look()) is not None and at <= self._clock():
            return self._take_settled()
        return None

    # -- where

    def _compare_all(self) -> Iterator[None]:
        begun = self._agenda.begin_comparison()
        shelves = self._files.shelves_there()
        there: dict[str, Stamp] = {}
        closed: list[str] = []
        for one in self._files.shelf_files(is_ignored, on_closed=closed.append):
            if one is None:
                yield
            else:
                there[one[0]] = one[1]
        self._files.check_still_there()
        rows: list[Row] = []  # read after the listing, so that what we moved ourselves meanwhile is known
        while page := self._questions.kept_on_shelves(after=rows[-1].photo_id if rows else 0, limit=PAGE):
            rows += [Row(row["id"], row["path"], State(row["state"]), row["sha256"], row["bytes"]) for row in page]
            yield
        unknown, absent = shelfmoves.differences(rows, there, self._seen)
        if closed:
            self._agenda.compare_in(RETRY_S)  # a disk that stumbled is well again soon
        self._contents.keep_only(there)
        self._left.keep_only(there, closed)
        yield from self._understand({path: there[path] for path in unknown})
        yield from self._missing.look(rows, absent, shelves, self._newcomers.sizes(), all_seen=not closed)
        self._seen = there
        yield from self._names.count_anew()
        self._agenda.end_comparison(begun)

    def _look_where_hinted(self) -> Iterator[None]:
        unknown: dict[str, Stamp] = {}
        for path in self._agenda.take_hinted():
            stamp = self._files.shelf_stamp(path)
            if stamp is not None and not self._is_logged(path):
                unknown[path] = stamp
            yield
        yield from self._understand(unknown)

    def _is_logged(self, path: str) -> bool:
        """Whether the log says that this photo lies there; asked of each photo that we moved ourselves, so by its digits."""
        digits = shelving.digits_in(path)
        rows = self._questions.with_digits(digits) if digits else []
        return any(row["path"] == path and row["state"] in KEPT for row in rows)

    def _take_settled(self) -> Iterator[None]:
        """New files, and those that a person renamed, once they have stood still."""
        for path in self._newcomers.due():
            if (settled := self._newcomers.settled(path)) is not None:
                sha256, lying = settled
                yield from self._understanding.conclude({sha256: [lying]})
            yield

    def _understand(self, unknown: dict[str, Stamp]) -> Iterator[None]:
        """Files at places that the log does not know."""
        places = yield from self._newcomers.sort_out(unknown)
        yield from self._understanding.conclude(places)

    # -- what is said

    def waits(self) -> bool:
        """Whether new files on the shelves have yet to settle."""
        return self._newcomers.are_waiting()

    def left(self) -> str | None:
        """Files that are left lying where they are, with why; None when there are none."""
        return self._left.in_words()

    def doubtful(self) -> str | None:
        """Names of species that look like slips; None when there are none."""
        return self._names.doubtful()
