"""The states a photo may be in, and the only legal steps between them.

    inbox ──> claimed ──> decided ──> filed | review | empty | quarantined | duplicate
                 │                       ╰──────┴───────┴── a human's word or an undo moves it among these
                 ╰──> (row withdrawn: the file never left the inbox)

A step that moves bytes is carried out in three parts: the plan is written, the bytes are moved, the receipt is written. Whoever
dies in between finds the plan at the next start and finishes it; nothing is decided twice.
"""

from dataclasses import dataclass

from birdwatchd.core.photo import Stamp, State

SETTLED_STATES = frozenset({State.FILED, State.REVIEW, State.EMPTY, State.QUARANTINED, State.DUPLICATE})
"""States in which a photo rests in its place."""

_MOVABLE = frozenset({State.FILED, State.REVIEW, State.EMPTY})

NEXT: dict[State, frozenset[State]] = {
    State.CLAIMED: frozenset({State.DECIDED}),
    State.DECIDED: SETTLED_STATES | {State.MISSING},
    State.FILED: _MOVABLE | {State.MISSING},
    State.REVIEW: _MOVABLE | {State.MISSING},
    State.EMPTY: _MOVABLE | {State.MISSING},
    State.QUARANTINED: frozenset({State.MISSING}),
    State.DUPLICATE: frozenset({State.MISSING}),
    State.MISSING: _MOVABLE,
}

MAX_ATTEMPTS = 2
"""A photo during whose work the process died this often is set aside at the next try, without being opened again."""


def may_become(now: State, then: State) -> bool:
    """Whether one step leads from one state to the other."""
    return then in NEXT[now]


@dataclass(frozen=True, slots=True)
class Advice:
    """For the person who finds a file in quarantine: what was wrong with it, and what to do."""

    what: str
    do: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A settled inbox file that is about to be taken.

    Attributes:
        inbox_path: relative to the inbox, as the file system spells it (may hold surrogate escapes).
        stamp: what it was when it was found settled; a file that differs is not taken.
        camera: named by the first sub-folder, else None.
        received_at: ISO-8601 UTC.
    """

    inbox_path: str
    stamp: Stamp
    camera: str | None
    received_at: str


@dataclass(frozen=True, slots=True)
class Journey:
    """A photo under way, as the log remembers it.

    Attributes:
        source: where its bytes are, relative to the bird folder.
        target: where they shall go; None until that is decided.
        outcome: the state it will have there; None until decided.
        reason: short code that goes with the outcome.
        advice: for the sidecar of a quarantined file.
        attempts: how often work on it was begun.
    """

    photo_id: int
    source: str
    target: str | None
    outcome: State | None
    reason: str | None
    advice: Advice | None
    attempts: int
    sha256: str | None
    original_name: str
    received_at: str
    camera: str | None
    inbox_path: str
    stamp: Stamp | None


@dataclass(frozen=True, slots=True)
class Move:
    """A decided step: these bytes, from here to there.

    Attributes:
        source: relative to the bird folder.
        target: relative to the bird folder; nothing is ever overwritten there.
        outcome: the state the photo will have.
        reason: short code for `photos.reason`.
    """

    photo_id: int
    source: str
    target: str
    outcome: State
    reason: str | None
    advice: Advice | None = None
