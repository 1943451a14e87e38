"""The folder is the label editor, with the real daemon: what a person moves is in the log within seconds."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from birdwatchd.edges.store import Store
from tests.pictures import jpeg
from tests.service.running import STUBBED, birdwatchd, daemon, until

WITHIN_S = 3.0


def rows(root: Path, sql: str) -> list[dict[str, Any]]:
    with Store.read_only(root / "birdwatchd.db") as store:
        return store.connection.rows(sql)


def labels(root: Path) -> list[tuple[int, str | None]]:
    return [(row["photo_id"], row["label"]) for row in rows(root, "SELECT * FROM labels ORDER BY id")]


def problems(root: Path) -> str:
    return str(rows(root, "SELECT problems FROM status")[0]["problems"])


def photos(root: Path) -> list[Path]:
    return sorted((root / "review").rglob("*.jpg"))


def soon(what: str, root: Path, wanted: Sequence[tuple[int, str | None]]) -> None:
    begun = time.monotonic()
    until(what, lambda: sorted(labels(root), key=str) == sorted(wanted, key=str))
    assert time.monotonic() - begun < WITHIN_S


def drop(root: Path, count: int) -> None:
    for number in range(count):
        (root / "inbox" / f"{number}.jpg").write_bytes(jpeg(width=64, height=64, seed=number))


def test_a_moved_photo_is_a_label_while_it_runs_and_after_it_was_stopped(root: Path) -> None:
    robin = root / "library" / "robin"
    with daemon(root, command=STUBBED) as running:
        drop(root, 2)
        until("both at rest", lambda: len(photos(root)) == 2)
        time.sleep(1.0)
        assert labels(root) == [], "what the daemon moves says nothing"
        robin.mkdir()
        first = photos(root)[0]
        subprocess.run(["mv", str(first), str(robin)], check=True)
        number = rows(root, f"SELECT id FROM photos WHERE path LIKE '%/{first.name}'")[0]["id"]  # noqa: S608
        soon("the label", root, [(number, "robin")])
        other = photos(root)[0]
        assert running.stop() == 0
    subprocess.run(["mv", str(other), str(root / "library" / "robin")], check=True)
    assert len(labels(root)) == 1
    with daemon(root, command=STUBBED) as running:
        soon("the other label", root, [(number, "robin"), (3 - number, "robin")])
        assert running.stop() == 0
    assert {row["source"] for row in rows(root, "SELECT source FROM labels")} == {"folder"}


def test_a_renamed_folder_a_new_photo_and_a_new_name_are_heard_of(root: Path) -> None:
    library = root / "library"
    with daemon(root, command=STUBBED) as running:
        drop(root, 6)
        until("all at rest", lambda: len(photos(root)) == 6)
        (library / "robin").mkdir()
        for photo in photos(root):
            photo.rename(library / "robin" / photo.name)
        all_six = [(number, "robin") for number in range(1, 7)]
        soon("six labels", root, all_six)
        (library / "robin").rename(library / "wren")
        soon("six more", root, all_six + [(number, "wren") for number in range(1, 7)])
        (library / "wern").mkdir()
        (library / "wern" / "new.jpg").write_bytes(jpeg(width=64, height=64, seed=99))
        until("the new one", lambda: labels(root)[12:] == [(7, "wern")])
        until("the slip is told", lambda: "the name wern looks like wren" in problems(root))
        assert "wern (1 of 5 photos) looks like wren" in birdwatchd("doctor", "--json", root=root).stdout
        assert running.stop() == 0
    assert next((library / "wern").iterdir()).name.startswith("new-")
    assert list((root / "review").rglob("*.jpg")) == []


def test_50_photos_filed_while_it_watches_are_no_words_of_anybody(root: Path) -> None:
    with daemon(root, command=STUBBED) as running:
        drop(root, 50)
        until("all at rest", lambda: len(photos(root)) == 50)
        time.sleep(2.0)
        assert labels(root) == []
        assert rows(root, "SELECT DISTINCT state FROM photos") == [{"state": "review"}]
        assert running.stop() == 0


def test_scan_notices_too(root: Path) -> None:
    done = subprocess.run([*STUBBED, "init", "--root", str(root)], capture_output=True, text=True, check=False)
    drop(root, 1)
    subprocess.run([*STUBBED, "scan", "--root", str(root)], capture_output=True, check=True)
    (photo,) = photos(root)
    (root / "library" / "robin").mkdir()
    photo.rename(root / "library" / "robin" / photo.name)
    (root / "library" / "robin" / "new.jpg").write_bytes(jpeg(width=64, height=64, seed=99))
    subprocess.run([*STUBBED, "scan", "--root", str(root)], capture_output=True, check=True)
    assert labels(root) == [(1, "robin"), (2, "robin")], done
