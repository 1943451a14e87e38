"""The page of one photo: its receipt. What was seen in it, by which model and rule, what people said, what it looks like."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from birdwatchd.core.deciding import IN_WORDS
from birdwatchd.core.errors import UnknownPhoto
from birdwatchd.core.photo import Box, State
from birdwatchd.core.shelving import NO_BIRD
from birdwatchd.core.species_names import Names, names_of, shown
from birdwatchd.core.whereabouts import in_words
from birdwatchd.edges.store import Row, Store
from birdwatchd.web.asking import known_species, names_then, open_wishes
from birdwatchd.web.cards import PLACES, PhotoOut, cards
from birdwatchd.web.pages import PhotoId, on_the_wall, page, percent

router = APIRouter(tags=["photos"])

SIMILAR = 6
OF_ITS_VISIT = 24

VERDICTS = {State.FILED: "Filed", State.REVIEW: "Put up for a look", State.EMPTY: "Put aside as empty"}

VISIT_VERDICTS = {
    "named": "",
    "disagrees": "some are sure of another name",
    "unsure": "not sure enough to say more than each photo by itself",
    "models-differ": "different models looked at them",
}


class Guess(BaseModel):
    """A name with its probability."""

    species: str
    name: str
    probability: float


class Event(BaseModel):
    """Something that was seen in a photo or said of it."""

    at: str = Field(description="By the clock on the wall.")
    who: Literal["camera", "machine", "human"]
    what: str = Field(description="In words.")
    because: str = Field(description="Why, in words; may be empty.")
    model: int | None = Field(description="The model that said it; null without one.")
    guesses: list[Guess]


class Bird(BaseModel):
    """One bird in the photo."""

    number: int
    where: str = Field(description="In words.")
    box: list[float] = Field(description="x, y, width and height, as parts of the photo's.")
    birdness: float


class VisitOut(BaseModel):
    """What photos that were taken together tell."""

    began: str
    ended: str
    photos: int
    told: str = Field(description="In words.")
    cards: list[PhotoOut]


class Similar(BaseModel):
    """A photo that a person has named, and that looks similar."""

    photo_id: int
    species: str
    name: str


class ReceiptOut(BaseModel):
    """Everything that the log knows of one photo."""

    photo: PhotoOut
    file: str = Field(description="Its name when it came.")
    path: str = Field(description="Where it lies below the bird folder.")
    pixels: str
    bytes: int
    arrived: str
    taken: str | None = Field(description="By the camera's clock.")
    called: str | None = Field(
        description="The label that it has from a person, also from a moment ago; to be sent as `seen`."
    )
    now: str = Field(description="What it is, in a sentence.")
    events: list[Event] = Field(description="The first first.")
    birds: list[Bird]
    visit: VisitOut | None
    similar: list[Similar]
    twins: list[int] = Field(description="Photos with the same bytes.")


@router.get("/photos/{photo_id}", include_in_schema=False)
def show(request: Request, photo_id: PhotoId) -> Response:
    """The page."""
    with request.app.state.log.reading() as store:
        told = _told(request, store, photo_id)
        names = names_of(request.app.state.settings)
        species = sorted(
            ((label, shown(label, names)) for label in known_species(store, {})), key=lambda one: one[1].casefold()
        )
    return page(request, "photo.html", told=told, species=species)


@router.get("/api/photos/{photo_id}", operation_id="photo", summary="Everything about one photo")
def receipt(request: Request, photo_id: PhotoId) -> ReceiptOut:
    """What was seen in it and said of it, and photos that look similar."""
    with request.app.state.log.reading() as store:
        return _told(request, store, photo_id)


def _told(request: Request, store: Store, photo_id: int) -> ReceiptOut:
    found = store.questions.receipt(photo_id)
    if found is None:
        raise UnknownPhoto(f"there is no photo {photo_id}", hint="it may come from another bird folder's page")
    names = names_of(request.app.state.settings)
    about = found["photo"]
    (card,) = cards(request, store.gallery.cards_of([photo_id]))
    called = names_then(store, open_wishes(store), [photo_id]).get(photo_id)
    similar = request.app.state.asking.similar(store, photo_id, count=SIMILAR)
    return ReceiptOut(
        photo=card,
        file=about["original_name"],
        path=about["path"],
        pixels=f"{about['width_px']} × {about['height_px']}" if about["width_px"] else "",
        bytes=about["bytes"],
        arrived=on_the_wall(about["received_at"]),
        taken=about["captured_at"],
        called=called,
        now=_now(about, called, names),
        events=_events(found, names),
        birds=[Bird(**one | {"where": in_words(Box(*one["box"]))}) for one in found["birds"]],
        visit=_visit(request, store, found["visit"], names),
        similar=[Similar(photo_id=one, species=label, name=shown(label, names)) for one, label in similar],
        twins=found["twins"],
    )


def _now(about: Row, called: str | None, names: Names) -> str:
    if about["state"] == State.MISSING:
        return "It is not in the bird folder any more."
    if called is not None and called != NO_BIRD:
        return f"A person named it: {shown(called, names)}."
    reason = IN_WORDS.get(about["reason"] or "", about["reason"] or "")
    place = PLACES.get(about["state"], str(about["state"]))
    return f"{place[:1].upper()}{place[1:]}{f': {reason}' if reason else ''}."


def _events(found: dict[str, Any], names: Names) -> list[Event]:
    """In the order of time; what the log holds twice is told once."""
    about = found["photo"]
    camera = f", from camera {about['camera']}" if about["camera"] else ""
    arrived = f"Arrived as {about['original_name']}{camera}"
    told = [(about["received_at"], Event(at="", who="camera", what=arrived, because="", model=None, guesses=[]))]
    for one in found["predictions"]:
        guesses = [Guess(species=label, name=shown(label, names), probability=p) for label, p in one["top"]]
        what = VERDICTS.get(one["verdict"], one["verdict"])
        if one["verdict"] == State.FILED and one["label"]:
            what += f" as {shown(one['label'], names)}"
        because = IN_WORDS.get(one["reason"], one["reason"])
        if one["birdness"] is not None:
            because += f"; a bird is in it: {percent(one['birdness'])}"
        if one["label"] is None:
            guesses = []
        event = Event(at="", who="machine", what=what, because=because, model=one["model_id"], guesses=guesses)
        told.append((one["predicted_at"], event))
    for one in found["labels"]:
        who = {"web": "on this page", "cli": "by a command", "folder": "by moving the file", "import": "by an import"}
        name = "Its name was taken back" if one["label"] is None else f"Named {shown(one['label'], names)}"
        event = Event(
            at="", who="human", what=f"{name} {who.get(one['source'], '')}".strip(), because="", model=None, guesses=[]
        )
        told.append((one["labelled_at"], event))
    told.sort(key=lambda one: one[0])
    return [event.model_copy(update={"at": on_the_wall(at)}) for at, event in told]


def _visit(request: Request, store: Store, visit: Row | None, names: Names) -> VisitOut | None:
    if visit is None or visit["photos"] < 2:
        return None
    agree, differ = visit["evidence"]["agree"], visit["evidence"]["differ"]
    told = [
        "no name"
        if visit["label"] is None
        else f"{shown(visit['label'], names)}, {percent(visit['probability'])}; {agree} of {agree + differ} photos agree",
        VISIT_VERDICTS.get(visit["verdict"], visit["verdict"]),
    ]
    return VisitOut(
        began=visit["began_at"][:19],
        ended=visit["ended_at"][:19],
        photos=visit["photos"],
        told="; ".join(filter(None, told)),
        cards=cards(request, store.gallery.of_visit(visit["id"], limit=OF_ITS_VISIT)),
    )
