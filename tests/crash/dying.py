"""Edges that die: before or after their n-th call, the process is gone as far as the pipeline can tell."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from birdwatchd.edges.files import disk as hands


class Death(BaseException):
    """The process ends here. Not an Exception: nothing may catch it and carry on."""


@dataclass
class Fate:
    """Counts edge calls and dies at one of them.

    Attributes:
        at: number of the call, from 1; 0 never dies.
        when: before the call has any effect, or after it had all.
    """

    at: int
    when: Literal["before", "after"]
    calls: int = 0
    died_at: str = ""

    def call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make one call, unless this is where it ends."""
        self.calls += 1
        fatal = self.calls == self.at
        if fatal and self.when == "before":
            self.died_at = f"before {name}"
            raise Death
        try:
            return function(*args, **kwargs)
        finally:
            if fatal:  # also when the call failed: that is an effect, too
                self.died_at = f"after {name}"
                raise Death


class Dying:
    """An edge each of whose methods may be the last."""

    def __init__(self, edge: Any, fate: Fate) -> None:
        self._edge = edge
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._edge, name)
        if not callable(found):
            return found
        return functools.partial(self._fate.call, f"{type(self._edge).__name__}.{name}", found)


def make_hands_mortal(monkeypatch: pytest.MonkeyPatch, fate: Fate) -> None:
    """Let the process also die inside a method of `Files`: around each rename, each fsync and each whole write."""
    for name in ("rename_noreplace", "fsync", "write_whole"):
        original = getattr(hands, name)
        monkeypatch.setattr(hands, name, functools.partial(fate.call, name, original))
