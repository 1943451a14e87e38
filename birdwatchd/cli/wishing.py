"""A wish of a command: left in the log, then fulfilled by the daemon, or by this command when no daemon runs."""

import getpass
import time
from typing import Any

from birdwatchd.cli.printing import Advance
from birdwatchd.core import shelving
from birdwatchd.core.errors import AlreadyRunning, BirdwatchdError, UsageError
from birdwatchd.core.settings import Settings
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store
from birdwatchd.service import spotter_loader
from birdwatchd.worker import Worker

POLL_S = 0.1


def wish(settings: Settings, kind: str, arguments: dict[str, Any], advance: Advance) -> dict[str, Any]:
    """Have something done by whoever may move photos; returns what came of it.

    Raises:
        UsageError: it could not be done; nothing was changed.
    """
    files = Files(settings.root)
    files.check()
    with Store.open(files.path(shelving.DATABASE)) as store:
        number = store.requests.ask(kind, arguments, actor=_user(), at=now_utc())
        while (request := store.requests.get(number)).outcome is None:
            try:
                with files.lock():
                    _fulfil_all(settings, files, store, advance, until=number)
            except AlreadyRunning:  # a daemon has the folder: it looks for wishes twice a second
                _advance(advance, request.result)
                time.sleep(POLL_S)
            except BirdwatchdError:
                store.requests.withdraw(number)
                raise
    if request.outcome == "failed":
        raise UsageError(str(request.result["error"]), hint=str(request.result["hint"]))
    return request.result


def _fulfil_all(settings: Settings, files: Files, store: Store, advance: Advance, *, until: int) -> None:
    """Do what a daemon would do first: end what was cut short, then every open wish up to this one."""
    worker = Worker(settings, files, store, load_spotter=spotter_loader(settings))
    worker.open_eye()
    worker.resume()
    while (request := store.requests.next_open()) is not None and request.id <= until:
        for progress in worker.review.fulfil(request):
            _advance(advance, progress)


def _advance(advance: Advance, progress: dict[str, Any]) -> None:
    if "total" in progress:
        advance(int(progress["done"]), int(progress["total"]))


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return None
