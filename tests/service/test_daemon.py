"""The running daemon: real photos, real processes, real ends."""

import functools
import itertools
import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.core.photo import State
from birdwatchd.edges.files import CANARY
from birdwatchd.edges.store import Store
from tests import books
from tests.pictures import jpeg, png
from tests.service.running import birdwatchd, daemon, until


def states(root: Path) -> dict[str, int]:
    with Store.read_only(root / "birdwatchd.db") as store:
        return store.questions.states()


def at_rest(root: Path) -> int:
    found = states(root)
    return sum(found.values()) - found.get(State.CLAIMED, 0) - found.get(State.DECIDED, 0)


@pytest.fixture
def crowd(real_photos: Path, tmp_path: Path) -> list[Path]:
    """200 files as they come from a garden: birds, empty frames, cut, empty, foreign and doubled ones."""
    place = tmp_path / "crowd"
    place.mkdir()
    birds = [
        photos[n]
        for n in range(4)
        for photos in (sorted(s.glob("*.jpg")) for s in sorted((real_photos / "birds").iterdir()))
    ]
    scenes = (
        sorted((real_photos / "scenes" / "no-bird").glob("*"))[:30]
        + sorted((real_photos / "scenes" / "bird").glob("*"))[:5]
    )
    files: list[Path] = []

    def put(name: str, data: bytes) -> None:
        files.append(place / name)
        files[-1].write_bytes(data)

    for number, photo in enumerate(birds[:140] + scenes):
        put(f"IMG_{number:04d}.jpg", photo.read_bytes())
    for number in range(8):
        put(f"cut {number}.jpg", birds[number].read_bytes()[: 4000 + 300 * number])
    for number in range(7):
        put(f"empty {number}.jpg", b"")
    put("notes.txt", b"buy seeds\n")
    put("page.jpg", b"<html><body>not found</body></html>")
    put("phone.heic", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic\x00\x00\x00\x48mdat" + bytes(range(64)))
    put("tiny.png", png(width=8, height=8))
    put("broken.png", png(seed=5)[:3000] + b"\xff" * 20 + png(seed=5)[3020:])
    for number in range(5):
        put(f"again {number}.jpg", birds[number].read_bytes())
    assert len(files) == 200
    return files


def test_200_files_by_cp_mv_and_rsync_reach_their_places_and_nothing_is_lost(
    seeing_root: Path, crowd: list[Path], tmp_path: Path
) -> None:
    dropped = Counter(books.content(path.read_bytes()) for path in crowd)
    inbox = seeing_root / "inbox"
    with daemon(seeing_root) as running:
        (inbox / "orchard").mkdir()
        for way, files in itertools.groupby(
            sorted(crowd, key=lambda path: hash_of(path) % 4), key=lambda path: hash_of(path) % 4
        ):
            batch = list(map(str, files))
            match way:
                case 0:
                    subprocess.run(["cp", *batch, str(inbox)], check=True)
                case 1:
                    subprocess.run(["mv", *batch, str(inbox / "orchard")], check=True)
                case 2:
                    subprocess.run(["rsync", "-a", *batch, f"{inbox}/feeder/"], check=True)
                case _:
                    subprocess.run(["rsync", "-a", "--inplace", *batch, f"{inbox}/"], check=True)
        waiting = 15  # cut and empty ones: their end may still come
        until(
            "all others at rest",
            lambda: at_rest(seeing_root) >= len(crowd) - waiting and len(rest_of(inbox)) == waiting,
        )
        books.check(seeing_root, dropped, settled=False)
        assert running.stop() == 0
    with daemon(seeing_root, settle_s=0.2) as running:  # as if ten minutes had passed
        assert len(rest_of(inbox)) == waiting
        running.kill()
    done = birdwatchd("scan", "--json", root=seeing_root, environment={"BIRDWATCHD_INBOX__UNFINISHED_S": "0"})
    assert json.loads(done.stdout)["waiting"] == 0, done
    books.check(seeing_root, dropped)
    with Store.read_only(seeing_root / "birdwatchd.db") as store:
        rows = store.connection.rows("SELECT state, reason, camera, original_name FROM photos")
    assert len(rows) == 200
    reasons = Counter(row["reason"] for row in rows if row["state"] == State.QUARANTINED)
    assert reasons == {
        "truncated": 8,
        "empty-file": 7,
        "not-a-picture": 2,
        "unsupported": 1,
        "too-small": 1,
        "damaged": 1,
    }
    duplicates = sum(row["state"] == State.DUPLICATE for row in rows)
    assert duplicates == 5
    assert {row["camera"] for row in rows} >= {"orchard", "feeder", None}
    assert sum(row["state"] == State.EMPTY for row in rows) >= 28


def hash_of(path: Path) -> int:
    return int(books.content(path.name.encode())[:8], 16)


def rest_of(inbox: Path) -> list[Path]:
    """What lies there, but for the daemon's own test picture, which comes and goes."""
    return [path for path in inbox.rglob("*") if path.is_file() and path.name != CANARY]


def test_a_real_sigkill_in_the_middle_loses_nothing(seeing_root: Path) -> None:
    photos = [jpeg(width=1600, height=1200, seed=seed) for seed in range(24)]
    dropped = Counter(map(books.content, photos))
    interrupted = 0
    for life in range(6):
        with daemon(seeing_root, settle_s=0) as running:
            for number in range(4 * life, 4 * life + 4):
                part = seeing_root / "inbox" / f"photo-{number}.jpg.part"
                part.write_bytes(photos[number])
                part.rename(part.with_suffix(""))
            before = at_rest(seeing_root)
            until("work in flight", functools.partial(some_work, seeing_root, before))
            running.kill()
        interrupted += under_way(seeing_root) > 0
        books.check(seeing_root, dropped - Counter(map(books.content, photos[4 * life + 4 :])), settled=False)
    assert birdwatchd("scan", root=seeing_root).returncode == 0
    books.check(seeing_root, dropped)
    assert interrupted > 0, "no life was ended in the middle of its work"


def some_work(root: Path, at_rest_before: int) -> bool:
    return under_way(root) > 0 or at_rest(root) > at_rest_before


def under_way(root: Path) -> int:
    with Store.read_only(root / "birdwatchd.db") as store:
        return store.journeys.under_way_count()


def test_ready_is_said_after_recovery_and_the_watchdog_is_fed_by_work(seeing_root: Path) -> None:
    with daemon(seeing_root) as running:
        heard: list[str] = []

        def fed() -> bool:
            heard.extend(running.notices())
            return any("WATCHDOG=1" in one for one in heard)

        until("a watchdog notice", fed)
        assert sum("READY=1" in one for one in heard) == 1
        first = next(index for index, one in enumerate(heard) if "READY=1" in one)
        assert all("WATCHDOG=1" not in one for one in heard[:first])
        assert running.stop() == 0
        assert any("STOPPING=1" in one for one in running.notices())


def test_a_second_daemon_is_refused_in_one_line(seeing_root: Path) -> None:
    with daemon(seeing_root):
        second = birdwatchd("run", root=seeing_root)
    assert second.returncode == 1
    assert "another birdwatchd already works in" in second.stderr
    assert "Traceback" not in second.stderr


def test_commands_ask_a_running_daemon(seeing_root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "named" / "robin"
    tree.mkdir(parents=True)
    for seed in range(3):
        (tree / f"{seed}.jpg").write_bytes(jpeg(seed=100 + seed))
    (tree / "notes.txt").write_text("no photo")
    with daemon(seeing_root) as running:
        (seeing_root / "inbox" / "a.jpg").write_bytes(jpeg(seed=1))
        until("the photo at rest", lambda: at_rest(seeing_root) == 1)
        named = json.loads(birdwatchd("label", "1", "house-finch", "--json", root=seeing_root).stdout)
        assert named["path"].startswith("library/house-finch/a-")
        again = json.loads(
            birdwatchd("label", seeing_root / named["path"], "house-finch", "--json", root=seeing_root).stdout
        )
        assert again["changed"] is False
        brought = json.loads(birdwatchd("import", tree.parent, "--json", root=seeing_root).stdout)
        assert (brought["imported"], brought["known"], len(brought["bad"])) == (3, 0, 1)
        assert running.stop() == 0
    assert sorted(path.name for path in tree.iterdir()) == ["0.jpg", "1.jpg", "2.jpg", "notes.txt"], (
        "the tree is only read"
    )
    with Store.read_only(seeing_root / "birdwatchd.db") as store:
        requests = store.connection.rows("SELECT kind, outcome FROM requests ORDER BY id")
        sightings = store.connection.rows("SELECT species, named_by FROM sightings ORDER BY photo_id")
    assert requests == [{"kind": kind, "outcome": "done"} for kind in ("label", "label", "import")]
    assert sightings == [
        {"species": species, "named_by": "human"} for species in ("house-finch", "robin", "robin", "robin")
    ]


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_without_a_good_spotter_photos_wait_in_the_inbox_and_doctor_says_what_to_do(
    seeing_root: Path, damage: str
) -> None:
    (spotter,) = (seeing_root / ".birdwatchd/models").glob("*.onnx")
    good = spotter.read_bytes()
    spotter.unlink()
    if damage == "truncated":
        spotter.write_bytes(good[:1_000_000])
    elif damage == "flipped":
        spotter.write_bytes(good[:9_000_000] + bytes([good[9_000_000] ^ 0x40]) + good[9_000_001:])
    with daemon(seeing_root) as running:
        (seeing_root / "inbox" / "a.jpg").write_bytes(jpeg(seed=1))

        def status() -> dict[str, Any] | None:
            with Store.read_only(seeing_root / "birdwatchd.db") as store:
                return store.requests.status()

        until(
            "a status that says so",
            lambda: (now := status()) is not None and now["waiting"] == 1 and now["state"] == "degraded",
        )
        examined = birdwatchd("doctor", root=seeing_root)
        assert examined.returncode == 1
        assert "birdwatchd init" in examined.stdout
        assert states(seeing_root) == {}
        assert birdwatchd("init", root=seeing_root).returncode == 0
        until("the photo at rest, without a restart", lambda: at_rest(seeing_root) == 1)
        assert running.stop() == 0
    assert birdwatchd("doctor", root=seeing_root).returncode == 0


def test_no_command_meets_a_photo_in_the_work_of_another(seeing_root: Path) -> None:
    with daemon(seeing_root):
        done = birdwatchd("scan", root=seeing_root)
    assert done.returncode == 1
    assert "another birdwatchd" in done.stderr


def test_the_moved_bird_folder_goes_on(seeing_root: Path, tmp_path: Path) -> None:
    (seeing_root / "inbox" / "x.jpg").write_bytes(jpeg(seed=4))
    assert birdwatchd("scan", root=seeing_root).returncode == 0
    moved = tmp_path / "elsewhere"
    seeing_root.rename(moved)
    assert birdwatchd("doctor", root=moved).returncode == 0
    books.check(moved, Counter([books.content(jpeg(seed=4))]))
