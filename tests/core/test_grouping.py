"""Groups for a person to answer."""

import numpy as np
import pytest

from birdwatchd.core import grouping
from birdwatchd.core.grouping import Card, Suggested

CHANCE = np.random.default_rng(7)


def near(kind: int, *, spread: float = 0.02, count: int = 1, size: int = 64) -> np.ndarray:
    """Embeddings of one kind of bird."""
    middle = np.random.default_rng(kind).random(size)
    return (middle + spread * CHANCE.standard_normal((count, size))).astype(np.float32)


def test_rows_have_length_one_and_negative_numbers_do_no_harm() -> None:
    rows = grouping.features(np.array([[4, 9, -1], [0, 0, 0]], np.float32))
    assert np.allclose(np.linalg.norm(rows, axis=1), [1, 0])
    assert np.isfinite(rows).all()


def test_each_photo_goes_to_what_it_is_most_like_and_the_least_sure_comes_first() -> None:
    robins, wrens = near(1, count=5), near(2, count=3)
    between = (near(1) + 0.9 * near(2)) / 1.9
    looks = grouping.features(np.concatenate([wrens, robins, between]))
    names, centres = grouping.means(
        {"robin": grouping.features(near(1, count=4)), "wren": grouping.features(near(2, count=4))}
    )
    cards = [Card(number) for number in range(9)]
    first, second = grouping.grouped(cards, grouping.suggested(cards, looks @ centres.T, names), looks, names)
    assert (first.label, first.members[0], set(first.members)) == ("robin", 8, {3, 4, 5, 6, 7, 8}), (
        "the biggest group first"
    )
    assert (second.label, set(second.members)) == ("wren", {0, 1, 2})


def test_photos_of_one_visit_stay_together() -> None:
    looks = grouping.features(np.concatenate([near(1, count=3), near(2, count=2)]))
    names, centres = grouping.means({"robin": grouping.features(near(1)), "wren": grouping.features(near(2))})
    cards = [Card(0, visit=9), Card(1), Card(2, visit=9), Card(3, visit=9), Card(4)]
    groups = grouping.grouped(cards, grouping.suggested(cards, looks @ centres.T, names), looks, names)
    assert [group.label for group in groups] == ["robin", "wren"]
    places = [groups[0].members.index(place) for place in (0, 2, 3)]
    assert max(places) - min(places) == 2, "side by side"
    assert groups[0].members[0] == 3, "the one that looks like a wren first"


def test_a_classifier_that_is_sure_keeps_its_word_and_one_that_is_not_does_not() -> None:
    looks = grouping.features(near(1, count=3))
    names, centres = grouping.means({"robin": grouping.features(near(1)), "wren": grouping.features(near(2))})
    cards = [Card(0, "wren", 0.95), Card(1, "wren", 0.5), Card(2, "wren", None)]
    assert grouping.suggested(cards, looks @ centres.T, names).labels == ("wren", "robin", "robin")


def likely(*angles: float) -> np.ndarray:
    """Photos on a circle: the likeness of two is the cosine of what is between them."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_the_first_name_does_not_go_to_all_that_wait() -> None:
    """Only what is much like the one bird that was named is called so; the others stay together by how they look."""
    robin, jay, other = 0.0, 0.9, 2.0
    looks = likely(robin, robin + 0.2, jay, jay + 0.05, jay + 0.1, other)
    cards = [Card(place, guess="jay" if place < 5 else "kite") for place in range(6)]
    likeness = looks @ likely(robin).T
    assert likeness[2] > grouping.STRANGE_BELOW, "with many named, it would do"
    young = grouping.suggested(cards, likeness, ["robin"], {"robin": 1})
    groups = [(group.label, sorted(group.members)) for group in grouping.grouped(cards, young, looks, ["robin"])]
    assert groups == [("jay", [2, 3, 4]), ("robin", [0, 1]), (None, [5])]
    of_many = grouping.suggested(cards, likeness, ["robin"], {"robin": 5})
    assert of_many.labels[:3] == ("robin",) * 3


def test_who_is_unlike_the_nearest_young_name_may_be_like_an_old_one() -> None:
    """A bird that is named once has to be met more closely than one that is named often."""
    looks = likely(0.95)
    cards = [Card(0)]
    likeness = np.array([[0.64, 0.6]], np.float32)
    assert grouping.suggested(cards, likeness, ["wren", "robin"], {"wren": 1, "robin": 9}).labels == ("robin",)
    by = grouping.suggested(cards, likeness, ["wren", "robin"], {"wren": 1, "robin": 2})
    assert by.labels == (None,)
    assert grouping.grouped(cards, by, looks, ["wren", "robin"]) == [grouping.Group(None, (0,))]


def test_a_name_in_use_is_no_guess_for_what_is_unlike_it() -> None:
    looks = likely(1.5, 1.5)
    cards = [Card(place, guess="robin") for place in range(2)]
    by = grouping.suggested(cards, looks @ likely(0.0).T, ["robin"], {"robin": 9})
    assert [group.label for group in grouping.grouped(cards, by, looks, ["robin"])] == [None]


ROBIN, WREN = 0.0, 1.15
KNOWN = frozenset({"robin", "wren"})


def groups_of(
    looks: np.ndarray, cards: list[Card], named: dict[str, float]
) -> list[tuple[str | None, bool, list[int]]]:
    """Label, whether it is new, and members of each group; of each name that often as many photos are named that all may have it."""
    likeness = looks @ likely(*named.values()).T
    by = grouping.suggested(cards, likeness, list(named), dict.fromkeys(named, 9))
    found = grouping.grouped(cards, by, looks, list(named))
    return [(group.label, group.is_new, sorted(group.members)) for group in found]


def test_what_a_model_calls_unlike_all_it_knows_is_not_named_like_the_nearest_of_them() -> None:
    """Though these look much like a robin: groups by how they look, and those that stand alone together."""
    looks = likely(ROBIN, ROBIN + 0.1, ROBIN + 0.1, ROBIN + 0.15, WREN, WREN + 0.02, WREN + 2.2)
    unlike = [frozenset[str](), frozenset[str](), KNOWN, KNOWN, KNOWN, KNOWN, KNOWN]
    cards = [Card(place, unlike=names) for place, names in enumerate(unlike)]
    found = groups_of(looks, cards, {"robin": ROBIN, "wren": WREN})
    assert found[0] == ("robin", False, [0, 1])
    assert sorted(found[1:], key=str) == [(None, True, [2, 3]), (None, True, [4, 5]), (None, True, [6])]


def test_a_name_that_was_given_after_the_model_had_learned_is_suggested_for_what_is_like_it() -> None:
    looks = likely(ROBIN + 0.1, ROBIN + 0.12, WREN)
    cards = [Card(place, unlike=KNOWN) for place in range(3)]
    found = groups_of(looks, cards, {"jay": ROBIN + 0.2, "robin": ROBIN, "wren": WREN})
    assert found == [("jay", False, [0, 1, 2])], "the wren is like no other name but like that"
    far = groups_of(looks, cards, {"jay": ROBIN - 0.7, "robin": ROBIN, "wren": WREN})
    assert ("jay", False, [0, 1]) in far
    assert (None, True, [2]) in far


def test_of_a_group_by_sight_the_most_tell_whether_it_is_new() -> None:
    looks = likely(2.5, 2.52, 2.54)
    for strange, label, is_new in ((1, "kite", False), (2, None, True)):
        cards = [Card(place, unlike=KNOWN) if place < strange else Card(place, guess="kite") for place in range(3)]
        assert groups_of(looks, cards, {"robin": ROBIN, "wren": WREN}) == [(label, is_new, [0, 1, 2])]


def test_without_any_name_what_looks_alike_is_one_group() -> None:
    looks = grouping.features(np.concatenate([near(1, count=4), near(2, count=3), near(3)]))
    cards = [Card(number, guess="jay" if number != 1 else "kite") for number in range(8)]
    groups = grouping.alike(cards, looks)
    assert sorted(sorted(group.members) for group in groups) == [[0, 1, 2, 3], [4, 5, 6], [7]] or len(groups) <= 3
    assert sorted(place for group in groups for place in group.members) == list(range(8))
    assert groups[0].label == "jay", "what most of them are taken for"


@pytest.mark.parametrize("within", [0.0, 0.05, 0.3, 2.0])
def test_clusters_hold_every_photo_once(within: float) -> None:
    looks = grouping.features(np.concatenate([near(kind, spread=0.2, count=6) for kind in range(5)]))
    found = grouping.clusters(looks, within=within)
    assert sorted(place for group in found for place in group) == list(range(30))
    if within == 2.0:
        assert len(found) == 1


def test_average_linkage_joins_by_the_mean_distance() -> None:
    """On a line: 0 and 1 are near, 2 is near to 1 but not to both."""
    angles = np.array([0.0, 0.3, 0.75])
    looks = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    mean = np.mean([1 - np.cos(0.75), 1 - np.cos(0.45)])
    assert grouping.clusters(looks, within=float(mean) - 0.001) == [(0, 1), (2,)]
    assert grouping.clusters(looks, within=float(mean) + 0.001) == [(0, 1, 2)]


def test_near_copies_are_asked_for_once() -> None:
    looks = grouping.features(np.concatenate([np.repeat(near(1), 5, axis=0), near(2), near(3)]))
    cards = [Card(number) for number in range(7)]
    assert len(grouping.worth_most(cards, looks, None, count=7, rare={})) == 3


def test_what_is_unsure_and_rare_comes_first() -> None:
    looks = grouping.features(np.concatenate([near(kind, spread=0.3) for kind in range(4)]))
    cards = [Card(number) for number in range(4)]
    by = Suggested(("robin", "robin", "wren", "robin"), (0.9, 0.1, 0.1, 0.8))
    chosen = grouping.worth_most(cards, looks, by, count=2, rare={"robin": 50, "wren": 1})
    assert chosen == [2, 1]


def test_a_budget_takes_one_of_a_visit_and_turns_among_cameras() -> None:
    looks = grouping.features(np.concatenate([near(kind, spread=0.3) for kind in range(6)]))
    cards = [Card(0, visit=1, camera="a"), Card(1, visit=1, camera="a")]
    cards += [Card(2, camera="a"), Card(3, camera="a"), Card(4, camera="b"), Card(5, camera="b")]
    chosen = grouping.worth_most(cards, looks, None, count=4, rare={}, spread=True)
    assert len({cards[place].camera for place in chosen[:2]}) == 2
    assert not {0, 1} <= set(chosen)


def test_a_sketch_tells_how_unlike_photos_are() -> None:
    looks = grouping.features(np.concatenate([near(kind, size=1280, spread=0.4) for kind in range(20)]))
    short = grouping.sketch(looks)
    assert short.shape == (20, grouping.SKETCH)
    assert np.abs((looks @ looks.T) - (short @ short.T)).max() < 0.25


def test_the_nearest_come_first() -> None:
    named = grouping.features(np.concatenate([near(2), near(1), near(3)]))
    assert grouping.nearest(grouping.features(near(1))[0], named, count=2)[0] == 1
