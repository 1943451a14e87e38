"""An eye that goes mad files nothing and stops nobody; a photo that kills the process does so twice and never again."""

import os
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests import books
from tests.faults.feeding import AT_ONCE, RIGGED, fates, feed, fresh_root, hold_the_law
from tests.pictures import jpeg, png, with_segment


@pytest.mark.fault("B18")
@pytest.mark.parametrize("eye", ["nan", "inf", "constant", "zeros", "wild"])
def test_the_answers_of_a_mad_eye_go_to_a_human_and_are_named_as_odd(
    eye: str, tmp_path: Path, models_dir: Path
) -> None:
    photos = {f"{seed}.jpg": jpeg(seed=seed) for seed in range(6)} | {"broken.jpg": jpeg()[:900]}
    fed = feed(fresh_root(tmp_path / "birds", models_dir), photos.items(), eye=eye)
    assert hold_the_law(fed) == {"review": 6, "truncated": 1}
    for fate in fed.fates.values():
        if fate.state == "review":
            assert fate.reason == "odd-answer"
            assert (fate.label, fate.probability, fate.birdness) == (None, None, None)
    with closing(sqlite3.connect(fed.root / "birdwatchd.db")) as db:
        assert db.execute("SELECT count(*) FROM embeddings").fetchone() == (0,), "nonsense teaches nothing"
        assert db.execute("SELECT DISTINCT verdict, reason FROM predictions").fetchall() == [("review", "odd-answer")]


def scanned(root: Path) -> list[int]:
    """Scan again and again until one comes through; their exit codes."""
    codes: list[int] = []
    for _ in range(6):
        done = subprocess.run(
            [*RIGGED, "scan", "--root", str(root)],
            env=os.environ | AT_ONCE | {"RIGGED_POISON": "POISON"},
            capture_output=True,
            timeout=60,
            check=False,
        )
        codes.append(done.returncode)
        if done.returncode == 0:
            break
    return codes


@pytest.mark.fault("B17")
def test_a_photo_that_kills_the_process_is_set_aside_and_the_others_are_judged(tmp_path: Path) -> None:
    root = fresh_root(tmp_path / "birds")
    photos = {f"{seed}.jpg": jpeg(seed=seed) for seed in range(4)} | {"p.png": png(seed=5)}
    photos |= {f"poison-{seed}.jpg": with_segment(jpeg(seed=9 + seed), 0xFE, b"POISON") for seed in range(2)}
    for name, data in photos.items():
        (root / "inbox" / name).write_bytes(data)
    codes = scanned(root)
    assert codes[-1] == 0
    assert set(codes[:-1]) == {139}, "the poison works"
    assert len(codes) <= 5, "two photos kill twice each, and no more"
    books.check(root, Counter(books.content(data) for data in photos.values()))
    ends = {fate.name: (fate.state, fate.reason) for fate in fates(root)}
    for name, end in ends.items():
        assert (end == ("quarantined", "crashed")) is name.startswith("poison"), (name, end)
