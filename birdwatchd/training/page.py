"""The page about one training: what it learned from, how well it names, where it errs; for people who know birds and nothing of models.

A folder with `index.html` and the pictures it shows: no script, and nothing from elsewhere, so it opens from a disk and can be mailed.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from birdwatchd.core import shelving
from birdwatchd.core.errors import Refused, TransientError
from birdwatchd.core.gate import Flip, SpeciesScore, Verdict, wilson
from birdwatchd.core.job import (
    BATCH_FILE,
    JOB_FILE,
    PAGE_FILE,
    REPORT_FILE,
    VERDICT_FILE,
    Doubt,
    Example,
    Guess,
    Job,
    Report,
)
from birdwatchd.core.sentences import with_names
from birdwatchd.core.shelfmoves import STRONG_FROM
from birdwatchd.core.species_names import shown
from birdwatchd.training import plots

TEMPLATE = "page.html"

SHEET = 24
WORST = 24
PAIRS = 8
FLIPS = 48
DOUBTS = 60
DOUBT_NEIGHBOURS = 4

MOST_SPECIES_IN_PLOTS = 60
"""Of more, the plots show those that are mixed up most; the table has them all."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One photo as the page shows it.

    Attributes:
        src: relative to the page; None when there is no small picture of it.
        name: of its file.
        label: what people say.
    """

    src: str | None
    name: str
    label: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two species that are mixed up: photos of one that are taken for the other, the surest first."""

    label: str
    taken_for: str
    count: int
    of: int
    example: Picture
    looks_like: Picture | None


@dataclass(frozen=True, slots=True)
class Mistake:
    """A photo that the new model names wrong."""

    picture: Picture
    guess: Guess


@dataclass(frozen=True, slots=True)
class Changed:
    """A photo that one of the two models gets wrong."""

    picture: Picture
    flip: Flip


@dataclass(frozen=True, slots=True)
class Doubted:
    """A label that is probably wrong, with the photos that speak against it."""

    picture: Picture
    doubt: Doubt
    neighbours: tuple[Picture, ...]


class _Called:
    """What people want to read for a label; of one that the job does not tell, the English name."""

    def __init__(self, names: Mapping[str, str], labels: set[str]) -> None:
        self._names = names
        self._labels = labels | names.keys()

    def __call__(self, label: str) -> str:
        return shelving.printable(self._names.get(label) or shown(label))

    def sentence(self, text: str) -> str:
        """The same for the labels in a sentence of the verdict."""
        return with_names(text, self._labels, self)


class _Pictures:
    """The small pictures of photos, each copied once when it is first asked for."""

    def __init__(self, job: Job, page: Path) -> None:
        self._thumbs = Path(job.root) / shelving.THUMBS
        self._page = page
        self._examples = {one.photo_id: one for one in job.examples}

    def of(self, photo_id: int) -> Picture:
        one = self._examples.get(photo_id)
        if one is None:
            return Picture(None, f"photo {photo_id}", "")
        return Picture(self._copied(one), shelving.printable(PurePosixPath(one.path).name), one.label)

    def _copied(self, one: Example) -> str | None:
        src = f"photos/{one.sha256}.jpg"
        if not (self._page / src).exists():
            (self._page / src).parent.mkdir(exist_ok=True)
            try:
                shutil.copyfile(self._thumbs / one.sha256[:2] / f"{one.sha256}.jpg", self._page / src)
            except FileNotFoundError:  # thumbnails can be deleted at any time; the page says so
                return None
        return src


def make(job_dir: Path, out_dir: Path) -> Path:
    """Make the page about this job; whatever lies at its place is replaced by it as a whole.

    Returns:
        The page.
    Raises:
        Refused: there is no judged training in that folder.
        TransientError: the page cannot be written.
    """
    try:
        job = Job.from_json((job_dir / JOB_FILE).read_text(encoding="utf-8"))
        report = Report.from_json((job_dir / REPORT_FILE).read_text(encoding="utf-8"))
        verdict = Verdict.from_json((job_dir / VERDICT_FILE).read_text(encoding="utf-8"))
        judged_at = datetime.fromtimestamp((job_dir / VERDICT_FILE).stat().st_mtime, UTC).astimezone()
    except (OSError, ValueError) as error:
        raise Refused(f"{job_dir.name} holds no judged training that can be read: {error}") from error
    part, old = (out_dir.with_name(f".{out_dir.name}.{what}") for what in ("part", "old"))
    try:
        for litter in (part, old):
            shutil.rmtree(litter, ignore_errors=True)
        out_dir.parent.mkdir(
            exist_ok=True
        )  # but not what is above it: a bird folder that is away must not grow anew in its place
        part.mkdir()
        if (job_dir / BATCH_FILE).exists():
            shutil.copyfile(job_dir / BATCH_FILE, part / BATCH_FILE)
        text = _told(job, report, verdict, judged_at, part)
        with (part / PAGE_FILE).open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if out_dir.exists():
            out_dir.rename(old)
        part.rename(out_dir)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise TransientError(f"cannot write the page: {error.strerror or error}") from error
    return out_dir / PAGE_FILE


def _told(job: Job, report: Report, verdict: Verdict, judged_at: datetime, page: Path) -> str:
    pictures = _Pictures(job, page)
    truth = {one.photo_id: one.label for one in job.examples}
    known = frozenset(report.labels)
    judged = [guess for guess in report.guesses if truth[guess.photo_id] in known]
    right = sum(guess.label == truth[guess.photo_id] for guess in judged)
    held_back = {doubt.photo_id for doubt in report.doubts if doubt.held_back}
    wrong = sorted(
        (guess for guess in judged if guess.label != truth[guess.photo_id]),
        key=lambda guess: (-guess.probability, guess.photo_id),
    )
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    called = _Called(job.names, {*truth.values(), *report.labels})
    environment.filters |= {"percent": _percent, "counted": _counted, "bird": called, "told": called.sentence}
    return environment.get_template(TEMPLATE).render(
        job=job,
        report=report,
        verdict=verdict,
        judged_at=judged_at,
        right=right,
        judged=len(judged),
        interval=wilson(right, len(judged)),
        by_holding_out=any(one.held_out for one in job.examples),
        by_turns=not {guess.photo_id for guess in report.guesses}
        <= {one.photo_id for one in job.examples if one.held_out},
        learned=sum(not one.held_out and one.photo_id not in held_back for one in job.examples),
        held_back=len(held_back),
        strong_from=STRONG_FROM,
        batch=BATCH_FILE if (page / BATCH_FILE).exists() else None,
        sheet=[pictures.of(one.photo_id) for one in _spread(job.examples, held_back)],
        balance=_balance(job, held_back, called),
        mix_ups=_mix_ups(judged, truth, report.labels, called),
        trust=_trust(judged, truth),
        curves=_drawn(plots.curves(report.epochs)) if report.epochs else None,
        species=sorted(verdict.per_species, key=_weakest_first),
        pairs=_pairs(wrong, judged, truth, pictures),
        mistakes=[Mistake(pictures.of(guess.photo_id), guess) for guess in wrong[:WORST]],
        mistakes_in_all=len(wrong),
        flips=[Changed(pictures.of(flip.photo_id), flip) for flip in verdict.flipped[:FLIPS]],
        doubts=[_doubted(doubt, pictures) for doubt in report.doubts[:DOUBTS]],
        copies=[[pictures.of(one) for one in group[:6]] for group in report.near_copies[:12]],
    )


def _doubted(doubt: Doubt, pictures: _Pictures) -> Doubted:
    return Doubted(
        pictures.of(doubt.photo_id), doubt, tuple(pictures.of(one) for one in doubt.neighbours[:DOUBT_NEIGHBOURS])
    )


def _spread(examples: Iterable[Example], held_back: set[int]) -> list[Example]:
    """Some of the photos that are learned from, of as many species as fit: the first of each, then the second …"""
    seen: Counter[str] = Counter()
    turns = []
    for one in sorted(examples, key=lambda one: one.sha256):  # by hash: as good as by lot, and always the same
        if not one.held_out and one.photo_id not in held_back:
            turns.append((seen[one.label], one.label, one))
            seen[one.label] += 1
    return [one for _, _, one in sorted(turns, key=lambda turn: turn[:2])[:SHEET]]


def _balance(job: Job, held_back: set[int], called: _Called) -> Markup:
    learned, judging, back = Counter[str](), Counter[str](), Counter[str]()
    for one in job.examples:
        (judging if one.held_out else back if one.photo_id in held_back else learned)[one.label] += 1
    counts = learned + judging + back
    names = sorted(counts, key=lambda name: (-counts[name], name))
    parts = {"learned from": learned, "only judged on": judging, "held back": back}
    drawn = {part: [own[name] for name in names] for part, own in parts.items() if own or part == "learned from"}
    return _drawn(plots.balance(drawn, [called(name) for name in names]))


def _mix_ups(judged: list[Guess], truth: Mapping[int, str], labels: tuple[str, ...], called: _Called) -> Markup | None:
    if not judged:
        return None
    wrong = Counter[str]()
    for guess in judged:
        if guess.label != truth[guess.photo_id]:
            wrong.update((guess.label, truth[guess.photo_id]))
    names = sorted(sorted(labels, key=lambda name: (-wrong[name], name))[:MOST_SPECIES_IN_PLOTS])
    place = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=np.intp)
    for guess in judged:
        if guess.label in place and truth[guess.photo_id] in place:
            counts[place[truth[guess.photo_id]], place[guess.label]] += 1
    return _drawn(plots.mix_ups(counts, [called(name) for name in names]))


def _trust(judged: list[Guess], truth: Mapping[int, str]) -> Markup | None:
    if not judged:
        return None
    certainty = np.array([guess.probability for guess in judged])
    hits = np.array([guess.label == truth[guess.photo_id] for guess in judged])
    return _drawn(plots.trust(certainty, hits))


def _pairs(wrong: list[Guess], judged: list[Guess], truth: Mapping[int, str], pictures: _Pictures) -> list[Pair]:
    found: dict[tuple[str, str], list[Guess]] = {}
    for guess in wrong:
        found.setdefault((truth[guess.photo_id], guess.label), []).append(guess)
    of = Counter(truth[guess.photo_id] for guess in judged)
    plain = {guess.label: guess.photo_id for guess in judged if guess.label == truth[guess.photo_id]}
    commonest = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))[:PAIRS]
    return [
        Pair(
            label,
            other,
            len(guesses),
            of[label],
            pictures.of(guesses[0].photo_id),
            pictures.of(plain[other]) if other in plain else None,
        )
        for (label, other), guesses in commonest
    ]


def _drawn(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704  # our own, and matplotlib escapes the names in it


def _weakest_first(score: SpeciesScore) -> tuple[bool, float, str]:
    return score.n == 0, score.candidate_right / max(score.n, 1), score.label


def _percent(share: float) -> str:
    if 0.995 <= share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
