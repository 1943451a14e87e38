"""The command that serves the page: web."""

from typing import Annotated

import typer

from birdwatchd.cli.app import ConfigOption, RootOption, app, chosen_settings
from birdwatchd.cli.printing import say, tell
from birdwatchd.core.errors import ConfigError


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
) -> None:
    """Serve the review page in a browser until stopped.

    `birdwatchd run` starts it by itself unless it is switched off under [web] in config.toml.
    """
    try:
        from birdwatchd.web import server
    except ImportError as error:
        raise ConfigError(
            f"the page is not installed ({error.name} is missing)", hint='pip install "birdwatchd[web]"'
        ) from error
    from birdwatchd.web.access import token_of

    settings = chosen_settings(root, config)
    if link:
        token = token_of(server.token_file(settings.root), make=False)
        say(f"{server.address(settings)}/login#token={token}")
        tell("That link logs whoever has it in; the token is what comes after the =.")
        return
    server.serve(settings, allow_remote=allow_remote, announce=say)
