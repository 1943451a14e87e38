"""What the doctor says of one thing that it has looked at."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `advice` says what to do; None when all is well."""

    subject: str
    what: str
    advice: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing need be done."""
        return self.advice is None
