"""The daemon as a process: every part built from the settings, started in order, stopped in reverse.

The main thread is the worker's. watchdog's threads and the timetable's thread only put hints and chores on its queue; signals put the
word to stop there. `scan` is the same worker without the watching.
"""

import logging
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from birdwatchd.condition import Condition
from birdwatchd.core import shelving
from birdwatchd.core.errors import BirdwatchdError, ConfigError
from birdwatchd.core.settings import Settings
from birdwatchd.core.settling import REMOTE_FACTOR, Waiting
from birdwatchd.core.shelfmoves import SHELVES
from birdwatchd.edges.clock import monotonic
from birdwatchd.edges.companion import Companion
from birdwatchd.edges.files import Files
from birdwatchd.edges.heap import share_one_heap
from birdwatchd.edges.store import Store
from birdwatchd.edges.systemd import Notifier
from birdwatchd.edges.vision import Spotter
from birdwatchd.edges.watch import Hint, Watch
from birdwatchd.restoring import finish_restore
from birdwatchd.worker import TICK_S, Chore, Stirred, Worker

log = logging.getLogger(__name__)

CHORES: tuple[tuple[str, float], ...] = (
    ("checkpoint", 1.0),
    ("backup", 0.25),  # a look; one is made each day
    ("expire-quarantine", 24.0),
    ("tidy", 24.0),
    ("tidy-models", 1.0),
    ("compare", 1 / 6),
    ("audit", 1 / 6),
    ("reconsider", 24.0),  # seldom: each look is one more chance to condemn a good model
    ("fine-tune", 1 / 6),  # a look whether it is night and there is something to learn
)
"""The timetable: name of the chore and its interval in hours. The sweep is not among them: it must not depend on a scheduler."""

FIRST_CHORES_AFTER = timedelta(minutes=1)

LEAP_S = 60.0
"""A wall clock that goes that much ahead or back within one round was set, or the machine slept meanwhile."""

MAX_BREAKDOWNS = 5
"""Unforeseen failures in a row after which the daemon ends, so that the service manager starts a fresh one."""


@contextmanager
def bird_folder(root: Path) -> Iterator[tuple[Files, Store]]:
    """The folder checked and locked, its log open: the right to move photos.

    Raises:
        RootUnsuitable, AlreadyRunning, NewerDatabase, DamagedDatabase.
    """
    files = Files(root)
    files.check()
    with files.lock():
        finish_restore(files)
        with Store.open(files.path(shelving.DATABASE)) as store:
            yield files, store


def spotter_loader(settings: Settings) -> Callable[[], Spotter]:
    """How the eye is opened, by the settings."""
    models = settings.root / shelving.MODELS
    return lambda: Spotter.load(models, providers=settings.inference.providers, threads=settings.inference.threads)


def run(settings: Settings, *, announce: Callable[[str], None], page: Sequence[str] | None = None) -> None:
    """The daemon in the foreground, until SIGTERM or SIGINT.

    Args:
        announce: gets one line when photos may be dropped.
        page: the words of the command that serves the page beside us; None if nobody wants it.

    Raises:
        ConfigError, AlreadyRunning: it cannot start.
        BirdwatchdError: it broke down several times in a row.
    """
    share_one_heap()
    hints: queue.SimpleQueue[Hint | Stirred | Chore | type[StopIteration]] = queue.SimpleQueue()
    with ExitStack() as stack:
        files, store = stack.enter_context(bird_folder(settings.root))
        stop = _Stop(hints.put)
        stack.enter_context(_signals(stop))
        notifier = Notifier.from_environment()
        poll = settings.inbox.poll or files.inbox_is_remote
        watch = Watch(files.path(shelving.INBOX), hints.put, poll=poll)
        stack.callback(watch.stop)
        shelf_watch = Watch(files.root, lambda path: hints.put(Stirred(path)), poll=False, only=SHELVES)
        stack.callback(shelf_watch.stop)
        worker = Worker(
            settings,
            files,
            store,
            load_spotter=spotter_loader(settings),
            watch=watch,
            shelf_watch=shelf_watch,
            notifier=notifier,
            stopping=lambda: stop.wanted,
        )
        worker.open_eye()
        worker.resume()
        if stop.wanted:
            return
        watch.start()  # before the first sweep, so that nothing falls between the two
        shelf_watch.start()
        worker.sweep()
        notifier.ready(worker.in_words())
        announce(f"birdwatchd is ready: drop photos into {files.path(shelving.INBOX)}")
        stack.callback(worker.keeper.close)
        stack.callback(worker.retraining.close)
        stack.callback(worker.reporting.close)
        stack.callback(worker.note_stop)
        stack.callback(notifier.stopping)
        look_at_clock = stack.enter_context(
            _timetable(lambda name: hints.put(Chore(name)), lambda why: worker.condition.trouble("timetable", why))
        )
        look_after_page = stack.enter_context(_page_beside(page, worker.condition))
        _work(worker, hints, lambda: (look_at_clock(), look_after_page()), stopping=lambda: stop.wanted)


@contextmanager
def _page_beside(words: Sequence[str] | None, condition: Condition) -> Iterator[Callable[[], None]]:
    """The page as a process of its own. Whatever becomes of it, photos are taken."""
    if words is None:
        yield lambda: None
        return
    page = Companion(
        words,
        trouble=lambda how: condition.trouble(
            "page", f"the page does not stay: {how} (its own words say why; it is tried again by itself)"
        ),
        fine=lambda: condition.fine("page"),
        clock=monotonic,
    )
    try:
        yield page.look_after
    finally:
        page.end()


class _Stop:
    """The word to stop, which a signal may give at any moment: no lock in it, for a second signal may come in the midst of the first.

    (`threading.Event` has one, and waits for itself for ever; `SimpleQueue.put` is made for this.)
    """

    def __init__(self, put: Callable[[type[StopIteration]], None]) -> None:
        self._put = put
        self.wanted = False

    def __call__(self) -> None:
        self.wanted = True
        self._put(StopIteration)


def _work(
    worker: Worker,
    hints: "queue.SimpleQueue[Any]",
    look_around: Callable[[], object],
    stopping: Callable[[], bool],
) -> None:
    pause_s, breakdowns = 0.0, 0
    while (
        not stopping()
    ):  # the word on the queue only ends the waiting: what breaks down before it is read would lose it
        try:
            look_around()
            _hear(worker, hints, pause_s)
            if stopping():
                break
            pause_s = worker.step()
            breakdowns = 0
        except ConfigError:
            raise
        except Exception as error:
            breakdowns += 1
            log.exception("unforeseen; the photo at hand is tried once more, then set aside")
            if breakdowns >= MAX_BREAKDOWNS:
                raise BirdwatchdError(
                    "birdwatchd broke down several times in a row", hint="see the log above"
                ) from error
            pause_s = TICK_S
    log.info("stopping")


def _hear(worker: Worker, hints: "queue.SimpleQueue[Any]", pause_s: float) -> None:
    """Wait for a hint at most that long, then pass on all there are; none any more after the word to stop."""
    heard: dict[Any, None] = {}
    try:
        heard[hints.get(timeout=pause_s) if pause_s > 0 else hints.get_nowait()] = None
        while True:
            heard[hints.get_nowait()] = None
    except queue.Empty:
        pass
    for one in heard:
        if one is StopIteration:
            return
        if isinstance(one, Chore):
            worker.do_chore(one)
        elif isinstance(one, Stirred):
            worker.shelves_stirred(one)
        else:
            worker.hint(one)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT only put a word on the queue; a second one of them finds the default handler again.

    SIGHUP means a closed terminal where there is one, and often comes twice; elsewhere somebody asks for settings to be read anew,
    which needs a restart. nohup(1) has it ignored.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        stop()
        signal.signal(number, before[number])

    before: dict[int, Any] = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    closed_is_stop = sys.stderr.isatty() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, (lambda *_: stop()) if closed_is_stop else signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _timetable(do: Callable[[str], None], on_trouble: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """APScheduler in its own thread; late chores are done once, never dropped, never twice at a time.

    It goes by the wall clock: set back by a year, it would sleep for a year. So what this yields is to be called now and then; when the
    wall clock has leaped against the one that nobody sets, chores that are late or too far away are done soon, as after a start.
    """
    from apscheduler.schedulers.background import BackgroundScheduler  # 0.1 s that READY need not wait for

    scheduler = BackgroundScheduler(
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}, timezone=UTC
    )
    for name, hours in CHORES:
        # Soon after the start too: a machine that is switched off every night would never get to a daily chore.
        scheduler.add_job(
            do, "interval", [name], hours=hours, id=name, next_run_time=datetime.now(UTC) + FIRST_CHORES_AFTER
        )
    try:
        scheduler.start()
    except RuntimeError as error:  # no thread left; photos are worth more than chores
        on_trouble(f"chores are not done: {error} (end programs that have too many, then restart birdwatchd)")
        yield lambda: None
        return
    ahead_s = time.time() - monotonic()

    def look_at_clock() -> None:
        nonlocal ahead_s
        before_s, ahead_s = ahead_s, time.time() - monotonic()
        if abs(ahead_s - before_s) < LEAP_S:
            return
        log.info("the clock was set, or the machine slept: %+.0f s", ahead_s - before_s)
        now = datetime.now(UTC)
        scheduler.pause()  # else it might find one late that is just being put off
        for name, hours in CHORES:
            if not now < scheduler.get_job(name).next_run_time <= now + timedelta(hours=hours):
                scheduler.modify_job(name, next_run_time=now + FIRST_CHORES_AFTER)
        scheduler.resume()

    try:
        yield look_at_clock
    finally:
        scheduler.shutdown()


@dataclass(frozen=True, slots=True)
class Scanned:
    """Summary of one `scan`.

    Attributes:
        verdicts: how many photos came to rest in each state.
        waiting: files left in the inbox, and why.
        seconds: from the first claim to the last receipt.
        problems: what hindered it, each with what to do; empty when all went well.
    """

    photos: int
    verdicts: dict[str, int]
    waiting: dict[str, Waiting]
    seconds: float
    problems: list[str]


def scan(settings: Settings, *, sleep: Callable[[float], None], progress: Callable[[int, int], None]) -> Scanned:
    """Empty the inbox once: the daemon's own steps, without the watching.

    Args:
        progress: told how many are done, and how many are known of so far.

    Raises:
        ConfigError, AlreadyRunning: it cannot start.
    """
    share_one_heap()
    with bird_folder(settings.root) as (files, store):
        worker = Worker(settings, files, store, load_spotter=spotter_loader(settings), wall_clock=time.time)
        worker.open_eye()
        worker.resume()
        worker.sweep()
        worker.notice()
        until = monotonic() + settings.inbox.settle_s * REMOTE_FACTOR
        if worker.waiting() or worker.noticing.waits():
            sleep(settings.inbox.settle_s)
        worker.sweep()
        while worker.take_settled() or _worth_waiting_for(worker, until, sleep):
            progress(worker.condition.tally.photos, worker.condition.tally.photos + len(worker.waiting()))
        worker.notice()
        worker.end_visits()
        worker.sweep()  # what is left, and why
        problems = list(worker.condition.problems.values())
        return Scanned(
            worker.condition.tally.photos,
            dict(worker.condition.tally.verdicts),
            worker.waiting(),
            worker.condition.tally.seconds,
            problems,
        )


def _worth_waiting_for(worker: Worker, until: float, sleep: Callable[[float], None]) -> bool:
    """Whether something will have settled soon: files of other users need longer, and nobody else may come to take them."""
    soon = {Waiting.FRESH, Waiting.LONGER}
    if worker.condition.problems or monotonic() >= until or not any(why in soon for why in worker.waiting().values()):
        return False
    sleep(TICK_S)
    return True
