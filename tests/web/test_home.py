"""The first page."""

from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.edges.store import Store
from tests.web.conftest import OpenPage, serious_issues
from tests.web.serving import page_of

ECHARTS = "echarts-5.6.0.min.js"


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


def test_a_browser_keeps_scripts_and_styles_and_each_script_runs_once(root: Path, open_page: OpenPage) -> None:
    Store.open(root / shelving.DATABASE).close()
    with page_of(root) as served:
        with served.stranger() as client:
            first = client.get("/static/base.js")
            assert first.headers["cache-control"] == "no-cache", "kept, and asked for anew after an update"
            again = client.get("/static/base.js", headers={"If-None-Match": first.headers["etag"]})
            assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")
            plots = client.head(f"/static/vendor/echarts/{ECHARTS}")
            assert (plots.status_code, "immutable" in plots.headers["cache-control"]) == (200, True)
        page = open_page(served, "/")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(served.address)))
        page.goto(f"{served.address}/photos", wait_until="networkidle")
        assert asked.count("/api/queue/count") == 1, "a module under two addresses would run twice"
        assert [one for one in asked if "base.js" in one] == ["/static/base.js"]
        page.close()
