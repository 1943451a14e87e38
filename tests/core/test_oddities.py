"""Files built to keep a parser busy: each rule passes what cameras write and refuses what nobody needs."""

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from birdwatchd.core.errors import Damaged, PhotoError, Truncated
from birdwatchd.core.formats import Kind, sniff
from birdwatchd.core.jpegfile import Frame, PictureData, frame, header, picture_data
from birdwatchd.core.oddities import (
    MOST_EXIF_SEGMENTS,
    MOST_FILLING_BYTES,
    MOST_PACKED_TEXTS,
    MOST_SCANS,
    MOST_TABLES_BYTES,
    MOST_WEBP_PARTS,
    check,
)
from tests.pictures import exif, jpeg, pixels, png, saved, webp, with_chunks, with_segment

pytestmark = pytest.mark.fault("B05")

PLAIN = jpeg(exif=exif(camera="TrailCam"))
MANY = 1_000_000
BEGINNINGS = (b"", PLAIN[:200], png()[:60], webp()[:40])


def passes(data: bytes) -> bool:
    try:
        check(sniff(data), data)
    except Damaged:
        return False
    return True


def exif_segments(count: int) -> bytes:
    photo = jpeg()
    for _ in range(count):
        photo = with_segment(photo, 0xE1, b"Exif\0\0" + b"II*\0\x08\0\0\0" + bytes(100))
    return photo


def tables(count: int) -> bytes:
    photo = jpeg()
    for _ in range(count):
        photo = with_segment(photo, 0xDB, b"\0" + b"\1" * 64)
    return photo


def passes_over(count: int) -> bytes:
    whole = jpeg(progressive=True)
    last = whole.rindex(b"\xff\xda")
    first = whole.count(b"\xff\xda")
    return whole[:last] + whole[last:-2] * (count - first + 1) + b"\xff\xd9"


def filled(count: int) -> bytes:
    whole = jpeg(progressive=True)
    at = whole.rindex(b"\xff\xda")
    return whole[:at] + b"\xff" * (count - 1) + whole[at:]  # the marker's own 0xFF is one of them


def packed_texts(count: int) -> bytes:
    kinds = [b"iCCP", b"zTXt", b"iTXt"]
    return with_chunks(png(), *((kinds[n % 3], b"k\0\0" + zlib.compress(b"x")) for n in range(count)))


def webp_parts(count: int) -> bytes:
    part = b"XXXX" + struct.pack("<I", 3) + b"abc\0"
    body = b"WEBP" + webp()[12:] + part * (count - 1)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (exif_segments, MOST_EXIF_SEGMENTS),
        (tables, MOST_TABLES_BYTES // 69 - 20),
        (passes_over, MOST_SCANS),
        (filled, MOST_FILLING_BYTES - 1),
        (packed_texts, MOST_PACKED_TEXTS),
        (webp_parts, MOST_WEBP_PARTS),
    ],
)
def test_a_little_of_everything_passes_and_far_too_much_does_not(make: Callable[[int], bytes], most: int) -> None:
    assert passes(make(most))
    assert not passes(make(most + 1 if make is not tables else most + 20))


@pytest.mark.parametrize(
    "photo",
    [
        PLAIN,
        jpeg(progressive=True),
        png(exif=exif(camera="C")),
        webp(),
        webp(lossless=True),
        saved(Image.fromarray(pixels()), "JPEG", icc_profile=bytes(1_000_000)),
        saved(Image.fromarray(pixels()), "MPO", save_all=True, append_images=[Image.fromarray(pixels(seed=1))]),
    ],
    ids=["jpeg", "progressive", "png", "webp", "lossless", "large profile", "two pictures"],
)
def test_what_cameras_write_passes(photo: bytes) -> None:
    assert passes(photo)


def test_what_is_appended_is_not_looked_at() -> None:
    assert passes(PLAIN + b"\xff" * MANY + b"\xff\xda" * 1000)
    assert passes(png() + b"\xff" * 1000)


def test_every_checksum_of_a_png_is_proved() -> None:
    photo = with_chunks(png(), (b"tEXt", b"Title\0a jay"), (b"prVt", bytes(100)))
    assert passes(photo)
    at = 8
    while at < len(photo):
        length = int.from_bytes(photo[at : at + 4], "big")
        for place in (at + 4, at + 8, at + 11 + length):  # name, content or checksum, checksum
            broken = bytearray(photo)
            broken[place] ^= 0x20
            with pytest.raises((Damaged, Truncated)):
                check(Kind.PNG, bytes(broken))
        at += 12 + length


def test_a_png_cut_anywhere_does_not_pass() -> None:
    photo = png(width=64, height=48)
    for at in range(8, len(photo)):
        with pytest.raises(Truncated):
            check(Kind.PNG, photo[:at])


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=300), st.sampled_from(Kind))
def test_any_bytes_pass_or_are_refused(begin: bytes, data: bytes, kind: Kind) -> None:
    with suppress(PhotoError):
        check(kind, begin + data)


def test_the_frame_of_a_jpeg_is_told_before_a_parser_runs() -> None:
    assert frame(jpeg(width=311, height=17)) == Frame(311, 17, progressive=False)
    assert frame(with_segment(jpeg(width=311, height=17, progressive=True), 0xE1, PLAIN)) == Frame(
        311, 17, progressive=True
    )
    assert frame(png()) is frame(PLAIN[:100]) is None


def test_the_header_ends_where_the_picture_data_begins() -> None:
    segments = header(PLAIN)
    assert [one.code for one in segments][:2] == [0xE0, 0xE1]
    picture = picture_data(PLAIN + b"appended")
    assert segments[-1].end == picture.begin
    assert PLAIN[picture.end :] == b"\xff\xd9"
    assert picture.scans == 1
    assert header(b"\xff\xd8" + bytes(100)) == []
    assert picture_data(b"\xff\xd8" + bytes(100)) == PictureData(0, 0, 0)


@pytest.mark.parametrize("gap", [0, 1, 2**20 - 2, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_scans_and_the_end_are_seen_wherever_they_lie(gap: int) -> None:
    begin = picture_data(PLAIN).begin
    data = PLAIN[:begin] + b"\xff\xda" + bytes(gap) + b"\xff\xda" + b"\xff\x00" + b"\xff\xd9" + b"\xff\xda"
    found = picture_data(data)
    assert (found.scans, found.end) == (3, len(data) - 4)
    assert picture_data(data[:-4]).end == len(data) - 4, "no end, so all of it"
