"""birdwatchd with a stub eye, for tests in which only the order of things matters: `python -m tests.service.stubbed COMMAND …`."""

import faulthandler
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from birdwatchd import service
from birdwatchd.cli import main
from birdwatchd.core.settings import Settings
from tests.fakes import StubSpotter


def stub_loader(settings: Settings) -> Callable[[], Any]:
    """In place of the loader of the real network."""
    return StubSpotter


if __name__ == "__main__":
    if "TRACE" in os.environ:  # where each thread is, whenever somebody asks with a signal
        faulthandler.register(signal.SIGUSR2, Path(os.environ["TRACE"]).open("w"), all_threads=True)  # noqa: SIM115  # as long as it lives
    service.spotter_loader = stub_loader
    main()
