"""What others made and the page serves: it is what it says it is, with its licence."""

import hashlib
import tomllib
from pathlib import Path

import pytest

from birdwatchd import web

VENDOR = Path(web.__file__).parent / "static" / "vendor"
PACKAGES = sorted(VENDOR.iterdir())


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_file_is_the_one_that_was_taken_and_has_its_licence_beside_it(package: Path) -> None:
    origin = tomllib.loads((package / "ORIGIN.toml").read_text(encoding="utf-8"))
    content = (package / origin["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == origin["sha256"]
    assert origin["version"] in origin["file"], "an old one in a browser's cache is not taken for a new one"
    assert f'version="{origin["version"]}"'.encode() in content
    named = {"LICENSE", "NOTICE", "LICENSE-d3", "LICENSE-zrender", "LICENSE-tslib"}
    assert {one.name for one in package.iterdir()} == {*named, "ORIGIN.toml", origin["file"]}
    assert all(name in origin["license"] for name in named)


def test_the_licences_are_part_of_what_is_installed() -> None:
    project = tomllib.loads((Path(web.__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    root = Path(web.__file__).parents[2]
    found = {path for pattern in project["license-files"] for path in root.glob(pattern)}
    assert {path for path in VENDOR.rglob("*") if path.name.startswith(("LICENSE", "NOTICE"))} <= found
