"""A photo with a frame round each bird that was seen in it: for a person who asks why it was named so.

The photo is read where the log says that it lies, and only if it is still the same bytes: a frame on another picture would be a lie.
"""

from pathlib import Path
from typing import Any

from birdwatchd.core import shelving
from birdwatchd.core.errors import PhotoError, Refused
from birdwatchd.core.photo import Box, State
from birdwatchd.core.settings import Settings
from birdwatchd.edges.drawing import Mark, drawn
from birdwatchd.edges.files import read_outside, write_new
from birdwatchd.edges.images import Limits, decode
from birdwatchd.examining import content_hash

LONGEST_SIDE_PX = 1600
"""Enough for every screen; letters and frames are drawn to fit."""


def picture_birds(settings: Settings, receipt: dict[str, Any], target: Path) -> None:
    """Write a PNG of the photo, upright and marked, under a new name.

    Args:
        receipt: what the log knows of the photo.

    Raises:
        Refused: the photo or the place is not fit for it; nothing was written.
    """
    _refuse_place(settings, target)
    photo = receipt["photo"]
    if photo["state"] == State.QUARANTINED:
        raise Refused(
            f"photo {photo['id']} is in quarantine and is not opened", hint="without --picture it is told what is wrong"
        )
    limits = Limits(max_megapixels=settings.images.max_megapixels, formats=frozenset(settings.images.formats))
    try:
        data = _bytes_of(settings, photo, limits.max_bytes)
        pixels = decode(data, limits, thumbnail_px=LONGEST_SIDE_PX).whole()
    except PhotoError as error:
        raise Refused(f"photo {photo['id']} cannot be shown: {error.message}", hint=error.hint) from error
    write_new(target, drawn(pixels, marks_of(receipt)))


def _refuse_place(settings: Settings, target: Path) -> None:
    """Refuse before anything is read; `write_new` has the last word."""
    name = shelving.printable(str(target))
    if not target.parent.is_dir():
        raise Refused(f"{shelving.printable(str(target.parent))} is no folder", hint="make it, or choose another one")
    if target.resolve().is_relative_to(settings.root.resolve()):
        raise Refused(
            f"{name} lies in the bird folder, where it would be taken for a photo", hint="choose another place"
        )
    if target.is_symlink() or target.exists():
        raise Refused(f"{name} is there already", hint="choose another name; nothing is overwritten")


def _bytes_of(settings: Settings, photo: dict[str, Any], max_bytes: int) -> bytes:
    place = settings.root / photo["path"]
    if photo["state"] == State.MISSING or not place.is_file():
        raise Refused(
            f"photo {photo['id']} is not at {shelving.printable(photo['path'])} any more",
            hint="if it was moved, birdwatchd notices that while it runs; then ask again",
        )
    data = read_outside(place, max_bytes=max_bytes)
    if content_hash(data) != photo["sha256"]:
        raise Refused(f"{shelving.printable(photo['path'])} is not the photo it was", hint="see `birdwatchd doctor`")
    return data


def marks_of(receipt: dict[str, Any]) -> list[Mark]:
    """The main bird with its name, the others with their number in the receipt; a name that a person gave has no probability.

    Where a person said that there is no bird, the frame still tells what the machine took for one.
    """
    photo = receipt["photo"]
    said = None if photo["human_label"] == shelving.NO_BIRD else photo["human_label"]
    named, probability = said or photo["label"], photo["probability"]
    marks: list[Mark] = []
    for bird in receipt["birds"]:
        words = f"bird {bird['number']}  {bird['birdness']:.2f}"
        if (main := bird["number"] == 1) and named is not None:
            words = named if said or probability is None else f"{named}  {probability:.2f}"
        marks.append(Mark(Box(*bird["box"]), shelving.printable(words), main))
    return marks
