"""The way in."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from birdwatchd.core import shelving
from birdwatchd.edges.store import Store
from birdwatchd.web.access import Keys
from birdwatchd.web.server import token_file
from tests.service.running import COMMAND, until
from tests.web.conftest import OpenPage, serious_issues
from tests.web.serving import free_port, page_of


def test_the_link_logs_in_and_leaves_no_token_behind(root: Path, open_page: OpenPage) -> None:
    with page_of(root) as served:
        page = open_page(served, "/login?to=/static/icon.svg", login=False)
        assert serious_issues(page) == []
        page.fill("#token", served.token)
        page.click("button.primary")
        page.wait_for_url(f"{served.address}/static/icon.svg")
        assert served.token not in page.content()


def test_the_link_works_for_who_is_logged_in_already(root: Path, open_page: OpenPage) -> None:
    Store.open(root / shelving.DATABASE).close()
    with page_of(root) as served:
        page = open_page(served, "/static/icon.svg")
        page.goto(f"{served.address}/login?to=/static/base.css#token={served.token}")
        page.wait_for_url(f"{served.address}/static/base.css")


@pytest.mark.fault("T02")
def test_a_clock_that_is_set_back_a_little_logs_nobody_out() -> None:
    keys, now_s = Keys("A" * 43), 2e9
    cookie = keys.new_session(now_s)
    assert keys.session(cookie, now_s - 1) is not None
    assert keys.session(cookie, now_s - 11 * 3600) is not None
    assert keys.session(cookie, now_s - 13 * 3600) is None
    assert keys.session(cookie, now_s + 30 * 86400 - 1) is not None
    assert keys.session(cookie, now_s + 30 * 86400) is None


@pytest.mark.fault("W13")
def test_who_exchanges_the_token_lets_nobody_in_any_more_by_the_old_one(root: Path) -> None:
    """The page went on with it until its next start, while `--link` told the new one, which did not log in."""
    Store.open(root / shelving.DATABASE).close()
    with page_of(root) as served, served.client() as old:
        assert old.get("/api/queue").status_code == 200
        first, file = served.token, token_file(root)
        file.unlink()
        until("the old one is refused", lambda: file.exists() and old.get("/api/queue").status_code == 401)
        assert served.token != first
        with served.client() as new:
            assert new.get("/api/queue").status_code == 200
            file.chmod(0o644)
            until("it is told", lambda: "keeps its token" in (root.parent / "page.err").read_text())
            assert new.get("/api/queue").status_code == 200


def test_the_token_is_told_to_a_terminal_and_never_to_a_log(root: Path) -> None:
    with page_of(root) as served:
        told = (root.parent / "page.err").read_text()
        assert served.address in told
        assert served.token not in told
    master, terminal = pty.openpty()
    environment = os.environ | {"BIRDWATCHD_WEB__PORT": str(free_port())}
    with (
        os.fdopen(master, "rb", 0) as screen,
        subprocess.Popen([*COMMAND, "web", "--root", str(root)], stdout=terminal, env=environment) as page,
    ):
        os.close(terminal)
        seen = b""
        while b"\n" not in seen:
            seen += screen.read(4096)
        page.terminate()
    assert f"/login#token={served.token}" in seen.decode()
