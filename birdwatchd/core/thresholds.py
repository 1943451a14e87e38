"""From answers to photos with known names: how sure is sure enough, and how strange is too strange."""

import numpy as np
import numpy.typing as npt

OWN_FROM = 20
"""A species with so many answered photos has a threshold of its own; the others share one."""

PROVES_SOMETHING = 5
"""Fewer right answers than this say nothing about how sure is sure enough."""

NEVER = 1.1
"""A threshold that no probability reaches."""


def sure_above(
    best: npt.NDArray[np.intp],
    certainty: npt.NDArray[np.float64],
    right: npt.NDArray[np.bool_],
    *,
    labels: int,
    precision: float,
) -> tuple[float, ...]:
    """For each label the lowest probability from which on the wanted share of the photos so named is named right.

    Args:
        best: the label that each photo was given, 0 to labels - 1; shape (N,).
        certainty: with what probability, 0–1.
        right: whether that was right.
    """
    shared = _lowest(certainty, right, precision)
    own = [best == label for label in range(labels)]
    return tuple(
        max(shared, _lowest(certainty[one], right[one], precision)) if one.sum() >= OWN_FROM else shared for one in own
    )


def _lowest(certainty: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], precision: float) -> float:
    order = np.argsort(-certainty, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((share >= precision) & (np.arange(1, len(order) + 1) >= PROVES_SOMETHING))
    return float(certainty[order[enough[-1]]]) if len(enough) else NEVER


def strange_above(novelty: npt.NDArray[np.float64], strange: npt.NDArray[np.bool_], *, let_in: float) -> float:
    """The novelty from which on a photo counts as strange, so that only this share of strangers passes.

    Args:
        novelty: of photos of known and of left-out species; shape (N,).
        strange: which of them were left out.
        let_in: 0–1; 1 when no stranger is expected.
    """
    if let_in >= 1 or not strange.any():
        return NEVER
    return float(np.quantile(novelty[strange], let_in))


def expected_calibration_error(
    certainty: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], bins: int = 15
) -> float:
    """How far probabilities are from the share that is right, on average (Naeini et al. 2015); 0–1."""
    if not len(certainty):
        return 0.0
    of = np.minimum((certainty * bins).astype(int), bins - 1)
    return float(
        sum(
            (of == one).mean() * abs(float(certainty[of == one].mean()) - float(right[of == one].mean()))
            for one in range(bins)
            if (of == one).any()
        )
    )
