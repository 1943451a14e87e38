"""The window, with the real watchdog and the real kernel: what is heard, and what becomes of it when it breaks."""

import ctypes
import errno
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from watchdog.observers import inotify_c
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, Mask, WatchDescriptor
from watchdog.observers.polling import PollingObserverVFS
from watchdog.utils import BaseThread

from birdwatchd.edges.watch import Hint, Watch, window
from birdwatchd.edges.watch.kernel import Kernel

pytestmark = pytest.mark.alone

HEARD_WITHIN_S = 10.0


class Ear:
    """Hears the hints of one watch."""

    def __init__(self) -> None:
        self.hints: queue.SimpleQueue[Hint] = queue.SimpleQueue()
        self.put = self.hints.put

    def waits_for(self, wanted: Hint) -> list[Hint]:
        """What came up to the wanted hint; fails if that never comes."""
        heard: list[Hint] = []
        while not heard or heard[-1] != wanted:
            try:
                heard.append(self.hints.get(timeout=HEARD_WITHIN_S))
            except queue.Empty:
                pytest.fail(f"never heard of {wanted}; only of {heard}")
        return heard


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    return inbox


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def new_watch(inbox: Path, ear: Ear) -> Iterator[Callable[..., Watch]]:
    """Makes watches that are not started, and stops them in the end."""
    made: list[Watch] = []

    def make(*, poll: bool = False) -> Watch:
        made.append(Watch(inbox, ear.put, poll=poll))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def watch(new_watch: Callable[..., Watch]) -> Watch:
    watch = new_watch()
    watch.start()
    assert state(watch) == ("events", None)
    return watch


@pytest.fixture
def poll_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "POLL_S", 0.05)


def state(watch: Watch) -> tuple[str, str | None]:
    return watch.kind, watch.problem


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, BaseThread)]


def test_a_file_written_is_heard_of(inbox: Path, ear: Ear, watch: Watch) -> None:
    (inbox / "a.jpg").write_bytes(b"a photo")
    ear.waits_for("a.jpg")


def test_a_file_that_goes_on_growing_is_heard_of_again(inbox: Path, ear: Ear, watch: Watch) -> None:
    with (inbox / "a.jpg").open("wb", buffering=0) as file:
        ear.waits_for("a.jpg")
        (inbox / "fence 1").touch()
        ear.waits_for("fence 1")
        file.write(b"more")
        ear.waits_for("a.jpg")
        (inbox / "fence 2").touch()
        ear.waits_for("fence 2")
    ear.waits_for("a.jpg")


def test_a_file_moved_or_linked_in_from_outside_is_heard_of(
    inbox: Path, ear: Ear, watch: Watch, tmp_path: Path
) -> None:
    for name in ("moved.jpg", "linked.jpg"):
        (tmp_path / name).write_bytes(b"a photo")
    (tmp_path / "moved.jpg").rename(inbox / "moved.jpg")
    ear.waits_for("moved.jpg")
    (inbox / "linked.jpg").hardlink_to(tmp_path / "linked.jpg")
    ear.waits_for("linked.jpg")


def test_a_file_renamed_within_is_heard_of_under_its_new_name(inbox: Path, ear: Ear, watch: Watch) -> None:
    (inbox / ".a.jpg.Xy12").write_bytes(b"as rsync does")
    (inbox / ".a.jpg.Xy12").rename(inbox / "a.jpg")
    ear.waits_for("a.jpg")


def test_a_new_folder_with_a_file_asks_for_a_look_everywhere(inbox: Path, ear: Ear, watch: Watch) -> None:
    (inbox / "feeder" / "2026").mkdir(parents=True)
    (inbox / "feeder" / "2026" / "a.jpg").write_bytes(b"a photo")
    ear.waits_for(None)


def test_a_file_in_a_folder_that_is_watched_by_then_is_heard_of(
    inbox: Path, ear: Ear, new_watch: Callable[..., Watch]
) -> None:
    (inbox / "feeder").mkdir()
    watch = new_watch()
    watch.start()
    (inbox / "feeder" / "a.jpg").write_bytes(b"a photo")
    ear.waits_for("feeder/a.jpg")


def test_a_folder_moved_in_asks_for_a_look_everywhere(inbox: Path, ear: Ear, watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "a.jpg").write_bytes(b"a photo")
    (tmp_path / "card").rename(inbox / "card")
    ear.waits_for(None)


def test_a_name_that_is_no_utf_8_comes_through_as_the_file_system_spells_it(
    inbox: Path, ear: Ear, watch: Watch
) -> None:
    name = os.fsdecode(b"caf\xe9\n\xff.jpg")
    (inbox / name).write_bytes(b"a photo")
    ear.waits_for(name)


def test_reading_a_photo_is_not_heard_of(inbox: Path, ear: Ear, watch: Watch) -> None:
    """Else the daemon would feed on its own tail."""
    (inbox / "a.jpg").write_bytes(b"a photo")
    (inbox / "fence 1").touch()
    ear.waits_for("fence 1")
    ear_after = Ear()
    watch.stop()
    quiet = Watch(inbox, ear_after.put, poll=False)
    quiet.start()
    try:
        assert (inbox / "a.jpg").read_bytes() == b"a photo"
        (inbox / "a.jpg").stat()
        (inbox / "fence 2").touch()
        assert set(ear_after.waits_for("fence 2")) == {"fence 2"}
    finally:
        quiet.stop()


def test_stopping_leaves_no_thread_and_may_be_repeated(inbox: Path, ear: Ear, new_watch: Callable[..., Watch]) -> None:
    watch = new_watch()
    watch.stop()
    watch.start()
    assert threads()
    watch.stop()
    watch.stop()
    assert (threads(), state(watch)) == ([], ("sweep", "stopped"))


def test_a_watch_that_is_well_is_left_alone(watch: Watch) -> None:
    before = threads()
    assert not watch.revive()
    assert threads() == before


def test_an_inbox_deleted_and_made_anew_is_watched_again(inbox: Path, ear: Ear, watch: Watch) -> None:
    shutil.rmtree(inbox)
    assert not watch.is_well()
    assert not watch.revive()
    assert state(watch) == ("sweep", "new files are found only by the sweep: No such file or directory")
    inbox.mkdir()
    assert watch.revive()
    assert (state(watch), watch.is_well()) == (("events", None), True)
    ear.waits_for(None)
    (inbox / "a.jpg").write_bytes(b"a photo")
    ear.waits_for("a.jpg")


def test_an_inbox_replaced_by_another_is_watched_again(inbox: Path, ear: Ear, watch: Watch) -> None:
    inbox.rename(inbox.with_name("old"))
    inbox.mkdir()
    assert not watch.is_well()
    assert watch.revive()
    ear.waits_for(None)
    (inbox / "a.jpg").write_bytes(b"a photo")
    ear.waits_for("a.jpg")


@pytest.mark.parametrize("which", range(3))
def test_whichever_of_its_threads_has_ended_it_is_started_anew(inbox: Path, ear: Ear, watch: Watch, which: int) -> None:
    """The observer's own word is not enough: the thread that reads from the kernel, or an emitter, may be the dead one."""
    assert len(threads()) == 3
    victim = threads()[which]
    assert isinstance(victim, BaseThread)
    victim.stop()
    victim.join(HEARD_WITHIN_S)
    assert not victim.is_alive()
    assert not watch.is_well()
    assert watch.revive()
    ear.waits_for(None)
    assert len(threads()) == 3
    (inbox / "a.jpg").write_bytes(b"a photo")
    ear.waits_for("a.jpg")


class Stingy:
    """A kernel that answers with an error instead of giving a watch.

    Args:
        left: so many watches are given first.
        only: these folders are refused, the others not.
    """

    def __init__(
        self, left: int = 0, *, code: int = errno.ENOSPC, only: Callable[[bytes], bool] = lambda _: True
    ) -> None:
        self.left = left
        self._code = code
        self._only = only
        self._generous = inotify_c.inotify_add_watch

    def __call__(self, handle: int, path: bytes, mask: int) -> WatchDescriptor:
        if self._only(path) and os.path.lexists(path):
            self.left -= 1
            if self.left < 0:
                ctypes.set_errno(self._code)
                return WatchDescriptor(-1)
        return self._generous(handle, path, mask)


def no_instance() -> int:
    ctypes.set_errno(errno.EMFILE)
    return -1


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("name", "answer", "why"),
    [("inotify_init", no_instance, "max_user_instances"), ("inotify_add_watch", Stingy(), "max_user_watches")],
)
def test_a_kernel_that_tells_of_nothing_is_a_problem_and_listings_are_compared_until_it_does(
    inbox: Path,
    ear: Ear,
    new_watch: Callable[..., Watch],
    poll_fast: None,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    answer: Any,
    why: str,
) -> None:
    watch = new_watch()
    with monkeypatch.context() as patch:
        patch.setattr(inotify_c, name, answer)
        watch.start()
        assert (watch.kind, watch.is_well(), watch.revive()) == ("polling", True, False)
        assert watch.problem is not None
        assert watch.problem.startswith("new files are looked for every 0.05 s: ")
        assert f"sudo sysctl fs.inotify.{why}=" in watch.problem
        assert all(not isinstance(thread, Kernel) for thread in threads())
        (inbox / "a.jpg").write_bytes(b"a photo")
        ear.waits_for("a.jpg")
    assert watch.revive(), "as soon as there is something to be had"
    assert state(watch) == ("events", None)
    ear.waits_for(None)
    (inbox / "b.jpg").write_bytes(b"a photo")
    ear.waits_for("b.jpg")


def test_without_a_thread_or_a_handle_to_be_had_the_sweep_is_left_and_nothing_leaks(
    inbox: Path, ear: Ear, new_watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def no_pipe() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    watch = new_watch()
    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        for _ in range(5):
            watch.start()
            assert not watch.is_well()
            assert not watch.revive()
        assert state(watch) == ("sweep", "new files are found only by the sweep: can't start new thread")
        patch.setattr(os, "pipe", no_pipe)
        for _ in range(5):
            watch.start()
    assert (open_files(), threads()) == (before, [])
    assert watch.revive()
    assert state(watch) == ("events", None)


def test_folders_that_cannot_be_watched_are_counted_and_watched_when_they_can_be(
    inbox: Path, ear: Ear, new_watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        (inbox / f"old-{number}").mkdir()
    watch = new_watch()
    with monkeypatch.context() as patch:
        patch.setattr(inotify_c, "inotify_add_watch", Stingy(4))
        watch.start()
        assert (watch.kind, watch.is_well()) == ("events", True)
        problem = "new files in {} folders of the inbox are found only by the sweep: no watches are left"
        assert str(watch.problem).startswith(problem.format(3))
        (inbox / "late").mkdir()
        ear.waits_for(None)
        assert str(watch.problem).startswith(problem.format(4)), "folders that come later too"
        (inbox / "a.jpg").write_bytes(b"a photo")
        ear.waits_for("a.jpg")
        assert not watch.revive(), "nothing could be done better"
        (inbox / "late").rmdir()
        assert not watch.revive()
        assert str(watch.problem).startswith(problem.format(3)), "one that is gone is missed no more"
    assert watch.revive()
    assert state(watch) == ("events", None)
    for number in range(6):
        (inbox / f"old-{number}" / "a.jpg").write_bytes(b"a photo")
    for number in range(6):
        ear_of_all = ear.waits_for(f"old-{number}/a.jpg")
        assert ear_of_all
    watch.stop()


def test_a_closed_folder_is_watched_once_it_is_opened(
    inbox: Path, ear: Ear, new_watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed folders are told of by the sweep; the watch must only not forget them."""
    (inbox / "closed").mkdir()
    (inbox / "shut").mkdir()
    watch = new_watch()
    with monkeypatch.context() as patch:
        stingy = Stingy(code=errno.EACCES, only=lambda path: path.endswith((b"/closed", b"/shut")))
        patch.setattr(inotify_c, "inotify_add_watch", stingy)
        watch.start()
        assert state(watch) == ("events", None)
        assert not watch.revive()
    assert watch.revive()
    (inbox / "closed" / "a.jpg").write_bytes(b"a photo")
    ear.waits_for("closed/a.jpg")


def kernel() -> Kernel:
    return next(thread for thread in threads() if isinstance(thread, Kernel))


@pytest.mark.fault("A16")
def test_an_overflow_asks_for_a_look_everywhere_and_is_told_until_the_next_sweep_but_one(
    inbox: Path, ear: Ear, watch: Watch
) -> None:
    (inbox / "feeder").mkdir()
    ear.waits_for(None)
    kernel().handle_event(InotifyEvent(WatchDescriptor(-1), Mask(InotifyConstants.IN_Q_OVERFLOW), cookie=0, name=b""))
    ear.waits_for(None)
    assert watch.overflows == 1
    assert not watch.revive()
    assert "at once" in str(watch.problem)
    assert not watch.revive()
    assert watch.problem is None
    (inbox / "feeder" / "a.jpg").write_bytes(b"a photo")
    ear.waits_for("feeder/a.jpg")


@pytest.mark.fault("A23")
def test_folders_shuffled_so_that_watchdog_loses_count_end_its_thread_and_it_is_started_anew(
    inbox: Path, ear: Ear, watch: Watch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Out with one, a new one of its name, both deleted: watchdog 7.1.0 looks for the second in its books and finds none."""
    reader = kernel()
    for name in ("first.jpg", "second.jpg"):
        (inbox / "card").mkdir()
        (inbox / "card" / name).touch()
        ear.waits_for(
            f"card/{name}"
        )  # it is told of a new folder before it is watched: hearing from within it is the proof
        (inbox / "card" / name).unlink()
        if name == "first.jpg":
            (inbox / "card").rename(tmp_path / "card")
    (inbox / "card").rmdir()
    (tmp_path / "card").rmdir()
    reader.join(HEARD_WITHIN_S)
    ear.waits_for(None)
    assert not watch.is_well()
    assert "started anew" in caplog.text
    assert watch.revive()
    (inbox / "a.jpg").write_bytes(b"a photo")
    ear.waits_for("a.jpg")


@pytest.mark.parametrize("change", ["renamed", "a link", "a file"])
def test_where_no_real_folder_lies_nothing_is_watched(
    inbox: Path, ear: Ear, watch: Watch, tmp_path: Path, change: str
) -> None:
    inbox.rename(tmp_path / "elsewhere")
    if change == "a link":
        inbox.symlink_to(tmp_path / "elsewhere")
    elif change == "a file":
        inbox.touch()
    assert not watch.is_well()
    assert not watch.revive()
    assert watch.kind == "sweep"
    assert threads() == []


def test_asking_whether_it_is_well_costs_next_to_nothing(
    inbox: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        (inbox / f"{number}.jpg").touch()

    def walked(*_: object) -> None:
        raise AssertionError("it looked through the inbox")

    monkeypatch.setattr(os, "scandir", walked)
    monkeypatch.setattr(os, "listdir", walked)
    took_s = []
    for _ in range(50):
        begun = time.perf_counter()
        assert watch.is_well()
        took_s.append(time.perf_counter() - begun)
    assert min(took_s) < 0.0002


def test_a_departure_holds_up_no_arrival(inbox: Path, ear: Ear, watch: Watch, tmp_path: Path) -> None:
    """Each photo that is claimed is one, and watchdog would wait half a second for its other half."""
    took_s = []
    for number in range(5):
        name = f"{number}.jpg"
        (inbox / name).touch()
        ear.waits_for(name)
        (inbox / name).rename(tmp_path / name)
        begun = time.perf_counter()
        (inbox / f"next {name}").touch()
        ear.waits_for(f"next {name}")
        took_s.append(time.perf_counter() - begun)
    assert min(took_s) < 0.3


def test_new_rights_are_heard_of(inbox: Path, ear: Ear, watch: Watch) -> None:
    (inbox / "a.jpg").touch()
    (inbox / "fence").touch()
    ear.waits_for("fence")
    (inbox / "a.jpg").chmod(0o640)
    ear.waits_for("a.jpg")


def test_folders_made_deep_and_at_once_end_no_thread(inbox: Path, ear: Ear, watch: Watch) -> None:
    """watchdog finds those twice, and warns; here a warning is an error and would end the thread that reads."""
    for number in range(100):
        deep = inbox / str(number) / "2026" / "05"
        deep.mkdir(parents=True)
        (deep / "a.jpg").write_bytes(b"a photo")
    (inbox / "fence").touch()
    ear.waits_for("fence")
    assert watch.is_well()


@pytest.mark.parametrize("poll", [False, True])
def test_the_daemons_own_canary_is_heard_like_any_file(
    inbox: Path, ear: Ear, new_watch: Callable[..., Watch], poll_fast: None, poll: bool
) -> None:
    watch = new_watch(poll=poll)
    watch.start()
    (inbox / ".birdwatchd-canary-0f3a").touch()
    ear.waits_for(".birdwatchd-canary-0f3a")


def test_polling_hears_too(inbox: Path, ear: Ear, new_watch: Callable[..., Watch], poll_fast: None) -> None:
    watch = new_watch(poll=True)
    watch.start()
    assert state(watch) == ("polling", None)
    assert any(isinstance(thread, PollingObserverVFS) for thread in threads())
    (inbox / "a.jpg").write_bytes(b"a photo")
    ear.waits_for("a.jpg")
    (inbox / "feeder").mkdir()
    ear.waits_for(None)
    assert not watch.revive()
    watch.stop()
    assert threads() == []
