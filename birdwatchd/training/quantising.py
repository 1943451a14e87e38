"""The same network in whole numbers: a third of the time, where an answer need not be exact.

Each value is kept in one byte (Jacob et al. 2018, arXiv 1712.05877): x ≈ scale · (q - zero). What ReLU6 cuts off lies in 0–6 by itself;
for what is not cut off the range comes from the batch normalisation, whose β and γ are mean and spread of its output (Nagel et al.
2019, arXiv 1906.04721). So no photo is needed, and the same weights give the same bytes.

Weights take seven bits of their eight: on processors without instructions for it, sums of eight would overflow.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

_WHOLE, _KEPT, _BACK = ".whole", ".kept", ".back"

_BYTES = "bytes"

_SPREADS = 4.0
"""How many standard deviations of each channel are kept; what is beyond is cut off."""

_WEIGHT_MAX = 63

Numbers = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Spread:
    """What values a layer gives: mean and variance of each channel, shape (C,)."""

    mean: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]

    def plus(self, other: "Spread") -> "Spread":
        """That of the sum, as if the two had nothing to do with each other."""
        return Spread(self.mean + other.mean, self.variance + other.variance)

    @property
    def scale_and_zero(self) -> tuple[float, int]:
        """How such values are kept in a byte."""
        reach = _SPREADS * np.sqrt(self.variance)
        low, high = min(float((self.mean - reach).min()), 0.0), max(float((self.mean + reach).max()), 0.0)
        scale = (high - low) / 255
        return scale, round(-low / scale)


RELU6 = (6 / 255, 0)
"""Scale and zero of what was cut to 0–6."""

PIXELS = (1 / 128, 127)
"""Of (x - 127) / 128: exactly the pixels' own bytes."""


@dataclass(slots=True)
class Quantised:
    """A network that is laid out once more, to be computed in whole numbers."""

    _nodes: list[Any] = field(default_factory=list)
    _weights: dict[str, Numbers] = field(default_factory=dict)
    _scales: dict[str, float] = field(default_factory=dict)

    def lay(self, nodes: Sequence[Any], weights: Mapping[str, Numbers], spreads: Mapping[str, Spread]) -> None:
        """Repeat convolutions and sums, from `pixels` on. A clip needs nothing of its own: a byte holds no more than 0–6.

        Args:
            nodes: Conv, Clip (to 0–6) and Add, in their order.
            weights: the float ones.
            spreads: of each output that no clip follows.
        """
        clipped = {node.input[0]: node.output[0] for node in nodes if node.op_type == "Clip"}
        self._node("Transpose", [_BYTES], f"pixels{_KEPT}", perm=[0, 3, 1, 2])
        self._back("pixels", *PIXELS)
        for node in nodes:
            (output,) = node.output
            if node.op_type == "Conv":
                inputs = self._weights_of(node.input, weights)
                self._node("Conv", inputs, f"{output}{_WHOLE}", node.attribute)
            elif node.op_type == "Add":
                self._node("Add", [f"{name}{_BACK}" for name in node.input], f"{output}{_WHOLE}")
            else:
                continue
            if output in clipped:
                self._keep(f"{output}{_WHOLE}", clipped[output], *RELU6)
            else:
                self._keep(f"{output}{_WHOLE}", output, *spreads[output].scale_and_zero)

    def graph(self, values: str, last: Any, weights: Mapping[str, Numbers]) -> Any:
        """Give the finished graph: `bytes` in, (N, H, W, 3), as pixels lie in memory; it ends with a last convolution in floats.

        Args:
            values: the output that the last one takes.
            last: its node, for weights and output; the output keeps its name.
            weights: the float ones.
        """
        (output,) = last.output
        self._node("Conv", [f"{values}{_BACK}", *last.input[1:]], output, last.attribute)
        self._weights |= {name: weights[name] for name in last.input[1:]}
        float32 = onnx.TensorProto.FLOAT
        return helper.make_graph(
            self._nodes,
            output,
            inputs=[helper.make_tensor_value_info(_BYTES, onnx.TensorProto.UINT8, ["N", "H", "W", 3])],
            outputs=[helper.make_tensor_value_info(output, float32, ["N", 1, "rows", "columns"])],
            initializer=[initializer(name, array) for name, array in self._weights.items()],
        )

    def _weights_of(self, inputs: Iterable[str], weights: Mapping[str, Numbers]) -> list[str]:
        values, weight, bias = inputs
        channels = weights[weight].astype(np.float64)
        largest = np.abs(channels).max(axis=(1, 2, 3))
        scale = (np.where(largest > 0, largest, 1.0) / _WEIGHT_MAX).astype(np.float32)
        self._weights[f"{weight}{_WHOLE}"] = np.rint(channels / scale[:, None, None, None]).astype(np.int8)
        self._weights[f"{weight}.scale"] = scale
        # A sum counts in units of both scales; that is what onnxruntime looks for before it computes in whole numbers.
        bias_scale = (scale * np.float32(self._scales[values])).astype(np.float32)
        whole = np.rint(weights[bias].astype(np.float64) / bias_scale)
        self._weights[f"{bias}{_WHOLE}"] = whole.clip(-(2**31), 2**31 - 1).astype(np.int32)
        self._weights[f"{bias}.scale"] = bias_scale
        for name in (weight, bias):
            self._node("DequantizeLinear", [f"{name}{_WHOLE}", f"{name}.scale"], f"{name}{_BACK}", axis=0)
        return [f"{values}{_BACK}", f"{weight}{_BACK}", f"{bias}{_BACK}"]

    def _keep(self, values: str, name: str, scale: float, zero: int) -> None:
        """Squeeze values into bytes, and say how they come out again."""
        self._node("QuantizeLinear", [values, f"{name}.scale", f"{name}.zero"], f"{name}{_KEPT}")
        self._back(name, scale, zero)

    def _back(self, name: str, scale: float, zero: int) -> None:
        self._scales[name] = scale
        self._weights[f"{name}.scale"] = np.array(scale, np.float32)
        self._weights[f"{name}.zero"] = np.array(zero, np.uint8)
        self._node("DequantizeLinear", [f"{name}{_KEPT}", f"{name}.scale", f"{name}.zero"], f"{name}{_BACK}")

    def _node(
        self, operator: str, inputs: list[str], output: str, copied: Iterable[Any] = (), **attributes: Any
    ) -> None:
        node = helper.make_node(operator, inputs, [output], name=output, **attributes)
        node.attribute.extend(copied)
        self._nodes.append(node)


def initializer(name: str, array: Numbers) -> Any:
    """An array as a file holds it."""
    return helper.make_tensor(name, _TENSOR_TYPES[array.dtype.name], array.shape, little_endian(array), raw=True)


def little_endian(array: Numbers) -> bytes:
    """Its bytes, the same on every machine."""
    return array.astype(array.dtype.newbyteorder("<")).tobytes(order="C")


_TENSOR_TYPES: Mapping[str, int] = {
    "float32": onnx.TensorProto.FLOAT,
    "int8": onnx.TensorProto.INT8,
    "uint8": onnx.TensorProto.UINT8,
    "int32": onnx.TensorProto.INT32,
}
"""By numpy's names."""
