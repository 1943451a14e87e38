"""What `birdwatchd doctor` says of the service, of the daemon and of its walls: each degraded state with what to do."""

import json
import shutil
import sqlite3
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from birdwatchd import __version__
from birdwatchd.doctor import of_unit
from birdwatchd.edges.store import Store
from birdwatchd.edges.store.copies import backup_name
from birdwatchd.edges.systemd import Unit
from tests.pictures import jpeg
from tests.service.running import STUBBED, birdwatchd, daemon, until
from tests.service.systemd_fakes import HEALTHY, tools

SWEEP = {"BIRDWATCHD_INBOX__SWEEP_S": "1"}


def unit(**differs: object) -> Unit:
    values: dict[str, object] = {
        "state": "active", "sub_state": "running", "result": "success", "exit_code": 0, "restarts": 0, "is_stale": False,
        "drop_ins": (), "properties": {},
    }  # fmt: skip
    return Unit(**(values | differs))  # type: ignore[arg-type]  # each is of its type


@pytest.mark.parametrize(
    ("seen", "what", "advice"),
    [
        (None, "not installed", None),
        (unit(), "installed, active", None),
        (unit(state="inactive"), "installed, inactive", None),
        (unit(restarts=3), "started again by itself 3 times", None),
        (unit(drop_ins=(Path("/etc/x/gpu.conf"),)), "changed by gpu.conf", None),
        (unit(state="failed", result="exit-code", exit_code=2), "until something is set right", "systemctl status"),
        (unit(state="failed", result="start-limit-hit"), "failed many times in a row", "reset-failed"),
        (unit(state="failed", result="exit-code", exit_code=1), "ended with code 1", "journalctl"),
        (unit(state="failed", result="watchdog"), "hung", "journalctl"),
        (unit(state="failed", result="oom-kill"), "memory ran out", "journalctl"),
        (unit(state="failed", result="protocol"), "it ended: protocol", "journalctl"),
        (unit(state="activating", sub_state="auto-restart", result="signal", restarts=7), "crashed; it is started again and again, 7",
         "journalctl"),
        (unit(is_stale=True), "its files have changed", "daemon-reload"),
    ],
)  # fmt: skip
def test_every_state_of_the_service_is_told_and_each_bad_one_with_what_to_do(
    seen: Unit | None, what: str, advice: str | None
) -> None:
    finding = of_unit(seen)
    assert what in finding.what
    assert finding.ok == (advice is None)
    assert (advice or "") in (finding.advice or "")


def test_what_systemd_says_reaches_the_doctor(seeing_root: Path, tmp_path: Path) -> None:
    assert birdwatchd("init", root=seeing_root).returncode == 0
    well = birdwatchd("doctor", root=seeing_root, environment=tools(tmp_path / "bin", HEALTHY))
    assert (well.returncode, "service: installed, active" in well.stdout) == (0, True)
    failed = HEALTHY | {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "ExecMainStatus": "2"}
    ill = birdwatchd("doctor", root=seeing_root, environment=tools(tmp_path / "bin", failed))
    assert ill.returncode == 1
    assert "BAD  service: it does not start" in ill.stdout
    (seeing_root / "config.toml").write_text("[inbox]\nsettle_s = -1\n")
    both = birdwatchd("doctor", root=seeing_root, environment=tools(tmp_path / "bin", failed)).stdout
    assert "BAD  settings: " in both
    assert "BAD  service: " in both


def make_it_say(root: Path, column: str, value: str) -> None:
    """From now on the daemon's status has this in it, whatever it writes."""
    with sqlite3.connect(root / "birdwatchd.db", timeout=10) as db:
        db.execute(
            f"CREATE TRIGGER say_{column} AFTER INSERT ON status WHEN NEW.{column} IS NOT '{value}'"  # noqa: S608
            f" BEGIN UPDATE status SET {column} = '{value}'; END"
        )
    db.close()


def test_what_a_daemon_says_of_itself_is_told_with_what_to_do(root: Path) -> None:
    with daemon(root, command=STUBBED):

        def told() -> str:
            return birdwatchd("doctor", root=root, environment=SWEEP).stdout

        until("it is well", lambda: "ok   daemon: it is working" in told())
        make_it_say(root, "version", "0.0.9")
        until("it is older than the program", lambda: "BAD  daemon: it is birdwatchd 0.0.9" in told())
        assert f"and {__version__} is installed\n       do this: restart it" in told()
        problems = [
            "it is (rather) full (make room (soon))",
            "it is odd",
            "/x: Too many open files (look at that disk)",
        ]
        make_it_say(root, "problems", json.dumps(problems))
        waiting = [
            {"file": "a.jpg", "why": "its end has not arrived yet"},
            {"file": "b.jpg", "why": "b.jpg may not be taken: Operation not permitted (give the right: chmod g+w)"},
        ]
        make_it_say(root, "waiting_files", json.dumps(waiting))
        until("it has problems", lambda: "BAD  daemon: it is (rather) full\n" in told())
        said = told()
    assert "BAD  daemon: it is (rather) full\n       do this: make room (soon)\n" in said
    assert "BAD  daemon: it is odd\n       do this: set right what it says" in said
    assert "Too many open files\n       do this: restart it" in said
    assert "ok   inbox: a.jpg waits: its end has not arrived yet\n" in said
    assert (
        "BAD  inbox: b.jpg waits: b.jpg may not be taken: Operation not permitted\n       do this: its folder is sticky"
        in said
    )


def test_without_a_daemon_the_walls_of_the_terminal_are_tried_and_it_says_so(root: Path) -> None:
    done = birdwatchd("doctor", "--sandbox", root=root)
    assert done.returncode == 1
    assert done.stdout.startswith("No daemon runs. This is what this terminal may do; it says nothing of the service:")
    assert done.stdout.count("do this: start the service and ask again: only it has walls") >= 1
    assert "of 28 walls hold." in done.stdout.splitlines()[-1]


def test_a_daemon_tries_its_walls_itself_and_works_on_meanwhile(root: Path) -> None:
    with daemon(root, command=STUBBED) as running:
        begun = time.monotonic()
        done = birdwatchd("doctor", "--sandbox", "--json", root=root)
        took = time.monotonic() - begun
        assert running.stop() == 0
    answer = json.loads(done.stdout)
    assert answer["tried_by"] == "daemon"
    assert answer["ok"] is (done.returncode == 0)
    assert {one["subject"] for one in answer["findings"]} == {"wall"}
    assert not answer["ok"], "a daemon that was started by hand has no walls"
    assert took < 20


def test_its_words_must_fit_together(root: Path) -> None:
    for words, said in ((["x.tar.gz"], "--bundle"), (["--sandbox", "--bundle"], "two things")):
        done = birdwatchd("doctor", *words, root=root)
        assert (done.returncode, said in done.stderr) == (2, True)


def test_a_disk_below_its_reserve_is_told_whatever_else_is_free(seeing_root: Path) -> None:
    full = told(seeing_root, BIRDWATCHD_INBOX__RESERVE_MB="1000000")["disk"]
    assert (full["ok"], "photos wait in the inbox" in full["what"]) == (False, True)
    assert "make room" in full["advice"]
    free = told(seeing_root, BIRDWATCHD_INBOX__RESERVE_MB="0")["disk"]
    assert "photos wait" not in free["what"]


def test_the_age_of_the_newest_backup_is_told(seeing_root: Path) -> None:
    Store.open(seeing_root / "birdwatchd.db").close()
    assert "none of the log yet" in told(seeing_root)["backups"]["what"]
    assert birdwatchd("backup", root=seeing_root).returncode == 0
    fresh = told(seeing_root)["backups"]
    assert (fresh["ok"], fresh["what"].startswith("1 of the log")) == (True, True)
    (backup,) = (seeing_root / ".birdwatchd" / "backups").glob("*.db")
    backup.rename(backup.with_name(backup_name(1, datetime(2026, 1, 1, tzinfo=UTC))))
    stale = told(seeing_root)["backups"]
    assert (stale["ok"], "birdwatchd backup" in (stale["advice"] or "")) == (False, True)
    assert "backups" not in told(seeing_root, BIRDWATCHD_RETENTION__BACKUPS="0")


def told(root: Path, **environment: str) -> dict[str, dict[str, Any]]:
    """What the doctor finds, by subject."""
    asked = birdwatchd("doctor", "--json", root=root, environment=environment)
    return {one["subject"]: one for one in json.loads(asked.stdout)["findings"]}


def test_which_model_names_birds_is_told_and_so_is_a_damaged_one(seeing_root: Path) -> None:
    Store.open(seeing_root / "birdwatchd.db").close()
    none = told(seeing_root)["model"]
    assert (none["ok"], "none yet; name 5 photos of each of two species" in none["what"]) == (True, True)
    (seeing_root / ".birdwatchd" / "models" / "linear-0123456789abcdef.onnx").write_bytes(b"half of it")
    with sqlite3.connect(seeing_root / "birdwatchd.db") as db:
        db.execute(
            "INSERT INTO models (kind, created_at, promoted_at, labels, metrics, path, recipe) VALUES"
            " ('linear', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', '[]', '{}',"
            " '.birdwatchd/models/linear-0123456789abcdef.onnx', '{}')"
        )
    db.close()
    damaged = told(seeing_root)["model"]
    assert (damaged["ok"], "linear-0123456789abcdef.onnx" in damaged["what"]) == (False, True)
    assert "birdwatchd train" in damaged["advice"]


def test_a_copy_that_a_person_left_is_no_stranger(root: Path) -> None:
    (root / "inbox" / "a.jpg").write_bytes(jpeg())
    assert subprocess.run([*STUBBED, "scan", "--root", str(root)], check=False).returncode == 0
    (photo,) = (path for path in (root / "review").rglob("*.jpg"))
    (root / "library" / "wren").mkdir()
    shutil.copy(photo, root / "library" / "wren")
    said = told(root)["photos"]
    assert (said["ok"], "1 are copies by their names" in said["what"]) == (True, True)
    assert "not in the log" not in said["what"]
    photo.unlink()
    assert "copies" not in told(root)["photos"]["what"], "it was moved, and nobody has noticed yet"
