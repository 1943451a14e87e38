"""What programs are told: the document that FastAPI makes, with the login and every refusal in it; and a page for people.

The gate refuses before any route is asked, so no route can know of it; here it is written to all of them.
"""

import html
import re
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from fastapi.routing import APIRoute
from markupsafe import Markup

from birdwatchd.web.pages import page

router = APIRouter(include_in_schema=False)

PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request was refused; nothing was changed.",
    "required": ["error", "hint"],
    "properties": {
        "error": {"type": "string", "description": "One sentence for people."},
        "hint": {"type": "string", "description": "What to do; may be empty."},
    },
}

OF_ALL = {
    401: "the token is missing or wrong",
    421: "the Host header is none of this page's names",
    422: "it is not understood",
    503: "the log is busy or is not there, or too many ask at once; Retry-After says when to ask again",
}
OF_ONE = {404: "there is no such thing"}
OF_CHANGES = {
    403: "it came from another page, or from one that is older than the login",
    409: "it cannot be done as things stand now; what you know may be out of date",
    413: "it is too much at once",
}


@dataclass(frozen=True, slots=True)
class Route:
    """One way to ask, for people."""

    method: str
    path: str
    summary: str
    description: Markup


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=None
        )
        document["components"].setdefault("securitySchemes", {})["token"] = {"type": "http", "scheme": "bearer"}
        document["security"] = [{"token": []}]
        schemas = document["components"]["schemas"]
        for ours in ("HTTPValidationError", "ValidationError"):
            schemas.pop(ours, None)
        schemas["Problem"] = PROBLEM
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                operation["responses"] |= _refusals(path, method)
        app.openapi_schema = document
    return app.openapi_schema


def name_of(route: APIRoute) -> str:
    """The operation id of a route that gives none: the name of its function."""
    return route.name


def _refusals(path: str, method: str) -> dict[str, Any]:
    known = OF_ALL | (OF_ONE if "{" in path else {}) | (OF_CHANGES if method == "post" else {})
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(status): {"description": words, "content": content} for status, words in sorted(known.items())}


@router.get("/api")
def show(request: Request) -> Response:
    """The routes, with what they are for."""
    document = describe(request.app)
    groups: dict[str, list[Route]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            route = Route(method.upper(), path, operation["summary"], in_sentences(operation.get("description", "")))
            groups.setdefault(operation.get("tags", ["more"])[0], []).append(route)
    return page(request, "api.html", groups=sorted(groups.items()), base=str(request.base_url).rstrip("/"))


def in_sentences(text: str) -> Markup:
    """A description as people read it: paragraphs, and code set as code."""
    paragraphs = [
        re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(one, quote=False)) for one in text.strip().split("\n\n")
    ]
    return Markup("".join(f"<p>{one}</p>" for one in paragraphs if one))  # noqa: S704  # escaped above
