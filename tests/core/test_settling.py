"""Has it stopped changing? The laws of settling; time is an argument."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core.photo import Stamp
from birdwatchd.core.settling import FOREIGN_OWNER_FACTOR, RECHECK_S, REMOTE_FACTOR, Look, Settling, Waiting, Writers
from birdwatchd.core.sight import Ending

QUIET_S = 2.0
UNFINISHED_S = 600.0
STAMP = Stamp(device=1, inode=2, size_bytes=3, mtime_ns=4, ctime_ns=5)


def settling() -> Settling:
    return Settling(quiet_s=QUIET_S, unfinished_s=UNFINISHED_S)


def look(stamp: Stamp = STAMP, writers: Writers = Writers.NONE, ending: Ending = Ending.COMPLETE) -> Look:
    return Look(stamp, writers, ending)


def taken_at(files: Settling, path: str, what: Look, *, until: float) -> float | None:
    """Follow the files' own timetable; when it is taken, if that is before `until`."""
    while (now := files.next_look()) is not None and now < until:
        for due in files.due(now, limit=10):
            if files.weigh(due, what, now):
                assert due == path
                return now
    return None


def test_a_whole_file_without_a_writer_is_taken_after_the_quiet_time() -> None:
    files = settling()
    files.see("a.jpg", STAMP, 100.0)
    assert files.due(100.0 + QUIET_S - 0.001, limit=10) == []
    assert taken_at(files, "a.jpg", look(), until=1e9) == 100.0 + QUIET_S


@given(st.lists(st.floats(0.01, QUIET_S - 0.01), min_size=1, max_size=50))
def test_a_file_still_growing_is_never_taken(pauses_s: list[float]) -> None:
    """It grows at every pause; all pauses are shorter than the quiet time; it is looked at whenever it can be."""
    files, now, stamp = settling(), 0.0, STAMP
    for pause_s in pauses_s:
        files.see("a.jpg", stamp, now)
        for due in files.due(now + pause_s, limit=10):
            assert not files.weigh(due, look(stamp), now + pause_s)
        now += pause_s
        stamp = replace(stamp, size_bytes=stamp.size_bytes + 1)


def test_a_change_that_no_event_told_of_is_found_by_the_close_look() -> None:
    files = settling()
    files.see("a.jpg", STAMP, 0.0)
    grown = replace(STAMP, size_bytes=99)
    assert files.due(QUIET_S, limit=1) == ["a.jpg"]
    assert not files.weigh("a.jpg", look(grown), QUIET_S)
    assert taken_at(files, "a.jpg", look(grown), until=1e9) == 2 * QUIET_S


@pytest.mark.parametrize("field", ["device", "inode", "size_bytes", "mtime_ns", "ctime_ns"])
def test_any_part_of_the_stamp_starts_the_wait_anew(field: str) -> None:
    files = settling()
    files.see("a.jpg", STAMP, 0.0)
    files.see("a.jpg", replace(STAMP, **{field: 77}), 1.5)
    assert files.due(QUIET_S, limit=10) == []
    assert files.due(1.5 + QUIET_S, limit=10) == ["a.jpg"]


def test_being_seen_again_unchanged_does_not_start_the_wait_anew() -> None:
    files = settling()
    for now in (0.0, 0.5, 1.0, 1.5):
        files.see("a.jpg", STAMP, now)
    assert files.due(QUIET_S, limit=10) == ["a.jpg"]


@given(st.integers(-(2**62), 2**62))
def test_the_date_of_the_file_has_no_part_in_it(mtime_ns: int) -> None:
    files, stamp = settling(), replace(STAMP, mtime_ns=mtime_ns)
    files.see("a.jpg", stamp, 0.0)
    assert taken_at(files, "a.jpg", look(stamp), until=1e9) == QUIET_S


def test_a_file_that_somebody_writes_is_never_taken_however_long_it_stands_still() -> None:
    files = settling()
    files.see("a.jpg", STAMP, 0.0)
    assert taken_at(files, "a.jpg", look(writers=Writers.SOME), until=100_000.0) is None
    assert files.waiting() == {"a.jpg": Waiting.WRITTEN}
    assert files.next_look() is not None, "it is looked at again"


def test_once_the_writer_is_gone_it_is_taken_at_the_next_look() -> None:
    files = settling()
    files.see("a.jpg", STAMP, 0.0)
    assert not files.weigh("a.jpg", look(writers=Writers.SOME), 50.0)
    assert files.next_look() == 52.0
    assert files.weigh("a.jpg", look(), 52.0)


@pytest.mark.parametrize(
    ("writers", "factor"), [(Writers.NONE, 1), (Writers.UNTOLD, FOREIGN_OWNER_FACTOR), (Writers.REMOTE, REMOTE_FACTOR)]
)
def test_where_the_kernel_cannot_tell_the_wait_is_longer(writers: Writers, factor: int) -> None:
    files = settling()
    files.see("a.jpg", STAMP, 10.0)
    assert taken_at(files, "a.jpg", look(writers=writers), until=1e9) == 10.0 + QUIET_S * factor


def test_a_file_without_its_end_gets_the_long_wait() -> None:
    files = settling()
    files.see("a.jpg", STAMP, 0.0)
    assert taken_at(files, "a.jpg", look(ending=Ending.INCOMPLETE), until=UNFINISHED_S) is None
    assert files.waiting() == {"a.jpg": Waiting.UNFINISHED}
    assert taken_at(files, "a.jpg", look(ending=Ending.INCOMPLETE), until=1e9) == UNFINISHED_S


def test_an_upload_that_is_resumed_during_the_long_wait_is_taken_whole() -> None:
    files = settling()
    files.see("a.jpg", STAMP, 0.0)
    assert taken_at(files, "a.jpg", look(ending=Ending.INCOMPLETE), until=300.0) is None
    whole = replace(STAMP, size_bytes=9, mtime_ns=9)
    files.see("a.jpg", whole, 300.0)
    assert taken_at(files, "a.jpg", look(whole), until=1e9) == 300.0 + QUIET_S


def test_a_kind_without_a_known_end_needs_no_end() -> None:
    files = settling()
    files.see("notes.txt", STAMP, 0.0)
    assert taken_at(files, "notes.txt", look(ending=Ending.UNTOLD), until=1e9) == QUIET_S


def test_a_file_that_may_not_be_opened_waits_and_is_tried_again() -> None:
    files = settling()
    files.see("a.jpg", STAMP, 0.0)
    assert not files.weigh("a.jpg", None, 2.0)
    assert files.waiting() == {"a.jpg": Waiting.UNREADABLE}
    assert files.next_look() == 4.0
    assert files.weigh("a.jpg", look(), 4.0), "once its rights are mended"


def test_the_longest_waiting_come_first_and_no_more_than_asked() -> None:
    files = settling()
    for n in range(5):
        files.see(f"{n}.jpg", STAMP, float(n))
    assert files.due(100.0, limit=3) == ["0.jpg", "1.jpg", "2.jpg"]
    assert files.due(100.0, limit=3) == ["3.jpg", "4.jpg"]


def test_one_that_was_named_but_not_weighed_is_named_again_a_moment_later() -> None:
    """Something broke between `due` and `weigh`: the file must not wait for ever."""
    files = settling()
    files.see("a.jpg", STAMP, 0.0)
    assert files.due(2.0, limit=9) == ["a.jpg"]
    assert files.due(2.0, limit=9) == []
    assert files.next_look() == 2.0 + RECHECK_S
    assert files.due(2.0 + RECHECK_S, limit=9) == ["a.jpg"]


def test_a_file_that_changed_twice_at_one_moment_is_named_once() -> None:
    files = settling()
    files.see("a.jpg", STAMP, 0.0)
    files.see("a.jpg", replace(STAMP, size_bytes=9), 0.0)
    assert files.due(QUIET_S, limit=9) == ["a.jpg"]


def test_what_is_gone_is_forgotten() -> None:
    files = settling()
    for path in ("a.jpg", "b.jpg", "c.jpg"):
        files.see(path, STAMP, 0.0)
    files.forget("a.jpg")
    files.forget("never seen")
    files.begin_sweep()
    files.see("b.jpg", STAMP, 1.0)
    files.end_sweep()
    assert (len(files), list(files.waiting())) == (1, ["b.jpg"])
    assert files.due(100.0, limit=9) == ["b.jpg"]
    assert not files.weigh("a.jpg", look(), 100.0), "a file that was forgotten is not taken"


def test_nothing_to_wait_for_means_no_next_look() -> None:
    files = settling()
    assert files.next_look() is None
    files.see("a.jpg", STAMP, 0.0)
    files.forget("a.jpg")
    assert files.next_look() is None


def test_a_settled_file_can_be_put_off() -> None:
    files = settling()
    files.see("a.jpg", STAMP, 0.0)
    assert files.due(2.0, limit=1) == ["a.jpg"]
    files.postpone("a.jpg", 60.0)
    files.postpone("never seen", 60.0)
    assert files.due(59.0, limit=9) == []
    assert files.due(60.0, limit=9) == ["a.jpg"]


PATHS = st.sampled_from(["a", "b", "c"])
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("see"), PATHS, st.integers(0, 2)),
        st.tuples(st.just("look"), PATHS, st.sampled_from(list(Writers))),
        st.tuples(st.just("forget"), PATHS, st.none()),
        st.tuples(st.just("due"), PATHS, st.none()),
    ),
    max_size=60,
)


@given(EVENTS, st.lists(st.floats(0.0, 3.0), min_size=60, max_size=60))
def test_whatever_happens_a_waiting_file_has_a_next_look_and_none_is_taken_early(
    events: list[tuple[str, str, object]], pauses_s: list[float]
) -> None:
    files, now = settling(), 0.0
    stamps: dict[str, Stamp] = {}
    changed: dict[str, float] = {}
    for (what, path, argument), pause_s in zip(events, pauses_s, strict=False):
        now += pause_s
        if what == "see":
            stamp = replace(STAMP, size_bytes=int(str(argument)))
            if stamps.get(path) != stamp:
                stamps[path], changed[path] = stamp, now
            files.see(path, stamp, now)
        elif what == "look" and path in stamps:
            if files.weigh(path, look(stamps[path], Writers(str(argument))), now):
                assert now - changed[path] >= QUIET_S * (1 - 1e-9)
        elif what == "forget":
            files.forget(path)
            stamps.pop(path, None)
        elif what == "due":
            named = files.due(now, limit=9)
            assert len(named) == len(set(named))
        assert (files.next_look() is None) == (len(files) == 0)


def test_a_file_that_comes_during_a_sweep_survives_its_end() -> None:
    files = settling()
    files.begin_sweep()
    files.see("a.jpg", STAMP, 0.0)
    files.end_sweep()
    assert list(files.waiting()) == ["a.jpg"]


def test_however_many_come_only_so_many_are_watched_and_the_rest_is_seen_when_there_is_room() -> None:
    files = Settling(quiet_s=QUIET_S, unfinished_s=UNFINISHED_S, most=10)
    paths = [f"{number}.jpg" for number in range(25)]
    taken: list[str] = []
    for sweep in range(10):
        files.begin_sweep()
        for path in (path for path in paths if path not in taken):
            files.see(path, STAMP, 10.0 * sweep)
        files.end_sweep()
        assert len(files) <= 10
        assert len(files) + files.unwatched == 25 - len(taken)
        while not files.has_room_again and (due := files.due(10.0 * sweep + QUIET_S, limit=1)):
            files.forget(due[0])
            taken += due
    assert sorted(taken) == sorted(paths)
