"""A walk through every page of a garden as people have one: in light and dark, on a large screen and on a phone, and by keys alone.

`BIRDWATCHD_TOUR=FOLDER` keeps a picture of each, to be looked at.
"""

import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from playwright.sync_api import Page

from birdwatchd.edges.files import Files
from birdwatchd.web.pages import PLACES
from tests.service.running import daemon
from tests.web import showing
from tests.web.conftest import OpenPage, serious_issues
from tests.web.serving import Served, page_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PICTURES = os.environ.get("BIRDWATCHD_TOUR")  # asked before the tests hide all settings from outside
MOST_LINKS = 600
KINDS = (
    r"/photos/\d+",
    r"/species/[^/?]+",
    r"/days/[^/?]+",
    r"/reports/\d+/",
    r"/cleaner\?species=.+",
    r"/api",
    r"/api/openapi\.json",
)
"""Pages of which there are many, or that the menu does not lead to; one of each is looked at."""

FOCUSABLE = "a[href], button:not([disabled]), input:not([type=hidden]):not([disabled]), select, textarea, summary, [tabindex='0']"


class Links(HTMLParser):
    """All that a page leads to, or is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src") and value]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, real_photos: Path) -> Iterator[Served]:
    """The garden, a daemon, and the page."""
    place = tmp_path_factory.mktemp("tour")
    root = place / "birdwatch"
    Files(root).create()
    for model in models_dir.iterdir():
        shutil.copy(model, root / ".birdwatchd" / "models" / model.name)
    showing.make(root, real_photos, today=datetime.now())
    with daemon(root, environment=showing.QUIET), page_of(root) as one:
        yield one


@pytest.fixture(scope="module")
def crawled(served: Served) -> dict[str, int]:
    """Every address that can be reached from the first page by links, with the answer's status."""
    with served.client() as client:
        return crawl(client)


def crawl(client: httpx.Client) -> dict[str, int]:
    seen: dict[str, int] = {}
    due = [path for path, _ in PLACES]
    while due and len(seen) < MOST_LINKS:
        path = due.pop(0)
        if path in seen:
            continue
        if path == "/api/events":
            continue
        answer = client.get(path, follow_redirects=True)
        seen[path] = answer.status_code
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        for link in Links(answer.text).found:
            parts = urlsplit(urljoin(path, link))
            assert not parts.netloc, f"{path} leads to another server: {link}"
            due.append(parts.path + (f"?{parts.query}" if parts.query else ""))
    return seen


def pages(crawled: dict[str, int]) -> list[str]:
    found = [path for path, _ in PLACES]
    for kind in KINDS:
        found += [path for path in crawled if re.fullmatch(kind, path) and not path.endswith(".json")][:1]
    return list(dict.fromkeys(found))


def test_every_link_leads_somewhere(crawled: dict[str, int]) -> None:
    assert [path for path, status in crawled.items() if status != 200] == []
    assert len(crawled) > 20


@pytest.mark.parametrize("phone", [False, True], ids=["wide", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_can_be_used_by_everybody(
    served: Served, crawled: dict[str, int], open_page: OpenPage, dark: bool, phone: bool
) -> None:
    wrong = []
    for path in pages(crawled):
        page = open_page(served, path, dark=dark, phone=phone)
        if path.startswith("/reports/"):  # served without scripts, which axe needs; the file is the same
            page.goto((served.root / path.strip("/") / "index.html").as_uri())
        wrong += [f"{path}: {issue}" for issue in serious_issues(page)]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wrong.append(f"{path} is wider than the screen")
        keep_picture(page, f"{name_of(path)}-{'dark' if dark else 'light'}-{'phone' if phone else 'wide'}")
        page.context.close()  # with its lines, of which the page has few
    assert wrong == []


def name_of(path: str) -> str:
    return re.sub(r"\W+", "-", re.sub(r"\?.*", "", re.sub(r"[\d-]*\d", "one", path))).strip("-") or "garden"


def keep_picture(page: Page, name: str) -> None:
    if PICTURES:
        page.evaluate("() => { for (const one of document.images) one.loading = 'eager'; }")
        page.wait_for_load_state("networkidle")
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        (Path(PICTURES) / f"{name}.png").write_bytes(page.screenshot(full_page=True))


def test_everything_can_be_reached_by_tab(served: Served, crawled: dict[str, int], open_page: OpenPage) -> None:
    for path in pages(crawled):
        page = open_page(served, path)
        wanted = page.evaluate(
            """(what) => [...document.querySelectorAll(what)].filter((one) => one.tabIndex >= 0 && one.checkVisibility()
                && !(one.type === 'radio' && !one.checked)).map((one, place) => (one.dataset.tour = place))""",
            FOCUSABLE,
        )
        page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
        reached: set[str] = set()
        for _ in range(len(wanted) + 10):
            page.keyboard.press("Tab")
            here = page.evaluate("() => document.activeElement?.dataset?.tour ?? null")
            if here is not None:
                reached.add(here)
        missing = [one for one in wanted if str(one) not in reached]
        what = [page.locator(f"[data-tour='{one}']").evaluate("(one) => one.outerHTML")[:100] for one in missing[:3]]
        assert missing == [], f"{path}: {what}"
        page.context.close()  # with its lines, of which the page has few


def test_a_page_that_does_not_exist_says_so_in_the_same_frame(served: Served) -> None:
    with served.client() as client:
        answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert "There is no such page" in answer.text
