"""The folder is the label editor: what a person says by moving photos is noticed here and written down.

Everything is derived from two things, the log and what lies on the shelves, so it can be derived again: whoever dies half-way finds the
same at the next look. What the daemon moved itself is in the log already and says nothing. Events only say where to look; a comparison
of everything, at the start and now and then, is what correctness rests on. It works in slices, so that no photo in the inbox waits.

A photo is known by its content. A file whose content the log does not know is a new photo: it must have settled and be proved whole.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from birdwatchd.core import shelfmoves, shelving
from birdwatchd.core.deciding import Reason
from birdwatchd.core.errors import Crashed, ModelError, PhotoError, PhotoVanished, TransientError
from birdwatchd.core.facts import about
from birdwatchd.core.intake import is_ignored, is_ignored_path
from birdwatchd.core.journey import MAX_ATTEMPTS, Move
from birdwatchd.core.photo import Stamp, State
from birdwatchd.core.settling import Settling
from birdwatchd.core.shelfmoves import Finding, Known, Lying, Row
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Decided, Said, Store
from birdwatchd.edges.store import Row as LogRow
from birdwatchd.examining import Examined, Examiner, content_hash
from birdwatchd.mover import Mover
from birdwatchd.saying import FOLDER, moved_by_hand

log = logging.getLogger(__name__)

SLICE_S = 0.2
"""How long a look may work before photos and the watchdog have their turn."""

QUIET_S = 0.3
"""So long after an event more of them are waited for: a folder is moved in one go, but heard of photo by photo."""

AGAIN_S = 2.0
"""How soon a photo that is not at its place is looked for once more: it may have been on its way just then."""

RETRY_S = 60.0
REST_FACTOR = 10
"""However much is heard, a comparison of everything takes at most a tenth of the time."""

BATCH = 32
PAGE = 2000

UNKNOWN_THERE = "cannot be looked into (give it a name that is plain text, and the right to read: chmod g+rX)"

_KEPT = (State.FILED, State.REVIEW, State.EMPTY)


class Noticing:
    """Notices what people do on the shelves of one bird folder; only for the holder of its lock.

    Args:
        settle_s, unfinished_s: how long a new photo must have stood still, and one without its end; see `Settling`.
        clock: seconds, monotonic.
        now: the wall clock, ISO-8601 UTC.

    Attributes:
        examiner: None without a spotter; then new photos wait.
    """

    def __init__(
        self,
        files: Files,
        store: Store,
        *,
        settle_s: float,
        unfinished_s: float,
        clock: Callable[[], float],
        now: Callable[[], str],
    ) -> None:
        self._files = files
        self._store = store
        self._mover = Mover(files, store.journeys)
        self.examiner: Examiner | None = None
        self._clock = clock
        self._now = now
        self._settling = Settling(quiet_s=settle_s, unfinished_s=unfinished_s)
        self._seen: dict[str, Stamp] = {}
        self._hashed: dict[str, tuple[Stamp, str]] = {}
        self._left: dict[str, tuple[Stamp, str]] = {}
        self._closed: list[str] = []
        self._absent: set[int] = set()
        self._shelves: dict[str, tuple[int, int]] = {}
        self._told_mass: set[str] = set()
        self._hinted: dict[str, None] = {}
        self._hinted_due = 0.0
        self._look_at: float | None = clock()
        self._rest_until = clock()
        self._work: Iterator[None] | None = None
        self._counts: Counter[str] = Counter()
        self._doubtful: dict[str, str] | None = None

    # -- when

    def hint(self, path: str | None) -> None:
        """Something may have happened at this path, relative to the bird folder; None: anywhere."""
        if path is None:
            self._look_by(self._clock() + QUIET_S)
        elif not is_ignored_path(path):
            if not self._hinted:
                self._hinted_due = self._clock() + QUIET_S
            self._hinted[path] = None

    def compare(self) -> None:
        """Compare everything soon, whatever was heard."""
        self._look_by(self._clock())

    def _look_by(self, at: float) -> None:
        at = max(at, self._rest_until)
        self._look_at = at if self._look_at is None else min(self._look_at, at)

    def next_step(self) -> float | None:
        """When there will be something to do; None when nothing is foreseen."""
        if self._work is not None:
            return self._clock()
        hinted = self._hinted_due if self._hinted else None
        return min((at for at in (hinted, self._look_at, self._settling.next_look()) if at is not None), default=None)

    def step(self) -> bool:
        """Work for one slice; False when there is nothing to do.

        Raises:
            TransientError, ModelError: not now; everything is looked at again later.
        """
        work = self._work or self._next_work()
        if work is None:
            return False
        self._work = None  # whatever happens now ends it, but for the last line
        until = self._clock() + SLICE_S
        try:
            next(work)
            while self._clock() < until:
                next(work)
        except StopIteration:
            return True
        except (TransientError, ModelError):
            self._look_by(self._clock() + RETRY_S)
            raise
        self._work = work
        return True

    def finish(self) -> None:
        """Do all that is due now, in one go."""
        while (at := self.next_step()) is not None and at <= self._clock() and self.step():
            pass

    def _next_work(self) -> Iterator[None] | None:
        now = self._clock()
        if self._look_at is not None and self._look_at <= now:
            return self._compare_all()
        if self._hinted and self._hinted_due <= now:
            return self._look_where_hinted()
        if (at := self._settling.next_look()) is not None and at <= now:
            return self._take_settled()
        return None

    def waits(self) -> bool:
        """Whether new files on the shelves have yet to settle."""
        return len(self._settling) > 0

    # -- what is said

    def left(self) -> str | None:
        """Files that are left lying where they are, with why; None when there are none."""
        while self._left and self._files.shelf_stamp(first := min(self._left)) is None:
            del self._left[first]  # set right by a person
        left = {path: why for path, (_, why) in self._left.items()}
        left |= dict.fromkeys(self._closed, UNKNOWN_THERE)
        if not left:
            return None
        first = min(left)
        others = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        return f"{shelving.printable(first)}{others} {left[first]}"

    def doubtful(self) -> str | None:
        """Names of species that look like slips; None when there are none."""
        if self._doubtful is None:
            self._doubtful = shelfmoves.doubtful_names(self._counts)
        if not self._doubtful:
            return None
        name = min(self._doubtful)
        others = f", and {len(self._doubtful) - 1} more names like that" if len(self._doubtful) > 1 else ""
        return (
            f"the name {shelving.printable(name)} looks like {shelving.printable(self._doubtful[name])}{others}"
            f" (if it is a slip, move its photos; else it counts from {shelfmoves.STRONG_FROM} photos on)"
        )

    # -- where

    def _compare_all(self) -> Iterator[None]:
        begun, self._look_at = self._clock(), None
        shelves = self._files.shelves_there()
        there: dict[str, Stamp] = {}
        closed: list[str] = []
        for one in self._files.shelf_files(is_ignored, on_closed=closed.append):
            if one is None:
                yield
            else:
                there[one[0]] = one[1]
        self._files.check_still_there()
        rows: list[Row] = []  # read after the listing, so that what we moved ourselves meanwhile is known
        while page := self._store.questions.kept_on_shelves(after=rows[-1].photo_id if rows else 0, limit=PAGE):
            rows += [Row(row["id"], row["path"], State(row["state"]), row["sha256"], row["bytes"]) for row in page]
            yield
        unknown, absent = shelfmoves.differences(rows, there, self._seen)
        self._closed = closed
        if closed:
            self._look_by(self._clock() + RETRY_S)  # a disk that stumbled is well again soon
        self._hashed = {path: known for path, known in self._hashed.items() if path in there}
        self._left = {path: known for path, known in self._left.items() if path in there}
        yield from self._understand({path: there[path] for path in unknown})
        yield from self._tell_missing(rows, absent, shelves)
        self._seen = there
        yield from self._count_names()
        self._rest_until = self._clock() + REST_FACTOR * (self._clock() - begun)

    def _count_names(self) -> Iterator[None]:
        counts: Counter[str] = Counter()
        newest = 0
        while page := self._store.questions.labels_given(after=newest, limit=PAGE):
            counts.update(row["label"] for row in page)
            newest = page[-1]["id"]
            yield
        self._counts, self._doubtful = counts, None

    def _look_where_hinted(self) -> Iterator[None]:
        paths, self._hinted = list(self._hinted), {}
        unknown: dict[str, Stamp] = {}
        for path in paths:
            stamp = self._files.shelf_stamp(path)
            if stamp is not None and not self._is_logged(path):
                unknown[path] = stamp
            yield
        yield from self._understand(unknown)

    def _is_logged(self, path: str) -> bool:
        """Whether the log says that this photo lies there; asked of each photo that we moved ourselves, so by its digits."""
        digits = shelving.digits_in(path)
        rows = self._store.questions.with_digits(digits) if digits else []
        return any(row["path"] == path and row["state"] in _KEPT for row in rows)

    def _take_settled(self) -> Iterator[None]:
        """New files, and those that a person renamed, once they have stood still."""
        for path in self._settling.due(self._clock(), BATCH):
            stamp, sha256 = self._settled(path)
            if stamp is not None and sha256 is not None:
                yield from self._conclude({sha256: [Lying(path, stamp.ctime_ns)]})
            yield

    def _settled(self, path: str) -> tuple[Stamp | None, str | None]:
        """Stamp and content of a file that has stood still for long enough; None for any other."""
        try:
            look = self._files.look_on_shelf(path)
            if look is None:
                self._leave(path, "may not be read (give birdwatchd's user or group the right: chmod g+r)")
            if not self._settling.weigh(path, look, self._clock()) or look is None:
                return None, None
            self._settling.forget(path)
            self._left.pop(path, None)
            return look.stamp, self._hash(path, look.stamp)
        except PhotoVanished:
            self._settling.forget(path)
            self._watch_again(path)
        except TransientError as error:  # its own trouble: others can be read
            self._settling.forget(path)
            self._leave(path, str(error))
        return None, None

    # -- what

    def _understand(self, unknown: Mapping[str, Stamp]) -> Iterator[None]:
        """Files at places that the log does not know: photos that were moved, and new ones."""
        places: dict[str, list[Lying]] = {}
        for path, stamp in unknown.items():
            yield
            if path in self._left and self._left[path][0] == stamp:
                continue
            self._left.pop(path, None)
            try:
                sha256 = self._quickly(path, stamp)
            except PhotoVanished:
                continue  # it is moved on; where it comes to lie is looked at next
            except TransientError as error:
                self._leave(path, str(error))
                continue
            if sha256 is None:
                self._settling.see(path, stamp, self._clock())
            else:
                places.setdefault(sha256, []).append(Lying(path, stamp.ctime_ns))
        yield from self._conclude(places)

    def _quickly(self, path: str, stamp: Stamp) -> str | None:
        """The content of a photo that its name and size show to be one of ours; None for any other, which must settle first."""
        hashed = self._hashed.get(path)
        if hashed is not None and hashed[0] == stamp:
            return hashed[1]
        digits = shelving.digits_in(path)
        alike = self._store.questions.with_digits(digits) if digits else []
        if not any(row["bytes"] == stamp.size_bytes for row in alike):
            return None
        sha256 = self._hash(path, stamp)
        return sha256 if any(row["sha256"] == sha256 for row in alike) else None

    def _hash(self, path: str, stamp: Stamp) -> str:
        """Raises PhotoVanished if it is written to meanwhile."""
        sha256 = self._files.sha256_of(path)
        if self._files.shelf_stamp(path) != stamp:
            raise PhotoVanished(f"{shelving.printable(path)} changed while it was read")
        self._hashed[path] = (stamp, sha256)
        return sha256

    def _conclude(self, places: Mapping[str, Sequence[Lying]]) -> Iterator[None]:
        contents = iter(places.items())
        while batch := list(islice(contents, BATCH)):
            new: list[tuple[str, str]] = []
            findings: list[Finding] = []
            for sha256, lying in batch:
                rows = self._store.questions.with_digits(sha256)
                if any(row["state"] == State.DECIDED or self._store.questions.is_under_way(row["id"]) for row in rows):
                    self._look_by(self._clock() + RETRY_S)  # what is planned comes first
                elif (known := self._known(rows)) is None:
                    new.append((max(lying, key=lambda one: (one.changed_ns, one.path)).path, sha256))
                elif (finding := self._word_of(known, sha256, lying)) is not None:
                    findings.append(finding)
            self._write_down(findings)
            yield
            for path, sha256 in new:
                self._take_up(path, sha256)
                yield

    def _known(self, rows: Sequence[LogRow]) -> Known | None:
        """The photo that this content is; the latest of those that are gone, if none is kept."""
        kept = [row["id"] for row in rows if row["state"] in _KEPT]
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
                is_it = self._hashed_as(known.path, stamp) == sha256
            except TransientError as error:
                log.warning("it is taken for gone: %s", error, extra=about(photo=known.photo_id))
                is_it = False
            at_logged = Lying(known.path, stamp.ctime_ns) if is_it else None
        if known.state is State.MISSING and at_logged is not None:
            elsewhere.append(at_logged)
            at_logged = None
        return shelfmoves.word_of(known, at_logged, elsewhere)

    def _hashed_as(self, path: str, stamp: Stamp) -> str:
        hashed = self._hashed.get(path)
        return hashed[1] if hashed is not None and hashed[0] == stamp else self._hash(path, stamp)

    def _write_down(self, findings: Sequence[Finding]) -> None:
        if not findings:
            return
        at = self._now()
        self._store.journeys.record_moves_by_hand(
            moved_by_hand(one, owner=self._files.owner_of(one.path), at=at) for one in findings
        )
        self._counts.update(one.label for one in findings if one.speaks and one.label is not None)
        self._doubtful = None
        for one in findings:
            word = "back in review" if one.label is None else f"it is {one.label}"
            log.info(
                "a person moved it to %s: %s",
                shelving.printable(one.path),
                word if one.speaks else "no new word",
                extra=about(photo=one.photo_id, state=one.state, label=one.label),
            )

    # -- new photos

    def _take_up(self, path: str, sha256: str) -> None:
        """A photo that nobody knows, on a shelf: an imported label, if it is whole."""
        stamp = self._files.shelf_stamp(path)
        if stamp is None:
            return
        if (why := shelfmoves.is_unclear(path)) is not None:
            self._leave(path, why)
        elif not self._files.may_rename_in(path.rpartition("/")[0]):
            self._leave(path, "lies in a folder that birdwatchd may not write to (chmod -R g+rwX that folder)")
        elif self.examiner is None:
            self._look_by(self._clock() + RETRY_S)
        else:
            try:
                self._bring_in(path, sha256, stamp, self.examiner)
            except PhotoError as error:
                log.info("%s is left where it is: %s", shelving.printable(path), error.message)
                self._leave(path, f"is left where it is: {error}")
            except PhotoVanished:
                self._watch_again(path)

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
        self._counts[place.label] += 1
        self._doubtful = None
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

    def _leave(self, path: str, why: str) -> None:
        if (stamp := self._files.shelf_stamp(path)) is not None:
            self._left[path] = (stamp, why)

    def _watch_again(self, path: str) -> None:
        if (stamp := self._files.shelf_stamp(path)) is not None:
            self._settling.see(path, stamp, self._clock())

    # -- gone

    def _tell_missing(
        self, rows: Sequence[Row], absent: Sequence[Row], shelves: Mapping[str, tuple[int, int]]
    ) -> Iterator[None]:
        """Photos that are nowhere, at two looks in a row. Nothing is inferred from a folder that is not there or cannot be read."""
        before, self._shelves = self._shelves or dict(shelves), dict(shelves)
        waiting = {stamp.size_bytes for path in self._settling.waiting() if (stamp := self._files.shelf_stamp(path))}
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
        for shelf in sorted(off_shelf.keys() - trusted - self._told_mass):
            log.warning(
                "%d of %d photos in %s/ are not there; nothing is inferred from that (is the disk mounted?)",
                off_shelf[shelf],
                on_shelf[shelf],
                shelf,
            )
        self._told_mass = off_shelf.keys() - trusted
        if self._closed:
            return
        doubted = [row for row in gone if _shelf_of(row) in trusted]
        missing: list[Row] = []
        for row in doubted:
            if row.photo_id in self._absent and self._files.find_content(row.sha256) is None:
                missing.append(row)
            yield
        still = [row.photo_id for row in missing if self._is_gone(row)]
        if still:
            self._store.journeys.record_missing(still)
            log.info("%d photos are not in the bird folder any more", len(still))
        self._absent = {row.photo_id for row in doubted} - set(still)
        if self._absent:
            self._look_by(self._clock() + AGAIN_S)

    def _is_gone(self, row: Row) -> bool:
        """Whether the log still says that it lies there, and it does not: both may have changed while others had their turn."""
        if self._files.exists(row.path) or self._store.questions.is_under_way(row.photo_id):
            return False
        now = self._store.questions.photo(row.photo_id)
        return now is not None and now["path"] == row.path and now["state"] in _KEPT


def _shelf_of(row: Row) -> str:
    return row.path.partition("/")[0]


def _counts_in(words: str) -> dict[str, int]:
    try:
        return {str(file): int(count) for file, count in json.loads(words or "{}").items()}
    except (ValueError, AttributeError, TypeError):  # half of it, after a loss of power: then nobody is suspected
        return {}
