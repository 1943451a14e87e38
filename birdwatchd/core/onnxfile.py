"""Just enough of the ONNX format to see what a model file says of itself and what weights it holds, before foreign code loads it.

ONNX is a protobuf format; `onnx` itself, with protobuf, would cost the daemon memory and start-up time.
"""

import hashlib
from collections.abc import Iterator

from birdwatchd.core.errors import ModelDamaged

# Numbers of the fields that are read, from onnx.proto.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_INITIALIZER = 5
_TENSOR_NAME, _TENSOR_RAW_DATA, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 8, 9, 13, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


QUICK_MAP = "quick_map.model"
"""Among a spotter's weights, one that its network does not take: the bytes of a model of its own, its map in whole numbers."""


def metadata_and_weights(content: bytes) -> tuple[dict[str, str], str]:
    """Take the metadata, and the SHA-256 over all weights in their order, out of an ONNX file's content.

    Raises:
        ModelDamaged: this is no ONNX model, or a weight lies outside the file.
    """
    try:
        return _metadata_and_weights(memoryview(content))
    except (ValueError, LookupError) as error:
        raise ModelDamaged(f"this is not an ONNX model: {error}") from error


def weight(content: bytes, name: str) -> bytes:
    """Take one weight's bytes out of an ONNX file's content.

    Raises:
        ModelDamaged: this is no ONNX model, or there is no such weight.
    """
    try:
        for number, value in _fields(memoryview(content)):
            for part, tensor in _fields(value) if number == _MODEL_GRAPH else ():
                if part == _GRAPH_INITIALIZER and _name(tensor) == name:
                    return bytes(_raw_data(tensor))
    except (ValueError, LookupError) as error:
        raise ModelDamaged(f"this is not an ONNX model: {error}") from error
    raise ModelDamaged(f"it does not hold {name}")


def _metadata_and_weights(model: memoryview) -> tuple[dict[str, str], str]:
    metadata: dict[str, str] = {}
    weights = hashlib.sha256()
    for number, value in _fields(model):
        if number == _MODEL_METADATA:
            entry = dict(_fields(value))
            metadata[str(entry[_ENTRY_KEY], "utf-8")] = str(entry[_ENTRY_VALUE], "utf-8")
        elif number == _MODEL_GRAPH:
            for part, tensor in _fields(value):
                if part == _GRAPH_INITIALIZER:
                    weights.update(_raw_data(tensor))
    return metadata, weights.hexdigest()


def _name(tensor: memoryview) -> str:
    return next((str(value, "utf-8") for number, value in _fields(tensor) if number == _TENSOR_NAME), "")


def _raw_data(tensor: memoryview) -> memoryview:
    raw = memoryview(b"")
    for number, value in _fields(tensor):
        if number in (_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION):
            raise ModelDamaged("a part of the model lies in another file")
        if number == _TENSOR_RAW_DATA:
            raw = value
    return raw


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Go through a protobuf message: field number and bytes; a whole number's bytes are its encoding (protobuf.dev, "Encoding")."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        start = at
        if kind == 0:
            _, at = _varint(message, at)
        elif kind == 2:
            length, start = _varint(message, at)
            at = start + length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"field of unknown kind {kind}")
        if at > len(message):
            raise ValueError("a field reaches beyond the end")
        yield key >> 3, message[start:at]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number without end")
