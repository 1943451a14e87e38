"""How often each name was given by a person; one that looks like a slip is told."""

from collections import Counter
from collections.abc import Iterable, Iterator

from birdwatchd.core import shelfmoves, shelving
from birdwatchd.edges.store import Questions

PAGE = 2000


class Names:
    """Names of species in the log."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._counts: Counter[str] = Counter()
        self._doubtful: dict[str, str] | None = None

    def given(self, labels: Iterable[str]) -> None:
        """These were given just now."""
        self._counts.update(labels)
        self._doubtful = None

    def count_anew(self) -> Iterator[None]:
        """Count those in the log, in steps."""
        counts: Counter[str] = Counter()
        newest = 0
        while page := self._questions.labels_given(after=newest, limit=PAGE):
            counts.update(row["label"] for row in page)
            newest = page[-1]["id"]
            yield
        self._counts, self._doubtful = counts, None

    def doubtful(self) -> str | None:
        """Names that look like slips, in words; None when there are none."""
        if self._doubtful is None:
            self._doubtful = shelfmoves.doubtful_names(self._counts)
        if not self._doubtful:
            return None
        name = min(self._doubtful)
        others = f", and {len(self._doubtful) - 1} more names like that" if len(self._doubtful) > 1 else ""
        return (
            f"the name {shelving.printable(name)} looks like {shelving.printable(self._doubtful[name])}{others}"
            f" (if it is a slip, move its photos; else it counts from {shelfmoves.STRONG_FROM} photos on)"
        )
