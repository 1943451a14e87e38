"""The garden page: who came when, what is new, how often the machine is right, and what it takes until it is right more often."""

import json
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from birdwatchd.core import learning_curve, seasons
from birdwatchd.core.auditing import accuracies
from birdwatchd.core.gate import wilson
from birdwatchd.core.learning_curve import Point
from birdwatchd.core.meter import Meter, meter, needed
from birdwatchd.core.seasons import Badge, Counts, PeriodName, Seen
from birdwatchd.core.shelving import INBOX
from birdwatchd.core.species_names import Names, names_of, shown
from birdwatchd.edges.store import Store, Wanted
from birdwatchd.web import review
from birdwatchd.web.cards import cards, today
from birdwatchd.web.pages import page
from birdwatchd.web.wishes import runs

router = APIRouter(tags=["garden"])

LATEST = 12
DRAWN = 8
"""So many species have a colour of their own in a plot; the others are one."""

PERIODS: dict[PeriodName, str] = {"today": "Today", "week": "7 days", "month": "30 days", "year": "12 months"}

NEWS: dict[Badge, str] = {
    "new": "New here this season",
    "first-this-year": "First of the year",
    "first-this-season": "Back this season",
}

LESSONS = 30


class SeriesOut(BaseModel):
    """Visits of one species, one number for each place in time."""

    species: str
    name: str
    visits: list[int]


class PlotOut(BaseModel):
    """Visits by time."""

    places: list[str] = Field(description="Hours, days or months.")
    series: list[SeriesOut] = Field(description=f"The {DRAWN} species with most visits, the most first.")
    others: list[int] = Field(description="All other species together.")


class AccuracyOut(BaseModel):
    """Of photos that the machine named so: how many a person found right."""

    species: str
    name: str
    n: int
    right: int
    low: float = Field(description="Lower end of the 95 % interval of right / n.")
    high: float


class GardenOut(BaseModel):
    """Who came when."""

    period: PeriodName
    first: date
    last: date
    visits: int
    photos: int
    species: int
    hours: PlotOut
    days: PlotOut = Field(description="By month for a year.")
    accuracy: list[AccuracyOut]


class YearOut(BaseModel):
    """Visits by day in the last twelve months."""

    first: date
    last: date
    species: str | None
    days: list[tuple[str, int]] = Field(description="Days with visits.")


class SpeciesRow(BaseModel):
    """A species in the table."""

    species: str
    name: str
    visits: int
    first: str
    last: str
    badge: Badge | None


@router.get("/", include_in_schema=False)
def show(request: Request, period: PeriodName = "week") -> Response:
    """The page; its script draws the plots."""
    with request.app.state.log.reading() as store:
        rows = store.gallery.resting(Wanted(), limit=LATEST)
        if not rows:
            settings = request.app.state.settings
            return page(
                request,
                "garden_empty.html",
                inbox=settings.root / INBOX,
                needed=needed(settings.training.min_labels_per_species),
                running=runs(store, request),
            )
        span = seasons.period(period, today(request))
        hours, days = counts(store, span, None)
        told = _told(request, store, span, hours, days)
        latest = store.gallery.named(Wanted(), limit=LATEST)
        species = _species(request, store, days)
        photo_of = {
            row.species: store.gallery.named(Wanted(species=row.species), limit=1)[0]["id"]
            for row in species
            if row.badge
        }
        return page(
            request,
            "garden.html",
            told=told,
            periods=PERIODS,
            latest=cards(request, latest or rows),
            newest=store.news.newest_photo(),
            has_names=bool(latest),
            species=species,
            photo_of=photo_of,
            news=NEWS,
            waiting=review.waiting_now(store),
            overall=overall(told.accuracy),
            meter=_meter(request, store),
            season=seasons.season_began(today(request)),
        )


@router.get("/api/garden", operation_id="garden", summary="Who came when")
def garden(request: Request, period: PeriodName = "week") -> GardenOut:
    """Visits by hour and by day of each species, by the clock on the wall."""
    span = seasons.period(period, today(request))
    with request.app.state.log.reading() as store:
        return _told(request, store, span, *counts(store, span, None))


@router.get("/api/garden/year", operation_id="gardenYear", summary="Visits by day in a year")
def year(request: Request, species: Annotated[str, Query(max_length=200)] = "") -> YearOut:
    """Of one species, or of all together."""
    span = seasons.period("year", today(request))
    parts = seasons.stretches(span.first, span.last, None)
    with request.app.state.log.reading() as store:
        counts = store.seasons
        rows = [row for one in parts for row in (counts.by_day(one, species) if species else counts.all_by_day(one))]
    days = span.days()
    found = seasons.counted(rows, days, lambda row: str(row["day"])).visits
    total = [sum(one) for one in zip(*found.values(), strict=True)] if found else [0] * len(days)
    told = [(day, visits) for day, visits in zip(days, total, strict=True) if visits]
    return YearOut(first=span.first, last=span.last, species=species or None, days=told)


def _told(request: Request, store: Store, span: seasons.Period, hours: Counts, days: Counts) -> GardenOut:
    names = names_of(request.app.state.settings)
    accuracy = accuracies(store.audits.answered())
    return GardenOut(
        period=span.name,
        first=span.first,
        last=span.last,
        visits=sum(map(sum, days.visits.values())),
        photos=sum(days.photos.values()),
        species=len(days.visits),
        hours=plot(hours, names),
        days=plot(days, names),
        accuracy=[
            AccuracyOut(
                species=one.label, name=shown(one.label, names), n=one.n, right=one.right, low=one.low, high=one.high
            )
            for one in accuracy
        ],
    )


def counts(store: Store, span: seasons.Period, species: str | None) -> tuple[Counts, Counts]:
    """Visits by hour, and by day; by month for a year."""
    if span.name == "year":
        months = span.months()
        rows = store.seasons.by_month(months[0], months[-1], species)
        return (
            seasons.counted(rows, seasons.HOURS, lambda row: seasons.month_hour(row, None)),
            seasons.counted(rows, months, lambda row: str(row["month"])),
        )
    days = span.days()
    parts = seasons.stretches(span.first, span.last, None)
    rows = [row for one in parts for row in store.seasons.by_hour(one, species)]
    within = set(days)
    rows = [row for row in rows if row["day"] in within]
    return (
        seasons.counted(rows, seasons.HOURS, lambda row: f"{row['hour']:02d}"),
        seasons.counted(rows, days, lambda row: str(row["day"])),
    )


def plot(told: Counts, names: Names) -> PlotOut:
    """As the page draws it."""
    drawn = list(told.visits)[:DRAWN] if len(told.visits) > DRAWN + 1 else list(told.visits)
    others = [told.visits[one] for one in told.visits if one not in drawn]
    return PlotOut(
        places=list(told.places),
        series=[SeriesOut(species=one, name=shown(one, names), visits=list(told.visits[one])) for one in drawn],
        others=[sum(one) for one in zip(*others, strict=True)] if others else [0] * len(told.places),
    )


def seen(store: Store, species: str, day: date) -> Seen | None:
    """When a species was seen, in days by the clock on the wall; None for never."""
    ever = seasons.days_on_the_wall(store.seasons.first_and_last(species), None)
    if not ever:
        return None

    def first_since(began: date) -> str | None:
        rows = store.seasons.first_since(species, began.isoformat())
        return next((one for one in seasons.days_on_the_wall(rows, None) if one >= began.isoformat()), None)

    this_year, this_season = first_since(date(day.year, 1, 1)), first_since(seasons.season_began(day))
    return Seen(species, ever[0], ever[-1], this_year, this_season)


def garden_since(store: Store, day: date) -> str:
    """The first day on which a bird was seen; this day where none was."""
    return next(iter(seasons.days_on_the_wall(store.seasons.first_of_all(), None)), day.isoformat())


def _species(request: Request, store: Store, days: Counts) -> list[SpeciesRow]:
    """Every species of the garden: those with most visits in the period first, then by name."""
    names, day = names_of(request.app.state.settings), today(request)
    since = garden_since(store, day)
    told = []
    for one in store.seasons.species():
        if (when := seen(store, one, day)) is None:
            continue
        told.append(
            SpeciesRow(
                species=one,
                name=shown(one, names),
                visits=sum(days.visits.get(one, [])),
                first=when.first,
                last=when.last,
                badge=seasons.badge(when, today=day, garden_since=since),
            )
        )
    return sorted(told, key=lambda row: (-row.visits, row.name.casefold()))


def _meter(request: Request, store: Store) -> Meter:
    settings = request.app.state.settings
    names = names_of(settings)
    species = store.seasons.species()
    named = {one: count for one, count in store.seasons.named_by_people(species).items() if count}
    points = []
    for row in store.seasons.lessons(limit=LESSONS):
        metrics = json.loads(row["metrics"])
        if "accuracy" in metrics:
            points.append(Point(row["labels"], metrics["accuracy"], int(metrics.get("judged", 0))))
    wanted = settings.deciding.wanted_precision
    return meter(
        {shown(one, names): count for one, count in named.items()},
        enough=settings.training.min_labels_per_species,
        forecast=learning_curve.forecast(points, wanted),
        wanted=wanted,
    )


def overall(rows: list[AccuracyOut]) -> tuple[int, int, float, float]:
    """All species together: right, of how many, and the ends of the 95 % interval."""
    right, n = sum(row.right for row in rows), sum(row.n for row in rows)
    return (right, n, *wilson(right, n))
