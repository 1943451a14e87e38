"""The front door: the options that every command has, and how each ends."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from birdwatchd import __version__
from birdwatchd.cli.configuring import load_settings
from birdwatchd.cli.printing import say, tell, tell_error
from birdwatchd.core.errors import BirdwatchdError
from birdwatchd.core.settings import Settings

app = typer.Typer(
    name="birdwatchd",
    help="Drop camera photos into a folder; find the birds named and filed, and every decision in SQLite.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

RootOption = Annotated[
    Path | None, typer.Option("--root", metavar="DIR", help="The bird folder. Default: ~/birdwatch.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings. Default: config.toml in the bird folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="ISO time, or how long ago: 90m, 2h, 7d.")
]


NO_NUMBER = ("Input should be a valid integer, unable to parse string as an integer", "it is not a whole number")
"""What Typer says of a word that is no number, and what a person understands."""


def run_command(words: list[str]) -> int:
    """Run one command line; returns its exit code. Every error is one line on stderr with a hint."""
    from birdwatchd.cli import asking, doctoring, keeping, learning, naming, serving, working  # noqa: F401  # each adds its commands to `app`

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are text streams of this process
    try:
        code = app(words, standalone_mode=False, prog_name="birdwatchd")
    except BirdwatchdError as error:
        tell_error(error)
        return error.exit_code
    except typer.TyperException as error:  # words that are no command, option or value
        tell(f"birdwatchd: {error.format_message().replace(*NO_NUMBER)}")
        context = getattr(error, "ctx", None)
        tell(f"  hint: see `{context.command_path if context else 'birdwatchd'} --help`")
        return 2
    except (typer.Abort, KeyboardInterrupt):
        tell("birdwatchd: stopped; nothing is lost")
        return 130
    return code if isinstance(code, int) else 0


class Chosen:
    """--root and --config, given before the command."""

    root: Path | None = None
    config: Path | None = None


def _say_version(asked: bool) -> None:  # noqa: FBT001  # Typer calls it so
    if asked:
        say(f"birdwatchd {__version__}")
        raise typer.Exit


@app.callback()
def choose(
    context: typer.Context,
    root: RootOption = None,
    config: ConfigOption = None,
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and end.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Drop camera photos into a folder; find the birds named and filed, and every decision in SQLite."""
    Chosen.root, Chosen.config = root, config
    if context.invoked_subcommand is None:
        for line in context.get_help().splitlines():
            say(line)
    del version  # said by then, and the command ended


def chosen_settings(root: Path | None, config: Path | None) -> Settings:
    return load_settings(config or Chosen.config, root or Chosen.root, os.environ)


def chosen_file(config: Path | None) -> Path | None:
    """The file of settings that was named; None where the bird folder's own holds."""
    return config or Chosen.config
