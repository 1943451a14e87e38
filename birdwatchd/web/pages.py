"""How a page is made: one frame round every one of them, no word of a photo or person in it unescaped."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import Path as InPath
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from pydantic import BeforeValidator

from birdwatchd import __version__
from birdwatchd.core import seasons
from birdwatchd.core.shelving import printable
from birdwatchd.core.species_names import beside, names_of, shown
from birdwatchd.web.access import Session


def _plain_number(text: str) -> str:
    """One picture, one address: no signs, blanks, or digits of other scripts."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("this is no number")
    return text


PhotoId = Annotated[
    int, BeforeValidator(_plain_number), InPath(ge=1, le=2**63 - 1, description="number of a photo in the log")
]
"""Of every path that names a photo: `/photos/12`. Anything else is a page that does not exist."""

PLACES = (
    ("/", "Garden"),
    ("/review", "Review"),
    ("/photos", "Photos"),
    ("/cleaner", "Cleaner"),
    ("/models", "Models"),
    ("/health", "Health"),
)
"""The pages that every page leads to."""

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["printable"] = printable
_TEMPLATES.filters["sentence"] = lambda text: text[:1].upper() + text[1:]


@pass_context
def _bird(context: Context, label: str | None) -> str:
    """`{{ label|bird }}`: what people want to read."""
    return printable(shown(label, context["names"]))


@pass_context
def _beside(context: Context, label: str) -> str:
    """`{{ label|beside }}`: its other name, scientific as a rule; "" if there is none."""
    return printable(beside(label, context["names"]))


def percent(probability: float) -> str:
    """How sure a model is, as every page tells it (those that scripts write, by `percent` in base.js): never 0 or all, no model is
    that sure.

    Args:
        probability: 0-1.
    """
    return f"{max(1, min(99, round(100 * probability)))}\N{NO-BREAK SPACE}%"


def on_the_wall(at: str) -> str:
    """`{{ at|on_the_wall }}`: a moment of the log, which is in UTC, by the clock on the wall."""
    return seasons.on_the_wall(at, None, timed=False)


_TEMPLATES.filters["on_the_wall"] = on_the_wall
_TEMPLATES.filters["percent"] = percent
_TEMPLATES.filters["bird"] = _bird
_TEMPLATES.filters["beside"] = _beside


def page(request: Request, template: str, *, status: int = 200, **facts: Any) -> HTMLResponse:
    """Fill a template.

    Args:
        template: its file in `templates/`.
        facts: what it is about.
    """
    who = getattr(request.state, "who", None)
    csrf = request.state.keys.csrf(who) if isinstance(who, Session) else ""
    here = "/" + request.url.path.split("/")[1]
    content = _TEMPLATES.get_template(template).render(
        **facts,
        csrf=csrf,
        places=PLACES if csrf else (),
        here=here,
        version=__version__,
        names=names_of(request.app.state.settings),
    )
    return HTMLResponse(content, status_code=status)
