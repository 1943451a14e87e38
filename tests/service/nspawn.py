"""A whole system of its own under real systemd: this checkout installed as the README says, on a copy-on-write image of this machine.

Nothing outside a temporary folder is changed. Needs root, the Debian packages systemd-container, python3-venv, acl and sqlite3, and a
way to PyPI.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import until

REPOSITORY = Path(__file__).resolve().parents[2]
BIRDS = Path("/var/lib/birdwatchd")
INBOX = BIRDS / "inbox"
DROP_INS = Path("/etc/systemd/system/birdwatchd.service.d")
UNIT = "birdwatchd"

README_SHELL = """
sudo() { "$@"; }
apt() { DEBIAN_FRONTEND=noninteractive command apt-get --quiet=2 --yes "$@" >/dev/null; }
USER=member
cd /srv/code
"""
"""What the command blocks of the README find here: we are root already, and apt asks nobody."""


def skip_unless_possible() -> None:
    """Skip, and say what is missing, where no system can be booted."""
    if os.geteuid() != 0:
        pytest.skip("needs root to boot a system")
    if shutil.which("systemd-nspawn") is None:
        pytest.skip("no systemd-nspawn (Debian package systemd-container) to boot a system with")
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this machine lets nobody mount: {done.stderr.strip()}")


def service_blocks() -> list[str]:
    """The command blocks of the README's section on the service, in order."""
    section = (REPOSITORY / "README.md").read_text().partition("\n## Run it as a service\n")[2].partition("\n## ")[0]
    return [block[1] for block in re.finditer(r"^ *```sh\n(.*?)^ *```\n", section, re.MULTILINE | re.DOTALL)]


class Machine:
    """One such system, from the image to the power switch.

    Args:
        place: an empty folder; the image is mounted below it.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self.image = place / "image"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def build(self) -> None:
        """A copy-on-write image of this machine, with this checkout at /srv/code."""
        self._run("mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", str(self._place))
        upper, work = self._place / "upper", self._place / "work"
        for folder in (upper, work, self.image):
            folder.mkdir()
        layers = f"lowerdir=/,upperdir={upper},workdir={work}"
        self._run("mount", "-t", "overlay", "overlay", "-o", layers, str(self.image))
        code = self.image / "srv" / "code"
        code.mkdir(parents=True)
        listed = self._run(
            "git", "-C", str(REPOSITORY), "ls-files", "-z", "--cached", "--others", "--exclude-standard"
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (REPOSITORY / name).is_file():
                (code / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(REPOSITORY / name, code / name)

    def prepare(self, script: str) -> None:
        """Run a shell script in the image before it is booted, with this machine's network."""
        resolving = "--bind-ro=/etc/resolv.conf"
        spawn = ["systemd-nspawn", "--quiet", f"--directory={self.image}", "--register=no", "--keep-unit", "--pipe"]
        self._run(*spawn, resolving, "/bin/bash", "-euc", README_SHELL + script)

    def boot(self) -> None:
        """Switch it on."""
        self._nspawn = subprocess.Popen(
            ["systemd-nspawn", "--quiet", f"--directory={self.image}", "--boot", "--register=no", "--keep-unit",
             "--private-network", "--console=pipe"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        until("the system is up", self._is_up)

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, "the system went down while it was booted"
        found = subprocess.run(
            ["pgrep", "--parent", str(self._nspawn.pid)], capture_output=True, text=True, check=False
        )
        if not found.stdout.strip():
            return False
        self._leader = int(found.stdout.split()[0])
        return self.shell("systemctl is-system-running", check=False).stdout.strip() in {"running", "degraded"}

    def switch_off(self) -> None:
        """Power off, and give back all that was mounted."""
        if self._nspawn is not None:
            if self._nspawn.poll() is None and self._leader:
                self.shell("systemctl poweroff", check=False)
            try:
                self._nspawn.wait(30)
            except subprocess.TimeoutExpired:
                self._nspawn.terminate()
                self._nspawn.wait(30)
        for mounted in (self.image, self._place):
            subprocess.run(["umount", str(mounted)], capture_output=True, check=False)

    # -- inside

    def shell(self, script: str, *, user: str = "root", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell script in the running system."""
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        shell = ["/bin/bash", "-euc", README_SHELL + script]
        become = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        command = ["nsenter", "--target", str(self._leader), "--all", *clean, *become, *shell]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0 or not check, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    def ask(self, script: str, *, user: str = "root") -> str:
        """What a shell script prints."""
        return self.shell(script, user=user).stdout

    def query(self, sql: str) -> list[list[Any]]:
        """Rows of the log, as a member of the group reads them."""
        said = self.ask(f"sqlite3 -readonly -json {BIRDS}/birdwatchd.db {json.dumps(sql)}", user="member")
        return [list(row.values()) for row in json.loads(said or "[]")]

    def unit(self, name: str) -> str:
        """A property of the service."""
        return self.ask(f"systemctl show --value --property={name} {UNIT}").strip()

    def is_active(self) -> bool:
        """Whether the service has said that it is ready."""
        return self.unit("ActiveState") == "active"

    def start(self, how: str = "restart") -> None:
        """Start the service anew and wait until it is ready."""
        self.shell(f"systemctl reset-failed {UNIT}; systemctl {how} {UNIT}")
        until("the service is ready", self.is_active)

    def add(self, name: str, text: str) -> None:
        """Put a drop-in in its place; it counts from the next start on."""
        folder = self.image / DROP_INS.relative_to("/")
        self.shell(f"mkdir -p {DROP_INS}; cat > {DROP_INS}/{name}.conf <<'END'\n{text}\nEND\nsystemctl daemon-reload")
        assert (folder / f"{name}.conf").is_file()

    def remove(self, name: str) -> None:
        """Take a drop-in away."""
        self.shell(f"rm -f {DROP_INS}/{name}.conf; systemctl daemon-reload")

    @staticmethod
    def _run(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(words, capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done
