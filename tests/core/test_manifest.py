"""The label on the tin: it survives the way through text, and anything missing or wrong in it is named."""

import contextlib
import hashlib
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.core.birds import IMAGENET_BIRDS
from birdwatchd.core.errors import ModelDamaged
from birdwatchd.core.manifest import Golden, Manifest, golden_pixels, golden_sample
from birdwatchd.core.preprocess import SPOTTER_RECIPE

GOLDEN = Golden(
    seed=7,
    embedding=tuple(place / 8 for place in range(64)),
    birdness=0.9,
    ranking=(("jay", 0.5), ("robin", 0.2), ("kite", 0.1), ("goose", 0.05), ("crane", 0.01)),
)
MANIFEST = Manifest(
    kind="spotter",
    classes=IMAGENET_BIRDS,
    recipe=SPOTTER_RECIPE,
    source_sha256="a" * 64,
    weights_sha256="b" * 64,
    built_by="a test",
    golden=(GOLDEN, replace(GOLDEN, seed=8)),
)
METADATA = MANIFEST.to_metadata()


def damaged(key: str, text: str | None) -> dict[str, str]:
    metadata = dict(METADATA)
    if text is None:
        del metadata[f"birdwatchd.{key}"]
    else:
        metadata[f"birdwatchd.{key}"] = text
    return metadata


def golden_with(**changes: object) -> str:
    answers = json.loads(METADATA["birdwatchd.golden"])
    answers[1] |= changes
    return json.dumps(answers)


def test_the_59_birds_are_numbered_and_named_once() -> None:
    numbers = [number for number, _ in IMAGENET_BIRDS]
    assert numbers == [*range(7, 25), *range(80, 101), *range(127, 147)]
    assert len({label for _, label in IMAGENET_BIRDS}) == 59


def test_a_manifest_survives_the_way_through_text() -> None:
    assert Manifest.from_metadata(METADATA) == MANIFEST


def test_texts_of_others_are_passed_over() -> None:
    assert Manifest.from_metadata({"author": "someone", **METADATA}) == MANIFEST


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=64, max_size=64), st.floats(0, 1))
def test_golden_numbers_keep_every_digit(embedding: list[float], birdness: float) -> None:
    manifest = replace(MANIFEST, golden=(replace(GOLDEN, embedding=tuple(embedding), birdness=birdness),))
    assert Manifest.from_metadata(manifest.to_metadata()) == manifest


@pytest.mark.parametrize("key", [key.removeprefix("birdwatchd.") for key in METADATA])
def test_a_missing_text_is_named(key: str) -> None:
    with pytest.raises(ModelDamaged, match=key):
        Manifest.from_metadata(damaged(key, None))


def test_a_model_without_any_of_our_texts_is_refused() -> None:
    with pytest.raises(ModelDamaged, match="birdwatchd did not build it"):
        Manifest.from_metadata({})


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("format_version", "99"),
        ("format_version", ""),
        ("kind", "classifier"),
        ("classes", "[]"),
        ("classes", "{}"),
        ("classes", '[[1,"jay"],[1,"kite"]]'),
        ("classes", '[[1,"jay"],[2,"jay"]]'),
        ("classes", '[[2,"jay"],[1,"kite"]]'),
        ("classes", '[[1000,"jay"]]'),
        ("classes", '[[-1,"jay"]]'),
        ("classes", '[["1","jay"]]'),
        ("classes", '[[1,"jay",2]]'),
        ("classes", '[[1,"../jay"]]'),
        ("classes", '[[1,"Jay"]]'),
        ("classes", '[[17,"jay"]]'),  # fewer birds than the golden answers name
        ("recipe", "null"),
        ("recipe", "{}"),
        ("recipe", '{"version":2}'),
        ("recipe", '{"version":1,"size_px":0,"mean":1,"scale":1,"resize":"squash"}'),
        ("source_sha256", "A" * 64),
        ("weights_sha256", "b" * 63),
        ("golden", "[]"),
        ("golden", "not JSON"),
        ("golden", "[" * 100_000),
        ("golden", golden_with(seed=-1)),
        ("golden", golden_with(seed=True)),
        ("golden", golden_with(embedding=[0.0] * 63)),
        ("golden", golden_with(embedding=[float("nan")] * 64)),
        ("golden", golden_with(embedding=["0"] * 64)),
        ("golden", golden_with(birdness=1.1)),
        ("golden", golden_with(birdness=float("nan"))),
        ("golden", golden_with(ranking=[["jay", 0.5]])),
        ("golden", golden_with(ranking=[["ostrich-2", 0.1]] * 5)),
        ("golden", golden_with(extra=1)),
    ],
)
def test_a_wrong_text_is_refused(key: str, text: str) -> None:
    with pytest.raises(ModelDamaged, match="the model file"):
        Manifest.from_metadata(damaged(key, text))


@given(st.sampled_from(sorted(METADATA)), st.text(max_size=40))
def test_any_garbled_text_is_either_fine_or_damage(key: str, text: str) -> None:
    with contextlib.suppress(ModelDamaged):
        Manifest.from_metadata({**METADATA, key: text})


def test_golden_pictures_are_the_same_for_all_time() -> None:
    digests = {
        seed: hashlib.sha256(golden_pixels(seed, 224).tobytes()).hexdigest()[:16] for seed in (0, 563, 2**32 - 1)
    }
    assert digests == {0: "d2e6bf5a8a5926ba", 563: "6b24471b22028bca", 2**32 - 1: "661d80cee623ea70"}


def test_golden_pictures_are_pixels_and_differ_by_seed() -> None:
    pictures = [golden_pixels(seed, 32) for seed in range(8)]
    assert all(picture.shape == (32, 32, 3) and picture.dtype == np.uint8 for picture in pictures)
    assert not any(np.array_equal(one, other) for one, other in itertools.combinations(pictures, 2))


def test_a_golden_sample_is_every_20th_value() -> None:
    sample = golden_sample(np.arange(1280, dtype=np.float32))
    assert sample.tolist() == list(range(0, 1280, 20))
