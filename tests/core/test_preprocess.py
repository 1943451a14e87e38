"""Pixels → model input: the arithmetic, what is refused, and the recipe's way to text and back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core.preprocess import RECIPE_VERSION, RESIZES, SPOTTER_RECIPE, Recipe, Resize, to_model_input


def recipe(**changes: object) -> Recipe:
    return Recipe.from_dict({**SPOTTER_RECIPE.to_dict(), **changes})


def test_every_value_lands_in_its_channel_row_and_column() -> None:
    pixels = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    planes = to_model_input(pixels, recipe(size_px=4))
    assert planes.shape == (1, 3, 4, 4)
    assert planes.dtype == np.float32
    assert planes.flags.c_contiguous
    for row, column, channel in np.ndindex(4, 4, 3):
        assert planes[0, channel, row, column] == (float(pixels[row, column, channel]) - 127) / 128


def test_the_spotter_takes_224_px_between_minus_one_and_one() -> None:
    planes = to_model_input(np.full((224, 224, 3), (0, 127, 255), dtype=np.uint8), SPOTTER_RECIPE)
    assert np.unique(planes).tolist() == [-127 / 128, 0.0, 1.0]


def test_the_pixels_are_left_as_they_were() -> None:
    pixels = np.full((224, 224, 3), 200, dtype=np.uint8)
    to_model_input(pixels, SPOTTER_RECIPE)
    assert (pixels == 200).all()


@pytest.mark.parametrize(
    "shape", [(224, 224), (224, 224, 4), (3, 224, 224), (224, 223, 3), (1, 224, 224, 3), (0, 0, 3)]
)
def test_pixels_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be uint8 of shape"):
        to_model_input(np.zeros(shape, dtype=np.uint8), SPOTTER_RECIPE)


def test_pixels_that_are_not_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="float32"):
        to_model_input(np.zeros((224, 224, 3), dtype=np.float32), SPOTTER_RECIPE)


@given(
    size_px=st.integers(1, 4096),
    mean=st.floats(-1e6, 1e6),
    scale=st.floats(1e-6, 1e6),
    resize=st.sampled_from(RESIZES),
)
def test_a_recipe_survives_the_way_through_json(size_px: int, mean: float, scale: float, resize: Resize) -> None:
    before = Recipe(RECIPE_VERSION, size_px, mean, scale, resize)
    assert Recipe.from_dict(json.loads(json.dumps(before.to_dict()))) == before


@pytest.mark.parametrize("version", [0, RECIPE_VERSION + 1, "1", None, True, 1.0])
def test_an_unknown_recipe_version_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match="recipe version"):
        recipe(version=version)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size_px", 0),
        ("size_px", 4097),
        ("size_px", 224.0),
        ("size_px", True),
        ("mean", "127"),
        ("mean", float("nan")),
        ("scale", 0),
        ("scale", -128),
        ("scale", float("inf")),
        ("scale", None),
        ("resize", "stretch"),
        ("resize", 1),
        ("colour", "grey"),
    ],
)
def test_a_recipe_out_of_range_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        recipe(**{key: value})


def test_a_recipe_with_a_key_missing_is_refused() -> None:
    fields = SPOTTER_RECIPE.to_dict()
    del fields["scale"]
    with pytest.raises(ValueError, match="keys"):
        Recipe.from_dict(fields)
