"""How answers look: JSON for programs, plain tables and sentences for people, progress on the screen only."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from birdwatchd.core.errors import BirdwatchdError
from birdwatchd.core.shelving import printable


def say(text: str = "") -> None:
    """One line of an answer, with everything invisible spelled out."""
    sys.stdout.write(printable(text) + "\n")


def tell(text: str) -> None:
    """One line beside the answer, for people: on stderr."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def tell_error(error: BirdwatchdError) -> None:
    """What went wrong, and what to do: on stderr."""
    for line in error.message.splitlines():
        tell(f"birdwatchd: {line}")
    if error.hint:
        tell(f"  hint: {error.hint}")


def as_json(value: Any) -> None:
    """The whole answer as one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def table(rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str]]) -> None:
    """A table whose columns are as wide as their longest cell.

    Args:
        columns: key in the row, heading.
    """
    cells = [[heading for _, heading in columns]] + [[cell(row.get(key)) for key, _ in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells:
        say("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def cell(value: Any) -> str:
    """One value for people: nothing as a dash, probabilities with two digits."""
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}"
    return printable(str(value))


def moment(iso_utc: str) -> str:
    """A time of the log, short: 2026-05-01 05:30."""
    return iso_utc[:16].replace("T", " ")


class Advance(Protocol):
    """Moves a bar: how many are done, of how many, and what is being done now."""

    def __call__(self, done: int, total: int, what: str = "") -> None:
        """Show it."""


@contextmanager
def progress_bar(what: str, *, shown: bool = True, counted: bool = True) -> Iterator[Advance]:
    """A bar on stderr while it is a terminal; nothing otherwise, so that logs and pipes stay clean.

    Args:
        counted: whether its numbers count something; else they are parts of a hundred.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda done, total, what="": None  # noqa: ARG005  # the protocol's names
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    amount = MofNCompleteColumn() if counted else TaskProgressColumn()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), amount, TimeRemainingColumn())
    begin = what
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(begin, total=None)

        def advance(done: int, total: int, what: str = "") -> None:
            now = f"{begin}: {printable(what)}" if what else begin
            bar.update(task, completed=done, total=total, description=now)

        yield advance
