"""Decision in, folder and file name out. Never looks at a disk."""

import re
import unicodedata
from pathlib import PurePosixPath

from birdwatchd.core.errors import UsageError
from birdwatchd.core.photo import State

INBOX = "inbox"
LIBRARY = "library"
REVIEW = "review"
EMPTY = "empty"
QUARANTINE = "quarantine"
DUPLICATES = "duplicates"
REPORTS = "reports"
PRIVATE = ".birdwatchd"
WORK = f"{PRIVATE}/work"
THUMBS = f"{PRIVATE}/thumbs"
MODELS = f"{PRIVATE}/models"
JOBS = f"{PRIVATE}/jobs"
BACKUPS = f"{PRIVATE}/backups"
WEB_TOKEN = f"{PRIVATE}/web/token"
"""What lets people and programs into the page. A folder of its own, the only one in which the page may write."""

IN_HAND = f"{PRIVATE}/in-hand"
LOOKED_AT = f"{PRIVATE}/looked-at"
MARKER = f"{PRIVATE}/root"
RESTORE_PLAN = f"{PRIVATE}/restoring.json"
"""There from the moment a restore is decided until the backup is in its place; while it is, nobody opens the log."""

UNSPOKEN = f"{PRIVATE}/unspoken.json"
"""Where photos lay, at the last restore, which the backup does not know there and of which no person had said anything, as far as can
be told: the machine put them there, and that must not become a person's word."""

RESTORE_COPY = f"{PRIVATE}/restoring.db"
DATABASE = "birdwatchd.db"
CONFIG = "config.toml"

FOLDERS = (INBOX, LIBRARY, REVIEW, EMPTY, QUARANTINE, DUPLICATES, REPORTS, WORK, THUMBS, MODELS, JOBS)

NO_BIRD = "empty"
"""The label a person gives to a photo without a bird; its place is `empty/`, not a species folder."""

UNKNOWN_GUESS = "unknown"

MAX_NAME_BYTES = 240
"""File systems take 255; the rest is for the sidecar's `.json` and a number against collisions."""

HASH_DIGITS = 16
_MAX_SPECIES_BYTES = 100
_MAX_SUFFIX_BYTES = 16
_RESERVED = frozenset('/\\:*?"<>|')


def printable(text: str) -> str:
    r"""The text with everything invisible, misleading or undecodable spelled out, such as `\n`, `\x1b`, `\u202e`, `\xff`.

    For logs, messages and the columns that people read: one line, and what one sees is what is there.
    """
    return "".join(char if _is_plain(char) else _spelled(char) for char in text)


def _is_plain(char: str) -> bool:
    return char == " " or unicodedata.category(char)[0] not in "CZ"


def _spelled(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def _clean(text: str) -> str:
    return "".join(char if _is_plain(char) and char not in "/\\" else "_" for char in text)


def _cut(text: str, max_bytes: int) -> str:
    return text.encode("utf-8")[: max(max_bytes, 0)].decode("utf-8", errors="ignore")


def file_name(original_name: str, *, sha256: str | None, photo_id: int, number: int = 1) -> str:
    """The name a photo is kept under: its own stem, 16 hex digits of its content, its own suffix.

    Args:
        original_name: base name as it came, of any length and character.
        sha256: of the content; None for a file too big to be read, which is named by its number in the log.
        number: 2, 3 … when that name is taken by other bytes or by another arrival of the same.

    Returns:
        At most 240 bytes of UTF-8 without control characters. A stem that carries the digits already does not get them twice.
    """
    path = PurePosixPath(_clean(original_name))
    suffix = path.suffix if len(path.suffix.encode()) <= _MAX_SUFFIX_BYTES else ""
    stem = path.name.removesuffix(suffix)
    mark = sha256[:HASH_DIGITS] if sha256 else f"photo{photo_id}"
    stem = re.sub(rf"-{re.escape(mark)}(-\d+)?$", "", stem)
    tail = f"-{mark}{f'-{number}' if number > 1 else ''}{suffix}"
    return _cut(stem, MAX_NAME_BYTES - len(tail.encode())) + tail


_DIGITS = re.compile(rf".*-([0-9a-f]{{{HASH_DIGITS}}})(?:-\d+)?(?:\.[^.]*)?", re.DOTALL)


def digits_in(path: str) -> str | None:
    """The digits of its content in the name of a kept photo; None if it has none."""
    found = _DIGITS.fullmatch(path.rpartition("/")[2])
    return found[1] if found else None


def folder_of(state: State, *, label: str | None = None, reason: str | None = None) -> str:
    """The folder, relative to the bird folder, in which a photo of this state rests.

    Args:
        label: species for a filed photo; the guess for one in review (None becomes `unknown`).
        reason: why a photo is in quarantine.
    """
    match state:
        case State.FILED:
            if label is None:
                raise ValueError("a filed photo has a species")
            return f"{LIBRARY}/{label}"
        case State.REVIEW:
            return f"{REVIEW}/{label or UNKNOWN_GUESS}"
        case State.EMPTY:
            return EMPTY
        case State.DUPLICATE:
            return DUPLICATES
        case State.QUARANTINED:
            return f"{QUARANTINE}/{reason or 'unknown'}"
        case _:
            raise ValueError(f"a photo does not rest while it is {state}")


def species_name(text: str) -> str:
    """A label as a person gave it, if it can be a folder's name everywhere; surrounding blanks are dropped.

    Raises:
        UsageError: with what is wrong with it.
    """
    name = unicodedata.normalize("NFC", text.strip())
    problem = None
    if not name:
        problem = "it is empty"
    elif name.startswith("."):
        problem = "it starts with a dot, which hides the folder"
    elif bad := sorted({printable(char) for char in name if char in _RESERVED or not _is_plain(char)}):
        problem = f"it holds {' '.join(bad)}, which not every file system takes"
    elif len(name.encode()) > _MAX_SPECIES_BYTES:
        problem = f"it is longer than {_MAX_SPECIES_BYTES} bytes"
    elif name.endswith("."):
        problem = "it ends with a dot, which Windows shares drop"
    if problem:
        raise UsageError(
            f"{printable(text)!r} cannot be the name of a species: {problem}", hint="try one like house-finch"
        )
    return NO_BIRD if name.casefold() == NO_BIRD else name
