"""The hands on real folders: what they take, what they leave alone, and that nothing is ever overwritten."""

import ctypes
import errno
import fcntl
import itertools
import json
import mmap
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core import shelving
from birdwatchd.core.errors import (
    AlreadyRunning,
    BirdwatchdError,
    DiskFull,
    DiskTrouble,
    NotAllowed,
    PhotoVanished,
    Refused,
    RootGone,
    RootUnsuitable,
    TooLarge,
    TransientError,
)
from birdwatchd.core.intake import is_ignored
from birdwatchd.core.photo import Stamp
from birdwatchd.core.settling import Writers
from birdwatchd.core.sight import Ending
from birdwatchd.edges.files import (
    HELD_PREFIX,
    BadSpot,
    Files,
    TargetTaken,
    file_system_of,
    hash_outside,
    read_outside,
    stamp_of,
    write_whole,
)
from birdwatchd.edges.files import disk as hands
from tests.books import content
from tests.pictures import jpeg

NOBODY = 65534
SHA256 = content(b"a photo")
HOSTILE_NAMES = [
    b"a" * 255,
    "鳥".encode() * 85,
    b"new\nline.jpg",
    b"\x1b[31mred.jpg",
    b"caf\xe9.jpg",
    b"\xff\xfe",
    b"-rf",
    "gpj\u202e.exe".encode(),
    b"%n%s'\"<img onerror>&.jpg",
    b"back\\slash",
    b" ",
    b"..jpg",
]


@pytest.fixture
def files(root: Path) -> Files:
    files = Files(root)
    files.check()
    return files


@pytest.fixture
def reachable(tmp_path: Path) -> Iterator[Path]:
    """A folder that other users can reach, too."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than `tmp_path`, really."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at hand: /dev/shm is missing or the only one")
    place = Path(tempfile.mkdtemp(dir=memory))
    yield place
    shutil.rmtree(place)


@contextmanager
def as_an_ordinary_user(*places: Path) -> Iterator[None]:
    """Root may do anything; so be somebody else meanwhile, who owns these places."""
    if os.geteuid() != 0:
        yield
        return
    for place in places:
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


class Spread(Files):
    """A bird folder one of whose folders is mounted from another disk, without asking the kernel to mount anything."""

    def __init__(self, root: Path, folder: str, place: Path) -> None:
        super().__init__(root)
        self._elsewhere = {folder: place}

    def path(self, relative: str) -> Path:
        return self._elsewhere.get(relative) or super().path(relative)


def drop(files: Files, name: str = "a.jpg", data: bytes = b"a photo") -> Stamp:
    path = files.path("inbox") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    stamp = files.inbox_stamp(name)
    assert stamp is not None
    return stamp


def put(files: Files, relative: str, data: bytes = b"a photo") -> Path:
    path = files.path(relative)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def swept(files: Files) -> list[str]:
    return sorted(path for path, _ in files.inbox_files(is_ignored))


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, with the bytes of files."""
    return {
        os.fsencode(path.relative_to(folder)).decode("latin-1"): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def open_files() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _none_ignored(_name: str, *, folder: bool = False) -> bool:
    return False


def refuse(code: int) -> OSError:
    return OSError(code, os.strerror(code))


# -- the folder itself


def test_a_new_bird_folder_has_all_its_folders_open_to_the_group_and_can_be_made_again(tmp_path: Path) -> None:
    files = Files(tmp_path / "deep" / "birdwatch")
    assert files.create()
    marker = files.path(shelving.MARKER).read_bytes()
    assert json.loads(marker)["bird_folder"]
    assert not files.create()
    assert files.path(shelving.MARKER).read_bytes() == marker
    files.check()
    for folder in shelving.FOLDERS:
        assert files.path(folder).is_dir()
    assert stat.S_IMODE(files.path("inbox").stat().st_mode) == 0o2775
    assert files.free_bytes() > 0


def test_a_folder_that_is_missing_is_made_again_open_to_the_group(root: Path) -> None:
    (root / "inbox").rmdir()
    Files(root).check()
    assert stat.S_IMODE((root / "inbox").stat().st_mode) == 0o2775


def test_no_root_and_a_root_that_is_no_bird_folder_are_refused_and_left_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(RootUnsuitable, match="there is no bird folder at") as refused:
        Files(tmp_path / "nothing").check()
    assert "mount" in refused.value.hint
    with pytest.raises(RootUnsuitable, match="this is not a bird folder"):
        Files(tmp_path).check()
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be_is_refused(root: Path) -> None:
    (root / "empty").rmdir()
    (root / "empty").write_bytes(b"")
    with pytest.raises(RootUnsuitable, match="empty"):
        Files(root).check()


def test_a_symbolic_link_in_place_of_a_folder_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "library").rename(tmp_path / "elsewhere")
    (root / "library").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RootUnsuitable, match="symbolic link"):
        Files(root).check()


def test_a_library_on_another_disk_is_refused_but_an_inbox_there_is_not(root: Path, other_disk: Path) -> None:
    with pytest.raises(RootUnsuitable, match="another file system"):
        Spread(root, "library", other_disk).check()
    Spread(root, "inbox", other_disk).check()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_root_on_a_network_is_refused_and_an_inbox_there_is_known(root: Path, kind: str) -> None:
    def mounted(at: Path) -> Callable[[], str]:
        return lambda: f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / {at} rw shared:3 - {kind} server:/birds rw\n"

    with pytest.raises(RootUnsuitable, match=f"network file system .{kind}."):
        Files(root, mount_table=mounted(root.parent)).check()
    files = Files(root, mount_table=mounted(root / "inbox"))
    files.check()
    assert files.inbox_is_remote
    drop(files)
    looked = files.look("a.jpg")
    assert looked is not None
    assert looked.writers is Writers.REMOTE


@pytest.mark.parametrize("folder", ["library", "inbox", ".birdwatchd/work"])
def test_a_folder_that_may_not_be_written_is_refused(reachable: Path, folder: str) -> None:
    files = Files(reachable / "birdwatch")
    files.create()
    files.path(folder).chmod(0o500)
    with as_an_ordinary_user(reachable), pytest.raises(RootUnsuitable, match=f"{folder} is not writable"):
        files.check()


def test_a_root_that_may_not_be_entered_is_refused_not_a_crash(reachable: Path) -> None:
    files = Files(reachable / "closed" / "birdwatch")
    files.create()
    (reachable / "closed").chmod(0o000)
    with as_an_ordinary_user(reachable):
        for ask in (files.check, files.create, files.lock):
            with pytest.raises(RootUnsuitable, match="Permission denied"):
                ask()
        with pytest.raises(DiskTrouble):
            files.exists("library/a.jpg")
    (reachable / "closed").chmod(0o700)


# -- which file system


def escaped(path: str) -> str:
    """As /proc/self/mountinfo spells it."""
    return "".join(f"\\{ord(char):03o}" if char in " \t\n\\" else char for char in path)


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name not in {".", ".."}
)


@given(NAMES)
def test_a_mount_point_of_any_name_is_recognised(name: str) -> None:
    table = f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / /mnt/{escaped(name)} rw,relatime shared:3 master:1 - nfs4 a:/b rw"
    assert file_system_of(f"/mnt/{name}", table) == "nfs4"
    assert file_system_of(f"/mnt/{name}/birdwatch", table) == "nfs4"
    assert file_system_of(f"/mnt/{name}2", table) == "ext4"


def test_the_innermost_and_the_latest_mount_counts() -> None:
    table = "\n".join(
        [
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
            "2 1 8:2 / /data rw - xfs /dev/sdb1 rw",
            "3 2 0:9 / /data/inbox rw - cifs //nas/cam rw",
            "4 1 8:3 / /data rw - btrfs /dev/sdc1 rw",
            "",
            "a line that is something else",
        ]
    )
    assert file_system_of("/data/inbox/cam1", table) == "cifs"
    assert file_system_of("/data/library", table) == "btrfs"
    assert file_system_of("/database", table) == "ext4"
    assert file_system_of("/", "") == ""


# -- the lock


def test_only_one_may_hold_the_lock_and_it_is_free_again_after(files: Files) -> None:
    with files.lock():
        with pytest.raises(AlreadyRunning):
            files.lock()
        with pytest.raises(AlreadyRunning):
            Files(files.root).lock()
    lock = files.lock()
    lock.release()
    lock.release()
    files.lock().release()


def test_another_process_holds_it_until_its_end(files: Files) -> None:
    hold = "import sys; from pathlib import Path; from birdwatchd.edges.files import Files;"
    hold += "lock = Files(Path(sys.argv[1])).lock(); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(files.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning):
            files.lock()
        other.kill()
    files.lock().release()


def test_a_refused_lock_leaves_no_file_open(files: Files) -> None:
    with files.lock():
        before = open_files()
        with pytest.raises(AlreadyRunning):
            files.lock()
        assert open_files() == before


def test_a_file_system_without_locks_is_said_to_be_unsuitable(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise refuse(errno.ENOLCK)

    monkeypatch.setattr(fcntl, "flock", no_locks)
    before = open_files()
    with pytest.raises(RootUnsuitable):
        files.lock()
    assert open_files() == before


# -- is it still there


def test_the_folder_that_was_checked_is_still_there(files: Files) -> None:
    files.check_still_there()


def test_a_marker_that_is_gone_or_another_one_is_noticed(files: Files) -> None:
    marker = files.path(shelving.MARKER)
    kept = marker.with_name("kept")
    marker.rename(kept)
    with pytest.raises(RootGone, match="is gone"):
        files.check_still_there()
    marker.write_bytes(kept.read_bytes())
    with pytest.raises(RootGone, match="another one"):
        files.check_still_there()


def test_a_root_that_was_renamed_is_noticed(files: Files) -> None:
    files.root.rename(files.root.with_name("moved"))
    with pytest.raises(RootGone):
        files.check_still_there()


def test_an_empty_folder_in_place_of_an_unmounted_disk_is_noticed(files: Files) -> None:
    files.root.rename(files.root.with_name("unmounted"))
    files.root.mkdir()
    with pytest.raises(RootGone):
        files.check_still_there()


@pytest.mark.fault("A21")
@pytest.mark.parametrize("bare", [False, True], ids=["renamed", "unmounted"])
def test_a_bird_folder_that_is_away_does_not_begin_to_grow_anew_in_its_place(files: Files, *, bare: bool) -> None:
    """Who renames or mounts it back would find something in its place already, and photos would be put where nobody looks."""
    put(files, ".birdwatchd/work/1")
    files.root.rename(files.root.with_name("away"))
    if bare:
        files.root.mkdir()
    writes: list[Callable[[], object]] = [
        lambda: files.write_thumbnail(SHA256, b"a picture"),
        lambda: files.place(".birdwatchd/work/1", "library/robin/a.jpg"),
        lambda: files.write_sidecar("quarantine/truncated/a.jpg", {}),
        lambda: files.give_back(".birdwatchd/work/1", "orchard/a.jpg"),
    ]
    for write in writes:
        with pytest.raises(TransientError):
            write()
        assert not list(files.root.glob("**/*"))
        assert files.root.exists() is bare
    files.root.with_name("away").rename(files.root)
    files.check_still_there()
    files.place(".birdwatchd/work/1", "library/robin/a.jpg")
    files.write_thumbnail(SHA256, b"a picture")


def test_an_inbox_that_was_deleted_is_noticed_and_one_made_anew_is_taken(files: Files) -> None:
    inbox = files.path("inbox")
    inbox.rename(inbox.with_name("old inbox"))
    with pytest.raises(RootGone):
        files.check_still_there()
    inbox.mkdir()
    files.check_still_there()
    files.check_still_there()


def test_a_log_that_is_gone_or_another_one_is_noticed(files: Files) -> None:
    """SQLite would go on writing into the file without a name, and every decision would be gone at the next start."""
    files.check_still_there()  # before there is one
    log = put(files, shelving.DATABASE)
    files.check_still_there()
    files.check_still_there()
    log.rename(log.with_name("kept"))
    with pytest.raises(RootGone, match="is gone"):
        files.check_still_there()
    log.write_bytes(b"an older copy")
    with pytest.raises(RootGone, match="another one"):
        files.check_still_there()
    log.with_name("kept").replace(log)
    files.check_still_there()


def test_an_inbox_that_became_a_symbolic_link_or_a_file_is_refused(files: Files, tmp_path: Path) -> None:
    inbox = files.path("inbox")
    inbox.rename(tmp_path / "elsewhere")
    inbox.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RootGone):
        files.check_still_there()
    inbox.unlink()
    inbox.write_bytes(b"")
    with pytest.raises(RootGone):
        files.check_still_there()


def test_a_network_mount_that_comes_late_over_the_inbox_is_known_as_one(root: Path) -> None:
    table = ["1 0 8:1 / / rw - ext4 /dev/sda1 rw"]
    files = Files(root, mount_table=lambda: "\n".join(table))
    files.check()
    assert not files.inbox_is_remote
    table.append(f"2 1 0:9 / {root}/inbox rw - cifs //nas/cam rw")
    (root / "inbox").rename(root / "under the mount")
    (root / "inbox").mkdir()
    files.check_still_there()
    assert files.inbox_is_remote


# -- the sweep


def test_the_sweep_finds_every_photo_in_every_folder_with_its_stamp(files: Files) -> None:
    dropped = {name: drop(files, name, name.encode()) for name in ("a.jpg", "feeder/b.jpg", "feeder/2026/05/c.jpg")}
    assert dict(files.inbox_files(is_ignored)) == dropped


def test_the_sweep_passes_over_what_is_ignored(files: Files) -> None:
    for name in (".hidden.jpg", "a.jpg.part", "@eaDir/thumb.jpg", ".stversions/a.jpg", "kept.jpg"):
        drop(files, name)
    assert swept(files) == ["kept.jpg"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_of_every_kind_are_found_taken_and_given_back(files: Files, name: bytes) -> None:
    text = os.fsdecode(name)
    stamp = drop(files, text)
    assert dict(files.inbox_files(_none_ignored)) == {text: stamp}
    assert files.look(text) is not None
    files.claim(text, stamp, f"{shelving.WORK}/1")
    assert tree(files.path("inbox")) == {}
    assert files.give_back(f"{shelving.WORK}/1", text) == text
    assert tree(files.path("inbox")) == {name.decode("latin-1"): b"a photo"}


def _link_to_outside(path: Path) -> None:
    outside = path.parents[2] / "outside.jpg"
    outside.write_bytes(b"not ours")
    path.symlink_to(outside)


def _device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_link_to_outside, id="link to a photo outside"),
        pytest.param(lambda path: path.symlink_to("nowhere"), id="dangling link"),
        pytest.param(lambda path: path.symlink_to(path.name), id="link to itself"),
        pytest.param(lambda path: path.symlink_to(".."), id="link to the folder above"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="link to a device"),
        pytest.param(lambda path: os.mkfifo(path), id="pipe"),
        pytest.param(lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), id="socket"),
        pytest.param(_device, id="device"),
        pytest.param(lambda path: path.mkdir(), id="folder that is called like a photo"),
    ],
)
def test_what_is_no_regular_file_is_never_listed_looked_into_or_taken(
    files: Files, make: Callable[[Path], None]
) -> None:
    path = files.path("inbox") / "trap.jpg"
    make(path)
    drop(files, "photo.jpg")
    before = path.lstat()
    assert swept(files) == ["photo.jpg"]
    assert files.inbox_stamp("trap.jpg") is None
    with pytest.raises(PhotoVanished):
        files.look("trap.jpg")
    with pytest.raises(PhotoVanished):
        files.claim("trap.jpg", Stamp(1, 2, 3, 4, 5), f"{shelving.WORK}/1")
    assert path.lstat().st_ino == before.st_ino
    assert files.work_files() == []


def test_a_folder_that_may_not_be_read_does_not_stop_the_others(reachable: Path) -> None:
    files = Files(reachable / "birdwatch")
    files.create()
    for name in ("a/1.jpg", "closed/2.jpg", "z/3.jpg", "4.jpg"):
        drop(files, name)
    with as_an_ordinary_user(reachable):
        (files.path("inbox") / "closed").chmod(0o000)
        assert swept(files) == ["4.jpg", "a/1.jpg", "z/3.jpg"]
        files.path("inbox").chmod(0o000)
        with pytest.raises(DiskTrouble, match="cannot list the inbox"):
            swept(files)


def test_a_photo_that_vanishes_during_the_sweep_is_left_out(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.jpg", "b.jpg", "cam/c.jpg"):
        drop(files, name)

    def disappearing(name: str, *, folder: bool = False) -> bool:
        shutil.rmtree(files.path("inbox") / "cam", ignore_errors=True)
        (files.path("inbox") / "b.jpg").unlink(missing_ok=True)
        return False

    assert {path for path, _ in files.inbox_files(disappearing)} <= {"a.jpg", "b.jpg"}
    assert swept(files) == ["a.jpg"]


# -- the close look


def writers(files: Files, name: str = "a.jpg") -> Writers:
    looked = files.look(name)
    assert looked is not None
    return looked.writers


def test_a_look_tells_stamp_end_and_writers(files: Files) -> None:
    photo = jpeg()
    stamp = drop(files, "whole.jpg", photo)
    looked = files.look("whole.jpg")
    assert looked is not None
    assert (looked.stamp, looked.ending, looked.writers) == (stamp, Ending.COMPLETE, Writers.NONE)
    drop(files, "cut.jpg", photo[:-2])
    cut = files.look("cut.jpg")
    assert cut is not None
    assert cut.ending is Ending.INCOMPLETE
    drop(files, "empty.jpg", b"")
    assert files.look("empty.jpg") is not None


def test_a_file_open_for_writing_is_seen_to_be_until_it_is_closed(files: Files) -> None:
    drop(files)
    with (files.path("inbox") / "a.jpg").open("r+b"):
        assert writers(files) is Writers.SOME
    assert writers(files) is Writers.NONE


def test_a_reader_is_no_writer(files: Files) -> None:
    drop(files)
    with (files.path("inbox") / "a.jpg").open("rb"):
        assert writers(files) is Writers.NONE


def test_a_file_mapped_for_writing_is_seen_to_be_although_it_is_closed(files: Files) -> None:
    drop(files)
    with (files.path("inbox") / "a.jpg").open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    with mapped:
        assert writers(files) is Writers.SOME
    assert writers(files) is Writers.NONE


def test_a_writer_that_comes_during_the_look_does_not_end_the_process(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel signals whoever holds a lease that somebody wants to break; SIGIO would kill."""
    drop(files)
    real, refused, killed = fcntl.fcntl, [], []

    def watched(handle: int, command: int, argument: Any = 0) -> Any:
        answer = real(handle, command, argument)
        if (command, argument) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):
            with pytest.raises(BlockingIOError):
                os.open(files.path("inbox") / "a.jpg", os.O_WRONLY | os.O_NONBLOCK)
            refused.append(handle)
        return answer

    monkeypatch.setattr(fcntl, "fcntl", watched)
    before = signal.signal(signal.SIGIO, lambda number, _frame: killed.append(number))
    try:
        assert writers(files) is Writers.NONE
    finally:
        signal.signal(signal.SIGIO, before)
    assert len(refused) == 1
    assert killed == []


def test_of_another_owners_file_the_kernel_does_not_tell(reachable: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make another owner's file")
    files = Files(reachable / "birdwatch")
    files.create()
    with as_an_ordinary_user(reachable):
        os.setresuid(0, 0, 0)
        drop(files, "roots.jpg")
        os.setresuid(NOBODY, NOBODY, 0)
        assert writers(files, "roots.jpg") is Writers.UNTOLD


def test_a_file_that_may_not_be_read_is_no_crash(reachable: Path) -> None:
    files = Files(reachable / "birdwatch")
    files.create()
    drop(files)
    with as_an_ordinary_user(reachable):
        (files.path("inbox") / "a.jpg").chmod(0o000)
        assert files.look("a.jpg") is None


def test_a_file_that_is_gone_has_no_stamp_and_no_look(files: Files) -> None:
    assert files.inbox_stamp("gone.jpg") is None
    with pytest.raises(PhotoVanished):
        files.look("gone.jpg")


# -- the claim


def test_a_claim_moves_the_very_file_and_nothing_else(files: Files) -> None:
    stamp = drop(files, "feeder/a.jpg")
    files.claim("feeder/a.jpg", stamp, f"{shelving.WORK}/7")
    assert tree(files.path("inbox")) == {"feeder": None}
    taken = files.path(f"{shelving.WORK}/7")
    assert (taken.stat().st_ino, taken.read_bytes()) == (stamp.inode, b"a photo")


@pytest.mark.parametrize("field", range(5))
def test_a_file_that_changed_since_it_settled_is_not_taken(files: Files, field: int) -> None:
    stamp = drop(files)
    seen = [stamp.device, stamp.inode, stamp.size_bytes, stamp.mtime_ns, stamp.ctime_ns]
    seen[field] += 1
    with pytest.raises(PhotoVanished, match="changed"):
        files.claim("a.jpg", Stamp(*seen), f"{shelving.WORK}/1")
    assert tree(files.path("inbox")) == {"a.jpg": b"a photo"}
    assert files.inbox_stamp("a.jpg") == stamp
    assert files.work_files() == []


def test_a_file_that_is_gone_is_not_taken(files: Files) -> None:
    stamp = drop(files)
    (files.path("inbox") / "a.jpg").unlink()
    with pytest.raises(PhotoVanished):
        files.claim("a.jpg", stamp, f"{shelving.WORK}/1")


def test_a_name_taken_in_the_work_folder_leaves_both_files_as_they_are(files: Files) -> None:
    stamp = drop(files)
    put(files, f"{shelving.WORK}/1", b"another photo")
    with pytest.raises(DiskTrouble):
        files.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert files.path(f"{shelving.WORK}/1").read_bytes() == b"another photo"
    assert files.inbox_stamp("a.jpg") == stamp


def test_a_file_replaced_at_the_last_moment_goes_back(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = drop(files)
    rename = hands.rename_noreplace

    def replaced_first(source: Path, target: Path) -> None:
        if source.name == "a.jpg":
            newer = source.with_name(".newer")
            newer.write_bytes(b"a newer photo")
            newer.replace(source)
        rename(source, target)

    monkeypatch.setattr(hands, "rename_noreplace", replaced_first)
    with pytest.raises(PhotoVanished, match="changed while it was taken"):
        files.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert tree(files.path("inbox")) == {"a.jpg": b"a newer photo"}
    assert files.work_files() == []


def test_a_pipe_swapped_in_at_the_last_moment_is_not_waited_for(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = drop(files)
    rename = hands.rename_noreplace

    def swapped_first(source: Path, target: Path) -> None:
        if source.name == "a.jpg":
            source.unlink()
            os.mkfifo(source)
        rename(source, target)

    monkeypatch.setattr(hands, "rename_noreplace", swapped_first)
    with pytest.raises(PhotoVanished):
        files.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert files.work_files() == []


class Disk:
    """os.fsync of a disk that cannot write some files, and whose kernel forgets that it could not: it fails once, then says yes."""

    def __init__(self) -> None:
        self.sync = os.fsync
        self.bad: Callable[[Path], bool] = lambda _: False
        self.lied: list[str] = []
        self.failed: dict[int, int] = {}
        """By inode, with a handle that keeps the number from being given to another file."""

    def fsync(self, handle: int) -> None:
        path, inode = Path(f"/proc/self/fd/{handle}").readlink(), os.fstat(handle).st_ino
        if inode in self.failed:
            self.lied.append(path.name)
        elif self.bad(path):
            self.failed[inode] = os.dup(handle)
            raise refuse(errno.EIO)
        self.sync(handle)


@pytest.fixture
def bad_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    yield disk
    for handle in disk.failed.values():
        os.close(handle)


def test_a_photo_whose_fsync_failed_is_copied_and_never_asked_again(files: Files, bad_disk: Disk) -> None:
    stamp = drop(files)
    bad_disk.bad = lambda path: path.name == "1"
    files.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    files.make_durable(f"{shelving.WORK}/1")
    taken = files.path(f"{shelving.WORK}/1")
    assert taken.read_bytes() == b"a photo"
    assert taken.stat().st_ino != stamp.inode, "the bytes lie in pages that were never written"
    assert files.is_as_claimed(f"{shelving.WORK}/1", stamp)
    assert files.work_files() == [f"{shelving.WORK}/1"]
    assert (swept(files), bad_disk.lied) == ([], [])


def test_a_photo_that_cannot_even_be_copied_waits_and_is_copied_the_next_time(files: Files, bad_disk: Disk) -> None:
    taken = put(files, f"{shelving.WORK}/1")
    inode = taken.stat().st_ino
    files.make_durable(f"{shelving.WORK}/1")
    assert taken.stat().st_ino == inode
    bad_disk.bad = lambda path: path.parent.name == "work"
    with pytest.raises(DiskTrouble):
        files.make_durable(f"{shelving.WORK}/1")
    assert (taken.read_bytes(), files.work_files()) == (b"a photo", [f"{shelving.WORK}/1"])
    bad_disk.bad = lambda _: False
    files.make_durable(f"{shelving.WORK}/1")
    assert (taken.read_bytes(), taken.stat().st_ino == inode, bad_disk.lied) == (b"a photo", False, [])


def test_a_file_that_could_not_be_opened_is_not_taken_for_one_that_was_not_written(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = put(files, f"{shelving.WORK}/1")
    inode = taken.stat().st_ino
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *_, **__: (_ for _ in ()).throw(refuse(errno.EMFILE)))
        with pytest.raises(DiskTrouble):
            files.make_durable(f"{shelving.WORK}/1")
    files.make_durable(f"{shelving.WORK}/1")
    assert taken.stat().st_ino == inode


def test_a_work_folder_that_somebody_tidied_away_is_made_again(files: Files) -> None:
    stamp = drop(files)
    files.path(shelving.WORK).rmdir()
    files.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert files.path(f"{shelving.WORK}/1").read_bytes() == b"a photo"
    assert not files.path(shelving.WORK).stat().st_mode & stat.S_ISGID, "what is private is not opened to the group"


def test_a_photo_whose_folder_does_not_let_go_of_it_is_not_taken(reachable: Path) -> None:
    files = Files(reachable / "birdwatch")
    files.create()
    drop(files, "card/a.jpg")
    with as_an_ordinary_user(reachable):
        (files.path("inbox") / "card").chmod(0o500)
        stamp = files.inbox_stamp("card/a.jpg")
        assert stamp is not None
        with pytest.raises(NotAllowed, match="may not be taken"):
            files.claim("card/a.jpg", stamp, f"{shelving.WORK}/1")
        assert files.inbox_stamp("card/a.jpg") == stamp
        assert files.work_files() == []
        (files.path("inbox") / "card").chmod(0o700)


# -- an inbox on another disk


@pytest.fixture
def far(root: Path, other_disk: Path) -> Spread:
    files = Spread(root, "inbox", other_disk)
    files.check()
    return files


def test_from_another_disk_it_is_copied_and_then_removed_there(far: Spread) -> None:
    data = os.urandom(hands.COPY_CHUNK_BYTES + 17)
    stamp = drop(far, "a.jpg", data)
    far.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert tree(far.path("inbox")) == {}
    assert tree(far.path(shelving.WORK)) == {"1": data}


@pytest.mark.parametrize("way", ["written", "renamed"])
def test_what_comes_under_the_same_name_during_the_copy_is_another_photo(
    far: Spread, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    stamp = drop(far)
    fsync = os.fsync
    inbox = far.path("inbox")

    def while_the_next_arrives(handle: int) -> None:
        if way == "written":
            (inbox / "a.jpg").write_bytes(b"A PHOTO")
        else:
            drop(far, ".newer", b"A PHOTO")
            (inbox / ".newer").replace(inbox / "a.jpg")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", while_the_next_arrives)
    far.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert tree(inbox) == {"a.jpg": b"A PHOTO"}
    assert far.path(f"{shelving.WORK}/1").read_bytes() == b"a photo"


def test_an_original_that_is_written_to_during_the_copy_goes_back(far: Spread, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp, original, fsync = drop(far), far.path("inbox") / "a.jpg", os.fsync

    def while_its_writer_goes_on(handle: int) -> None:
        for held in original.parent.glob(f"{HELD_PREFIX}*"):
            held.write_bytes(b"a longer photo")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", while_its_writer_goes_on)
    with pytest.raises(PhotoVanished, match="changed while it was copied"):
        far.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert tree(original.parent) == {"a.jpg": b"a longer photo"}
    assert tree(far.path(shelving.WORK)) == {}


def test_an_original_that_goes_away_during_the_copy_is_told_and_leaves_nothing(
    far: Spread, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp, inbox = drop(far), far.path("inbox")

    def card_pulled(_: int) -> None:
        for held in inbox.glob(f"{HELD_PREFIX}*"):
            held.unlink()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", card_pulled)
    with pytest.raises(DiskTrouble):
        far.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert tree(inbox) == {}
    assert tree(far.path(shelving.WORK)) == {}


def test_an_original_that_its_disk_does_not_give_stays_and_only_it_is_refused(
    far: Spread, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = drop(far)
    monkeypatch.setattr(hands, "_next_chunk", _scratched)
    with pytest.raises(NotAllowed, match="cannot be read: Input/output error"):
        far.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert (tree(far.path("inbox")), far.work_files()) == ({"a.jpg": b"a photo"}, [])


def _scratched(_: object) -> bytes:
    raise hands.NotRead(errno.EIO, os.strerror(errno.EIO))


def test_after_a_crash_in_a_copy_the_original_goes_or_comes_back_by_what_the_copy_is(far: Spread) -> None:
    held = {n: far.path("inbox") / f"{HELD_PREFIX}{n}-{n}.jpg" for n in range(1, 5)}
    for n, copy in ((1, b"a photo"), (2, b"another"), (3, None)):
        held[n].write_bytes(b"a photo")
        if copy is not None:
            put(far, f"{shelving.WORK}/{n}", copy)
        far.release(f"{n}.jpg", f"{shelving.WORK}/{n}")
    assert swept(far) == ["2.jpg", "3.jpg"]
    assert not held[1].exists()
    far.release("", f"{shelving.WORK}/9")


def test_an_original_that_cannot_be_read_keeps_its_hidden_name_and_holds_nothing_up(
    far: Spread, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = far.path("inbox") / f"{HELD_PREFIX}1-a.jpg"
    held.write_bytes(b"a photo")
    put(far, f"{shelving.WORK}/1")
    hash_of = hands.hash_of

    def scratched(path: Path) -> str:
        if path == held:
            raise refuse(errno.EIO)
        return hash_of(path)

    monkeypatch.setattr(hands, "hash_of", scratched)
    far.release("a.jpg", f"{shelving.WORK}/1")
    assert held.exists()
    assert far.work_files() == [f"{shelving.WORK}/1"]


def test_an_original_whose_removal_fails_but_happened_is_not_lost(far: Spread, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = drop(far)
    unlink = Path.unlink

    def removed_but_reported_as_failed(path: Path, *, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        if HELD_PREFIX in path.name:
            raise refuse(errno.EIO)

    monkeypatch.setattr(Path, "unlink", removed_but_reported_as_failed)
    far.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert far.path(f"{shelving.WORK}/1").read_bytes() == b"a photo"


def test_a_writer_that_opens_it_in_the_last_moment_keeps_its_file(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = drop(files)
    with (files.path("inbox") / "a.jpg").open("ab"), pytest.raises(PhotoVanished):
        files.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert (swept(files), files.work_files()) == (["a.jpg"], [])


def test_a_stray_original_goes_back_or_goes_away(files: Files) -> None:
    for name in ("stays", "goes"):
        (files.path("inbox") / f"{HELD_PREFIX}7-{name}.jpg").write_bytes(b"a photo")
    found: list[str] = []
    assert list(files.inbox_files(is_ignored, on_held=found.append)) == []
    assert len(found) == 2
    for path in found:
        files.release_stray(path, remove="goes" in path)
    assert swept(files) == ["stays.jpg"]


def test_nothing_behind_a_linked_folder_is_ever_seen_or_taken(files: Files, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.jpg").write_bytes(b"a photo")
    stamp = stamp_of((tmp_path / "outside" / "a.jpg").lstat())
    (files.path("inbox") / "pics").symlink_to(tmp_path / "outside")
    assert files.inbox_stamp("pics/a.jpg") is None
    with pytest.raises(PhotoVanished):
        files.look("pics/a.jpg")
    with pytest.raises(PhotoVanished):
        files.claim("pics/a.jpg", stamp, f"{shelving.WORK}/1")
    assert (tmp_path / "outside" / "a.jpg").read_bytes() == b"a photo"


def _no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise refuse(errno.ENOSPC)

    monkeypatch.setattr(os, "fsync", full)


def test_a_full_disk_leaves_no_half_copy_in_the_work_folder(far: Spread, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = drop(far)
    _no_room(monkeypatch)
    with pytest.raises(DiskFull):
        far.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert far.work_files() == []
    assert tree(far.path("inbox")) == {"a.jpg": b"a photo"}


def test_a_half_copy_of_an_earlier_attempt_is_written_over(far: Spread) -> None:
    stamp = drop(far)
    put(far, f"{shelving.WORK}/1.part", b"half a ph")
    far.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    assert tree(far.path(shelving.WORK)) == {"1": b"a photo"}


def test_an_original_that_may_not_be_removed_leaves_no_copy_behind(reachable: Path, other_disk: Path) -> None:
    """Else each attempt would leave another copy, until the disk is full."""
    if reachable.stat().st_dev == other_disk.stat().st_dev:
        pytest.skip("no second file system at hand that another user can reach")
    files = Spread(reachable / "birdwatch", "inbox", other_disk)
    files.create()
    stamp = drop(files, "card/a.jpg")
    with as_an_ordinary_user(reachable, other_disk):
        (other_disk / "card").chmod(0o500)
        stamp = files.inbox_stamp("card/a.jpg") or stamp
        with pytest.raises(NotAllowed):
            files.claim("card/a.jpg", stamp, f"{shelving.WORK}/1")
        assert files.work_files() == []
        assert files.inbox_stamp("card/a.jpg") == stamp
        (other_disk / "card").chmod(0o700)


def test_when_every_name_in_the_inbox_is_taken_a_photo_stays_where_it_is(files: Files) -> None:
    for number in range(1, 1000):
        drop(files, "a.jpg" if number == 1 else f"recovered-{number}-a.jpg", b"another")
    path = put(files, f"{shelving.WORK}/1", b"a photo")
    with pytest.raises(DiskTrouble, match="no free name"):
        files.give_back(f"{shelving.WORK}/1", "a.jpg")
    assert path.read_bytes() == b"a photo"


@pytest.mark.parametrize("signals", [1, 2])
def test_a_rename_that_a_signal_interrupts_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: int
) -> None:
    (tmp_path / "a").write_bytes(b"a photo")
    real, calls = hands._libc.renameat2, itertools.count(1)

    def interrupted(*arguments: Any) -> int:
        if next(calls) <= signals:
            ctypes.set_errno(errno.EINTR)
            return -1
        return int(real(*arguments))

    monkeypatch.setattr(hands, "_libc", SimpleNamespace(renameat2=interrupted))
    hands.rename_noreplace(tmp_path / "a", tmp_path / "b")
    assert tree(tmp_path) == {"b": b"a photo"}
    assert next(calls) == signals + 2


def test_a_photo_goes_back_to_an_inbox_on_another_disk(far: Spread) -> None:
    put(far, f"{shelving.WORK}/1")
    assert far.give_back(f"{shelving.WORK}/1", "feeder/a.jpg") == "feeder/a.jpg"
    assert tree(far.path("inbox")) == {"feeder": None, "feeder/a.jpg": b"a photo"}
    assert far.work_files() == []


def test_a_full_disk_leaves_no_half_photo_in_the_inbox(far: Spread, monkeypatch: pytest.MonkeyPatch) -> None:
    put(far, f"{shelving.WORK}/1")
    _no_room(monkeypatch)
    with pytest.raises(DiskFull):
        far.give_back(f"{shelving.WORK}/1", "a.jpg")
    assert tree(far.path("inbox")) == {}
    assert tree(far.path(shelving.WORK)) == {"1": b"a photo"}


def test_on_another_disk_too_a_taken_name_is_not_overwritten(far: Spread) -> None:
    drop(far, "a.jpg", b"the next photo")
    put(far, f"{shelving.WORK}/1")
    assert far.give_back(f"{shelving.WORK}/1", "a.jpg") == "recovered-2-a.jpg"
    assert tree(far.path("inbox")) == {"a.jpg": b"the next photo", "recovered-2-a.jpg": b"a photo"}


# -- back into the inbox


def test_what_goes_back_finds_its_own_name_or_a_free_one(files: Files) -> None:
    for number, name in ((1, "feeder/a.jpg"), (2, "feeder/recovered-2-a.jpg"), (3, "feeder/recovered-3-a.jpg")):
        put(files, f"{shelving.WORK}/{number}", b"%d" % number)
        assert files.give_back(f"{shelving.WORK}/{number}", "feeder/a.jpg") == name
        assert (files.path("inbox") / name).read_bytes() == b"%d" % number


@pytest.mark.parametrize("name", [b"a" * 255, "鳥".encode() * 85, b"\xff" * 255])
def test_the_free_name_of_a_long_name_is_not_too_long(files: Files, name: bytes) -> None:
    text = os.fsdecode(name)
    drop(files, text)
    put(files, f"{shelving.WORK}/1", b"another")
    back = files.give_back(f"{shelving.WORK}/1", text)
    assert back != text
    assert (files.path("inbox") / back).read_bytes() == b"another"


def test_a_folder_that_cannot_be_made_in_the_inbox_is_trouble_not_a_crash(files: Files) -> None:
    drop(files, "feeder")
    put(files, f"{shelving.WORK}/1")
    with pytest.raises(DiskTrouble):
        files.give_back(f"{shelving.WORK}/1", "feeder/a.jpg")
    assert files.work_files() == [f"{shelving.WORK}/1"]


# -- placing


def test_a_photo_is_placed_and_its_folder_made_open_to_the_group(files: Files) -> None:
    put(files, f"{shelving.WORK}/1")
    files.place(f"{shelving.WORK}/1", "library/robin/a.jpg")
    files.sync([f"{shelving.WORK}/1", "library/robin/a.jpg", "library/gone/b.jpg"])
    assert files.exists("library/robin/a.jpg")
    assert not files.exists(f"{shelving.WORK}/1")
    assert stat.S_IMODE(files.path("library/robin").stat().st_mode) == 0o2775


def _kernel_without_the_flag(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def renameat2(*_: object) -> int:
        ctypes.set_errno(code)
        return -1

    monkeypatch.setattr(hands, "_libc", SimpleNamespace(renameat2=renameat2))


@pytest.mark.parametrize("code", [0, errno.EINVAL, errno.ENOSYS])
@pytest.mark.parametrize("taken_by", ["file", "folder", "dangling link"])
def test_placing_never_overwrites_anything(
    files: Files, monkeypatch: pytest.MonkeyPatch, taken_by: str, code: int
) -> None:
    if code:
        _kernel_without_the_flag(monkeypatch, code)
    put(files, f"{shelving.WORK}/1")
    target = files.path("library/robin/a.jpg")
    target.parent.mkdir()
    match taken_by:
        case "file":
            target.write_bytes(b"mine")
        case "folder":
            target.mkdir()
        case _:
            target.symlink_to("nowhere")
    before = tree(files.path("library"))
    assert files.taken("library/robin/a.jpg")
    with pytest.raises(TargetTaken):
        files.place(f"{shelving.WORK}/1", "library/robin/a.jpg")
    assert tree(files.path("library")) == before
    assert files.path(f"{shelving.WORK}/1").read_bytes() == b"a photo"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS])
def test_where_the_kernel_does_not_know_the_flag_photos_are_placed_all_the_same(
    files: Files, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    _kernel_without_the_flag(monkeypatch, code)
    put(files, f"{shelving.WORK}/1")
    files.place(f"{shelving.WORK}/1", "library/robin/a.jpg")
    assert tree(files.path("library")) == {"robin": None, "robin/a.jpg": b"a photo"}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EIO, DiskTrouble),
        (errno.EROFS, DiskTrouble),
        (errno.EACCES, DiskTrouble),
        (errno.EXDEV, DiskTrouble),
        (errno.ENOENT, PhotoVanished),
    ],
)
def test_what_the_disk_refuses_has_its_place_in_the_tree(
    files: Files, monkeypatch: pytest.MonkeyPatch, code: int, error: type[BirdwatchdError]
) -> None:
    put(files, f"{shelving.WORK}/1")
    _kernel_without_the_flag(monkeypatch, code)
    with pytest.raises(error, match="cannot move") as refused:
        files.place(f"{shelving.WORK}/1", "library/robin/a.jpg")
    assert type(refused.value) is error
    assert isinstance(refused.value.__cause__, OSError)


def test_a_target_that_cannot_be_looked_at_is_not_taken_for_free(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    _kernel_without_the_flag(monkeypatch, errno.EINVAL)
    put(files, f"{shelving.WORK}/1")
    mine = put(files, "library/robin/a.jpg", b"mine")
    lstat = Path.lstat

    def scratched(path: Path) -> os.stat_result:
        if path == mine:
            raise refuse(errno.EIO)
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", scratched)
    with pytest.raises(DiskTrouble):
        files.place(f"{shelving.WORK}/1", "library/robin/a.jpg")
    assert mine.read_bytes() == b"mine"


def test_a_folder_whose_name_could_not_be_made_durable_is_made_anew(files: Files, bad_disk: Disk) -> None:
    put(files, f"{shelving.WORK}/1")
    bad_disk.bad = lambda path: path.name == "library"
    with pytest.raises(DiskTrouble):
        files.place(f"{shelving.WORK}/1", "library/robin/a.jpg")
    named = files.path("library").stat().st_mtime_ns
    files.place(f"{shelving.WORK}/1", "library/robin/a.jpg")
    assert files.exists("library/robin/a.jpg")
    assert files.path("library").stat().st_mtime_ns > named, "only what is written anew is written by the next fsync"


def test_what_is_placed_anew_is_named_anew_in_both_folders_and_stays_where_it_was(files: Files) -> None:
    path = put(files, "library/robin/a.jpg")
    inode, changed = path.stat().st_ino, path.parent.stat().st_mtime_ns
    files.place_anew(f"{shelving.WORK}/1", "library/robin/a.jpg")
    assert (path.stat().st_ino, files.work_files()) == (inode, [])
    assert path.parent.stat().st_mtime_ns > changed
    put(files, f"{shelving.WORK}/1", b"of somebody else")
    files.place_anew(f"{shelving.WORK}/1", "library/robin/a.jpg")
    assert (path.read_bytes(), files.work_files()) == (b"a photo", [f"{shelving.WORK}/1"])


def test_a_file_system_that_cannot_sync_folders_is_used_all_the_same(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def files_only(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise refuse(errno.EINVAL)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", files_only)
    stamp = drop(files)
    files.claim("a.jpg", stamp, f"{shelving.WORK}/1")
    files.place(f"{shelving.WORK}/1", "library/robin/a.jpg")
    files.sync(["library/robin/a.jpg"])
    assert files.exists("library/robin/a.jpg")


def test_a_file_in_place_of_a_species_folder_is_trouble_and_stays(files: Files) -> None:
    put(files, f"{shelving.WORK}/1")
    put(files, "library/robin", b"a note")
    with pytest.raises(DiskTrouble):
        files.place(f"{shelving.WORK}/1", "library/robin/a.jpg")
    assert files.path("library/robin").read_bytes() == b"a note"


def test_a_photo_that_is_gone_is_not_placed(files: Files) -> None:
    with pytest.raises(PhotoVanished):
        files.place(f"{shelving.WORK}/1", "library/robin/a.jpg")


def test_only_a_regular_file_exists(files: Files) -> None:
    put(files, "library/a.jpg")
    files.path("library/link.jpg").symlink_to("a.jpg")
    assert files.exists("library/a.jpg")
    assert not files.exists("library/link.jpg")
    assert not files.exists("library")
    assert not files.exists("library/gone.jpg")
    assert not files.exists("library/a.jpg/b.jpg")


# -- content


def test_a_photo_that_a_person_moved_is_found_by_the_digits_in_its_name_and_its_content(root: Path) -> None:
    files = Files(root, clock=itertools.count(0.0, 60.0).__next__)
    name = shelving.file_name("a.jpg", sha256=SHA256, photo_id=1)
    assert files.find_content(SHA256) is None
    put(files, f"library/robin/{name}", b"changed since")
    files.path(f"library/{name}").symlink_to(put(files, "outside.jpg"))
    assert files.find_content(SHA256) is None
    put(files, f"quarantine/damaged/{name}")
    assert files.find_content(SHA256) is None, "what is in quarantine is not kept"
    put(files, f"review/my own folder/renamed {name}")
    assert files.find_content(SHA256) == f"review/my own folder/renamed {name}"


def test_many_photos_that_were_moved_are_found_with_one_walk_through_the_folders(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each of them a walk through a library of 100,000 photos would take hours."""
    now = [0.0]
    files = Files(root, clock=lambda: now[0])
    files.check()
    walked: list[str] = []
    walk = os.walk

    def counted(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        walked.append(top.name)
        return walk(top)

    monkeypatch.setattr(os, "walk", counted)
    contents = [content(b"%d" % n) for n in range(200)]
    for n, sha256 in enumerate(contents):
        put(files, f"library/sorted by me/{n} {shelving.file_name('a.jpg', sha256=sha256, photo_id=n)}", b"%d" % n)
    found = [files.find_content(sha256) for sha256 in contents]
    assert all(path is not None and path.startswith("library/sorted by me/") for path in found)
    assert [files.find_content(content(b"never %d" % n)) for n in range(200)] == [None] * 200
    assert walked == ["library", "review", "empty"]
    moved = str(found[7])
    files.path(moved).rename(files.path("review/back.jpg").with_name(moved.rpartition("/")[2]))
    assert files.find_content(contents[7]) == f"review/{moved.rpartition('/')[2]}", "moved again in between"
    put(files, f"{shelving.WORK}/1", b"a photo")
    files.place(f"{shelving.WORK}/1", f"library/robin/a-{SHA256[:16]}.jpg")
    assert files.find_content(SHA256) == f"library/robin/a-{SHA256[:16]}.jpg", "placed in between"
    assert len(walked) == 6
    put(files, f"empty/b-{content(b'brought')[:16]}.jpg", b"brought")
    now[0] += 10
    assert files.find_content(content(b"brought")) is not None
    assert len(walked) == 9
    files.check_still_there()
    files.find_content(SHA256)
    assert len(walked) == 12, "what is remembered is let go of with each sweep"


def test_a_photo_that_cannot_be_read_is_not_found(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    put(files, f"library/a-{SHA256[:16]}.jpg")
    put(files, f"library/b-{SHA256[:16]}.jpg")
    hash_of = hands.hash_of

    def scratched(path: Path) -> str:
        if path.name.startswith("a-"):
            raise refuse(errno.EIO)
        return hash_of(path)

    monkeypatch.setattr(hands, "hash_of", scratched)
    assert files.find_content(SHA256) == f"library/b-{SHA256[:16]}.jpg"


@pytest.mark.parametrize(("code", "kind"), [(errno.EIO, BadSpot), (errno.EMFILE, DiskTrouble)])
def test_a_bad_spot_on_the_disk_is_told_from_other_trouble(
    files: Files, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[DiskTrouble]
) -> None:
    def fail(*_: object) -> bytes:
        raise refuse(code)

    monkeypatch.setattr(hands, "read", fail)
    with pytest.raises(DiskTrouble) as refused:
        files.read("library/a.jpg", max_bytes=10)
    assert type(refused.value) is kind


def test_a_photo_is_read_and_hashed(files: Files) -> None:
    put(files, "library/a.jpg")
    assert files.sha256_of("library/a.jpg") == SHA256
    assert files.read("library/a.jpg", max_bytes=7) == b"a photo"
    with pytest.raises(PhotoVanished):
        files.sha256_of("library/gone.jpg")


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(files: Files) -> None:
    path = put(files, "library/sparse.jpg", b"")
    os.truncate(path, 10**13)
    with pytest.raises(TooLarge, match="megabytes"):
        files.read("library/sparse.jpg", max_bytes=10**8)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_reading_what_is_no_file_is_refused_and_leaves_nothing_open(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "trap")
    before = open_files()
    with pytest.raises(Refused, match="is no file"):
        read_outside(tmp_path / "trap", max_bytes=100)
    assert open_files() == before
    with pytest.raises(Refused, match="No such file"):
        read_outside(tmp_path / "gone", max_bytes=100)


def test_a_file_that_grows_under_the_reading_is_not_taken_for_whole(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fstat = put(files, "library/a.jpg", b"a photo"), os.fstat

    def and_then_it_grows(handle: int) -> os.stat_result:
        found = fstat(handle)
        path.write_bytes(b"a photo and more")
        return found

    monkeypatch.setattr(os, "fstat", and_then_it_grows)
    with pytest.raises(PhotoVanished, match="grew"):
        files.read("library/a.jpg", max_bytes=10**6)


def test_hashing_what_is_no_file_is_refused_and_a_file_anywhere_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a photo")
    os.mkfifo(tmp_path / "trap")
    assert hash_outside(tmp_path / "a.jpg") == SHA256
    with pytest.raises(Refused, match="is no file"):
        hash_outside(tmp_path / "trap")


# -- notes, thumbnails, the work folder


def test_a_file_is_written_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 200 + ".json")
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert tree(tmp_path) == {path.name: b"second"}


def test_a_write_that_fails_leaves_the_old_file_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "a", b"first")
    _no_room(monkeypatch)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a", b"second")
    assert tree(tmp_path) == {"a": b"first"}


def test_a_link_planted_where_the_part_goes_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"not ours")
    (tmp_path / ".a.part").symlink_to("outside")
    write_whole(tmp_path / "a", b"new")
    assert tree(tmp_path) == {"a": b"new", "outside": b"not ours"}


@pytest.mark.parametrize("original", ["a" * 255, "鳥" * 85, "\x1b.jpg"])
def test_the_note_of_the_longest_name_can_be_written(files: Files, original: str) -> None:
    photo = f"quarantine/damaged/{shelving.file_name(original, sha256=SHA256, photo_id=1)}"
    put(files, photo)
    files.write_sidecar(photo, {"reason": "damaged", "what": "ü"})
    assert json.loads(files.path(f"{photo}.json").read_bytes()) == {"reason": "damaged", "what": "ü"}
    assert len(tree(files.path("quarantine/damaged"))) == 2


def test_only_what_is_in_quarantine_is_ever_removed(files: Files) -> None:
    put(files, "quarantine/damaged/a.jpg")
    files.write_sidecar("quarantine/damaged/a.jpg", {})
    files.remove_from_quarantine("quarantine/damaged/a.jpg")
    files.remove_from_quarantine("quarantine/damaged/a.jpg")
    assert tree(files.path("quarantine")) == {"damaged": None}
    put(files, "library/a.jpg")
    with pytest.raises(ValueError, match="not in quarantine"):
        files.remove_from_quarantine("library/a.jpg")
    assert files.exists("library/a.jpg")


def test_a_thumbnail_is_found_by_content_and_written_again(files: Files) -> None:
    for jpeg_bytes in (b"small", b"smaller"):
        files.write_thumbnail(SHA256, jpeg_bytes)
    assert tree(files.path(shelving.THUMBS)) == {SHA256[:2]: None, f"{SHA256[:2]}/{SHA256}.jpg": b"smaller"}


def test_the_work_folder_is_listed_staged_and_tidied(files: Files) -> None:
    assert files.work_files() == []
    files.stage(f"{shelving.WORK}/import-1.part", b"a photo")
    put(files, f"{shelving.WORK}/7")
    assert files.work_files() == [f"{shelving.WORK}/7", f"{shelving.WORK}/import-1.part"]
    files.drop_litter(f"{shelving.WORK}/import-1.part")
    files.drop_litter(f"{shelving.WORK}/import-1.part")
    assert files.work_files() == [f"{shelving.WORK}/7"]
