"""Every way in which programs bring files: each photo arrives whole and once, however it was carried and however often that broke."""

import ftplib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import books
from tests.faults.told import at_rest, ended, rows, status
from tests.pictures import jpeg
from tests.service.running import STUBBED, Daemon, daemon, until

pytestmark = pytest.mark.alone

LARGE = jpeg(width=2400, height=1600, quality=97, seed=1)
"""A megabyte and more, so that a transfer can break in its middle."""

BY_EVENTS_ALONE = {"BIRDWATCHD_INBOX__SWEEP_S": "60"}


@pytest.fixture
def running(root: Path) -> Iterator[Daemon]:
    with daemon(root, command=STUBBED) as running:
        yield running


@contextmanager
def ftp_server(folder: Path) -> Iterator[Callable[[], ftplib.FTP]]:
    """A server that writes into `folder`; gives cameras that are logged in."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--write", "--interface", "127.0.0.1", "--port", str(port), "--directory", str(folder)]
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "pyftpdlib", *words, "--username", "camera", "--password", "feeder"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until("the FTP server listens", lambda: _listens(port))
        yield lambda: _camera(port)
    finally:
        server.kill()
        server.wait()


def _camera(port: int) -> ftplib.FTP:
    camera = ftplib.FTP()  # noqa: S321  # what cameras speak
    camera.connect("127.0.0.1", port)
    camera.login("camera", "feeder")
    camera.voidcmd("TYPE I")
    return camera


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def send(camera: ftplib.FTP, command: str, data: bytes, *, rest: int | None = None) -> None:
    """One transfer, after which the camera leaves."""
    with camera, camera.transfercmd(command, rest) as line:
        line.sendall(data)
        line.close()
        camera.voidresp()


def begin(camera: ftplib.FTP, path: Path, data: bytes) -> None:
    """A transfer that breaks: both lines go dead when the data are through."""
    with camera.transfercmd(f"STOR {path.name}") as line:
        line.sendall(data)
    until("the server has written it", lambda: path.exists() and path.stat().st_size == len(data))
    camera.close()


def waits_unfinished(root: Path, name: str) -> bool:
    return f'"{name}", "why": "its end has not arrived yet"' in str(status(root).get("waiting_files"))


@pytest.mark.fault("A06")
def test_what_comes_by_ftp_is_filed_whole_and_once_also_when_the_line_breaks_and_the_camera_resumes(
    seeing_root: Path,
) -> None:
    """With the real eye, as the one example that order is not all."""
    root, inbox = seeing_root, seeing_root / "inbox"
    photos = {name: LARGE + name.encode() for name in ("plain", "renamed", "resumed", "appended", "again")}
    third = len(LARGE) // 3
    with daemon(root) as running, ftp_server(inbox) as camera:
        send(camera(), "STOR plain.jpg", photos["plain"])
        send(camera(), "STOR renamed.jpg.tmp", photos["renamed"])
        with camera() as renaming:
            renaming.rename("renamed.jpg.tmp", "renamed.jpg")
        for name in ("resumed", "appended", "again"):
            begin(camera(), inbox / f"{name}.jpg", photos[name][:third])
        for name in ("resumed", "appended", "again"):
            until("the broken one waits", lambda name=name: waits_unfinished(root, f"{name}.jpg"))  # type: ignore[misc]
        until("the whole ones are filed", ended(root, 2))
        send(camera(), "STOR resumed.jpg", photos["resumed"][third:], rest=third)
        send(camera(), "APPE appended.jpg", photos["appended"][third:])
        send(camera(), "STOR again.jpg", photos["again"])
        until("all filed", ended(root, 5))
        assert running.stop() == 0
    books.check(root, Counter(map(books.content, photos.values())))


@pytest.mark.fault("A06")
def test_a_slow_upload_is_not_touched_before_its_end(root: Path, running: Daemon) -> None:
    with ftp_server(root / "inbox") as camera, camera() as slow:
        line = slow.transfercmd("STOR a.jpg")
        for at in range(0, len(LARGE), len(LARGE) // 8):
            line.sendall(LARGE[at : at + len(LARGE) // 8])
            time.sleep(0.3)  # longer than the quiet time
            assert (root / "inbox" / "a.jpg").exists()
        line.close()
        slow.voidresp()
        until("filed", ended(root, 1))
    assert running.stop() == 0
    books.check(root, Counter([books.content(LARGE)]))


def rsync(*words: str | Path) -> list[str]:
    return ["rsync", "-a", *map(str, words)]


RSYNC_MODES = {
    "default": [],
    "in place": ["--inplace"],
    "delayed": ["--partial-dir=.partial", "--delay-updates", "--bwlimit=300"],
    "other folder": ["--temp-dir={inbox}/.coming"],
    "append": ["--append"],
}


@pytest.mark.fault("A07")
def test_rsync_in_each_of_its_modes_brings_each_photo_once(root: Path, running: Daemon, tmp_path: Path) -> None:
    inbox, each = root / "inbox", 6
    (inbox / ".coming").mkdir()
    photos: list[bytes] = []
    for mode, words in RSYNC_MODES.items():
        folder = tmp_path / mode / "DCIM" / "100CANON"
        folder.mkdir(parents=True)
        for number in range(each):
            photos.append(jpeg(width=900, height=700, seed=len(photos)))
            (folder / f"IMG_{number:04d}.JPG").write_bytes(photos[-1])
        given = [word.format(inbox=inbox) for word in words]
        subprocess.run(rsync(*given, f"{tmp_path / mode}/", f"{inbox}/{mode}/"), check=True)
    until("all filed", ended(root, len(photos)))
    assert running.stop() == 0
    books.check(root, Counter(map(books.content, photos)))
    assert Counter(row["camera"] for row in rows(root)) == dict.fromkeys(RSYNC_MODES, each)
    assert {row["original_name"] for row in rows(root)} == {f"IMG_{number:04d}.JPG" for number in range(each)}, (
        "no temporary name was ever taken"
    )


@pytest.mark.fault("A07")
def test_an_rsync_that_was_interrupted_and_begun_again_brings_the_photo_once(
    root: Path, running: Daemon, tmp_path: Path
) -> None:
    """Cut off by a signal that it can answer and by one that it cannot: what is left may bear the photo's own name."""
    inbox = root / "inbox"
    photos: list[bytes] = []
    for words in ([], ["--partial"], ["--inplace"]):
        for end in (signal.SIGTERM, signal.SIGKILL):
            photos.append(LARGE + bytes([len(photos)]))
            source = tmp_path / f"{len(photos)}.jpg"
            source.write_bytes(photos[-1])
            interrupt(rsync(*words, "--bwlimit=900", source, f"{inbox}/"), inbox, end)
            time.sleep(0.4)  # longer than the quiet time
            assert at_rest(root) == len(photos) - 1, f"half a photo was taken, after {words} and {end.name}"
            subprocess.run(rsync(*words, source, f"{inbox}/"), check=True)
            until("filed", ended(root, len(photos)))
    assert running.stop() == 0
    books.check(root, Counter(map(books.content, photos)))


def interrupt(command: list[str], inbox: Path, end: signal.Signals) -> None:
    """Run a command until a part of the next photo has come; then end all its processes."""
    before = set(inbox.iterdir())
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until("a part has come", lambda: any(path.stat().st_size > 100_000 for path in set(inbox.iterdir()) - before))
    finally:
        os.killpg(process.pid, end)
        process.wait()


@pytest.mark.fault("A08", "A09")
def test_each_ordinary_way_of_putting_a_file_there_is_heard_of_without_a_sweep(root: Path, tmp_path: Path) -> None:
    inbox, here = root / "inbox", tmp_path / "here"
    other_disk = Path("/dev/shm") / f"{tmp_path.name}-{os.getpid()}"
    if not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second disk: needs a tmpfs at /dev/shm")
    here.mkdir()
    other_disk.mkdir()
    ways = {
        "mv": "mv {a} {inbox}/",
        "mv from another disk": "mv {b} {inbox}/",
        "cp": "cp {a} {inbox}/",
        "cp -p, old": "touch -d 1999-12-31 {a} && cp -p {a} {inbox}/",
        "cp -p, of tomorrow": "touch -d 2099-12-31 {a} && cp -p {a} {inbox}/",
        "ln": "ln {a} {inbox}/",
        "ln from outside, then rm": "ln {a} {inbox}/ && rm {a}",
        "install": "install -m 640 {a} {inbox}/",
        "tar": "tar -C {here} -cf - {name} | tar -C {inbox} -xf -",
        "cat": "cat {a} > {inbox}/{name}",
        "dd": "dd if={a} of={inbox}/{name} bs=1k status=none",
        "truncate and fill": "truncate -s $(stat -c %s {a}) {inbox}/{name} && dd if={a} of={inbox}/{name} conv=notrunc status=none",
        "fallocate and fill": "fallocate -l $(stat -c %s {a}) {inbox}/{name} && dd if={a} of={inbox}/{name} conv=notrunc status=none",
        "two steps": "head -c 3000 {a} > {inbox}/{name} && tail -c +3001 {a} >> {inbox}/{name}",
        "hidden, then renamed": "cp {a} {inbox}/.{name} && mv {inbox}/.{name} {inbox}/{name}",
        "moved with its folder": "mkdir {here}/card && cp {a} {here}/card/ && mv {here}/card {inbox}/card",
        "into a folder made for it": "mkdir -p {inbox}/x/y/z && cp {a} {inbox}/x/y/z/",
    }
    photos = [jpeg(width=64, height=64, seed=seed) for seed in range(len(ways))]
    try:
        with daemon(root, command=STUBBED, environment=BY_EVENTS_ALONE) as running:
            slowest_s = 0.0
            for number, (way, command) in enumerate(ways.items()):
                name = f"{number}.jpg"
                (here / name).write_bytes(photos[number])
                (other_disk / name).write_bytes(photos[number])
                words = {"a": here / name, "b": other_disk / name, "here": here, "inbox": inbox, "name": name}
                subprocess.run(["sh", "-c", command.format(**words)], check=True)
                begun = time.monotonic()
                until(f"filed, brought by {way}", ended(root, number + 1))
                slowest_s = max(slowest_s, time.monotonic() - begun)
            assert running.stop() == 0
    finally:
        shutil.rmtree(other_disk)
    assert slowest_s < 5
    books.check(root, Counter(map(books.content, photos)))
