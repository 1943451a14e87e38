"""How a model file is opened: by onnxruntime, silently, on what this machine can compute with."""

import contextlib
import ctypes
import glob
import importlib.util
import io
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from birdwatchd.core.photo import Pixels
from birdwatchd.core.preprocess import ModelInput, Recipe

ENGINES = "tensorrt"
"""Folder beside the models, of what TensorRT built of them."""

GPU_BATCH_MAX = 32

MOST_SHAPES = 8
"""Batches of 1 to 32 come in six shapes; whole frames of one camera in one."""

PROVIDERS: Mapping[str, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Our names for what can compute, and onnxruntime's."""

ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(kind for kind in vars(ort_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)
"""onnxruntime's errors have no common root but Exception; these are all that its module holds."""

_UNOPENED: tuple[type[Exception], ...] = (*ORT_ERRORS, OSError)


class Session(Protocol):
    """The part of `onnxruntime.InferenceSession` that is used here."""

    def get_inputs(self) -> list[Any]: ...
    def get_outputs(self) -> list[Any]: ...
    def run(self, outputs: list[str], feeds: Mapping[str, ModelInput | Pixels], /) -> list[Any]: ...


OpenSession = Callable[[Path, str, int, Recipe], Session]
"""(file, provider as in `PROVIDERS`, threads, recipe) → session; raises `ProviderUnavailable` where this machine lacks the provider."""


class SessionPerShape:
    """A session for each shape that is asked.

    CUDA's half of onnxruntime plans all convolutions anew whenever a session is asked for another shape than the last time (1.20 and
    newer; its issue 23006). For our network that takes 40 ms, the first time 600, and the answer 2; and one frame asks for four
    shapes in turn. So each shape keeps its session; that there be few, a batch is filled up to the next power of two.

    Several threads may ask at the same time.

    Args:
        open_one: opens one more session of the same model; the first is opened at once, with whatever that raises.
        most: shapes that are kept; the one that nobody has asked for longest goes.
    """

    def __init__(self, open_one: Callable[[], Session], *, most: int = MOST_SHAPES) -> None:
        self._open_one = open_one
        self._most = most
        self._spare: Session | None = open_one()
        self._inputs, self._outputs = self._spare.get_inputs(), self._spare.get_outputs()
        self._sessions: dict[tuple[tuple[int, ...], ...], Session] = {}
        self._choosing = threading.Lock()

    def get_inputs(self) -> list[Any]:
        """As onnxruntime tells them."""
        return self._inputs

    def get_outputs(self) -> list[Any]:
        """As onnxruntime tells them."""
        return self._outputs

    def run(self, outputs: list[str], feeds: Mapping[str, ModelInput | Pixels], /) -> list[Any]:
        """Ask; photos are counted along the first axis of every input and output."""
        photos = min(len(array) for array in feeds.values())
        filled = {name: _filled(array, 1 << max(photos - 1, 0).bit_length()) for name, array in feeds.items()}
        answers = self._session(tuple(array.shape for array in filled.values())).run(outputs, filled)
        return [answer[:photos] for answer in answers]

    def _session(self, shape: tuple[tuple[int, ...], ...]) -> Session:
        with self._choosing:
            session = self._sessions.pop(shape, None) or self._spare or self._open_one()
            self._spare = None
            self._sessions[shape] = session  # the last one is the latest asked
            if len(self._sessions) > self._most:
                del self._sessions[next(iter(self._sessions))]
            return session


def _filled(array: ModelInput | Pixels, photos: int) -> ModelInput | Pixels:
    """With empty ones behind those that there are."""
    if len(array) == photos:
        return array
    rest = np.zeros((photos - len(array), *array.shape[1:]), dtype=array.dtype)
    return np.concatenate([array, rest])


class ProviderUnavailable(Exception):
    """This machine cannot compute that way; never leaves this module."""


def open_onnx_session(
    model: Path | bytes, provider: str, threads: int, recipe: Recipe, *, beside: str | None = None
) -> Session:
    """Open a model with onnxruntime, silently.

    Args:
        model: its file, or its bytes, which go to the CPU only.
        beside: an input beside the pixels, with its width, as in "embedding:1280".

    Raises:
        ProviderUnavailable: this machine cannot compute that way, and why.
        onnxruntime's errors: the file is no model.
    """
    # onnxruntime writes to stderr by itself, below Python; all that matters comes back as an error anyway.
    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # All optimisations: 15 ms more at load, but 4 ms a photo and not 10. Weights are packed once more, which is a fifth faster for
    # 15 MB; reusing memory patterns brings no speed here, and costs 3 MB. Without the arena memory is fragmented: 105–120 MB after a
    # while and not 92.
    options.enable_mem_pattern = False
    # Threads that spin would keep the processor busy between photos.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chain: list[tuple[str, dict[str, str]]] = [("CPUExecutionProvider", {})]
    if isinstance(model, Path) and provider != "cpu":
        chain.insert(0, (PROVIDERS[provider], _gpu_options(provider, model, recipe, beside)))
    try:
        # A session for a further shape may be opened when the file is long gone.
        source = model.read_bytes() if isinstance(model, Path) and provider == "cuda" else model

        def open_one() -> Session:
            return _open(source, options, chain)

        return SessionPerShape(open_one) if provider == "cuda" else open_one()
    except _UNOPENED as error:
        if provider != "cpu":
            raise ProviderUnavailable(first_line(error)) from error
        raise


def _open(
    source: Path | bytes, options: onnxruntime.SessionOptions, chain: list[tuple[str, dict[str, str]]]
) -> Session:
    # Its own second attempt would print and would hide that the provider is not the one asked for.
    session: Any = onnxruntime.InferenceSession(
        source if isinstance(source, bytes) else str(source), options, providers=chain, enable_fallback=0
    )
    session.disable_fallback()
    if chain[0][0] not in session.get_providers():
        raise RuntimeError("its libraries cannot be loaded")
    opened: Session = session
    return opened


def _gpu_options(provider: str, path: Path, recipe: Recipe, beside: str | None) -> dict[str, str]:
    """Load what the provider needs and say how it should compute.

    Raises:
        ProviderUnavailable: no NVIDIA GPU, or onnxruntime was built without it.
    """
    if not (Path("/dev/nvidiactl").exists() or Path("/proc/driver/nvidia").exists()):
        raise ProviderUnavailable("no NVIDIA GPU")
    if PROVIDERS[provider] not in onnxruntime.get_available_providers():
        raise ProviderUnavailable("the installed onnxruntime is built without it")
    # TensorFloat-32 keeps ten bits of a number: embeddings would no longer compare with those from a CPU. TensorRT reads only this.
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            onnxruntime.preload_dlls()
    if provider == "cuda":
        return {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
    _preload_tensorrt()
    cache = path.parent / ENGINES
    try:
        cache.mkdir(exist_ok=True)
    except OSError as error:
        raise ProviderUnavailable(f"{cache} cannot be made: {error.strerror}") from error
    shapes = {}
    for extent, photos in (("min", 1), ("opt", 1), ("max", GPU_BATCH_MAX)):
        shapes[extent] = f"pixels:{photos}x3x{recipe.size_px}x{recipe.size_px}"
        if beside is not None:
            name, _, width = beside.partition(":")
            shapes[extent] += f",{name}:{photos}x{width}"
    # Building an engine takes from seconds to minutes: it is kept, under the model's name.
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_engine_cache_prefix": path.stem,
        **{f"trt_profile_{extent}_shapes": shape for extent, shape in shapes.items()},
    }


def engines_of(path: Path) -> list[Path]:
    """What TensorRT built of a model file and keeps beside it, under its name."""
    return [one for one in (path.parent / ENGINES).glob(f"{glob.escape(path.stem)}*") if one.is_file()]


def _preload_tensorrt() -> None:
    """Load TensorRT's libraries where pip put them; onnxruntime finds them only if they are loaded already or on the system's path."""
    spec = importlib.util.find_spec("tensorrt_libs")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for pattern in ("libnvinfer.so.*", "libnvonnxparser.so.*"):
            for library in sorted(Path(folder).glob(pattern)):
                with contextlib.suppress(OSError):  # if it is missed, opening the session says so
                    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def usable_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
