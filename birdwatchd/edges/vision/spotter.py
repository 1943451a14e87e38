"""The eye: the spotter's ONNX file, proved to be what was built, and what it answers.

A damaged model file mostly loads without complaint and then answers nonsense. So at every load the content is compared with
the hash in the file's name, and the network must give the answers that it was built with.
"""

import contextlib
import ctypes
import glob
import hashlib
import importlib.util
import io
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from birdwatchd.core.birds import SPOTTER_CLASSES
from birdwatchd.core.errors import DiskTrouble, ModelDamaged, ModelError, ModelMissing
from birdwatchd.core.manifest import EMBEDDING_WIDTH, Manifest, golden_pixels, golden_sample
from birdwatchd.core.onnxfile import metadata_and_weights
from birdwatchd.core.photo import WHOLE_FRAME, Spotting
from birdwatchd.core.preprocess import ModelInput, Recipe, to_model_input

log = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""How far an answer may be off, as a share of the largest value expected; rounding alone (torch against ours) makes 1e-6."""

ENGINES = "tensorrt"
"""Folder beside the models, of what TensorRT built of them."""

CPU_BATCH_MAX = 4
"""Photos computed at once; longer batches are cut. On two cores 4 ms a photo alone, 3.1 in fours, 6.8 and 110 MB more in sixteens."""

GPU_BATCH_MAX = 32

FILE_MAX_BYTES = 256 * 1024**2

REBUILD = "run `birdwatchd init`: it builds the spotter afresh, in place of a damaged one"

PROVIDERS: Mapping[str, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Our names for what can compute, and onnxruntime's."""

_OUTPUTS = ["embedding", "probabilities"]

ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(kind for kind in vars(ort_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)
"""onnxruntime's errors have no common root but Exception; these are all that its module holds."""

Answers = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Embeddings (N, 1280) and probabilities (N, 1000)."""


class Session(Protocol):
    """The part of `onnxruntime.InferenceSession` that is used here."""

    def get_inputs(self) -> list[Any]: ...
    def get_outputs(self) -> list[Any]: ...
    def run(self, outputs: list[str], feeds: dict[str, ModelInput], /) -> list[Any]: ...


OpenSession = Callable[[Path, str, int, Recipe], Session]
"""(file, provider as in `PROVIDERS`, threads, recipe) → session; raises `ProviderUnavailable` where this machine lacks the provider."""


class ProviderUnavailable(Exception):
    """This machine cannot compute that way; never leaves this module."""


class Spotter:
    """The frozen network. Immutable; several threads may ask it at the same time.

    Attributes:
        id: first 16 hex digits of the SHA-256 of its file; embeddings compare only within one id.
        recipe: how it wants its photos.
        provider: what computes: "tensorrt", "cuda" or "cpu".
        labels: of the birds that it knows, 59.
    """

    def __init__(self, spotter_id: str, manifest: Manifest, session: Session, provider: str) -> None:
        self.id = spotter_id
        self.recipe = manifest.recipe
        self.provider = provider
        self.labels = tuple(label for _, label in manifest.classes)
        self._bird_classes = np.array([number for number, _ in manifest.classes])
        self._session = session

    @classmethod
    def load(
        cls,
        models_dir: Path,
        *,
        providers: Sequence[str] = ("tensorrt", "cuda", "cpu"),
        threads: int = 0,
        open_session: OpenSession | None = None,
    ) -> Self:
        """Open the newest whole spotter of a folder; takes 0.1–0.2 s on a CPU.

        Args:
            providers: tried in this order; one that the machine lacks or that disagrees with the CPU is passed over. The CPU is
                taken in the end, whether named or not.
            threads: processor cores that may compute at once; 0 for all that this process may use.
            open_session: for tests; onnxruntime otherwise.
        Raises:
            ModelMissing: there is no spotter.
            ModelDamaged: there is, but none that is whole.
            DiskTrouble: the folder or file cannot be read.
        """
        refused: ModelDamaged | None = None
        for path in _spotter_files(models_dir):
            try:
                return cls._load_file(path, providers, threads or usable_cores(), open_session or open_onnx_session)
            except ModelDamaged as error:
                log.warning("passed over %s: %s", path.name, error.message)
                refused = refused or error
        if refused is not None:
            raise refused
        raise ModelMissing(f"there is no spotter in {models_dir}", hint="run `birdwatchd init`: it builds the spotter")

    @classmethod
    def _load_file(cls, path: Path, providers: Sequence[str], threads: int, open_session: OpenSession) -> Self:
        digest, manifest = _proved(path)
        try:
            cpu = open_session(path, "cpu", threads, manifest.recipe)
            _check_interface(cpu, path)
            expected = [_run(cpu, question) for question in _questions(manifest)]
        except ORT_ERRORS as error:
            raise ModelDamaged(f"{path.name} cannot be loaded: {first_line(error)}", hint=REBUILD) from error
        _check_golden(manifest, expected, path)
        session, provider = cpu, "cpu"
        for wanted in providers:
            if wanted == "cpu":
                break
            if (found := _agreeing(path, wanted, threads, manifest, expected, open_session)) is not None:
                session, provider = found, wanted
                break
        _give_memory_back()
        return cls(digest[:16], manifest, session, provider)

    def spot(self, inputs: ModelInput) -> list[Spotting]:
        """Look at photos; what one shows has no influence on another's answer.

        Args:
            inputs: shape (N, 3, S, S), S = recipe.size_px; what `to_model_input` gives, N of them; N may be 0.
        Returns:
            One answer per photo, in order. Probabilities are among all 1,000 classes, so that a ranking's sum is at most the
            birdness. Where the network answers what is no number, birdness is NaN and the ranking empty.
        Raises:
            ModelError: the network failed.
            ValueError: the inputs have another shape or are not float32.
        """
        size_px = self.recipe.size_px
        if inputs.ndim != 4 or inputs.shape[1:] != (3, size_px, size_px) or inputs.dtype != np.float32:
            raise ValueError(
                f"inputs must be float32 of shape (N, 3, {size_px}, {size_px}), not {inputs.dtype} {inputs.shape}"
            )
        spottings: list[Spotting] = []
        batch_max = CPU_BATCH_MAX if self.provider == "cpu" else GPU_BATCH_MAX
        for start in range(0, len(inputs), batch_max):
            try:
                embeddings, probabilities = _run(self._session, inputs[start : start + batch_max])
            except ORT_ERRORS as error:
                raise ModelError(
                    f"the spotter failed on {self.provider}: {first_line(error)}",
                    hint='restart birdwatchd; if it comes again, set providers = ["cpu"] under [inference] in config.toml',
                ) from error
            spottings += map(self._spotting, embeddings, probabilities)
        return spottings

    def _spotting(self, embedding: npt.NDArray[np.float32], probabilities: npt.NDArray[np.float32]) -> Spotting:
        if not _is_answer(embedding, probabilities):
            return Spotting(self.id, math.nan, (), WHOLE_FRAME, embedding.copy())
        birds = probabilities[self._bird_classes]
        best = np.argsort(-birds, kind="stable")[:5].tolist()
        return Spotting(
            spotter_id=self.id,
            birdness=float(np.clip(birds.sum(dtype=np.float64), 0.0, 1.0)),
            ranking=tuple((self.labels[place], float(birds[place])) for place in best),
            box=WHOLE_FRAME,
            embedding=embedding.copy(),  # a view would keep the whole batch in memory
        )


def _is_answer(embedding: npt.NDArray[np.float32], probabilities: npt.NDArray[np.float32]) -> bool:
    """Whether a network said this. A device that breaks down says NaN, or one number everywhere, zero as a rule."""
    if not (np.isfinite(embedding).all() and np.isfinite(probabilities).all()):
        return False
    return bool(np.ptp(embedding) > 0 and np.ptp(probabilities) > 0 and abs(float(probabilities.sum()) - 1) < 0.1)


def open_onnx_session(path: Path, provider: str, threads: int, recipe: Recipe, *, beside: str | None = None) -> Session:
    """Open a model file with onnxruntime, silently.

    Args:
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
    # All optimisations: 15 ms more at load, but 4 ms a photo and not 10. Reusing memory patterns or packing the weights once more
    # brings no speed here, and costs 3 MB and 15 MB. Without the arena memory is fragmented: 105–120 MB after a while and not 92.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.disable_prepacking", "1")
    # Threads that spin would keep the processor busy between photos.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chain: list[tuple[str, dict[str, str]]] = [("CPUExecutionProvider", {})]
    if provider != "cpu":
        chain.insert(0, (PROVIDERS[provider], _gpu_options(provider, path, recipe, beside)))
    try:
        # Its own second attempt would print and would hide that the provider is not the one asked for.
        session: Any = onnxruntime.InferenceSession(str(path), options, providers=chain, enable_fallback=0)
    except ORT_ERRORS as error:
        if provider != "cpu":
            raise ProviderUnavailable(first_line(error)) from error
        raise
    session.disable_fallback()
    if PROVIDERS[provider] not in session.get_providers():
        raise ProviderUnavailable("its libraries cannot be loaded")
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


def _agreeing(
    path: Path, provider: str, threads: int, manifest: Manifest, expected: list[Answers], open_session: OpenSession
) -> Session | None:
    """Open a session that gives the CPU's answers, or say in the log why there is none."""
    try:
        session = open_session(path, provider, threads, manifest.recipe)
        answers = [_run(session, question) for question in _questions(manifest)]
    except ProviderUnavailable as reason:
        log.debug("not computing with %s: %s", provider, reason)
        return None
    except ORT_ERRORS as error:
        log.warning("not computing with %s: it fails: %s", provider, first_line(error))
        return None
    pairs = [pair for answer, right in zip(answers, expected, strict=True) for pair in zip(answer, right, strict=True)]
    if not all(_close(values, right) for values, right in pairs):
        log.warning("not computing with %s: its answers differ from the CPU's", provider)
        return None
    return session


def _spotter_files(models_dir: Path) -> list[Path]:
    """List the candidates, newest first; half-written ones (`.part`) are none."""
    try:
        found = [(path.stat().st_mtime_ns, path) for path in models_dir.glob("spotter-*.onnx") if path.is_file()]
    except OSError as error:
        raise DiskTrouble(f"{models_dir} cannot be read: {error.strerror}") from error
    return [path for _, path in sorted(found, reverse=True)]


def _proved(path: Path) -> tuple[str, Manifest]:
    """Read the file, compare it with its name, and read what it says of itself; no foreign code sees it before that."""
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise ModelDamaged(f"{path.name} is far too large for a spotter", hint=REBUILD)
        content = path.read_bytes()
    except OSError as error:
        raise DiskTrouble(f"{path} cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    if path.name != f"spotter-{digest[:16]}.onnx":
        raise ModelDamaged(f"{path.name} is damaged: its content does not fit the hash in its name", hint=REBUILD)
    try:
        metadata, weights_sha256 = metadata_and_weights(content)
        manifest = Manifest.from_metadata(metadata)
    except ModelDamaged as error:
        raise ModelDamaged(f"{path.name}: {error.message}", hint=REBUILD) from error
    if weights_sha256 != manifest.weights_sha256:
        raise ModelDamaged(f"{path.name} holds other weights than it says", hint=REBUILD)
    return digest, manifest


def _check_interface(session: Session, path: Path) -> None:
    inputs = [(node.name, node.type, node.shape[1:2]) for node in session.get_inputs()]
    outputs = [(node.name, node.type, node.shape[1:]) for node in session.get_outputs()]
    wanted = [("embedding", "tensor(float)", [EMBEDDING_WIDTH]), ("probabilities", "tensor(float)", [SPOTTER_CLASSES])]
    if inputs != [("pixels", "tensor(float)", [3])] or outputs != wanted:
        raise ModelDamaged(f"{path.name} is a model, but not a spotter: it takes or gives other things", hint=REBUILD)


def _check_golden(manifest: Manifest, answers: list[Answers], path: Path) -> None:
    """Compare with the answers that another implementation gave once (`birdwatchd/training/spotter_golden.json`)."""
    numbers = [number for number, _ in manifest.classes]
    places = {label: number for number, label in manifest.classes}
    for golden, (embeddings, probabilities) in zip(manifest.golden, answers, strict=True):
        birds = [probabilities[0, places[label]] for label, _ in golden.ranking]
        given = np.array([probabilities[0, numbers].sum(), *birds])
        right = np.array([golden.birdness, *(probability for _, probability in golden.ranking)])
        if not (_close(golden_sample(embeddings[0]), np.array(golden.embedding)) and _close(given, right)):
            raise ModelDamaged(f"{path.name} does not give the answers that it was built with", hint=REBUILD)


def _questions(manifest: Manifest) -> Iterator[ModelInput]:
    # One at a time: a batch would make the memory that is kept for good four times as large.
    for golden in manifest.golden:
        yield to_model_input(golden_pixels(golden.seed, manifest.recipe.size_px), manifest.recipe)


def _run(session: Session, inputs: ModelInput) -> Answers:
    embeddings, probabilities = session.run(_OUTPUTS, {"pixels": inputs})
    return embeddings, probabilities


def _close(values: npt.NDArray[Any], right: npt.NDArray[Any]) -> bool:
    return bool(np.abs(values - right).max() <= TOLERANCE * np.abs(right).max())  # false for NaN too


def usable_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _give_memory_back() -> None:
    """Return what loading left behind to the system: 12 to 20 MB, where the C library can."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
