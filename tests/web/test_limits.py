"""Who dawdles, comes in crowds, or says too much is cut off, and neither other people nor photos wait for that."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from birdwatchd.edges.store import Store
from birdwatchd.web import protocol
from birdwatchd.web.protocol import CONNECTIONS_MAX, TURNED_AWAY_MAX, PatientToAPoint
from tests.gardens import picture
from tests.service.running import STUBBED, daemon, until
from tests.web.attacking import Answer, raw, read_answer
from tests.web.serving import Served, page_of

pytestmark = pytest.mark.alone

WEB_MB = 120


def resident_mb(served: Served) -> float:
    """Memory that the page has now."""
    pages = int(Path(f"/proc/{served.process.pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def connections(served: Served) -> int:
    """How many lines the page has open."""
    end = f":{served.port:04X}"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(end) and row[3] == "01" and row[9] != "0" for row in rows)


@pytest.mark.fault("W08")
def test_a_crowd_that_dawdles_is_cut_off_while_photos_are_named(root: Path) -> None:
    with daemon(root, command=STUBBED), page_of(root) as served, ExitStack() as stack:
        crowd = []
        for _ in range(200):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 30))
            line.sendall(b"GET / HTTP/1.1\r\nHost: ")  # and the rest never comes
            crowd.append(line)
        until("those who are too many are cut off", lambda: connections(served) <= CONNECTIONS_MAX + TURNED_AWAY_MAX)
        for number in range(3):  # the daemon does not notice
            _drop(root, number)
        assert resident_mb(served) < WEB_MB
        answers = [read_answer(line) for line in crowd]  # within seconds each of them hears that it is over
        assert {answer.status for answer in answers} <= {408, 503, 0}
        assert sum(answer.status == 408 for answer in answers) >= CONNECTIONS_MAX - 2
        with served.client() as client:
            assert client.get("/login").status_code == 200


def _drop(root: Path, number: int) -> None:
    part = root / f"{number}.part"
    part.write_bytes(picture("redstart", number))
    part.rename(root / "inbox" / f"{number}.jpg")
    until("the photo is filed or waits", lambda: _kept(root) > number)


def _kept(root: Path) -> int:
    with Store.read_only(root / "birdwatchd.db") as store:
        return sum(count for state, count in store.questions.states().items() if state not in ("claimed", "decided"))


@pytest.mark.fault("W08")
def test_too_many_at_once_are_told_so(root: Path) -> None:
    with page_of(root) as served, ExitStack() as stack:
        lines = [
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 30))
            for _ in range(CONNECTIONS_MAX + 5)
        ]
        until("all are heard", lambda: connections(served) >= CONNECTIONS_MAX + 5)
        request = f"GET /login HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n".encode()
        answers: list[Answer] = []
        for line in lines:
            line.sendall(request)
            answers.append(read_answer(line))
        statuses = [answer.status for answer in answers]
        assert statuses == [200] * CONNECTIONS_MAX + [503] * 5
        assert answers[-1].headers["retry-after"] == "10"
        assert answers[-1].headers["x-frame-options"] == "DENY"


@pytest.mark.fault("W08")
def test_what_is_too_large_is_not_swallowed(root: Path) -> None:
    with page_of(root) as served:
        before_mb = resident_mb(served)
        host = f"Host: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {served.token}\r\n"
        post = f"POST /api/answers HTTP/1.1\r\n{host}Content-Type: application/json\r\n"
        assert raw(served, f"{post}Content-Length: {100 << 20}\r\n\r\n".encode()).status == 413
        swallowed = _sent(served, f"{post}Content-Length: {100 << 20}\r\n\r\n".encode(), b"x" * 65536, 1600)
        assert swallowed < 20 << 20  # what lies in the kernel's own buffers
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        assert _sent(served, f"{post}Transfer-Encoding: chunked\r\n\r\n".encode(), piece, 1600) < 20 << 20
        for head in (b"X: " + b"x" * (1 << 20), b"X: y\r\n" * 200_000, b"\r\n".join([b"X" * 1000] * 1000)):
            answer = raw(served, f"GET / HTTP/1.1\r\n{host}".encode() + head + b"\r\n\r\n")
            assert answer.status in (400, 0)  # 0: it hung up before all was said
        assert raw(served, b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n").status in (400, 0)
        assert resident_mb(served) < before_mb + 10
        with served.client() as client:
            assert client.get("/login").status_code == 200


def _sent(served: Served, head: bytes, piece: bytes, times: int) -> int:
    """How many bytes they take until they hang up."""
    sent = 0
    with socket.create_connection(("127.0.0.1", served.port), 30) as line:
        line.sendall(head)
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(times):
                line.sendall(piece)
                sent += len(piece)
    return sent


App = Callable[[Any, Any, Any], Awaitable[None]]
ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def _served_for(app: App, talk: Callable[[socket.socket], None]) -> None:
    """Run a small application behind the protocol in this process, and talk to it from a thread.

    The loop gets a thread of its own as well: once a test has opened the browser, Playwright's loop runs in this one.
    """

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            config = uvicorn.Config(
                app, http=PatientToAPoint, ws="none", lifespan="off", log_config=None, timeout_keep_alive=1
            )
            server = uvicorn.Server(config)
            task = asyncio.create_task(server._serve([listening]))
            while not server.started:
                await asyncio.sleep(0.01)
            try:
                await asyncio.to_thread(connected, listening.getsockname()[1])
            finally:
                server.should_exit = True
                await task

    def connected(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), 30) as line:
            talk(line)

    with ThreadPoolExecutor(1) as aside:
        aside.submit(lambda: asyncio.run(main())).result()


async def _ok(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.fault("W08")
def test_an_answer_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "READ_S", 0.3)
    gone = threading.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        over = asyncio.create_task(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not over.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)
        assert over.result()["type"] == "http.disconnect"
        gone.set()

    def talk(line: socket.socket) -> None:
        line.sendall(ASK)
        assert gone.wait(30)  # although the line is open on our side

    _served_for(endless, talk)


@pytest.mark.fault("W08")
@pytest.mark.parametrize(
    ("half", "words"),
    [(b"GET / HTTP/1.1\r\nHos", b"HTTP/1.1 408"), (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", b"")],
)
def test_the_next_request_on_a_line_has_its_time_too(
    monkeypatch: pytest.MonkeyPatch, half: bytes, words: bytes
) -> None:
    """uvicorn's own limit for idle lines ends with the first byte of the next request."""
    monkeypatch.setattr(protocol, "REQUEST_S", 0.5)

    async def quick(scope: Any, receive: Any, send: Any) -> None:
        await _ok(send)

    def talk(line: socket.socket) -> None:
        for _ in range(3):
            line.sendall(ASK)
            assert read_answer(line).body == b"ok"
        line.sendall(half)
        came = b""
        while piece := line.recv(4096):
            came += piece
        assert words in came

    _served_for(quick, talk)


@pytest.mark.fault("W08")
def test_an_answer_that_takes_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.1)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.5)
        await _ok(send)

    def talk(line: socket.socket) -> None:
        line.sendall(ASK)
        assert read_answer(line).body == b"ok"

    _served_for(slow, talk)
