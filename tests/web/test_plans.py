"""No page reads through a table that grows with the photos: every question goes by an index, whatever it is about."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from birdwatchd.core import shelving
from birdwatchd.core.hosts import own_hosts
from birdwatchd.core.settings import Settings
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Connection, Store
from birdwatchd.web.access import Doorman, Keys, token_of
from birdwatchd.web.app import build_app
from birdwatchd.web.server import token_file
from tests.edges.test_store import NOW, arrive, say
from tests.web.test_garden import TODAY, garden

SMALL = {
    "models": "one row for each training",
    "trainings": "the same",
    "taken_back": "models that were taken back",
    "status": "one row",
    "requests": "those that were fulfilled long ago are forgotten",
    "names": "a common table, a row for each label or camera",
    "json_each": "what was asked for",
    "photo": "json_each under another name",
    "CONSTANT": "no table",
    "turn": "two rows",
    "visits_looked_at": "one row",
    "journeys": "photos on their way",
}

PAGES = (
    "/",
    "/?period=today",
    "/?period=month",
    "/?period=year",
    "/review",
    "/photos",
    "/photos?species=robin",
    "/photos?species=robin&by=human",
    "/photos?species=robin&by=machine&camera=feeder&since=2020-01-01&until=2030-01-01",
    "/photos?by=human",
    "/photos?by=machine",
    "/photos?camera=feeder&which=named",
    "/photos?camera=-",
    "/photos?which=review&since=2020-01-01",
    "/photos/1",
    "/photos/12",
    "/species/wren",
    "/species/robin?period=week",
    "/days/{day}",
    "/models",
    "/thumbnails/1",
    "/api/garden/year",
    "/api/garden/year?species=robin",
    "/api/queue",
    "/api/queue/count",
    "/api/models",
    "/api/learning",
)


class Recorder:
    """Every sentence that a connection is asked, with its values."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("rows", "value", "execute"):
            plain = getattr(Connection, name)

            def recorded(connection: Connection, sql: str, parameters: Any = (), *, _plain: Any = plain) -> Any:
                self.asked.setdefault(sql, parameters)
                return _plain(connection, sql, parameters)

            patch.setattr(Connection, name, recorded)


@pytest.fixture
def app(root: Path) -> FastAPI:
    """The page in this process, over a garden with words of people."""
    Files(root).create()
    garden(root)
    settings = Settings(root=root)
    with Store.open(root / shelving.DATABASE) as store:
        for number in range(3):
            say(store, arrive(store, camera="feeder"), ("robin", "wren", "empty")[number])
        with store.connection.writing():
            store.connection.execute("INSERT INTO put_up SELECT id, 1, 'robin', ? FROM photos WHERE FALSE", (NOW,))
    return build_app(settings, Doorman(Keys(token_of(token_file(root), make=True)), own_hosts(settings.web)))


async def ask_all(app: FastAPI, root: Path) -> None:
    """Ask for every page once."""
    headers = {"Authorization": f"Bearer {token_of(token_file(root), make=False)}"}
    address = f"http://127.0.0.1:{Settings(root=root).web.port}"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=address, headers=headers) as client:
        for path in PAGES:
            answer = await client.get(path.format(day=TODAY.date()))
            assert answer.status_code == 200, (path, answer.text)


def test_no_question_of_any_page_reads_through_a_big_table(app: FastAPI, root: Path) -> None:
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        recorder.watch(patch)
        with ThreadPoolExecutor(1) as elsewhere:  # the browser of other tests keeps a loop in this thread
            elsewhere.submit(lambda: asyncio.run(ask_all(app, root))).result()
    asked = {sql: values for sql, values in recorder.asked.items() if sql.lstrip().startswith(("SELECT", "WITH"))}
    assert len(asked) > 40, "the pages ask more than that"
    found = []
    with Store.read_only(root / shelving.DATABASE) as store:
        for sql, values in asked.items():
            for step in store.connection.rows(f"EXPLAIN QUERY PLAN {sql}", values):
                scanned = re.match(r"SCAN (\w+)\b(?! USING COVERING INDEX put_up_by_label)", step["detail"])
                if (
                    scanned and scanned[1] not in SMALL
                ):  # audits, one in so many of the photos, are read through by an index
                    found.append((step["detail"], " ".join(sql.split())))
    assert found == []


@pytest.mark.parametrize(
    ("ask", "plan"),
    [
        (lambda store: store.requests.with_key("a-key"), ["SEARCH requests USING INDEX requests_by_key (key=?)"]),
        (
            lambda store: store.requests.last_answer(left_by="a-browser"),
            [
                "SEARCH given USING INDEX requests_by_whom (left_by=?)",
                "CORRELATED SCALAR SUBQUERY 1",
                "SEARCH back USING COVERING INDEX answers_taken_back (takes_back=?)",
            ],
        ),
    ],
    ids=["sent before", "last of one's own"],
)
def test_an_answer_is_found_by_an_index(root: Path, ask: Callable[[Store], Any], plan: list[str]) -> None:
    """However many wishes are remembered, and however many photos each of them speaks of."""
    Files(root).create()
    recorder = Recorder()
    with Store.open(root / shelving.DATABASE) as store, pytest.MonkeyPatch.context() as patch:
        recorder.watch(patch)
        assert ask(store) is None
        ((sql, values),) = recorder.asked.items()
        assert [step["detail"] for step in store.connection.rows(f"EXPLAIN QUERY PLAN {sql}", values)] == plan
