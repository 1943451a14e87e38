"""What an open page is told."""

from dataclasses import replace

from birdwatchd.core.news import Event, Pulse, between

FIRST = Pulse(newest_photo=7, arrived=0, status={"state": "working"}, learning={"id": 1}, serving=2)


def test_the_first_look_tells_how_everything_stands() -> None:
    assert [one.name for one in between(None, FIRST)] == ["photos", "status", "learning", "model"]


def test_nothing_is_said_twice() -> None:
    assert between(FIRST, replace(FIRST)) == []


def test_only_what_changed_is_told() -> None:
    assert between(FIRST, replace(FIRST, newest_photo=9, arrived=2)) == [
        Event("photos", {"arrived": 2, "newest_photo": 9})
    ]
    assert between(FIRST, replace(FIRST, newest_photo=9)) == []  # on its way, not at rest yet
    assert between(FIRST, replace(FIRST, serving=None)) == [Event("model", {"serving": None})]


def test_a_wish_is_told_of_when_it_is_over() -> None:
    now = replace(FIRST, wishes={4: ("train", None), 3: ("answers", "done"), 2: ("promote", "failed")})
    assert between(FIRST, now) == [
        Event("wish", {"wish": 2, "kind": "promote", "outcome": "failed"}),
        Event("wish", {"wish": 3, "kind": "answers", "outcome": "done"}),
    ]


def test_an_older_log_makes_all_that_was_told_void() -> None:
    now = replace(FIRST, newest_photo=5, status={"state": "stopped"}, wishes={1: ("answers", "done")})
    assert between(FIRST, now) == [Event("replaced", {"newest_photo": 5})]
