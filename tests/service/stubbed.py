"""birdwatchd with a stub eye, for tests in which only the order of things matters: `python -m tests.service.stubbed COMMAND …`."""

from collections.abc import Callable
from typing import Any

from birdwatchd import service
from birdwatchd.cli import main
from birdwatchd.core.settings import Settings
from tests.fakes import StubSpotter


def stub_loader(settings: Settings) -> Callable[[], Any]:
    """In place of the loader of the real network."""
    return StubSpotter


if __name__ == "__main__":
    service.spotter_loader = stub_loader
    main()
