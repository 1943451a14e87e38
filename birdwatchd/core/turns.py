"""Whose turn it is, while some wishes have to wait: what was said of a photo later must also be done later, or the first word would be
the last."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wanted:
    """An open wish.

    Attributes:
        number: they were left in that order.
        photo_ids: of which photos it says something; none for a wish that says nothing of single photos.
        takes_back: the answer that it calls off or takes back.
        is_begun: whether anything may have been done for it already.
    """

    number: int
    photo_ids: frozenset[int] = frozenset()
    takes_back: int | None = None
    is_begun: bool = False


def next_in_turn(wishes: Sequence[Wanted], waiting: Collection[int]) -> int | None:
    """The number of the first wish that may be worked on now; None if all have to wait.

    A wish waits for each earlier one that waits and speaks of the same photo. Only who takes an answer back need not wait for that
    answer; and for nobody if nothing was done for it yet, because then nothing will be.

    Args:
        wishes: the open ones, oldest first.
        waiting: numbers of those that could not be fulfilled, and whose time has not come yet.
    """
    begun = {wish.number: wish.is_begun for wish in wishes}
    held: list[Wanted] = []
    for wish in wishes:
        calls_off = wish.takes_back is not None and not begun.get(wish.takes_back, True)
        is_free = calls_off or not any(one.number != wish.takes_back and one.photo_ids & wish.photo_ids for one in held)
        if is_free and wish.number not in waiting:
            return wish.number
        held.append(wish)
    return None
