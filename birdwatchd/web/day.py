"""The page of one day: its visits in order, with their photos."""

from datetime import date, timedelta

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from birdwatchd.core.outings import Taken, outings
from birdwatchd.core.species_names import names_of, shown
from birdwatchd.edges.store import Store, Wanted
from birdwatchd.web.cards import Day, PhotoOut, cards, today
from birdwatchd.web.gallery import day_range, on_days
from birdwatchd.web.pages import page

router = APIRouter(tags=["garden"])

MOST_PHOTOS = 3000
"""Of a day; a camera that takes more never stops, and the photos page has the rest."""

AT_ONCE = 40
"""Visits on one page."""

SHOWN = 12
"""Photos of one visit."""

COUNTED = 10_000


class VisitOfDay(BaseModel):
    """Photos of one camera and species, minutes apart."""

    began: str = Field(description="By the clock on the wall.")
    ended: str
    species: str
    name: str
    camera: str | None
    photos: int
    shown: list[PhotoOut] = Field(description="Some of them.")


class DayOut(BaseModel):
    """The visits of one day."""

    day: date
    visits: list[VisitOfDay] = Field(description=f"{AT_ONCE} of them, in order, from the wanted one on.")
    count: int = Field(description="How many there were in all.")
    begin: int
    species: dict[str, int] = Field(description="Visits of each species, by its name; the most first.")
    waiting: int = Field(description=f"Photos of that day that wait for a look; counted no further than {COUNTED}.")
    empty: int = Field(description="Photos without a bird.")


@router.get("/days/{day}", include_in_schema=False)
def show(request: Request, day: Day, begin: int = Query(default=0, ge=0, le=MOST_PHOTOS)) -> Response:
    """The page."""
    told = visits(request, day, begin)
    before = day - timedelta(days=1)
    after = day + timedelta(days=1) if day < today(request) else None
    return page(request, "day.html", told=told, before=before, after=after, at_once=AT_ONCE)


@router.get("/api/days/{day}", operation_id="day", summary="The visits of a day")
def visits(request: Request, day: Day, begin: int = Query(default=0, ge=0, le=MOST_PHOTOS)) -> DayOut:
    """In order, by the clock on the wall."""
    with request.app.state.log.reading() as store:
        return _told(request, store, day, begin)


def _told(request: Request, store: Store, day: date, begin: int) -> DayOut:
    names = names_of(request.app.state.settings)
    rows = [
        row
        for since, before, timed in day_range(day)
        for row in store.gallery.between(since, before, timed=timed, limit=MOST_PHOTOS)
    ]
    timed = {row["id"]: row["captured_at"] is not None for row in rows}
    by_id = {card.photo_id: card for card in cards(request, rows)}
    taken = [
        Taken(card.photo_id, card.at, card.species or "", card.camera, timed[card.photo_id]) for card in by_id.values()
    ]
    found = outings(taken)
    counted: dict[str, int] = {}
    for visit in found:
        counted[visit[0].species] = counted.get(visit[0].species, 0) + 1
    return DayOut(
        day=day,
        visits=[
            VisitOfDay(
                began=visit[0].at,
                ended=visit[-1].at,
                species=visit[0].species,
                name=shown(visit[0].species, names),
                camera=visit[0].camera,
                photos=len(visit),
                shown=[by_id[one.photo_id] for one in visit[:SHOWN]],
            )
            for visit in found[begin : begin + AT_ONCE]
        ],
        count=len(found),
        begin=begin,
        species={shown(one, names): n for one, n in sorted(counted.items(), key=lambda item: (-item[1], item[0]))},
        waiting=store.gallery.count_resting(on_days(Wanted(states=("review",)), day, day), most=COUNTED),
        empty=store.gallery.count_resting(on_days(Wanted(states=("empty",)), day, day), most=COUNTED),
    )
