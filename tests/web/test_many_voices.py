"""Labels from the page, the command line and folder moves at the same time: none is lost, and nobody is told that the log is locked."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from birdwatchd.edges.store import Store
from tests import books
from tests.pictures import jpeg
from tests.service.running import STUBBED, daemon, until
from tests.web.serving import page_of
from tests.web.voices import BUSY, Said, by_moving_files, on_the_command_line, on_the_page, together

pytestmark = pytest.mark.alone

FAST = {
    "BIRDWATCHD_TRAINING__ENABLED": "false",
    "BIRDWATCHD_INBOX__RESERVE_MB": "0",
    "BIRDWATCHD_RETENTION__BACKUPS": "0",
}


@dataclass(frozen=True)
class Row:
    """A word in the log."""

    photo_id: int
    label: str | None
    source: str


def drop(root: Path, count: int) -> None:
    """So many different photos, taken by the daemon a thousand at a time."""
    one = jpeg(width=64, height=64, seed=1)
    for number in range(count):
        (root / "inbox" / f"{number:05}.jpg").write_bytes(
            one + number.to_bytes(4, "big")
        )  # behind its end: no decoder looks there


def rest(root: Path) -> dict[int, str]:
    """Photos in review: id and content."""
    with Store.read_only(root / "birdwatchd.db") as store:
        rows = store.connection.rows("SELECT id, sha256 FROM photos WHERE state = 'review' ORDER BY id")
    return {row["id"]: row["sha256"] for row in rows}


def words(root: Path) -> list[Row]:
    with Store.read_only(root / "birdwatchd.db") as store:
        rows = store.connection.rows("SELECT photo_id, label, source FROM labels ORDER BY id")
    return [Row(**row) for row in rows]


def is_quiet(root: Path) -> bool:
    with Store.read_only(root / "birdwatchd.db") as store:
        return not store.requests.open() and store.journeys.under_way_count() == 0


def take_part(root: Path, count: int, tell: Callable[[str], None], patience_s: float) -> None:
    """Of ten photos four are named on the page, three by command, two by moving; one by all three, in whatever order that comes."""
    began = time.monotonic()
    chance = random.Random(count)  # noqa: S311
    with (
        daemon(root, command=STUBBED, environment=FAST) as running,
        page_of(root, environment={"BIRDWATCHD_RETENTION__BACKUPS": "0"}) as served,
    ):
        drop(root, count)
        end = time.monotonic() + patience_s
        while len(rest(root)) < count:
            assert time.monotonic() < end
            time.sleep(0.2)
        photos = rest(root)
        turn = {photo_id: place % 10 for place, photo_id in enumerate(photos)}
        page, command, folder = (
            chance.sample([one for one in photos if turn[one] in turns], k=sum(turn[one] in turns for one in photos))
            for turns in ({0, 1, 2, 3, 9}, {4, 5, 6, 9}, {7, 8, 9})
        )
        by_page, by_command, by_folder = Said(), Said(), Said()
        dice = [random.Random(seed) for seed in range(3)]  # noqa: S311
        together(
            partial(on_the_page, served, page, by_page, dice[0]),
            partial(on_the_command_line, root, command, by_command, dice[1]),
            partial(by_moving_files, root, {one: photos[one] for one in folder}, by_folder, dice[2], pause_s=0.002),
        )
        end = time.monotonic() + patience_s
        while not is_quiet(root):
            assert time.monotonic() < end
            time.sleep(0.2)
        until("the last move is heard", lambda: len({row.photo_id for row in words(root)}) == count)
        time.sleep(3)  # what is heard last may be of a photo that had a name already
        until("all is carried out", lambda: is_quiet(root))
        complaints = running.err.read_text() + (root.parent / "page.err").read_text()
        running.stop()
    assert BUSY not in complaints
    assert not any(BUSY in one or "locked" in one for said in (by_page, by_command, by_folder) for one in said.refused)
    check(root, photos, turn, {"web": by_page, "cli": by_command, "folder": by_folder})
    given = sum(len(said.words) for said in (by_page, by_command, by_folder))
    later = len(by_command.refused)
    tell(
        f"{given} words about {count} photos by page, command line and folder at the same time: 0 lost, 0 times locked;"
        f" {later} commands about a photo were told that somebody has said more meanwhile; {time.monotonic() - began:.0f} s"
    )


def check(root: Path, photos: dict[int, str], turn: dict[int, int], said: dict[str, Said]) -> None:
    """Every word is in the log, and each photo lies where the last one says."""
    told = words(root)
    with Store.read_only(root / "birdwatchd.db") as store:
        answers = store.connection.rows("SELECT arguments, result FROM requests WHERE kind = 'answers'")
        told_off = {
            (one["photo_id"], str(json.loads(answer["arguments"])["species"]))
            for answer in answers
            for one in json.loads(answer["result"] or "{}").get("left", [])
        }
        rows = store.connection.rows("SELECT id, path, state FROM photos")
    rows_by_photo = {row["id"]: row for row in rows}
    for source, voice in said.items():
        assert [one for one in voice.refused if "somebody has said more" not in one] == []
        for photo_id, names in voice.words.items():
            mine = [
                row.label for row in told if row.photo_id == photo_id and (turn[photo_id] == 9 or row.source == source)
            ]
            for name in names:
                assert name in mine or (photo_id, name) in told_off, (
                    f"{source} said that {photo_id} is {name}; the log has {mine}"
                )
            if turn[photo_id] != 9:
                assert mine == names, f"{photo_id}: once, and by nobody else"
    last = {row.photo_id: row.label for row in told}
    assert last.keys() == photos.keys()
    for photo_id, label in last.items():
        assert rows_by_photo[photo_id]["path"].rpartition("/")[0] == f"library/{label}", photo_id
        assert (root / rows_by_photo[photo_id]["path"]).is_file()
    books.check(root, Counter(photos.values()))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_word_is_lost_whoever_speaks_at_the_same_time(root: Path, tell: Callable[[str], None]) -> None:
    take_part(root, 300, tell, 120)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_ten_thousand_words_at_the_same_time(root: Path, tell: Callable[[str], None]) -> None:
    take_part(root, 8350, tell, 1800)
