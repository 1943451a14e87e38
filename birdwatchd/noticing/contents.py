"""What files on the shelves hold: a photo is known by the hash of its bytes, and no file is read twice without need."""

from collections.abc import Container

from birdwatchd.core import shelving
from birdwatchd.core.errors import PhotoVanished
from birdwatchd.core.photo import Stamp
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Questions


class Contents:
    """Hashes of files on the shelves, as long as nothing changes about the files."""

    def __init__(self, files: Files, questions: Questions) -> None:
        self._files = files
        self._questions = questions
        self._hashed: dict[str, tuple[Stamp, str]] = {}

    def of(self, path: str, stamp: Stamp) -> str:
        """The content of a file that has this stamp.

        Raises:
            PhotoVanished: it is written to meanwhile, or moved.
            TransientError: it cannot be read.
        """
        return self._remembered(path, stamp) or self.read(path, stamp)

    def of_ours(self, path: str, stamp: Stamp) -> str | None:
        """The content of a photo that its name and size show to be one of ours; None for any other, which must settle first.

        Raises:
            PhotoVanished, TransientError: see `of`.
        """
        if (known := self._remembered(path, stamp)) is not None:
            return known
        digits = shelving.digits_in(path)
        alike = self._questions.with_digits(digits) if digits else []
        if not any(row["bytes"] == stamp.size_bytes for row in alike):
            return None
        sha256 = self.read(path, stamp)
        return sha256 if any(row["sha256"] == sha256 for row in alike) else None

    def read(self, path: str, stamp: Stamp) -> str:
        """The same as `of`, read anew."""
        sha256 = self._files.sha256_of(path)
        if self._files.shelf_stamp(path) != stamp:
            raise PhotoVanished(f"{shelving.printable(path)} changed while it was read")
        self._hashed[path] = (stamp, sha256)
        return sha256

    def keep_only(self, there: Container[str]) -> None:
        """Forget files that are not there any more."""
        self._hashed = {path: known for path, known in self._hashed.items() if path in there}

    def _remembered(self, path: str, stamp: Stamp) -> str | None:
        hashed = self._hashed.get(path)
        return hashed[1] if hashed is not None and hashed[0] == stamp else None
