"""What a photo is called once all open wishes are fulfilled.

So the page knows its own answers before the daemon has carried them out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Wish:
    """One that is open.

    Attributes:
        number: its number; they are fulfilled in that order.
        photo_ids: whom it concerns.
        species: the name that it gives; None for one that takes back.
        takes_back: the number of the answer that it takes back.
        before: for one that takes back an answer that was fulfilled: what each photo was called before it.
        given: the name that this answer gave.
    """

    number: int
    photo_ids: Sequence[int]
    species: str | None = None
    takes_back: int | None = None
    before: Mapping[int, str | None] = field(default_factory=dict)
    given: str | None = None


def standing(names: Mapping[int, str | None], wishes: Sequence[Wish]) -> dict[int, str | None]:
    """The names of photos after all wishes, as whoever fulfils them will have it.

    Args:
        names: what people call each photo now; None for none.
        wishes: the open ones, oldest first.
    """
    then = dict(names)
    former: dict[int, dict[int, str | None]] = {}
    for wish in wishes:
        if wish.takes_back is None:
            former[wish.number] = {photo_id: then.get(photo_id) for photo_id in wish.photo_ids}
            then.update(dict.fromkeys([one for one in wish.photo_ids if one in names], wish.species))
            continue
        before = former.get(wish.takes_back, wish.before)
        for photo_id in wish.photo_ids:
            if photo_id in names and photo_id in before and then[photo_id] == wish.given:
                then[photo_id] = before[photo_id]
    return then
