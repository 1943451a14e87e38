"""The garden, photos, photo, species and day pages, over logs that the store itself wrote."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from birdwatchd.core import shelving
from birdwatchd.core.photo import State
from birdwatchd.edges.store import Store
from tests.edges.test_store import arrive, say
from tests.service.running import birdwatchd
from tests.web.conftest import OpenPage, serious_issues
from tests.web.serving import Served, page_of

PAGES = ("/", "/?period=year", "/photos", "/photos?species=robin", "/photos/1", "/species/robin", "/days/{day}")
TODAY = datetime.now().replace(hour=9, minute=0, second=0, microsecond=0)


def at(days_ago: float, minute: int = 0) -> str:
    return (TODAY - timedelta(days=days_ago) + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S")


def garden(root: Path) -> None:
    """Robins of three days in two visits each, wrens of long ago and one that a person named, one that waits, one without a bird."""
    with Store.open(root / shelving.DATABASE) as store:
        for day in range(3):
            for minute in (0, 1, 20):
                arrive(store, camera="feeder", captured_at=at(day, minute))
        for day in (400, 401):
            arrive(store, camera="pond", captured_at=at(day), label="wren")
        say(store, arrive(store, captured_at=at(0, 30), label="jay"), "wren")
        arrive(store, outcome=State.REVIEW, label="jay", reason="unsure", captured_at=at(0, 40))
        arrive(store, outcome=State.EMPTY, label=None, reason="no-bird", captured_at=at(0, 50))


@pytest.fixture
def served(root: Path) -> Iterator[Served]:
    """The page over that garden; no daemon runs."""
    with page_of(root) as one:
        garden(root)
        yield one


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("dark", "phone"), [(False, False), (True, True)])
def test_every_page_is_for_all_people_in_light_and_dark_wide_and_on_a_phone(
    served: Served, open_page: OpenPage, path: str, *, dark: bool, phone: bool
) -> None:
    page = open_page(served, path.format(day=TODAY.date()), dark=dark, phone=phone)
    for plot in page.locator(".plot").all():
        expect(plot.locator("canvas")).to_have_count(1)
    assert serious_issues(page) == []
    width = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert width <= 0, f"{path} is wider than the screen"


def test_the_plots_numbers_are_told_as_tables_too(served: Served, open_page: OpenPage) -> None:
    page = open_page(served, "/")
    page.locator("section[aria-labelledby='by-hour'] summary").click()
    row = page.locator("[data-numbers=hours] tbody tr", has_text="09")
    expect(row.locator("td").first).to_have_text("7")  # two visits of robins on each of three days, and the wren


def test_visits_are_counted_by_day_and_hour_and_species(served: Served) -> None:
    with served.client() as client:
        told = client.get("/api/garden", params={"period": "week"}).json()
    assert (told["visits"], told["photos"], told["species"]) == (7, 10, 2)
    robins, wrens = told["days"]["series"]
    assert (robins["name"], robins["visits"][-3:], wrens["visits"][-1]) == ("Robin", [2, 2, 2], 1)
    assert told["hours"]["series"][0]["visits"][9] == 6


def test_a_photo_without_a_camera_clock_is_counted_by_the_clock_on_the_wall(root: Path) -> None:
    for zone, hour, day in (
        ("UTC", 1, "2026-05-02"),
        ("America/Los_Angeles", 18, "2026-05-01"),
        ("Asia/Tokyo", 10, "2026-05-02"),
    ):
        with page_of(root, environment={"TZ": zone}) as served, served.client() as client:
            with Store.open(root / shelving.DATABASE) as store:
                if not store.seasons.species():
                    arrive(store, received_at="2026-05-02T01:30:00.000Z")
            told = client.get(f"/api/days/{day}").json()
            assert [visit["began"][11:13] for visit in told["visits"]] == [f"{hour:02d}"], zone
            assert client.get("/api/photos").json()["photos"][0]["day"] == day


AT_THE_EDGE = (
    ("UTC", ("2026-05-01", "2026-05-02", "2026-05-02"), ("2026-05-02", "2026-05-02", "2026-05-03")),
    ("Asia/Tokyo", ("2026-05-02", "2026-05-02", "2026-05-02"), ("2026-05-02", "2026-05-03", "2026-05-03")),
    ("America/Los_Angeles", ("2026-05-01", "2026-05-01", "2026-05-02"), ("2026-05-02", "2026-05-02", "2026-05-02")),
)
"""Days by the wall of photos that arrived at the first three of these times in UTC, and at the last three."""

ARRIVED = ("2026-05-01T15:00:00.000Z", "2026-05-02T06:59:59.000Z", "2026-05-02T07:00:00.000Z")
LATER = ("2026-05-02T14:59:59.000Z", "2026-05-02T15:00:00.000Z", "2026-05-03T06:59:59.000Z")


@pytest.mark.parametrize(("zone", "first", "last"), AT_THE_EDGE)
def test_a_photo_is_of_the_same_day_on_every_page(
    root: Path, zone: str, first: tuple[str, ...], last: tuple[str, ...]
) -> None:
    """Half of them have only the time of their arrival; a camera's own clock is the wall's."""
    days = dict(enumerate((*first, *last), start=1))
    with page_of(root, environment={"TZ": zone}) as served, served.client() as client:
        with Store.open(root / shelving.DATABASE) as store:
            for moment in (*ARRIVED, *LATER):
                arrive(store, received_at=moment)
            for hour in ("2026-05-02T00:00:00", "2026-05-02T23:59:59"):
                days[arrive(store, received_at=ARRIVED[0], captured_at=hour, camera="feeder")] = "2026-05-02"
            for state, label in ((State.REVIEW, "wren"), (State.EMPTY, None)):
                for moment, day in zip((*ARRIVED, *LATER), (*first, *last), strict=True):
                    days[arrive(store, outcome=state, label=label, reason="unsure", received_at=moment)] = day
            say(store, 2, "robin")

        def ids(**chosen: str) -> set[int]:
            return {photo["photo_id"] for photo in client.get("/api/photos", params=chosen).json()["photos"]}

        told = {photo["photo_id"]: photo["day"] for photo in client.get("/api/photos").json()["photos"]}
        assert told == days
        for day in ("2026-04-30", "2026-05-01", "2026-05-02", "2026-05-03", "2026-05-04"):
            of_that_day = {photo_id for photo_id in days if days[photo_id] == day}
            only = {"since": day, "until": day}
            assert ids(**only) == of_that_day, day
            assert ids(since=day) == {photo_id for photo_id in days if days[photo_id] >= day}
            assert ids(until=day) == {photo_id for photo_id in days if days[photo_id] <= day}
            assert ids(species="robin", **only) == ids(by="machine", **only) | ids(by="human", **only)
            assert ids(species="robin", **only) == of_that_day & set(range(1, 9))
            assert ids(by="human", **only) == of_that_day & {2}
            assert ids(camera="-", which="named", **only) == of_that_day & set(range(1, 7))
            page = client.get(f"/api/days/{day}").json()
            shown = {photo["photo_id"] for visit in page["visits"] for photo in visit["shown"]}
            assert shown == of_that_day & set(range(1, 9)), day
            assert (page["waiting"], page["empty"]) == (
                len(ids(which="review", **only)),
                len(ids(which="empty", **only)),
            )
            assert page["waiting"] == len(of_that_day & set(range(9, 15))), day
        robin = client.get("/api/species/robin").json()
        assert (robin["first"], robin["last"]) == (min(first), max(*last, "2026-05-02"))


@pytest.mark.parametrize(
    ("zone", "day"), [("UTC", "2026-05-01"), ("Asia/Tokyo", "2026-05-02"), ("America/Los_Angeles", "2026-05-01")]
)
def test_models_are_told_with_the_day_on_the_wall(root: Path, zone: str, day: str) -> None:
    with page_of(root, environment={"TZ": zone}) as served, served.client() as client:
        with Store.open(root / shelving.DATABASE) as store, store.connection.writing():
            store.connection.execute(
                "INSERT INTO models (kind, created_at, promoted_at, labels, metrics, path, recipe)"
                " VALUES ('linear', '2026-05-01T15:00:00.000Z', '2026-05-01T15:00:00.000Z', '[]', '{}', 'a', '{}')"
            )
        page = client.get("/models").text
        assert page.count(f'<time datetime="2026-05-01T15:00:00.000Z">{day}</time>') == 2
        assert client.get("/api/models").json()["models"][0]["created_at"] == "2026-05-01T15:00:00.000Z", (
            "programs get UTC"
        )


def test_the_review_page_tells_when_a_photo_came_by_the_clock_on_the_wall_too(root: Path) -> None:
    with page_of(root, environment={"TZ": "Asia/Tokyo"}) as served, served.client() as client:
        with Store.open(root / shelving.DATABASE) as store:
            photo_id = arrive(store, outcome=State.REVIEW, reason="unsure", received_at="2026-05-02T20:30:00.000Z")
        ((card,),) = [group["cards"] for group in client.get("/api/queue").json()["groups"]]
        assert card["at"] == client.get(f"/api/photos/{photo_id}").json()["photo"]["at"] == "2026-05-03T05:30:00"


def test_the_heat_map_is_of_one_bird_or_of_all(served: Served) -> None:
    with served.client() as client:
        every = dict(client.get("/api/garden/year").json()["days"])
        wrens = dict(client.get("/api/garden/year", params={"species": "wren"}).json()["days"])
    assert every[str(TODAY.date())] == 3
    assert wrens == {str(TODAY.date()): 1}


def test_every_choice_on_the_photos_page_shows_just_those(served: Served) -> None:
    with served.client() as client:

        def ids(**chosen: str) -> set[int]:
            return {photo["photo_id"] for photo in client.get("/api/photos", params=chosen).json()["photos"]}

        everything = set(range(1, 15))
        assert ids() == everything
        assert ids(species="robin") == set(range(1, 10))
        assert ids(species="wren") == {10, 11, 12}
        assert ids(species="wren", by="human") == ids(by="human") == {12}
        assert ids(by="machine") == set(range(1, 12))
        assert ids(which="review") == {13}
        assert ids(which="empty") == {14}
        assert ids(camera="pond") == {10, 11}
        assert ids(camera="-") == {12, 13, 14}
        assert ids(species="robin", camera="pond") == set()
        assert ids(since=str(TODAY.date())) == {1, 2, 3, 12, 13, 14}
        assert ids(until=str((TODAY - timedelta(days=300)).date())) == {10, 11}
        assert ids(
            species="robin",
            since=str((TODAY - timedelta(days=1)).date()),
            until=str((TODAY - timedelta(days=1)).date()),
        ) == {
            4,
            5,
            6,
        }


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("species=robin&which=review", 422),
        ("older=rubbish", 422),
        ("newer=W10", 422),
        ("older=W1siYSJd", 422),
        ("since=9999-12-31", 422),
        ("since=yesterday", 422),
        ("which=everywhere", 422),
        ("species=dodo", 200),
        ("unknown=1", 200),
    ],
)
def test_a_choice_that_is_none_is_told_kindly(served: Served, query: str, status: int) -> None:
    with served.client() as client:
        answer = client.get(f"/api/photos?{query}")
        assert answer.status_code == status
        assert client.get(f"/photos?{query}").status_code == status
        if status != 200:
            assert answer.json()["error"]
            assert "Traceback" not in answer.text


def test_pages_follow_one_another_without_a_gap_or_a_photo_twice(root: Path) -> None:
    with page_of(root) as served, served.client() as client:
        with Store.open(root / shelving.DATABASE) as store:
            for number in range(150):
                label = "robin" if number % 3 else "wren"
                arrive(store, camera=("a", "b", None)[number % 3], captured_at=at(0, number // 4), label=label)
        for chosen in ({}, {"species": "robin"}, {"camera": "a"}, {"by": "machine"}):
            told, marks, backwards = [], [], []
            older = None
            while True:
                answer = client.get("/api/photos", params=chosen | ({"older": older} if older else {})).json()
                told += [photo["photo_id"] for photo in answer["photos"]]
                marks.append(answer)
                older = answer["older"]
                if older is None:
                    break
            assert len(told) == len(set(told))
            assert told == sorted(told, key=lambda one: (-((one - 1) // 4), -one))
            newer = marks[-1]["newer"]
            backwards = [photo["photo_id"] for photo in marks[-1]["photos"]]
            while newer is not None:
                answer = client.get("/api/photos", params=chosen | {"newer": newer}).json()
                backwards = [photo["photo_id"] for photo in answer["photos"]] + backwards
                newer = answer["newer"] if len(answer["photos"]) == 60 else None
            assert backwards == told


def test_the_receipt_tells_all_that_was_seen_and_said_in_order(served: Served) -> None:
    with Store.open(served.root / shelving.DATABASE, migrate=False) as store:
        say(store, 12, None)
    with served.client() as client:
        told = client.get("/api/photos/12").json()
        assert [event["what"] for event in told["events"]] == [
            "Arrived as a.jpg",
            "Filed as Jay",
            "Named Wren by a command",
            "Its name was taken back by a command",
        ]
        assert told["events"][1]["guesses"][0] == {"species": "jay", "name": "Jay", "probability": 0.75}
        assert told["called"] is None
        page = client.get("/photos/12").text
        assert "Filed as Jay" in page
        assert client.get("/photos/999").status_code == client.get("/api/photos/999").status_code == 404
        assert "<h1>There is no photo 999</h1>" in client.get("/photos/999", headers={"Accept": "text/html"}).text


def test_a_bird_that_was_never_seen_has_no_page(served: Served) -> None:
    with served.client() as client:
        answer = client.get("/api/species/dodo")
        assert answer.status_code == 404
        assert answer.json()["error"] == "no photo is named Dodo here"
        assert client.get("/species/dodo").status_code == 404


def test_a_name_that_looks_like_a_script_is_only_text(served: Served, open_page: OpenPage) -> None:
    evil = "<img src=x onerror=alert(1)>'\"&"
    with Store.open(served.root / shelving.DATABASE, migrate=False) as store:
        say(store, 1, evil)
        for path in ("/", "/photos", "/photos/1", f"/days/{TODAY.date()}"):
            page = open_page(served, path)
            assert page.locator("img[src=x]").count() == 0, path
            assert evil in page.inner_text("main") or "<img" in page.content().replace("&lt;", "<")


def test_what_the_machine_takes_for_what_is_told(served: Served) -> None:
    with Store.open(served.root / shelving.DATABASE, migrate=False) as store, store.connection.writing():
        store.connection.execute(
            "INSERT INTO models (id, kind, created_at, labels, metrics, path, recipe) VALUES (1, 'linear', '', '', '{}', '', '{}')"
        )
        store.connection.execute("UPDATE predictions SET model_id = 1")
    with served.client() as client:
        assert client.get("/api/species/wren").json()["taken_for"] == [{"species": "jay", "name": "Jay", "photos": 1}]


def test_a_bird_unlike_all_that_have_names_is_not_called_like_one(served: Served) -> None:
    """Of names of which none fits, the likeliest is no guess."""
    with Store.open(served.root / shelving.DATABASE, migrate=False) as store:
        photo_id = arrive(store, outcome=State.REVIEW, label="jay", reason="unlike-anything", captured_at=at(0, 45))
        with served.client() as client:
            photo = client.get(f"/api/photos/{photo_id}").json()["photo"]
            assert (photo["name"], photo["species"], photo["probability"]) == ("New here", None, None)
            assert "It is a Jay" not in client.get(f"/photos/{photo_id}").text
            say(store, photo_id, "jay")
            photo = client.get(f"/api/photos/{photo_id}").json()["photo"]
            assert (photo["name"], photo["species"], photo["named_by"]) == ("Jay", "jay", "human")


def test_a_bird_that_only_people_have_named_has_a_page_without_complaint(served: Served, open_page: OpenPage) -> None:
    with Store.open(served.root / shelving.DATABASE, migrate=False) as store:
        say(store, arrive(store, captured_at=at(0, 35), label="jay"), "dunnock")
    page = open_page(served, "/species/dunnock")
    page.wait_for_selector("#hours canvas, #hours svg")
    page.wait_for_load_state("networkidle")
    assert page.locator(".toasts p").all_inner_texts() == []


def test_a_day_shows_its_visits_in_order(served: Served) -> None:
    with served.client() as client:
        told = client.get(f"/api/days/{TODAY.date()}").json()
        assert [(visit["began"][11:16], visit["species"], visit["photos"]) for visit in told["visits"]] == [
            ("09:00", "robin", 2),
            ("09:20", "robin", 1),
            ("09:30", "wren", 1),
        ]
        assert (told["waiting"], told["empty"]) == (1, 1)
        assert {client.get(f"/days/{day}").status_code for day in ("0001-01-01", "soon")} <= {404, 422}


def test_a_bird_that_only_people_have_named_has_a_page_without_complaints(served: Served, open_page: OpenPage) -> None:
    with Store.open(served.root / shelving.DATABASE, migrate=False) as store:
        say(store, 1, "dunnock")
    page = open_page(served, "/species/dunnock")
    expect(page.locator("#hours canvas")).to_have_count(1)
    expect(page.locator("#mixed")).to_be_visible()
    assert "have their name from people" in page.inner_text("main")
    assert page.inner_text(".toasts") == ""


def test_a_photo_is_named_anew_from_its_page(served: Served, open_page: OpenPage) -> None:
    page = open_page(served, "/photos/13")
    page.fill("#species", "Wren")
    page.click("#naming button.primary")
    expect(page.locator(".toasts")).to_contain_text("Named Wren")
    expect(page.locator("#name-it")).to_have_text("Name it again")
    with Store.read_only(served.root / shelving.DATABASE) as store:
        (wish,) = store.requests.open()
        assert (wish.kind, wish.arguments["photo_ids"], wish.arguments["species"]) == ("answers", [13], "wren")


def test_a_species_that_is_new_here_is_asked_for_once_more(served: Served, open_page: OpenPage) -> None:
    page = open_page(served, "/photos/13")
    page.fill("#species", "Red  Kite")
    page.keyboard.press("Enter")
    expect(page.locator("#is-new")).to_contain_text("Nobody has used the name red-kite here yet")
    with Store.read_only(served.root / shelving.DATABASE) as store:
        assert store.requests.open() == []
        page.keyboard.press("Enter")  # the button has the focus
        expect(page.locator(".toasts")).to_contain_text("Named Red kite")
        assert [wish.arguments["species"] for wish in store.requests.open()] == ["red-kite"], "as on the review page"


def test_a_garden_without_a_photo_says_what_to_do_first(root: Path, open_page: OpenPage) -> None:
    with page_of(root) as served:
        Store.open(root / shelving.DATABASE).close()
        page = open_page(served, "/", phone=True)
        assert str(root / "inbox") in page.inner_text("main")
        assert "birdwatchd run" in page.inner_text("main"), "none is running"
        assert serious_issues(page) == []
        page.close()


def test_how_many_names_it_takes_is_told_everywhere_as_the_settings_have_it(root: Path) -> None:
    set_so = {"BIRDWATCHD_TRAINING__MIN_LABELS_PER_SPECIES": "7"}
    with page_of(root, environment=set_so) as served, served.client() as client:
        Store.open(root / shelving.DATABASE).close()
        told = {path: client.get(path).raise_for_status().text for path in ("/", "/models", "/health")}
    told["models list"] = birdwatchd("models", "list", root=root, environment=set_so).stdout
    assert [where for where, text in told.items() if "7 photos of each of two species" not in text] == []


def test_a_garden_whose_photos_have_no_names_says_so(root: Path, open_page: OpenPage) -> None:
    with page_of(root) as served:
        with Store.open(root / shelving.DATABASE) as store:
            arrive(store, outcome=State.REVIEW, reason="no-classifier")
        page = open_page(served, "/")
        assert "1 photo waits for you" in page.inner_text("main")
        assert "10 more names until birdwatchd can learn" in page.inner_text("main")
        assert serious_issues(page) == []
        page.close()


def test_looking_changes_nothing(served: Served) -> None:
    with Store.read_only(served.root / shelving.DATABASE) as store, served.client() as client:
        before = store.connection.value("PRAGMA data_version")
        for path in (*PAGES, "/api/garden", "/api/garden/year", "/api/photos", "/api/photos/1", "/api/species/robin"):
            assert client.get(path.format(day=TODAY.date())).status_code == 200
        assert store.connection.value("PRAGMA data_version") == before
