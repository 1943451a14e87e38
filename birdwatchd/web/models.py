"""The models page: which model names the birds, which did before, how each does; and the wish to use another, or to learn now."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import BaseModel, Field

from birdwatchd.core import looking_back
from birdwatchd.core.errors import Refused
from birdwatchd.core.gate import wilson
from birdwatchd.core.looking_back import Use
from birdwatchd.core.meter import needed
from birdwatchd.edges.store import Row, Store
from birdwatchd.web import learning
from birdwatchd.web.learning import Learning
from birdwatchd.web.pages import page
from birdwatchd.web.wishes import Left, in_names, leave, runs

router = APIRouter(tags=["models"])

SHOWN = 50
"""So many of the newest models; the command line lists all."""

ModelId = Annotated[int, InPath(ge=1, le=2**63 - 1, description="Number of a model.")]


class Audit(BaseModel):
    """What people said of photos that a model was sure of and that were chosen by nothing but their content."""

    answered: int
    right: int
    low: float = Field(description="Lower end of the 95 % interval of right / answered.")
    high: float


class Model(BaseModel):
    """One model."""

    id: int
    kind: Literal["linear", "finetuned"]
    use: Use
    created_at: str
    promoted_at: str | None = Field(description="Since when it is in use, or was the last time.")
    species: list[str] = Field(description="The labels that it knows.")
    metrics: dict[str, float]
    verdict: list[str] = Field(description="Why it took over or did not, in sentences.")
    taken_back: str | None = Field(description="Why it was taken back; null if it was not.")
    report: str | None = Field(description="Where one can read about its training.")
    why_not: str | None = Field(description="Why it cannot be put into use now; null if it can.")


class Models(BaseModel):
    """The shelf of models."""

    serving: int | None = Field(description="The one in use; null while there is none.")
    before: int | None = Field(description="The one to go back to; null if there is none.")
    models: list[Model] = Field(description="The newest first.")
    audit: Audit | None = Field(description="Of the model in use.")
    learning: Learning
    running: bool = Field(description="Whether a daemon is at work.")


class Change(BaseModel):
    """What is wanted."""

    serving: int | None = Field(
        description="The model that is in use as far as you know; if it is another one, nothing is done."
    )


@router.get("/models", include_in_schema=False)
def show(request: Request) -> Response:
    """The page."""
    shelf = everything(request)
    in_use = next((one for one in shelf.models if one.use is Use.IN_USE), None)
    return page(
        request,
        "models.html",
        shelf=shelf,
        in_use=in_use,
        needed=needed(request.app.state.settings.training.min_labels_per_species),
        tested=looking_back.tested,
        audited=looking_back.audited(shelf.audit.answered, shelf.audit.right) if shelf.audit else "",
    )


@router.get("/api/models", operation_id="models", summary="All about the models")
def everything(request: Request) -> Models:
    """The model in use, those before it, and how the learning stands."""
    with request.app.state.log.reading() as log:
        status = log.requests.status() or {}
        rows = log.histories.models(limit=SHOWN)
        serving = log.models.serving()
        if serving is not None and all(row["id"] != serving["id"] for row in rows):
            rows += [row for row in [log.histories.model(serving["id"])] if row is not None]
        models = [_told(request, row, status.get("spotter_id")) for row in rows]
        known = {label for model in models for label in model.species}
        for model in models:
            model.verdict = in_names(request, log, model.verdict, labels=known)
        before = log.models.before()
        return Models(
            serving=None if serving is None else serving["id"],
            before=None if before is None or not _is_offered(models, before["id"]) else before["id"],
            models=models,
            audit=_audit(log, serving),
            learning=learning.told(request, log),
            running=runs(log, request),
        )


@router.post("/api/models/{model_id}/promote", operation_id="promote", summary="Let another model name birds")
def promote(request: Request, model_id: ModelId, change: Change) -> Left:
    """Leaves a wish; the model is proved before anything is changed. Photos that are filed stay where they are."""
    return _exchange(request, "promote", model_id, change)


@router.post("/api/models/rollback", operation_id="rollback", summary="Let the model before name birds again")
def roll_back(request: Request, change: Change) -> Left:
    """Leaves a wish to go back to the model that `/api/models` calls `before`."""
    with request.app.state.log.reading() as log:
        before = log.models.before()
    if before is None:
        raise Refused("no other model has named birds before", hint="the page lists all that there are")
    return _exchange(request, "rollback", before["id"], change)


def _exchange(request: Request, kind: str, model_id: int, change: Change) -> Left:
    with request.app.state.log.reading() as log:
        row, serving = log.histories.model(model_id), log.models.serving()
        status = log.requests.status() or {}
    if row is None:
        raise HTTPException(404, f"there is no model {model_id}")
    if change.serving != (None if serving is None else serving["id"]):
        raise Refused("another model has come into use meanwhile", hint="reload this page and look again")
    if why_not := _told(request, row, status.get("spotter_id")).why_not:
        raise Refused(f"model {model_id} cannot be put into use: {why_not}", hint="nothing was changed")
    return leave(request, kind, {"model_id": model_id})


def _told(request: Request, row: Row, spotter_id: str | None) -> Model:
    use = looking_back.use_of(
        promoted_at=row["promoted_at"], retired_at=row["retired_at"], taken_back_at=row["taken_back_at"]
    )
    has_file = (request.app.state.settings.root / row["path"]).is_file()
    known: dict[str, Any] = row | {
        "use": use,
        "species": json.loads(row["labels"]),
        "metrics": json.loads(row["metrics"]),
        "verdict": json.loads(row["reasons"] or "[]"),
        "taken_back": row["why"],
        "report": learning.report_of(row),
        "why_not": looking_back.why_not(use, has_file=has_file, fingerprint=row["fingerprint"], spotter_id=spotter_id),
    }
    return Model.model_validate(known)


def _is_offered(models: list[Model], model_id: int) -> bool:
    return any(one.id == model_id and one.why_not is None for one in models)


def _audit(log: Store, serving: Row | None) -> Audit | None:
    if serving is None:
        return None
    n, right = log.histories.audited(serving["id"])
    low, high = wilson(right, n)
    return Audit(answered=n, right=right, low=low, high=high) if n else None
