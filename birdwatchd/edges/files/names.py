"""All names on the shelves, listed once and remembered for a moment.

A photo that a person has moved is found again by the digits of its content in its name. When many were moved and come once more, that
is asked of one after the other; walking through the whole library for each would take hours.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.core.shelfmoves import SHELVES

REMEMBERED_S = 5.0
_BELOW_SHELVES = tuple(f"{shelf}/" for shelf in SHELVES)

_DIGITS = re.compile(rf"(?=-([0-9a-f]{{{shelving.HASH_DIGITS}}}))")


class Names:
    """Where the digits of a content occur in a name below the shelves.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        self._root = root
        self._clock = clock
        self._paths: dict[str, list[str]] = {}
        self._listed_at = -REMEMBERED_S
        self.listed = 0

    def with_digits(self, digits: str, *, anew: bool = False) -> list[str]:
        """Paths relative to the bird folder.

        Args:
            anew: list them again now, whatever is remembered.
        """
        if anew or self._clock() - self._listed_at >= REMEMBERED_S:
            self._list()
        return self._paths.get(digits, [])

    def add(self, path: str) -> None:
        """A photo was put there."""
        if not path.startswith(_BELOW_SHELVES):
            return
        for digits in _DIGITS.findall(path.rpartition("/")[2]):
            self._paths.setdefault(digits, []).append(path)

    def forget(self) -> None:
        """Let go of the memory."""
        self._paths, self._listed_at = {}, -REMEMBERED_S

    def _list(self) -> None:
        self._paths, self._listed_at = {}, self._clock()
        self.listed += 1
        for shelf in SHELVES:
            for folder, _, names in os.walk(self._root / shelf):
                relative = os.path.relpath(folder, self._root)
                for name in names:
                    if is_text(path := f"{relative}/{name}"):
                        self.add(path)


def is_text(path: str) -> bool:
    """Whether the log can hold it."""
    return not any("\ud800" <= char <= "\udfff" for char in path)
