"""A frozen training job: what the daemon gives to the training program, and what it gets back. Both are JSON in one folder.

JOB/job.json          what to learn from; never changed once written
JOB/embeddings.npy    float32, a row for each photo of the job, in its order
JOB/report.json       the answer: written last, so that it is there only when all is done
JOB/KIND-HASH.onnx    the candidate
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

FORMAT_VERSION = 1

JOB_FILE, EMBEDDINGS_FILE, REPORT_FILE = "job.json", "embeddings.npy", "report.json"


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled photo.

    Attributes:
        fold: for cross-validation; photos of one visit share it.
        held_out: it is judged on and never trained on.
    """

    photo_id: int
    sha256: str
    path: str
    label: str
    fold: int
    held_out: bool


@dataclass(frozen=True, slots=True)
class Job:
    """What to learn from, and how.

    Attributes:
        kind: "linear" or "finetuned".
        spotter_id: whose embeddings these are.
        wanted_precision: the share of filed photos that should carry the right name.
        strangers_let_in: the share of birds of unknown species that may be filed under a known one.
        parent_sha256: of the model file that serves now.
        recipe: settings of the training.
        sides: by SHA-256, whether a photo is held out, now and for ever; empty while nobody is.
    """

    kind: str
    training_id: int
    spotter_id: str
    seed: int
    wanted_precision: float
    strangers_let_in: float
    fingerprint: str
    parent_sha256: str | None
    recipe: Mapping[str, object]
    sides: Mapping[str, bool]
    examples: tuple[Example, ...]
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """`from_json` is the inverse."""
        return json.dumps(asdict(self), ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is no job, or of another version.
        """
        fields = json.loads(text)
        if not isinstance(fields, dict) or fields.get("format_version") != FORMAT_VERSION:
            raise ValueError("no training job of this version")
        try:
            examples = tuple(Example(**one) for one in fields.pop("examples"))
            return cls(examples=examples, **fields)
        except TypeError as error:
            raise ValueError(f"a training job with other fields: {error}") from error


@dataclass(frozen=True, slots=True)
class Guess:
    """What the candidate said of a photo that it was not trained on."""

    photo_id: int
    label: str
    probability: float
    novelty: float


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a training.

    Attributes:
        model: name of the candidate's file in the job's folder.
        guesses: of photos that the guessing model had not seen: the held-out ones, or all of them by cross-validation.
        metrics: what was measured, for people.
        held_back: photos that were not trained on, with the reason.
        parity: largest difference between the exported file's answers and the training's own.
    """

    model: str
    labels: tuple[str, ...]
    guesses: tuple[Guess, ...]
    metrics: Mapping[str, float]
    parity: float
    held_back: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """`from_json` is the inverse."""
        return json.dumps(asdict(self), ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is no report.
        """
        fields = json.loads(text)
        try:
            guesses = tuple(Guess(**one) for one in fields.pop("guesses"))
            return cls(guesses=guesses, labels=tuple(fields.pop("labels")), **fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"a training report with other fields: {error}") from error


def fingerprint(labels: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over photos (their SHA-256) and labels, in whatever order they come."""
    text = "\n".join(f"{sha256} {label}" for sha256, label in sorted(labels))
    return hashlib.sha256(text.encode()).hexdigest()
