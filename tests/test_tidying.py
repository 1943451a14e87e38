"""What learning leaves behind does not grow for ever, and nothing goes that the log, a person or a later training needs."""

import functools
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from birdwatchd import tidying
from birdwatchd.core import shelving
from birdwatchd.core.course import DUE, LOCK_FILE
from birdwatchd.core.errors import DiskTrouble
from birdwatchd.core.job import JOB_FILE, REPORT_FILE
from birdwatchd.edges.store import Store
from birdwatchd.keeping import make_backup
from birdwatchd.tidying import Tidied
from birdwatchd.training import working
from birdwatchd.worker import Chore
from tests.crash.dying import Death, Fate
from tests.gardens import Garden
from tests.handmade import RIGHT, teach
from tests.service.running import birdwatchd

THEN = "2026-05-01T05:30:00.250Z"


@pytest.fixture
def garden(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Garden]:
    """Three models and two trainings are kept, so that few are enough."""
    monkeypatch.setattr(tidying, "MODELS_KEPT", 3)
    monkeypatch.setattr(tidying, "JOBS_KEPT", 2)
    one = Garden(root)
    yield one
    one.close()


def learn(garden: Garden, count: int, *, promote: bool = False, sides: dict[str, bool] | None = None) -> None:
    """So many models, each with a file and a training of its own: it is the training's number that tells the files apart."""
    for _ in range(count):
        teach(garden, RIGHT, promote=promote, sides=sides)


def files(garden: Garden) -> set[int]:
    """Models whose files are there."""
    return {row["id"] for row in garden.store.models.all() if (garden.root / row["path"]).exists()}


def jobs(garden: Garden) -> set[str]:
    return {path.name for path in (garden.root / shelving.JOBS).iterdir()}


def tidy(garden: Garden) -> None:
    """The chore has its turn."""
    garden.worker.do_chore(Chore("tidy-models"))


def file_of(garden: Garden, model_id: int) -> Path:
    row = garden.store.models.get(model_id)
    assert row is not None
    return garden.root / str(row["path"])


def check(garden: Garden) -> None:
    """The promise: what the log says serves, and what it would go back to, can be used; and all rows are there."""
    for row in (garden.store.models.serving(), *garden.store.models.served_before(2)):
        if row is not None:
            assert (garden.root / row["path"]).is_file()
            assert (garden.root / shelving.JOBS / str(row["id"]) / JOB_FILE).is_file()
            assert (garden.root / shelving.JOBS / str(row["id"]) / REPORT_FILE).is_file()


def test_models_and_trainings_without_end_keep_a_bounded_number_of_files_and_every_row(
    garden: Garden, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1, 13):
        learn(garden, 1, promote=number % 2 == 0)
        tidy(garden)
        check(garden)
        assert len(files(garden)) <= 3 + 3
        assert len(jobs(garden)) <= 3 + 3 + 2
    assert files(garden) == {8, 10, 11, 12}
    assert jobs(garden) == {"8", "10", "11", "12"}
    assert [row["id"] for row in garden.store.models.all()] == list(range(12, 0, -1))
    assert garden.outcomes() == ["kept", "promoted"] * 6
    assert garden.problems() == {}


def test_it_tells_in_one_line_what_went_and_nothing_when_nothing_did(
    garden: Garden, caplog: pytest.LogCaptureFixture
) -> None:
    learn(garden, 7, promote=True)
    sizes = sum(file_of(garden, number).stat().st_size for number in range(1, 5))
    sizes += sum(
        one.stat().st_size for number in range(1, 5) for one in (garden.root / shelving.JOBS / str(number)).iterdir()
    )
    caplog.set_level(logging.INFO, "birdwatchd.tidying")
    tidy(garden)
    tidy(garden)
    (told,) = (record for record in caplog.records if record.name == "birdwatchd.tidying")
    assert told.getMessage().startswith("tidied up: 4 old model files and 4 folders of old trainings are gone, ")
    assert told.facts == {"models": 4, "trainings": 4, "bytes": sizes}  # type: ignore[attr-defined]


def test_the_model_in_use_and_the_one_to_go_back_to_stay_however_old(garden: Garden) -> None:
    learn(garden, 2, promote=True)
    learn(garden, 8)
    tidy(garden)
    assert files(garden) == {1, 2, 8, 9, 10}
    assert jobs(garden) == {"1", "2", "8", "9", "10"}
    assert garden.wish("rollback").outcome == "done"
    assert garden.serving() == 1
    tidy(garden)
    assert garden.wish("rollback").outcome == "done"
    assert (garden.serving(), files(garden)) == (2, {1, 2, 8, 9, 10})


def test_after_the_model_in_use_was_taken_back_there_is_still_one_to_go_back_to(garden: Garden) -> None:
    learn(garden, 3, promote=True)
    learn(garden, 8)
    tidy(garden)
    garden.store.models.take_back(3, before=2, why="worse", at=garden.now())
    tidy(garden)
    check(garden)
    assert garden.wish("rollback").outcome == "done"
    assert garden.serving() == 1


def test_a_file_stays_while_any_kept_model_has_it(garden: Garden) -> None:
    learn(garden, 6)
    path = (garden.store.models.get(1) or {})["path"]
    with garden.store.connection.writing():
        garden.store.connection.execute("UPDATE models SET path = ? WHERE id = 6", (path,))
    tidy(garden)
    assert files(garden) == {1, 4, 5, 6}


def test_what_is_no_file_of_an_old_model_is_never_touched(garden: Garden) -> None:
    learn(garden, 6)
    models = garden.root / shelving.MODELS
    strangers = [
        models / "spotter-0123456789abcdef.onnx",
        models / "linear-fedcba9876543210.onnx",  # of a log that was replaced
        models / "mine.onnx",
        models / "notes.txt",
        garden.root / "library" / "linear-1.onnx",
    ]
    for one in strangers:
        one.write_bytes(b"mine")
    with garden.store.connection.writing():
        for number, one in ((1, strangers[0]), (2, strangers[-1])):
            path = one.relative_to(garden.root).as_posix()
            garden.store.connection.execute("UPDATE models SET path = ? WHERE id = ?", (path, number))
    keepsake = garden.root / shelving.JOBS / "keepsake"
    elsewhere = garden.root.parent / "elsewhere"
    elsewhere.mkdir()
    keepsake.mkdir()
    (garden.root / shelving.JOBS / "0").symlink_to(elsewhere)
    tidy(garden)
    assert all(one.read_bytes() == b"mine" for one in strangers)
    assert keepsake.is_dir()
    assert (garden.root / shelving.JOBS / "0").is_symlink()
    assert garden.problems() == {}


def test_reports_stay_for_people(garden: Garden) -> None:
    learn(garden, 6)
    page = garden.root / shelving.REPORTS / "1" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("read me")
    tidy(garden)
    assert "1" not in jobs(garden)
    assert page.read_text() == "read me"


def test_the_newest_training_that_says_who_is_held_out_stays(garden: Garden) -> None:
    learn(garden, 1, sides={"a": True})
    learn(garden, 1, sides={"a": True, "b": False})
    learn(garden, 6)
    (garden.root / shelving.JOBS / "7" / JOB_FILE).write_text("torn")
    tidy(garden)
    assert jobs(garden) == {"2", "6", "7", "8"}


def test_while_a_training_is_under_way_nothing_goes(garden: Garden) -> None:
    """It may read the file of a model that was exchanged meanwhile."""
    learn(garden, 6)
    training = garden.store.models.begin_training("linear", fingerprint="x", label_count=8, newest_label=0, at=THEN)
    (garden.root / shelving.JOBS / f".{training}.part").mkdir()
    before = files(garden), jobs(garden)
    tidy(garden)
    assert (files(garden), jobs(garden)) == before
    garden.store.models.end_training(training, "failed", ["no"], at=THEN)
    tidy(garden)
    assert files(garden) == {4, 5, 6}
    assert f".{training}.part" not in jobs(garden)


def test_a_training_that_a_program_still_works_on_or_waits_for_stays(garden: Garden) -> None:
    """Given up by the log, for instance because its folder could not be read for a while."""
    learn(garden, 7)
    due = garden.root / shelving.JOBS / DUE
    due.mkdir()
    (due / "2").touch()
    with working._locked(garden.root / shelving.JOBS / "1"):
        tidy(garden)
        assert jobs(garden) == {"1", "2", DUE, "5", "6", "7"}
        assert (garden.root / shelving.JOBS / "1" / LOCK_FILE).exists()
    (due / "2").unlink()
    tidy(garden)
    assert jobs(garden) == {DUE, "5", "6", "7"}


def test_while_a_page_is_made_nothing_goes(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    learn(garden, 6)
    monkeypatch.setattr(type(garden.worker.reporting), "under_way", True)
    tidy(garden)
    assert len(jobs(garden)) == 6


def test_what_a_graphics_card_made_of_a_model_goes_with_it(garden: Garden) -> None:
    learn(garden, 6)
    engines = garden.root / shelving.MODELS / "tensorrt"
    engines.mkdir()
    old, kept = ((engines / f"{file_of(garden, number).stem}_123_sm90.engine") for number in (1, 6))
    for one in (old, kept):
        one.write_bytes(b"fast")
    tidy(garden)
    assert list(engines.iterdir()) == [kept]


# -- backups


def test_a_log_that_is_restored_finds_the_model_that_served_then(garden: Garden) -> None:
    learn(garden, 2, promote=True)
    backup = make_backup(garden.files, keep=1, at=THEN).backup.path
    learn(garden, 6, promote=True)
    tidy(garden)
    assert files(garden) == {2, 6, 7, 8}
    assert jobs(garden) == {"2", "6", "7", "8"}
    with Store.read_only(backup) as then:
        row = then.models.serving()
        assert row is not None
        assert (garden.root / row["path"]).is_file()
    make_backup(garden.files, keep=1, at=THEN)
    tidy(garden)
    assert files(garden) == {6, 7, 8}


def test_a_backup_that_nobody_can_restore_holds_nothing_up_and_one_without_a_model_neither(garden: Garden) -> None:
    empty = make_backup(garden.files, keep=0, at=THEN).backup.path
    learn(garden, 6, promote=True)
    damaged = make_backup(garden.files, keep=0, at=THEN).backup.path
    damaged.write_bytes(b"buy seeds\n" * 999)
    foreign = empty.with_name("birdwatchd-20260501T053000Z-9.db")
    foreign.write_bytes(b"")
    tidy(garden)
    assert files(garden) == {4, 5, 6}
    assert garden.problems() == {}


def test_while_a_backup_cannot_be_read_nothing_goes(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    learn(garden, 6, promote=True)
    backup = make_backup(garden.files, keep=0, at=THEN).backup.path
    refuse = DiskTrouble("the disk is asleep")

    def asleep(path: Path) -> None:
        raise refuse

    monkeypatch.setattr(tidying, "serving_in", asleep)
    tidy(garden)
    assert len(files(garden)) == 6
    assert "the disk is asleep" in garden.problems()["old models"]

    def made_room(path: Path) -> None:
        backup.unlink()
        asleep(path)

    monkeypatch.setattr(tidying, "serving_in", made_room)
    tidy(garden)
    assert files(garden) == {4, 5, 6}
    assert garden.problems() == {}


# -- death and trouble


def steps_of_removal(monkeypatch: pytest.MonkeyPatch, fate: Fate) -> None:
    """Every step that changes the disk may be the last."""

    def mortal(name: str, function: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(function)
        def call(*args: object, **kwargs: object) -> object:
            return fate.call(name, function, *args, **kwargs)

        return call

    monkeypatch.setattr(Path, "unlink", mortal("unlink", Path.unlink))
    monkeypatch.setattr(Path, "rename", mortal("rename", Path.rename))
    monkeypatch.setattr(shutil, "rmtree", lambda folder: fate.call("rmtree", half_remove, folder))


def half_remove(folder: Path) -> None:
    """As `rmtree`, so that death may come in its midst: the job goes first, the folder itself last."""
    for one in sorted(folder.iterdir()):
        one.unlink()
    folder.rmdir()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_death_at_any_step_leaves_a_log_whose_models_are_there_and_the_next_look_ends_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(tidying, "MODELS_KEPT", 3)
    monkeypatch.setattr(tidying, "JOBS_KEPT", 2)
    garden = Garden(root)
    try:
        learn(garden, 4, promote=True)
        learn(garden, 4)
        whole = root.parent / "whole"
        shutil.copytree(root / ".birdwatchd", whole)
        deaths = 0
        while True:
            for part in (shelving.MODELS, shelving.JOBS):
                shutil.rmtree(root / part)
                shutil.copytree(whole / Path(part).name, root / part)
            fate = Fate(at=deaths + 1, when=when)  # type: ignore[arg-type]
            with monkeypatch.context() as mortal:
                steps_of_removal(mortal, fate)
                try:
                    garden.worker.tidying.tidy()
                except Death:
                    deaths += 1
                else:
                    break
            check(garden)
            assert files(garden) >= {2, 3, 4, 6, 7, 8}
            tidying.Tidying(garden.files, garden.store).tidy()
            assert files(garden) == {2, 3, 4, 6, 7, 8}
            assert jobs(garden) == {"2", "3", "4", "6", "7", "8"}
        assert deaths >= 8
    finally:
        garden.close()


def test_what_cannot_be_removed_holds_up_nothing_else_and_is_told(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(garden, 6)
    stuck = file_of(garden, 1)
    unlink = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path == stuck:
            raise PermissionError(1, "Operation not permitted")
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as refusing:
        refusing.setattr(Path, "unlink", refuse)
        tidy(garden)
    assert files(garden) == {1, 4, 5, 6}
    assert jobs(garden) == {"4", "5", "6"}
    assert f"cannot remove the old model {stuck.name}" in garden.problems()["old models"]
    tidy(garden)
    assert files(garden) == {4, 5, 6}
    assert garden.problems() == {}


def test_nothing_to_do_is_done_at_once(garden: Garden) -> None:
    assert garden.worker.tidying.tidy() == Tidied()
    learn(garden, 2)
    assert garden.worker.tidying.tidy() == Tidied()


# -- what people see


def test_a_person_is_told_whose_file_is_gone_and_that_it_cannot_serve_again(garden: Garden) -> None:
    learn(garden, 6, promote=True)
    tidy(garden)
    refused = garden.wish("promote", model_id=1).result
    assert refused["error"] == "model 1 cannot be used: its file is gone; only the newest models keep theirs"
    assert "models list" in refused["hint"]
    assert garden.serving() == 6
    rows = json.loads(birdwatchd("models", "list", "--json", root=garden.root).stdout)
    assert {row["id"] for row in rows if row["file_gone"]} == {1, 2, 3}
    listed = birdwatchd("models", "list", root=garden.root).stdout.splitlines()
    assert [line.split()[0] for line in listed if "retired, file gone" in line] == ["3", "2", "1"]
    shown = birdwatchd("models", "show", "1", root=garden.root).stdout
    assert ".onnx is gone, so it cannot be used again" in shown
    assert "is gone" not in birdwatchd("models", "show", "6", root=garden.root).stdout


def test_the_next_training_measures_itself_by_a_model_that_is_older_than_all_that_are_kept(garden: Garden) -> None:
    learn(garden, 1, promote=True)
    learn(garden, 6)
    tidy(garden)
    champion = garden.worker.retraining._lessons.as_champion(garden.worker.serving.model)  # type: ignore[arg-type]
    assert champion.model_id == 1
    assert np.load(garden.root / shelving.JOBS / "1" / "embeddings.npy").shape == (0, 1280)
