"""The tree of failures: every class says what to do, and the drawing shows them all."""

import re
from collections.abc import Iterator
from typing import TypeVar

import pytest

from birdwatchd.core import errors
from birdwatchd.core.errors import BirdwatchdError, ConfigError, PhotoError, UsageError

Kind = TypeVar("Kind", bound=BirdwatchdError)

POLICIES = {"PhotoError", "TransientError", "ModelError", "ConfigError", "UsageError", "Refused", "AlreadyRunning"}
"""The branches, each with its consequence."""


def tree(root: type[Kind]) -> Iterator[type[Kind]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


OWN = [kind for kind in tree(BirdwatchdError) if kind.__module__ == errors.__name__]
LEAVES = [kind for kind in tree(PhotoError) if not kind.__subclasses__()]


def drawn() -> dict[str, tuple[str, str]]:
    """Name of each class in the drawing, with the one it hangs from and the words beside it."""
    found: dict[str, tuple[str, str]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.fullmatch(r"    ([ │├╰└─]*)(\w+)\s*(.*)", line):
            depth, name, words = len(match[1]), match[2], match[3]
            above = [(at, parent) for at, parent in above if at < depth]
            found[name] = (above[-1][1] if above else "", words)
            above.append((depth, name))
    return found


def test_the_drawing_shows_every_class_where_it_hangs() -> None:
    in_code = {kind.__name__: kind.__bases__[0].__name__ for kind in OWN if kind is not BirdwatchdError}
    assert {name: parent for name, (parent, _) in drawn().items() if parent} == in_code


def test_each_branch_is_a_policy_with_words() -> None:
    branches = {name for name, (parent, _) in drawn().items() if parent == "BirdwatchdError"}
    assert branches == POLICIES
    assert all(drawn()[name][1] for name in branches)


@pytest.mark.parametrize("kind", OWN)
def test_every_error_is_for_something_and_says_what_to_do(kind: type[BirdwatchdError]) -> None:
    assert kind.__doc__
    assert kind.default_hint
    assert kind.exit_code in {1, 2}
    error = kind("it broke")
    assert (error.message, error.hint) == ("it broke", kind.default_hint)
    assert str(error) == f"it broke ({kind.default_hint})"
    assert str(kind("it broke", hint="")) == "it broke"


def test_only_wrong_words_and_what_a_person_must_set_right_end_with_two() -> None:
    assert {kind for kind in OWN if kind.exit_code == 2} == {*tree(ConfigError), UsageError}


def test_every_reason_for_quarantine_is_one_folder_and_drawn() -> None:
    reasons = [kind.reason for kind in LEAVES]
    assert len(set(reasons)) == len(reasons)
    for kind in LEAVES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.reason)
        assert drawn()[kind.__name__][1] == kind.reason
