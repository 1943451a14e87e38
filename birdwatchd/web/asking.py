"""What the review page asks: which photos wait for an answer, in which groups, and what they look like.

What was answered a moment ago counts at once, also before the daemon has carried it out.
"""

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from birdwatchd.core import grouping, shelving
from birdwatchd.core.grouping import Card, Features, Group
from birdwatchd.core.settings import Settings
from birdwatchd.core.standing import Wish, standing
from birdwatchd.edges.clock import as_utc_text
from birdwatchd.edges.store import Request, Row, Store
from birdwatchd.web.looks import Looks

CONSIDERED = 1500
"""So many of the latest arrivals are thought about."""

COUNTED = 100_000
SHOWN = 200
BLIND = 10
"""At most so many audits at a time."""

PUT_UP_LATELY = 500
NAMED_OF_EACH, NAMED_IN_ALL = 20, 1000
"""So many of the photos that people named last stand for a species; fewer where there are very many species."""

ALIKE = 3
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Asked:
    """All that the page shows.

    Attributes:
        rows: the photos in the groups, by id.
        blind: audits; the machine's guess is not told before the answer.
        groups: their members are photo ids here.
        alike: for each photo the most similar ones that people have named, with that name.
        waiting: how many wait in all, shown or not.
        left_this_week: how many more the review budget asks for; None without one.
    """

    rows: Mapping[int, Row]
    blind: Sequence[int]
    groups: Sequence[Group]
    alike: Mapping[int, Sequence[tuple[int, str]]]
    waiting: int
    left_this_week: int | None


@dataclass(frozen=True, slots=True)
class Named:
    """What people have named: a row of features for each photo."""

    photo_ids: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    looks: Features = field(default_factory=lambda: np.zeros((0, 1), np.float32))

    def by_label(self) -> dict[str, Features]:
        """The rows of each name."""
        labels = np.array(self.labels)
        return {str(label): self.looks[labels == label] for label in dict.fromkeys(self.labels)}


class Asking:
    """Puts the queue together; one at a time, so that memory stays small."""

    def __init__(self, settings: Settings) -> None:
        self._budget = settings.web.review_budget
        self._looks = Looks()
        self._lock = threading.Lock()

    def asked(self, store: Store, now: str) -> Asked:
        """The queue as it stands.

        Args:
            now: ISO-8601 UTC.
        """
        with self._lock:
            return self._asked(store, now)

    def _asked(self, store: Store, now: str) -> Asked:
        names = names_then(store, wishes := open_wishes(store))
        rows = {row["id"]: row for row in store.queue.waiting(limit=CONSIDERED)}
        taken_back = {photo_id for wish in wishes if wish.takes_back is not None for photo_id in wish.photo_ids}
        rows |= {row["id"]: row for row in store.queue.photos(taken_back - rows.keys())}
        audits = {row["id"]: row for row in store.queue.put_up(of_the_latest=PUT_UP_LATELY, limit=BLIND)}
        rows = {photo_id: row for photo_id, row in rows.items() if names.get(photo_id) is None}
        blind = [photo_id for photo_id in audits if names.get(photo_id) is None]
        waiting = waiting_count(store, names, most=COUNTED)
        left = left_this_week(store, self._budget, now, names)
        if left is not None:
            blind = blind[:left]
        spotter_id = _spotter_of(store, rows.values())
        seen, looks = self._looks.of(store, [one for one in rows if one not in audits], spotter_id)
        named = self._named(store, spotter_id, names)
        seen_ids = set(seen)
        known = _known_to_models(store, [rows[photo_id] for photo_id in seen])
        cards = [_card(rows[photo_id], known) for photo_id in seen]
        most = SHOWN - len(blind) if left is None else min(SHOWN, left) - len(blind)
        groups, places = _in_groups(cards, looks, named, most=most, spread=left is not None)
        shown = [seen[place] for place in places]
        unseen = [one for one in rows if one not in seen_ids and one not in audits][: max(0, most - len(shown))]
        if unseen:  # no spotter has seen these, or its answer was no number
            groups = [*groups, Group(None, tuple(unseen))]
        alike = {
            photo_id: [
                (named.photo_ids[one], named.labels[one])
                for one in grouping.nearest(looks[place], named.looks, count=ALIKE)
            ]
            for photo_id, place in zip(shown, places, strict=True)
            if named.labels
        }
        return Asked(rows | audits, blind, groups, alike, waiting, left)

    def similar(self, store: Store, photo_id: int, *, count: int) -> list[tuple[int, str]]:
        """Photos that people have named and that look most like this one, with the name; none if no spotter has seen it."""
        with self._lock:
            spotter_id = _spotter_of(store, store.queue.photos([photo_id]))
            names = names_then(store, open_wishes(store))
            _, looks = self._looks.of(store, [photo_id], spotter_id)
            named = self._named(store, spotter_id, names)
            if not len(looks) or not named.labels:
                return []
            near = grouping.nearest(looks[0], named.looks, count=count + 1)
        found = [(named.photo_ids[one], named.labels[one]) for one in near]
        return [one for one in found if one[0] != photo_id][:count]

    def _named(self, store: Store, spotter_id: str, names: Mapping[int, str | None]) -> Named:
        species = store.queue.species()
        just_now: dict[str, list[int]] = {}
        for photo_id, name in names.items():
            if name is not None:
                just_now.setdefault(name, []).append(photo_id)
        species = sorted({*species, *just_now})
        each = max(1, min(NAMED_OF_EACH, NAMED_IN_ALL // max(1, len(species))))
        whose: dict[int, str] = {}
        for label in species:
            newest = [*just_now.get(label, [])[-each:], *store.queue.named(label, limit=each)]
            whose |= dict.fromkeys([one for one in newest if names.get(one, label) == label][:each], label)
        found, looks = self._looks.of(store, list(whose), spotter_id)
        return Named(tuple(found), tuple(whose[one] for one in found), looks)


def _in_groups(
    cards: Sequence[Card], looks: Features, named: Named, *, most: int, spread: bool
) -> tuple[list[Group], list[int]]:
    """Groups of photo ids, and the places of all that are in them."""
    if not cards or most <= 0:
        return [], []
    by, names = None, tuple[str, ...]()
    count = {label: named.labels.count(label) for label in set(named.labels)}
    if named.labels:
        names, centres = grouping.means(named.by_label())
        by = grouping.suggested(cards, looks @ centres.T, names, count)
    places = list(range(len(cards)))
    if len(cards) > most or spread:
        places = grouping.worth_most(cards, grouping.sketch(looks), by, count=most, rare=count, spread=spread)
    chosen, seen = [cards[place] for place in places], looks[places]
    groups = grouping.alike(chosen, seen) if by is None else grouping.grouped(chosen, by.of(places), seen, names)
    told = [replace(one, members=tuple(chosen[place].photo_id for place in one.members)) for one in groups]
    return told, places


def _known_to_models(store: Store, rows: Iterable[Row]) -> dict[int, frozenset[str]]:
    """The names that the models know which said of a photo that none fits; by their numbers."""
    strange = {row["model_id"] for row in rows if row["is_strange"] and row["model_id"] is not None}
    models = {number: store.models.get(number) for number in strange}
    return {number: frozenset(json.loads(row["labels"])) for number, row in models.items() if row is not None}


def _card(row: Row, known: Mapping[int, frozenset[str]]) -> Card:
    if row["is_strange"]:  # what it would be among names of which none fits, and how sure that is, says nothing
        unlike = known.get(row["model_id"], frozenset())
        return Card(row["id"], visit=row["visit_id"], camera=row["camera"], unlike=unlike)
    probability = row["probability"] if row["model_id"] is not None else None
    return Card(row["id"], row["guess"], probability, row["visit_id"], row["camera"])


def _spotter_of(store: Store, rows: Iterable[Row]) -> str:
    """Whose embeddings are compared: those of the spotter at work, else of the one that saw the latest photo."""
    status = store.requests.status()
    if status is not None and status["spotter_id"]:
        return str(status["spotter_id"])
    return next((str(row["spotter_id"]) for row in rows if row["spotter_id"]), "")


# -- what was answered a moment ago


def open_wishes(store: Store) -> list[Wish]:
    """The open wishes that name photos or take names back, oldest first."""
    found = [_wish(store, request) for request in store.requests.open()]
    return [wish for wish in found if wish is not None]


def _wish(store: Store, request: Request) -> Wish | None:
    told = request.arguments
    match request.kind:
        case "label":
            return Wish(request.id, [int(told["photo_id"])], str(told["species"]))
        case "answers":
            return Wish(request.id, [int(one) for one in told["photo_ids"]], told["species"])
        case "take-back":
            answer = store.requests.find(int(told["request_id"]))
            if answer is None:
                return None
            before = {int(one): was["label"] for one, was in answer.arguments.get("before", {}).items()}
            photo_ids = [int(one) for one in answer.arguments["photo_ids"]]
            return Wish(request.id, photo_ids, None, answer.id, before, answer.arguments["species"])
        case _:
            return None


def names_then(store: Store, wishes: Sequence[Wish], photo_ids: Sequence[int] = ()) -> dict[int, str | None]:
    """What photos are called once these wishes are fulfilled: all photos that they concern, and those given."""
    concerned = {*photo_ids, *(photo_id for wish in wishes for photo_id in wish.photo_ids)}
    return standing(store.queue.last_words(concerned), wishes)


def waiting_count(store: Store, names: Mapping[int, str | None], *, most: int) -> int:
    """How many photos wait, without those that were named a moment ago; counted no further than `most`."""
    return store.queue.waiting_count(most=most, without=[one for one, name in names.items() if name is not None])


def left_this_week(store: Store, budget: int, now: str, names: Mapping[int, str | None]) -> int | None:
    """How many more photos a person wants to look at until the week is over; None if all."""
    if not budget:
        return None
    since = as_utc_text(datetime.fromisoformat(now) - WEEK)
    under_way = sum(name is not None for name in names.values())
    return max(0, budget - store.queue.answered_since(since) - under_way)


def known_species(store: Store, names: Mapping[int, str | None]) -> list[str]:
    """All names in use, also those that were first given a moment ago."""
    return sorted({*store.queue.species(), *(name for name in names.values() if name), shelving.NO_BIRD})
