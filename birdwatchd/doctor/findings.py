"""What is well and what is not, each with what to do. Reads only, beside a running daemon or without one."""

import json
import os
from collections.abc import Callable, Iterable, Iterator

from birdwatchd import __version__
from birdwatchd.core import shelving
from birdwatchd.core.errors import BirdwatchdError, DamagedDatabase, DiskFull, ModelOfAnotherSpotter
from birdwatchd.core.health import parted
from birdwatchd.core.meter import needed
from birdwatchd.core.photo import State
from birdwatchd.core.settings import Settings, Training
from birdwatchd.core.shelfmoves import STRONG_FROM, doubtful_names
from birdwatchd.doctor.finding import Finding
from birdwatchd.doctor.learning import of_learning, of_training_units
from birdwatchd.doctor.page import of_page
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Row, Store
from birdwatchd.edges.store.copies import backups_in
from birdwatchd.edges.systemd import Unit
from birdwatchd.edges.trainer import NOBODY_BEGINS_IT
from birdwatchd.edges.vision import Classifier, Spotter
from birdwatchd.edges.walls import Wall
from birdwatchd.mover import LOST

LOW_DISK_BYTES = 1 << 30
STALE_BACKUP_DAYS = 3
FEW = 10
"""So many photos a person may well have moved or deleted; if most of many are gone, something is wrong."""

STALE_STATUS_S = 3
"""A running daemon writes its status every sweep; after this many missed sweeps it counts as hanging."""


def examine(
    files: Files,
    *,
    load_spotter: Callable[[], Spotter],
    settings: Settings,
    age_s: Callable[[str], float],
    unit: Unit | None,
    find_unit: Callable[[str], Unit | None],
) -> Iterator[Finding]:
    """Look at folder, log, eye, learning, daemon, books, backups, disk and services, one finding each.

    Args:
        age_s: seconds since a moment given as ISO-8601 UTC.
        unit: the service, where it is installed.
        find_unit: other services by name; None where one is not installed.
    """
    try:
        files.check(mend=False)
    except BirdwatchdError as error:
        yield _bad("bird folder", error)
        yield of_unit(unit)
        return
    yield Finding("bird folder", f"{files.root} is one, on one file system, writable")
    eye, spotter_id = _eye(load_spotter)
    yield eye
    try:
        with Store.read_only(files.path(shelving.DATABASE)) as store:
            yield from _log(store)
            if spotter_id is not None:
                yield _model(files, store.models.serving(), spotter_id, settings.training)
            yield from of_learning(files, store, settings, spotter_id, age_s)
            yield from _daemon(files, store.requests.status(), settings.inbox.sweep_s, age_s)
            yield from _books(files, store)
            yield from _names(store)
    except BirdwatchdError as error:
        yield _bad("log", error)
    if settings.retention.backups:
        yield _backups(files, age_s)
    yield _disk(files, int(settings.inbox.reserve_mb * 1e6))
    yield of_unit(unit)
    yield from of_training_units(unit, settings.training.run_by, find_unit)
    yield from of_page(files, settings.web, find_unit)


def _bad(subject: str, error: BirdwatchdError) -> Finding:
    return Finding(subject, error.message, error.hint)


def _eye(load_spotter: Callable[[], Spotter]) -> tuple[Finding, str | None]:
    try:
        spotter = load_spotter()
    except BirdwatchdError as error:
        return _bad("spotter", error), None
    words = f"{spotter.id} gives the answers it was built with ({spotter.provider})"
    return Finding("spotter", words), spotter.id


def _model(files: Files, row: Row | None, spotter_id: str, training: Training) -> Finding:
    """The model in use, as the next start will find it; a running daemon has the one that it loaded."""
    if row is None:
        wanted = needed(training.min_labels_per_species)
        return Finding("model", f"none yet; name {wanted}, and one is made by itself")
    try:
        model = Classifier.load(files.path(row["path"]), model_id=row["id"], spotter_id=spotter_id)
    except ModelOfAnotherSpotter:
        how = (
            "a new one is made by itself, once the daemon has looked again at the photos that you named"
            if training.enabled
            else "`birdwatchd train` makes a new one, for it does not learn by itself (enabled = false under [training])"
        )
        return Finding("model", f"model {row['id']} was made for another spotter; {how}")
    except BirdwatchdError as error:
        return _bad("model", error)
    return Finding("model", f"model {row['id']} names birds: {shelving.printable(', '.join(model.card.labels))}")


def _log(store: Store) -> Iterator[Finding]:
    problems = store.connection.problems()
    if problems:
        yield Finding(
            "log",
            "; ".join(problems),
            DamagedDatabase.default_hint,
        )
    else:
        yield Finding("log", "SQLite finds nothing wrong with it")


def _daemon(files: Files, status: Row | None, sweep_s: float, age_s: Callable[[str], float]) -> Iterator[Finding]:
    if not files.is_locked():
        yield Finding("daemon", "none is running; start one with `birdwatchd run`")
    elif status is None:
        yield Finding("daemon", "one is starting")
    elif age_s(status["updated_at"]) > STALE_STATUS_S * sweep_s:
        yield Finding(
            "daemon", f"it last said something at {status['updated_at']}", "restart it: `systemctl restart birdwatchd`"
        )
    else:
        yield from _running_daemon(status)
    for one in json.loads(status["waiting_files"]) if status else []:
        why, hint = _advised(one["why"])
        yield Finding("inbox", f"{one['file']} waits: {why}", hint or None)


BETTER_ADVICE = {
    "Too many open files": "restart it: `sudo systemctl restart birdwatchd`; if it comes again, please report it",
    "may not be taken: Operation not permitted": "its folder is sticky, so that only who owns a file may take it: `chmod -t` it",
    "can't start new thread": "too much runs on this machine; birdwatchd works on, but slower. Restart it when that is over",
}
"""What the system says of itself, whatever birdwatchd was about to do."""


SEEN_HERE_TOO = ("the name ", "birds are named by nobody: ", "birds wait for their names: ", NOBODY_BEGINS_IT)
"""How problems of the daemon begin that the doctor finds for itself, and says more of."""


def _running_daemon(status: Row) -> Iterator[Finding]:
    problems = [one for one in json.loads(status["problems"]) if not one.startswith(SEEN_HERE_TOO)]
    for problem in problems:
        what, hint = _advised(problem)
        yield Finding("daemon", what, hint or "set right what it says; birdwatchd tries again by itself")
    if status["watcher"] == "sweep" and not problems:
        yield Finding("daemon", "new photos are found only by the sweep", "restart it: `systemctl restart birdwatchd`")
    if status["version"] != __version__:
        yield Finding(
            "daemon",
            f"it is birdwatchd {status['version']}, and {__version__} is installed",
            "restart it: `sudo systemctl restart birdwatchd`, or stop it and start it again",
        )
    elif not problems:
        yield Finding("daemon", f"it is working; new photos are noticed by {status['watcher']}")


def _advised(problem: str) -> tuple[str, str]:
    """A problem as the daemon tells it, and what to do about it; that is empty when nothing need be done."""
    what, hint = parted(problem)
    return what, next((advice for words, advice in BETTER_ADVICE.items() if words in what), hint)


def _books(files: Files, store: Store) -> Iterator[Finding]:
    """Do files and rows agree? Nothing is inferred from a folder that is not there; nothing is ever changed."""
    rows = store.questions.kept_paths()
    known = {row["path"] for row in rows}
    gone = [row for row in rows if not files.exists(row["path"])]
    moved = {row["path"] for row in gone}
    there = {row["sha256"][: shelving.HASH_DIGITS] for row in rows if row["sha256"] and row["path"] not in moved}
    unknown = sorted(path for path in kept_files(files) if path not in known)
    copies = [path for path in unknown if shelving.digits_in(path) in there]
    strangers = [path for path in unknown if shelving.digits_in(path) not in there]
    if len(gone) > len(rows) / 2 and len(gone) > FEW:
        yield Finding(
            "photos",
            f"{len(gone)} of {len(rows)} are not where they were put, such as {shelving.printable(gone[0]['path'])}",
            "if you did not move or delete them yourself: is the disk mounted?",
        )
    elif gone:
        first = shelving.printable(gone[0]["path"])
        yield Finding(
            "photos",
            f"{len(gone)} of {len(rows)} were moved or deleted by somebody, such as {first}; that is all right",
        )
    if strangers:
        first = shelving.printable(strangers[0])
        yield Finding(
            "photos",
            f"{len(strangers)} files in the folders are not in the log, such as {first}; they stay where they are, and whole"
            " photos in a species folder are taken up where they lie while birdwatchd runs",
        )
    if copies:
        first = shelving.printable(copies[0])
        yield Finding(
            "photos",
            f"{len(copies)} are copies by their names, such as {first}; of each, the other file is the one in the log",
        )
    if not gone and not unknown:
        yield Finding("photos", f"all {len(rows)} are where the log says")
    for photo in store.questions.recent(limit=5, state=State.MISSING, reason=LOST):
        yield Finding(
            "photos",
            f"photo {photo['id']} ({photo['original_name']}) was lost on its way to its place",
            "copy it from the camera again, and report it: this must not happen",
        )


def _names(store: Store) -> Iterator[Finding]:
    """Names that people gave to few photos, and that look like other names."""
    counts = store.questions.label_counts()
    for name, other in sorted(doubtful_names(counts).items()):
        place = (
            shelving.printable(other)
            if other == shelving.NO_BIRD
            else f"{shelving.LIBRARY}/{shelving.printable(other)}"
        )
        one_way = f"if it is a slip, move its photos to {place}"
        either_way = "if one of the two is a slip, move its photos to the other"
        yield Finding(
            "names",
            f"{shelving.printable(name)} ({counts[name]} of {STRONG_FROM} photos) looks like {shelving.printable(other)}",
            (either_way if counts[name] == counts.get(other) else one_way)
            + f"; else leave it: it is learned as soon as {STRONG_FROM} photos have that name",
        )


def kept_files(files: Files) -> Iterator[str]:
    """Every file in the folders where photos rest, but for notes and hidden ones."""
    for shelf in (shelving.LIBRARY, shelving.REVIEW, shelving.EMPTY, shelving.QUARANTINE, shelving.DUPLICATES):
        for folder, folders, names in os.walk(files.path(shelf)):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = f"{os.path.relpath(folder, files.root)}/{name}"
                is_note = (
                    shelf == shelving.QUARANTINE and name.endswith(".json") and name.removesuffix(".json") in names
                )
                if not name.startswith(".") and not is_note:
                    yield path


def _backups(files: Files, age_s: Callable[[str], float]) -> Finding:
    made = backups_in(files.path(shelving.BACKUPS))
    if not made:
        return Finding("backups", "none of the log yet; the daemon makes one a day, `birdwatchd backup` makes one now")
    days = age_s(made[-1].made_at.isoformat()) / 86_400
    words = f"{len(made)} of the log, the newest of {made[-1].made_at:%Y-%m-%d %H:%M} UTC"
    if days > STALE_BACKUP_DAYS:
        return Finding(
            "backups", f"{words}, {days:.0f} days ago", "let the daemon run, or make one: `birdwatchd backup`"
        )
    return Finding("backups", words)


def _disk(files: Files, reserve_bytes: int) -> Finding:
    free = files.free_bytes()
    words = f"{free / 1e9:.1f} GB free"
    try:
        files.check_room(reserve_bytes)
    except DiskFull as error:
        return Finding("disk", f"{words}; {error.message}", error.hint)
    if free < max(LOW_DISK_BYTES, 2 * reserve_bytes):
        return Finding("disk", words, "make room; when the disk is full, photos wait in the inbox")
    return Finding("disk", words)


ENDS = {
    "exit-code": "it ended with code {code}",
    "signal": "it crashed",
    "core-dump": "it crashed",
    "watchdog": "it hung and was ended",
    "oom-kill": "it was ended because memory ran out",
    "timeout": "it took too long to start or to stop",
    "start-limit-hit": "it failed many times in a row",
    "resources": "the system had nothing left to start it with",
}
"""How a service ends that fails, in words."""

CONFIG_EXIT = 2
"""What birdwatchd ends with when a person must change something first."""


def of_unit(unit: Unit | None) -> Finding:
    """The service, as the service manager sees it."""
    if unit is None:
        return Finding("service", "not installed; see the README, if birdwatchd shall start with the machine")
    ended = ENDS.get(unit.result, f"it ended: {unit.result}").format(code=unit.exit_code)
    if unit.state == "failed" and unit.exit_code == CONFIG_EXIT:
        return Finding(
            "service",
            "it does not start, and stays down, until something is set right",
            "`systemctl status birdwatchd` says what; then `sudo systemctl start birdwatchd`",
        )
    if unit.state == "failed":
        return Finding(
            "service",
            f"{ended}, and stays down",
            "`sudo journalctl -u birdwatchd` says why; then"
            " `sudo systemctl reset-failed birdwatchd; sudo systemctl start birdwatchd`",
        )
    if unit.sub_state == "auto-restart":
        return Finding(
            "service",
            f"{ended}; it is started again and again, {unit.restarts} times so far",
            "`sudo journalctl -u birdwatchd` says why",
        )
    if unit.is_stale:
        return Finding(
            "service",
            "its files have changed since it was started",
            "`sudo systemctl daemon-reload; sudo systemctl restart birdwatchd`",
        )
    changed = f", changed by {', '.join(path.name for path in unit.drop_ins)}" if unit.drop_ins else ""
    again = f", started again by itself {unit.restarts} times" if unit.restarts else ""
    return Finding("service", f"installed, {unit.state}{changed}{again}")


def of_walls(walls: Iterable[Wall], *, daemon: bool) -> Iterator[Finding]:
    """What a photo that took birdwatchd over could do, one finding for each wall.

    Args:
        daemon: whether the daemon tried it from inside, or only the command that asks.
    """
    advice = (
        "start birdwatchd as the service (README); if it is one, `systemctl cat birdwatchd` shows what opens this wall"
        if daemon
        else "start the service and ask again: only it has walls"
    )
    for wall in walls:
        if wall.holds:
            yield Finding("wall", f"it cannot {wall.must_not} ({wall.what.removeprefix('refused: ')})")
        elif wall.meant:
            yield Finding("wall", f"it can {wall.must_not}, because it was given a graphics card")
        else:
            yield Finding("wall", wall.what, advice)
