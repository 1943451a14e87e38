"""`birdwatchd doctor --bundle`: everything that helps, and nothing that a person would not want to send."""

import getpass
import json
import os
import shutil
import socket
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.pictures import jpeg
from tests.service.running import COMMAND, STUBBED, birdwatchd, daemon, until
from tests.service.systemd_fakes import HEALTHY, tools

PARTS = {"README.txt", "findings.json", "versions.json", "machine.json", "settings.json", "log.json", "photos.json", "service.json",
         "journal.txt"}  # fmt: skip

SECRETS = [
    "kitchen", "grandma", "Beethovenstr", "greenhouse", "ursula", "gartenzwerg", "hunter2", "ghp_16C7e42F", "192.168.178", "fritzbox",
]  # fmt: skip
"""What is planted: in names of photos, folders and cameras, in settings, in the journal, as user and as host."""

LINES = [
    (
        4,
        "in the inbox, kitchen-of-grandma.jpg may not be opened (give birdwatchd's user or group the right: chmod g+rwX)",
    ),
    (3, "cannot take Beethovenstr 12/kitchen of grandma 2.jpg: Input/output error"),
    (3, 'Traceback (most recent call last):\n  File "/home/ursula/birdwatchd/worker.py", line 7, in sweep'),
    (3, "birdwatchd.service: Main process exited, code=killed, status=6/ABRT"),
    (4, "gartenzwerg: connect to 192.168.178.23 (fritzbox) with ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
]


def packed(path: Path) -> dict[str, str]:
    """The files of a report and their texts."""
    with tarfile.open(path) as tar:
        entries = tar.getmembers()
        assert all(entry.isreg() and entry.name.split("/")[0] == path.name.removesuffix(".tar.gz") for entry in entries)
        assert {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) for entry in entries} == {
            (0, 0, "", "", 0)
        }
        files = {entry.name.split("/")[1]: tar.extractfile(entry) for entry in entries}
        return {name: file.read().decode() for name, file in files.items() if file is not None}


@pytest.fixture
def planted(root: Path, tmp_path: Path) -> dict[str, str]:
    """A bird folder, and an environment, full of what must not be told."""
    home = tmp_path / "home" / "ursula"
    home.mkdir(parents=True)
    drop_ins = tmp_path / "inbox-of-ursula.conf"
    drop_ins.write_text(
        "# for ursula\n[Service]\nBindPaths=/home/ursula/greenhouse:/var/lib/birdwatchd/inbox\n"
        "Environment=PASSWORD=hunter2\n"
    )
    (root / "config.toml").write_text(
        '# token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"\n[inbox]\nignore = ["grandma*"]\n'
        '[deciding]\nprotected = ["kitchen bird"]\n'
        '[web]\nhost = "fritzbox.gartenzwerg"\n[training]\narchitecture = "hunter2"\n'
    )
    camera = root / "inbox" / "greenhouse"
    camera.mkdir()
    (camera / "kitchen-of-grandma.jpg").write_bytes(jpeg(seed=1))
    (root / "inbox" / "Beethovenstr 12.jpg").write_bytes(jpeg(seed=2))
    (root / "inbox" / "grandma.pdf").write_bytes(b"<html>ursula</html>")
    properties = HEALTHY | {"DropInPaths": f"{drop_ins} /x/gpu.conf", "MemoryMax": "2147483648", "StatusText": "last: kitchen.jpg",
                            "BindPaths": "/home/ursula"}  # fmt: skip
    return tools(tmp_path / "bin", properties, LINES) | {
        "HOME": str(home), "USER": "ursula", "LOGNAME": "ursula", "SUDO_USER": "ursula", "HOSTNAME": "gartenzwerg",
    }  # fmt: skip


def test_no_photo_name_or_secret_is_in_it(root: Path, planted: dict[str, str], tmp_path: Path) -> None:
    report = tmp_path / "report.tar.gz"
    with daemon(root, command=STUBBED, settle_s=0, environment=planted) as running:
        until(
            "all is filed",
            lambda: not [path for path in (root / "inbox").rglob("*") if path.is_file() and "pdf" not in path.name],
        )
        label = birdwatchd("label", "1", "kitchen bird", root=root, environment=planted)
        assert label.returncode == 0, label.stderr
        (root / "inbox" / "kitchen of grandma 3.jpg").write_bytes(jpeg(seed=9)[:-50])
        until("it waits", lambda: "grandma 3" in birdwatchd("doctor", root=root, environment=planted).stdout)
        done = birdwatchd("doctor", "--bundle", report, root=root, environment=planted)
        assert done.returncode == 0, done.stderr
        assert running.stop() == 0
    found = packed(report)
    assert set(found) == PARTS
    everything = "\n".join(found.values())
    names = {socket.gethostname(), getpass.getuser()} - {"root", "localhost", "vm"}
    for secret in [*SECRETS, *names]:
        assert secret.casefold() not in everything.casefold(), secret
    assert str(tmp_path) not in everything
    assert str(Path.home()) not in everything
    assert b"\xff\xd8\xff" not in "".join(found.values()).encode("latin-1", "replace")


def test_what_helps_is_in_it(root: Path, planted: dict[str, str], tmp_path: Path) -> None:
    assert birdwatchd("init", root=root, environment=planted).returncode == 0
    assert birdwatchd("scan", root=root, environment=planted).returncode == 0
    done = birdwatchd("doctor", "--bundle", tmp_path / "r.tar.gz", root=root, environment=planted)
    assert done.returncode == 0, done.stderr
    found = packed(tmp_path / "r.tar.gz")
    assert done.stdout.count(" bytes  ") == len(PARTS)
    assert "Look into it before you send it" in done.stdout
    log, photos = json.loads(found["log.json"]), json.loads(found["photos.json"])
    assert log["rows"]["photos"] == len(photos) == 2
    assert log["schema_version"] >= 1
    assert {photo["state"] for photo in photos} <= {"review", "empty"}
    assert sorted(photo["has_camera"] for photo in photos) == [0, 1]
    assert all(photo["bytes"] and photo["received_at"] for photo in photos)
    settings = json.loads(found["settings.json"])
    assert settings["inbox"]["settle_s"] == 2.0
    assert settings["inbox"]["ignore"] == settings["web"]["host"] == settings["training"]["architecture"] == "…"
    assert settings["images"]["formats"] == ["jpeg", "png", "webp"]
    assert settings["training"]["hours"] == "22:00-06:00"
    machine = json.loads(found["machine.json"])
    assert machine["kernel"] == os.uname().release
    assert machine["inotify"]["max_user_watches"] > 0
    assert machine["memory_kb"]["MemTotal"] > 0
    assert machine["disks"]["inbox"]["free_bytes"] > 0
    assert machine["disks"]["bird folder"]["kind"]
    service = json.loads(found["service.json"])
    assert service["drop_ins"] == [
        {"name": "…", "sets": ["BindPaths", "Environment"]},
        {"name": "gpu.conf", "sets": []},
    ]
    assert service["properties"]["MemoryMax"] == "2147483648"
    assert "StatusText" not in service["properties"]
    journal = found["journal.txt"]
    assert "3 birdwatchd.service: Main process exited, code=killed, status=6/ABRT\n" in journal
    assert "4 in the inbox, … may not be opened (give birdwatchd's user or group the right: chmod g+rwX)\n" in journal
    assert "Input/output error" in journal
    versions = json.loads(found["versions.json"])
    assert {"python", "birdwatchd", "pillow", "watchdog"} <= versions.keys()
    assert any(one["subject"] == "photos" for one in json.loads(found["findings.json"]))


def test_it_is_made_whatever_is_broken(root: Path, tmp_path: Path) -> None:
    """That is when it is needed."""
    without = tmp_path / "without.tar.gz"
    assert birdwatchd("doctor", "--bundle", without, root=tmp_path / "nowhere").returncode == 0
    assert not (tmp_path / "nowhere").exists()
    assert json.loads(packed(without)["findings.json"])[0]["ok"] is False
    (root / "birdwatchd.db").write_bytes(b"no database" * 1000)
    damaged = tmp_path / "damaged.tar.gz"
    assert birdwatchd("doctor", "--bundle", damaged, root=root).returncode == 0
    assert "DamagedDatabase" in packed(damaged)["log.json"]
    (root / "config.toml").write_text('[web]\npasword = "hunter2"\n')
    unreadable = tmp_path / "unreadable.tar.gz"
    done = birdwatchd("doctor", "--bundle", unreadable, "--json", root=root)
    assert json.loads(done.stdout)["parts"].keys() == PARTS
    assert json.loads(packed(unreadable)["settings.json"]) is None
    assert "hunter2" not in str(packed(unreadable))


def test_it_overwrites_nothing_and_is_for_its_owner_only(root: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.tar.gz"
    report.write_bytes(b"mine")
    done = birdwatchd("doctor", "--bundle", report, root=root)
    assert (done.returncode, "is there already" in done.stderr, report.read_bytes()) == (1, True, b"mine")
    done = birdwatchd("doctor", "--bundle", tmp_path / "no" / "such" / "folder.tar.gz", root=root)
    assert (done.returncode, "cannot write" in done.stderr) == (1, True)
    where = tmp_path / "here"
    where.mkdir()
    subprocess.run([*COMMAND, "doctor", "--bundle", "--root", str(root)], cwd=where, check=True, capture_output=True)
    (made,) = where.iterdir()
    assert made.name.startswith("birdwatchd-report-")
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert shutil.which("tar") is None or b"README.txt" in subprocess.check_output(["tar", "-tzf", str(made)])
