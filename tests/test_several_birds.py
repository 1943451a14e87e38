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
from birdwatchd.core.photo import Bird, Box, Spotting
from birdwatchd.core.preprocess import ModelInput
from birdwatchd.edges.images import as_jpeg
from tests.fakes import StubSpotter
from tests.gardens import Garden
from tests.pictures import jpeg

MAIN = Box(0.05, 0.1, 0.125, 0.2)
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
    caplog.set_level("INFO", "birdwatchd.worker")
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
