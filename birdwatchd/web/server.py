"""The page as a process: a socket of its own or one that systemd hands over, and uvicorn on it."""

import ipaddress
import os
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from birdwatchd.core import shelving
from birdwatchd.core.errors import ConfigError
from birdwatchd.core.settings import Settings
from birdwatchd.edges.systemd import Notifier
from birdwatchd.web.access import Doorman, Keys, token_of
from birdwatchd.web.app import build_app

CONNECTIONS_MAX = 32
HEADER_MAX_BYTES = 16 * 1024
IDLE_S = 10
LAST_ANSWERS_S = 3

_FIRST_HANDED_DOWN = 3
"""Number of the first socket that a service manager hands over (sd_listen_fds(3))."""


def token_file(root: Path) -> Path:
    """Where the token lies."""
    return root / shelving.PRIVATE / "web-token"


def serve(settings: Settings, *, allow_remote: bool, announce: Callable[[str], None]) -> None:
    """Serve the page until SIGTERM or SIGINT.

    Args:
        allow_remote: whether an address that others can reach is allowed.
        announce: gets one line when it may be opened.

    Raises:
        ConfigError: it cannot start.
    """
    keys = Keys(token_of(token_file(settings.root), make=True))
    handed = _handed_down()
    if handed is None and not allow_remote and not is_loopback(settings.web.host):
        raise ConfigError(
            f"host is {settings.web.host!r} under [web] in config.toml, which others in your network can reach",
            hint="if you want that, start with --allow-remote; the page speaks plain http, so put a proxy with TLS before it",
        )
    app = build_app(settings, Doorman(keys, own_hosts(settings)))
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=LAST_ANSWERS_S,
        h11_max_incomplete_event_size=HEADER_MAX_BYTES,
        http="h11",
        ws="none",
        lifespan="off",
        proxy_headers=False,
    )
    with handed or _bound(settings) as listening:
        # Else each small answer waits 40 ms for the browser's word that it has the headers.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        notifier = Notifier.from_environment()
        notifier.ready("serving the page")
        announce(f"the page is at {address(settings)}")
        server = uvicorn.Server(config)
        app.state.closing = lambda: server.should_exit  # else who listens would keep us from ending
        server.run(sockets=[listening])
        notifier.stopping()


def address(settings: Settings) -> str:
    """What a person types into the browser on this computer."""
    host = settings.web.host if settings.web.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.web.port}"


def own_hosts(settings: Settings) -> frozenset[str]:
    """The Host headers that are ours: this computer's own names, where it listens, and what the settings add."""
    names = {"127.0.0.1", "localhost", "[::1]", *settings.web.hosts}
    host = settings.web.host
    if host not in ("0.0.0.0", "::"):  # noqa: S104
        names.add(f"[{host}]" if ":" in host else host)
    with_port = {f"{name}:{settings.web.port}" for name in names}
    return frozenset(name.lower() for name in with_port | {*settings.web.hosts})


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.web.host else socket.AF_INET
    try:
        return socket.create_server((settings.web.host, settings.web.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {settings.web.host} port {settings.web.port}: {error.strerror}",
            hint="is it running already? Or choose another port under [web] in config.toml",
        ) from error


def _handed_down() -> socket.socket | None:
    """The socket that systemd has opened for us, if any."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    return socket.socket(fileno=_FIRST_HANDED_DOWN)
