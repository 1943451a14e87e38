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


def parted(problem: str) -> tuple[str, str]:
    """A problem as birdwatchd tells it, "what (what to do)", in its two parts; the second is empty when it has none."""
    depth = 0
    for index in range(len(problem) - 1, -1, -1):
        depth += (problem[index] == ")") - (problem[index] == "(")
        if depth == 0:
            return (problem[:index].rstrip(), problem[index + 1 : -1]) if problem.endswith(")") else (problem, "")
    return problem, ""
