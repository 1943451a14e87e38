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
    by: dict[int, int | None] = {}  # the open wish that gave the name; None where it is the name of before
    former: dict[int, dict[int, tuple[str | None, int | None]]] = {}
    for wish in wishes:
        concerned = [photo_id for photo_id in wish.photo_ids if photo_id in names]
        if wish.takes_back is None:
            former[wish.number] = {photo_id: (then[photo_id], by.get(photo_id)) for photo_id in concerned}
            then.update(dict.fromkeys(concerned, wish.species))
            by.update(dict.fromkeys(concerned, wish.number))
        elif wish.takes_back in former:
            for photo_id, (name, given_by) in former[wish.takes_back].items():
                if by[photo_id] == wish.takes_back:
                    then[photo_id], by[photo_id] = name, given_by
        else:
            for photo_id in concerned:
                if photo_id in wish.before and by.get(photo_id) is None and then[photo_id] == wish.given:
                    then[photo_id] = wish.before[photo_id]
    return then
