"""What programs are told: whole, true, and readable without a browser's help."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from birdwatchd.core import shelving
from birdwatchd.core.settings import Settings
from birdwatchd.edges.store import Store
from birdwatchd.web.access import Doorman, Keys
from birdwatchd.web.app import build_app
from birdwatchd.web.openapi import in_sentences
from tests.web.conftest import OpenPage, serious_issues
from tests.web.serving import page_of


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app = build_app(Settings(root=Path("/nowhere")), Doorman(Keys("a" * 43), frozenset()))
    made: dict[str, Any] = app.openapi()
    return made


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_every_route_says_what_it_is_for(document: dict[str, Any]) -> None:
    names = []
    for method, path, operation in operations(document):
        assert method in ("get", "post"), path
        assert operation["summary"], path
        assert operation.get("tags"), path
        assert re.fullmatch(r"[a-z][A-Za-z_]*", operation["operationId"]), operation["operationId"]
        names.append(operation["operationId"])
    assert len(names) >= 15
    assert len(set(names)) == len(names)


def test_every_api_route_says_what_it_answers_and_how_it_refuses(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        if not path.startswith("/api/"):
            continue
        content = operation["responses"]["200"]["content"]
        if "application/json" in content:
            assert "$ref" in content["application/json"]["schema"], f"{path} answers anything"
        else:
            assert list(content) == ["text/event-stream"]
        refusals = {"401", "421", "422", "503"} | ({"403", "409", "413"} if method == "post" else set())
        assert refusals <= operation["responses"].keys(), path
        for status in refusals:
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}


def test_the_document_is_one(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.")
    assert document["info"].keys() >= {"title", "version"}
    schemas = document["components"]["schemas"]
    for name in references(document):
        assert name in schemas
    unused = set(schemas) - set(references(document))
    assert unused == set()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            told = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert told == set(re.findall(r"{(\w+)}", path))
            assert all("schema" in one for one in operation.get("parameters", []))
    for schema in schemas.values():
        assert schema["type"] in ("object", "string")
        assert set(schema.get("required", [])) <= set(schema.get("properties", {}))


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"].removeprefix("#/components/schemas/")
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_get_answers_as_it_says(root: Path, document: dict[str, Any]) -> None:
    Store.open(root / shelving.DATABASE).close()
    with page_of(root) as served, served.client() as client:
        assert client.get("/api/openapi.json").json() == document
        for method, path, operation in operations(document):
            if (
                method != "get"
                or "{" in path
                or "text/event-stream" in operation["responses"]["200"].get("content", {})
            ):
                continue
            if any(one.get("required") for one in operation.get("parameters", [])):
                continue
            answer = client.get(path)
            wanted_status = 503 if path == "/healthz" else 200  # no daemon is at work here
            assert answer.status_code == wanted_status, f"{path}: {answer.text}"
            schema = operation["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
            if "$ref" in schema:
                wanted = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
                assert set(wanted.get("required", [])) <= answer.json().keys(), path
        with served.stranger() as stranger:
            assert stranger.get("/api/openapi.json").status_code == 401


def test_people_read_it_as_a_page(root: Path, document: dict[str, Any], open_page: OpenPage) -> None:
    Store.open(root / shelving.DATABASE).close()
    with page_of(root) as served:
        page = open_page(served, "/api", phone=True)
        for _, path, _ in operations(document):
            expect(page.locator("dt", has_text=path).first).to_be_visible()
        assert serious_issues(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_words_of_a_description_stay_words() -> None:
    assert (
        in_sentences("Leaves `a<b>`.\n\n<i>Twice</i>")
        == "<p>Leaves <code>a&lt;b&gt;</code>.</p><p>&lt;i&gt;Twice&lt;/i&gt;</p>"
    )
