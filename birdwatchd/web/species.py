"""The page of one species: when it came, how sure the machine is of it, and what it is taken for."""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import BaseModel, Field

from birdwatchd.core import seasons
from birdwatchd.core.auditing import accuracies
from birdwatchd.core.errors import UnknownPhoto
from birdwatchd.core.seasons import Badge, PeriodName
from birdwatchd.core.species_names import beside, names_of, shown
from birdwatchd.edges.store import Store, Wanted
from birdwatchd.web.cards import PhotoOut, cards, today
from birdwatchd.web.garden import NEWS, PERIODS, PlotOut, counts, garden_since, plot, seen
from birdwatchd.web.pages import page

router = APIRouter(tags=["garden"])

LATEST = 24
SURE_OF = 300
"""The latest photos that the machine named so, to tell how sure it is."""

WORDS_LOOKED_AT = 2000

Label = Annotated[str, InPath(max_length=200, description="Label of a species, such as `house-finch`.")]


class Mixed(BaseModel):
    """What it is taken for, or what is taken for it."""

    species: str
    name: str
    photos: int


class SpeciesPageOut(BaseModel):
    """All about one species."""

    species: str
    name: str
    other_name: str
    period: PeriodName
    first: str = Field(description="The first day on which it was seen.")
    last: str
    badge: Badge | None
    visits: int = Field(description="In the period.")
    visits_ever: int
    photos_ever: int
    named_by_people: int
    hours: PlotOut
    days: PlotOut
    sureness: list[int] = Field(
        description="Of the machine's latest names: how many by probability, in ten equal parts of 0 to 1."
    )
    right: int | None = Field(
        description="Of photos chosen by their content alone and looked at, how many were right; null without any."
    )
    looked_at: int
    low: float | None = Field(description="Lower end of the 95 % interval.")
    high: float | None
    taken_for: list[Mixed] = Field(description="What the machine took it for instead.")
    taken_for_it: list[Mixed] = Field(description="What it took for it.")
    latest: list[PhotoOut]


@router.get("/species/{label}", include_in_schema=False)
def show(request: Request, label: Label, period: PeriodName = "year") -> Response:
    """The page; its script draws the plots."""
    told = species(request, label, period)
    return page(request, "species.html", told=told, periods=PERIODS, news=NEWS)


@router.get("/api/species/{label}", operation_id="species", summary="All about one species")
def species(request: Request, label: Label, period: PeriodName = "year") -> SpeciesPageOut:
    """When it came, how sure the machine is of it, and what it is taken for."""
    with request.app.state.log.reading() as store:
        return _told(request, store, label, period)


def _told(request: Request, store: Store, label: str, period: PeriodName) -> SpeciesPageOut:
    names, day = names_of(request.app.state.settings), today(request)
    when = seen(store, label, day)
    if when is None:
        raise UnknownPhoto(
            f"no photo is named {shown(label, names)} here", hint="the garden page lists all birds that have been seen"
        )
    hours, days = counts(store, seasons.period(period, day), label)
    ever = store.seasons.by_month("", "9", label)
    machine = store.gallery.named(Wanted(species=label, named_by="machine"), limit=SURE_OF)
    sureness = [0] * 10
    for row in machine:
        if row["probability"] is not None:
            sureness[min(9, int(row["probability"] * 10))] += 1
    mixed = store.doubts.confused(label, of_the_latest=WORDS_LOOKED_AT)
    audit = next(iter(accuracies(store.audits.answered(label))), None)
    return SpeciesPageOut(
        species=label,
        name=shown(label, names),
        other_name=beside(label, names),
        period=period,
        first=when.first,
        last=when.last,
        badge=seasons.badge(when, today=day, garden_since=garden_since(store, day)),
        visits=sum(map(sum, days.visits.values())),
        visits_ever=sum(row["visits"] for row in ever),
        photos_ever=sum(row["photos"] for row in ever),
        named_by_people=store.seasons.named_by_people([label])[label],
        hours=plot(hours, names),
        days=plot(days, names),
        sureness=sureness,
        right=None if audit is None else audit.right,
        looked_at=0 if audit is None else audit.n,
        low=None if audit is None else audit.low,
        high=None if audit is None else audit.high,
        taken_for=[
            Mixed(species=row["guess"], name=shown(row["guess"], names), photos=row["photos"])
            for row in mixed
            if row["said"] == label
        ],
        taken_for_it=[
            Mixed(species=row["said"], name=shown(row["said"], names), photos=row["photos"])
            for row in mixed
            if row["guess"] == label
        ],
        latest=cards(request, store.gallery.named(Wanted(species=label), limit=LATEST)),
    )
