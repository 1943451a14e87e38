"""What a line of the daemon's log is about, beside its sentence: `photo=12 state=filed`.

One number follows a photo through all lines about it.
"""

import json
from collections.abc import Mapping

Fact = str | int | float | None

FACTS = "facts"
"""Under this name they travel with a line: `log.info("…", extra=about(photo=12))`."""


def about(**facts: Fact) -> dict[str, dict[str, Fact]]:
    """Facts for one line of the log; those that are None are left out."""
    return {FACTS: {name: fact for name, fact in facts.items() if fact is not None}}


def in_one_line(facts: Mapping[str, Fact]) -> str:
    """`photo=12 label="house finch" p=0.93`: for people, and for programs that read logfmt."""
    return " ".join(f"{name}={_value(fact)}" for name, fact in facts.items())


def _value(fact: Fact) -> str:
    if isinstance(fact, float):
        return f"{fact:.2f}"
    text = str(fact)
    return json.dumps(text, ensure_ascii=False) if not text or set(text) & set(' "=') else text
