"""What people made of the names that a model gave since it took over in; whether the model before was better, out.

People mend what is wrong and seldom confirm what is right. So a count of their corrections alone would condemn every model, the
better ones too: each of its errors is told, and hardly any of its merits. Therefore a photo that the model filed and that nobody
mended counts for it, and in full, wherever the model before would have named it otherwise. People may have overlooked an error there;
that only makes the test slower to condemn, never quicker: if the model is no worse, then of the photos on which the two differ no
more than half are such that it is wrong and the other right, and of these people find a part at most. What is silent and what was
mended must come from the same photos, or this does not hold.

The test is the exact one-sided sign test on the pairs that differ (McNemar 1947, exact form: binomial with 1/2), after photos of one
visit have been made into one vote: near-copies repeat one error, and are no further evidence.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from birdwatchd.core.gate import wilson

SURE = 0.001
"""How likely a model that is no worse may look as bad as that by chance. Small, because a look is taken each day."""

FEWEST_AGAINST = 10
"""Visits on which it has to be wrong and the one before right."""

FEWEST_PHOTOS = 50
"""Before and since, to compare how many wait for a person."""

MUCH_MORE = 0.15
"""By how much the share that waits has to have grown to be told of."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A photo that the model in use judged, and what came of it.

    Attributes:
        visit: the same number for all photos of one visit.
        guess: by the model in use.
        before: what the model before says of it; None if that is not known.
        answer: what a person named it; None if it was filed under the guess and left there.
    """

    visit: int
    guess: str
    before: str | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """How visits speak on which only one of the two models is right.

    Attributes:
        against: the model before is right, the one in use wrong.
        in_favour: the other way round, or nobody objected.
        chance: 0–1, how likely as many or more would speak against a model that is just as good.
    """

    against: int
    in_favour: int
    chance: float

    @property
    def is_worse(self) -> bool:
        """Whether the model in use is to be taken back."""
        return self.against >= FEWEST_AGAINST and self.chance <= SURE


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many photos with a bird in them wait for a person, of how many."""

    waiting: int
    photos: int


def weigh(outcomes: Sequence[Outcome]) -> Evidence:
    """Count the visits for and against the model in use; within a visit the majority of its photos speaks, and a tie is silent."""
    votes: defaultdict[int, int] = defaultdict(int)
    for one in outcomes:
        votes[one.visit] += _speaks_against(one)
    against, in_favour = sum(vote > 0 for vote in votes.values()), sum(vote < 0 for vote in votes.values())
    return Evidence(against, in_favour, as_many_by_chance(against, against + in_favour))


def _speaks_against(one: Outcome) -> int:
    """1 against the model in use, -1 for it, 0 neither."""
    if one.before is None or one.before == one.guess:
        return 0
    answer = one.guess if one.answer is None else one.answer
    return (one.before == answer) - (one.guess == answer)


def as_many_by_chance(heads: int, throws: int) -> float:
    """How likely a fair coin shows heads that often or more; exact.

    Raises:
        ValueError: more heads than throws, or fewer than none.
    """
    if not 0 <= heads <= throws:
        raise ValueError(f"{heads} heads in {throws} throws")
    return sum(math.comb(throws, k) for k in range(heads, throws + 1)) / (1 << throws)


def much_more_waits(before: Waiting, since: Waiting) -> bool:
    """Whether clearly more photos wait for a person than did before: the 95 % Wilson intervals are apart, and the step is large."""
    if min(before.photos, since.photos) < FEWEST_PHOTOS:
        return False
    step = since.waiting / since.photos - before.waiting / before.photos
    return step >= MUCH_MORE and wilson(since.waiting, since.photos)[0] > wilson(before.waiting, before.photos)[1]
