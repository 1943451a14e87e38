"""Which named photos fit their names worst: what models say of them that had not seen them, per species and side. For a second look.

JOB/hardest.json is written by the training program and read by the page; it names photos by number and by content, because a log that
was put back may have given the number to another photo.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from birdwatchd.core.job import FORMAT_VERSION

HARDEST_FILE = "hardest.json"

EACH = 30
"""So many photos of each species that is learned, and of each that is held out."""

IN_ALL = 6000
NEIGHBOURS = 4


@dataclass(frozen=True, slots=True)
class Hard:
    """One photo.

    Attributes:
        label: what people say.
        own: how probable that is, 0-1, by models that had not seen the photo.
        likely: the most probable name.
        probability: of that one.
        held_out: it is only judged on.
        suspected: the photos that look most like it bear another name too, so the label is probably wrong.
        neighbours: numbers of some of these; for suspected ones.
    """

    photo_id: int
    sha256: str
    label: str
    own: float
    likely: str
    probability: float
    held_out: bool
    suspected: bool = False
    neighbours: tuple[int, ...] = ()


def hardest(photos: Iterable[Hard]) -> tuple[Hard, ...]:
    """Those worth a second look: all that are suspected, and of each species and side some that fit worst; the worst first."""
    by_side: defaultdict[tuple[str, bool], list[Hard]] = defaultdict(list)
    for one in photos:
        by_side[one.label, one.held_out].append(one)
    chosen = [one for side in by_side.values() for one in sorted(side, key=_worst_first)[:EACH]]
    left = [one for side in by_side.values() for one in sorted(side, key=_worst_first)[EACH:] if one.suspected]
    return tuple(sorted([*chosen, *left], key=_worst_first)[:IN_ALL])


def _worst_first(one: Hard) -> tuple[bool, float, int]:
    return not one.suspected, one.own, one.photo_id


def to_json(photos: Iterable[Hard]) -> str:
    """`from_json` is the inverse, but for digits that say nothing."""
    rows = [
        {name: getattr(one, name) for name in one.__slots__}
        | {"own": round(one.own, 4), "probability": round(one.probability, 4)}
        for one in photos
    ]
    return json.dumps({"format_version": FORMAT_VERSION, "photos": rows}, ensure_ascii=True, allow_nan=False)


def from_json(text: str) -> tuple[Hard, ...]:
    """Read what `to_json` wrote.

    Raises:
        ValueError: it is something else, or of another version.
    """
    content = json.loads(text)
    if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION:
        raise ValueError("no list of the hardest photos of this version")
    try:
        return tuple(Hard(**one | {"neighbours": tuple(one["neighbours"])}) for one in content["photos"])
    except (TypeError, KeyError) as error:
        raise ValueError(f"a list of the hardest photos with other fields: {error}") from error
