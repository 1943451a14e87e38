"""Answers, and answers taken back: each is one wish in the log, checked and written while nobody else can write.

A card tells what people called its photo when it was shown (`seen`). If somebody has said something else since, nothing of the answer
is written, also not for the other photos of its group: who answers a group has looked at it as a whole.
"""

import difflib
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from birdwatchd.core import shelving
from birdwatchd.core.errors import Refused
from birdwatchd.core.species_names import Names, names_of, shown
from birdwatchd.edges import store as log
from birdwatchd.edges.store import Store
from birdwatchd.web.asking import known_species, names_then, open_wishes
from birdwatchd.web.wishes import ACTOR, who_asks

router = APIRouter(prefix="/api", tags=["review"])

AT_ONCE = 500
"""Photos in one answer."""

_Key = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9-]+$")]


class Seen(BaseModel):
    """A photo as the person saw it."""

    photo_id: Annotated[int, Field(ge=1, lt=2**63)]
    seen: str | None = Field(default=None, description="What it was called then, from its card; null for nothing.")


class AnswerIn(BaseModel):
    """One name for one or more photos."""

    key: _Key = Field(
        description="Anything that nobody sends twice. Sent again, the same answer is given once, and another is refused."
    )
    species: str | None = Field(
        max_length=200,
        description="The label, such as `house-finch`; `empty` for no bird; null takes the name away, and the photo waits for another.",
    )
    photos: list[Seen] = Field(min_length=1, max_length=AT_ONCE)
    new_species: bool = Field(default=False, description="Whether a name may be one that nobody has used here yet.")


class AnswerOut(BaseModel):
    """The answer is in the log; the photos move within a second or so."""

    request_id: int = Field(description="For `POST /api/undo`.")
    species: str | None
    name: str
    count: int
    told: dict[int, str] = Field(description="What the machine had taken audited photos for.")


class UndoIn(BaseModel):
    """Which answer to take back."""

    key: _Key = Field(description="Anything that nobody sends twice.")
    request_id: int | None = Field(
        default=None, description="The answer; null for the last of your own that is not taken back yet."
    )


class UndoOut(BaseModel):
    """The photos get the name back that they had before, or wait again."""

    request_id: int
    answer: int
    species: str | None
    name: str
    photo_ids: list[int]


class Stale(Refused):
    """Somebody else has said something about a photo since it was shown, or it is gone."""

    def __init__(self, message: str, *, photo_ids: list[int], hint: str) -> None:
        super().__init__(message, hint=hint)
        self.photo_ids = photo_ids


class NewSpecies(Refused):
    """Nobody has used this name here yet."""


@router.post("/answers", operation_id="answer", summary="Name photos", response_model=AnswerOut)
def answer(request: Request, given: AnswerIn) -> Any:
    """All photos get the name, or none: 409 tells in `stale` which were named otherwise since, or are gone. 422 with `is_new` means
    that nobody has used that name here yet; send it again with `new_species` if it is meant."""
    state = request.app.state
    called = names_of(state.settings)
    species = None if given.species is None else shelving.species_name(given.species)
    told: dict[int, str] = {}

    def check(store: Store) -> log.Request | tuple[str, dict[str, Any]]:
        photo_ids = list(dict.fromkeys(photo.photo_id for photo in given.photos))
        if (same := _said_before(store, given.key, "answers", species=species, photo_ids=photo_ids)) is not None:
            return same
        names = names_then(store, open_wishes(store), photo_ids)
        if species is not None and not given.new_species:
            _check_known(species, known_species(store, names), called)
        _check_seen(given.photos, names, called)
        audits = store.queue.guesses_put_up(photo_ids)
        told.update({photo_id: shown(guess, called) for photo_id, guess in audits.items()})
        seen = [photo.seen for photo in given.photos]
        return "answers", {"photo_ids": photo_ids, "species": species, "seen": seen}

    try:
        with state.log.wishing() as store:
            left = store.requests.ask_checked(
                lambda: check(store), actor=ACTOR, at=state.log.now(), key=given.key, left_by=who_asks(request)
            )
    except Stale as stale:
        return _refused(409, stale, stale=stale.photo_ids)
    except NewSpecies as unknown:
        return _refused(422, unknown, is_new=True)
    species = left.arguments["species"]
    name, count = in_words(species, called), len(left.arguments["photo_ids"])
    return AnswerOut(request_id=left.id, species=species, name=name, count=count, told=told)


@router.post("/undo", operation_id="undo", summary="Take an answer back")
def undo(request: Request, given: UndoIn) -> UndoOut:
    """The last one that was given by this browser (or by a program, where a program asks), or a certain one of anybody; again and
    again, to the first that is remembered. What people have said since stays."""
    state = request.app.state

    def check(store: Store) -> log.Request | tuple[str, dict[str, Any]]:
        which = {} if given.request_id is None else {"request_id": given.request_id}
        if (same := _said_before(store, given.key, "take-back", **which)) is not None:
            return same
        meant = _meant(store, given.request_id, who_asks(request))
        arguments = meant.arguments
        return "take-back", {
            "request_id": meant.id,
            "photo_ids": arguments["photo_ids"],
            "species": arguments["species"],
        }

    with state.log.wishing() as store:
        left = store.requests.ask_checked(
            lambda: check(store), actor=ACTOR, at=state.log.now(), key=given.key, left_by=who_asks(request)
        )
    species = left.arguments["species"]
    return UndoOut(
        request_id=left.id,
        answer=int(left.arguments["request_id"]),
        species=species,
        name=in_words(species, names_of(state.settings)),
        photo_ids=left.arguments["photo_ids"],
    )


def _meant(store: Store, number: int | None, who: str) -> log.Request:
    """The answer that is to be taken back."""
    if number is None:
        found = store.requests.last_answer(left_by=who)
        if found is None:
            raise Refused(
                "there is no answer of yours left to take back",
                hint="those of others stay, and so do older ones; name the photos anew if they are wrong",
            )
        return found
    found = store.requests.find(number)
    if found is None or found.kind != "answers":
        raise Refused("there is no such answer to take back", hint="name the photos anew if they are wrong")
    return found


def in_words(species: str | None, names: Names) -> str:
    """What an answer has made of its photos, for people."""
    return "set aside" if species is None else shown(species, names)


def _said_before(store: Store, key: str, kind: str, **meant: Any) -> log.Request | None:
    """The wish that was left under this key; if another is meant now, a word would be lost without anybody being told."""
    found = store.requests.with_key(key)
    if found is not None and (found.kind != kind or any(found.arguments[name] != meant[name] for name in meant)):
        raise Refused(
            "this key was sent before with something else", hint="nothing was written; send it with a new key"
        )
    return found


def _check_known(species: str, known: list[str], called: Names) -> None:
    if species in known:
        return
    near = difflib.get_close_matches(species, known, n=1, cutoff=0.75)
    hint = f"did you mean {shown(near[0], called)}? " if near else ""
    raise NewSpecies(
        f"nobody has named a {shown(species, called)} here yet", hint=f"{hint}Say it once more if the name is right"
    )


def _check_seen(photos: list[Seen], names: dict[int, str | None], called: Names) -> None:
    gone = [photo.photo_id for photo in photos if photo.photo_id not in names]
    other = {photo.photo_id: names[photo.photo_id] for photo in photos if names.get(photo.photo_id) != photo.seen}
    stale = [*gone, *(one for one in other if one not in gone)]
    if not stale:
        return
    if gone:
        what = "is not in the bird folder any more" if len(gone) == 1 else "are not in the bird folder any more"
        count = "this photo" if len(gone) == len(photos) == 1 else f"{len(gone)} of the {len(photos)} photos"
        raise Stale(f"{count} {what}", photo_ids=stale, hint="nothing was written; answer the others again")
    if len(other) == 1:
        ((photo_id, name),) = other.items()
        now = f"is {shown(name, called)} by now" if name is not None else "has lost its name"
        raise Stale(
            f"photo {photo_id} {now}: somebody was faster", photo_ids=stale, hint="nothing was written; look once more"
        )
    raise Stale(
        f"{len(other)} of the {len(photos)} photos were named otherwise meanwhile",
        photo_ids=stale,
        hint="nothing was written; look once more",
    )


def _refused(status: int, error: Refused, **more: Any) -> Response:
    return JSONResponse({"error": error.message, "hint": error.hint, **more}, status_code=status)
