"""How birdwatchd is, in sentences for the people whose birds it names: each with what to do, where something is to be done.

Made of what the daemon last said of itself and of a few facts of the log; nothing is looked at here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from birdwatchd.core.looking_back import is_running
from birdwatchd.core.meter import needed
from birdwatchd.core.shelving import printable

LOW_DISK_BYTES = 1 << 30

COUNTED = 10_000
"""Photos that wait for a look are counted no further: whoever has so many is helped by no exact number."""

START_IT = "Start it: `birdwatchd run`, or `sudo systemctl start birdwatchd` where it is a service."
RESTART_IT = "Restart it: `sudo systemctl restart birdwatchd`, or stop it and start it again."
IT_TRIES_AGAIN = "Set right what it says; birdwatchd tries again by itself."

_NOTICED: dict[str, tuple[str, str | None]] = {
    "events": ("New photos are noticed at once.", None),
    "polling": ("New photos are noticed by looking again and again, within seconds.", None),
    "sweep": ("New photos are found only when the whole inbox is looked through.", RESTART_IT),
}


"""How new photos are noticed; one that only empties the inbox once has no such word."""


@dataclass(frozen=True, slots=True)
class Point:
    """One sentence. `advice` says what to do; None when all is well."""

    subject: str
    what: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of a daemon and its log.

    Attributes:
        status: the daemon's last word about itself; None before its first.
        now: ISO-8601 UTC.
        sweep_s: how often it says such a word at least.
        last_decided_at: when a photo was last judged; None if none was.
        serving: the model in use; None without one.
        waiting_for_a_look: photos that wait for a person; `COUNTED` means at least so many.
        set_aside: files that are no whole pictures.
        enough: so many names a species needs to be learned.
        version: of the program that asks.
    """

    status: Mapping[str, Any] | None
    now: str
    sweep_s: float
    last_decided_at: str | None
    serving: int | None
    waiting_for_a_look: int
    set_aside: int
    enough: int
    version: str

    @property
    def running(self) -> bool:
        """Whether the daemon is at work."""
        told = self.status or {}
        return is_running(told.get("state"), told.get("updated_at"), self.now, sweep_s=self.sweep_s)

    @property
    def problems(self) -> list[str]:
        """What troubles the daemon, in its own words; nothing does where none is at work."""
        return json.loads(self.status["problems"]) if self.status and self.running else []


def parted(problem: str) -> tuple[str, str]:
    """A problem as birdwatchd tells it, "what (what to do)", in its two parts; the second is empty when it has none."""
    depth = 0
    for index in range(len(problem) - 1, -1, -1):
        depth += (problem[index] == ")") - (problem[index] == "(")
        if depth == 0:
            return (problem[:index].rstrip(), problem[index + 1 : -1]) if problem.endswith(")") else (problem, "")
    return problem, ""


def ago(then: str, now: str) -> str:
    """How long ago that was, as people say it. Clocks may differ a little, so what is to come is now."""
    seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(then)).total_seconds()
    for limit_s, unit_s, unit in ((5400, 60, "minute"), (129600, 3600, "hour"), (float("inf"), 86400, "day")):
        if seconds < limit_s:
            count = round(seconds / unit_s)
            return "just now" if count < 1 else f"{count:,} {unit}{'' if count == 1 else 's'} ago"
    raise AssertionError("no time is longer than for ever")


def points(signs: Signs) -> list[Point]:
    """All that there is to say, what needs somebody first."""
    said = [_daemon(signs)]
    if signs.status is not None and signs.running:
        said += [_problem(problem) for problem in signs.problems]
        said += _of_a_running(signs.status)
    said += [_photos(signs), *_set_aside(signs), _model(signs)]
    if signs.status is not None:
        said.append(_disk(signs.status["disk_free_bytes"]))
    return sorted(said, key=lambda point: point.advice is None)


def _daemon(signs: Signs) -> Point:
    subject = "birdwatchd"
    if signs.status is None:
        return Point(subject, "It has not run here yet.", START_IT)
    if signs.status["state"] == "stopped":
        return Point(subject, f"It was stopped {ago(signs.status['updated_at'], signs.now)}.", START_IT)
    if not signs.running:
        told = ago(signs.status["updated_at"], signs.now)
        return Point(subject, f"It last said something {told}; it may hang, or have died.", RESTART_IT)
    if signs.status["version"] != signs.version:
        running, here = printable(signs.status["version"]), signs.version
        return Point(subject, f"Version {running} is running, and {here} is installed.", RESTART_IT)
    return Point(subject, f"It is at work; it was started {ago(signs.status['started_at'], signs.now)}.")


def _problem(problem: str) -> Point:
    what, advice = parted(problem)
    return Point("Trouble", _sentence(what), _sentence(advice) if advice else IT_TRIES_AGAIN)


def _of_a_running(status: Mapping[str, Any]) -> list[Point]:
    said = [Point("New photos", *_NOTICED[status["watcher"]])] if status["watcher"] in _NOTICED else []
    count = status["waiting"]
    waits = "No photo waits in the inbox." if not count else f"{_photos_in_words(count)} in the inbox."
    said.append(Point("Inbox", waits))
    for one in json.loads(status["waiting_files"]):
        why, hint = parted(one["why"])
        said.append(
            Point("Inbox", _sentence(f"{printable(one['file'])} waits: {why}"), _sentence(hint) if hint else None)
        )
    if status["training"] is not None:
        training = json.loads(status["training"])
        said.append(Point("Learning", f"A training is under way: {training['done']:.0%} done."))
    return said


def _photos_in_words(count: int) -> str:
    return "One photo waits" if count == 1 else f"{count:,} photos wait"


def _photos(signs: Signs) -> Point:
    if signs.last_decided_at is None:
        return Point("Photos", "None was judged yet. Drop photos into the inbox.")
    count = signs.waiting_for_a_look
    told = f"{COUNTED:,} photos or more wait" if count >= COUNTED else _photos_in_words(count)
    queue = f" {told} for your look." if count else ""
    return Point("Photos", f"The last one was judged {ago(signs.last_decided_at, signs.now)}.{queue}")


def _set_aside(signs: Signs) -> list[Point]:
    """Nothing needs be done about them; but who misses a photo looks for it."""
    if not signs.set_aside:
        return []
    one = signs.set_aside == 1
    files = (
        "1 file that is no whole picture lies" if one else f"{signs.set_aside:,} files that are no whole pictures lie"
    )
    return [Point("Quarantine", f"{files} in quarantine, each with a word why.")]


def _model(signs: Signs) -> Point:
    if signs.serving is None:
        return Point(
            "Names",
            f"There is no model yet. Name at least {needed(signs.enough)}, and one is made by itself.",
        )
    return Point("Names", f"Model {signs.serving} names the birds.")


def _disk(free_bytes: int | None) -> Point:
    if free_bytes is None:
        return Point("Disk", "It is not known how much room there is.", "Is the disk of the bird folder mounted?")
    room = f"{free_bytes / 1e9:,.1f} GB are free on the disk of the bird folder."
    return Point("Disk", room, "Make room before photos have to wait." if free_bytes < LOW_DISK_BYTES else None)


def _sentence(words: str) -> str:
    shown = printable(words)
    return f"{shown[:1].upper()}{shown[1:]}{'' if shown.endswith(('.', '!', '?')) else '.'}"
