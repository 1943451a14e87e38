"""Files on the shelves that are left lying where they are, each with what keeps birdwatchd from it, until a person sets it right."""

from collections.abc import Container, Sequence

from birdwatchd.core import shelving
from birdwatchd.core.photo import Stamp
from birdwatchd.edges.files import Files

UNKNOWN_THERE = "cannot be looked into (give it a name that is plain text, and the right to read: chmod g+rX)"


class Left:
    """Files that are left, and folders that are closed to us."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._left: dict[str, tuple[Stamp, str]] = {}
        self._closed: Sequence[str] = ()

    def leave(self, path: str, why: str) -> None:
        """Leave this file, as it is now, for this reason."""
        if (stamp := self._files.shelf_stamp(path)) is not None:
            self._left[path] = (stamp, why)

    def holds(self, path: str, stamp: Stamp) -> bool:
        """Whether just this file is left: nothing has changed about it."""
        return path in self._left and self._left[path][0] == stamp

    def forget(self, path: str) -> None:
        """Whatever lies there is looked at anew."""
        self._left.pop(path, None)

    def keep_only(self, there: Container[str], closed: Sequence[str]) -> None:
        """After a look at everything.

        Args:
            there: files that are still there.
            closed: folders that cannot be looked into.
        """
        self._left = {path: known for path, known in self._left.items() if path in there}
        self._closed = closed

    def in_words(self) -> str | None:
        """What is left, with why; None when nothing is."""
        while self._left and self._files.shelf_stamp(first := min(self._left)) is None:
            del self._left[first]  # set right by a person
        left = {path: why for path, (_, why) in self._left.items()}
        left |= dict.fromkeys(self._closed, UNKNOWN_THERE)
        if not left:
            return None
        first = min(left)
        others = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        return f"{shelving.printable(first)}{others} {left[first]}"
