"""The review queue in groups, so that a person answers groups and not frames. Knows nothing of a log or a page.

Photos are compared by the square roots of their embeddings, at length one: so a few strong traits do not drown the rest. Measured with
ten species of 40, ten photos to be named of each: by the nearest mean of what people have named, 78 % of the suggestions are right with
one named photo of each species, 94 % with five. A group is taken whole once its odd ones are named one by one; those come first.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]
"""Shape (n, d); rows of length one."""

SURE_FROM = 0.9
"""A classifier this sure of a name keeps it, whatever the means say: where both differed (4 of 1,000), it was right in 7 of 8 cases."""

STRANGE_BELOW = 0.53
"""Likeness to the nearest mean under which a photo is like nothing that was named: what is no bird has 0.43 to 0.45, of photos of named
species 0 (five named of each) to 3 in 1,000 (one of each) have less, of other species 1 in 100 to 6 in 100."""

YOUNG_BELOW = {1: 0.65, 2: 0.69, 3: 0.71, 4: 0.72}
"""Likeness to the mean of so few named photos under which a photo is not called that. Of the same species 85 to 95 in 100 have more,
of all others 2 to 15 in 100: else the first bird that is named would give its name to half of all that wait."""

ALIKE_WITHIN = 0.3
"""Cosine distance up to which photos that are like nothing that was named are one group (average linkage)."""

NEAR_COPY_WITHIN = 0.05
"""Cosine distance up to which two photos show as good as the same."""


@dataclass(frozen=True, slots=True)
class Card:
    """A photo that waits, before it is in a group.

    Attributes:
        guess: what the machine takes it for; None if it says nothing.
        probability: of the guess, 0-1; None where no classifier said it.
        visit: photos with the same number were taken together; None for one alone.
        unlike: names of which a model said that none fits; it is probably new here, or has a name that the model does not know.
    """

    photo_id: int
    guess: str | None = None
    probability: float | None = None
    visit: int | None = None
    camera: str | None = None
    unlike: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Group:
    """Photos that are probably of one species.

    Attributes:
        label: the suggestion; None if there is none.
        members: places in the list of cards, the least sure first.
        is_new: a model said of them that none of its names fits, and no other name does.
    """

    label: str | None
    members: tuple[int, ...]
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Suggested:
    """What each card is taken for, and how much more like that than like the next best it is (0-2; 0: no telling)."""

    labels: tuple[str | None, ...]
    margins: tuple[float, ...]

    def of(self, places: Sequence[int]) -> "Suggested":
        """The same of some of the cards, in that order."""
        return Suggested(tuple(self.labels[one] for one in places), tuple(self.margins[one] for one in places))


def features(vectors: npt.NDArray[np.float32]) -> Features:
    """Embeddings, shape (n, d), made comparable: a photo's likeness to another is the product of their rows."""
    roots = np.sqrt(np.maximum(vectors, 0))
    lengths = np.linalg.norm(roots, axis=1, keepdims=True)
    return np.asarray(roots / np.maximum(lengths, 1e-12), dtype=np.float32)


def means(named: Mapping[str, Features]) -> tuple[tuple[str, ...], Features]:
    """The mean photo of each species, by name.

    Args:
        named: what people have named, at least one photo of each species.
    """
    names = tuple(sorted(named))
    centres = np.stack([named[name].mean(axis=0) for name in names])
    return names, (centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def suggested(
    cards: Sequence[Card],
    likeness: npt.NDArray[np.float32],
    names: Sequence[str],
    named: Mapping[str, int] | None = None,
) -> Suggested:
    """What each card is probably: what its visit is most like, unless a classifier is sure of it, or it is like nothing that is named.
    Of a card that is unlike some names, those are none: it may have one that was first given after the classifier had learned.

    Args:
        likeness: shape (cards, names), to the mean photo of each species.
        named: how many photos of each species people have named; a species that is not in it has many.
    """
    told = _by_visit(cards, likeness)
    least = np.array([YOUNG_BELOW.get((named or {}).get(name, 0), STRANGE_BELOW) for name in names])
    labels: list[str | None] = []
    margins: list[float] = []
    for card, own, row in zip(cards, likeness, told, strict=True):
        if card.unlike:
            fits = np.array([name not in card.unlike for name in names]) & (row >= least)
            labels.append(names[int(np.argmax(np.where(fits, row, -np.inf)))] if fits.any() else None)
            margins.append(0.0)
            continue
        if card.guess is not None and card.probability is not None and card.probability >= SURE_FROM:
            labels.append(card.guess)
            margins.append(card.probability)
            continue
        best = int(np.argmax(row))
        if row[best] < STRANGE_BELOW:
            labels.append(None)
            margins.append(float(own[best]))
            continue
        if not (row >= least).any():
            labels.append(None)
            margins.append(0.0)
            continue
        best = int(np.argmax(np.where(row >= least, row, -np.inf)))
        labels.append(names[best])
        margins.append(float(own[best] - np.max(np.delete(own, best))) if len(names) > 1 else float(own[best]))
    return Suggested(tuple(labels), tuple(margins))


def _by_visit(cards: Sequence[Card], likeness: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    together: dict[int, list[int]] = {}
    for place, card in enumerate(cards):
        if card.visit is not None:
            together.setdefault(card.visit, []).append(place)
    told = likeness.copy()
    for places in together.values():
        told[places] = likeness[places].mean(axis=0)
    return told


def grouped(cards: Sequence[Card], by: Suggested, looks: Features, names: Sequence[str]) -> list[Group]:
    """Cards of the same suggestion together, the biggest group first; within it the least sure first, and visits unbroken.

    What is like nothing that was named is put together by how it looks, as long as there is another name for it or a model said
    that it is new; the rest is one group.

    Args:
        names: those in use.
    """
    groups: dict[str | None, list[int]] = {}
    for place, label in enumerate(by.labels):
        groups.setdefault(label, []).append(place)
    strange = groups.pop(None, [])
    found = [Group(label, _least_sure_first(cards, by, group)) for label, group in groups.items()]
    alone: list[int] = []
    for group in alike([cards[place] for place in strange], looks[strange]):
        members = tuple(strange[place] for place in group.members)
        is_new = 2 * sum(bool(cards[place].unlike) for place in members) > len(members)
        if len(members) > 1 and is_new:
            found.append(Group(None, members, is_new=True))
        elif len(members) > 1 and group.label is not None and group.label not in names:
            found.append(Group(group.label, members))
        else:
            alone += members  # those that look alike stay side by side
    for is_new in (True, False):
        members = tuple(place for place in alone if bool(cards[place].unlike) == is_new)
        found += [Group(None, members, is_new=is_new)] if members else []
    return _biggest_first(found)


def _least_sure_first(cards: Sequence[Card], by: Suggested, places: Sequence[int]) -> tuple[int, ...]:
    least: dict[object, float] = {}
    for place in places:
        key = _visit_of(cards, place)
        least[key] = min(least.get(key, np.inf), by.margins[place])

    def order(place: int) -> tuple[float, str, float, int]:
        key = _visit_of(cards, place)
        return (least[key], str(key), by.margins[place], place)

    return tuple(sorted(places, key=order))


def _visit_of(cards: Sequence[Card], place: int) -> object:
    visit = cards[place].visit
    return f"alone {place}" if visit is None else visit


def _biggest_first(groups: Sequence[Group]) -> list[Group]:
    """Those without a suggestion last: each of their photos is a question of its own, unless they are new and look alike."""

    def order(group: Group) -> tuple[bool, bool, int, str, tuple[int, ...]]:
        return (group.label is None, not group.is_new, -len(group.members), group.label or "", group.members)

    return sorted(groups, key=order)


def alike(cards: Sequence[Card], looks: Features) -> list[Group]:
    """Groups of what is like nothing that was named: photos that look alike, under the guess that most of them have.

    In each the one least like the others comes first.
    """
    found: list[Group] = []
    for places in clusters(looks, within=ALIKE_WITHIN):
        guesses = Counter(guess for place in places if (guess := cards[place].guess) is not None)
        label = min(guesses, key=lambda name: (-guesses[name], name), default=None)
        middle = looks[list(places)].mean(axis=0)
        by = Suggested(
            (label,) * len(cards), tuple(float(one) for one in looks @ middle)
        )  # only those of this group are asked for
        found.append(Group(label, _least_sure_first(cards, by, places)))
    return _biggest_first(found)


def clusters(looks: Features, *, within: float) -> list[tuple[int, ...]]:
    """Average linkage: the two groups nearest to one another become one, until all are farther apart than that.

    Args:
        looks: at most some hundred rows; the work grows with their number to the third.
        within: cosine distance, 0-2.
    """
    count = len(looks)
    apart = (1 - looks @ looks.T).astype(np.float64)
    np.fill_diagonal(apart, np.inf)
    members: list[list[int]] = [[place] for place in range(count)]
    sizes = np.ones(count)
    for _ in range(count - 1):
        one, other = divmod(int(np.argmin(apart)), count)
        if apart[one, other] > within:
            break
        both = sizes[one] * apart[one] + sizes[other] * apart[other]
        sizes[one] += sizes[other]
        apart[one] = apart[:, one] = both / sizes[one]
        apart[one, one] = np.inf
        apart[other] = apart[:, other] = np.inf
        members[one] += members[other]
        members[other] = []
    return [tuple(sorted(group)) for group in members if group]


def worth_most(
    cards: Sequence[Card],
    looks: Features,
    by: Suggested | None,
    *,
    count: int,
    rare: Mapping[str, int],
    spread: bool = False,
) -> list[int]:
    """Places of the cards that teach most, the most first: unsure ones, unlike one another, of species with few names.

    Args:
        by: None while nothing is named; then only how unlike they are counts.
        count: how many; fewer come when there are no more, or all others are near-copies of these.
        rare: how many photos of each species people have named.
        spread: at most one of each visit, and no camera twice before every other had its turn.
    """
    if not cards or count <= 0:
        return []
    unsure = np.ones(len(cards)) if by is None else 1 - np.clip(np.array(by.margins), 0, 1)
    thin = np.array([1 / np.sqrt(1 + rare.get(label or "", 0)) for label in _labels(cards, by)])
    worth = unsure * (0.5 + thin)
    farness = np.full(len(cards), 1.0)
    open_to = np.ones(len(cards), dtype=bool)
    turns: Counter[str | None] = Counter()
    chosen: list[int] = []
    while len(chosen) < count and open_to.any():
        turn = np.array([turns[card.camera] for card in cards]) if spread else np.zeros(len(cards))
        fewest = turn[open_to].min()
        score = np.where(open_to & (turn == fewest), worth * (0.05 + farness), -np.inf)
        best = int(np.argmax(score))
        chosen.append(best)
        open_to[best] = False
        farness = np.minimum(farness, 1 - looks @ looks[best])
        open_to &= farness > NEAR_COPY_WITHIN
        if spread:
            turns[cards[best].camera] += 1
            if cards[best].visit is not None:
                open_to &= np.array([card.visit != cards[best].visit for card in cards])
    return chosen


def _labels(cards: Sequence[Card], by: Suggested | None) -> Sequence[str | None]:
    return by.labels if by is not None else [card.guess for card in cards]


SKETCH = 128
"""Numbers that are enough to tell how unlike two photos are, to a tenth of it."""


def sketch(looks: Features) -> Features:
    """The same photos in far fewer numbers, for what is done with many of them again and again."""
    if looks.shape[1] <= SKETCH:
        return looks
    signs = np.random.default_rng(0).standard_normal((looks.shape[1], SKETCH), dtype=np.float32)
    short = looks @ signs
    return np.asarray(short / np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def nearest(look: Features, named: Features, *, count: int) -> list[int]:
    """Rows of `named` that are most like one photo, the most alike first."""
    likeness = named @ look
    return [int(place) for place in np.argsort(-likeness, kind="stable")[:count]]
