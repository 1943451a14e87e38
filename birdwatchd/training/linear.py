"""The quick training: a linear model on the spotter's embeddings, in seconds and without torch.

Names: linear discriminant analysis (Fisher 1936) with one covariance for all species, shrunk towards a multiple of the identity
(Friedman 1989, "Regularized discriminant analysis"), in the space of the first principal components of square-rooted, normalised
embeddings. Probabilities: temperature scaling (Guo et al. 2017, arXiv 1706.04599) on out-of-fold answers.

Novelty: how near the photo is to the nearest species' middle and to the nearest labelled photo, and how clearly the best name wins,
weighed by a logistic regression that was shown strangers: each labelled species in turn was left out of the training, and asked about.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]

COMPONENTS = 256
SHRINKAGE = 0.4
STRANGER_GROUPS = 5
"""Labelled species are left out in so many groups, one group after the other."""

MOST_NEIGHBOURS = 64
"""So many photos of each species are kept in the model for comparison."""


def as_features(embeddings: npt.NDArray[np.float32]) -> Array:
    """Square roots, then length 1: a few strong values do not drown the many weak ones. Shape (N, 1280)."""
    roots = np.sqrt(np.maximum(embeddings.astype(np.float64), 0.0))
    length = np.linalg.norm(roots, axis=1, keepdims=True)
    return np.asarray(roots / np.maximum(length, 1e-12))


def reduced(features: Array) -> Array:
    """The same photos in the space of their first principal components, for many quick fits. Shape (N, at most COMPONENTS)."""
    centred = features - features.mean(axis=0)
    return np.asarray(centred @ _principal_components(centred, min(COMPONENTS, len(features) - 1)))


def softmax(logits: Array) -> Array:
    """Probabilities, row by row."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Weights:
    """A linear model and what it compares photos with.

    Attributes:
        matrix, offset: logits = features @ matrix + offset; shapes (1280, labels) and (labels,).
        middles: the species' mean features, each of length 1; shape (labels, 1280).
        neighbours: features of labelled photos; shape (M, 1280).
    """

    matrix: Array
    offset: Array
    middles: Array
    neighbours: Array

    def logits(self, features: Array) -> Array:
        """Before the temperature. Shape (N, labels)."""
        return features @ self.matrix + self.offset

    def signs(self, features: Array) -> Array:
        """What tells a stranger: nearness to a middle, to a photo, and the margin of the best name. Shape (N, 3)."""
        best_two = np.sort(self.logits(features), axis=1)[:, -2:]
        return np.stack(
            [
                (features @ self.middles.T).max(axis=1),
                (features @ self.neighbours.T).max(axis=1),
                best_two[:, 1] - best_two[:, 0],
            ],
            axis=1,
        )


def tempered(weights: Weights, temperature: float) -> Weights:
    """The same model, as sure as it is right."""
    return replace(weights, matrix=weights.matrix / temperature, offset=weights.offset / temperature)


def fit(features: Array, labels: Labels, count: int, rng: np.random.Generator) -> Weights:
    """Fit the names.

    Args:
        features: shape (N, 1280), from `as_features`.
        labels: 0 to count - 1, each at least once; shape (N,).
        count: of labels, at least two.
    """
    mean = features.mean(axis=0)
    centred = features - mean
    basis = _principal_components(centred, min(COMPONENTS, len(features) - 1))
    reduced = centred @ basis
    members = np.zeros((count, len(labels)))
    members[labels, np.arange(len(labels))] = 1.0
    members /= members.sum(axis=1, keepdims=True)
    middles = members @ reduced
    residue = reduced - middles[labels]
    covariance = residue.T @ residue / max(1, len(labels) - count)
    width = len(covariance)
    even = np.trace(covariance) / width
    covariance = (1 - SHRINKAGE) * covariance + max(SHRINKAGE * even, 1e-9) * np.eye(width)
    directions = np.linalg.solve(covariance, middles.T)
    offset = -0.5 * np.einsum("ij,ji->i", middles, directions)
    matrix = basis @ directions
    full_middles = members @ features
    full_middles /= np.maximum(np.linalg.norm(full_middles, axis=1, keepdims=True), 1e-12)
    kept = np.concatenate([_sample(np.flatnonzero(labels == one), MOST_NEIGHBOURS, rng) for one in range(count)])
    return Weights(matrix, offset - mean @ matrix, full_middles, features[np.sort(kept)])


def out_of_fold(
    features: Array,
    labels: Labels,
    folds: Labels,
    count: int,
    rng: np.random.Generator,
    *,
    taught: npt.NDArray[np.bool_] | None = None,
) -> Iterator[tuple[Labels, Array, Array]]:
    """Answers to photos by models that have not seen their fold: indices, logits of all labels, signs.

    A label that is in no other fold gets minus infinity.

    Args:
        taught: which photos are learned from when it is not their turn to be asked about; None: all.
    """
    for fold in np.unique(folds):
        asked = np.flatnonzero(folds == fold)
        shown = np.flatnonzero(folds != fold if taught is None else (folds != fold) & taught)
        known, numbers = np.unique(labels[shown], return_inverse=True)
        if len(known) < 2:
            continue
        weights = fit(features[shown], numbers, len(known), rng)
        logits = np.full((len(asked), count), -np.inf)
        logits[:, known] = weights.logits(features[asked])
        yield asked, logits, weights.signs(features[asked])


def strangers(
    features: Array, labels: Labels, folds: Labels, count: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Signs of photos that a model has not seen, and whether it knows their species, with each species left out in turn.

    Returns:
        Shapes (M, 3) and (M,); both empty with fewer than `FEW_SPECIES` labels.
    """
    signs: list[Array] = [np.empty((0, 3))]
    strange: list[npt.NDArray[np.bool_]] = [np.empty(0, dtype=bool)]
    if count >= FEW_SPECIES:
        for group in np.array_split(rng.permutation(count), min(STRANGER_GROUPS, count // 2)):
            out = np.isin(labels, group)
            for fold in np.unique(folds):
                shown = np.flatnonzero(~out & (folds != fold))
                known, numbers = np.unique(labels[shown], return_inverse=True)
                if len(known) < 2:
                    continue
                weights = fit(features[shown], numbers, len(known), rng)
                for asked, is_strange in ((np.flatnonzero(~out & (folds == fold)), False), (np.flatnonzero(out), True)):
                    signs.append(weights.signs(features[asked]))
                    strange.append(np.full(len(asked), is_strange))
    return np.concatenate(signs), np.concatenate(strange)


def temperature(logits: Array, labels: Labels) -> float:
    """The number by which logits are divided so that probabilities mean what they say: least log loss, by golden section."""

    def loss(log_t: float) -> float:
        scaled = logits / np.exp(log_t)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        right = np.maximum(scaled[np.arange(len(labels)), labels], -50.0)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - right))

    return best_temperature(loss, steps=60)


def best_temperature(loss: Callable[[float], float], *, steps: int) -> float:
    """The temperature, 0.05 to 50, whose logarithm has the least loss, by golden section."""
    low, high = np.log(0.05), np.log(50.0)
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(steps):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


@dataclass(frozen=True, slots=True)
class NoveltyRule:
    """A stranger's probability = sigmoid(signs @ weights + bias)."""

    weights: Array
    bias: float

    def of(self, signs: Array) -> Array:
        """Shape (N,), 0–1."""
        return np.asarray(1 / (1 + np.exp(-np.clip(signs @ self.weights + self.bias, -50, 50))))


FEW_SPECIES = 4
"""With fewer none can be left out; then the rule below holds, found on other species than the user's: nearness to a middle alone."""

RULE_FOR_FEW = NoveltyRule(np.array([-35.0, 0.0, 0.0]), 26.25)
STRANGE_FOR_FEW = 0.3
"""Measured with 2 or 3 known species of 5 to 11 labels: 8 % of strangers pass, 85 % of known birds."""


def fit_novelty(signs: Array, strange: npt.NDArray[np.bool_]) -> NoveltyRule:
    """Logistic regression by Newton's method, strangers and others weighing the same; without strangers nobody is one."""
    if not strange.any() or strange.all():
        return NoveltyRule(np.zeros(3), -20.0)
    middle, spread = signs.mean(axis=0), np.maximum(signs.std(axis=0), 1e-9)
    design = np.column_stack([(signs - middle) / spread, np.ones(len(signs))])
    share = np.where(strange, 0.5 / strange.mean(), 0.5 / (~strange).mean())
    beta = np.zeros(4)
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        slope = design.T @ (share * (strange - p)) - np.array([1.0, 1.0, 1.0, 0.0]) * beta
        curve = (design * (share * p * (1 - p))[:, None]).T @ design + np.diag([1.0, 1.0, 1.0, 1e-9])
        step = np.linalg.solve(curve, slope)
        beta = beta + step
        if np.abs(step).max() < 1e-9:
            break
    weights = beta[:3] / spread
    return NoveltyRule(weights, float(beta[3] - middle @ weights))


def _principal_components(centred: Array, most: int) -> Array:
    """Directions of the greatest spread, as columns; shape (1280, at most `most`)."""
    if len(centred) < centred.shape[1]:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
        real = values > 1e-9 * max(float(values[0]), 1e-30)
        return np.asarray(centred.T @ (vectors[:, real] / np.sqrt(values[real])))
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return np.asarray(vectors[:, ::-1][:, :most])


def _sample(indices: Labels, most: int, rng: np.random.Generator) -> Labels:
    return indices if len(indices) <= most else rng.choice(indices, most, replace=False)
