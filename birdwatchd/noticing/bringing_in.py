"""A photo that nobody knows, on a shelf: an imported label, if it is whole."""

import json
import logging
from collections import Counter
from collections.abc import Callable

from birdwatchd.core import shelfmoves, shelving
from birdwatchd.core.deciding import Reason
from birdwatchd.core.errors import Crashed, PhotoError, PhotoVanished
from birdwatchd.core.facts import about
from birdwatchd.core.journey import MAX_ATTEMPTS, Move
from birdwatchd.core.photo import Stamp
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Decided, Said, Store
from birdwatchd.examining import Examined, Examiner, content_hash
from birdwatchd.mover import Mover
from birdwatchd.noticing.agenda import RETRY_S, Agenda
from birdwatchd.noticing.left import Left
from birdwatchd.noticing.names import Names
from birdwatchd.noticing.newcomers import Newcomers
from birdwatchd.saying import FOLDER

log = logging.getLogger(__name__)

FILED_BY_NOBODY = (
    "is younger than the backup that is the log now, and nobody had named it (drop it into the inbox, to be looked at again,"
    " or move it to the species that it is)"
)


class BringingIn:
    """Brings new photos in; only for the holder of the bird folder's lock.

    Args:
        agenda: gets another look while there is no spotter.
        newcomers: get what has changed once more.
        left: gets what cannot be brought in.
        names: are told the name of each.
        now: the wall clock, ISO-8601 UTC.

    Attributes:
        examiner: None without a spotter; then new photos wait.
    """

    def __init__(
        self,
        files: Files,
        store: Store,
        agenda: Agenda,
        newcomers: Newcomers,
        left: Left,
        names: Names,
        *,
        now: Callable[[], str],
    ) -> None:
        self._files = files
        self._store = store
        self._agenda = agenda
        self._newcomers = newcomers
        self._left = left
        self._names = names
        self._now = now
        self._mover = Mover(files, store.journeys)
        self.examiner: Examiner | None = None

    def take_up(self, path: str, sha256: str) -> None:
        """Bring in what lies there, if it still has this content; else say what is wrong with it, or let it settle anew.

        Raises:
            TransientError, ModelError: not now.
        """
        stamp = self._files.shelf_stamp(path)
        if stamp is None:
            return
        if (why := shelfmoves.is_unclear(path)) is not None:
            self._left.leave(path, why)
        elif self._files.lies_unspoken(path, sha256):
            self._left.leave(path, FILED_BY_NOBODY)
        elif not self._files.may_rename_in(path.rpartition("/")[0]):
            self._left.leave(path, "lies in a folder that birdwatchd may not write to (chmod -R g+rwX that folder)")
        elif self.examiner is None:
            self._agenda.compare_in(RETRY_S)
        else:
            try:
                self._bring_in(path, sha256, stamp, self.examiner)
            except PhotoError as error:
                log.info("%s is left where it is: %s", shelving.printable(path), error.message)
                self._left.leave(path, f"is left where it is: {error}")
            except PhotoVanished:
                self._newcomers.see_again(path)

    def _bring_in(self, path: str, sha256: str, stamp: Stamp, examiner: Examiner) -> None:
        data = self._files.read(path, max_bytes=examiner.limits.max_bytes)
        examined = self._examined(path, stamp, data, examiner)
        self._files.have_on_disk(path)
        if content_hash(data) != sha256 or self._files.shelf_stamp(path) != stamp:
            raise PhotoVanished(f"{shelving.printable(path)} changed while it was looked at")
        place = shelfmoves.place_of(path)
        if place is None or place.label is None:
            raise ValueError(f"{path} names nothing")
        folder, _, name = path.rpartition("/")
        target = path
        if shelving.digits_in(path) != sha256[: shelving.HASH_DIGITS]:
            target = self._mover.free_target(
                folder, name, sha256=sha256, photo_id=0, reserved=self._store.journeys.targets()
            )
        decided = Decided(
            move=Move(0, path, target, place.state, str(Reason.IMPORTED)),
            sha256=sha256,
            size_bytes=len(data),
            width_px=examined.width_px,
            height_px=examined.height_px,
            captured_at=examined.shot.captured_at,
            camera=None,
            spotting=examined.spotting,
            decision=None,
            decided_at=self._now(),
            took_ms=examined.took_ms,
        )
        said = Said(place.label, FOLDER, self._files.owner_of(path), self._now())
        self._files.write_thumbnail(sha256, examined.thumbnail)
        photo_id = self._store.journeys.record_import(decided, said, original_name=name, received_at=self._now())
        self._names.given([place.label])
        log.info(
            "%s is new: it is %s", shelving.printable(path), place.label, extra=about(photo=photo_id, label=place.label)
        )
        if target != path:
            done = self._mover.finish([self._store.journeys.get(photo_id)])
            if done.trouble is not None:
                raise done.trouble

    def _examined(self, path: str, stamp: Stamp, data: bytes, examiner: Examiner) -> Examined:
        """A look that is counted before it begins, and forgotten when it ends: a file that kills the program is left alone then.

        Raises:
            Crashed: it did so twice.
        """
        counts = Counter(_counts_in(self._files.looked_at()))
        this = f"{path} {stamp.size_bytes} {stamp.mtime_ns}"
        if counts[this] >= MAX_ATTEMPTS:
            raise Crashed("birdwatchd stopped twice while it read this file")
        counts[this] += 1
        self._files.note_looked_at(json.dumps(counts))
        try:
            return examiner.examine(data)
        finally:
            del counts[this]
            self._files.note_looked_at(json.dumps(counts) if counts else "")


def _counts_in(words: str) -> dict[str, int]:
    try:
        return {str(file): int(count) for file, count in json.loads(words or "{}").items()}
    except (ValueError, AttributeError, TypeError):  # half of it, after a loss of power: then nobody is suspected
        return {}
