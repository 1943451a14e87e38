"""The black pen: what must not leave this machine is struck out of a text.

Nobody can list all names in advance: a photo may be called anything. So it works the other way round: only words that birdwatchd,
Python or the system use themselves pass, everything else becomes "…". A name made of nothing but such words tells nothing.
"""

import builtins
import os
import re
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import birdwatchd
from birdwatchd.core import shelving
from birdwatchd.core.photo import State

STRUCK = "…"
MAX_DIGITS = 6
MAX_GROUPS = 3
"""Three groups of digits are a version, four are an address."""

_WORD = re.compile(r"[^\W\d_]+")
_DIGITS = re.compile(r"\d+")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?")
_FILE = re.compile(r"\.([^\W\d_]\w{0,7})$")
_OUR_FILES = frozenset({"py", "so", "toml", "db", "service", "conf", "onnx", "json"})
_EDGES = "\"'`()[]{}<>,:;.!?=…"

_OWN_NAMES = frozenset({"birdwatchd", "root", "bird", "birds", *map(str, State), *shelving.FOLDERS, shelving.NO_BIRD})
"""Also when a user, a machine or a camera is called so."""

_SYSTEM = """
    systemd service unit main process exited code killed dumped status signal failed with result timeout watchdog restart
    scheduled job counter start stop reload request repeated too quickly limit hit operation timed out terminating killing remaining
    control group user state directory mount namespace step exec spawning permission denied traceback most recent call last file line
    in error exception raised during handling of the above another occurred thread current fatal aborted segmentation fault extension
    modules total memory cannot allocate oom kill out no such left on device read only system database is locked malformed image
    unable to open disk full corrupt module object has attribute not found invalid argument value key type index range attempt
    usr lib local opt bin sbin var run etc dev proc sys home tmp site packages dist lib64 venv src python
    onnxruntime numpy pil pillow watchdog apscheduler observers schedulers typer pydantic
    abrt kill segv term int hup usr stop cont bus ill core dump
"""
"""What systemd, Python and SQLite say, as far as it helps."""


@cache
def vocabulary() -> frozenset[str]:
    """Every word that the program, Python and the system use."""
    ours = Path(birdwatchd.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in sorted(ours.rglob("*.py"))]
    texts += [_SYSTEM, *map(os.strerror, range(1, 134)), *sys.stdlib_module_names, *dir(builtins), *dir(sqlite3)]
    return frozenset(word.casefold() for text in texts for word in _WORD.findall(text))


class Blanking:
    """Strikes out of texts what is a name, or may be one.

    Args:
        names: what people called their files, cameras, users and machines: struck out even if the program uses such a word too.
        places: what to write for the beginning of a path, such as ROOT for the bird folder.
    """

    def __init__(self, names: Iterable[str], places: Mapping[Path, str]) -> None:
        named = {name.casefold() for name in names}
        parts = {word for name in named for word in _WORD.findall(name) if len(word) > 2}  # "of" is no name
        self._struck = (named | parts) - {name.casefold() for name in _OWN_NAMES}
        longest_first = sorted(((str(path), word) for path, word in places.items()), key=lambda one: -len(one[0]))
        self._places = [(path, word) for path, word in longest_first if path not in {"/", "."}]

    def text(self, text: str) -> str:
        """The text, with everything struck out that may be a name."""
        for path, word in self._places:
            text = re.sub(rf"(?<![\w/.-]){re.escape(path)}(?=$|[^\w.-])", word, text)
        return re.sub(rf"{STRUCK}( {STRUCK})+", STRUCK, " ".join(map(self._chunk, text.split())))

    def value(self, value: object) -> object:
        """The same for every name, and only for those, in an answer that is no sentence: keys and words of ours stay."""
        match value:
            case str():
                return _WORD.sub(lambda found: STRUCK if found[0].casefold() in self._struck else found[0], value)
            case Mapping():
                return {key: self.value(one) for key, one in value.items()}
            case list() | tuple():
                return [self.value(one) for one in value]
            case _:
                return value

    def _chunk(self, chunk: str) -> str:
        core = chunk.strip(_EDGES)
        if not core or self._may_pass(core):
            return chunk
        before, _, after = chunk.partition(core)
        if "/" not in core:
            return f"{before}{STRUCK}{after}"
        parts = core.split("/")
        known = next(index for index in range(len(parts)) if not self._may_pass("/".join(parts[: index + 1])))
        return before + "/".join([*parts[:known], STRUCK]) + after

    def _may_pass(self, core: str) -> bool:
        if core.casefold() in self._struck:
            return False
        if _MOMENT.fullmatch(core):
            return True
        if (ending := _FILE.search(core)) and ending[1] not in _OUR_FILES:
            return False
        digits = _DIGITS.findall(core)
        if len(digits) > MAX_GROUPS or any(len(one) > MAX_DIGITS for one in digits):
            return False
        return all(self._is_known(word.casefold()) for word in _WORD.findall(core))

    def _is_known(self, word: str) -> bool:
        return word not in self._struck and (len(word) == 1 or word in vocabulary())
