"""Nothing that birdwatchd does is anybody's business: no file outside the bird folder, no word to the network."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pictures import jpeg
from tests.service.running import COMMAND


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace to watch system calls with")
def test_no_command_asks_the_network_or_leaves_a_trace_at_home(tmp_path: Path) -> None:
    home, root, trace = tmp_path / "home", tmp_path / "birdwatch", tmp_path / "trace"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ORT_")} | {"HOME": str(home)}
    for words in (["init"], ["scan"], ["classify", str(tmp_path / "a.jpg")], ["import", str(tmp_path / "named")]):
        if words[0] == "scan":
            (root / "inbox" / "a.jpg").write_bytes(jpeg(seed=1))
        if words[0] == "import":
            (tmp_path / "named" / "robin").mkdir(parents=True)
            (tmp_path / "named" / "robin" / "b.jpg").write_bytes(jpeg(seed=2))
        (tmp_path / "a.jpg").write_bytes(jpeg(seed=1))
        command = ["strace", "-f", "-qq", "-e", "trace=socket,connect", "-o", str(trace), *COMMAND, *words]
        done = subprocess.run(
            [*command, "--root", str(root)], env=environment, capture_output=True, text=True, check=False
        )
        if "PTRACE" in done.stderr:
            pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
        assert done.returncode == 0, done
        asked = re.findall(r"AF_INET6?", trace.read_text())
        assert asked == [], f"{words[0]} used the network"
    assert list(home.rglob("*")) == [], "something was left at home"
