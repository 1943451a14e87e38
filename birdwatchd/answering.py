"""Many photos named by one word, on the page or the command line, and taken back by another.

Before the first photo is touched, it is written into the wish what each was until then. So after a death it is clear which photos have
their answer, and an answer can be taken back however long ago it was given.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from birdwatchd.core import shelving
from birdwatchd.core.deciding import Reason
from birdwatchd.core.errors import Refused
from birdwatchd.core.photo import State
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Request, Row, Said, Store
from birdwatchd.saying import Result, Saying, Work

SOURCE = "web"
"""`labels.source` of an answer that says no other."""


@dataclass(frozen=True, slots=True)
class Before:
    """What a photo was when an answer about it was taken up.

    Attributes:
        label_id: of the last word about it; 0 without one.
        label: that word; None without one, or if it was withdrawn.
        folder: where it lay, relative to the bird folder.
    """

    label_id: int
    label: str | None
    state: str
    reason: str | None
    folder: str


class Answering:
    """Fulfils answers and take-backs; only for the holder of the bird folder's lock.

    Args:
        now: the time of the wall clock as ISO-8601 UTC.
    """

    def __init__(self, files: Files, store: Store, *, now: Callable[[], str]) -> None:
        self._store = store
        self._saying = Saying(files, store, now=now)
        self._now = now

    def answer(self, request: Request) -> Work:
        """Name all photos of a wish, and move each to where that name belongs; without a species, take their names away.

        A photo that is gone meanwhile, or of which somebody has said something since, is told in the result and stops no other.

        Raises:
            UsageError: the name cannot be a folder.
            TransientError: not now; photos that have their name keep it.
        """
        species = _species_of(request)
        source = source_of(request.arguments)
        photo_ids = [int(photo_id) for photo_id in request.arguments["photo_ids"]]
        before = self._definite(request, photo_ids)
        named: list[int] = []
        left: list[Result] = []
        for photo_id in photo_ids:
            yield {"total": len(photo_ids), "done": len(named) + len(left)}
            try:
                self._name(photo_id, species, before.get(photo_id), source, request.actor)
            except Refused as error:
                left.append({"photo_id": photo_id, "error": error.message, "hint": error.hint})
            else:
                named.append(photo_id)
        return {"species": species, "named": named, "left": left}

    def _definite(self, request: Request, photo_ids: Iterable[int]) -> dict[int, Before]:
        if "before" not in request.arguments:
            found = {photo_id: self._now_of(photo_id) for photo_id in photo_ids}
            told = {str(photo_id): asdict(one) for photo_id, one in found.items() if one is not None}
            self._store.requests.make_definite(request.id, request.arguments | {"before": told})
            return {photo_id: one for photo_id, one in found.items() if one is not None}
        return before_of(request.arguments)

    def _now_of(self, photo_id: int) -> Before | None:
        """None for one that cannot be named. What a person said by moving it, and nobody has heard yet, is heard first."""
        try:
            photo = self._saying.kept_photo(photo_id)
        except Refused:
            return None
        word = self._store.queue.last_word(photo["id"])
        return Before(
            word["id"] if word else 0,
            word["label"] if word else None,
            photo["state"],
            photo["reason"],
            photo["path"].rpartition("/")[0],
        )

    def _name(self, photo_id: int, species: str | None, before: Before | None, source: str, actor: str | None) -> None:
        photo = self._saying.kept_photo(photo_id)
        if before is None:
            raise Refused(f"photo {photo_id} was not there when the answer came", hint="answer it once more")
        words = self._store.queue.words_after(photo["id"], before.label_id)
        if words and [(word["source"], word["label"]) for word in words] != [(source, species)]:
            raise Refused(f"somebody has said more of photo {photo_id} since", hint="their word counts")
        said = Said(species, source, actor, self._now())
        if species is None:
            self._saying.withdraw(photo, said)
            return
        result = self._saying.name(photo, species, said, Reason.LABELLED)
        if not result["changed"] and not words:
            self._store.journeys.record_label(photo["id"], said)  # the name that it has already: they are sure of it

    # -- taking back

    def take_back(self, request: Request) -> Work:
        """Give photos of an answer the name back that they had before it, or none; what was said of them since stays.

        An answer that is not fulfilled yet will not be.

        Raises:
            Refused: there is no such answer any more.
            TransientError: not now; photos that are back stay back.
        """
        number = int(request.arguments["request_id"])
        answer = self._store.requests.find(number)
        if answer is None or answer.kind != "answers":
            raise Refused(f"there is no answer {number} any more", hint="name the photos anew")
        if answer.outcome is None:
            withdrawn = {"species": answer.arguments["species"], "named": [], "left": [], "withdrawn": True}
            self._store.requests.finish(number, "done", withdrawn, at=self._now())
        before = before_of(answer.arguments)
        answered_since, are_back = self._since(number)
        back: list[int] = []
        left: list[Result] = []
        for photo_id, then in before.items():
            yield {"total": len(before), "done": len(back) + len(left)}
            try:
                if photo_id in are_back or self._give_back(photo_id, answer, then, answered_since, request.actor):
                    back.append(photo_id)
            except Refused as error:
                left.append({"photo_id": photo_id, "error": error.message, "hint": error.hint})
        return {"answer": number, "species": _species_of(answer), "back": back, "left": left}

    def _give_back(
        self, photo_id: int, answer: Request, then: Before, answered_since: set[int], actor: str | None
    ) -> bool:
        """False when the answer has not reached it."""
        species, source = _species_of(answer), source_of(answer.arguments)
        photo = self._saying.kept_photo(photo_id)
        words = self._store.queue.words_after(photo["id"], then.label_id)
        if not words:
            return False
        standing = what_stands(then.label, words, source)
        is_back = standing == [then.label]
        is_newest = is_back or standing == [then.label, species]
        if not is_newest or photo_id in answered_since:
            raise Refused(f"somebody has said more of photo {photo_id} since", hint="their word counts")
        said = None if is_back else Said(then.label, source, actor, self._now())
        if photo["path"].rpartition("/")[0] != then.folder:
            self._saying.relocate(photo, then.folder, State(then.state), then.reason or Reason.WITHDRAWN, said)
        elif said is not None:
            self._store.journeys.record_label(photo["id"], said)
        return True

    def _since(self, number: int) -> tuple[set[int], set[int]]:
        """Photos about which a later answer stands, and those that were given back already. By the names alone, neither can be told: an
        answer that gives a former name again looks like a take-back, and the other way round."""
        later = self._store.requests.after(number, "answers", "take-back")
        ended = [one for one in later if one.outcome == "done"]
        taken_back = {int(one.arguments["request_id"]): one.result["back"] for one in ended if one.kind == "take-back"}
        answers = [one for one in ended if one.kind == "answers" and one.id not in taken_back]
        return {int(one) for answer in answers for one in answer.result["named"]}, set(
            map(int, taken_back.get(number, ()))
        )


def _species_of(answer: Request) -> str | None:
    species = answer.arguments["species"]
    return None if species is None else shelving.species_name(str(species))


def what_stands(label: str | None, words: Iterable[Row], source: str) -> list[str | None]:
    """The names of a photo one upon the other, without those that were taken back again.

    Args:
        label: the first of them.
        words: what was said since. One of this source that brings back the last but one takes the last away.
    """
    standing: list[str | None] = [label]
    for word in words:
        is_ours = word["source"] == source
        if is_ours and len(standing) > 1 and word["label"] == standing[-2]:
            standing.pop()
        else:
            standing.append(word["label"] if is_ours else f"/{word['source']}")  # no species is called so
    return standing


def source_of(arguments: dict[str, Any]) -> str:
    """`labels.source` of an answer: the command line names several photos in the same way."""
    return str(arguments.get("source", SOURCE))


def before_of(arguments: dict[str, Any]) -> dict[int, Before]:
    """What the photos of an answer were before it; empty as long as it has not been taken up."""
    return {int(photo_id): Before(**one) for photo_id, one in arguments.get("before", {}).items()}
