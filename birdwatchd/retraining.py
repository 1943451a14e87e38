"""How the daemon learns: enough new labels → a frozen job → the training program → its candidate judged → promoted, or kept and shown.

The training is a process of its own (`edges.trainer`); its death harms nothing. A candidate serves only when it is in the shelf of
models under its own hash, and one transaction has said so.
"""

import json
import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from birdwatchd.core import gate, shelving
from birdwatchd.core.errors import ModelError, Refused, TransientError
from birdwatchd.core.hours import is_within
from birdwatchd.core.job import JOB_FILE, REPORT_FILE, VERDICT_FILE, Job, Report, is_seen_by
from birdwatchd.core.naming import KINDS
from birdwatchd.core.settings import Settings
from birdwatchd.core.tuning import LABELS_TO_FINETUNE
from birdwatchd.dataset import Dataset
from birdwatchd.edges.clock import as_utc_text
from birdwatchd.edges.errand import Errand
from birdwatchd.edges.files import Files, disk
from birdwatchd.edges.store import Elsewhere, NewModel, Request, Store
from birdwatchd.edges.trainer import Course, can_finetune, write_down
from birdwatchd.edges.vision import Classifier
from birdwatchd.lessons import SLICE_S, Lessons
from birdwatchd.serving import Serving

log = logging.getLogger(__name__)

QUIET_S = 10.0
"""A person who is just naming photos is not interrupted: the training waits so long after the last word."""

LOOK_EVERY_S = 2.0
"""How often the log is asked for new words."""

AGAIN_AFTER_S = 60.0
"""When a training could not be begun, because of the disk for instance."""

ONCE_IN = timedelta(hours=12)
"""The long training is begun at most once a night."""

Work = Generator[dict[str, Any], None, dict[str, Any]]


@dataclass(slots=True)
class _Running:
    training_id: int
    kind: str
    folder: Path
    course: Course
    told: str = ""


class Retraining:
    """Only for the holder of the bird folder's lock.

    Args:
        clock: seconds, monotonic.
        serving: gets what was promoted.
        now: the wall clock, ISO-8601 UTC.
    """

    def __init__(
        self,
        files: Files,
        store: Store,
        settings: Settings,
        serving: Serving,
        *,
        clock: Callable[[], float],
        now: Callable[[], str],
    ) -> None:
        self._files = files
        self._store = store
        self._settings = settings
        self._serving = serving
        self._clock = clock
        self._now = now
        self._lessons = Lessons(files, store, settings, serving, clock=clock)
        self._running: _Running | None = None
        self._freezing: tuple[str, Generator[None, None, Dataset]] | None = None
        self._next_look = clock()
        self._looked_at: tuple[int, str | None] | None = None
        self._heard: int | None = None
        self._quiet_from = clock()

    def resume(self) -> None:
        """Go on with the training that the last life did not live to see the end of; give it up if its program died as well."""
        row = self._store.models.latest_training()
        if self._running is not None or row is None or row["finished_at"] is not None:
            return
        folder = self._files.path(f"{shelving.JOBS}/{row['id']}")
        with disk.translated("cannot look after the training"):
            course = Course.resume(folder, clock=self._clock)
        if course is None:
            self._store.models.give_up_training(at=self._now())
        else:
            self._running = _Running(row["id"], row["kind"], folder, course)
            log.info("training %d goes on", row["id"])

    def under_way(self) -> dict[str, Any] | None:
        """The training that is on its way, and how far it is; None without one."""
        if self._running is None:
            return None
        progress = self._running.course.progress()
        return {
            "training_id": self._running.training_id,
            "kind": self._running.kind,
            "done": progress.done,
            "what": progress.what,
        }

    # -- when

    def step(self, *, may_begin: bool = True) -> bool:
        """Look after a training, or begin one that is due; whether anything was done.

        Args:
            may_begin: not while photos with a name have to be looked at again: it would learn from a few of them.
        Raises:
            TransientError: not now.
        """
        if self._running is not None:
            return self._look_after(self._running)
        if self._freezing is not None:
            return self._go_on_freezing(*self._freezing)
        if self._serving.spotter_id is None or not may_begin:
            return False
        if self._clock() < self._next_look:
            return False
        self._next_look = self._clock() + LOOK_EVERY_S
        if self._settings.training.enabled and self._has_news() and self._has_enough_news("linear"):
            self._freezing = "linear", self._lessons.freeze()
            return True
        return False

    def _has_news(self) -> bool:
        """Whether people have said something since the last look, and have been quiet for a while; by no clock that can be set.

        To another spotter all is news that they ever said.
        """
        latest = self._store.models.latest_label()
        if latest is None or (latest, self._serving.spotter_id) == self._looked_at:
            return False
        if latest != self._heard:
            self._heard, self._quiet_from = latest, self._clock() + QUIET_S
        if self._clock() < self._quiet_from:
            return False
        self._looked_at = latest, self._serving.spotter_id
        return True

    def fine_tune(self) -> bool:
        """See whether the long training is to begin, if it is its time and there are new words; the next steps do. Whether they will.

        Raises:
            TransientError: not now.
        """
        settings = self._settings.training
        if not settings.enabled or settings.fine_tune == "never" or self._running is not None:
            return False
        moment = datetime.fromisoformat(self._now())
        if self._serving.spotter_id is None or not is_within(settings.hours, moment.astimezone().time()):
            return False
        # One that was begun years ahead proves that the clock was wrong, and nothing else.
        since, until = as_utc_text(moment - ONCE_IN), as_utc_text(moment + ONCE_IN)
        if self._store.models.was_begun_between("finetuned", since, until) or not can_finetune():
            return False
        if not self._has_enough_news("finetuned"):
            return False
        self._freezing = "finetuned", self._lessons.freeze()
        return True

    def _has_enough_news(self, kind: str) -> bool:
        last = self._store.models.latest_lesson(kind)
        return (
            last is None
            or not is_seen_by(str(last["fingerprint"]), str(self._serving.spotter_id))
            or self._store.models.labels_since(last["id"]) >= self._settings.training.min_new_labels
        )

    def _go_on_freezing(self, kind: str, freezing: Generator[None, None, Dataset]) -> bool:
        """Go on for a while; at the end begin the training, if there is something new to learn."""
        self._freezing = None  # whatever happens now ends it, but for the last line
        until = self._clock() + SLICE_S
        try:
            next(freezing)
            while self._clock() < until:
                next(freezing)
        except StopIteration as end:
            self._begin_if_due(kind, end.value)
        except Refused:
            return True
        else:
            self._freezing = kind, freezing
        return True

    def _begin_if_due(self, kind: str, dataset: Dataset) -> None:
        last = self._store.models.latest_lesson(kind)
        if kind == "finetuned" and len(dataset.examples) < LABELS_TO_FINETUNE:
            return
        if last is not None and last["fingerprint"] == dataset.fingerprint:
            return
        # It would be taken back again: what was learned from just these labels has proved worse, so new ones have to come first.
        if not self._store.models.was_regretted(dataset.fingerprint):
            self._begin(dataset, kind)

    def _begin(self, dataset: Dataset, kind: str = "linear") -> _Running:
        at = self._now()
        training_id = self._store.models.begin_training(
            kind,
            fingerprint=dataset.fingerprint,
            label_count=len(dataset.examples),
            newest_label=dataset.newest_label,
            at=at,
        )
        job = self._lessons.job(training_id, kind, dataset)
        folder = self._files.path(f"{shelving.JOBS}/{training_id}")
        try:
            with disk.translated("cannot write down what to learn from"):
                write_down(folder, job, dataset.embeddings)
                course = Course.begin(
                    folder, job, run_by=self._settings.training.run_by, send=Errand, clock=self._clock
                )
        except TransientError as error:
            self._looked_at, self._next_look = None, self._clock() + AGAIN_AFTER_S
            self._store.models.end_training(training_id, "failed", [error.message], at=self._now())
            raise
        self._freezing = None
        self._running = _Running(training_id, job.kind, folder, course, told=course.progress().what)
        log.info("training %d begins: %d photos of %d species", training_id, len(job.examples), dataset.species)
        return self._running

    # -- what comes of it

    def _look_after(self, running: _Running) -> bool:
        """Whether there is news of it. What came of it is asked again, and judged again, until the log has it."""
        with disk.translated("cannot look after the training"):
            back = running.course.look()
        if back is None:
            return self._tell_progress(running)
        if back.well:
            self._judge(running)
        else:
            self._fail(running, f"{back.words} ({back.hint})" if back.hint else back.words)
        return True

    def _tell_progress(self, running: _Running) -> bool:
        progress = running.course.progress()
        if progress.what == running.told:
            return False
        running.told = progress.what
        log.info("training %d: %s (%.0f %%)", running.training_id, progress.what, 100 * progress.done)
        return True

    def _fail(self, running: _Running, why: str) -> None:
        self._store.models.end_training(running.training_id, "failed", [why], at=self._now())
        self._running = None
        log.warning("training %d failed: %s", running.training_id, why)

    def _judge(self, running: _Running) -> None:
        try:
            job = Job.from_json((running.folder / JOB_FILE).read_text(encoding="utf-8"))
            report = Report.from_json((running.folder / REPORT_FILE).read_text(encoding="utf-8"))
            candidate = running.folder / Path(report.model).name
            path = f"{shelving.MODELS}/{candidate.name}"
            placed = self._files.path(path)  # by an attempt that got no further; its name is its hash
            spotter_id = self._serving.spotter_id or job.spotter_id  # it may have been exchanged while a unit learned
            Classifier.load(placed if placed.exists() else candidate, model_id=0, spotter_id=spotter_id)
            verdict = self._verdict(job, report)
        except (OSError, ValueError, ModelError) as error:
            self._fail(running, str(error))
            return
        for sentence in verdict.sentences:
            log.info("training %d: %s", running.training_id, sentence)
        with disk.translated("cannot write down the verdict"):
            disk.write_whole(running.folder / VERDICT_FILE, verdict.to_json().encode())
        with disk.translated("cannot put the new model into its place"):
            if not placed.exists():
                disk.rename_noreplace(candidate, placed)
                disk.fsync(self._files.path(shelving.MODELS))
        model = NewModel(
            kind=job.kind,
            labels=report.labels,
            metrics=report.metrics,
            path=path,
            parent_id=None if job.champion is None else job.champion.model_id,
            recipe=job.recipe,
        )
        self._store.models.enter(model, running.training_id, verdict.sentences, promote=verdict.promote, at=self._now())
        self._running = None
        if verdict.promote:
            self._serving.refresh()

    def _verdict(self, job: Job, report: Report) -> gate.Verdict:
        truth = {one.photo_id: one.label for one in job.examples}
        rows = [
            gate.Judged(
                guess.photo_id, truth[guess.photo_id], report.champion_guesses.get(str(guess.photo_id)), guess.label
            )
            for guess in report.guesses
        ]
        rules = gate.Rules(protected=frozenset(self._settings.deciding.protected))
        champion = self._serving.model
        # A name that people have taken back from every photo, as by renaming its folder, is no loss: no model will ever learn it again.
        used = set(self._store.questions.species())
        verdict = gate.judge(
            rows,
            rules,
            champion_labels=[label for label in champion.card.labels if label in used] if champion else (),
            candidate_labels=report.labels,
            too_few=job.too_few,
        )
        # A person may have put another into use meanwhile: what is no worse than the one before may well be worse than that one.
        compared_with = None if job.champion is None else job.champion.model_id
        is_another = champion is not None and champion.model_id != compared_with
        return verdict.by_another_model() if is_another else verdict

    # -- by hand

    def train(self, request: Request) -> Work:
        """Train now, whatever the timetable says: `kind` is "linear" or "finetuned". Tells what came of it."""
        kind = str(request.arguments.get("kind", "linear"))
        if kind not in KINDS:
            raise Refused(f"there is no training called {kind!r}", hint=f"one of: {', '.join(KINDS)}")
        self._lessons.refuse_without_spotter()
        row = self._lesson_of(request)
        if row is None:
            running = yield from self._begun(kind)
            self._store.requests.make_definite(request.id, request.arguments | {"training_id": running.training_id})
            while self._running is running:
                yield Elsewhere(self.under_way() or {})
                if self._running is running:  # the daemon's round may have judged it meanwhile
                    self._look_after(running)
            row = self._store.models.latest_training() or {}
        return {
            "training_id": row.get("id"),
            "outcome": row.get("outcome"),
            "reasons": json.loads(row.get("reasons") or "[]"),
        }

    def _begun(self, kind: str) -> Generator[dict[str, Any], None, _Running]:
        """The training of this kind that is under way, or that is begun now."""
        if self._running is None:
            dataset = yield from self._lessons.frozen()
            if self._running is None:  # it may have begun by itself meanwhile
                return self._begin(dataset, kind)
        if self._running.kind != kind:
            raise Refused("another training is under way", hint="try again when it has ended; see `birdwatchd stats`")
        return self._running

    def _lesson_of(self, request: Request) -> dict[str, Any] | None:
        """The training that an earlier life did for this wish, if it came to an end: it is not done once more."""
        row = self._store.models.latest_training()
        if row is None or row["id"] != request.arguments.get("training_id"):
            return None
        return row if row["outcome"] in ("promoted", "kept") else None

    def close(self) -> None:
        """Part with a training that is under way: a child ends with us, and is begun anew; a unit goes on until the next life."""
        if self._running is not None:
            self._running.course.leave()
            self._running = None
