"""Small files that ask for much: refused within a second and a hundred megabytes, each measured in a process of its own."""

import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
from PIL import Image

from birdwatchd.core.formats import Kind
from birdwatchd.edges.images import decode
from birdwatchd.edges.images.decoding import _in_turn
from tests.faults.feeding import feed, fresh_root, hold_the_law, tell
from tests.faults.measuring import LIMITS, costs
from tests.pictures import chunk, jpeg, png, saved, webp, with_chunks

pytestmark = pytest.mark.alone

MOST_S = 1.0
MOST_MB = 100.0
PACKED = zlib.compress(bytes(1_000_000), 9)


def flat_png(width: int, height: int, *, bits: int = 8, colour: int = 0) -> bytes:
    """A PNG of zeros, written without ever having them all in memory."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(9)
    row = bytes(1 + (width * bits * channels + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def lying(width: int, height: int) -> bytes:
    """A small JPEG that claims to be large."""
    photo = jpeg(width=64, height=64)
    at = photo.index(b"\xff\xc0")
    return photo[: at + 5] + struct.pack(">HH", height, width) + photo[at + 9 :]


def many(segment: int, content: bytes, count: int) -> bytes:
    photo = jpeg()
    one = bytes((0xFF, segment)) + (len(content) + 2).to_bytes(2, "big") + content
    return photo[:2] + one * count + photo[2:]


def behind_first_scan(what: bytes) -> bytes:
    photo = jpeg(progressive=True)
    at = photo.index(b"\xff\xc4", photo.index(b"\xff\xda"))
    return photo[:at] + what + photo[at:]


def riff(*parts: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(name + struct.pack("<I", len(c)) + c + b"\0" * (len(c) % 2) for name, c in parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_with(name: bytes, content: bytes, count: int = 1) -> bytes:
    head = bytes((0x08, 0, 0, 0)) + (319).to_bytes(3, "little") + (239).to_bytes(3, "little")
    plain = webp()
    picture = (plain[12:16], plain[20 : 20 + int.from_bytes(plain[16:20], "little")])
    return riff((b"VP8X", head), picture, *[(name, content)] * count)


def exif_of_rationals(count: int) -> bytes:
    """An orientation that is a list of so many fractions."""
    entry = struct.pack("<HHII", 0x0112, 5, count, 8)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + bytes(4) + b"\1\0\0\0" * (2 * count)


THIN = 60 * 1024
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "30000 x 30000 in one bit": (lambda: flat_png(30_000, 30_000, bits=1), "too-large"),
    "a header lying 65500 x 65500": (lambda: lying(65_500, 65_500), "too-large"),
    "a text of 200 MB": (
        lambda: with_chunks(png(), (b"zTXt", b"k\0\0" + zlib.compress(bytes(200_000_000), 1))),
        "too-large",
    ),
    "a profile of 100 MB": (
        lambda: with_chunks(png(), (b"iCCP", b"k\0\0" + zlib.compress(bytes(100_000_000), 1))),
        "too-large",
    ),
    "200 texts": (lambda: with_chunks(png(), *[(b"zTXt", b"k\0\0" + PACKED)] * 200), "damaged"),
    "10,000 profiles": (lambda: with_chunks(png(), *[(b"iCCP", b"k\0\0" + PACKED)] * 10_000), "damaged"),
    "10,000 unreadable texts": (
        lambda: with_chunks(png(), *[(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"\xff" * 1_000_000, 9))] * 10_000),
        "damaged",
    ),
    "EXIF in 1,000 pieces": (lambda: many(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + bytes(THIN), 1000), "damaged"),
    "1,000 segments of tables": (lambda: many(0xDB, (b"\0" + b"\1" * 64) * 900, 1000), "damaged"),
    "20,000 passes": (lambda: behind_first_scan(b"\xff\xda\0\x08\1\1\0\1\x3f\0" * 20_000), "damaged"),
    "a million tables between passes": (
        lambda: behind_first_scan((b"\xff\xc4\0\x13\0" + bytes(16)) * 1_000_000),
        "damaged",
    ),
    "20 MB of filling": (lambda: behind_first_scan(b"\xff" * 20_000_000), "damaged"),
    "150,000 parts": (lambda: webp_with(b"XXXX", b"", 150_000), "damaged"),
    "63 megapixels of WebP": (lambda: saved(Image.new("RGB", (9000, 7000)), "WEBP", method=0), "too-large"),
    "a lying WebP": (lambda: webp()[:26] + b"\xff\x3f\xff\x3f" + webp()[30:], "too-large"),
    "a WebP whose picture is larger than its canvas": (
        lambda: webp_with(b"EXIF", b"")[:24] + (63).to_bytes(3, "little") * 2 + webp_with(b"EXIF", b"")[30:],
        "damaged",
    ),
}
# Large in what is not looked at: these are photos, and must cost no more than that.
HARMLESS: dict[str, Callable[[], bytes]] = {
    "an orientation of a million fractions": lambda: with_chunks(png(), (b"eXIf", exif_of_rationals(1_000_000))),
    "the same in a WebP": lambda: webp_with(b"EXIF", exif_of_rationals(1_000_000)),
    "65,535 entries that all point to the same": lambda: with_chunks(png(), (b"eXIf", overlapping_exif())),
    "a moving PNG of 2,000 frames": lambda: moving("PNG"),
    "a moving WebP of 2,000 frames": lambda: moving("WEBP"),
    "300 profiles of 60 kB": lambda: many(0xE2, b"ICC_PROFILE\0\1\1" + bytes(THIN), 300),
    "300 comments of 60 kB": lambda: many(0xFE, bytes(THIN), 300),
}


def overlapping_exif() -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, 1, 100_000, 0) for tag in range(65_535))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + entries + bytes(1_000_000)


def moving(kind: str) -> bytes:
    frames = [Image.new("RGB", (64, 64), (number % 251, number // 8, 7)) for number in range(2000)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True, method=0)


def written(folder: Path, files: Sequence[tuple[str, bytes]]) -> list[Path]:
    paths = [folder / f"{number:02d}" for number in range(len(files))]
    for path, (_, data) in zip(paths, files, strict=True):
        path.write_bytes(data)
    return paths


@pytest.mark.fault("B05", "B06")
def test_a_bomb_is_refused_within_a_second_and_a_hundred_megabytes(tmp_path: Path) -> None:
    files = [(name, make()) for name, (make, _) in BOMBS.items()]
    for (name, _), cost in zip(files, costs(written(tmp_path, files)), strict=True):
        tell(f"{name}: {cost}")
        assert cost.verdict == BOMBS[name][1], f"{name}: {cost}"
        assert cost.seconds <= MOST_S, f"{name}: {cost}"
        assert cost.more_mb <= MOST_MB, f"{name}: {cost}"


@pytest.mark.fault("B05", "B07", "B11")
def test_what_is_large_only_beside_the_picture_costs_little(tmp_path: Path) -> None:
    files = [(name, make()) for name, make in HARMLESS.items()]
    for (name, _), cost in zip(files, costs(written(tmp_path, files)), strict=True):
        tell(f"{name}: {cost}")
        assert cost.verdict == "kept", f"{name}: {cost}"
        assert cost.seconds <= MOST_S, f"{name}: {cost}"
        assert cost.more_mb <= MOST_MB, f"{name}: {cost}"


@pytest.mark.fault("B07")
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_two_thousand_frames_the_first_is_the_picture(kind: str) -> None:
    first = decode(saved(Image.new("RGB", (64, 64), (0, 0, 7)), kind, lossless=True), LIMITS)
    assert (decode(moving(kind), LIMITS).view(64) == first.view(64)).all()


@pytest.mark.fault("B05", "B06", "B07")
@pytest.mark.timeout(300)
def test_bombs_in_the_inbox_do_the_daemon_no_harm_and_hold_nobody_up(tmp_path: Path) -> None:
    gif = saved(Image.new("P", (64, 64)), "GIF", save_all=True, append_images=[Image.new("P", (64, 64), 1)] * 1999)
    files = {f"bomb-{number:02d}": make() for number, (make, _) in enumerate(BOMBS.values())} | {"moving.gif": gif}
    photos = {f"photo-{seed}.jpg": jpeg(seed=seed) for seed in range(5)}
    fed = feed(fresh_root(tmp_path / "birds"), (files | photos).items())
    ends = hold_the_law(fed)
    assert ends["unsupported"] == 1
    assert ends["review"] == len(photos)
    assert ends.total() == len(files) + len(photos)


# --- the largest that are allowed ---------------------------------------------------------------------------------

WHOLE = 6300
LARGEST: dict[str, tuple[Callable[[], bytes], float]] = {
    "JPEG": (lambda: saved(Image.new("RGB", (WHOLE, WHOLE), "green"), "JPEG"), 60),
    "progressive JPEG": (lambda: saved(Image.new("RGB", (WHOLE, WHOLE), "green"), "JPEG", progressive=True), 300),
    "deep PNG": (lambda: flat_png(WHOLE, WHOLE, bits=16, colour=6), 350),
    "grey PNG with transparency": (lambda: flat_png(WHOLE, WHOLE, colour=4), 350),
    "WebP": (lambda: saved(Image.new("RGB", (WHOLE, WHOLE), "green"), "WEBP", method=0), 700),
    "lossless WebP": (lambda: saved(Image.new("RGB", (WHOLE, WHOLE), "green"), "WEBP", method=0, lossless=True), 850),
}


@pytest.mark.fault("B06")
@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_picture_allowed_stays_within_bounds(name: str, tmp_path: Path) -> None:
    make, most_mb = LARGEST[name]
    (cost,) = costs(written(tmp_path, [(name, make())]))
    tell(str(cost))
    assert cost.verdict == "kept"
    assert cost.more_mb <= most_mb, cost
    assert cost.seconds <= 20, cost


@pytest.mark.fault("B06")
def test_large_pictures_wait_for_each_other_whatever_threads_they_come_from(tmp_path: Path) -> None:
    (large,) = written(tmp_path, [("WebP", saved(Image.new("RGB", (4000, 3000), "green"), "WEBP", method=0))])
    (alone,) = costs([large])
    (together,) = costs([large], threads=4)
    assert alone.verdict == together.verdict == "kept"
    assert together.more_mb < 1.5 * alone.more_mb, (alone, together)


@pytest.mark.fault("B06")
def test_a_photo_as_cameras_write_it_waits_for_nobody() -> None:
    photo = saved(Image.new("RGB", (4000, 3000), "green"), "JPEG")
    assert isinstance(_in_turn(Kind.JPEG, photo), nullcontext)
    assert isinstance(_in_turn(Kind.PNG, flat_png(2000, 1500)), nullcontext)
