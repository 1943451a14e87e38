"""Labels that are probably wrong, found before anything is learned from them: two witnesses have to agree that another name is meant.

The first witness are models that have not seen the photo, weighed with how often which label is a slip for which: confident learning
(Northcutt et al. 2021, arXiv 1911.00068), with the table of slips estimated by expectation and maximisation (Dawid and Skene 1979)
instead of counted, so that ten labels a species are enough. The second are the labelled photos that look most like it.

Labels that the model in use has learned from were held against all this before; so those which it has not have a table of slips of
their own, and at first models of the older labels alone are asked. That tells which of two species is which when somebody has swapped
their names throughout. A species that looks different now (a female, a young bird) is not doubted: its photos look like each other.

A label that somebody gave twice is not doubted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from birdwatchd.core.hardest import NEIGHBOURS as NEIGHBOURS_TOLD
from birdwatchd.core.hardest import Hard, hardest
from birdwatchd.core.job import Doubt
from birdwatchd.core.splits import look_alikes
from birdwatchd.training import linear
from birdwatchd.training.lesson import Labels, Lesson, Mask
from birdwatchd.training.linear import Array

RIGHT_BELOW = 0.1
"""A label that is right with a smaller probability than this is doubted, if the neighbours agree."""

NEIGHBOURS = 10
FEWEST_WITNESSES = 2
"""So many neighbours at least must bear the other name."""

HALF_AGREE = 2 / 3
"""While only older labels are asked, neighbours may be of the same swapped batch: then so many for one against the given name do."""

KEPT = 2
"""No species is left with fewer photos to learn from."""

ROUNDS = 3
"""What was doubted misleads neither models nor neighbours of the next round."""

FEW_OLDER = 5
"""Of a species with fewer older labels, all are taken for older."""

SLIPS_AT_FIRST = 0.05
SURE_OF_SLIPS = 10.0
"""How many photos of a species outweigh the assumption that all slips are equally likely."""

STEPS = 6

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Doubts:
    """What is doubted.

    Attributes:
        held_back: not to be trained on; shape (N,).
        found: all that is doubted, the worst first, for people.
        hardest: what fits its name worst, doubted or not, for people as well.
    """

    held_back: Mask
    found: tuple[Doubt, ...]
    hardest: tuple[Hard, ...]


@dataclass(frozen=True, slots=True)
class _Said:
    """What models that have not seen the photos say of them.

    Attributes:
        names: probability of each name before the label is looked at; shape (N, names).
        given_label: the same, knowing the label and how often it is a slip; shape (N, names).
    """

    names: Array
    given_label: Array


def doubts(lesson: Lesson, rng: np.random.Generator) -> Doubts:
    """Find the labels that are probably wrong, among all that are learned; those of held-out photos are only told about."""
    asked = np.flatnonzero(lesson.labels >= 0)
    labels, learnable = lesson.labels[asked], ~lesson.held_out[asked]
    # Held-out photos are a fold of their own, which nobody learns from.
    folds = np.where(learnable, lesson.folds[asked], lesson.folds.max() + 1)
    features = linear.as_features(lesson.embeddings[asked])
    older = _older(lesson, asked)
    reduced = linear.reduced(features)
    looks = features.astype(np.float32)
    doubted = np.zeros(len(asked), dtype=bool)
    row = np.arange(len(asked))
    for turn in range(ROUNDS):
        first = turn == 0 and not older.all()
        taught = learnable & ~doubted & (_with_few(older, labels) if first else True)
        said = _ask(reduced, labels, folds, taught, learnable, older, rng, names=len(lesson.names))
        likely = said.given_label.argmax(axis=1)
        unlikely = (said.given_label[row, labels] < RIGHT_BELOW) & (likely != labels)
        open_to_doubt = np.flatnonzero(unlikely & ~lesson.confirmed[asked])
        near = _neighbours(looks, folds, open_to_doubt, learnable & ~doubted)
        bear_it = ((labels[near] == likely[open_to_doubt, None]) & (near >= 0)).sum(axis=1)
        against = ((labels[near] == labels[open_to_doubt, None]) & (near >= 0)).sum(axis=1)
        agree = bear_it >= HALF_AGREE * against if first else bear_it > against
        doubted = np.zeros(len(asked), dtype=bool)
        doubted[open_to_doubt[agree & (bear_it >= FEWEST_WITNESSES)]] = True
    right = said.given_label[row, labels]
    held_back = _but_for_the_last(doubted & learnable, labels, right, learnable)
    near_of = dict(zip(open_to_doubt.tolist(), near.tolist(), strict=True))
    ids = lesson.ids[asked]
    found = [
        Doubt(
            photo_id=int(ids[place]),
            label=lesson.names[labels[place]],
            likely=lesson.names[likely[place]],
            probability=float(said.names[place, likely[place]]),
            neighbours=tuple(int(ids[one]) for one in near_of[place] if one >= 0),
            held_back=bool(held_back[place]),
        )
        for place in sorted(np.flatnonzero(doubted).tolist(), key=lambda place: (right[place], ids[place]))
    ]
    whole = np.zeros(len(lesson.labels), dtype=bool)
    whole[asked] = held_back
    return Doubts(
        whole, tuple(found), hardest(_how_hard(lesson, asked, said.names, {one.photo_id: one for one in found}))
    )


def _how_hard(lesson: Lesson, asked: Labels, names: Array, doubted: dict[int, Doubt]) -> Iterator[Hard]:
    for place, said in zip(asked.tolist(), names, strict=True):
        example = lesson.job.examples[place]
        doubt = doubted.get(example.photo_id)
        likely = int(said.argmax()) if doubt is None else lesson.names.index(doubt.likely)
        yield Hard(
            photo_id=example.photo_id,
            sha256=example.sha256,
            label=example.label,
            own=float(said[lesson.labels[place]]),
            likely=lesson.names[likely],
            probability=float(said[likely]),
            held_out=example.held_out,
            suspected=doubt is not None,
            neighbours=() if doubt is None else doubt.neighbours[:NEIGHBOURS_TOLD],
        )


def near_copies(lesson: Lesson) -> tuple[tuple[int, ...], ...]:
    """Ids of photos that look the same, in groups."""
    return tuple(tuple(sorted(lesson.ids[group].tolist())) for group in look_alikes(lesson.embeddings))


def _older(lesson: Lesson, asked: Labels) -> Mask:
    """Which photos the model in use has learned from; all when that tells nothing."""
    champion = lesson.job.champion
    if champion is None:
        return np.ones(len(asked), dtype=bool)
    older = np.isin(lesson.ids[asked], champion.learned)
    return older if older.any() else ~older


def _with_few(older: Mask, labels: Labels) -> Mask:
    """The older ones, and all of species that have hardly any."""
    counts = np.bincount(labels[older], minlength=int(labels.max()) + 1)
    return older | (counts[labels] < FEW_OLDER)


def _ask(
    features: Array,
    labels: Labels,
    folds: Labels,
    taught: Mask,
    counted: Mask,
    older: Mask,
    rng: np.random.Generator,
    *,
    names: int,
) -> _Said:
    logits = np.full((len(labels), names), -1e9)  # who is in no other fold is not asked about: all names are as likely
    for asked, answers, _ in linear.out_of_fold(features, labels, folds, names, rng, taught=taught):
        logits[asked] = np.where(np.isfinite(answers), answers, -1e9)
    slips = {True: _even_slips(names, SLIPS_AT_FIRST), False: _even_slips(names, SLIPS_AT_FIRST)}
    for _ in range(STEPS):
        # How likely the given label is if the photo shows this or that species.
        likely = np.where(older[:, None], slips[True][:, labels].T, slips[False][:, labels].T)
        warmth = _temperature(logits[counted], likely[counted])
        said = linear.softmax(logits / warmth)
        given_label = said * likely
        given_label /= np.maximum(given_label.sum(axis=1, keepdims=True), 1e-300)
        for which in slips:
            batch = counted & (older == which)
            slips[which] = _slips(given_label[batch], labels[batch], names)
    return _Said(said, given_label)


def _even_slips(names: int, share: float) -> Array:
    return np.asarray(np.eye(names) * (1 - share * names / (names - 1)) + share / (names - 1))


def _slips(given_label: Array, labels: Labels, names: int) -> Array:
    """How often a species (row) gets which label (column)."""
    counts = np.zeros((names, names))
    np.add.at(counts.T, labels, given_label)
    wrong = float((counts.sum() - np.trace(counts) + 0.5) / (counts.sum() + 10))
    table = counts + SURE_OF_SLIPS * _even_slips(names, min(wrong, 1 - 1 / names))
    return np.asarray(table / table.sum(axis=1, keepdims=True))


def _temperature(logits: Array, likely: Array) -> float:
    """As `linear.temperature`, but for labels that may be slips."""

    def loss(log_t: float) -> float:
        says = (linear.softmax(logits / np.exp(log_t)) * likely).sum(axis=1)
        return float(-np.log(np.maximum(says, 1e-12)).mean())

    return linear.best_temperature(loss, steps=25)


def _neighbours(looks: npt.NDArray[np.float32], folds: Labels, of: Labels, among: Mask) -> Labels:
    """The places of the photos of other folds that look most like these, the nearest first; -1 where there are no more."""
    width = min(NEIGHBOURS, len(looks))
    near = np.full((len(of), width), -1, dtype=np.intp)
    for start in range(0, len(of), _ROWS_AT_ONCE):
        some = of[start : start + _ROWS_AT_ONCE]
        alike = looks[some] @ looks.T
        alike[(folds[some][:, None] == folds[None, :]) | ~among[None, :]] = -1.0
        best = np.argsort(-alike, axis=1, kind="stable")[:, :width]
        near[start : start + len(some)] = np.where(np.take_along_axis(alike, best, axis=1) < 0, -1, best)
    return near


def _but_for_the_last(doubted: Mask, labels: Labels, right: Array, learnable: Mask) -> Mask:
    """Every species keeps some photos: of the doubted ones those that are most probably right."""
    held_back = doubted.copy()
    for name in np.unique(labels[doubted]).tolist():
        own = np.flatnonzero(learnable & (labels == name))
        missing = KEPT - int((~doubted[own]).sum())
        if missing > 0:
            suspects = own[doubted[own]]
            held_back[suspects[np.argsort(-right[suspects], kind="stable")[:missing]]] = False
    return held_back
