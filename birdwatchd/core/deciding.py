"""What was seen in, a verdict with its reason out. The only place that knows the rules.

In this order; the first that applies decides:

1. The answer is not a number  -> review, `odd-answer`
2. birdness < empty_below      -> empty, `no-bird`
3. no classifier is serving    -> review, `no-classifier`, under the spotter's best guess
4. novelty > strange_above     -> review, `unlike-anything`
5. probability < sure_above    -> review, `unsure`
6. the label is "empty"        -> empty, `no-bird`
7. the first of its kind       -> review, `first-of-its-kind`, if the settings want that
8. everything else             -> filed, `sure`
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from birdwatchd.core.naming import Naming
from birdwatchd.core.photo import Bird, Box, Ranking, Spotting, State
from birdwatchd.core.shelving import NO_BIRD


class Reason(StrEnum):
    """Short codes of `predictions.reason` and `photos.reason`."""

    NO_BIRD = "no-bird"
    NO_CLASSIFIER = "no-classifier"
    ODD_ANSWER = "odd-answer"
    UNLIKE_ANYTHING = "unlike-anything"
    UNSURE = "unsure"
    FIRST_OF_ITS_KIND = "first-of-its-kind"
    SURE = "sure"
    SAME_BYTES = "same-bytes"
    LABELLED = "labelled"
    IMPORTED = "imported"
    UNDONE = "undone"
    WITHDRAWN = "withdrawn"
    VISIT = "visit"
    VISIT_DISAGREES = "visit-disagrees"
    STANDS_STILL = "stands-still"


IN_WORDS: dict[str, str] = {
    Reason.NO_BIRD: "no bird found",
    Reason.NO_CLASSIFIER: "a bird, but no model for your species has been trained yet",
    Reason.ODD_ANSWER: "the network gave an answer that is no number",
    Reason.UNLIKE_ANYTHING: "a bird unlike any that you have named so far",
    Reason.UNSURE: "not sure enough which bird it is",
    Reason.FIRST_OF_ITS_KIND: "the first one that birdwatchd names so; please say whether that is right",
    Reason.SURE: "sure enough of the name",
    Reason.SAME_BYTES: "the same bytes as a photo that is here already",
    Reason.LABELLED: "a person named it",
    Reason.IMPORTED: "imported from a folder tree of named photos",
    Reason.UNDONE: "taken back by `birdwatchd undo`",
    Reason.WITHDRAWN: "a person moved it back into review",
    Reason.VISIT: "its visit tells the name: the photos taken seconds before and after it",
    Reason.VISIT_DISAGREES: "photos of one visit are sure of different names",
    Reason.STANDS_STILL: "it stands still in every frame of the day: no bird",
}


NAMED = frozenset({Reason.SURE, Reason.FIRST_OF_ITS_KIND})
"""Reasons of photos to which the machine gave, or would have given, their name."""

BY_COMPANY = frozenset({Reason.VISIT, Reason.VISIT_DISAGREES, Reason.STANDS_STILL})
"""Reasons that no photo has by itself: what was seen in others of the same camera tells (`core/visiting.py`, `core/stillness.py`)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decide.

    Attributes:
        empty_below: birdness 0–1 under which a photo counts as empty.
        confirm_first: whether the first photo that would be filed under a name waits for a person.
    """

    empty_below: float
    confirm_first: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of `predictions` before it is written.

    Attributes:
        outcome: FILED, REVIEW or EMPTY; the verdict.
        label: the best guess, also in review; None when empty.
        probability: of that label, 0–1; None when empty.
        ranking: the five best.
        novelty: how unlike anything known, once a classifier can tell; None before.
        model_id: of the classifier that named it; None without one.
    """

    outcome: State
    reason: Reason
    label: str | None
    probability: float | None
    ranking: Ranking
    birdness: float | None
    novelty: float | None
    box: Box
    model_id: int | None = None


def judge(
    spotting: Spotting,
    rules: Rules,
    naming: Naming | None = None,
    *,
    seen_before: Callable[[str], bool] = lambda _: False,
) -> Decision:
    """Decide one photo by the numbered rules of this page.

    Args:
        naming: what the classifier said; None while there is none.
        seen_before: whether the machine has put a photo under this label before.
    """

    def decision(outcome: State, reason: Reason, *, named: bool) -> Decision:
        ranking = spotting.ranking if naming is None else naming.ranking
        label, probability = ranking[0] if named and ranking else (None, None)
        novelty = None if naming is None else naming.novelty
        model_id = None if naming is None else naming.model_id
        return Decision(
            outcome, reason, label, probability, ranking, spotting.birdness, novelty, spotting.box, model_id
        )

    if not spotting.is_number:
        return Decision(State.REVIEW, Reason.ODD_ANSWER, None, None, (), None, None, spotting.box)
    if spotting.birdness < rules.empty_below:
        return decision(State.EMPTY, Reason.NO_BIRD, named=False)
    if naming is None:
        return decision(State.REVIEW, Reason.NO_CLASSIFIER, named=True)
    label, probability = naming.ranking[0]
    if naming.novelty > naming.strange_above:
        return decision(State.REVIEW, Reason.UNLIKE_ANYTHING, named=True)
    if probability < naming.sure_above:
        return decision(State.REVIEW, Reason.UNSURE, named=True)
    if label == NO_BIRD:
        return decision(State.EMPTY, Reason.NO_BIRD, named=False)
    if rules.confirm_first and not seen_before(label):
        return decision(State.REVIEW, Reason.FIRST_OF_ITS_KIND, named=True)
    return decision(State.FILED, Reason.SURE, named=True)


def birds_of(spotting: Spotting, decision: Decision) -> tuple[Bird, ...]:
    """The birds that count in a photo, the main one first; none if it is decided to be empty, or the answer is no number."""
    if decision.outcome is State.EMPTY or not spotting.is_number:
        return ()
    return (Bird(spotting.box, spotting.birdness), *spotting.others)
