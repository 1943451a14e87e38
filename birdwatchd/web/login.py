"""The way in: the token once, a cookie from then on."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from birdwatchd.web.access import COOKIE, SESSION_S
from birdwatchd.web.gate import form
from birdwatchd.web.pages import page

router = APIRouter(include_in_schema=False)


@router.get("/login")
def show(request: Request, to: str = "/") -> Response:
    """The form. A link from `birdwatchd web` carries the token behind its `#`, which no browser sends anywhere; the page's script
    puts it into the form."""
    return page(request, "login.html", to=_own_path(to), error="")


@router.post("/login")
async def enter(request: Request) -> Response:
    """Exchange the token for a cookie."""
    fields = form(await request.body())
    to = _own_path(str(fields.get("to", "/")))
    keys = request.state.keys
    if not keys.fits(str(fields.get("token", "")).strip()):
        await request.state.wrong_token()
        return page(request, "login.html", status=401, to=to, error="That is not the token of this page.")
    answer = RedirectResponse(to, status_code=303)
    answer.set_cookie(
        COOKIE,
        keys.new_session(request.app.state.clock()),
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.headers.get("origin", "").lower().startswith("https:"),  # a proxy with TLS stands before us
        path="/",
    )
    return answer


@router.post("/logout")
def leave() -> Response:
    """Forget the cookie."""
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/favicon.ico")
def icon() -> Response:
    """Browsers ask for it by themselves where a page names none."""
    return RedirectResponse("/static/icon.svg")


def _own_path(to: str) -> str:
    """Where to go after logging in: never to another server."""
    return to if to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable() else "/"
