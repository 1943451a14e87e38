"""The daemon's round: take what has settled, sweep, fulfil wishes, notice what people did, learn, do chores.

One owner, one thread. Each part owns its state and is asked in turn; whoever runs the round passes hints and chores in.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from birdwatchd.answering import Answering
from birdwatchd.arrivals import Arrivals
from birdwatchd.chores import Chores
from birdwatchd.condition import Condition
from birdwatchd.core.deciding import Rules
from birdwatchd.core.errors import ModelError, TransientError
from birdwatchd.core.settings import Settings
from birdwatchd.core.settling import Waiting
from birdwatchd.desk import Desk
from birdwatchd.edges.clock import monotonic, now_utc
from birdwatchd.edges.files import CANARY, Files
from birdwatchd.edges.store import Store
from birdwatchd.edges.systemd import Notifier
from birdwatchd.edges.vision import Spotter
from birdwatchd.edges.watch import Hint, Watch
from birdwatchd.eye import Eye
from birdwatchd.hearing import Hearing
from birdwatchd.keeping import Keeper
from birdwatchd.lamp import Lamp
from birdwatchd.learning import Learning
from birdwatchd.noticing import Noticing
from birdwatchd.pipeline import Pipeline
from birdwatchd.review import Review
from birdwatchd.status import Status
from birdwatchd.taking import Taking

log = logging.getLogger(__name__)

TICK_S = 0.5
"""How often wishes of other processes are looked for."""


@dataclass(frozen=True, slots=True)
class Chore:
    """A piece of the timetable, on the worker's queue."""

    name: str


@dataclass(frozen=True, slots=True)
class Stirred:
    """Something may have happened on the shelves, at this path relative to the bird folder; None: anywhere."""

    path: Hint


class Worker:
    """Takes what has settled, sweeps, fulfils wishes; knows nothing of threads and signals.

    Args:
        files: checked, and its lock held by the caller.
        clock: seconds, monotonic; an argument so that tests pass hours in no time.
        wall_clock: see `Arrivals`.
        stopping: whether somebody wants it to end: then a long recovery is left to the next process.

    Attributes:
        condition: what troubles it, and what it has done.
        serving, retraining, rejudging, relooking, visiting, reconsidering, reporting, tidying: what `Learning` asks in turn, by name.
    """

    def __init__(
        self,
        settings: Settings,
        files: Files,
        store: Store,
        *,
        load_spotter: Callable[[], Spotter],
        watch: Watch | None = None,
        shelf_watch: Watch | None = None,
        notifier: Notifier | None = None,
        clock: Callable[[], float] = monotonic,
        now: Callable[[], str] = now_utc,
        wall_clock: Callable[[], float] | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        inbox, deciding = settings.inbox, settings.deciding
        self._files = files
        self._sweep_s = inbox.sweep_s
        self._clock = clock
        self._stopping = stopping
        self._next_sweep = clock()
        self.condition = Condition(clock=clock)
        self._arrivals = Arrivals(files, inbox, self.condition, clock=clock, wall_clock=wall_clock)
        self._hearing = Hearing(watch, shelf_watch, files, self.condition, clock=clock)
        self.pipeline = Pipeline(
            files, store, None, Rules(settings.spotter.empty_below, deciding.confirm_first), now=now
        )
        self.review = Review(files, store, None, now=now)
        self.noticing = Noticing(
            files, store, settle_s=inbox.settle_s, unfinished_s=inbox.unfinished_s, clock=clock, now=now
        )
        self._eye = Eye(settings, load_spotter, [self.pipeline, self.review, self.noticing], self.condition)
        self._taking = Taking(self.pipeline, self._arrivals, self._eye, self.condition, clock=clock, now=now)
        self._learning = Learning(files, store, settings, self._eye, self.condition, clock=clock, now=now)
        self.serving, self.retraining = self._learning.serving, self._learning.retraining
        self.rejudging, self.relooking = self._learning.rejudging, self._learning.relooking
        self.visiting, self.reconsidering = self._learning.visiting, self._learning.reconsidering
        self.reporting, self.tidying = self._learning.reporting, self._learning.tidying
        self.answering = Answering(files, store, now=now)
        self.review.also = {
            "answers": self.answering.answer,
            "take-back": self.answering.take_back,
            "train": self._learning.train,
            "promote": self.serving.promote,
            "rollback": self.serving.roll_back,
            "refile": self._learning.refile,
        }
        self._desk = Desk(self.review, store.requests, clock=clock)
        self.keeper = Keeper(files, store, settings.retention, clock=clock, now=now)
        self._chores = Chores(
            store,
            self.keeper,
            self.noticing,
            self._learning,
            self.condition,
            audit_one_in=deciding.audit_one_in,
            now=now,
        )
        parts = (self._arrivals, self._hearing, self._eye, self._learning)
        self._status = Status(files, store, self.condition, [part.facts for part in parts], now=now)
        self._lamp = Lamp(notifier or Notifier(), self.in_words, sweep_s=inbox.sweep_s, clock=clock)
        files.alive = self._lamp.alive
        store.connection.alive = self._lamp.light

    # -- the round

    def open_eye(self) -> None:
        """Load the spotter if there is none yet, and the model that names with it; without a spotter photos stay in the inbox."""
        spotter = self._eye.open()
        if spotter is not None:
            self.serving.spotter_id = spotter.id
            self._learning.mind.open()
            log.info("spotter %s is ready (%s)", spotter.id, spotter.provider)

    def resume(self) -> None:
        """End what was cut short."""
        with self.condition.survives("unfinished"):
            self.retraining.resume()
            self._taking.resume(alive=self._lamp.more_time, stopping=self._stopping)

    def step(self) -> float:
        """One round of everything that is due; returns the seconds until something will be."""
        if self._clock() >= self._next_sweep:
            self.sweep()
        if not self.condition.folder_is_away:
            self._hearing.listen(self._eye.examiner)
        worked = self.take_settled()
        worked = self._serve() or worked
        worked = self._notice() or worked
        worked = self._learning.step() or worked
        self._status.write_if_new(worked=worked)
        self._lamp.light()
        return 0.0 if worked else max(self._next_due() - self._clock(), 0.01)

    def _next_due(self) -> float:
        upcoming = [self._next_sweep, self._clock() + TICK_S]
        if self._eye.examiner is not None and (look := self._arrivals.next_look()) is not None:
            upcoming.append(max(look, self.condition.hindered_until))
        if not self.condition.folder_is_away and (look := self.noticing.next_step()) is not None:
            upcoming.append(look)
        return min(upcoming)

    def sweep(self) -> None:
        """Look everywhere: what correctness rests on. Also revives the watch, retries what failed, and says how things are."""
        self._next_sweep = self._clock() + self._sweep_s
        with self.condition.survives("root"):
            self._files.check_still_there()
            self.open_eye()
            self._learning.mind.open()
            self._hearing.look_after()
            if self.pipeline.has_unfinished():
                self.resume()
            else:
                self.condition.fine("unfinished")
            self._look_at_inbox()
            self._taking.look_after_the_disk()
        self.keeper.look()
        with self.condition.survives("log"):
            self._chores.cut_log_short()
            self._status.write()
        self._lamp.finished()

    def _look_at_inbox(self) -> None:
        held = self._arrivals.look()
        if CANARY in held:
            held.remove(CANARY)
            self._canary_came(by_event=False)
        self.pipeline.look_after_strays(held)
        self._arrivals.tell()

    def _canary_came(self, *, by_event: bool) -> None:
        with self._eye.trusted():
            if self._hearing.canary_came(self._eye.examiner, by_event=by_event):
                self._lamp.alive()

    def take_settled(self) -> bool:
        """Take one batch of what has settled; False when nothing has."""
        if not self._taking.can():
            return False
        if self._arrivals.has_room_again:
            self.sweep()
        return self._taking.take()

    def _serve(self) -> bool:
        """Work on wishes; one that waits stays a problem until it is fulfilled or called off."""
        try:
            return self._desk.serve()
        except TransientError as error:
            self.condition.trouble("request", str(error))
            return False  # else a log that cannot be read would be asked without a pause
        finally:
            if not self._desk.has_waiting_wishes:
                self.condition.fine("request")

    def _notice(self) -> bool:
        """A slice of looking for what people did on the shelves."""
        at = self.noticing.next_step()
        if at is None or at > self._clock() or self.condition.folder_is_away:
            return False
        with self.condition.survives("shelves"):
            try:
                self.noticing.step()
            except ModelError:
                self._eye.close()
                raise
            self._lamp.finished()
            self.condition.tell("left", self.noticing.left())
            self.condition.tell("names", self.noticing.doubtful())
        return True

    # -- what is passed in

    def hint(self, path: Hint) -> None:
        """Something may have happened at this inbox path; None: anywhere."""
        if path is None:
            self._next_sweep = min(self._next_sweep, self._clock() + TICK_S)
        elif path == CANARY:
            self._canary_came(by_event=True)
        else:
            self._arrivals.hint(path)

    def shelves_stirred(self, stirred: Stirred) -> None:
        """A hint of the shelves' watch; most often it tells of what we moved ourselves."""
        self.noticing.hint(stirred.path)

    def do_chore(self, chore: Chore) -> None:
        """One piece of the timetable."""
        self._chores.do(chore.name)

    # -- for a worker that does not live long

    def notice(self) -> None:
        """All that people have done on the shelves, as far as it can be told now."""
        while self._notice():
            pass

    def end_visits(self) -> None:
        """Look at all visits there are, without waiting whether more photos come."""
        self._learning.end_visits(alive=self._lamp.alive)

    # -- what is said

    def waiting(self) -> dict[str, Waiting]:
        """Inbox files that are not taken yet, and why."""
        return self._arrivals.waiting()

    def in_words(self) -> str:
        """One line for the service manager and for people."""
        return self.condition.in_words(self._arrivals.count)

    def note_stop(self) -> None:
        """The last word in `status`."""
        with self.condition.survives("log"):
            self._status.write(state="stopped", pid=None)
