"""How the daemon is: what troubles it, what it has done, and the words for both.

Trouble that passes is said once, when it begins, and once more when it is over. In between it stands in the status line, in
`status` and in `doctor`.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from birdwatchd.core import shelving
from birdwatchd.core.errors import ModelError, TransientError
from birdwatchd.edges.clock import monotonic
from birdwatchd.pipeline import Outcome

log = logging.getLogger(__name__)

BACK_OFF_S = 5.0
HINDERING = ("disk", "root", "log", "room")
"""Parts whose trouble keeps photos from being taken for a while."""


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
    """Problems by the part of the daemon that has them.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.hindered_until = clock()
        """Before that nothing is tried again that the last trouble of disk or log would hinder as well."""
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

    def tell(self, part: str, words: str | None) -> None:
        """What is wrong with this part, as far as anything is."""
        if words is None:
            self.fine(part)
        else:
            self.trouble(part, words)

    @contextmanager
    def survives(self, part: str) -> Iterator[None]:
        """Trouble that passes, in here, is this part's: said once, tried again; when none comes, the part is well."""
        try:
            yield
        except (TransientError, ModelError) as error:
            self.trouble(part, str(error))
            if part in HINDERING:
                self.hindered_until = self._clock() + BACK_OFF_S
        else:
            self.fine(part)

    @property
    def folder_is_away(self) -> bool:
        """Whether the bird folder was not there when it was last looked for: then nothing in it is touched."""
        return "root" in self.problems

    @property
    def is_hindered(self) -> bool:
        """Whether disk or log were in trouble just now, or the bird folder is away."""
        return self.folder_is_away or self._clock() < self.hindered_until

    def in_words(self, waiting: int) -> str:
        """One line for the service manager and for people."""
        state = "; ".join([*self.problems.values(), *filter(None, [self.doing])]) or "watching"
        return shelving.printable(f"{state}; {waiting} waiting; {self.tally.last_line}")

    def facts(self) -> dict[str, Any]:
        """For `status`."""
        return {
            "state": "degraded" if self.problems else "working",
            "problems": json.dumps(list(self.problems.values())),
            "last_photo_at": self.tally.last_photo_at,
        }
