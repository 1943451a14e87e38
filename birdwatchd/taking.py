"""Photos are taken: what has settled in the inbox begins its journey, what was cut short ends it, and it is told how each ended."""

import logging
from collections.abc import Callable

from birdwatchd.arrivals import Arrivals
from birdwatchd.condition import Condition
from birdwatchd.core import shelving
from birdwatchd.core.errors import ModelError
from birdwatchd.core.facts import about
from birdwatchd.eye import Eye
from birdwatchd.pipeline import BATCH_PHOTOS, Pipeline, Round

log = logging.getLogger(__name__)


class Taking:
    """Takes batches from the inbox; only for the holder of the bird folder's lock.

    Args:
        clock: seconds, monotonic.
        now: the wall clock, ISO-8601 UTC.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        arrivals: Arrivals,
        eye: Eye,
        condition: Condition,
        *,
        clock: Callable[[], float],
        now: Callable[[], str],
    ) -> None:
        self._pipeline = pipeline
        self._arrivals = arrivals
        self._eye = eye
        self._condition = condition
        self._clock = clock
        self._now = now
        self._hindered: set[str] = set()

    def can(self) -> bool:
        """Whether a photo could be taken at all now."""
        return self._eye.examiner is not None and not self._condition.is_hindered

    def take(self) -> bool:
        """Take one batch of what has settled; False when nothing has, or there is no room for it."""
        if not self._arrivals.has_disk_room():
            return False
        begun = self._clock()
        settled = self._arrivals.settled(BATCH_PHOTOS)
        if settled:
            with self._condition.survives("disk"):
                self._hindered.update(path for path, _ in settled)
                try:
                    done = self._pipeline.take(settled)
                finally:
                    for path, _ in settled:
                        self._arrivals.see_anew(path)
                for path, why in done.refused.items():
                    self._arrivals.refuse(path, why)
                self._report(done, begun)
                self._hindered.clear()
        return bool(settled)

    def resume(self, *, alive: Callable[[], None], stopping: Callable[[], bool]) -> None:
        """End what was cut short.

        Args:
            alive, stopping: see `Pipeline.resume`.

        Raises:
            TransientError, ModelError: not all of it can be ended now.
        """
        begun = self._clock()
        self._report(self._pipeline.resume(alive=alive, stopping=stopping), begun)

    def look_after_the_disk(self) -> None:
        """To be called after a look at the inbox: what the disk kept from being taken has been ended by `resume`, or is gone."""
        self._hindered = {path for path in self._hindered if path in self._arrivals}
        if not self._hindered and not self._pipeline.has_unfinished():
            self._condition.fine("disk")

    def _report(self, done: Round, begun: float) -> None:
        """Say what was done; then, if something hindered it, raise that."""
        self._condition.tally.add(done.outcomes, begun, self._clock(), self._now())
        for one in done.outcomes:
            log.info(
                "%s -> %s: %s",
                one.original_name,
                shelving.printable(one.path),
                one.what or "finished what was cut short",
                extra=about(
                    photo=one.photo_id,
                    state=one.state,
                    reason=one.reason,
                    label=one.label,
                    p=one.probability,
                    birdness=one.birdness,
                    birds=one.birds if one.birds and one.birds > 1 else None,
                    ms=None if one.took_ms is None else round(one.took_ms),
                ),
            )
        if isinstance(done.trouble, ModelError):
            self._eye.close()
        if done.trouble is not None:
            raise done.trouble
