"""Folder and file names: whatever comes in, what goes out can be written anywhere and means one thing."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from birdwatchd.core.errors import UsageError
from birdwatchd.core.photo import State
from birdwatchd.core.shelving import (
    FOLDERS,
    HASH_DIGITS,
    INBOX,
    MARKER,
    MAX_NAME_BYTES,
    PRIVATE,
    digits_in,
    file_name,
    folder_of,
    printable,
    species_name,
)

SHA256 = "0123456789abcdef" * 4
ANYTHING = st.text(st.characters(), max_size=300) | st.binary(max_size=255).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)
HOSTILE = [
    "-rf",
    "a\nb.jpg",
    "\x1b[31m.jpg",
    "caf\udce9.jpg",
    "gpj\u202e.exe",
    "..jpg",
    "%n%s",
    "<img onerror>.jpg",
    "a" * 255,
    "鳥" * 85,
    "",
    ".",
    "..",
]
SHAS = st.sampled_from([SHA256, "f" * 64, "0" * 64])
NUMBERS = st.integers(1, 10**6)


def is_plain(text: str) -> bool:
    return all(char == " " or unicodedata.category(char)[0] not in "CZ" for char in text)


# -- file names


@given(ANYTHING, SHAS | st.none(), NUMBERS)
def test_a_file_name_can_be_written_anywhere(original: str, sha256: str | None, number: int) -> None:
    name = file_name(original, sha256=sha256, photo_id=7, number=number)
    assert 0 < len(name.encode("utf-8")) <= MAX_NAME_BYTES
    assert not set("/\\\0") & set(name)
    assert is_plain(name)
    assert name not in {".", ".."}


@pytest.mark.parametrize("original", HOSTILE)
def test_hostile_names_become_plain_ones(original: str) -> None:
    name = file_name(original, sha256=SHA256, photo_id=7)
    assert is_plain(name)
    assert f"-{SHA256[:HASH_DIGITS]}" in name
    assert len(f"{name}.json".encode()) <= 255


@given(ANYTHING, SHAS, NUMBERS, NUMBERS)
def test_the_digits_are_added_once_however_often_it_is_named(
    original: str, sha256: str, first: int, second: int
) -> None:
    once = file_name(original, sha256=sha256, photo_id=7, number=first)
    assert file_name(once, sha256=sha256, photo_id=7, number=first) == once
    assert file_name(once, sha256=sha256, photo_id=7, number=second).count(f"-{sha256[:HASH_DIGITS]}") == once.count(
        f"-{sha256[:HASH_DIGITS]}"
    )


@given(ANYTHING, SHAS, NUMBERS, NUMBERS)
def test_different_numbers_give_different_names(original: str, sha256: str, first: int, second: int) -> None:
    names = {file_name(original, sha256=sha256, photo_id=7, number=number) for number in (first, second)}
    assert len(names) == len({first, second})


@given(ANYTHING)
def test_different_contents_of_one_name_get_different_names(original: str) -> None:
    assert file_name(original, sha256="a" * 64, photo_id=1) != file_name(original, sha256="b" * 64, photo_id=2)
    assert file_name(original, sha256=None, photo_id=1) != file_name(original, sha256=None, photo_id=2)


@pytest.mark.parametrize(
    ("original", "kept"),
    [
        ("IMG_0001.JPG", "IMG_0001-0123456789abcdef.JPG"),
        ("a.b.jpg", "a.b-0123456789abcdef.jpg"),
        ("no suffix", "no suffix-0123456789abcdef"),
        ("a.this is no suffix at all", "a.this is no suffix at all-0123456789abcdef"),
        ("robin-0123456789abcdef.jpg", "robin-0123456789abcdef.jpg"),
        ("robin-0123456789abcdef-3.jpg", "robin-0123456789abcdef.jpg"),
        ("a/b\\c.jpg", "a_b_c-0123456789abcdef.jpg"),
        ("Kohlmeise ♂.jpg", "Kohlmeise ♂-0123456789abcdef.jpg"),
    ],
)
def test_stem_and_suffix_are_kept(original: str, kept: str) -> None:
    assert file_name(original, sha256=SHA256, photo_id=7) == kept


@given(ANYTHING, SHAS, NUMBERS)
@example("twice-0123456789abcdef-fedcba9876543210.jpg", "0" * 64, 2)
def test_the_digits_are_found_again_in_the_name(original: str, sha256: str, number: int) -> None:
    name = file_name(original, sha256=sha256, photo_id=7, number=number)
    assert digits_in(f"library/robin/{name}") == sha256[:HASH_DIGITS]


@pytest.mark.parametrize("name", ["a.jpg", "a-0123456789abcde.jpg", "0123456789abcdef.jpg", "x-0123456789abcdef-b.jpg"])
def test_a_name_without_digits_tells_none(name: str) -> None:
    assert digits_in(f"library/robin-0123456789abcdef/{name}") is None


def test_a_file_too_big_to_be_read_is_named_by_its_number_in_the_log() -> None:
    assert file_name("huge.tif", sha256=None, photo_id=7, number=2) == "huge-photo7-2.tif"


# -- text for people


@given(ANYTHING)
@example("".join(HOSTILE))
def test_printable_text_is_one_plain_encodable_line_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)
    assert is_plain(shown)
    shown.encode("utf-8")
    assert printable(shown) == shown


@given(st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" ")))
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[0m", "\\x1b[0m"),
        ("\u202egpj", "\\u202egpj"),
        ("\udcff", "\\xff"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown


# -- folders


def test_every_folder_lies_in_the_bird_folder() -> None:
    assert INBOX in FOLDERS
    assert all(not folder.startswith(("/", "..")) for folder in FOLDERS)
    assert MARKER.startswith(f"{PRIVATE}/")


def test_each_state_at_rest_has_its_folder() -> None:
    assert folder_of(State.FILED, label="robin") == "library/robin"
    assert folder_of(State.REVIEW, label="robin") == "review/robin"
    assert folder_of(State.REVIEW) == "review/unknown"
    assert folder_of(State.EMPTY) == "empty"
    assert folder_of(State.DUPLICATE) == "duplicates"
    assert folder_of(State.QUARANTINED, reason="truncated") == "quarantine/truncated"


@pytest.mark.parametrize("state", [State.CLAIMED, State.DECIDED, State.MISSING])
def test_a_photo_on_its_way_has_no_folder(state: State) -> None:
    with pytest.raises(ValueError, match="does not rest"):
        folder_of(state)


def test_a_filed_photo_has_a_species() -> None:
    with pytest.raises(ValueError, match="species"):
        folder_of(State.FILED)


# -- species


@given(ANYTHING)
@example("e\u0301")
def test_a_species_name_is_refused_or_a_safe_folder(text: str) -> None:
    try:
        name = species_name(text)
    except UsageError as error:
        str(error).encode("utf-8")
        return
    assert species_name(name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert is_plain(name)
    assert not set('/\\:*?"<>|') & set(name)
    assert not name.startswith(".")
    assert not name.endswith((".", " "))
    assert 0 < len(name.encode("utf-8")) <= 100


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        ".",
        "..",
        ".hidden",
        "../robin",
        "a/b",
        "a\\b",
        "a:b",
        "a\nb",
        "a\0b",
        "x" * 300,
        "caf\udce9",
        "gpj\u202e",
        "x" * 101,
        "etc.",
    ],
)
def test_names_that_cannot_be_folders_everywhere_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a species"):
        species_name(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" house finch ", "house finch"),
        ("-rf", "-rf"),
        ("Kohlmeise", "Kohlmeise"),
        ("e\u0301", "é"),
        ("シジュウカラ", "シジュウカラ"),
    ],
)
def test_names_in_any_language_are_taken(text: str, name: str) -> None:
    assert species_name(text) == name
