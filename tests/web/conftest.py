"""A real Chromium, one for all tests; each test gets pages of its own."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.web.serving import Served

CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """Open a path of a served page in a browser of its own that is logged in: `open_page(served, "/review", dark=True, phone=True)`.

    Whatever the browser complains of (scripts that fail, what the content policy blocks) fails the test, but for the one status that a
    test wants to see: `refused=409`.
    """
    contexts = []
    complaints: list[str] = []

    def heard(served: Served, kind: str, text: str, refused: int | None) -> None:
        is_over = served.process.poll() is not None and "net::ERR_CONNECTION" in text  # the test has ended the server
        is_wanted = refused is not None and f"status of {refused}" in text
        if kind in ("error", "warning") and not is_over and not is_wanted:
            complaints.append(text)

    def opened(
        served: Served,
        path: str,
        *,
        dark: bool = False,
        phone: bool = False,
        login: bool = True,
        refused: int | None = None,
    ) -> Page:
        context = chromium.new_context(
            color_scheme="dark" if dark else "light",
            viewport={"width": 390, "height": 844} if phone else {"width": 1280, "height": 860},
            device_scale_factor=2 if phone else 1,
            has_touch=phone,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: heard(served, said.type, said.text, refused))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if login:
            page.goto(f"{served.address}/login?to={path}#token={served.token}")
            page.wait_for_url(f"{served.address}{path}")
        else:
            page.goto(served.address + path)
        page.wait_for_load_state("networkidle")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def serious_issues(page: Page) -> list[str]:
    """What axe finds wrong that keeps people out: the rule, and where."""
    found: dict[str, Any] = Axe().run(page).response
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:3]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes one line for the end of the run: a figure that was reached."""
    return lambda line: request.node.user_properties.append(("figures", line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for outcome in ("passed", "failed") for one in terminalreporter.stats.get(outcome, [])]
    lines = [line for one in reports if one.when == "call" for key, line in one.user_properties if key == "figures"]
    if lines:
        terminalreporter.section("figures of the page")
        for line in lines:
            terminalreporter.line(line)
