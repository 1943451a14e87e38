"""birdwatchd on a kernel that gives it no watch: files are found only by the sweep.

`python -m benchmarks.children.deaf COMMAND ...`
"""

from unittest.mock import patch

from birdwatchd.cli import main
from birdwatchd.edges.watch import Watch


def _no_watch(watch: Watch) -> None:
    watch._running = None
    watch._hindrance = "new files are found only by the sweep: no watch in this measurement"


if __name__ == "__main__":
    with patch.object(Watch, "start", _no_watch):
        main()
