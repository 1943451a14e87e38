"""What lies where, by its content: what a person says by that is written down; what is new is brought in."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from birdwatchd.core import shelfmoves, shelving
from birdwatchd.core.errors import TransientError
from birdwatchd.core.facts import about
from birdwatchd.core.photo import State
from birdwatchd.core.shelfmoves import KEPT, Finding, Known, Lying
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Row, Store
from birdwatchd.noticing.agenda import RETRY_S, Agenda
from birdwatchd.noticing.bringing_in import BringingIn
from birdwatchd.noticing.contents import Contents
from birdwatchd.noticing.names import Names
from birdwatchd.saying import moved_by_hand

log = logging.getLogger(__name__)

BATCH = 32


class Understanding:
    """Understands what lies where; only for the holder of the bird folder's lock.

    Args:
        agenda: gets another look where the log has plans that come first.
        contents: tell what a file holds.
        names: are told each name that a person gave.
        bringing_in: gets photos that nobody knows.
        now: the wall clock, ISO-8601 UTC.
    """

    def __init__(
        self,
        files: Files,
        store: Store,
        agenda: Agenda,
        contents: Contents,
        names: Names,
        bringing_in: BringingIn,
        *,
        now: Callable[[], str],
    ) -> None:
        self._files = files
        self._store = store
        self._agenda = agenda
        self._contents = contents
        self._names = names
        self._bringing_in = bringing_in
        self._now = now

    def conclude(self, places: Mapping[str, Sequence[Lying]]) -> Iterator[None]:
        """Write down and bring in, in steps.

        Args:
            places: contents, each with the files that have it.

        Raises:
            TransientError, ModelError: not now.
        """
        contents = iter(places.items())
        while batch := list(islice(contents, BATCH)):
            new: list[tuple[str, str]] = []
            findings: list[Finding] = []
            for sha256, lying in batch:
                rows = self._store.questions.with_digits(sha256)
                if any(row["state"] == State.DECIDED or self._store.questions.is_under_way(row["id"]) for row in rows):
                    self._agenda.compare_in(RETRY_S)  # what is planned comes first
                elif (known := self._known(rows)) is None:
                    new.append((max(lying, key=lambda one: (one.changed_ns, one.path)).path, sha256))
                elif (finding := self._word_of(known, sha256, lying)) is not None:
                    findings.append(finding)
            self._write_down(findings)
            yield
            for path, sha256 in new:
                self._bringing_in.take_up(path, sha256)
                yield

    def _known(self, rows: Sequence[Row]) -> Known | None:
        """The photo that this content is; the latest of those that are gone, if none is kept."""
        kept = [row["id"] for row in rows if row["state"] in KEPT]
        gone = [row["id"] for row in rows if row["state"] == State.MISSING]
        photo = self._store.questions.photo(max(kept or gone, default=0))
        if photo is None:
            return None
        return Known(photo["id"], photo["path"], State(photo["state"]), photo["human_label"])

    def _word_of(self, known: Known, sha256: str, lying: Sequence[Lying]) -> Finding | None:
        elsewhere = [one for one in lying if one.path != known.path]
        at_logged = next((one for one in lying if one.path == known.path), None)
        if at_logged is None and (stamp := self._files.shelf_stamp(known.path)) is not None:
            try:
                is_it = self._contents.of(known.path, stamp) == sha256
            except TransientError as error:
                log.warning("it is taken for gone: %s", error, extra=about(photo=known.photo_id))
                is_it = False
            at_logged = Lying(known.path, stamp.ctime_ns) if is_it else None
        if known.state is State.MISSING and at_logged is not None:
            elsewhere.append(at_logged)
            at_logged = None
        finding = shelfmoves.word_of(known, at_logged, elsewhere)
        if finding is None or not self._files.lies_unspoken(finding.path, sha256):
            return finding
        return shelfmoves.without_a_word(known, finding)

    def _write_down(self, findings: Sequence[Finding]) -> None:
        if not findings:
            return
        at = self._now()
        self._store.journeys.record_moves_by_hand(
            moved_by_hand(one, owner=self._files.owner_of(one.path), at=at) for one in findings
        )
        self._names.given(one.label for one in findings if one.speaks and one.label is not None)
        for one in findings:
            word = "back in review" if one.label is None else f"it is {one.label}"
            log.info(
                "a person moved it to %s: %s",
                shelving.printable(one.path),
                word if one.speaks else "no new word",
                extra=about(photo=one.photo_id, state=one.state, label=one.label),
            )
