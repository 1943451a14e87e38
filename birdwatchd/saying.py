"""A person's word about one photo: written down, and the photo moved to where it belongs. For the holder of the bird folder's lock."""

from collections.abc import Callable, Generator
from typing import Any

from birdwatchd.core import shelving
from birdwatchd.core.deciding import Reason
from birdwatchd.core.errors import Refused, UnknownPhoto
from birdwatchd.core.photo import State
from birdwatchd.core.shelfmoves import Finding, Known, Lying, word_of
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import MovedByHand, Row, Said, Store
from birdwatchd.mover import Mover

Result = dict[str, Any]
Work = Generator[Result, None, Result]
"""Yields how far it is, returns what came of it; may be advanced a bit at a time between photos."""

_SHELVES = tuple(f"{shelf}/" for shelf in (shelving.LIBRARY, shelving.REVIEW, shelving.EMPTY))

_REFUSALS = {
    State.CLAIMED: ("is still on its way", "try again in a moment"),
    State.DECIDED: ("is still on its way", "try again in a moment"),
    State.QUARANTINED: (
        "is in quarantine: it is no readable picture",
        "see the note beside it, or `birdwatchd explain`",
    ),
    State.MISSING: ("is not in the bird folder any more", "drop it into the inbox again"),
}


FOLDER = "folder"
"""`labels.source` of what a person says by moving a photo."""


def moved_by_hand(finding: Finding, *, owner: str | None, at: str) -> MovedByHand:
    """What is to be written of a photo that a person has moved.

    Args:
        owner: whose file it is, as far as that is known.
        at: now, ISO-8601 UTC.
    """
    return MovedByHand(
        finding.photo_id,
        finding.path,
        finding.state,
        str(Reason.WITHDRAWN if finding.label is None else Reason.LABELLED),
        Said(finding.label, FOLDER, owner, at) if finding.speaks else None,
    )


class Saying:
    """Says it of one photo after another; knows nothing of wishes.

    Args:
        now: the time of the wall clock as ISO-8601 UTC.
    """

    def __init__(self, files: Files, store: Store, *, now: Callable[[], str]) -> None:
        self._files = files
        self._store = store
        self._mover = Mover(files, store.journeys)
        self._now = now

    def kept_photo(self, photo_id: int, seen_at: str | None = None) -> Row:
        """The photo meant, itself or the one that it is a duplicate of, at the place where it lies now.

        Args:
            seen_at: where a person sees it, relative to the bird folder, if they named a file there.

        Raises:
            Refused: there is none, or it cannot be named.
        """
        photo = self._meant(photo_id)
        if self._files.exists(photo["path"]):
            return photo
        found = self._found(photo["sha256"], seen_at)
        if found is None:
            self._store.journeys.record_missing([photo["id"]])
            raise Refused(
                f"{shelving.printable(photo['path'])} is not there any more", hint="drop it into the inbox again"
            )
        self._hear_of_move(photo, found)
        return self._meant(photo["id"])

    def _meant(self, photo_id: int) -> Row:
        photo = self._store.questions.photo(photo_id)
        if photo is not None and photo["state"] == State.DUPLICATE:
            twins = (
                self._store.questions.photo(twin) for twin in self._store.questions.ids_by_content(photo["sha256"])
            )
            photo = next((twin for twin in twins if twin is not None and twin["state"] != State.DUPLICATE), photo)
        if photo is None:
            raise UnknownPhoto(f"there is no photo {photo_id}")
        state = State(photo["state"])
        if state in _REFUSALS or state is State.DUPLICATE:
            what, hint = _REFUSALS.get(
                state, ("is a duplicate of a photo that is gone", "drop it into the inbox again")
            )
            raise Refused(f"photo {photo['id']} {what}", hint=hint)
        return photo

    def _found(self, sha256: str, seen_at: str | None) -> str | None:
        """Where a photo lies that a person has moved: where they say, under whatever name, or wherever its digits are found."""
        on_a_shelf = seen_at is not None and seen_at.startswith(_SHELVES) and self._files.exists(seen_at)
        if seen_at is not None and on_a_shelf and self._files.sha256_of(seen_at) == sha256:
            return seen_at
        return self._files.find_content(sha256)

    def _hear_of_move(self, photo: Row, found: str) -> None:
        """A person has moved it and nobody has noticed yet: if that says a name, it is written down before it is moved on."""
        known = Known(photo["id"], photo["path"], State(photo["state"]), photo["human_label"])
        finding = word_of(known, None, [Lying(found, 0)])
        if finding is None or not finding.speaks or self._store.questions.is_under_way(photo["id"]):
            self._store.journeys.record_found(photo["id"], found)
            return
        moved = moved_by_hand(finding, owner=self._files.owner_of(found), at=self._now())
        self._store.journeys.record_moves_by_hand([moved])

    def name(self, photo: Row, species: str, said: Said, reason: Reason) -> Result:
        """Write down that it is this species, and move it there; said again, it changes nothing.

        Args:
            photo: as `kept_photo` gives it.

        Raises:
            TransientError: it stays where it is; the plan is carried out later.
        """
        outcome = State.EMPTY if species == shelving.NO_BIRD else State.FILED
        folder = shelving.folder_of(outcome, label=species)
        at_its_place = photo["path"].rpartition("/")[0] == folder
        result = {"photo_id": photo["id"], "label": species, "previous": photo["human_label"], "path": photo["path"]}
        if at_its_place and photo["human_label"] == species:
            return result | {"changed": False}
        if at_its_place and photo["state"] == outcome:
            self._store.journeys.record_label(photo["id"], said)
            return result | {"changed": True}
        path = self.relocate(photo, folder, outcome, reason, said)
        return result | {"changed": True, "path": path}

    def withdraw(self, photo: Row, said: Said) -> None:
        """Write down that it has no name any more, and let it wait in `review/`; without a name it is left where it is.

        Args:
            photo: as `kept_photo` gives it.

        Raises:
            TransientError: it stays where it is; the plan is carried out later.
        """
        if photo["human_label"] is None:
            return
        folder = shelving.folder_of(State.REVIEW, label=photo["label"])
        if photo["state"] == State.REVIEW and photo["path"].rpartition("/")[0] == folder:
            self._store.journeys.record_label(photo["id"], said)
        else:
            self.relocate(photo, folder, State.REVIEW, Reason.WITHDRAWN, said)

    def relocate(self, photo: Row, folder: str, outcome: State, reason: str, said: Said | None) -> str:
        """Move a photo, with the word that asks for it, if one does; returns where it lies then.

        Raises:
            TransientError: it stays where it is; the plan is carried out later.
        """
        return self._mover.send(
            photo, folder, outcome, str(reason), plan=lambda move: self._store.journeys.record_relocation(move, said)
        )
