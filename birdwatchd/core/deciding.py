"""What was seen in, a verdict with its reason out. The only place that knows the rules.

In this order; the first that applies decides:

1. The answer is not a number  -> review, `odd-answer`
2. birdness < empty_below      -> empty, `no-bird`
3. no classifier is serving    -> review, `no-classifier`, under the spotter's best guess
"""

from dataclasses import dataclass
from enum import StrEnum

from birdwatchd.core.photo import Box, Ranking, Spotting, State


class Reason(StrEnum):
    """Short codes of `predictions.reason` and `photos.reason`."""

    NO_BIRD = "no-bird"
    NO_CLASSIFIER = "no-classifier"
    ODD_ANSWER = "odd-answer"
    SAME_BYTES = "same-bytes"
    LABELLED = "labelled"
    IMPORTED = "imported"
    UNDONE = "undone"
    WITHDRAWN = "withdrawn"


IN_WORDS: dict[str, str] = {
    Reason.NO_BIRD: "no bird found",
    Reason.NO_CLASSIFIER: "a bird, but no model for your species has been trained yet",
    Reason.ODD_ANSWER: "the network gave an answer that is no number",
    Reason.SAME_BYTES: "the same bytes as a photo that is here already",
    Reason.LABELLED: "a person named it",
    Reason.IMPORTED: "imported from a folder tree of named photos",
    Reason.UNDONE: "taken back by `birdwatchd undo`",
    Reason.WITHDRAWN: "a person moved it back into review",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decide. `empty_below`: birdness 0–1 under which a photo counts as empty."""

    empty_below: float


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of `predictions` before it is written.

    Attributes:
        outcome: FILED, REVIEW or EMPTY; the verdict.
        label: the best guess, also in review; None when empty.
        probability: of that label, 0–1; None when empty.
        ranking: the five best.
        novelty: how unlike anything known, once a classifier can tell; None before.
    """

    outcome: State
    reason: Reason
    label: str | None
    probability: float | None
    ranking: Ranking
    birdness: float | None
    novelty: float | None
    box: Box


def judge(spotting: Spotting, rules: Rules) -> Decision:
    """Decide one photo by the numbered rules of this page."""

    def decision(outcome: State, reason: Reason, *, named: bool) -> Decision:
        label, probability = spotting.ranking[0] if named and spotting.ranking else (None, None)
        return Decision(outcome, reason, label, probability, spotting.ranking, spotting.birdness, None, spotting.box)

    if not spotting.is_number:
        return Decision(State.REVIEW, Reason.ODD_ANSWER, None, None, (), None, None, spotting.box)
    if spotting.birdness < rules.empty_below:
        return decision(State.EMPTY, Reason.NO_BIRD, named=False)
    return decision(State.REVIEW, Reason.NO_CLASSIFIER, named=True)
