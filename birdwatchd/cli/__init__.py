"""The `birdwatchd` command."""

import sys


def main() -> None:
    """Run one command and end the process with its exit code: 0 done, 1 something failed, 2 wrong usage or configuration."""
    from birdwatchd.cli.app import run_command

    sys.exit(run_command(sys.argv[1:]))
