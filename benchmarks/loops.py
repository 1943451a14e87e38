"""What figures are compared with: loops in processes of their own, that are shown photos and tell how long each took."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.folders import CHECKOUT
from tests.pictures import data_folder


class Loop:
    """A process that reads lists of photos, a line each, and answers with lists of seconds."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def over(self, photos: Sequence[Path]) -> list[float]:
        """Seconds for each photo, one after the other."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(photo) for photo in photos]) + "\n")
        self._process.stdin.flush()
        return [float(seconds) for seconds in json.loads(self.line())]

    def line(self) -> str:
        """The next line that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended")
        return line


@contextmanager
def _loop(*words: str) -> Iterator[Loop]:
    with subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            one = Loop(process)
            one.line()  # it is ready
            yield one
        finally:
            process.kill()


@contextmanager
def bare_loop(root: Path) -> Iterator[Loop]:
    """Read, decode to the size that the network wants, look: nothing else. With the network of this bird folder."""
    with _loop(sys.executable, "-m", "benchmarks.children.bare", str(root / ".birdwatchd/models")) as one:
        yield one


def training_python() -> Path | None:
    """The interpreter of the full install, in `.venv-train` beside this file's checkout or named by the environment."""
    python = Path(os.environ.get("BIRDWATCHD_TRAIN_PYTHON", CHECKOUT / ".venv-train/bin/python"))
    return python if python.is_file() else None


@contextmanager
def fastai_loop(python: Path) -> Iterator[Loop]:
    """What a fastai user writes: `PILImage.create`, `learn.predict`, with a resnet18 that was exported before."""
    data = data_folder()
    assert data is not None
    with tempfile.TemporaryDirectory(prefix="birdwatchd-bench-fastai-") as place:
        for species in sorted(data.glob("birds/*"))[:4]:
            folder = Path(place) / "photos" / species.name
            folder.mkdir(parents=True)
            for photo in sorted(species.glob("*.jpg"))[:10]:
                (folder / photo.name).write_bytes(photo.read_bytes())
        with _loop(str(python), str(CHECKOUT / "benchmarks/children/fastai_user.py"), place) as one:
            yield one
