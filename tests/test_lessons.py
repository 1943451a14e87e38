"""What is put before the training program."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from birdwatchd.core import shelving
from birdwatchd.core.job import JOB_FILE, REPORT_FILE, Doubt, Job, Report
from birdwatchd.core.settings import Settings
from birdwatchd.lessons import Lessons
from tests.gardens import Garden, five


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root)
    yield one
    one.close()


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
