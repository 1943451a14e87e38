"""Whoever is not our own page changes nothing and sees nothing: forged, cross-site, rebound and odd requests, against the real page."""

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from birdwatchd.core.settings import Settings
from birdwatchd.web.access import COOKIE, Doorman, Keys
from birdwatchd.web.app import build_app
from birdwatchd.web.gate import HEADERS
from birdwatchd.web.server import token_file
from tests.gardens import Garden
from tests.service.running import birdwatchd
from tests.web.attacking import Answer, Headers, footprint, raw, read_answer, request
from tests.web.serving import Served, page_of

SECRET = b"nobody may read this"


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bird folder with photos, and something secret beside it."""
    from birdwatchd.edges.files import Files

    root = tmp_path_factory.mktemp("attacked") / "birdwatch"
    Files(root).create()
    one = Garden(root)
    one.drop(*[("redstart", number) for number in range(3)])
    one.close()
    (root.parent / "secret.txt").write_bytes(SECRET)
    (root / "quarantine" / "secret.txt").write_bytes(SECRET)
    (root / ".birdwatchd" / "thumbs" / "secret.txt").symlink_to(root.parent / "secret.txt")
    return root


@pytest.fixture(scope="module")
def served(garden: Path) -> Iterator[Served]:
    with page_of(garden) as one:
        yield one


@pytest.fixture
def nothing_moves(garden: Path) -> Iterator[None]:
    before = footprint(garden)
    yield
    assert footprint(garden) == before


def answer_body(key: str) -> bytes:
    """A wish that would be left if it came from our own page."""
    photos = [{"photo_id": 1, "seen": None}]
    return json.dumps({"key": key, "species": "house-finch", "photos": photos, "new_species": True}).encode()


WISH = "/api/answers"
JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


class Browser:
    """What a browser that is logged in would send."""

    def __init__(self, served: Served) -> None:
        self.keys = Keys(served.token)
        self.cookie = self.keys.new_session(time.time())
        session = self.keys.session(self.cookie, time.time())
        assert session is not None
        self.csrf = self.keys.csrf(session)
        other = self.keys.session(self.keys.new_session(time.time()), time.time())
        assert other is not None
        self.others_csrf = self.keys.csrf(other)
        self.origin = f"http://127.0.0.1:{served.port}"
        self.token = served.token

    def sends(self, *, without: tuple[str, ...] = (), **other: str) -> list[tuple[str, str]]:
        """Its headers, some of them other ones or left out."""
        own = {
            "Cookie": f"{COOKIE}={self.cookie}",
            "X-CSRF-Token": self.csrf,
            "Sec-Fetch-Site": "same-origin",
            "Origin": self.origin,
            "Content-Type": "application/json",
        } | {name.replace("_", "-"): value for name, value in other.items()}
        return [(name, value) for name, value in own.items() if name not in without]


def strangers(b: Browser) -> dict[str, list[tuple[str, str]]]:
    """W01: without the token, or with something like it."""
    id_, began, mark = b.cookie.split(".")
    ours = ("Sec-Fetch-Site", "same-origin"), ("Origin", b.origin), ("X-CSRF-Token", b.csrf), JSON

    def with_cookie(value: str) -> list[tuple[str, str]]:
        return [("Cookie", value), *ours]

    def with_word(value: str) -> list[tuple[str, str]]:
        return [("Authorization", value), JSON]

    return {
        "nothing": [JSON],
        "nothing but our page's marks": [*ours],
        "wrong token": with_word("Bearer " + "A" * 43),
        "part of the token": with_word(f"Bearer {b.token[:-1]}"),
        "token and more": with_word(f"Bearer {b.token}x"),
        "token in capitals": with_word(f"Bearer {b.token.swapcase()}"),
        "empty token": with_word("Bearer "),
        "no kind": with_word(b.token),
        "basic": with_word("Basic " + b.token),
        "token twice": [*with_word(f"Bearer {b.token}"), ("Authorization", f"Bearer {b.token}")],
        "wrong, then right": [("Authorization", "Bearer x"), *with_word(f"Bearer {b.token}")],
        "right, then wrong": [*with_word(f"Bearer {b.token}"), ("Authorization", "Bearer x")],
        "token as cookie": with_cookie(f"{COOKIE}={b.token}"),
        "empty cookie": with_cookie(f"{COOKIE}="),
        "cookie without a mark": with_cookie(f"{COOKIE}={id_}.{began}."),
        "cookie with another's name": with_cookie(f"{COOKIE}=x{id_}.{began}.{mark}"),
        "cookie made younger": with_cookie(f"{COOKIE}={id_}.{int(began) + 9}.{mark}"),
        "cookie with another mark": with_cookie(f"{COOKIE}={id_}.{began}.{mark[:-2]}AA"),
        "the CSRF token as mark": with_cookie(f"{COOKIE}={id_}.{began}.{b.csrf}"),
        "cookie too old": with_cookie(f"{COOKIE}={b.keys.new_session(time.time() - 31 * 86400)}"),
        "cookie from tomorrow": with_cookie(f"{COOKIE}={b.keys.new_session(time.time() + 86400)}"),
        "cookie of another token": with_cookie(f"{COOKIE}={Keys('B' * 43).new_session(time.time())}"),
        "cookie under another name": with_cookie(f"session={b.cookie}"),
        "two cookies": [*with_cookie(f"{COOKIE}={b.cookie}"), ("Cookie", f"{COOKIE}={b.cookie}")],
        "no cookie at all": with_cookie("\x01;=;;"),
    }


def cross_site(b: Browser) -> dict[str, list[tuple[str, str]]]:
    """W02: the cookie comes along, but another page has sent it."""
    host = b.origin.removeprefix("http://")
    port = host.partition(":")[2]
    foreign = [
        "https://evil.example",
        "null",
        f"http://{host}.evil.example",
        f"http://evil.example/{host}",
        "http://127.0.0.1",
    ]
    foreign += [
        f"http://localhost:{port}",
        f"http://127.0.0.1:{int(port) - 1}",
        f"http://x@{host}",
        f"ftp://{host}",
        "",
        host,
    ]
    sent = {
        "no CSRF token": b.sends(without=("X-CSRF-Token",)),
        "empty CSRF token": b.sends(X_CSRF_Token=""),
        "another's CSRF token": b.sends(X_CSRF_Token=b.others_csrf),
        "the cookie as CSRF token": b.sends(X_CSRF_Token=b.cookie),
        "two CSRF tokens": [*b.sends(), ("X-CSRF-Token", b.csrf)],
        "text/plain": b.sends(without=("X-CSRF-Token",), Content_Type="text/plain"),
        "form": b.sends(without=("X-CSRF-Token",), Content_Type="application/x-www-form-urlencoded"),
        "neither site nor origin": b.sends(without=("Sec-Fetch-Site", "Origin")),
        "same-origin from elsewhere": b.sends(Origin="https://evil.example"),
        "two origins": [*b.sends(), ("Origin", "https://evil.example")],
        "two sites": [*b.sends(Sec_Fetch_Site="cross-site"), ("Sec-Fetch-Site", "same-origin")],
        "token, but from another page": [
            ("Authorization", f"Bearer {b.token}"),
            ("Sec-Fetch-Site", "cross-site"),
            JSON,
        ],
        "token, but another origin": [("Authorization", f"Bearer {b.token}"), ("Origin", "https://evil.example"), JSON],
        "token, and sandboxed": [("Authorization", f"Bearer {b.token}"), ("Origin", "null"), JSON],
    }
    sent |= {
        f"site {site}": b.sends(Sec_Fetch_Site=site)
        for site in ("cross-site", "same-site", "none", "", "same-origin, x")
    }
    sent |= {f"origin {one!r}": b.sends(without=("Sec-Fetch-Site",), Origin=one) for one in foreign}
    return sent


def foreign_names(port: int) -> list[str]:
    """W03: names that may lead here, and are not ours."""
    return [
        "evil.example", f"evil.example:{port}", f"127.0.0.1.nip.io:{port}", f"localhost.evil.example:{port}", "127.0.0.1",
        "localhost", f"127.0.0.1:{port - 1}", f"127.0.0.1:0{port}", f"127.0.0.1:{port}, evil.example", f"evil.example@127.0.0.1:{port}",
        f"127.0.0.1:{port}@evil.example", f"127.0.0.1:{port}/", f"localhost.:{port}", f"0.0.0.0:{port}", f"2130706433:{port}",
        f"0x7f.1:{port}", f"127.1:{port}", f"[::ffff:127.0.0.1]:{port}", f"[::]:{port}", f"127.0.0.1:{port}:{port}", f":{port}",
        f"http://127.0.0.1:{port}", f"127.0.0.1 :{port}",
    ]  # fmt: skip


def is_refused(answer: Answer) -> bool:
    return answer.status in (0, 400, 401, 403, 405, 411, 413, 421)


@pytest.mark.fault("W01", "W02", "W03")
def test_what_our_own_page_sends_is_heard(garden: Path, served: Served) -> None:
    """Without this the others would prove nothing."""
    browser = Browser(served)
    before = footprint(garden)
    sent = [
        browser.sends(),
        browser.sends(without=("Sec-Fetch-Site",)),
        browser.sends(without=("Origin",)),
        [("Authorization", f"bearer {browser.token}"), JSON],
    ]
    for number, headers in enumerate(sent):
        answer = request(served, "POST", WISH, headers, answer_body(f"ours-{number}-{time.time_ns()}"))
        assert answer.status == 200, answer
        after = footprint(garden)
        assert after != before
        before = after
        _undo_all(garden)


def _undo_all(root: Path) -> None:
    with closing(sqlite3.connect(root / "birdwatchd.db")) as db:
        db.execute("DELETE FROM requests")
        db.commit()


@pytest.mark.fault("W01", "W02")
@pytest.mark.parametrize("kind", [strangers, cross_site])
def test_forged_requests_have_no_effect(
    served: Served, nothing_moves: None, kind: Callable[[Browser], dict[str, list[tuple[str, str]]]]
) -> None:
    forged = kind(Browser(served))
    assert len(forged) >= 25
    posts = [path for path, methods in paths(served).items() if "post" in methods]
    assert WISH in posts
    for name, headers in forged.items():
        answer = request(served, "POST", WISH, headers, answer_body("forged-one"))
        assert answer.status in (400, 401, 403), (name, answer)
        assert b"error" in answer.body
        for path in posts:
            assert is_refused(request(served, "POST", path.replace("{model_id}", "1"), headers, b"{}")), (name, path)


@pytest.mark.fault("W01")
def test_other_ways_to_send_a_change_have_no_effect(served: Served, nothing_moves: None) -> None:
    browser = Browser(served)
    body = answer_body("otherwise")
    every = browser.sends()
    for target in (
        f"{WISH}?token={browser.token}",
        f"{WISH}?access_token={browser.token}",
        f"{WISH}?csrf={browser.csrf}",
    ):
        assert request(served, "POST", target, [JSON], body).status == 401
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "post", "PROPFIND", "BREW"):
        assert is_refused(request(served, method, WISH, every, body)), method
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert request(served, "GET", f"{WISH}?_method=POST", [*every, (name, "POST")], body).status == 405
    fields = f"csrf={browser.others_csrf}&csrf={browser.csrf}".encode()
    form = browser.sends(without=("X-CSRF-Token",), Content_Type=FORM[1])
    assert request(served, "POST", "/logout", form, fields).status == 403


@pytest.mark.fault("W01")
@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 500\r\n\r\n{}",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: +2\r\n\r\n{}",
        "Content-Length : 2\r\n\r\n{}",
        "Content-Length: 99999999999999999999999\r\n\r\n{}",
    ],
)
def test_requests_that_are_framed_in_two_ways_are_refused(served: Served, nothing_moves: None, framing: str) -> None:
    """What a proxy before us might read otherwise than we do."""
    browser = Browser(served)
    head = "".join(f"{name}: {value}\r\n" for name, value in browser.sends())
    smuggled = f"POST {WISH} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n{head}{framing}"
    answer = raw(served, smuggled.encode("latin-1"))
    assert answer.status in (400, 413, 501), answer
    assert answer.headers["connection"] == "close"


@pytest.mark.fault("W01")
def test_a_wish_that_is_cut_short_is_none(served: Served, nothing_moves: None) -> None:
    """Also where what came of it would be a whole one."""
    import socket

    browser, body = Browser(served), answer_body("cut-short")
    head = "".join(f"{name}: {value}\r\n" for name, value in browser.sends())
    start = f"POST {WISH} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n{head}Content-Length: {len(body) + 1}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), 30) as line:
        line.sendall(start.encode("latin-1") + body)
        line.shutdown(socket.SHUT_WR)
        assert read_answer(line).status != 200
    with served.client() as client:  # whatever it was, it is over
        assert client.get("/api/models").status_code == 200


@pytest.mark.fault("W03")
def test_nothing_is_served_under_a_foreign_name(served: Served, nothing_moves: None) -> None:
    browser = Browser(served)
    places = [
        "/",
        "/login",
        "/healthz",
        "/static/base.css",
        "/thumbnails/1",
        "/originals/1",
        "/api/openapi.json",
        "/favicon.ico",
    ]
    for name in foreign_names(served.port):
        for place in places:
            answer = request(served, "GET", place, browser.sends(), host=name)
            assert answer.status in (400, 421), (name, place, answer)
            assert SECRET not in answer.body
        assert request(served, "POST", WISH, browser.sends(), answer_body("rebound"), host=name).status in (400, 421)
    line = f"GET / HTTP/1.1\r\nCookie: {COOKIE}={browser.cookie}\r\n"
    own = f"Host: 127.0.0.1:{served.port}\r\n"
    for hosts in ("", f"{own}Host: evil.example\r\n", f"Host: evil.example\r\n{own}", own * 2, "Host:\r\n"):
        assert raw(served, f"{line}{hosts}\r\n".encode()).status in (400, 421), hosts
    assert raw(served, b"GET / HTTP/1.0\r\n\r\n").status == 400
    for target in (
        f"http://evil.example/{WISH}",
        f"http://127.0.0.1:{served.port}/static/base.css",
        "*",
        "evil.example:443",
    ):
        assert request(served, "GET", target, browser.sends()).status == 400, target


@pytest.mark.fault("W03")
def test_our_own_names_are_served_however_they_are_written(served: Served) -> None:
    for name in (f"LocalHost:{served.port}", f"[::1]:{served.port}", f"127.0.0.1:{served.port}"):
        assert request(served, "GET", "/login", [], host=name).status == 200


ODD_NAMES = (
    *(
        "%00",
        "1%00",
        "1%00.jpg",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "C:%5cboot.ini",
        "~root/.ssh/id_rsa",
        "1;/../..",
        "secret.txt",
    ),
    *(
        "%2e",
        ".",
        "..",
        "",
        "%20",
        "1e0",
        "0x1",
        "-1",
        "0",
        "9" * 40,
        "%ff%fe",
        "1/../../secret.txt",
        "file:///etc/passwd",
    ),
    *(
        "library/redstart",
        "%0d%0aX-Evil:%201",
        "1%0d%0a",
        "..%2f..%2f.birdwatchd%2fweb%2ftoken",
        "1_0",
        "+1",
        "%EF%BC%91",
        "1.0",
    ),
)


def traversals() -> list[str]:
    """W05: targets that would lead somewhere if any part of us believed in paths."""
    ups = ["..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "..%00", "%c0%ae%c0%ae", "....//..", "..;", "%u002e%u002e"]
    slashes = ["/", "%2f", "%5c", "%252f"]
    goals = ["secret.txt", "birdwatchd.db", ".birdwatchd/web/token", "config.toml", "etc/passwd"]
    targets = [
        f"/{place}/{slash.join([up] * depth)}{slash}{goal.replace('/', slash)}"
        for place in ("static", "thumbnails", "originals")
        for up in ups
        for slash in slashes
        for depth, goal in ((1, goals[0]), (2, goals[1]), (3, goals[2]), (4, goals[3]), (9, goals[4]))
    ]
    targets += [
        f"/{place}/{odd}"
        for place in ("static", "thumbnails", "originals", "photos", "reports", "api/wishes")
        for odd in ODD_NAMES
    ]
    targets += [f"/static/../{one}" for one in ("api/models", "thumbnails/1", "originals/1", "", "review")]
    targets += [f"/static/%2e%2e/{one}" for one in ("api/models", "thumbnails/1", "originals/1", "review")]
    targets += [f"/{one}/../originals/1" for one in ("login", "healthz", "favicon.ico", "static")]
    targets += [
        "//originals/1",
        "/originals//1",
        "/./originals/1",
        "/ORIGINALS/1",
        "/login/",
        "/login%2f..%2foriginals%2f1",
        "/healthz/x",
    ]
    return list(dict.fromkeys(targets))


@pytest.mark.fault("W05")
@pytest.mark.parametrize("logged_in", [True, False])
def test_no_path_leads_out(served: Served, garden: Path, nothing_moves: None, *, logged_in: bool) -> None:
    targets = traversals()
    assert len(targets) >= 600
    given_out = {path.read_bytes() for path in (garden / ".birdwatchd" / "web" / "token", garden / "birdwatchd.db")} | {
        SECRET
    }
    headers: Headers = Browser(served).sends() if logged_in else []
    for target in targets:
        answer = request(served, "GET", target, headers)
        assert answer.status in (303, 307, 308, 400, 401, 404, 422), (target, answer)
        assert not any(one in answer.body for one in given_out), target
        assert b"root:" not in answer.body
        assert "x-evil" not in answer.headers
        where = answer.headers.get("location", "/")
        assert where.startswith(("/", f"http://127.0.0.1:{served.port}/")), (target, where)
        assert not where.startswith("//"), (target, where)


def paths(served: Served) -> dict[str, dict[str, Any]]:
    """What the API says it has, and the pages that it does not tell of."""
    with served.client() as client:
        told: dict[str, dict[str, Any]] = client.get("/api/openapi.json").json()["paths"]
    return told


def all_routes(root: Path) -> list[tuple[str, set[str]]]:
    """Every route of the page, also those that are in no description."""
    app = build_app(Settings(root=root), Doorman(Keys("A" * 43), frozenset()))
    found: list[tuple[str, set[str]]] = []

    def collect(routes: Any) -> None:
        for route in routes:
            if inner := getattr(route, "original_router", None):
                collect(inner.routes)
            elif getattr(route, "methods", None):
                found.append((route.path, set(route.methods)))

    collect(app.routes)
    return found


@pytest.mark.fault("W04", "W14")
def test_looking_changes_nothing_and_every_answer_has_its_headers(
    served: Served, garden: Path, nothing_moves: None
) -> None:
    routes = all_routes(garden)
    assert {path for path, _ in routes} >= {
        "/",
        "/login",
        "/logout",
        "/thumbnails/{photo_id}",
        WISH,
        "/api/openapi.json",
    }
    browser = Browser(served)
    streams = {"/api/events"}
    for path, methods in routes:
        if path in streams or "GET" not in methods:
            continue
        target = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: "1" if found[1].endswith(("id", "number")) else "x", path)
        for method, query in (
            ("GET", ""),
            ("HEAD", ""),
            ("GET", "?species=robin&accept=1&delete=1&photo_id=1&key=12345678"),
        ):
            for headers in (browser.sends(), [("Authorization", f"Bearer {served.token}")], []):
                answer = request(served, method, target + query, headers)
                assert 200 <= answer.status < 500 or answer.status == 503, (method, target, answer)
                _check_headers(answer, path)
    odd = [
        request(served, "GET", "/nowhere", browser.sends()),
        request(served, "GET", "/api/nowhere", browser.sends()),
        request(served, "DELETE", "/", browser.sends()),
        request(served, "GET", "/", [], host="evil.example"),
        request(served, "POST", "/login", [], b"x" * 70_000),
        raw(served, b"GARBAGE\r\n\r\n"),
        raw(served, b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
        request(served, "GET", "/static/nothing.css", []),
        request(served, "GET", "/static/base.css", []),
    ]
    for answer in odd:
        _check_headers(answer, "odd")


def _check_headers(answer: Answer, what: str) -> None:
    for name, value in HEADERS.items():
        given = answer.headers.get(name.lower())
        if name in ("Content-Security-Policy", "Cache-Control"):
            assert given, (what, name)
            assert "default-src 'none'" in given or name == "Cache-Control"
            assert "public" not in given
        else:
            assert given == value, (what, name, answer)
    assert not {one for one in answer.headers if one.startswith("access-control-")}, what
    assert "server" not in answer.headers


@pytest.mark.fault("W14")
def test_the_token_is_in_no_log_and_no_answer(served: Served, garden: Path) -> None:
    with served.stranger() as stranger, served.client() as client:
        stranger.get(f"/login?token={served.token}")
        stranger.get(
            f"/api/x?token={served.token}", headers={"Referer": f"{served.address}/login#token={served.token}"}
        )
        stranger.post("/login", data={"token": served.token + "x"}, headers={"Origin": served.address})
        entered = stranger.post("/login", data={"token": served.token}, headers={"Origin": served.address})
        assert entered.status_code == 303
        assert served.token not in str(entered.headers)
        for path, methods in all_routes(garden):
            if "GET" in methods and "{" not in path and path != "/api/events":
                assert served.token not in client.get(path).text
    said = (garden.parent / "page.err").read_text()
    assert "wrong token" in said  # something is written there, but not that
    assert served.token not in said
    assert served.token[:20] not in said


def test_a_login_that_is_already_one_is_no_mistake(served: Served) -> None:
    browser = Browser(served)
    sent = browser.sends(without=("X-CSRF-Token",), Content_Type=FORM[1])
    assert (
        request(served, "POST", "/login", sent, f"token={served.token}&to=/models".encode()).headers["location"]
        == "/models"
    )


@pytest.mark.fault("W02")
def test_another_page_cannot_log_us_in_or_out(served: Served) -> None:
    browser, wrong = Browser(served), "wrong"
    body = f"token={served.token}&to=/".encode()
    for headers in (
        [FORM],
        [FORM, ("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")],
        [FORM, ("Origin", "null")],
        [FORM, ("Authorization", f"Bearer {served.token}")],
        browser.sends(Sec_Fetch_Site="cross-site", Content_Type=FORM[1]),
    ):
        answer = request(served, "POST", "/login", headers, body)
        assert answer.status == 403, answer
        assert "set-cookie" not in answer.headers
    for headers in (browser.sends(X_CSRF_Token=wrong), browser.sends(without=("X-CSRF-Token",)), [FORM]):
        assert "set-cookie" not in request(served, "POST", "/logout", headers).headers


def test_the_cookie_is_kept_from_scripts_and_other_sites(served: Served) -> None:
    for origin, is_secure in ((served.address, False), (f"https://127.0.0.1:{served.port}", True)):
        sent = [FORM, ("Origin", origin)]
        cookie = request(served, "POST", "/login", sent, f"token={served.token}".encode()).headers["set-cookie"]
        parts = [part.strip().lower() for part in cookie.split(";")]
        assert {"httponly", "samesite=strict", "path=/"} <= set(parts)
        assert ("secure" in parts) is is_secure


@pytest.mark.parametrize(
    "to",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "/\t/evil.example",
     " //evil.example", "/\r\nSet-Cookie: a=b", "evil.example", "", "///evil.example", "/\u2028/evil.example"],
)  # fmt: skip
def test_after_the_login_nobody_is_led_elsewhere(served: Served, to: str) -> None:
    body = f"token={served.token}&to={quote(to)}".encode()
    answer = request(served, "POST", "/login", [FORM, ("Origin", served.address)], body)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    with served.stranger() as stranger:
        assert 'name="to" value="/"' in stranger.get("/login", params={"to": to}).text


@pytest.mark.fault("W01")
def test_who_tries_tokens_is_told_of_and_keeps_nobody_out(served: Served, garden: Path) -> None:
    with served.stranger() as stranger:
        for number in range(4):
            tried = stranger.post("/login", data={"token": f"{number}" * 43}, headers={"Origin": served.address})
            assert tried.status_code == 401
        right = stranger.post("/login", data={"token": served.token}, headers={"Origin": served.address})
        assert right.status_code == 303
    assert (garden.parent / "page.err").read_text().count("wrong token") <= 2  # one a minute


@pytest.mark.fault("W12")
def test_the_network_is_not_listened_to_without_being_asked(root: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "birds.example", "0", "127.0.0.1.evil.example"):  # noqa: S104
        told = birdwatchd("web", root=root, environment={"BIRDWATCHD_WEB__HOST": host, "BIRDWATCHD_WEB__PORT": "1"})
        assert told.returncode == 2
        assert "which others in your network can reach" in told.stderr
        assert "--allow-remote" in told.stderr


@pytest.mark.fault("W13")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_token_that_others_can_read_is_refused(root: Path, mode: int) -> None:
    token_file(root).parent.mkdir()
    token_file(root).write_text("A" * 43)
    token_file(root).chmod(mode)
    told = birdwatchd("web", root=root, environment={"BIRDWATCHD_WEB__PORT": "1"})
    assert told.returncode == 2
    assert "others can read" in told.stderr
    assert "A" * 43 not in told.stderr


@pytest.mark.fault("W13")
@pytest.mark.parametrize("content", ["", "short", "A" * 44, "A" * 42 + "!", "é" * 43])
def test_what_is_no_token_lets_nobody_in(root: Path, content: str) -> None:
    token_file(root).parent.mkdir()
    token_file(root).write_text(content)
    token_file(root).chmod(0o600)
    told = birdwatchd("web", root=root, environment={"BIRDWATCHD_WEB__PORT": "1"})
    assert told.returncode == 2
    assert "holds no token" in told.stderr


@pytest.mark.fault("W13")
def test_a_token_is_made_for_us_alone_and_stays(root: Path) -> None:
    with page_of(root) as served:
        first = served.token
        assert len(first) == 43
        assert token_file(root).stat().st_mode & 0o777 == 0o600
    with page_of(root) as served:
        assert served.token == first
    assert not list(token_file(root).parent.glob(".token*"))
    token_file(root).unlink()
    token_file(root).symlink_to(root.parent / "elsewhere")
    told = birdwatchd("web", root=root, environment={"BIRDWATCHD_WEB__PORT": "1"})
    assert told.returncode != 0
    assert not (root.parent / "elsewhere").exists()


@pytest.mark.fault("W11")
def test_a_log_that_is_not_there_is_told_kindly(root: Path) -> None:
    with page_of(root) as served, served.client() as client:
        for path in ("/", "/api/models", "/thumbnails/1"):
            answer: httpx.Response = client.get(path)
            assert answer.status_code == 503, path
            assert "birdwatchd init" in answer.text
            assert answer.headers["retry-after"] == "5"
