"""Pictures for tests, made on the spot: the same arguments give the same bytes."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from birdwatchd.core.photo import Pixels


def pixels(*, width: int = 320, height: int = 240, seed: int = 0) -> Pixels:
    """Soft coloured clouds with a little noise, as a camera sees a garden; RGB, shape (height, width, 3)."""
    random = np.random.default_rng(seed)
    clouds = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    soft = np.asarray(clouds.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    noisy = soft + random.integers(-6, 7, soft.shape, dtype=np.int16)
    return noisy.clip(0, 255).astype(np.uint8)


def exif(
    *,
    orientation: int | None = None,
    taken: str | None = None,
    offset: str | None = None,
    camera: str | bytes | None = None,
) -> Image.Exif:
    """What a camera writes: `taken` as "YYYY:MM:DD HH:MM:SS", `offset` as "+02:00"; `camera` goes out as UTF-8."""
    written = Image.Exif()
    if orientation is not None:
        written[0x0112] = orientation
    if camera is not None:
        written[0x0110] = camera.encode() if isinstance(camera, str) else camera
    inner = written.get_ifd(0x8769)
    if taken is not None:
        inner[0x9003] = taken
    if offset is not None:
        inner[0x9011] = offset
    return written


def jpeg(
    *,
    width: int = 320,
    height: int = 240,
    seed: int = 0,
    exif: Image.Exif | bytes | None = None,
    progressive: bool = False,
    quality: int = 85,
) -> bytes:
    """A JPEG photo of `pixels`."""
    image = Image.fromarray(pixels(width=width, height=height, seed=seed))
    return saved(image, "JPEG", exif=b"" if exif is None else exif, progressive=progressive, quality=quality)


def png(*, width: int = 320, height: int = 240, seed: int = 0, exif: Image.Exif | bytes | None = None) -> bytes:
    """A PNG picture of `pixels`."""
    image = Image.fromarray(pixels(width=width, height=height, seed=seed))
    return saved(image, "PNG", exif=b"" if exif is None else exif)


def webp(
    *,
    width: int = 320,
    height: int = 240,
    seed: int = 0,
    exif: Image.Exif | bytes | None = None,
    lossless: bool = False,
) -> bytes:
    """A WebP picture of `pixels`."""
    image = Image.fromarray(pixels(width=width, height=height, seed=seed))
    return saved(image, "WEBP", exif=b"" if exif is None else exif, lossless=lossless)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Any Pillow image as a file of any kind that Pillow writes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_segment(photo: bytes, marker: int, payload: bytes) -> bytes:
    """A JPEG with one more header segment right behind its start; payload up to 65,533 bytes."""
    segment = bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload
    return photo[:2] + segment + photo[2:]


def data_folder() -> Path | None:
    """Where real photos are (birds/SPECIES/*.jpg, scenes/…), or None: then skip, and say so."""
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    folder = Path(os.environ.get("BIRDWATCHD_TEST_DATA", beside))
    return folder if folder.is_dir() else None


def with_chunks(picture: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with more chunks, each a name of four letters and a content, right behind its header."""
    return picture[:33] + b"".join(chunk(name, content) for name, content in chunks) + picture[33:]


def chunk(name: bytes, content: bytes) -> bytes:
    """A part of a PNG, its checksum right."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
