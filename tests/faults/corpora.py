"""Test pictures of others, which their own authors collected because they once broke a parser. None of them is in this repository.

Pillow's come with its source package, from the index that this machine installs from; those of exiv2 and libpng come with Debian's
source packages, from the mirror that apt uses. Both are fetched once, checked by hash, and kept in a cache outside the repository:
`BIRDWATCHD_CORPORA`, else ~/.cache/birdwatchd/corpora.
"""

import hashlib
import os
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL

CACHE = Path(os.environ.get("BIRDWATCHD_CORPORA") or "~/.cache/birdwatchd/corpora").expanduser()
"""Read when this module is loaded: while tests run, no setting comes from outside."""

BIG = os.environ.get("BIRDWATCHD_BIG_CORPUS")
"""A folder of any pictures, the more the better: see B01."""

NAMES = ("pillow", "exiv2", "libpng1.6")
LEAST_FILES = 1600
"""All of them together; fewer, and something was not unpacked."""

MOST_FILE_BYTES, MOST_FILES = 64 << 20, 5000
PATIENCE_S = 300
LOCK = Path(__file__).resolve().parents[2] / "requirements" / "base.txt"


class Missing(Exception):
    """These pictures cannot be had on this machine, and why."""


def pictures(name: str) -> list[Path]:
    """The files of one collection, fetched if they are not here yet.

    Raises:
        Missing: they cannot be had.
    """
    if name == "pillow":
        return _unpacked(name, _pillow_archive, re.compile(r"[^/]+/Tests/images/.+"))
    wanted = {"exiv2": r"[^/]+/test/data/.+", "libpng1.6": r"[^/]+/.+\.png"}[name]
    return _unpacked(name, lambda: _debian_archive(name), re.compile(wanted))


def _unpacked(name: str, archive: Callable[[], Path], wanted: re.Pattern[str]) -> list[Path]:
    folder = CACHE / name
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=CACHE))
        try:
            _unpack(archive(), scratch, wanted)
            scratch.replace(folder)  # all or nothing, whoever else fetches at the same time
        except OSError as error:
            if not folder.is_dir():
                raise Missing(f"{name}'s test pictures cannot be kept in {CACHE}: {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return sorted(folder.iterdir())


def _unpack(archive: Path, into: Path, wanted: re.Pattern[str]) -> None:
    """Write the wanted files flat into one folder, under names that we make: nothing of an archive's paths is followed."""
    with tarfile.open(archive) as members:
        found = [one for one in members if one.isfile() and wanted.fullmatch(one.name) and one.size <= MOST_FILE_BYTES]
        if not 0 < len(found) <= MOST_FILES:
            raise Missing(f"{archive.name} holds {len(found)} pictures; it must have been rearranged")
        for number, one in enumerate(sorted(found, key=lambda one: one.name)):
            base = re.sub(r"[^A-Za-z0-9._-]", "_", one.name.rpartition("/")[2])
            content = members.extractfile(one)
            assert content is not None
            (into / f"{number:04d}-{base}").write_bytes(content.read())


# --- Pillow, from the index of Python packages --------------------------------------------------------------------


def _pillow_archive() -> Path:
    """Its source package, of the version that is installed; nothing is built. The hash must be one of those in our lock."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise Missing("Pillow's test pictures: no `uv` to ask the package index with (pip install uv)")
    asked = subprocess.run(
        [uv, "pip", "compile", "--quiet", "--no-deps", "--no-header", "--format", "pylock.toml", "-"],
        input=f"pillow=={PIL.__version__}",
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=CACHE,
        check=False,
    )
    if asked.returncode:
        raise Missing(f"Pillow's test pictures: the package index does not answer: {_one_line(asked.stderr)}")
    source: dict[str, Any] | None = tomllib.loads(asked.stdout)["packages"][0].get("sdist")
    if source is None:
        raise Missing("Pillow's test pictures: the package index has no source package of it")
    if source["hashes"]["sha256"] not in LOCK.read_text():
        raise Missing(f"Pillow's test pictures: {LOCK.name} does not know the hash of the source package")
    archive = CACHE / str(source["url"]).rpartition("/")[2]
    if not archive.is_file():
        _download(source["url"], archive, source["hashes"]["sha256"])
    return archive


def _download(url: str, into: Path, sha256: str) -> None:
    if not url.startswith("https://"):
        raise Missing(f"Pillow's test pictures: {url} is not fetched")
    certificates = ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE"))
    part = into.with_name(f"{into.name}.{os.getpid()}.part")
    try:
        with urllib.request.urlopen(url, timeout=60, context=certificates) as answer, part.open("wb") as file:  # noqa: S310
            shutil.copyfileobj(answer, file)
    except OSError as error:
        raise Missing(f"Pillow's test pictures cannot be fetched: {error}") from error
    if hashlib.sha256(part.read_bytes()).hexdigest() != sha256:
        part.unlink()
        raise Missing("Pillow's test pictures: what came is not what the index promised")
    part.replace(into)


# --- exiv2 and libpng, from Debian's mirror -----------------------------------------------------------------------


def _debian_archive(name: str) -> Path:
    """The upstream source of a Debian package, checked by apt. apt's own configuration is copied, never changed."""
    folder = CACHE / "debian"
    if found := sorted(folder.glob(f"{name}_*.orig.tar.*")):
        return found[-1]
    if shutil.which("apt-get") is None:
        raise Missing(f"{name}'s test pictures: they come with Debian's source packages, and there is no apt-get")
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"APT_CONFIG": str(_apt_configuration()), "LC_ALL": "C"}
    said: list[str] = []
    for words in (["update"], ["source", "--download-only", "--tar-only", name]):
        try:
            done = subprocess.run(
                ["apt-get", "-q", *words],
                capture_output=True,
                text=True,
                cwd=folder,
                env=environment,
                timeout=PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Missing(f"{name}'s test pictures: the mirror does not answer within {PATIENCE_S} s") from error
        said.append(_one_line(done.stderr))
    if found := sorted(folder.glob(f"{name}_*.orig.tar.*")):
        return found[-1]
    raise Missing(f"{name}'s test pictures: apt cannot fetch its source package: {'; '.join(filter(None, said))}")


def _one_line(said: str) -> str:
    return " ".join(said.split())[:200]


def _apt_configuration() -> Path:
    """Lists of our own, made of the system's: the same mirrors, their sources instead of their packages."""
    own = CACHE / "apt"
    for folder in ("sources", "state/lists/partial", "cache/archives/partial"):
        (own / folder).mkdir(parents=True, exist_ok=True)
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\S+)$", release, re.MULTILINE)
    suite = found[1] if found else ""
    for listed in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        if not listed.is_file():
            continue
        if listed.suffix == ".sources":
            stanzas = [
                one
                for one in re.split(r"\n\s*\n", listed.read_text())
                if re.search(rf"^Suites:.*\b{suite}", one, re.MULTILINE)
            ]
            text = "\n\n".join(re.sub(r"^Types:.*$", "Types: deb-src", one, flags=re.MULTILINE) for one in stanzas)
        else:
            lines = re.findall(rf"^deb\s+((?:\[[^\]]*\]\s+)?\S+\s+{suite}\S*\s.*)$", listed.read_text(), re.MULTILINE)
            text = "".join(f"deb-src {line}\n" for line in lines)
        if text:
            (own / "sources" / listed.name).write_text(f"{text}\n")
    configuration = own / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::SourceList "/dev/null";\nDir::Etc::SourceParts "{own / "sources"}";\n'
        f'Dir::State "{own / "state"}";\nDir::Cache "{own / "cache"}";\n'
        'Acquire::Retries "2";\nAcquire::http::Timeout "30";\n'
        # As root apt fetches as a user of its own, who may not enter this folder.
        + ('APT::Sandbox::User "root";\n' if os.geteuid() == 0 else "")
    )
    return configuration
