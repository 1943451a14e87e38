"""The same front door as the `birdwatchd` command."""

from birdwatchd.cli import main

if __name__ == "__main__":
    main()
