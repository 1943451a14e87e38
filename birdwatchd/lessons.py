"""What is put before the training program: the labelled photos as they are now, frozen, and what it has to know besides."""

import logging
from collections.abc import Callable, Generator
from typing import Any, cast

from birdwatchd.core import shelving
from birdwatchd.core.errors import ModelError
from birdwatchd.core.job import JOB_FILE, REPORT_FILE, Champion, Job, Report
from birdwatchd.core.settings import Settings
from birdwatchd.core.species_names import names_of, shown
from birdwatchd.core.tuning import Tuning
from birdwatchd.dataset import Dataset, freeze
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Store
from birdwatchd.edges.vision import Classifier
from birdwatchd.serving import Serving

log = logging.getLogger(__name__)

MOST_MINUTES_LINEAR = 10
RESERVE_MINUTES = 10

SLICE_S = 0.05
"""How long what is to be learned may be put together before photos and the watchdog have their turn."""


class Lessons:
    """Only for the holder of the bird folder's lock.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(
        self, files: Files, store: Store, settings: Settings, serving: Serving, *, clock: Callable[[], float]
    ) -> None:
        self._files = files
        self._store = store
        self._settings = settings
        self._serving = serving
        self._clock = clock

    def refuse_without_spotter(self) -> None:
        """Raise ModelError if there is no spotter: then nothing can be learned."""
        if self._serving.spotter_id is None:
            raise ModelError("there is no spotter, so nothing can be learned", hint="run `birdwatchd doctor`")

    def freeze(self) -> Generator[None, None, Dataset]:
        """What can be learned now, in steps; begun anew when people say something meanwhile, so that nothing is learned that they have
        taken back before it was put together.

        Raises:
            Refused: too little.
        """
        while True:
            yield
            newest = self._store.models.latest_label()
            dataset = yield from freeze(
                self._store.models.examples(str(self._serving.spotter_id)),
                spotter_id=str(self._serving.spotter_id),
                min_labels=self._settings.training.min_labels_per_species,
                known_sides=self._known_sides(),
                newest_label=newest or 0,
            )
            if self._store.models.latest_label() == newest:
                return dataset

    def frozen(self) -> Generator[dict[str, Any], None, Dataset]:
        """The same for a wish, which has its turns as well."""
        freezing = self.freeze()
        while True:
            until = self._clock() + SLICE_S
            try:
                next(freezing)
                while self._clock() < until:
                    next(freezing)
            except StopIteration as end:
                return cast("Dataset", end.value)
            yield {}

    def job(self, training_id: int, kind: str, dataset: Dataset) -> Job:
        """What the training program is given of these photos, and told of what it may take and has to compare with."""
        champion = self._serving.model
        return Job(
            kind=kind,
            training_id=training_id,
            spotter_id=str(self._serving.spotter_id),
            seed=self._settings.training.seed,
            wanted_precision=self._settings.deciding.wanted_precision,
            strangers_let_in=self._settings.deciding.strangers_let_in,
            fingerprint=dataset.fingerprint,
            parent_sha256=None if champion is None else champion.sha256,
            recipe={"training_id": training_id}
            | (Tuning.by_settings(self._settings).as_recipe() if kind == "finetuned" else {}),
            sides=dataset.sides,
            examples=dataset.examples,
            root=str(self._files.root),
            champion=None if champion is None else self.as_champion(champion),
            too_few=dataset.too_few,
            doubtful_names=dataset.doubtful_names,
            names=self._names(dataset),
            straddling=dataset.straddling,
            max_memory_mb=self._settings.training.max_memory_mb,
            max_minutes=self._most_minutes(kind),
            max_megapixels=self._settings.images.max_megapixels,
            formats=self._settings.images.formats,
        )

    def _names(self, dataset: Dataset) -> dict[str, str]:
        names, champion = names_of(self._settings), self._serving.model
        labels = {one.label for one in dataset.examples} | dataset.too_few.keys()
        labels |= set() if champion is None else set(champion.card.labels)
        return {label: shown(label, names) for label in sorted(labels)}

    def as_champion(self, model: Classifier) -> Champion:
        """The model in use, with what it learned from and what was said of that before."""
        row = self._store.models.get(model.model_id) or {}
        folder = self._files.path(f"{shelving.JOBS}/{model.card.recipe.get('training_id')}")
        learned: tuple[int, ...] = ()
        said: dict[str, str] = {}
        try:
            own = Job.from_json((folder / JOB_FILE).read_text(encoding="utf-8"))
            report = Report.from_json((folder / REPORT_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            log.warning("what model %d was judged by is gone: %s", model.model_id, error)
        else:
            held_back = {doubt.photo_id for doubt in report.doubts if doubt.held_back}
            learned = tuple(one.photo_id for one in own.examples if one.photo_id not in held_back)
            said = {str(guess.photo_id): guess.label for guess in report.guesses}
        return Champion(model.model_id, row["path"], said, learned)

    def _known_sides(self) -> dict[str, bool]:
        last = self._last_job()
        return {} if last is None else dict(last.sides)

    def _last_job(self) -> Job | None:
        folders = sorted(
            (path for path in self._files.path(shelving.JOBS).glob("*") if path.name.isdecimal()),
            key=lambda path: int(path.name),
        )
        for folder in reversed(folders):
            try:
                return Job.from_json((folder / JOB_FILE).read_text(encoding="utf-8"))
            except (OSError, ValueError):  # begun and never finished, or of another version
                continue
        return None

    def _most_minutes(self, kind: str) -> float:
        most = self._settings.training.max_minutes
        # A network goes on with what is best so far when its time is up; the rest is for writing that down and proving it.
        return most + RESERVE_MINUTES if kind == "finetuned" else min(MOST_MINUTES_LINEAR, most)
