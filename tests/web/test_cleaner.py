"""The cleaner against a real daemon with a stub eye, and a garden in which two photos bear a wrong name."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from birdwatchd.core import shelving
from birdwatchd.core.hardest import HARDEST_FILE, from_json
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store
from tests.gardens import Garden, five, picture
from tests.service.running import STUBBED, daemon, until
from tests.web.conftest import OpenPage, serious_issues
from tests.web.serving import Served, page_of


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bird folder that has learned from 12 photos of each of three species; two redstarts are called greenfinch."""
    place = tmp_path_factory.mktemp("cleaner")
    root = place / "birdwatch"
    Files(root).create()
    one = Garden(root)
    try:
        tree = place / "tree"
        for number in (50, 51):
            (tree / "greenfinch").mkdir(parents=True, exist_ok=True)
            (tree / "greenfinch" / f"{number}.jpg").write_bytes(picture("redstart", number))
        one.wish("import", folder=str(tree))
        named = [photo for species in ("redstart", "greenfinch", "bluetit") for photo in five(species, count=12)]
        one.bring(tree, *named)
        one.learn()
    finally:
        one.close()
    with sqlite3.connect(root / shelving.DATABASE) as db:
        db.execute("UPDATE status SET state = 'stopped'")
    return root


@pytest.fixture
def served(learned: Path, tmp_path: Path) -> Iterator[Served]:
    """The page over a copy of it; no daemon runs, so that every answer stays a wish."""
    with page_of(Path(shutil.copytree(learned, tmp_path / "birdwatch"))) as one:
        yield one


@pytest.fixture
def running(learned: Path, tmp_path: Path) -> Iterator[Served]:
    """The page over a copy of it, and a daemon."""
    root = Path(shutil.copytree(learned, tmp_path / "birdwatch"))
    with daemon(root, command=STUBBED), page_of(root) as one:
        yield one


def shown(client: httpx.Client, **which: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/cleaner", params=which).json()
    return found


def words(root: Path, photo_id: int) -> list[str | None]:
    with sqlite3.connect(root / shelving.DATABASE) as db:
        rows = db.execute("SELECT label FROM labels WHERE photo_id = ? AND source = 'web' ORDER BY id", (photo_id,))
        return [row[0] for row in rows]


def card(page: Page, photo_id: int) -> Locator:
    return page.locator(f'[data-photo="{photo_id}"]')


def test_names_that_are_probably_wrong_come_first(served: Served) -> None:
    with served.client() as client:
        found = shown(client)
    assert found["suspected"] == 2
    assert [(one["name"], one["likely_name"], one["choice"]) for one in found["photos"]] == [
        ("Greenfinch", "Redstart", None)
    ] * 2
    assert all(one["own"] < 0.1 < one["probability"] and one["alike"] for one in found["photos"])
    assert {one["species"]: one["learned"] for one in found["species"]} == {
        "redstart": 12,
        "greenfinch": 14,
        "bluetit": 12,
    }


def test_each_species_and_side_has_its_own_list(served: Served) -> None:
    with served.client() as client:
        assert {one["label"] for one in shown(client, species="bluetit")["photos"]} == {"bluetit"}
        assert shown(client, species="bluetit", split="held-out")["photos"] == []
        assert shown(client, species="nobody")["photos"] == []
        assert client.get("/api/cleaner?split=else").status_code == 422
        own = [one["own"] for one in shown(client, species="greenfinch")["photos"] if not one["suspected"]]
        assert own == sorted(own)


def test_each_click_is_saved_at_once_and_survives_another_species_and_a_reload(
    running: Served, open_page: OpenPage
) -> None:
    page = open_page(running, "/cleaner")
    with running.client() as client:
        first, second = (int(one["photo_id"]) for one in shown(client)["photos"])
    card(page, first).get_by_role("button", name="Redstart").click()
    expect(card(page, first)).to_contain_text("It is Redstart")
    card(page, second).get_by_role("button", name="Set aside").click()
    expect(card(page, second)).to_contain_text("Set aside")
    page.get_by_label("Show").select_option("bluetit")
    page.wait_for_url("**species=bluetit**")
    third = int(page.locator("[data-photo]").first.get_attribute("data-photo") or 0)
    card(page, third).get_by_role("button", name="Keep").click()
    expect(card(page, third)).to_contain_text("Kept: Bluetit")
    page.reload()
    expect(page.locator("#done").locator(f'[data-photo="{third}"]')).to_contain_text("Kept")
    page.get_by_label("Show").select_option("")
    page.wait_for_url("**species=&**")
    expect(card(page, first)).to_contain_text("It is Redstart")
    expect(card(page, second)).to_contain_text("Set aside")
    expect(page.get_by_text("All of these have been looked at.")).to_be_visible()
    until("the words", lambda: [words(running.root, one) for one in (first, second, third)] == [
        ["redstart"], [None], ["bluetit"]])  # fmt: skip
    with Store.read_only(running.root / shelving.DATABASE) as store:
        places = [store.questions.photo(one)["path"].rpartition("/")[0] for one in (first, second)]  # type: ignore[index]
    assert places[0] == "library/redstart"
    assert places[1].startswith("review/")


def test_a_choice_counts_before_the_daemon_has_carried_it_out(served: Served, open_page: OpenPage) -> None:
    page = open_page(served, "/cleaner")
    with served.client() as client:
        photo_id = int(shown(client)["photos"][0]["photo_id"])
        card(page, photo_id).get_by_role("button", name="Keep").click()
        expect(card(page, photo_id)).to_contain_text("Kept: Greenfinch")
        found = {one["photo_id"]: one["choice"] for one in shown(client)["photos"]}
        assert found[photo_id] == "kept"
        assert shown(client)["suspected"] == 1
        card(page, photo_id).get_by_role("button", name="Undo").click()
        expect(card(page, photo_id)).not_to_contain_text("Kept")
        card(page, photo_id).get_by_role("button", name="Set aside").click()
        expect(card(page, photo_id)).to_contain_text("Set aside")
        found = {one["photo_id"]: one["choice"] for one in shown(client)["photos"]}
        assert found[photo_id] == "set aside"
    assert words(served.root, photo_id) == []


def test_another_name_is_chosen_by_typing(served: Served, open_page: OpenPage) -> None:
    page = open_page(served, "/cleaner")
    one = page.locator("[data-photo]").first
    one.get_by_role("button", name="Other").click()
    expect(page.get_by_role("combobox", name="Species")).to_be_focused()
    page.keyboard.type("blue")
    page.keyboard.press("Enter")
    expect(one).to_contain_text("It is Bluetit")


def test_a_list_is_done_by_keys_alone(served: Served, open_page: OpenPage) -> None:
    page = open_page(served, "/cleaner")
    page.locator("[data-photo] [data-do=keep]").first.focus()
    for done in (1, 2):
        page.keyboard.press("Enter")
        expect(page.locator(".second.done")).to_have_count(done)


@pytest.mark.fault("W09")
def test_a_double_click_is_one_answer(served: Served, open_page: OpenPage) -> None:
    page = open_page(served, "/cleaner")
    one = page.locator("[data-photo]").first
    one.get_by_role("button", name="Redstart").evaluate("button => { button.click(); button.click(); }")
    expect(one).to_contain_text("It is Redstart")
    one.locator("[data-do=undo]").evaluate("button => { button.click(); button.click(); }")
    expect(one).not_to_contain_text("It is Redstart")
    page.wait_for_load_state("networkidle")
    with Store.read_only(served.root / shelving.DATABASE) as store:
        left = store.connection.rows("SELECT kind FROM requests WHERE kind IN ('answers', 'take-back') ORDER BY id")
    assert [row["kind"] for row in left] == ["answers", "take-back"]


def test_an_old_page_changes_nothing(served: Served, open_page: OpenPage) -> None:
    page = open_page(served, "/cleaner")
    one = page.locator("[data-photo]").first
    photo_id = int(one.get_attribute("data-photo") or 0)
    with sqlite3.connect(served.root / shelving.DATABASE) as db:
        db.execute(
            "INSERT INTO labels (photo_id, label, source, labelled_at) VALUES (?, 'wren', 'cli', '2099-01-01T00:00:00Z')",
            (photo_id,),
        )
    with served.client() as client:
        answer = {"key": "12345678", "species": "redstart", "photos": [{"photo_id": photo_id, "seen": "greenfinch"}]}
        assert client.post("/api/answers", json=answer).status_code == 409
        assert {one["photo_id"]: one["choice"] for one in shown(client)["photos"]}[photo_id] == "renamed"


def test_a_photo_that_is_another_by_now_is_not_shown(served: Served) -> None:
    with served.client() as client:
        photo_id = int(shown(client)["photos"][0]["photo_id"])
        with sqlite3.connect(served.root / shelving.DATABASE) as db:  # as after a restore of an older log
            db.execute("UPDATE photos SET sha256 = ? WHERE id = ?", ("f" * 64, photo_id))
        assert photo_id not in [one["photo_id"] for one in shown(client)["photos"]]


@pytest.mark.parametrize("content", [None, "", "{", '{"format_version": 1, "photos": 3}', '{"format_version": 2}'])
def test_without_a_list_that_can_be_read_the_page_says_what_to_do(
    served: Served, open_page: OpenPage, content: str | None
) -> None:
    place = served.root / shelving.JOBS / "1" / HARDEST_FILE
    place.unlink()
    if content is not None:
        place.write_text(content)
    if content in (None, "{"):
        page = open_page(served, "/cleaner")
        expect(page.get_by_text("There is nothing to look at again yet.")).to_be_visible()
    with served.client() as client:
        assert shown(client)["training"] is None


def test_the_training_writes_the_list(learned: Path) -> None:
    content = (learned / shelving.JOBS / "1" / HARDEST_FILE).read_text()
    assert len(from_json(content)) == len(json.loads(content)["photos"]) == 38


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("phone", [False, True])
def test_everybody_can_use_the_page(served: Served, open_page: OpenPage, dark: bool, phone: bool) -> None:
    page = open_page(served, "/cleaner", dark=dark, phone=phone)
    assert serious_issues(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("[data-do=other]").first.click()
    expect(page.locator("#chooser")).to_be_visible()
    assert serious_issues(page) == []
