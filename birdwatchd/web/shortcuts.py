"""Addresses that people type because they fit the others, and the pages that they mean."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from birdwatchd.web.cards import today

router = APIRouter(include_in_schema=False)


@router.get("/garden")
def garden() -> Response:
    """The first page."""
    return RedirectResponse("/")


@router.get("/species")
def species() -> Response:
    """All birds of the garden, on the first page."""
    return RedirectResponse("/#species")


@router.get("/days")
def days(request: Request) -> Response:
    """The latest day; from there the days before are one click each."""
    return RedirectResponse(f"/days/{today(request)}")
