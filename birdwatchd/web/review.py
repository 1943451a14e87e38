"""The review page: what waits for an answer, in groups, answered by keys, mouse or thumb."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from birdwatchd.core import shelving
from birdwatchd.core.deciding import IN_WORDS, Reason
from birdwatchd.core.species_names import WELL_KNOWN, Names, names_of, shown, spellings
from birdwatchd.edges.store import Row, Store
from birdwatchd.web.answers import in_words
from birdwatchd.web.asking import Asked, known_species, names_then, open_wishes, waiting_count
from birdwatchd.web.cards import moment_of
from birdwatchd.web.pages import page
from birdwatchd.web.wishes import who_asks

router = APIRouter(tags=["review"])

LATELY = 2000
"""The names that were given among so many of the last are the ones most used."""

COUNTED = 1000

_TAKEN_BACK = "its name was taken back"
"""Of a photo whose answer is just being undone."""


class Alike(BaseModel):
    """A photo that a person has named, and that looks similar."""

    photo_id: int
    species: str
    name: str


class CardOut(BaseModel):
    """A photo that waits."""

    photo_id: int
    seen: str | None = Field(description="What people call it now; send it along with the answer.")
    guess: str | None = Field(
        description="What the machine takes it for; null for an audit before it is answered, and for a bird unlike all that have names."
    )
    guess_name: str
    probability: float | None = Field(description="Of the guess, 0 to 1; null without a model for your species.")
    is_strange: bool = Field(description="Whether it looks unlike all that people have named, so that no name may fit.")
    reason: str = Field(description="Why it waits, in words.")
    camera: str | None
    at: str = Field(description="When it was taken, else when it arrived, by the clock on the wall.")
    alike: list[Alike]


class GroupOut(BaseModel):
    """Photos that are probably of one species, the least sure first."""

    species: str | None = Field(description="The suggestion; null where there is none, or where it is not told yet.")
    name: str
    is_new: bool = Field(description="Whether nobody has used that name here yet.")
    is_strange: bool = Field(description="Whether a model said that none of its names fits, and no other name does.")
    audit: bool = Field(description="The machine was sure of these, and whether it was right is to be found out.")
    cards: list[CardOut]


class SpeciesOut(BaseModel):
    """A name that can be given."""

    species: str
    name: str
    spellings: list[str]
    used: int = Field(description="How often it was given lately; 0 for one that nobody has used here yet.")


class NamesOut(BaseModel):
    """For whoever chooses one."""

    species: list[SpeciesOut]


class LastAnswer(BaseModel):
    """What `POST /api/undo` takes back: the last answer of this browser."""

    request_id: int
    species: str | None
    name: str
    count: int


class QueueOut(BaseModel):
    """What waits for an answer."""

    groups: list[GroupOut]
    species: list[SpeciesOut]
    waiting: int = Field(description="How many photos wait in all, shown here or not.")
    left_this_week: int | None = Field(description="How many more the review budget asks for; null without one.")
    undo: LastAnswer | None


class CountOut(BaseModel):
    """For the mark beside Review."""

    waiting: int = Field(description=f"Counted no further than {COUNTED}.")


@router.get("/review", include_in_schema=False)
def show(request: Request) -> Response:
    """The page; its script asks for the rest."""
    return page(request, "review.html", budget=request.app.state.settings.web.review_budget)


@router.get("/api/queue", operation_id="queue", summary="What waits for an answer")
def queue(request: Request) -> QueueOut:
    """Photos in groups that are probably of one species each, those first that teach most. Answers count as soon as they are sent."""
    state = request.app.state
    names = names_of(state.settings)
    with state.log.reading() as store:
        asked = state.asking.asked(store, state.log.now())
        called = names_then(store, open_wishes(store), list(asked.rows))
        known = known_species(store, called)
        used = store.queue.used_lately(of_the_latest=LATELY)
        last = store.requests.last_answer(left_by=who_asks(request))
    undo = None
    if last is not None:
        species, count = last.arguments["species"], len(last.arguments["photo_ids"])
        undo = LastAnswer(request_id=last.id, species=species, name=in_words(species, names), count=count)
    return QueueOut(
        groups=_groups(asked, called, known, names),
        species=_species(known, used, names),
        waiting=asked.waiting,
        left_this_week=asked.left_this_week,
        undo=undo,
    )


@router.get("/api/names", operation_id="names", summary="Names that can be given")
def names(request: Request) -> NamesOut:
    """Those in use, the most used first, then others that many people know."""
    with request.app.state.log.reading() as store:
        known = known_species(store, names_then(store, open_wishes(store)))
        used = store.queue.used_lately(of_the_latest=LATELY)
    return NamesOut(species=_species(known, used, names_of(request.app.state.settings)))


@router.get("/api/queue/count", operation_id="queueCount", summary="How many photos wait for an answer")
def count(request: Request) -> CountOut:
    """Of all photos in review."""
    with request.app.state.log.reading() as store:
        return CountOut(waiting=waiting_now(store))


def waiting_now(store: Store) -> int:
    """How many wait, as the mark tells it."""
    return waiting_count(store, names_then(store, open_wishes(store)), most=COUNTED)


def _groups(asked: Asked, called: dict[int, str | None], known: list[str], names: Names) -> list[GroupOut]:
    found = []
    if asked.blind:
        blind = [_card(asked, photo_id, None, called, names, is_blind=True) for photo_id in asked.blind]
        found.append(GroupOut(species=None, name="", is_new=False, is_strange=False, audit=True, cards=blind))
    return found + [
        GroupOut(
            species=group.label,
            name="" if group.label is None else shown(group.label, names),
            is_new=group.label is not None and group.label not in known,
            is_strange=group.is_new,
            audit=False,
            cards=[_card(asked, photo_id, group.label, called, names, is_blind=False) for photo_id in group.members],
        )
        for group in asked.groups
    ]


def _card(
    asked: Asked, photo_id: int, suggestion: str | None, called: dict[int, str | None], names: Names, *, is_blind: bool
) -> CardOut:
    row: Row = asked.rows[photo_id]
    by_model = row["model_id"] is not None
    is_unlike = not is_blind and bool(row["is_strange"])
    guess = None if is_unlike else row["guess"]  # a choice among names of which none fits
    told: dict[str, Any] = {"guess": None, "guess_name": "", "probability": None, "alike": []}
    if not is_blind:
        told = {
            "guess": guess,
            "guess_name": "" if guess is None else shown(guess, names),
            "probability": row["probability"] if by_model and guess is not None else None,
            "alike": [
                Alike(photo_id=one, species=label, name=shown(label, names))
                for one, label in asked.alike.get(photo_id, ())
            ],
        }
    reason = (
        "a check whether birdwatchd is right when it is sure; it tells its guess after your answer"
        if is_blind
        else _TAKEN_BACK
        if row["reason"] in (Reason.LABELLED, Reason.IMPORTED)
        else IN_WORDS.get(row["reason"], row["reason"] or "")
    )
    return CardOut(
        photo_id=photo_id,
        seen=called.get(photo_id),
        is_strange=is_unlike and suggestion is None,
        reason=reason,
        camera=row["camera"],
        at=moment_of(row),
        **told,
    )


def _species(known: list[str], used: dict[str, int], names: Names) -> list[SpeciesOut]:
    """Names in use, the most used first, then those that many people know; "no bird" is none of them."""
    in_use = sorted((one for one in known if one != shelving.NO_BIRD), key=lambda one: (-used.get(one, 0), one))
    others = [one for one in WELL_KNOWN if one not in known]
    return [
        SpeciesOut(
            species=one,
            name=shown(one, names),
            spellings=list(spellings(one, names)),
            used=max(1, used.get(one, 0)) if one in known else 0,
        )
        for one in [*in_use, *others]
    ]
