"""The black pen: no name passes, whatever it looks like, and what helps does."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from birdwatchd.doctor.blanking import STRUCK, Blanking, vocabulary

PEN = Blanking(
    {"martha", "gartenpi", "Orchard North", "robin", "root", "empty"},
    {Path("/home/martha/birdwatch"): "ROOT", Path("/home/martha/code/.venv"): "PROGRAM"},
)


@pytest.mark.parametrize(
    ("text", "struck"),
    [
        ("in the inbox, kitchen-of-grandma.jpg may not be opened (give birdwatchd's user the right: chmod g+rwX), and 3 more",
         "in the inbox, … may not be opened (give birdwatchd's user the right: chmod g+rwX), and 3 more"),
        ("cannot take orchard/Oma im Garten.jpg: the disk is full", "cannot take …: the disk is full"),
        ('  File "/home/martha/code/.venv/lib/python3.11/site-packages/birdwatchd/worker.py", line 120, in sweep',
         'File "PROGRAM/lib/python3.11/site-packages/birdwatchd/worker.py", line 120, in sweep'),
        ("birdwatchd.service: Main process exited, code=killed, status=6/ABRT",
         "birdwatchd.service: Main process exited, code=killed, status=6/ABRT"),
        ("/home/martha/birdwatch/inbox is gone (is its disk still mounted? Nothing is done until it is back)",
         "ROOT/inbox is gone (is its disk still mounted? Nothing is done until it is back)"),
        ("/home/martha/birdwatching is gone", "/home/… is gone"),
        ("restart it, said 2026-11-23T17:04:13.123Z", "restart it, said 2026-11-23T17:04:13.123Z"),
        ("connect 192.168.1.17 and 00:11:22:33:44:55 and fe80::1ff:fe23:4567:890a", "connect … and … and …"),
        ("sqlite3.OperationalError: unable to open database file", "sqlite3.OperationalError: unable to open database file"),
        ("token=ghp_16C7e42F292c6912E7710c838347Ae178B4a", "…"),
        ("photo=12 state=review reason=no-classifier p=0.93 ms=34", "photo=12 state=review reason=no-classifier p=0.93 ms=34"),
        ("call 01711234567 or martha@example.org", "call … or …"),
        ("IMG_0001.JPG -> review/jay/IMG_0001-1f0c4e5a9b2d7c88.jpg: no bird", "… -> review/jay/…: no bird"),
        ("robin saw it, root saw it, empty/", "… saw it, root saw it, empty/"),
        ("the photo.jpg is in the inbox", "the … is in the inbox"),
    ],
)  # fmt: skip
def test_names_are_struck_out_and_what_helps_stays(text: str, struck: str) -> None:
    assert PEN.text(text) == struck


NAMES = st.text(
    st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters=STRUCK), min_size=1, max_size=40
)


@given(NAMES, st.sampled_from([".jpg", ".JPEG", ".png", "", ".heic"]))
@example("kitchen of grandma", ".jpg")
@example("Anna's 7th birthday (2)", ".jpg")
@example("/etc/passwd", "")
def test_of_a_name_no_word_passes_that_the_program_does_not_use_itself(stem: str, suffix: str) -> None:
    struck = PEN.text(f"cannot take {stem}{suffix}: the disk is full")
    known = vocabulary() | set("abcdefghijklmnopqrstuvwxyz")
    for word in Words.findall(f"{stem}{suffix}"):
        if word.casefold() not in known and len(word) > 1:
            assert word not in Words.findall(struck.removeprefix("cannot take ").removesuffix(": the disk is full"))


class Words:
    """Runs of letters."""

    @staticmethod
    def findall(text: str) -> list[str]:
        """All of them."""
        return "".join(char if char.isalpha() else " " for char in text).split()


def test_in_a_table_only_names_are_struck_out() -> None:
    told = PEN.value(
        {"martha": "key", "system": "Debian of gartenpi", "photos": [{"guess": "robin", "bytes": 12, "no": None}]}
    )
    assert told == {"martha": "key", "system": "Debian of …", "photos": [{"guess": "…", "bytes": 12, "no": None}]}
