"""Photos that were judged before are judged again by the model in use, in slices between photos: what waits for a person."""

import logging
from collections.abc import Callable

import numpy as np

from birdwatchd.core import deciding, shelving
from birdwatchd.core.deciding import Rules
from birdwatchd.core.journey import Move
from birdwatchd.core.photo import WHOLE_FRAME, Spotting, Vector
from birdwatchd.core.settings import Settings
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Row, Store
from birdwatchd.edges.vision import Classifier
from birdwatchd.mover import Mover

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Photos that are judged again before others have their turn."""


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
        self._done_by: int | None = None

    def step(self, model: Classifier | None) -> bool:
        """Judge some of the photos that wait for a person; whether there were any.

        Raises:
            TransientError: not now.
            ModelError: the model gave an answer that is none.
        """
        if model is None or self._done_by == model.model_id:
            return False
        spotter_id = model.card.spotter_id
        photos = self._store.models.to_judge_again(model.model_id, spotter_id, limit=AT_ONCE)
        if not photos:
            self._done_by = model.model_id
            return False
        vectors: list[Vector] = [np.frombuffer(photo["vector"], dtype="<f4").astype(np.float32) for photo in photos]
        for photo, vector, naming in zip(photos, vectors, model.name(vectors), strict=True):
            spotting = Spotting(spotter_id, photo["birdness"], naming.ranking, WHOLE_FRAME, vector)
            decision = deciding.judge(spotting, self._rules, naming, seen_before=self._store.models.was_named)
            self._carry_out(spotter_id, photo, decision)
        return True

    def _carry_out(self, spotter_id: str, photo: Row, decision: deciding.Decision) -> None:
        folder = shelving.folder_of(decision.outcome, label=decision.label)
        move: Move | None = None
        if photo["path"].rpartition("/")[0] != folder and self._files.exists(photo["path"]):
            target = self._mover.free_target(
                folder,
                photo["path"].rpartition("/")[2],
                sha256=photo["sha256"],
                photo_id=photo["id"],
                reserved=self._store.journeys.targets(),
            )
            move = Move(photo["id"], photo["path"], target, decision.outcome, str(decision.reason))
        self._store.journeys.record_judged_again(spotter_id, decision, move, photo["id"], self._now())
        if move is None:
            return
        done = self._mover.carry_out([move], {photo["id"]: self._store.journeys.get(photo["id"])})
        if done.trouble is not None:
            raise done.trouble
        log.info("judged again: %s -> %s", photo["original_name"], shelving.printable(done.moves[0].target))
