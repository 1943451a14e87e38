"""What an open page says while something happens, or stops happening."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from birdwatchd.core import shelving
from birdwatchd.edges.store import Store
from tests.gardens import picture
from tests.service.running import STUBBED, daemon
from tests.web.conftest import OpenPage, serious_issues
from tests.web.serving import Served, page_of


@pytest.fixture
def patient_page(chromium: Browser) -> Iterator[Page]:
    """A page whose complaints are nobody's business: browsers complain of servers that are gone."""
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def enter(page: Page, served: Served, path: str) -> None:
    page.goto(f"{served.address}/login?to={path}#token={served.token}")
    page.wait_for_url(f"{served.address}{path}")


def test_new_photos_are_told_of_quietly_and_shown_when_asked_for(root: Path, open_page: OpenPage) -> None:
    with daemon(root, command=STUBBED), page_of(root) as served:
        page = open_page(served, "/")
        with page.expect_request("**/api/events*"):
            pass
        before = page.locator("main").inner_text()
        for number in range(3):
            (root / "inbox" / f"{number}.jpg").write_bytes(picture("bluetit", number))
        expect(page.get_by_text("3 new photos")).to_be_visible(timeout=30_000)
        assert page.locator("main").inner_text() == before
        assert serious_issues(page) == []
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_text("3 new photos")).to_be_hidden()
        assert page.locator("main").inner_text() != before


def test_a_daemon_that_stops_is_told_of(root: Path, open_page: OpenPage) -> None:
    with daemon(root, command=STUBBED) as running, page_of(root) as served:
        page, models = open_page(served, "/"), open_page(served, "/models")
        expect(models.locator("#asleep")).to_be_hidden()
        running.stop()
        expect(page.get_by_text("birdwatchd is not running: new photos wait in the inbox.")).to_be_visible(
            timeout=30_000
        )
        expect(models.locator("#asleep")).to_be_visible(timeout=30_000)
        assert serious_issues(page) == []


def test_a_log_that_was_put_back_is_told_of(root: Path, patient_page: Page) -> None:
    Store.open(root / shelving.DATABASE).close()
    shutil.copy(root / shelving.DATABASE, root / "older.db")
    with sqlite3.connect(root / shelving.DATABASE) as db:
        db.execute(
            "INSERT INTO photos (original_name, received_at, bytes, path, state)"
            " VALUES ('a.jpg', '2026-05-01T00:00:00Z', 1, 'review/a.jpg', 'review')"
        )
    with page_of(root) as served:
        with patient_page.expect_response("**/api/events*"):
            enter(patient_page, served, "/")
        patient_page.wait_for_timeout(1500)  # its first look at the log
        for end in ("-wal", "-shm"):
            (root / f"{shelving.DATABASE}{end}").unlink(missing_ok=True)
        (root / "older.db").rename(root / shelving.DATABASE)
        expect(patient_page.get_by_text("An older log was put back")).to_be_visible(timeout=30_000)


def test_a_log_that_is_just_being_restored_is_told_of_until_it_is_back(root: Path, patient_page: Page) -> None:
    Store.open(root / shelving.DATABASE).close()
    with page_of(root) as served:
        with patient_page.expect_response("**/api/events*"):
            enter(patient_page, served, "/")
        (root / shelving.RESTORE_PLAN).write_text("{}")
        (root / shelving.DATABASE).rename(root / "away.db")
        expect(patient_page.get_by_text("just being restored")).to_be_visible(timeout=30_000)
        (root / "away.db").rename(root / shelving.DATABASE)
        (root / shelving.RESTORE_PLAN).unlink()
        expect(patient_page.get_by_text("just being restored")).to_be_hidden(timeout=30_000)


def test_a_server_that_dies_is_told_of_and_heard_again(root: Path, patient_page: Page) -> None:
    Store.open(root / shelving.DATABASE).close()
    with page_of(root) as served:
        with patient_page.expect_response("**/api/events*"):
            enter(patient_page, served, "/")
        served.process.kill()
        served.process.wait()
        expect(patient_page.get_by_text("birdwatchd's page does not answer.")).to_be_visible(timeout=30_000)
        with page_of(root, port=served.port):
            expect(patient_page.get_by_text("birdwatchd's page does not answer.")).to_be_hidden(timeout=30_000)
