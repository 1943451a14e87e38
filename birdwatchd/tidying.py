"""What learning leaves behind does not grow for ever: old model files and the folders of old trainings go, their rows stay.

Nothing is written into the log here, and nothing that it needs goes. So there is no order that a death could turn round: whatever is
left over is found by the next look, in the same way. What stays, and for whom:

- the files of the model in use, of the two to go back to, and of the newest, for people who promote one;
- those that serve according to a backup of the log: restored, it shall find its model;
- the training folders of all these (a new model is compared with what the old one learned and said), the newest, and the newest that
  says which photos are held out;
- files that no row knows: they may belong to a log that was replaced, and comes back.

While a training is under way nothing goes: it may read the file of a model that was exchanged meanwhile.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from birdwatchd.core import shelving
from birdwatchd.core.errors import DamagedDatabase, DiskTrouble, TransientError
from birdwatchd.core.facts import about
from birdwatchd.core.job import JOB_FILE, Job
from birdwatchd.core.naming import KINDS
from birdwatchd.edges.files import Files, disk
from birdwatchd.edges.store import Row, Store
from birdwatchd.edges.store.copies import backups_in, serving_in
from birdwatchd.edges.trainer import clear_litter, job_folders, take_away
from birdwatchd.edges.vision import engines_of

log = logging.getLogger(__name__)

MODELS_KEPT = 10
"""So many of the newest models keep their files, whether they ever served or not."""

WAYS_BACK = 2
"""The model in use may be taken back by itself; also then a person can go back to one before."""

JOBS_KEPT = 5
"""So many of the newest trainings keep their folders, whatever came of them."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """What went."""

    models: int = 0
    jobs: int = 0
    freed_bytes: int = 0


class Tidying:
    """Only for the holder of the bird folder's lock."""

    def __init__(self, files: Files, store: Store) -> None:
        self._files = files
        self._store = store

    def tidy(self) -> Tidied:
        """Remove what nobody needs any more. May be ended anywhere, and repeated.

        Raises:
            TransientError: some of it cannot be removed now; the rest was.
        """
        self._files.check_still_there()
        training = self._store.models.latest_training()
        if training is not None and training["finished_at"] is None:
            return Tidied()
        with disk.translated("cannot look for old models"):
            clear_litter(self._files.path(shelving.JOBS))
            here = {path.name: path for path in self._files.path(shelving.MODELS).glob("*.onnx") if _is_ours(path)}
            jobs = job_folders(self._files.path(shelving.JOBS))
        kept = self._kept()
        of_rows = {_name(path) for path in self._store.models.paths()}
        old_models = [
            path for name, path in sorted(here.items()) if name in of_rows - {_name(row["path"]) for row in kept}
        ]
        old_jobs = self._old_jobs(jobs, kept)
        if not old_models and not old_jobs:
            return Tidied()
        return self._remove(old_models, old_jobs)

    def _kept(self) -> list[Row]:
        models = self._store.models
        kept = [*models.newest(MODELS_KEPT), models.serving(), *models.served_before(WAYS_BACK)]
        for backup in backups_in(self._files.path(shelving.BACKUPS)):
            try:
                kept.append(serving_in(backup.path))
            except DamagedDatabase:  # nobody will restore it
                continue
            except DiskTrouble:
                if backup.path.exists():  # else it has just made room for a newer one
                    raise
        return [row for row in kept if row is not None]

    def _old_jobs(self, folders: list[Path], kept: list[Row]) -> list[Path]:
        """Of the training folders, oldest first, those that nobody will read again."""
        needed = {str(json.loads(row["recipe"]).get("training_id")) for row in kept}
        old = [folder for folder in folders[:-JOBS_KEPT] if folder.name not in needed]
        if not old:
            return old
        sides = next((folder for folder in reversed(folders) if _says_who_is_held_out(folder)), None)
        return [folder for folder in old if folder != sides]

    def _remove(self, models: list[Path], jobs: list[Path]) -> Tidied:
        trouble: TransientError | None = None
        freed: dict[str, list[int]] = {"model": [], "training": []}
        steps: list[tuple[str, Path, Callable[[Path], int | None]]] = [("model", one, _remove_model) for one in models]
        steps += [("training", one, take_away) for one in jobs]
        for what, path, step in steps:
            try:
                with disk.translated(f"cannot remove the old {what} {path.name}"):
                    freed_bytes = step(path)
            except TransientError as error:
                trouble = error
            else:
                freed[what] += [] if freed_bytes is None else [freed_bytes]
        done = Tidied(len(freed["model"]), len(freed["training"]), sum(map(sum, freed.values())))
        if done != Tidied():
            log.info(
                "tidied up: %d old model files and %d folders of old trainings are gone, %.1f MB",
                done.models,
                done.jobs,
                done.freed_bytes / 1e6,
                extra=about(models=done.models, trainings=done.jobs, bytes=done.freed_bytes),
            )
        if trouble is not None:
            raise trouble
        return done


def _is_ours(path: Path) -> bool:
    """Whether it is called like a model that was learned; the spotter, and what people put there, is not."""
    return path.name.startswith(tuple(f"{kind}-" for kind in KINDS))


def _name(path: str) -> str | None:
    """The name of a row's file in the shelf of models; None if the row points elsewhere."""
    place = PurePosixPath(path)
    return place.name if str(place.parent) == shelving.MODELS else None


def _remove_model(path: Path) -> int:
    """First what a graphics card made of it, which is found by its name alone; returns how many bytes went."""
    freed_bytes = 0
    for one in (*engines_of(path), path):
        freed_bytes += one.stat().st_size
        one.unlink(missing_ok=True)
    return freed_bytes


def _says_who_is_held_out(folder: Path) -> bool:
    try:
        return bool(Job.from_json((folder / JOB_FILE).read_text(encoding="utf-8")).sides)
    except (OSError, ValueError):  # torn, or of another version: nobody else could read it either
        return False
