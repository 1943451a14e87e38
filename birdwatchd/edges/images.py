"""The loupe: bytes in, an upright picture out. Proves a file whole by decoding it, once it has passed the limits.

Only this room reads with Pillow. The parser is chosen by our own look at the bytes and called directly, not through
`Image.open`: so no other parser is ever entered, and the size cap is ours alone, whatever `Image.MAX_IMAGE_PIXELS` says.
What is built to keep it busy does not reach it (`core/oddities`). The index of a multi-picture JPEG is not parsed: its
first picture is the photo.

Several threads may decode at the same time; pictures that take much memory wait for each other.
"""

import ctypes
import io
import re
import threading
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from birdwatchd.core import formats, jpegfile, oddities
from birdwatchd.core.errors import (
    Damaged,
    EmptyFile,
    NotAPicture,
    PhotoError,
    TooLarge,
    TooSmall,
    Truncated,
    Unsupported,
)
from birdwatchd.core.formats import Kind
from birdwatchd.core.photo import WHOLE_FRAME, Box, Pixels, Shot
from birdwatchd.core.preprocess import Resize
from birdwatchd.core.sight import Ending

SMALLEST_SIDE_PX = 32

_PARSERS: Mapping[Kind, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    Kind.JPEG: JpegImageFile,
    Kind.PNG: PngImageFile,
    Kind.WEBP: WebPImageFile,
}


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


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A proven photo, scaled and upright; the full-size pixels are already gone.

    Attributes:
        width_px, height_px: of the original, upright.
        kind: what the file is.
        shot: what the camera wrote about it.
    """

    width_px: int
    height_px: int
    kind: Kind
    shot: Shot
    _thumbnail_px: int
    _image: Image.Image = field(repr=False)

    def view(self, size_px: int, resize: Resize = "squash", box: Box = WHOLE_FRAME) -> Pixels:
        """Make the picture, or a part of it, a square, as the network wants it.

        Args:
            box: the part.
        Returns:
            RGB, shape (size_px, size_px, 3), uint8, contiguous and writable. Beyond the `view_px` given to `decode` it
            is enlarged and not sharper.
        """
        width, height = box.width * self._image.width, box.height * self._image.height
        left, top = box.x * self._image.width, box.y * self._image.height
        wide_px = high_px = size_px
        if resize == "crop":
            side = min(width, height)
            left, top, width, height = left + (width - side) / 2, top + (height - side) / 2, side, side
        elif resize == "pad":
            wide_px = max(round(size_px * width / max(width, height)), 1)
            high_px = max(round(size_px * height / max(width, height)), 1)
        part = (left, top, left + width, top + height)
        scaled = np.array(
            self._image.resize((wide_px, high_px), Image.Resampling.BICUBIC, box=part, reducing_gap=_REDUCING_GAP)
        )
        if wide_px == high_px:
            return scaled
        square = np.empty((size_px, size_px, 3), dtype=np.uint8)
        square[:] = _GROUND[:3]
        row, column = (size_px - high_px) // 2, (size_px - wide_px) // 2
        square[row : row + high_px, column : column + wide_px] = scaled
        return square

    def scaled(self, width_px: int, height_px: int) -> Pixels:
        """All of it at this size; RGB, shape (height_px, width_px, 3), uint8."""
        size_px = (width_px, height_px)
        return np.array(self._image.resize(size_px, Image.Resampling.BILINEAR, reducing_gap=1.0))

    def whole(self) -> Pixels:
        """All of it, its longest side at most the `thumbnail_px` given to `decode`; RGB, shape (H, W, 3)."""
        small = self._image.copy()
        small.thumbnail((self._thumbnail_px, self._thumbnail_px), Image.Resampling.BICUBIC)
        return np.array(small)

    def thumbnail(self, box: Box = WHOLE_FRAME) -> bytes:
        """Make a small JPEG for people: longest side at most the `thumbnail_px` given to `decode`, no metadata.

        Args:
            box: the part that is shown.
        """
        width, height = self._image.size
        part = (box.x * width, box.y * height, (box.x + box.width) * width, (box.y + box.height) * height)
        wide_px, high_px = max(part[2] - part[0], 1.0), max(part[3] - part[1], 1.0)
        share = min(self._thumbnail_px / max(wide_px, high_px), 1.0)
        small = self._image.resize(
            (max(round(wide_px * share), 1), max(round(high_px * share), 1)),
            Image.Resampling.HAMMING,  # as sharp, half the work
            box=part,
            reducing_gap=_REDUCING_GAP,
        )
        file = io.BytesIO()
        small.save(file, "JPEG", quality=80)
        return file.getvalue()


_REDUCING_GAP = 2.0
"""A picture is brought near its size in whole steps first: a quarter of the time, and a difference that no network sees."""


def decode(data: bytes, limits: Limits, *, view_px: int = 224, detail_px: int = 0, thumbnail_px: int = 320) -> Picture:
    """Prove that a file is a whole picture of an allowed kind and size, and read it once for all who want to see it.

    Only as many pixels are kept as views of `view_px`, a look at its parts and a thumbnail of `thumbnail_px` need. A JPEG is decoded
    already scaled: its Huffman stream is still read to its end, so a cut file is still caught.

    Transparent parts become mid-grey: to the network, which looks at (x - 127) / 128, that is nothing at all.

    Args:
        data: the whole file.
        view_px: the largest view of the whole that will be asked for.
        detail_px: longer side that is left, if the picture has it, so that a part is sharp as well.
        thumbnail_px: longest side of the thumbnail.
    Raises:
        EmptyFile, NotAPicture, Unsupported, TooLarge, TooSmall, Truncated, Damaged: nothing else, whatever the bytes.
    """
    kind = _admit(data, limits)
    _quiet_pillow()
    _keep_heaps_small()
    with _refusals(kind), _in_turn(kind, data):
        image = _PARSERS[kind](io.BytesIO(data))
        size_px = image.size
        _check_size(size_px, limits)
        image.decodermaxblock = len(data)  # all at once: in pieces each is copied, and asks for Python's lock again
        need_px = _need(size_px, view_px, max(detail_px, thumbnail_px))
        image.draft("RGB", need_px)  # JPEG only; the others ignore it
        image.load()
        orientation, shot = _read_exif(image)
        small = _rgb(image, _reduction(image.size, need_px))
        if small is image:
            image.fp = None  # the bytes are not needed any more; closing would let go of the pixels as well
        else:
            image.close()
        if orientation in _UPRIGHT:
            small = small.transpose(_UPRIGHT[orientation])
    small.info = {}  # Pillow would write a JPEG's comment into the thumbnail
    width_px, height_px = size_px if orientation < 5 else size_px[::-1]
    return Picture(width_px, height_px, kind, shot, thumbnail_px, small)


def as_jpeg(pixels: Pixels) -> bytes:
    """A picture of our own as a file; RGB, shape (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def _admit(data: bytes, limits: Limits) -> Kind:
    """Refuse what can be refused before a parser runs."""
    if not data:
        raise EmptyFile("the file is empty")
    if len(data) > limits.max_bytes:
        raise TooLarge(
            f"{len(data) / 1e6:,.0f} MB; files up to {limits.max_bytes / 1e6:,.0f} MB are read", hint=_A_SMALLER_COPY
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
        _check_size(canvas_px, limits)
    # Before the parser, also because Pillow would step through a header of junk byte by byte.
    picture = jpegfile.picture_data(data) if kind is Kind.JPEG else None
    if picture is None or not picture.plain:
        _check_end(data, kind)
    oddities.check(kind, data, picture)
    return kind


_A_SMALLER_COPY = "save a smaller copy as JPEG and drop that into the inbox"


def _check_size(size_px: tuple[int, int], limits: Limits) -> None:
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


@contextmanager
def _refusals(kind: Kind) -> Iterator[None]:
    """Turn whatever Pillow raises on hostile bytes into the reason why this photo is set aside."""
    try:
        yield
    except PhotoError:
        raise
    except Exception as error:
        raise _refusal(error, formats.describe(kind)) from error


def _refusal(error: Exception, what: str) -> PhotoError:
    said = str(error)
    if isinstance(error, MemoryError | Image.DecompressionBombError) or _ASKS_TOO_MUCH.search(said):
        return TooLarge(f"{what} that unpacks to more than it should", hint=_A_SMALLER_COPY)
    if "truncated" in said.lower():
        return Truncated(f"{what} that ends too early")
    return Damaged(f"{what} that cannot be decoded: {_clean(said, 120) or type(error).__name__}")


# Pillow's words for compressed texts and colour profiles that unpack beyond its own limits.
_ASKS_TOO_MUCH = re.compile(r"[Dd]ecompressed data too large|[Tt]oo much memory")


_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1


@lru_cache(maxsize=1)
def _keep_heaps_small() -> None:
    """With several threads glibc gathers heaps that it never returns. Two of them are enough, and whatever is larger than a megabyte is
    taken from the system and given back at once: kept, it leaves holes that others cut up (300 MB in 300 frames), though new pages
    cost a frame 10 ms. The room of smaller things is kept (mallopt(3)). Other C libraries do not know the question."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, 1 << 20)
        mallopt(_M_TRIM_THRESHOLD, 32 << 20)


_PILLOW = r"PIL\."
_QUIETING = threading.Lock()


def _quiet_pillow() -> None:
    """Let Pillow's remarks on odd files ("Corrupt EXIF data", "Invalid APNG") pass unheard, for the whole process.

    They say nothing that matters here, one hostile file brings thousands, and under -W error a remark would become a
    refusal. `warnings.catch_warnings` is no way: it swaps the filters of all threads at once. A filter that is added
    and stays needs no swap; adding it in the call, not at import, keeps importing this room without effect.
    """
    # Looked up first: adding takes an equal one out for a moment, and forgets which warnings were shown already.
    with _QUIETING:
        if not any(getattr(module, "pattern", module) == _PILLOW for _, _, _, module, _ in warnings.filters):
            warnings.filterwarnings("ignore", category=UserWarning, module=_PILLOW)


# What decoding takes for each pixel: a PNG whole and once more in other colours, a WebP on two canvases besides. A baseline JPEG
# goes by in stripes, a progressive one is kept whole in coefficients. All at the worst, measured.
_BYTES_PER_PX = {Kind.JPEG: 0, Kind.PNG: 8, Kind.WEBP: 16}
_BYTES_PER_PROGRESSIVE_PX = 6
_LARGE_BYTES = 128_000_000
_LARGE = threading.Lock()


def _in_turn(kind: Kind, data: bytes) -> AbstractContextManager[object]:
    """One after the other for pictures that take much memory, whichever threads they come from; the others at once."""
    per_px = _BYTES_PER_PX[kind]
    size_px = formats.canvas_px(kind, data[: formats.SNIFF_BYTES]) or (0, 0)
    if kind is Kind.JPEG and (frame := jpegfile.frame(data)) is not None and frame.progressive:
        per_px, size_px = _BYTES_PER_PROGRESSIVE_PX, (frame.width_px, frame.height_px)
    return _LARGE if size_px[0] * size_px[1] * per_px > _LARGE_BYTES else nullcontext()


# --- pixels -------------------------------------------------------------------------------------------------------

# EXIF orientation: what was done to the picture, so what undoes it. 1 and everything else is upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_GROUND = (127, 127, 127, 255)


def _need(size_px: tuple[int, int], view_px: int, longer_px: int) -> tuple[int, int]:
    """Say how small the picture may become: both sides serve the view, the longer one also all else."""
    longer_px = max(view_px, longer_px)
    return (longer_px, view_px) if size_px[0] >= size_px[1] else (view_px, longer_px)


def _reduction(size_px: tuple[int, int], need_px: tuple[int, int]) -> int:
    """Return the largest power of two that leaves `need_px`: the steps in which a JPEG is scaled while decoding, so
    that the same scene looks the same from each format."""
    room = min(size_px[0] // need_px[0], size_px[1] // need_px[1])
    return 1 << max(room, 1).bit_length() - 1


def _rgb(image: Image.Image, factor: int) -> Image.Image:
    """Make a smaller RGB picture of one in any of Pillow's modes."""
    if image.mode == "F" or image.mode.startswith("I"):
        image = Image.fromarray(_grey(np.asarray(image)))
    if image.mode != "LA" and image.has_transparency_data:
        image = _in_mode(image, "RGBA")
    elif image.mode not in ("L", "LA", "CMYK"):  # these shrink as they are
        image = _in_mode(image, "RGB")
    if factor > 1:
        image = image.reduce(factor)
    if image.mode in ("LA", "RGBA"):
        image = _in_mode(image, "RGBA")
        ground = Image.new("RGBA", image.size, _GROUND)
        ground.alpha_composite(image)
        image = ground
    return _in_mode(image, "RGB")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert where there is something to convert: Pillow would copy all pixels even so."""
    return image if image.mode == mode else image.convert(mode)


def _grey(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Bring deep grey values to 0–255: integers count as 16 bits, numbers of no agreed range are stretched."""
    if values.dtype.kind in "iu":
        return (values.clip(0, 65535) >> 8).astype(np.uint8)
    finite = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    return ((finite - low) * (255.0 / max(high - low, 1e-12))).astype(np.uint8)


# --- what the camera wrote ----------------------------------------------------------------------------------------

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


def _read_exif(image: Image.Image) -> tuple[int, Shot]:
    """Read orientation (1–8), time and camera; what is missing or broken counts as not written."""
    tags = _tags(image)
    orientation = tags.get(_ORIENTATION)
    if type(orientation) is not int or not 1 <= orientation <= 8:
        orientation = 1
    times = (_when(tags.get(time), tags.get(offset)) for time, offset in (_ORIGINAL, _DIGITIZED, _CHANGED))
    captured_at = next((time for time in times if time is not None), None)
    return orientation, Shot(captured_at, _clean(_text(tags.get(_MODEL)), _CAMERA_CHARACTERS) or None)


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


def _clean(text: str, most_characters: int) -> str:
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
