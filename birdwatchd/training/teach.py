"""One training: a job's folder in, a candidate and a report out. What is judged is the exported file, read as the daemon reads it."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from birdwatchd.core.errors import ModelDamaged, Refused
from birdwatchd.core.job import EMBEDDINGS_FILE, JOB_FILE, REPORT_FILE, Guess, Job, Report
from birdwatchd.core.naming import Card, GoldenName
from birdwatchd.core.thresholds import NEVER, expected_calibration_error, strange_above, sure_above
from birdwatchd.edges.vision import Classifier
from birdwatchd.training import export, linear

PARITY = 1e-4
"""How far the exported file may be off from the training's own answers, in probability."""

Tell = Callable[[float, str], None]
"""How far it is (0–1), and what is being done."""


def teach(folder: Path, tell: Tell) -> Report:
    """Do the job in this folder and write its report.

    Raises:
        Refused: the job is none, or there is too little to learn from.
        ModelDamaged: the exported file does not say what was learned.
    """
    try:
        job = Job.from_json((folder / JOB_FILE).read_text(encoding="utf-8"))
        embeddings = np.load(folder / EMBEDDINGS_FILE, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise Refused(f"{folder.name} holds no training job that can be read: {error}") from error
    report = _teach_linear(job, embeddings, folder, tell)
    part = folder / f"{REPORT_FILE}.part"
    with part.open("w", encoding="utf-8") as file:
        file.write(report.to_json())
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / REPORT_FILE)
    return report


def _teach_linear(job: Job, embeddings: npt.NDArray[np.float32], folder: Path, tell: Tell) -> Report:
    shown = np.array([not one.held_out for one in job.examples])
    names = sorted({one.label for one in job.examples if not one.held_out})
    if len(names) < 2:
        raise Refused("there are not two species to tell apart yet", hint="name some photos of another species")
    number = {name: place for place, name in enumerate(names)}
    labels = np.array([number.get(one.label, -1) for one in job.examples])
    folds = np.array([one.fold for one in job.examples])
    ids = np.array([one.photo_id for one in job.examples])
    rng = np.random.default_rng(job.seed)
    features = linear.as_features(embeddings)
    seen, seen_labels, seen_folds = features[shown], labels[shown], folds[shown]

    tell(0.1, "asking models that have not seen the photos")
    asked, logits = [], []
    for index, answer, _ in linear.out_of_fold(seen, seen_labels, seen_folds, len(names), rng):
        asked.append(index)
        logits.append(answer)
    if not asked:
        raise Refused(
            "all photos are of one visit: they can be learned, but not judged", hint="name photos of other days"
        )
    order = np.concatenate(asked)
    out_of_fold = np.concatenate(logits)
    answerable = np.isfinite(out_of_fold[np.arange(len(order)), seen_labels[order]])
    warmth = linear.temperature(
        np.where(np.isfinite(out_of_fold), out_of_fold, -1e9)[answerable], seen_labels[order][answerable]
    )
    tell(0.4, "showing it strangers")
    rule, novelty_threshold = _novelty(job, seen, seen_labels, seen_folds, len(names), rng)
    probabilities = _softmax(out_of_fold / warmth)
    best, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = best == seen_labels[order]
    thresholds = sure_above(best, certainty, right, labels=len(names), precision=job.wanted_precision)

    tell(0.8, "writing it down and reading it as the daemon does")
    weights = linear.fit(seen, seen_labels, len(names), rng)
    card = Card(
        kind=job.kind,
        labels=tuple(names),
        spotter_id=job.spotter_id,
        sure_above=thresholds,
        strange_above=novelty_threshold,
        recipe={"components": linear.COMPONENTS, "shrinkage": linear.SHRINKAGE, "seed": job.seed, **job.recipe},
        fingerprint=job.fingerprint,
        parent_sha256=job.parent_sha256,
        golden=(GoldenName(0, (0.0,) * len(names), 0.0),),
    )
    path = export.write_linear(folder, card, weights, rule, warmth)
    served = Classifier.load(path, model_id=0, spotter_id=job.spotter_id)
    given, novelty = served.classify(embeddings.astype(np.float32))
    own, own_novelty = export.answers(weights, rule, warmth, embeddings)
    parity = max(float(np.abs(given - own).max()), float(np.abs(novelty - own_novelty).max()))
    best_two = np.sort(own, axis=1)[:, -2:]
    clear = best_two[:, 1] - best_two[:, 0] > 2 * PARITY
    if not parity <= PARITY or (given.argmax(axis=1) != own.argmax(axis=1))[clear].any():
        raise ModelDamaged(
            f"the exported model differs from the trained one by {parity:.2g}", hint="please report this"
        )

    if shown.all():
        sign_rows = np.full(len(order), np.nan)
        for index, _, of_fold in linear.out_of_fold(seen, seen_labels, seen_folds, len(names), rng):
            sign_rows[np.searchsorted(np.sort(order), index)] = rule.of(of_fold)
        novelty_of = dict(zip(np.sort(order).tolist(), sign_rows.tolist(), strict=True))
        guesses = [
            Guess(int(ids[place]), names[guess], float(p), float(novelty_of[place]))
            for place, guess, p in zip(order.tolist(), best.tolist(), certainty.tolist(), strict=True)
        ]
    else:
        held = np.flatnonzero(~shown)
        guesses = [
            Guess(int(ids[place]), names[int(given[place].argmax())], float(given[place].max()), float(novelty[place]))
            for place in held.tolist()
        ]
    truth = {one.photo_id: one.label for one in job.examples}
    hits = np.array([guess.label == truth[guess.photo_id] for guess in guesses])
    metrics = {
        "photos": float(shown.sum()),
        "judged": float(len(guesses)),
        "accuracy": float(hits.mean()),
        "calibration_error": expected_calibration_error(np.array([guess.probability for guess in guesses]), hits),
        "temperature": warmth,
    }
    return Report(path.name, tuple(names), tuple(guesses), metrics, parity)


def _novelty(
    job: Job, features: linear.Array, labels: linear.Labels, folds: linear.Labels, count: int, rng: np.random.Generator
) -> tuple[linear.NoveltyRule, float]:
    if count < linear.FEW_SPECIES:
        return linear.RULE_FOR_FEW, linear.STRANGE_FOR_FEW if job.strangers_let_in < 1 else NEVER
    signs, strange = linear.strangers(features, labels, folds, count, rng)
    rule = linear.fit_novelty(signs, strange)
    return rule, strange_above(rule.of(signs), strange, let_in=job.strangers_let_in)


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
