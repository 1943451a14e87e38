"""The rules by which a new model takes over, and the words in which it is told."""

import time
from collections.abc import Collection
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core.gate import Flip, Judged, Rules, Verdict, judge, listed, wilson

SPECIES = ("crow", "jay", "starling", "wren")
RULES = Rules(protected=frozenset({"wren"}))


def photos(label: str, n: int, *, old: int | None, new: int) -> list[Judged]:
    """Photos of a species: the first `old` named right by the old model (None: there is none), the first `new` by the new one."""
    other = "jay" if label != "jay" else "crow"
    return [
        Judged(0, label, None if old is None else label if number < old else other, label if number < new else other)
        for number in range(n)
    ]


def verdict(
    *groups: list[Judged],
    rules: Rules = RULES,
    old: Collection[str] = SPECIES,
    new: Collection[str] = SPECIES,
    too_few: Collection[str] = (),
) -> Verdict:
    rows = [replace(row, photo_id=number) for number, row in enumerate(row for group in groups for row in group)]
    return judge(rows, rules, champion_labels=old, candidate_labels=new, too_few=too_few)


# -- laws

LABELS = st.frozensets(st.sampled_from(SPECIES))
ROWS = st.lists(
    st.builds(
        Judged,
        photo_id=st.integers(0, 1000),
        label=st.sampled_from(SPECIES),
        champion=st.none() | st.sampled_from(SPECIES),
        candidate=st.sampled_from(SPECIES),
    ),
    max_size=40,
    unique_by=lambda row: row.photo_id,
)
ANY_RULES = st.builds(Rules, protected=LABELS, floor_from=st.integers(1, 10), may_lose=st.floats(0, 1))


@given(ROWS, ANY_RULES, LABELS, LABELS, st.data())
def test_a_wrong_guess_made_right_never_turns_a_yes_into_a_no(
    rows: list[Judged], rules: Rules, old: frozenset[str], new: frozenset[str], data: st.DataObject
) -> None:
    wrong = [place for place, row in enumerate(rows) if row.candidate != row.label]
    mended = set(data.draw(st.lists(st.sampled_from(wrong)))) if wrong else set()
    better = [replace(row, candidate=row.label) if place in mended else row for place, row in enumerate(rows)]
    before = judge(rows, rules, champion_labels=old, candidate_labels=new)
    after = judge(better, rules, champion_labels=old, candidate_labels=new)
    assert after.promote >= before.promote
    assert len(after.reasons) <= len(before.reasons)


@given(ROWS, ANY_RULES, LABELS, LABELS, st.randoms(use_true_random=False))
def test_the_verdict_does_not_depend_on_the_order_of_the_photos(
    rows: list[Judged], rules: Rules, old: frozenset[str], new: frozenset[str], random: Random
) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert judge(shuffled, rules, champion_labels=old, candidate_labels=new) == judge(
        rows, rules, champion_labels=old, candidate_labels=new
    )


@given(ROWS, ANY_RULES, LABELS, LABELS)
def test_a_refusal_has_a_reason_and_every_verdict_two_sentences(
    rows: list[Judged], rules: Rules, old: frozenset[str], new: frozenset[str]
) -> None:
    said = judge(rows, rules, champion_labels=old, candidate_labels=new)
    assert said.promote == (not said.reasons)
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in said.sentences)
    assert ("takes over" in said.sentences[0]) == said.promote
    assert {score.label for score in said.per_species} == old | new | {row.label for row in rows}
    for score in said.per_species:
        assert 0 <= score.low <= (score.candidate_right / score.n if score.n else 0.5) <= score.high <= 1


@given(ROWS, ANY_RULES, LABELS)
def test_what_takes_over_makes_no_more_errors_and_forgets_nothing(
    rows: list[Judged], rules: Rules, new: frozenset[str]
) -> None:
    old = frozenset(SPECIES[:2])
    if judge(rows, rules, champion_labels=old, candidate_labels=new).promote:
        compared = [row for row in rows if row.label in old and row.champion is not None]
        assert compared
        assert old <= new
        assert sum(row.candidate != row.label for row in compared) <= sum(row.champion != row.label for row in compared)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_interval_holds_the_share(right: int, more: int) -> None:
    low, high = wilson(right, right + more)
    assert 0 <= low < high <= 1
    if right + more:
        assert low - 1e-9 <= right / (right + more) <= high + 1e-9


def test_the_interval_is_wilsons() -> None:
    assert wilson(0, 0) == (0, 1)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


# -- the rules, one by one


def test_a_better_model_takes_over() -> None:
    said = verdict(
        photos("starling", 20, old=18, new=20),
        photos("crow", 20, old=18, new=19),
        photos("jay", 20, old=19, new=19),
        photos("parrot", 5, old=0, new=1),
        new=[*SPECIES, "parrot"],
    )
    assert said.promote
    assert said.reasons == ()
    assert said.sentences == (
        "The new model names 58 of 60 held-out photos right, the old one 55: it takes over.",
        "It is better at crow and starling, and no worse at any other; parrot is new.",
    )


def test_an_equal_model_takes_over() -> None:
    said = verdict(photos("crow", 10, old=9, new=9))
    assert said.promote
    assert said.sentences == (
        "The new model names 9 of 10 held-out photos right, as many as the old one: it takes over.",
        "It is neither better nor worse at any species.",
    )


def test_more_errors_are_refused() -> None:
    said = verdict(photos("crow", 10, old=9, new=8), photos("jay", 10, old=9, new=9))
    assert said.reasons == ("it makes 3 errors on 20 photos, the old one 2",)
    assert said.sentences == (
        "The new model names 17 of 20 held-out photos right, the old one 18, so the old model stays.",
        "It is worse at crow, and better at none.",
    )


def test_a_common_species_that_gets_worse_is_refused_though_the_rest_gets_better() -> None:
    said = verdict(photos("crow", 20, old=18, new=16), photos("jay", 20, old=15, new=20))
    assert said.reasons == ("of crow it names 16 of 20 photos right, the old one 18",)
    assert said.sentences == (
        "The new model names 36 of 40 held-out photos right, the old one 33, "
        "but of crow it names 16 of 20 photos right, the old one 18, so the old model stays.",
        "It is better at jay, but worse at crow.",
    )


@pytest.mark.parametrize(
    ("n", "lost", "promote"), [(20, 1, True), (20, 2, False), (19, 5, True), (40, 2, True), (40, 3, False)]
)
def test_a_species_may_lose_a_little_and_a_rare_one_is_not_looked_at_alone(n: int, lost: int, *, promote: bool) -> None:
    assert verdict(photos("crow", n, old=n, new=n - lost), photos("jay", 30, old=0, new=30)).promote is promote


@pytest.mark.parametrize("may_lose", [0.07, 0.29, 0.57])
def test_exactly_what_may_be_lost_may_be_lost(may_lose: float) -> None:
    rules = Rules(protected=frozenset(), may_lose=may_lose)
    new = 100 - round(may_lose * 100)
    better = photos("jay", 100, old=0, new=100)
    assert verdict(photos("crow", 100, old=100, new=new), better, rules=rules).promote
    assert not verdict(photos("crow", 100, old=100, new=new - 1), better, rules=rules).promote


def test_a_protected_species_may_not_lose_a_single_photo_even_if_it_gains_others() -> None:
    wrens = [Judged(0, "wren", "wren", "jay"), *photos("wren", 5, old=0, new=5)]
    said = verdict(wrens)
    assert said.reasons == ("it gets 1 photo of wren wrong that the old one got right, and wren is protected",)
    assert said.sentences == (
        "The new model names 5 of 6 held-out photos right, the old one 1, but it gets 1 photo of wren wrong "
        "that the old one got right, and wren is protected, so the old model stays.",
        "It is better at wren.",
    )
    assert verdict(wrens, rules=Rules(protected=frozenset())).promote


def test_a_species_that_is_forgotten_is_refused() -> None:
    said = verdict(photos("crow", 10, old=5, new=10), photos("jay", 10, old=10, new=0), new=["crow", "starling"])
    assert said.reasons == ("it no longer knows jay and wren",)
    assert said.sentences == (
        "The new model names 10 of 10 held-out photos right, the old one 5, but it no longer knows jay and wren, "
        "so the old model stays.",
        "It is better at crow; it no longer knows jay and wren.",
    )


def test_a_species_of_which_people_have_left_too_few_photos_does_not_keep_every_new_model_away() -> None:
    crows = photos("crow", 10, old=5, new=10)
    said = verdict(crows, old=["crow", "jay"], new=["crow", "starling"], too_few=["jay", "starling", "robin"])
    assert said.promote
    assert said.sentences[1] == (
        "It is better at crow; starling is new; too few photos are called jay now for it to know it."
    )
    assert not verdict(crows, old=["crow", "jay", "rook"], new=["crow"], too_few=["jay"]).promote


def test_a_protected_species_of_which_too_few_photos_are_left_keeps_its_model() -> None:
    said = verdict(photos("crow", 10, old=5, new=10), old=["crow", "wren"], new=["crow"], too_few=["wren"])
    assert said.reasons == ("it no longer knows wren",)


def test_new_species_are_welcome_and_do_not_count() -> None:
    said = verdict(
        photos("crow", 10, old=9, new=9), photos("parrot", 40, old=0, new=0), new=[*SPECIES, "kite", "parrot"]
    )
    assert said.promote
    assert said.sentences[1] == "It is neither better nor worse at any species; kite and parrot are new."


def test_photos_that_the_old_model_may_have_learned_are_not_compared() -> None:
    said = verdict(photos("crow", 1, old=1, new=1), photos("crow", 30, old=None, new=0))
    assert said.promote
    assert said.sentences[0] == (
        "The new model names 1 of 1 held-out photo right, as many as the old one: it takes over."
    )


def test_without_a_photo_to_compare_on_the_old_model_stays() -> None:
    nothing = verdict()
    unfit = verdict(photos("crow", 30, old=None, new=30), photos("parrot", 30, old=0, new=30), new=[*SPECIES, "parrot"])
    for said in (nothing, unfit):
        assert not said.promote
        assert said.sentences == (
            "There is no held-out photo of a species that both models know, so the old model stays.",
            "It is tried again when more photos have been named.",
        )


# -- the first model


def first(*groups: list[Judged], new: Collection[str] = SPECIES) -> Verdict:
    return verdict(*groups, old=(), new=new)


def test_a_first_model_takes_over_that_is_right_more_often_than_not() -> None:
    said = first(photos("crow", 12, old=None, new=10), photos("jay", 8, old=None, new=5))
    assert said.promote
    assert said.sentences == (
        "The new model names 15 of 20 held-out photos right, and there is no old one: it takes over.",
        "Always saying crow, the commonest, would name 12 right.",
    )


def test_a_first_model_that_is_more_often_wrong_is_not_used() -> None:
    said = first(*(photos(label, 10, old=None, new=3) for label in SPECIES))
    assert said.reasons == ("it names fewer than half right",)
    assert said.sentences[0] == (
        "The new model names 12 of 40 held-out photos right, but it names fewer than half right, so it is not used."
    )


def test_half_right_is_enough_for_a_first_model() -> None:
    assert first(*(photos(label, 10, old=None, new=5) for label in SPECIES)).promote


def test_a_first_model_that_only_says_the_commonest_is_not_used() -> None:
    said = first(photos("crow", 30, old=None, new=30), photos("jay", 10, old=None, new=0))
    assert said.reasons == ("it is no better than always saying crow",)


def test_species_too_rare_to_be_learned_do_not_keep_a_first_model_away() -> None:
    rare = [group for label in ("a", "b", "c") for group in photos(label, 30, old=None, new=0)]
    assert first(photos("crow", 10, old=None, new=9), photos("jay", 10, old=None, new=9), rare).promote


def test_a_first_model_without_a_photo_to_judge_it_on_is_not_used() -> None:
    assert first().sentences == (
        "There is no held-out photo of a species that it knows, so it is not used.",
        "It is tried again when more photos have been named.",
    )


# -- what is shown


def test_the_photos_that_flipped_are_told_the_lost_ones_first() -> None:
    rows = [
        Judged(1, "crow", "jay", "crow"),
        Judged(2, "crow", "crow", "jay"),
        Judged(3, "crow", "wren", "jay"),
        Judged(4, "crow", "crow", "crow"),
        Judged(5, "crow", None, "crow"),
        Judged(6, "parrot", "jay", "parrot"),
    ]
    said = judge(rows, RULES, champion_labels=SPECIES, candidate_labels=[*SPECIES, "parrot"])
    assert said.flipped == (
        Flip(2, "crow", "crow", "jay", became_right=False),
        Flip(1, "crow", "jay", "crow", became_right=True),
    )


def test_scores_are_of_the_same_photos_for_both_models() -> None:
    said = verdict(
        photos("crow", 4, old=3, new=2),
        photos("crow", 7, old=None, new=7),
        photos("jay", 2, old=None, new=1),
        photos("parrot", 3, old=0, new=3),
        new=[*SPECIES, "parrot"],
    )
    scores = {score.label: (score.n, score.champion_right, score.candidate_right) for score in said.per_species}
    assert scores == {
        "crow": (4, 3, 2),
        "jay": (2, None, 1),
        "parrot": (3, None, 3),
        "starling": (0, None, 0),
        "wren": (0, None, 0),
    }


def test_names_are_listed_as_one_says_them() -> None:
    assert listed(["crow"]) == "crow"
    assert listed(["House Finch", "jay"]) == "House Finch and jay"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdef")) == "a, b, c, d, e and f"
    assert listed(list("abcdefghi")) == "a, b, c, d, e and 4 others"


@pytest.mark.parametrize(("floor_from", "may_lose"), [(0, 0.05), (20, -0.1), (20, 1.1), (20, float("nan"))])
def test_rules_that_make_no_sense_are_refused(floor_from: int, may_lose: float) -> None:
    with pytest.raises(ValueError, match=r"floor_from|may_lose"):
        Rules(protected=frozenset(), floor_from=floor_from, may_lose=may_lose)


def test_five_thousand_photos_are_judged_in_under_two_seconds() -> None:
    names = [f"species {number}" for number in range(500)]
    rows = [Judged(number, names[number % 500], names[number % 499], names[number % 498]) for number in range(5000)]
    started = time.perf_counter()
    judge(rows, RULES, champion_labels=names, candidate_labels=names)
    assert time.perf_counter() - started < 2
