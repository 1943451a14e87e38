"""What decoding one file costs, and whose code it runs; each look in a process of its own, so that nothing else is counted.

`python -m tests.faults.measuring cost|entered FILE…` prints JSON, one entry per file.
"""

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageFile

from birdwatchd.core.errors import PhotoError
from birdwatchd.core.formats import READABLE
from birdwatchd.edges.images import Limits, decode
from tests.pictures import jpeg

LIMITS = Limits(max_megapixels=40, formats=frozenset(READABLE))


@dataclass(frozen=True)
class Cost:
    """Of one file. `seconds` of the processor; `more_mb`: by how much memory grew at most."""

    verdict: str
    seconds: float
    more_mb: float


def costs(paths: list[Path], *, threads: int = 1) -> list[Cost]:
    """Decode each file in a fresh process, in so many threads at the same time."""
    said = _asked("cost", str(threads), *map(str, paths))
    return [Cost(**one) for one in said]


@dataclass(frozen=True)
class Entered:
    """What one file set in motion.

    Attributes:
        verdict: reason of the refusal, or "kept".
        parsers: of Pillow's, other than those three that are meant to be used.
        deeds: programs started, files opened, connections made.
    """

    verdict: str
    parsers: list[str]
    deeds: list[str]


def entered(paths: list[Path], *, by_pillow: bool = False) -> list[Entered]:
    """Decode each file while all of Pillow's parsers are spied upon; `by_pillow` opens it with `Image.open`, as others do."""
    return [Entered(**one) for one in _asked("pillow" if by_pillow else "entered", "1", *map(str, paths))]


def _asked(*words: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.measuring", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    return said


# --- inside the process -------------------------------------------------------------------------------------------


def _verdict(data: bytes) -> str:
    try:
        decode(data, LIMITS).thumbnail()
    except PhotoError as error:
        return error.reason
    return "kept"


def _cost(data: bytes, threads: int) -> dict[str, object]:
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest mark of memory
    before_mb, before_s = _highest_mb(), time.process_time()
    verdicts: list[str] = []
    crew = [threading.Thread(target=lambda: verdicts.append(_verdict(data))) for _ in range(threads)]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    assert len(set(verdicts)) == 1
    return {"verdict": verdicts[0], "seconds": time.process_time() - before_s, "more_mb": _highest_mb() - before_mb}


def _highest_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


MEANT = frozenset({"JpegImageFile", "PngImageFile", "WebPImageFile"})
DEEDS = frozenset(
    {"open", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "ctypes.dlopen"}
)


def _entered(path: Path, data: bytes, *, by_pillow: bool) -> dict[str, object]:
    parsers: list[str] = []
    deeds: list[str] = []
    for kind in _parsers(ImageFile.ImageFile):
        if kind.__name__ not in MEANT:
            type.__setattr__(kind, "_open", lambda one: parsers.append(type(one).__name__))
    watching = True

    def hear(event: str, args: tuple[object, ...]) -> None:
        if watching and event in DEEDS:
            deeds.append(f"{event} {args[0]}")

    sys.addaudithook(hear)
    if by_pillow:
        with suppress(Exception), warnings.catch_warnings(action="ignore"):
            Image.open(path).load()
        verdict = ""
    else:
        verdict = _verdict(data)
    watching = False
    return {"verdict": verdict, "parsers": parsers, "deeds": deeds}


def _parsers(root: type[object]) -> Iterator[type[object]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _parsers(kind)


def _main(what: str, threads: str, *paths: str) -> None:
    _verdict(jpeg())  # what is loaded once is no file's fault
    if what != "cost":
        Image.init()  # all of Pillow's parsers are at hand: a worse place than the daemon, where most are not even loaded
    for path in [Path(one) for one in paths]:
        data = path.read_bytes()
        sys.stdout.flush()
        if (child := os.fork()) == 0:
            said = _cost(data, int(threads)) if what == "cost" else _entered(path, data, by_pillow=what == "pillow")
            sys.stdout.write(f"{json.dumps(said)}\n")
            sys.stdout.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, f"{path.name}: the process ended with {status}"


if __name__ == "__main__":
    _main(*sys.argv[1:])
