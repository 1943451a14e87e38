"""What kind of file these bytes are, and whether its end has arrived; told from the bytes, never from the name.

Settling asks before a photo is touched, with the first and the last bytes only; decoding asks again with all of them.
"""

from dataclasses import dataclass
from enum import StrEnum

from birdwatchd.core import jpegfile
from birdwatchd.core.sight import Ending, Sight

SNIFF_BYTES = 64
"""The most that `sniff` looks at."""

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 64 * 1024
"""What `ending` wants of a file's two ends."""


class Kind(StrEnum):
    """Kinds of files that people drop; the value is the word used in config.toml under `[images] formats`."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    GIF = "gif"
    TIFF = "tiff"
    RAW = "raw"
    HEIC = "heic"
    AVIF = "avif"
    VIDEO = "video"
    BMP = "bmp"
    JPEG2000 = "jpeg2000"
    JXL = "jxl"
    PSD = "psd"
    UNKNOWN = "unknown"


READABLE = frozenset({Kind.JPEG, Kind.PNG, Kind.WEBP})
"""The kinds that may be decoded at all; the settings can only take away from these."""


@dataclass(frozen=True, slots=True)
class _Words:
    name: str
    advice: str


_AS_JPEG = "save or export it as JPEG and drop that into the inbox"

_WORDS = {
    Kind.JPEG: _Words("a JPEG photo", ""),
    Kind.PNG: _Words("a PNG picture", ""),
    Kind.WEBP: _Words("a WebP picture", ""),
    Kind.GIF: _Words("a GIF animation or picture", _AS_JPEG),
    Kind.TIFF: _Words(
        "a TIFF picture or a camera's RAW file",
        "if it comes from a camera, let the camera write JPEG beside RAW; otherwise export it as JPEG",
    ),
    Kind.RAW: _Words("a camera's RAW file", "let the camera write JPEG beside RAW, and drop the JPEG"),
    Kind.HEIC: _Words(
        "a HEIC photo (iPhone)",
        'set the phone to Settings > Camera > Formats > "Most Compatible", or export this one as JPEG',
    ),
    Kind.AVIF: _Words("an AVIF picture", _AS_JPEG),
    Kind.VIDEO: _Words("a video", "only photos are read: set the camera to take stills, or save single frames as JPEG"),
    Kind.BMP: _Words("a BMP picture", _AS_JPEG),
    Kind.JPEG2000: _Words("a JPEG 2000 picture", _AS_JPEG),
    Kind.JXL: _Words("a JPEG XL picture", _AS_JPEG),
    Kind.PSD: _Words("a Photoshop document", _AS_JPEG),
    Kind.UNKNOWN: _Words("no picture of any kind known here", "only photos belong into the inbox"),
}


def describe(kind: Kind) -> str:
    """Name a kind as a person would, with its article: "a HEIC photo (iPhone)"."""
    return _WORDS[kind].name


def advice(kind: Kind) -> str:
    """Say what to do with a file of this kind; empty for the kinds that are read."""
    return _WORDS[kind].advice


# Only beginnings that no text file has by chance; the longer patterns first where one begins like another.
_MAGIC = (
    (b"\xff\xd8\xff", Kind.JPEG),
    (b"\x89PNG\r\n\x1a\n", Kind.PNG),
    (b"GIF87a", Kind.GIF),
    (b"GIF89a", Kind.GIF),
    (b"IIRO", Kind.RAW),  # Olympus
    (b"IIRS", Kind.RAW),
    (b"MMOR", Kind.RAW),
    (b"IIU\x00", Kind.RAW),  # Panasonic
    (b"FUJIFILMCCD-RAW", Kind.RAW),
    (b"FOVb", Kind.RAW),  # Sigma
    (b"\x00MRM", Kind.RAW),  # Minolta
    (b"II*\x00", Kind.TIFF),
    (b"MM\x00*", Kind.TIFF),
    (b"II+\x00", Kind.TIFF),  # larger than 4 GB
    (b"MM\x00+", Kind.TIFF),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", Kind.JPEG2000),
    (b"\xff\x4f\xff\x51", Kind.JPEG2000),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", Kind.JXL),
    (b"\xff\x0a", Kind.JXL),
    (b"8BPS\x00", Kind.PSD),
    (b"\x1aE\xdf\xa3", Kind.VIDEO),  # Matroska, WebM
    (b"\x00\x00\x01\xba", Kind.VIDEO),  # MPEG
    (b"\x00\x00\x01\xb3", Kind.VIDEO),
)
_RIFF_FORMS = {b"WEBP": Kind.WEBP, b"AVI ": Kind.VIDEO}
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_OLD_QUICKTIME_BOXES = frozenset({b"moov", b"mdat", b"wide", b"pnot"})
_BMP_HEADER_BYTES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def sniff(head: bytes) -> Kind:
    """Tell the kind of a file from its beginning.

    Args:
        head: the first SNIFF_BYTES of the file, or all of a shorter one; more does no harm.
    """
    head = head[:SNIFF_BYTES]
    if head[:4] == b"RIFF":
        return _RIFF_FORMS.get(head[8:12], Kind.UNKNOWN)
    if head[4:8] == b"ftyp":
        return _sniff_brands(head)
    if head[:4] == b"II*\x00" and head[8:10] == b"CR":  # Canon's RAW is a TIFF that says so
        return Kind.RAW
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[4:8] in _OLD_QUICKTIME_BOXES:
        return Kind.VIDEO
    # "BM" alone also begins words, so the reserved zeros and the length of the second header must fit as well.
    if head[:2] == b"BM" and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES:
        return Kind.BMP
    return Kind.UNKNOWN


def _sniff_brands(head: bytes) -> Kind:
    """Tell HEIC, AVIF, Canon's CR3 and films apart: one container, told by the brands in its first box."""
    listed = head[16 : int.from_bytes(head[:4], "big")]
    brands = {head[8:12], *(listed[at : at + 4] for at in range(0, len(listed), 4))}
    if b"crx " in brands:
        return Kind.RAW
    if brands & _AVIF_BRANDS:  # before HEIC: an AVIF usually lists mif1 too
        return Kind.AVIF
    if head[8:12] in _HEIC_BRANDS:
        return Kind.HEIC
    return Kind.VIDEO


def canvas_px(kind: Kind, head: bytes) -> tuple[int, int] | None:
    """Read width and height where they stand at a fixed place: before any parser reserves memory for them.

    Args:
        head: the first SNIFF_BYTES of the file.
    Returns:
        (width, height) in pixels as claimed by the file, or None if this kind keeps them elsewhere (JPEG).
    """
    if kind is Kind.PNG and head[12:16] == b"IHDR" and len(head) >= 24:
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if kind is not Kind.WEBP or len(head) < 30:
        return None
    match head[12:16]:
        case b"VP8 ":
            return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
        case b"VP8X":
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            return None


def ending(kind: Kind, head: bytes, tail: bytes, size_bytes: int) -> Ending:
    """Tell whether a file is all there, without decoding it.

    This is a reason to wait or not to wait; only decoding proves a photo. With `tail` the whole file the answer is as
    exact as the format allows. In each format, a file cut anywhere is INCOMPLETE, also when the missing part was
    reserved and is still zeros; bytes behind the picture do no harm.

    - JPEG: the end marker closes the first picture. Markers inside the header's segments (a thumbnail has its own end
      marker) do not count, and in the picture data itself that marker cannot occur. If the tail is neither picture data
      nor ends in an end marker, it belongs to something appended (the film of a motion photo): UNTOLD.
    - Nothing at all, or nothing but zeros: INCOMPLETE, whatever it will be.
    - PNG: the IEND chunk with its checksum.
    - WebP, AVI: the length in the header. A WebP whose last 4 KiB are zeros was reserved and not written: so many zeros
      in a row do not come out of its arithmetic coder.
    - GIF: its trailer byte. HEIC, AVIF, MP4, MOV, CR3: the boxes add up, as far as the head shows them.

    Args:
        head: the first HEAD_BYTES of the file, all of it if it is shorter. With only SNIFF_BYTES some cut JPEGs a
            little longer than the tail are UNTOLD.
        tail: the last TAIL_BYTES of the file, all of it if it is shorter; more is welcome.
        size_bytes: the length of the whole file.
    Returns:
        UNTOLD for kinds without an end that could be checked, UNKNOWN among them.
    """
    if not any(head) and not any(tail):
        return Ending.INCOMPLETE
    match kind:
        case Kind.JPEG:
            return jpegfile.ending_of(Sight.of(head, tail, size_bytes))
        case Kind.PNG:
            return _png_ending(Sight.of(head, tail, size_bytes))
        case Kind.WEBP:
            return _riff_ending(head, tail, size_bytes, longest_zeros=4096)
        case Kind.GIF:
            return Ending.COMPLETE if tail.rstrip(b"\x00").endswith(b"\x00;") else Ending.INCOMPLETE
        case Kind.HEIC | Kind.AVIF:
            return _boxes_ending(Sight.of(head, tail, size_bytes))
        case Kind.RAW | Kind.VIDEO if head[4:8] == b"ftyp":
            return _boxes_ending(Sight.of(head, tail, size_bytes))
        case Kind.VIDEO if head[:4] == b"RIFF":
            return _riff_ending(head, tail, size_bytes, longest_zeros=None)
        case _:
            return Ending.UNTOLD


_PNG_END = b"\x00\x00\x00\x00IEND\xaeB\x60\x82"
# A 12-megapixel photo has some thousand; a million tiny ones would be an attack on whoever collects them.
_MOST_CHUNKS = 100_000


def _png_ending(sight: Sight) -> Ending:
    """Look for the last chunk; with the whole file at hand, UNTOLD if there are absurdly many before it."""
    if _PNG_END not in sight.tail:
        return Ending.INCOMPLETE
    at = 8
    for _ in range(_MOST_CHUNKS):
        if sight.tail_at > 0 or at >= sight.size_bytes:
            return Ending.COMPLETE
        at += 12 + int.from_bytes(sight.tail[at : at + 4], "big")
    return Ending.UNTOLD


def _riff_ending(head: bytes, tail: bytes, size_bytes: int, *, longest_zeros: int | None) -> Ending:
    """Compare the length in a RIFF header with the file's; `longest_zeros` at its end mean reserved, not written."""
    end = int.from_bytes(head[4:8], "little") + 8
    if len(head) < 8 or end > size_bytes:
        return Ending.INCOMPLETE
    if longest_zeros is not None and end >= longest_zeros:
        last = tail[: max(0, len(tail) - (size_bytes - end))][-longest_zeros:]
        if len(last) == longest_zeros and not any(last):
            return Ending.INCOMPLETE
    return Ending.COMPLETE


_MOST_BOXES = 64


def _boxes_ending(sight: Sight) -> Ending:
    """Add up the outermost boxes of an ISO media file until one reaches the file's end or lies out of sight."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at == sight.size_bytes:
            return Ending.COMPLETE
        if at > sight.size_bytes or sight.only_zeros_from(at):
            return Ending.INCOMPLETE
        box = sight.read(at, 16)
        if box is None:
            return Ending.UNTOLD
        if len(box) < 8:
            return Ending.INCOMPLETE
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:16], "big")
        if length < 8:  # 0 is "up to the end of the file", wherever that will be
            return Ending.UNTOLD
        at += length
    return Ending.UNTOLD
