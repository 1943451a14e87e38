"""The rules of the decision, in their order."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core.deciding import IN_WORDS, Decision, Reason, Rules, judge
from birdwatchd.core.photo import Box, Ranking, Spotting, State

RULES = Rules(empty_below=0.05)
RANKING: Ranking = (("jay", 0.5), ("magpie", 0.25), ("robin", 0.1))
SEEN = Spotting("5" * 16, 0.9, RANKING, Box(0.1, 0.2, 0.3, 0.4), np.zeros(1280, np.float32))


def test_a_bird_without_a_classifier_waits_under_the_best_guess() -> None:
    assert judge(SEEN, RULES) == Decision(
        State.REVIEW, Reason.NO_CLASSIFIER, "jay", 0.5, RANKING, 0.9, None, Box(0.1, 0.2, 0.3, 0.4)
    )


def test_no_bird_is_empty_and_names_nobody() -> None:
    decision = judge(replace(SEEN, birdness=0.049), RULES)
    assert (decision.outcome, decision.reason) == (State.EMPTY, Reason.NO_BIRD)
    assert (decision.label, decision.probability) == (None, None)
    assert decision.ranking == RANKING, "what it would have said is kept"


def test_at_the_threshold_it_is_not_empty() -> None:
    assert judge(replace(SEEN, birdness=0.05), RULES).outcome is State.REVIEW


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_an_answer_that_is_no_number_goes_to_a_human_and_stores_no_number(odd: float) -> None:
    decision = judge(replace(SEEN, birdness=odd, ranking=(("jay", odd),)), RULES)
    assert (decision.outcome, decision.reason) == (State.REVIEW, Reason.ODD_ANSWER)
    assert (decision.label, decision.probability, decision.birdness, decision.ranking) == (None, None, None, ())


def test_a_spotter_without_a_guess_does_not_stop_the_decision() -> None:
    decision = judge(replace(SEEN, ranking=()), RULES)
    assert (decision.outcome, decision.label, decision.probability) == (State.REVIEW, None, None)


@given(st.floats(), st.lists(st.tuples(st.text(), st.floats(0, 1)), max_size=5), st.floats(0, 1))
def test_every_answer_gets_a_decision_with_a_reason_in_words(
    birdness: float, ranking: list[tuple[str, float]], empty_below: float
) -> None:
    decision = judge(replace(SEEN, birdness=birdness, ranking=tuple(ranking)), Rules(empty_below=empty_below))
    assert decision.outcome in {State.REVIEW, State.EMPTY}, "without a classifier nothing is filed"
    assert IN_WORDS[decision.reason]
    assert decision.birdness is None or math.isfinite(decision.birdness)
    assert decision.probability is None or math.isfinite(decision.probability)
    assert (decision.label is None) == (decision.probability is None)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_more_birdness_never_turns_a_bird_into_an_empty_frame(less: float, more: float, empty_below: float) -> None:
    less, more = sorted((less, more))
    rules = Rules(empty_below=empty_below)
    if judge(replace(SEEN, birdness=less), rules).outcome is State.REVIEW:
        assert judge(replace(SEEN, birdness=more), rules).outcome is State.REVIEW


def test_every_reason_has_words() -> None:
    assert set(IN_WORDS) == set(Reason)
    assert len(set(IN_WORDS.values())) == len(Reason)
