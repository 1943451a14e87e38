"""One of every odd sort: wrong names, two kinds in one file, strange EXIF, colours and shapes; all at once, before the real eye."""

import io
import json
import sqlite3
import struct
import sys
import zipfile
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faults.feeding import KEPT, Fed, feed, fresh_root, hold_the_law
from tests.faults.measuring import entered
from tests.faults.mutants import good, interlaced_png
from tests.pictures import chunk, data_folder, exif, jpeg, pixels, png, saved, webp, with_segment

COLOUR = Image.fromarray(pixels())


def bird() -> Image.Image:
    """A real bird where there are real photos, else clouds."""
    folder = data_folder()
    return COLOUR if folder is None else Image.open(min((folder / "birds").glob("*/*.jpg"))).convert("RGB")


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("evil.sh", "rm -rf /")
    return file.getvalue()


HTML = b"<!doctype html><html><script>alert(document.cookie)</script></html>"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n(/etc/passwd) run\nshowpage\n"
PSD = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 64, 64, 8, 3) + bytes(12) + bytes(2 + 3 * 64 * 64)
XML_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (c, b"&%c;" % (c - 1) * 10) for c in range(98, 107))
    + b']><svg xmlns="http://www.w3.org/2000/svg"><text>&j;</text></svg>'
)
XML_FILE = b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg><text>&x;</text></svg>'


def box(name: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


HEIC = box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", bytes(300)) + box(b"mdat", b"d" * 9000)

WRONG_NAMES: dict[str, tuple[bytes, str]] = {
    "tiff.jpg": (saved(COLOUR, "TIFF"), "unsupported"),
    "eps.jpg": (EPS, "not-a-picture"),
    "eps-by-pillow.png": (saved(COLOUR, "EPS"), "not-a-picture"),
    "psd.jpg": (PSD, "unsupported"),
    "pdf.jpg": (saved(COLOUR, "PDF"), "not-a-picture"),
    "html.jpg": (HTML, "not-a-picture"),
    "elf.jpg": (Path(sys.executable).resolve().read_bytes()[:50_000], "not-a-picture"),
    "zip.jpg": (zipped(), "not-a-picture"),
    "gif.jpg": (saved(COLOUR, "GIF"), "unsupported"),
    "bmp.webp": (saved(COLOUR, "BMP"), "unsupported"),
    "ico.png": (saved(COLOUR, "ICO"), "not-a-picture"),
    "ppm.jpg": (saved(COLOUR, "PPM"), "not-a-picture"),
    "tga.jpg": (saved(COLOUR, "TGA"), "not-a-picture"),
    "jpeg2000.jpg": (saved(COLOUR, "JPEG2000"), "unsupported"),
    "pickle.jpg": (b"cos\nsystem\n(S'touch /tmp/owned'\ntR.", "not-a-picture"),
    "empty.jpg": (b"", "empty-file"),
    "zeros.jpg": (bytes(5000), "truncated"),
}
RIGHT_BY_CONTENT: dict[str, bytes] = {
    "jpeg.txt": jpeg(seed=1),
    "jpeg.png": jpeg(seed=2),
    "png.jpg": png(seed=3),
    "webp.jpg": webp(seed=4),
    "no-ending": jpeg(seed=5),
}
TWO_KINDS: dict[str, tuple[bytes, str]] = {
    "jpeg-zip.jpg": (jpeg(seed=11) + zipped(), "kept"),
    "jpeg-html.jpg": (jpeg(seed=12) + HTML, "kept"),
    "html-in-comment.jpg": (with_segment(jpeg(seed=13), 0xFE, HTML), "kept"),
    "php-in-exif.jpg": (jpeg(seed=14, exif=exif(camera="<?php system($_GET[0]); ?><script>x</script>")), "kept"),
    "png-html.png": (png(seed=15) + HTML, "kept"),
    "webp-zip.webp": (webp(seed=16) + zipped(), "kept"),
    "html-jpeg.jpg": (HTML + jpeg(seed=17), "not-a-picture"),
    "zip-jpeg.jpg": (zipped() + jpeg(seed=18), "not-a-picture"),
    "gif-jpeg.gif": (b"GIF89a" + jpeg(seed=19), "unsupported"),
}
XML: dict[str, tuple[bytes, str]] = {
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', "not-a-picture"),
    "laughs.svg": (XML_BOMB, "not-a-picture"),
    "laughs.jpg": (XML_BOMB + b" ", "not-a-picture"),
    "outside.svg": (XML_FILE, "not-a-picture"),
}
PHONES: dict[str, tuple[bytes, str]] = {
    "phone.heic": (HEIC, "unsupported"),
    "phone.jpg": (HEIC + box(b"free", b"x"), "unsupported"),
    "picture.avif": (saved(COLOUR, "AVIF"), "unsupported"),
}


def ifd(*entries: bytes, after: bytes = b"") -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4) + after


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, count, value)


def gps() -> Image.Exif:
    written = Image.Exif()
    written.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    return written


EXIF: dict[str, bytes] = {
    "turned-99.jpg": jpeg(seed=21, exif=exif(orientation=99)),
    "circle.jpg": jpeg(seed=22, exif=ifd(entry(0x8769, 4, 1, 8), entry(0x8825, 4, 1, 8), entry(0xA005, 4, 1, 8))),
    "circle.png": png(seed=23, exif=ifd(entry(0x8769, 4, 1, 8))[6:]),
    "next-is-itself.jpg": jpeg(seed=24, exif=ifd(entry(0x112, 3, 1, 3))[:-4] + struct.pack("<I", 8)),
    "long.jpg": jpeg(seed=25, exif=exif(camera="x" * 60_000)),
    "hostile.jpg": jpeg(seed=26, exif=exif(camera="<img src=x onerror=alert(1)>\r\nINFO forged \x1b[31m\u202e")),
    "place.jpg": jpeg(seed=27, exif=gps()),
    "nothing.jpg": jpeg(seed=28, exif=b"Exif\0\0"),
    "endless.jpg": jpeg(seed=29, exif=ifd(entry(0x112, 5, 0xFFFFFFFF, 8), entry(0x110, 2, 0xFFFFFFFF, 0xFFFFFFF0))),
}


def deep_rgb_png() -> bytes:
    """Sixteen bits for each of three colours, which Pillow does not write."""
    rows = np.zeros((64, 1 + 64 * 6), np.uint8)
    rows[:, 1:] = np.tile(np.arange(64 * 6, dtype=np.uint8), (64, 1))
    header = struct.pack(">IIBBBBB", 64, 64, 16, 2, 0, 0, 0)
    body = zlib.compress(rows.tobytes())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def faded(image: Image.Image) -> Image.Image:
    see_through = image.convert("RGBA")
    see_through.putalpha(Image.fromarray(pixels(seed=9)[:, :, 0]))
    return see_through


COLOURS: dict[str, bytes] = {
    "cmyk.jpg": saved(COLOUR.convert("CMYK"), "JPEG"),
    "grey.jpg": saved(COLOUR.convert("L"), "JPEG"),
    "profiled.jpg": saved(COLOUR, "JPEG", icc_profile=bytes(3000)),
    "two-pictures.jpg": good()["two-pictures.mpo"],
    "bits.png": saved(COLOUR.convert("1"), "PNG"),
    "grey.png": saved(COLOUR.convert("L"), "PNG"),
    "grey-see-through.png": saved(faded(COLOUR).convert("LA"), "PNG"),
    "see-through.png": saved(faded(COLOUR), "PNG"),
    "palette.png": saved(COLOUR.quantize(32), "PNG"),
    "palette-see-through.png": saved(COLOUR.quantize(32), "PNG", transparency=bytes(range(32))),
    "one-colour-see-through.png": saved(COLOUR, "PNG", transparency=(10, 20, 30)),
    "deep-grey.png": good()["deep.png"],
    "deep-colour.png": deep_rgb_png(),
    "interlaced.png": interlaced_png(pixels(seed=8)),
    "see-through.webp": saved(faded(COLOUR), "WEBP"),
    "black.jpg": saved(Image.new("RGB", (320, 240)), "JPEG"),
    "white.png": saved(Image.new("RGB", (320, 240), "white"), "PNG"),
    "nothing-to-see.png": saved(Image.new("RGBA", (320, 240)), "PNG"),
}
SHAPES: dict[str, tuple[bytes, str]] = {
    f"{width}x{height}.{kind}": (make(width=width, height=height), "kept" if min(width, height) >= 32 else "too-small")
    for kind, make in (("jpg", jpeg), ("png", png), ("webp", webp))
    for width, height in ((1, 1), (1, 20_000), (20_000, 1), (32, 20_000), (20_000, 32), (32, 32))
    if kind != "webp" or max(width, height) < 16_384
}
MOVING: dict[str, bytes] = {"moving.png": good()["moving.png"], "moving.webp": good()["moving.webp"]}

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


def lying(kind: str) -> dict[str, bytes]:
    """One picture, without loss, as a camera held in each of eight ways would write it."""
    upright = bird().resize((320, 240))
    return {
        f"turned-{orientation}.{kind}": saved(
            upright if turn is None else upright.transpose(turn),
            kind,
            exif=exif(orientation=orientation),
            lossless=True,
        )
        for orientation, turn in LIE_DOWN.items()
    }


EXPECTED = WRONG_NAMES | TWO_KINDS | XML | PHONES | SHAPES
KEPT_ALL = RIGHT_BY_CONTENT | EXIF | COLOURS | MOVING


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Fed:
    everything = {name: data for name, (data, _) in EXPECTED.items()} | KEPT_ALL | lying("png") | lying("webp")
    fed = feed(fresh_root(tmp_path_factory.mktemp("menagerie") / "birds", models_dir), everything.items(), eye="real")
    hold_the_law(fed)
    return fed


def end_of(fed: Fed, name: str) -> str:
    fate = fed.fates[name]
    return "kept" if fate.state in KEPT else fate.reason


@pytest.mark.fault("B08")
@pytest.mark.parametrize("name", WRONG_NAMES)
def test_a_file_is_what_its_content_says_not_what_its_name_says(fed: Fed, name: str) -> None:
    assert end_of(fed, name) == WRONG_NAMES[name][1]


@pytest.mark.fault("B08")
@pytest.mark.parametrize("name", RIGHT_BY_CONTENT)
def test_a_photo_with_a_wrong_name_is_a_photo(fed: Fed, name: str) -> None:
    assert end_of(fed, name) == "kept"


@pytest.mark.fault("B08")
def test_no_parser_but_the_three_is_ever_entered_and_nothing_is_started_or_opened(tmp_path: Path) -> None:
    paths: list[Path] = []
    for name, (data, _) in (WRONG_NAMES | TWO_KINDS | XML | PHONES).items():
        (tmp_path / name).write_bytes(data)
        paths.append(tmp_path / name)
    for path, found in zip(paths, entered(paths), strict=True):
        assert (found.parsers, found.deeds) == ([], []), f"{path.name}: {found}"
    by_pillow = {path.name: one for path, one in zip(paths, entered(paths, by_pillow=True), strict=True)}
    assert {"TiffImageFile", "EpsImageFile", "PsdImageFile", "PpmImageFile"} <= {
        parser for one in by_pillow.values() for parser in one.parsers
    }, "the spies are awake"
    assert all(one.deeds for one in by_pillow.values()), "they hear of opened files"


@pytest.mark.fault("B09")
@pytest.mark.parametrize("name", TWO_KINDS)
def test_of_two_kinds_in_one_file_the_beginning_counts(fed: Fed, name: str) -> None:
    assert end_of(fed, name) == TWO_KINDS[name][1]


@pytest.mark.fault("B09")
def test_what_people_are_shown_carries_nothing_of_what_was_hidden_in_a_photo(fed: Fed) -> None:
    for name, (_, end) in TWO_KINDS.items():
        if end == "kept":
            thumbnail = fed.root / ".birdwatchd" / "thumbs" / f"{fed.fates[name].sha256}.jpg"
            shown = next(iter(thumbnail.parent.rglob(thumbnail.name)), thumbnail).read_bytes()
            assert not any(word in shown for word in (b"script", b"<?php", b"evil.sh", b"PK\x03\x04")), name


@pytest.mark.fault("B10")
@pytest.mark.parametrize("name", XML)
def test_what_is_text_is_no_picture(fed: Fed, name: str) -> None:
    assert end_of(fed, name) == "not-a-picture"


@pytest.mark.fault("B11")
@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_bird_has_the_same_name_however_the_camera_was_held(fed: Fed, kind: str) -> None:
    seen = [fed.fates[f"turned-{orientation}.{kind}"] for orientation in LIE_DOWN]
    assert len({(one.state, one.label) for one in seen}) == 1
    assert len({one.size_px for one in seen}) == 1
    assert np.ptp([one.birdness or -1.0 for one in seen]) < 1e-4
    if data_folder() is not None:
        assert seen[0].label is not None, "a real bird has a name"


@pytest.mark.fault("B11")
@pytest.mark.parametrize("name", EXIF)
def test_no_exif_keeps_a_photo_out(fed: Fed, name: str) -> None:
    fate = fed.fates[name]
    assert end_of(fed, name) == "kept"
    assert fate.size_px == (320, 240)
    assert fate.camera is None or (fate.camera.isprintable() and len(fate.camera) <= 64)


@pytest.mark.fault("B12")
@pytest.mark.parametrize("name", COLOURS)
def test_every_colour_gets_a_number_from_the_eye(fed: Fed, name: str) -> None:
    fate = fed.fates[name]
    assert end_of(fed, name) == "kept"
    assert fate.birdness is not None
    assert 0 <= fate.birdness <= 1
    assert fate.reason in ("no-bird", "no-classifier")


@pytest.mark.fault("B12")
def test_every_embedding_is_made_of_numbers(fed: Fed) -> None:
    with closing(sqlite3.connect(fed.root / "birdwatchd.db")) as db:
        vectors = [np.frombuffer(vector, "<f4") for (vector,) in db.execute("SELECT vector FROM embeddings")]
    assert len(vectors) >= len(COLOURS)
    assert all(np.isfinite(vector).all() and np.ptp(vector) > 0 for vector in vectors)


@pytest.mark.fault("B13")
@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_judged_or_too_small(fed: Fed, name: str) -> None:
    assert end_of(fed, name) == SHAPES[name][1]


@pytest.mark.fault("B14")
@pytest.mark.parametrize("name", PHONES)
def test_heic_and_avif_are_set_aside_with_what_to_do(fed: Fed, name: str) -> None:
    assert end_of(fed, name) == "unsupported"
    note = json.dumps(fed.note(fed.fates[name]))
    assert "JPEG" in note
    assert ("Most Compatible" in note) is ("phone" in name)


@pytest.mark.fault("B07")
@pytest.mark.parametrize("name", MOVING)
def test_of_a_moving_picture_one_is_judged(fed: Fed, name: str) -> None:
    assert end_of(fed, name) == "kept"
    assert fed.fates[name].size_px == (200, 150)
