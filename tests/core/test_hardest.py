"""Which photos are worth a second look."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core.hardest import EACH, IN_ALL, Hard, from_json, hardest, to_json

ONE = Hard(
    photo_id=1, sha256="a" * 64, label="jay", own=0.2, likely="crow", probability=0.7, held_out=False, neighbours=(3, 4)
)


def photos(count: int, *, label: str = "jay", held_out: bool = False) -> list[Hard]:
    return [
        replace(ONE, photo_id=number, own=number / count, label=label, held_out=held_out) for number in range(count)
    ]


def test_of_each_species_and_side_those_that_fit_worst_are_kept() -> None:
    chosen = hardest([*photos(200), *photos(200, label="crow"), *photos(40, held_out=True)])
    assert len(chosen) == 3 * EACH
    assert {one.photo_id for one in chosen if one.label == "crow"} == set(range(EACH))
    assert [one.own for one in chosen] == sorted(one.own for one in chosen)


def test_whatever_is_suspected_is_kept_and_comes_first() -> None:
    sure_of_it = replace(ONE, photo_id=999, own=0.99, suspected=True)
    assert hardest([*photos(200), sure_of_it])[0] == sure_of_it


def test_there_are_never_more_than_a_page_can_read() -> None:
    many = [one for species in range(400) for one in photos(40, label=f"bird {species}")]
    assert len(hardest(many)) == IN_ALL


@given(st.lists(st.builds(Hard, photo_id=st.integers(1, 2**63), sha256=st.text(), label=st.text(), own=st.just(0.25),
                          likely=st.text(), probability=st.just(0.5), held_out=st.booleans(), suspected=st.booleans(),
                          neighbours=st.tuples(st.integers(1, 9)))))  # fmt: skip
def test_what_is_written_can_be_read(some: list[Hard]) -> None:
    assert from_json(to_json(some)) == tuple(some)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format_version": 99, "photos": []}', '{"format_version": 1, "photos": [{}]}']
)
def test_what_is_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_json(text)
