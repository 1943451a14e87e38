"""The shape of the house: arrows point down, and the daemon meets nothing heavy."""

import subprocess
import sys
from pathlib import Path

HEAVY = (
    "torch", "torchvision", "fastai", "fastcore", "timm", "sklearn", "onnx", "pandas", "matplotlib", "scipy",
    "apscheduler", "rich",
)  # fmt: skip
"""The last two are used, but only once they are needed."""

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
