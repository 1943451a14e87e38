"""Several birds in one photo: counted, told, and shown where they are. The eye is a stub that sees a flock in every bright photo."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdwatchd import service
from birdwatchd.cli.app import run_command
from birdwatchd.core.errors import Refused
from birdwatchd.core.photo import WHOLE_FRAME, Bird, Box, Pixels, Spotting
from birdwatchd.core.preprocess import ModelInput
from birdwatchd.edges.drawing import Mark, drawn
from birdwatchd.edges.files import write_new
from birdwatchd.edges.images import Limits, as_jpeg, decode
from birdwatchd.edges.store import Said
from birdwatchd.picturing import marks_of
from tests.fakes import StubSpotter
from tests.gardens import Garden
from tests.pictures import exif, jpeg

MAIN = Box(0.05, 0.1, 0.125, 0.2)
LIMITS = Limits(max_megapixels=40, formats=frozenset({"jpeg", "png"}))
OTHERS = (Bird(Box(0.7, 0.6, 0.2, 0.3), 0.8125), Bird(Box(0.4, 0.4, 0.1, 0.1), 0.25))


@dataclass
class FlockSpotter(StubSpotter):
    """Sees the same birds in every bright photo."""

    others: tuple[Bird, ...] = OTHERS

    def spot(self, inputs: ModelInput) -> list[Spotting]:
        """One answer per picture of the batch."""
        return [replace(one, box=MAIN, others=self.others) for one in super().spot(inputs)]


@pytest.fixture
def garden(root: Path) -> Iterator[Garden]:
    one = Garden(root)
    see(one, OTHERS)
    yield one
    one.close()


def see(garden: Garden, others: tuple[Bird, ...]) -> None:
    """From now on the eye sees these beside the main bird."""
    assert garden.worker.pipeline.examiner is not None
    garden.worker.pipeline.examiner.spotter = FlockSpotter(others=others)  # type: ignore[assignment]


def drop(garden: Garden, *photos: bytes) -> None:
    """Photos by the inbox, one after the other."""
    for number, photo in enumerate(photos):
        (garden.root / "inbox" / f"{number}.jpg").write_bytes(photo)
        garden.steps_until(lambda: not any((garden.root / "inbox").iterdir()))


def dark() -> bytes:
    """A photo in which the stub sees no bird."""
    return as_jpeg(np.zeros((64, 64, 3), np.uint8))


def asked(garden: Garden, capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> str:
    """What a command says."""
    capsys.readouterr()
    assert run_command([*map(str, words), "--root", str(garden.root)]) == code
    return capsys.readouterr().out


def test_the_log_tells_how_many_birds_are_in_each_photo(garden: Garden, capsys: pytest.CaptureFixture[str]) -> None:
    drop(garden, jpeg(), dark(), b"no photo at all")
    see(garden, ())
    drop(garden, jpeg(seed=1))
    rows = json.loads(asked(garden, capsys, "log", "--json"))
    assert [(row["state"], row["birds"]) for row in rows] == [
        ("review", 1), ("quarantined", None), ("empty", 0), ("review", 3),
    ]  # fmt: skip


def test_the_table_counts_birds_only_where_some_photo_has_several(
    garden: Garden, capsys: pytest.CaptureFixture[str]
) -> None:
    see(garden, ())
    drop(garden, jpeg())
    assert "birds" not in asked(garden, capsys, "log").splitlines()[0].split()
    see(garden, OTHERS)
    drop(garden, jpeg(seed=1))
    heading, several, alone = asked(garden, capsys, "log").splitlines()
    place = heading.index("birds")
    assert (several[place], alone[place]) == ("3", "1")


def test_the_daemons_line_tells_of_several_birds_and_is_silent_about_one(
    garden: Garden, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "birdwatchd.taking")
    drop(garden, jpeg(), dark())
    see(garden, ())
    drop(garden, jpeg(seed=1))
    facts: list[dict[str, Any]] = [record.facts for record in caplog.records if "->" in record.message]  # type: ignore[attr-defined]
    assert [one.get("birds") for one in facts] == [3, None, None]


def test_explain_tells_where_each_bird_is(garden: Garden, capsys: pytest.CaptureFixture[str]) -> None:
    drop(garden, jpeg(), dark())
    said = asked(garden, capsys, "explain", "1")
    assert "  bird 1     upper left, 12 % of the width, 0.90\n" in said
    assert "  bird 2     lower right, 20 % of the width, 0.81\n" in said
    assert "  bird 3     middle, 10 % of the width, 0.25\n" in said
    assert json.loads(asked(garden, capsys, "explain", "1", "--json"))["birds"] == [
        {"number": 1, "box": [0.05, 0.1, 0.125, 0.2], "birdness": 0.9},
        {"number": 2, "box": [0.7, 0.6, 0.2, 0.3], "birdness": 0.8125},
        {"number": 3, "box": [0.4, 0.4, 0.1, 0.1], "birdness": 0.25},
    ]
    assert "  bird 1" not in asked(garden, capsys, "explain", "2")
    assert json.loads(asked(garden, capsys, "explain", "2", "--json"))["birds"] == []


def test_classify_tells_every_bird_the_main_one_first(
    garden: Garden, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "spotter_loader", lambda _: FlockSpotter)
    (tmp_path / "flock.jpg").write_bytes(jpeg())
    (tmp_path / "empty.jpg").write_bytes(dark())
    flock, empty = json.loads(
        asked(garden, capsys, "classify", tmp_path / "flock.jpg", tmp_path / "empty.jpg", "--json")
    )
    assert flock["box"] == [0.05, 0.1, 0.125, 0.2]
    assert flock["birds"] == [
        {"box": [0.05, 0.1, 0.125, 0.2], "birdness": 0.9},
        {"box": [0.7, 0.6, 0.2, 0.3], "birdness": 0.8125},
        {"box": [0.4, 0.4, 0.1, 0.1], "birdness": 0.25},
    ]
    assert (empty["verdict"], empty["birds"]) == ("empty", [])


# -- explain --picture


def shown(path: Path) -> Pixels:
    """The picture in a file; it is a PNG."""
    assert path.read_bytes().startswith(b"\x89PNG")
    return decode(path.read_bytes(), LIMITS, thumbnail_px=4000).whole()


def refused(garden: Garden, capsys: pytest.CaptureFixture[str], target: Path, *, photo: str = "1") -> str:
    """What the command says when it does not draw: one line and a hint."""
    capsys.readouterr()
    assert run_command(["explain", photo, "--picture", str(target), "--root", str(garden.root)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.startswith("  hint: ") for line in err.splitlines()] == [False, True]
    return err


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("size", "orientation", "size_px"),
    [((3000, 2000), 1, (1600, 1067)), ((2000, 3000), 1, (1067, 1600)), ((640, 480), 6, (480, 640))],
)
def test_the_picture_is_upright_and_no_larger_than_a_screen(
    garden: Garden,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    size: tuple[int, int],
    orientation: int,
    size_px: tuple[int, int],
) -> None:
    drop(garden, jpeg(width=size[0], height=size[1], exif=exif(orientation=orientation)))
    said = asked(garden, capsys, "explain", "1", "--picture", tmp_path / "out.png")
    assert f"drawn in   {tmp_path / 'out.png'}\n" in said
    assert shown(tmp_path / "out.png").shape == (size_px[1], size_px[0], 3)


def test_each_bird_has_its_frame_and_the_main_one_a_thicker_one_of_another_colour(
    garden: Garden, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop(garden, as_jpeg(np.full((1200, 1600, 3), 200, np.uint8)))
    asked(garden, capsys, "explain", "1", "--picture", tmp_path / "out.png")
    picture = shown(tmp_path / "out.png")
    middle_of_main = picture[240, 60:200]  # a line across the left edge of its frame
    middle_of_other = picture[900, 1100:1200]
    orange = (middle_of_main == (255, 176, 0)).all(axis=1).sum()
    blue = (middle_of_other == (86, 216, 255)).all(axis=1).sum()
    assert orange > blue > 0
    assert (middle_of_main == 16).all(axis=1).any(), "dark beside it, for a light ground"
    assert (picture[600, 1300:1500] > 190).all(), "the photo is as it was elsewhere"


def test_a_photo_without_a_bird_is_shown_as_it_is(
    garden: Garden, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop(garden, dark())
    said = asked(garden, capsys, "explain", "1", "--picture", tmp_path / "out.png")
    assert "without a frame: no bird is known in it" in said
    assert shown(tmp_path / "out.png").max() < 8


def test_a_file_that_is_there_is_never_drawn_over(
    garden: Garden, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop(garden, jpeg())
    (tmp_path / "mine.png").write_bytes(b"mine")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere")
    for name in ("mine.png", "link.png"):
        assert "choose another name" in refused(garden, capsys, tmp_path / name)
    assert (tmp_path / "mine.png").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_file_that_comes_meanwhile_is_not_drawn_over_either(tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(b"mine")
    with pytest.raises(Refused, match="is there already"):
        write_new(tmp_path / "mine.png", b"ours")
    with pytest.raises(Refused, match="cannot write"):
        write_new(tmp_path / "mine.png" / "out.png", b"ours")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"mine.png": b"mine"}


def test_what_cannot_be_shown_is_refused_and_nothing_is_written(
    garden: Garden, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop(garden, jpeg(), b"no photo at all", jpeg(seed=2), jpeg(seed=3))
    where = {row["id"]: garden.root / row["path"] for row in garden.store.questions.kept_paths()}
    out = tmp_path / "pictures"
    out.mkdir()
    assert "is no folder" in refused(garden, capsys, out / "none" / "out.png")
    assert "bird folder" in refused(garden, capsys, garden.root / "inbox" / "out.png")
    assert "in quarantine" in refused(garden, capsys, out / "out.png", photo="2")
    where[3].unlink()
    assert "not at" in refused(garden, capsys, out / "out.png", photo="3")
    garden.store.journeys.record_missing([3])
    assert "not at" in refused(garden, capsys, out / "out.png", photo="3")
    where[4].write_bytes(jpeg(seed=5))
    assert "not the photo it was" in refused(garden, capsys, out / "out.png", photo="4")
    assert names(out) == set()
    assert not any((garden.root / "inbox").iterdir())


@pytest.mark.parametrize(
    "box", [WHOLE_FRAME, Box(0, 0, 0, 0), Box(1, 1, 0, 0), Box(-0.5, -0.5, 3, 3), Box(0.5, 0.99, 0.5, 0.01)]
)
@pytest.mark.parametrize("size_px", [(32, 32), (40, 1600), (1600, 40)])
def test_any_frame_and_any_words_can_be_drawn_in_any_picture(box: Box, size_px: tuple[int, int]) -> None:
    ground = np.full((*size_px, 3), 90, np.uint8)
    for words in ("", "r", "a very long name of a bird " * 20, "Mönchsgrasmücke 鳥"):
        assert drawn(ground, [Mark(box, words, main=True), Mark(box, words)]).startswith(b"\x89PNG")
    assert (ground == 90).all()


@pytest.mark.parametrize(("label", "words"), [(None, "  0.50"), ("wren", "wren"), ("empty", "  0.50")])
def test_the_main_frame_bears_the_name_and_whose_it_is(garden: Garden, label: str | None, words: str) -> None:
    drop(garden, jpeg())
    if label is not None:
        garden.store.journeys.record_label(1, Said(label, "cli", None, "2026-05-01T05:30:00.250Z"))
    receipt = garden.store.questions.receipt(1)
    assert receipt is not None
    main, *others = marks_of(receipt)
    assert main.main
    assert main.words.endswith(words)
    assert [(mark.main, mark.words) for mark in others] == [(False, "bird 2  0.81"), (False, "bird 3  0.25")]
