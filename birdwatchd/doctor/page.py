"""What the doctor says of the page in the browser: who can reach it, and who could log in."""

import stat
from collections.abc import Callable, Iterator

from birdwatchd.core import shelving
from birdwatchd.core.hosts import address, is_loopback
from birdwatchd.core.settings import Web
from birdwatchd.doctor.finding import Finding
from birdwatchd.edges.files import Files
from birdwatchd.edges.systemd import Unit

SOCKET, SERVICE = "birdwatchd-web.socket", "birdwatchd-web.service"


def of_page(files: Files, web: Web, find_unit: Callable[[str], Unit | None]) -> Iterator[Finding]:
    """Its token, its address, and its socket, where it is a service; nothing where nobody wants it."""
    if not web.enabled:
        return
    yield _token(files, address(web))
    if not is_loopback(web.host):
        yield Finding(
            "page",
            f"with --allow-remote it listens at {web.host}, where others in your network can reach it; it speaks plain http, so"
            " whoever is on the way can read along unless a proxy with TLS stands before it",
        )
    socket, service = find_unit(SOCKET), find_unit(SERVICE)
    if service is not None and service.state == "failed":
        yield Finding(
            "page",
            "its service does not start",
            f"`sudo journalctl -u birdwatchd-web` says why; then `sudo systemctl reset-failed {SERVICE} {SOCKET}` and"
            f" `sudo systemctl restart {SOCKET}`",
        )
    elif socket is not None and socket.state != "active":
        yield Finding(
            "page",
            "its service is installed, but nobody listens for browsers",
            f"`sudo systemctl enable --now {SOCKET}`; or set enabled = false under [web] in config.toml if you do not want it",
        )


def _token(files: Files, where: str) -> Finding:
    path = files.path(shelving.WEB_TOKEN)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return Finding("page", "it was never opened; its token is made when it starts for the first time")
    except OSError:  # only its owner may look
        return Finding("page", "its token is out of sight for you, as it should be for others")
    if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
        return Finding(
            "page",
            "others can read its token, and with it name and move your photos",
            f"rm {path}; then start birdwatchd again: a new token is made, and everybody logs in again",
        )
    return Finding("page", f"its token is for its owner alone; `birdwatchd web --link` logs you in at {where}")
