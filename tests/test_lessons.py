"""What is put before the training program."""

from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from birdwatchd.core import shelving
from birdwatchd.core.job import JOB_FILE, REPORT_FILE, Doubt, Job, Report
from birdwatchd.core.settings import Dictionary, Settings, Web
from birdwatchd.lessons import Lessons
from tests.gardens import Garden, five


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root)
    yield one
    one.close()


def test_the_training_program_is_told_what_its_birds_are_called(garden: Garden, tmp_path: Path) -> None:
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"), ("bluetit", 1))
    garden.learn()
    job = Job.from_json((garden.root / shelving.JOBS / "1" / JOB_FILE).read_text(encoding="utf-8"))
    assert job.names == {"bluetit": "Bluetit", "greenfinch": "Greenfinch", "redstart": "Redstart"}
    settings = Settings(root=garden.root, web=Web(names=Dictionary(redstart="Rotschwanz")))
    lessons = Lessons(garden.files, garden.store, settings, garden.worker.serving, clock=lambda: 0.0)

    def frozen() -> Generator[None, None, None]:
        dataset = yield from lessons.freeze()
        assert lessons.job(2, "linear", dataset).names["redstart"] == "Rotschwanz"

    assert list(frozen()) != []


def test_a_photo_that_was_held_back_does_not_count_as_learned(garden: Garden, tmp_path: Path) -> None:
    """Else its doubtful name would pass for one of the older ones, which nobody doubts first."""
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    garden.learn()
    worker = garden.worker
    lessons = Lessons(garden.files, garden.store, Settings(root=garden.root), worker.serving, clock=lambda: 0.0)
    model = worker.serving.model
    assert model is not None
    folder = garden.root / shelving.JOBS / "1"
    everything = {one.photo_id for one in Job.from_json((folder / JOB_FILE).read_text()).examples}
    assert set(lessons.as_champion(model).learned) == everything
    report = Report.from_json((folder / REPORT_FILE).read_text())
    doubts = tuple(Doubt(photo_id, "redstart", "greenfinch", 0.9, (), photo_id == 2) for photo_id in (1, 2))
    (folder / REPORT_FILE).write_text(replace(report, doubts=doubts).to_json())
    assert set(lessons.as_champion(model).learned) == everything - {2}
