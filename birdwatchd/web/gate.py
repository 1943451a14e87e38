"""The gate: every request passes it first, every answer last.

It stands before the framework, so that no route can be forgotten: limits, host, login, origin, and the headers that every answer has.
"""

import asyncio
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
TOO_MUCH = "that is too much at once"

WRONG_TOKEN_S = 0.5
TELL_EVERY_S = 60.0

LOGIN = "/login"
OPEN_TO_ALL = ("/healthz", LOGIN, "/static/", "/favicon.ico")
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

_ONCE = (
    b"authorization",
    b"cookie",
    b"origin",
    b"sec-fetch-site",
    b"content-type",
    b"content-length",
    CSRF_HEADER.encode(),
)
"""Headers by which is judged: of two, somebody on the way may have heard the other one."""

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
        self._told_at_s = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks WebSocket
            return
        sent = _with_headers(send)
        headers = _headers(scope)
        refusal = self._refusal_by_headers(scope, headers)
        if refusal is not None:
            if refusal.status == 401 and "authorization" in headers:
                await self.wrong_token()
            await _refuse(scope, headers, sent, refusal)
            return
        if scope["method"] != "POST":
            await self._app(scope, receive, sent)
            return
        try:
            body = await _body(receive)
        except _CutShort:  # half of a wish is none
            return
        refusal = Refusal(413, TOO_MUCH) if body is None else self._refusal_of_change(scope, headers, body)
        if refusal is not None:
            await _refuse(scope, headers, sent, refusal)
            return
        await self._app(scope, _again(body or b"", receive), sent)

    async def wrong_token(self) -> None:
        """Somebody gave one. It cannot be guessed; who tries shall neither keep us busy nor go unseen."""
        now_s = self._clock()
        if abs(now_s - self._told_at_s) >= TELL_EVERY_S:
            self._told_at_s = now_s
            log.warning("somebody tried to log in to the page with a wrong token")
        await asyncio.sleep(WRONG_TOKEN_S)

    def _refusal_by_headers(self, scope: Scope, headers: dict[str, str]) -> Refusal | None:
        names = [(name.lower(), value) for name, value in scope["headers"]]
        if refusal := self._doorman.check_host([value.decode("latin-1") for name, value in names if name == b"host"]):
            return refusal
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return Refusal(405, "this page cannot do that")
        if not scope["path"].startswith("/"):  # a whole address, as proxies are asked
            return Refusal(400, "this is no proxy")
        if any(char < " " or char == "\x7f" for char in scope["path"]):
            return Refusal(404, "there is no such page")  # nothing here has an invisible letter in its name
        if any(sum(name == once for name, _ in names) > 1 for once in _ONCE) or {
            "transfer-encoding",
            "content-length",
        } <= set(headers):
            return Refusal(400, "this request says two things at once")
        if int(headers.get("content-length", "0")) > BODY_MAX_BYTES:
            return Refusal(413, TOO_MUCH)
        who = self._doorman.who(headers, _cookies(headers.get("cookie", "")), self._clock())
        scope.setdefault("state", {}).update(who=who, keys=self._doorman.keys, wrong_token=self.wrong_token)
        if who is None and not _is_open(scope["path"]):
            return Refusal(401, "please log in first")
        return None

    def _refusal_of_change(self, scope: Scope, headers: dict[str, str], body: bytes) -> Refusal | None:
        who = scope["state"]["who"]
        if who is None or scope["path"] == LOGIN:
            # The login form: who sends it knows the token, or achieves nothing. But only our own page may send it.
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


class _CutShort(Exception):
    """They hung up before they had said all."""


async def _body(receive: Receive) -> bytes | None:
    """All of it; None if it is more than we take."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _CutShort
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


async def _refuse(scope: Scope, given: dict[str, str], send: Send, refusal: Refusal) -> None:
    headers: list[tuple[bytes, bytes]] = []
    status = refusal.status
    if status == 401 and scope["method"] in ("GET", "HEAD") and wants_page(scope):
        status, body = 303, b""
        headers.append((b"location", b"/login?to=" + quote(scope["path"]).encode()))
    elif wants_page(scope):
        body = "\n".join(filter(None, [refusal.error, refusal.hint])).encode()
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    else:
        body = json.dumps({"error": refusal.error, "hint": refusal.hint}).encode()
        headers.append((b"content-type", b"application/json"))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    headers.append((b"content-length", str(len(body)).encode()))
    if "transfer-encoding" in given or given.get("content-length", "0") != "0":
        headers.append((b"connection", b"close"))  # what is still to come is not waited for
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def wants_page(scope: Scope) -> bool:
    """Whether a person asks, who should see a page and no JSON."""
    path: str = scope["path"]
    return not path.startswith(("/api/", "/metrics", "/thumbnails/", "/originals/"))


def form(body: bytes) -> dict[str, Any]:
    """The fields of a form; of a field that comes twice the first counts."""
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
