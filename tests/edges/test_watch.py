"""The window, with the real watchdog and the real kernel: what is heard, and what becomes of it when it breaks."""

import os
import queue
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserverVFS
from watchdog.utils import BaseThread

from birdwatchd.edges import watch as window
from birdwatchd.edges.watch import Hint, Watch

HEARD_WITHIN_S = 10.0

pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")
"""watchdog 7.1.0 watches a folder twice that appears while it walks there, notices, and says so from its reading thread."""


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
def watch(inbox: Path, ear: Ear) -> Iterator[Watch]:
    watch = Watch(inbox, ear.put, poll=False)
    watch.start()
    assert state(watch) == ("events", None)
    yield watch
    watch.stop()


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


def test_a_file_in_a_folder_that_is_watched_by_then_is_heard_of(inbox: Path, ear: Ear) -> None:
    (inbox / "feeder").mkdir()
    watch = Watch(inbox, ear.put, poll=False)
    watch.start()
    try:
        (inbox / "feeder" / "a.jpg").write_bytes(b"a photo")
        ear.waits_for("feeder/a.jpg")
    finally:
        watch.stop()


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


def test_stopping_leaves_no_thread_and_may_be_repeated(inbox: Path, ear: Ear) -> None:
    watch = Watch(inbox, ear.put, poll=False)
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
    assert watch.revive()
    assert state(watch) == ("sweep", "new files are found only by the sweep: No such file or directory")
    inbox.mkdir()
    assert watch.revive()
    assert state(watch) == ("events", None)
    (inbox / "a.jpg").write_bytes(b"a photo")
    ear.waits_for("a.jpg")


def test_an_inbox_replaced_by_another_is_watched_again(inbox: Path, ear: Ear, watch: Watch) -> None:
    inbox.rename(inbox.with_name("old"))
    inbox.mkdir()
    assert watch.revive()
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
    assert watch.revive()
    assert len(threads()) == 3
    (inbox / "a.jpg").write_bytes(b"a photo")
    ear.waits_for("a.jpg")


def _no_watches_left(*_: object, **__: object) -> None:
    raise OSError(28, "inotify watch limit reached")


@pytest.mark.parametrize("method", ["__init__", "schedule", "start"])
def test_a_kernel_without_watches_is_a_problem_not_an_error(
    inbox: Path, ear: Ear, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    watch = Watch(inbox, ear.put, poll=False)
    with monkeypatch.context() as patch:
        patch.setattr(Observer, method, _no_watches_left)
        watch.start()
        assert watch.revive()
        assert state(watch) == ("sweep", "new files are found only by the sweep: inotify watch limit reached")
        assert threads() == [], "a failed start leaves nothing behind"
    assert watch.revive(), "once there are watches again"
    assert state(watch) == ("events", None)
    watch.stop()


def test_polling_hears_too(inbox: Path, ear: Ear, poll_fast: None) -> None:
    watch = Watch(inbox, ear.put, poll=True)
    watch.start()
    try:
        assert state(watch) == ("polling", None)
        assert any(isinstance(thread, PollingObserverVFS) for thread in threads())
        (inbox / "a.jpg").write_bytes(b"a photo")
        ear.waits_for("a.jpg")
        (inbox / "feeder").mkdir()
        ear.waits_for(None)
        assert not watch.revive()
    finally:
        watch.stop()
    assert threads() == []
