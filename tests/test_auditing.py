"""One in so many photos that the machine is sure of is put up for a look; the answers, and nothing else, tell how often it is right."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.cli.app import run_command
from birdwatchd.core.auditing import accuracies, chosen_below
from birdwatchd.worker import Chore
from tests.gardens import Garden, five
from tests.handmade import RIGHT, SWAPPED, teach


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    """All of its filed photos are put up."""
    one = Garden(root, audit_one_in=1)
    yield one
    one.close()


def audits(garden: Garden) -> dict[str, dict[str, Any]]:
    garden.worker.do_chore(Chore("audit"))
    rows = garden.store.connection.rows(
        "SELECT original_name, audits.* FROM audits JOIN photos ON photos.id = photo_id ORDER BY photo_id"
    )
    return {row["original_name"].removesuffix(".jpg"): row for row in rows}


def answered(garden: Garden, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert run_command([*words, "--root", str(garden.root)]) == 0
    return capsys.readouterr().out


def test_one_in_so_many_contents_is_chosen_and_always_the_same() -> None:
    hashes = [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{'7' * 48}" for number in range(1, 20001)]
    for one_in in (2, 50, 1000):
        share = sum(one < chosen_below(one_in) for one in hashes) / len(hashes)
        assert share == pytest.approx(1 / one_in, rel=0.1)
    assert all(one < chosen_below(1) for one in [*hashes, "f" * 64])
    with pytest.raises(ValueError, match="cannot be chosen"):
        chosen_below(0)


def test_only_photos_that_the_machine_was_sure_of_are_put_up_and_they_are_filed_all_the_same(garden: Garden) -> None:
    garden.drop(("bluetit", 1))
    teach(garden, {one: RIGHT[one] for one in ("redstart", "greenfinch")}, sure_above=0.5)
    garden.rest()
    garden.drop(("redstart", 1))
    teach(garden, RIGHT, sure_above=1.1)
    garden.drop(("greenfinch", 2))
    put_up = audits(garden)
    filed = {row["original_name"] for row in garden.store.connection.rows("SELECT * FROM photos WHERE state = 'filed'")}
    assert {f"{name}.jpg" for name in put_up} == filed
    assert (put_up["redstart-1"]["label"], put_up["redstart-1"]["answer"]) == ("redstart", None)
    assert "greenfinch-2" not in put_up
    assert audits(garden) == put_up, "once"


def test_nothing_is_put_up_when_nobody_wants_that(root: Path) -> None:
    garden = Garden(root, audit_one_in=0)
    try:
        teach(garden, RIGHT)
        garden.drop(("redstart", 1))
        assert audits(garden) == {}
    finally:
        garden.close()


def test_the_persons_last_name_is_the_answer_wherever_it_comes_from(
    garden: Garden, capsys: pytest.CaptureFixture[str]
) -> None:
    teach(garden, SWAPPED)
    garden.drop(*five("bluetit", 0, 3), ("redstart", 1))
    put_up = audits(garden)
    listed = answered(garden, capsys, "audit")
    assert all(f"library/{row['label']}/" in listed for row in put_up.values())
    assert "birdwatchd label ID SPECIES" in listed
    confirmed = garden.wish("label", photo_id=put_up["bluetit-0"]["photo_id"], species="bluetit").result
    assert confirmed["changed"] is True
    garden.wish("label", photo_id=put_up["redstart-1"]["photo_id"], species="redstart")
    moved = (garden.store.questions.photo(put_up["bluetit-1"]["photo_id"]) or {})["path"]
    (garden.root / "library" / "wren").mkdir()
    (garden.root / moved).rename(garden.root / "library" / "wren" / Path(moved).name)
    garden.leap_s += 3600
    garden.worker.noticing.compare()
    garden.steps_until(lambda: audits(garden)["bluetit-1"]["answer"] is not None)
    answers = {name: (row["label"], row["answer"]) for name, row in audits(garden).items()}
    assert answers == {
        "bluetit-0": ("bluetit", "bluetit"),
        "bluetit-1": ("bluetit", "wren"),
        "bluetit-2": ("bluetit", None),
        "redstart-1": ("greenfinch", "redstart"),
    }
    waiting = json.loads(answered(garden, capsys, "audit", "--json"))
    assert [one["photo_id"] for one in waiting] == [put_up["bluetit-2"]["photo_id"]]
    told = answered(garden, capsys, "stats")
    assert "50%" in told
    assert "rests on 3 of 4 photos" in told
    shown = json.loads(answered(garden, capsys, "stats", "--json"))
    assert [(one["label"], one["n"], one["right"]) for one in shown["accuracy"]] == [
        ("bluetit", 2, 1),
        ("greenfinch", 1, 0),
    ]


def test_what_was_mended_before_it_was_put_up_counts_too(garden: Garden) -> None:
    teach(garden, SWAPPED)
    garden.drop(("redstart", 1))
    photo = garden.store.questions.recent(limit=1)[0]
    garden.wish("label", photo_id=photo["id"], species="redstart")
    assert [(row["label"], row["answer"]) for row in audits(garden).values()] == [("greenfinch", "redstart")]


def test_what_the_machine_said_then_stays_whatever_it_says_later(garden: Garden) -> None:
    teach(garden, SWAPPED)
    garden.drop(("redstart", 1))
    before = audits(garden)
    teach(garden, RIGHT)
    assert garden.wish("refile", dry_run=False).result["judged"] == 1
    assert audits(garden) == before
    assert garden.where() == {("filed", "redstart"): 1}


def test_without_a_photo_put_up_the_list_says_so(garden: Garden, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Nothing is put up" in answered(garden, capsys, "audit")
    assert "right:" not in answered(garden, capsys, "stats")


def test_few_answers_say_little() -> None:
    (few, many) = accuracies({"a": (2, 2), "b": (200, 200)})
    assert (few.low < 0.4, many.low > 0.98, many.high) == (True, True, 1.0)
