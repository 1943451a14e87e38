"""Watching an inbox, or the shelves: started, looked after, started anew, and honest about what it cannot see.

watchdog calls back in its own thread. A handler that raises would end that thread for good, and one that works would make it late;
so it only passes the path on, to something that never blocks.
"""

import logging
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserverVFS
from watchdog.utils import BaseThread

from birdwatchd.edges.watch.kernel import Emitter, Kernel, in_words

HEARD = [
    FileCreatedEvent, FileModifiedEvent, FileAttribEvent, FileClosedEvent, FileMovedEvent, DirCreatedEvent, DirMovedEvent,
]  # fmt: skip
"""Reading a photo makes opened and closed events too; listening to those would feed the daemon its own tail."""

POLL_S = 5.0
STOP_WITHIN_S = 5.0

OVERFLOWED = (
    "more happened in the inbox at once than the system could tell of; the sweep finds the rest"
    " (more room: sudo sysctl fs.inotify.max_queued_events=131072)"
)

Hint = str | None
"""A path relative to the inbox, or None: look everywhere."""


class _Handler(FileSystemEventHandler):
    def __init__(self, inbox: Path, put: Callable[[Hint], None]) -> None:
        self._inbox = str(inbox)
        self._put = put

    def on_any_event(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            text = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else str(path)
            if text.startswith(f"{self._inbox}/"):
                self._put(None if event.is_directory else text[len(self._inbox) + 1 :])


@dataclass(frozen=True, slots=True)
class _Running:
    """What watches now: its threads, and the folder it looks at."""

    observer: BaseObserver
    kernel: Kernel | None
    folders: tuple[tuple[int, int], ...]
    emitters: tuple[BaseThread, ...] = ()

    @classmethod
    def begun(
        cls, handler: _Handler, watched: Sequence[Path], observer: BaseObserver, kernel: Kernel | None
    ) -> "_Running":
        folders: tuple[tuple[int, int], ...] = ()
        try:
            folders = tuple(map(_identity, watched))  # before the rest: if one is replaced meanwhile, that is noticed
            for folder in watched:
                observer.schedule(handler, str(folder), recursive=True, event_filter=HEARD)
            observer.start()
            if kernel is not None:
                kernel.start()
        except (OSError, RuntimeError):  # no watches, no handles or no threads left
            cls(observer, kernel, folders).end()
            raise
        return cls(observer, kernel, folders, tuple(observer.emitters))

    @property
    def threads(self) -> tuple[BaseThread, ...]:
        return (self.observer, *self.emitters, *([self.kernel] if self.kernel is not None else []))

    def end(self) -> None:
        # It complains of each event that comes after this, at the level of an error.
        logging.getLogger("watchdog").setLevel(logging.CRITICAL)
        for thread in self.threads:
            thread.stop()  # also when it is not alive: it owns threads or handles that may be
            if thread.is_alive():
                thread.join(STOP_WITHIN_S)
        logging.getLogger("watchdog").setLevel(logging.NOTSET)


class Watch:
    """Watches one inbox, or some folders beside each other, and passes hints on.

    Args:
        put: is called in watchdog's threads; must not block or raise.
        poll: compare listings every few seconds instead of asking the kernel; for network folders, whose events never arrive.
        only: folders in `inbox` that are watched instead of all of it. They may be large, so that they are never polled.

    Attributes:
        overflows: how often the kernel had more to tell than its queue could hold.
    """

    def __init__(self, inbox: Path, put: Callable[[Hint], None], *, poll: bool, only: Sequence[str] = ()) -> None:
        self._inbox = inbox
        self._watched = [inbox / folder for folder in only] or [inbox]
        self._may_poll = not only
        self._put = put
        self._poll = poll
        self._running: _Running | None = None
        self._hindrance: str | None = "not started"
        self._overflows_told = 0
        self._overflowed_lately = False
        self.overflows = 0

    def start(self) -> None:
        """Begin to watch. What hinders that is a `problem`, not an error: the sweep still finds everything.

        Where the kernel gives no events, listings are compared instead.
        """
        self.stop()
        self._hindrance = None
        ways = [self._by_events] * (not self._poll) + [self._by_polling] * self._may_poll
        for begin in ways:
            try:
                self._running = begin()
            except (OSError, RuntimeError) as error:
                self._hindrance = self._hindrance or in_words(error)
            else:
                break
        if self._hindrance is not None:
            how = "are found only by the sweep" if self._running is None else f"are looked for every {POLL_S:g} s"
            self._hindrance = f"new files {how}: {self._hindrance}"

    def stop(self) -> None:
        """Stop watching and wait for the threads."""
        if self._running is not None:
            self._running.end()
            self._running = None
            self._hindrance = "stopped"

    def is_well(self) -> bool:
        """Whether somebody watches, and the folder that lies there now. Cheap; may be asked at any time.

        The observer's own `is_alive` says nothing of the threads that do the watching.
        """
        running = self._running
        if running is None or not all(thread.is_alive() for thread in running.threads):
            return False
        try:
            return tuple(map(_identity, self._watched)) == running.folders
        except OSError:
            return False

    def revive(self) -> bool:
        """Start anew what has died, looks at a folder that was replaced, or could see more by now.

        Returns:
            True if it had to, and watches again. Nobody looked meanwhile: it asks for a look everywhere.
        """
        self._overflowed_lately = self.overflows > self._overflows_told
        self._overflows_told = self.overflows
        if self._running is not None and self.is_well() and not self._could_see_more(self._running):
            return False
        self.stop()
        self.start()
        if self._running is None:
            return False
        self._put(None)
        return True

    @property
    def kind(self) -> str:
        """How new files are noticed, in a word: events, polling, or sweep when neither works."""
        if self._running is None:
            return "sweep"
        return "polling" if self._running.kernel is None else "events"

    @property
    def problem(self) -> str | None:
        """What is amiss, and what to do; None when all is well. An overflow is told until the next `revive` but one."""
        if self._hindrance is not None:
            return self._hindrance
        if self._running is not None and self._running.kernel is not None and (missed := self._running.kernel.missed):
            return f"new files in {len(missed)} folders of the inbox are found only by the sweep: {in_words(missed[0])}"
        return OVERFLOWED if self._overflowed_lately else None

    def _by_events(self) -> _Running:
        kernel = Kernel(on_overflow=self._overflowed, on_end=lambda: self._put(None))
        observer = BaseObserver(Emitter, inotify_fd=kernel)
        return _Running.begun(_Handler(self._inbox, self._put), self._watched, observer, kernel)

    def _by_polling(self) -> _Running:
        observer = PollingObserverVFS(os.lstat, os.scandir, polling_interval=POLL_S)
        return _Running.begun(_Handler(self._inbox, self._put), self._watched, observer, None)

    def _overflowed(self) -> None:
        self.overflows += 1
        self._put(None)

    def _could_see_more(self, running: _Running) -> bool:
        if running.kernel is not None:
            return running.kernel.could_watch_more()
        if self._poll:
            return False
        try:
            self._by_events().end()
        except (OSError, RuntimeError):
            return False
        return True


def _identity(folder: Path) -> tuple[int, int]:
    """Device and inode of a real folder; a link in its place leads to where nobody asked us to look."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{folder} is no folder any more")
    return found.st_dev, found.st_ino
