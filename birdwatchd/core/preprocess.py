"""Pixels → what a network takes: the only definition, used in serving and in training alike."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from birdwatchd.core.photo import Pixels

RECIPE_VERSION = 1
"""Raised whenever the same pixels would give another array."""

SIZE_PX_MAX = 4096

ModelInput = npt.NDArray[np.float32]
"""Photos as a network takes them: shape (N, 3, S, S), float32."""


Resize = Literal["squash", "pad", "crop"]
"""How a photo becomes a square: width and height scaled on their own; whole, with a grey border; the middle of it."""

RESIZES: tuple[Resize, ...] = get_args(Resize)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model wants its photos.

    Attributes:
        version: of the rule as a whole; only `RECIPE_VERSION` is understood.
        size_px: edge of the square that goes in, 1 to 4096.
        mean: subtracted from each value 0–255.
        scale: then divided by; above 0.
        resize: how a photo becomes a square. "squash" cuts nothing off, so that a bird at the edge is not lost.

    Raises:
        ValueError: one of them is out of its range.
    """

    version: int
    size_px: int
    mean: float
    scale: float
    resize: Resize

    def __post_init__(self) -> None:
        if self.version != RECIPE_VERSION:
            raise ValueError(
                f"recipe version {self.version!r} is unknown; this birdwatchd understands version {RECIPE_VERSION}"
            )
        if type(self.size_px) is not int or not 1 <= self.size_px <= SIZE_PX_MAX:
            raise ValueError(f"size_px must be a whole number 1 to {SIZE_PX_MAX}, not {self.size_px!r}")
        if not np.isfinite(self.mean):
            raise ValueError(f"mean must be a finite number, not {self.mean!r}")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be a finite number above 0, not {self.scale!r}")
        if self.resize not in RESIZES:
            raise ValueError(f"resize must be one of {', '.join(RESIZES)}, not {self.resize!r}")

    def to_dict(self) -> dict[str, int | float | str]:
        """Turn it into what JSON can hold; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> "Recipe":
        """Read what `to_dict` wrote.

        Raises:
            ValueError: a key is missing, unknown or of the wrong kind, or the version is not understood.
        """
        version = fields.get("version")
        # The version comes first: a newer recipe may well have other keys, and the version is what the person must hear of.
        if type(version) is not int or version != RECIPE_VERSION:
            raise ValueError(
                f"recipe version {version!r} is unknown; this birdwatchd understands version {RECIPE_VERSION}"
            )
        expected = {"version", "size_px", "mean", "scale", "resize"}
        if set(fields) != expected:
            raise ValueError(f"a recipe has the keys {sorted(expected)}, not {sorted(fields)}")
        size_px = fields["size_px"]
        if type(size_px) is not int:
            raise ValueError(f"size_px must be a whole number, not {size_px!r}")
        return cls(
            version, size_px, _number(fields, "mean"), _number(fields, "scale"), cast("Resize", fields["resize"])
        )


def _number(fields: Mapping[str, object], key: str) -> float:
    value = fields[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{key} must be a number, not {value!r}")
    return float(value)


SPOTTER_RECIPE = Recipe(version=RECIPE_VERSION, size_px=224, mean=127.0, scale=128.0, resize="squash")
"""What EfficientNet-Lite0 was trained with: 224 px, values (x - 127) / 128."""


def to_model_input(pixels: Pixels, recipe: Recipe) -> ModelInput:
    """Turn one photo into the array the model was trained on.

    Args:
        pixels: already scaled to the recipe's square (see `Recipe.resize`): shape (S, S, 3), S = recipe.size_px.
    Returns:
        Shape (1, 3, S, S), C-contiguous; (x - mean) / scale in every channel.
    Raises:
        ValueError: the pixels have another shape or are not uint8.
    """
    wanted = (recipe.size_px, recipe.size_px, 3)
    if pixels.shape != wanted or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8 of shape {wanted}, not {pixels.dtype} of shape {pixels.shape}")
    return values(pixels, recipe)


def values(pixels: Pixels, recipe: Recipe) -> ModelInput:
    """Pixels of any size as numbers in the network's range; shape (1, 3, H, W)."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis], dtype=np.float32)
    planes -= np.float32(recipe.mean)
    planes /= np.float32(recipe.scale)
    return planes
