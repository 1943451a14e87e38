"""A training that a test runs within itself is no process of its own."""

import pytest

from birdwatchd.training import bounds


@pytest.fixture(autouse=True)
def _the_test_process_yields_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "yield_to_others", lambda: None)
