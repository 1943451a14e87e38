"""The page put together: routes, errors in words, and the gate before all of it."""

import os
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from birdwatchd import __version__
from birdwatchd.core.errors import BirdwatchdError, ConfigError, Refused, TransientError, UnknownPhoto, UsageError
from birdwatchd.core.settings import Settings
from birdwatchd.edges.clock import now_utc
from birdwatchd.web import (
    answers,
    cleaner,
    day,
    events,
    gallery,
    garden,
    health,
    learning,
    login,
    models,
    openapi,
    photo,
    pictures,
    reports,
    review,
    shortcuts,
    species,
    wishes,
)
from birdwatchd.web.access import Doorman
from birdwatchd.web.asking import Asking
from birdwatchd.web.gate import Gate, wants_page
from birdwatchd.web.log import Log
from birdwatchd.web.pages import page

ROOMS = (
    answers,
    cleaner,
    day,
    events,
    health,
    gallery,
    garden,
    learning,
    login,
    models,
    openapi,
    photo,
    pictures,
    reports,
    review,
    shortcuts,
    species,
    wishes,
)
"""Each has the routes of one topic."""

STATIC = Path(__file__).resolve().with_name("static")
VENDORS = STATIC / "vendor"

RETRY_S = 5

_STATUSES: tuple[tuple[type[BirdwatchdError], int], ...] = (
    (UsageError, 422),
    (UnknownPhoto, 404),
    (Refused, 409),
    (TransientError, 503),
    (ConfigError, 503),
)
"""First match counts."""


def build_app(
    settings: Settings, doorman: Doorman, *, clock: Callable[[], float] = time.time, now: Callable[[], str] = now_utc
) -> FastAPI:
    """The whole page.

    Args:
        clock: seconds since 1970.
        now: the time of the wall clock as ISO-8601 UTC.
    """
    app = FastAPI(
        title="birdwatchd",
        version=__version__,
        description="What the page uses. Log in with `Authorization: Bearer TOKEN`; `birdwatchd web --link` tells it.",
        docs_url=None,  # FastAPI's pages for it take their scripts from other servers
        redoc_url=None,
        openapi_url="/api/openapi.json",
        generate_unique_id_function=openapi.name_of,
    )
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]  # how FastAPI wants it exchanged
    app.state.settings = settings
    app.state.log = Log(settings.root, now=now)
    app.state.clock = clock
    app.state.listeners = events.Listeners()
    app.state.closing = lambda: False
    app.state.asking = Asking(settings)
    for room in ROOMS:
        app.include_router(room.router)
    app.mount("/static", _OwnFiles(directory=STATIC), name="static")
    app.add_exception_handler(BirdwatchdError, _in_words)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(Exception, _unforeseen)
    # Before everything, also before what answers when all else fails: no answer goes out without the gate's headers.
    app.middleware_stack = Gate(app.build_middleware_stack(), doorman, clock)
    return app


class _OwnFiles(StaticFiles):
    """Scripts and styles. They tell nothing of the garden, so a browser keeps them, and asks each time whether they are still the same;
    of what others made, each version has a name of its own."""

    def file_response(self, full_path: "str | os.PathLike[str]", *facts: Any, **more: Any) -> Response:
        """One of them, or the word that it is still the same."""
        answer = super().file_response(full_path, *facts, **more)
        is_vendors = VENDORS in Path(full_path).parents
        answer.headers["Cache-Control"] = "max-age=31536000, immutable" if is_vendors else "no-cache"
        return answer


def _answer(request: Request, status: int, error: str, hint: str) -> Response:
    if wants_page(request.scope):
        answer: Response = page(
            request, "message.html", status=status, title=HTTPStatus(status).phrase, error=error, hint=hint
        )
    else:
        answer = JSONResponse({"error": error, "hint": hint}, status_code=status)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = str(RETRY_S)
    return answer


def _in_words(request: Request, error: Exception) -> Response:
    assert isinstance(error, BirdwatchdError)  # noqa: S101  # what it is registered for
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    return _answer(request, status, error.message, error.hint or "")


def _not_understood(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    if first["loc"][0] == "path":
        return _answer(request, 404, "there is no such page", "")
    where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    return _answer(request, 422, f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}", "see /api/openapi.json")


def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    said = "there is no such page" if error.status_code == HTTPStatus.NOT_FOUND else str(error.detail)
    return _answer(request, error.status_code, said, "")


def _unforeseen(request: Request, error: Exception) -> Response:
    del error  # it is in the page's log, with where it came from
    return _answer(
        request, 500, "something went wrong here that nobody foresaw", "try again; if it comes back, please report it"
    )
