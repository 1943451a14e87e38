"""The page as a process: a socket of its own or one that systemd hands over, and uvicorn on it."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import anyio.to_thread
import uvicorn

from birdwatchd.core import shelving
from birdwatchd.core.errors import BirdwatchdError, ConfigError
from birdwatchd.core.hosts import address, is_loopback, own_hosts
from birdwatchd.core.settings import Settings, Web
from birdwatchd.edges.heap import share_one_heap
from birdwatchd.edges.systemd import Notifier
from birdwatchd.web.access import Doorman, Keys, token_of
from birdwatchd.web.app import build_app
from birdwatchd.web.protocol import PatientToAPoint

HEADER_MAX_BYTES = 16 * 1024
IDLE_S = 10
LAST_ANSWERS_S = 3

ANSWERS_AT_ONCE = 8
"""Each of them takes a thread, and some megabytes: the log is open for it, and its page is put together."""

TOKEN_EVERY_S = 2.0
"""How soon it is seen that the token was exchanged."""

_TCP = (socket.AF_INET, socket.AF_INET6)

log = logging.getLogger(__name__)

_FIRST_HANDED_DOWN = 3
"""Number of the first socket that a service manager hands over (sd_listen_fds(3))."""


def token_file(root: Path) -> Path:
    """Where the token lies."""
    return root / shelving.WEB_TOKEN


def serve(settings: Settings, *, allow_remote: bool, announce: Callable[[str, str], None]) -> None:
    """Serve the page until SIGTERM or SIGINT.

    Args:
        allow_remote: whether an address that others can reach is allowed.
        announce: gets its address and its token when it may be opened.

    Raises:
        ConfigError: it cannot start.
    """
    share_one_heap()
    keys = Keys(token_of(token_file(settings.root), make=True))
    handed = _handed_down()  # then whoever set up that socket has said who may reach it
    if handed is None and not allow_remote and not is_loopback(settings.web.host):
        raise ConfigError(
            f"host is {settings.web.host!r} under [web] in config.toml, which others in your network can reach",
            hint="if you want that, start with --allow-remote; the page speaks plain http, so put a proxy with TLS before it",
        )
    with handed or _bound(settings.web) as listening:
        if listening.family in _TCP:
            # Else each small answer waits 40 ms for the browser's word that it has the headers.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        web = _as_it_listens(settings.web, listening)
        doorman = Doorman(keys, own_hosts(web))
        app = build_app(settings, doorman)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=LAST_ANSWERS_S,
                h11_max_incomplete_event_size=HEADER_MAX_BYTES,
                http=PatientToAPoint,
                ws="none",
                lifespan="off",
                proxy_headers=False,
            )
        )
        # What is no request is told to who sent it; it must not fill our log.
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
        app.state.closing = lambda: server.should_exit  # else who listens would keep us from ending
        notifier = Notifier.from_environment()
        notifier.ready("serving the page")
        announce(address(web), keys.token)
        with _signals(server):
            asyncio.run(_serve(server, listening, _heed_token(doorman, token_file(settings.root))))
        notifier.stopping()


async def _serve(server: uvicorn.Server, listening: socket.socket, beside: Coroutine[None, None, None]) -> None:
    anyio.to_thread.current_default_thread_limiter().total_tokens = ANSWERS_AT_ONCE
    task = asyncio.create_task(beside)
    await server.serve(sockets=[listening])
    task.cancel()


async def _heed_token(doorman: Doorman, file: Path) -> None:
    """Whoever removes the token's file, or puts another in its place, wants nobody to come in by the old one, from now on."""
    known, told = _stamp(file), ""
    while True:
        await asyncio.sleep(TOKEN_EVERY_S)
        if (now := _stamp(file)) == known:
            continue
        try:
            keys = Keys(token_of(file, make=True))
        except BirdwatchdError as error:  # its disk is away, perhaps
            if str(error) != told:
                log.warning("the page keeps its token: %s", error)
            told = str(error)
        else:
            known, told = now or _stamp(file), ""
            if keys.token != doorman.keys.token:
                log.info("the token of the page was exchanged; everybody logs in again")
            doorman.keys = keys


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mode, found.st_mtime_ns


@contextmanager
def _signals(server: uvicorn.Server) -> Iterator[None]:
    """uvicorn stops at SIGTERM and SIGINT, then gives them once more to whoever was there before. That shall be no end by force."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bound(web: Web) -> socket.socket:
    family = socket.AF_INET6 if ":" in web.host else socket.AF_INET
    try:
        return socket.create_server((web.host, web.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {web.host} port {web.port}: {error.strerror}",
            hint="is it running already? Or choose another port under [web] in config.toml",
        ) from error


def _as_it_listens(web: Web, listening: socket.socket) -> Web:
    """The settings with the address that holds: a socket that was handed over may have another one than they say."""
    if listening.family not in _TCP:
        return web
    host, port = listening.getsockname()[:2]
    return web.model_copy(update={"host": web.host if web.host == "localhost" else host, "port": port})


def _handed_down() -> socket.socket | None:
    """The socket that systemd has opened for us, if any."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    return socket.socket(fileno=_FIRST_HANDED_DOWN)
