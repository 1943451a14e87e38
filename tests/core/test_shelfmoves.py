"""What moving a photo means: rules without a disk."""

from dataclasses import replace

import pytest

from birdwatchd.core import shelfmoves
from birdwatchd.core.errors import UsageError
from birdwatchd.core.photo import Stamp, State
from birdwatchd.core.shelfmoves import (
    Finding,
    Known,
    Lying,
    Place,
    Row,
    doubtful_names,
    is_mass,
    place_of,
    without_a_word,
    word_of,
)

SHA256 = "ab" * 32


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("library/robin/a.jpg", Place(State.FILED, "robin")),
        ("library/robin/2026/may/a.jpg", Place(State.FILED, "robin")),
        ("library/Empty/a.jpg", Place(State.EMPTY, "empty")),
        ("review/jay/a.jpg", Place(State.REVIEW, None)),
        ("review/a.jpg", Place(State.REVIEW, None)),
        ("empty/a.jpg", Place(State.EMPTY, "empty")),
        ("library/a.jpg", None),
        ("quarantine/x/a.jpg", None),
    ],
)
def test_the_folder_gives_the_name(path: str, place: Place | None) -> None:
    assert place_of(path) == place


def test_a_folder_that_cannot_be_a_name_is_told() -> None:
    with pytest.raises(UsageError):
        place_of("library/what?/a.jpg")
    assert shelfmoves.is_unclear("library/what?/a.jpg") is not None
    assert shelfmoves.is_unclear("library/robin/a.jpg") is None


FILED = Known(1, "library/robin/a.jpg", State.FILED, None)


def test_within_one_species_nothing_is_said() -> None:
    finding = word_of(FILED, None, [Lying("library/robin/2026/b.jpg", 5)])
    assert finding == Finding(1, "library/robin/2026/b.jpg", State.FILED, speaks=False, label="robin")


def test_where_it_is_is_no_news() -> None:
    assert word_of(FILED, Lying(FILED.path, 5), []) is None
    assert word_of(FILED, None, []) is None
    assert word_of(FILED, None, [Lying("library/a.jpg", 5)]) is None


def test_where_no_person_put_it_the_place_is_followed_and_the_logs_word_stands() -> None:
    waiting = Known(1, "review/jay/a.jpg", State.REVIEW, None)
    finding = word_of(waiting, None, [Lying("library/robin/a.jpg", 5)])
    assert finding is not None
    quiet = without_a_word(waiting, finding)
    assert quiet == Finding(1, "library/robin/a.jpg", State.REVIEW, speaks=False, label=None)
    assert without_a_word(replace(waiting, path=finding.path), finding) is None, "nothing new the next time"
    gone = replace(waiting, state=State.MISSING)
    assert without_a_word(gone, finding) == replace(quiet, state=State.FILED), "it is back"


def test_the_newest_copy_counts_and_one_left_in_review_does_not() -> None:
    here = Lying(FILED.path, 5)
    assert word_of(FILED, here, [Lying("library/wren/a.jpg", 5), Lying("review/jay/a.jpg", 9)]) is None
    finding = word_of(FILED, here, [Lying("library/wren/a.jpg", 6), Lying("library/jay/a.jpg", 7)])
    assert finding == Finding(1, "library/jay/a.jpg", State.FILED, speaks=True, label="jay")


def test_a_name_that_the_photo_has_already_is_not_said_again() -> None:
    known = Known(1, "library/robin/a.jpg", State.FILED, "wren")
    finding = word_of(known, None, [Lying("library/wren/a.jpg", 6)])
    assert finding is not None
    assert not finding.speaks


def stamp(size: int = 7, inode: int = 1, mtime_ns: int = 1) -> Stamp:
    return Stamp(1, inode, size, mtime_ns, 1)


@pytest.mark.parametrize(
    ("name", "now", "before", "is_itself"),
    [
        (f"a-{SHA256[:16]}.jpg", stamp(), None, True),
        ("a.jpg", stamp(), stamp(), True),
        ("a.jpg", stamp(size=8), None, False),
        ("a.jpg", stamp(mtime_ns=2), stamp(), False),
        ("a.jpg", stamp(inode=2), stamp(), False),
        (f"a-{'cd' * 8}.jpg", stamp(), None, False),
    ],
)
def test_only_what_may_be_something_else_is_read(
    name: str, now: Stamp, before: Stamp | None, *, is_itself: bool
) -> None:
    path = f"library/robin/{name}"
    row = Row(1, path, State.FILED, SHA256, 7)
    unknown, absent = shelfmoves.differences([row], {path: now}, {} if before is None else {path: before})
    assert (unknown == [], absent) == (is_itself, [])


def test_what_is_not_there_is_absent_and_what_no_row_knows_is_unknown() -> None:
    row = Row(1, "library/robin/a.jpg", State.FILED, SHA256, 7)
    assert shelfmoves.differences([row], {"empty/b.jpg": stamp()}, {}) == (["empty/b.jpg"], [row])


def test_a_row_that_disagrees_with_its_place_is_looked_at() -> None:
    row = Row(1, "library/robin/a.jpg", State.REVIEW, SHA256, 7)
    assert shelfmoves.differences([row], {row.path: stamp()}, {}) == ([row.path], [])


def test_few_may_go_and_most_of_many_may_not() -> None:
    assert not is_mass(10, 10)
    assert is_mass(11, 21)
    assert not is_mass(11, 22)


@pytest.mark.parametrize(
    ("counts", "doubtful"),
    [
        ({"robin": 20, "robbin": 4}, {"robbin": "robin"}),
        ({"robin": 20, "robbin": 5}, {}),
        ({"robin": 20, "Robin": 1}, {"Robin": "robin"}),
        ({"house-finch": 9, "house finch": 1, "house-finhc": 1}, {"house finch": "house-finch", "house-finhc": "house-finch"}),
        ({"house-finch": 9, "house-sparrow": 1, "crow": 9, "crane": 1}, {}),
        ({"emty": 2}, {"emty": "empty"}),
        ({"empty": 2, "robin": 1, "robins": 1}, {"robins": "robin"}),
        ({"coal-tit": 9, "blue-tit": 1, "great-tit": 1}, {}),
        ({"gull-1": 9, "gull-2": 1, "gull 1": 1}, {"gull 1": "gull-1"}),
    ],
)  # fmt: skip
def test_a_name_close_to_a_stronger_one_is_doubtful_until_it_is_strong(
    counts: dict[str, int], doubtful: dict[str, str]
) -> None:
    assert doubtful_names(counts) == doubtful
