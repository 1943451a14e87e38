"""The loupe: what it lets through, what it refuses and why, and what it says of a photo."""

import hashlib
import io
import random
import re
import struct
import sys
import threading
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

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
from birdwatchd.core.jpegfile import picture_data
from birdwatchd.edges.images import Limits, Picture, decode
from birdwatchd.edges.images.colours import rgb
from tests.faults.mutants import good, mutants
from tests.pictures import chunk, data_folder, exif, jpeg, pixels, png, saved, webp, with_segment

ALL = Limits(max_megapixels=40, formats=frozenset({"jpeg", "png", "webp"}))
MAKERS: dict[str, Callable[..., bytes]] = {
    "jpeg": jpeg,
    "progressive": lambda **how: jpeg(progressive=True, **how),
    "png": png,
    "webp": webp,
    "lossless webp": lambda **how: webp(lossless=True, **how),
}


def refusal(file: bytes, limits: Limits = ALL) -> type[PhotoError] | None:
    """The class of the error, None if the file passes; any other exception comes through."""
    try:
        decode(file, limits)
    except PhotoError as error:
        refused = error
    else:
        return None
    assert refused.message
    assert refused.hint
    return type(refused)


def distance(one: Picture, other: Picture, size_px: int = 64) -> float:
    """Mean difference of two views, 0–255."""
    return float(np.abs(one.view(size_px).astype(int) - other.view(size_px).astype(int)).mean())


# --- what a picture is --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_whole_photo_gives_view_thumbnail_and_size(make: Callable[..., bytes]) -> None:
    picture = decode(make(width=900, height=600), ALL)
    assert (picture.width_px, picture.height_px) == (900, 600)
    view = picture.view(224)
    assert view.shape == (224, 224, 3)
    assert view.dtype == np.uint8
    assert view.flags.c_contiguous
    assert view.flags.writeable
    with Image.open(io.BytesIO(picture.thumbnail())) as thumbnail:
        assert thumbnail.format == "JPEG"
        assert thumbnail.size == (320, 213)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_photo_decoded_scaled_looks_like_the_whole_one(make: Callable[..., bytes]) -> None:
    photo = make(width=2400, height=1800, seed=3)
    with Image.open(io.BytesIO(photo)) as whole:
        expected = np.asarray(whole.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(decode(photo, ALL).view(224).astype(int) - expected).mean() < 1.5


@pytest.mark.parametrize("size", [(4000, 700), (700, 4000), (1800, 1350), (640, 448), (100, 90), (32, 4000)])
@pytest.mark.parametrize("make", [jpeg, png])
def test_no_more_is_thrown_away_than_view_and_thumbnail_can_spare(
    make: Callable[..., bytes], size: tuple[int, int]
) -> None:
    picture = decode(make(width=size[0], height=size[1]), ALL, view_px=224, thumbnail_px=320)
    kept = picture._image.size
    assert min(kept) >= min(*size, 224)
    assert max(kept) >= min(max(size), 320)
    assert max(Image.open(io.BytesIO(picture.thumbnail())).size) == min(max(size), 320)


def test_a_larger_view_is_sharper_when_it_was_asked_for_in_time() -> None:
    photo = jpeg(width=2000, height=1500)
    assert decode(photo, ALL)._image.size == (500, 375)
    assert decode(photo, ALL, view_px=960)._image.size == (2000, 1500)


def test_the_longer_side_keeps_the_detail_that_was_asked_for() -> None:
    for size, kept in (((4000, 3000), (2000, 1500)), ((3000, 4000), (1500, 2000)), ((1900, 1400), (1900, 1400))):
        assert decode(jpeg(width=size[0], height=size[1]), ALL, detail_px=1920)._image.size == kept


def test_different_photos_give_different_views() -> None:
    assert distance(decode(jpeg(seed=1), ALL), decode(jpeg(seed=2), ALL)) > 10


def test_a_thumbnail_carries_no_metadata() -> None:
    secret = with_segment(jpeg(exif=exif(camera="SECRET")), 0xFE, b"SECRET comment")
    thumbnail = decode(with_segment(secret, 0xE1, b"http://ns.adobe.com/xap/1.0/\0SECRET"), ALL).thumbnail()
    assert b"SECRET" not in thumbnail
    with Image.open(io.BytesIO(thumbnail)) as image:
        assert not image.getexif()


def test_nothing_of_the_full_size_is_kept() -> None:
    photo = png(width=3000, height=2000)
    decode(photo, ALL)
    picture = decode(photo, ALL)
    assert picture._image.size == (375, 250)


# --- what is refused ----------------------------------------------------------------------------------------------


def cut_to(share: float) -> Callable[[bytes], bytes]:
    return lambda file: file[: int(len(file) * share)]


def zeros(start: float, stop: float) -> Callable[[bytes], bytes]:
    """The file with zeros from one share of its length to another."""

    def damage(file: bytes) -> bytes:
        begin, end = int(len(file) * start), int(len(file) * stop)
        return file[:begin] + bytes(end - begin) + file[end:]

    return damage


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut at 2 %": cut_to(0.02),
    "cut at 50 %": cut_to(0.5),
    "cut at 99 %": cut_to(0.99),
    "last byte missing": lambda file: file[:-1],
    "last two bytes missing": lambda file: file[:-2],
    "second half zeros": zeros(0.5, 1),
    "last 5 % zeros": zeros(0.95, 1),
    "hole of zeros in the middle": zeros(0.45, 0.55),
    "end marker put behind half a photo": lambda file: file[: len(file) // 2] + file[-12:],
}
# Verdict per cell: what a file of 640 x 480 pixels is called after this damage. "-": it cannot be told. Such a file is as long as it
# says, ends as it must, and decodes; JPEG and WebP have no checksums, and zeros also come out of a camera that looked into the dark.
# A WebP is told from 4 KiB of zeros at its end on (tests/core/test_formats.py). The kinds on the right are refused whole or not.
MATRIX = """
                                    jpeg       progressive  png        webp       lossless   tiff         bmp          gif
cut at 2 %                          truncated  truncated    truncated  truncated  truncated  unsupported  unsupported  unsupported
cut at 50 %                         truncated  truncated    truncated  truncated  truncated  unsupported  unsupported  unsupported
cut at 99 %                         truncated  truncated    truncated  truncated  truncated  unsupported  unsupported  unsupported
last byte missing                   truncated  truncated    truncated  truncated  truncated  unsupported  unsupported  unsupported
last two bytes missing              truncated  truncated    truncated  truncated  truncated  unsupported  unsupported  unsupported
second half zeros                   truncated  truncated    truncated  truncated  truncated  unsupported  unsupported  unsupported
last 5 % zeros                      truncated  truncated    truncated  -          truncated  unsupported  unsupported  unsupported
hole of zeros in the middle         -          -            damaged    -          -          unsupported  unsupported  unsupported
end marker put behind half a photo  -          -            truncated  truncated  truncated  unsupported  unsupported  unsupported
"""
OTHER_MAKERS: dict[str, Callable[..., bytes]] = {
    name: lambda kind=name, **how: saved(Image.fromarray(pixels(**how)), kind.upper())
    for name in ("tiff", "bmp", "gif")
}


def cells() -> list[tuple[str, str, str]]:
    """(format, damage, verdict) for each cell."""
    head, *rows = MATRIX.strip("\n").splitlines()
    return [
        (kind, row[:36].strip(), verdict)
        for row in rows
        for kind, verdict in zip(head.split(), row[36:].split(), strict=True)
    ]


@pytest.mark.fault("B04")
@pytest.mark.parametrize(("make", "damage", "verdict"), cells())
def test_the_truncation_matrix(make: str, damage: str, verdict: str) -> None:
    makers = MAKERS | OTHER_MAKERS | {"lossless": MAKERS["lossless webp"]}
    file = makers[make](width=640, height=480, seed=4)
    assert refusal(file) is (Unsupported if make in OTHER_MAKERS else None)
    found = refusal(DAMAGES[damage](file))
    assert ("-" if found is None else found.reason) == verdict


def test_the_matrix_has_every_damage() -> None:
    assert {damage for _, damage, _ in cells()} == set(DAMAGES)


@pytest.mark.fault("B04")
@pytest.mark.parametrize("progressive", [False, True])
def test_a_cut_jpeg_is_caught_even_when_decoded_scaled(progressive: bool) -> None:
    photo = jpeg(width=1600, height=1200, progressive=progressive, exif=exif(orientation=6))
    assert decode(photo, ALL)._image.size[0] < 1200
    for at in (*range(4, 700, 7), *range(700, len(photo), 1709), len(photo) - 2, len(photo) - 1):
        assert refusal(photo[:at]) is Truncated, at
        if any(photo[at:]):
            assert refusal(photo[:at] + bytes(len(photo) - at)) is Truncated, at


@pytest.mark.parametrize("progressive", [False, True])
def test_pillow_alone_catches_a_cut_jpeg_when_decoding_scaled(progressive: bool) -> None:
    """The claim on which `draft` rests, without the help of our own look at the file's end."""
    photo = jpeg(width=1600, height=1200, progressive=progressive)
    for at in range(len(photo) // 40, len(photo) - 2, len(photo) // 40):
        image = Image.open(io.BytesIO(photo[:at]))
        image.draft("RGB", (224, 224))
        with pytest.raises(OSError, match="truncated"):
            image.load()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_zeros_or_notes_behind_a_whole_photo_do_no_harm(make: Callable[..., bytes]) -> None:
    assert refusal(make() + bytes(5000)) is None
    assert refusal(make() + b"PK\x03\x04" + np.random.default_rng(1).bytes(300_000)) is None


@pytest.mark.fault("B12")
def test_of_a_file_with_two_pictures_the_first_is_the_photo() -> None:
    first, second = Image.fromarray(pixels(seed=1)), Image.fromarray(pixels(seed=2))
    file = saved(first, "MPO", save_all=True, append_images=[second])
    assert distance(decode(file, ALL), decode(jpeg(seed=1), ALL)) < 5
    assert refusal(file[:-5000]) is None


def test_a_broken_index_of_pictures_does_not_refuse_the_photo() -> None:
    assert refusal(with_segment(jpeg(), 0xE2, b"MPF\0" + b"II*\0\xff\xff\xff\xff")) is None


def test_reserved_room_without_any_content_is_truncated() -> None:
    assert refusal(bytes(100_000)) is Truncated


def test_an_empty_file_is_empty() -> None:
    assert refusal(b"") is EmptyFile


@pytest.mark.fault("B08", "B10")
@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n",
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<html>",
        b"\x7fELF" + bytes(60),
        b"PK\x03\x04" + bytes(60),
        b"P6 64 64 255 " + bytes(64 * 64 * 3),
    ],
)
def test_what_is_no_picture_is_refused_whatever_its_name(content: bytes) -> None:
    assert refusal(content) is NotAPicture


@pytest.mark.fault("B08", "B14")
@pytest.mark.parametrize("name", ["GIF", "TIFF", "BMP", "AVIF", "JPEG2000"])
def test_other_kinds_are_refused_by_name_and_their_parser_is_never_entered(name: str) -> None:
    file = saved(Image.fromarray(pixels()), name)
    with pytest.raises(Unsupported, match="which is not read") as caught:
        decode(file, ALL)
    assert "JPEG" in caught.value.hint


def test_only_the_formats_in_the_settings_are_read() -> None:
    assert refusal(png(), Limits(40, frozenset({"jpeg"}))) is Unsupported
    assert refusal(jpeg(), Limits(40, frozenset({"jpeg"}))) is None


def test_limits_that_could_not_be_kept_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="no parser for gif"):
        Limits(40, frozenset({"jpeg", "gif"}))
    with pytest.raises(ValueError, match="170"):
        Limits(171, frozenset({"jpeg"}))


def tiny_png(*extra: bytes, width: int = 64, height: int = 64, bits: int = 8, colour: int = 0) -> bytes:
    """A PNG by hand: grey zeros, with chunks of our choice."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    row = bytes(1 + (width * bits + 7) // 8)
    body = zlib.compress(row * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def lying_jpeg(size_px: int) -> bytes:
    """A small JPEG that claims to be a square of `size_px`."""
    photo = jpeg(width=64, height=64)
    frame = photo.index(b"\xff\xc0")
    return photo[: frame + 5] + struct.pack(">HH", size_px, size_px) + photo[frame + 9 :]


BOMBS = {
    "30000 x 30000 in one bit": lambda: tiny_png(width=30_000, height=30_000, bits=1),
    "a header lying 65500 x 65500": lambda: lying_jpeg(65_500),
    "200 MB of text": lambda: tiny_png(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(200_000_000), 1))),
    "100 MB of colour profile": lambda: tiny_png(chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(100_000_000), 1))),
    "200 texts": lambda: tiny_png(*[chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000), 1))] * 200),
    "a WebP lying 16384 x 16384": lambda: webp()[:26] + b"\xff\x3f\xff\x3f" + webp()[30:],
}


@pytest.mark.fault("B05")
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_without_unpacking_it(bomb: str) -> None:
    file = BOMBS[bomb]()
    tracemalloc.start()
    try:
        assert refusal(file) is (Damaged if bomb == "200 texts" else TooLarge)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.fault("B06")
def test_the_cap_counts_pixels_and_bytes() -> None:
    assert refusal(jpeg(width=1000, height=1000), Limits(1.0, ALL.formats)) is None
    assert refusal(jpeg(width=1001, height=1000), Limits(1.0, ALL.formats)) is TooLarge
    assert refusal(jpeg(), Limits(40, ALL.formats, max_bytes=1000)) is TooLarge


def test_a_photo_above_pillows_own_warning_is_read_if_the_settings_allow_it() -> None:
    grey = saved(Image.new("L", (12_000, 8_000), 90), "JPEG")
    assert refusal(grey, Limits(170, ALL.formats)) is None
    assert refusal(grey) is TooLarge


@pytest.mark.fault("B13")
@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (31, 400)])
@pytest.mark.parametrize("make", [jpeg, png])
def test_a_picture_without_room_for_a_bird_is_too_small(make: Callable[..., bytes], size: tuple[int, int]) -> None:
    assert refusal(make(width=size[0], height=size[1])) is TooSmall


def test_a_wrong_checksum_in_a_png_is_damage() -> None:
    file = bytearray(png())
    file[-14] ^= 1  # in the checksum of the picture data
    assert refusal(bytes(file)) is Damaged


def test_truncated_images_are_never_let_through() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


GOOD = {name: make(width=48, height=40, exif=exif(orientation=6, camera="C")) for name, make in MAKERS.items()}


SOON_MS = 5000
"""What one small hostile file may take, on a machine that is busy with other things too."""


def decode_a_mutant(data: st.DataObject, name: str) -> None:
    file = bytearray(GOOD[name])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(file) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "zero", "splice", "insert"])):
            case "flip":
                file[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del file[max(at, 1) :]
            case "zero":
                file[at : at + 40] = bytes(len(file[at : at + 40]))
            case "splice":
                other = GOOD[data.draw(st.sampled_from(sorted(GOOD)))]
                file[at:] = other[at:] or b"\xff"
            case "insert":
                file[at:at] = data.draw(st.binary(min_size=1, max_size=30))
    refusal(bytes(file))


any_mutant = given(data=st.data(), name=st.sampled_from(sorted(GOOD)))


@pytest.mark.fault("B19")
@settings(max_examples=400, deadline=SOON_MS, suppress_health_check=[HealthCheck.too_slow])
@any_mutant
def test_no_mutant_raises_anything_but_a_photo_error(data: st.DataObject, name: str) -> None:
    decode_a_mutant(data, name)


@pytest.mark.fault("B19")
@pytest.mark.torture
@pytest.mark.timeout(3600)
@settings(max_examples=20_000, deadline=SOON_MS, suppress_health_check=[HealthCheck.too_slow])
@any_mutant
def test_no_mutant_of_thousands_raises_anything_but_a_photo_error(data: st.DataObject, name: str) -> None:
    decode_a_mutant(data, name)


any_junk = given(
    content=st.binary(max_size=300), magic=st.sampled_from([b"\xff\xd8\xff\xe0", png()[:16], webp()[:16], b""])
)


@pytest.mark.fault("B19")
@settings(max_examples=200, deadline=SOON_MS)
@any_junk
def test_no_junk_raises_anything_but_a_photo_error(content: bytes, magic: bytes) -> None:
    assert refusal(magic + content) is not None


@pytest.mark.fault("B19")
@pytest.mark.torture
@pytest.mark.timeout(3600)
@settings(max_examples=20_000, deadline=SOON_MS)
@any_junk
def test_no_junk_of_thousands_raises_anything_but_a_photo_error(content: bytes, magic: bytes) -> None:
    assert refusal(magic + content) is not None


# --- several threads ----------------------------------------------------------------------------------------------


def outcome(file: bytes) -> tuple[object, ...]:
    """Everything that decoding tells of a file."""
    try:
        picture = decode(file, ALL)
    except PhotoError as error:
        return type(error), error.message, error.hint
    shown = hashlib.sha256(picture.view(224).tobytes() + picture.thumbnail()).hexdigest()
    return picture.kind, picture.width_px, picture.height_px, picture.shot, shown


@pytest.mark.fault("B03", "B05")
def test_four_threads_at_once_see_what_one_alone_sees() -> None:
    files = [data for _, data in mutants(250, seed=7)] + list(good().values())
    files += [BOMBS[name]() for name in ("a header lying 65500 x 65500", "100 MB of colour profile", "200 texts")]
    files += [jpeg(exif=odd_exif()["65535 entries"], seed=seed) for seed in range(20)]  # they make Pillow talk
    files += [png(width=4000, height=4100, seed=1), jpeg(width=5000, height=4500, progressive=True)]  # in turn
    alone = [outcome(file) for file in files]
    mixed = list(range(len(files))) * 2
    random.Random(3).shuffle(mixed)  # noqa: S311
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        with ThreadPoolExecutor(4) as crew:
            together = list(crew.map(lambda number: outcome(files[number]), mixed))
    finally:
        sys.setswitchinterval(before)
    for number, seen in zip(mixed, together, strict=True):
        assert seen == alone[number], number


def test_pillow_is_told_once_to_be_quiet_however_many_threads_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    def tell(*words: object, **more: object) -> None:
        time.sleep(0.05)  # long enough for the others to come by
        told.append(words)
        warnings.simplefilter("ignore")
        warnings.filters.insert(0, ("ignore", None, UserWarning, re.compile(r"PIL\."), 0))  # type: ignore[attr-defined]

    with warnings.catch_warnings():
        warnings.resetwarnings()
        monkeypatch.setattr(warnings, "filterwarnings", tell)
        with ThreadPoolExecutor(8) as crew:
            list(crew.map(lambda _: decode(GOOD_PLAIN, ALL), range(8)))
    assert len(told) == 1


# --- colours ------------------------------------------------------------------------------------------------------


def mean_of(image: Image.Image, kind: str = "PNG", **options: object) -> tuple[int, ...]:
    view = decode(saved(image, kind, **options), ALL).view(32)
    return tuple(int(v) for v in view.reshape(-1, 3).mean(axis=0).round())


@pytest.mark.fault("B12")
@pytest.mark.parametrize(
    ("mode", "colour", "kind", "expected"),
    [
        ("1", 1, "PNG", (255, 255, 255)),
        ("L", 90, "PNG", (90, 90, 90)),
        ("L", 90, "JPEG", (90, 90, 90)),
        ("LA", (200, 255), "PNG", (200, 200, 200)),
        ("LA", (200, 0), "PNG", (127, 127, 127)),
        ("RGB", (10, 120, 200), "PNG", (10, 120, 200)),
        ("RGBA", (10, 120, 200, 255), "PNG", (10, 120, 200)),
        ("RGBA", (10, 120, 200, 0), "PNG", (127, 127, 127)),
        ("RGBA", (255, 255, 255, 128), "WEBP", (191, 191, 191)),
        ("I;16", 65_535, "PNG", (255, 255, 255)),
        ("I;16", 32_768, "PNG", (128, 128, 128)),
        ("I;16", 256, "PNG", (1, 1, 1)),
        ("CMYK", (0, 0, 0, 0), "JPEG", (255, 255, 255)),
        ("CMYK", (0, 0, 0, 255), "JPEG", (0, 0, 0)),
        ("YCbCr", (150, 128, 128), "JPEG", (150, 150, 150)),
    ],
)
@pytest.mark.parametrize("side", [64, 2048], ids=["small", "scaled"])
def test_every_mode_becomes_sensible_rgb(mode: str, colour: float, kind: str, expected: tuple, side: int) -> None:  # type: ignore[type-arg]
    options = {"lossless": True} if kind == "WEBP" else {}
    found = mean_of(Image.new(mode, (side, side), colour), kind, **options)
    assert np.abs(np.subtract(found, expected)).max() <= 1


@pytest.mark.fault("B12")
def test_a_palette_keeps_its_colours_and_its_transparency() -> None:
    palette = Image.new("P", (64, 64), 1)
    palette.putpalette([0, 0, 0, 10, 120, 200])
    assert mean_of(palette) == (10, 120, 200)
    assert mean_of(palette, transparency=1) == (127, 127, 127)
    assert mean_of(palette, transparency=b"\xff\x00") == (127, 127, 127)
    assert mean_of(Image.new("RGB", (64, 64), (1, 2, 3)), transparency=(1, 2, 3)) == (127, 127, 127)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_deep_grey_becomes_finite_grey(mode: str) -> None:
    deep = Image.new(mode, (4, 1))
    for x, value in enumerate([-5, 0, 32_768, 65_535]):
        deep.putpixel((x, 0), value)
    grey = np.asarray(rgb(deep, 1))[0, :, 0]
    assert grey.tolist() == [0, 0, 128 if mode == "I" else 127, 255]
    assert np.asarray(rgb(Image.new("F", (4, 1), float("nan")), 1)).max() == 0


def test_a_gradient_in_sixteen_bits_is_not_clipped() -> None:
    ramp = np.tile(np.linspace(0, 65_535, 256).astype(np.uint16), (256, 1))
    view = decode(saved(Image.fromarray(ramp), "PNG"), ALL).view(256)[128, :, 0].astype(int)
    assert (np.diff(view) >= 0).all()
    assert len(set(view.tolist())) > 200


@pytest.mark.fault("B07")
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_only_the_first_frame_is_seen(kind: str) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "lime", "blue")]
    assert mean_of(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True) == (255, 0, 0)


# --- what the camera wrote ----------------------------------------------------------------------------------------

LIE_DOWN = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.fault("B11")
@pytest.mark.parametrize("size", [(300, 200), (1200, 900)], ids=["small", "scaled"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", LIE_DOWN)
def test_every_orientation_gives_the_same_upright_view(orientation: int, kind: str, size: tuple[int, int]) -> None:
    upright = Image.fromarray(pixels(width=size[0], height=size[1], seed=7))
    turn = LIE_DOWN[orientation]
    lying = upright if turn is None else upright.transpose(turn)
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    picture = decode(saved(lying, kind, exif=exif(orientation=orientation), **options), ALL)
    assert (picture.width_px, picture.height_px) == size
    assert distance(picture, decode(saved(upright, kind, **options), ALL), 224) < (2 if kind == "JPEG" else 1)


@pytest.mark.fault("B11")
@pytest.mark.parametrize("orientation", [0, 9, 99, 65_535])
def test_an_orientation_that_does_not_exist_is_ignored(orientation: int) -> None:
    assert distance(decode(jpeg(exif=exif(orientation=orientation)), ALL), decode(jpeg(), ALL)) == 0


def shot_at(time: str, offset: str | None = None) -> str | None:
    return decode(jpeg(exif=exif(taken=time, offset=offset)), ALL).shot.captured_at


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026:05:01 05:30:09", "2026-05-01T05:30:09"),
        ("2026-05-01 05:30:09", "2026-05-01T05:30:09"),
        ("2026:05:01T05:30:09 ", "2026-05-01T05:30:09"),
        ("2026:05:01 05:30:09\0\0", "2026-05-01T05:30:09"),
        ("2026:05:01 05:30:09.25", "2026-05-01T05:30:09"),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2026:02:30 05:30:09", None),
        ("2026:05:01 24:00:00", None),
        ("2026:05:01", None),
        ("yesterday", None),
        ("2026:05:01 05:30:09; DROP TABLE photos", None),
        ("", None),
    ],
)
def test_a_time_is_read_as_the_camera_wrote_it_or_not_at_all(written: str, read: str | None) -> None:
    assert shot_at(written) == read


@pytest.mark.parametrize(
    ("offset", "read"),
    [("+02:00", "+02:00"), ("-11:30", "-11:30"), ("+02:00\0", "+02:00"), ("+99:00", ""), ("Z\x00 ", ""), ("", "")],
)
def test_an_offset_is_added_only_if_it_is_one(offset: str, read: str) -> None:
    assert shot_at("2026:05:01 05:30:09", offset) == "2026-05-01T05:30:09" + read


def test_the_shutter_counts_before_the_scanner_and_the_scanner_before_the_last_change() -> None:
    written = Image.Exif()
    written[0x0132] = "2023:01:01 00:00:00"
    inner = written.get_ifd(0x8769)
    inner[0x9010] = "+03:00"
    assert decode(jpeg(exif=written), ALL).shot.captured_at == "2023-01-01T00:00:00+03:00"
    inner[0x9004], inner[0x9012] = "2022:01:01 00:00:00", "+02:00"
    assert decode(jpeg(exif=written), ALL).shot.captured_at == "2022-01-01T00:00:00+02:00"
    inner[0x9003], inner[0x9011] = "2021:01:01 00:00:00", "+01:00"
    assert decode(jpeg(exif=written), ALL).shot.captured_at == "2021-01-01T00:00:00+01:00"
    inner[0x9003] = "0000:00:00 00:00:00"
    assert decode(jpeg(exif=written), ALL).shot.captured_at == "2022-01-01T00:00:00+02:00"


@pytest.mark.parametrize("make", [png, webp])
def test_other_formats_carry_the_same_tags(make: Callable[..., bytes]) -> None:
    shot = decode(make(exif=exif(taken="2026:05:01 05:30:09", camera="TrailCam 3")), ALL).shot
    assert (shot.captured_at, shot.camera) == ("2026-05-01T05:30:09", "TrailCam 3")


@pytest.mark.fault("B11")
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("TrailCam 3", "TrailCam 3"),
        ("  Canon   EOS\tR5 \0\0", "Canon EOS R5"),
        ("a\r\nINFO forged line", "a INFO forged line"),
        ("\x1b[31mred\x07", "[31mred"),
        ("cam\u202egpj.exe", "camgpj.exe"),
        ("\u200b\ufeff\u2066x\u2069\u3164", "x"),
        ("Caméra", "Caméra"),
        (b"Cam\xe9ra", "Caméra"),
        ("<img onerror=x>", "<img onerror=x>"),  # what shows it must escape it
        ("x" * 60_000, "x" * 64),
        (" \0 ", None),
        ("", None),
    ],
)
def test_a_camera_name_is_only_what_can_be_seen(written: str | bytes, read: str | None) -> None:
    assert decode(jpeg(exif=exif(camera=written)), ALL).shot.camera == read


def odd_exif() -> dict[str, bytes]:
    good = exif(taken="2026:05:01 05:30:09", camera="C").tobytes()
    head = b"Exif\0\0II*\0\x08\0\0\0"
    return {
        "nothing": b"Exif\0\0",
        "junk": b"Exif\0\0" + bytes(range(256)),
        "cut": good[: len(good) // 2],
        "no such byte order": b"Exif\0\0XX*\0\x08\0\0\0",
        "a directory behind the end": b"Exif\0\0II*\0\xff\xff\xff\x7f",
        "65535 entries": head + b"\xff\xff" + b"\x10\x01\x02\0\xff\xff\xff\x7f\0\0\0\0" * 5000,
        "itself as its inner directory": head + b"\x01\0" + b"\x69\x87\x04\0\x01\0\0\0\x08\0\0\0" + b"\x08\0\0\0",
        "an orientation in words": head + b"\x01\0" + b"\x12\x01\x02\0\x04\0\0\0six\0" + bytes(4),
        "two orientations": head + b"\x01\0" + b"\x12\x01\x03\0\x02\0\0\0\x09\0\x06\0" + bytes(4),
        "a resolution of x/0": head + b"\x01\0" + b"\x1a\x01\x05\0\x01\0\0\0\x1a\0\0\0" + bytes(16),
    }


@pytest.mark.fault("B11")
@pytest.mark.parametrize("name", odd_exif())
@pytest.mark.parametrize("make", [jpeg, png, webp])
def test_broken_exif_never_refuses_a_photo(make: Callable[..., bytes], name: str) -> None:
    picture = decode(make(exif=odd_exif()[name]), ALL)
    assert distance(picture, decode(make(), ALL)) == 0
    assert picture.shot.captured_at is None


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200))
def test_no_exif_at_all_refuses_a_photo(content: bytes) -> None:
    plain = GOOD_PLAIN
    assert refusal(with_segment(plain, 0xE1, b"Exif\0\0" + content)) is None
    assert refusal(with_segment(plain, 0xE1, b"Exif\0\0II*\0\x08\0\0\0" + content)) is None


GOOD_PLAIN = jpeg(width=48, height=40)


def test_pillows_remarks_become_neither_noise_nor_refusals() -> None:
    noisy = jpeg(exif=odd_exif()["65535 entries"])
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        Image.open(io.BytesIO(noisy)).getexif().get(0x0110)
    assert heard, "Pillow has become silent: is the filter still needed?"
    failed: list[PhotoError | Warning] = []

    def look() -> None:
        try:
            for _ in range(20):
                decode(noisy, ALL)
        except (PhotoError, Warning) as error:
            failed.append(error)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


# --- real photos --------------------------------------------------------------------------------------------------


def real_photos() -> list[Path]:
    folder = data_folder()
    if folder is None:
        pytest.skip("no real photos: set BIRDWATCHD_TEST_DATA to the folder that holds birds/ and scenes/")
    return sorted(folder.glob("*/*/*.jpg"))[::40] + sorted(folder.glob("scenes/*/*.JPEG"))


def test_real_photos_pass_and_their_halves_do_not() -> None:
    photos = real_photos()
    assert len(photos) > 20
    for path in photos:
        photo = path.read_bytes()
        picture = decode(photo, ALL)
        assert picture.kind is Kind.JPEG
        with Image.open(path) as image:
            whole = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BICUBIC)).astype(int)
        if picture.shot.camera is None:  # not turned
            assert np.abs(picture.view(64).astype(int) - whole).mean() < 3, path
        assert refusal(photo[: len(photo) // 2]) is Truncated, path


def test_a_jpeg_that_goes_over_its_picture_thousands_of_times_is_refused_at_once() -> None:
    whole = jpeg(progressive=True)
    assert 2 < picture_data(whole).scans < 20
    last = whole.rindex(b"\xff\xda")
    many = whole[:last] + whole[last:-2] * 5000 + b"\xff\xd9"
    with pytest.raises(Damaged, match="no camera"):
        decode(many, ALL)


def test_what_is_appended_to_a_photo_does_not_count_as_scans() -> None:
    assert picture_data(jpeg() + b"\xff\xda" * 1000).scans == 1
