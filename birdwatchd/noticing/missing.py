"""Photos that are nowhere, at two looks in a row. Nothing is inferred from a folder that is not there or cannot be read."""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from birdwatchd.core import shelfmoves
from birdwatchd.core.shelfmoves import KEPT, Row
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store
from birdwatchd.noticing.agenda import Agenda

log = logging.getLogger(__name__)

AGAIN_S = 2.0
"""How soon a photo that is not at its place is looked for once more: it may have been on its way just then."""


class Missing:
    """Tells the log of photos that are gone; only for the holder of the bird folder's lock.

    Args:
        agenda: gets a second look where photos were not at their places.
    """

    def __init__(self, files: Files, store: Store, agenda: Agenda) -> None:
        self._files = files
        self._store = store
        self._agenda = agenda
        self._absent: set[int] = set()
        self._shelves: dict[str, tuple[int, int]] = {}
        self._told_mass: Collection[str] = ()

    def look(
        self,
        rows: Sequence[Row],
        absent: Sequence[Row],
        shelves: Mapping[str, tuple[int, int]],
        waiting: Collection[int],
        *,
        all_seen: bool,
    ) -> Iterator[None]:
        """Write down which photos are gone, in steps.

        Args:
            rows: all photos that the log says lie on the shelves.
            absent: those of them of which nothing lay there at the look just taken.
            shelves: the shelves that are there, and which folder each of them is.
            waiting: sizes in bytes of new files on the shelves; one of them may be a photo under another name.
            all_seen: whether no folder was closed to us.
        """
        before, self._shelves = self._shelves or dict(shelves), dict(shelves)
        gone: list[Row] = []
        for row in absent:
            gone += [row] if row.size_bytes not in waiting and self._is_gone(row) else []
            yield
        on_shelf, off_shelf = Counter(map(_shelf_of, rows)), Counter(map(_shelf_of, gone))
        trusted = {
            shelf
            for shelf, identity in shelves.items()
            if before.get(shelf) == identity and not shelfmoves.is_mass(off_shelf[shelf], on_shelf[shelf])
        }
        self._tell_of_many(on_shelf, off_shelf, trusted)
        if all_seen:
            yield from self._write_down([row for row in gone if _shelf_of(row) in trusted])

    def _tell_of_many(self, on_shelf: Counter[str], off_shelf: Counter[str], trusted: Collection[str]) -> None:
        """Of shelves of which most is gone, once."""
        doubted = off_shelf.keys() - trusted
        for shelf in sorted(doubted - set(self._told_mass)):
            log.warning(
                "%d of %d photos in %s/ are not there; nothing is inferred from that (is the disk mounted?)",
                off_shelf[shelf],
                on_shelf[shelf],
                shelf,
            )
        self._told_mass = doubted

    def _write_down(self, gone: Sequence[Row]) -> Iterator[None]:
        """Those that were gone at the look before as well; the others are looked for once more."""
        missing: list[Row] = []
        for row in gone:
            if row.photo_id in self._absent and self._files.find_content(row.sha256) is None:
                missing.append(row)
            yield
        still = [row.photo_id for row in missing if self._is_gone(row)]
        if still:
            self._store.journeys.record_missing(still)
            log.info("%d photos are not in the bird folder any more", len(still))
        self._absent = {row.photo_id for row in gone} - set(still)
        if self._absent:
            self._agenda.compare_in(AGAIN_S)

    def _is_gone(self, row: Row) -> bool:
        """Whether the log still says that it lies there, and it does not: both may have changed while others had their turn."""
        if self._files.exists(row.path) or self._store.questions.is_under_way(row.photo_id):
            return False
        now = self._store.questions.photo(row.photo_id)
        return now is not None and now["path"] == row.path and now["state"] in KEPT


def _shelf_of(row: Row) -> str:
    return row.path.partition("/")[0]
