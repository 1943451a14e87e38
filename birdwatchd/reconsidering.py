"""A model that took over by itself is watched: when people's answers prove it worse than the one before, that one serves again.

What a person promoted is left alone. A look is taken in slices between photos, because the model before may have to see some again.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from birdwatchd.core import evidence
from birdwatchd.core.errors import ModelError, PhotoError, PhotoVanished
from birdwatchd.core.evidence import Evidence, Outcome, Waiting
from birdwatchd.core.photo import WHOLE_FRAME, Box, Vector
from birdwatchd.core.splits import Labelled, visits
from birdwatchd.edges.clock import as_utc_text
from birdwatchd.edges.files import BadSpot, Files, OutOfReach
from birdwatchd.edges.store import Row, Store
from birdwatchd.edges.vision import Classifier
from birdwatchd.examining import Examiner
from birdwatchd.serving import Serving

log = logging.getLogger(__name__)

PEOPLE_NEED = timedelta(days=1)
"""Younger photos tell nothing yet: people have not had the time to mend them. Nor do those that were mended at once, or what is mended
and what is left would not be of the same photos."""

MOST_PHOTOS = 500
"""The latest that tell something."""

AT_ONCE = 64
"""Photos that the model before names before others have their turn."""

AT_ONCE_BY_SIGHT = 4
"""The same for a model that has to look at them."""

TOLD_FOR = timedelta(days=2)
"""How long it stands in `status` that a model was taken back; `models list` tells it for ever."""


@dataclass(slots=True)
class _Look:
    """One look at the model in use, on its way."""

    model_id: int
    before: Classifier
    photos: list[Row]
    done: int = 0
    vectors: dict[int, Vector] = field(default_factory=dict)
    guesses: dict[int, str] = field(default_factory=dict)


class Reconsidering:
    """Only for the holder of the bird folder's lock.

    Args:
        serving: goes back to the model before.
        now: the wall clock, ISO-8601 UTC.
    """

    def __init__(self, files: Files, store: Store, serving: Serving, *, now: Callable[[], str]) -> None:
        self._files = files
        self._store = store
        self._serving = serving
        self._now = now
        self._look: _Look | None = None

    def begin(self) -> None:
        """Begin a look at the model in use, if there are answers enough that speak against it."""
        self._look = None
        watched = self._watched()
        if watched is None or self._serving.model is None:
            return
        row, before = watched
        photos = self._store.answers.outcomes(
            row["id"], since=row["promoted_at"], until=self._ago(PEOPLE_NEED), limit=MOST_PHOTOS
        )
        if sum(one["answer"] not in (None, one["guess"]) for one in photos) < evidence.FEWEST_AGAINST:
            return
        try:
            self._look = _Look(row["id"], self._serving.load(before), photos)
        except ModelError as error:
            log.warning("model %d cannot be compared with the one before: %s", row["id"], error)

    def step(self, examiner: Examiner | None) -> bool:
        """Go on with a look; whether there was anything to do.

        Args:
            examiner: reads photos again for a model that looks at them itself.
        Raises:
            TransientError: not now.
        """
        look = self._look
        if look is None or examiner is None:
            return False
        try:
            if look.done < len(look.photos):
                self._ask_the_one_before(look, examiner)
                return True
        except ModelError as error:
            log.warning("model %d cannot be compared with the one before: %s", look.model_id, error)
        else:
            self._conclude(look)
        self._look = None
        return True

    def _ask_the_one_before(self, look: _Look, examiner: Examiner) -> None:
        by_sight = look.before.card.pixels is not None
        photos = look.photos[look.done : look.done + (AT_ONCE_BY_SIGHT if by_sight else AT_ONCE)]
        stored = self._store.answers.embeddings([one["id"] for one in photos], look.before.card.spotter_id)
        vectors = {photo_id: _vector(stored[photo_id]) for photo_id in sorted(stored)}
        if by_sight:
            for photo in photos:
                if (vector := vectors.get(photo["id"])) is not None:
                    self._ask_by_sight(look, examiner, photo, vector)
        else:
            namings = look.before.name(list(vectors.values()))
            look.guesses |= {one: naming.ranking[0][0] for one, naming in zip(vectors, namings, strict=True)}
        look.vectors |= vectors
        look.done += len(photos)

    def _ask_by_sight(self, look: _Look, examiner: Examiner, photo: Row, vector: Vector) -> None:
        box = Box(*json.loads(photo["box"])) if photo["box"] else WHOLE_FRAME
        try:
            data = self._files.read(photo["path"], max_bytes=examiner.limits.max_bytes)
            naming = examiner.name_again(data, vector, box, look.before)
        except (PhotoError, PhotoVanished, BadSpot, OutOfReach) as error:
            log.info("not compared: %s: %s", photo["original_name"], error.message)
        else:
            look.guesses[photo["id"]] = naming.ranking[0][0]

    def _conclude(self, look: _Look) -> None:
        watched = self._watched()
        if watched is None or (watched[0]["id"], watched[1]["id"]) != (look.model_id, look.before.model_id):
            return  # a person, or a training, was quicker
        found = evidence.weigh(_outcomes(look))
        why = _in_words(found, look)
        if not found.is_worse:
            log.info("%s Model %d stays.", why, look.model_id)
            return
        self._serving.take_back(look.before, why)
        log.warning("%s", _taken_back(look.model_id, why, look.before.model_id))

    # -- what is told

    def taken_back(self) -> str | None:
        """That the model in use serves again because the one after it was taken back; None if that is not so, or is long past."""
        row, last = self._store.models.serving(), self._store.models.last_taken_back()
        if row is None or last is None or last["at"] != row["promoted_at"] or last["at"] < self._ago(TOLD_FOR):
            return None
        return _taken_back(last["model_id"], last["why"], row["id"])

    def warning(self) -> str | None:
        """That clearly more photos wait for a person since the model took over; nothing is done about it."""
        watched = self._watched()
        if watched is None:
            return None
        row, before = watched
        asked, at = self._store.answers.waiting, row["promoted_at"]
        since = Waiting(*asked(row["id"], since=at, until=self._now(), limit=MOST_PHOTOS))
        then = Waiting(*asked(before["id"], since=before["promoted_at"], until=at, limit=MOST_PHOTOS))
        if not evidence.much_more_waits(then, since):
            return None
        return (
            f"since model {row['id']} names birds, {since.waiting} of {since.photos} photos wait for you,"
            f" before it were {then.waiting} of {then.photos} (`birdwatchd models rollback` goes back to model {before['id']})"
        )

    # -- what they share

    def _watched(self) -> tuple[Row, Row] | None:
        """The model in use and the one that it replaced; None if there is no other, or none to go back to, or a person promoted it."""
        row, before = self._store.models.serving(), self._store.models.before()
        if row is None or before is None or row["created_at"] != row["promoted_at"]:
            return None
        if before["retired_at"] != row["promoted_at"] or self._serving.is_of_another_spotter(before):
            return None
        return row, before

    def _ago(self, time: timedelta) -> str:
        return as_utc_text(datetime.fromisoformat(self._now()) - time)


def _vector(stored: bytes) -> Vector:
    return np.frombuffer(stored, dtype="<f4").astype(np.float32)


def _outcomes(look: _Look) -> list[Outcome]:
    photos = [one for one in look.photos if one["id"] in look.guesses]
    if not photos:
        return []
    known = [Labelled(one["id"], one["sha256"], one["guess"], one["camera"], one["captured_at"]) for one in photos]
    numbers = visits(known, np.stack([look.vectors[one["id"]] for one in photos]))
    return [
        Outcome(number, one["guess"], look.guesses[one["id"]], one["answer"])
        for number, one in zip(numbers, photos, strict=True)
    ]


def _in_words(found: Evidence, look: _Look) -> str:
    visits_told = found.against + found.in_favour
    return (
        f"On {visits_told} {'visit' if visits_told == 1 else 'visits'} the two models differ and you have named or left the photos:"
        f" model {look.before.model_id} is right on {found.against}, model {look.model_id} on {found.in_favour}."
    )


def _taken_back(model_id: int, why: str, now_serving: int) -> str:
    return (
        f"model {model_id} was taken back, and model {now_serving} names birds again. {why} Photos that it filed stay where they are"
        " (`birdwatchd refile --dry-run` says which would move)."
    )
