"""The lamp, with a real socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdwatchd.edges.systemd import Notifier


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
