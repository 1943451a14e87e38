"""How the daemon's lines look: for people, for the journal, or one JSON object each for programs.

Every line about a photo carries its number, `photo=12`, from its claim to its receipt.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Literal

from birdwatchd.core.facts import FACTS, in_one_line

Form = Literal["text", "json"]

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class Sentence(logging.Formatter):
    """The sentence, then its facts in brackets. Under systemd the level comes first, and no time: the journal has its own clock."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)s %(message)s")
        self._journal = journal

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        line = super().formatMessage(record)
        if facts := getattr(record, FACTS, None):
            line = f"{line}  ({in_one_line(facts)})"
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" if self._journal else line


class JsonLine(logging.Formatter):
    """One object a line: time, level, what, and the facts."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "what": record.getMessage(),
            **getattr(record, FACTS, {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def tell_on_stderr(form: Form) -> None:
    """Send the daemon's lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine() if form == "json" else Sentence(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
