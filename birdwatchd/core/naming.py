"""What a classifier says of a bird, and the card that travels in its file.

The card is text inside the model file: labels, thresholds and recipe can never be parted from the weights.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from birdwatchd.core import shelving
from birdwatchd.core.errors import BirdwatchdError, ModelDamaged
from birdwatchd.core.manifest import EMBEDDING_WIDTH
from birdwatchd.core.photo import Ranking, Vector
from birdwatchd.core.preprocess import Recipe

FORMAT_VERSION = 1
"""Raised when a card gets a meaning that an older birdwatchd would read wrongly."""

KINDS = ("linear", "finetuned")

_KEY = "birdwatchd.classifier"


@dataclass(frozen=True, slots=True)
class Naming:
    """What a classifier said of one photo.

    Attributes:
        model_id: row of `models`.
        ranking: the best five labels with their calibrated probabilities.
        novelty: 0–1, how likely this is a species that the model was never shown.
        sure_above: the best label's own threshold: from this probability on it is right as often as wanted.
        strange_above: from this novelty on the photo counts as unlike anything known.
    """

    model_id: int
    ranking: Ranking
    novelty: float
    sure_above: float
    strange_above: float


@dataclass(frozen=True, slots=True)
class GoldenName:
    """A question with the answer that was given when the model was made.

    Attributes:
        seed: makes the question: `golden_embedding`, and `manifest.golden_pixels` for a model that looks at the photo itself.
        probabilities: of all labels, in the card's order.
        novelty: 0–1.
    """

    seed: int
    probabilities: tuple[float, ...]
    novelty: float


@dataclass(frozen=True, slots=True)
class Card:
    """What a classifier is and was made of.

    Attributes:
        kind: "linear" or "finetuned".
        labels: as its outputs are ordered; folder names, each once.
        spotter_id: whose embeddings it reads; it is worth nothing with another.
        sure_above: for each label the probability from which on it may be filed; above 1 where that is never so.
        strange_above: novelty from which on a photo is like nothing known.
        recipe: how it was trained, for people and for repeating it.
        fingerprint: of the spotter, the photos and the labels that it learned from; see `job.fingerprint`.
        parent_sha256: of the model file that served before, if there was one.
        golden: questions with their answers.
        pixels: how it wants its photos; None if it needs nothing but the embedding.
    """

    kind: str
    labels: tuple[str, ...]
    spotter_id: str
    sure_above: tuple[float, ...]
    strange_above: float
    recipe: Mapping[str, object]
    fingerprint: str
    parent_sha256: str | None
    golden: tuple[GoldenName, ...]
    pixels: Recipe | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if (self.kind == "finetuned") != (self.pixels is not None):
            raise ValueError("a fine-tuned model, and no other, says how it wants its photos")
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ValueError("there must be at least two labels, each once")
        for label in self.labels:
            if _species(label) != label:
                raise ValueError(f"{label!r} cannot be the name of a folder")
        if len(self.sure_above) != len(self.labels) or not all(map(_is_finite, self.sure_above)):
            raise ValueError("each label needs its threshold")
        if not _is_finite(self.strange_above):
            raise ValueError("the novelty threshold is no number")
        if not self.golden or any(len(one.probabilities) != len(self.labels) for one in self.golden):
            raise ValueError("there must be a golden answer, with a probability for each label")

    def to_metadata(self) -> dict[str, str]:
        """As named texts; `from_metadata` is the inverse."""
        fields = {
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "labels": self.labels,
            "spotter_id": self.spotter_id,
            "sure_above": self.sure_above,
            "strange_above": self.strange_above,
            "recipe": dict(self.recipe),
            "fingerprint": self.fingerprint,
            "parent_sha256": self.parent_sha256,
            "golden": [[one.seed, one.probabilities, one.novelty] for one in self.golden],
        }
        if self.pixels is not None:  # a linear card stays as older birdwatchds know it
            fields["pixels"] = self.pixels.to_dict()
        return {_KEY: json.dumps(fields, allow_nan=False, sort_keys=True)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "Card":
        """Read what a model file says of itself.

        Raises:
            ModelDamaged: it says nothing, or nothing that can be used.
        """
        if _KEY not in metadata:
            raise ModelDamaged("the file holds no classifier that birdwatchd made")
        try:
            fields = json.loads(metadata[_KEY])
            if fields.pop("format_version") != FORMAT_VERSION:
                raise ModelDamaged("another birdwatchd made this classifier; this one cannot read it")
            golden = tuple(GoldenName(int(seed), tuple(map(float, p)), float(n)) for seed, p, n in fields.pop("golden"))
            pixels = fields.pop("pixels", None)
            return cls(
                labels=tuple(map(str, fields.pop("labels"))),
                sure_above=tuple(map(float, fields.pop("sure_above"))),
                strange_above=float(fields.pop("strange_above")),
                golden=golden,
                pixels=None if pixels is None else Recipe.from_dict(pixels),
                **fields,
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ModelDamaged(f"what the classifier says of itself cannot be used: {error}") from error


def golden_embedding(seed: int) -> Vector:
    """The embedding that a golden answer is about: the same on every machine, and as sparse as real ones. Shape (1280,)."""
    steps = np.arange(EMBEDDING_WIDTH, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(seed * 40503 + 12345)
    rolls = ((steps * (steps >> np.uint64(7) | np.uint64(1))) >> np.uint64(11)) % np.uint64(1000)
    values: Vector = np.maximum(rolls.astype(np.float32) / np.float32(400) - np.float32(1.5), np.float32(0))
    return values


def _species(label: str) -> str | None:
    try:
        return shelving.species_name(label)
    except BirdwatchdError:
        return None


def _is_finite(value: float) -> bool:
    return math.isfinite(value)
