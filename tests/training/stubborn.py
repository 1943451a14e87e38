"""The training program, `python -m tests.training.stubborn …`, with a teacher that does what the recipe says, and nothing useful."""

import os
import signal
import sys
import time
from pathlib import Path

from birdwatchd.core.errors import Refused
from birdwatchd.core.job import JOB_FILE, Job, Report
from birdwatchd.training import teach as school
from birdwatchd.training.__main__ import main


def teach(folder: Path, tell: school.Tell) -> Report:
    """In place of the real one."""
    job = Job.from_json((folder / JOB_FILE).read_text(encoding="utf-8"))
    tell(0.25, "taking its time")
    match job.recipe["does"]:
        case "refuse":
            raise Refused("there is nothing to learn", hint="name more photos")
        case "break":
            raise RuntimeError("odd")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "eat":
            held = []
            while True:
                held.append(b"x" * 20_000_000)
                time.sleep(0.1)
    time.sleep(600)
    raise AssertionError("nobody ended it")


if __name__ == "__main__":
    school.teach = teach
    sys.exit(main())
