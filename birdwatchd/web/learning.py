"""How the learning stands: under way and how far, or what came of it the last time; and the wish to learn now."""

import json
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from birdwatchd.core import shelving
from birdwatchd.core.course import PROGRESS_FILE, Progress
from birdwatchd.core.errors import PhotoVanished, TransientError
from birdwatchd.edges.files import shown
from birdwatchd.edges.store import Row, Store
from birdwatchd.web.wishes import Left, in_names, leave, runs

router = APIRouter(tags=["models"])


class Learning(BaseModel):
    """The newest training."""

    id: int | None = Field(description="Number of the training; null while there was none.")
    kind: Literal["linear", "finetuned"] | None
    outcome: Literal["promoted", "kept", "failed"] | None = Field(description="null while it is under way.")
    started_at: str | None
    finished_at: str | None
    done: float = Field(description="How far it is, 0 to 1.")
    what: str = Field(description="What is being done now.")
    verdict: list[str] = Field(description="What came of it, in sentences.")
    report: str | None = Field(description="Where one can read about it.")
    wish: int | None = Field(description="The open wish to learn now, if there is one.")


NEVER = Learning(
    id=None,
    kind=None,
    outcome=None,
    started_at=None,
    finished_at=None,
    done=0,
    what="",
    verdict=[],
    report=None,
    wish=None,
)


@router.post("/api/train", operation_id="train", summary="Learn from your labels now")
def train(request: Request) -> Left:
    """Leaves a wish for the short training; asked twice, it is one wish."""
    with request.app.state.log.reading() as log:
        wish = _open_wish(log)
        running = runs(log, request)
    return leave(request, "train", {"kind": "linear"}) if wish is None else Left(wish=wish, running=running)


@router.get("/api/learning", operation_id="learning", summary="How the learning stands")
def show(request: Request) -> Learning:
    """The training that is under way, or the last one."""
    with request.app.state.log.reading() as log:
        return told(request, log)


def told(request: Request, log: Store) -> Learning:
    """How it stands, by the log and by what the training program says of itself."""
    row, wish = log.models.latest_training(), _open_wish(log)
    if row is None:
        return NEVER.model_copy(update={"wish": wish})
    progress = Progress(1.0, "")
    if row["finished_at"] is None:
        progress = _progress(request, row["id"])
    return Learning.model_validate(
        row
        | {
            "done": progress.done,
            "what": progress.what,
            "verdict": in_names(request, log, json.loads(row["reasons"] or "[]")),
            "report": report_of(row),
            "wish": wish,
        }
    )


def report_of(row: Row) -> str | None:
    """Where the page serves what one can read about a training; None if there is nothing."""
    path: str | None = row["report_path"]
    if path is None:
        return None
    shelf, _, rest = path.partition("/")
    number = rest.partition("/")[0]
    return f"/reports/{int(number)}/" if shelf == shelving.REPORTS and number.isdecimal() else None


def _open_wish(log: Store) -> int | None:
    latest = log.histories.latest_wish(["train"])
    wish = None if latest is None else log.requests.find(latest)
    return None if wish is None or wish.outcome is not None else wish.id


def _progress(request: Request, training_id: int) -> Progress:
    try:
        with shown.of_training(request.app.state.settings.root, training_id, PROGRESS_FILE) as file:
            return Progress.from_json(file.read().decode("utf-8", "replace"))
    except (PhotoVanished, TransientError, ValueError):  # nothing was said yet, or it is just being replaced
        return Progress(0.0, "beginning")
