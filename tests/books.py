"""The books: after anything that happened to a bird folder, do files and rows still tell one story?

I1 nothing lost, I2 nothing doubled, I3 rows and files agree, I7 the database is sound.
"""

import hashlib
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from birdwatchd.edges.files import CANARY

RESTING = ("library", "review", "empty", "quarantine", "duplicates")


def content(data: bytes) -> str:
    """Identity of a content."""
    return hashlib.sha256(data).hexdigest()


def files_in(root: Path, *folders: str) -> dict[str, str]:
    """Every photo below these folders, path to content; notes and hidden files are no photos."""
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            is_note = folder == "quarantine" and path.suffix == ".json" and path.with_suffix("").exists()
            # an original that is just being copied; the canary is no photo
            held = folder == "inbox" and path.name.startswith(".birdwatchd-") and path.name != CANARY
            if path.is_file() and (held or not path.name.startswith(".")) and not is_note:
                found[path.relative_to(root).as_posix()] = content(path.read_bytes())
    return found


def check(root: Path, dropped: Counter[str], *, settled: bool = True) -> None:
    """Assert that the books are in order.

    Args:
        dropped: contents that were ever put into the inbox, with how often.
        settled: whether everything has had its chance, so that nothing may be under way any more.
    """
    resting = files_in(root, *RESTING)
    in_work = files_in(root, ".birdwatchd/work")
    in_inbox = files_in(root, "inbox")
    there = Counter([*resting.values(), *in_work.values(), *in_inbox.values()])
    assert there == dropped, f"I1/I2: missing {dropped - there}, too many {there - dropped}"
    with closing(sqlite3.connect(f"file:{root / 'birdwatchd.db'}?mode=ro", uri=True)) as db:
        rows = {path: (sha256, state) for path, sha256, state in db.execute("SELECT path, sha256, state FROM photos")}
        assert len(rows) == db.execute("SELECT count(*) FROM photos").fetchone()[0], "I2: two rows for one file"
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "I7"
        assert db.execute("PRAGMA foreign_key_check").fetchall() == [], "I7"
        doubled = db.execute(
            "SELECT sha256, count(*) FROM predictions JOIN photos ON photos.id = photo_id GROUP BY sha256, model_id HAVING count(*) > 1"
        ).fetchall()
        assert doubled == [], f"I2: judged twice: {doubled}"
        unjudged = db.execute(
            "SELECT path FROM photos WHERE state IN ('review', 'empty') AND reason IN ('no-bird', 'no-classifier')"
            " AND id NOT IN (SELECT photo_id FROM predictions)"
        ).fetchall()
        assert unjudged == [], f"I3: without a prediction: {unjudged}"
        journeys = db.execute("SELECT count(*) FROM journeys").fetchone()[0]
    at_rest = {path: sha256 for path, (sha256, state) in rows.items() if state not in ("claimed", "decided", "missing")}
    for path, sha256 in at_rest.items():
        assert resting.get(path) == sha256 or sha256 is None, f"I3: the row says {path}, the folder does not"
    if settled:
        assert at_rest.keys() == resting.keys(), "I3: rows and files differ"
        assert (in_work, in_inbox, journeys) == ({}, {}, 0), "something is still under way"
        for path in (path for path in resting if path.startswith("quarantine/")):
            assert (root / f"{path}.json").is_file(), f"no note beside {path}"
