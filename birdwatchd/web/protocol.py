"""The line: how a browser's connection is treated, before there is a request and while it lasts.

uvicorn waits for ever for the rest of a request, and for whoever reads its answer slowly. A few dozen who dawdle would keep everybody
else out. So a request must be here within seconds, an answer must be read, and there is a limit to how many are connected.
"""

import asyncio
import json
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from birdwatchd.web.gate import HEADERS

CONNECTIONS_MAX = 32
TURNED_AWAY_MAX = 32
"""So many more hear that it is too much; beyond that, the line is cut without a word."""

REQUEST_S = 10.0
"""From the first byte of a request (or from the connection) to its last."""

READ_S = 30.0
"""So long an answer may get no further."""

FLUSH_S = 2.0

_UNDER_WAY = frozenset({h11.IDLE, h11.SEND_BODY})


class PatientToAPoint(H11Protocol):
    """HTTP/1.1 with limits."""

    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _is_too_many = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Somebody connects."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX + TURNED_AWAY_MAX:
            transport.abort()
            return
        self._is_too_many = len(self.connections) > CONNECTIONS_MAX
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        """Something of a request."""
        if self._is_too_many:
            self._say_and_close(503, "too many are connected at once", "close pages you do not need, and try again")
            return
        super().data_received(data)
        if self.conn.their_state not in _UNDER_WAY:
            self._expect_request(expected=False)
        elif self._late is None:
            self._expect_request()

    def send_400_response(self, msg: str) -> None:
        """To what is no request, or one whose head is too large."""
        del msg  # uvicorn's words
        self._say_and_close(400, "that is no request a browser would send", "")

    def pause_writing(self) -> None:
        """More is ready than they read."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        """They read on."""
        super().resume_writing()
        self._forget_unread()

    def connection_lost(self, exc: Exception | None) -> None:
        """The line is gone."""
        self._expect_request(expected=False)
        self._forget_unread()
        super().connection_lost(exc)

    def _expect_request(self, *, expected: bool = True) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = self.loop.call_later(REQUEST_S, self._too_late) if expected else None

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _too_late(self) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._say_and_close(408, "the rest of this request did not come in time", "try again")
        else:
            self.transport.abort()

    def _say_and_close(self, status: int, error: str, hint: str) -> None:
        """Answer outside of HTTP's order of things, and hang up."""
        if self.transport.is_closing():
            return
        body = json.dumps({"error": error, "hint": hint}).encode()
        own = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            own["Retry-After"] = str(round(REQUEST_S))
        head = "".join(f"{name}: {value}\r\n" for name, value in (own | HEADERS).items())
        self.transport.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode() + body)
        self.transport.close()
        self.loop.call_later(FLUSH_S, self.transport.abort)  # if they do not even read that
