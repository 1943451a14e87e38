"""Each training gets its page, whatever dies meanwhile, and one that cannot be made harms nothing."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdwatchd.core import shelving
from birdwatchd.core.job import REPORT_FILE, VERDICT_FILE
from tests.gardens import Garden, five


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root)
    yield one
    one.close()


def pages(garden: Garden) -> list[str | None]:
    return [row["report_path"] for row in garden.store.connection.rows("SELECT report_path FROM trainings ORDER BY id")]


def teach(garden: Garden, tree: Path) -> None:
    garden.bring(tree, *five("redstart"), *five("greenfinch"))
    garden.learn()


def test_each_training_has_a_page_that_the_log_names(garden: Garden, tmp_path: Path) -> None:
    teach(garden, tmp_path / "tree")
    garden.steps_until(lambda: None not in pages(garden))
    assert pages(garden) == ["reports/1/index.html"]
    text = (garden.root / "reports/1/index.html").read_text()
    assert "there is no old one: it takes over" in text
    assert "photos/" in text
    assert sorted(path.name for path in (garden.root / "reports").iterdir()) == ["1"]


def test_who_asks_for_a_training_is_told_where_to_read_about_it(garden: Garden, tmp_path: Path) -> None:
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    done = garden.wish("train")
    assert done.result["report"] == "reports/1/index.html"
    assert (garden.root / "reports/1/index.html").is_file()


def test_a_page_that_death_left_unmade_is_made_at_the_next_start(root: Path, tmp_path: Path) -> None:
    first = Garden(root)
    teach(first, tmp_path / "tree")
    first.steps_until(lambda: first.worker.reporting.under_way)
    assert pages(first) == [None]
    first.close()
    second = Garden(root)
    try:
        second.steps_until(lambda: None not in pages(second))
        assert (root / "reports/1/index.html").is_file()
        assert second.outcomes() == ["promoted"]
    finally:
        second.close()


@pytest.mark.parametrize("damaged", [REPORT_FILE, VERDICT_FILE])
def test_a_page_that_cannot_be_made_is_told_once_and_harms_nothing(
    root: Path, tmp_path: Path, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = Garden(root)
    teach(first, tmp_path / "tree")
    first.steps_until(lambda: first.worker.reporting.under_way)
    first.close()
    (root / shelving.JOBS / "1" / damaged).write_text("{")
    second = Garden(root)
    try:
        with caplog.at_level(logging.WARNING):
            second.steps_until(lambda: "page could not be made" in caplog.text)
            second.leap_s += 10
            second.rest()
        assert caplog.text.count("page could not be made") == 1
        assert (second.serving(), pages(second)) == (1, [None])
        second.drop(("greenfinch", 200))
        assert second.store.questions.recent(limit=1)[0]["label"] == "greenfinch"
    finally:
        second.close()


def test_a_training_whose_folder_is_gone_is_left_alone(root: Path, tmp_path: Path) -> None:
    first = Garden(root)
    teach(first, tmp_path / "tree")
    first.close()
    (root / shelving.JOBS / "1" / VERDICT_FILE).unlink()
    second = Garden(root)
    try:
        second.leap_s += 10
        second.rest()
        assert not second.worker.reporting.under_way
    finally:
        second.close()
