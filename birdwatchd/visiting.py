"""Photos that one camera took within seconds are heard together once the visit is over; what stands still all day is no bird.

Both look at photos that have been judged one by one and move some of them, each through plan, move and receipt. All is derived from
the log: which photos are new, which were taken with them, what was said of each. So a death anywhere leaves nothing but to look again,
a second look changes nothing, and a photo that comes late has its visit looked at once more. What a person said, took back or moved is
left alone.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from birdwatchd.core import shelving, stillness, visiting
from birdwatchd.core.deciding import BY_COMPANY, IN_WORDS, Reason
from birdwatchd.core.errors import DiskTrouble, PhotoVanished
from birdwatchd.core.facts import about
from birdwatchd.core.photo import WHOLE_FRAME, Box, State, Vector
from birdwatchd.core.settings import Settings
from birdwatchd.core.shelving import NO_BIRD
from birdwatchd.core.splits import camera_time
from birdwatchd.core.stillness import Frame
from birdwatchd.core.visiting import Look, Model, Told, Verdict, Word
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Row, Store, Visit
from birdwatchd.edges.vision import Classifier
from birdwatchd.mover import Mover

log = logging.getLogger(__name__)

QUIET_S = 15.0
"""A visit is over when nothing new of its camera was heard of for so long."""

LONGEST_WAIT_S = 600.0
"""A camera that never falls quiet is not waited for: what comes late has its visit looked at once more anyway."""

NOTE_EVERY_S = 60.0
"""How often it is written down how far it was looked. What is looked at twice does no harm."""

NEWS_AT_ONCE = 200
PAGE = 50

FRAMES_OF_A_DAY = 1000
"""The latest count, where a camera takes more in one day."""

_LEFT_ALONE = frozenset({Reason.UNDONE, Reason.WITHDRAWN})


@dataclass(slots=True)
class _Camera:
    """What is new of one camera and not looked at yet.

    Attributes:
        since, heard: when the first and the last of it was heard of, by the monotonic clock.
        photos: with the time at which each was taken, as text.
    """

    since: float
    heard: float
    photos: dict[int, str] = field(default_factory=dict)
    days: set[str] = field(default_factory=set)


class Visiting:
    """Only for the holder of the bird folder's lock.

    Args:
        clock: seconds, monotonic.
        now: the wall clock, ISO-8601 UTC.
    """

    def __init__(
        self, files: Files, store: Store, settings: Settings, *, clock: Callable[[], float], now: Callable[[], str]
    ) -> None:
        self._files = files
        self._store = store
        self._confirm_first = settings.deciding.confirm_first
        self._clock = clock
        self._now = now
        self._mover = Mover(files, store.journeys)
        self._cameras: dict[str, _Camera] = {}
        self._heard: tuple[int, int] | None = None
        self._noted: tuple[int, int] | None = None
        self._note_at = clock()

    def step(self, model: Classifier | None, *, at_once: bool = False) -> bool:
        """Look at one visit that is over, or at one day of a camera; whether there was one.

        Args:
            model: the one in use; without one nothing is told of visits. Its first names have them looked at once more.
            at_once: nobody waits for more photos.
        Raises:
            TransientError: not now.
        """
        if self._store.journeys.under_way_count():
            return False
        more = self._listen()
        name = next((name for name, camera in self._cameras.items() if at_once or self._is_quiet(camera)), None)
        if name is None:
            if not more:
                self._note_progress(at_once=at_once)
            return more
        camera = self._cameras[name]
        if camera.days:
            day = min(camera.days)
            self._look_at_day(name, day)
            camera.days.discard(day)
        else:
            photo_id = min(camera.photos)
            looked, left = self._look_at_visit(name, photo_id, camera.photos[photo_id], model)
            for one in (photo_id, *looked):
                camera.photos.pop(one, None)
            camera.photos |= left
        if not camera.photos:
            del self._cameras[name]
        return True

    # -- what is new

    def _listen(self) -> bool:
        """Hear of photos that were judged, or of which a person said something; whether there may be more."""
        if self._heard is None:
            self._heard = self._noted = self._store.visits.looked_at()
        now = self._clock()
        if any(now - camera.since > LONGEST_WAIT_S for camera in self._cameras.values()):
            return False  # first what has waited that long, or it would never be known how far it was looked
        judged = self._store.visits.judged_after(self._heard[0], limit=NEWS_AT_ONCE)
        named = self._store.visits.named_after(self._heard[1], limit=NEWS_AT_ONCE)
        for photo in (*judged, *named):
            if photo["camera"] is not None and camera_time(photo["captured_at"]) is not None:
                camera = self._cameras.setdefault(photo["camera"], _Camera(now, now))
                camera.heard = now
                camera.photos[photo["id"]] = photo["captured_at"]
                camera.days.add(photo["captured_at"][: len("2026-05-01")])
        self._heard = (_last(judged, self._heard[0]), _last(named, self._heard[1]))
        return NEWS_AT_ONCE in (len(judged), len(named))

    def _is_quiet(self, camera: _Camera) -> bool:
        now = self._clock()
        return now - camera.heard >= QUIET_S or now - camera.since > LONGEST_WAIT_S

    def _note_progress(self, *, at_once: bool) -> None:
        if self._cameras or self._heard is None or self._heard == self._noted:
            return
        if at_once or self._clock() >= self._note_at:
            self._store.visits.note_looked_at(*self._heard)
            self._noted, self._note_at = self._heard, self._clock() + NOTE_EVERY_S

    # -- visits

    def _look_at_visit(
        self, camera: str, photo_id: int, captured_at: str, model: Classifier | None
    ) -> tuple[list[int], dict[int, str]]:
        """Judge the visit to which this photo belongs.

        Returns:
            The photos of that visit; and such as belonged to it before, with their times: their visits are to be looked at as well.
        """
        photos = self._visit_of(camera, captured_at)
        ids = [photo["id"] for photo in photos]
        if photo_id not in ids:
            return [], {}  # it does not rest in its place any more: it ties nothing together
        if model is None:
            return ids, {}
        if 2 <= len(photos) <= visiting.MOST_PHOTOS:
            return ids, self._tell(camera, photos, model)
        for photo in photos:
            self._leave_to_itself(photo)
        return ids, self._store.visits.forget(ids)

    def _visit_of(self, camera: str, captured_at: str) -> list[Row]:
        """Photos that follow one another without a gap before and after that time, in order; a few too many where there is no end."""
        later, earlier = self._store.visits.taken_from, self._store.visits.taken_before
        after = self._run(lambda skip: later(camera, captured_at, skip=skip, limit=PAGE), captured_at)
        before = self._run(lambda skip: earlier(camera, captured_at, skip=skip, limit=PAGE), captured_at)
        return before[::-1] + after

    def _run(self, page: Callable[[int], list[Row]], begin: str) -> list[Row]:
        """Those in one direction of time."""
        found: list[Row] = []
        last = camera_time(begin)
        while last is not None and len(found) <= visiting.MOST_PHOTOS:
            photos = page(len(found))
            for photo in photos:
                taken = camera_time(photo["captured_at"])
                if taken is None or visiting.begins_anew(min(last, taken), max(last, taken)):
                    return found
                found.append(photo)
                last = taken
            if len(photos) < PAGE:
                break
        return found

    def _tell(self, camera: str, photos: Sequence[Row], classifier: Classifier) -> dict[int, str]:
        """Returns those that belonged to it before."""
        card = classifier.card
        model = Model(classifier.model_id, dict(zip(card.labels, card.sure_above, strict=True)), card.strange_above)
        told = visiting.tell([_look(photo) for photo in photos], model, may_be_named=self._may_be_named)
        if told.verdict is not Verdict.MODELS_DIFFER:
            for photo in photos:
                if (word := told.words.get(photo["id"])) is not None:
                    self._carry_out(photo, word)
                else:
                    self._leave_to_itself(photo)
        elif self._store.visits.are_known([photo["id"] for photo in photos]):
            return {}  # what was told before stands
        # Last: a death before this leaves it to be seen who is not with them any more.
        return self._store.visits.record(_as_row(camera, photos, told, classifier.model_id), at=self._now())

    def _leave_to_itself(self, photo: Row) -> None:
        """What its visit told once is told no longer."""
        if photo["reason"] in BY_COMPANY and photo["reason"] != Reason.STANDS_STILL and _is_free(photo):
            self._carry_out(photo, _own_word(photo))

    def _may_be_named(self, label: str) -> bool:
        return not self._confirm_first or self._store.models.was_named(label)

    # -- what stands still

    def _look_at_day(self, camera: str, day: str) -> None:
        photos = self._store.visits.of_day(camera, day, limit=FRAMES_OF_A_DAY)
        if any(photo["word_reason"] == Reason.STANDS_STILL and _is_named_a_bird(photo) for photo in photos):
            still: frozenset[int] = frozenset()  # a person has named one of them: it was a bird that sat still
        else:
            still = self._standing_still(photos)
        for photo in photos:
            if photo["id"] in still and photo["state"] != State.EMPTY and _is_free(photo):
                self._carry_out(photo, Word(State.EMPTY, Reason.STANDS_STILL, None, None))
            elif photo["id"] not in still and photo["reason"] == Reason.STANDS_STILL and _is_free(photo):
                self._carry_out(
                    photo, _own_word(photo)
                )  # also when the rest of the day shows that it is not always there

    def _standing_still(self, photos: Sequence[Row]) -> frozenset[int]:
        """Of one day's photos, the last first."""
        if not photos:
            return frozenset()
        spotter_id = photos[0]["spotter_id"]  # of the latest: what another one saw cannot be compared
        frames = [_frame(photo, is_seen=photo["spotter_id"] == spotter_id) for photo in photos]
        ids = stillness.at_one_place(frames)
        if not ids:
            return frozenset()
        vectors = self._store.answers.embeddings(ids, spotter_id)
        return stillness.standing_still(frames, {one: _vector(vectors[one]) for one in vectors})

    # -- both

    def _carry_out(self, photo: Row, word: Word) -> None:
        """Write down what is told of a photo, and move it if it belongs elsewhere; nothing if that is so already."""
        if (word.outcome, word.reason, word.label, word.probability) == _told_before(photo):
            return
        folder = shelving.folder_of(word.outcome, label=word.label)
        if folder == _folder(photo["path"]):
            self._store.journeys.record_word_of_company(photo["id"], photo["prediction_id"], word, None, self._now())
            return
        if not self._is_as_it_was(photo):
            return
        path = self._mover.send(
            photo,
            folder,
            word.outcome,
            word.reason,
            plan=lambda move: self._store.journeys.record_word_of_company(
                photo["id"], photo["prediction_id"], word, move, self._now()
            ),
        )
        log.info(
            "%s -> %s: %s",
            photo["original_name"],
            shelving.printable(path),
            IN_WORDS.get(word.reason, word.reason),
            extra=about(photo=photo["id"], state=word.outcome, label=word.label, p=word.probability),
        )

    def _is_as_it_was(self, photo: Row) -> bool:
        """Whether its bytes are still there; if not, a person was quicker, and will be noticed."""
        try:
            return self._files.exists(photo["path"]) and self._files.sha256_of(photo["path"]) == photo["sha256"]
        except (
            DiskTrouble,
            PhotoVanished,
        ) as error:  # this one's trouble: the others and what comes after them shall not wait for it
            log.warning("left where it is: %s", error, extra=about(photo=photo["id"]))
            return False


def _last(news: Sequence[Row], before: int) -> int:
    return int(news[-1]["news_id"]) if news else before


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _told_before(photo: Row) -> tuple[str | None, ...]:
    """What company told of a photo the last time, if that is what its place comes from."""
    if photo["word_reason"] != photo["reason"]:
        return ()
    return photo["word_verdict"], photo["word_reason"], photo["word_label"], photo["word_probability"]


def _own_word(photo: Row) -> Word:
    """What it told by itself."""
    return Word(State(photo["verdict"]), photo["own_reason"], photo["label"], photo["probability"])


def _is_free(photo: Row) -> bool:
    """Whether no person has said anything of it, and it lies where the machine put it."""
    if photo["is_spoken_of"] or photo["reason"] in _LEFT_ALONE:
        return False
    label = photo["word_label"] if photo["word_verdict"] is not None else photo["label"]
    return _folder(photo["path"]) == shelving.folder_of(State(photo["state"]), label=label)


def _look(photo: Row) -> Look:
    spoken_against = bool(photo["is_spoken_of"]) and photo["human"] is None
    return Look(
        photo["id"],
        photo["model_id"],
        photo["own_reason"],
        tuple((label, probability) for label, probability in json.loads(photo["top"])),
        photo["novelty"],
        photo["human"],
        has_say=not spoken_against and photo["reason"] not in _LEFT_ALONE | {Reason.STANDS_STILL},
        is_free=_is_free(photo),
    )


def _frame(photo: Row, *, is_seen: bool) -> Frame:
    """One that another spotter saw counts as a frame of the day, in which nothing is known to be at any place."""
    taken = datetime.fromisoformat(photo["captured_at"]).replace(tzinfo=None)
    box = Box(*json.loads(photo["box"])) if is_seen else WHOLE_FRAME
    return Frame(photo["id"], taken, box, _is_named_a_bird(photo))


def _is_named_a_bird(photo: Row) -> bool:
    return photo["human"] not in (None, NO_BIRD)


def _vector(stored: bytes) -> Vector:
    return np.frombuffer(stored, dtype="<f4").astype(np.float32)


def _as_row(camera: str, photos: Sequence[Row], told: Told, model_id: int) -> Visit:
    return Visit(
        camera,
        photos[0]["captured_at"],
        photos[-1]["captured_at"],
        [photo["id"] for photo in photos],
        told.label,
        told.probability,
        told.verdict,
        {"agree": told.agree, "differ": told.differ, "photos": [*map(_said_by_itself, photos)]},
        model_id,
    )


def _said_by_itself(photo: Row) -> Mapping[str, object]:
    if photo["human"] is not None:
        return {"photo_id": photo["id"], "label": photo["human"], "probability": None, "reason": Reason.LABELLED}
    return {
        "photo_id": photo["id"],
        "label": photo["label"],
        "probability": photo["probability"],
        "reason": photo["own_reason"],
    }
