"""The mind: a classifier's ONNX file, proved to be what was promoted, and the names that it gives.

A linear one reads the spotter's embedding alone; a fine-tuned one looks at the photo itself as well, as its card wants it.

As with the spotter, a damaged file mostly loads without complaint: so its content is compared with the hash in its name, and it must
give the answers that it was made with, before it names a photo.
"""

import functools
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from birdwatchd.core.errors import DiskTrouble, ModelDamaged, ModelError, ModelMissing, ModelOfAnotherSpotter
from birdwatchd.core.manifest import EMBEDDING_WIDTH, golden_pixels
from birdwatchd.core.naming import Card, Naming, golden_embedding
from birdwatchd.core.onnxfile import metadata_and_weights
from birdwatchd.core.photo import Vector
from birdwatchd.core.preprocess import SPOTTER_RECIPE, ModelInput, to_model_input
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
from birdwatchd.edges.vision.spotter import CPU_BATCH_MAX

log = logging.getLogger(__name__)

GOLDEN_TOLERANCE = 1e-4
"""How far a probability may be off from the one that was written down when the model was made."""

PROVIDER_TOLERANCE = 1e-3
"""How far a probability that a graphics card computes may be off from the processor's."""

FILE_MAX_BYTES = 512 * 1024**2

TRAIN_ANEW = "`birdwatchd models rollback` takes the one before, `birdwatchd train` makes a new one"

BEST = 5

Answers = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Probabilities (N, labels) and novelties (N,)."""

_OUTPUTS = ["probabilities", "novelty"]

_open_session: OpenSession = functools.partial(open_onnx_session, beside=f"embedding:{EMBEDDING_WIDTH}")


class Classifier:
    """One model, immutable: it is swapped as a whole, between two looks.

    Attributes:
        model_id: row of `models`.
        card: what it says of itself.
        sha256: of its file.
        provider: what computes: "tensorrt", "cuda" or "cpu".
    """

    def __init__(self, model_id: int, card: Card, sha256: str, session: Session, provider: str = "cpu") -> None:
        self.model_id = model_id
        self.card = card
        self.sha256 = sha256
        self.provider = provider
        self._session = session

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        model_id: int,
        spotter_id: str,
        providers: Sequence[str] = ("cpu",),
        threads: int = 0,
        open_session: OpenSession = _open_session,
    ) -> Self:
        """Open and prove a model file.

        Args:
            spotter_id: whose embeddings it will be given.
            providers: tried in this order by one that looks at photos; the CPU is taken in the end. A linear one needs no other.
            threads: processor cores that may compute at once; 0 for all that this process may use. A linear one takes one.

        Raises:
            ModelMissing: there is no such file.
            ModelOfAnotherSpotter: it is not for this spotter.
            ModelDamaged: it is not what it was.
            DiskTrouble: it cannot be read.
        """
        sha256, card = read_card(path)
        if card.spotter_id != spotter_id:
            raise ModelOfAnotherSpotter(f"{path.name} was made for another spotter")
        threads = 1 if card.pixels is None else threads or usable_cores()
        try:
            session = open_session(path, "cpu", threads, card.pixels or SPOTTER_RECIPE)
            _check_interface(session, path, card)
            answers = _golden_answers(session, card)
        except ORT_ERRORS as error:
            raise ModelDamaged(f"{path.name} cannot be loaded: {first_line(error)}", hint=TRAIN_ANEW) from error
        right = (
            np.array([one.probabilities for one in card.golden], dtype=np.float32),
            np.array([one.novelty for one in card.golden], dtype=np.float32),
        )
        if not _furthest(answers, right) <= GOLDEN_TOLERANCE:  # also when it is no number
            raise ModelDamaged(f"{path.name} does not give the answers that it was made with", hint=TRAIN_ANEW)
        if card.pixels is not None:
            for provider in providers:
                if provider == "cpu":
                    break
                if (found := _agreeing(path, provider, threads, card, answers, open_session)) is not None:
                    return cls(model_id, card, sha256, found, provider)
        return cls(model_id, card, sha256, session)

    def classify(self, embeddings: npt.NDArray[np.float32], pixels: ModelInput | None = None) -> Answers:
        """Probabilities of all labels and novelties.

        Args:
            embeddings: shape (N, 1280).
            pixels: shape (N, 3, S, S), for one whose card wants them; what `to_model_input` gives.
        Returns:
            Shapes (N, labels) and (N,).
        Raises:
            ModelError: the network failed, or its answer is no number.
            ValueError: it wants pixels and there are none, or they have another shape.
        """
        wanted = self.card.pixels
        if wanted is None:
            return self._ask({"embedding": embeddings})
        if pixels is None or pixels.shape != (len(embeddings), 3, wanted.size_px, wanted.size_px):
            raise ValueError(f"{len(embeddings)} photos of {wanted.size_px} px are wanted")
        most = CPU_BATCH_MAX if self.provider == "cpu" else GPU_BATCH_MAX
        parts = [
            self._ask({"embedding": embeddings[start : start + most], "pixels": pixels[start : start + most]})
            for start in range(0, max(len(embeddings), 1), most)
        ]
        probabilities, novelty = (np.concatenate(column) for column in zip(*parts, strict=True))
        return probabilities, novelty

    def name(self, embeddings: Sequence[Vector], pixels: ModelInput | None = None) -> list[Naming]:
        """Name birds; what one photo shows has no influence on another's name.

        Args:
            pixels: of the same photos; see `classify`.
        """
        if not embeddings:
            return []
        probabilities, novelties = self.classify(np.stack(embeddings), pixels)
        return [self._naming(row, float(novelty)) for row, novelty in zip(probabilities, novelties, strict=True)]

    def _ask(self, feeds: dict[str, npt.NDArray[np.float32]]) -> Answers:
        try:
            probabilities, novelty = self._session.run(_OUTPUTS, feeds)
        except ORT_ERRORS as error:
            raise ModelError(f"the classifier failed: {first_line(error)}", hint=TRAIN_ANEW) from error
        if not (np.isfinite(probabilities).all() and np.isfinite(novelty).all()):
            raise ModelError("the classifier gave an answer that is no number", hint=TRAIN_ANEW)
        return probabilities, novelty

    def _naming(self, row: npt.NDArray[np.float32], novelty: float) -> Naming:
        best = np.argsort(-row, kind="stable")[:BEST].tolist()
        ranking = tuple((self.card.labels[place], float(row[place])) for place in best)
        return Naming(self.model_id, ranking, novelty, self.card.sure_above[best[0]], self.card.strange_above)


def golden_questions(card: Card) -> dict[str, npt.NDArray[np.float32]]:
    """What the golden answers of a card are about, as its network takes it."""
    seeds = [one.seed for one in card.golden]
    questions: dict[str, npt.NDArray[np.float32]] = {"embedding": np.stack([*map(golden_embedding, seeds)])}
    if (recipe := card.pixels) is not None:
        questions["pixels"] = np.concatenate(
            [to_model_input(golden_pixels(seed, recipe.size_px), recipe) for seed in seeds]
        )
    return questions


def _golden_answers(session: Session, card: Card) -> Answers:
    probabilities, novelty = session.run(_OUTPUTS, golden_questions(card))
    return probabilities, novelty


def _furthest(answers: Answers, right: Answers) -> float:
    return max(float(np.abs(one - other).max()) for one, other in zip(answers, right, strict=True))


def _agreeing(
    path: Path, provider: str, threads: int, card: Card, right: Answers, open_session: OpenSession
) -> Session | None:
    """Open a session that gives the CPU's answers, or say in the log why there is none."""
    try:
        session = open_session(path, provider, threads, card.pixels or SPOTTER_RECIPE)
        answers = _golden_answers(session, card)
    except ProviderUnavailable as reason:
        log.debug("not naming with %s: %s", provider, reason)
        return None
    except ORT_ERRORS as error:
        log.warning("not naming with %s: it fails: %s", provider, first_line(error))
        return None
    if not _furthest(answers, right) <= PROVIDER_TOLERANCE:
        log.warning("not naming with %s: its answers differ from the CPU's", provider)
        return None
    return session


def read_card(path: Path) -> tuple[str, Card]:
    """SHA-256 and card of a model file whose content fits its name; no foreign code sees it before that.

    Raises:
        ModelMissing, ModelDamaged, DiskTrouble: as `Classifier.load`.
    """
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise ModelDamaged(f"{path.name} is far too large for a classifier", hint=TRAIN_ANEW)
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelMissing(f"the model file {path.name} is gone", hint=TRAIN_ANEW) from error
    except OSError as error:
        raise DiskTrouble(f"{path} cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    if not path.name.endswith(f"-{digest[:16]}.onnx"):
        raise ModelDamaged(f"{path.name} is damaged: its content does not fit the hash in its name", hint=TRAIN_ANEW)
    try:
        metadata, _ = metadata_and_weights(content)
        return digest, Card.from_metadata(metadata)
    except ModelDamaged as error:
        raise ModelDamaged(f"{path.name}: {error.message}", hint=TRAIN_ANEW) from error


def _check_interface(session: Session, path: Path, card: Card) -> None:
    inputs = {(node.name, node.type, *node.shape[1:]) for node in session.get_inputs()}
    outputs = [(node.name, node.type, node.shape[1:]) for node in session.get_outputs()]
    given: set[tuple[str | int, ...]] = {("embedding", "tensor(float)", EMBEDDING_WIDTH)}
    if card.pixels is not None:
        given.add(("pixels", "tensor(float)", 3, card.pixels.size_px, card.pixels.size_px))
    wanted = [("probabilities", "tensor(float)", [len(card.labels)]), ("novelty", "tensor(float)", [])]
    if inputs != given or outputs != wanted:
        raise ModelDamaged(f"{path.name} takes or gives other things than its card says", hint=TRAIN_ANEW)
