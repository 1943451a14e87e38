"""The label on the tin: what a model file says about itself, and the questions whose answers it must know by heart.

The manifest travels inside the model file, as text, so that weights and labels can never be parted.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from birdwatchd.core.birds import SPOTTER_CLASSES
from birdwatchd.core.errors import ModelDamaged
from birdwatchd.core.photo import Pixels, Ranking, Vector
from birdwatchd.core.preprocess import Recipe

FORMAT_VERSION = 2
"""Raised when a manifest gets a meaning that an older birdwatchd would read wrongly."""

SPOTTER_KIND = "spotter"

EMBEDDING_WIDTH = 1280
GOLDEN_STEP = 20
"""Every 20th value of an embedding is kept as a golden value: 64 of 1,280."""

_OVALS = (
    (50, 32, 2, 40),  # branch
    (42, 13, 3, 12),  # tail
    (35, 28, 11, 16),  # body
    (38, 30, 7, 11),  # belly
    (33, 23, 5, 11),  # wing
    (21, 42, 7, 7),  # head
    (22, 51, 2, 5),  # beak
    (19, 44, 2, 2),  # eye
)
"""The golden picture's parts, from back to front: row and column of the middle, half height and half width, in 1/64 of the edge."""

_KEY_PREFIX = "birdwatchd."
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FOLDER_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Golden:
    """One question with the right answer, worked out once by another implementation.

    Attributes:
        seed: makes the question (`golden_pixels`).
        embedding: its values 0, 20, 40 … 1260.
        birdness: probability 0–1 that a bird is in the picture.
        ranking: the five likeliest birds, with their probabilities 0–1 among all classes.
    """

    seed: int
    embedding: tuple[float, ...]
    birdness: float
    ranking: Ranking

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"a golden seed is not below 0: {self.seed}")
        if len(self.embedding) != EMBEDDING_WIDTH // GOLDEN_STEP:
            raise ValueError(
                f"a golden embedding has {EMBEDDING_WIDTH // GOLDEN_STEP} values, not {len(self.embedding)}"
            )
        if len(self.ranking) != 5:
            raise ValueError(f"a golden ranking has five birds, not {len(self.ranking)}")
        probabilities = [self.birdness, *(probability for _, probability in self.ranking)]
        if not all(0 <= probability <= 1 for probability in probabilities):
            raise ValueError(f"golden probabilities lie between 0 and 1: {probabilities}")
        if not all(math.isfinite(value) for value in self.embedding):
            raise ValueError("golden embedding values are finite")

    @classmethod
    def from_json(cls, fields: object) -> "Golden":
        """Read one golden answer as JSON gives it.

        Raises:
            ValueError: something is missing, unknown or of the wrong kind.
        """
        named = _object(fields, {"seed", "embedding", "birdness", "ranking"})
        ranking = tuple(
            (_text(name), _number(probability)) for name, probability in map(_pair, _list(named["ranking"]))
        )
        embedding = tuple(map(_number, _list(named["embedding"])))
        return cls(_whole(named["seed"]), embedding, _number(named["birdness"]), ranking)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model is, made of what, and how to know that it is still itself.

    Attributes:
        kind: of model; so far only "spotter".
        classes: (number among the network's classes, label) of the classes that count, numbers ascending, labels unique.
        recipe: how it wants its photos.
        source_sha256: of the weights file that it was built from, 64 hex digits.
        weights_sha256: over the bytes of all its weights in the order of the file, 64 hex digits.
        built_by: which program made it, for people.
        golden: at least one question with its answer.
    """

    format_version: ClassVar[int] = FORMAT_VERSION

    kind: str
    classes: tuple[tuple[int, str], ...]
    recipe: Recipe
    source_sha256: str
    weights_sha256: str
    built_by: str
    golden: tuple[Golden, ...]

    def __post_init__(self) -> None:
        if self.kind != SPOTTER_KIND:
            raise ValueError(f'kind must be "{SPOTTER_KIND}", not {self.kind!r}')
        numbers = [number for number, _ in self.classes]
        labels = [label for _, label in self.classes]
        if not numbers or numbers != sorted(set(numbers)) or numbers[0] < 0 or numbers[-1] >= SPOTTER_CLASSES:
            raise ValueError(f"class numbers must be ascending, at least one, from 0 to {SPOTTER_CLASSES - 1}")
        if len(set(labels)) != len(labels) or not all(_FOLDER_NAME.fullmatch(label) for label in labels):
            raise ValueError("class labels must be unique lower-case folder names")
        for name, digest in (("source_sha256", self.source_sha256), ("weights_sha256", self.weights_sha256)):
            if not _SHA256.fullmatch(digest):
                raise ValueError(f"{name} must be 64 hex digits, not {digest!r}")
        if not self.golden:
            raise ValueError("there must be at least one golden answer")
        if not {label for golden in self.golden for label, _ in golden.ranking} <= set(labels):
            raise ValueError("a golden answer names a bird that is not among the classes")

    def to_metadata(self) -> dict[str, str]:
        """Write it as named texts, the same for the same manifest, in the same order; `from_metadata` is the inverse."""
        texts = {
            "format_version": str(self.format_version),
            "kind": self.kind,
            "classes": _compact(self.classes),
            "recipe": _compact(self.recipe.to_dict()),
            "source_sha256": self.source_sha256,
            "weights_sha256": self.weights_sha256,
            "built_by": self.built_by,
            "golden": _compact([asdict(golden) for golden in self.golden]),
        }
        return {_KEY_PREFIX + key: text for key, text in texts.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "Manifest":
        """Read what a model file says of itself; texts that are not ours are passed over.

        Raises:
            ModelDamaged: something is missing or wrong; the message says which key and what.
        """

        def text(key: str) -> str:
            if _KEY_PREFIX + key not in metadata:
                raise ModelDamaged(f"the model file does not say its {key}; birdwatchd did not build it")
            return metadata[_KEY_PREFIX + key]

        version = text("format_version")
        if version != str(FORMAT_VERSION):
            raise ModelDamaged(f"the model file has format {version!r}; this birdwatchd reads format {FORMAT_VERSION}")
        key = "kind"
        try:
            kind = text(key)
            key = "classes"
            classes = tuple((_whole(number), _text(label)) for number, label in map(_pair, _list(_parse(text(key)))))
            key = "recipe"
            recipe = Recipe.from_dict(_object(_parse(text(key))))
            key = "golden"
            golden = tuple(map(Golden.from_json, _list(_parse(text(key)))))
            key = "manifest"
            return cls(
                kind=kind,
                classes=classes,
                recipe=recipe,
                source_sha256=text("source_sha256"),
                weights_sha256=text("weights_sha256"),
                built_by=text("built_by"),
                golden=golden,
            )
        except (ValueError, RecursionError) as error:
            raise ModelDamaged(f"the model file's {key} cannot be used: {error}") from error


def golden_pixels(seed: int, size_px: int) -> Pixels:
    """Draw the picture that a golden answer is about: something like a bird on a branch, in colours and places of its own.

    Plain noise looks like nothing at all to a network, and its answers would prove little; some of these it takes for birds.
    Whole-number arithmetic only, so that it is the same picture on every machine and with every numpy.

    Args:
        seed: 0 or more; only its lowest 32 bits count.
        size_px: edge of the square, 1 to 4096.
    Returns:
        Shape (size_px, size_px, 3).
    """
    numbers = _mixed(
        np.arange(6 + 7 * len(_OVALS), dtype=np.uint32) ^ _mixed(np.full(1, seed & 0xFFFFFFFF, dtype=np.uint32))
    )
    dice = (numbers >> np.uint32(8)).astype(np.int64)
    row = np.arange(size_px, dtype=np.int64)[:, np.newaxis]
    column = np.arange(size_px, dtype=np.int64)[np.newaxis, :]
    above, below = _muted(dice[0:3]), _muted(dice[3:6])
    picture = (above * (size_px - row[..., np.newaxis]) + below * row[..., np.newaxis]) // size_px
    picture = np.repeat(picture, size_px, axis=1)
    for oval, rolls in zip(_OVALS, dice[6:].reshape(len(_OVALS), 7), strict=True):
        jitter = (rolls[:4] % 5 - 2).tolist()
        centre_row, centre_column, half_height, half_width = (
            (8 * place + wobble * 4) * size_px // 512 for place, wobble in zip(oval, jitter, strict=True)
        )
        inside = ((row - centre_row) * half_width) ** 2 + ((column - centre_column) * half_height) ** 2 < (
            half_height * half_width
        ) ** 2
        picture[inside] = _muted(rolls[4:])
    return picture.astype(np.uint8)


def golden_sample(embedding: Vector) -> Vector:
    """Pick the values of an embedding that golden answers hold.

    Args:
        embedding: shape (1280,).
    Returns:
        Shape (64,).
    """
    return embedding[::GOLDEN_STEP]


def _muted(rolls: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Make a colour out of three dice: three parts grey, one part hue, as plumage mostly is."""
    colour: npt.NDArray[np.int64] = (3 * (rolls[0] % 256) + rolls % 256) // 4
    return colour


def _mixed(values: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Scatter numbers over all 32 bits, modulo 2**32: the mixer "lowbias32" by Chris Wellons (public domain)."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x7FEB352D)
    values = (values ^ (values >> np.uint32(15))) * np.uint32(0x846CA68B)
    return values ^ (values >> np.uint32(16))


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _parse(text: str) -> object:
    value: object = json.loads(text)  # a JSONDecodeError is a ValueError
    return value


def _object(value: object, keys: set[str] | None = None) -> dict[str, object]:
    if not isinstance(value, dict) or (keys is not None and set(value) != keys):
        raise ValueError(f"expected an object{'' if keys is None else f' with the keys {sorted(keys)}'}")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("expected a list")
    return value


def _pair(value: object) -> tuple[object, object]:
    first_and_second = _list(value)
    if len(first_and_second) != 2:
        raise ValueError("expected a pair")
    return first_and_second[0], first_and_second[1]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, not {value!r}")
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number, not {value!r}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number, not {value!r}")
    return float(value)
