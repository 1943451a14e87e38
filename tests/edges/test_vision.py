"""The eye: what it answers, and that nothing but the whole file that was built is ever used."""

import ctypes
import hashlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image, ImageDraw

from birdwatchd.core.detecting import DETAIL_PX, Map
from birdwatchd.core.errors import DiskTrouble, ModelDamaged, ModelError, ModelMissing
from birdwatchd.core.manifest import golden_pixels
from birdwatchd.core.onnxfile import QUICK_MAP
from birdwatchd.core.photo import WHOLE_FRAME, Box, Pixels, Vector
from birdwatchd.core.preprocess import SPOTTER_RECIPE, ModelInput, Recipe, to_model_input, values
from birdwatchd.edges.images import Limits, Picture, as_jpeg, decode
from birdwatchd.edges.vision import CPU_BATCH_MAX, ProviderUnavailable, Session, Spotter, open_onnx_session
from birdwatchd.edges.vision.sessions import SessionPerShape


def model_input(photo: Path) -> ModelInput:
    with Image.open(photo) as image:
        squashed = image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
    return to_model_input(np.array(squashed), SPOTTER_RECIPE)


def the_file(models: Path) -> Path:
    (path,) = models.glob("spotter-*.onnx")
    return path


@pytest.fixture(scope="module")
def spotter(models_dir: Path) -> Spotter:
    return Spotter.load(models_dir, providers=("cpu",))


@pytest.fixture
def copy_dir(models_dir: Path, tmp_path: Path) -> Path:
    """A models folder of its own, to be damaged."""
    copy = tmp_path / "models"
    copy.mkdir()
    shutil.copy(the_file(models_dir), copy)
    return copy


@pytest.fixture(scope="module")
def photos(real_photos: Path) -> ModelInput:
    """Six real photos: two birds, two scenes with a bird, two without."""
    kinds = ("birds/blue-jay", "birds/mallard", "scenes/bird", "scenes/no-bird")
    chosen = [sorted((real_photos / kind).glob("*.jpg"))[:2] for kind in kinds]
    return np.concatenate([model_input(photo) for photo in [*(pair[0] for pair in chosen[:2]), *chosen[2], *chosen[3]]])


# What it answers


def test_a_spotter_says_who_it_is(spotter: Spotter, models_dir: Path) -> None:
    assert hashlib.sha256(the_file(models_dir).read_bytes()).hexdigest().startswith(spotter.id)
    assert len(spotter.id) == 16
    assert spotter.recipe == SPOTTER_RECIPE
    assert spotter.provider == "cpu"
    assert len(spotter.labels) == 59


def test_a_jay_is_a_bird_and_a_jay(spotter: Spotter, real_photos: Path) -> None:
    photos = sorted((real_photos / "birds" / "blue-jay").glob("*.jpg"))[:12]
    spottings = spotter.spot(np.concatenate([model_input(photo) for photo in photos]))
    assert all(spotting.birdness > 0.3 for spotting in spottings)
    assert sum(spotting.ranking[0][0] == "jay" for spotting in spottings) >= 10


def test_answers_keep_their_promises(spotter: Spotter, photos: ModelInput) -> None:
    for spotting in spotter.spot(photos):
        probabilities = [probability for _, probability in spotting.ranking]
        assert spotting.spotter_id == spotter.id
        assert spotting.box == WHOLE_FRAME
        assert len({label for label, _ in spotting.ranking}) == 5
        assert {label for label, _ in spotting.ranking} <= set(spotter.labels)
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 <= sum(probabilities) <= spotting.birdness + 1e-6
        assert 0 <= spotting.birdness <= 1
        assert spotting.embedding.shape == (1280,)
        assert spotting.embedding.dtype == np.float32
        assert spotting.embedding.base is None


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_the_batch_has_no_influence_on_an_answer(spotter: Spotter, photos: ModelInput, size: int) -> None:
    alone = [spotter.spot(photo[np.newaxis])[0] for photo in photos]
    batched = [answer for start in range(0, len(photos), size) for answer in spotter.spot(photos[start : start + size])]
    assert len({one.embedding.tobytes() for one in alone}) == len(photos)
    for one, other in zip(alone, batched, strict=True):
        assert abs(one.birdness - other.birdness) < 1e-4
        assert np.abs(one.embedding - other.embedding).max() < 1e-4
        assert [label for label, _ in one.ranking][:1] == [label for label, _ in other.ranking][:1]


def test_a_batch_beyond_the_limit_is_cut_and_kept_in_order(spotter: Spotter) -> None:
    inputs = np.concatenate(
        [to_model_input(golden_pixels(seed, 224), SPOTTER_RECIPE) for seed in range(2 * CPU_BATCH_MAX + 1)]
    )
    alone = [spotter.spot(one[np.newaxis])[0] for one in inputs]
    cut = spotter.spot(inputs)
    assert len(cut) == len(alone)
    assert all(np.abs(a.embedding - b.embedding).max() < 1e-4 for a, b in zip(alone, cut, strict=True))


def test_no_photo_gives_no_answer(spotter: Spotter) -> None:
    assert spotter.spot(np.empty((0, 3, 224, 224), dtype=np.float32)) == []


@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 3, 224, 223), (1, 1, 224, 224), (1, 224, 224, 3)])
def test_inputs_of_another_shape_are_refused(spotter: Spotter, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be float32 of shape"):
        spotter.spot(np.zeros(shape, dtype=np.float32))


def test_inputs_of_another_type_are_refused(spotter: Spotter) -> None:
    with pytest.raises(ValueError, match="float64"):
        spotter.spot(np.zeros((1, 3, 224, 224)))  # type: ignore[arg-type]


def test_an_answer_that_is_no_number_is_marked_as_such(spotter: Spotter) -> None:
    (spotting,) = spotter.spot(np.full((1, 3, 224, 224), np.nan, dtype=np.float32))
    assert not spotting.is_number
    assert spotting.ranking == ()


# Looking closer

LIMITS = Limits(max_megapixels=40, formats=frozenset({"jpeg"}))


def frame_of(scene: Path, *birds: tuple[Path, float, float, float], size: tuple[int, int] = (2000, 1500)) -> Picture:
    """A camera's frame with birds, each a close-up pasted round: its middle and its width in shares of the frame's width."""
    with Image.open(scene) as image:
        frame = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    for photo, x, y, share in birds:
        side = round(share * size[0])
        mask = Image.new("L", (side, side), 0)
        ImageDraw.Draw(mask).ellipse((2, 2, side - 2, side - 2), fill=255)
        with Image.open(photo) as image:
            close_up = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        frame.paste(close_up, (round(x * size[0] - side / 2), round(y * size[0] - side / 2)), mask)
    return decode(as_jpeg(np.asarray(frame)), LIMITS, detail_px=DETAIL_PX)


def middle(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2


@pytest.fixture(scope="module")
def scene(real_photos: Path) -> Path:
    return sorted((real_photos / "scenes" / "no-bird").glob("*.jpg"))[3]


@pytest.fixture(scope="module")
def jay(real_photos: Path) -> Path:
    return sorted((real_photos / "birds" / "blue-jay").glob("*.jpg"))[1]


@pytest.mark.parametrize(("x", "y"), [(0.2, 0.2), (0.75, 0.3), (0.5, 0.6)])
def test_a_small_bird_is_found_where_it_is(spotter: Spotter, scene: Path, jay: Path, x: float, y: float) -> None:
    spotting = spotter.find(frame_of(scene, (jay, x, y, 0.18)))
    assert middle(spotting.box) == pytest.approx((x, y / 0.75), abs=0.06)
    assert 0.1 < spotting.box.width < 0.3
    assert spotting.birdness > 0.5
    assert spotting.ranking[0][0] == "jay"


def test_the_bird_in_the_frame_is_described_as_on_its_close_up(spotter: Spotter, scene: Path, jay: Path) -> None:
    close = spotter.spot(model_input(jay))[0]
    small = spotter.find(frame_of(scene, (jay, 0.5, 0.4, 0.2)))
    whole = spotter.spot(to_model_input(frame_of(scene, (jay, 0.5, 0.4, 0.2)).view(224), SPOTTER_RECIPE))[0]
    assert alike(small.embedding, close.embedding) > alike(whole.embedding, close.embedding) + 0.2


def alike(one: Vector, other: Vector) -> float:
    return float(np.sqrt(one) @ np.sqrt(other) / np.sqrt(one.sum() * other.sum()))


def test_two_birds_are_told_of_and_a_box_is_each_ones_own(
    spotter: Spotter, scene: Path, real_photos: Path, jay: Path
) -> None:
    finch = sorted((real_photos / "birds" / "american-goldfinch").glob("*.jpg"))[2]
    spotting = spotter.find(frame_of(scene, (jay, 0.2, 0.25, 0.22), (finch, 0.75, 0.5, 0.22)))
    boxes = sorted([spotting.box, *(bird.box for bird in spotting.others)], key=lambda box: box.x)
    assert len(boxes) == 2
    assert middle(boxes[0]) == pytest.approx((0.2, 0.333), abs=0.08)
    assert middle(boxes[1]) == pytest.approx((0.75, 0.667), abs=0.08)
    assert all(bird.birdness <= spotting.birdness for bird in spotting.others)


def test_a_frame_without_a_bird_has_none(spotter: Spotter, real_photos: Path) -> None:
    scenes = sorted((real_photos / "scenes" / "no-bird").glob("*.jpg"))[:20]
    assert sum(spotter.find(frame_of(one)).birdness < 0.05 for one in scenes) >= 18


def test_a_small_picture_is_looked_at_as_a_whole(spotter: Spotter, scene: Path, jay: Path) -> None:
    picture = frame_of(scene, (jay, 0.5, 0.4, 0.2), size=(440, 330))
    (whole,) = spotter.spot(to_model_input(picture.view(224), SPOTTER_RECIPE))
    found = spotter.find(picture)
    assert found.box == WHOLE_FRAME
    assert np.array_equal(found.embedding, whole.embedding)


def test_a_bird_that_fills_the_frame_is_looked_at_once(
    spotter: Spotter, real_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = sorted((real_photos / "birds" / "blue-jay").glob("*.jpg"))
    with Image.open(max(photos, key=lambda photo: spotter.spot(model_input(photo))[0].birdness)) as image:
        large = as_jpeg(np.asarray(image.convert("RGB").resize((1200, 1200))))
    monkeypatch.setattr(spotter, "_map", None)
    assert spotter.find(decode(large, LIMITS, detail_px=DETAIL_PX)).box == WHOLE_FRAME


def test_a_portrait_frame_is_searched_as_well(spotter: Spotter, scene: Path, jay: Path) -> None:
    spotting = spotter.find(frame_of(scene, (jay, 0.4, 0.9, 0.25), size=(1500, 2000)))
    assert middle(spotting.box) == pytest.approx((0.4, 0.675), abs=0.08)


def test_a_map_that_is_no_number_makes_the_whole_answer_none(
    spotter: Spotter, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mad(pixels: Pixels) -> Map:
        map_ = make_map(pixels)
        map_[1, 1] = np.nan
        return map_

    make_map = spotter._make_map
    monkeypatch.setattr(spotter, "_make_map", mad)
    assert not spotter.find(frame_of(scene)).is_number


def test_the_quick_map_is_near_the_exact_one(spotter: Spotter, scene: Path, jay: Path) -> None:
    pixels = frame_of(scene, (jay, 0.3, 0.4, 0.2)).scaled(1000, 750)
    exact = spotter._session.run(["map"], {"pixels": values(pixels, SPOTTER_RECIPE)})[0][0, 0]
    quick = spotter._make_map(pixels)
    assert quick.shape == exact.shape == (24, 32)
    assert np.corrcoef(quick.ravel(), exact.ravel())[0, 1] > 0.9
    assert np.sqrt(np.mean((quick - exact) ** 2)) < 1.0


# Only the whole file is used


def flipped_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 100)


def renamed(path: Path) -> None:
    path.rename(path.with_name("spotter-0123456789abcdef.onnx"))


@pytest.mark.parametrize("damage", [flipped_byte, cut_in_half, emptied, grown, garbage, renamed])
def test_a_damaged_file_is_refused_by_its_hash(copy_dir: Path, damage: Callable[[Path], None]) -> None:
    damage(the_file(copy_dir))
    with pytest.raises(ModelDamaged) as caught:
        Spotter.load(copy_dir)
    assert the_file(copy_dir).name in caught.value.message
    assert "birdwatchd init" in caught.value.hint


def rewritten(folder: Path, change: Callable[[Any], object]) -> None:
    """Change the model itself and give the file the name that fits, as a forger would."""
    path = the_file(folder)
    model = onnx.load_model_from_string(path.read_bytes())
    path.unlink()
    change(model)
    put(folder, model.SerializeToString())


def put(folder: Path, content: bytes) -> Path:
    path = folder / f"spotter-{hashlib.sha256(content).hexdigest()[:16]}.onnx"
    path.write_bytes(content)
    return path


def without_metadata(model: Any) -> None:
    del model.metadata_props[:]


def with_a_newer_format(model: Any) -> None:
    model.metadata_props[0].value = "99"


def with_external_data(model: Any) -> None:
    weight = model.graph.initializer[10]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")


def with_another_weight(model: Any) -> None:
    weight = model.graph.initializer[10]
    weight.raw_data = bytes(len(weight.raw_data))


def with_another_weight_and_its_hash(model: Any) -> None:
    with_another_weight(model)
    with_the_right_hash(model)


def with_the_right_hash(model: Any) -> None:
    digest = hashlib.sha256()
    for weight in model.graph.initializer:
        digest.update(weight.raw_data)
    (entry,) = [entry for entry in model.metadata_props if entry.key == "birdwatchd.weights_sha256"]
    entry.value = digest.hexdigest()


def with_another_input(model: Any) -> None:
    model.graph.input[0].name = "image"
    model.graph.node[0].input[0] = "image"


def with_another_quick_map(model: Any) -> None:
    """One whose weights of the last convolution are turned round."""
    (held,) = [weight for weight in model.graph.initializer if weight.name == QUICK_MAP]
    quick = onnx.load_model_from_string(held.raw_data)
    (last,) = [weight for weight in quick.graph.initializer if weight.name == "map.weight"]
    last.raw_data = (-np.frombuffer(last.raw_data, np.float32)).tobytes()
    held.raw_data = quick.SerializeToString()
    with_the_right_hash(model)


def without_the_quick_map(model: Any) -> None:
    kept = [weight for weight in model.graph.initializer if weight.name != QUICK_MAP]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    with_the_right_hash(model)


def with_an_output_less(model: Any) -> None:
    del model.graph.output[0]


def with_another_operator(model: Any) -> None:
    model.graph.node[1].op_type = "NoSuchOperator"


def with_another_stride(model: Any) -> None:
    (strides,) = [attribute for attribute in model.graph.node[0].attribute if attribute.name == "strides"]
    strides.ints[:] = [1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_metadata, "does not say its format_version"),
        (with_a_newer_format, "format '99'"),
        (with_external_data, "lies in another file"),
        (with_another_weight, "other weights than it says"),
        (with_another_weight_and_its_hash, "does not give the answers"),
        (with_another_quick_map, "does not give the map"),
        (without_the_quick_map, "does not hold quick_map.model"),
        (with_another_input, "not a spotter"),
        (with_an_output_less, "not a spotter"),
        (with_another_operator, "cannot be loaded"),
        (with_another_stride, "does not give the answers"),
    ],
)
def test_a_model_that_is_not_what_was_built_is_refused(
    copy_dir: Path, change: Callable[[Any], None], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rewritten(copy_dir, change)
    with pytest.raises(ModelDamaged, match=message) as caught:
        Spotter.load(copy_dir)
    assert the_file(copy_dir).name in caught.value.message
    assert "birdwatchd init" in caught.value.hint
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"\x08", b"\xff" * 64, b"\x3a\x7f", b"hello, this is text", bytes(4096)]
)
def test_garbage_under_its_right_hash_is_refused(tmp_path: Path, content: bytes) -> None:
    put(tmp_path, content)
    with pytest.raises(ModelDamaged):
        Spotter.load(tmp_path)


def test_a_folder_without_a_spotter_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "spotter-0123456789abcdef.onnx.part").write_bytes(b"half")
    (tmp_path / "classifier.onnx").write_bytes(b"another thing")
    with pytest.raises(ModelMissing, match="birdwatchd init"):
        Spotter.load(tmp_path)


def test_a_folder_that_is_not_there_has_no_spotter(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        Spotter.load(tmp_path / "models")


def test_a_file_that_cannot_be_read_is_the_disks_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, b"content")

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DiskTrouble, match=path.name):
        Spotter.load(tmp_path)


def test_a_damaged_file_beside_a_whole_one_is_passed_over(copy_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = the_file(copy_dir)
    newer = put(copy_dir, b"a newer one that is no model")
    os.utime(newer, ns=(2**61, 2**61))
    assert Spotter.load(copy_dir).id in whole.name
    assert newer.name in caplog.text


def test_the_newest_whole_one_is_taken(copy_dir: Path) -> None:
    old = the_file(copy_dir)
    model = onnx.load_model_from_string(old.read_bytes())
    model.doc_string = "the same network in another file"
    new = put(copy_dir, model.SerializeToString())
    for newest, other in ((new, old), (old, new)):
        os.utime(newest, ns=(2_000, 2_000))
        os.utime(other, ns=(1_000, 1_000))
        assert Spotter.load(copy_dir).id in newest.name


# What computes


class Skewed:
    """A provider whose answers are off by a factor."""

    def __init__(
        self, session: Session, *, embedding: float = 1.0, probabilities: float = 1.0, map_: float = 1.0
    ) -> None:
        self.session = session
        self.factors = (embedding, probabilities, map_)

    def get_inputs(self) -> list[Any]:
        return self.session.get_inputs()

    def get_outputs(self) -> list[Any]:
        return self.session.get_outputs()

    def run(self, outputs: list[str], feeds: Mapping[str, ModelInput | Pixels], /) -> list[Any]:
        factors = dict(zip(("embedding", "probabilities", "map"), self.factors, strict=True))
        return [factors[name] * array for name, array in zip(outputs, self.session.run(outputs, feeds), strict=True)]


class Workshop:
    """Opens sessions: for each provider either a skewed CPU or an error."""

    def __init__(self, **behaviour: dict[str, float] | Exception) -> None:
        self.behaviour = behaviour
        self.asked: list[str] = []

    def __call__(self, path: Path, provider: str, threads: int, recipe: Recipe) -> Session:
        assert threads >= 1
        self.asked.append(provider)
        behaviour = self.behaviour.get(provider, {})
        if isinstance(behaviour, Exception):
            raise behaviour
        return Skewed(open_onnx_session(path, "cpu", threads, recipe), **behaviour)


def test_the_first_provider_that_agrees_with_the_cpu_computes(models_dir: Path) -> None:
    workshop = Workshop(tensorrt={"embedding": 1 + 1e-5, "probabilities": 1 - 1e-5})
    assert Spotter.load(models_dir, open_session=workshop).provider == "tensorrt"
    # The last one for the map: an engine of TensorRT's takes squares of one size.
    assert workshop.asked == ["cpu", "tensorrt", "cuda"]


def test_where_only_the_cpu_takes_whole_frames_it_makes_the_quick_map(models_dir: Path, scene: Path, jay: Path) -> None:
    picture = frame_of(scene, (jay, 0.4, 0.3, 0.2))
    quick = Spotter.load(models_dir, providers=("cpu",)).find(picture)
    lacking = Workshop(cuda=ProviderUnavailable("no CUDA"))
    assert Spotter.load(models_dir, open_session=lacking).find(picture).box == quick.box
    assert Spotter.load(models_dir, open_session=Workshop()).find(picture).box != quick.box  # CUDA's is the exact one


@pytest.mark.parametrize(
    "skew", [{"embedding": 1.01}, {"probabilities": 0.99}, {"map_": 0.9}, {"embedding": float("nan")}]
)
def test_a_provider_that_disagrees_is_passed_over(
    models_dir: Path, skew: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    workshop = Workshop(tensorrt=skew)
    assert Spotter.load(models_dir, open_session=workshop).provider == "cuda"
    assert workshop.asked == ["cpu", "tensorrt", "cuda"]
    assert [record.message for record in caplog.records] == [
        "not computing with tensorrt: its answers differ from the CPU's"
    ]


def test_a_provider_that_the_machine_lacks_is_one_quiet_line(
    models_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="birdwatchd")
    workshop = Workshop(tensorrt=ProviderUnavailable("no TensorRT"), cuda=ProviderUnavailable("no NVIDIA GPU"))
    assert Spotter.load(models_dir, open_session=workshop).provider == "cpu"
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("DEBUG", "not computing with tensorrt: no TensorRT"),
        ("DEBUG", "not computing with cuda: no NVIDIA GPU"),
    ]


def test_a_provider_that_fails_is_passed_over_with_a_warning(
    models_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workshop = Workshop(cuda=RuntimeError("CUDA failure 2: out of memory\nmore lines"))
    assert Spotter.load(models_dir, providers=("cuda", "cpu"), open_session=workshop).provider == "cpu"
    assert [record.message for record in caplog.records] == [
        "not computing with cuda: it fails: CUDA failure 2: out of memory"
    ]


def test_nothing_after_the_cpu_is_tried(models_dir: Path) -> None:
    workshop = Workshop()
    assert Spotter.load(models_dir, providers=("cpu", "cuda"), open_session=workshop).provider == "cpu"
    assert workshop.asked == ["cpu"]


def test_the_cpu_computes_in_the_end_though_nobody_named_it(models_dir: Path) -> None:
    workshop = Workshop(cuda=ProviderUnavailable("no NVIDIA GPU"))
    assert Spotter.load(models_dir, providers=("cuda",), open_session=workshop).provider == "cpu"


def test_a_provider_that_fails_later_is_an_error_with_advice(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spotter = Spotter.load(models_dir, open_session=Workshop())

    def fail(*_asked: Any) -> list[Any]:
        raise RuntimeError("CUDA error 999")

    monkeypatch.setattr(spotter._session, "run", fail)
    with pytest.raises(ModelError, match=r"failed on tensorrt: CUDA error 999 .*providers = \[\"cpu\"\]"):
        spotter.spot(np.zeros((1, 3, 224, 224), dtype=np.float32))


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA GPU")
@pytest.mark.parametrize("provider", ["tensorrt", "cuda"])
def test_without_a_gpu_no_library_is_even_tried(
    models_dir: Path, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", None)
    with pytest.raises(ProviderUnavailable, match="no NVIDIA GPU"):
        open_onnx_session(the_file(models_dir), provider, 1, SPOTTER_RECIPE)


# A session for each shape


class Asked:
    """Opens sessions of the spotter and notes which shapes each is asked for."""

    def __init__(self, models_dir: Path) -> None:
        self.path = the_file(models_dir)
        self.shapes: list[set[tuple[int, ...]]] = []

    def __call__(self) -> Session:
        session = open_onnx_session(self.path, "cpu", 1, SPOTTER_RECIPE)
        seen: set[tuple[int, ...]] = set()
        self.shapes.append(seen)

        class Noting(Skewed):
            def run(self, outputs: list[str], feeds: Mapping[str, ModelInput | Pixels], /) -> list[Any]:
                seen.update(array.shape for array in feeds.values())
                return super().run(outputs, feeds)

        return Noting(session)


def test_no_session_is_asked_for_two_shapes_and_the_answers_are_those_of_one(models_dir: Path) -> None:
    asked, outputs = Asked(models_dir), ["embedding", "probabilities", "map"]
    many, one = SessionPerShape(asked), open_onnx_session(the_file(models_dir), "cpu", 1, SPOTTER_RECIPE)
    chance = np.random.default_rng(1)
    for shape in [(3, 64, 64), (1, 64, 64), (4, 64, 64), (5, 64, 64), (1, 96, 64), (2, 64, 64), (1, 64, 64)]:
        feeds = {"pixels": chance.normal(size=(shape[0], 3, *shape[1:])).astype(np.float32)}
        for answer, right in zip(many.run(outputs, feeds), one.run(outputs, feeds), strict=True):
            np.testing.assert_allclose(answer, right, rtol=1e-4, atol=1e-5)
    assert asked.shapes == [{(4, 3, 64, 64)}, {(1, 3, 64, 64)}, {(8, 3, 64, 64)}, {(1, 3, 96, 64)}, {(2, 3, 64, 64)}]


def test_the_shape_that_nobody_has_asked_for_longest_is_given_up(models_dir: Path) -> None:
    asked = Asked(models_dir)
    many = SessionPerShape(asked, most=2)
    for side in (32, 64, 32, 96, 32, 64):  # 96 takes the place of 64
        many.run(["map"], {"pixels": np.zeros((1, 3, side, side), np.float32)})
    assert [shape for shapes in asked.shapes for _, _, _, shape in shapes] == [32, 64, 96, 64]


@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="needs an NVIDIA GPU with CUDA and cuDNN")
def test_a_graphics_card_says_what_the_processor_says(
    models_dir: Path, photos: ModelInput, scene: Path, jay: Path
) -> None:
    card, processor = Spotter.load(models_dir), Spotter.load(models_dir, providers=("cpu",))
    assert card.provider in {"cuda", "tensorrt"}
    for count in (1, 3, 6):
        for one, other in zip(card.spot(photos[:count]), processor.spot(photos[:count]), strict=True):
            assert one.birdness == pytest.approx(other.birdness, abs=1e-3)
            np.testing.assert_allclose(one.embedding, other.embedding, atol=2e-3 * float(other.embedding.max()))
    picture = frame_of(scene, (jay, 0.4, 0.3, 0.2))
    assert card.find(picture).ranking[0][0] == processor.find(picture).ranking[0][0]


# A process of its own


def test_loading_and_looking_is_silent_and_imports_no_training_library(models_dir: Path) -> None:
    program = """
import sys
from pathlib import Path
import numpy as np
from birdwatchd.edges.vision import Spotter
spotter = Spotter.load(Path(sys.argv[1]))
spotter.spot(np.zeros((1, 3, 224, 224), dtype=np.float32))
assert not {"onnx", "torch", "google.protobuf", "sklearn"} & set(sys.modules), sys.modules.keys()
"""
    child = subprocess.run(
        [sys.executable, "-c", program, str(models_dir)], capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")
