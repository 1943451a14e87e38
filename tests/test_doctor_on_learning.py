"""What the doctor says of learning: how many names are missing, what came of the last training, who would do the next."""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from birdwatchd.core import shelving
from birdwatchd.core.course import DUE, FAILURE_FILE, PROGRESS_FILE, Progress
from birdwatchd.core.job import JOB_FILE
from birdwatchd.core.settings import Settings, Training
from birdwatchd.core.tuning import NEEDED
from birdwatchd.doctor.finding import Finding
from birdwatchd.doctor.learning import of_learning, of_training_units
from birdwatchd.edges import trainer
from birdwatchd.edges.store import Store
from birdwatchd.edges.systemd import TRAINING_PATH, TRAINING_UNIT, Unit
from birdwatchd.training import working
from tests.gardens import Garden, five
from tests.handmade import RIGHT, teach
from tests.service.running import birdwatchd
from tests.service.test_doctor import told, unit


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root)
    yield one
    one.close()


def age_s(iso_utc: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(iso_utc)).total_seconds()


def findings(garden: Garden, **training: object) -> dict[str, Finding]:
    """By subject."""
    settings = Settings(root=garden.root, training=Training(**training))  # type: ignore[arg-type]
    found = list(of_learning(garden.files, garden.store, settings, "5" * 16, age_s))
    assert len({one.subject for one in found}) == len(found)
    return {one.subject: one for one in found}


def learning(garden: Garden, **training: object) -> str:
    finding = findings(garden, **training)["learning"]
    assert finding.ok, "that more names are needed is no fault"
    return finding.what


# -- until it learns


def test_it_counts_the_names_that_are_missing_until_it_can_learn(garden: Garden, tmp_path: Path) -> None:
    assert learning(garden).startswith("10 names to go until it can learn: 5 photos of each of two species")
    assert learning(garden).endswith("so far there are none")
    garden.bring(tmp_path / "tree", *five("redstart", count=6), *five("bluetit", count=4), *five("greenfinch", count=2))
    assert learning(garden).startswith("1 name to go")
    assert learning(garden).endswith("so far there are redstart 6, bluetit 4, greenfinch 2")
    assert learning(garden, min_labels_per_species=8).startswith("6 names to go")


def test_what_it_counts_is_what_would_be_learned(garden: Garden, tmp_path: Path) -> None:
    garden.bring(tmp_path / "tree", *five("redstart", count=6), *five("greenfinch", count=4))
    assert "1 name to go" in learning(garden)
    (photo,) = garden.store.connection.rows("SELECT id FROM photos WHERE original_name LIKE '5%'")
    garden.store.connection.execute("UPDATE photos SET state = 'missing' WHERE id = ?", (photo["id"],))
    garden.store.connection.execute("DELETE FROM embeddings WHERE photo_id IN (SELECT id FROM photos WHERE id < 3)")
    wanted = garden.store.models.examples("5" * 16)
    assert sum(garden.store.models.learnable("5" * 16).values()) == len(wanted) < 9


def test_of_many_species_only_the_most_frequent_are_named(
    garden: Garden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = dict.fromkeys(("albatross", "bittern", "cormorant", "dunlin", "egret", "fulmar", "gannet"), 1)
    monkeypatch.setattr(garden.store.models, "learnable", lambda _: many)
    assert learning(garden).endswith("albatross 1, bittern 1, cormorant 1, dunlin 1, egret 1 and 2 more species")


def test_a_name_that_looks_like_a_slip_does_not_count(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garden.store.models, "learnable", lambda _: {"redstart": 20, "redstarf": 4})
    assert learning(garden).startswith("5 names to go")


def test_once_it_can_learn_it_says_when_it_does(garden: Garden, tmp_path: Path) -> None:
    garden.bring(tmp_path / "tree", *five("redstart"), *five("greenfinch"))
    assert (
        learning(garden) == "it can learn 2 species from your names, and begins by itself as soon as you name no more"
    )
    assert "`birdwatchd train` does it" in learning(garden, enabled=False)
    garden.learn()
    garden.leap_s += 100
    assert "0 new names since training 1, 10 to go until it learns again" in learning(garden)
    garden.bring(tmp_path / "tree", *five("bluetit", count=3))
    assert "3 new names since training 1, 7 to go" in learning(garden)
    assert "3 new names since training 1: it learns again by itself" in learning(garden, min_new_labels=2)


def test_without_an_eye_nothing_is_said_of_what_could_be_learned(garden: Garden) -> None:
    found = of_learning(garden.files, garden.store, Settings(root=garden.root), None, age_s)
    assert [one.subject for one in found] == ["long training"]


# -- the last training


def test_what_came_of_the_last_training_is_told_in_words(garden: Garden) -> None:
    assert "training" not in findings(garden)
    teach(garden, RIGHT)
    promoted = findings(garden)["training"]
    assert promoted.ok
    assert promoted.what.startswith("the short training, number 1, of 20")
    assert promoted.what.endswith("UTC: its model was promoted. It takes over.")
    teach(garden, RIGHT, promote=False)
    kept = findings(garden)["training"]
    assert (kept.ok, "number 2" in kept.what, "was kept out. It takes over." in kept.what) == (True, True, True)


@pytest.mark.parametrize(
    ("why", "what", "advice"),
    [
        ("it took too long (see max_minutes)", "it failed: it took too long", "see max_minutes"),
        ("it broke down", "it failed: it broke down", "`birdwatchd train` tries again; if it stays, please report it"),
        ("it was interrupted", "it was interrupted; it is begun anew by itself", None),
    ],
)
def test_a_training_that_failed_is_told_with_the_reason_and_what_to_do(
    garden: Garden, why: str, what: str, advice: str | None
) -> None:
    number = begun(garden, kind="finetuned")
    garden.store.models.end_training(number, "failed", [why], at=garden.now())
    failed = findings(garden)["training"]
    assert failed.what.startswith("the long training, number 1, of 20")
    assert failed.what.endswith(what)
    assert failed.advice == advice


# -- one that is under way


def begun(garden: Garden, *, kind: str = "linear") -> int:
    """A training without an end, with its folder."""
    number = garden.store.models.begin_training(kind, fingerprint="x", label_count=8, newest_label=0, at=garden.now())
    folder = garden.root / shelving.JOBS / str(number)
    folder.mkdir()
    (folder / JOB_FILE).write_text("{}")
    return number


def make_old(path: Path, hours: float) -> None:
    then = time.time() - 3600 * hours
    os.utime(path, (then, then))


def test_a_training_that_waits_and_is_begun_by_nobody_is_told(garden: Garden) -> None:
    begun(garden)
    due = garden.root / shelving.JOBS / DUE / "1"
    due.parent.mkdir()
    due.touch()
    waits = findings(garden)["training"]
    assert (waits.ok, "waits for its turn" in waits.what) == (True, True)
    make_old(due, 0.1)
    unheard = findings(garden)["training"]
    assert "a training waits, and nobody begins it" in unheard.what
    assert "restart birdwatchd-train.path" in (unheard.advice or "")


def test_a_training_that_is_under_way_is_told_and_one_that_hangs_too(garden: Garden) -> None:
    folder = garden.root / shelving.JOBS / str(begun(garden, kind="finetuned"))
    with working._locked(folder):
        progress = folder / PROGRESS_FILE
        progress.write_text(Progress(0.25, "round 2 of 8").to_json())
        well = findings(garden)["training"]
        assert well == Finding("training", "the long training, number 1, is under way: round 2 of 8 (25%)")
        make_old(progress, 3)
        hangs = findings(garden)["training"]
        assert "has said nothing for 3.0 hours: round 2 of 8 (25%)" in hangs.what
        assert "restart birdwatchd" in (hangs.advice or "")


def test_a_look_at_a_training_that_is_just_beginning_does_not_keep_it_from_its_lock(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = garden.root / shelving.JOBS / str(begun(garden))
    monkeypatch.setattr(trainer, "_is_under_way", lambda _: pytest.fail("it was touched"))
    with working._locked(folder):
        assert trainer.sign_of(folder).state == "nobody"


def test_a_training_that_nobody_is_at_is_told_by_whether_the_daemon_runs(garden: Garden) -> None:
    folder = garden.root / shelving.JOBS / str(begun(garden))
    assert findings(garden)["training"].what.endswith("was cut short; it is begun anew when birdwatchd runs again")
    (folder / FAILURE_FILE).write_text("{}")
    assert findings(garden)["training"].what.endswith("is over, and will be judged when birdwatchd runs again")
    with garden.files.lock():
        assert findings(garden)["training"].what.endswith("is over, and will be judged in a moment")
        (folder / FAILURE_FILE).unlink()
        assert findings(garden)["training"].what.endswith("is just beginning, or just ending")
        (folder / PROGRESS_FILE).write_text(Progress(0.5, "round 4 of 8").to_json())
        make_old(folder / PROGRESS_FILE, 1)
        dead = findings(garden)["training"]
    assert "was begun, and nobody is at it: round 4 of 8" in dead.what
    assert "restart birdwatchd" in (dead.advice or "")


def test_a_folder_that_this_user_may_not_look_into_is_said_to_be_one(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(garden)

    def closed(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(trainer, "_moment_of", closed)
    assert "this user may not see" in findings(garden)["training"].what


# -- who would do it


def installed(place: Path, *names: str) -> dict[str, str]:
    """An environment in which these packages are there, and end the program when somebody imports them."""
    for name in names:
        (place / name).mkdir(parents=True)
        (place / name / "__init__.py").write_text(f"raise SystemExit('{name} was imported')\n")
    return {"PYTHONPATH": f"{place}{os.pathsep}{os.environ.get('PYTHONPATH', os.getcwd())}"}  # noqa: PTH109


def test_the_extra_is_found_without_being_loaded(seeing_root: Path, tmp_path: Path) -> None:
    Store.open(seeing_root / "birdwatchd.db").close()
    there = told(seeing_root, **installed(tmp_path / "all", *NEEDED))["long training"]
    assert (there["ok"], "it begins with 200 named photos, there are 0" in there["what"]) == (True, True)
    part = told(seeing_root, **installed(tmp_path / "part", "torch", "torchvision", "fastai", "timm"))
    if "onnxscript" in part["long training"]["what"]:  # else it is installed here
        assert not part["long training"]["ok"]
        assert "installed only in part; missing: onnxscript" in part["long training"]["what"]


def test_the_extra_is_told_with_what_the_settings_make_of_it(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    def long_training(missing: tuple[str, ...] = (), **training: object) -> Finding:
        monkeypatch.setattr("birdwatchd.doctor.learning.missing_for_finetuning", lambda: list(missing))
        return findings(garden, **training)["long training"]

    absent = long_training(NEEDED)
    assert (absent.ok, "is not installed; the short training needs none of it" in absent.what) == (True, True)
    assert long_training(("timm",)).advice
    for settings in ({"enabled": False}, {"fine_tune": "never"}):
        assert "only `birdwatchd train --finetune` uses it" in long_training(**settings).what
    assert "it begins with 200 named photos, there are 0" in long_training().what
    monkeypatch.setattr(garden.store.models, "learnable", lambda _: {"jay": 100, "wren": 100})
    assert "it begins by itself (22:00-06:00)" in long_training().what


WELL = unit(state="active", sub_state="waiting")
IDLE = unit(state="inactive", sub_state="dead")


@pytest.mark.parametrize(
    ("path", "worker", "what", "advice"),
    [
        (WELL, IDLE, "installed, waits for a training", None),
        (WELL, unit(state="activating"), "installed, at work", None),
        (None, IDLE, f"{TRAINING_PATH} is not installed", 'run_by = "child"'),
        (None, None, f"{TRAINING_PATH} and {TRAINING_UNIT} are not installed", "step 2"),
        (unit(state="failed"), IDLE, "is failed: nobody sees that a training is due", "restart birdwatchd-train.path"),
        (IDLE, IDLE, "is inactive: nobody sees", "restart birdwatchd-train.path"),
        (WELL, unit(is_stale=True), "have changed", "daemon-reload"),
        (WELL, unit(state="failed", result="oom-kill"), "did not end well the last time (oom-kill)", "journalctl"),
    ],
)
def test_where_a_service_does_the_trainings_it_has_to_be_there(
    path: Unit | None, worker: Unit | None, what: str, advice: str | None
) -> None:
    units = {TRAINING_PATH: path, TRAINING_UNIT: worker}
    service = unit(properties={"Environment": "PYTHONFAULTHANDLER=1 BIRDWATCHD_TRAINING__RUN_BY=unit"})
    for finding in (*of_training_units(service, "child", units.get), *of_training_units(unit(), "unit", units.get)):
        assert what in finding.what
        assert (finding.advice is None) == (advice is None)
        assert (advice or "") in (finding.advice or "")
    assert len([*of_training_units(service, "child", units.get)]) == 1


def test_where_none_shall_do_them_none_is_looked_for() -> None:
    assert [*of_training_units(None, "child", lambda _: pytest.fail("it was"))] == []
    assert [*of_training_units(unit(), "child", lambda _: pytest.fail("it was"))] == []


def test_while_birdwatchd_is_stopped_nobody_need_see_that_a_training_is_due() -> None:
    units = {TRAINING_PATH: IDLE, TRAINING_UNIT: IDLE}
    (finding,) = of_training_units(IDLE, "unit", units.get)
    assert finding.ok


# -- all together


def test_the_command_tells_it_all_to_people_and_programs(seeing_root: Path) -> None:
    Store.open(seeing_root / "birdwatchd.db").close()
    said = birdwatchd("doctor", root=seeing_root)
    assert said.returncode == 0
    assert "ok   learning: 10 names to go until it can learn" in said.stdout
    assert "ok   long training: the extra `train`" in said.stdout
    with Store.open(seeing_root / "birdwatchd.db") as store:
        store.models.begin_training(
            "linear", fingerprint="x", label_count=1, newest_label=0, at="2026-05-01T05:30:00.250Z"
        )
        store.models.end_training(1, "failed", ["memory ran out (close programs)"], at="2026-05-01T05:31:00.250Z")
    ill = birdwatchd("doctor", "--json", root=seeing_root)
    assert ill.returncode == 1
    (bad,) = (one for one in json.loads(ill.stdout)["findings"] if not one["ok"])
    assert bad == {
        "subject": "training",
        "ok": False,
        "what": "the short training, number 1, of 2026-05-01 05:31 UTC: it failed: memory ran out",
        "advice": "close programs",
    }


def test_in_unit_mode_a_missing_service_is_found_by_the_command(seeing_root: Path, tmp_path: Path) -> None:
    Store.open(seeing_root / "birdwatchd.db").close()
    nothing = tmp_path / "bin"
    nothing.mkdir()
    (nothing / "systemctl").write_text("#!/bin/sh\nexit 1\n")
    (nothing / "systemctl").chmod(0o755)
    path = {"PATH": f"{nothing}:{os.environ['PATH']}"}
    said = told(seeing_root, BIRDWATCHD_TRAINING__RUN_BY="unit", **path)["training service"]
    assert (said["ok"], "birdwatchd-train.path" in said["what"]) == (False, True)
    assert "training service" not in told(seeing_root, **path)
