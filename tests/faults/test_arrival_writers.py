"""Those who write slowly, stop, pause, die or come back: a photo is taken when it is whole, not before, and once.

The writers are real programs and the leases the kernel's own; only the clock is turned by hand, so that ten minutes pass at once.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.core.settling import Waiting, Writers
from birdwatchd.edges.files import Files, disk
from tests import books
from tests.faults.told import kept
from tests.faults.writers import DESPITE_THE_END, Writer, writing
from tests.pictures import jpeg, png, webp
from tests.test_worker import Bench

PHOTO = jpeg(seed=1)
LOOKS_WHOLE = PHOTO + DESPITE_THE_END * 1000
"""Its first half and a bit ends as a photo ends; what holds such a file back is its writer."""

HALF = 0.5
GIVEN_UP_S = 600.0


@pytest.fixture
def garden(root: Path, tmp_path: Path) -> Iterator[Bench]:
    garden = Bench(root, tmp_path / "lamp")
    yield garden
    garden.close()


@pytest.fixture
def writer(root: Path, tmp_path: Path) -> Iterator[Writer]:
    with writing(root / "inbox" / "a.jpg", LOOKS_WHOLE, tmp_path) as writer:
        yield writer


def is_untouched(garden: Bench) -> bool:
    return garden.states() == {} and (garden.root / "inbox" / "a.jpg").exists()


def is_filed_once(garden: Bench, data: bytes) -> bool:
    books.check(garden.root, Counter([books.content(data)]))
    return garden.states() == {"review": 1}


@pytest.mark.fault("A01")
def test_a_file_still_growing_is_never_claimed(garden: Bench, writer: Writer) -> None:
    for tick in range(1, 121):
        writer.write_to(tick / 120)
        garden.worker.hint("a.jpg")  # as each write is heard of
        garden.let_pass(0.5)
        assert is_untouched(garden)
    writer.close()
    garden.let_pass(2.5)
    assert is_filed_once(garden, LOOKS_WHOLE)


@pytest.mark.fault("A01")
def test_a_file_that_is_opened_for_each_piece_is_taken_only_after_a_whole_quiet_time(garden: Bench) -> None:
    """No writer is to be seen between the pieces, and each piece looks like an end: only the quiet time is left."""
    path = garden.root / "inbox" / "a.jpg"
    path.write_bytes(PHOTO)
    for _ in range(120):
        with path.open("ab") as file:
            file.write(DESPITE_THE_END)
        garden.worker.hint("a.jpg")
        garden.let_pass(0.5)
        assert is_untouched(garden)
    garden.let_pass(2.5)
    assert is_filed_once(garden, PHOTO + DESPITE_THE_END * 120)


@pytest.mark.fault("A02", "A04")
@pytest.mark.parametrize(("stopped", "seconds"), [(True, 300.0), (False, 20.0), (False, GIVEN_UP_S + 60)])
def test_a_writer_that_is_stopped_or_pauses_is_waited_for_as_long_as_it_has_the_file_open(
    garden: Bench, writer: Writer, stopped: bool, seconds: float
) -> None:
    writer.write_to(HALF)
    garden.worker.hint("a.jpg")
    if stopped:
        writer.stop()
    garden.let_pass(seconds)
    assert is_untouched(garden)
    assert garden.worker.waiting() == {"a.jpg": Waiting.WRITTEN}
    writer.go_on()
    writer.write_to(1)
    writer.close()
    garden.let_pass(4)
    assert is_filed_once(garden, LOOKS_WHOLE)


@pytest.mark.fault("A03")
def test_a_photo_whose_writer_died_half_way_waits_is_told_of_and_then_set_aside(garden: Bench, tmp_path: Path) -> None:
    with writing(garden.root / "inbox" / "a.jpg", PHOTO, tmp_path) as writer:
        writer.write_to(HALF)
    garden.worker.hint("a.jpg")
    garden.let_pass(GIVEN_UP_S - 60)
    assert is_untouched(garden)
    assert garden.worker.waiting() == {"a.jpg": Waiting.UNFINISHED}
    garden.drop("b.jpg", seed=2)
    garden.let_pass(40)
    assert garden.states() == {"review": 1}, "the others go on"
    garden.let_pass(60)
    assert garden.states() == {"review": 1, "quarantined": 1}
    (cut,) = books.files_in(garden.root, "quarantine").values()
    assert cut == books.content(PHOTO[: len(PHOTO) // 2])


@pytest.mark.fault("A03")
def test_a_photo_whose_writer_comes_back_in_time_is_filed_whole(garden: Bench, tmp_path: Path) -> None:
    for share in (0.3, 0.6, 1):
        with writing(garden.root / "inbox" / "a.jpg", PHOTO, tmp_path) as writer:
            writer.write_to(share)
        garden.let_pass(GIVEN_UP_S - 60 if share < 1 else 40)
    assert is_filed_once(garden, PHOTO)


@pytest.mark.fault("A05")
def test_a_file_of_another_user_is_watched_longer_because_nobody_can_tell_who_writes_it(
    garden: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the kernel's answer is played; a daemon without powers asks it in earnest in test_arrival_rights."""
    monkeypatch.setattr(Files, "_writers", lambda *_: Writers.UNTOLD)
    path = garden.root / "inbox" / "a.jpg"
    path.write_bytes(PHOTO)
    garden.worker.hint("a.jpg")
    garden.let_pass(9)
    assert is_untouched(garden)
    with path.open("ab") as file:
        file.write(DESPITE_THE_END)
    garden.worker.hint("a.jpg")
    garden.let_pass(9)
    assert is_untouched(garden)
    assert garden.worker.waiting() == {"a.jpg": Waiting.LONGER}
    garden.let_pass(2)
    assert is_filed_once(garden, PHOTO + DESPITE_THE_END)


@pytest.mark.fault("A05")
def test_a_file_written_to_after_all_when_it_was_just_claimed_goes_back_and_is_filed_whole_later(
    garden: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Files, "_writers", lambda *_: Writers.UNTOLD)
    path = garden.root / "inbox" / "a.jpg"
    path.write_bytes(PHOTO)
    claim, claimed = Files.claim, 0
    with path.open("ab", buffering=0) as file:

        def claim_and_be_written_to(files: Files, *what: Any) -> None:
            nonlocal claimed
            claim(files, *what)
            claimed += 1
            if claimed == 1:
                file.write(DESPITE_THE_END)

        monkeypatch.setattr(Files, "claim", claim_and_be_written_to)
        garden.let_pass(60)
    assert claimed == 2
    assert is_filed_once(garden, PHOTO + DESPITE_THE_END)


@pytest.mark.fault("A09")
@pytest.mark.parametrize("seconds", [315_532_800, 4_070_908_800, 0, -86_400, 1 << 33])
def test_the_files_own_date_says_nothing_about_whether_it_is_ready(garden: Bench, seconds: int) -> None:
    """1980, 2099, 1970, 1969, and beyond what 32 bits hold."""
    path = garden.root / "inbox" / "a.jpg"
    path.write_bytes(PHOTO)
    os.utime(path, (seconds, seconds))
    garden.worker.hint("a.jpg")
    garden.let_pass(1.5)
    assert is_untouched(garden)
    garden.let_pass(1.5)
    assert is_filed_once(garden, PHOTO)
    (filed,) = (path for path in (garden.root / "review").rglob("a-*.jpg"))
    assert filed.stat().st_mtime == seconds, "and it is kept"


@pytest.mark.fault("A10")
def test_a_file_mapped_into_memory_is_waited_for_until_it_is_unmapped(garden: Bench, writer: Writer) -> None:
    writer.do("os.ftruncate(handle, len(data)); memory = mmap.mmap(handle, len(data))")
    writer.close()
    for share in (0.25, 0.5, 0.75, 1):
        writer.do(f"end = int(len(data) * {share}); memory[:end] = data[:end]")
        garden.worker.hint("a.jpg")
        garden.let_pass(20)
        assert is_untouched(garden)
        assert garden.worker.waiting() == {"a.jpg": Waiting.WRITTEN}
    writer.do("memory.close()")
    garden.let_pass(4)
    assert is_filed_once(garden, LOOKS_WHOLE)


@pytest.mark.fault("A11")
@pytest.mark.parametrize(
    "data", [jpeg(seed=3), png(seed=3), webp(width=1600, height=1200, seed=3)], ids=["jpeg", "png", "webp"]
)
def test_a_file_whose_room_was_reserved_first_waits_for_its_bytes(garden: Bench, tmp_path: Path, data: bytes) -> None:
    """It has its full length from the start, and between the steps nobody has it open."""
    path = garden.root / "inbox" / "a.jpg"
    for share in (0, 0.5, 0.85):
        with writing(path, data, tmp_path) as writer:
            writer.do("os.posix_fallocate(handle, 0, len(data))")
            writer.write_to(share)
        garden.let_pass(60)
        assert is_untouched(garden)
        assert garden.worker.waiting() == {"a.jpg": Waiting.UNFINISHED}
    with writing(path, data, tmp_path) as writer:
        writer.write_to(1)
    garden.let_pass(40)
    assert is_filed_once(garden, data)


@pytest.mark.fault("A12")
@pytest.mark.parametrize(
    ("just_before", "just_after", "kept_versions"), [(1, None, [1]), (None, 1, [0, 1]), (1, 2, [1, 2])]
)
def test_at_whichever_moment_of_a_claim_a_file_is_replaced_what_was_there_is_kept(
    garden: Bench,
    monkeypatch: pytest.MonkeyPatch,
    just_before: int | None,
    just_after: int | None,
    kept_versions: list[int],
) -> None:
    """The claim finds another file under the name that it judged, or leaves the name to the next, or both."""
    versions = [jpeg(seed=seed) for seed in range(3)]
    path, renamed, claims = garden.root / "inbox" / "a.jpg", disk.renamed, 0

    def replace_by(number: int | None) -> None:
        if number is not None:
            path.with_name(".next").write_bytes(versions[number])
            path.with_name(".next").replace(path)

    def claim_in_bad_company(source: Path, target: Path) -> bool:
        nonlocal claims
        claims += 1
        if claims > 1:
            return renamed(source, target)
        replace_by(just_before)
        done = renamed(source, target)
        replace_by(just_after)
        return done

    monkeypatch.setattr(disk, "renamed", claim_in_bad_company)
    replace_by(0)
    garden.let_pass(70)
    assert claims > 1
    books.check(garden.root, Counter(books.content(versions[number]) for number in kept_versions))
    assert garden.worker.condition.problems == {}


@pytest.mark.fault("A13")
def test_a_file_that_goes_away_between_look_and_claim_leaves_no_trace(
    garden: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = garden.root / "inbox"
    claim = Files.claim

    def too_late(files: Files, inbox_path: str, *rest: Any) -> None:
        if inbox_path == "deleted.jpg":
            (inbox / inbox_path).unlink()
        elif inbox_path == "renamed.jpg":
            (inbox / inbox_path).rename(inbox / "new name.jpg")
        claim(files, inbox_path, *rest)

    monkeypatch.setattr(Files, "claim", too_late)
    for seed, name in enumerate(("deleted.jpg", "renamed.jpg", "stays.jpg")):
        garden.drop(name, seed=seed)
    garden.let_pass(70)
    assert garden.states() == {"review": 2}
    assert garden.worker.condition.problems == {}
    assert sorted(row["original_name"] for row in garden.store.connection.rows("SELECT * FROM photos")) == [
        "new name.jpg",
        "stays.jpg",
    ]
    books.check(garden.root, Counter(kept(garden.root)))


@pytest.mark.fault("A28")
def test_empty_tiny_and_huge_files_are_waited_for_and_then_set_aside_without_being_read(garden: Bench) -> None:
    inbox = garden.root / "inbox"
    (inbox / "empty.jpg").touch()
    (inbox / "one.jpg").write_bytes(b"\xff")
    for name, start in (("sparse.jpg", b""), ("sparse photo.jpg", PHOTO[:5000])):
        (inbox / name).write_bytes(start)
        os.truncate(inbox / name, 10 << 30)
    garden.drop("good.jpg", seed=2)
    garden.let_pass(60)
    assert garden.states() == {"review": 1, "quarantined": 1}, "what has no known end need not wait for one"
    assert {path: str(why) for path, why in garden.worker.waiting().items()} == dict.fromkeys(
        ("empty.jpg", "sparse.jpg", "sparse photo.jpg"), "its end has not arrived yet"
    )
    garden.let_pass(GIVEN_UP_S)
    rows = garden.store.connection.rows("SELECT * FROM photos WHERE state = 'quarantined'")
    reasons = {row["original_name"]: row["reason"] for row in rows}
    assert reasons == {
        "empty.jpg": "empty-file",
        "one.jpg": "not-a-picture",
        "sparse.jpg": "too-large",
        "sparse photo.jpg": "too-large",
    }
    assert [row["sha256"] for row in rows if row["reason"] == "too-large"] == [None, None], "nobody read ten gigabytes"
    assert garden.worker.condition.problems == {}
