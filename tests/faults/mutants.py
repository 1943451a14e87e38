"""Good pictures of every sort, and endless bad ones made from them. The same seed and number give the same
bytes (with the same Pillow).

A mutant's name tells how it came about: `0-000123-flip-palette.png` is number 123 of seed 0. To have one in hand:
`python -m tests.faults.mutants 0-000123-flip-palette.png > bad.png`.
"""

import functools
import random
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from PIL import Image

from tests.pictures import chunk, exif, jpeg, pixels, png, saved, webp, with_chunks, with_segment

WIDTH, HEIGHT = 200, 150
_jpeg = functools.partial(jpeg, width=WIDTH, height=HEIGHT)
_png = functools.partial(png, width=WIDTH, height=HEIGHT)
_webp = functools.partial(webp, width=WIDTH, height=HEIGHT)


@functools.cache
def good() -> Mapping[str, bytes]:
    """Whole pictures of the three formats, as different from each other as they can be."""
    camera = exif(orientation=6, taken="2026:05:01 05:30:09", offset="+02:00", camera="TrailCam 3")
    colour = Image.fromarray(pixels(width=WIDTH, height=HEIGHT))
    frames = [Image.fromarray(pixels(width=WIDTH, height=HEIGHT, seed=seed)) for seed in range(4)]
    deep = Image.fromarray(pixels(width=WIDTH, height=HEIGHT)[:, :, 0].astype(np.uint16) * 257)
    clear = colour.convert("RGBA")
    clear.putalpha(Image.fromarray(pixels(width=WIDTH, height=HEIGHT, seed=9)[:, :, 1]))
    return {
        "plain.jpg": _jpeg(),
        "camera.jpg": _jpeg(exif=camera),
        "thumbnailed.jpg": with_segment(_jpeg(), 0xE1, b"Exif\0\0" + jpeg(width=80, height=60)),
        "progressive.jpg": _jpeg(progressive=True),
        "grey.jpg": saved(colour.convert("L"), "JPEG"),
        "cmyk.jpg": saved(colour.convert("CMYK"), "JPEG"),
        "restarting.jpg": saved(colour, "JPEG", restart_marker_blocks=4),
        "profiled.jpg": saved(colour, "JPEG", icc_profile=bytes(range(256)) * 600, comment="a jay"),
        "two-pictures.mpo": saved(colour, "MPO", save_all=True, append_images=frames[1:2], exif=camera),
        "plain.png": _png(),
        "camera.png": _png(exif=camera),
        "deep.png": saved(deep, "PNG"),
        "palette.png": saved(colour.quantize(64), "PNG", transparency=3),
        "bits.png": saved(colour.convert("1"), "PNG"),
        "clear.png": saved(clear, "PNG"),
        "interlaced.png": interlaced_png(pixels(width=WIDTH, height=HEIGHT)),
        "texts.png": with_chunks(_png(), (b"zTXt", b"Title\0\0" + zlib.compress(b"a jay" * 99)), (b"tEXt", b"k\0v")),
        "moving.png": saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "plain.webp": _webp(),
        "lossless.webp": _webp(lossless=True),
        "camera.webp": _webp(exif=camera),
        "clear.webp": saved(clear, "WEBP"),
        "moving.webp": saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
    }


def interlaced_png(values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """A PNG that comes in seven passes; Pillow reads such, but does not write them."""
    height, width, _ = values.shape
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(
        b"\0" + row.tobytes() for top, left, down, right in passes for row in values[top::down, left::right] if row.size
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    picture = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(picture)


# --- damage -------------------------------------------------------------------------------------------------------


def _cut(file: bytearray, dice: random.Random) -> None:
    del file[dice.randrange(1, len(file)) :]


def _flip(file: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        file[_place(file, dice)] ^= 1 << dice.randrange(8)


def _zero(file: bytearray, dice: random.Random) -> None:
    begin = _place(file, dice)
    end = min(len(file), begin + dice.choice((1, 2, 16, 256, 4096, len(file))))
    file[begin:end] = bytes(end - begin)


def _splice(file: bytearray, dice: random.Random) -> None:
    other = dice.choice(sorted(good().values()))
    file[dice.randrange(1, len(file)) :] = other[dice.randrange(len(other)) :]


def _repeat(file: bytearray, dice: random.Random) -> None:
    begin = _place(file, dice)
    part = bytes(file[begin : begin + dice.choice((1, 4, 64, 1024))])
    file[begin:begin] = part * dice.choice((1, 2, 50))


def _lie(file: bytearray, dice: random.Random) -> None:
    """Put a number where a length, a size or an offset may be."""
    begin = _place(file, dice)
    number = dice.choice((0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
    file[begin : begin + 4] = number.to_bytes(4, dice.choice(("big", "little")))


DAMAGES: Mapping[str, Callable[[bytearray, random.Random], None]] = {
    "cut": _cut,
    "flip": _flip,
    "zero": _zero,
    "splice": _splice,
    "repeat": _repeat,
    "lie": _lie,
}


def _place(file: bytearray, dice: random.Random) -> int:
    """Anywhere, but as often as not in the first bytes, where the parsers work."""
    return dice.randrange(min(len(file), dice.choice((700, len(file)))))


def _mended(file: bytes) -> bytes:
    """A PNG with all its checksums right again: else they would stop each mutant at the door."""
    mended, at = bytearray(file), 8
    while at + 12 <= len(file):
        end = at + 12 + int.from_bytes(mended[at : at + 4], "big")
        if end > len(file):
            break
        mended[end - 4 : end] = zlib.crc32(mended[at + 4 : end - 4]).to_bytes(4, "big")
        at = end
    return bytes(mended)


def mutant(seed: int, number: int) -> tuple[str, bytes]:
    """One bad picture (by chance a good one), and its name."""
    dice = random.Random(f"{seed}/{number}")  # noqa: S311
    base = dice.choice(sorted(good()))
    damage = dice.choice(sorted(DAMAGES))
    file = bytearray(good()[base])
    DAMAGES[damage](file, dice)
    mended = base.endswith(".png") and damage != "cut" and dice.random() < 0.7
    name = f"{seed}-{number:06d}-{damage}{'-mended' if mended else ''}-{base}"
    return name, _mended(bytes(file)) if mended else bytes(file)


def mutants(count: int, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of so many, one after the other."""
    return (mutant(seed, number) for number in range(count))


if __name__ == "__main__":
    seed, number, *_ = sys.argv[1].split("-")
    sys.stdout.buffer.write(mutant(int(seed), int(number))[1])
