"""Things with odd names, and things that only look like photos: all of the former are filed, none of the latter is opened."""

import json
import os
import re
import socket
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from watchdog.events import FileOpenedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers.inotify import InotifyObserver

from tests import books
from tests.faults.told import ended, kept, rows, states, status
from tests.faults.writers import drop
from tests.pictures import jpeg
from tests.service.running import STUBBED, birdwatchd, daemon, until

HOSTILE: tuple[str | bytes, ...] = (
    "x" * 251 + ".jpg", "y" * 255, "ü" * 125 + ".jpg", "e" + "\u0301" * 60 + ".jpg", "no ending",
    "two..jpg", "dot at the end.", "blank at the end ", " blank first.jpg",
    "-rf", "--help.jpg", "-", "$(reboot).jpg", "`id`.jpg", "a;b|c&d.jpg", "back\\slash.jpg", "star*.jpg", "what?.jpg",
    "new\nline.jpg", "x\nWATCHDOG=1\nMAINPID=1.jpg", "return\r.jpg", "tab\t.jpg", "bell\x07.jpg",
    "\x1b[31mred\x1b[2J.jpg", "del\x7f.jpg", "\x9bcsi.jpg",
    b"caf\xe9.jpg", b"\xff\xfe\xfd.jpg", b"half \xf0\x9f\x90.jpg", b"\xed\xa0\x80 surrogate.jpg",
    "photo\u202egpj.exe", "\u2066isolated\u2069.jpg", "zero\u200bwidth.jpg", "line\u2028separator.jpg", "\ufeffmark.jpg",
    "%n%s%d.jpg", "{0.__class__}.jpg", "'; DROP TABLE photos; --.jpg", '"quoted".jpg',
    "<img src=x onerror=alert(1)>.jpg", "&lt;.jpg", "[bold]rich[blink].jpg",
    unicodedata.normalize("NFC", "amsel é.jpg"), unicodedata.normalize("NFD", "amsel é.jpg"),
    "TWIN.JPG", "twin.jpg", "Twin.Jpg", "CON", "nul.jpg", "a:b.jpg", "🐦.jpg", "シジュウカラ.jpg",
)  # fmt: skip
CAMERAS = ("back\x1b[2Jyard", "<script>", "new\nline", os.fsdecode(b"\xe9"), "\u202eedis")


def name_of(hostile: str | bytes) -> str:
    return os.fsdecode(hostile if isinstance(hostile, bytes) else hostile.encode())


def has_no_power(text: str, *, lines: bool) -> bool:
    """Whether a text can be shown: nothing in it moves a cursor, turns the direction of writing, or is no character at all."""
    return all(
        unicodedata.category(one) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} or (lines and one == "\n") for one in text
    )


def photo(seed: int) -> bytes:
    return jpeg(width=64, height=64, seed=seed)


@pytest.mark.fault("A26")
def test_names_that_are_meant_to_hurt_are_filed_and_shown_without_power(root: Path) -> None:
    inbox = root / "inbox"
    names = [name_of(hostile) for hostile in HOSTILE]
    said: list[str] = []
    with daemon(root, command=STUBBED) as running:
        for seed, name in enumerate(names):
            drop(inbox, name, photo(seed))
        for seed, camera in enumerate(CAMERAS, start=len(names)):
            (inbox / camera).mkdir()
            drop(inbox / camera, "a.jpg", photo(seed))
            (inbox / camera / f"cut {camera}.jpg").write_bytes(photo(seed)[:500])  # these wait, and are told of
        drop(inbox, "..jpg", photo(900))
        count = len(names) + len(CAMERAS)
        until("all filed", ended(root, count))
        until("the cut ones are told of", lambda: str(status(root)["waiting_files"]).count("its end") == len(CAMERAS))

        def heard() -> bool:
            said.extend(running.notices())
            return any("WATCHDOG=1" in one for one in said)

        until("a line for systemd", heard)
        examined = birdwatchd("doctor", root=root)
        assert examined.stdout.count("its end has not arrived yet") == len(CAMERAS)
        assert running.stop() == 0
    (inbox / "..jpg").unlink()
    cut = [photo(seed)[:500] for seed in range(len(names), count)]
    books.check(root, Counter(map(books.content, [*map(photo, range(count)), *cut])), settled=False)
    log = birdwatchd("log", "--limit", "200", root=root).stdout
    as_json = birdwatchd("log", "--limit", "200", "--json", root=root).stdout
    assert all(has_no_power(text, lines=True) for text in (log, as_json, examined.stdout, running.err.read_text()))
    assert len(json.loads(as_json)) == count
    assert all(has_no_power(str(value), lines=False) for one in json.loads(as_json) for value in one.values())
    assert {row["camera"] for row in rows(root)} >= {None, "<script>"}
    allowed = re.compile(r"(READY|WATCHDOG|STOPPING|EXTEND_TIMEOUT_USEC)=\d+|STATUS=[^\n]*")
    assert all(allowed.fullmatch(line) for one in said for line in one.split("\n"))
    for path in books.files_in(root, *books.RESTING):
        assert has_no_power(path, lines=False)
        assert len(Path(path).name.encode()) <= 255


# -- what only looks like a photo


class Opened(FileSystemEventHandler):
    """Writes down every file that anybody opens."""

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def on_any_event(self, event: FileSystemEvent) -> None:
        self.paths.add(str(event.src_path))


@contextmanager
def spying_on(*folders: Path) -> Iterator[Opened]:
    opened, observer = Opened(), InotifyObserver()
    for folder in folders:
        observer.schedule(opened, str(folder), event_filter=[FileOpenedEvent])
    observer.start()
    try:
        yield opened
    finally:
        observer.stop()
        observer.join()


@pytest.mark.fault("A24")
def test_links_pipes_sockets_and_devices_are_never_opened_and_left_alone(root: Path, tmp_path: Path) -> None:
    inbox, outside = root / "inbox", tmp_path / "outside"
    (outside / "album").mkdir(parents=True)
    for path in (outside / "secret.jpg", outside / "album" / "inner.jpg"):
        path.write_bytes(photo(1))
    (inbox / "to a photo.jpg").symlink_to(outside / "secret.jpg")
    (inbox / "to nothing.jpg").symlink_to(outside / "nothing.jpg")
    (inbox / "loop.jpg").symlink_to(inbox / "loop.jpg")
    (inbox / "to shadow.jpg").symlink_to("/etc/shadow")
    (inbox / "to a device.jpg").symlink_to("/dev/zero")
    (inbox / "to an album").symlink_to(outside / "album")
    os.mkfifo(inbox / "pipe.jpg")
    odd = {
        "to a photo.jpg",
        "to nothing.jpg",
        "loop.jpg",
        "to shadow.jpg",
        "to a device.jpg",
        "to an album",
        "pipe.jpg",
        "socket.jpg",
    }
    if os.geteuid() == 0:
        os.mknod(inbox / "zero.jpg", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        odd.add("zero.jpg")
    with (
        socket.socket(socket.AF_UNIX) as server,
        spying_on(inbox, outside, outside / "album") as opened,
        daemon(root, command=STUBBED) as running,
    ):
        server.bind(str(inbox / "socket.jpg"))
        (inbox / "late.jpg").symlink_to(outside / "secret.jpg")  # heard of, not only found
        os.mkfifo(inbox / "late pipe.jpg")
        odd |= {"late.jpg", "late pipe.jpg"}
        (inbox / "folder.jpg").mkdir()
        drop(inbox / "folder.jpg", "a.jpg", photo(2))
        drop(inbox, "b.jpg", photo(3))
        until("the photos among them are filed", ended(root, 2))
        swept = status(root)["updated_at"]
        until("one more sweep", lambda: status(root)["updated_at"] > swept)
        for pipe in ("pipe.jpg", "late pipe.jpg"):
            with pytest.raises(OSError, match="No such device"):  # nobody reads at the other end
                os.open(inbox / pipe, os.O_WRONLY | os.O_NONBLOCK)
        assert running.stop() == 0
    assert {path.name for path in inbox.iterdir()} == odd | {"folder.jpg"}
    touched = {Path(path).name for path in opened.paths}
    assert "b.jpg" in touched, "the spy is awake"
    assert touched & (odd | {"secret.jpg", "inner.jpg"}) == set()
    assert states(root) == {"review": 2}
    assert {row["camera"] for row in rows(root)} == {None, "folder.jpg"}


@pytest.mark.fault("A25", "A29")
def test_a_hard_link_to_a_kept_photo_is_a_duplicate_and_the_kept_one_stays_as_it_is(root: Path) -> None:
    inbox = root / "inbox"
    with daemon(root, command=STUBBED) as running:
        drop(inbox, "a.jpg", photo(1))
        until("filed", ended(root, 1))
        (first,) = (root / "review").rglob("*.jpg")
        before = first.stat()
        (inbox / "again.jpg").hardlink_to(first)
        until("a duplicate", lambda: states(root) == {"review": 1, "duplicate": 1})
        assert running.stop() == 0
    after = first.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode, after.st_nlink) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_mode,
        2,
    )
    assert Counter(kept(root)) == {books.content(photo(1)): 2}
    books.check(root, Counter({books.content(photo(1)): 2}))
