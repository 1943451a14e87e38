"""What two models said about the same photos in; which of them serves, and why in plain words, out.

The rules, all of which a new model has to keep to take over from an old one:

1. There is at least one held-out photo to compare them on.
2. It still knows every species that the old one knows and that a photo is still called by. If people have left so few photos of one
   that it can no longer be learned, that is no loss, unless it is protected.
3. It makes no more errors on the photos of species that both know.
4. Of a protected species it gets no photo wrong that the old one got right.
5. Of no other species with `floor_from` photos or more does it lose more than `may_lose` of them.

Species that are new to it do not count. Without an old model it has to name at least half of the photos right, and more than who
always says the commonest species.
"""

import json
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace

Z_95 = 1.959963984540054
"""How many standard deviations to each side hold 95 % of a normal distribution."""

FIRST_MODEL_RIGHT = 0.5
NAMES_AT_ONCE = 5
"""Species that a sentence names before it counts the rest."""

LABEL_MORE = "It is tried again when more photos have been named."


@dataclass(frozen=True, slots=True)
class Judged:
    """What was said about one photo that neither model was trained on.

    Attributes:
        label: what a person says.
        champion: the old model's guess; None if there is no old model, or if it may have been trained on this photo.
        candidate: the new model's guess.
    """

    photo_id: int
    label: str
    champion: str | None
    candidate: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What a new model may not do.

    Attributes:
        protected: species of which it may not lose a single photo.
        floor_from: photos from which on a species is looked at alone; of fewer, one photo is worth too much.
        may_lose: share of the photos of such a species, 0–1, that it may name right less often than the old one.
    """

    protected: frozenset[str]
    floor_from: int = 20
    may_lose: float = 0.05

    def __post_init__(self) -> None:
        if self.floor_from < 1:
            raise ValueError(f"floor_from is 1 or more, not {self.floor_from}")
        if not 0 <= self.may_lose <= 1:
            raise ValueError(f"may_lose is between 0 and 1, not {self.may_lose}")


@dataclass(frozen=True, slots=True)
class Flip:
    """A photo that one model names right and the other wrong; `became_right` if the new one is right."""

    photo_id: int
    label: str
    champion: str
    candidate: str
    became_right: bool


@dataclass(frozen=True, slots=True)
class SpeciesScore:
    """How well one species is named.

    Attributes:
        n: photos of it that were judged on; if the old model knows it, only those it gave a guess for (unless there is none).
        champion_right: of these, named right by the old model; None if it cannot be compared.
        low, high: 95 % Wilson interval of candidate_right / n; 0 and 1 without photos.
    """

    label: str
    n: int
    champion_right: int | None
    candidate_right: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who serves from now on.

    Attributes:
        promote: the new model takes over.
        sentences: what happened and what changes, for people who know birds and nothing of models.
        flipped: photos of species that the old model knows; those that became wrong come first.
        per_species: of every species that either model knows or that a photo shows, by name.
        reasons: each rule that is broken, in words; empty if the new model takes over.
    """

    promote: bool
    sentences: tuple[str, str]
    flipped: tuple[Flip, ...]
    per_species: tuple[SpeciesScore, ...]
    reasons: tuple[str, ...]

    def by_another_model(self) -> "Verdict":
        """What becomes of it when another model was put into use meanwhile: that one it was not compared with."""
        return replace(
            self,
            promote=False,
            sentences=(
                "Another model names birds since this training began, and the new one was not compared with it: it does not take over.",
                "It can be put into use by hand, and the next training is compared with the model that is in use then.",
            ),
            reasons=("it was compared with another model than the one in use",),
        )

    def to_json(self) -> str:
        """`from_json` is the inverse."""
        return json.dumps(asdict(self), ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Verdict":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is no verdict.
        """
        fields = json.loads(text)
        try:
            first, second = fields.pop("sentences")
            return cls(
                sentences=(first, second),
                flipped=tuple(Flip(**one) for one in fields.pop("flipped")),
                per_species=tuple(SpeciesScore(**one) for one in fields.pop("per_species")),
                reasons=tuple(fields.pop("reasons")),
                **fields,
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"a verdict with other fields: {error}") from error


def judge(
    rows: Sequence[Judged],
    rules: Rules,
    *,
    champion_labels: Collection[str],
    candidate_labels: Collection[str],
    too_few: Collection[str] = (),
) -> Verdict:
    """Decide whether a new model takes over.

    Args:
        rows: one for each photo. Those of species that the new model does not know do not count against it, except that it has to
            know what the old one knows: a species with too few labels is left out of training on purpose.
        champion_labels: species that the old model knows and that a photo is still called by; none if there is no old model.
        candidate_labels: species that the new model knows.
        too_few: species that could not be learned, because too few photos are called by their name.
    """
    old, new = frozenset(champion_labels), frozenset(candidate_labels)
    left = frozenset(too_few) & old - new - rules.protected
    old -= left
    scores = _scores(rows, old, new)
    if old:
        both = old & new
        compared = [row for row in rows if row.label in both and row.champion is not None]
        reasons = _broken_rules(compared, rules, gone=sorted(old - new))
        sentences = _against_the_old(compared, scores, reasons, old, new, left)
    else:
        known = [row for row in rows if row.label in new]
        reasons = _unfit_for_a_start(known)
        sentences = _for_the_first(known, reasons)
    return Verdict(
        promote=not reasons,
        sentences=sentences,
        flipped=_flips(rows, old),
        per_species=tuple(scores.values()),
        reasons=tuple(reasons),
    )


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson (1927): it stays within 0–1 and is honest about few photos."""
    if n == 0:
        return 0.0, 1.0
    share, weight = right / n, Z_95**2 / n
    middle = (share + weight / 2) / (1 + weight)
    half = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def _scores(rows: Sequence[Judged], old: frozenset[str], new: frozenset[str]) -> dict[str, SpeciesScore]:
    shown = _by_species(rows)
    scores = {}
    for label in sorted(old | new | shown.keys()):
        photos = shown.get(label, [])
        compared = [row for row in photos if label in old and row.champion is not None]
        counted = compared or photos
        right = _candidate_right(counted)
        scores[label] = SpeciesScore(
            label, len(counted), _champion_right(compared) if compared else None, right, *wilson(right, len(counted))
        )
    return scores


def _flips(rows: Sequence[Judged], old: frozenset[str]) -> tuple[Flip, ...]:
    flips = [
        Flip(row.photo_id, row.label, row.champion, row.candidate, row.candidate == row.label)
        for row in rows
        if row.champion is not None and row.label in old and (row.champion == row.label) != (row.candidate == row.label)
    ]
    return tuple(sorted(flips, key=lambda flip: (flip.became_right, flip.photo_id)))


def _broken_rules(compared: Sequence[Judged], rules: Rules, *, gone: Sequence[str]) -> list[str]:
    """In the order in which a person wants to hear of them: the first one goes into the sentence."""
    broken = []
    if not compared:
        broken.append("there is no held-out photo of a species that both models know")
    if gone:
        broken.append(f"it no longer knows {listed(gone)}")
    wrong, wrong_before = len(compared) - _candidate_right(compared), len(compared) - _champion_right(compared)
    if wrong > wrong_before:
        broken.append(
            f"it makes {_counted(wrong, 'error')} on {_counted(len(compared), 'photo')}, the old one {wrong_before}"
        )
    for label, photos in _by_species(compared).items():
        right, right_before = _candidate_right(photos), _champion_right(photos)
        lost = sum(row.champion == label != row.candidate for row in photos)
        if label in rules.protected and lost:
            broken.append(
                f"it gets {_counted(lost, 'photo')} of {label} wrong that the old one got right, and {label} is protected"
            )
        elif len(photos) >= rules.floor_from and (right_before - right) / len(photos) > rules.may_lose:
            broken.append(f"of {label} it names {right} of {len(photos)} photos right, the old one {right_before}")
    return broken


def _unfit_for_a_start(known: Sequence[Judged]) -> list[str]:
    if not known:
        return ["there is no held-out photo of a species that it knows"]
    broken = []
    right = _candidate_right(known)
    commonest, commonest_right = _commonest(known)
    if right < FIRST_MODEL_RIGHT * len(known):
        broken.append("it names fewer than half right")
    if right <= commonest_right:
        broken.append(f"it is no better than always saying {commonest}")
    return broken


def _against_the_old(
    compared: Sequence[Judged],
    scores: dict[str, SpeciesScore],
    reasons: Sequence[str],
    old: frozenset[str],
    new: frozenset[str],
    left: frozenset[str],
) -> tuple[str, str]:
    if not compared:
        return f"{_capital(reasons[0])}, so the old model stays.", LABEL_MORE
    right, before, total = _candidate_right(compared), _champion_right(compared), len(compared)
    named = f"The new model names {right} of {_counted(total, 'held-out photo')} right, "
    named += "as many as the old one" if right == before else f"the old one {before}"
    if not reasons:
        first = f"{named}: it takes over."
    elif right < before and not old - new:
        first = f"{named}, so the old model stays."
    else:
        first = f"{named}, but {reasons[0]}, so the old model stays."
    changes = _what_changes(
        [scores[label] for label in _by_species(compared)], sorted(new - old), sorted(old - new), sorted(left)
    )
    return first, changes


def _what_changes(
    compared: Sequence[SpeciesScore], new: Sequence[str], gone: Sequence[str], left: Sequence[str]
) -> str:
    gains = {score.label: score.candidate_right - (score.champion_right or 0) for score in compared}
    better = [label for label, gain in gains.items() if gain > 0]
    worse = [label for label, gain in gains.items() if gain < 0]
    if better and worse:
        said = f"It is better at {listed(better)}, but worse at {listed(worse)}"
    elif better:
        others = len(gains) > len(better)
        said = f"It is better at {listed(better)}" + (", and no worse at any other" if others else "")
    elif worse:
        said = f"It is worse at {listed(worse)}, and better at none"
    else:
        said = "It is neither better nor worse at any species"
    if new:
        said += f"; {listed(new)} {'is' if len(new) == 1 else 'are'} new"
    if gone:
        said += f"; it no longer knows {listed(gone)}"
    if left:
        said += f"; too few photos are called {listed(left)} now for it to know {'it' if len(left) == 1 else 'them'}"
    return f"{said}."


def _for_the_first(known: Sequence[Judged], reasons: Sequence[str]) -> tuple[str, str]:
    if not known:
        return f"{_capital(reasons[0])}, so it is not used.", LABEL_MORE
    photos = _counted(len(known), "held-out photo")
    named = f"The new model names {_candidate_right(known)} of {photos} right"
    if reasons:
        return f"{named}, but {reasons[0]}, so it is not used.", LABEL_MORE
    commonest, commonest_right = _commonest(known)
    return (
        f"{named}, and there is no old one: it takes over.",
        f"Always saying {commonest}, the commonest, would name {commonest_right} right.",
    )


def _by_species(rows: Sequence[Judged]) -> dict[str, list[Judged]]:
    """The photos of each species, species by name."""
    photos: dict[str, list[Judged]] = {label: [] for label in sorted({row.label for row in rows})}
    for row in rows:
        photos[row.label].append(row)
    return photos


def _candidate_right(rows: Sequence[Judged]) -> int:
    return sum(row.candidate == row.label for row in rows)


def _champion_right(rows: Sequence[Judged]) -> int:
    return sum(row.champion == row.label for row in rows)


def _commonest(rows: Sequence[Judged]) -> tuple[str, int]:
    counts = Counter(row.label for row in rows)
    label = min(counts, key=lambda name: (-counts[name], name))
    return label, counts[label]


def listed(names: Sequence[str]) -> str:
    """The names as one says them: `crow`, `crow and jay`, `crow, jay and wren`, `crow, jay, kite, rook, wren and 4 others`."""
    if len(names) > NAMES_AT_ONCE + 1:  # naming one is as short as counting it
        names = [*names[:NAMES_AT_ONCE], f"{len(names) - NAMES_AT_ONCE} others"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
