"""birdwatchd that takes the whole inbox at once, looks at everything, writes down half of what it decided, and is gone.

`python -m benchmarks.children.dying scan --root ROOT`. What it leaves behind is what a kill leaves behind, only more of it: the bytes
of all photos in work/, half of them decided with their plans, half only claimed.
"""

import os
import signal
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

from birdwatchd import taking
from birdwatchd.cli import main
from birdwatchd.edges.store import Decided, Journeys

ALL_AT_ONCE = 1_000_000

_write_down = Journeys.record_decisions


def _write_down_half(journeys: Journeys, decided: Sequence[Decided], *others: Any) -> None:
    _write_down(journeys, decided[: len(decided) // 2], *others)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    with (
        patch.object(taking, "BATCH_PHOTOS", ALL_AT_ONCE),
        patch.object(Journeys, "record_decisions", _write_down_half),
    ):
        main()
