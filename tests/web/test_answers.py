"""The review queue and answers by the API: what counts, what is refused, and that nothing refused leaves anything behind."""

import json
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route

from birdwatchd.core.photo import State
from birdwatchd.edges.store import Said, Store
from tests.edges.test_store import arrive
from tests.gardens import Garden
from tests.web.conftest import OpenPage, serious_issues
from tests.web.serving import Served, page_of

PHOTOS = [("redstart", 1), ("redstart", 2), ("greenfinch", 1), ("greenfinch", 2)]


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    """Four photos in review, two more with names; its daemon works only when it is told to."""
    one = Garden(root)
    one.drop(*PHOTOS)
    one.bring(root.parent / "tree", ("redstart", 9), ("greenfinch", 9))
    yield one
    one.close()


@pytest.fixture
def served(garden: Garden) -> Iterator[Served]:
    with page_of(garden.root) as one:
        yield one


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with served.client() as one:
        yield one


def post(
    client: httpx.Client, *photo_ids: int, species: str = "redstart", seen: str | None = None, **more: Any
) -> httpx.Response:
    photos = [{"photo_id": photo_id, "seen": seen} for photo_id in photo_ids]
    return client.post("/api/answers", json={"key": str(uuid.uuid4()), "species": species, "photos": photos} | more)


def undo(client: httpx.Client, **more: Any) -> httpx.Response:
    return client.post("/api/undo", json={"key": str(uuid.uuid4())} | more)


def shown(client: httpx.Client) -> dict[int, dict[str, Any]]:
    groups = client.get("/api/queue").raise_for_status().json()["groups"]
    return {card["photo_id"]: card for group in groups for card in group["cards"]}


def wishes(garden: Garden) -> list[dict[str, Any]]:
    return garden.store.connection.rows(
        "SELECT id, kind, arguments FROM requests WHERE kind IN ('answers', 'take-back')"
    )


def fulfil(garden: Garden) -> None:
    garden.steps_until(lambda: not garden.store.requests.open())


def test_what_waits_is_shown_in_groups_with_a_suggestion(client: httpx.Client) -> None:
    found = client.get("/api/queue").json()
    assert {group["species"] for group in found["groups"]} <= {"redstart", "greenfinch"}
    assert sorted(shown(client)) == [1, 2, 3, 4]
    card = shown(client)[1]
    assert card["seen"] is None
    assert card["reason"].startswith("a bird, but no model")
    assert {one["species"] for one in card["alike"]} == {"redstart", "greenfinch"}
    used = [one["species"] for one in found["species"] if one["used"]]
    assert sorted(used) == ["greenfinch", "redstart"]
    assert (found["waiting"], found["undo"], found["left_this_week"]) == (4, None, None)


def test_an_answer_counts_at_once_and_is_carried_out_by_the_daemon(garden: Garden, client: httpx.Client) -> None:
    told = post(client, 1, 2).raise_for_status().json()
    assert (told["name"], told["count"]) == ("Redstart", 2)
    assert sorted(shown(client)) == [3, 4], "no daemon has seen it yet"
    assert client.get("/api/queue/count").json() == {"waiting": 2}
    fulfil(garden)
    assert sorted(shown(client)) == [3, 4]
    assert garden.where()["filed", "redstart"] == 3
    words = garden.store.connection.rows("SELECT photo_id, label, source, actor FROM labels WHERE source = 'web'")
    assert [tuple(word.values()) for word in words] == [(1, "redstart", "web", "web"), (2, "redstart", "web", "web")]


def test_the_same_answer_sent_twice_is_given_once(garden: Garden, client: httpx.Client) -> None:
    key = str(uuid.uuid4())
    first, again = post(client, 1, key=key), post(client, 1, key=key)
    assert first.json() == again.json()
    fulfil(garden)
    assert post(client, 1, key=key).json() == first.json(), "also when it is fulfilled"
    assert len(wishes(garden)) == 1


@pytest.mark.fault("W09")
def test_a_key_that_comes_again_with_something_else_is_refused(garden: Garden, client: httpx.Client) -> None:
    answered, taken_back = str(uuid.uuid4()), str(uuid.uuid4())
    number = post(client, 1, key=answered).raise_for_status().json()["request_id"]
    undo(client, key=taken_back).raise_for_status()
    assert undo(client, key=taken_back, request_id=number).status_code == 200, "that is what it was about"
    before = wishes(garden)
    for refused in (
        post(client, 1, key=answered, species="greenfinch"),
        post(client, 2, key=answered),
        post(client, 1, key=taken_back),
        undo(client, key=answered),
        undo(client, key=taken_back, request_id=77),
    ):
        assert refused.status_code == 409
        assert refused.json()["error"] == "this key was sent before with something else"
    assert wishes(garden) == before


@pytest.mark.fault("W09")
@pytest.mark.parametrize("when", ["open", "fulfilled", "by hand"])
def test_a_stale_card_changes_nothing_also_not_for_its_group(garden: Garden, client: httpx.Client, when: str) -> None:
    if when == "by hand":
        garden.store.journeys.record_label(2, Said("greenfinch", "cli", "ann", "2026"))
    else:
        post(client, 2, species="greenfinch").raise_for_status()
    if when == "fulfilled":
        fulfil(garden)
    before = wishes(garden)
    refused = post(client, 1, 2)
    assert refused.status_code == 409
    assert refused.json() == {
        "error": "photo 2 is Greenfinch by now: somebody was faster",
        "hint": "nothing was written; look once more",
        "stale": [2],
    }
    assert wishes(garden) == before
    assert post(client, 2, seen="greenfinch").status_code == 200, "who has seen that may change it"


@pytest.mark.fault("W09")
def test_a_refusal_calls_birds_as_the_rest_of_the_page_does(garden: Garden) -> None:
    (garden.root / "config.toml").write_text('[web.names]\nredstart = "Rotschwanz"\n', encoding="utf-8")
    with page_of(garden.root) as served, served.client() as client:
        assert post(client, 1).json()["name"] == "Rotschwanz"
        assert "is Rotschwanz by now" in post(client, 1).json()["error"]
        assert "did you mean Rotschwanz?" in post(client, 2, species="redstrat").json()["hint"]


def test_a_photo_that_is_gone_changes_nothing(garden: Garden, client: httpx.Client) -> None:
    garden.store.journeys.record_missing([2])
    for photo_ids, sentence in (
        ((1, 2), "1 of the 2 photos is not"),
        ((2,), "this photo is not"),
        ((77,), "this photo is not"),
    ):
        refused = post(client, *photo_ids)
        assert refused.status_code == 409
        assert refused.json()["error"] == f"{sentence} in the bird folder any more"
    assert wishes(garden) == []


def test_an_unknown_species_is_asked_for_once_more(garden: Garden, client: httpx.Client) -> None:
    refused = post(client, 1, species="redstrat")
    assert refused.status_code == 422
    assert refused.json()["is_new"]
    assert refused.json()["error"] == "nobody has named a Redstrat here yet"
    assert "did you mean Redstart?" in refused.json()["hint"]
    assert wishes(garden) == []
    assert post(client, 1, species="wren", new_species=True).status_code == 200
    assert post(client, 2, species="wren").status_code == 200, "now it is known, before any daemon has heard of it"


@pytest.mark.parametrize("species", ["", ".hidden", "a/b", "x" * 150, "\u202egnp"])
def test_a_name_that_can_be_no_folder_changes_nothing(garden: Garden, client: httpx.Client, species: str) -> None:
    refused = post(client, 1, species=species, new_species=True)
    assert refused.status_code == 422
    assert "cannot be the name of a species" in refused.json()["error"]
    assert wishes(garden) == []


def test_no_bird_needs_no_confirmation(garden: Garden, client: httpx.Client) -> None:
    assert post(client, 1, species="empty").json()["name"] == "No bird"


def test_undo_goes_back_answer_by_answer_to_the_first(garden: Garden, client: httpx.Client) -> None:
    before = garden.where()
    for photo_id in (1, 2, 3):
        post(client, photo_id).raise_for_status()
        if photo_id == 2:
            fulfil(garden)
    assert client.get("/api/queue").json()["undo"]["count"] == 1
    back = [undo(client).json()["photo_ids"] for _ in range(3)]
    assert back == [[3], [2], [1]]
    assert sorted(shown(client)) == [1, 2, 3, 4], "before any daemon has heard of it"
    assert undo(client).status_code == 409
    assert undo(client).json()["error"] == "there is no answer of yours left to take back"
    fulfil(garden)
    assert garden.where() == before
    assert sorted(shown(client)) == [1, 2, 3, 4]


def test_a_name_that_was_only_taken_back_is_no_name_in_use(garden: Garden, client: httpx.Client) -> None:
    """A slip of the fingers keeps no digit, and is asked for once more like any new name."""
    for has_been_done in (False, True):
        post(client, 1, species="robbin", new_species=True).raise_for_status()
        if has_been_done:
            fulfil(garden)
        assert "robbin" in {one["species"] for one in client.get("/api/names").json()["species"] if one["used"]}
        undo(client).raise_for_status()
        fulfil(garden)
        assert "robbin" not in {one["species"] for one in client.get("/api/names").json()["species"]}
        assert post(client, 1, species="robbin").json()["is_new"] is True


def make_strange(garden: Garden, *photo_ids: int) -> None:
    """A model that knows redstarts and greenfinches has called these unlike both, though it would name them redstarts."""
    with garden.store.connection.writing():
        garden.store.connection.execute(
            "INSERT INTO models (id, kind, created_at, labels, metrics, path, recipe)"
            " VALUES (1, 'linear', '', '[\"greenfinch\", \"redstart\"]', '{}', '', '{}')"
        )
        for photo_id in photo_ids:
            garden.store.connection.execute(
                "UPDATE predictions SET model_id = 1, label = 'redstart', probability = 0.99, reason = 'unlike-anything'"
                " WHERE photo_id = ?",
                (photo_id,),
            )
            garden.store.connection.execute("UPDATE photos SET reason = 'unlike-anything' WHERE id = ?", (photo_id,))


def test_birds_unlike_all_that_a_model_knows_are_asked_about_as_new_and_not_named_by_the_way(
    garden: Garden, served: Served, client: httpx.Client, open_page: OpenPage
) -> None:
    make_strange(garden, 1, 2)
    new, *others = sorted(client.get("/api/queue").json()["groups"], key=lambda group: not group["is_strange"])
    assert (new["species"], new["name"], [card["photo_id"] for card in new["cards"]]) == (None, "", [1, 2])
    assert {card["photo_id"] for group in others for card in group["cards"]} == {3, 4}
    page = open_page(served, "/review")
    page.wait_for_selector('#review[aria-busy="false"]')
    group = page.locator(".group", has=page.locator("h2", has_text="New here?"))
    assert group.locator(".pick").count() == 2
    assert serious_issues(page) == []
    page.focus('.pick[data-id="1"]')
    page.keyboard.press("e")
    assert page.inner_text("#said") == "2 photos selected."
    assert page.inner_text("#accept-name") == "no suggestion"
    page.keyboard.press("Enter")
    assert "There is no suggestion here" in page.inner_text("#said")
    assert wishes(garden) == []
    page.keyboard.press("/")
    page.keyboard.type("Black Redstart")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.wait_for_selector('#review[aria-busy="false"]')
    assert [json.loads(one["arguments"])["species"] for one in wishes(garden)] == ["black-redstart"]


def test_a_bird_that_is_new_to_the_model_is_called_what_people_have_called_one_like_it_since(
    garden: Garden, client: httpx.Client
) -> None:
    make_strange(garden, 1, 2)
    post(client, 1, species="black-redstart", new_species=True).raise_for_status()
    ((group,),) = [
        [
            group
            for group in client.get("/api/queue").json()["groups"]
            if 2 in [card["photo_id"] for card in group["cards"]]
        ]
    ]
    assert (group["species"], group["is_strange"], group["cards"][0]["is_strange"]) == ("black-redstart", False, False)


def test_a_bird_unlike_all_that_have_names_is_so_after_an_undo_too(garden: Garden, client: httpx.Client) -> None:
    make_strange(garden, 1)
    assert shown(client)[1]["is_strange"]
    post(client, 1).raise_for_status()
    fulfil(garden)
    undo(client).raise_for_status()
    for _ in range(2):
        card = shown(client)[1]
        assert (card["is_strange"], card["guess"], card["probability"]) == (True, None, None)
        told = client.get("/api/photos/1").json()
        assert told["called"] is None
        fulfil(garden)
    assert told["photo"]["name"] == "New here"


def test_what_was_taken_back_can_be_answered_at_once(garden: Garden, client: httpx.Client) -> None:
    """Whether the daemon has carried the undo out by then or not: the card says the same."""
    post(client, 1).raise_for_status()
    fulfil(garden)
    undo(client).raise_for_status()
    card = shown(client)[1]
    fulfil(garden)
    assert post(client, 1, species="greenfinch", seen=card["seen"]).status_code == 200
    fulfil(garden)
    assert garden.where()["filed", "greenfinch"] == 2


def test_the_same_undo_sent_twice_takes_one_answer_back(garden: Garden, client: httpx.Client) -> None:
    post(client, 1).raise_for_status()
    post(client, 2).raise_for_status()
    key = str(uuid.uuid4())
    assert undo(client, key=key).json() == undo(client, key=key).json()
    assert 1 not in shown(client)


def test_an_audit_does_not_tell_the_guess_before_it_is_answered(
    garden: Garden, served: Served, client: httpx.Client
) -> None:
    with garden.store.connection.writing():
        garden.store.connection.execute(
            "INSERT INTO models (kind, created_at, labels, metrics, path, recipe) VALUES ('linear', '2026', '[]', '{}', '', '{}')"
        )
        garden.store.connection.execute(
            "INSERT INTO put_up (photo_id, model_id, label, put_up_at) VALUES (3, 1, 'jay', '2026')"
        )
    (audit,) = [group for group in client.get("/api/queue").json()["groups"] if group["audit"]]
    (card,) = audit["cards"]
    assert (card["photo_id"], card["guess"], card["guess_name"], card["alike"], audit["species"]) == (
        3,
        None,
        "",
        [],
        None,
    )
    assert "jay" not in str(card).lower()
    assert post(client, 3).json()["told"] == {"3": "Jay"}
    assert 3 not in shown(client)


def test_an_answered_audit_is_no_photo_less_that_waits(root: Path) -> None:
    with page_of(root) as served, served.client() as client:
        with Store.open(root / "birdwatchd.db") as store:
            for _ in range(2):
                arrive(store, outcome=State.REVIEW, reason="unsure")
            audited = arrive(store, label="robin")
            with store.connection.writing():
                store.connection.execute(
                    "INSERT INTO models (kind, created_at, labels, metrics, path, recipe)"
                    " VALUES ('linear', '2026', '[]', '{}', '', '{}')"
                )
                store.connection.execute("INSERT INTO put_up VALUES (?, 1, 'robin', '2026')", (audited,))
        post(client, audited, species="robin", new_species=True).raise_for_status()
        assert client.get("/api/queue").json()["waiting"] == 2
        assert client.get("/api/queue/count").json() == {"waiting": 2}, "the mark beside Review tells the same"


def test_a_budget_shows_no_more_than_it_asks_for(garden: Garden) -> None:
    with page_of(garden.root, environment={"BIRDWATCHD_WEB__REVIEW_BUDGET": "2"}) as served, served.client() as client:
        assert client.get("/api/queue").json()["left_this_week"] == 2
        first = next(iter(shown(client)))
        assert len(shown(client)) <= 2
        post(client, first).raise_for_status()
        assert client.get("/api/queue").json()["left_this_week"] == 1
        fulfil(garden)
        assert client.get("/api/queue").json()["left_this_week"] == 1
        post(client, next(iter(shown(client)))).raise_for_status()
        assert shown(client) == {}
        assert client.get("/api/queue").json()["left_this_week"] == 0


@pytest.mark.fault("W01")
def test_strangers_answer_nothing(garden: Garden, served: Served) -> None:
    with served.stranger() as stranger:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            stranger.headers = httpx.Headers(headers)
            assert post(stranger, 1).status_code in (401, 403)
            assert undo(stranger).status_code in (401, 403)
            assert stranger.get("/api/queue").status_code == 401
    assert wishes(garden) == []


@pytest.mark.fault("W11")
def test_a_busy_log_is_told_kindly_and_to_be_tried_again(garden: Garden, client: httpx.Client) -> None:
    other = sqlite3.connect(garden.root / "birdwatchd.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        refused = post(client, 1)
    finally:
        other.close()
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert "locked by another program" in refused.json()["error"]
    assert wishes(garden) == []
    assert post(client, 1).status_code == 200


def test_a_page_before_the_daemon_ever_ran_says_what_to_do(root: Path) -> None:
    with page_of(root) as served, served.client() as client:
        assert client.get("/review").status_code == 200
        for answer in (client.get("/api/queue"), post(client, 1), undo(client)):
            assert answer.status_code == 503
            assert "birdwatchd init" in answer.json()["hint"]


def test_the_page_is_used_by_keys_by_mouse_and_survives_a_reload(
    garden: Garden, served: Served, open_page: OpenPage
) -> None:
    page = open_page(served, "/review")
    page.wait_for_selector('#review[aria-busy="false"]')
    assert serious_issues(page) == []
    assert page.inner_text("#progress").startswith("0 of 4 answered")
    first = int(page.get_attribute(".pick.here", "data-id") or 0)
    page.keyboard.press("x")
    page.wait_for_selector('#review[aria-busy="false"]')
    assert page.inner_text("#said") == "It is No bird."
    assert page.query_selector(f'.pick[data-id="{first}"]') is None
    page.reload()
    page.wait_for_selector(".pick")
    assert page.query_selector(f'.pick[data-id="{first}"]') is None
    assert page.inner_text("#progress").startswith("1 of 4 answered")
    page.keyboard.press("u")
    page.wait_for_selector(f'.pick.here[data-id="{first}"]')
    page.click(f'.pick[data-id="{first}"]')
    assert page.get_attribute(f'.pick[data-id="{first}"]', "aria-pressed") == "true"
    page.click("#nobird")
    page.wait_for_selector('#review[aria-busy="false"]')
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    assert serious_issues(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.type("reen")
    assert page.inner_text("#choices li[aria-selected=true]").startswith("Greenfinch")
    assert serious_issues(page) == []
    page.keyboard.press("Enter")
    page.wait_for_selector('#review[aria-busy="false"]')
    page.keyboard.press("/")
    page.keyboard.type("Crested Tit")
    page.keyboard.press("Enter")
    assert page.is_visible("#confirm")
    page.keyboard.press("Enter")
    page.wait_for_selector('#review[aria-busy="false"]')
    with Store.read_only(garden.root / "birdwatchd.db") as store:
        rows = store.connection.rows("SELECT arguments FROM requests WHERE kind = 'answers' ORDER BY id")
    given = [json.loads(row["arguments"])["species"] for row in rows]
    assert given == ["empty", "empty", "greenfinch", "crested-tit"]


@pytest.mark.fault("W09")
def test_undo_takes_back_the_answer_that_is_still_on_its_way(
    garden: Garden, served: Served, open_page: OpenPage
) -> None:
    page = open_page(served, "/review")
    page.wait_for_selector('#review[aria-busy="false"]')
    page.keyboard.press("x")
    page.wait_for_selector('#review[aria-busy="false"]')
    held: list[Route] = []
    page.route("**/api/answers", lambda route: held.append(route))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2] if request.method == "POST" else ""))
    page.keyboard.press("x")
    page.keyboard.press("u")
    page.wait_for_timeout(200)  # in which an undo that does not wait its turn is sent
    assert list(filter(None, asked)) == ["answers"]
    held[0].continue_()
    page.wait_for_selector('#review[aria-busy="false"]')
    assert [wish["kind"] for wish in wishes(garden)] == ["answers", "answers", "take-back"]
    first, second, back = wishes(garden)
    assert json.loads(back["arguments"])["request_id"] == second["id"] > first["id"]


@pytest.mark.fault("W09")
def test_undo_of_an_answer_that_was_refused_takes_no_other_back(
    garden: Garden, served: Served, open_page: OpenPage
) -> None:
    page = open_page(served, "/review", refused=409)
    page.wait_for_selector('#review[aria-busy="false"]')
    page.keyboard.press("x")
    page.wait_for_selector('#review[aria-busy="false"]')
    here = int(page.get_attribute(".pick.here", "data-id") or 0)
    held: list[Route] = []
    page.route("**/api/answers", lambda route: held.append(route))
    page.keyboard.press("x")
    page.keyboard.press("u")
    garden.store.journeys.record_label(here, Said("greenfinch", "cli", "ann", "2026"))  # somebody is faster
    page.wait_for_timeout(50)
    held[0].continue_()
    page.wait_for_selector('#review[aria-busy="false"]')
    assert [wish["kind"] for wish in wishes(garden)] == ["answers"]


@pytest.mark.fault("W09")
def test_who_takes_back_takes_back_what_this_browser_has_said(
    garden: Garden, served: Served, client: httpx.Client, open_page: OpenPage
) -> None:
    """Ann and Bob answer at once, and so does a program; of each the last comes first, also after a reload and in another tab."""

    def press(page: Page, key: str) -> None:
        page.keyboard.press(key)
        page.wait_for_selector('#review[aria-busy="false"]')

    def reload(page: Page) -> None:
        page.reload()
        page.wait_for_selector(".pick")
        page.wait_for_selector('#review[aria-busy="false"]')

    ann = open_page(served, "/review", refused=409)
    bob = open_page(served, "/review", refused=409)
    for page in (ann, bob):
        page.wait_for_selector('#review[aria-busy="false"]')
    said = []
    for who in (ann, bob, ann):
        reload(who)  # to see what the other has answered
        said.append(int(who.get_attribute(".pick.here", "data-id") or 0))
        press(who, "x")
    program = next(iter(shown(client)))
    post(client, program).raise_for_status()
    first, of_bob, second = said
    tab = ann.context.new_page()
    tab.goto(f"{served.address}/review")
    tab.wait_for_selector("#undo:enabled")
    press(tab, "u")
    assert sorted(shown(client)) == [second]
    reload(ann)
    press(ann, "u")
    assert sorted(shown(client)) == sorted([first, second])
    press(ann, "u")
    assert ann.inner_text("#said").startswith("There is no answer of yours left to take back.")
    assert ann.is_disabled("#undo")
    assert sorted(shown(client)) == sorted([first, second]), "what Bob has said stays"
    press(bob, "u")
    assert sorted(shown(client)) == sorted([first, second, of_bob])
    assert undo(client).json()["photo_ids"] == [program]
    assert undo(client).status_code == 409


def test_who_logs_in_anew_is_another_browser_and_a_certain_answer_can_be_taken_back_by_all(
    served: Served, client: httpx.Client, open_page: OpenPage
) -> None:
    page = open_page(served, "/review", refused=409)
    page.wait_for_selector('#review[aria-busy="false"]')
    page.keyboard.press("x")
    page.wait_for_selector('#review[aria-busy="false"]')
    number = page.evaluate("async () => (await (await fetch('/api/queue')).json()).undo.request_id")
    page.get_by_role("button", name="Log out").click()
    page.goto(f"{served.address}/login?to=/review#token={served.token}")
    page.wait_for_url(f"{served.address}/review")
    page.wait_for_selector('#review[aria-busy="false"]')
    assert page.is_disabled("#undo")
    assert undo(client, request_id=number).json()["answer"] == number
    assert undo(client, request_id=12345).json()["error"] == "there is no such answer to take back"


def test_the_name_that_is_taken_is_the_one_that_is_marked(garden: Garden, served: Served, open_page: OpenPage) -> None:
    """Who was asked about one new name and goes on to another is asked about that one; signs are like no name at all."""
    page = open_page(served, "/review")
    page.wait_for_selector('#review[aria-busy="false"]')
    page.keyboard.press("/")
    page.keyboard.type("gold")
    first, second = (page.locator("#choices li").nth(place).inner_text().split(" ·")[0] for place in range(2))
    page.keyboard.press("Enter")
    assert f"“{first}”" in page.inner_text("#confirm")
    page.keyboard.press("ArrowDown")
    assert page.is_hidden("#confirm")
    page.keyboard.press("Enter")
    assert f"“{second}”" in page.inner_text("#confirm")
    page.keyboard.press("Enter")
    page.wait_for_selector('#review[aria-busy="false"]')
    assert page.inner_text("#said") == f"It is {second}."
    page.keyboard.press("/")
    page.fill("#typed", "☺")
    assert page.locator("#choices li").all_inner_texts() == ["☺: a new name"]
    page.fill("#typed", "Great Snipe")
    page.keyboard.press("Enter")
    assert "“Great Snipe”" in page.inner_text("#confirm")
    page.keyboard.press("Enter")
    page.wait_for_selector('#review[aria-busy="false"]')
    assert page.inner_text("#said") == "It is Great snipe."


def test_the_review_page_says_when_new_photos_come(garden: Garden, served: Served, open_page: OpenPage) -> None:
    page = open_page(served, "/review")
    with page.expect_response("**/api/events*"):
        pass
    garden.drop(("greenfinch", 3))
    page.wait_for_selector(".news:has-text('1 new photo')")
    assert serious_issues(page) == []
    page.click(".news button")
    page.wait_for_selector(":nth-match(.pick, 5)")


def test_on_a_phone_the_help_speaks_of_the_thumb(served: Served, open_page: OpenPage) -> None:
    page = open_page(served, "/review", phone=True)
    page.wait_for_selector('#review[aria-busy="false"]')
    page.click("#help")
    assert page.is_visible("#keys .by-thumb")
    assert page.is_hidden("#keys .by-keys")
