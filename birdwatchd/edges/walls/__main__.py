"""Tries all walls of the process that started this one, and prints what came of it."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from birdwatchd.edges.walls.trying import try_all

if __name__ == "__main__":
    json.dump([asdict(one) for one in try_all(Path(sys.argv[1]))], sys.stdout)
