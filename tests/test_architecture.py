"""The shape of the house: arrows point down, and the daemon meets nothing heavy."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import jpeg
from tests.service.running import birdwatchd, daemon, until

HEAVY = (
    "torch", "torchvision", "fastai", "fastcore", "timm", "sklearn", "onnx", "pandas", "matplotlib", "scipy",
    "apscheduler", "rich",
)  # fmt: skip
"""The last two are used, but only once they are needed."""

NEVER = set(HEAVY) - {"apscheduler", "rich"}

LOOK = """
import importlib, pkgutil, sys
import birdwatchd
heavy = sys.argv[1].split()
sys.path.append(sys.argv[2])
rooms = [room.name for room in pkgutil.walk_packages(birdwatchd.__path__, "birdwatchd.") if ".training" not in room.name]
for room in rooms:
    if not room.endswith("__main__"):
        importlib.import_module(room)
assert {"birdwatchd.service", "birdwatchd.worker", "birdwatchd.cli", "birdwatchd.edges.store"} <= set(rooms)
print(*(name for name in heavy if name in sys.modules))
"""


def test_every_import_contract_is_kept() -> None:
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    repository = Path(__file__).resolve().parent.parent
    child = subprocess.run([sys.executable, "-c", lint], capture_output=True, text=True, check=False, cwd=repository)
    assert child.returncode == 0, child.stdout + child.stderr
    assert "0 broken" in child.stdout


def test_no_room_but_training_loads_what_only_training_needs(tmp_path: Path) -> None:
    """A contract cannot see what a package imports in turn, nor `importlib`; a fresh interpreter can.

    What is not installed here is made up, so that a careful `try: import` is noticed, too.
    """
    for name in HEAVY:
        (tmp_path / f"{name}.py").touch()
    child = subprocess.run(
        [sys.executable, "-c", LOOK, " ".join(HEAVY), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stdout.split(), child.stderr) == (0, [], "")


@pytest.mark.parametrize("command", ["scan", "run"])
def test_a_whole_working_life_of_run_and_scan_imports_nothing_heavy(seeing_root: Path, command: str) -> None:
    assert birdwatchd("init", root=seeing_root).returncode == 0
    (seeing_root / "inbox" / "a.jpg").write_bytes(jpeg())
    told = {"PYTHONPROFILEIMPORTTIME": "1", "BIRDWATCHD_INBOX__SETTLE_S": "0"}
    if command == "scan":
        said = birdwatchd("scan", root=seeing_root, environment=told).stderr
    else:
        with daemon(seeing_root, settle_s=0, environment=told) as running:
            until("the photo taken", lambda: not (seeing_root / "inbox" / "a.jpg").exists())
            assert running.stop() == 0
            said = running.err.read_text()
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in said.splitlines()
        if line.startswith("import time:")
    }
    assert {"onnxruntime", "PIL", "birdwatchd"} <= imported
    assert imported & NEVER == set()
