"""What a person's words mean: a photo, a moment."""

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.core.errors import UnknownPhoto, UsageError
from birdwatchd.core.settings import Settings
from birdwatchd.edges.clock import as_utc_text
from birdwatchd.edges.files import hash_outside
from birdwatchd.edges.store import Store

MAX_ID = 2**63 - 1
"""SQLite counts no further."""


def open_log(settings: Settings) -> Store:
    """The log of the bird folder, for reading."""
    return Store.read_only(settings.root / shelving.DATABASE)


def photo_meant(store: Store, text: str) -> int:
    """The photo that a person means by a file or a number.

    Raises:
        UnknownPhoto: none.
    """
    path = Path(text)
    if text.isascii() and text.isdigit() and not os.path.lexists(path):
        if int(text) > MAX_ID:
            raise UnknownPhoto(f"there is no photo {text}")
        return int(text)
    if not os.path.lexists(path):
        raise UnknownPhoto(f"{shelving.printable(text)} is neither a file nor the number of a photo")
    ids = store.questions.ids_by_content(hash_outside(path))
    if not ids:
        raise UnknownPhoto(
            f"the log does not know {shelving.printable(text)}",
            hint="drop it into the inbox; if it lies there, `birdwatchd doctor` says what it waits for",
        )
    return int(ids[0])


def place_in_root(settings: Settings, text: str) -> str | None:
    """Where in the bird folder the file lies that a person named; None if it was a number, or lies elsewhere."""
    path = Path.cwd() / text
    if not path.is_file() or not path.resolve().is_relative_to(settings.root.resolve()):
        return None
    place = path.resolve().relative_to(settings.root.resolve()).as_posix()
    return None if any("\ud800" <= char <= "\udfff" for char in place) else place


_AGO = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment_meant(text: str) -> str:
    """`2h` or an ISO time as the log writes times: ISO-8601 UTC. A time without a zone is this machine's own.

    Raises:
        UsageError: it is neither.
    """
    try:
        if ago := _AGO.fullmatch(text.strip()):
            at = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            at = datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{shelving.printable(text)!r} is no time",
            hint="write how long ago, such as 90m, 2h or 7d, or 2026-05-01T06:00",
        ) from error
    return as_utc_text(at)


def note_beside(photo: Path) -> dict[str, str] | None:
    """The note that lies beside a quarantined file, if there is one that can be read."""
    try:
        note = json.loads(photo.with_name(f"{photo.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the person may have deleted or changed it; it only repeats what was said
        return None
    return note if isinstance(note, dict) and {"what_was_wrong", "what_to_do"} <= note.keys() else None
