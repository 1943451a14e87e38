"""The first page."""

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from birdwatchd.core import shelving
from birdwatchd.edges.store import Store
from birdwatchd.web.app import STATIC
from tests.edges.test_store import arrive
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


def test_addresses_that_people_type_lead_to_the_page_that_they_mean(root: Path, open_page: OpenPage) -> None:
    """Also when they have to log in first; and the day is that on the wall."""
    with page_of(root, environment={"TZ": "Pacific/Kiritimati"}) as served, served.client() as client:
        with Store.open(root / shelving.DATABASE) as store:
            arrive(store)
        today = datetime.now(ZoneInfo("Pacific/Kiritimati")).date()
        told = {path: client.get(path) for path in ("/garden", "/species", "/days")}
        assert {answer.status_code for answer in told.values()} == {307}, "to be asked for anew each time"
        assert told["/garden"].headers["location"] == "/"
        assert told["/species"].headers["location"] == "/#species"
        assert told["/days"].headers["location"] in {f"/days/{today}", f"/days/{today + timedelta(days=1)}"}
        with served.stranger() as stranger:
            assert stranger.get("/days", headers={"Accept": "text/html"}).headers["location"] == "/login?to=/days"
        page = open_page(served, "/")
        page.goto(f"{served.address}/species", wait_until="networkidle")
        assert page.url == f"{served.address}/#species"
        assert page.is_visible("#species")
        assert client.get("/days", follow_redirects=True).status_code == 200
        page.close()


def test_every_part_of_the_review_page_is_there_and_asked_for_once(root: Path, open_page: OpenPage) -> None:
    """Its modules are named in the page, so that the browser need not find them one after the other."""
    parts = {f"/static/review/{path.name}" for path in (STATIC / "review").glob("*.js")}
    with page_of(root) as served:
        Store.open(root / shelving.DATABASE).close()
        page = open_page(served, "/")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(served.address)))
        page.goto(f"{served.address}/review", wait_until="networkidle")
        named = {link.get_attribute("href") for link in page.query_selector_all('link[rel="modulepreload"]')}
        assert named == parts
        assert sorted(one for one in asked if one.startswith("/static/review/")) == sorted(parts)
        assert page.is_visible("#end")
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
