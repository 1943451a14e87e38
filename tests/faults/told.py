"""What a running daemon has done, and what it says of itself: in the log, to the service manager, and through `doctor`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from birdwatchd.core.photo import State
from birdwatchd.edges.store import Row, Store
from tests import books
from tests.service.running import Daemon, birdwatchd, until


def states(root: Path) -> dict[str, int]:
    """How many photos are in each state."""
    with Store.read_only(root / "birdwatchd.db") as store:
        return store.questions.states()


def at_rest(root: Path) -> int:
    """How many journeys have ended."""
    found = states(root)
    return sum(found.values()) - found.get(State.CLAIMED, 0) - found.get(State.DECIDED, 0)


def ended(root: Path, count: int) -> Callable[[], bool]:
    """For `until`: so many journeys have ended."""
    return lambda: at_rest(root) == count


def rows(root: Path, what: str = "*") -> list[Row]:
    """The photos in the log."""
    with Store.read_only(root / "birdwatchd.db") as store:
        return store.connection.rows(f"SELECT {what} FROM photos ORDER BY id")  # noqa: S608  # our own words


def status(root: Path) -> dict[str, Any]:
    """The row that the daemon writes each sweep."""
    with Store.read_only(root / "birdwatchd.db") as store:
        return dict(store.requests.status() or {})


def kept(root: Path) -> list[str]:
    """Contents of all photos that have come to rest."""
    return list(books.files_in(root, *books.RESTING).values())


def everybody_says(root: Path, running: Daemon, words: str, *, doctor: str | None = None) -> None:
    """Wait until the status row says so; `doctor` must too, in these or its own words, and the line for the service manager."""
    until(f"a status that says {words!r}", lambda: words in str(status(root).get("problems")))
    examined = birdwatchd("doctor", root=root)
    assert (doctor or words) in examined.stdout, examined.stdout
    assert examined.returncode == 1
    until(f"a line for systemd that says {words!r}", lambda: any(words in one for one in running.notices()))


def nobody_complains(root: Path) -> None:
    """Wait until the trouble is over."""
    until("a status without problems", lambda: status(root).get("problems") == "[]")
