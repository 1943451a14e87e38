"""What every test stands on: no thread left behind, a bird folder, and one spotter built for all."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from birdwatchd.core import shelving
from birdwatchd.edges.files import Files
from birdwatchd.edges.trainer import build_spotter
from tests.faults.catalogue import ROWS

settings.register_profile("patient", deadline=None)  # a busy machine is no fault of what is tested
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", action="store_true", help="also the long versions (`make torture`)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--torture"):
        left_out = [item for item in items if item.get_closest_marker("torture")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    for item in items:  # for the count of rows at the end
        rows = [row for mark in item.iter_markers("fault") for row in mark.args]
        item.user_properties.append(("faults", rows))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the rows of the fault catalogue: a row that this machine could not test is told, never passed over."""
    ends: dict[str, dict[str, list[str]]] = {}
    for outcome in ("passed", "failed", "skipped", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            if outcome == "passed" and report.when != "call":
                continue
            # A file that cannot be collected has no properties.
            for row in dict(getattr(report, "user_properties", ())).get("faults", []):
                why = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
                ends.setdefault(row, {}).setdefault(outcome, []).append(str(why).removeprefix("Skipped: "))
    if not ends:
        return
    failed = sorted(row for row, end in ends.items() if "failed" in end or "error" in end)
    held = sorted(row for row, end in ends.items() if "passed" in end and row not in failed)
    whole = [row for row in held if "skipped" not in ends[row]]
    terminalreporter.section("fault catalogue")
    terminalreporter.line(f"{len(whole)} rows held, {len(held) - len(whole)} held in part, {len(failed)} failed")
    for row in sorted(ends):
        for why in dict.fromkeys(ends[row].get("skipped", [])):
            part = "in part " if row in held else ""
            terminalreporter.line(f"SKIPPED {part}{row} {ROWS[row]}: {why}")
    for row in failed:
        terminalreporter.line(f"FAILED {row} {ROWS[row]}")


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]
    assert left == [], f"threads left behind: {left}"


@pytest.fixture(autouse=True)
def _no_test_slows_down_those_after_it() -> Iterator[None]:
    """A training yields to everybody else, and so would every daemon that is begun by a process which once was one."""
    before = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
    yield
    assert (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)) == before


@pytest.fixture(autouse=True)
def _no_setting_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BIRDWATCHD_") and name != "BIRDWATCHD_TEST_DATA"]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    # No daemon of a test serves the page beside it, all at the same port, unless the test is about that.
    monkeypatch.setenv("BIRDWATCHD_WEB__ENABLED", "false")


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
