"""How the learning stands: what is missing until it begins, what came of the last time, who would do it. Reads only."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.core.health import parted
from birdwatchd.core.job import is_seen_by
from birdwatchd.core.meter import needed
from birdwatchd.core.settings import Settings, Training
from birdwatchd.core.shelfmoves import doubtful_names
from birdwatchd.core.tuning import LABELS_TO_FINETUNE, NEEDED
from birdwatchd.doctor.finding import Finding
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Row, Store
from birdwatchd.edges.systemd import TRAINING_PATH, TRAINING_UNIT, Unit
from birdwatchd.edges.trainer import (
    NOBODY_BEGINS_IT,
    UNHEARD_AFTER_S,
    WAKE_IT,
    Sign,
    missing_for_finetuning,
    sign_of,
)

MOST_SPECIES_NAMED = 5

SILENT_S = 3600.0
"""A training that says nothing for so long hangs; most say something several times a minute."""

SLOW_START_S = 600.0
"""So long after a training was begun its program may not have said anything, on a machine that has no time for it."""

BY_UNIT = "BIRDWATCHD_TRAINING__RUN_BY=unit"
"""How the service is told that a service of its own does the trainings."""


def of_learning(
    files: Files, store: Store, settings: Settings, spotter_id: str | None, age_s: Callable[[str], float]
) -> Iterator[Finding]:
    """What is missing until it learns, the last training, and whether a whole network could be trained.

    Args:
        spotter_id: None without a spotter: then nothing can be learned, and that is told elsewhere.
        age_s: seconds since a moment given as ISO-8601 UTC.
    """
    training = settings.training
    photos = 0
    if spotter_id is not None:
        counts = store.models.learnable(spotter_id)
        photos = sum(counts.values())
        yield from _older_photos(store, spotter_id)
        yield _next_lesson(store, counts, training, spotter_id)
    row = store.models.latest_training()
    if row is not None and row["finished_at"] is None:
        folder = files.path(f"{shelving.JOBS}/{row['id']}")
        yield _under_way(row, _sign_of(folder), age_s, daemon_runs=files.is_locked())
    elif row is not None:
        yield _outcome(row)
    yield _whole_network(training, photos)


def _older_photos(store: Store, spotter_id: str) -> Iterator[Finding]:
    """How many photos wait to be looked at again; nothing where none ever was seen by another spotter."""
    if store.looks.knows_another_spotter(spotter_id) and (left := store.looks.left(spotter_id)):
        yield Finding(
            "older photos",
            f"{left:,} are still to be looked at again with the new spotter, which a running birdwatchd does by itself;"
            " those that are gone or were changed are passed over",
        )


def _next_lesson(store: Store, counts: dict[str, int], training: Training, spotter_id: str) -> Finding:
    """How many names are missing until it learns."""
    if store.looks.knows_another_spotter(spotter_id) and (unseen := store.looks.named_left(spotter_id)):
        return Finding(
            "learning",
            f"{_counted(unseen, 'photo')} with a name are still to be looked at again with the new spotter;"
            f" seen so far: {_in_words(counts)}",
        )
    wanted = training.min_labels_per_species
    doubtful = doubtful_names(counts)
    sure = sorted((n for name, n in counts.items() if name not in doubtful), reverse=True)
    missing = sum(max(0, wanted - n) for n in [*sure, 0, 0][:2])
    if missing:
        return Finding(
            "learning",
            f"{_counted(missing, 'name')} to go until it can learn: {needed(wanted)} are needed,"
            f" so far there are {_in_words(counts)}",
        )
    species = sum(n >= wanted for n in sure)
    able = f"it can learn {species} species from your names"
    if not training.enabled:
        return Finding(
            "learning", f"{able}, but not by itself (enabled = false under [training]); `birdwatchd train` does it"
        )
    last = store.models.latest_lesson("linear")
    if last is None:
        return Finding("learning", f"{able}, and begins by itself as soon as you name no more")
    if not is_seen_by(str(last["fingerprint"]), spotter_id):
        return Finding("learning", f"{able} with the new spotter, and begins by itself as soon as you name no more")
    new = store.models.labels_since(last["id"])
    to_go = max(0, training.min_new_labels - new)
    since = f"{_counted(new, 'new name')} since training {last['id']}"
    if to_go:
        return Finding("learning", f"{able}; {since}, {to_go} to go until it learns again")
    return Finding("learning", f"{able}; {since}: it learns again by itself, if they change anything")


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _in_words(counts: dict[str, int]) -> str:
    best = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    named = ", ".join(f"{shelving.printable(name)} {n}" for name, n in best[:MOST_SPECIES_NAMED])
    more = len(best) - MOST_SPECIES_NAMED
    return f"{named or 'none'}{f' and {more} more species' if more > 0 else ''}"


# -- the last training

KINDS_IN_WORDS = {"linear": "the short training", "finetuned": "the long training"}


def _called(row: Row) -> str:
    return f"{KINDS_IN_WORDS[row['kind']]}, number {row['id']}"


def _outcome(row: Row) -> Finding:
    """What came of a training that is over, in words."""
    ended = f"{_called(row)}, of {row['finished_at'][:16].replace('T', ' ')} UTC"
    reasons = " ".join(json.loads(row["reasons"] or "[]"))
    match row["outcome"]:
        case "promoted":
            return Finding("training", f"{ended}: its model was promoted. {reasons}")
        case "kept":
            return Finding("training", f"{ended}: its model was kept out. {reasons}")
    what, advice = parted(reasons)
    if what == "it was interrupted":
        return Finding("training", f"{ended}: {what}; it is begun anew by itself")
    return Finding(
        "training",
        f"{ended}: it failed: {what}",
        advice or "`birdwatchd train` tries again; if it stays, please report it",
    )


def _sign_of(folder: Path) -> Sign | None:
    try:
        return sign_of(folder)
    except OSError:  # of another user, who lets nobody look
        return None


def _under_way(row: Row, sign: Sign | None, age_s: Callable[[str], float], *, daemon_runs: bool) -> Finding:
    """A training that has no end yet: is somebody at it?"""
    called = _called(row)
    if sign is None:
        return Finding("training", f"{called}, is under way; how far it is, this user may not see")
    silent_s = age_s(sign.at or row["started_at"])
    heard = "" if sign.progress is None else f": {sign.progress.what} ({sign.progress.done:.0%})"
    match sign.state:
        case "due" if silent_s > UNHEARD_AFTER_S:
            return Finding("training", f"{called}: {NOBODY_BEGINS_IT}", WAKE_IT)
        case "due":
            return Finding("training", f"{called}, waits for its turn")
        case "under way" if silent_s > SILENT_S:
            return Finding(
                "training",
                f"{called}, has said nothing for {silent_s / 3600:.1f} hours{heard}",
                "it ends by itself when its time is up (max_minutes); to end it now, restart birdwatchd"
                f" (`sudo systemctl restart birdwatchd`), and where it is a service `sudo systemctl stop {TRAINING_UNIT}`",
            )
        case "under way":
            return Finding("training", f"{called}, is under way{heard}")
        case "over":
            return Finding("training", f"{called}, is over, and will be judged {_when(daemon_runs=daemon_runs)}")
    if daemon_runs and silent_s > SLOW_START_S:
        return Finding(
            "training",
            f"{called}, was begun, and nobody is at it{heard}",
            "restart birdwatchd, which begins it anew: `sudo systemctl restart birdwatchd`",
        )
    if daemon_runs:
        return Finding("training", f"{called}, is just beginning, or just ending")
    return Finding("training", f"{called}, was cut short; it is begun anew {_when(daemon_runs=False)}")


def _when(*, daemon_runs: bool) -> str:
    return "in a moment" if daemon_runs else "when birdwatchd runs again"


# -- who would do it


def _whole_network(training: Training, photos: int) -> Finding:
    """Whether the extra `train` is there; found without loading any of it."""
    missing = missing_for_finetuning()
    if len(missing) == len(NEEDED):
        return Finding(
            "long training", "the extra `train` (PyTorch) is not installed; the short training needs none of it"
        )
    if missing:
        return Finding(
            "long training",
            f"the extra `train` is installed only in part; missing: {', '.join(missing)}",
            "install birdwatchd with its extra `train` once more, or remove what there is of it",
        )
    there = "the extra `train` (PyTorch) is installed"
    if not training.enabled or training.fine_tune == "never":
        return Finding("long training", f"{there}; only `birdwatchd train --finetune` uses it, as the settings want it")
    if photos < LABELS_TO_FINETUNE:
        return Finding(
            "long training", f"{there}; it begins with {LABELS_TO_FINETUNE} named photos, there are {photos}"
        )
    return Finding(
        "long training", f"{there}; it begins by itself ({training.hours}) when there is something new to learn"
    )


def of_training_units(service: Unit | None, run_by: str, find_unit: Callable[[str], Unit | None]) -> Iterator[Finding]:
    """Whether the service of its own that does the trainings is there; nothing where there shall be none.

    Args:
        service: birdwatchd's own.
        run_by: the setting.
        find_unit: what systemd says of a unit; None where it is not installed.
    """
    told = service is not None and BY_UNIT in service.properties.get("Environment", "").split()
    if not told and run_by != "unit":
        return
    path, unit = find_unit(TRAINING_PATH), find_unit(TRAINING_UNIT)
    absent = [name for name, found in ((TRAINING_PATH, path), (TRAINING_UNIT, unit)) if found is None]
    if path is None or unit is None:
        are = "is" if len(absent) == 1 else "are"
        yield Finding(
            "training service",
            f'a service of its own shall do the trainings (run_by = "unit"), but {" and ".join(absent)} {are} not installed',
            'install it as step 2 in the README says, or set run_by = "child" under [training] in config.toml',
        )
    elif path.state == "failed" or (service is not None and service.state == "active" and path.state != "active"):
        yield Finding(
            "training service", f"{TRAINING_PATH} is {path.state}: nobody sees that a training is due", WAKE_IT
        )
    elif path.is_stale or unit.is_stale:
        yield Finding(
            "training service",
            "its files have changed since they were read",
            f"`sudo systemctl daemon-reload; sudo systemctl restart {TRAINING_PATH}`",
        )
    elif unit.state == "failed":
        yield Finding(
            "training service",
            f"it did not end well the last time ({unit.result})",
            f"`sudo journalctl -u {TRAINING_UNIT}` says why; `sudo systemctl reset-failed {TRAINING_UNIT}` forgets it",
        )
    else:
        at_work = unit.state in ("activating", "active")
        yield Finding("training service", f"installed, {'at work' if at_work else 'waits for a training'}")
