"""What the camera wrote into a photo: which way is up, when it was taken, by which model. What is broken there costs no photo."""

import re
import unicodedata
from contextlib import suppress
from datetime import datetime

from PIL import Image

from birdwatchd.core.photo import Shot

_MODEL, _ORIENTATION, _EXIF_IFD = 0x0110, 0x0112, 0x8769
_ORIGINAL, _DIGITIZED, _CHANGED = (0x9003, 0x9011), (0x9004, 0x9012), (0x0132, 0x9010)  # a time and its offset
_ASKED_TAGS = frozenset({_MODEL, _ORIENTATION, *_ORIGINAL, *_DIGITIZED, *_CHANGED})

_TIME = re.compile(r"([0-9]{4})[:/.-]([0-9]{2})[:/.-]([0-9]{2})[ T]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]*)?")
_OFFSET = re.compile(r"[+-](?:0[0-9]|1[0-4]):[0-5][0-9]")
_CAMERA_CHARACTERS = 64
_MOST_EXIF_BYTES = 1 << 20
"""In a JPEG it is 64 kB at most; in others it could be the whole file, and 170 MB of rational numbers take 3 GB to read."""
# Invisible, but letters, marks or symbols to Unicode: joiners, fillers, variation selectors, the empty Braille cell.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def read_exif(image: Image.Image) -> tuple[int, Shot]:
    """Read orientation (1–8), time and camera; what is missing or broken counts as not written."""
    tags = _tags(image)
    orientation = tags.get(_ORIENTATION)
    if type(orientation) is not int or not 1 <= orientation <= 8:
        orientation = 1
    times = (_when(tags.get(time), tags.get(offset)) for time, offset in (_ORIGINAL, _DIGITIZED, _CHANGED))
    captured_at = next((time for time in times if time is not None), None)
    return orientation, Shot(captured_at, clean(_text(tags.get(_MODEL)), _CAMERA_CHARACTERS) or None)


def _tags(image: Image.Image) -> dict[int, object]:
    """Collect the tags asked for. A broken directory costs only the tags behind the break, never the photo."""
    tags: dict[int, object] = {}
    if len(image.info.get("exif", b"")) > _MOST_EXIF_BYTES:
        return tags
    with suppress(Exception):
        exif = image.getexif()
        for tag in _ASKED_TAGS:
            with suppress(Exception):
                if tag in exif:
                    tags[tag] = exif[tag]
        inner = exif.get_ifd(_EXIF_IFD)
        tags = {tag: inner[tag] for tag in _ASKED_TAGS if tag in inner} | tags
    return tags


def _text(value: object) -> str:
    """Read an EXIF string. Pillow takes it for Latin-1; newer cameras write UTF-8."""
    raw = value if isinstance(value, bytes) else value.encode("latin-1", "replace") if isinstance(value, str) else b""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def clean(text: str, most_characters: int) -> str:
    """Keep what can be seen: no control, bidirectional or invisible characters, single spaces, limited length."""
    visible = "".join(c for c in " ".join(text.split()) if c.isprintable())
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFC", visible))
    return " ".join(visible.split())[:most_characters].rstrip()


def _when(time: object, offset: object) -> str | None:
    """Turn an EXIF time into ISO-8601; None if it is no real moment. A missing or odd offset is left out."""
    found = _TIME.fullmatch(_text(time).strip(" \x00"))
    if found is None:
        return None
    year, month, day, hour, minute, second = found.groups()
    try:
        moment = datetime.fromisoformat(f"{year}-{month}-{day}T{hour}:{minute}:{second}")
    except ValueError:  # no such day or hour, the year 0000 of a clock that was never set
        return None
    zone = _text(offset).strip(" \x00")
    return moment.isoformat() + (zone if _OFFSET.fullmatch(zone) else "")
