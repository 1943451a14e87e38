"""The daemon's round: take what has settled, sweep, fulfil wishes, do chores.

One owner, one thread. It owns the settling files, the log and the photos; whoever runs it passes hints and chores in.
"""

import functools
import gc
import itertools
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from birdwatchd import __version__
from birdwatchd.answering import Answering
from birdwatchd.condition import Condition
from birdwatchd.core import shelving
from birdwatchd.core.deciding import Rules
from birdwatchd.core.errors import ModelError, ModelOfAnotherSpotter, PhotoVanished, TransientError
from birdwatchd.core.facts import about
from birdwatchd.core.intake import is_ignored, is_ignored_path
from birdwatchd.core.photo import Stamp
from birdwatchd.core.settings import Settings
from birdwatchd.core.settling import Settling, Waiting
from birdwatchd.desk import Desk
from birdwatchd.edges.clock import as_utc_text, monotonic, now_utc
from birdwatchd.edges.files import CANARY, Files
from birdwatchd.edges.store import Request, Store
from birdwatchd.edges.systemd import Notifier
from birdwatchd.edges.vision import Classifier, Spotter
from birdwatchd.edges.watch import Hint, Watch
from birdwatchd.examining import Examiner
from birdwatchd.hearing import Hearing
from birdwatchd.keeping import Keeper
from birdwatchd.noticing import Noticing
from birdwatchd.pipeline import BATCH_PHOTOS, Pipeline, Round
from birdwatchd.reconsidering import Reconsidering
from birdwatchd.rejudging import Rejudging
from birdwatchd.relooking import Relooking
from birdwatchd.reporting import Reporting
from birdwatchd.retraining import Retraining
from birdwatchd.review import Review
from birdwatchd.saying import Work
from birdwatchd.serving import Serving
from birdwatchd.tidying import Tidying
from birdwatchd.visiting import Visiting

log = logging.getLogger(__name__)

OUTGROWN = "birds wait for their names: the model was made for another spotter,"
"""How it begins what is said while the model in use is of no use."""

TICK_S = 0.5
"""How often wishes of other processes are looked for."""

MOST_WAITING_NAMED = 20
LAMP_EVERY_S = 5.0
WAL_ALERT_BYTES = 64 << 20
FRESH_S = 300.0
"""The watchdog is fed only while something was finished within this time: a photo, a sweep, a canary, a piece of a wish."""

BACK_OFF_S = 5.0
HINDERING = ("disk", "root", "log", "room")
"""Parts whose trouble keeps photos from being taken for a while."""

START_S = 60.0
"""Asked of the service manager for each batch that is finished before we are ready."""

AUDITED_WITHIN = timedelta(days=2)
"""Photos named earlier were chosen from when they were young, or while no daemon ran."""

REFUSED_S = 60.0
"""How soon a file whose folder does not let go of it is tried again; or at once when something about it changes."""


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
        wall_clock: seconds since 1970, for a worker that lives too short to see a file stand still for long: then the kernel's own
            date of the last change tells how long it has. None: only what was seen counts.
        stopping: whether somebody wants it to end: then a long recovery is left to the next process.
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
        self._settings = settings
        self._files = files
        self._store = store
        self._load_spotter = load_spotter
        self._notifier = notifier or Notifier()
        self._clock = clock
        self._now = now
        self._started_at = now()
        self._wall_clock = wall_clock
        self._stopping = stopping
        self._settling = Settling(quiet_s=settings.inbox.settle_s, unfinished_s=settings.inbox.unfinished_s)
        self.pipeline = Pipeline(
            files, store, None, Rules(settings.spotter.empty_below, settings.deciding.confirm_first), now=now
        )
        self.review = Review(files, store, None, now=now)
        self.keeper = Keeper(files, store, settings.retention, clock=clock, now=now)
        self.noticing = Noticing(
            files,
            store,
            settle_s=settings.inbox.settle_s,
            unfinished_s=settings.inbox.unfinished_s,
            clock=clock,
            now=now,
        )
        self._shelf_watch = shelf_watch
        self.serving = Serving(files.root, store, settings.inference, now=now, served=self._name_with)
        self.retraining = Retraining(files, store, settings, self.serving, clock=clock, now=now)
        self.rejudging = Rejudging(files, store, settings, now=now)
        self.relooking = Relooking(files, store, news=self.rejudging.begin_anew)
        self.visiting = Visiting(files, store, settings, clock=clock, now=now)
        self.reconsidering = Reconsidering(files, store, self.serving, now=now)
        self.reporting = Reporting(files, store, clock=clock)
        self.tidying = Tidying(files, store)
        self.answering = Answering(files, store, now=now)
        self.review.also = {
            "answers": self.answering.answer,
            "take-back": self.answering.take_back,
            "train": self._train,
            "promote": self.serving.promote,
            "rollback": self.serving.roll_back,
            "refile": self._refile,
        }
        self._desk = Desk(self.review, store.requests, clock=clock)
        self.condition = Condition()
        self._hearing = Hearing(watch, files, self.condition, clock=clock) if watch is not None else None
        self._next_sweep = clock()
        self._next_lamp = clock()
        self._finished_at = clock()
        self._back_off_until = clock()
        self._busy = False
        self._status_told = 0
        files.alive = self._alive
        store.connection.alive = self._light_lamp
        self._hindered: set[str] = set()
        self._classifier: Classifier | None = None
        self._refused: dict[str, str] = {}
        self._told_unfinished: set[str] = set()

    # -- parts of a step

    def open_eye(self) -> None:
        """Load the spotter if there is none yet; without one photos stay in the inbox."""
        if self.pipeline.examiner is not None:
            return
        try:
            spotter = self._load_spotter()
        except ModelError as error:
            self.condition.trouble("spotter", f"photos wait in the inbox: {error}")
            return
        examiner = Examiner.by_settings(self._settings, spotter)
        self.pipeline.examiner = self.review.examiner = self.noticing.examiner = examiner
        examiner.classifier = self._classifier
        self.condition.fine("spotter")
        self.serving.spotter_id = spotter.id
        self._open_mind()
        log.info("spotter %s is ready (%s)", spotter.id, spotter.provider)

    def _open_mind(self) -> None:
        """Load the model that serves; without one photos wait in review."""
        try:
            self.serving.refresh()
        except ModelOfAnotherSpotter:
            self.condition.trouble("model", f"{OUTGROWN} {self._how_names_come_back()}")
        except (ModelError, TransientError) as error:
            self._tell_of_the_model(error)
        else:
            self.condition.fine("model")

    def _how_names_come_back(self) -> str:
        if not self._settings.training.enabled:
            return "(`birdwatchd train` makes a new one)"
        if self._named_are_seen():
            return "and a new one is made by itself when your names are enough for it"
        return "and a new one is made by itself when the photos that you named have been looked at again"

    def _named_are_seen(self) -> bool:
        """Whether what people named can be learned from, wholly."""
        return self.relooking.has_seen_labelled(self.serving.spotter_id)

    def _tell_of_the_model(self, error: Exception) -> None:
        self.condition.trouble("model", f"birds are named by {self._mind_in_words()}: {error}")

    def _mind_in_words(self) -> str:
        examiner = self.pipeline.examiner
        classifier = examiner.classifier if examiner else None
        return "nobody" if classifier is None else f"model {classifier.model_id} still"

    def _name_with(self, classifier: Classifier) -> None:
        self._classifier = classifier
        if self.pipeline.examiner is not None:
            self.pipeline.examiner.classifier = classifier
        for part in ("model", "model taken back", "more waits"):  # said of the one before
            self.condition.fine(part)

    def resume(self) -> None:
        """End what was cut short."""
        begun = self._clock()
        with self._survived("unfinished"):
            self.retraining.resume()
            self._report(self.pipeline.resume(alive=self._more_time, stopping=self._stopping), begun)

    def hint(self, path: Hint) -> None:
        """Something may have happened at this inbox path; None: anywhere."""
        if path is None:
            self._next_sweep = min(self._next_sweep, self._clock() + TICK_S)
        elif path == CANARY:
            self._canary_came(by_event=True)
        elif not is_ignored_path(path, self._settings.inbox.ignore):
            stamp = self._files.inbox_stamp(path)
            if stamp is None:
                self._settling.forget(path)
            else:
                self._settling.see(path, stamp, self._clock())

    def sweep(self) -> None:
        """Look everywhere: what correctness rests on. Also revives the watch, retries what failed, and says how things are."""
        self._next_sweep = self._clock() + self._settings.inbox.sweep_s
        with self._survived("root"):
            self._files.check_still_there()
            self.open_eye()
            self._open_mind()
            if self._hearing is not None:
                self._hearing.look_after()
            self._look_after_shelf_watch()
            if self.pipeline.has_unfinished():
                self.resume()
            else:
                self.condition.fine("unfinished")
            self._list_inbox()
            if not self._hindered and not self.pipeline.has_unfinished():
                self.condition.fine("disk")  # what it kept from being taken has been ended by `resume`, or is gone
        self.keeper.look()
        with self._survived("log"):
            self._cut_log_short()
            self._store.requests.write_status(self._status())
        self._finished_at = self._clock()

    def _cut_log_short(self) -> None:
        """Between the hourly times only when it has grown out of all proportion: somebody reads without an end."""
        log_ahead = self._store.connection
        if log_ahead.wal_bytes() <= WAL_ALERT_BYTES or log_ahead.checkpoint():
            self.condition.fine("reader")
            return
        self.condition.trouble(
            "reader",
            f"the log cannot be tidied ({log_ahead.wal_bytes() / 1e6:,.0f} MB wait beside it), because another program keeps"
            " reading it (close programs that have birdwatchd.db open)",
        )

    def _list_inbox(self) -> None:
        with _nothing_collected():
            closed, held = self._see_inbox()
        if CANARY in held:
            held.remove(CANARY)
            self._canary_came(by_event=False)
        self.pipeline.look_after_strays(held)
        self._refused = {path: why for path, why in self._refused.items() if path in self._settling}
        self._tell_of_the_unfinished()
        self._tell_of_the_untakable(closed)

    def _see_inbox(self) -> tuple[list[str], list[str]]:
        """Look at every file of the inbox; returns the folders that are closed to us, and originals with a hidden name."""
        now = self._clock()
        closed: list[str] = []
        held: list[str] = []
        ignored = functools.partial(_is_ignored_by, self._settings.inbox.ignore)
        self._settling.begin_sweep()
        for path, stamp in self._files.inbox_files(ignored, on_closed_folder=closed.append, on_held=held.append):
            stood_s = 0.0 if self._wall_clock is None else max(0.0, self._wall_clock() - stamp.ctime_ns / 1e9)
            self._settling.see(path, stamp, now, stood_s=stood_s)
        self._settling.end_sweep()
        self._hindered = {path for path in self._hindered if path in self._settling}
        return closed, held

    def _tell_of_the_unfinished(self) -> None:
        waiting = set(self._settling.waiting_for(Waiting.UNFINISHED))
        for path in sorted(waiting - self._told_unfinished)[:MOST_WAITING_NAMED]:
            log.info("%s waits: %s", shelving.printable(path), Waiting.UNFINISHED)
        self._told_unfinished = waiting

    def _tell_of_the_untakable(self, closed_folders: Sequence[str]) -> None:
        """Files and folders in the inbox whose rights keep us out, as one problem until the last of them is gone."""
        unreadable = self._settling.waiting_for(Waiting.UNREADABLE)
        stuck = [f"the folder {path}" for path in closed_folders] + unreadable
        if not stuck:
            self.condition.fine("inbox")
            return
        why = self._refused.get(stuck[0], "may not be opened (give birdwatchd's user or group the right: chmod g+rwX)")
        others = f", and {len(stuck) - 1} more" if len(stuck) > 1 else ""
        self.condition.trouble("inbox", f"in the inbox, {shelving.printable(stuck[0])} {why}{others}")

    def _canary_came(self, *, by_event: bool) -> None:
        if self._hearing is None:
            return
        try:
            if self._hearing.canary_came(self.pipeline.examiner, by_event=by_event):
                self._alive()
        except ModelError as error:
            self._close_eye()
            self.condition.trouble("spotter", f"photos wait in the inbox: {error}")

    def take_settled(self) -> bool:
        """Take one batch of what has settled; False when nothing has."""
        now = self._clock()
        if self.pipeline.examiner is None or "root" in self.condition.problems or now < self._back_off_until:
            return False
        if self._settling.has_room_again:
            self.sweep()
        if not self._has_room():
            return False
        due = self._settling.due(now, BATCH_PHOTOS)
        settled = [(path, stamp) for path in due if (stamp := self._weighed(path, now)) is not None]
        if settled:
            with self._survived("disk"):
                self._hindered.update(path for path, _ in settled)
                try:
                    done = self.pipeline.take(settled)
                finally:
                    for path, _ in settled:
                        self._seen_anew(path)
                for path, why in done.refused.items():
                    self._settling.postpone(path, now + REFUSED_S)
                    self._refused[path] = _without_name(path, why)
                self._report(done, now)
                self._hindered.clear()
        return bool(settled)

    def _has_room(self) -> bool:
        """Whether the disk has more free than its reserve; looked at only when a photo is about to be taken."""
        look = self._settling.next_look()
        if "room" not in self.condition.problems and (look is None or look > self._clock()):
            return True
        with self._survived("room"):
            self._files.check_room(int(self._settings.inbox.reserve_mb * 1e6))
        return "room" not in self.condition.problems

    def _weighed(self, path: str, now: float) -> Stamp | None:
        try:
            look = self._files.look(path)
        except PhotoVanished:
            self._settling.forget(path)
            return None
        except TransientError as error:
            self._settling.postpone(path, now + REFUSED_S)
            self._refused[path] = _without_name(path, str(error))
            return None
        return look.stamp if self._settling.weigh(path, look, now) and look is not None else None

    def _seen_anew(self, path: str) -> None:
        """After a claim the inbox may hold nothing of that name, the same file still, or already the next."""
        self._settling.forget(path)
        stamp = self._files.inbox_stamp(path)
        if stamp is not None:
            self._settling.see(path, stamp, self._clock())

    def do_chore(self, chore: Chore) -> None:
        """One piece of the timetable."""
        match chore.name:
            case "checkpoint":
                with self._survived("log"):
                    self._store.connection.checkpoint()
            case "expire-quarantine":
                with self._survived("quarantine"):
                    self.keeper.expire_quarantine()
            case "backup":
                with self._survived("backup"):
                    self.keeper.back_up()
            case "compare":
                self.noticing.compare()
            case "tidy":
                with self._survived("log"):
                    self.keeper.tidy()
            case "tidy-models":
                self._tidy_models()
            case "audit":
                with self._survived("log"):
                    self._put_up()
            case "fine-tune":
                if "root" not in self.condition.problems and self._named_are_seen():
                    with self._survived("training"):
                        self.retraining.fine_tune()
            case "reconsider":
                with self._survived("log"):
                    self.reconsidering.begin()
                    self._tell_of_the_change()
            case other:
                raise ValueError(f"no such chore: {other}")

    def _tell_of_the_change(self) -> None:
        """What has changed with the model in use that nobody asked for."""
        self._tell("model taken back", self.reconsidering.taken_back())
        self._tell("more waits", self.reconsidering.warning())

    def _reconsider(self) -> bool:
        """A slice of the look at the model in use; not while a training measures itself by that model."""
        if self.retraining.under_way() is not None:
            return False
        before = self.serving.model
        worked = self.reconsidering.step(self.pipeline.examiner)
        if self.serving.model is not before:
            self._tell_of_the_change()
        return worked

    def _tidy_models(self) -> None:
        """What learning left behind; not while a page is made, which reads a training's folder."""
        if "root" not in self.condition.problems and not self.reporting.under_way:
            with self._survived("old models"):
                self.tidying.tidy()

    def _put_up(self) -> None:
        """Some of the photos that the machine is sure of are put up for a look all the same."""
        one_in, at = self._settings.deciding.audit_one_in, self._now()
        since = as_utc_text(datetime.fromisoformat(at) - AUDITED_WITHIN)
        if one_in and (count := self._store.audits.put_up(one_in=one_in, since=since, at=at)):
            log.info("%d photos are put up for a look, see `birdwatchd audit`", count)

    def step(self) -> float:
        """One round of everything that is due; returns the seconds until something will be."""
        if self._clock() >= self._next_sweep:
            self.sweep()
        if self._hearing is not None and "root" not in self.condition.problems:
            self._hearing.listen(self.pipeline.examiner)
        worked = self.take_settled()
        worked = self._serve() or worked
        worked = self._notice() or worked
        worked = self._learn() or worked
        news = self.condition.told != self._status_told
        if (self._busy and not worked) or news:  # so that nobody reads of photos that left, or of trouble that is over
            self._status_told = self.condition.told
            with self._survived("log"):
                self._store.requests.write_status(self._status())
        self._light_lamp()
        self._busy = worked
        if worked:
            return 0.0
        upcoming = [self._next_sweep, self._clock() + TICK_S]
        if (look := self._settling.next_look()) is not None and self.pipeline.examiner is not None:
            upcoming.append(max(look, self._back_off_until))
        if (look := self.noticing.next_step()) is not None and "root" not in self.condition.problems:
            upcoming.append(look)
        return max(min(upcoming) - self._clock(), 0.01)

    def _learn(self) -> bool:
        """A step of judging photos again, of a visit, of the training, or of its page; all wait while disk or log are in trouble."""
        if "root" in self.condition.problems or self._clock() < self._back_off_until:
            return False
        with self._survived("training"):
            try:
                looked = self._look_again()
                self.condition.doing = self.relooking.in_words()
                return (
                    self.rejudging.step(self.serving.model, self.pipeline.examiner)
                    or self._judge_visits()
                    or self._reconsider()
                    or self.retraining.step(may_begin=self._named_are_seen())
                    or self.reporting.step()
                    or looked
                )
            except ModelError as error:
                self._tell_of_the_model(error)
        return False

    def _look_again(self) -> bool:
        """Older photos, after the spotter was exchanged; when the spotter fails at it, it is opened anew like at any other photo."""
        try:
            return self.relooking.step(self.pipeline.examiner)
        except ModelError as error:
            self._close_eye()
            self.condition.trouble("spotter", f"photos wait in the inbox: {error}")
            return False

    def _judge_visits(self) -> bool:
        """A slice of it; what hinders it hinders nothing else."""
        with self._survived("visits"):
            return self.visiting.step(self.serving.model)
        return False

    def end_visits(self) -> None:
        """Look at all visits there are, for a worker that does not live to see whether more photos come."""
        if "root" in self.condition.problems:
            return
        with self._survived("visits"):
            while self.visiting.step(self.serving.model, at_once=True):
                self._alive()

    def _train(self, request: Request) -> Work:
        """Train now; then what waits gets its names before anybody is told that it is done."""
        while (examiner := self.pipeline.examiner) is not None and self.relooking.has_labelled_left(examiner):
            self.relooking.step(examiner)
            yield {"what": self.relooking.in_words() or ""}
        if request.arguments.get("dry_run"):
            return (yield from self.retraining.preview())
        if request.arguments.get("show_batch"):
            return (yield from self.retraining.show_batch())
        result = yield from self.retraining.train(request)
        while self.rejudging.step(self.serving.model, self.pipeline.examiner):
            yield {}
        page = None
        with self._survived("training"):  # what was learned stays learned, also when nobody can read about it yet
            page = yield from self.reporting.make(result["training_id"])
        return result | {"report": page}

    def _refile(self, request: Request) -> Work:
        dry_run = bool(request.arguments.get("dry_run"))
        return self.rejudging.refile(lambda: self.serving.model, self.pipeline.examiner, dry_run=dry_run)

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

    # -- the shelves

    def shelves_stirred(self, stirred: Stirred) -> None:
        """A hint of the shelves' watch; most often it tells of what we moved ourselves."""
        self.noticing.hint(stirred.path)

    def notice(self) -> None:
        """All that people have done on the shelves, as far as it can be told now."""
        while self._notice():
            pass

    def _notice(self) -> bool:
        """A slice of looking for what people did on the shelves."""
        at = self.noticing.next_step()
        if at is None or at > self._clock() or "root" in self.condition.problems:
            return False
        with self._survived("shelves"):
            try:
                self.noticing.step()
            except ModelError:
                self._close_eye()
                raise
            self._finished_at = self._clock()
            self._tell("left", self.noticing.left())
            self._tell("names", self.noticing.doubtful())
        return True

    def _tell(self, part: str, words: str | None) -> None:
        if words is None:
            self.condition.fine(part)
        else:
            self.condition.trouble(part, words)

    def _look_after_shelf_watch(self) -> None:
        if self._shelf_watch is None:
            return
        self._shelf_watch.revive()
        if self._shelf_watch.kind == "events" or (self._hearing is not None and self._hearing.kind != "events"):
            self.condition.fine("shelf watch")  # or told already, with the same cause
        else:
            why = self._shelf_watch.problem or ""
            self.condition.trouble(
                "shelf watch", f"photos moved by hand are noticed only every ten minutes: {why.partition(': ')[2]}"
            )

    # -- what is said

    def waiting(self) -> dict[str, Waiting]:
        """Inbox files that are not taken yet, and why."""
        return self._settling.waiting()

    def _waiting_count(self) -> int:
        return len(self._settling) + self._settling.unwatched

    def in_words(self) -> str:
        """One line for the service manager and for people."""
        return self.condition.in_words(self._waiting_count())

    def note_stop(self) -> None:
        """The last word in `status`."""
        with self._survived("log"):
            self._store.requests.write_status(self._status() | {"state": "stopped", "pid": None})

    def _alive(self) -> None:
        """A piece of work has just been finished."""
        self._finished_at = self._clock()
        self._light_lamp()

    def _more_time(self) -> None:
        self._notifier.more_time(START_S)
        self._alive()

    def _light_lamp(self) -> None:
        now = self._clock()
        if now < self._next_lamp:
            return
        self._next_lamp = now + LAMP_EVERY_S
        words = self.condition.in_words(self._waiting_count())
        if now - self._finished_at <= max(FRESH_S, 2 * self._settings.inbox.sweep_s):
            self._notifier.working(words)
        else:
            log.error("nothing has been finished for %.0f s", now - self._finished_at)

    def _status(self) -> dict[str, Any]:
        examiner = self.pipeline.examiner
        under_way = self.retraining.under_way()
        return {
            "updated_at": self._now(),
            "started_at": self._started_at,
            "pid": os.getpid(),
            "version": __version__,
            "state": "degraded" if self.condition.problems else "working",
            "problems": json.dumps(list(self.condition.problems.values())),
            "waiting": self._waiting_count(),
            "waiting_files": json.dumps(
                [
                    {"file": shelving.printable(path), "why": self._refused.get(path, str(why))}
                    for path, why in itertools.islice(self.waiting().items(), MOST_WAITING_NAMED)
                    if why is not Waiting.FRESH
                ]
            ),
            "in_flight": self._store.journeys.under_way_count(),
            "watcher": self._hearing.kind if self._hearing else "none",
            "disk_free_bytes": self._files.free_bytes(),
            "spotter_id": examiner.spotter.id if examiner else None,
            "provider": examiner.spotter.provider if examiner else None,
            "model_id": self._classifier.model_id if self._classifier else None,
            "last_photo_at": self.condition.tally.last_photo_at,
            "training": None if under_way is None else json.dumps(under_way),
        }

    def _report(self, done: Round, begun: float) -> None:
        """Say what was done; then, if something hindered it, raise that."""
        self.condition.tally.add(done.outcomes, begun, self._clock(), self._now())
        for one in done.outcomes:
            log.info(
                "%s -> %s: %s",
                one.original_name,
                shelving.printable(one.path),
                one.what or "finished what was cut short",
                extra=about(
                    photo=one.photo_id,
                    state=one.state,
                    reason=one.reason,
                    label=one.label,
                    p=one.probability,
                    birdness=one.birdness,
                    birds=one.birds if one.birds and one.birds > 1 else None,
                    ms=None if one.took_ms is None else round(one.took_ms),
                ),
            )
        if isinstance(done.trouble, ModelError):
            self._close_eye()
        if done.trouble is not None:
            raise done.trouble

    def _close_eye(self) -> None:
        """Photos wait; the next sweep opens the eye anew."""
        self.pipeline.examiner = self.review.examiner = self.noticing.examiner = None

    @contextmanager
    def _survived(self, part: str) -> Iterator[None]:
        """Trouble that passes: said once, seen in `status`, tried again; forgotten when the same part succeeds."""
        with self.condition.survives(part):
            yield
        if part in HINDERING and part in self.condition.problems:
            self._back_off_until = self._clock() + BACK_OFF_S


def _without_name(path: str, why: str) -> str:
    """It is named beside the reason already."""
    name = shelving.printable(path)
    return why.removeprefix(f"{name} ").replace(f"cannot read {name}", "cannot be read")


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """A sweep makes tens of thousands of small objects that all stay; looking for garbage among them takes a third of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _is_ignored_by(patterns: Sequence[str], name: str, *, folder: bool = False) -> bool:
    return is_ignored(name, patterns, folder=folder)
