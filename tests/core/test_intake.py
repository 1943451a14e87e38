"""What in the inbox is a photo to be, and whose: told from names alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core.intake import camera_of, is_ignored, is_ignored_path

ANY_NAME = st.text(min_size=1).filter(lambda name: "/" not in name and "\0" not in name and name not in {".", ".."})


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.jpg", "._IMG_1.jpg", ".IMG_1.jpg.Xa81sd", ".pureftpd-upload.5e.jpg", ".trashes", "a.jpg.part", "a.jpg.filepart",
        "a.JPG.TMP", "a.crdownload", "a.partial", "a.!sync", "a.swp", "a.jpg~", "~a.jpg", "~$a.jpg", "Thumbs.db",
        "DESKTOP.INI", "Icon\r",
    ],
)  # fmt: skip
def test_files_still_written_and_litter_are_passed_over(name: str) -> None:
    assert is_ignored(name)


@pytest.mark.parametrize(
    "name", ["a.jpg", "IMG_0001.JPG", "-rf", "part.jpg", "tmp", "a.part.jpg", "a~b.jpg", "thumbs.db.jpg"]
)
def test_photos_with_odd_names_are_not_passed_over(name: str) -> None:
    assert not is_ignored(name)


@pytest.mark.parametrize(
    "name",
    [
        ".stfolder",
        ".stversions",
        "@eaDir",
        "#recycle",
        "__MACOSX",
        "lost+found",
        "$RECYCLE.BIN",
        "System Volume Information",
    ],
)
def test_folders_that_machines_make_are_passed_over(name: str) -> None:
    assert is_ignored(name, folder=True)


@pytest.mark.parametrize("name", ["feeder", "DCIM", "100MEDIA", "thumbs.db", "garden.part", "old~"])
def test_folders_of_people_and_cameras_are_entered(name: str) -> None:
    assert not is_ignored(name, folder=True)


def test_own_patterns_hold_for_files_and_folders_whatever_their_letter_case() -> None:
    assert is_ignored("Test-1.JPG", ["test-*"])
    assert is_ignored("test-shots", ["TEST-*"], folder=True)
    assert not is_ignored("a test.jpg", ["test-*"])


@given(ANY_NAME)
def test_letter_case_never_counts(name: str) -> None:
    assert is_ignored(name.upper()) == is_ignored(name.upper().casefold())


@given(st.lists(ANY_NAME, min_size=1, max_size=4), st.lists(st.sampled_from(["a*", "*.JPG", "?"]), max_size=2))
def test_a_path_is_passed_over_exactly_when_a_sweep_would_not_come_by_it(parts: list[str], patterns: list[str]) -> None:
    *folders, name = parts
    swept = not any(is_ignored(folder, patterns, folder=True) for folder in folders) and not is_ignored(name, patterns)
    assert is_ignored_path("/".join(parts), patterns) == (not swept)


@pytest.mark.parametrize(
    ("path", "camera"),
    [
        ("a.jpg", None),
        ("feeder/a.jpg", "feeder"),
        ("feeder/2026/05/a.jpg", "feeder"),
        ("feeder/DCIM/100MEDIA/a.jpg", "feeder"),
        ("DCIM/a.jpg", None),
        ("DCIM/100MEDIA/a.jpg", None),
        ("dcim/101_PANA/a.jpg", None),
        ("100CANON/a.jpg", None),
        ("102D3200/a.jpg", None),
        ("MISC/a.jpg", None),
        ("DCIM/feeder/a.jpg", "feeder"),
        ("100 acre wood/a.jpg", "100 acre wood"),
        ("Vogelhäuschen/a.jpg", "Vogelhäuschen"),
    ],
)
def test_the_first_folder_that_no_camera_made_names_the_camera(path: str, camera: str | None) -> None:
    assert camera_of(path) == camera


def test_names_that_are_no_utf_8_are_taken_as_they_are() -> None:
    assert camera_of("caf\udce9/a.jpg") == "caf\udce9"
    assert not is_ignored("caf\udce9.jpg")
