"""Pages that listen, against a real server."""

import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from birdwatchd.core import shelving
from birdwatchd.edges.store import Store
from birdwatchd.web.events import LISTENERS_MAX
from tests.gardens import picture
from tests.service.running import STUBBED, daemon, until
from tests.web.serving import Served, page_of


@pytest.fixture
def served(root: Path) -> Iterator[Served]:
    """A page over an empty log; no daemon runs."""
    Store.open(root / shelving.DATABASE).close()
    with page_of(root) as one:
        yield one


class Ear:
    """Hears one stream of events."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()

    def next(self) -> tuple[str, Any]:
        """The next event; the server's own time limit ends a wait in vain."""
        name = ""
        for line in self._lines:
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))
        return "end", None

    def until(self, wanted: str) -> Any:
        """The facts of the next event of that name."""
        while True:
            name, facts = self.next()
            if name == wanted:
                return facts
            assert name != "end", f"the stream ended before {wanted}"


def test_new_photos_are_heard_of_and_so_is_the_daemon(root: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(daemon(root, command=STUBBED))
        served = stack.enter_context(page_of(root))
        client = stack.enter_context(served.client())
        ear = Ear(stack.enter_context(client.stream("GET", "/api/events")))
        assert ear.until("photos") == {"arrived": 0, "newest_photo": 0}
        assert ear.until("status")["running"] is True
        assert ear.until("model") == {"serving": None}
        for number in range(3):
            (root / "inbox" / f"{number}.jpg").write_bytes(picture("bluetit", number))
        while ear.until("photos")["arrived"] < 3:
            pass
        wish = client.post("/api/train", json={}).json()["wish"]
        assert ear.until("wish") == {"wish": wish, "kind": "train", "outcome": "failed"}


def test_who_comes_back_hears_of_all_since_then(served: Served) -> None:
    add_photos(served.root, 5)
    with served.client() as client, client.stream("GET", "/api/events?after=2") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert Ear(answer).until("photos") == {"arrived": 3, "newest_photo": 5}


def add_photos(root: Path, count: int) -> None:
    with sqlite3.connect(root / shelving.DATABASE) as db:
        for number in range(count):
            db.execute(
                "INSERT INTO photos (original_name, received_at, bytes, path, state)"
                " VALUES (?, '2026-05-01T00:00:00Z', 1, ?, 'review')",
                (f"{number}.jpg", f"review/{number}.jpg"),
            )


def test_places_are_few_and_come_free(served: Served) -> None:
    with served.client() as client:
        with ExitStack() as stack:
            ears = [Ear(stack.enter_context(client.stream("GET", "/api/events"))) for _ in range(LISTENERS_MAX)]
            for ear in ears:
                ear.next()
            full = client.get("/api/events")
            assert (full.status_code, full.headers["retry-after"]) == (503, "5")
            assert full.json()["error"] == "too many pages are open at once"
            assert client.get("/api/models").status_code == 200  # nobody waits for listeners
        until("a place", lambda: begins(client))


def begins(client: httpx.Client) -> bool:
    with client.stream("GET", "/api/events") as answer:
        return answer.status_code == 200


def test_the_server_ends_although_somebody_listens(root: Path) -> None:
    Store.open(root / shelving.DATABASE).close()
    with ExitStack() as stack:
        served = stack.enter_context(page_of(root))
        client = stack.enter_context(served.client())
        ear = Ear(stack.enter_context(client.stream("GET", "/api/events")))
        ear.until("model")
        served.process.terminate()
        assert ear.next() == ("end", None)  # a whole end, no broken line
        assert served.process.wait(30) in (0, -signal.SIGTERM)


def test_a_log_that_was_put_back_is_told_of(served: Served) -> None:
    root = served.root
    shutil.copy(root / shelving.DATABASE, root / "older.db")
    add_photos(root, 4)
    with served.client() as client, client.stream("GET", "/api/events") as answer:
        ear = Ear(answer)
        assert ear.until("photos") == {"arrived": 0, "newest_photo": 4}
        for end in ("-wal", "-shm"):
            (root / f"{shelving.DATABASE}{end}").unlink(missing_ok=True)
        (root / "older.db").rename(root / shelving.DATABASE)
        assert ear.until("replaced") == {"newest_photo": 0}


def test_a_log_that_cannot_be_read_is_told_of_once_and_so_is_its_return(served: Served) -> None:
    root = served.root
    with served.client() as client, client.stream("GET", "/api/events") as answer:
        ear = Ear(answer)
        ear.until("model")
        (root / shelving.RESTORE_PLAN).write_text("{}")
        (root / shelving.DATABASE).rename(root / "away.db")
        assert "just being restored" in ear.until("trouble")["error"]
        (root / "away.db").rename(root / shelving.DATABASE)
        (root / shelving.RESTORE_PLAN).unlink()
        assert ear.next() == ("fine", {})


def test_strangers_hear_nothing(served: Served) -> None:
    with served.stranger() as stranger:
        assert stranger.get("/api/events").status_code == 401


def test_a_number_that_is_none_is_refused(served: Served) -> None:
    with served.client() as client:
        assert client.get("/api/events?after=x").status_code == 422
        assert client.get("/api/events?after=-1").status_code == 422
