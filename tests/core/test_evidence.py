"""When a model in use is proved worse than the one before: by what people mended, against all that they let stand."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core.evidence import FEWEST_AGAINST, SURE, Outcome, Waiting, as_many_by_chance, much_more_waits, weigh

AGAINST = Outcome(0, guess="jay", before="kite", answer="kite")
LEFT = Outcome(0, guess="jay", before="kite", answer=None)
CONFIRMED = Outcome(0, guess="jay", before="kite", answer="jay")
BOTH_WRONG = Outcome(0, guess="jay", before="kite", answer="wren")
ALIKE = Outcome(0, guess="jay", before="jay", answer="kite")
UNKNOWN = Outcome(0, guess="jay", before=None, answer="kite")
ALL = (AGAINST, LEFT, CONFIRMED, BOTH_WRONG, ALIKE, UNKNOWN)

outcomes = st.lists(st.builds(lambda one, visit: Outcome(visit, one.guess, one.before, one.answer),
                              st.sampled_from(ALL), st.integers(0, 40)), max_size=80)  # fmt: skip


def on_visits_of_their_own(*kinds: tuple[Outcome, int]) -> list[Outcome]:
    photos = [one for one, times in kinds for _ in range(times)]
    return [Outcome(visit, one.guess, one.before, one.answer) for visit, one in enumerate(photos)]


@given(outcomes)
def test_one_more_photo_left_in_peace_never_condemns(photos: list[Outcome]) -> None:
    more = [*photos, Outcome(999, "jay", "kite", None)]
    assert weigh(more).chance >= weigh(photos).chance
    assert not weigh(more).is_worse or weigh(photos).is_worse


@given(outcomes)
def test_one_more_visit_that_was_mended_never_acquits(photos: list[Outcome]) -> None:
    more = [*photos, Outcome(999, "jay", "kite", "kite")]
    assert weigh(more).chance <= weigh(photos).chance
    assert weigh(more).is_worse or not weigh(photos).is_worse


@given(outcomes)
def test_the_order_of_photos_is_of_no_account(photos: list[Outcome]) -> None:
    assert weigh(photos) == weigh(photos[::-1])


@given(outcomes, st.integers(1, 5))
def test_near_copies_add_nothing(photos: list[Outcome], times: int) -> None:
    assert weigh(photos * times) == weigh(photos)


@given(outcomes)
def test_photos_on_which_the_two_agree_are_both_wrong_or_cannot_be_compared_say_nothing(photos: list[Outcome]) -> None:
    telling = [one for one in photos if one.before not in (None, one.guess) and one.answer != "wren"]
    assert weigh(telling) == weigh(photos)


def test_few_answers_condemn_nothing_however_clear() -> None:
    assert not weigh(on_visits_of_their_own((AGAINST, FEWEST_AGAINST - 1))).is_worse
    assert weigh(on_visits_of_their_own((AGAINST, FEWEST_AGAINST))).is_worse
    assert not weigh([]).is_worse


def test_a_model_that_is_as_often_right_is_not_condemned_by_any_number_of_errors() -> None:
    for one in (LEFT, CONFIRMED):
        assert not weigh(on_visits_of_their_own((AGAINST, 200), (one, 200))).is_worse


def test_a_model_that_is_no_worse_is_condemned_by_chance_as_seldom_as_promised_however_little_people_mend() -> None:
    """Exact, over all outcomes: of `n` visits on which one is right, each is an error with 1/2 and is found with `found`."""
    for n, found in product((10, 20, 40, 80), (0.1, 0.5, 0.9, 1.0)):
        each = 0.5 * found
        risk = 0.0
        for against in range(n + 1):
            if weigh(on_visits_of_their_own((AGAINST, against), (LEFT, n - against))).is_worse:
                more = as_many_by_chance_of(each, against, n)
                risk = max(risk, more)
        assert risk <= SURE


def as_many_by_chance_of(p: float, heads: int, throws: int) -> float:
    chance, total = (1 - p) ** throws if p < 1 else float(throws == 0), 0.0
    for k in range(throws + 1):
        if k >= heads:
            total += chance
        if p < 1:
            chance *= (throws - k) / (k + 1) * p / (1 - p)
    return total


@given(st.integers(0, 120).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_chance_is_that_of_a_fair_coin(throw: tuple[int, int]) -> None:
    heads, throws = throw
    assert as_many_by_chance(heads, throws) == pytest.approx(as_many_by_chance_of(0.5, heads, throws))
    other = as_many_by_chance(throws - heads + 1, throws) if heads else 0.0
    assert as_many_by_chance(heads, throws) + other == pytest.approx(1)


def test_known_chances() -> None:
    """As tables of the sign test have them."""
    assert as_many_by_chance(9, 10) == 11 / 1024
    assert as_many_by_chance(10, 10) == 1 / 1024
    assert as_many_by_chance(15, 20) == pytest.approx(0.0207, abs=1e-4)


@pytest.mark.parametrize(("heads", "throws"), [(-1, 3), (4, 3)])
def test_an_impossible_count_is_refused(heads: int, throws: int) -> None:
    with pytest.raises(ValueError, match="heads in"):
        as_many_by_chance(heads, throws)


def test_more_waiting_is_told_only_when_it_is_much_and_of_many_photos() -> None:
    assert much_more_waits(Waiting(10, 100), Waiting(40, 100))
    assert not much_more_waits(Waiting(10, 100), Waiting(20, 100)), "too small a step"
    assert not much_more_waits(Waiting(20, 50), Waiting(28, 50)), "may be chance"
    assert not much_more_waits(Waiting(0, 49), Waiting(49, 49)), "too few photos"
    assert not much_more_waits(Waiting(0, 0), Waiting(100, 100)), "nothing to compare with"
    assert not much_more_waits(Waiting(60, 100), Waiting(10, 100)), "fewer wait"
