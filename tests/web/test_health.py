"""How it is, through the page: one word for strangers, sentences for people, numbers for Prometheus."""

from pathlib import Path

import pytest
from playwright.sync_api import expect
from prometheus_client.parser import text_string_to_metric_families

from birdwatchd.edges.store import Store
from tests.gardens import Garden
from tests.service.running import STUBBED, daemon, until
from tests.web.conftest import OpenPage, serious_issues
from tests.web.serving import Served, page_of


def numbers(served: Served) -> dict[str, float]:
    """A scrape as Prometheus reads it: names with what follows their labels."""
    with served.client() as client:
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_strangers_learn_one_word_and_nothing_else(root: Path) -> None:
    with page_of(root) as served, served.stranger() as stranger:
        without_log = stranger.get("/healthz")
        assert (without_log.status_code, without_log.json()) == (503, {"ok": False})
        with daemon(root, command=STUBBED) as running:
            until("it is told", lambda: stranger.get("/healthz").status_code == 200)
            assert stranger.get("/healthz").json() == {"ok": True}
            assert running.stop() == 0
        stopped = stranger.get("/healthz")
        assert (stopped.status_code, stopped.json()) == (503, {"ok": False})
        for path in ("/metrics", "/api/health", "/health"):
            assert stranger.get(path, headers={"Authorization": "Bearer x"}).status_code in (303, 401)


def test_one_that_has_not_said_a_word_for_long_is_not_well(root: Path) -> None:
    garden = Garden(root)
    garden.sweep()
    garden.close()
    with page_of(root) as served, served.stranger() as stranger:
        assert stranger.get("/healthz").status_code == 200
        with Store.open(root / "birdwatchd.db") as store:
            status = store.requests.status()
            assert status is not None
            store.requests.write_status(status | {"updated_at": "2026-01-01T00:00:00+00:00"})
        assert stranger.get("/healthz").status_code == 503
        assert numbers(served)["birdwatchd_up"] == 0


def test_prometheus_gets_numbers_and_nothing_of_people(root: Path) -> None:
    garden = Garden(root)
    garden.drop(("redstart", 0), ("redstart", 1))
    garden.worker.condition.trouble("timetable", "secret.jpg cannot be moved")
    garden.sweep()
    garden.close()
    with page_of(root) as served:
        found = numbers(served)
        with served.client() as client:
            text = client.get("/metrics").text
    assert found["birdwatchd_up"] == 1
    assert found["birdwatchd_problems"] == 1
    assert sum(value for name, value in found.items() if name.startswith("birdwatchd_photos ")) == 2
    assert found["birdwatchd_last_decision_timestamp_seconds"] > 1.7e9
    assert found["birdwatchd_last_photo_timestamp_seconds"] > 1.7e9
    assert found["birdwatchd_disk_free_bytes"] > 0
    assert found["birdwatchd_inbox_files"] == 0
    assert "birdwatchd_model" not in found  # there is none
    assert all(name.startswith("birdwatchd_") for name in found)
    for word in ("redstart", "secret", str(root), "python", "process_"):
        assert word not in text


def test_before_the_first_run_numbers_are_few(root: Path) -> None:
    Store.open(root / "birdwatchd.db").close()
    with page_of(root) as served:
        found = numbers(served)
    assert found["birdwatchd_up"] == 0
    assert "birdwatchd_disk_free_bytes" not in found


def test_people_are_told_what_to_do_while_they_look(root: Path, open_page: OpenPage) -> None:
    garden = Garden(root)
    garden.drop(("redstart", 0))
    garden.sweep()
    with page_of(root) as served:
        page = open_page(served, "/health")
        assert serious_issues(page) == []
        assert page.inner_text("h1") == "All is well"
        garden.worker.condition.trouble(
            "timetable", "<b>photo.jpg</b> cannot be moved: no room (make room on the disk)"
        )
        garden.sweep()
        expect(page.locator("h1")).to_have_text("Something needs you", timeout=20_000)
        first = page.locator(".points li").first
        assert first.locator("p").first.inner_text() == "<b>photo.jpg</b> cannot be moved: no room."
        assert first.locator(".advice").inner_text() == "Make room on the disk."
        assert serious_issues(page) == []
        garden.worker.condition.fine("timetable")
        garden.sweep()
        expect(page.locator("h1")).to_have_text("All is well", timeout=20_000)
    garden.close()


@pytest.mark.fault("W11")
def test_a_page_about_health_helps_also_without_a_log(root: Path) -> None:
    with page_of(root) as served, served.client() as client:
        page = client.get("/health")
        assert page.status_code == 200
        assert "birdwatchd is not at work" in page.text
        assert "birdwatchd init" in page.text
        assert client.get("/api/health").json()["running"] is False
        assert client.get("/metrics").status_code == 503
        assert client.get("/metrics").json()["hint"]
