"""A frozen training job: what the daemon gives to the training program, and what it gets back. Both are JSON in one folder.

JOB/job.json          what to learn from; never changed once written
JOB/embeddings.npy    float32, a row for each photo of the job, in its order
JOB/report.json       the answer: written last, so that it is there only when all is done
JOB/KIND-HASH.onnx    the candidate
JOB/hardest.json      photos worth a second look (`hardest`)
JOB/verdict.json      what the daemon made of it (`gate.Verdict`); from then on a page about the training can be made
JOB/batch.png         photos as the network sees them, if the training looks at photos

What else lies there while it is on its way is told in `course`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from birdwatchd.core.formats import READABLE
from birdwatchd.core.photo import WHOLE_FRAME, Box

FORMAT_VERSION = 1

JOB_FILE, EMBEDDINGS_FILE, REPORT_FILE = "job.json", "embeddings.npy", "report.json"
VERDICT_FILE, BATCH_FILE, PAGE_FILE = "verdict.json", "batch.png", "index.html"


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled photo.

    Attributes:
        fold: for cross-validation; photos of one visit share it.
        held_out: it is judged on and never trained on.
        box: where the bird is.
        confirmed: a person gave it this label more than once, so that it is no slip.
    """

    photo_id: int
    sha256: str
    path: str
    label: str
    fold: int
    held_out: bool
    box: Box = WHOLE_FRAME
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Champion:
    """The model that serves, which the candidate is compared with.

    Attributes:
        path: of its file, relative to the bird folder.
        said: what it said of photos (by id) that it has learned from by now, before it had; of others it is asked anew.
        learned: ids of the photos that it learned from.
    """

    model_id: int
    path: str
    said: Mapping[str, str]
    learned: tuple[int, ...]


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
        root: the bird folder, which the photos' paths are relative to.
        champion: None while no model serves.
        too_few: labelled photos by species that has too few of them to be learned.
        doubtful_names: names that look like a slip for another, each with that other; not learned until they are confirmed.
        names: what people want to read for each label, on the page about the training.
        straddling: ids of photos that tie a visit that is trained on to one that is held out; neither trained nor judged on.
        max_memory_mb, max_minutes: what the program may take; it ends itself when that is not enough.
        max_megapixels, formats: of photos that may be opened.
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
    root: str = ""
    champion: Champion | None = None
    too_few: Mapping[str, int] = field(default_factory=dict)
    doubtful_names: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    straddling: tuple[int, ...] = ()
    max_memory_mb: float = 6000
    max_minutes: float = 240
    max_megapixels: float = 40
    formats: tuple[str, ...] = tuple(sorted(READABLE))
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """`from_json` is the inverse."""
        return _to_json(self)

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
            examples = tuple(
                Example(**one | {"box": Box(**one["box"]) if "box" in one else WHOLE_FRAME})
                for one in fields.pop("examples")
            )
            champion = fields.pop("champion", None)
            if champion is not None:
                champion = Champion(**champion | {"learned": tuple(champion["learned"])})
            for name in ("straddling", "formats"):
                if name in fields:
                    fields[name] = tuple(fields[name])
            return cls(examples=examples, champion=champion, **fields)
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
class Doubt:
    """A label that is probably wrong.

    Attributes:
        label: what a person said.
        likely: what models say that have not seen this photo, with which probability.
        neighbours: ids of the labelled photos that look most like it, the nearest first.
        held_back: whether it was not trained on.
    """

    photo_id: int
    label: str
    likely: str
    probability: float
    neighbours: tuple[int, ...]
    held_back: bool


@dataclass(frozen=True, slots=True)
class Epoch:
    """One round through all photos: the mean losses, and the share of wrong names among photos that are not trained on, 0–1."""

    number: int
    train_loss: float
    valid_loss: float
    error_rate: float


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a training.

    Attributes:
        model: name of the candidate's file in the job's folder.
        guesses: of photos that the guessing model had not seen: the held-out ones, or all of them by cross-validation.
        champion_guesses: what the model in use says of the same photos, by id; without those that it may have learned from.
        metrics: what was measured, for people.
        parity: largest difference between the exported file's answers and the training's own.
        doubts: labels that are probably wrong, the worst first.
        near_copies: ids of photos that look the same, in groups; they are learned from together or judged on together.
        epochs: of a training that goes in rounds.
    """

    model: str
    labels: tuple[str, ...]
    guesses: tuple[Guess, ...]
    metrics: Mapping[str, float]
    parity: float
    champion_guesses: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()
    near_copies: tuple[tuple[int, ...], ...] = ()
    epochs: tuple[Epoch, ...] = ()

    def to_json(self) -> str:
        """`from_json` is the inverse."""
        return _to_json(self)

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is no report.
        """
        fields = json.loads(text)
        try:
            return cls(
                guesses=tuple(Guess(**one) for one in fields.pop("guesses")),
                labels=tuple(fields.pop("labels")),
                doubts=tuple(
                    Doubt(**one | {"neighbours": tuple(one["neighbours"])}) for one in fields.pop("doubts", ())
                ),
                near_copies=tuple(map(tuple, fields.pop("near_copies", ()))),
                epochs=tuple(Epoch(**one) for one in fields.pop("epochs", ())),
                **fields,
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"a training report with other fields: {error}") from error


def _to_json(whole: Job | Report) -> str:
    # `asdict` copies each value of each photo, which takes ten times as long.
    return json.dumps(whole, default=_fields_of, ensure_ascii=True, allow_nan=False)


def _fields_of(one: Any) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__slots__}


def fingerprint(labels: Iterable[tuple[str, str]], spotter_id: str) -> str:
    """What a training learned from: the spotter, and SHA-256 over photos (their SHA-256) and labels, in whatever order they come.

    The same names teach something else as soon as another spotter sees the photos.
    """
    text = "\n".join(f"{sha256} {label}" for sha256, label in sorted(labels))
    return f"{spotter_id}-{hashlib.sha256(text.encode()).hexdigest()}"


def is_seen_by(fingerprint: str, spotter_id: str) -> bool:
    """Whether what was learned there is of what this spotter saw."""
    return fingerprint.startswith(f"{spotter_id}-")
