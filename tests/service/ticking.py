"""The stubbed daemon with its real timetable, each chore soon after the start, and told on standard error when it is done.

With TICKING_STUCK set, a dozen chores are added that never end: they fill every thread that the timetable has.
"""

import logging
import os
import threading
from datetime import timedelta

from birdwatchd import service
from birdwatchd.cli import main
from birdwatchd.worker import Chore, Worker
from tests.service.stubbed import stub_loader

DO = Worker.do_chore


def do_and_tell(worker: Worker, chore: Chore) -> None:
    DO(worker, chore)
    logging.getLogger("ticking").info("did the chore %s", chore.name)


def never_ending(name: str) -> Chore:
    """In place of a word on the queue."""
    if name.startswith("stuck"):
        threading.Event().wait()
    return Chore(name)


if __name__ == "__main__":
    service.spotter_loader = stub_loader
    service.FIRST_CHORES_AFTER = timedelta(seconds=0.3)
    Worker.do_chore = do_and_tell  # type: ignore[method-assign, assignment]
    if os.environ.get("TICKING_STUCK"):
        service.CHORES = tuple((f"stuck {number}", 1.0) for number in range(12)) + service.CHORES
        vars(service)["Chore"] = never_ending
    main()
