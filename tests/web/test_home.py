"""The first page."""

from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.edges.store import Store
from tests.web.conftest import OpenPage, serious_issues
from tests.web.serving import page_of


def test_before_birdwatchd_ever_ran_the_page_says_what_to_do(root: Path) -> None:
    with page_of(root) as served, served.client() as client:
        answer = client.get("/")
        assert answer.status_code == 503
        assert "birdwatchd init" in answer.text
        assert "Retry-After" in answer.headers


def test_the_first_page_of_an_empty_garden_says_what_to_do(root: Path, open_page: OpenPage) -> None:
    Store.open(root / shelving.DATABASE).close()
    with page_of(root) as served:
        page = open_page(served, "/", phone=True)
        assert "Drop photos into the inbox" in page.inner_text("main")
        assert serious_issues(page) == []
        page.close()
