"""Photos that were judged before are judged again by the model in use, in slices between others: by themselves those that wait for a
person, on request all that the machine has put somewhere. What a person said, took back or changed is left alone.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from birdwatchd.core import deciding, shelving
from birdwatchd.core.deciding import Decision, Rules
from birdwatchd.core.errors import PhotoError, PhotoVanished, Refused
from birdwatchd.core.facts import about
from birdwatchd.core.naming import Naming
from birdwatchd.core.photo import WHOLE_FRAME, Box, Spotting, State, Vector
from birdwatchd.core.settings import Settings
from birdwatchd.edges.files import BadSpot, Files, OutOfReach
from birdwatchd.edges.store import Row, Store
from birdwatchd.edges.vision import Classifier
from birdwatchd.examining import Examiner
from birdwatchd.mover import Mover

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Photos that are judged again before others have their turn."""

AT_ONCE_BY_SIGHT = 4
"""The same for a model that has to look at them again."""

WAITING = (State.REVIEW,)
ALL = (State.FILED, State.REVIEW, State.EMPTY)

Work = Generator[dict[str, Any], None, dict[str, Any]]


@dataclass(slots=True)
class _Count:
    """How a refiling stands. `moves` and `changes` are what was done, or would be done."""

    total: int
    judged: int = 0
    left: int = 0
    moves: list[dict[str, Any]] = field(default_factory=list)
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def progress(self) -> dict[str, Any]:
        return {"done": self.judged + self.left, "total": self.total}

    def add(self, photo: Row, folder: str) -> None:
        """A photo that goes, or would go, to this folder."""
        self.moves.append({"photo_id": photo["id"], "from": photo["path"], "to": folder})
        old, new = photo["path"].split("/")[:2], folder.split("/")
        both_wait = old[0] == new[0] == shelving.REVIEW
        self.changes[_in_words(old, both_wait=both_wait), _in_words(new, both_wait=both_wait)] += 1


def _in_words(place: Sequence[str], *, both_wait: bool) -> str:
    """`crow`, `empty` or `review`; the guess only where nothing but the guess is another."""
    if both_wait:
        return "/".join(place)
    return place[1] if place[0] == shelving.LIBRARY else place[0]


def _vector(photo: Row) -> Vector:
    return np.frombuffer(photo["vector"], dtype="<f4").astype(np.float32)


def _box(photo: Row) -> Box:
    return Box(*json.loads(photo["box"])) if photo["box"] else WHOLE_FRAME


class Rejudging:
    """Only for the holder of the bird folder's lock.

    Args:
        now: the wall clock, ISO-8601 UTC.
    """

    def __init__(self, files: Files, store: Store, settings: Settings, *, now: Callable[[], str]) -> None:
        self._files = files
        self._store = store
        self._rules = Rules(settings.spotter.empty_below, settings.deciding.confirm_first)
        self._now = now
        self._mover = Mover(files, store.journeys)
        self._judge_id: int | None = None
        self._after = 0
        self._is_done = False

    # -- what waits, by itself

    def step(self, model: Classifier | None, examiner: Examiner | None) -> bool:
        """Judge some of the photos that wait for a person; whether there were any.

        Args:
            examiner: reads photos again for a model that looks at them itself.
        Raises:
            TransientError: not now.
            ModelError: the model gave an answer that is none.
        """
        if model is None or examiner is None:
            return False
        if self._judge_id != model.model_id:
            self._judge_id, self._after, self._is_done = model.model_id, 0, False
        if self._is_done:
            return False
        photos = self._photos(model, WAITING, self._after)
        for photo, decision in self._decisions(model, examiner, photos, self._store.models.was_named):
            if decision is not None:
                self._carry_out(model, photo, decision)
            self._after = photo["id"]
        self._is_done = not photos
        return bool(photos)

    def begin_anew(self) -> None:
        """Those that wait may have been seen by the present spotter only now."""
        self._judge_id = None

    # -- all, on request

    def refile(self, model: Callable[[], Classifier | None], examiner: Examiner | None, *, dry_run: bool) -> Work:
        """Judge all photos again that the machine put somewhere by another model's word, and move those that it sees otherwise.

        Those that the present spotter has not seen yet are left, and counted as left.

        Args:
            model: the one in use at this moment.
            examiner: reads photos again for a model that looks at them itself.
            dry_run: only say what would move.

        Raises:
            Refused: no model names birds, or another one began to do so meanwhile.
            TransientError: not now; begun again, it goes on where it was.
        """
        judge = model()
        if judge is None or examiner is None:
            raise Refused("no model names birds yet", hint="name some photos, then it is made by itself")
        count = _Count(self._store.models.count_judged_by_others(judge.model_id, judge.card.spotter_id, ALL))
        named: set[str] = set()

        def seen_before(label: str) -> bool:
            return label in named or self._store.models.was_named(label)

        after = 0
        yield count.progress
        while photos := self._photos(judge, ALL, after):
            for photo, decision in self._decisions(judge, examiner, photos, seen_before):
                after = photo["id"]
                if decision is None:
                    count.left += 1
                    continue
                if decision.label is not None and decision.reason in deciding.NAMED:
                    named.add(decision.label)
                self._refile_one(judge, photo, decision, count, dry_run=dry_run)
            yield count.progress
            if model() is not judge:
                raise Refused("another model began to name birds meanwhile", hint="ask again to go on with that one")
        return {
            "dry_run": dry_run,
            "model_id": judge.model_id,
            "judged": count.judged,
            "left": count.left + self._store.models.count_unseen(judge.model_id, judge.card.spotter_id, ALL),
            "moves": count.moves,
            "changes": [
                {"from": old, "to": new, "photos": photos} for (old, new), photos in count.changes.most_common()
            ],
        }

    def _refile_one(self, model: Classifier, photo: Row, decision: Decision, count: _Count, *, dry_run: bool) -> None:
        if not self._is_as_it_was(photo, decision):
            count.left += 1
            return
        to = _folder_if_elsewhere(photo, decision) if dry_run else self._carry_out(model, photo, decision)
        count.judged += 1
        if to is not None:
            count.add(photo, to)

    def _is_as_it_was(self, photo: Row, decision: Decision) -> bool:
        """Whether it lies where the log says; if it is to be moved, also whether it is still that photo."""
        if not self._files.exists(photo["path"]):
            return False
        return _folder_if_elsewhere(photo, decision) is None or self._files.sha256_of(photo["path"]) == photo["sha256"]

    # -- both

    def _photos(self, model: Classifier, states: Sequence[State], after: int) -> list[Row]:
        at_once = AT_ONCE if model.card.pixels is None else AT_ONCE_BY_SIGHT
        return self._store.models.judged_by_others(
            model.model_id, model.card.spotter_id, states, after=after, limit=at_once
        )

    def _decisions(
        self, model: Classifier, examiner: Examiner, photos: Sequence[Row], seen_before: Callable[[str], bool]
    ) -> "Generator[tuple[Row, Decision | None]]":
        """One after the other, because what is decided of one tells whether the next is the first of its kind.

        None of a photo that cannot be read again, which stays where it is.
        """
        for photo, naming in zip(photos, self._namings(model, examiner, photos), strict=True):
            if naming is None:
                yield photo, None
                continue
            spotting = Spotting(model.card.spotter_id, photo["birdness"], naming.ranking, _box(photo), _vector(photo))
            yield photo, deciding.judge(spotting, self._rules, naming, seen_before=seen_before)

    def _namings(self, model: Classifier, examiner: Examiner, photos: Sequence[Row]) -> Iterable[Naming | None]:
        if model.card.pixels is None:
            return model.name([_vector(photo) for photo in photos])
        return (self._named_by_sight(model, examiner, photo) for photo in photos)

    def _named_by_sight(self, model: Classifier, examiner: Examiner, photo: Row) -> Naming | None:
        try:
            data = self._files.read(photo["path"], max_bytes=examiner.limits.max_bytes)
            return examiner.name_again(data, _vector(photo), _box(photo), model)
        except (PhotoError, PhotoVanished, BadSpot, OutOfReach) as error:
            log.warning("not judged again: %s: %s", photo["original_name"], error.message)
            return None

    def _carry_out(self, model: Classifier, photo: Row, decision: Decision) -> str | None:
        """Write the new word down, and move the photo if it belongs elsewhere; to which folder, None if it stays."""
        spotter_id, photo_id = model.card.spotter_id, photo["id"]
        folder = _folder_if_elsewhere(photo, decision)
        if folder is None or not self._files.exists(photo["path"]):
            self._store.journeys.record_judged_again(spotter_id, decision, None, photo_id, self._now())
            return None
        path = self._mover.send(
            photo,
            folder,
            decision.outcome,
            str(decision.reason),
            plan=lambda move: self._store.journeys.record_judged_again(
                spotter_id, decision, move, photo_id, self._now()
            ),
        )
        log.info(
            "judged again: %s -> %s",
            photo["original_name"],
            shelving.printable(path),
            extra=about(photo=photo_id, state=decision.outcome, label=decision.label, p=decision.probability),
        )
        return folder


def _folder_if_elsewhere(photo: Row, decision: Decision) -> str | None:
    """Where it belongs, if it lies neither there nor in a folder that a person made in there."""
    folder = shelving.folder_of(decision.outcome, label=decision.label)
    return None if photo["path"].startswith(f"{folder}/") else folder
