"""A photo in a list: what every page and answer tells of it, in words and by the clock on the wall."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import Request
from pydantic import BaseModel, Field

from birdwatchd.core import seasons
from birdwatchd.core.deciding import IN_WORDS
from birdwatchd.core.species_names import names_of, shown
from birdwatchd.edges.store import Row

Day = Annotated[date, Field(ge=date(1970, 1, 1), le=date(2999, 12, 31))]
"""A day on which photos may have been taken."""

PLACES = {
    "filed": "in the library",
    "review": "waits for a look",
    "empty": "no bird",
    "quarantined": "set aside",
    "duplicate": "a duplicate",
    "missing": "gone",
    "claimed": "just arrived",
    "decided": "on its way",
}
"""States of photos, in words."""


class PhotoOut(BaseModel):
    """A photo in a list."""

    photo_id: int
    species: str | None = Field(
        description="Its label; the guess where it waits for a look, null without one, and where it is like none."
    )
    name: str = Field(description="That name as people read it.")
    named_by: Literal["human", "machine"] | None = Field(description="Who gave the name; null where it has none yet.")
    probability: float | None = Field(description="Of the machine's name, 0 to 1; null for a person's.")
    state: str
    place: str = Field(description="Where it is, in words.")
    reason: str = Field(description="Why it is there, in words; may be empty.")
    camera: str | None
    at: str = Field(description="When it was taken, else when it arrived, by the clock on the wall.")
    day: str


def cards(request: Request, rows: Iterable[Row]) -> list[PhotoOut]:
    """Rows of the gallery, ready to be shown."""
    names = names_of(request.app.state.settings)
    told = []
    for row in rows:
        at = moment_of(row)
        has_name = row["named_by"] == "human" or row["state"] in ("filed", "missing")
        is_strange = row["is_strange"] and row["named_by"] != "human" and row["state"] == "review"
        label = None if is_strange else row["species"]  # a choice among names of which none fits
        species = None if label is None and row["state"] != "empty" else label or "empty"
        told.append(
            PhotoOut(
                photo_id=row["id"],
                species=label,
                name="New here" if is_strange else shown(species, names),
                named_by=row["named_by"] if has_name and label is not None else None,
                probability=None if is_strange else row["probability"],
                state=row["state"],
                place=PLACES.get(row["state"], str(row["state"])),
                reason=IN_WORDS.get(row["reason"] or "", row["reason"] or ""),
                camera=row["camera"],
                at=at,
                day=at[:10],
            )
        )
    return told


def moment_of(row: Row) -> str:
    """When a photo was taken, else when it arrived, by the clock on the wall."""
    return seasons.on_the_wall(row["captured_at"] or row["received_at"], None, timed=row["captured_at"] is not None)


def today(request: Request) -> date:
    """By the clock on the wall."""
    return datetime.fromisoformat(request.app.state.log.now()).astimezone().date()
