"""What an open page is told while it is open: two looks at the log in, what happened between them out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pulse:
    """One look.

    Attributes:
        newest_photo: its number; 0 without photos.
        arrived: photos that came to rest since the page was made.
        status: how the daemon is.
        learning: how the newest training stands.
        serving: the model in use.
        wishes: those that were left since the last look, or were open then, by number: the kind, and what came of it, None for an
            open one.
    """

    newest_photo: int
    arrived: int
    status: Facts
    learning: Facts
    serving: int | None
    wishes: Mapping[int, tuple[str, str | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    name: str
    facts: Facts


def between(before: Pulse | None, now: Pulse) -> list[Event]:
    """What happened between two looks; after the first, how everything stands.

    `photos` have come, a `wish` is over, the `learning` got on, the `status` is another, another `model` serves, or the whole log was
    `replaced` by an older one: then what the page shows may be no longer so.
    """
    if before is not None and now.newest_photo < before.newest_photo:
        return [Event("replaced", {"newest_photo": now.newest_photo})]
    events = []
    if before is None or now.arrived != before.arrived:
        events.append(Event("photos", {"arrived": now.arrived, "newest_photo": now.newest_photo}))
    if before is None or now.status != before.status:
        events.append(Event("status", now.status))
    if before is None or now.learning != before.learning:
        events.append(Event("learning", now.learning))
    if before is None or now.serving != before.serving:
        events.append(Event("model", {"serving": now.serving}))
    events += [
        Event("wish", {"wish": number, "kind": kind, "outcome": outcome})
        for number, (kind, outcome) in sorted(now.wishes.items())
        if outcome is not None
    ]
    return events
