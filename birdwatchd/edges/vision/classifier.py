"""The mind: a classifier's ONNX file, proved to be what was promoted, and the names that it gives.

As with the spotter, a damaged file mostly loads without complaint: so its content is compared with the hash in its name, and it must
give the answers that it was made with, before it names a photo.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from birdwatchd.core.errors import DiskTrouble, ModelDamaged, ModelError, ModelMissing
from birdwatchd.core.manifest import EMBEDDING_WIDTH
from birdwatchd.core.naming import Card, Naming, golden_embedding
from birdwatchd.core.onnxfile import metadata_and_weights
from birdwatchd.core.photo import Vector
from birdwatchd.core.preprocess import SPOTTER_RECIPE
from birdwatchd.edges.vision.spotter import ORT_ERRORS, OpenSession, Session, first_line, open_onnx_session

GOLDEN_TOLERANCE = 1e-4
"""How far a probability may be off from the one that was written down when the model was made."""

FILE_MAX_BYTES = 512 * 1024**2

TRAIN_ANEW = "`birdwatchd models rollback` takes the one before, `birdwatchd train` makes a new one"

BEST = 5


class Classifier:
    """One model, immutable: it is swapped as a whole, between two looks.

    Attributes:
        model_id: row of `models`.
        card: what it says of itself.
        sha256: of its file.
    """

    def __init__(self, model_id: int, card: Card, sha256: str, session: Session) -> None:
        self.model_id = model_id
        self.card = card
        self.sha256 = sha256
        self._session = session

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        model_id: int,
        spotter_id: str,
        threads: int = 1,
        open_session: OpenSession = open_onnx_session,
    ) -> Self:
        """Open and prove a model file.

        Args:
            spotter_id: whose embeddings it will be given.

        Raises:
            ModelMissing: there is no such file.
            ModelDamaged: it is not what it was, or not for this spotter.
            DiskTrouble: it cannot be read.
        """
        sha256, card = read_card(path)
        if card.spotter_id != spotter_id:
            raise ModelDamaged(f"{path.name} was made for another spotter", hint=TRAIN_ANEW)
        try:
            session = open_session(path, "cpu", threads, SPOTTER_RECIPE)
            one = cls(model_id, card, sha256, session)
            _check_interface(session, path, len(card.labels))
            one._check_golden(path)
        except ORT_ERRORS as error:
            raise ModelDamaged(f"{path.name} cannot be loaded: {first_line(error)}", hint=TRAIN_ANEW) from error
        return one

    def classify(self, embeddings: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Probabilities of all labels and novelties.

        Args:
            embeddings: shape (N, 1280).
        Returns:
            Shapes (N, labels) and (N,).
        Raises:
            ModelError: the network failed, or its answer is no number.
        """
        try:
            probabilities, novelty = self._session.run(["probabilities", "novelty"], {"embedding": embeddings})
        except ORT_ERRORS as error:
            raise ModelError(f"the classifier failed: {first_line(error)}", hint=TRAIN_ANEW) from error
        if not (np.isfinite(probabilities).all() and np.isfinite(novelty).all()):
            raise ModelError("the classifier gave an answer that is no number", hint=TRAIN_ANEW)
        return probabilities, novelty

    def name(self, embeddings: Sequence[Vector]) -> list[Naming]:
        """Name birds; what one photo shows has no influence on another's name."""
        if not embeddings:
            return []
        probabilities, novelties = self.classify(np.stack(embeddings))
        return [self._naming(row, float(novelty)) for row, novelty in zip(probabilities, novelties, strict=True)]

    def _naming(self, row: npt.NDArray[np.float32], novelty: float) -> Naming:
        best = np.argsort(-row, kind="stable")[:BEST].tolist()
        ranking = tuple((self.card.labels[place], float(row[place])) for place in best)
        return Naming(self.model_id, ranking, novelty, self.card.sure_above[best[0]], self.card.strange_above)

    def _check_golden(self, path: Path) -> None:
        questions = np.stack([golden_embedding(one.seed) for one in self.card.golden])
        probabilities, novelty = self._session.run(["probabilities", "novelty"], {"embedding": questions})
        right = np.array([one.probabilities for one in self.card.golden])
        strange = np.array([one.novelty for one in self.card.golden])
        off = max(float(np.abs(probabilities - right).max()), float(np.abs(novelty - strange).max()))
        if not off <= GOLDEN_TOLERANCE:  # also when it is no number
            raise ModelDamaged(f"{path.name} does not give the answers that it was made with", hint=TRAIN_ANEW)


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


def _check_interface(session: Session, path: Path, labels: int) -> None:
    inputs = [(node.name, node.type, node.shape[1:]) for node in session.get_inputs()]
    outputs = [(node.name, node.type, node.shape[1:]) for node in session.get_outputs()]
    wanted = [("probabilities", "tensor(float)", [labels]), ("novelty", "tensor(float)", [])]
    if inputs != [("embedding", "tensor(float)", [EMBEDDING_WIDTH])] or outputs != wanted:
        raise ModelDamaged(f"{path.name} takes or gives other things than its card says", hint=TRAIN_ANEW)
