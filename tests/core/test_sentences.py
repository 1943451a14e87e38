"""Sentences of a verdict are the same with names of birds as with labels, but for the names."""

import string

from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core.gate import Judged, Rules, Verdict, judge
from birdwatchd.core.sentences import with_names
from birdwatchd.core.species_names import shown

LABELS = ("crow", "house-finch", "finch", "house finch", "jay, blue", "a.b", "オオルリ", "robin", "wren")
GUESSES = st.lists(st.tuples(*[st.sampled_from(LABELS)] * 3), max_size=40)
SOME = st.sets(st.sampled_from(LABELS))


def bird(label: str) -> str:
    """A name that stands where its label stood in the order of names, and that is no label."""
    return f"The {label.translate(str.maketrans(string.punctuation, '_' * len(string.punctuation)))} bird"


def verdict(
    guesses: list[tuple[str, str, str]], old: set[str], new: set[str], left: set[str], protected: set[str]
) -> Verdict:
    rows = [Judged(number, *three) for number, three in enumerate(guesses)]
    rules = Rules(frozenset(protected), floor_from=2)
    return judge(rows, rules, champion_labels=old, candidate_labels=new, too_few=left)


@given(GUESSES, SOME, SOME, SOME, SOME)
def test_a_verdict_with_names_is_that_of_birds_that_are_called_so(
    guesses: list[tuple[str, str, str]], old: set[str], new: set[str], left: set[str], protected: set[str]
) -> None:
    order = sorted(LABELS)
    assert [bird(label) for label in order] == sorted(map(bird, LABELS))
    by_label = verdict(guesses, old, new, left, protected)
    by_name = verdict(
        [(bird(label), bird(before), bird(now)) for label, before, now in guesses],
        *({bird(label) for label in labels} for labels in (old, new, left, protected)),
    )
    for told, wanted in zip(
        (*by_label.sentences, *by_label.reasons), (*by_name.sentences, *by_name.reasons), strict=True
    ):
        assert with_names(told, LABELS, bird) == wanted


def test_a_bird_that_is_called_like_a_plain_word_changes_no_other_word() -> None:
    labels = ["old", "new", "it", "right", "others", "photo"]
    told = (
        "The new model names 3 of 4 held-out photos right, the old one 2: it takes over.",
        "It is better at old, and no worse at any other; it no longer knows new and right.",
    )
    assert with_names(told[0], labels, str.upper) == told[0]
    assert with_names(told[1], labels, str.upper) == (
        "It is better at OLD, and no worse at any other; it no longer knows NEW and RIGHT."
    )


def test_what_is_missing_to_learn_is_told_with_names_too() -> None:
    hint = "name at least 5 photos of each of two species; so far: house-finch 3, wren 12"
    assert with_names(hint, ["house-finch", "wren"], shown) == hint.replace("house-finch", "House finch").replace(
        "wren", "Wren"
    )
    assert with_names(hint, [], shown) == hint
