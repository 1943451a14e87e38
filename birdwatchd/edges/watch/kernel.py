"""The line to the kernel: watchdog's own, made to tell what watchdog keeps to itself.

Read in watchdog 7.1.0: a folder below the inbox that cannot be watched is passed over in silence; after an overflow of the kernel's
queue only a warning is logged; and the one thread that reads for all may end at an error, after which nothing is ever heard again
(moving a folder out, making a new one of its name and deleting both is enough).
"""

import errno
import logging
import os
from collections.abc import Callable

from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

log = logging.getLogger(__name__)

CAUSES = {
    errno.ENOSPC: "no watches are left (more: sudo sysctl fs.inotify.max_user_watches=524288)",
    errno.EMFILE: "no line to the kernel is left (more: sudo sysctl fs.inotify.max_user_instances=512)",
}

NOT_WATCHED = WatchDescriptor(-1)
"""watchdog's answer where rights keep it out of a folder."""


def in_words(error: Exception) -> str:
    """Why watching failed, and what to do where we know it."""
    if isinstance(error, OSError):
        return CAUSES.get(error.errno or 0) or error.strerror or str(error)
    return str(error)


class Emitter(InotifyEmitter):
    """Hears of arrivals only.

    watchdog holds everything back for half a second after a departure, in case it turns out to be half of a move. Each photo that we
    claim is a departure; without them a move within the inbox is heard of as an arrival, which is all that we want to know.
    """

    def get_event_mask_from_filter(self) -> Mask:
        return Mask(super().get_event_mask_from_filter() & ~InotifyConstants.IN_MOVED_FROM)


class Kernel(InotifyFD):
    """One inotify instance and the thread that reads from it.

    Args:
        on_overflow: is called in that thread when events were lost and all folders are watched again.
        on_end: is called in that thread when it ends at an error.
    """

    def __init__(self, *, on_overflow: Callable[[], None], on_end: Callable[[], None]) -> None:
        self._on_overflow = on_overflow
        self._on_end = on_end
        self._missed: dict[bytes, tuple[OSError, Mask, WatchCallback, CallbackId]] = {}
        self._inotify_fd = -1
        try:
            super().__init__()
        except OSError:
            if self._inotify_fd >= 0:  # no handle was left for the rest of it
                os.close(self._inotify_fd)
            raise
        self._is_reading = False  # not before its thread runs: else one that never starts leaves its handles open

    @property
    def missed(self) -> list[OSError]:
        """Why folders are not watched that should be, one error each; closed folders not among them."""
        return [error for error, *_ in self._missed.copy().values() if error.errno != errno.EACCES]

    def add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
        """Watch one folder, and remember it if that fails: watchdog does not ask again."""
        try:
            descriptor = self._watched(path, mask, callback, id_)
        except (FileNotFoundError, NotADirectoryError):
            self._missed.pop(path, None)
            raise
        except OSError as error:
            self._missed[path] = (error, mask, callback, id_)
            raise
        self._missed.pop(path, None)
        return descriptor

    def could_watch_more(self) -> bool:
        """Whether a folder that could not be watched could be now; forgets those that are gone."""
        for path, (_, mask, callback, id_) in self._missed.copy().items():
            try:
                descriptor = self._watched(path, mask, callback, id_)
            except (FileNotFoundError, NotADirectoryError):
                self._missed.pop(path, None)
            except OSError:
                continue
            else:
                self.remove_callbacks([(descriptor, id_)])
                return True
        return False

    def handle_event(self, event: InotifyEvent) -> None:
        """Pass an event on; told of an overflow only after the folders are watched again, so that a look then misses nothing."""
        super().handle_event(event)
        if event.is_queue_overflow:
            self._on_overflow()

    def run(self) -> None:
        """Read until stopped."""
        try:
            super().run()
        except Exception:
            log.exception("the thread that hears of new files broke; it is started anew")
            self._is_reading = False  # so that `stop` closes the handles
            self._on_end()

    def _watched(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
        descriptor = super().add_callback(path, mask, callback, id_)
        if descriptor == NOT_WATCHED:
            self.remove_callbacks([(descriptor, id_)])
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return descriptor

    def _add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
        """watchdog's own, without its warning: a folder that appears while its parent is being walked is always found twice."""
        watch = self._get_or_create_watch(path, mask)
        watch.callbacks[id_] = callback
        return watch.wd
