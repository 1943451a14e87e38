"""Labelled photos in; which of them a model learns from and which of them judge it, out.

Photos of one visit are near-copies. A model that has learned one of them knows the others by heart, so a visit is never torn apart.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

VISIT_GAP = timedelta(seconds=300)
"""Photos of one camera not more than this apart belong to one visit. The view `daily_counts` uses the same figure."""

SAME_SCENE = 0.985
"""Cosine of the square roots of two embeddings above which they show the same bird in the same scene."""

FOLDS = 5
HOLD_OUT_FROM = 200
"""Photos from which on a fixed side is held out; a fifth of fewer says too little about any species."""

HELD_OUT_SHARE = 0.2

KEPT_TO_LEARN = 10
"""So many visits of a species are learned before one of it is held out. From here on a fifth less costs less than one photo in a
hundred of the right names, by 40 real species; of five labels it costs five, and more where the hash takes three of them."""

_ROWS_AT_ONCE = 256
"""Of the table of cosines: 20 MB for 20,000 photos, beside 100 MB for the square roots of their embeddings."""

_DIRECTIONS = 64
"""In which photos are compared first: that many show of all but a few pairs of a million that they cannot be alike."""

_ROUNDING = 1e-4

_PAIRS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Labelled:
    """A photo that a person named.

    Attributes:
        camera: None when unknown; all such photos count as one camera.
        captured_at: ISO text by the camera's own clock, with or without an offset, which is not looked at; None when unknown.
    """

    photo_id: int
    sha256: str
    label: str
    camera: str | None
    captured_at: str | None


@dataclass(frozen=True, slots=True)
class Split:
    """Who learns and who judges; each list goes along with the photos that were split.

    Attributes:
        folds: 0 … FOLDS-1, for cross-validation; the same for all photos of a visit.
        held_out: only judged on, never trained on. False for all while there are too few photos: then the folds take turns.
        held_back: trained on and judged on by nobody, because it ties a trained-on visit to a held-out one.
        sides: what the next training has to be told as `known_sides`: all that was known and what was decided now, content -> held
            out. While nobody is held out nothing is decided.
    """

    folds: list[int]
    held_out: list[bool]
    held_back: list[bool]
    sides: dict[str, bool]


def visits(photos: Sequence[Labelled], embeddings: npt.NDArray[np.float32]) -> list[int]:
    """`visits_in_steps` in one go."""
    return in_one_go(visits_in_steps(photos, embeddings))


def in_one_go(work: Generator[None, None, T]) -> T:
    """Do all steps, and return what comes of them."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return cast("T", end.value)


def visits_in_steps(
    photos: Sequence[Labelled], embeddings: npt.NDArray[np.float32]
) -> Generator[None, None, list[int]]:
    """Find out which photos were taken of one visit of a bird.

    Two photos belong together if one camera took them not more than VISIT_GAP apart, or if they look the same (SAME_SCENE);
    and so do all that are tied together by others. Whoever has other things to do meanwhile has a turn between any two steps; a step
    takes well below a second with 20,000 photos. A time that cannot be read counts as unknown: then only the looks tell.

    Args:
        embeddings: one row of the spotter's embedding for each photo, without negative numbers; a row of zeros is like no other.

    Returns:
        For each photo the smallest index of the photos of its visit.
    Raises:
        ValueError: there is not one row for each photo.
    """
    if len(embeddings) != len(photos):
        raise ValueError(f"{len(photos)} photos cannot have {len(embeddings)} embeddings")
    # Always in one order, so that rounding in the cosines does not depend on the order in which the photos are given.
    order = np.array(sorted(range(len(photos)), key=lambda index: photos[index].photo_id), dtype=np.intp)
    groups = _tied_by_time([photos[index] for index in order])
    yield from _tie_by_looks(groups, np.asarray(embeddings, dtype=np.float32)[order])
    first: dict[int, int] = {}
    for index, group in zip(order.tolist(), groups.tolist(), strict=True):
        first[group] = min(index, first.get(group, index))
    found = [0] * len(photos)
    for index, group in zip(order.tolist(), groups.tolist(), strict=True):
        found[index] = first[group]
    return found


def look_alikes(embeddings: npt.NDArray[np.float32]) -> list[list[int]]:
    """Groups of photos that look the same (SAME_SCENE), by their places; each photo at most once, none alone."""
    groups = np.arange(len(embeddings), dtype=np.intp)
    in_one_go(_tie_by_looks(groups, np.array(embeddings, dtype=np.float32)))
    members: defaultdict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(groups.tolist()):
        members[group].append(place)
    return [places for places in members.values() if len(places) > 1]


def _tied_by_time(photos: Sequence[Labelled]) -> npt.NDArray[np.intp]:
    """Number each photo with the smallest place in its chain of photos of one camera."""
    groups = np.arange(len(photos), dtype=np.intp)
    taken: defaultdict[str | None, list[tuple[datetime, int]]] = defaultdict(list)
    for place, photo in enumerate(photos):
        moment = camera_time(photo.captured_at)
        if moment is not None:
            taken[photo.camera].append((moment, place))
    for moments in taken.values():
        moments.sort()
        chain = [moments[0][1]]
        for (before, _), (moment, place) in pairwise(moments):
            if moment - before > VISIT_GAP:
                groups[chain] = min(chain)
                chain = []
            chain.append(place)
        groups[chain] = min(chain)
    return groups


def camera_time(captured_at: str | None) -> datetime | None:
    """What the camera's clock showed, without its offset: cameras set to another zone half-way through are rarer than wrong offsets."""
    if captured_at is None:
        return None
    try:
        return datetime.fromisoformat(captured_at).replace(tzinfo=None)
    except ValueError:
        return None


def _tie_by_looks(groups: npt.NDArray[np.intp], embeddings: npt.NDArray[np.float32]) -> Generator[None, None, None]:
    """Unite the groups of photos that look the same, in place and in steps; `embeddings` is used up.

    In a few directions two photos are at most as unlike as they are: what differs too much there need not be compared in full.
    """
    for start in range(0, len(embeddings), _PAIRS_AT_ONCE):
        rows = embeddings[start : start + _PAIRS_AT_ONCE]
        np.sqrt(np.maximum(rows, 0, out=rows), out=rows)
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        rows /= np.where(lengths > 0, lengths, 1)[:, np.newaxis]
        yield
    sketches = yield from _sketches(embeddings)
    for start in range(0, len(embeddings), _ROWS_AT_ONCE):
        if (groups[start:] == groups[start]).all():
            break
        # From `start` on only: what came before was compared when it was its own turn.
        may_be = sketches[start : start + _ROWS_AT_ONCE] @ sketches[start:].T > SAME_SCENE - _ROUNDING
        count = np.count_nonzero(may_be, axis=1)
        yield
        if count.sum() > may_be.size / 8:  # they are much alike: then all at once is quicker than pair by pair
            may_be = yield from _alike_in_full(embeddings, start)
            for row in np.flatnonzero(np.count_nonzero(may_be, axis=1) > 1).tolist():
                _unite(groups, start + row, start + np.flatnonzero(may_be[row]))
            yield
            continue
        left = _PAIRS_AT_ONCE
        for row in np.flatnonzero(count > 1).tolist():
            here, others = start + row, start + np.flatnonzero(may_be[row])
            others = others[groups[others] != groups[here]]
            for some in np.array_split(others, range(_PAIRS_AT_ONCE, len(others), _PAIRS_AT_ONCE)):
                _unite(groups, here, some[embeddings[some] @ embeddings[here] > SAME_SCENE])
                left -= len(some)
                if left <= 0:
                    left = _PAIRS_AT_ONCE
                    yield


def _sketches(embeddings: npt.NDArray[np.float32]) -> Generator[None, None, npt.NDArray[np.float32]]:
    """Few numbers for each photo whose product, for two photos, is never below the cosine of the photos (by Cauchy and Schwarz)."""
    if not len(embeddings):
        return np.empty((0, 1), dtype=np.float32)
    some = np.linspace(0, len(embeddings) - 1, min(_DIRECTIONS, len(embeddings))).astype(np.intp)
    directions = np.linalg.qr(embeddings[some].T.astype(np.float64))[0].astype(np.float32)
    sketches = np.empty((len(embeddings), directions.shape[1] + 1), dtype=np.float32)
    for start in range(0, len(embeddings), _PAIRS_AT_ONCE):
        rows = embeddings[start : start + _PAIRS_AT_ONCE]
        part = rows @ directions
        # All that lies in no direction may at worst lie in one and the same.
        rest = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", part, part)
        sketches[start : start + len(rows)] = np.column_stack([part, np.sqrt(np.maximum(rest, 0))])
        yield
    return sketches


def _alike_in_full(embeddings: npt.NDArray[np.float32], start: int) -> Generator[None, None, npt.NDArray[np.bool_]]:
    rows = embeddings[start : start + _ROWS_AT_ONCE]
    parts = []
    for first in range(start, len(embeddings), _PAIRS_AT_ONCE):
        parts.append(rows @ embeddings[first : first + _PAIRS_AT_ONCE].T > SAME_SCENE)
        yield
    return np.concatenate(parts, axis=1)


def _unite(groups: npt.NDArray[np.intp], place: int, alike: npt.NDArray[np.intp]) -> None:
    tied = np.unique(np.append(groups[alike], groups[place]))
    if len(tied) > 1:
        groups[np.isin(groups, tied)] = tied[0]


def split(photos: Sequence[Labelled], visits: Sequence[int], *, known_sides: Mapping[str, bool]) -> Split:
    """Say of each photo whether it is learned from or judges, and in which fold it is.

    Below HOLD_OUT_FROM photos nobody is held out. From there on about a fifth of the visits is, by the hash of the visit; but a species
    first keeps KEPT_TO_LEARN visits to be learned, and gives away only what the hash takes beyond them. A photo keeps the side that it
    was once given, also when its visit grows, when its label changes, and when the photos become fewer again. Photos of one visit
    share a side and a fold; the exception are visits that were on both sides before somebody labelled the photo between them: that
    one is held back.

    When a species grows past KEPT_TO_LEARN, nothing changes sides. Its first visits were written down as learned although the hash
    would take some of them, and stay so: the model in use has learned them, and a model that has seen a photo must not be compared on
    it with one that has not. What the hash takes of later visits is held out, before any model has seen it. So held-out photos are
    newer than others on the whole, which judges a model by what it will be asked. Only when HOLD_OUT_FROM is reached does the hash
    take photos that a model in use may have learned; then that model stands by what was said of them out of fold (`Champion.said`),
    as of all photos of species too small to hold any out. A photo that is held out is never learned from again.

    Args:
        visits: for each photo the number of its visit, as from `visits`.
        known_sides: content (SHA-256) -> whether it was held out, as in `sides` of the training before.
    """
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, visit in enumerate(visits):
        members[visit].append(index)
    groups = [
        _Visit.of([photos[index] for index in indices], indices, known_sides=known_sides)
        for indices in members.values()
    ]
    # By species and then by hash, whatever order the photos came in.
    groups.sort(key=lambda group: (group.label, group.digest))
    holding_out = len(photos) >= HOLD_OUT_FROM or any(known_sides.get(photo.sha256, False) for photo in photos)
    sides = _sides_of(groups) if holding_out else [False] * len(groups)

    folds, held_out, held_back = [0] * len(photos), [False] * len(photos), [False] * len(photos)
    for group, side in zip(groups, sides, strict=True):
        for index in group.indices:
            known = known_sides.get(photos[index].sha256) if holding_out else None
            held_back[index] = holding_out and group.on_both_sides and known is None
            held_out[index] = not held_back[index] and (side if known is None else known)
    # In turn along the species: two visits of one species that follow each other are never in one fold. What is trained on
    # comes first in each, so that this holds for it alone, too.
    in_turn = sorted(range(len(groups)), key=lambda place: (groups[place].label, sides[place], place))
    for turn, place in enumerate(in_turn):
        for index in groups[place].indices:
            folds[index] = turn % FOLDS
    sides_now = dict(known_sides)
    if holding_out:
        sides_now |= {
            photo.sha256: out for photo, out, back in zip(photos, held_out, held_back, strict=True) if not back
        }
    return Split(folds, held_out, held_back, sides_now)


@dataclass(frozen=True, slots=True)
class _Visit:
    """A visit on its way to a side.

    Attributes:
        label: the most frequent one of its photos that count.
        digest: SHA-256 of its key, the content of its first photo.
        known: the sides that its photos had before.
    """

    indices: list[int]
    label: str
    digest: bytes
    known: frozenset[bool]

    @classmethod
    def of(cls, photos: Sequence[Labelled], indices: list[int], *, known_sides: Mapping[str, bool]) -> "_Visit":
        first = min(photos, key=lambda photo: photo.photo_id)
        known = frozenset(known_sides[photo.sha256] for photo in photos if photo.sha256 in known_sides)
        # The photo that ties two sides together has no say in what the visit shows: nobody will learn from it.
        counted = [photo for photo in photos if len(known) < 2 or photo.sha256 in known_sides]
        votes = Counter(photo.label for photo in counted)
        label = min(votes, key=lambda name: (-votes[name], name))
        return cls(indices, label, hashlib.sha256(first.sha256.encode()).digest(), known)

    @property
    def on_both_sides(self) -> bool:
        return len(self.known) > 1

    def drawn(self) -> bool:
        """Whether the hash holds it out."""
        return int.from_bytes(self.digest[:8], "big") < HELD_OUT_SHARE * 2**64


def _sides_of(groups: Sequence[_Visit]) -> list[bool]:
    """The side of each visit's photos that have none yet; for visits on both sides it is not used.

    Args:
        groups: sorted by label and hash.
    """
    sides = [next(iter(group.known)) if len(group.known) == 1 else group.drawn() for group in groups]
    taught = Counter(group.label for group, side in zip(groups, sides, strict=True) if group.on_both_sides or not side)
    for place, group in enumerate(groups):
        if sides[place] and not group.known and taught[group.label] < KEPT_TO_LEARN:
            sides[place] = False
            taught[group.label] += 1
    return sides
