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

from birdwatchd.core import shelving
from birdwatchd.core.configuring import settings_from
from birdwatchd.core.course import DUE

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
UNIT = SYSTEMD / "birdwatchd.service"
TRAIN = SYSTEMD / "birdwatchd-train.service"
WEB = SYSTEMD / "birdwatchd-web.service"
UNITS = sorted(path for path in SYSTEMD.iterdir() if path.suffix in {".service", ".path", ".socket"})
ROOT = "/var/lib/birdwatchd"
PROGRAMS = "/opt/birdwatchd/venv/bin"
DROP_INS = sorted((SYSTEMD / "drop-ins").glob("*.conf"))
MOST = {(UNIT, False): 0.6, (UNIT, True): 0.7, (TRAIN, False): 0.3, (TRAIN, True): 0.4, (WEB, False): 0.2}
"""Exposure, by unit and whether a drop-in changes it."""

HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""How a service manager gives a socket to a program."""

OPEN_TO_GROUP = ("", "inbox", "library", "review", "empty", "quarantine", "duplicates", "reports")


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; this gate has not been passed here")
    return found


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def _values(key: str, unit: Path = UNIT) -> list[str]:
    return [line.removeprefix(f"{key}=") for line in unit.read_text().splitlines() if line.startswith(f"{key}=")]


def _here(command: str, root: Path) -> list[str]:
    """A command of the unit, with this checkout in place of the installed program."""
    program, *words = [word.replace(ROOT, str(root)) for word in shlex.split(command.removeprefix("-"))]
    return [sys.executable, "-m", "birdwatchd", *words] if program == f"{PROGRAMS}/birdwatchd" else [program, *words]


def _changes(drop_in: Path) -> Path:
    """The unit that a drop-in is for, as its first line says."""
    told = re.match(r"# For (\S+):", drop_in.read_text())
    assert told is not None
    return SYSTEMD / told[1]


Installed = tuple[Path, Path, Path | None]


@pytest.fixture(
    params=[(UNIT, None), (TRAIN, None), (WEB, None), *((_changes(drop_in), drop_in) for drop_in in DROP_INS)],
    ids=lambda given: given[1].stem if given[1] else f"{given[0].stem} plain",
)
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Installed:
    """A system's folder with the units in it; one of them, plain or with a drop-in; and that drop-in."""
    unit, drop_in = request.param
    units = tmp_path / "etc" / "systemd" / "system"
    (units / f"{unit.name}.d").mkdir(parents=True)
    for path in UNITS:  # verify wants the programs to be there
        (units / path.name).write_text(re.sub(rf"{PROGRAMS}/\w+", "/bin/true", path.read_text()))
    if drop_in is not None:
        shutil.copy(drop_in, units / f"{unit.name}.d")
    return tmp_path, unit, drop_in


def test_systemd_finds_no_fault_in_the_unit(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    units = installed[0] / "etc" / "systemd" / "system"
    monkeypatch.setenv("SYSTEMD_UNIT_PATH", f"{units}:")
    done = _run(_tool("systemd-analyze"), "verify", "--man=no", *(str(units / path.name) for path in UNITS))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fault_in_a_drop_in_would_be_found(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    root, unit, _ = installed
    units = root / "etc" / "systemd" / "system"
    (units / f"{unit.name}.d" / "wrong.conf").write_text("[Service]\nPrivateDevices=perhaps\n")
    monkeypatch.setenv("SYSTEMD_UNIT_PATH", f"{units}:")
    assert "wrong.conf" in _run(_tool("systemd-analyze"), "verify", "--man=no", str(units / unit.name)).stderr


def test_the_unit_is_as_closed_as_its_files_say(installed: Installed) -> None:
    root, unit, drop_in = installed
    done = _run(
        _tool("systemd-analyze"),
        "security",
        "--offline=true",
        f"--root={root}",
        "--threshold=10",
        "--no-pager",
        unit.name,
    )
    assert done.returncode == 0, done.stdout[-300:]
    level = float(done.stdout.rpartition(f"level for {unit.name}: ")[2].split()[0])
    assert level <= MOST[unit, drop_in is not None]
    if drop_in is None:
        return
    said = re.search(r"\(systemd (\d+)\): (0\.\d)", drop_in.read_text())
    assert said is not None, "each drop-in says how far it opens the unit"
    here = _run(_tool("systemd-analyze"), "--version").stdout.split()[1]
    if here != said[1]:
        pytest.skip(f"the figure in the file is of systemd {said[1]}; this is systemd {here}")
    assert level == float(said[2])


def test_a_training_is_begun_where_the_daemon_says_that_it_is_due(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three files, the setting and the program mean the same folder, and the program can be started as the unit does."""
    [environment] = [value for value in _values("Environment") if value.startswith("BIRDWATCHD_")]
    monkeypatch.setenv(*environment.split("=", 1))
    assert settings_from({}, os.environ, root=root, where="-").training.run_by == "unit"
    assert _values("Wants") == ["birdwatchd-train.path"]
    [watched] = _values("DirectoryNotEmpty", SYSTEMD / "birdwatchd-train.path")
    assert watched == f"{ROOT}/{shelving.JOBS}/{DUE}"
    [command] = _values("ExecStart", TRAIN)
    program, *words = shlex.split(command.replace(ROOT, str(root)))
    assert program == f"{PROGRAMS}/python"
    (root / shelving.JOBS / DUE).mkdir()
    (root / shelving.JOBS / DUE / "7").touch()
    assert _run(sys.executable, *words).returncode == 0
    assert list((root / shelving.JOBS / DUE).iterdir()) == []
    assert _values("User", TRAIN) == _values("Group", TRAIN) == ["birdwatchd"]


def test_the_page_serves_the_socket_that_it_is_given(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever that listens: the settings may say something else. Its command line is the unit's."""
    monkeypatch.setenv("BIRDWATCHD_WEB__HOST", "0.0.0.0")  # noqa: S104  # who sets up a socket has said who may reach it
    [command] = _values("ExecStart", WEB)
    assert _values("User", WEB) == _values("Group", WEB) == ["birdwatchd"]
    address = _values("ListenStream", SYSTEMD / "birdwatchd-web.socket")
    assert address == ["127.0.0.1:8765"]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        fd = listening.fileno()
        with subprocess.Popen(
            [sys.executable, "-c", HAND_OVER, str(fd), *_here(command, root)], pass_fds=[fd], stdout=subprocess.DEVNULL
        ) as page:
            try:
                with socket.create_connection(("127.0.0.1", port), 60) as line:
                    line.sendall(f"GET /login HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
                    with line.makefile("rb") as answer:
                        assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
                page.send_signal(signal.SIGTERM)
                assert page.wait(timeout=float(_values("TimeoutStopSec", WEB)[0])) == 0
            finally:
                page.kill()


def test_the_page_may_write_what_it_must_and_nothing_else(tmp_path: Path) -> None:
    """The folders that the unit names are those of a bird folder, each of them once, and the token lies where it may be written."""
    named = {
        key: " ".join(_values(key, WEB)).split() for key in ("ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths")
    }
    assert named["ReadWritePaths"] == [ROOT, f"{ROOT}/{Path(shelving.WEB_TOKEN).parent}"]
    closed = {
        path.removeprefix("-").removeprefix(f"{ROOT}/") for path in named["ReadOnlyPaths"] + named["InaccessiblePaths"]
    }
    assert closed >= {folder for folder in shelving.FOLDERS if not folder.startswith(shelving.PRIVATE)}
    assert shelving.PRIVATE in closed
    assert f"{ROOT}/{shelving.INBOX}" in named["InaccessiblePaths"]
    assert f"{ROOT}/{shelving.QUARANTINE}" in named["InaccessiblePaths"]


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
