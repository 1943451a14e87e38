"""The door of the training program: `python -m birdwatchd.training spotter MODELS_DIR`, or `teach JOB_DIR`.

Prints one line of JSON on stdout; `teach` prints one for each step as well. Exit codes: 0 done; 1 it failed, one line on stderr says
why and what to do; 2 wrong usage.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from birdwatchd.core.errors import BirdwatchdError


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one job and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m birdwatchd.training", description="Builds and trains models; birdwatchd calls it."
    )
    jobs = parser.add_subparsers(dest="job", required=True)
    spotter = jobs.add_parser("spotter", help="build the spotter, unless it is there already")
    spotter.add_argument("models_dir", type=Path, help="folder that it is written into")
    teach = jobs.add_parser("teach", help="do one training job")
    teach.add_argument("job_dir", type=Path, help="folder that holds the job, and gets what comes of it")
    chosen = parser.parse_args(arguments)
    try:
        answer = _spotter(chosen.models_dir) if chosen.job == "spotter" else _teach(chosen.job_dir)
    except BirdwatchdError as error:
        sys.stderr.write(f"birdwatchd: {error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _spotter(models_dir: Path) -> dict[str, object]:
    # onnx and numpy are loaded for the job that needs them, so that `--help` and wrong usage answer at once.
    from birdwatchd.training.spotter import build_spotter

    built = build_spotter(models_dir)
    return {"path": str(built.path), "spotter_id": built.spotter_id, "built": built.built}


def _teach(job_dir: Path) -> dict[str, object]:
    from birdwatchd.training.teach import teach

    def tell(share: float, what: str) -> None:
        sys.stdout.write(json.dumps({"done": share, "what": what}) + "\n")
        sys.stdout.flush()

    report = teach(job_dir, tell)
    return {"model": report.model, "metrics": dict(report.metrics)}


if __name__ == "__main__":
    sys.exit(main())
