"""What a person says by moving photos: told from what the log says and from what lies where. Never looks at a disk.

A photo is known by its content. Only a place that means something else than the one in the log is a word of a person: the daemon's own
moves are in the log before anybody looks, and a photo that was moved and put back says nothing.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from birdwatchd.core import shelving
from birdwatchd.core.errors import UsageError
from birdwatchd.core.photo import Stamp, State

SHELVES = (shelving.LIBRARY, shelving.REVIEW, shelving.EMPTY)

KEPT = (State.FILED, State.REVIEW, State.EMPTY)
"""States of photos that lie there."""

STRONG_FROM = 5
"""So many photos of a name show that it is meant, however much it looks like another."""

FEW = 10
"""So many photos a person may well have deleted; if most of many are gone at once, something is wrong, and nothing is inferred."""


@dataclass(frozen=True, slots=True)
class Place:
    """What lying there means.

    Attributes:
        state: FILED, REVIEW or EMPTY.
        label: the name that the folder gives; None in review.
    """

    state: State
    label: str | None


def place_of(path: str) -> Place | None:
    """What a path below the bird folder means; None for one that names nothing, such as a file in `library/` itself.

    Raises:
        UsageError: the folder's name cannot be that of a species.
    """
    shelf, *folders = path.split("/")[:-1]
    match shelf:
        case shelving.REVIEW:
            return Place(State.REVIEW, None)
        case shelving.EMPTY:
            return Place(State.EMPTY, shelving.NO_BIRD)
        case shelving.LIBRARY if folders:
            name = shelving.species_name(folders[0])
            return Place(State.EMPTY if name == shelving.NO_BIRD else State.FILED, name)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Known:
    """A photo in the log. `label` is the last human word; None when there is none or it was withdrawn."""

    photo_id: int
    path: str
    state: State
    label: str | None


@dataclass(frozen=True, slots=True)
class Lying:
    """A file with a photo's content. `changed_ns`: when its name or content last changed, by the kernel's own date."""

    path: str
    changed_ns: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What becomes of a photo's row.

    Attributes:
        speaks: whether the place is a word of a person, to be written as a label; None among labels withdraws.
        label: that word.
    """

    photo_id: int
    path: str
    state: State
    speaks: bool
    label: str | None


def word_of(known: Known, at_logged: Lying | None, elsewhere: Iterable[Lying]) -> Finding | None:
    """What it means that a known photo lies there; None when it says nothing new.

    Args:
        at_logged: the file at the place that the log says, if it is there and has that content.
        elsewhere: files with that content at places that the log does not say.

    Of several copies the newest counts, and one in review only when there is no other: it may just have been left behind. While the
    logged one is there, an older copy is no news. So what was understood once is never understood anew.
    """
    meant = [(lying, place) for lying in elsewhere if (place := _place_or_none(lying.path)) is not None]
    if at_logged is not None:
        here = _place_or_none(known.path)
        named = [(one, place) for one, place in meant if place.state is not State.REVIEW]
        if here is not None and here.state is not State.REVIEW:
            named = [(one, place) for one, place in named if one.changed_ns > at_logged.changed_ns]
        meant = named or ([(at_logged, here)] if here is not None else [])
    if not meant:
        return None
    lying, place = max(meant, key=lambda one: (one[1].state is not State.REVIEW, one[0].changed_ns, one[0].path))
    finding = Finding(known.photo_id, lying.path, place.state, _speaks(known, place), place.label)
    is_news = finding.speaks or (known.path, known.state) != (lying.path, place.state)
    return finding if is_news else None


def without_a_word(known: Known, finding: Finding) -> Finding | None:
    """The same when the place is no person's word: what the log says of the photo stands, wherever it lies.

    None when that is no news.
    """
    state = finding.state if known.state is State.MISSING else known.state
    if (known.path, known.state) == (finding.path, state):
        return None
    return replace(finding, state=state, speaks=False, label=None)


def _speaks(known: Known, place: Place) -> bool:
    if place.state is State.REVIEW:
        # A photo that was filed under a machine's name, and is put back: that name is withdrawn, too.
        return known.label is not None or (known.state in (State.FILED, State.EMPTY))
    before = _place_or_none(known.path)
    at_rest = known.state is State.MISSING or (before is not None and known.state is before.state)
    return place.label != known.label and not (at_rest and before == place)


def _place_or_none(path: str) -> Place | None:
    try:
        return place_of(path)
    except UsageError:
        return None


def is_unclear(path: str) -> str | None:
    """Why a new photo cannot be taken up where it lies, and what to do; None when it can."""
    try:
        place = place_of(path)
    except UsageError as error:
        return str(error)
    if place is None:
        return "lies in no species folder (move it into one, such as library/robin)"
    if place.state is State.REVIEW:
        return "is not known here, and review is no place for new photos (drop it into the inbox)"
    return None


@dataclass(frozen=True, slots=True)
class Row:
    """A photo that rests on a shelf, as far as a listing can tell about it."""

    photo_id: int
    path: str
    state: State
    sha256: str
    size_bytes: int


def differences(
    rows: Iterable[Row], there: Mapping[str, Stamp], seen: Mapping[str, Stamp]
) -> tuple[list[str], list[Row]]:
    """Compare the log with a listing.

    Args:
        there: all files on the shelves.
        seen: the same at an earlier look, after which everything was understood.

    Returns:
        Paths whose content must be looked at; and photos that are not at their place.
    """
    unknown = dict.fromkeys(there)
    absent: list[Row] = []
    for row in rows:
        stamp = there.get(row.path)
        if stamp is None:
            absent.append(row)
        elif _is_itself(row, stamp, seen.get(row.path)):
            del unknown[row.path]
    return list(unknown), absent


def _is_itself(row: Row, stamp: Stamp, before: Stamp | None) -> bool:
    digits = shelving.digits_in(row.path)
    place = _place_or_none(row.path)
    return (
        stamp.size_bytes == row.size_bytes
        and (digits is None or row.sha256.startswith(digits))
        and (before is None or (before.inode, before.mtime_ns) == (stamp.inode, stamp.mtime_ns))
        and (place is None or place.state is row.state)
    )


def is_mass(absent: int, of: int) -> bool:
    """Whether so many are gone at once that a disk, not a person, is the likely cause."""
    return absent > FEW and absent * 2 > of


# -- names


def doubtful_names(counts: Mapping[str, int]) -> dict[str, str]:
    """Names that are probably slips for another, each with that other; not to be learned until `STRONG_FROM` photos strong.

    Args:
        counts: photos by label.
    """
    found: dict[str, str] = {}
    for name, count in counts.items():
        if count >= STRONG_FROM or name == shelving.NO_BIRD:
            continue
        others = [
            other for other, n in counts.items() if other != name and (n > count or (n == count and other < name))
        ]
        alike = [other for other in dict.fromkeys([shelving.NO_BIRD, *others]) if _alike(name, other)]
        if alike:
            found[name] = max(alike, key=lambda other: (counts.get(other, 0), other))
    return found


LONG_NAME = 8
"""From so many letters on, two slips are still a slip; `crow` and `crane` are two birds."""


def _alike(one: str, other: str) -> bool:
    a, b = _letters(one), _letters(other)
    if _digits(a) != _digits(b):
        return False  # `gull 1` and `gull 2` were told apart on purpose
    most = 2 if min(len(a), len(b)) >= LONG_NAME else 1
    # The first two are quick: among hundreds of names nearly all pairs end there.
    return abs(len(a) - len(b)) <= most and len(set(a) ^ set(b)) <= 2 * most and _slips(a, b) <= most


def _letters(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(char for char in plain if char.isalnum())


def _digits(letters: str) -> str:
    return "".join(char for char in letters if char.isdigit())


def _slips(a: str, b: str) -> int:
    """Letters left out, put in, changed, or changed about: the fewest that make one word of the other."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before = before, row
        row = [i]
        for j, y in enumerate(b, 1):
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                least = min(least, older[j - 2] + 1)
            row.append(least)
    return row[-1]
