"""Server-sent events: an open page hears of new photos, of wishes that were fulfilled, and how far the learning is.

Each listener looks at the log once a second, in threads of their own: whoever asks for a page waits for none of them. There are few
places, for all connections are few; a page without one goes on as it is, and asks again later.
"""

import json
from collections.abc import AsyncIterator
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from birdwatchd.core.errors import BirdwatchdError, StoreBusy
from birdwatchd.core.news import Event, Facts, Pulse, between
from birdwatchd.edges.store import Store
from birdwatchd.web import learning
from birdwatchd.web.wishes import runs

router = APIRouter(tags=["events"])

LISTENERS_MAX = 8
"""Of 32 connections in all."""

EVERY_S = 1.0
HEARTBEAT_S = 15.0
"""So long a line may be silent; who has gone is noticed when something is said."""

THREADS = 2
COUNTED = 1000
"""More new photos are not counted, nor more wishes followed."""


class Listeners:
    """The places for those who listen."""

    def __init__(self) -> None:
        self._taken = 0
        self._threads = anyio.CapacityLimiter(THREADS)

    def enter(self) -> None:
        """Take a place.

        Raises:
            StoreBusy: all are taken.
        """
        if self._taken >= LISTENERS_MAX:
            raise StoreBusy(
                "too many pages are open at once", hint="close some; the others show what is new when they are reloaded"
            )
        self._taken += 1

    def leave(self) -> None:
        """Give it back."""
        self._taken -= 1

    @property
    def threads(self) -> anyio.CapacityLimiter:
        """In which they look at the log."""
        return self._threads


class _Stream(StreamingResponse):
    """One listener; its place is free again however it ends."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[str], listeners: Listeners) -> None:
        super().__init__(content, headers={"X-Accel-Buffering": "no"})
        self._listeners = listeners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._listeners.leave()


@router.get(
    "/api/events",
    operation_id="events",
    summary="Hear what happens while it happens",
    response_class=StreamingResponse,
    responses={200: {"description": "One event after the other.", "content": {"text/event-stream": {}}}},
)
async def listen(
    request: Request,
    after: Annotated[int | None, Query(ge=0, lt=2**63, description="The newest photo that you know of.")] = None,
) -> StreamingResponse:
    """It begins with how everything stands, and goes on with what changes:

    `photos`: `arrived` since the one that you knew of. `wish`: one is over. `learning`: how far it is. `status`: of the daemon.
    `model`: another one serves. `replaced`: an older log was put back, so load everything anew. `trouble`: the log cannot be read
    now; `fine`: it can again.
    """
    listeners: Listeners = request.app.state.listeners
    listeners.enter()
    return _Stream(_heard(request, listeners, after), listeners)


async def _heard(request: Request, listeners: Listeners, after: int | None) -> AsyncIterator[str]:
    ear = _Ear(request, after)
    silent_s = 0.0
    while not request.app.state.closing():
        events = await anyio.to_thread.run_sync(ear.look, limiter=listeners.threads)
        for event in events:
            yield f"event: {event.name}\ndata: {json.dumps(event.facts)}\n\n"
        silent_s = 0.0 if events else silent_s + EVERY_S
        if silent_s >= HEARTBEAT_S:
            silent_s = 0.0
            yield ": still here\n\n"
        await anyio.sleep(EVERY_S)


class _Ear:
    """What one listener knows already."""

    def __init__(self, request: Request, after: int | None) -> None:
        self._request = request
        self._after = after
        self._wishes_after: int | None = None
        self._open: dict[int, str] = {}
        self._before: Pulse | None = None
        self._trouble: Facts | None = None

    def look(self) -> list[Event]:
        """What happened since the last look; trouble with the log is told once, and once more when it is over."""
        try:
            with self._request.app.state.log.reading() as log:
                now = self._pulse(log)
        except BirdwatchdError as error:
            trouble = {"error": error.message, "hint": error.hint or ""}
            told, self._trouble = self._trouble, trouble
            return [] if trouble == told else [Event("trouble", trouble)]
        events = between(self._before, now)
        if self._trouble is not None:
            events, self._trouble = [Event("fine", {}), *events], None
        if any(one.name == "replaced" for one in events):
            self._after, self._wishes_after, self._open = now.newest_photo, None, {}
        self._before = now
        return events

    def _pulse(self, log: Store) -> Pulse:
        newest = log.news.newest_photo()
        if self._after is None:
            self._after = newest
        status = log.requests.status() or {}
        serving = log.models.serving()
        return Pulse(
            newest_photo=newest,
            arrived=log.news.arrived(self._after, limit=COUNTED),
            status={
                "running": runs(log, self._request),
                "state": status.get("state"),
                "problems": json.loads(status.get("problems") or "[]"),
                "waiting": status.get("waiting", 0),
            },
            learning=learning.told(self._request, log).model_dump(mode="json"),
            serving=None if serving is None else int(serving["id"]),
            wishes=self._wishes(log),
        )

    def _wishes(self, log: Store) -> dict[int, tuple[str, str | None]]:
        if self._wishes_after is None:
            self._wishes_after = log.news.newest_wish()
            return {}
        rows = log.news.wishes(self._wishes_after, list(self._open), limit=COUNTED)
        self._wishes_after = max([self._wishes_after, *(row["id"] for row in rows)])
        self._open = {row["id"]: row["kind"] for row in rows if row["outcome"] is None}
        return {row["id"]: (row["kind"], row["outcome"]) for row in rows}
