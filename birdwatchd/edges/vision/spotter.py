"""The eye: the spotter's ONNX file, proved to be what was built, and what it answers.

A damaged model file mostly loads without complaint and then answers nonsense. So at every load the content is compared with
the hash in the file's name, and the network must give the answers that it was built with.
"""

import ctypes
import hashlib
import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from birdwatchd.core import detecting
from birdwatchd.core.birds import SPOTTER_CLASSES
from birdwatchd.core.detecting import Frame, Map, Place
from birdwatchd.core.errors import DiskTrouble, ModelDamaged, ModelError, ModelMissing
from birdwatchd.core.manifest import EMBEDDING_WIDTH, Manifest, golden_pixels, golden_sample
from birdwatchd.core.onnxfile import QUICK_MAP, metadata_and_weights, weight
from birdwatchd.core.photo import WHOLE_FRAME, Bird, Box, Pixels, Ranking, Spotting, Vector
from birdwatchd.core.preprocess import ModelInput, Recipe, Resize, to_model_input, values
from birdwatchd.edges.vision.sessions import (
    GPU_BATCH_MAX,
    ORT_ERRORS,
    OpenSession,
    ProviderUnavailable,
    Session,
    first_line,
    open_onnx_session,
    usable_cores,
)

log = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""How far an answer may be off, as a share of the largest value expected; rounding alone (torch against ours) makes 1e-6."""

QUICK_TOLERANCE = 4.0
"""How far the quick map may be off, root of the mean square, in log-odds. Of golden pictures it is 1 to 2, of frames 0.3 to 1."""

CPU_BATCH_MAX = 4
"""Photos computed at once; longer batches are cut. On two cores 4 ms a photo alone, 3.1 in fours, 6.8 and 110 MB more in sixteens."""

FILE_MAX_BYTES = 256 * 1024**2

REBUILD = "run `birdwatchd init`: it builds the spotter afresh, in place of a damaged one"

_OUTPUTS = ["embedding", "probabilities", "map"]

Answers = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Embeddings (N, 1280), probabilities (N, 1000), and maps of log-odds that a part is bird (N, 1, rows, columns)."""


class Scene(Protocol):
    """A decoded picture, as far as the spotter needs one."""

    @property
    def width_px(self) -> int:
        """Of the picture at full size."""

    @property
    def height_px(self) -> int:
        """Of the picture at full size."""

    def view(self, size_px: int, resize: Resize = ..., box: Box = ...) -> Pixels:
        """A part of it as a square."""

    def scaled(self, width_px: int, height_px: int) -> Pixels:
        """All of it, at this size; shape (height_px, width_px, 3)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """What the network says of one square.

    Attributes:
        probabilities: of the birds that it knows.
        birdness: their sum.
    """

    embedding: Vector
    probabilities: npt.NDArray[np.float32]
    birdness: float
    map_: Map


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A place that was looked at: the bird there, if it is one."""

    bird: Place
    box: Box
    birdness: float


class _NoAnswer(Exception):
    """The network says what is no number; never leaves this module."""


class Spotter:
    """The frozen network. Immutable; several threads may ask it at the same time.

    Attributes:
        id: first 16 hex digits of the SHA-256 of its file; embeddings compare only within one id.
        recipe: how it wants its photos.
        provider: what computes: "tensorrt", "cuda" or "cpu".
        labels: of the birds that it knows, 59.
    """

    def __init__(
        self, spotter_id: str, manifest: Manifest, session: Session, provider: str, make_map: Callable[[Pixels], Map]
    ) -> None:
        self.id = spotter_id
        self.recipe = manifest.recipe
        self.provider = provider
        self.labels = tuple(label for _, label in manifest.classes)
        self._bird_classes = np.array([number for number, _ in manifest.classes])
        self._session = session
        self._make_map = make_map
        self._one_frame = threading.Lock()

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
        digest, manifest, quick_model = _proved(path)
        try:
            cpu = open_session(path, "cpu", threads, manifest.recipe)
            _check_interface(cpu, path)
            expected = [_run(cpu, question) for question in _questions(manifest)]
            quick = open_onnx_session(quick_model, "cpu", threads, manifest.recipe)
            quick_maps = [
                _quick_map(quick, golden_pixels(one.seed, manifest.recipe.size_px)) for one in manifest.golden
            ]
        except ORT_ERRORS as error:
            raise ModelDamaged(f"{path.name} cannot be loaded: {first_line(error)}", hint=REBUILD) from error
        _check_golden(manifest, expected, path)
        _check_quick([answers[2][0, 0] for answers in expected], quick_maps, path)
        session, provider = cpu, "cpu"
        for wanted in providers:
            if wanted == "cpu":
                break
            if (found := _agreeing(path, wanted, threads, manifest, expected, open_session)) is not None:
                session, provider = found, wanted
                break
        # TensorRT's engines are built for squares of one size.
        wide = _agreeing(path, "cuda", threads, manifest, expected, open_session) if provider == "tensorrt" else session
        # A GPU computes in floats as fast, and has no instructions for the quick one.
        _give_memory_back()
        if wide is None or wide is cpu:
            return cls(digest[:16], manifest, session, provider, partial(_quick_map, quick))
        return cls(digest[:16], manifest, session, provider, partial(_exact_map, wide, manifest.recipe))

    def spot(self, inputs: ModelInput) -> list[Spotting]:
        """Look at photos; what one shows has no influence on another's answer.

        Args:
            inputs: shape (N, 3, S, S), S = recipe.size_px; what `to_model_input` gives, N of them; N may be 0.
        Returns:
            One answer per photo, in order, each about the whole square. Probabilities are among all 1,000 classes, so that a
            ranking's sum is at most the birdness. Where the network answers what is no number, birdness is NaN and the ranking empty.
        Raises:
            ModelError: the network failed.
            ValueError: the inputs have another shape or are not float32.
        """
        size_px = self.recipe.size_px
        if inputs.ndim != 4 or inputs.shape[1:] != (3, size_px, size_px) or inputs.dtype != np.float32:
            raise ValueError(
                f"inputs must be float32 of shape (N, 3, {size_px}, {size_px}), not {inputs.dtype} {inputs.shape}"
            )
        return [
            Spotting(self.id, math.nan, (), WHOLE_FRAME, embedding.copy())
            if look is None
            else Spotting(self.id, look.birdness, self._ranking(look.probabilities), WHOLE_FRAME, look.embedding)
            for embedding, look in self._looks(inputs)
        ]

    def find(self, scene: Scene) -> Spotting:
        """Find the bird in a picture: the whole of it first, and only if no bird fills it, closer (`core/detecting.py`).

        Returns:
            As `spot`; birdness, ranking, box and embedding are of the surest place, or of the whole picture if that is surer and a bird
            may fill it.
        Raises:
            ModelError: the network failed.
        """
        (whole,) = self.spot(self._input(scene, WHOLE_FRAME))
        if not whole.is_number or whole.birdness >= detecting.FILLS:
            return whole
        if max(scene.width_px, scene.height_px) < detecting.CLOSER_FROM_PX:
            return whole
        try:
            return self._found(scene, whole)
        except _NoAnswer:
            return Spotting(self.id, math.nan, (), WHOLE_FRAME, whole.embedding)

    def _found(self, scene: Scene, whole: Spotting) -> Spotting:
        frame = Frame.of(scene.width_px, scene.height_px)
        seen = self._seen(scene, frame, detecting.places(self._map(scene, frame), frame))
        best = max(seen, key=lambda one: one.birdness)
        if whole.birdness >= detecting.COUNTS_WHOLE and whole.birdness >= best.birdness:
            return whole
        (close_up,) = self._whole_looks(self._input(scene, best.box))
        bird = detecting.framed_anew(best.bird, close_up.map_, frame)
        crops = [detecting.crop(bird, times, frame) for times in detecting.TIGHT]
        tight = self._whole_looks(np.concatenate([self._input(scene, box) for box in crops]))
        # Square roots, as the classifiers take them: else the crop with the stronger values would count for more.
        embedding = np.mean([np.sqrt(np.maximum(look.embedding, 0)) for look in tight], axis=0, dtype=np.float32) ** 2
        others = sorted(
            (
                Bird(one.box, one.birdness)
                for one in seen
                if one is not best and one.birdness >= detecting.OTHERS_FROM and detecting.is_apart(one.box, best.box)
            ),
            key=lambda bird: -bird.birdness,
        )
        return Spotting(
            spotter_id=self.id,
            birdness=best.birdness,
            ranking=self._ranking(np.mean([look.probabilities for look in tight], axis=0)),
            box=detecting.crop(bird, 1.0, frame),
            embedding=np.asarray(embedding, dtype=np.float32),
            others=_without_doubles(others),
        )

    def _map(self, scene: Scene, frame: Frame) -> Map:
        """Where in the frame it looks like bird."""
        pixels = scene.scaled(*frame.map_px)
        with self._one_frame, self._failures():  # it takes all cores, and 40 MB for as long as it lasts
            map_ = self._make_map(pixels)
        if not np.isfinite(map_).all():
            raise _NoAnswer
        return map_

    def _seen(self, scene: Scene, frame: Frame, places: Sequence[Place]) -> list[_Seen]:
        """Look at these places, as far as they are worth it."""
        first, others = places[: detecting.FIRST_PLACES], places[detecting.FIRST_PLACES :]
        seen = self._looked_at(scene, frame, first)
        others = detecting.worth_a_look(others, max(one.birdness for one in seen))
        return seen + self._looked_at(scene, frame, others) if others else seen

    def _looked_at(self, scene: Scene, frame: Frame, places: Sequence[Place]) -> list[_Seen]:
        boxes = [detecting.crop(place, times, frame) for place in places for times in detecting.CROPS]
        looks = self._whole_looks(np.concatenate([self._input(scene, box) for box in boxes]))
        seen: list[_Seen] = []
        for number, place in enumerate(places):
            turn = looks[number * len(detecting.CROPS) : (number + 1) * len(detecting.CROPS)]
            maps = [look.map_ for look in turn]
            bird = detecting.bird_at(place, maps, frame)
            sure = detecting.birdness(place, maps, [look.birdness for look in turn])
            seen.append(_Seen(bird, detecting.crop(bird, 1.0, frame), sure))
        return seen

    def _input(self, scene: Scene, box: Box) -> ModelInput:
        return to_model_input(scene.view(self.recipe.size_px, self.recipe.resize, box), self.recipe)

    def _whole_looks(self, inputs: ModelInput) -> list[_Look]:
        """Looks at squares that all have an answer.

        Raises:
            _NoAnswer: one of them has none.
        """
        looks = [look for _, look in self._looks(inputs) if look is not None]
        if len(looks) < len(inputs):
            raise _NoAnswer
        return looks

    def _looks(self, inputs: ModelInput) -> Iterator[tuple[Vector, _Look | None]]:
        """Each square's embedding, and all else that is said of it; None where that is no number."""
        batch_max = CPU_BATCH_MAX if self.provider == "cpu" else GPU_BATCH_MAX
        for start in range(0, len(inputs), batch_max):
            with self._failures():
                answers = _run(self._session, inputs[start : start + batch_max])
            for embedding, probabilities, map_ in zip(*answers, strict=True):
                if not _is_answer(embedding, probabilities) or not np.isfinite(map_).all():
                    yield embedding, None
                    continue
                birds = probabilities[self._bird_classes]
                birdness = float(np.clip(birds.sum(dtype=np.float64), 0.0, 1.0))
                # A view would keep the whole batch in memory.
                yield embedding, _Look(embedding.copy(), birds, birdness, map_[0].copy())

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Say in our own words that the network failed."""
        try:
            yield
        except ORT_ERRORS as error:
            raise ModelError(
                f"the spotter failed on {self.provider}: {first_line(error)}",
                hint='restart birdwatchd; if it comes again, set providers = ["cpu"] under [inference] in config.toml',
            ) from error

    def _ranking(self, birds: npt.NDArray[np.float32]) -> Ranking:
        best = np.argsort(-birds, kind="stable")[:5].tolist()
        return tuple((self.labels[place], float(birds[place])) for place in best)


def _without_doubles(birds: Sequence[Bird]) -> tuple[Bird, ...]:
    """One box for each bird, the surest; two peaks may well lie on one."""
    kept: list[Bird] = []
    for bird in birds:
        if all(detecting.is_apart(bird.box, other.box) for other in kept):
            kept.append(bird)
    return tuple(kept)


def _is_answer(embedding: npt.NDArray[np.float32], probabilities: npt.NDArray[np.float32]) -> bool:
    """Whether a network said this. A device that breaks down says NaN, or one number everywhere, zero as a rule."""
    if not (np.isfinite(embedding).all() and np.isfinite(probabilities).all()):
        return False
    return bool(np.ptp(embedding) > 0 and np.ptp(probabilities) > 0 and abs(float(probabilities.sum()) - 1) < 0.1)


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


def _proved(path: Path) -> tuple[str, Manifest, bytes]:
    """Read the file, compare it with its name, and read what it says of itself; no foreign code sees it before that.

    Returns:
        Its hash, what it says, and the model of the quick map.
    """
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
        quick_model = weight(content, QUICK_MAP)
    except ModelDamaged as error:
        raise ModelDamaged(f"{path.name}: {error.message}", hint=REBUILD) from error
    if weights_sha256 != manifest.weights_sha256:
        raise ModelDamaged(f"{path.name} holds other weights than it says", hint=REBUILD)
    return digest, manifest, quick_model


def _check_interface(session: Session, path: Path) -> None:
    inputs = [(node.name, node.type, node.shape[1:2]) for node in session.get_inputs()]
    outputs = [(node.name, node.type, node.shape[1:]) for node in session.get_outputs()]
    wanted = [
        ("embedding", "tensor(float)", [EMBEDDING_WIDTH]),
        ("probabilities", "tensor(float)", [SPOTTER_CLASSES]),
        ("map", "tensor(float)", [1, "rows", "columns"]),
    ]
    if inputs != [("pixels", "tensor(float)", [3])] or outputs != wanted:
        raise ModelDamaged(f"{path.name} is a model, but not a spotter: it takes or gives other things", hint=REBUILD)


def _check_golden(manifest: Manifest, answers: list[Answers], path: Path) -> None:
    """Compare with the answers that another implementation gave once (`birdwatchd/training/spotter_golden.json`)."""
    numbers = [number for number, _ in manifest.classes]
    places = {label: number for number, label in manifest.classes}
    for golden, (embeddings, probabilities, _) in zip(manifest.golden, answers, strict=True):
        birds = [probabilities[0, places[label]] for label, _ in golden.ranking]
        given = np.array([probabilities[0, numbers].sum(), *birds])
        right = np.array([golden.birdness, *(probability for _, probability in golden.ranking)])
        if not (_close(golden_sample(embeddings[0]), np.array(golden.embedding)) and _close(given, right)):
            raise ModelDamaged(f"{path.name} does not give the answers that it was built with", hint=REBUILD)


def _check_quick(maps: list[Map], quick_maps: list[Map], path: Path) -> None:
    """Compare the map in whole numbers with the exact one: it is rough, but it must be a map of the same picture."""
    off = [float(np.sqrt(np.mean((quick - exact) ** 2))) for exact, quick in zip(maps, quick_maps, strict=True)]
    if not max(off) <= QUICK_TOLERANCE:
        raise ModelDamaged(f"{path.name} does not give the map that it was built with", hint=REBUILD)


def _questions(manifest: Manifest) -> Iterator[ModelInput]:
    # One at a time: a batch would make the memory that is kept for good four times as large.
    for golden in manifest.golden:
        yield to_model_input(golden_pixels(golden.seed, manifest.recipe.size_px), manifest.recipe)


def _run(session: Session, inputs: ModelInput) -> Answers:
    embeddings, probabilities, maps = session.run(_OUTPUTS, {"pixels": inputs})
    return embeddings, probabilities, maps


def _quick_map(session: Session, pixels: Pixels) -> Map:
    map_: Map = session.run(["map"], {"bytes": pixels[np.newaxis]})[0][0, 0]
    return map_


def _exact_map(session: Session, recipe: Recipe, pixels: Pixels) -> Map:
    map_: Map = _run(session, values(pixels, recipe))[2][0, 0]
    return map_


def _close(values: npt.NDArray[Any], right: npt.NDArray[Any]) -> bool:
    return bool(np.abs(values - right).max() <= TOLERANCE * np.abs(right).max())  # false for NaN too


def _give_memory_back() -> None:
    """Return what loading left behind to the system: 12 to 20 MB, where the C library can."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
