"""The README is true: every command block in it is run, in order, on a fresh copy of the checkout by a user with an empty home.

Each block says in a comment before it how it is run: `run`, `output` (what it prints must be what the next block shows), `daemon` and
`server` (stay running), `service` (under real systemd, in test_booted.py), `ci` (it is what CI calls).
"""

import functools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.running import PATIENCE_S, until

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text()
BLOCK = re.compile(
    r"(?:^ *<!-- test: (?P<how>\w+) -->\n)?^(?P<indent> *)```sh\n(?P<text>.*?)^ *```\n(?:\n```\n(?P<shown>.*?)```\n)?",
    re.MULTILINE | re.DOTALL,
)
BLOCKS = [match.groupdict() for match in BLOCK.finditer(README)]


def pictures(real_photos: Path, place: Path) -> None:
    """What the gardener of the README has in ~/Pictures: birds, empty frames, and a web page that calls itself a photo."""
    place.mkdir()
    birds = [real_photos / "birds" / name for name in ("american-goldfinch", "blue-jay", "mallard", "white-pelican")]
    chosen = [photo for bird in birds for photo in sorted(bird.glob("*.jpg"))[:3]]
    chosen += sorted((real_photos / "scenes" / "no-bird").glob("*.jpg"))[:4]
    for number, photo in enumerate(chosen, 1):
        shutil.copy(photo, place / f"IMG_{number:04d}.jpg")
    (place / "IMG_0017.jpg").write_bytes(b"<html>404: the camera is asleep</html>")


def test_every_block_says_how_it_is_run() -> None:
    assert len(BLOCKS) > 10
    assert {block["how"] for block in BLOCKS} == {"run", "output", "daemon", "server", "service", "ci"}
    assert len(BLOCKS) == README.count("```sh\n")


def test_ci_calls_the_test_command_of_the_readme() -> None:
    (block,) = [block for block in BLOCKS if block["how"] == "ci"]
    assert block["text"].strip() in (REPOSITORY / ".ci" / "run").read_text()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh copy of what is, or would be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip(f"no git checkout to copy: {listed.stderr.decode().strip()}")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            (tmp_path / "birdwatchd" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, tmp_path / "birdwatchd" / name)
    return tmp_path / "birdwatchd"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A new user's, but for the caches and settings of the package tools."""
    home = tmp_path / "home"
    home.mkdir()
    old_home = Path(os.environ.get("HOME", "/"))
    ours = {
        key: value for key, value in os.environ.items() if not key.startswith(("BIRDWATCHD_", "MAKE", "VIRTUAL_ENV"))
    }
    ours.setdefault("UV_CACHE_DIR", str(old_home / ".cache" / "uv"))
    ours.setdefault("PIP_CACHE_DIR", str(old_home / ".cache" / "pip"))
    for file, variable in ((".config/pip/pip.conf", "PIP_CONFIG_FILE"), (".config/uv/uv.toml", "UV_CONFIG_FILE")):
        if (old_home / file).is_file():
            ours.setdefault(variable, str(old_home / file))
    return ours | {"HOME": str(home)}


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that stay running until the end of a test."""
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for process in reversed(running):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def said_or_ended(log: Path, word: bytes, process: subprocess.Popen[bytes]) -> bool:
    return word in log.read_bytes() or process.poll() is not None


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3 command")
def test_every_command_block_works_for_a_new_user(
    clone: Path,
    environment: dict[str, str],
    tmp_path: Path,
    real_photos: Path,
    started: list[subprocess.Popen[bytes]],
) -> None:
    pictures(real_photos, Path(environment["HOME"]) / "Pictures")
    inbox = Path(environment["HOME"]) / "birdwatch" / "inbox"
    shell_state = tmp_path / "state"  # a new shell for each block, with the exports of the ones before
    shell_state.touch()
    for number, block in enumerate(BLOCKS):
        how, text = block["how"], block["text"]
        script = f"source {shell_state}\n{text}\nexport -p > {shell_state}\n"
        if how in {"daemon", "server"}:
            log = tmp_path / f"{number}.log"
            with log.open("wb") as out:
                started.append(
                    subprocess.Popen(
                        ["bash", "-euc", script],
                        cwd=clone,
                        env=environment,
                        stdout=out,
                        stderr=out,
                        start_new_session=True,
                    )
                )
            word = b"is ready" if how == "daemon" else b"running on"
            process = started[-1]
            until(f"{word.decode()}: {text}", functools.partial(said_or_ended, log, word, process))
            assert process.poll() is None, log.read_text()
        elif how in {"run", "output"}:
            done = subprocess.run(
                ["bash", "-euc", script],
                cwd=clone,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            if how == "output":
                (tmp_path / f"output-{number}").write_text(done.stdout)
                assert done.stdout == block["shown"], f"{text}\nprints\n{done.stdout}"
            if "cp ~/Pictures" in text:
                until("the photos at rest", lambda: not any(path.is_file() for path in inbox.rglob("*")))
