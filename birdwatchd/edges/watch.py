"""The window: something happened at this path. Only a hint; the sweep finds what no event told of.

watchdog calls back in its own thread. A handler that raises would end that thread for good, and one that works would make it late;
so it only passes the path on, to something that never blocks.
"""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserverVFS
from watchdog.utils import BaseThread

HEARD = [FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileMovedEvent, DirCreatedEvent, DirMovedEvent]
"""Reading a photo makes opened and closed events too; listening to those would feed the daemon its own tail."""

POLL_S = 5.0
STOP_WITHIN_S = 5.0

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


class Watch:
    """Watches one inbox and passes hints on.

    Args:
        put: is called in watchdog's thread; must not block or raise.
        poll: compare listings every few seconds instead of asking the kernel; for network folders, whose events never arrive.
    """

    def __init__(self, inbox: Path, put: Callable[[Hint], None], *, poll: bool) -> None:
        self._inbox = inbox
        self._put = put
        self._poll = poll
        self._observer: BaseObserver | None = None
        self._folder = (0, 0)
        self._threads: list[threading.Thread] = []
        self.problem: str | None = "not started"

    def start(self) -> None:
        """Begin to watch; a kernel that cannot (no watches left) is a `problem`, not an error: the sweep still finds everything."""
        before = threading.enumerate()
        observer: BaseObserver | None = None
        try:
            observer = PollingObserverVFS(os.lstat, os.scandir, polling_interval=POLL_S) if self._poll else Observer()
            observer.schedule(_Handler(self._inbox, self._put), str(self._inbox), recursive=True, event_filter=HEARD)
            observer.start()
            self._folder = _identity(self._inbox)
        except OSError as error:
            self.problem = f"new files are found only by the sweep: {error.strerror or error}"
            if observer is not None:
                self._end(observer)
            return
        self._threads = [
            thread for thread in threading.enumerate() if isinstance(thread, BaseThread) and thread not in before
        ]
        self._observer = observer
        self.problem = None

    def stop(self) -> None:
        """Stop watching and wait for the threads."""
        if self._observer is not None:
            self._end(self._observer)
            self._observer = None
            self.problem = "stopped"

    def is_well(self) -> bool:
        """Whether what was started still watches; cheap. True also where nothing could be started: then the sweep finds everything."""
        return self._observer is None or self._is_well(self._observer)

    def revive(self) -> bool:
        """Start anew if the watching has died or looks at a folder that was replaced; True if it had to be."""
        if self._observer is not None and self._is_well(self._observer):
            return False
        self.stop()
        self.start()
        return True

    @property
    def kind(self) -> str:
        """How new files are noticed, in a word: events, polling, or sweep when neither works."""
        if self._observer is None:
            return "sweep"
        return "polling" if self._poll else "events"

    def _is_well(self, observer: BaseObserver) -> bool:
        """The observer's own `is_alive` says nothing of the threads that do the watching (measured: watchdog 7.1.0)."""
        try:
            same_folder = _identity(self._inbox) == self._folder
        except OSError:
            return False
        return same_folder and bool(observer.emitters) and all(thread.is_alive() for thread in self._threads)

    @staticmethod
    def _end(observer: BaseObserver) -> None:
        # It complains of each event that comes after this, at the level of an error.
        logging.getLogger("watchdog").setLevel(logging.CRITICAL)
        observer.stop()  # also when it is not alive: it owns threads that may be
        if observer.is_alive():
            observer.join(STOP_WITHIN_S)
        logging.getLogger("watchdog").setLevel(logging.NOTSET)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino
