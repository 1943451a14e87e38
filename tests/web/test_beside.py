"""The page beside the daemon: it comes and goes, and photos are named whatever becomes of it."""

import os
import signal
import sys
from pathlib import Path

import httpx
import pytest

from birdwatchd.edges.store import Store
from birdwatchd.web.server import token_file
from tests.gardens import Garden, picture
from tests.service.running import STUBBED, birdwatchd, daemon, until
from tests.web.serving import free_port, page_of

pytestmark = pytest.mark.alone

BASE = """
import sys
sys.modules["fastapi"] = None
from birdwatchd import service
from birdwatchd.cli import main
from tests.service.stubbed import stub_loader
service.spotter_loader = stub_loader
main()
"""
"""The program where the extra `web` is not installed."""


def _photos(root: Path) -> int:
    with Store.read_only(root / "birdwatchd.db") as store:
        return sum(store.questions.states().values())


def _drop(root: Path, number: int) -> None:
    before = _photos(root)
    part = root / f"{number}.part"
    part.write_bytes(picture("redstart", number))
    part.rename(root / "inbox" / f"{number}.jpg")
    until("the photo is taken", lambda: _photos(root) > before)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/login").status_code == 200
    except httpx.TransportError:
        return False


def _page_of(pid: int) -> int | None:
    """The page's process, by its words."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            if b"web" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                return int(child)
    return None


@pytest.mark.fault("W10")
def test_photos_are_taken_while_the_page_dies_again_and_again(root: Path) -> None:
    port = free_port()
    words = {"BIRDWATCHD_WEB__ENABLED": "true", "BIRDWATCHD_WEB__PORT": str(port)}
    with daemon(root, environment=words, command=STUBBED) as running:
        until("the page answers", lambda: _answers(port))
        _drop(root, 0)
        for number in (1, 2):
            page = _page_of(running.process.pid)
            assert page is not None
            os.kill(page, signal.SIGKILL)
            _drop(root, number)
            until("the page is back", lambda: _answers(port))
        assert [line for line in running.notices() if "READY" in line and "serving" in line] == []
        page = _page_of(running.process.pid)
        assert running.stop() == 0
        assert page is not None
        assert not Path(f"/proc/{page}").exists()
    assert f"the page is at http://127.0.0.1:{port}" in running.out.read_text()


@pytest.mark.fault("W10")
def test_a_page_that_cannot_start_is_told_and_hinders_nothing(root: Path) -> None:
    token_file(root).parent.mkdir()
    token_file(root).write_text("no token")
    token_file(root).chmod(0o600)
    with daemon(root, environment={"BIRDWATCHD_WEB__ENABLED": "true"}, command=STUBBED) as running:
        until("it is told", lambda: "the page does not stay: it ended with 2" in running.err.read_text())
        assert "holds no token" in running.err.read_text()
        _drop(root, 0)
        assert running.stop() == 0


@pytest.mark.fault("W10")
@pytest.mark.parametrize(("words", "enabled"), [(["--ingest-only"], "true"), ([], "false")])
def test_there_is_no_page_where_none_is_wanted(root: Path, words: list[str], enabled: str) -> None:
    with daemon(root, *words, environment={"BIRDWATCHD_WEB__ENABLED": enabled}, command=STUBBED) as running:
        _drop(root, 0)
        assert _page_of(running.process.pid) is None


@pytest.mark.fault("W10")
def test_without_the_extra_it_is_said_how_to_get_the_page(root: Path) -> None:
    with daemon(root, environment={"BIRDWATCHD_WEB__ENABLED": "true"}, command=[sys.executable, "-c", BASE]) as running:
        assert 'hint: pip install "birdwatchd[web]"' in running.err.read_text()
        _drop(root, 0)


def test_the_page_before_the_first_photo(tmp_path: Path) -> None:
    told = birdwatchd("web", root=tmp_path / "nothing")
    assert told.returncode == 2
    assert "there is no bird folder" in told.stderr
    assert "birdwatchd init" in told.stderr
    told = birdwatchd("web", "--link", root=tmp_path / "nothing")
    assert (told.returncode, told.stdout) == (2, "")


def test_a_restore_says_that_the_page_has_the_log_open_and_goes_when_it_is_closed(root: Path) -> None:
    Garden(root).close()
    assert birdwatchd("backup", root=root).returncode == 0
    (backup,) = (root / ".birdwatchd" / "backups").glob("*.db")
    with page_of(root) as served, served.client() as client:
        assert client.get("/api/queue").status_code == 200
        refused = birdwatchd("restore", backup.name, root=root)
        assert refused.returncode == 1
        assert "systemctl stop birdwatchd-web" in refused.stderr
    assert birdwatchd("restore", backup.name, root=root).returncode == 0
