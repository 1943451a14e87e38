"""Bytes in, an upright picture out. Several threads may decode at the same time; pictures that take much memory wait for each other."""

import ctypes
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from birdwatchd.core import formats, jpegfile
from birdwatchd.core.errors import Damaged, PhotoError, TooLarge, Truncated
from birdwatchd.core.formats import Kind
from birdwatchd.edges.images.admission import A_SMALLER_COPY, Limits, admit, check_size
from birdwatchd.edges.images.colours import rgb
from birdwatchd.edges.images.exif import clean, read_exif
from birdwatchd.edges.images.picture import Picture

_PARSERS: Mapping[Kind, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    Kind.JPEG: JpegImageFile,
    Kind.PNG: PngImageFile,
    Kind.WEBP: WebPImageFile,
}

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
    kind = admit(data, limits)
    _quiet_pillow()
    _keep_heaps_small()
    with _refusals(kind), _in_turn(kind, data):
        image = _PARSERS[kind](io.BytesIO(data))
        size_px = image.size
        check_size(size_px, limits)
        image.decodermaxblock = len(data)  # all at once: in pieces each is copied, and asks for Python's lock again
        need_px = _need(size_px, view_px, max(detail_px, thumbnail_px))
        image.draft("RGB", need_px)  # JPEG only; the others ignore it
        image.load()
        orientation, shot = read_exif(image)
        small = rgb(image, _reduction(image.size, need_px))
        if small is image:
            image.fp = None  # the bytes are not needed any more; closing would let go of the pixels as well
        else:
            image.close()
        if orientation in _UPRIGHT:
            small = small.transpose(_UPRIGHT[orientation])
    small.info = {}  # Pillow would write a JPEG's comment into the thumbnail
    width_px, height_px = size_px if orientation < 5 else size_px[::-1]
    return Picture(width_px, height_px, kind, shot, thumbnail_px, small)


def _need(size_px: tuple[int, int], view_px: int, longer_px: int) -> tuple[int, int]:
    """Say how small the picture may become: both sides serve the view, the longer one also all else."""
    longer_px = max(view_px, longer_px)
    return (longer_px, view_px) if size_px[0] >= size_px[1] else (view_px, longer_px)


def _reduction(size_px: tuple[int, int], need_px: tuple[int, int]) -> int:
    """Return the largest power of two that leaves `need_px`: the steps in which a JPEG is scaled while decoding, so
    that the same scene looks the same from each format."""
    room = min(size_px[0] // need_px[0], size_px[1] // need_px[1])
    return 1 << max(room, 1).bit_length() - 1


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
        return TooLarge(f"{what} that unpacks to more than it should", hint=A_SMALLER_COPY)
    if "truncated" in said.lower():
        return Truncated(f"{what} that ends too early")
    return Damaged(f"{what} that cannot be decoded: {clean(said, 120) or type(error).__name__}")


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
