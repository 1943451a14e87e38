"""What the daemon and the training program tell each other while a training is on its way: by files alone, whoever started it.

JOBS/due/ID           job ID waits to be begun by a program that nobody holds by the hand; who begins it takes the file away
JOB/lock              locked (flock) by the program, from before that moment to its end: so a job is due, or under way, or over
JOB/progress.json     how far it is; replaced now and then
JOB/failure.json      why nothing came of it, in place of a report
JOB/called-off        there when the program shall end

The lock goes with the process, however it dies; a job that is neither due nor locked, and has neither report nor failure, died.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

DUE = "due"
"""A folder beside the jobs' own, which are numbers."""

LOCK_FILE, PROGRESS_FILE, FAILURE_FILE, CALLED_OFF_FILE = "lock", "progress.json", "failure.json", "called-off"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is (0–1), and what is being done, in words for people."""

    done: float
    what: str

    def to_json(self) -> str:
        """`from_json` is the inverse."""
        return json.dumps(asdict(self), ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Progress":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is none.
        """
        fields = _fields(text)
        return cls(done=min(max(float(fields.get("done", 0.0)), 0.0), 1.0), what=str(fields.get("what", "")))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why nothing came of it, and what to do; the hint may be empty."""

    words: str
    hint: str

    def to_json(self) -> str:
        """`from_json` is the inverse."""
        return json.dumps(asdict(self), ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Failure":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is none.
        """
        fields = _fields(text)
        return cls(words=str(fields.get("words", "")), hint=str(fields.get("hint", "")))


def _fields(text: str) -> dict[str, Any]:
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError("no object in JSON")
    return fields
