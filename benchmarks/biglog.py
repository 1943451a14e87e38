"""A bird folder whose log has a million photos, each with a prediction: written straight into the tables of an older log, and then
brought up to date as at the first start after an update.
"""

import json
import random
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from sqlite_utils import Migrations

from birdwatchd.core import shelving
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store, connection, schema

YEARS = 3
WAITING = 200
NAMED = 20_000
SEEN_OF_EACH = 40
"""Photos of each species whose embeddings are there, of those that people named last: the page reads no others."""

WITH_THUMBNAILS = 2000
SPOTTER = "5" * 16
CAMERAS = ("feeder", "pond")
SPECIES = (
    "house-sparrow", "great-tit", "blue-tit", "robin", "blackbird", "chaffinch", "greenfinch", "house-finch", "starling", "wood-pigeon",
    "collared-dove", "magpie", "jay", "dunnock", "wren", "nuthatch", "coal-tit", "goldfinch", "siskin", "great-spotted-woodpecker",
    "long-tailed-tit", "bullfinch", "hawfinch", "brambling", "fieldfare", "redwing", "blackcap", "sparrowhawk", "kestrel", "waxwing",
)  # fmt: skip
BEFORE_TALLIES = 7
AT_ONCE = 10_000


def big_log(root: Path, photos: int) -> float:
    """Make it; returns the seconds in which it was brought up to date."""
    Files(root).create()
    path = root / shelving.DATABASE
    newest, version = schema.migrations, connection.SCHEMA_VERSION
    older = Migrations("birdwatchd")
    for one in newest._migrations[:BEFORE_TALLIES]:
        older(name=one.name)(one.fn)
    try:
        schema.migrations, connection.SCHEMA_VERSION = older, BEFORE_TALLIES
        Store.open(path).close()
    finally:
        schema.migrations, connection.SCHEMA_VERSION = newest, version
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -200000")
    db.execute("BEGIN")
    _model(db)
    for first in range(0, photos, AT_ONCE):
        _photos(db, first, min(photos, first + AT_ONCE), photos)
    _audits_and_embeddings(db)
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _thumbnails(root, db)
    db.close()
    began = time.monotonic()
    Store.open(path).close()
    return time.monotonic() - began


def _model(db: sqlite3.Connection) -> None:
    db.execute(
        "INSERT INTO models (id, kind, created_at, promoted_at, labels, metrics, path, recipe)"
        " VALUES (1, 'linear', '2023-11-01T00:00:00.000Z', '2023-11-01T00:00:00.000Z', ?, '{}', 'models/1.onnx', '{}')",
        (json.dumps(sorted(SPECIES)),),
    )


def _photos(db: sqlite3.Connection, first: int, last: int, count: int) -> None:
    """Photos as they come: a few of each visit, by day, most of them sure, one in ten without a bird, the latest in review."""
    dice = random.Random(first)  # noqa: S311  # photos, no secrets
    now = datetime.now(UTC).replace(tzinfo=None)
    step = timedelta(days=365 * YEARS) / count
    top = json.dumps(
        [["robin", 0.912345], ["wren", 0.051234], ["dunnock", 0.012345], ["chaffinch", 0.006], ["siskin", 0.001]]
    )
    names = dice.choices(SPECIES, [1 / (rank + 1) for rank in range(len(SPECIES))], k=last - first)
    rows, looks, labels = [], [], []
    for number in range(first, last):
        visit, in_visit = divmod(number, 4)
        name, camera = names[visit * 4 % len(names)], CAMERAS[visit % 3 == 0]
        day = now - (count - visit * 4) * step
        minute = random.Random(visit).randrange(11 * 60)  # noqa: S311
        at = day.replace(hour=6 + minute // 60, minute=minute % 60, second=in_visit * 3)
        chance = dice.random()
        arrived = f"{at:%Y-%m-%dT%H:%M:%S}.000Z"
        state = "review" if number >= count - WAITING else "empty" if chance < 0.1 else "filed"
        reason = {"review": "unsure", "empty": "no-bird", "filed": "sure"}[state]
        folder = {"review": f"review/{name}", "empty": "empty", "filed": f"library/{name}"}[state]
        taken = f"{at:%Y-%m-%dT%H:%M:%S}" if chance < 0.95 else None
        content = f"{random.Random(number).getrandbits(256):064x}"  # noqa: S311
        rows.append(
            (
                number + 1,
                content,
                f"DSC{number:07d}.JPG",
                camera,
                arrived,
                taken,
                f"{folder}/DSC{number:07d}.JPG",
                state,
                reason,
            )
        )
        label = None if state == "empty" else name
        looks.append((number + 1, SPOTTER, label, dice.random(), top, state, reason, arrived))
        if state == "filed" and number % max(1, count // NAMED) == 0:
            labels.append((number + 1, name if chance < 0.9 else "wren", arrived))
    db.executemany(
        "INSERT INTO photos (id, sha256, original_name, camera, received_at, captured_at, path, state, reason, bytes,"
        " width_px, height_px) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 3500000, 4000, 3000)",
        rows,
    )
    db.executemany(
        "INSERT INTO predictions (photo_id, model_id, spotter_id, label, probability, top, birdness, box, verdict, reason,"
        " predicted_at, took_ms) VALUES (?, 1, ?, ?, ?, ?, 0.97, '[0.4, 0.3, 0.2, 0.2]', ?, ?, ?, 42)",
        looks,
    )
    db.executemany("INSERT INTO labels (photo_id, label, source, labelled_at) VALUES (?, ?, 'web', ?)", labels)


def _audits_and_embeddings(db: sqlite3.Connection) -> None:
    """Audits, one in fifty; and what the spotter saw in all that waits and in the last named of each species."""
    db.execute(
        "INSERT INTO put_up SELECT photo_id, 1, label, predicted_at FROM predictions WHERE verdict = 'filed' AND id % 50 = 1"
    )
    chance = np.random.default_rng(6)
    seen = [row[0] for row in db.execute("SELECT id FROM photos WHERE state = 'review'")]
    for name in SPECIES:
        latest = "SELECT photo_id FROM labels WHERE label = ? ORDER BY id DESC LIMIT ?"
        seen += [row[0] for row in db.execute(latest, (name, SEEN_OF_EACH))]
    for photo_id in seen:
        vector = chance.gamma(0.3, size=1280).astype("<f4").tobytes()
        db.execute(
            "INSERT INTO embeddings (photo_id, spotter_id, vector) VALUES (?, ?, ?)", (photo_id, SPOTTER, vector)
        )


def _thumbnails(root: Path, db: sqlite3.Connection) -> None:
    """One picture under many names: of the latest photos, and of those that stand beside them."""
    picture = root / shelving.PRIVATE / "one.jpg"
    noise = np.random.default_rng(1).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((256, 256)).save(picture, quality=85)
    for (content,) in db.execute("SELECT sha256 FROM photos ORDER BY id DESC LIMIT ?", (WITH_THUMBNAILS,)):
        place = root / shelving.THUMBS / content[:2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{content}.jpg").hardlink_to(picture)
