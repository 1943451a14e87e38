"""The visits of a day, for people: photos of one camera and one species that lie minutes apart are one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

APART = timedelta(minutes=5)
"""As the view `daily_counts` has it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A photo with a name.

    Attributes:
        at: by the clock on the wall, ISO.
        timed: whether the camera told it; else the photo is a visit by itself.
    """

    photo_id: int
    at: str
    species: str
    camera: str | None
    timed: bool


def outings(photos: Sequence[Taken]) -> list[list[Taken]]:
    """Visits in the order in which they began, each with its photos.

    Args:
        photos: in any order.
    """
    visits: list[list[Taken]] = []
    open_visit: dict[tuple[str, str | None], list[Taken]] = {}
    for photo in sorted(photos, key=lambda one: (one.at, one.photo_id)):
        key = (photo.species, photo.camera)
        visit = open_visit.get(key) if photo.timed else None
        if visit is not None and _apart(visit[-1].at, photo.at) <= APART:
            visit.append(photo)
            continue
        visits.append([photo])
        if photo.timed:
            open_visit[key] = visits[-1]
    return visits


def _apart(one: str, other: str) -> timedelta:
    try:
        return datetime.fromisoformat(other) - datetime.fromisoformat(one)
    except ValueError:  # a clock that was never set
        return timedelta.max
