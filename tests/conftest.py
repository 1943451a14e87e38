"""What every test stands on: no thread left behind, a bird folder, and one spotter built for all."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdwatchd.core import shelving
from birdwatchd.edges.files import Files
from birdwatchd.edges.trainer import build_spotter


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]
    assert left == [], f"threads left behind: {left}"


@pytest.fixture(autouse=True)
def _no_setting_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BIRDWATCHD_") and name != "BIRDWATCHD_TEST_DATA"]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A fresh bird folder, without a spotter."""
    root = tmp_path / "birdwatch"
    files = Files(root)
    files.create()
    files.check()
    return root


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the real spotter in it, built once."""
    models = tmp_path_factory.mktemp("models")
    build_spotter(models)
    return models


@pytest.fixture
def seeing_root(root: Path, models_dir: Path) -> Path:
    """A fresh bird folder with the real spotter."""
    for model in models_dir.iterdir():
        (root / shelving.MODELS / model.name).hardlink_to(model)
    return root


@pytest.fixture(scope="session")
def real_photos() -> Path:
    """The folder of real photos: BIRDWATCHD_TEST_DATA, else ../shared/data beside the repository."""
    place = Path(os.environ.get("BIRDWATCHD_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (place / "birds").is_dir():
        pytest.skip(f"no real photos at {place}: set BIRDWATCHD_TEST_DATA")
    return place
