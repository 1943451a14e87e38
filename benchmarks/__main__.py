"""Measure: `make bench`, or `.venv/bin/python -m benchmarks [--quick] [NAME ...]`.

Each figure stands beside what it is to be compared with, taken in the same run; medians, because machines are noisy. `--quick` takes
few photos and few turns: to see that a measurement works, and roughly where it stands.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.arriving import detection, latency
from benchmarks.besides import besides
from benchmarks.card import card
from benchmarks.eyesight import eyesight, halves
from benchmarks.figures import machine
from benchmarks.learning import learning, mistakes, soon
from benchmarks.living import memory
from benchmarks.naming import calibration, filed, forty, strangers, three
from benchmarks.pages import pages
from benchmarks.seeing import birdness
from benchmarks.starting import fresh, recover, start
from benchmarks.sweeping import sweep
from benchmarks.throughput import fastai, small, speed


@dataclass(frozen=True)
class Measurement:
    """One of them, and with what arguments it is quick."""

    take: Callable[..., None]
    quick: Mapping[str, float] = field(default_factory=dict)


ALL: dict[str, Measurement] = {
    "start": Measurement(start, {"repeats": 3, "rows": 10_000}),
    "recover": Measurement(recover, {"photos": 60, "repeats": 1}),
    "sweep": Measurement(sweep, {"files": 10_000, "many": 60_000, "repeats": 1}),
    "speed": Measurement(speed, {"photos": 60, "repeats": 3}),
    "small": Measurement(small, {"photos": 400, "repeats": 3}),
    "fastai": Measurement(fastai, {"photos": 16, "repeats": 1}),
    "latency": Measurement(latency, {"drops": 10}),
    "detection": Measurement(detection, {"drops": 20, "sweep_s": 6.0}),
    "memory": Measurement(memory),
    "birdness": Measurement(birdness),
    "eyesight": Measurement(eyesight, {"frames": 40}),
    "card": Measurement(card, {"photos": 20, "repeats": 2}),
    "halves": Measurement(halves, {"frames": 40}),
    "three": Measurement(three, {"draws": 3}),
    "forty": Measurement(forty, {"draws": 1}),
    "filed": Measurement(filed, {"draws": 1}),
    "strangers": Measurement(strangers, {"draws": 1}),
    "calibration": Measurement(calibration, {"draws": 1}),
    "learning": Measurement(learning, {"repeats": 1}),
    "soon": Measurement(soon, {"draws": 1}),
    "besides": Measurement(besides, {"drops": 10}),
    "mistakes": Measurement(mistakes, {"draws": 1}),
    "pages": Measurement(pages, {"photos": 50_000, "repeats": 3}),
    "fresh": Measurement(fresh),
}


def main(words: Sequence[str]) -> None:
    """Take the named measurements, or all."""
    reader = argparse.ArgumentParser(prog="python -m benchmarks", description=f"Measurements: {', '.join(ALL)}.")
    reader.add_argument("names", nargs="*", metavar="NAME", help="which; all if none is named")
    reader.add_argument("--quick", action="store_true", help="few photos, few turns")
    asked = reader.parse_args(words)
    if unknown := [name for name in asked.names if name not in ALL]:
        reader.error(f"no such measurement: {', '.join(unknown)} (there are {', '.join(ALL)})")
    print(machine(), flush=True)
    for name in asked.names or ALL:
        one = ALL[name]
        one.take(**(one.quick if asked.quick else {}))
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
