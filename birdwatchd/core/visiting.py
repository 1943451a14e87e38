"""Photos of one visit in, one name for all of them out, and what that changes for each.

A camera that sees something move takes several photos within seconds. One of them may be sharp and the others not; one may be mistaken
while the others are right. So they are heard together, by the first of these rules that applies:

1. People gave several names                   -> nothing is told: there were several birds.
2. People gave one, others are sure of another -> the visit disagrees: of these, what was filed waits for a person, `visit-disagrees`.
3. People gave one                             -> photos that were unsure get that name, `visit`, if it is among their own guesses.
4. Not all were seen by the model in use       -> their probabilities cannot be put together: what was told before stands.
5. Two are sure of different names             -> the visit disagrees: all that was filed waits for a person.
6. All of them together reach the threshold
   of their best name                          -> photos that were unsure get that name as by rule 3.
7. Everything else                             -> nothing is told.

But for rule 4, what is told depends on nothing but the photos as they were seen one by one and on what people said. So it is the same
in whatever order they came, and telling it again changes nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from birdwatchd.core.deciding import NAMED, Reason
from birdwatchd.core.photo import Ranking, State
from birdwatchd.core.shelving import NO_BIRD

VISIT_GAP = timedelta(seconds=5)
"""Photos of one camera not more than this apart show one visit. Far less than `splits.VISIT_GAP`: there it costs nothing to tie two
birds together, here the second would be called the first, or both be put up for a look. The photos of one alarm are a second or two
apart, two alarms five and more."""

MOST_PHOTOS = 200
"""A longer chain is no visit but a camera that never stops; it is left alone as a whole, so that it does not matter where one looks."""

LEAST = 0.001
"""No photo says less than this of any name: one alone must not forbid what all others see."""

AMONG_ITS_GUESSES = 0.05
"""A photo follows its visit only to a name that it gave this probability itself."""

_SPEAKS = NAMED | {Reason.UNSURE, Reason.UNLIKE_ANYTHING}

_SOMETHING_ELSE = ""
"""All names that a photo has not listed, together. No label is empty."""


class Verdict(StrEnum):
    """`visits.verdict`."""

    NAMED = "named"
    DISAGREES = "disagrees"
    UNSURE = "unsure"
    MODELS_DIFFER = "models-differ"


@dataclass(frozen=True, slots=True)
class Look:
    """A photo of a visit, as it was seen by itself.

    Attributes:
        model_id: who named it.
        reason: of its own verdict.
        ranking: its guesses, best first.
        novelty: how unlike anything known.
        human: the name that a person gave it.
        has_say: False of one that a person took back, and of what is no bird: it counts for nothing.
        is_free: whether the machine may move it: no person has said or moved anything.
    """

    photo_id: int
    model_id: int | None
    reason: str
    ranking: Ranking
    novelty: float | None
    human: str | None = None
    has_say: bool = True
    is_free: bool = True


@dataclass(frozen=True, slots=True)
class Model:
    """Of the model in use, what is needed here.

    Attributes:
        sure_above: each label's own threshold.
        strange_above: novelty from which on a photo is like nothing known.
    """

    model_id: int
    sure_above: Mapping[str, float]
    strange_above: float


@dataclass(frozen=True, slots=True)
class Word:
    """What becomes of one photo by the company it is in.

    Attributes:
        probability: of what all of them tell together; of a name that a person gave another one, what this photo says of it itself.
    """

    outcome: State
    reason: str
    label: str | None
    probability: float | None


@dataclass(frozen=True, slots=True)
class Told:
    """What a visit tells.

    Attributes:
        label: its name, or its best guess.
        probability: of that, 1 when a person said it.
        agree: photos that say the same by themselves.
        differ: photos that say something else.
        words: by photo; of those that are not in it the visit says nothing, and their own verdict stands.
    """

    verdict: Verdict
    label: str | None = None
    probability: float | None = None
    agree: int = 0
    differ: int = 0
    words: Mapping[int, Word] = field(default_factory=dict)


def begins_anew(before: datetime, after: datetime) -> bool:
    """Whether of two photos of one camera, the one taken next after the other, the second belongs to another visit."""
    return after - before > VISIT_GAP


def together(rankings: Sequence[Ranking]) -> dict[str, float]:
    """What several photos say of each name: the geometric mean of their probabilities.

    A mean, not a product: photos taken seconds apart err together, and two of the same are worth no more than one. But the names that
    they are mistaken for differ from photo to photo, and what they all see stands out.

    Returns:
        Names with their probabilities, best first. They and everything that nobody listed make 1.
    """
    names = [*sorted({label for ranking in rankings for label, _ in ranking}), _SOMETHING_ELSE]
    means = {name: math.exp(sum(math.log(_said_of(name, one)) for one in rankings) / len(rankings)) for name in names}
    whole = sum(means.values())
    shares = {name: mean / whole for name, mean in means.items() if name != _SOMETHING_ELSE}
    return dict(sorted(shares.items(), key=lambda share: (-share[1], share[0])))


def _said_of(name: str, ranking: Ranking) -> float:
    """With which probability a photo shows it; of a name that it has not listed, the most that this can be."""
    listed = dict(ranking)
    unlisted = max(1.0 - sum(listed.values()), 0.0)
    if name == _SOMETHING_ELSE:
        return max(unlisted, LEAST)
    return max(listed.get(name, min([unlisted, *listed.values()])), LEAST)


def tell(looks: Sequence[Look], model: Model, *, may_be_named: Callable[[str], bool]) -> Told:
    """Judge one visit by the numbered rules of this page.

    Args:
        may_be_named: whether the machine may file under this label without a person having seen the first of its kind.
    """
    named = [look for look in looks if look.human is not None and look.human != NO_BIRD]
    seen = [look for look in looks if look.human is None and look.has_say and look.reason in _SPEAKS and look.ranking]
    people = {_own_name(look) for look in named}
    if len(people) > 1:
        return Told(Verdict.UNSURE)
    if people:
        return _told_by_people(people.pop(), named, seen)
    known = [look for look in seen if look.reason != Reason.UNLIKE_ANYTHING]
    if any(look.model_id != model.model_id for look in known):
        return Told(Verdict.MODELS_DIFFER)
    if not known:
        return Told(Verdict.UNSURE)
    return _told_by_all(known, seen, model, may_be_named)


def _told_by_people(label: str, named: Sequence[Look], seen: Sequence[Look]) -> Told:
    """One name that a person gave: it is certain, and whichever models saw the others, they are asked only whether they guessed it."""
    agree = len(named) + sum(_own_name(look) == label for look in seen)
    differ = len(named) + len(seen) - agree
    against = [look for look in seen if look.reason in NAMED and _own_name(look) != label]
    if against:
        words = {look.photo_id: _doubted(look) for look in against if _was_filed(look)}
        return Told(Verdict.DISAGREES, label, 1.0, agree, differ, words)
    follow = {look.photo_id: dict(look.ranking)[label] for look in seen if _follows(look, label)}
    words = {photo_id: Word(State.FILED, Reason.VISIT, label, own) for photo_id, own in follow.items()}
    return Told(Verdict.NAMED, label, 1.0, agree, differ, words)


def _told_by_all(
    known: Sequence[Look], seen: Sequence[Look], model: Model, may_be_named: Callable[[str], bool]
) -> Told:
    label, probability = next(iter(together([look.ranking for look in known]).items()))
    agree = sum(_own_name(look) == label for look in seen)
    differ = len(seen) - agree

    def told(verdict: Verdict, words: Mapping[int, Word]) -> Told:
        return Told(verdict, label, probability, agree, differ, words)

    if len({_own_name(look) for look in seen if look.reason in NAMED}) > 1:
        return told(Verdict.DISAGREES, {look.photo_id: _doubted(look) for look in seen if _was_filed(look)})
    if label == NO_BIRD or not (probability >= model.sure_above.get(label, math.inf) and agree > differ):
        return told(Verdict.UNSURE, {})
    word = Word(State.FILED, Reason.VISIT, label, probability)
    follow = [look for look in known if _is_known(look, model) and _follows(look, label)] if may_be_named(label) else []
    return told(Verdict.NAMED, {look.photo_id: word for look in follow})


def _own_name(look: Look) -> str:
    """What is said of it, by a person or by the machine when it saw nothing but this photo."""
    return look.human or look.ranking[0][0]


def _was_filed(look: Look) -> bool:
    return look.is_free and look.reason == Reason.SURE


def _doubted(look: Look) -> Word:
    return Word(State.REVIEW, Reason.VISIT_DISAGREES, *look.ranking[0])


def _is_known(look: Look, model: Model) -> bool:
    return look.novelty is not None and look.novelty <= model.strange_above


def _follows(look: Look, label: str) -> bool:
    return look.is_free and look.reason == Reason.UNSURE and dict(look.ranking).get(label, 0.0) >= AMONG_ITS_GUESSES
