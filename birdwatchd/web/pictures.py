"""Pictures by the number of their photo, never by a path: the thumbnail that the daemon made, and the original to keep."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from birdwatchd.core.errors import PhotoVanished, UnknownPhoto
from birdwatchd.core.shelving import printable
from birdwatchd.edges.files import shown
from birdwatchd.web.pages import PhotoId

router = APIRouter(tags=["pictures"])

CHUNK_BYTES = 256 * 1024

_NOTHING_TO_SEE = (Path(__file__).with_name("static") / "no-picture.svg").read_bytes()
_HARMLESS = {"Content-Security-Policy": "default-src 'none'; sandbox"}
"""Of pictures, which somebody else has made: whatever they may be, in a browser they can do nothing."""


@router.head("/thumbnails/{photo_id}", include_in_schema=False, response_class=Response)
@router.get("/thumbnails/{photo_id}", response_class=Response)
def thumbnail(request: Request, photo_id: PhotoId) -> Response:
    """A small JPEG of the bird, without metadata; a grey sign where none was made (the photo cannot be read)."""
    sha256 = _photo(request, photo_id)["sha256"]
    try:
        if sha256 is None:
            raise PhotoVanished(f"photo {photo_id} was never read")
        file = shown.thumbnail(request.app.state.log.root, sha256)
    except PhotoVanished:
        return Response(_NOTHING_TO_SEE, media_type="image/svg+xml", headers=_HARMLESS)
    with file:
        found = os.fstat(file.fileno())
        tag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
        headers = {"Cache-Control": "private, max-age=86400", "ETag": tag} | _HARMLESS
        if tag in [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]:
            return Response(status_code=304, headers=headers)
        return Response(file.read(shown.THUMBNAIL_MAX_BYTES), media_type="image/jpeg", headers=headers)


@router.head("/originals/{photo_id}", include_in_schema=False, response_class=Response)
@router.get("/originals/{photo_id}", response_class=Response)
def original(request: Request, photo_id: PhotoId) -> Response:
    """The photo as it came, byte for byte, to save. What lies in quarantine is not given out."""
    row = _photo(request, photo_id)
    try:
        file = shown.photo(request.app.state.log.root, row["path"])
    except PhotoVanished as error:
        raise UnknownPhoto(
            f"photo {photo_id} is not on the shelves now", hint="it may just be moving; try again in a moment"
        ) from error
    left = os.fstat(file.fileno()).st_size
    headers = {"Content-Disposition": _as_attachment(row["path"].rpartition("/")[2]), "Content-Length": str(left)}
    if request.method == "HEAD":
        file.close()
        return Response(media_type="application/octet-stream", headers=headers | _HARMLESS)
    return StreamingResponse(_pieces(file, left), media_type="application/octet-stream", headers=headers | _HARMLESS)


def _photo(request: Request, photo_id: int) -> dict[str, Any]:
    with request.app.state.log.reading() as store:
        row: dict[str, Any] | None = store.questions.photo(photo_id)
    if row is None:
        raise UnknownPhoto(f"there is no photo {photo_id}", hint="it may come from another bird folder's page")
    return row


def _pieces(file: BinaryIO, left: int) -> Iterator[bytes]:
    """As much as was promised, even if the file grows."""
    with file:
        while left > 0 and (piece := file.read(min(CHUNK_BYTES, left))):
            left -= len(piece)
            yield piece


def _as_attachment(name: str) -> str:
    """Content-Disposition by RFC 6266: any name, for old browsers in plain letters."""
    shown_name = printable(name)
    plain = "".join(char if char.isascii() and char not in '"\\%' else "_" for char in shown_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(shown_name, safe='')}"
