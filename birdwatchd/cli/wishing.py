"""A wish of a command: left in the log, then fulfilled by the daemon, or by this command when no daemon runs."""

import getpass
import time
from typing import Any

from birdwatchd.cli.printing import Advance, tell
from birdwatchd.core import shelving
from birdwatchd.core.errors import AlreadyRunning, Refused, TransientError
from birdwatchd.core.settings import Settings
from birdwatchd.desk import next_of
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Elsewhere, Request, Store
from birdwatchd.service import spotter_loader
from birdwatchd.worker import Worker

POLL_S = 0.1


def wish(settings: Settings, kind: str, arguments: dict[str, Any], advance: Advance) -> dict[str, Any]:
    """Have something done by whoever may move photos; returns what came of it.

    Raises:
        Refused: it could not be done.
    """
    files = Files(settings.root)
    files.check()
    with Store.open(files.path(shelving.DATABASE), migrate=False) as store:
        number = store.requests.ask(kind, arguments, actor=_user(), at=now_utc())
        try:
            request = _follow(settings, files, store, advance, number)
        except BaseException:  # also Ctrl-C: what nobody waits for any more shall not be done later
            if not store.requests.withdraw(number):
                called_off = {
                    "error": "it was called off",
                    "hint": "what was done until then stays; ask again to go on",
                }
                store.requests.finish(number, "failed", called_off, at=now_utc())
            raise
    if request.outcome == "failed":
        raise Refused(str(request.result["error"]), hint=str(request.result["hint"]))
    return request.result


def _follow(settings: Settings, files: Files, store: Store, advance: Advance, number: int) -> Request:
    """Until it is fulfilled, by a daemon or by us."""
    told = ""
    while (request := store.requests.get(number)).outcome is None:
        try:
            with files.lock():
                _fulfil_all(settings, files, store, advance, until=number)
        except AlreadyRunning:  # a daemon has the folder: it looks for wishes twice a second
            _advance(advance, request.result)
            if (waiting := str(request.result.get("waiting", ""))) != told:
                tell(f"birdwatchd cannot do it yet: {waiting}")
                told = waiting
            time.sleep(POLL_S)
    return request


def _fulfil_all(settings: Settings, files: Files, store: Store, advance: Advance, *, until: int) -> None:
    """Do what a daemon would do first: end what was cut short, then every open wish up to this one."""
    worker = Worker(settings, files, store, load_spotter=spotter_loader(settings))
    worker.open_eye()
    worker.resume()
    waiting: set[int] = set()
    trouble: TransientError | None = None
    while (request := next_of(store.requests, _open_up_to(store, until), waiting)) is not None:
        try:
            for progress in worker.review.fulfil(request):
                _advance(advance, progress)
                if isinstance(progress, Elsewhere):
                    time.sleep(POLL_S)
        except TransientError as error:
            if request.id == until:
                raise
            waiting.add(request.id)  # another's wish may wait; ours is what somebody sits before
            trouble = error
    if (
        trouble is not None and store.requests.get(until).outcome is None
    ):  # ours has to wait for one about the same photo
        raise trouble


def _open_up_to(store: Store, number: int) -> list[Request]:
    return [request for request in store.requests.open() if request.id <= number]


def _advance(advance: Advance, progress: dict[str, Any]) -> None:
    if "total" in progress:
        advance(int(progress["done"]), int(progress["total"]))
    elif "what" in progress:
        advance(round(100 * float(progress["done"])), 100, str(progress["what"]))


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return None
