"""Near-copies stay together, and a photo stays on its side."""

import hashlib
import time
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core import splits
from birdwatchd.core.splits import FOLDS, HOLD_OUT_FROM, KEPT_TO_LEARN, SAME_SCENE, Labelled, split, visits

Embeddings = npt.NDArray[np.float32]

START = datetime(2026, 5, 1, 6, 0, 0)
SPECIES = ("crow", "jay", "wren")
SCENES = 12


def sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def at(seconds: int, offset: str = "") -> str:
    return (START + timedelta(seconds=seconds)).isoformat() + offset


def photo(number: int, *, label: str = "crow", camera: str | None = None, taken: str | None = None) -> Labelled:
    return Labelled(number, sha(number), label, camera, taken)


def unlike(count: int) -> Embeddings:
    """An embedding for each photo that is like no other."""
    return np.eye(max(count, 1), dtype=np.float32)[:count]


def scenes(numbers: list[int]) -> Embeddings:
    return np.eye(SCENES, dtype=np.float32)[numbers]


@st.composite
def albums(draw: st.DrawFn) -> tuple[list[Labelled], Embeddings]:
    """Photos of few cameras, times and scenes, so that much is tied together."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(SPECIES),
                st.sampled_from([None, "gate", "pond"]),
                st.none() | st.integers(0, 4000).map(at) | st.just("last week"),
                st.integers(0, SCENES - 1),
            ),
            max_size=25,
        )
    )
    numbers = draw(st.permutations(range(len(rows))))
    photos = [
        Labelled(number, sha(number), label, camera, taken)
        for number, (label, camera, taken, _) in zip(numbers, rows, strict=True)
    ]
    return photos, scenes([row[3] for row in rows])


@st.composite
def many_in_visits(draw: st.DrawFn, smallest: int = HOLD_OUT_FROM) -> tuple[list[Labelled], list[int]]:
    """Photos in visits, enough of them that a side is held out."""
    drawn = draw(st.lists(st.tuples(st.sampled_from(SPECIES), st.integers(0, 8)), min_size=1, max_size=30))
    photos = [photo(number, label=label) for number, (label, _) in enumerate(drawn)]
    first: dict[int, int] = {}
    found = [first.setdefault(visit, index) for index, (_, visit) in enumerate(drawn)]
    for number in range(len(photos), smallest):
        photos.append(photo(number, label=SPECIES[number % 2]))
        found.append(number)
    return photos, found


def parts(found: list[int], photos: list[Labelled]) -> set[frozenset[int]]:
    """The visits as sets of photo numbers."""
    members: defaultdict[int, set[int]] = defaultdict(set)
    for visit, one in zip(found, photos, strict=True):
        members[visit].add(one.photo_id)
    return set(map(frozenset, members.values()))


# -- visits


@given(albums())
def test_a_visit_is_all_that_is_tied_together_by_time_or_looks(album: tuple[list[Labelled], Embeddings]) -> None:
    photos, embeddings = album
    tied = [{index} for index in range(len(photos))]
    for one in range(len(photos)):
        for two in range(one):
            if alike(photos[one], photos[two]) or (embeddings[one] == embeddings[two]).all():
                union = tied[one] | tied[two]
                for index in union:
                    tied[index] = union
    assert visits(photos, embeddings) == [min(group) for group in tied]


def alike(one: Labelled, two: Labelled) -> bool:
    if one.camera != two.camera or None in {one.captured_at, two.captured_at}:
        return False
    if "last week" in {one.captured_at, two.captured_at}:
        return False
    gap = datetime.fromisoformat(str(one.captured_at)) - datetime.fromisoformat(str(two.captured_at))
    return abs(gap.total_seconds()) <= 300


@given(albums(), st.randoms(use_true_random=False))
def test_visits_do_not_depend_on_the_order_of_the_photos(
    album: tuple[list[Labelled], Embeddings], random: Random
) -> None:
    photos, embeddings = album
    order = list(range(len(photos)))
    random.shuffle(order)
    shuffled = [photos[index] for index in order]
    assert parts(visits(shuffled, embeddings[order]), shuffled) == parts(visits(photos, embeddings), photos)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (("gate", at(0)), ("gate", at(300)), True),
        (("gate", at(0)), ("gate", at(301)), False),
        (("gate", at(0)), ("pond", at(0)), False),
        ((None, at(0)), (None, at(300)), True),
        ((None, at(0)), ("gate", at(0)), False),
        ((None, None), (None, None), False),
        (("gate", None), ("gate", None), False),
        (("gate", "soon"), ("gate", "soon"), False),
        (("gate", at(0, "+02:00")), ("gate", at(60)), True),
        (("gate", at(0, "+02:00")), ("gate", at(60, "Z")), True),
        (("gate", at(0, "+02:00")), ("gate", at(-7200, "Z")), False),
    ],
)
def test_time_and_camera_make_a_visit(
    first: tuple[str | None, str | None], second: tuple[str | None, str | None], *, together: bool
) -> None:
    pair = [photo(1, camera=first[0], taken=first[1]), photo(2, camera=second[0], taken=second[1])]
    assert visits(pair, unlike(2)) == [0, 0 if together else 1]


def test_a_chain_of_short_gaps_is_one_visit() -> None:
    chain = [photo(number, camera="gate", taken=at(300 * number)) for number in range(10)]
    assert visits(chain, unlike(10)) == [0] * 10


def test_looks_tie_what_different_cameras_took_on_different_days() -> None:
    pair = [photo(1, camera="gate", taken=at(0)), photo(2, camera="pond", taken=at(10**6))]
    base = np.linspace(0, 3, 1280, dtype=np.float32)
    assert visits(pair, np.stack([base, base * 2])) == [0, 0], "length does not matter"


@pytest.mark.parametrize(("cosine", "together"), [(SAME_SCENE + 0.001, True), (SAME_SCENE - 0.001, False)])
def test_only_what_is_nearly_the_same_is_tied(cosine: float, *, together: bool) -> None:
    roots = np.array([[1, 0], [cosine, (1 - cosine**2) ** 0.5]])
    assert visits([photo(1), photo(2)], (roots**2).astype(np.float32)) == [0, 0 if together else 1]


def test_an_embedding_of_zeros_is_like_no_other() -> None:
    assert visits([photo(1), photo(2)], np.zeros((2, 4), np.float32)) == [0, 1]


def test_looks_are_compared_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "_ROWS_AT_ONCE", 3)
    numbers = [0, 1, 2, 3, 4, 5, 6, 0, 2, 7, 6]
    found = visits([photo(number) for number in range(len(numbers))], scenes(numbers))
    assert found == [numbers.index(number) for number in numbers]


def compared_in_full(embeddings: Embeddings) -> list[int]:
    """For each photo the smallest place of those that look the same, told the long way."""
    roots = np.sqrt(embeddings.astype(np.float64))
    roots /= np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-12)
    groups = np.arange(len(roots))
    for row, cosines in enumerate(roots @ roots.T):
        groups[np.isin(groups, groups[cosines > SAME_SCENE])] = groups[row]
    return [groups.tolist().index(group) for group in groups.tolist()]


@pytest.mark.parametrize("spread", [0.02, 0.35, 1.0], ids=["one scene", "scenes that are nearly one", "many scenes"])
@pytest.mark.parametrize("pairs", [7, 4096])
def test_the_quick_comparison_ties_what_the_full_one_ties(
    monkeypatch: pytest.MonkeyPatch, spread: float, pairs: int
) -> None:
    monkeypatch.setattr(splits, "_ROWS_AT_ONCE", 50)
    monkeypatch.setattr(splits, "_PAIRS_AT_ONCE", pairs)
    monkeypatch.setattr(splits, "_DIRECTIONS", 12)
    chance = np.random.default_rng(5)
    looks = np.exp(chance.normal(0, 1, (1, 60)) + spread * chance.normal(0, 1, (230, 60))).astype(np.float32)
    copies = chance.integers(0, 230, (2, 40))
    looks[copies[0]] = looks[copies[1]] * chance.normal(1, 0.25, (40, 60)).clip(0.1).astype(np.float32)
    looks[17] = looks[120] = 0
    assert visits([photo(number) for number in range(230)], looks) == compared_in_full(looks)


def test_between_two_steps_of_a_comparison_others_have_their_turn_soon() -> None:
    """With 20,000 photos a step takes some hundredths of a second; what is bounded is what a step compares, and how often it pauses."""
    looks = np.random.default_rng(6).gamma(1.0, 1.0, (3000, 200)).astype(np.float32)
    steps = splits.visits_in_steps([photo(number) for number in range(3000)], looks)
    began, longest, turns = time.perf_counter(), 0.0, 0
    for _ in steps:
        now = time.perf_counter()
        longest, began, turns = max(longest, now - began), now, turns + 1
    assert turns > 3000 / splits._ROWS_AT_ONCE
    assert longest < 0.5


def test_the_embeddings_that_are_given_stay_as_they_are() -> None:
    given_ones = np.full((2, 4), 4, np.float32)
    visits([photo(1), photo(2)], given_ones)
    assert (given_ones == 4).all()


def test_no_photos_have_no_visits_and_a_missing_embedding_is_an_error() -> None:
    assert visits([], np.empty((0, 1280), np.float32)) == []
    with pytest.raises(ValueError, match="1 photos cannot have 2 embeddings"):
        visits([photo(1)], unlike(2))


# -- sides and folds


@given(many_in_visits(), st.randoms(use_true_random=False))
def test_the_split_does_not_depend_on_the_order_of_the_photos(
    album: tuple[list[Labelled], list[int]], random: Random
) -> None:
    photos, found = album
    order = list(range(len(photos)))
    random.shuffle(order)
    one = split(photos, found, known_sides={})
    two = split([photos[index] for index in order], [found[index] for index in order], known_sides={})
    assert two.folds == [one.folds[index] for index in order]
    assert two.held_out == [one.held_out[index] for index in order]
    assert two.sides == one.sides
    assert split(photos, found, known_sides={}) == one


@given(many_in_visits() | many_in_visits(smallest=0))
def test_a_visit_never_straddles_folds_or_sides(album: tuple[list[Labelled], list[int]]) -> None:
    photos, found = album
    cut = split(photos, found, known_sides={})
    assert len(set(zip(found, cut.folds, cut.held_out, strict=True))) == len(set(found))
    assert set(cut.folds) <= set(range(FOLDS))
    assert not any(cut.held_back)


@given(many_in_visits() | many_in_visits(smallest=0))
def test_a_species_of_two_visits_is_in_two_folds_and_never_only_held_out(
    album: tuple[list[Labelled], list[int]],
) -> None:
    photos, found = album
    cut = split(photos, found, known_sides={})
    labels: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for one, visit in zip(photos, found, strict=True):
        labels[visit][one.label] += 1
    main = {visit: min(votes, key=lambda name: (-votes[name], name)) for visit, votes in labels.items()}
    for label in set(main.values()):
        for learned_only in (False, True):
            shown = {
                visit: fold
                for visit, fold, out in zip(found, cut.folds, cut.held_out, strict=True)
                if main[visit] == label and not (learned_only and out)
            }
            assert len(set(shown.values())) >= min(2, len(shown))
            assert shown, "a species that is judged on is learned"


@given(many_in_visits(), st.data())
def test_adding_photos_never_changes_an_old_photos_side(
    album: tuple[list[Labelled], list[int]], data: st.DataObject
) -> None:
    photos, found = album
    before = split(photos, found, known_sides={})
    tied = list(found)
    added = data.draw(st.lists(st.lists(st.sampled_from(sorted(set(found))), max_size=3), max_size=6))
    later = list(photos)
    for number, bridged in enumerate(added):
        # The new photo's number may be smaller than those of its visit: labels do not come in the order of arrival.
        later.append(replace(photo(10_000 + number), photo_id=-number))
        tied.append(len(later) - 1)
        joined = {tied[visit] for visit in bridged} | {tied[-1]}
        tied = [min(joined) if visit in joined else visit for visit in tied]
    after = split(later, tied, known_sides=before.sides)
    old = len(photos)
    assert after.held_out[:old] == before.held_out
    assert not any(after.held_back[:old])
    assert after.sides.items() >= before.sides.items()
    for index in range(old, len(later)):
        sides = {before.held_out[place] for place in range(old) if tied[place] == tied[index]}
        assert after.held_back[index] == (len(sides) == 2)
        if len(sides) == 1:
            assert after.held_out[index] in sides
    for visit in set(tied):
        assert len({fold for fold, mine in zip(after.folds, tied, strict=True) if mine == visit}) == 1
    again = split(later, tied, known_sides=after.sides)
    assert again == after, "and so it stays"


@given(many_in_visits(), st.integers(0, 100))
def test_a_species_keeps_visits_to_learn_before_it_gives_one_away(
    album: tuple[list[Labelled], list[int]], percent: int
) -> None:
    photos, found = album
    cut = split(photos, found, known_sides={})
    first = {visit: found.index(visit) for visit in found}
    for label in SPECIES:
        own = [index for index in first.values() if {photos[i].label for i in _of(found, index)} == {label}]
        mixed = [index for index in first.values() if label in {photos[i].label for i in _of(found, index)} - {""}]
        if any(cut.held_out[index] for index in own):
            assert sum(not cut.held_out[index] for index in mixed) >= KEPT_TO_LEARN
    shown = len(photos) * percent // 100
    again = split(photos[:shown], found[:shown], known_sides=cut.sides)
    assert again.held_out == cut.held_out[:shown]


def _of(found: list[int], index: int) -> list[int]:
    return [place for place, visit in enumerate(found) if visit == found[index]]


def test_a_species_that_grows_past_the_bound_holds_out_new_visits_alone() -> None:
    """What a model in use has learned never judges it, and what judges was never learned: nothing changes sides."""
    photos, _ = in_own_visits(HOLD_OUT_FROM)
    parrots = [photo(1000 + number, label="parrot") for number in range(200)]
    sides: dict[str, bool] = {}
    was: list[bool] = []
    for count in range(1, 201):
        cut = split([*photos, *parrots[:count]], list(range(HOLD_OUT_FROM + count)), known_sides=sides)
        now, sides = cut.held_out[HOLD_OUT_FROM:], cut.sides
        assert now[:-1] == was
        was = now
    assert not any(was[:KEPT_TO_LEARN])
    assert 0.12 < sum(was) / 200 < 0.28
    at_once = split([*photos, *parrots[:12]], list(range(HOLD_OUT_FROM + 12)), known_sides={}).held_out[HOLD_OUT_FROM:]
    assert sum(at_once) <= 2, "of all at once it keeps as many"
    assert sides == split([*photos, *parrots], list(range(HOLD_OUT_FROM + 200)), known_sides=sides).sides


def in_own_visits(count: int) -> tuple[list[Labelled], list[int]]:
    return [photo(number, label=SPECIES[number % 3]) for number in range(count)], list(range(count))


def test_below_200_photos_nobody_is_held_out_and_no_side_is_remembered() -> None:
    cut = split(*in_own_visits(HOLD_OUT_FROM - 1), known_sides={})
    assert not any(cut.held_out)
    assert cut.sides == {}
    assert set(cut.folds) == set(range(FOLDS))


def test_from_200_photos_on_about_a_fifth_is_held_out() -> None:
    assert any(split(*in_own_visits(HOLD_OUT_FROM), known_sides={}).held_out)
    cut = split(*in_own_visits(5000), known_sides={})
    assert 0.17 < sum(cut.held_out) / 5000 < 0.23


def test_the_folds_are_of_one_size_in_visits() -> None:
    sizes = Counter(split(*in_own_visits(103), known_sides={}).folds)
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_a_photo_that_ties_both_sides_is_held_back_and_the_old_ones_stay() -> None:
    photos, found = in_own_visits(HOLD_OUT_FROM)
    before = split(photos, found, known_sides={})
    out, learned = before.held_out.index(True), before.held_out.index(False)
    photos.append(photo(999, label="wren"))
    found = [min(out, learned) if index in {out, learned, HOLD_OUT_FROM} else index for index in range(len(photos))]
    after = split(photos, found, known_sides=before.sides)
    assert (after.held_back[-1], after.held_out[-1]) == (True, False)
    assert (after.held_out[out], after.held_out[learned]) == (True, False)
    assert sum(after.held_back) == 1
    assert photos[-1].sha256 not in after.sides


def test_sides_stay_when_labels_are_withdrawn_again() -> None:
    photos, found = in_own_visits(HOLD_OUT_FROM)
    before = split(photos, found, known_sides={})
    fewer = split(photos[:50], found[:50], known_sides=before.sides)
    assert fewer.held_out == before.held_out[:50]
    assert fewer.sides == before.sides, "also of those that may come back"


def test_a_species_with_a_single_visit_is_learned_not_judged() -> None:
    photos, found = in_own_visits(HOLD_OUT_FROM)
    for number in range(50):
        parrot = photo(1000 + number, label="parrot")
        assert not split([*photos, parrot], [*found, len(photos)], known_sides={}).held_out[-1]


def test_what_is_held_back_does_not_count_as_learned() -> None:
    photos, found = in_own_visits(HOLD_OUT_FROM)
    photos = [replace(one, label="crow") for one in photos]
    before = split(photos, found, known_sides={})
    out, learned = before.held_out.index(True), before.held_out.index(False)
    photos += [photo(900 + number, label="wren") for number in range(3)]
    found = [min(out, learned) if index in {out, learned} or index >= HOLD_OUT_FROM else index for index in range(203)]
    for number in range(50):
        after = split([*photos, photo(1000 + number, label="wren")], [*found, 203], known_sides=before.sides)
        assert after.held_back[200:203] == [True] * 3
        assert not after.held_out[203], "the only wren that a model can learn from"


def test_the_visits_that_are_learned_from_are_in_two_folds_wherever_their_hashes_lie() -> None:
    photos = sorted((photo(number) for number in range(FOLDS + 1)), key=lambda one: sha(one.sha256))
    sides = {one.sha256: one not in (photos[0], photos[-1]) for one in photos}
    cut = split(photos, list(range(len(photos))), known_sides=sides)
    assert cut.held_out == list(sides.values())
    assert cut.folds[0] != cut.folds[-1]


def test_no_photos_are_split_into_nothing() -> None:
    assert split([], [], known_sides={}) == splits.Split([], [], [], {})
