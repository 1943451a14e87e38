"""What a person's words mean: a photo, a moment."""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.core.errors import UnknownPhoto, UsageError
from birdwatchd.core.settings import Settings
from birdwatchd.edges.store import Store


def open_log(settings: Settings) -> Store:
    """The log of the bird folder, for reading."""
    return Store.read_only(settings.root / shelving.DATABASE)


def photo_meant(store: Store, text: str) -> int:
    """The photo that a person means by a file or a number.

    Raises:
        UnknownPhoto: none.
    """
    path = Path(text)
    if text.isascii() and text.isdigit() and not path.exists():
        return int(text)
    if not path.is_file():
        raise UnknownPhoto(f"{shelving.printable(text)} is neither a file nor the number of a photo")
    with path.open("rb") as file:
        ids = store.questions.ids_by_content(hashlib.file_digest(file, "sha256").hexdigest())
    if not ids:
        raise UnknownPhoto(
            f"the log does not know {shelving.printable(text)}",
            hint="drop it into the inbox; see `birdwatchd scan` for what waits there",
        )
    return int(ids[0])


_AGO = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment_meant(text: str) -> str:
    """`2h` or an ISO time as the log writes times: ISO-8601 UTC. A time without a zone is this machine's own.

    Raises:
        UsageError: it is neither.
    """
    if ago := _AGO.fullmatch(text.strip()):
        at = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    else:
        try:
            at = datetime.fromisoformat(text.strip()).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise UsageError(
                f"{shelving.printable(text)!r} is no time",
                hint="write how long ago, such as 90m, 2h or 7d, or 2026-05-01T06:00",
            ) from error
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
