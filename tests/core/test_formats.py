"""What a file is, and whether its end has arrived."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from birdwatchd.core.formats import (
    HEAD_BYTES,
    READABLE,
    SNIFF_BYTES,
    TAIL_BYTES,
    Kind,
    advice,
    canvas_px,
    describe,
    ending,
    sniff,
)
from birdwatchd.core.jpegfile import frame, header, picture_data
from birdwatchd.core.sight import Ending
from tests.pictures import exif, jpeg, pixels, png, saved, webp, with_segment

SMALL = {
    "jpeg": jpeg(),
    "progressive jpeg": jpeg(progressive=True),
    "jpeg with exif": jpeg(exif=exif(orientation=6, camera="TrailCam")),
    "png": png(),
    "webp": webp(),
    "lossless webp": webp(lossless=True),
    "webp with exif": webp(exif=exif(orientation=6)),
}
LARGE = {
    "jpeg": jpeg(width=1200, height=900, quality=90),
    "progressive jpeg": jpeg(width=1200, height=900, quality=90, progressive=True),
    "png": png(width=400, height=300),
    "webp": webp(width=1200, height=900, lossless=True),
}
FILES = [pytest.param(file, id=f"small {name}") for name, file in SMALL.items()]
FILES += [pytest.param(file, id=f"large {name}") for name, file in LARGE.items()]


def told(file: bytes, *, head_bytes: int = HEAD_BYTES) -> Ending:
    """Ask as settling does: with the first and the last bytes only."""
    return ending(sniff(file), file[:head_bytes], file[-TAIL_BYTES:], len(file))


def told_of_all(file: bytes) -> Ending:
    return ending(sniff(file), file, file, len(file))


def cuts(file: bytes) -> list[int]:
    """Every place near both ends of a file, and many between."""
    return sorted(
        {*range(4, 700), *np.linspace(700, len(file) - 40, 300, dtype=int), *range(len(file) - 40, len(file))}
    )


def test_the_examples_are_on_both_sides_of_the_tail() -> None:
    assert all(len(file) < TAIL_BYTES for name, file in SMALL.items() if "jpeg" in name)
    assert all(len(file) > 2 * TAIL_BYTES for file in LARGE.values())


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("ask", [told, told_of_all])
def test_a_whole_file_is_complete(ask: Callable[[bytes], Ending], file: bytes) -> None:
    assert ask(file) is Ending.COMPLETE


@pytest.mark.fault("B04")
@pytest.mark.parametrize("file", FILES)
def test_a_file_cut_anywhere_is_incomplete(file: bytes) -> None:
    kind = sniff(file)
    for at in cuts(file):
        cut = file[:at]
        if sniff(cut) is kind:  # a WebP of 11 bytes is not known yet
            assert told(cut) is Ending.INCOMPLETE, at
            assert told_of_all(cut) is Ending.INCOMPLETE, at


@pytest.mark.parametrize("file", FILES)
def test_with_a_short_head_a_cut_file_is_still_never_complete(file: bytes) -> None:
    assert told(file, head_bytes=SNIFF_BYTES) is Ending.COMPLETE
    for at in [at for at in cuts(file) if sniff(file[:at]) is sniff(file)]:
        assert told(file[:at], head_bytes=SNIFF_BYTES) is not Ending.COMPLETE, at


@pytest.mark.fault("B04")
@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg", "png"])
@pytest.mark.parametrize("files", [SMALL, LARGE], ids=["small", "large"])
def test_a_file_with_room_reserved_but_not_written_is_incomplete(files: dict[str, bytes], name: str) -> None:
    file = files[name]
    for at in cuts(file):
        reserved = file[:at] + bytes(len(file) - at)
        if sniff(reserved) is sniff(file) and any(file[at:]):
            assert told(reserved) is Ending.INCOMPLETE, at
            assert told_of_all(reserved) is Ending.INCOMPLETE, at


@pytest.mark.fault("B04")
def test_a_webp_with_room_reserved_is_incomplete_from_four_kilobytes_on() -> None:
    file = LARGE["webp"]
    assert told(file[:-4096] + bytes(4096)) is Ending.INCOMPLETE
    assert told(file[: len(file) // 2] + bytes(len(file) - len(file) // 2)) is Ending.INCOMPLETE
    assert told(file[:-4000] + bytes(4000)) is Ending.COMPLETE  # known: nobody can tell these zeros from data


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("padding", [1, 2, 512, 4096, 30_000])
def test_zeros_behind_the_picture_do_no_harm(file: bytes, padding: int) -> None:
    assert told(file + bytes(padding)) is Ending.COMPLETE
    assert told_of_all(file + bytes(padding)) is Ending.COMPLETE


@pytest.mark.parametrize("file", FILES)
def test_something_appended_does_no_harm(file: bytes) -> None:
    assert told(file + b"PK\x03\x04 a zip, a note, a film" * 20) is Ending.COMPLETE


@pytest.mark.fault("B04")
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("payloads", [1, 2], ids=["one segment", "as large as two segments"])
def test_the_end_of_the_thumbnail_is_not_the_end_of_the_photo(progressive: bool, payloads: int) -> None:
    thumbnail = jpeg(width=160, height=120, seed=5)
    photo = jpeg(width=800, height=600, progressive=progressive)
    for _ in range(payloads):
        photo = with_segment(photo, 0xE1, b"Exif\0\0" + thumbnail.ljust(60_000, b"\x55"))
    assert told(photo) is told_of_all(photo) is Ending.COMPLETE
    for at in range(100, len(photo), 997):
        assert told(photo[:at]) is Ending.INCOMPLETE, at
        assert told_of_all(photo[:at]) is Ending.INCOMPLETE, at
        assert told(photo[:at] + bytes(len(photo) - at)) is Ending.INCOMPLETE, at


def test_a_second_picture_behind_the_first_counts_as_far_as_it_is_seen() -> None:
    first = jpeg(width=1200, height=900, quality=90, exif=exif(camera="Phone"))
    second = jpeg(width=1200, height=900, quality=90, seed=1, exif=exif(camera="Phone"))
    assert told(first + second) is Ending.COMPLETE
    assert told(first + second[:-100]) is Ending.INCOMPLETE  # wait for it ...
    assert told_of_all(first + second[:-100]) is Ending.COMPLETE  # ... but the photo itself is whole


@given(seed=st.integers(0, 2**32 - 1))
def test_a_film_behind_a_photo_is_never_taken_for_a_cut_photo(seed: int) -> None:
    film = np.random.default_rng(seed).bytes(3 * TAIL_BYTES)
    assert told(SMALL["jpeg"] + film) is not Ending.INCOMPLETE
    assert told_of_all(SMALL["jpeg"] + film) is Ending.COMPLETE


def test_a_photo_continued_by_another_photo_is_not_complete() -> None:
    torn = SMALL["jpeg"][: len(SMALL["jpeg"]) // 2] + jpeg(seed=9)
    assert told_of_all(torn) is Ending.UNTOLD


@pytest.mark.fault("B05", "B19")
@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "hostile",
    [
        b"\xff\xd8" + b"\xff" * 20_000_000,
        b"\xff\xd8\xff" + b"\x01" * 20_000_000,
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 5_000_000,
        b"\xff\xd8" + b"\xff\xe0\x00\x00" * 5_000_000,
        b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x00prVtabcd" * 2_000_000 + png()[-12:],
    ],
    ids=["filling", "junk", "empty segments", "segments of no length", "empty chunks"],
)
def test_a_header_without_end_is_given_up_soon(hostile: bytes) -> None:
    assert told_of_all(hostile) is Ending.UNTOLD


# Bytes that mean something to one of the parsers, as often as any others.
TELLING = [
    b"\xff\xd8\xff",
    b"\xff\xc0\0\x11\x08",
    b"\xff\xda\0\x08",
    b"\xff\xd9",
    b"\xff\xe1\0\x08Exif",
    b"\xff\xc4\0\x13",
]
TELLING += [
    png()[:8],
    png()[:33],
    b"\0\0\0\0IEND\xaeB\x60\x82",
    b"RIFF",
    b"WEBPVP8X",
    b"VP8 ",
    b"VP8L/",
    b"GIF89a",
    b"\0;",
]
TELLING += [b"\0\0\0\x14ftypheic", b"\0\0\0\x01mdat", b"II*\0\x08\0\0\0", bytes(20), b"\xff" * 20]
hostile = st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(TELLING)), max_size=20).map(b"".join)
any_bytes = given(file=hostile, tail=hostile, kind=st.sampled_from(Kind), more=st.integers(0, 200))


def ask_everything(file: bytes, tail: bytes, kind: Kind, more: int) -> None:
    for one in (kind, sniff(file)):
        assert ending(one, file, tail, len(tail) + more) in Ending
        assert ending(one, file, file, len(file)) in Ending
        size_px = canvas_px(one, file[:SNIFF_BYTES])
        assert size_px is None or min(size_px) >= 0
    picture = picture_data(file)
    assert 0 <= picture.begin <= picture.end <= len(file)
    assert picture.scans <= file.count(b"\xff\xda") + 1
    assert not picture.plain or ending(Kind.JPEG, file, file, len(file)) is Ending.COMPLETE
    assert all(one.begin < one.end for one in header(file))
    assert frame(file) is None or header(file)


@pytest.mark.fault("B19")
@settings(max_examples=400, deadline=2000)
@any_bytes
def test_any_bytes_have_some_ending(file: bytes, tail: bytes, kind: Kind, more: int) -> None:
    ask_everything(file, tail, kind, more)


@pytest.mark.fault("B19")
@pytest.mark.torture
@pytest.mark.timeout(3600)
@settings(max_examples=50_000, deadline=2000)
@any_bytes
def test_any_of_very_many_bytes_have_some_ending(file: bytes, tail: bytes, kind: Kind, more: int) -> None:
    ask_everything(file, tail, kind, more)


@pytest.mark.fault("B19")
@given(at=st.integers(0, 2000), byte=st.integers(0, 255), name=st.sampled_from(sorted(SMALL)))
def test_a_flipped_byte_breaks_no_rule(at: int, byte: int, name: str) -> None:
    file = bytearray(SMALL[name])
    file[at % len(file)] = byte
    assert told_of_all(bytes(file)) in Ending
    ask_everything(bytes(file), bytes(file), Kind.JPEG, 0)


@given(
    cut=st.integers(0, 3000),
    tail=st.binary(max_size=20),
    at=st.integers(0, 3000),
    marker=st.binary(min_size=2, max_size=2),
)
def test_a_plain_picture_is_a_complete_one(cut: int, tail: bytes, at: int, marker: bytes) -> None:
    """The short way to the answer is the long way's answer, whatever is cut, appended or put in between."""
    whole = jpeg(width=64, height=64)
    assert picture_data(whole).plain
    for file in (
        whole + tail,
        whole[:cut],
        whole[:at] + marker + whole[at:],
        whole[:at] + b"\xff" + marker + whole[at:] + tail,
    ):
        if picture_data(file).plain:
            assert ending(Kind.JPEG, file, file, len(file)) is Ending.COMPLETE


def box(name: bytes, payload: bytes) -> bytes:
    return (8 + len(payload)).to_bytes(4, "big") + name + payload


HEIC = box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", b"m" * 300) + box(b"mdat", b"d" * 90_000)


def test_a_container_of_boxes_is_complete_when_they_add_up() -> None:
    assert told(HEIC) is Ending.COMPLETE
    assert told(HEIC[:-1]) is Ending.INCOMPLETE
    assert told(HEIC[:60_000] + bytes(len(HEIC) - 60_000)) is Ending.COMPLETE  # known: only lengths
    assert (
        told(HEIC, head_bytes=SNIFF_BYTES) is Ending.UNTOLD
    )  # the second box begins within 64 bytes, the third does not
    assert told(HEIC[:30]) is Ending.INCOMPLETE
    assert told(HEIC[:28] + bytes(500)) is Ending.INCOMPLETE


def test_a_gif_ends_with_its_trailer() -> None:
    gif = saved(Image.fromarray(pixels()), "GIF")
    assert told(gif) is told(gif + bytes(100)) is Ending.COMPLETE
    assert told(gif[:-1]) is Ending.INCOMPLETE


@pytest.mark.parametrize("kind", [Kind.UNKNOWN, Kind.TIFF, Kind.RAW, Kind.BMP, Kind.PSD, Kind.JXL, Kind.JPEG2000])
def test_a_kind_without_a_checkable_end_is_untold(kind: Kind) -> None:
    assert ending(kind, b"any bytes", b"any bytes", 9) is Ending.UNTOLD


BEGINNINGS = [
    (b"", Kind.UNKNOWN),
    (b"\x00" * 64, Kind.UNKNOWN),
    (b"<html><body>", Kind.UNKNOWN),
    (b"%PDF-1.7", Kind.UNKNOWN),
    (b"%!PS-Adobe-3.0 EPSF", Kind.UNKNOWN),
    (b"\x7fELF\x02\x01\x01", Kind.UNKNOWN),
    (b"PK\x03\x04", Kind.UNKNOWN),
    (b"BMW cars and other words", Kind.UNKNOWN),
    (b"RIFF\x00\x00\x00\x00WAVEfmt ", Kind.UNKNOWN),
    (b"RIFF\x00\x00\x00\x00AVI LIST", Kind.VIDEO),
    (b"\xff\xd8\xff\xe1", Kind.JPEG),
    (b"\xff\xd8", Kind.UNKNOWN),
    (b"II*\x00\x10\x00\x00\x00CR\x02\x00", Kind.RAW),
    (b"II*\x00\x08\x00\x00\x00\x15\x00", Kind.TIFF),
    (b"MM\x00*\x00\x00\x00\x08", Kind.TIFF),
    (b"FUJIFILMCCD-RAW 0201", Kind.RAW),
    (b"IIRO\x08\x00", Kind.RAW),
    (b"IIU\x00\x18\x00", Kind.RAW),
    (box(b"ftyp", b"crx \x00\x00\x00\x01crx isom"), Kind.RAW),
    (box(b"ftyp", b"heic\x00\x00\x00\x00mif1heic"), Kind.HEIC),
    (box(b"ftyp", b"mif1\x00\x00\x00\x00mif1heic"), Kind.HEIC),
    (box(b"ftyp", b"avif\x00\x00\x00\x00avifmif1miaf"), Kind.AVIF),
    (box(b"ftyp", b"mif1\x00\x00\x00\x00mif1avif"), Kind.AVIF),
    (box(b"ftyp", b"isom\x00\x00\x02\x00isomiso2avc1mp41"), Kind.VIDEO),
    (box(b"ftyp", b"qt  \x00\x00\x02\x00qt  "), Kind.VIDEO),
    (b"\x00\x00\x10\x00moov", Kind.VIDEO),
    (b"\x1aE\xdf\xa3\x01", Kind.VIDEO),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", Kind.JPEG2000),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", Kind.JXL),
    (b"\xff\x0a\xfa\x1f", Kind.JXL),
    (b"8BPS\x00\x01", Kind.PSD),
]


@pytest.mark.fault("B08", "B14")
@pytest.mark.parametrize(("head", "kind"), BEGINNINGS)
def test_a_kind_is_told_by_its_first_bytes(head: bytes, kind: Kind) -> None:
    assert sniff(head) is kind


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000"])
def test_what_pillow_writes_is_recognised(name: str) -> None:
    file = saved(Image.fromarray(pixels(width=64, height=48)), name)
    assert sniff(file) is sniff(file[:SNIFF_BYTES]) is Kind(name.lower())


@pytest.mark.fault("B06")
@pytest.mark.parametrize("file", [png(width=311, height=17), webp(width=311, height=17)], ids=["png", "webp"])
def test_the_size_is_known_before_any_parser_runs(file: bytes) -> None:
    assert canvas_px(sniff(file), file[:SNIFF_BYTES]) == (311, 17)


def test_the_size_is_known_for_each_kind_of_webp() -> None:
    for file in (webp(width=311, height=17, lossless=True), webp(width=311, height=17, exif=exif(orientation=6))):
        assert canvas_px(Kind.WEBP, file[:SNIFF_BYTES]) == (311, 17)
    assert canvas_px(Kind.JPEG, SMALL["jpeg"][:SNIFF_BYTES]) is None
    assert canvas_px(Kind.PNG, b"\x89PNG\r\n\x1a\n") is None


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_has_a_name_and_each_unread_kind_has_advice(kind: Kind) -> None:
    assert describe(kind)
    assert bool(advice(kind)) is (kind not in READABLE)
