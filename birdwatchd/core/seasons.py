"""Days, months and hours as people in the garden count them, and what is new in a season.

A camera writes the time of its own clock; a photo without one has the time at which it arrived, in UTC. People want both by the clock
on their wall, so counts of the latter are shifted by whole hours. Time and time zone are arguments.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from typing import Any, Literal

PeriodName = Literal["today", "week", "month", "year"]

WEEK_DAYS, MONTH_DAYS, YEAR_MONTHS = 7, 30, 12

LATELY = timedelta(days=30)
"""So long the first visit of a year is news."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Days that are counted alike.

    Attributes:
        first, last: by the clock that wrote them, ISO, both included.
        timed: whether that was the camera's clock; else ours, in UTC.
        shift_h: what is to be added to its hours to have those of the wall.
    """

    first: str
    last: str
    timed: bool
    shift_h: int = 0


@dataclass(frozen=True, slots=True)
class Period:
    """What is looked at: whole days, both included."""

    name: PeriodName
    first: date
    last: date

    def days(self) -> list[str]:
        """All of them, ISO."""
        return [(self.first + timedelta(days=n)).isoformat() for n in range((self.last - self.first).days + 1)]

    def months(self) -> list[str]:
        """All months that they touch, such as 2026-05."""
        found, one = [], self.first.replace(day=1)
        while one <= self.last:
            found.append(f"{one:%Y-%m}")
            one = (one + timedelta(days=31)).replace(day=1)
        return found


def period(name: PeriodName, today: date) -> Period:
    """The latest of them, up to today. A year is the twelve months that end with this one."""
    match name:
        case "today":
            return Period(name, today, today)
        case "week":
            return Period(name, today - timedelta(days=WEEK_DAYS - 1), today)
        case "month":
            return Period(name, today - timedelta(days=MONTH_DAYS - 1), today)
        case "year":
            back = today.year * 12 + today.month - YEAR_MONTHS
            return Period(name, date(back // 12, back % 12 + 1, 1), today)


def season_began(today: date) -> date:
    """The first day of the meteorological season: March, June, September, December."""
    months = (today.month % 12) % 3
    began = today.year * 12 + today.month - 1 - months
    return date(began // 12, began % 12 + 1, 1)


@cache
def shift_h(day: date, zone: tzinfo | None) -> int:
    """Whole hours from UTC to the clock on the wall, at noon of that day. None: the zone of this computer."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone)
    offset = noon.astimezone().utcoffset() if zone is None else noon.utcoffset()
    return round((offset or timedelta()).total_seconds() / 3600)


def stretches(first: date, last: date, zone: tzinfo | None) -> list[Stretch]:
    """What is to be counted so that all photos of these local days are counted; a day more at each end where hours are shifted."""
    found = [Stretch(first.isoformat(), last.isoformat(), timed=True)]
    begin, shift = first, shift_h(first, zone)
    days = [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]
    for day in [*days, None]:
        if day is not None and shift_h(day, zone) == shift:
            continue
        end = last if day is None else day - timedelta(days=1)
        outer_first = begin - timedelta(days=1) if begin == first and shift > 0 else begin
        outer_last = end + timedelta(days=1) if day is None and shift < 0 else end
        found.append(Stretch(outer_first.isoformat(), outer_last.isoformat(), timed=False, shift_h=shift))
        if day is not None:
            begin, shift = day, shift_h(day, zone)
    return found


def on_the_wall(at: str, zone: tzinfo | None, *, timed: bool) -> str:
    """When a photo was taken by the clock on the wall: 2026-05-01T07:30:12, or as much of it as is known.

    Args:
        at: by the camera's clock, or when it arrived, in UTC.
        timed: whether it is the former.
    """
    if timed:
        return at[:19]
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:  # a clock that was never set, or another program's words
        return at[:19]
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(zone).isoformat()[:19]


def days_on_the_wall(rows: Iterable[Row], zone: tzinfo | None) -> list[str]:
    """The days of rows of counts (`day`, `hour`, `timed`) by the clock on the wall, ISO, each once and in order."""
    return sorted({row["day"] if row["timed"] else _day_on_the_wall(row, zone) for row in rows})


def _day_on_the_wall(row: Row, zone: tzinfo | None) -> str:
    return on_the_wall(f"{row['day']}T{row['hour']}:00:00", zone, timed=False)[:10]


def in_utc(day: date, zone: tzinfo | None) -> str:
    """When a day begins, as the log writes the time at which photos arrive."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return f"{midnight.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Counts:
    """Visits by species and place in time.

    Attributes:
        places: days, months or hours, in order.
        visits: by species, one number for each place; the species with most visits first.
        photos: by species, all together.
    """

    places: Sequence[str]
    visits: Mapping[str, Sequence[int]]
    photos: Mapping[str, int]


def counted(rows: Iterable[Row], places: Sequence[str], place: Callable[[Row], str]) -> Counts:
    """Put rows of counts together; those of other places are left out."""
    index = {one: n for n, one in enumerate(places)}
    visits: dict[str, list[int]] = {}
    photos: dict[str, int] = {}
    for row in rows:
        where = index.get(place(row))
        if where is None:
            continue
        species = row["species"]
        visits.setdefault(species, [0] * len(places))[where] += row["visits"]
        photos[species] = photos.get(species, 0) + row["photos"]
    order = sorted(visits, key=lambda one: (-sum(visits[one]), one))
    return Counts(places, {one: visits[one] for one in order}, photos)


HOURS = [f"{hour:02d}" for hour in range(24)]


def month_hour(row: Row, zone: tzinfo | None) -> str:
    """The hour on the wall of a row of counts of a month; where the clocks are changed within it, as in its middle."""
    hour = int(row["hour"])
    if not row["timed"]:
        year, month = row["month"].split("-")
        hour += shift_h(date(int(year), int(month), 15), zone)
    return f"{hour % 24:02d}"


@dataclass(frozen=True, slots=True)
class Seen:
    """When a species was seen: ISO days; None for not since then."""

    species: str
    first: str
    last: str
    this_year: str | None
    this_season: str | None


Badge = Literal["new", "first-this-year", "first-this-season"]


def badge(seen: Seen, *, today: date, garden_since: str) -> Badge | None:
    """What is news about a species; nothing in a garden that is itself so young that every bird is new."""
    season, year = season_began(today).isoformat(), date(today.year, 1, 1).isoformat()
    if garden_since >= season:
        return None
    if seen.first >= season:
        return "new"
    lately = (today - LATELY).isoformat()
    if garden_since < year and seen.this_year is not None and seen.this_year >= lately:
        return "first-this-year"
    return "first-this-season" if seen.this_season is not None and seen.this_season >= lately else None
