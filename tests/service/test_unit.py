"""The service as systemd reads it: the unit is valid and closed, its folders are what people need, its command line works."""

import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
UNIT = SYSTEMD / "birdwatchd.service"
ROOT = "/var/lib/birdwatchd"
PROGRAM = "/opt/birdwatchd/venv/bin/birdwatchd"
DROP_INS = sorted((SYSTEMD / "drop-ins").glob("*.conf"))
OPEN_TO_GROUP = ("", "inbox", "library", "review", "empty", "quarantine", "duplicates", "reports")


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; this gate has not been passed here")
    return found


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def _values(key: str) -> list[str]:
    return [line.removeprefix(f"{key}=") for line in UNIT.read_text().splitlines() if line.startswith(f"{key}=")]


def _here(command: str, root: Path) -> list[str]:
    """A command of the unit, with this checkout in place of the installed program."""
    program, *words = [word.replace(ROOT, str(root)) for word in shlex.split(command.removeprefix("-"))]
    return [sys.executable, "-m", "birdwatchd", *words] if program == PROGRAM else [program, *words]


@pytest.fixture(params=[None, *DROP_INS], ids=lambda drop_in: drop_in.stem if drop_in else "plain")
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path | None]:
    """A system's folder with the unit in it, plain or with one drop-in; and that drop-in."""
    units = tmp_path / "etc" / "systemd" / "system"
    (units / f"{UNIT.name}.d").mkdir(parents=True)
    (units / UNIT.name).write_text(
        UNIT.read_text().replace(PROGRAM, "/bin/true")
    )  # verify wants the program to be there
    if request.param is not None:
        shutil.copy(request.param, units / f"{UNIT.name}.d")
    return tmp_path, request.param


def test_systemd_finds_no_fault_in_the_unit(
    installed: tuple[Path, Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    units = installed[0] / "etc" / "systemd" / "system"
    monkeypatch.setenv("SYSTEMD_UNIT_PATH", f"{units}:")
    done = _run(_tool("systemd-analyze"), "verify", "--man=no", str(units / UNIT.name))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fault_in_a_drop_in_would_be_found(
    installed: tuple[Path, Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    units = installed[0] / "etc" / "systemd" / "system"
    (units / f"{UNIT.name}.d" / "wrong.conf").write_text("[Service]\nPrivateDevices=perhaps\n")
    monkeypatch.setenv("SYSTEMD_UNIT_PATH", f"{units}:")
    assert "wrong.conf" in _run(_tool("systemd-analyze"), "verify", "--man=no", str(units / UNIT.name)).stderr


def test_the_unit_is_as_closed_as_its_files_say(installed: tuple[Path, Path | None]) -> None:
    root, drop_in = installed
    done = _run(
        _tool("systemd-analyze"),
        "security",
        "--offline=true",
        f"--root={root}",
        "--threshold=10",
        "--no-pager",
        UNIT.name,
    )
    assert done.returncode == 0, done.stdout[-300:]
    level = float(done.stdout.rpartition(f"level for {UNIT.name}: ")[2].split()[0])
    if drop_in is None:
        assert level <= 0.6
        return
    said = re.search(r"\(systemd (\d+)\): (0\.\d)", drop_in.read_text())
    assert said is not None, "each drop-in says how far it opens the unit"
    assert level <= 0.7
    here = _run(_tool("systemd-analyze"), "--version").stdout.split()[1]
    if here != said[1]:
        pytest.skip(f"the figure in the file is of systemd {said[1]}; this is systemd {here}")
    assert level == float(said[2])


def test_the_user_and_the_group_are_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    done = _run(_tool("systemd-sysusers"), "--dry-run", f"--root={tmp_path}", str(SYSTEMD / "birdwatchd.sysusers.conf"))
    assert done.returncode == 0, done.stderr
    assert "user 'birdwatchd'" in done.stderr
    assert _values("User") == _values("Group") == ["birdwatchd"]


def test_the_folders_are_open_to_the_group_whatever_the_umask(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give folders to another user")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/:\nbirdwatchd:x:4711:4711::/:\n")
    (tmp_path / "etc" / "group").write_text("root:x:0:\nbirdwatchd:x:4711:\n")
    done = _run(_tool("systemd-tmpfiles"), f"--root={tmp_path}", "--create", str(SYSTEMD / "birdwatchd.tmpfiles.conf"))
    assert (done.returncode, done.stderr) == (0, "")
    root = tmp_path / ROOT.lstrip("/")
    for folder in OPEN_TO_GROUP:
        found = (root / folder).stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o2775, 4711, 4711), folder
    if "system.posix_acl_default" not in os.listxattr(root / "inbox"):
        pytest.skip("this file system keeps no access lists; new folders follow the umask of who makes them")
    before = os.umask(0o077)
    try:
        (root / "inbox" / "feeder").mkdir()
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "inbox" / "feeder").stat().st_mode) == 0o2775


def test_its_commands_make_the_folder_and_get_ready_and_stop(tmp_path: Path) -> None:
    root = tmp_path / "birds"
    lamp = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    lamp.bind(str(tmp_path / "lamp"))
    lamp.settimeout(60)
    umask = int(_values("UMask")[0], 8)
    for command in _values("ExecStartPre"):
        done = subprocess.run(
            _here(command, root), capture_output=True, text=True, timeout=60, umask=umask, check=False
        )
        assert done.returncode == 0, done.stderr
    [command] = _values("ExecStart")
    environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "lamp")}
    with (
        lamp,
        subprocess.Popen(_here(command, root), env=environment, umask=umask, stdout=subprocess.DEVNULL) as daemon,
    ):
        try:
            while b"READY=1" not in lamp.recv(4096):
                assert daemon.poll() is None
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(timeout=float(_values("TimeoutStopSec")[0])) == 0
        finally:
            daemon.kill()
    assert stat.S_IMODE((root / "birdwatchd.db").stat().st_mode) == 0o660
