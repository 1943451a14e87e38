"""Pieces of the timetable, each done when its hour has come; what hinders one is told and hinders no other."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from birdwatchd.condition import Condition
from birdwatchd.edges.clock import as_utc_text
from birdwatchd.edges.store import Store
from birdwatchd.keeping import Keeper
from birdwatchd.learning import Learning
from birdwatchd.noticing import Noticing

log = logging.getLogger(__name__)

WAL_ALERT_BYTES = 64 << 20

AUDITED_WITHIN = timedelta(days=2)
"""Photos named earlier were chosen from when they were young, or while no daemon ran."""


class Chores:
    """Does chores by their names; only for the holder of the bird folder's lock.

    Args:
        audit_one_in: of so many photos that the machine is sure of, one is put up for a look; 0: none.
        now: the wall clock, ISO-8601 UTC.
    """

    def __init__(
        self,
        store: Store,
        keeper: Keeper,
        noticing: Noticing,
        learning: Learning,
        condition: Condition,
        *,
        audit_one_in: int,
        now: Callable[[], str],
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._noticing = noticing
        self._learning = learning
        self._condition = condition
        self._audit_one_in = audit_one_in
        self._now = now

    def do(self, name: str) -> None:
        """Do this one.

        Raises:
            ValueError: there is no such chore.
        """
        match name:
            case "checkpoint":
                with self._condition.survives("log"):
                    self._store.connection.checkpoint()
            case "expire-quarantine":
                with self._condition.survives("quarantine"):
                    self._keeper.expire_quarantine()
            case "backup":
                with self._condition.survives("backup"):
                    self._keeper.back_up()
            case "compare":
                self._noticing.compare()
            case "tidy":
                with self._condition.survives("log"):
                    self._keeper.tidy()
            case "tidy-models":
                self._learning.tidy()
            case "audit":
                with self._condition.survives("log"):
                    self._put_up()
            case "fine-tune":
                self._learning.fine_tune()
            case "reconsider":
                self._learning.reconsider()
            case other:
                raise ValueError(f"no such chore: {other}")

    def cut_log_short(self) -> None:
        """Between the hourly times only when it has grown out of all proportion: somebody reads without an end.

        Raises:
            TransientError: not now.
        """
        log_ahead = self._store.connection
        if log_ahead.wal_bytes() <= WAL_ALERT_BYTES or log_ahead.checkpoint():
            self._condition.fine("reader")
            return
        self._condition.trouble(
            "reader",
            f"the log cannot be tidied ({log_ahead.wal_bytes() / 1e6:,.0f} MB wait beside it), because another program keeps"
            " reading it (close programs that have birdwatchd.db open)",
        )

    def _put_up(self) -> None:
        """Some of the photos that the machine is sure of are put up for a look all the same."""
        one_in, at = self._audit_one_in, self._now()
        since = as_utc_text(datetime.fromisoformat(at) - AUDITED_WITHIN)
        if one_in and (count := self._store.audits.put_up(one_in=one_in, since=since, at=at)):
            log.info("%d photos are put up for a look, see `birdwatchd audit`", count)
