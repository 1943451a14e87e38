"""Which models there were and how each did, in words for the people whose birds it names."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from birdwatchd.core.gate import wilson
from birdwatchd.core.job import is_seen_by

QUIET_S = 60.0
"""So much later than it should a daemon may say a word before it is taken for gone."""


class Use(StrEnum):
    """What became of a model."""

    IN_USE = "in use"
    TAKEN_BACK = "taken back"
    RETIRED = "was in use"
    KEPT_OUT = "never used"


def use_of(*, promoted_at: str | None, retired_at: str | None, taken_back_at: str | None) -> Use:
    """What became of it, by the moments in its row of the log."""
    if promoted_at is not None and retired_at is None:
        return Use.IN_USE
    if taken_back_at is not None:
        return Use.TAKEN_BACK
    return Use.KEPT_OUT if retired_at is None else Use.RETIRED


def why_not(use: Use, *, has_file: bool, fingerprint: str | None, spotter_id: str | None) -> str | None:
    """Why this model cannot be put into use now; None if it can.

    Args:
        fingerprint: of what it learned from; None if that is not known.
        spotter_id: who looks at photos now; None while nobody does.
    """
    if use is Use.IN_USE:
        return "it is in use already"
    if not has_file:
        return "its file is gone; only the newest models keep theirs"
    if spotter_id is None:
        return "no photo can be looked at now, so no model can be proved"
    if fingerprint is not None and not is_seen_by(fingerprint, spotter_id):
        return "it was made for a former way of looking at photos"
    return None


def tested(metrics: Mapping[str, float]) -> str:
    """How it did on photos that it had not seen, before it was judged; "" if that was not measured."""
    judged = round(metrics.get("judged", 0))
    if "accuracy" not in metrics or not judged:
        return ""
    right = round(metrics["accuracy"] * judged)
    return f"It named {right} of {_counted(judged, 'photo')} right that it had not seen before."


def audited(n: int, right: int) -> str:
    """What people said of photos that it was sure of; "" if they said nothing yet."""
    if n == 0:
        return ""
    low, high = wilson(right, n)
    return (
        f"You have looked at {_counted(n, 'photo')} that it was sure of: {right} {'was' if right == 1 else 'were'} right."
        f" So most probably {low:.0%} to {high:.0%} of what it files by itself is right."
    )


def is_running(state: str | None, updated_at: str | None, now: str, *, sweep_s: float) -> bool:
    """Whether a daemon is at work, by its last word about itself.

    Args:
        state, updated_at: of that word; None if it never said one.
        sweep_s: how often it says one at least.
    """
    if state in (None, "stopped") or updated_at is None:
        return False
    silent = datetime.fromisoformat(now) - datetime.fromisoformat(updated_at)
    return silent < timedelta(seconds=2 * sweep_s + QUIET_S)


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
