"""Does it find the bird in the frame? And how the map of the eye was learned: `python -m benchmarks.eyesight`.

What is learned are 1,281 numbers (`birdwatchd/training/spotter_map.json`): how much each of the network's features speaks for "this
part of the picture is bird". It is shown parts of composed pictures: close-ups of birds pasted in round patches of many sizes, and as
many patches of other things, pasted in the same way and as sharp as the birds, so that neither edges nor sharpness give a bird away.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.figures import at_least, at_most, skipped, slow_end
from benchmarks.folders import bird_folder
from benchmarks.lessons import STRANGERS_LET_IN, learn
from benchmarks.looks import Look, birds
from birdwatchd.core import shelving
from birdwatchd.core.photo import Box, Pixels, Spotting
from birdwatchd.core.preprocess import SPOTTER_RECIPE, values
from birdwatchd.core.settings import Spotter as SpotterSettings
from birdwatchd.edges.images import Limits
from birdwatchd.edges.vision import Classifier, Spotter
from birdwatchd.examining import Examiner
from birdwatchd.training import spotter as converter
from tests.pictures import data_folder

Features = npt.NDArray[np.float32]

WIDTH_PX, HEIGHT_PX = 960, 720
_LIMITS = Limits(max_megapixels=40, formats=frozenset({"jpeg"}))


# -- measured


def eyesight(*, frames: int = 300, seed: int = 20_261_126) -> None:
    """Frames of 12 megapixels with a bird of 8 to 30 % of the width, or none: found, named, called empty, and how long it takes."""
    data = data_folder()
    if data is None or not (data.parent / "tools" / "make_frames.py").is_file():
        skipped("eyesight", "no real photos (set BIRDWATCHD_TEST_DATA)")
        return
    known, others = _halves(birds())
    model = learn(known, seed=1, strangers_let_in=STRANGERS_LET_IN, all_of_them=True)
    tight = statistics.fmean(_named(model, look.spotting) == look.species for look in others)
    with _composed(others, data / "scenes" / "no-bird", frames, seed) as place, bird_folder() as root:
        spotter = Spotter.load(root / shelving.MODELS, providers=("cpu",))
        _tell(_looked_at(spotter, place), model, tight)


def halves(*, frames: int = 260, seed: int = 701) -> None:
    """The same with maps that have learned half of the species and half of the scenes, on frames composed of the other halves: what
    is to be expected of birds and gardens that nobody has seen."""
    data = data_folder()
    if data is None or not (data.parent / "tools" / "make_frames.py").is_file():
        skipped("eyesight by halves", "no real photos (set BIRDWATCHD_TEST_DATA)")
        return
    scenes = sorted((data / "scenes" / "no-bird").glob("*.jpg"))
    species = sorted((data / "birds").iterdir())
    known, others = _halves(birds())
    model = learn(known, seed=1, strangers_let_in=STRANGERS_LET_IN, all_of_them=True)
    seen: list[tuple[dict[str, Any], Spotting, float]] = []
    tight: list[bool] = []
    for turn in (0, 1):
        taught = [photo for folder in species[turn::2] for photo in sorted(folder.glob("*.jpg"))]
        asked = {folder.name for folder in species[1 - turn :: 2]}
        judged = [look for look in others if look.species in asked]
        tight += [_named(model, look.spotting) == look.species for look in judged]
        with (
            _spotter_taught(taught, scenes[turn::2]) as spotter,
            _chosen(scenes[1 - turn :: 2]) as bare,
            _composed(judged, bare, frames, seed + turn) as place,
        ):
            seen += _looked_at(spotter, place)
    _tell(seen, model, statistics.fmean(tight))


def _halves(looks: Sequence[Look]) -> tuple[list[Look], list[Look]]:
    """Photos to learn names from, and photos to compose frames of; no visit is in both."""
    known = [look for look in looks if look.visit % 2 == 0]
    return known, [look for look in looks if look.visit % 2]


def _named(model: Classifier, spotting: Spotting) -> str:
    (naming,) = model.name([spotting.embedding], None)
    return naming.ranking[0][0]


def _looked_at(spotter: Spotter, place: Path) -> list[tuple[dict[str, Any], Spotting, float]]:
    """Each frame's truth, what is seen, and in how many milliseconds from its bytes on."""
    examiner = Examiner(spotter, _LIMITS)
    seen: list[tuple[dict[str, Any], Spotting, float]] = []
    for truth in json.loads((place / "truth.json").read_text()):
        data = (place / truth["file"]).read_bytes()
        begun = time.perf_counter()
        spotting = examiner.examine(data).spotting
        seen.append((truth, spotting, 1000 * (time.perf_counter() - begun)))
    return seen


def _tell(seen: Sequence[tuple[dict[str, Any], Spotting, float]], model: Classifier, tight: float) -> None:
    empty_below = SpotterSettings().empty_below
    with_bird = [(truth, spotting) for truth, spotting, _ in seen if truth["box"]]
    bare = [spotting for truth, spotting, _ in seen if not truth["box"]]
    on_it = statistics.fmean(_is_on(spotting.box, truth["box"]) for truth, spotting in with_bird)
    named = statistics.fmean(_named(model, spotting) == truth["species"] for truth, spotting in with_bird)
    missed = statistics.fmean(spotting.birdness < empty_below for _, spotting in with_bird)
    passed = statistics.fmean(spotting.birdness < empty_below for spotting in bare)
    took = [ms for *_, ms in seen]
    print(f"eyesight, {len(with_bird)} frames with a bird of 8 to 30 % of the width, {len(bare)} without one:")
    print(f"  middle of the box on the bird: {100 * on_it:.1f} %; {at_least(100 * on_it, 95, '%')}")
    print(
        f"  right species: {100 * named:.1f} %, of tight crops {100 * tight:.1f} %: {named / tight:.2f} of it;"
        f" {at_least(named / tight, 0.85)}"
    )
    print(f"  with a bird, called empty: {100 * missed:.1f} %; {at_most(100 * missed, 5, '%')}")
    print(f"  without one, called empty: {100 * passed:.1f} %; {at_least(100 * passed, 95, '%')}")
    print(
        f"  from bytes to what is seen: p50 {statistics.median(took):.0f} ms, p95 {slow_end(took):.0f} ms;"
        f" {at_most(statistics.median(took), 180, 'ms')}"
    )


def _is_on(box: Box, truth: Sequence[float]) -> bool:
    x, y = box.x + box.width / 2, box.y + box.height / 2
    return truth[0] <= x <= truth[0] + truth[2] and truth[1] <= y <= truth[1] + truth[3]


@contextmanager
def _chosen(photos: Sequence[Path]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="birdwatchd-bench-scenes-") as place:
        for photo in photos:
            shutil.copy(photo, place)
        yield Path(place)


@contextmanager
def _composed(looks: Sequence[Look], scenes: Path, count: int, seed: int) -> Iterator[Path]:
    """A folder of frames made of these close-ups, with `truth.json`."""
    data = data_folder()
    assert data is not None
    with tempfile.TemporaryDirectory(prefix="birdwatchd-bench-frames-") as folder:
        place = Path(folder)
        for look in looks:
            (place / "birds" / look.species).mkdir(parents=True, exist_ok=True)
            shutil.copy(look.path, place / "birds" / look.species)
        tool = data.parent / "tools" / "make_frames.py"
        words = ["--count", str(count), "--seed", str(seed), "--birds", str(place / "birds"), "--scenes", str(scenes)]
        subprocess.run([sys.executable, str(tool), str(place / "frames"), *words], check=True)
        yield place / "frames"


# -- learned


@dataclass(frozen=True, slots=True)
class Patch:
    """Something round in a composed picture; all in pixels."""

    x: float
    y: float
    side: float
    is_bird: bool


def compose(
    chance: np.random.Generator, close_ups: Sequence[Path], scenes: Sequence[Path]
) -> tuple[Pixels, list[Patch]]:
    """A part of a scene, with patches of other scenes and of birds, 6 to 45 % of its width."""
    ground = _part(chance, _opened(chance, scenes), 0.35).resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.BICUBIC)
    patches: list[Patch] = []
    others = [_square(chance, _opened(chance, scenes)) for _ in range(chance.integers(1, 4))]
    shown = [_opened(chance, close_ups) for _ in range(chance.choice([0, 1, 1, 2, 2, 3]))]
    for picture, is_bird in [(one, False) for one in others] + [(one, True) for one in shown]:
        side = int(WIDTH_PX * np.exp(chance.uniform(np.log(0.06), np.log(0.45))))
        for _ in range(20):
            left = int(chance.integers(0, WIDTH_PX - side + 1))
            top = int(chance.integers(0, HEIGHT_PX - side + 1))
            new = Patch(left + side / 2, top + side / 2, side, is_bird)
            if all(_are_apart(new, old) for old in patches):
                mask = Image.new("L", (side, side), 0)
                ImageDraw.Draw(mask).ellipse((1, 1, side - 1, side - 1), fill=255)
                soft = mask.filter(ImageFilter.GaussianBlur(max(side / 60, 0.5)))
                ground.paste(picture.resize((side, side), Image.Resampling.BICUBIC), (left, top), soft)
                patches.append(new)
                break
    noise = chance.normal(0, chance.uniform(0, 4), (HEIGHT_PX, WIDTH_PX, 1))
    return (np.asarray(ground, dtype=np.float32) + noise).clip(0, 255).astype(np.uint8), patches


def _are_apart(one: Patch, other: Patch) -> bool:
    far = 0.55 * (one.side + other.side)
    return abs(one.x - other.x) > far or abs(one.y - other.y) > far


def _opened(chance: np.random.Generator, photos: Sequence[Path]) -> Image.Image:
    image = Image.open(photos[int(chance.integers(len(photos)))]).convert("RGB")
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else image


def _part(chance: np.random.Generator, image: Image.Image, least: float) -> Image.Image:
    share = chance.uniform(least, 1.0)
    width, height = int(image.width * share), int(image.height * share)
    left, top = int(chance.integers(image.width - width + 1)), int(chance.integers(image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def _square(chance: np.random.Generator, image: Image.Image) -> Image.Image:
    side = int(min(image.size) * chance.uniform(0.3, 1.0))
    left, top = int(chance.integers(image.width - side + 1)), int(chance.integers(image.height - side + 1))
    return image.crop((left, top, left + side, top + side))


def parts(
    features: Features, patches: Sequence[Patch], chance: np.random.Generator
) -> tuple[list[Features], list[bool]]:
    """Some parts of a picture by their features, and whether they are bird; none that is half this and half that.

    Args:
        features: shape (1280, rows, columns).
    """
    _, rows, columns = features.shape
    row, column = np.mgrid[:rows, :columns]
    y, x = (row + 0.5) * HEIGHT_PX / rows, (column + 0.5) * WIDTH_PX / columns
    ground = np.ones((rows, columns), dtype=bool)
    taken: list[tuple[npt.NDArray[np.bool_], int, bool]] = []
    for patch in patches:
        away = np.hypot(x - patch.x, y - patch.y) / (patch.side / 2)
        if patch.is_bird:
            taken.append(((away < 0.65) if (away < 0.65).any() else away <= away.min(), 8, True))
            ground &= away > 1.5
    for patch in patches:
        if not patch.is_bird:
            away = np.hypot(x - patch.x, y - patch.y) / (patch.side / 2)
            taken.append(((away < 1.1) & ground, 10, False))
    taken.append((ground, 15, False))
    found: list[Features] = []
    is_bird: list[bool] = []
    for where, most, bird in taken:
        cells = np.argwhere(where)
        for r, c in cells[chance.permutation(len(cells))[:most]]:
            found.append(features[:, r, c].copy())
            is_bird.append(bird)
    return found, is_bird


def learned(close_ups: Sequence[Path], scenes: Sequence[Path], *, pictures: int, seed: int) -> tuple[Features, float]:
    """Logistic regression, birds and all else weighing the same; returns 1,280 weights and what is added."""
    from sklearn.linear_model import LogisticRegression

    chance = np.random.default_rng(seed)
    found: list[Features] = []
    is_bird: list[bool] = []
    with _features() as network:
        for _ in range(pictures):
            pixels, patches = compose(chance, close_ups, scenes)
            some, which = parts(network(pixels), patches, chance)
            found += some
            is_bird += which
    shown = np.stack(found)
    middle, spread = shown.mean(axis=0), shown.std(axis=0) + 0.05
    model = LogisticRegression(C=5e-4, class_weight="balanced", max_iter=300).fit((shown - middle) / spread, is_bird)
    weights = np.asarray(model.coef_[0] / spread, dtype=np.float32)
    return weights, float(model.intercept_[0] - middle @ weights)


@contextmanager
def _features() -> Iterator[Any]:
    """The network up to its last feature map, as a function of pixels."""
    import onnx
    import onnxruntime

    model = onnx.load_model_from_string(converter.onnx_bytes(converter.weights_path()))
    model.graph.output.append(onnx.helper.make_tensor_value_info("head.clipped", onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.enable_mem_pattern = False
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    yield lambda pixels: session.run(["head.clipped"], {"pixels": values(pixels, SPOTTER_RECIPE)})[0][0]


def as_json(weights: Features, bias: float) -> str:
    """The content of `spotter_map.json`."""
    numbers = ",".join(f"{weight:.4g}" for weight in weights)
    return f'{{"weights":[{numbers}],\n"bias":{bias:.4g}}}\n'


@contextmanager
def _spotter_taught(close_ups: Sequence[Path], scenes: Sequence[Path]) -> Iterator[Spotter]:
    """A spotter with a map of its own."""
    weights, bias = learned(close_ups, scenes, pictures=900, seed=1)
    kept = converter.MAP_FILE
    with tempfile.TemporaryDirectory(prefix="birdwatchd-bench-eye-") as folder:
        try:
            converter.MAP_FILE = Path(folder) / "map.json"
            converter.MAP_FILE.write_text(as_json(weights, bias), encoding="ascii")
            converter.build_spotter(Path(folder))
        finally:
            converter.MAP_FILE = kept
        yield Spotter.load(Path(folder), providers=("cpu",))


def main() -> None:
    """Learn the map anew from all species and scenes that are there, and write it down."""
    data = data_folder()
    if data is None:
        skipped("the map", "no real photos (set BIRDWATCHD_TEST_DATA)")
        return
    close_ups = sorted((data / "birds").glob("*/*.jpg"))
    scenes = sorted((data / "scenes" / "no-bird").glob("*.jpg"))
    weights, bias = learned(close_ups, scenes, pictures=3200, seed=1)
    converter.MAP_FILE.write_text(as_json(weights, bias), encoding="ascii")


if __name__ == "__main__":
    main()
