"""How often the machine is right, told from photos that were chosen by nothing but their content.

Names that people give of their own accord say little of that: people name what waits for them, and mend what they see is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from birdwatchd.core.gate import wilson

_CONTENTS = 1 << 256
"""So many SHA-256 hashes there are."""

EVERY = "g"
"""Behind every hash in hex."""


def chosen_below(one_in: int) -> str:
    """The hash, in hex, below which one in so many contents lies; those are put up for a look, today and for ever.

    Args:
        one_in: 1 or more.
    """
    if one_in < 1:
        raise ValueError(f"one in {one_in} photos cannot be chosen")
    return EVERY if one_in == 1 else f"{_CONTENTS // one_in:064x}"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Of photos that the machine filed under one name: how many carry the right one.

    Attributes:
        n: photos that were put up and that a person answered.
        low, high: 95 % Wilson interval of right / n.
    """

    label: str
    n: int
    right: int
    low: float
    high: float


def accuracies(answered: Mapping[str, tuple[int, int]]) -> list[Accuracy]:
    """Per species, by name.

    Args:
        answered: for each name that the machine gave, how many photos were answered, and how many of these confirmed.
    """
    return [Accuracy(label, n, right, *wilson(right, n)) for label, (n, right) in sorted(answered.items())]
