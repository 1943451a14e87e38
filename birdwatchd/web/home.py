"""The first page: how many photos there are, what waits for a look, and which birds were named lately."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from birdwatchd.web.pages import page

LATEST_DAYS = 30

router = APIRouter(include_in_schema=False)


@router.get("/")
def show(request: Request) -> Response:
    """What the log counts."""
    with request.app.state.log.reading() as store:
        states, guesses = store.questions.states(), store.questions.guesses()
        days = store.questions.days(since=None)[:LATEST_DAYS]
    return page(request, "home.html", states=states, guesses=guesses, days=days)
