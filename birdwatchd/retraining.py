"""How the daemon learns: enough new labels → a frozen job → the training program → its candidate judged → promoted, or kept and shown.

The training is a process of its own; its death harms nothing. A candidate serves only when it is in the shelf of models under its own
hash, and one transaction has said so. What waits for a person is judged again by the new model, in slices between photos.
"""

import json
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from birdwatchd.core import deciding, gate, shelving, splits
from birdwatchd.core.deciding import Rules
from birdwatchd.core.errors import ModelError, Refused
from birdwatchd.core.job import EMBEDDINGS_FILE, JOB_FILE, REPORT_FILE, Example, Job, Report, fingerprint
from birdwatchd.core.journey import Move
from birdwatchd.core.photo import WHOLE_FRAME, Spotting, Vector
from birdwatchd.core.settings import Settings
from birdwatchd.edges.errand import Errand
from birdwatchd.edges.files import Files, disk
from birdwatchd.edges.store import NewModel, Request, Row, Store
from birdwatchd.edges.vision import Classifier
from birdwatchd.mover import Mover

log = logging.getLogger(__name__)

QUIET_S = 10.0
"""A person who is just naming photos is not interrupted: the training waits so long after the last word."""

LOOK_EVERY_S = 2.0
"""How often the log is asked for new words."""

MOST_MINUTES_LINEAR = 10
AT_ONCE = 16
"""Photos that are judged again before others have their turn."""

Work = Generator[dict[str, Any], None, dict[str, Any]]


def load_serving(store: Store, root: Path, spotter_id: str) -> Classifier | None:
    """The model in use, proved; None while there is none.

    Raises:
        ModelError: it cannot be used.
    """
    row = store.models.serving()
    return None if row is None else _load(row, root, spotter_id)


def _load(row: Row, root: Path, spotter_id: str) -> Classifier:
    return Classifier.load(root / row["path"], model_id=row["id"], spotter_id=spotter_id)


@dataclass(slots=True)
class _Running:
    training_id: int
    folder: Path
    errand: Errand
    until: float


class Retraining:
    """Only for the holder of the bird folder's lock.

    Args:
        clock: seconds, monotonic.
        now: the wall clock, ISO-8601 UTC.
        served: is told the classifier that serves from now on.
    """

    def __init__(
        self,
        files: Files,
        store: Store,
        settings: Settings,
        *,
        clock: Callable[[], float],
        now: Callable[[], str],
        served: Callable[[Classifier], None],
    ) -> None:
        self._files = files
        self._store = store
        self._settings = settings
        self._clock = clock
        self._now = now
        self._served = served
        self._mover = Mover(files, store.journeys)
        self._running: _Running | None = None
        self._next_look = clock()
        self._looked_at: int | None = None
        self._heard: int | None = None
        self._quiet_from = clock()
        self._model: Classifier | None = None
        self._judged_by: int | None = None
        self.spotter_id: str | None = None
        """Whose embeddings count; None without a spotter: then nothing is learned."""

    # -- what serves

    def serve(self) -> None:
        """Load the model that the log says serves, unless it is in use already; a bad file leaves the old one in use.

        Raises:
            ModelError: it cannot be used.
        """
        if self._looked_at is None and self._running is None:
            self._store.models.give_up_training(at=self._now())
        row = self._store.models.serving()
        if row is None or self.spotter_id is None or (self._model is not None and self._model.model_id == row["id"]):
            return
        self._use(_load(row, self._files.root, self.spotter_id))

    def _use(self, model: Classifier) -> None:
        self._model = model
        self._served(model)
        log.info("model %d names birds now: %s", model.model_id, ", ".join(model.card.labels))

    # -- when

    def step(self) -> bool:
        """Look after a training, begin one that is due, judge some photos again; whether anything was done.

        Raises:
            TransientError: not now.
        """
        if self.spotter_id is None:
            return False
        if self._running is not None:
            return self._look_after(self._running)
        if self._judge_some_again():
            return True
        if self._clock() < self._next_look:
            return False
        self._next_look = self._clock() + LOOK_EVERY_S
        if self._settings.training.enabled and self._has_news() and (job := self._job_if_due()) is not None:
            self._begin(job)
            return True
        return False

    def _has_news(self) -> bool:
        """Whether people have said something since the last look, and have been quiet for a while; by no clock that can be set."""
        latest = self._store.models.latest_label()
        if latest is None or latest == self._looked_at:
            return False
        if latest != self._heard:
            self._heard, self._quiet_from = latest, self._clock() + QUIET_S
        if self._clock() < self._quiet_from:
            return False
        self._looked_at = latest
        return True

    def _job_if_due(self) -> "Frozen | None":
        last = self._store.models.latest_lesson()
        if (
            last is not None
            and self._store.models.labels_since(last["started_at"]) < self._settings.training.min_new_labels
        ):
            return None
        try:
            job = self._freeze()
        except Refused:
            return None
        return None if last is not None and last["fingerprint"] == job.fingerprint else job

    # -- the job

    def _freeze(self) -> "Frozen":
        """What can be learned now.

        Raises:
            Refused: too little.
        """
        rows = self._store.models.examples(str(self.spotter_id))
        wanted = self._settings.training.min_labels_per_species
        counts: dict[str, int] = {}
        for row in rows:
            counts[row["label"]] = counts.get(row["label"], 0) + 1
        rows = [row for row in rows if counts[row["label"]] >= wanted]
        if len({row["label"] for row in rows}) < 2:
            raise Refused(
                "there is too little to learn from yet",
                hint=f"name at least {wanted} photos of each of two species; so far: "
                + (", ".join(f"{shelving.printable(label)} {n}" for label, n in sorted(counts.items())) or "none"),
            )
        embeddings = np.stack([np.frombuffer(row["vector"], dtype="<f4") for row in rows])
        labelled = [
            splits.Labelled(row["id"], row["sha256"], row["label"], row["camera"], row["captured_at"]) for row in rows
        ]
        split = splits.split(labelled, splits.visits(labelled, embeddings), known_sides=self._known_sides())
        kept = [place for place in range(len(rows)) if not split.held_back[place]]
        examples = tuple(
            Example(
                photo_id=rows[place]["id"],
                sha256=rows[place]["sha256"],
                path=rows[place]["path"],
                label=rows[place]["label"],
                fold=split.folds[place],
                held_out=split.held_out[place],
            )
            for place in kept
        )
        return Frozen(examples, embeddings[kept], split.sides, fingerprint((one.sha256, one.label) for one in examples))

    def _known_sides(self) -> dict[str, bool]:
        last = self._last_job()
        return {} if last is None else dict(last.sides)

    def _last_job(self) -> Job | None:
        folders = sorted(
            (path for path in self._files.path(shelving.JOBS).glob("*") if path.name.isdigit()),
            key=lambda path: int(path.name),
        )
        for folder in reversed(folders):
            try:
                return Job.from_json((folder / JOB_FILE).read_text(encoding="utf-8"))
            except (OSError, ValueError):  # begun and never finished, or of another version
                continue
        return None

    def _begin(self, frozen: "Frozen") -> _Running:
        at = self._now()
        training_id = self._store.models.begin_training(
            "linear", fingerprint=frozen.fingerprint, label_count=len(frozen.examples), at=at
        )
        serving = self._model
        job = Job(
            kind="linear",
            training_id=training_id,
            spotter_id=str(self.spotter_id),
            seed=self._settings.training.seed,
            wanted_precision=self._settings.deciding.wanted_precision,
            strangers_let_in=self._settings.deciding.strangers_let_in,
            fingerprint=frozen.fingerprint,
            parent_sha256=None if serving is None else serving.sha256,
            recipe={"training_id": training_id},
            sides=frozen.sides,
            examples=frozen.examples,
        )
        folder = self._files.path(f"{shelving.JOBS}/{training_id}")
        with disk.translated("cannot write down what to learn from"):
            folder.mkdir()
            np.save(folder / EMBEDDINGS_FILE, frozen.embeddings)
            disk.write_whole(folder / JOB_FILE, job.to_json().encode())
        errand = Errand("teach", str(folder), program="birdwatchd.training")
        self._running = _Running(training_id, folder, errand, self._clock() + 60 * MOST_MINUTES_LINEAR)
        log.info("training %d begins: %d photos of %d species", training_id, len(job.examples), frozen.species)
        return self._running

    # -- what comes of it

    def _look_after(self, running: _Running) -> bool:
        back = running.errand.look()
        if back is None:
            if self._clock() < running.until:
                return False
            running.errand.call_off()
            self._fail(running, "it took too long")
            return True
        if not back.well:
            self._fail(running, back.words)
            return True
        self._running = None
        self._judge(running)
        return True

    def _fail(self, running: _Running, why: str) -> None:
        self._running = None
        log.warning("training %d failed: %s", running.training_id, why)
        self._store.models.end_training(running.training_id, "failed", [why], at=self._now())

    def _judge(self, running: _Running) -> None:
        try:
            job = Job.from_json((running.folder / JOB_FILE).read_text(encoding="utf-8"))
            report = Report.from_json((running.folder / REPORT_FILE).read_text(encoding="utf-8"))
            candidate = running.folder / Path(report.model).name
            Classifier.load(candidate, model_id=0, spotter_id=job.spotter_id)
            verdict = self._verdict(job, report)
        except (OSError, ValueError, ModelError) as error:
            self._fail(running, str(error))
            return
        for sentence in verdict.sentences:
            log.info("training %d: %s", running.training_id, sentence)
        path = f"{shelving.MODELS}/{candidate.name}"
        with disk.translated("cannot put the new model into its place"):
            if not self._files.path(path).exists():
                disk.rename_noreplace(candidate, self._files.path(path))
                disk.fsync(self._files.path(shelving.MODELS))
        model = NewModel(
            kind=job.kind,
            labels=report.labels,
            metrics=report.metrics,
            path=path,
            parent_id=None if self._model is None else self._model.model_id,
            recipe=job.recipe,
        )
        self._store.models.enter(model, running.training_id, verdict.sentences, promote=verdict.promote, at=self._now())
        if verdict.promote:
            self.serve()

    def _verdict(self, job: Job, report: Report) -> gate.Verdict:
        champion = self._model
        truth = {one.photo_id: one.label for one in job.examples}
        of_champion = self._guesses_of(champion, job, [guess.photo_id for guess in report.guesses])
        rows = [
            gate.Judged(guess.photo_id, truth[guess.photo_id], of_champion.get(guess.photo_id), guess.label)
            for guess in report.guesses
        ]
        rules = gate.Rules(protected=frozenset(self._settings.deciding.protected))
        return gate.judge(
            rows,
            rules,
            champion_labels=champion.card.labels if champion else (),
            candidate_labels=report.labels,
        )

    def _guesses_of(self, champion: Classifier | None, job: Job, asked: Sequence[int]) -> dict[int, str]:
        """What the model in use says of photos that it did not learn from; of those that it did, what was said before it had."""
        if champion is None:
            return {}
        learned: set[int] = set()
        guesses: dict[int, str] = {}
        folder = self._files.path(f"{shelving.JOBS}/{champion.card.recipe.get('training_id')}")
        try:
            own = Job.from_json((folder / JOB_FILE).read_text(encoding="utf-8"))
            said = Report.from_json((folder / REPORT_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            log.warning("what model %d was judged by is gone: %s", champion.model_id, error)
        else:
            learned = {one.photo_id for one in own.examples}
            guesses = {guess.photo_id: guess.label for guess in said.guesses}
        vectors = dict(
            zip(
                (one.photo_id for one in job.examples),
                np.load(self._files.path(f"{shelving.JOBS}/{job.training_id}") / EMBEDDINGS_FILE),
                strict=True,
            )
        )
        new = [photo_id for photo_id in asked if photo_id not in learned]
        for photo_id, naming in zip(new, champion.name([vectors[photo_id] for photo_id in new]), strict=True):
            guesses[photo_id] = naming.ranking[0][0]
        return guesses

    # -- judged again

    def _judge_some_again(self) -> bool:
        model = self._model
        if model is None or self._judged_by == model.model_id:
            return False
        photos = self._store.models.to_judge_again(model.model_id, str(self.spotter_id), limit=AT_ONCE)
        if not photos:
            self._judged_by = model.model_id
            return False
        rules = Rules(self._settings.spotter.empty_below, self._settings.deciding.confirm_first)
        vectors: list[Vector] = [np.frombuffer(photo["vector"], dtype="<f4").astype(np.float32) for photo in photos]
        for photo, vector, naming in zip(photos, vectors, model.name(vectors), strict=True):
            spotting = Spotting(str(self.spotter_id), photo["birdness"], naming.ranking, WHOLE_FRAME, vector)
            decision = deciding.judge(spotting, rules, naming, seen_before=self._store.models.was_named)
            self._carry_out(photo, decision)
        return True

    def _carry_out(self, photo: Row, decision: deciding.Decision) -> None:
        folder = shelving.folder_of(decision.outcome, label=decision.label)
        move: Move | None = None
        if photo["path"].rpartition("/")[0] != folder and self._files.exists(photo["path"]):
            target = self._mover.free_target(
                folder,
                photo["path"].rpartition("/")[2],
                sha256=photo["sha256"],
                photo_id=photo["id"],
                reserved=self._store.journeys.targets(),
            )
            move = Move(photo["id"], photo["path"], target, decision.outcome, str(decision.reason))
        self._store.journeys.record_judged_again(str(self.spotter_id), decision, move, photo["id"], self._now())
        if move is None:
            return
        done = self._mover.carry_out([move], {photo["id"]: self._store.journeys.get(photo["id"])})
        if done.trouble is not None:
            raise done.trouble
        log.info("judged again: %s -> %s", photo["original_name"], shelving.printable(done.moves[0].target))

    # -- by hand

    def train(self, _: Request) -> Work:
        """Train now, whatever the timetable says; tells what came of it."""
        if self.spotter_id is None:
            raise ModelError("there is no spotter, so nothing can be learned", hint="run `birdwatchd doctor`")
        running = self._running or self._begin(self._freeze())
        while self._running is running:
            yield {}
            self._look_after(running)
        while self._judge_some_again():
            yield {}
        row = self._store.models.latest_training() or {}
        return {"outcome": row.get("outcome"), "reasons": json.loads(row.get("reasons") or "[]")}

    def promote(self, request: Request) -> Work:
        """Let an older model serve."""
        yield from ()
        return self._promote(self._store.models.get(int(request.arguments["model_id"])))

    def roll_back(self, _: Request) -> Work:
        """Let the model serve that served before."""
        yield from ()
        return self._promote(self._store.models.before())

    def _promote(self, row: Row | None) -> dict[str, Any]:
        if row is None:
            raise Refused("there is no such model", hint="see `birdwatchd models list`")
        if self.spotter_id is None:
            raise ModelError("there is no spotter, so no model can be proved", hint="run `birdwatchd doctor`")
        model = _load(row, self._files.root, self.spotter_id)  # proved before anything is changed
        self._store.models.promote(row["id"], at=self._now())
        self._use(model)
        return {"model_id": row["id"], "labels": json.loads(row["labels"])}

    def close(self) -> None:
        """End a training that is under way; the next life begins it anew."""
        if self._running is not None:
            self._running.errand.call_off()
            self._running = None


@dataclass(frozen=True, slots=True)
class Frozen:
    """What is learned from: photos, their embeddings in the same order, on which side each photo is for ever, and a fingerprint."""

    examples: tuple[Example, ...]
    embeddings: npt.NDArray[np.float32]
    sides: Mapping[str, bool]
    fingerprint: str

    @property
    def species(self) -> int:
        """How many names there are."""
        return len({one.label for one in self.examples})
