"""The gate: every request passes it first, every answer last.

It stands before the framework, so that no route can be forgotten: limits, host, login, origin, and the headers that every answer has.
"""

import json
import logging
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from birdwatchd.web.access import CSRF_FIELD, CSRF_HEADER, Doorman, Refusal

log = logging.getLogger(__name__)

BODY_MAX_BYTES = 64 * 1024

OPEN_TO_ALL = ("/healthz", "/login", "/static/", "/favicon.ico")
"""What strangers may ask for: nothing there tells anything of the garden."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""Of every answer that does not say otherwise. Of our own pages only what we serve ourselves is run or shown."""

_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


class Gate:
    """ASGI middleware.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, app: ASGIApp, doorman: Doorman, clock: Callable[[], float]) -> None:
        self._app = app
        self._doorman = doorman
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks WebSocket
            return
        sent = _with_headers(send)
        body: bytes | None = None
        refusal = self._refusal_by_headers(scope)
        if refusal is None and scope["method"] == "POST":
            body = await _body(receive)
            refusal = Refusal(413, "that is too much at once") if body is None else self._refusal_of_change(scope, body)
        if refusal is not None:
            await _refuse(scope, sent, refusal)
            return
        await self._app(scope, receive if body is None else _again(body, receive), sent)

    def _refusal_by_headers(self, scope: Scope) -> Refusal | None:
        names = [(name.lower(), value) for name, value in scope["headers"]]
        if refusal := self._doorman.check_host([value.decode("latin-1") for name, value in names if name == b"host"]):
            return refusal
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return Refusal(405, "this page cannot do that")
        headers = _headers(scope)
        who = self._doorman.who(headers, _cookies(headers.get("cookie", "")), self._clock())
        scope.setdefault("state", {})["who"] = who
        scope["state"]["keys"] = self._doorman.keys
        if who is None and not _is_open(scope["path"]):
            return Refusal(401, "please log in first")
        return None

    def _refusal_of_change(self, scope: Scope, body: bytes) -> Refusal | None:
        headers, who = _headers(scope), scope["state"]["who"]
        if who is None:  # the login form: there is no session yet, but only our own page may send it
            return self._doorman.check_origin(headers, is_program=False)
        csrf = headers.get(CSRF_HEADER, "")
        if not csrf and headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            csrf = parse_qs(body.decode("utf-8", "replace")).get(CSRF_FIELD, [""])[0]
        return self._doorman.check_change(who, headers, csrf)


def _is_open(path: str) -> bool:
    return any(path == one or (one.endswith("/") and path.startswith(one)) for one in OPEN_TO_ALL)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _cookies(header: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


async def _body(receive: Receive) -> bytes | None:
    """All of it; None if it is more than we take."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > BODY_MAX_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body once more, and then what comes by itself."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def once_more() -> Message:
        return left.pop() if left else await receive()

    return once_more


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message["headers"]}
            added = [(name, value) for name, value in _HEADERS if name.lower() not in own]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return sent


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    headers: list[tuple[bytes, bytes]] = []
    if refusal.status == 401 and scope["method"] in ("GET", "HEAD") and wants_page(scope):
        status, body = 303, b""
        headers.append((b"location", b"/login?to=" + quote(scope["path"]).encode()))
    else:
        status = refusal.status
        body = json.dumps({"error": refusal.error, "hint": refusal.hint}).encode()
        headers.append((b"content-type", b"application/json"))
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def wants_page(scope: Scope) -> bool:
    """Whether a person asks, who should see a page and no JSON."""
    path: str = scope["path"]
    return not path.startswith(("/api/", "/metrics", "/thumbnails/", "/originals/"))


def form(body: bytes) -> dict[str, Any]:
    """The fields of a form; of a field that comes twice the first counts."""
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
