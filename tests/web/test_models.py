"""The models page against a real daemon with a stub eye, and real models."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from birdwatchd.core import shelving
from birdwatchd.core.job import PAGE_FILE
from tests.gardens import with_two_models
from tests.service.running import STUBBED, daemon, until
from tests.web.conftest import OpenPage, serious_issues
from tests.web.serving import Served, page_of

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def with_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bird folder with two models, the second of them in use."""
    return with_two_models(tmp_path_factory.mktemp("two"))


@pytest.fixture
def models_root(with_models: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    root = Path(shutil.copytree(with_models, tmp_path / "birdwatch"))
    say(root, "UPDATE status SET state = 'stopped'")
    return root


@pytest.fixture
def served(models_root: Path) -> Iterator[Served]:
    """The page over it; no daemon runs."""
    with page_of(models_root) as one:
        yield one


@pytest.fixture
def running(models_root: Path) -> Iterator[Served]:
    """The page over it, and a daemon."""
    with daemon(models_root, command=STUBBED), page_of(models_root) as one:
        yield one


def wishes(root: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(root / shelving.DATABASE) as db:
        return db.execute("SELECT kind, arguments FROM requests WHERE actor = 'web' ORDER BY id").fetchall()


def say(root: Path, sql: str, *values: object) -> None:
    with sqlite3.connect(root / shelving.DATABASE) as db:
        db.execute(sql, values)


def asked(client: httpx.Client, path: str, body: object) -> httpx.Response:
    return client.post(path, json=body)


def test_what_became_of_each_model_is_told_in_words(served: Served) -> None:
    with served.client() as client:
        shelf = client.get("/api/models").json()
    assert shelf["serving"] == 2
    newest, oldest = shelf["models"]
    assert (newest["use"], oldest["use"]) == ("in use", "was in use")
    assert newest["species"] == ["bluetit", "greenfinch", "redstart"]
    assert "takes over" in newest["verdict"][0]
    assert shelf["learning"]["outcome"] == "promoted"
    assert not shelf["running"]


def test_sentences_about_trainings_call_birds_as_the_page_does_and_the_log_keeps_their_labels(
    models_root: Path,
) -> None:
    names = '[web.names]\nredstart = "Rotschwanz"\ngreenfinch = "Grünfink"\nhouse-finch = "Hausgimpel"\n'
    (models_root / "config.toml").write_text(names, encoding="utf-8")
    first = "The new model names 9 of 9 held-out photos right, the old one 8: it takes over."
    second = "It is better at greenfinch and redstart; it no longer knows house-finch."
    say(models_root, "UPDATE trainings SET reasons = ?", json.dumps([first, second]))
    say(models_root, "UPDATE models SET labels = ? WHERE id = 1", json.dumps(["house-finch", "redstart"]))
    before = dump(models_root)
    with page_of(models_root) as served, served.client() as client:
        shelf = client.get("/api/models").json()
        told = second.replace("greenfinch", "Grünfink").replace("redstart", "Rotschwanz")
        for one in shelf["models"]:
            assert one["verdict"] == [first, told.replace("house-finch", "Hausgimpel")]
        assert client.get("/api/learning").json()["verdict"] == [
            first,
            told,
        ]  # no photo and no model in use is called so
        page = client.get("/models").text
        assert "It is better at Grünfink and Rotschwanz; it no longer knows Hausgimpel." in page
        assert dump(models_root) == before
        wish = asked(client, "/api/train", {}).json()["wish"]
        hint = "name at least 5 photos of each of two species; so far: redstart 3"
        for outcome, result in (
            ("failed", {"error": "too little", "hint": hint}),
            ("done", {"reasons": [first, second]}),
        ):
            say(
                models_root,
                "UPDATE requests SET outcome = ?, result = ? WHERE id = ?",
                outcome,
                json.dumps(result),
                wish,
            )
            answer = client.get(f"/api/wishes/{wish}").json()
            assert answer["hint"] == (hint.replace("redstart", "Rotschwanz") if outcome == "failed" else "")
        assert answer["result"]["reasons"] == [first, told]


def test_a_model_comes_into_use_by_the_page_and_goes_back(running: Served, open_page: OpenPage) -> None:
    page = open_page(running, "/models")
    expect(page.get_by_role("heading", name="Model 2 names your birds")).to_be_visible()
    page.get_by_role("button", name="Go back to model 1").click()
    expect(page.get_by_role("heading", name="Use model 1?")).to_be_visible()
    page.get_by_role("button", name="Leave it as it is").click()
    assert wishes(running.root) == []
    page.get_by_role("button", name="Go back to model 1").click()
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("heading", name="Model 1 names your birds")).to_be_visible()
    page.get_by_role("button", name="Use model 2").click()
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("heading", name="Model 2 names your birds")).to_be_visible()
    assert [kind for kind, _ in wishes(running.root)] == ["rollback", "promote"]


def test_learning_now_shows_how_far_it_is_and_what_came_of_it(running: Served, open_page: OpenPage) -> None:
    page = open_page(running, "/models")
    page.get_by_role("button", name="Learn now").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_role("heading", name="Model 3", exact=False).first).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="Learn now")).to_be_enabled(timeout=60_000)  # its report is written first
    assert wishes(running.root) == [("train", wishes(running.root)[0][1])]


def test_learning_asked_for_twice_is_one_wish(served: Served) -> None:
    with served.client() as client:
        first, second = asked(client, "/api/train", {}).json(), asked(client, "/api/train", {}).json()
        assert first == second
        wish = client.get(f"/api/wishes/{first['wish']}").json()
    assert (wish["kind"], wish["outcome"], wish["running"]) == ("train", None, False)


def test_an_old_page_exchanges_nothing(served: Served) -> None:
    with served.client() as client:
        stale = asked(client, "/api/models/1/promote", {"serving": 1})
        assert stale.status_code == 409
        assert stale.json()["error"] == "another model has come into use meanwhile"
        assert asked(client, "/api/models/rollback", {"serving": None}).status_code == 409
        assert asked(client, "/api/models/7/promote", {"serving": 2}).status_code == 404
        assert asked(client, "/api/models/2/promote", {"serving": 2}).status_code == 409
        assert asked(client, "/api/models/1/promote", {}).status_code == 422
    assert wishes(served.root) == []


def test_a_model_that_cannot_be_used_is_not_offered(served: Served) -> None:
    root = served.root
    with served.client() as client:
        say(root, "UPDATE trainings SET fingerprint = 'another-spotter' WHERE id = 1")
        shelf = client.get("/api/models").json()
        assert shelf["before"] is None
        assert shelf["models"][1]["why_not"] == "it was made for a former way of looking at photos"
        refused = asked(client, "/api/models/1/promote", {"serving": 2})
        assert (refused.status_code, "former way" in refused.json()["error"]) == (409, True)
        say(root, "UPDATE trainings SET fingerprint = NULL WHERE id = 1")
        (root / shelf_path(root, 1)).unlink()
        assert "its file is gone" in client.get("/api/models").json()["models"][1]["why_not"]
        assert asked(client, "/api/models/rollback", {"serving": 2}).status_code == 409
    assert wishes(root) == []


def shelf_path(root: Path, model_id: int) -> str:
    with sqlite3.connect(root / shelving.DATABASE) as db:
        return str(db.execute("SELECT path FROM models WHERE id = ?", (model_id,)).fetchone()[0])


def test_a_model_that_was_taken_back_says_why(served: Served, open_page: OpenPage) -> None:
    root = served.root
    say(root, "UPDATE models SET retired_at = '2026-05-02T00:00:00Z' WHERE id = 2")
    say(root, "UPDATE models SET retired_at = NULL WHERE id = 1")
    say(root, "INSERT INTO taken_back VALUES (2, '2026-05-02T00:00:00Z', '<b>worse</b> on 12 visits')")
    page = open_page(served, "/models")
    expect(page.get_by_text("Taken back: <b>worse</b> on 12 visits")).to_be_visible()


def test_photos_put_up_for_a_look_tell_how_the_model_does(served: Served, open_page: OpenPage) -> None:
    root = served.root
    with sqlite3.connect(root / shelving.DATABASE) as db:
        for (photo,) in db.execute("SELECT photo_id FROM labels WHERE label = 'bluetit' LIMIT 8").fetchall():
            db.execute("INSERT INTO put_up VALUES (?, 2, 'bluetit', '2026-05-01T00:00:00Z')", (photo,))
    with served.client() as client:
        audit = client.get("/api/models").json()["audit"]
    assert (audit["answered"], audit["right"]) == (8, 8)
    page = open_page(served, "/models")
    expect(page.get_by_text("You have looked at 8 photos that it was sure of: 8 were right.")).to_be_visible()


def test_before_anything_was_learned_the_page_says_what_is_missing(root: Path, open_page: OpenPage) -> None:
    with daemon(root, command=STUBBED), page_of(root) as served:
        page = open_page(served, "/models")
        expect(page.get_by_role("heading", name="No model yet")).to_be_visible()
        page.get_by_role("button", name="Learn now").click()
        expect(page.locator(".toasts .bad")).to_be_visible()  # the daemon's own words


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("phone", [False, True])
def test_everybody_can_use_the_page(served: Served, open_page: OpenPage, dark: bool, phone: bool) -> None:
    page = open_page(served, "/models", dark=dark, phone=phone)
    assert serious_issues(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Go back to model 1").click()
    assert serious_issues(page) == []


# -- reports


def test_a_report_is_shown_with_its_pictures(running: Served, open_page: OpenPage) -> None:
    until("the report", lambda: (running.root / "reports" / "2" / PAGE_FILE).exists() and has_report(running))
    page = open_page(running, "/models")
    page.get_by_role("link", name="Read about its training").click()
    page.wait_for_load_state("networkidle")
    assert "training 2" in page.locator("main").inner_text()
    assert page.locator("img").count() > 0
    page.locator("img").last.scroll_into_view_if_needed()
    page.wait_for_function("[...document.images].some((one) => one.complete && one.naturalWidth > 0)")


def has_report(served: Served) -> bool:
    with served.client() as client:
        return bool(client.get("/api/models").json()["models"][0]["report"] == "/reports/2/")


@pytest.mark.fault("W05")
def test_a_report_gives_out_nothing_but_itself(served: Served) -> None:
    root = served.root
    page = root / "reports" / "1"
    page.mkdir(parents=True)
    (page / PAGE_FILE).write_text("<script>alert(1)</script>")
    (page / "secret.txt").write_text("private")
    (page / "photos").mkdir()
    (page / "photos" / f"{'a' * 64}.jpg").symlink_to(root / ".birdwatchd" / "web" / "token")
    with served.client() as client:
        given = client.get("/reports/1/")
        assert given.status_code == 200
        policy = given.headers["content-security-policy"]
        assert "script-src" not in policy
        assert policy.startswith("default-src 'none'")
        assert "sandbox" in policy
        for path in (
            "secret.txt",
            f"photos/{'a' * 64}.jpg",
            "photos/../secret.txt",
            "photos/..%2fsecret.txt",
            "..%2f2%2findex.html",
            "%2e%2e/%2e%2e/birdwatchd.db",
            "%00",
            "photos/",
            "index.html",
        ):
            assert client.get(f"/reports/1/{path}").status_code == 404, path
        for training in ("2", "0", "-1", "1.5", "x", "9" * 30):
            assert client.get(f"/reports/{training}/").status_code == 404, training
        assert b"private" not in given.content
    with served.stranger() as stranger:
        assert stranger.get("/reports/1/").status_code == 303


def test_looking_changes_nothing(served: Served) -> None:
    before = dump(served.root)
    with served.client() as client:
        for path in ("/models", "/api/models", "/api/learning", "/reports/1/", "/api/wishes/1"):
            client.get(path)
    assert dump(served.root) == before


def dump(root: Path) -> str:
    with sqlite3.connect(root / shelving.DATABASE) as db:
        return json.dumps(list(db.iterdump()))
