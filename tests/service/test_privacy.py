"""Nothing that birdwatchd does is anybody's business: no file outside the bird folder, no word to the network."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pictures import jpeg
from tests.service.running import COMMAND
from tests.web.serving import page_of


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


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace to watch system calls with")
def test_the_page_listens_and_asks_nobody(root: Path, tmp_path: Path) -> None:
    home, trace = tmp_path / "home", tmp_path / "trace"
    home.mkdir()
    tracer = ["strace", "-D", "-f", "-qq", "-e", "trace=socket,connect,sendto,sendmsg,bind,listen", "-o", str(trace)]
    with page_of(root, environment={"HOME": str(home)}, before=tracer) as served:
        if not trace.exists():
            pytest.skip("strace may not trace here")
        with served.client() as client:
            for path in ("/", "/login", "/health", "/models", "/static/base.css", "/metrics", "/thumbnails/1"):
                client.get(path)
    calls = trace.read_text()
    bound = f'sin_port=htons({served.port}), sin_addr=inet_addr("127.0.0.1")'
    assert [bound in call for call in re.findall(r"bind\(.*AF_INET6?.*", calls)] == [True]
    assert re.findall(r"connect\(.*AF_INET6?.*", calls) == []
    assert re.findall(r"send(?:to|msg)\(.*sa_family=AF_INET6?.*", calls) == []
    assert len(set(re.findall(r"listen\((\d+)", calls))) == 1
    assert list(home.rglob("*")) == [], "something was left at home"
