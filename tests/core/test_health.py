"""How it is, in sentences: whoever reads them knows whether something is to be done, and what."""

import json
from typing import Any

import pytest

from birdwatchd.core.health import COUNTED, START_IT, Signs, ago, parted, points

NOW = "2026-05-01T12:00:00+00:00"


def signs(**other: Any) -> Signs:
    status: dict[str, Any] | None = {
        "state": "working",
        "updated_at": "2026-05-01T11:59:50+00:00",
        "started_at": "2026-05-01T09:00:00+00:00",
        "version": "1",
        "problems": "[]",
        "waiting": 0,
        "waiting_files": "[]",
        "watcher": "events",
        "disk_free_bytes": 50_000_000_000,
        "training": None,
    }
    if other.pop("never", False):
        status = None
    known = {"last_decided_at": NOW, "serving": 2, "waiting_for_a_look": 0, "set_aside": 0, "enough": 5}
    for name in [name for name in other if name in known]:
        known[name] = other.pop(name)
    return Signs(status=status and (status | other), now=NOW, sweep_s=30, version="1", **known)  # type: ignore[arg-type]


def test_where_all_is_well_nobody_is_asked_for_anything() -> None:
    said = points(signs())
    assert [one for one in said if one.advice] == []
    assert [one.subject for one in said] == ["birdwatchd", "New photos", "Inbox", "Photos", "Names", "Disk"]
    assert said[0].what == "It is at work; it was started 3 hours ago."


def test_who_misses_a_photo_is_told_of_the_quarantine_and_asked_for_nothing() -> None:
    told = [one for one in points(signs(set_aside=2)) if one.subject == "Quarantine"]
    assert [(one.what, one.advice) for one in told] == [
        ("2 files that are no whole pictures lie in quarantine, each with a word why.", None)
    ]


@pytest.mark.parametrize(
    ("other", "what", "advice"),
    [
        ({"never": True}, "It has not run here yet.", "`birdwatchd run`"),
        ({"state": "stopped"}, "It was stopped just now.", "`birdwatchd run`"),
        ({"updated_at": "2026-05-01T11:00:00+00:00"}, "It last said something 60 minutes ago; it may hang, or have died.", "Restart"),
        ({"version": "0"}, "Version 0 is running, and 1 is installed.", "Restart"),
        ({"problems": json.dumps(["the disk is full (make room)"])}, "The disk is full.", "Make room."),
        ({"problems": json.dumps(["it is odd"])}, "It is odd.", "tries again by itself"),
        ({"watcher": "sweep"}, "New photos are found only when the whole inbox is looked through.", "Restart"),
        ({"disk_free_bytes": 500_000_000}, "0.5 GB are free on the disk of the bird folder.", "Make room"),
        ({"disk_free_bytes": None}, "It is not known how much room there is.", "mounted"),
        (
            {"waiting": 1, "waiting_files": json.dumps([{"file": "a\u202egpj.exe", "why": "may not be opened (chmod it)"}])},
            "A\\u202egpj.exe waits: may not be opened.",
            "Chmod it.",
        ),
    ],
)  # fmt: skip
def test_what_needs_somebody_comes_first_with_what_to_do(other: dict[str, Any], what: str, advice: str) -> None:
    first = points(signs(**other))[0]
    assert first.what == what
    assert advice in (first.advice or "")


def test_of_one_that_does_not_run_no_old_troubles_are_told() -> None:
    old = signs(state="stopped", problems=json.dumps(["the disk is full"]), watcher="sweep")
    assert [one.advice for one in points(old) if one.advice] == [START_IT]
    assert old.problems == []


def test_what_waits_is_counted() -> None:
    said = {one.subject: one.what for one in points(signs(waiting=1, waiting_for_a_look=1200, serving=None))}
    assert said["Inbox"] == "One photo waits in the inbox."
    assert said["Photos"] == "The last one was judged just now. 1,200 photos wait for your look."
    assert said["Names"].startswith("There is no model yet.")
    many = {one.subject: one.what for one in points(signs(waiting_for_a_look=COUNTED))}
    assert many["Photos"].endswith("10,000 photos or more wait for your look."), "no further was counted"
    learning = points(signs(training=json.dumps({"done": 0.4})))
    assert any(one.what == "A training is under way: 40% done." for one in learning)
    emptied_once = points(signs(watcher="none"))
    assert "New photos" not in [one.subject for one in emptied_once]
    assert points(signs(last_decided_at=None))[3].what.startswith("None was judged yet.")


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ("2026-05-01T12:05:00+00:00", "just now"),
        ("2026-05-01T11:59:31+00:00", "just now"),
        ("2026-05-01T11:59:00+00:00", "1 minute ago"),
        ("2026-05-01T10:30:01+00:00", "90 minutes ago"),
        ("2026-05-01T10:00:00+00:00", "2 hours ago"),
        ("2026-04-29T12:00:00+00:00", "2 days ago"),
        ("2022-04-29T12:00:00+00:00", "1,463 days ago"),
    ],
)
def test_times_are_told_as_people_do(then: str, words: str) -> None:
    assert ago(then, NOW) == words


@pytest.mark.parametrize(
    ("problem", "parts"),
    [
        ("it hangs (restart it)", ("it hangs", "restart it")),
        ("it hangs (see `x(1)`)", ("it hangs", "see `x(1)`")),
        ("it hangs", ("it hangs", "")),
        ("(it) hangs", ("(it) hangs", "")),
        ("", ("", "")),
    ],
)
def test_a_problem_is_told_in_two_parts(problem: str, parts: tuple[str, str]) -> None:
    assert parted(problem) == parts
