"""What is refused before a parser runs, and how that is said: too large, too small, cut, of no kind that is read."""

from dataclasses import dataclass

from birdwatchd.core import formats, jpegfile, oddities
from birdwatchd.core.errors import Damaged, EmptyFile, NotAPicture, TooLarge, TooSmall, Truncated, Unsupported
from birdwatchd.core.formats import Kind
from birdwatchd.core.sight import Ending

SMALLEST_SIDE_PX = 32

A_SMALLER_COPY = "save a smaller copy as JPEG and drop that into the inbox"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may ask of this machine.

    Attributes:
        max_megapixels: width x height / 1,000,000; 0–170.
        formats: values of `Kind` in lower case, out of `formats.READABLE`.
        max_bytes: the longest file that is looked into.
    """

    max_megapixels: float
    formats: frozenset[str]
    max_bytes: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        if unreadable := self.formats - formats.READABLE:
            raise ValueError(f"no parser for {', '.join(sorted(unreadable))}")
        # Pillow refuses a WebP above 179 megapixels by itself; a promise beyond that could not be kept.
        if not 0 < self.max_megapixels <= 170:
            raise ValueError("max_megapixels must be above 0 and at most 170")


def admit(data: bytes, limits: Limits) -> Kind:
    """Refuse what can be refused before a parser runs; returns what kind of picture it is.

    Raises:
        EmptyFile, NotAPicture, Unsupported, TooLarge, TooSmall, Truncated, Damaged.
    """
    if not data:
        raise EmptyFile("the file is empty")
    if len(data) > limits.max_bytes:
        raise TooLarge(
            f"{len(data) / 1e6:,.0f} MB; files up to {limits.max_bytes / 1e6:,.0f} MB are read", hint=A_SMALLER_COPY
        )
    head = data[: formats.SNIFF_BYTES]
    kind = formats.sniff(head)
    if kind is Kind.UNKNOWN:
        if not any(head) and not data.strip(b"\x00"):
            raise Truncated("nothing but zeros: room was reserved for it, but nothing was written")
        raise NotAPicture("no picture of any kind known here")
    if kind not in limits.formats:
        raise Unsupported(f"this is {formats.describe(kind)}, which is not read", hint=formats.advice(kind) or None)
    if canvas_px := formats.canvas_px(kind, head):
        check_size(canvas_px, limits)
    # Before the parser, also because Pillow would step through a header of junk byte by byte.
    picture = jpegfile.picture_data(data) if kind is Kind.JPEG else None
    if picture is None or not picture.plain:
        _check_end(data, kind)
    oddities.check(kind, data, picture)
    return kind


def check_size(size_px: tuple[int, int], limits: Limits) -> None:
    """Raise TooLarge or TooSmall for a picture of this width and height."""
    width_px, height_px = size_px
    if width_px * height_px > limits.max_megapixels * 1e6:
        raise TooLarge(f"{width_px} x {height_px} pixels; up to {limits.max_megapixels:g} megapixels are read")
    if min(size_px) < SMALLEST_SIDE_PX:
        raise TooSmall(f"{width_px} x {height_px} pixels; each side must have at least {SMALLEST_SIDE_PX}")


def _check_end(data: bytes, kind: Kind) -> None:
    """Refuse a file that is not whole, or whose parts are strung together as in no picture."""
    end = formats.ending(kind, data, data, len(data))
    if end is Ending.INCOMPLETE:
        raise Truncated(f"{formats.describe(kind)} whose end is missing")
    if end is Ending.UNTOLD:
        raise Damaged(f"{formats.describe(kind)} whose parts do not follow each other as they must")
