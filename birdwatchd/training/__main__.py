"""The door of the training program: `python -m birdwatchd.training spotter MODELS_DIR`, `teach JOB_DIR`, `work JOBS_DIR`,
`report JOB_DIR OUT_DIR`, or `show-batch JOB_DIR PNG`.

Prints one line of JSON on stdout; `teach` and `work` print one for each step as well. Exit codes: 0 done; 1 it failed, one line on
stderr says why and what to do; 2 wrong usage. `work` ends well whatever came of the jobs: each has it in its own folder.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from birdwatchd.core.errors import BirdwatchdError, Refused
from birdwatchd.training import bounds, working


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
    teach.add_argument(
        "--parent", type=int, metavar="PID", help="the process that started this, and shall not be survived"
    )
    work = jobs.add_parser("work", help="do every training job that is due, then end")
    work.add_argument(
        "jobs_dir", type=Path, help="folder that holds the jobs, and `due` with the numbers of those to be done"
    )
    report = jobs.add_parser("report", help="make a page about a training that was judged")
    report.add_argument("job_dir", type=Path, help="folder that holds the job and what came of it")
    report.add_argument("out_dir", type=Path, help="folder of the page; what is there already is replaced")
    show = jobs.add_parser("show-batch", help="draw some photos of a job as the long training would be taught them")
    show.add_argument("job_dir", type=Path, help="folder that holds the job")
    show.add_argument("png", type=Path, help="file that is written")
    chosen = parser.parse_args(arguments)
    try:
        match chosen.job:
            case "spotter":
                answer = _spotter(chosen.models_dir)
            case "teach":
                answer = _teach(chosen.job_dir, chosen.parent)
            case "work":
                answer = _work(chosen.jobs_dir)
            case "show-batch":
                answer = _show_batch(chosen.job_dir, chosen.png)
            case _:
                answer = _report(chosen.job_dir, chosen.out_dir)
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


def _show_batch(job_dir: Path, png: Path) -> dict[str, object]:
    bounds.yield_to_others()
    from birdwatchd.training.teach_finetuned import batch

    try:
        png.write_bytes(batch(job_dir))
    except OSError as error:
        raise Refused(f"{png} cannot be written: {error.strerror}", hint="") from error
    return {"path": str(png)}


def _teach(job_dir: Path, parent: int | None) -> dict[str, object]:
    bounds.yield_to_others()
    if parent is not None:
        bounds.die_with(parent)
    report = working.do(job_dir, _tell)
    return {"model": report.model, "metrics": dict(report.metrics)}


def _work(jobs_dir: Path) -> dict[str, object]:
    bounds.yield_to_others()
    working.work(jobs_dir, _tell)
    return {}


def _tell(share: float, what: str) -> None:
    sys.stdout.write(json.dumps({"done": share, "what": what}) + "\n")
    sys.stdout.flush()


def _report(job_dir: Path, out_dir: Path) -> dict[str, object]:
    bounds.yield_to_others()
    # matplotlib wants a folder to write into, and a service may have no home; nothing it writes there is worth keeping.
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["MPLCONFIGDIR"] = scratch
        from birdwatchd.training.page import make

        return {"path": str(make(job_dir, out_dir))}


if __name__ == "__main__":
    sys.exit(main())
