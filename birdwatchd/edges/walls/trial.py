"""A trial of all walls as its owner sees it: a child that is started, waited for, and heard."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from birdwatchd.core.errors import BirdwatchdError

MOMENT_S = 0.1
ANSWER_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Wall:
    """One thing that must not be possible.

    Attributes:
        must_not: what was tried, such as "reach the network".
        holds: whether it was refused.
        what: how it was refused, or how far it went.
        meant: the wall is down on purpose, for a graphics card.
    """

    must_not: str
    holds: bool
    what: str
    meant: bool = False


class Trial:
    """All walls of this process, tried by a child.

    Args:
        root: the bird folder, where this process may write.

    Raises:
        BirdwatchdError: the child cannot be started.
    """

    def __init__(self, root: Path) -> None:
        # -P: whatever lies in the folder where somebody typed the command must not be imported.
        command = [sys.executable, "-P", "-m", "birdwatchd.edges.walls", str(root)]
        self._waited_s = 0.0
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise BirdwatchdError(f"the walls cannot be tried: {error.strerror}", hint="try again later") from error

    def __enter__(self) -> "Trial":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._child.kill()
        self._child.communicate()

    def is_over(self) -> bool:
        """Whether there is an answer; waits for it a moment."""
        try:
            self._child.wait(MOMENT_S)
        except subprocess.TimeoutExpired:
            self._waited_s += MOMENT_S
            return self._waited_s >= ANSWER_WITHIN_S
        return True

    def walls(self) -> list[Wall]:
        """What came of it.

        Raises:
            BirdwatchdError: nothing did.
        """
        self._child.kill()
        said, complaint = self._child.communicate()
        try:
            return [Wall(**one) for one in json.loads(said)]
        except ValueError as error:
            lines = complaint.decode(errors="replace").splitlines()
            raise BirdwatchdError(
                f"the walls could not be tried: {lines[-1] if lines else 'no answer'}",
                hint="`sudo journalctl -u birdwatchd` may say more; please report it",
            ) from error
