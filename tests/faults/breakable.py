"""birdwatchd with a stub eye, whose watching breaks where the name of a new file asks for it: `python -m tests.faults.breakable run …`.

With BLIND=1 in the environment it watches nothing at all, and does not know.
"""

import os
from typing import Any

from watchdog.events import FileSystemEvent
from watchdog.observers.inotify_c import InotifyEvent

from birdwatchd import service
from birdwatchd.cli import main
from birdwatchd.edges.watch import Watch, window
from birdwatchd.edges.watch.kernel import Emitter, Kernel
from tests.service.stubbed import stub_loader


class Broken(RuntimeError):
    """What ends a thread here."""


def break_on_request() -> None:
    """Each of the three threads raises at the first file that names it."""
    read, build, hear = Kernel.handle_event, Emitter.build_and_queue_event, window._Handler.on_any_event

    def reader(kernel: Kernel, event: InotifyEvent) -> None:
        if b"break the reader" in event.name:
            raise Broken
        read(kernel, event)

    def emitter(emitter: Emitter, event: Any, **how: Any) -> None:
        if "break the emitter" in str(event):
            raise Broken
        build(emitter, event, **how)

    def dispatcher(handler: window._Handler, event: FileSystemEvent) -> None:
        if "break the dispatcher" in str(event.src_path):
            raise Broken
        hear(handler, event)

    broken: Any
    for broken, method, instead in (
        (Kernel, "handle_event", reader),
        (Emitter, "build_and_queue_event", emitter),
        (window._Handler, "on_any_event", dispatcher),
    ):
        setattr(broken, method, instead)


class BlindWatch(Watch):
    """A watch that sees nothing and believes to be well."""

    def start(self) -> None:
        self._hindrance = None

    def is_well(self) -> bool:
        return True

    def revive(self) -> bool:
        return False


if __name__ == "__main__":
    break_on_request()
    if os.environ.get("BLIND"):
        parts: Any = service
        parts.Watch = BlindWatch
    service.spotter_loader = stub_loader
    main()
