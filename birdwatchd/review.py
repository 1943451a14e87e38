"""What the human said: a label, an import, an undo. Every wish comes through here, typed or clicked.

A wish is a request in the log. Whoever holds the bird folder's lock fulfils it: the daemon when one runs, else the command itself.
A request stays open until it is fulfilled, and fulfilling it twice changes nothing.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.core.deciding import Reason
from birdwatchd.core.errors import (
    BirdwatchdError,
    ModelMissing,
    PhotoError,
    Refused,
    TransientError,
)
from birdwatchd.core.intake import is_ignored
from birdwatchd.core.journey import Move
from birdwatchd.core.photo import State
from birdwatchd.edges.files import Files, read_outside
from birdwatchd.edges.store import Decided, Request, Said, Store
from birdwatchd.edges.walls import Trial
from birdwatchd.examining import Examiner, content_hash
from birdwatchd.mover import Mover
from birdwatchd.saying import Result, Saying, Work

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ImportCount:
    """How an import stands; `bad` lists files that are no whole picture, with what is wrong."""

    total: int
    done: int = 0
    imported: int = 0
    known: int = 0
    bad: list[dict[str, str]] = field(default_factory=list)


class Review:
    """Fulfils wishes; only for the holder of the bird folder's lock.

    Args:
        examiner: None without a spotter; then nothing can be imported.
        now: the time of the wall clock as ISO-8601 UTC.
    """

    def __init__(self, files: Files, store: Store, examiner: Examiner | None, *, now: Callable[[], str]) -> None:
        self._files = files
        self._store = store
        self._mover = Mover(files, store.journeys)
        self._saying = Saying(files, store, now=now)
        self.examiner = examiner
        self.also: Mapping[str, Callable[[Request], Work]] = {}
        """Wishes of other kinds, and who fulfils them."""
        self._now = now

    def fulfil(self, request: Request) -> Work:
        """Carry out one request from the log and close it there, whatever comes of it.

        Raises:
            TransientError: not now; the request stays open.
        """
        is_first_try = self._store.requests.take(request.id, at=self._now())
        try:
            result = yield from self._work_of(request, is_first_try=is_first_try)
        except TransientError:
            raise
        except BirdwatchdError as error:
            result = {"error": error.message, "hint": error.hint}
            self._store.requests.finish(request.id, "failed", result, at=self._now())
        except Exception as error:  # a wish that nobody foresaw must not stand in the way of all others for ever
            log.exception("request=%d could not be done", request.id)
            result = {
                "error": f"it could not be done: {error!r}",
                "hint": "please report it with the daemon's messages",
            }
            self._store.requests.finish(request.id, "failed", result, at=self._now())
        else:
            self._store.requests.finish(request.id, "done", result, at=self._now())
        return result

    def _work_of(self, request: Request, *, is_first_try: bool) -> Work:
        arguments = request.arguments
        match request.kind:
            case "label":
                return self.label(
                    int(arguments["photo_id"]),
                    str(arguments["species"]),
                    source="cli",
                    actor=request.actor,
                    seen_at=arguments.get("seen_at"),
                    may_confirm=is_first_try,
                )
            case "undo":
                return self.undo(since=str(arguments["since"]), until=str(arguments["until"]))
            case "import":
                return self.bring_in(Path(str(arguments["folder"])), actor=request.actor)
            case "sandbox":
                return self.try_walls()
            case other if other in self.also:
                return self.also[other](request)
            case other:
                raise Refused(
                    f"this birdwatchd does not know what {shelving.printable(other)!r} means", hint="is it older?"
                )

    # -- one label

    def label(
        self,
        photo_id: int,
        species: str,
        *,
        source: str,
        actor: str | None,
        seen_at: str | None = None,
        may_confirm: bool = True,
    ) -> Work:
        """Note that a person named this photo, and move it to where that name belongs.

        Args:
            seen_at: where the person sees it, relative to the bird folder, if they named a file there.
            may_confirm: the name that it has already is noted once more, which says that it is no slip. Not for a wish that was begun
                before: it may be this very wish that gave it the name.

        Raises:
            UsageError: the name cannot be a folder.
            Refused: there is no such photo, or it cannot be named.
        """
        yield from ()
        species = shelving.species_name(species)
        photo = self._saying.kept_photo(photo_id, seen_at)
        said = Said(species, source, actor, self._now())
        result = self._saying.name(photo, species, said, Reason.LABELLED)
        confirmed = may_confirm and not result["changed"]
        if confirmed:
            self._store.journeys.record_label(photo["id"], said)
        return result | {"confirmed": confirmed}

    # -- walls

    def try_walls(self) -> Work:
        """Try from inside what a photo that took this process over could do."""
        with Trial(self._files.root) as trial:
            while not trial.is_over():
                yield {}
            return {"pid": os.getpid(), "walls": [asdict(wall) for wall in trial.walls()]}

    # -- undo

    def undo(self, *, since: str, until: str) -> Work:
        """Take back what the machine filed or called empty in that time; human labels stay. They go to `review/GUESS`.

        Args:
            since, until: ISO-8601 UTC; `until` is when it was asked, so that asking late takes back no more.
        """
        photos = self._store.questions.filed_by_machine(since=since, until=until)
        undone: list[Result] = []
        for photo in photos:
            yield {"total": len(photos), "done": len(undone)}
            if not self._files.exists(photo["path"]):
                continue  # a person has moved or deleted it; their word counts
            folder = shelving.folder_of(State.REVIEW, label=photo["label"])
            path = self._saying.relocate(photo, folder, State.REVIEW, Reason.UNDONE, None)
            undone.append({"photo_id": photo["id"], "from": photo["path"], "to": path})
        return {"since": since, "undone": undone}

    # -- import

    def bring_in(self, folder: Path, *, actor: str | None) -> Work:
        """Copy a tree of named photos into the library: one folder per species, its name the label as it stands.

        Every file is proved whole first; what is no picture is listed and left. Known content gets the label and moves. The tree is
        only read.

        Raises:
            Refused: there is nothing to import in it.
            ModelMissing: no spotter; without one the photos could not be compared later.
        """
        root, tree = self._files.root.resolve(), folder.resolve()
        if tree.is_relative_to(root) or root.is_relative_to(tree):
            raise Refused(
                f"{shelving.printable(str(folder))} holds the bird folder or lies in it; its photos are in the log already",
                hint="give another folder, or name single photos with `birdwatchd label`",
            )
        photos = list(named_photos(folder))
        named: dict[str, str] = {}
        if self.examiner is None:
            raise ModelMissing("photos can only be imported when there is a spotter to look at them")
        count = ImportCount(total=len(photos))
        for species, path in photos:
            yield {**asdict(count), "bad": len(count.bad)}
            try:
                new = self._bring_in_one(path, species, actor, self.examiner, named)
            except (PhotoError, Refused) as error:
                count.bad.append({"file": shelving.printable(str(path)), "what": error.message, "hint": error.hint})
            else:
                count.imported += new
                count.known += not new
            count.done += 1
        return asdict(count)

    def _bring_in_one(
        self, path: Path, species: str, actor: str | None, examiner: Examiner, named: dict[str, str]
    ) -> bool:
        """Import one photo; False when its content was known."""
        data = read_outside(path, max_bytes=examiner.limits.max_bytes)
        sha256 = content_hash(data)
        if named.setdefault(sha256, species) != species:
            raise Refused(
                f"the same photo is {named[sha256]} in another folder of this tree", hint="keep only the right one"
            )
        if any(twin.state is State.DECIDED for twin in self._store.journeys.twins(sha256)):
            raise Refused("the same photo is just being filed", hint="import again in a moment")
        for photo_id in self._store.questions.ids_by_content(sha256):
            try:
                photo = self._saying.kept_photo(photo_id)
            except Refused:
                continue  # in quarantine once, or gone: this copy is a new photo
            self._saying.name(photo, species, Said(species, "import", actor, self._now()), Reason.IMPORTED)
            return False
        examined = examiner.examine(data)
        staged = f"{shelving.WORK}/import-{sha256[: shelving.HASH_DIGITS]}.part"
        self._files.stage(staged, data)
        outcome = State.EMPTY if species == shelving.NO_BIRD else State.FILED
        target = self._mover.free_target(
            shelving.folder_of(outcome, label=species),
            path.name,
            sha256=sha256,
            photo_id=0,
            reserved=self._store.journeys.targets(),
        )
        move = Move(0, staged, target, outcome, str(Reason.IMPORTED))
        decided = Decided(
            move=move,
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
        said = Said(species, "import", actor, self._now())
        photo_id = self._store.journeys.record_import(decided, said, original_name=path.name, received_at=self._now())
        self._files.write_thumbnail(sha256, examined.thumbnail)
        done = self._mover.finish([self._store.journeys.get(photo_id)])
        if done.trouble is not None:
            raise done.trouble
        return True


def named_photos(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below every species folder of a tree, with the species.

    Raises:
        Refused: it is no folder, or holds no folder with files.
    """
    name = shelving.printable(str(folder))
    if not folder.is_dir():
        raise Refused(
            f"{name} is no folder this user can read",
            hint="give a folder that holds one folder per species; the service sees no homes: put it below /srv or /media",
        )
    try:
        species_folders = sorted(
            path for path in folder.iterdir() if path.is_dir() and not is_ignored(path.name, folder=True)
        )
        found = [
            (shelving.species_name(species.name), path)
            for species in species_folders
            for path in sorted(species.rglob("*"))
            if path.is_file() and not path.is_symlink() and not is_ignored(path.name)
        ]
    except OSError as error:
        raise Refused(f"{name} cannot be read: {error.strerror}", hint="give this user the right to read it") from error
    if not found:
        raise Refused(
            f"{name} holds no species folders with photos", hint="it should look like FOLDER/house-finch/photo.jpg"
        )
    return iter(found)
