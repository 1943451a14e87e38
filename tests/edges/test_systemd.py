"""The lamp, with a real socket."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdwatchd.edges.systemd import Line, Notifier, journal, keys_set_in, unit
from tests.service.systemd_fakes import HEALTHY, tools


def listen(address: str) -> socket.socket:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(address)
    manager.settimeout(5)
    return manager


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A service manager that listens, as NOTIFY_SOCKET says."""
    monkeypatch.chdir(tmp_path)  # a socket's path may not be long
    name = "lamp" if request.param == "file" else f"@birdwatchd-test-{os.getpid()}"
    with listen(name.replace("@", "\0")) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield manager


def test_what_is_told_arrives_word_for_word(manager: socket.socket) -> None:
    notifier = Notifier.from_environment()
    notifier.more_time(60)
    notifier.ready("watching; 0 waiting")
    notifier.working("last photo: library/Kohlmeise/ä.jpg")
    notifier.stopping()
    assert [manager.recv(4096).decode() for _ in range(4)] == [
        "EXTEND_TIMEOUT_USEC=60000000",
        "READY=1\nSTATUS=watching; 0 waiting",
        "WATCHDOG=1\nSTATUS=last photo: library/Kohlmeise/ä.jpg",
        "STOPPING=1\nSTATUS=stopping",
    ]


def test_a_start_that_gets_on_with_its_work_is_given_more_time(manager: socket.socket) -> None:
    notifier = Notifier.from_environment()
    notifier.working("3 of 500")
    notifier.ready("watching")
    notifier.working("watching")
    assert [manager.recv(4096).decode() for _ in range(3)] == [
        "EXTEND_TIMEOUT_USEC=60000000\nWATCHDOG=1\nSTATUS=3 of 500",
        "READY=1\nSTATUS=watching",
        "WATCHDOG=1\nSTATUS=watching",
    ]


def test_a_manager_that_went_away_is_no_error(manager: socket.socket) -> None:
    notifier = Notifier.from_environment()
    manager.close()
    notifier.working("all well")


def test_a_process_without_a_socket_to_spare_is_no_error(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socket", none_left)
    Notifier.from_environment().working("all well")


@pytest.mark.parametrize("notifier", [Notifier(), Notifier(""), Notifier("/nowhere/at/all"), Notifier("x" * 500)])
def test_outside_systemd_it_is_silent(notifier: Notifier) -> None:
    notifier.ready("")
    notifier.stopping()


def test_without_the_variable_there_is_no_lamp() -> None:
    Notifier.from_environment().ready("nobody hears this")


def test_what_systemd_says_of_the_unit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = HEALTHY | {"ActiveState": "failed", "Result": "oom-kill", "ExecMainStatus": "9", "NRestarts": "4", "NeedDaemonReload": "yes",
                      "DropInPaths": "/etc/a.conf /etc/b.conf", "Environment": "A=1 B=2"}  # fmt: skip
    monkeypatch.setenv("PATH", tools(tmp_path / "bin", said)["PATH"])
    found = unit()
    assert found is not None
    assert (found.state, found.result, found.exit_code, found.restarts, found.is_stale) == (
        "failed",
        "oom-kill",
        9,
        4,
        True,
    )
    assert found.drop_ins == (Path("/etc/a.conf"), Path("/etc/b.conf"))
    assert found.properties["Environment"] == "A=1 B=2"


def test_a_unit_that_is_not_installed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", tools(tmp_path / "bin", HEALTHY | {"LoadState": "not-found"})["PATH"])
    assert unit() is None
    for name in ("systemctl", "journalctl"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\necho 'System has not been booted with systemd' >&2; exit 1\n")
    assert (unit(), journal(most=5)) == (None, None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (unit(), journal(most=5)) == (None, None)


def test_the_journal_is_read_also_where_a_line_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", tools(tmp_path / "bin", HEALTHY, [(4, "all \u00e4")])["PATH"])
    entry = {"__REALTIME_TIMESTAMP": "1780000000000000", "PRIORITY": "3", "MESSAGE": list(b"\xff bytes")}
    with (tmp_path / "bin" / "journalctl.said").open("a") as said:
        said.write(json.dumps(entry) + "\n")
    assert journal(most=5) == [
        Line("2026-05-28T20:26:40+00:00", 4, "all \u00e4"),
        Line("2026-05-28T20:26:40+00:00", 3, "\ufffd bytes"),
    ]


def test_of_a_drop_in_only_the_keys_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text(
        "# Not=this\n[Service]\nBindPaths=/home/me\nEnvironment=PASSWORD=x\n  continued=no\n"
    )
    assert keys_set_in(tmp_path / "a.conf") == ["BindPaths", "Environment"]
    assert keys_set_in(tmp_path / "none.conf") == []
