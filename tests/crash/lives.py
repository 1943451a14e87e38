"""One life of the program, seen from outside: what arrives, the folder it lives in, and what must be there at its end."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from birdwatchd.edges.files import HELD_PREFIX, Files
from birdwatchd.edges.store import Store
from tests import books
from tests.crash.nursery import Nursery
from tests.pictures import jpeg, pixels, png, saved
from tests.service.running import STUBBED

Rows = list[dict[str, Any]]

AT_ONCE = {
    "BIRDWATCHD_INBOX__SETTLE_S": "0",
    "BIRDWATCHD_INBOX__UNFINISHED_S": "0",
    "BIRDWATCHD_INBOX__SWEEP_S": "1",
    "BIRDWATCHD_INBOX__RESERVE_MB": "0",  # the disks of tests are small
    "PYTHONDONTWRITEBYTECODE": "1",  # so that every start makes the same system calls
    "PYTHONHASHSEED": "0",
}
"""The environment of a life in which nothing waits: what lies in the inbox is whole."""

PATIENCE_S = 60.0


# -- what arrives


def dark(*, seed: int = 0) -> bytes:
    """A picture without a bird, for the stub eye."""
    return saved(Image.fromarray(pixels(width=64, height=64, seed=seed) // 200), "PNG")


def arrivals() -> dict[str, bytes]:
    """One of each fate: two birds, an empty frame, a twin, a cut file, and a file that is no picture, in sub-folders too."""
    bird = jpeg(width=64, height=64, seed=1)
    return {
        "a.jpg": bird,
        "feeder/b.jpg": jpeg(width=64, height=64, seed=2),
        "dark.png": dark(),
        "twin of a.jpg": bird,
        "cut.png": png(width=64, height=64, seed=3)[:900],
        "notes.txt": b"buy seeds\n",
    }


def few_arrivals() -> dict[str, bytes]:
    """The same fates in fewer files, for lives that are lived very often."""
    all_of_them = arrivals()
    return {name: all_of_them[name] for name in ("a.jpg", "feeder/b.jpg", "twin of a.jpg", "cut.png")}


def drop(root: Path, files: dict[str, bytes] | None = None) -> Counter[str]:
    """Put files into the inbox; returns what the books must hold from now on."""
    files = arrivals() if files is None else files
    for name, data in files.items():
        path = root / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Counter(books.content(data) for data in files.values())


def with_open_copies(root: Path, dropped: Counter[str]) -> Counter[str]:
    """What may be there beside the photos while something is under way.

    A copy between file systems is a `.part` more; and when it is whole, there are it and its hidden original. The note of a photo that
    is just moved into quarantine once more may wait there for it.
    """
    work = books.files_in(root, ".birdwatchd/work")
    copies = Counter(sha256 for path, sha256 in work.items() if path.endswith(".part"))
    for held in (root / "inbox").rglob(f"{HELD_PREFIX}*"):
        number = held.name.removeprefix(HELD_PREFIX).partition("-")[0]
        if sha256 := work.get(f".birdwatchd/work/{number}"):
            copies[sha256] += 1
    for plan in rows(root, "SELECT target FROM journeys WHERE target LIKE 'quarantine/%'"):
        photo, note = root / plan["target"], root / f"{plan['target']}.json"
        if note.exists() and not photo.exists():
            copies[books.content(note.read_bytes())] += 1
    return dropped + copies


# -- where it lives


def new_folder(root: Path) -> Path:
    """A bird folder whose log is set up; copies of it live too."""
    Files(root).create()
    Store.open(root / "birdwatchd.db").close()
    return root


def copied(template: Path, root: Path) -> Path:
    """The same bird folder once more, for one more life."""
    shutil.copytree(template, root)
    return root


def need_root(why: str) -> None:
    """Skip where this user may not mount."""
    if os.geteuid() != 0:
        pytest.skip(f"{why}: mounting needs root (run the tests as root, or in a container with CAP_SYS_ADMIN)")


@contextmanager
def inbox_on_another_disk(root: Path) -> Iterator[None]:
    """A tmpfs mounted over the inbox; taken away at the end, however it went."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m,mode=2775", "birdwatchd-test", str(root / "inbox")],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no other disk for the inbox: mount said {mounted.stderr.strip()}; allow tmpfs mounts here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(root / "inbox")], check=True)


# -- living


@dataclass(frozen=True, slots=True)
class Lived:
    """How a process ended; negative codes are signals."""

    code: int
    said: str
    complained: str


def live(
    root: Path,
    *,
    words: Sequence[str] = ("scan", "--json"),
    environment: dict[str, str] | None = None,
    strace: Sequence[str] = (),
    nursery: Nursery | None = None,
    command: Sequence[str] = STUBBED,
) -> Lived:
    """One whole life of the real program on what lies in the inbox.

    Args:
        strace: a whole strace command that watches it, or ends it.
        nursery: where it is born; None starts a fresh Python.
        command: for a fresh Python.
    """
    out, err = root.with_suffix(".out"), root.with_suffix(".err")
    words = [*words, "--root", str(root)]
    if nursery is not None:
        code = nursery.live(words, AT_ONCE | (environment or {}), out=out, err=err, strace=strace)
    else:
        code = _live_freshly([*strace, *command, *words], environment or {}, out, err)
    return Lived(code, out.read_text(), err.read_text())


def at_once(environment: dict[str, str] | None = None) -> dict[str, str]:
    """A whole environment for a fresh Python."""
    return os.environ | AT_ONCE | (environment or {})


def _live_freshly(command: Sequence[str], environment: dict[str, str], out: Path, err: Path) -> int:
    with (
        out.open("w") as out_file,
        err.open("w") as err_file,
        subprocess.Popen(
            command, stdout=out_file, stderr=err_file, env=at_once(environment), start_new_session=True
        ) as process,
    ):
        try:
            return process.wait(PATIENCE_S)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # the program too, not only what runs it
            raise


def recover(root: Path, **how: Any) -> None:
    """A life that must end well and leave nothing to do: also the next start of a daemon is this code."""
    lived = live(root, **how)
    assert lived.code == 0, f"recovery ended with {lived.code}: {lived.complained}"
    summary = json.loads(lived.said)
    assert (summary["waiting"], summary["problems"]) == (0, []), f"recovery left something: {summary}"


def rows(root: Path, sql: str, *values: object) -> Rows:
    """What the log says, asked by a bystander."""
    with closing(sqlite3.connect(f"file:{root / 'birdwatchd.db'}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql, values)]


# -- the end


Ending = tuple[Counter[str], Counter[tuple[Any, ...]]]


def newest(root: Path) -> int:
    """Number of the latest photo that was taken; those of withdrawn claims are never given again."""
    return int(rows(root, "SELECT coalesce(max(id), 0) AS newest FROM photos")[0]["newest"])


def expected_places(root: Path) -> list[str]:
    """What the arrivals became: kind of folder and content."""
    return sorted(f"{path.split('/')[0]} {sha256}" for path, sha256 in books.files_in(root, *books.RESTING).items())


def ending(root: Path) -> Ending:
    """What must be the same whatever happened on the way: places by content, and what the log says of each photo."""
    told = rows(root, "SELECT state, reason, sha256, camera, bytes, width_px FROM photos")
    return Counter(expected_places(root)), Counter(tuple(row.values()) for row in told)


def litter(root: Path) -> list[str]:
    """Unfinished files that nobody would ever tidy up.

    The thumbnail of a photo that was set aside as `crashed` may be among them: it harms nobody, and nobody looks at it again.
    """
    thumbs = root / ".birdwatchd" / "thumbs"
    known = {row["sha256"] for row in rows(root, "SELECT sha256 FROM photos WHERE reason = 'crashed'")}
    found = [path for path in root.rglob("*.part") if not (path.is_relative_to(thumbs) and path.stem in known)]
    return sorted(path.relative_to(root).as_posix() for path in found)


def judged(root: Path) -> Rows:
    """Every prediction; one that is written is never made again."""
    return rows(root, "SELECT photo_id, label, probability, predicted_at, took_ms FROM predictions ORDER BY photo_id")


def crashed(root: Path) -> int:
    """Photos that were set aside because the program died at them too often."""
    return len(rows(root, "SELECT id FROM photos WHERE reason = 'crashed'"))
