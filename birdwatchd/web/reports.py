"""Reports about trainings, by the number of the training: the page that was made, and the pictures it shows; read only.

They are whole pages with a style of their own, made by another program from names that people gave. So they may show what lies beside
them, and nothing else: no script, no form, nothing from elsewhere.
"""

import re
from typing import Annotated

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as InPath
from fastapi.responses import RedirectResponse, Response

from birdwatchd.core.errors import PhotoVanished
from birdwatchd.core.job import BATCH_FILE, PAGE_FILE
from birdwatchd.edges.files import shown

router = APIRouter(include_in_schema=False)

CONTENT_POLICY = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; sandbox allow-same-origin;"
    " form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
}
"""Styles in the page are its own; without its origin it would not be given its pictures, for these want the login."""

_PICTURES = {re.compile(r"photos/[0-9a-f]{64}\.jpg"): "image/jpeg", re.compile(re.escape(BATCH_FILE)): "image/png"}

TrainingId = Annotated[int, InPath(ge=1, le=2**63 - 1)]


@router.get("/reports/{training_id}")
def to_folder(training_id: TrainingId) -> Response:
    """Pictures are named beside the page, which wants the slash."""
    return RedirectResponse(f"/reports/{training_id}/", status_code=308)


@router.get("/reports/{training_id}/")
def show(request: Request, training_id: TrainingId) -> Response:
    """The page."""
    return _given(request, training_id, PAGE_FILE, "text/html; charset=utf-8")


@router.get("/reports/{training_id}/{name:path}")
def picture(request: Request, training_id: TrainingId, name: str) -> Response:
    """A picture that it shows."""
    kind = next((kind for form, kind in _PICTURES.items() if form.fullmatch(name)), None)
    if kind is None:
        raise HTTPException(404)
    return _given(request, training_id, name, kind)


def _given(request: Request, training_id: int, name: str, kind: str) -> Response:
    try:
        with shown.report(request.app.state.settings.root, training_id, name) as file:
            content = file.read(shown.PAPER_MAX_BYTES)
    except PhotoVanished as error:
        raise HTTPException(404) from error
    return Response(content, media_type=kind, headers=CONTENT_POLICY)
