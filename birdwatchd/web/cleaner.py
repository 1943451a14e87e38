"""The cleaner: named photos that fit their names worst, for a second look. What is chosen is an answer, written down at each click.

Nothing of a choice is kept here: what was chosen is told by the log, so it is the same whichever species is shown, and after a reload.
"""

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from birdwatchd.core import hardest
from birdwatchd.core.errors import PhotoVanished
from birdwatchd.core.hardest import HARDEST_FILE, Hard
from birdwatchd.core.species_names import Names, names_of, shown
from birdwatchd.edges.files import shown as shown_files
from birdwatchd.edges.store import Row, Store
from birdwatchd.web.asking import names_then, open_wishes
from birdwatchd.web.pages import page

router = APIRouter(tags=["cleaner"])

AT_ONCE = 30
TRIED = 5
"""So many of the newest trainings are asked for their list: the newest may have come to its end just now."""

Split = Literal["learned", "held-out"]
Species = Annotated[
    str | None, Query(max_length=200, description="A label; without one, the names that are probably wrong.")
]


class Choice(StrEnum):
    """What a person has said of the photo since the training."""

    KEPT = "kept"
    RENAMED = "renamed"
    SET_ASIDE = "set aside"


class Alike(BaseModel):
    """A photo that looks much like it."""

    photo_id: int
    name: str


class HardPhoto(BaseModel):
    """A named photo that fits its name badly."""

    photo_id: int
    label: str = Field(description="What it was called when the training began.")
    name: str
    seen: str | None = Field(description="What it is called now; send it along with the answer.")
    seen_name: str
    own: float = Field(description="How probable that name is, 0 to 1, by models that had not seen the photo.")
    likely: str = Field(description="The most probable name.")
    likely_name: str
    probability: float = Field(description="Of that one.")
    held_out: bool = Field(description="Whether it only judges what was learned.")
    suspected: bool = Field(description="Whether the photos that look most like it bear another name too.")
    alike: list[Alike]
    choice: Choice | None


class Count(BaseModel):
    """How many hard photos there are of a species."""

    species: str
    name: str
    learned: int
    held_out: int


class Cleaner(BaseModel):
    """What is worth a second look."""

    training: int | None = Field(description="Whose models were asked; null while there is none that tells.")
    suspected: int = Field(description="How many names are probably wrong and were not looked at since.")
    species: list[Count]
    photos: list[HardPhoto] = Field(description="The worst first, those not looked at before the others.")
    more: int = Field(description="How many wait beside those.")


@dataclass(frozen=True, slots=True)
class _Lesson:
    """One training and its list."""

    number: int
    newest_label: int
    photos: tuple[Hard, ...]


@router.get("/cleaner", include_in_schema=False)
def show(request: Request, species: Species = None, split: Split = "learned") -> Response:
    """The page."""
    return page(
        request, "cleaner.html", cleaner=everything(request, species, split), species=species or None, split=split
    )


@router.get("/api/cleaner", operation_id="cleaner", summary="Named photos that are worth a second look")
def everything(request: Request, species: Species = None, split: Split = "learned") -> Cleaner:
    """Of one species and side, or all that are probably wrong; 30 at once. Answer them by `POST /api/answers`: with the name that they
    have to keep it, another to rename them, null to set them aside."""
    state = request.app.state
    names = names_of(state.settings)
    with state.log.reading() as log:
        lesson = _latest(log, state.settings.root)
        if lesson is None:
            return Cleaner(training=None, suspected=0, species=[], photos=[], more=0)
        chosen = [one for one in lesson.photos if _is_meant(one, species or None, split)]
        suspects = [one for one in lesson.photos if one.suspected]
        choices = _Choices(log, lesson, [*chosen, *suspects], names)
        photos = sorted(choices.told(chosen), key=lambda one: one.choice is not None)  # stable: the worst first
        left = sum(one.choice is None for one in photos)
        return Cleaner(
            training=lesson.number,
            suspected=sum(one.choice is None for one in choices.told(suspects)),
            species=_counts(lesson.photos, names),
            photos=[*photos[: min(left, AT_ONCE)], *photos[left : left + AT_ONCE]],
            more=max(0, left - AT_ONCE),
        )


def _is_meant(one: Hard, species: str | None, split: Split) -> bool:
    return one.suspected if species is None else (one.label, one.held_out) == (species, split == "held-out")


def _latest(log: Store, root: Path) -> _Lesson | None:
    for row in log.second_looks.lessons(limit=TRIED):
        try:
            return _Lesson(row["id"], row["newest_label"], _list_of(root, row["id"], row["started_at"]))
        except (PhotoVanished, ValueError):  # by an older birdwatchd, or tidied away
            continue
    return None


@functools.lru_cache(maxsize=1)
def _list_of(root: Path, training_id: int, started_at: str) -> tuple[Hard, ...]:  # noqa: ARG001  # another log, another training
    with shown_files.of_training(root, training_id, HARDEST_FILE) as file:
        return hardest.from_json(file.read(shown_files.PAPER_MAX_BYTES).decode("utf-8", "replace"))


def _counts(photos: Sequence[Hard], names: Names) -> list[Count]:
    of = Counter((one.label, one.held_out) for one in photos)
    found = [
        Count(species=label, name=shown(label, names), learned=of[label, False], held_out=of[label, True])
        for label in {one.label for one in photos}
    ]
    return sorted(found, key=lambda one: one.name)


class _Choices:
    """What is known of some photos now."""

    def __init__(self, log: Store, lesson: _Lesson, photos: Sequence[Hard], names: Names) -> None:
        ids = {one.photo_id for one in photos} | {other for one in photos for other in one.neighbours}
        wishes = open_wishes(log)
        self._names = names
        self._rows: dict[int, Row] = log.second_looks.photos(ids, since=lesson.newest_label)
        self._called = names_then(log, wishes, list(ids))
        self._under_way = {photo_id for wish in wishes for photo_id in wish.photo_ids}

    def told(self, photos: Sequence[Hard]) -> list[HardPhoto]:
        """Those that are still there, and are the ones that were meant."""
        return [
            self._told(one)
            for one in photos
            if one.photo_id in self._rows and self._rows[one.photo_id]["sha256"] == one.sha256
        ]

    def _told(self, one: Hard) -> HardPhoto:
        now = self._called.get(one.photo_id)
        alike = [other for other in one.neighbours if self._called.get(other) is not None]
        return HardPhoto(
            photo_id=one.photo_id,
            label=one.label,
            name=shown(one.label, self._names),
            seen=now,
            seen_name="" if now is None else shown(now, self._names),
            own=one.own,
            likely=one.likely,
            likely_name=shown(one.likely, self._names),
            probability=one.probability,
            held_out=one.held_out,
            suspected=one.suspected,
            alike=[Alike(photo_id=other, name=shown(self._called[other], self._names)) for other in alike],
            choice=self._choice(one, now),
        )

    def _choice(self, one: Hard, now: str | None) -> Choice | None:
        if now is None:
            return Choice.SET_ASIDE
        if now != one.label:
            return Choice.RENAMED
        said_again = self._rows[one.photo_id]["said"] or one.photo_id in self._under_way
        return Choice.KEPT if said_again else None
