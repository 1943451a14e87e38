"""Photos of one visit are heard together: what they tell, and what each of them is worth."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from birdwatchd.core.deciding import Reason
from birdwatchd.core.photo import Ranking, State
from birdwatchd.core.visiting import (
    VISIT_GAP,
    Look,
    Model,
    Told,
    Verdict,
    Word,
    begins_anew,
    tell,
    together,
)

MODEL = Model(1, {"robin": 0.8, "wren": 0.8, "finch": 0.8, "jay": 0.8, "empty": 0.8}, strange_above=0.5)
BEGIN = datetime(2026, 5, 1, 10, 2, 11)


def look(photo_id: int, ranking: Ranking, **what: Any) -> Look:
    sure = ranking[0][1] >= 0.8
    return Look(photo_id, 1, Reason.SURE if sure else Reason.UNSURE, ranking, 0.1, **what)


def told(*looks: Look, known: bool = True) -> Told:
    return tell(looks, MODEL, may_be_named=lambda _: known)


ROBIN = (("robin", 0.97), ("wren", 0.02), ("finch", 0.01))
ROBIN_OR_WREN = (("robin", 0.7), ("wren", 0.3))
ROBIN_OR_FINCH = (("robin", 0.7), ("finch", 0.3))
WREN = (("wren", 0.95), ("robin", 0.05))


# -- which belong together


def test_a_visit_ends_where_the_camera_is_quiet_for_longer_than_the_gap() -> None:
    assert not begins_anew(BEGIN, BEGIN + VISIT_GAP)
    assert begins_anew(BEGIN, BEGIN + VISIT_GAP + timedelta(seconds=1))


# -- what they say together

PROBABILITIES = st.lists(st.floats(0.01, 1), min_size=1, max_size=5).map(
    lambda parts: sorted((part / (sum(parts) * 1.1) for part in parts), reverse=True)
)
RANKINGS = st.builds(
    lambda names, shares: tuple(zip(names, shares, strict=False)),
    st.permutations(["robin", "wren", "finch", "jay", "kite"]),
    PROBABILITIES,
)


@given(RANKINGS, st.integers(1, 9))
def test_copies_of_one_photo_say_no_more_than_that_photo(ranking: Ranking, copies: int) -> None:
    once = together([ranking] * copies)
    assert once == pytest.approx(dict(ranking), abs=0.01)


@given(st.lists(RANKINGS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_what_they_say_together_is_a_share_and_the_same_in_any_order(rankings: list[Ranking], chance: Any) -> None:
    first = together(rankings)
    assert sum(first.values()) <= 1 + 1e-9
    assert list(first.values()) == sorted(first.values(), reverse=True)
    shuffled = list(rankings)
    chance.shuffle(shuffled)
    assert together(shuffled) == pytest.approx(first)


def test_what_all_see_stands_out_from_what_each_is_mistaken_for() -> None:
    assert together([ROBIN_OR_WREN, ROBIN_OR_FINCH])["robin"] > 0.8
    assert together([ROBIN_OR_WREN, ROBIN_OR_WREN])["robin"] == pytest.approx(0.7, abs=0.01)


def test_a_photo_that_lists_few_names_is_not_taken_for_surer_than_it_is() -> None:
    assert together([(("robin", 0.3), ("wren", 0.05))] * 3)["robin"] == pytest.approx(0.3, abs=0.01)


# -- what the visit tells


def test_photos_that_agree_lift_one_another_over_the_threshold() -> None:
    one = told(look(1, ROBIN_OR_WREN), look(2, ROBIN_OR_FINCH))
    assert (one.verdict, one.label, one.agree, one.differ) == (Verdict.NAMED, "robin", 2, 0)
    assert one.words == {n: Word(State.FILED, Reason.VISIT, "robin", one.probability) for n in (1, 2)}


def test_a_sure_photo_names_an_unsure_one_and_stays_what_it_is() -> None:
    one = told(look(1, ROBIN), look(2, ROBIN), look(3, (("robin", 0.6), ("wren", 0.4))))
    assert (one.verdict, set(one.words)) == (Verdict.NAMED, {3})


def test_photos_that_are_no_surer_together_stay_where_they_are() -> None:
    one = told(look(1, ROBIN_OR_WREN), look(2, ROBIN_OR_WREN))
    assert (one.verdict, one.label, one.words) == (Verdict.UNSURE, "robin", {})


def test_two_sure_of_different_names_put_all_that_was_filed_up_for_a_look() -> None:
    one = told(look(1, ROBIN), look(2, WREN), look(3, ROBIN_OR_FINCH), look(4, ROBIN))
    assert one.verdict is Verdict.DISAGREES
    assert {n: (word.outcome, word.reason, word.label) for n, word in one.words.items()} == {
        1: (State.REVIEW, Reason.VISIT_DISAGREES, "robin"),
        2: (State.REVIEW, Reason.VISIT_DISAGREES, "wren"),
        4: (State.REVIEW, Reason.VISIT_DISAGREES, "robin"),
    }


def test_one_that_is_unsure_of_another_name_is_outvoted_but_follows_only_to_one_of_its_own_guesses() -> None:
    guessing, not_guessing = (("finch", 0.4), ("robin", 0.3)), (("finch", 0.6), ("robin", 0.04))
    assert set(told(look(1, ROBIN), look(2, ROBIN), look(3, ROBIN), look(4, guessing)).words) == {4}
    one = told(look(1, ROBIN), look(2, ROBIN), look(3, ROBIN), look(4, ROBIN), look(5, not_guessing))
    assert one.words == {}


def test_a_photo_unlike_anything_stays_and_counts_against_the_name() -> None:
    strange = replace(look(2, ROBIN), reason=Reason.UNLIKE_ANYTHING, novelty=0.9)
    one = told(look(1, ROBIN), strange, look(3, ROBIN_OR_WREN), look(4, ROBIN))
    assert set(one.words) == {3}
    assert told(look(1, ROBIN_OR_WREN), strange).words == {}
    assert told(replace(look(1, ROBIN_OR_WREN), novelty=0.6), look(2, ROBIN), look(3, ROBIN)).words == {}


def test_the_first_of_its_kind_waits_for_a_person_also_when_its_visit_names_it() -> None:
    photos = look(1, ROBIN_OR_WREN), look(2, ROBIN_OR_FINCH)
    assert told(*photos, known=False).words == {}
    assert set(told(*photos, look(3, WREN, human="robin"), known=False).words) == {1, 2}


@pytest.mark.parametrize("reason", [Reason.NO_BIRD, Reason.NO_CLASSIFIER, Reason.ODD_ANSWER])
def test_what_is_empty_or_was_not_named_says_nothing_and_stays(reason: Reason) -> None:
    one = told(look(1, ROBIN), look(2, ROBIN_OR_WREN), replace(look(3, WREN), reason=reason))
    assert (one.agree, one.differ, set(one.words)) == (2, 0, {2})


def test_that_there_is_no_bird_is_not_told_by_a_visit() -> None:
    nothing = (("empty", 0.7), ("robin", 0.3)), (("empty", 0.7), ("wren", 0.3))
    assert told(*(look(n, one) for n, one in enumerate(nothing))).words == {}


# -- people


def test_a_name_that_a_person_gave_is_certain_for_photos_that_guessed_it() -> None:
    unsure = look(2, (("wren", 0.6), ("robin", 0.3)))
    other = look(3, (("wren", 0.6), ("finch", 0.3)))
    one = told(look(1, WREN, human="robin", is_free=False), unsure, other)
    assert (one.verdict, one.label, one.probability, set(one.words)) == (Verdict.NAMED, "robin", 1.0, {2})
    assert one.words[2].probability == 0.3, "the photo is no surer of it than it was"


def test_a_person_against_a_sure_photo_is_a_disagreement_and_two_names_by_people_are_two_birds() -> None:
    mended = look(1, WREN, human="robin", is_free=False)
    assert set(told(mended, look(2, WREN)).words) == {2}
    two = told(mended, look(2, WREN, human="wren", is_free=False), look(3, WREN), look(4, ROBIN_OR_WREN))
    assert (two.verdict, two.words) == (Verdict.UNSURE, {})


def test_what_a_person_touched_is_never_moved_and_what_was_taken_back_says_nothing() -> None:
    assert told(look(1, ROBIN, is_free=False), look(2, WREN, is_free=False)).words == {}
    back = look(1, WREN, has_say=False, is_free=False)
    assert told(back, look(2, ROBIN)).verdict is Verdict.NAMED
    assert told(look(1, WREN, human="empty", is_free=False), look(2, ROBIN)).differ == 0


def test_photos_that_different_models_looked_at_are_not_compared() -> None:
    one = told(look(1, ROBIN), replace(look(2, WREN), model_id=2))
    assert (one.verdict, one.words) == (Verdict.MODELS_DIFFER, {})
    assert told(look(1, ROBIN), replace(look(2, ROBIN, human="robin"), model_id=2)).verdict is Verdict.NAMED
    strange = replace(look(3, WREN), reason=Reason.UNLIKE_ANYTHING, model_id=2)
    assert told(look(1, ROBIN), look(2, ROBIN), strange).verdict is Verdict.NAMED, "its guesses are not put together"


def test_what_a_person_says_needs_no_model_to_compare() -> None:
    by_another = replace(look(3, WREN), model_id=2)
    named = look(1, WREN, human="robin", is_free=False)
    unsure = replace(look(2, (("wren", 0.6), ("robin", 0.3))), model_id=2, novelty=0.9)
    one = told(named, unsure, look(4, ROBIN))
    assert (one.verdict, set(one.words)) == (Verdict.NAMED, {2})
    against = told(named, unsure, by_another, look(4, ROBIN))
    assert (against.verdict, against.label, set(against.words)) == (Verdict.DISAGREES, "robin", {3}), (
        "what says the same as the person is not doubted"
    )
    assert against.words[3].label == "wren"
    two = told(named, look(5, WREN, human="wren", is_free=False), by_another)
    assert (two.verdict, two.words) == (Verdict.UNSURE, {})


LOOKS = st.builds(
    Look,
    photo_id=st.integers(1, 10**6),
    model_id=st.just(1),
    reason=st.sampled_from(
        [Reason.SURE, Reason.UNSURE, Reason.UNLIKE_ANYTHING, Reason.FIRST_OF_ITS_KIND, Reason.NO_BIRD]
    ),
    ranking=RANKINGS,
    novelty=st.floats(0, 1),
    human=st.one_of(st.none(), st.none(), st.sampled_from(["robin", "wren", "empty"])),
    has_say=st.booleans(),
    is_free=st.booleans(),
)


@given(
    st.lists(LOOKS, max_size=6, unique_by=lambda one: one.photo_id), st.randoms(use_true_random=False), st.booleans()
)
def test_a_visit_tells_the_same_in_any_order_and_moves_nothing_that_is_not_its_to_move(
    looks: Sequence[Look], chance: Any, known: bool
) -> None:
    one = told(*looks, known=known)
    shuffled = list(looks)
    chance.shuffle(shuffled)
    again = told(*shuffled, known=known)
    assume(one.label == again.label)  # but for two names that are equally likely to the last digit
    assert (again.verdict, set(again.words)) == (one.verdict, set(one.words))
    by_id = {look.photo_id: look for look in looks}
    for photo_id, word in one.words.items():
        moved = by_id[photo_id]
        assert moved.is_free
        assert moved.has_say
        assert moved.human is None
        if word.outcome is State.FILED:
            assert (moved.reason, word.label) == (Reason.UNSURE, one.label)
            assert word.label in dict(moved.ranking)
        else:
            assert (word.outcome, moved.reason) == (State.REVIEW, Reason.SURE)
