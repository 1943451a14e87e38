"""How birdwatchd is: in sentences for people, in numbers for Prometheus, and in one word for whoever asks if it is there."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector
from pydantic import BaseModel, Field

from birdwatchd import __version__
from birdwatchd.core import health
from birdwatchd.core.errors import BirdwatchdError
from birdwatchd.core.health import Signs
from birdwatchd.edges.store import Store
from birdwatchd.web.pages import page

router = APIRouter(tags=["health"])

NOT_AT_WORK = "birdwatchd is not at work"


class Point(BaseModel):
    """One sentence about how it is."""

    subject: str
    what: str
    advice: str | None = Field(description="What to do; null when all is well.")


class Health(BaseModel):
    """How birdwatchd is."""

    running: bool = Field(description="Whether the daemon is at work.")
    well: bool = Field(description="Whether nothing need be done.")
    verdict: str = Field(description="The same in a few words.")
    points: list[Point] = Field(description="What needs somebody comes first.")


@router.get("/healthz", summary="Whether the daemon is at work")
def alive(request: Request) -> Response:
    """200 if it has said a word lately, else 503. Needs no login, and tells nothing else."""
    try:
        with request.app.state.log.reading() as log:
            ok = _signs(request, log).running
    except BirdwatchdError:  # why is told to those who may know
        ok = False
    return JSONResponse({"ok": ok}, status_code=200 if ok else 503)


@router.get("/api/health", operation_id="health", summary="How birdwatchd is, in sentences")
def told(request: Request) -> Health:
    """What is well and what is not, each with what to do."""
    try:
        with request.app.state.log.reading() as log:
            signs = _signs(request, log)
    except BirdwatchdError as error:  # a page about health that is ill itself would help nobody
        trouble = Point(subject="Log", what=f"{error.message}.", advice=f"{error.hint}.")
        return Health(running=False, well=False, verdict=NOT_AT_WORK, points=[trouble])
    points = [Point(subject=one.subject, what=one.what, advice=one.advice) for one in health.points(signs)]
    well = all(one.advice is None for one in points)
    verdict = "All is well" if well else "Something needs you" if signs.running else NOT_AT_WORK
    return Health(running=signs.running, well=well, verdict=verdict, points=points)


@router.get("/health", include_in_schema=False)
def show(request: Request) -> Response:
    """The page."""
    return page(request, "health.html", health=told(request))


@router.get("/metrics", summary="Numbers for Prometheus", response_class=Response)
def metrics(request: Request) -> Response:
    """In Prometheus' text format; give the token as bearer token of the scrape job."""
    with request.app.state.log.reading() as log:
        numbers = _Numbers(_signs(request, log), log.questions.states(), log.requests.open_count())
    registry = CollectorRegistry()  # our own: nothing of this process, and of Python, is told
    registry.register(numbers)
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _signs(request: Request, log: Store) -> Signs:
    serving = log.models.serving()
    return Signs(
        status=log.requests.status(),
        now=request.app.state.log.now(),
        sweep_s=request.app.state.settings.inbox.sweep_s,
        last_decided_at=log.questions.last_decided_at(),
        serving=None if serving is None else serving["id"],
        set_aside=log.questions.set_aside_count(),
        enough=request.app.state.settings.training.min_labels_per_species,
        waiting_for_a_look=log.queue.waiting_count(most=health.COUNTED),
        version=__version__,
    )


class _Numbers(Collector):
    """One scrape."""

    def __init__(self, signs: Signs, states: dict[str, int], wishes: int) -> None:
        self._signs = signs
        self._status: dict[str, Any] = dict(signs.status or {})
        self._states = states
        self._wishes = wishes

    def collect(self) -> Iterable[Metric]:
        """All numbers; what is not known is left out."""
        signs, status = self._signs, self._status
        yield InfoMetricFamily("birdwatchd", "Versions.", {"version": signs.version})
        yield _gauge("up", "1 while the daemon is at work.", signs.running)
        yield _gauge("problems", "What troubles the daemon; `/health` tells what it is.", len(signs.problems))
        watches = signs.running and status.get("watcher") != "sweep"
        yield _gauge("watcher_up", "1 while new photos are noticed when they come, and not only by the sweep.", watches)
        yield _gauge("wishes", "Wishes of people that are not fulfilled yet.", self._wishes)
        yield _gauge(
            "review_photos",
            f"Photos that wait for a look; {health.COUNTED} means at least so many.",
            signs.waiting_for_a_look,
        )
        photos = GaugeMetricFamily("birdwatchd_photos", "Photos in the log by state.", labels=["state"])
        for state, count in sorted(self._states.items()):
            photos.add_metric([state], count)
        yield photos
        yield from _where_known(
            ("inbox_files", "Files in the inbox.", status.get("waiting")),
            ("in_flight_photos", "Photos between inbox and place.", status.get("in_flight")),
            ("disk_free_bytes", "Free on the disk of the bird folder.", status.get("disk_free_bytes")),
            ("model", "Number of the model in use.", signs.serving),
            ("status_timestamp_seconds", "When the daemon last said how it is.", _moment(status.get("updated_at"))),
            ("start_timestamp_seconds", "When the daemon was started.", _moment(status.get("started_at"))),
            ("last_photo_timestamp_seconds", "When the daemon last put a photo in its place.", _moment(status.get("last_photo_at"))),
            ("last_decision_timestamp_seconds", "When a photo was last judged.", _moment(signs.last_decided_at)),
        )  # fmt: skip


def _where_known(*numbers: tuple[str, str, float | None]) -> Iterable[Metric]:
    return [_gauge(name, words, value) for name, words, value in numbers if value is not None]


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"birdwatchd_{name}", words, value=float(value))


def _moment(at: str | None) -> float | None:
    return None if at is None else datetime.fromisoformat(at).timestamp()
