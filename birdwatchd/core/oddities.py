"""What no camera does: files that end as they should and say what they should, but are built to keep a parser busy.

Ten megabytes can hold ten thousand colour profiles that unpack to a thousand times their size, one text in a thousand pieces that
are sewn to a copy of those before, or twenty thousand passes over one picture. Each of them is allowed by its format, Pillow reads
them all, and minutes go by. So they are counted before a parser runs, and a file that has far more than any camera writes is refused.
"""

import zlib
from collections import Counter
from collections.abc import Iterator

from birdwatchd.core import jpegfile
from birdwatchd.core.errors import Damaged, Truncated
from birdwatchd.core.formats import Kind
from birdwatchd.core.jpegfile import PictureData

MOST_SCANS = 100
"""A progressive JPEG goes over its picture about ten times. Each costs a pass over all pixels."""

MOST_EXIF_SEGMENTS = 16
"""One has room for 64 kB, and cameras write one. Pillow sews them together, copying all that it has each time."""

MOST_TABLES_BYTES = 64 * 1024
"""In a JPEG's header: four tables of quantization and eight of Huffman codes make 3 kB."""

MOST_FILLING_BYTES = 4096
"""Of 0xFF before a JPEG's marker, where none or a few do. Pillow cannot pass over them before it has seen their end, and begins at
the first of them whenever it has read a little more."""

MOST_PACKED_TEXTS = 100
"""Colour profiles and texts in a PNG that are kept compressed; each may unpack to 1 MB."""

MOST_WEBP_PARTS = 100_000
"""libwebp keeps a note of each, six times as long as the part."""


def check(kind: Kind, data: bytes, picture: PictureData | None = None) -> None:
    """Refuse what no camera does; for PNG every checksum is proved as well.

    Args:
        kind: what the file is; other kinds than JPEG, PNG and WebP pass unseen.
        data: the whole file, its end already proved (`formats.ending`).
        picture: where a JPEG's picture data lies, if that was looked for already.
    Raises:
        Damaged, Truncated: it must not reach a parser.
    """
    match kind:
        case Kind.JPEG:
            _check_jpeg(data, picture or jpegfile.picture_data(data))
        case Kind.PNG:
            _check_png(data)
        case Kind.WEBP:
            _check_webp(data)


_EXIF, _TABLES_END = b"Exif\x00\x00", 0xE0


def _check_jpeg(data: bytes, picture: PictureData) -> None:
    segments = jpegfile.header(data)
    if sum(data.startswith(_EXIF, one.begin + 4) for one in segments) > MOST_EXIF_SEGMENTS:
        raise Damaged("what the camera wrote is cut into many pieces; no camera does that")
    if sum(one.end - one.begin for one in segments if one.code < _TABLES_END) > MOST_TABLES_BYTES:
        raise Damaged("its header is full of tables; no camera does that")
    if picture.scans > MOST_SCANS:
        raise Damaged(f"it goes over its picture {picture.scans:,} times; no camera does that")
    if data.find(b"\xff" * MOST_FILLING_BYTES, picture.begin, picture.end) >= 0:
        raise Damaged("long stretches of it are only filled up; no camera does that")


_PACKED = (b"iCCP", b"zTXt", b"iTXt")


def _check_png(data: bytes) -> None:
    count = Counter(_chunks(data))
    if sum(count[name] for name in _PACKED) > MOST_PACKED_TEXTS:
        raise Damaged("it is full of texts and colour profiles; no camera does that")


def _chunks(data: bytes) -> Iterator[bytes]:
    """Names of a PNG's chunks up to the last; proves their checksums on the way."""
    view = memoryview(data)
    at = 8
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise Truncated("a PNG picture that ends too early")
        name = data[at + 4 : at + 8]
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise Damaged(f"a PNG picture with a wrong checksum, {at:,} bytes from its beginning")
        yield name
        if name == b"IEND":
            return
        at = end
    raise Truncated("a PNG picture whose end is missing")


def _check_webp(data: bytes) -> None:
    at, parts = 12, 0
    while at < len(data) and parts <= MOST_WEBP_PARTS:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
        parts += 1
    if parts > MOST_WEBP_PARTS:
        raise Damaged(f"it has more than {MOST_WEBP_PARTS:,} parts; no camera does that")
