"""The way in."""

from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.edges.store import Store
from tests.web.conftest import OpenPage, serious_issues
from tests.web.serving import page_of


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
