"""How the daemon is: what troubles it, what it has done, and the words for both.

Trouble that passes is said once, when it begins, and once more when it is over. In between it stands in the status line, in
`status` and in `doctor`.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from birdwatchd.core import shelving
from birdwatchd.core.errors import ModelError, TransientError
from birdwatchd.pipeline import Outcome

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """What a run has done; the summary of `scan`."""

    photos: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    first_claim: float | None = None
    last_receipt: float | None = None
    last_line: str = "no photo yet"
    last_photo_at: str | None = None

    def add(self, outcomes: Sequence[Outcome], begun: float, ended: float, at: str) -> None:
        """Count ended journeys.

        Args:
            begun, ended: seconds, monotonic.
            at: the end by the wall clock, ISO-8601 UTC.
        """
        if not outcomes:
            return
        self.photos += len(outcomes)
        self.verdicts.update(str(outcome.state) for outcome in outcomes)
        self.first_claim = begun if self.first_claim is None else self.first_claim
        self.last_receipt = ended
        self.last_line = f"last photo: {shelving.printable(outcomes[-1].path)}"
        self.last_photo_at = at

    @property
    def seconds(self) -> float:
        """From the first claim to the last receipt."""
        if self.first_claim is None or self.last_receipt is None:
            return 0.0
        return self.last_receipt - self.first_claim


class Condition:
    """Problems by the part of the daemon that has them."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.tally = Tally()
        self.doing: str | None = None
        """Some long work that nobody asked for, in words; shown where all is well, too."""
        self.told = 0
        """How often something was said; whoever shows problems sees by it that they have changed."""

    def trouble(self, part: str, words: str) -> None:
        """Something is wrong with this part; replaces what was wrong with it before."""
        if self.problems.get(part) != words:
            self.told += 1
            log.warning("%s", words)
        self.problems[part] = words

    def fine(self, part: str) -> None:
        """Nothing is wrong with this part."""
        if (over := self.problems.pop(part, None)) is not None:
            self.told += 1
            log.info("over: %s", over)

    @contextmanager
    def survives(self, part: str) -> Iterator[None]:
        """Trouble that passes, in here, is this part's; when none comes, the part is well."""
        try:
            yield
        except (TransientError, ModelError) as error:
            self.trouble(part, str(error))
        else:
            self.fine(part)

    def in_words(self, waiting: int) -> str:
        """One line for the service manager and for people."""
        state = "; ".join([*self.problems.values(), *filter(None, [self.doing])]) or "watching"
        return shelving.printable(f"{state}; {waiting} waiting; {self.tally.last_line}")
