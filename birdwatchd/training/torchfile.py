"""Read a torch weights file without torch, and without running what may be hidden in it.

A weights file is a pickle, and a pickle can call whatever it names. So only four names are known here; any other is refused.
"""

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from birdwatchd.core.errors import ModelDamaged

Tensor = npt.NDArray[Any]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


def read_tensors(content: bytes) -> dict[str, Tensor]:
    """Read the tensors of a file that `torch.save` wrote before torch 1.6, without running anything that is in it.

    The format: four pickles (magic number, protocol, facts about the writing machine, the object), a pickle with the list of
    storage keys, then for each key an int64 element count and the raw little-endian values.

    Returns:
        Name → array, in the order of the file, each C-contiguous float32 or int64 and owning its memory.
    Raises:
        ModelDamaged: the file is not of this format, is cut short, or names anything but tensors in a dictionary.
    """
    stream = io.BytesIO(content)
    try:
        magic, protocol = _RestrictedUnpickler(stream).load(), _RestrictedUnpickler(stream).load()
        if magic != _LEGACY_MAGIC or protocol != _LEGACY_PROTOCOL:
            raise ModelDamaged("the weights file is not in the format it should be in")
        _RestrictedUnpickler(stream).load()
        named = _RestrictedUnpickler(stream).load()
        keys = _RestrictedUnpickler(stream).load()
        if not isinstance(named, OrderedDict) or not isinstance(keys, list):
            raise ModelDamaged("the weights file does not hold a dictionary of tensors")
        plans = {name: plan for name, plan in named.items() if isinstance(name, str) and isinstance(plan, _TensorPlan)}
        if len(plans) != len(named):
            raise ModelDamaged("the weights file holds something that is not a tensor")
        storages = _read_storages(stream, keys, {plan.storage.key: plan.storage for plan in plans.values()})
        return {name: plan.tensor(storages[plan.storage.key]) for name, plan in plans.items()}
    # What a pickle that is cut, garbled or hostile makes the unpickler raise; its documentation gives no complete list.
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as error:
        raise ModelDamaged(f"the weights file cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class _Storage:
    """A run of numbers that tensors look into."""

    key: str
    dtype: str
    element_count: int


@dataclass(frozen=True, slots=True)
class _TensorPlan:
    """Which numbers of a storage make a tensor; the numbers come later in the file."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def tensor(self, storage: Tensor) -> Tensor:
        """Gather the numbers; strides count elements and need not be contiguous (these weights are channels-last).

        Everything is checked here and not at birth: a pickle can also change what it has made.

        Raises:
            ValueError: it reaches beyond its storage, or is no tensor at all.
        """
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("a tensor has an impossible shape")
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if 0 in self.shape or last >= storage.size or math.prod(self.shape) > storage.size:
            raise ValueError("a tensor reaches beyond its storage")
        step_bytes = tuple(stride * storage.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, step_bytes, writeable=False).copy(
            order="C"
        )


def _tensor_plan(storage: object, offset: int, shape: object, strides: object, *_rest: object) -> _TensorPlan:
    """Stands for `torch._utils._rebuild_tensor_v2`; what follows the strides says nothing about the numbers."""
    if not isinstance(storage, _Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise ValueError("a tensor is not described as one")
    return _TensorPlan(storage, offset, shape, strides)


class _RestrictedUnpickler(pickle.Unpickler):
    """Reads the pickles of a weights file; whatever they name beside these four is refused before it is touched."""

    ALLOWED: ClassVar[dict[tuple[str, str], Callable[..., object] | str]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor_plan,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a name that the pickle asks for.

        Raises:
            pickle.UnpicklingError: it is not on the list.
        """
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> _Storage:
        """Note a storage: ("storage", number type, key, device, element count, view).

        Raises:
            pickle.UnpicklingError: it is described otherwise, or is a view into another one.
        """
        match pid:
            case ("storage", "<f4" | "<i8" as dtype, str(key), str(), int(element_count), None):
                return _Storage(key, dtype, element_count)
        raise pickle.UnpicklingError("a storage is not described as one")


def _read_storages(stream: io.BytesIO, keys: list[object], wanted: dict[str, _Storage]) -> dict[str, Tensor]:
    """Read the raw numbers, which follow each other in the order of the keys up to the end of the file."""
    if sorted(map(str, keys)) != sorted(wanted):
        raise ValueError("its list of storages does not fit its tensors")
    storages = {}
    for key in map(str, keys):
        storage = wanted[key]
        if int.from_bytes(stream.read(8), "little") != storage.element_count:
            raise ValueError("a storage has another length than its tensor says")
        raw = stream.read(storage.element_count * np.dtype(storage.dtype).itemsize)
        storages[key] = np.frombuffer(raw, dtype=storage.dtype, count=storage.element_count)
    if stream.read(1):
        raise ValueError("there is something after its end")
    return storages
