"""A training on its way, with the real program in a process of its own: as a child, and begun by somebody else as the unit would."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdwatchd import retraining
from birdwatchd.core import shelving
from birdwatchd.core.errors import DiskFull, TransientError
from birdwatchd.core.job import Example, Job, Report
from birdwatchd.core.settings import Training
from birdwatchd.edges.errand import Errand
from birdwatchd.edges.files import disk
from birdwatchd.edges.trainer import GRACE_S, UNHEARD_AFTER_S, Course, Return, write_down
from tests.gardens import Garden, five
from tests.service.running import until

pytestmark = pytest.mark.alone

REPOSITORY = Path(__file__).resolve().parent.parent
STUBBORN = "tests.training.stubborn"
REAL = "birdwatchd.training"


def job(number: int = 1, *, does: str = "sleep", max_memory_mb: float = 6000, max_minutes: float = 10) -> Job:
    """Two species of twelve photos each."""
    examples = tuple(
        Example(place, f"{place:064x}", f"library/{place}.jpg", "jay" if place % 2 else "kite", place // 2 % 4, False)
        for place in range(24)
    )
    return Job(
        kind="linear",
        training_id=number,
        spotter_id="5" * 16,
        seed=1,
        wanted_precision=0.95,
        strangers_let_in=1.0,
        fingerprint="f",
        parent_sha256=None,
        recipe={"does": does},
        sides={},
        examples=examples,
        max_memory_mb=max_memory_mb,
        max_minutes=max_minutes,
    )


def embeddings() -> "np.typing.NDArray[np.float32]":
    chance = np.random.default_rng(1)
    middles = chance.random((2, 1280)) * 3
    return np.stack([middles[place % 2] + chance.random(1280) for place in range(24)]).astype(np.float32)


class Jobs:
    """A folder of jobs, a clock that leaps, and what was started for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.leap_s = 0.0
        self.courses: list[Course] = []
        self.programs: list[subprocess.Popen[str]] = []

    def clock(self) -> float:
        return time.monotonic() + self.leap_s

    def begin(self, one: Job, *, run_by: str = "child", program: str = STUBBORN) -> Course:
        folder = self.folder / str(one.training_id)
        write_down(folder, one, embeddings())

        def send(*words: str, **_: object) -> Errand:
            return Errand(*words, program=program)

        course = Course.begin(folder, one, run_by=run_by, send=send, clock=self.clock)
        self.courses.append(course)
        return course

    def resume(self, number: int = 1) -> Course | None:
        return Course.resume(self.folder / str(number), clock=self.clock)

    def work(self, program: str = STUBBORN) -> "subprocess.Popen[str]":
        """As the unit does."""
        child = subprocess.Popen(
            [sys.executable, "-m", program, "work", str(self.folder)], stderr=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        self.programs.append(child)
        return child

    def due(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "due").iterdir())

    def tidy(self) -> None:
        for course in self.courses:
            course.leave()
        for child in self.programs:
            child.kill()
            child.communicate()


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))  # an errand does not look into the folder that it is sent from
    (tmp_path / "jobs").mkdir()
    one = Jobs(tmp_path / "jobs")
    yield one
    one.tidy()


def back(course: Course) -> Return:
    until("the training is back", lambda: course.look() is not None)
    found = course.look()
    assert found is not None
    return found


def is_busy(course: Course) -> bool:
    return course.progress().what == "taking its time"


# -- as a child


def test_it_yields_to_everything_and_is_the_first_to_go_when_memory_runs_out(jobs: Jobs) -> None:
    course = jobs.begin(job())
    until("it is busy", lambda: is_busy(course))
    assert course.progress().done == 0.25
    (child,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert os.getpriority(os.PRIO_PROCESS, int(child)) == 19
    assert os.sched_getscheduler(int(child)) == os.SCHED_BATCH
    session = Path(f"/proc/{child}/autogroup")
    assert not session.exists() or session.read_text().split()[1:] == ["nice", "19"]
    assert Path(f"/proc/{child}/oom_score_adj").read_text().strip() == "1000"
    assert len(os.sched_getaffinity(int(child))) == len(os.sched_getaffinity(0)), "it may use every core"


def test_it_dies_with_who_sent_it_however_that_one_dies(jobs: Jobs) -> None:
    write_down(jobs.folder / "1", job(), embeddings())
    sender = (
        "import os, sys, time; from birdwatchd.edges.errand import Errand;"
        f"Errand('teach', sys.argv[1], '--parent', str(os.getpid()), program='{STUBBORN}'); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", sender, str(jobs.folder / "1")]) as parent:
        until("it is busy", lambda: (course := jobs.resume()) is not None and is_busy(course))
        parent.kill()
    until("its lock is free", lambda: jobs.resume() is None)


def test_an_orphan_does_not_even_begin(jobs: Jobs) -> None:
    write_down(jobs.folder / "1", job(), embeddings())
    done = subprocess.run(
        [sys.executable, "-m", STUBBORN, "teach", str(jobs.folder / "1"), "--parent", "1"], cwd=REPOSITORY, check=False
    )
    assert done.returncode == 1
    assert not (jobs.folder / "1" / "lock").exists()


@pytest.mark.parametrize(
    ("one", "words", "hint"),
    [
        (job(does="refuse"), "there is nothing to learn", "name more photos"),
        (job(does="break"), "it broke down: RuntimeError('odd')", "please report this"),
        (job(does="die"), "the system ended it, most often because memory ran out", ""),
        (job(does="eat", max_memory_mb=300), "it needed more than 300 MB of memory", "max_memory_mb"),
        (job(max_minutes=0.02), "it took longer than 0.02 minutes", "max_minutes"),
    ],
    ids=["refused", "broken", "killed", "memory", "time"],
)
@pytest.mark.parametrize("run_by", ["child", "unit"])
def test_why_nothing_came_of_it_is_told_in_words(jobs: Jobs, one: Job, words: str, hint: str, run_by: str) -> None:
    course = jobs.begin(one, run_by=run_by)
    if run_by == "unit":
        jobs.work()
        words = words.replace(
            "the system ended it, most often because memory ran out", "the program ended without a word"
        )
    found = back(course)
    assert (found.well, found.words[: len(words)]) == (False, words)
    assert hint in found.hint


def test_a_program_that_hangs_is_called_off_when_its_time_is_long_over(jobs: Jobs) -> None:
    course = jobs.begin(job())
    until("it is busy", lambda: is_busy(course))
    jobs.leap_s = 600 + GRACE_S - 60
    assert course.look() is None
    jobs.leap_s += 60
    assert (back(course).well, back(course).words) == (False, "it took too long")
    until("it is gone", lambda: jobs.resume() is None)


# -- by a unit


def test_what_is_due_is_done_by_whoever_comes_oldest_first_and_nothing_is_left_to_start_it_again(jobs: Jobs) -> None:
    courses = [jobs.begin(job(number), run_by="unit") for number in (10, 9)]
    (jobs.folder / "due" / "notes").touch()
    (jobs.folder / "due" / "77").touch()  # of a job that is gone
    assert [course.look() for course in courses] == [None, None]
    assert courses[0].progress().what == "waiting for its turn"
    program = jobs.work(REAL)
    assert program.wait(60) == 0
    assert [back(course) for course in courses] == [Return(well=True)] * 2
    assert jobs.due() == [".notes"], "hidden, else it would be started for ever"
    reports = [jobs.folder / str(number) / "report.json" for number in (9, 10)]
    assert Report.from_json(reports[0].read_text()).labels == ("jay", "kite")
    assert reports[0].stat().st_mtime_ns < reports[1].stat().st_mtime_ns


def test_a_job_that_kills_the_program_is_begun_only_once(jobs: Jobs) -> None:
    course = jobs.begin(job(does="die"), run_by="unit")
    assert jobs.work().wait(60) == -signal.SIGKILL
    assert jobs.due() == []
    assert not back(course).well


def test_one_that_fails_does_not_keep_the_next_from_being_done(jobs: Jobs) -> None:
    jobs.begin(job(1, does="break"), run_by="unit")
    jobs.begin(job(2, does="refuse"), run_by="unit")
    program = jobs.work()
    _, said = program.communicate(timeout=60)
    assert program.returncode == 0
    assert "RuntimeError: odd" in said
    assert "birdwatchd: training 2: there is nothing to learn\n  hint: name more photos" in said


def test_it_is_called_off_by_a_file_whether_it_has_begun_or_not(jobs: Jobs) -> None:
    begun, waiting = (jobs.begin(job(number), run_by="unit") for number in (1, 2))
    program = jobs.work()
    until("it is busy", lambda: is_busy(begun))
    waiting.call_off()
    assert jobs.due() == []
    assert program.poll() is None
    begun.call_off()
    _, said = program.communicate(timeout=10)
    assert said == "birdwatchd: it was called off\n"
    assert back(begun).words == "it was called off"


def test_who_comes_later_goes_on_looking_after_it(jobs: Jobs) -> None:
    first = jobs.begin(job(), run_by="unit")
    assert jobs.resume() is not None, "due"
    program = jobs.work()
    until("it is busy", lambda: is_busy(first))
    first.leave()
    second = jobs.resume()
    assert second is not None
    assert (second.look(), second.progress().what) == (None, "taking its time")
    program.kill()
    assert back(second).words == "the program ended without a word"
    assert jobs.resume() is None, "nobody works on it, and nothing came of it"


def test_that_nobody_begins_it_is_told_after_a_minute(jobs: Jobs) -> None:
    course = jobs.begin(job(), run_by="unit")
    jobs.leap_s = UNHEARD_AFTER_S - 1
    assert course.look() is None
    jobs.leap_s += 2
    with pytest.raises(TransientError, match=r"waits.*systemctl restart birdwatchd-train\.path"):
        course.look()
    jobs.work(REAL)
    until("it has begun", lambda: jobs.due() == [])
    assert back(course).well


def test_nothing_of_an_older_job_of_that_number_is_left(jobs: Jobs) -> None:
    for name in ("1", ".1.part"):
        (jobs.folder / name).mkdir()
        (jobs.folder / name / "report.json").write_text("{}")
    course = jobs.begin(job(), program=REAL)
    assert course.look() is None
    assert back(course).well


def test_an_older_job_of_that_number_that_is_still_worked_on_is_called_off_first(jobs: Jobs) -> None:
    older = jobs.begin(job(), run_by="unit")
    program = jobs.work()
    until("it is busy", lambda: is_busy(older))
    with pytest.raises(TransientError, match="older"):
        write_down(jobs.folder / "1", job(), embeddings())
    program.wait(10)
    assert back(jobs.begin(job(), program=REAL)).well


# -- in the daemon


@pytest.fixture
def gardens(root: Path) -> Iterator[Callable[[], Garden]]:
    """Lives in one bird folder, one after the other, whose trainings are done by a unit."""
    lives: list[Garden] = []

    def next_life() -> Garden:
        if lives:
            lives[-1].close()
        lives.append(Garden(root, training=Training(run_by="unit")))
        return lives[-1]

    yield next_life
    lives[-1].close()


def begun(garden: Garden, tree: Path) -> None:
    garden.bring(tree, *five("redstart"), *five("greenfinch"))
    garden.leap_s += 20
    garden.steps_until(lambda: garden.outcomes() == [None])


def work_in(garden: Garden) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", REAL, "work", str(garden.root / shelving.JOBS)], cwd=REPOSITORY)


def problems(garden: Garden) -> str:
    return str((garden.store.requests.status() or {})["problems"])


def test_a_daemon_that_starts_while_the_unit_works_takes_up_its_training(
    gardens: Callable[[], Garden], tmp_path: Path
) -> None:
    begun(gardens(), tmp_path / "tree")
    garden = gardens()
    assert garden.outcomes() == [None]
    with work_in(garden) as program:
        garden.steps_until(lambda: garden.outcomes() == ["promoted"])
        assert program.wait(60) == 0
    assert garden.serving() == 1


def test_what_the_unit_finished_while_no_daemon_ran_is_judged_by_the_next(
    gardens: Callable[[], Garden], tmp_path: Path
) -> None:
    garden = gardens()
    begun(garden, tmp_path / "tree")
    garden.worker.retraining.close()
    with work_in(garden) as program:
        assert program.wait(60) == 0
    garden = gardens()
    garden.steps_until(lambda: garden.outcomes() == ["promoted"])


def test_a_training_whose_unit_died_as_well_is_begun_anew(gardens: Callable[[], Garden], tmp_path: Path) -> None:
    garden = gardens()
    begun(garden, tmp_path / "tree")
    (garden.root / shelving.JOBS / "due" / "1").unlink()
    garden = gardens()
    assert garden.outcomes() == ["failed"]
    garden.rest()
    garden.leap_s += 60
    garden.steps_until(lambda: garden.outcomes() == ["failed", None])


def test_a_unit_that_is_not_enabled_is_a_problem_that_everybody_sees_until_it_is(
    gardens: Callable[[], Garden], tmp_path: Path
) -> None:
    garden = gardens()
    begun(garden, tmp_path / "tree")
    garden.leap_s += UNHEARD_AFTER_S + 1
    garden.steps_until(lambda: "birdwatchd-train.path" in problems(garden))
    with work_in(garden):
        garden.steps_until(lambda: garden.outcomes() == ["promoted"])
    garden.steps_until(lambda: problems(garden) == "[]")


def test_other_wishes_are_served_while_somebody_waits_for_a_training(
    gardens: Callable[[], Garden], tmp_path: Path
) -> None:
    garden = gardens()
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    number = garden.store.requests.ask("train", {}, actor="test", at="2026-01-01T00:00:00Z")
    garden.steps_until(lambda: garden.outcomes() == [None])
    garden.steps_until(lambda: "what" in garden.store.requests.get(number).result)
    waiting = {"training_id": 1, "kind": "linear", "done": 0.0, "what": "waiting for its turn"}
    assert garden.store.requests.get(number).result == waiting
    assert garden.wish("label", photo_id=1, species="redstart").outcome == "done"
    garden.worker.sweep()
    assert '"what": "waiting for its turn"' in str((garden.store.requests.status() or {})["training"])
    assert garden.worker.step() > 0, "nothing is asked without a pause"
    with work_in(garden):
        garden.steps_until(lambda: garden.store.requests.get(number).outcome is not None)
    assert garden.store.requests.get(number).result["outcome"] == "promoted"
    garden.worker.sweep()
    assert (garden.store.requests.status() or {})["training"] is None


def test_who_waits_for_a_training_may_go_away(gardens: Callable[[], Garden], tmp_path: Path) -> None:
    garden = gardens()
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    number = garden.store.requests.ask("train", {}, actor="test", at="2026-01-01T00:00:00Z")
    garden.steps_until(lambda: "what" in garden.store.requests.get(number).result)
    garden.store.requests.finish(number, "failed", {"error": "it was called off"}, at="2026-01-01T00:00:01Z")
    garden.rest()
    assert garden.outcomes() == [None], "the training goes on"
    assert garden.store.requests.get(number).result == {"error": "it was called off"}


def test_a_training_that_cannot_be_begun_is_no_open_one_and_is_begun_later(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    garden = Garden(root)

    def none_left(*_: object, **__: object) -> Errand:
        raise TransientError("cannot start another process: no memory")

    try:
        with monkeypatch.context() as patch:
            patch.setattr(retraining, "Errand", none_left)
            garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
            garden.leap_s += 20
            garden.steps_until(lambda: garden.outcomes() == ["failed"])
            garden.steps_until(lambda: "no memory" in problems(garden))
            garden.rest()
            assert garden.outcomes() == ["failed"], "not without a pause"
        garden.leap_s += retraining.AGAIN_AFTER_S
        garden.steps_until(lambda: garden.outcomes() == ["failed", "promoted"])
    finally:
        garden.close()


@pytest.mark.parametrize("moment", ["move", "entry"])
def test_trouble_that_passes_while_a_model_is_entered_costs_no_training(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    garden = Garden(root)
    owner, name = (disk, "rename_noreplace") if moment == "move" else (garden.store.models, "enter")
    done = getattr(owner, name)
    refused: list[object] = []

    def full(*arguments: Any, **named: Any) -> Any:
        if refused or (moment == "move" and not str(arguments[1]).endswith(".onnx")):
            return done(*arguments, **named)
        refused.append(arguments)
        if moment == "move":
            raise OSError(errno.ENOSPC, "no space")
        raise DiskFull("the log: the disk is full")

    monkeypatch.setattr(owner, name, full)
    try:
        garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
        garden.leap_s += 20
        garden.steps_until(lambda: garden.outcomes() == ["promoted"])
        assert refused
        assert garden.serving() == 1
    finally:
        garden.close()
