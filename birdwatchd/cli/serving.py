"""The command that serves the page: web."""

import importlib.util
import sys
from typing import Annotated

import typer

from birdwatchd.cli.app import ConfigOption, RootOption, app, chosen_settings
from birdwatchd.cli.printing import say, tell
from birdwatchd.core.errors import ConfigError
from birdwatchd.core.hosts import address

NEEDED = ("fastapi", "uvicorn", "prometheus_client")
"""Modules of the extra `web`."""

HOW_TO_INSTALL = 'pip install "birdwatchd[web]"'


def missing_for_page() -> list[str]:
    """What of the extra `web` is not installed here, by the names of its modules; nothing of it is loaded for that."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


@app.command()
def web(
    root: RootOption = None,
    config: ConfigOption = None,
    link: Annotated[
        bool, typer.Option("--link", help="Only tell the address that logs you in, and the token.")
    ] = False,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen where others in the network can reach it, if `host` says so.")
    ] = False,
    parent: Annotated[int, typer.Option("--parent", hidden=True)] = 0,
    log: Annotated[str, typer.Option("--log", hidden=True)] = "text",
) -> None:
    """Serve the review page in a browser until stopped.

    `birdwatchd run` starts it by itself unless it is switched off under [web] in config.toml.
    """
    if missing := missing_for_page():
        raise ConfigError(f"the page is not installed ({missing[0]} is missing)", hint=HOW_TO_INSTALL)
    from birdwatchd.cli.journal import tell_on_stderr
    from birdwatchd.edges.companion import end_with
    from birdwatchd.edges.files import Files
    from birdwatchd.web import server
    from birdwatchd.web.access import token_of

    if parent:
        end_with(parent)
    settings = chosen_settings(root, config)
    Files(settings.root).check_is_one()
    if link:
        say(_link(address(settings.web), token_of(server.token_file(settings.root), make=False)))
        tell("That link logs whoever has it in; the token is what comes after the =.")
        return
    tell_on_stderr("json" if log == "json" else "text")
    server.serve(settings, allow_remote=allow_remote, announce=_announce)


def _link(where: str, token: str) -> str:
    return f"{where}/login#token={token}"


def _announce(where: str, token: str) -> None:
    """The token is told to a person at a terminal alone: what is written elsewhere may be read by others."""
    if sys.stdout.isatty():
        say(f"the page is at {_link(where, token)}  (that link logs you in: keep it to yourself)")
    else:
        say(f"the page is at {where}  (`birdwatchd web --link` tells a link that logs you in)")
    sys.stdout.flush()
