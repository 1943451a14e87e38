"""When the long training begins by itself, and what may be asked of it beforehand; PyTorch itself is not needed for that."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from birdwatchd import retraining
from birdwatchd.core.settings import Training
from birdwatchd.edges import trainer
from birdwatchd.worker import Chore
from tests.gardens import Garden, five

pytestmark = pytest.mark.alone

YEARS_S = 10 * 365.25 * 24 * 3600
ALWAYS, FEW = "00:00-24:00", 12


def another_part_of_the_day() -> str:
    """Two hours that begin in six."""
    hour = (datetime.now().astimezone().hour + 6) % 24
    return f"{hour:02}:00-{(hour + 2) % 24:02}:00"


@pytest.fixture(autouse=True)
def with_torch_and_few_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining, "can_finetune", lambda: True)
    monkeypatch.setattr(retraining, "LABELS_TO_FINETUNE", FEW)


def planted(root: Path, tmp_path: Path, **training: Any) -> Garden:
    """A bird folder with a model, and twelve labels that it learned from."""
    one = Garden(root, training=Training(**{"hours": ALWAYS} | training))
    one.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    one.learn()
    return one


@pytest.fixture
def garden(root: Path, tmp_path: Path) -> Iterator[Garden]:
    one = planted(root, tmp_path)
    yield one
    one.close()


def trainings(garden: Garden) -> list[str]:
    return [row["kind"] for row in garden.store.connection.rows("SELECT kind FROM trainings ORDER BY id")]


def night(garden: Garden) -> list[str]:
    """The chore has its turn; which trainings there are then."""
    garden.worker.do_chore(Chore("fine-tune"))
    garden.rest()
    garden.steps_until(lambda: None not in garden.outcomes())
    return trainings(garden)


def test_in_its_hours_it_begins_by_itself_and_only_once_a_night(garden: Garden) -> None:
    assert night(garden) == ["linear", "finetuned"]
    assert night(garden) == ["linear", "finetuned"]
    garden.leap_s += 13 * 3600
    assert night(garden)[2:] == ["finetuned"], "it taught nothing, since PyTorch is not there: it is tried again"


@pytest.mark.fault("T01")
def test_a_night_by_a_clock_that_was_years_ahead_keeps_none_of_the_nights_from_it_after_that(garden: Garden) -> None:
    garden.wall_ahead_s = YEARS_S
    assert night(garden) == ["linear", "finetuned"]
    garden.wall_ahead_s = 0.0
    assert night(garden) == ["linear", "finetuned", "finetuned"]
    garden.wall_ahead_s = -3600.0
    assert night(garden) == ["linear", "finetuned", "finetuned"], "set back by an hour, it is the same night"


@pytest.mark.parametrize(
    "training", [{"hours": another_part_of_the_day()}, {"fine_tune": "never"}], ids=["other hours", "never"]
)
def test_out_of_its_hours_or_where_nobody_wants_it_it_does_not(
    root: Path, tmp_path: Path, training: dict[str, Any]
) -> None:
    garden = planted(root, tmp_path, **training)
    try:
        assert night(garden) == ["linear"]
    finally:
        garden.close()


def test_with_too_few_labels_it_does_not(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining, "LABELS_TO_FINETUNE", FEW + 1)
    assert night(garden) == ["linear"]


def test_without_torch_it_does_not(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "NEEDED", ("a_module_that_nobody_has",))
    monkeypatch.setattr(retraining, "can_finetune", trainer.can_finetune)
    assert night(garden) == ["linear"]


def test_what_it_has_learned_it_does_not_learn_again_and_the_quick_one_does_not_count(
    garden: Garden, tmp_path: Path
) -> None:
    with garden.store.connection.writing():
        garden.store.connection.execute(
            "INSERT INTO trainings (kind, started_at, finished_at, fingerprint, label_count, outcome)"
            " SELECT 'finetuned', started_at, finished_at, fingerprint, label_count, 'kept' FROM trainings"
        )
    garden.leap_s += 13 * 3600
    assert night(garden) == ["linear", "finetuned"]
    garden.bring(tmp_path / "tree", *five("bluetit", count=10))
    garden.learn()
    assert night(garden) == ["linear", "finetuned", "linear", "finetuned"]


def test_what_would_be_learned_can_be_asked_and_nothing_is_begun(garden: Garden, tmp_path: Path) -> None:
    garden.bring(tmp_path / "tree", *five("bluetit", count=3))
    told = garden.wish("train", dry_run=True).result
    assert told["species"] == {"greenfinch": 6, "redstart": 6}
    assert (told["photos"], told["held_out"], told["too_few"]) == (12, 0, {"bluetit": 3})
    assert trainings(garden) == ["linear"]


def test_a_picture_of_what_would_be_taught_can_be_had_without_training(garden: Garden) -> None:
    told = garden.wish("train", show_batch=True)
    assert told.outcome == "done"
    assert (garden.root / told.result["path"]).read_bytes().startswith(b"\x89PNG")
    assert trainings(garden) == ["linear"]
