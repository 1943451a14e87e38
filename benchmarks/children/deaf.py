"""birdwatchd on a machine that cannot watch at all, neither by events nor by polling: files are found only by the sweep.

`python -m benchmarks.children.deaf COMMAND ...`
"""

from unittest.mock import patch

from birdwatchd.cli import main
from birdwatchd.edges.watch import Watch


def _no_watch(_: Watch) -> None:
    """Nothing is started, so nothing is heard."""


if __name__ == "__main__":
    with patch.object(Watch, "start", _no_watch):
        main()
