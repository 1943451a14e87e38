"""Wishes that were left through the page: how each stands, until whoever holds the bird folder has fulfilled it."""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from birdwatchd.core import looking_back
from birdwatchd.core.sentences import with_names
from birdwatchd.core.settings import Settings
from birdwatchd.core.species_names import names_of, shown
from birdwatchd.edges import store
from birdwatchd.edges.store import Store
from birdwatchd.web.access import Session

router = APIRouter(prefix="/api", tags=["wishes"])

ACTOR = "web"


PROGRAM = "program"
"""Who left a wish, where it was a program with the token: all of them together."""


class Left(BaseModel):
    """A wish that was left."""

    wish: int = Field(description="Ask `/api/wishes/NUMBER` how it stands.")
    running: bool = Field(description="Whether a daemon is there to fulfil it; else it waits until one is started.")


class Wish(BaseModel):
    """How a wish stands."""

    id: int
    kind: str
    outcome: Literal["done", "failed"] | None = Field(description="null while it is not over.")
    done: float | None = Field(description="How far it is, 0 to 1; null if that is not known.")
    what: str = Field(description="What is being done now, or what it waits for, in words; may be empty.")
    error: str = Field(description="Why it failed; else empty.")
    hint: str = Field(description="What to do about that; may be empty.")
    result: dict[str, Any] = Field(description="What came of it; empty while it is not over.")
    running: bool = Field(description="Whether a daemon is there to fulfil it.")


@router.get("/wishes/{number}", operation_id="wish", summary="How a wish stands")
def show(request: Request, number: Annotated[int, InPath(ge=1, le=2**63 - 1)]) -> Wish:
    """Wishes that were fulfilled long ago are forgotten."""
    with request.app.state.log.reading() as log:
        found = log.requests.find(number)
        if found is None:
            raise HTTPException(404, "there is no such wish")
        if found.kind == "train":
            found = replace(found, result=_in_names(request, log, found.result))
        return told(found, running=runs(log, request))


def in_names(request: Request, log: Store, sentences: Sequence[str], *, labels: Collection[str] = ()) -> list[str]:
    """Sentences about trainings, with names of birds as the page shows them.

    Args:
        labels: that they may speak of, beside those in use and those of the model in use.
    """
    names, serving = names_of(request.app.state.settings), log.models.serving()
    known = {*labels, *log.queue.species(), *(json.loads(serving["labels"]) if serving else ())}
    return [with_names(one, known, lambda label: shown(label, names)) for one in sentences]


def _in_names(request: Request, log: Store, result: dict[str, Any]) -> dict[str, Any]:
    """What came of a training that somebody asked for."""
    words = {name: result[name] for name in ("error", "hint") if isinstance(result.get(name), str)}
    told: dict[str, Any] = dict(zip(words, in_names(request, log, list(words.values())), strict=True))
    if "reasons" in result:
        told["reasons"] = in_names(request, log, result["reasons"])
    return result | told


def told(wish: store.Request, *, running: bool) -> Wish:
    """As a program is told of it."""
    is_over = wish.outcome is not None
    far, total = wish.result.get("done"), wish.result.get("total", 1)
    is_counted = not is_over and isinstance(far, int | float) and isinstance(total, int | float) and total > 0
    failed = wish.outcome == "failed"
    return Wish.model_validate(
        {
            "id": wish.id,
            "kind": wish.kind,
            "outcome": wish.outcome,
            "done": min(1.0, far / total) if is_counted else None,
            "what": "" if is_over else str(wish.result.get("waiting") or wish.result.get("what", "")),
            "error": str(wish.result.get("error", "")) if failed else "",
            "hint": str(wish.result.get("hint") or "") if failed else "",
            "result": wish.result if wish.outcome == "done" else {},
            "running": running,
        }
    )


def runs(log: Store, request: Request) -> bool:
    """Whether a daemon is at work."""
    settings: Settings = request.app.state.settings
    status = log.requests.status() or {}
    return looking_back.is_running(
        status.get("state"), status.get("updated_at"), request.app.state.log.now(), sweep_s=settings.inbox.sweep_s
    )


def who_asks(request: Request) -> str:
    """The browser that this request comes from, as the log knows it, or `PROGRAM`."""
    who = request.state.who
    return who.mark if isinstance(who, Session) else PROGRAM


def leave(request: Request, kind: str, arguments: dict[str, Any]) -> Left:
    """Leave a wish for whoever holds the bird folder."""
    with request.app.state.log.wishing() as log:
        number = log.requests.ask(kind, arguments, actor=ACTOR, at=request.app.state.log.now())
        return Left(wish=number, running=runs(log, request))
