"""The photos page: all of them, newest first, by bird, camera, time, who named them and where they are."""

import base64
import binascii
import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from birdwatchd.core import seasons
from birdwatchd.core.errors import UsageError
from birdwatchd.core.species_names import names_of, shown
from birdwatchd.edges.store import Mark, Store, Wanted
from birdwatchd.edges.store.gallery import RESTING
from birdwatchd.web.cards import Day, PhotoOut, cards
from birdwatchd.web.pages import page

router = APIRouter(tags=["photos"])

PAGE = 60

Which = Literal["all", "named", "review", "empty", "quarantined", "duplicate", "missing"]

WHICH: dict[Which, str] = {
    "all": "all photos",
    "named": "birds with a name",
    "review": "waiting for a look",
    "empty": "without a bird",
    "quarantined": "set aside",
    "duplicate": "duplicates",
    "missing": "gone",
}
"""What people may choose, in words."""

NO_CAMERA = "-"
"""In an address: photos without a camera."""


class Filters(BaseModel):
    """Which photos are asked for; all of it may be left out."""

    model_config = {"extra": "ignore"}

    which: Which | Literal[""] = Field(
        default="", description="Where they are; with a bird or `by` only those with a name."
    )
    species: str = Field(default="", max_length=200, description="The label, such as `house-finch`.")
    camera: str = Field(default="", max_length=300, description=f"`{NO_CAMERA}` for photos without one.")
    by: Literal["", "human", "machine"] = Field(default="", description="Who gave the name.")
    since: Day | Literal[""] = Field(default="", description="First day by the clock on the wall, such as 2026-05-01.")
    until: Day | Literal[""] = Field(default="", description="Last day.")
    older: str = Field(default="", max_length=200, description="`older` of the page before.")
    newer: str = Field(default="", max_length=200, description="`newer` of the page after.")

    def kept(self, **changed: str) -> str:
        """The same as the end of an address, without the place in the list."""
        told = {
            "which": self.which,
            "species": self.species,
            "camera": self.camera,
            "by": self.by,
            "since": str(self.since),
            "until": str(self.until),
        } | changed
        return urlencode({name: value for name, value in told.items() if value})


class PhotosOut(BaseModel):
    """A page of photos, the newest first."""

    photos: list[PhotoOut]
    older: str | None = Field(description="To be sent as `older` for the next page; null if this is the last.")
    newer: str | None = Field(description="To be sent as `newer` for the page before; null if this is the first.")


@router.get("/photos", include_in_schema=False)
def show(request: Request, filters: Annotated[Filters, Query()]) -> Response:
    """The page."""
    with request.app.state.log.reading() as store:
        found = _found(request, store, filters)
        names = names_of(request.app.state.settings)
        species = sorted(store.seasons.species(), key=lambda one: shown(one, names).casefold())
        cameras, newest = store.gallery.cameras(), store.news.newest_photo()
    return page(
        request,
        "photos.html",
        found=found,
        filters=filters,
        species=species,
        cameras=cameras,
        newest=newest,
        which=WHICH,
    )


@router.get("/api/photos", operation_id="photos", summary="Photos, newest first")
def listed(request: Request, filters: Annotated[Filters, Query()]) -> PhotosOut:
    """Sixty at a time. A bird or `by` chooses among photos with a name; other places have none."""
    with request.app.state.log.reading() as store:
        return _found(request, store, filters)


def _found(request: Request, store: Store, filters: Filters) -> PhotosOut:
    which = filters.which or ("named" if filters.species or filters.by else "all")
    if which != "named" and (filters.species or filters.by):
        raise UsageError(
            f"{WHICH[which]} cannot be chosen by bird or by who named them",
            hint="choose `birds with a name`, or leave the bird out",
        )
    wanted = Wanted(
        species=filters.species or None,
        named_by=filters.by or None,
        states=RESTING if which in ("all", "named") else (which,),
        camera=None if not filters.camera else "" if filters.camera == NO_CAMERA else filters.camera,
    )
    wanted = on_days(wanted, filters.since or None, filters.until or None)
    mark = _mark(filters.newer or filters.older)
    newer = bool(filters.newer)
    ask = store.gallery.named if which == "named" else store.gallery.resting
    rows = ask(wanted, limit=PAGE + 1, after=mark, newer=newer)
    more = len(rows) > PAGE
    rows = rows[-PAGE:] if newer else rows[:PAGE]
    before, behind = (more, True) if newer else (mark is not None, more)
    return PhotosOut(
        photos=cards(request, rows),
        older=_told((rows[-1]["at"], rows[-1]["id"])) if rows and behind else None,
        newer=_told((rows[0]["at"], rows[0]["id"])) if rows and before else None,
    )


def _told(mark: Mark) -> str:
    return base64.urlsafe_b64encode(json.dumps(mark).encode()).decode().rstrip("=")


def _mark(text: str) -> Mark | None:
    if not text:
        return None
    try:
        at, number = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, TypeError) as error:
        raise UsageError("that place in the list is none", hint="begin with the newest photos") from error
    if not isinstance(at, str) or type(number) is not int or not 0 <= number < 2**63:
        raise UsageError("that place in the list is none", hint="begin with the newest photos")
    return at, number


def on_days(wanted: Wanted, first: date | None, last: date | None) -> Wanted:
    """The same photos, but only those of some days by the clock on the wall, both included."""
    after = None if last is None else last + timedelta(days=1)
    return replace(
        wanted,
        since=None if first is None else first.isoformat(),
        before=None if after is None else after.isoformat(),
        arrived_since=None if first is None else seasons.in_utc(first, None),
        arrived_before=None if after is None else seasons.in_utc(after, None),
    )


def day_range(day: date) -> list[tuple[str, str, bool]]:
    """Where the photos of a local day lie in the log: since, before, and whether by the camera's clock."""
    end = day + timedelta(days=1)
    return [
        (day.isoformat(), end.isoformat(), True),
        (seasons.in_utc(day, None), seasons.in_utc(end, None), False),
    ]
