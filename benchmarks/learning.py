"""How soon it learns and at what cost, and what it makes of mistakes: real photos, real daemons, and only what a person does."""

import json
import random
import shutil
import sqlite3
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import at_most, average, skipped, spread
from benchmarks.folders import ONLY_WHEN_ASKED, Daemon, bird_folder, bring, command, daemon
from benchmarks.lessons import ask, draw
from benchmarks.looks import Look, by_species
from birdwatchd.edges.vision import Classifier
from tests.pictures import data_folder

SEED = 73_000
LOOK_S = 0.01
"""How often the training's memory is looked at; the kernel remembers the most that it ever was."""


def learning(*, labels: int = 1200, repeats: int = 3) -> None:
    """From `birdwatchd train` to a model in use, with so many labels of 40 species, and what memory the training needs."""
    if not _has_photos("learning"):
        return
    took: list[float] = []
    memory: list[float] = []
    with bird_folder() as template:
        bring(
            template, ((look.species, look.path) for photos in by_species().values() for look in photos[: labels // 40])
        )
        for repeat in range(repeats):
            root = template.parent / f"copy-{repeat}"
            shutil.copytree(template, root)
            with daemon(root, environment=ONLY_WHEN_ASKED) as running, _training_of(running) as most_mb:
                begun = time.perf_counter()
                command("train", root=root)
                took.append(running.when_it_said("names birds now") - begun)
            memory.append(max(most_mb))
    print(f"`birdwatchd train` -> the new model serves, {labels:,} labels of 40 species: {spread(took, 's')};")
    print(f"  {at_most(max(took), 10, 's')}")
    print(f"  the most memory that the training took: {spread(memory, 'MB', 0)}; {at_most(max(memory), 600, 'MB')}")


@contextmanager
def _training_of(running: Daemon) -> Iterator[list[float]]:
    """Megabytes: the most that the training which this daemon starts has resident, whenever it was looked at."""
    over, seen = threading.Event(), [0.0]

    def look() -> None:
        while not over.wait(LOOK_S):
            seen.extend(_peak_mb(child) for child in _children(running.process.pid) if _is_training(child))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _children(pid: int) -> list[Path]:
    told = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [Path("/proc", child) for children in told for child in children]


def _is_training(process: Path) -> bool:
    try:
        return b"birdwatchd.training" in (process / "cmdline").read_bytes()
    except OSError:  # it has just ended
        return False


def _peak_mb(process: Path) -> float:
    try:
        lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    except OSError:
        return 0.0
    return int(lines.get("VmHWM", "0 kB").split()[0]) * 1024 / 1e6


def soon(*, draws: int = 5) -> None:
    """From the last of five labels of the second species, by moving photos, until the waiting photos have names."""
    if not _has_photos("soon"):
        return
    took: list[float] = []
    right: list[float] = []
    filed: list[float] = []
    for number in range(draws):
        chance = random.Random(SEED + number)  # noqa: S311  # no secret
        chosen = chance.sample(list(by_species().values()), 2)
        photos = [chance.sample(of_one, 15) for of_one in chosen]
        with bird_folder() as root, daemon(root) as running:
            for look in [look for of_one in photos for look in of_one]:
                (root / "inbox" / f"{look.number}.jpg").write_bytes(look.path.read_bytes())
            for look in [look for of_one in photos for look in of_one]:
                running.receipt(f"{look.number}.jpg")
            for of_one in photos:
                for look in of_one[:5]:
                    _say_by_moving(root, look)
            begun = time.perf_counter()
            waiting = {f"{look.number}.jpg": look.species for of_one in photos for look in of_one[5:]}
            names = _names_of(root, waiting)
            took.append(time.perf_counter() - begun)
        right.append(100 * statistics.fmean(names[name][0] == species for name, species in waiting.items()))
        filed.append(100 * statistics.fmean(verdict == "filed" for _, verdict in names.values()))
    print(f"last of five labels of the second species -> 20 waiting photos have names: {spread(took, 's', 1)};")
    print(
        f"  {at_most(max(took), 60, 's')}; right {average(right, '%', 0)}, filed without a person {average(filed, '%', 0)}"
    )


def _say_by_moving(root: Path, look: Look) -> None:
    ((path,),) = _rows(root, "SELECT path FROM photos WHERE original_name = ?", f"{look.number}.jpg")
    folder = root / "library" / look.species
    folder.mkdir(exist_ok=True)
    (root / path).rename(folder / Path(path).name)


def _names_of(root: Path, waiting: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Label and verdict by a model of all these photos, as soon as all have them."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        rows = _rows(
            root,
            "SELECT original_name, label, verdict FROM predictions JOIN photos ON photos.id = photo_id WHERE model_id IS NOT NULL",
        )
        named = {name: (label, verdict) for name, label, verdict in rows if name in waiting}
        if len(named) == len(waiting):
            return named
        time.sleep(0.2)
    raise TimeoutError(f"{len(waiting)} photos did not get their names")


def mistakes(*, draws: int = 5, species: int = 20, labels: int = 10, wrong_share: float = 0.4) -> None:
    """A batch of new labels of which many are wrong, after as many right ones; what serves then is asked about other photos."""
    if not _has_photos("mistakes"):
        return
    print(f"{species} species with {labels} right labels each, then as many again, {wrong_share:.0%} of them wrong:")
    worst = 0.0
    for number in range(draws):
        chance = random.Random(SEED + number)  # noqa: S311  # no secret
        one = draw(chance, chance.sample(list(by_species().values()), species), labels=2 * labels)
        names = sorted({look.species for look in one.taught})
        first = [look for name in names for look in [look for look in one.taught if look.species == name][:labels]]
        second = [look for look in one.taught if look not in first]
        wrong = {
            look.sha256: chance.choice([name for name in names if name != look.species])
            for look in chance.sample(second, round(wrong_share * len(second)))
        }
        with bird_folder() as root:
            bring(root, ((look.species, look.path) for look in first))
            command("train", root=root)
            before = _right(root, one.judged)
            bring(root, ((wrong.get(look.sha256, look.species), look.path) for look in second))
            command("train", root=root, may_end_with=(0, 1))
            after = _right(root, one.judged)
            ((outcome,),) = _rows(root, "SELECT outcome FROM trainings ORDER BY id DESC LIMIT 1")
            held_back = _held_back(root)
        found = len(held_back & wrong.keys())
        print(
            f"  {outcome}; held back {found} of {len(wrong)} wrong labels and {len(held_back) - found} right ones;",
            end=" ",
        )
        print(f"the model in use names {before:.1f} % right before, {after:.1f} % after")
        worst = max(worst, before - after)
    print(f"  most that was lost: {worst:.1f} points; {at_most(worst, 0)}")


def _right(root: Path, photos: Sequence[Look]) -> float:
    """How many of 100 photos the model in use names right."""
    ((path, number),) = _rows(root, "SELECT path, id FROM models WHERE promoted_at IS NOT NULL AND retired_at IS NULL")
    model = Classifier.load(root / path, model_id=number, spotter_id=photos[0].spotting.spotter_id)
    return 100 * float(np.mean(ask(model, photos).right))


def _held_back(root: Path) -> set[str]:
    """Contents whose labels the latest training did not believe."""
    folder = max((root / ".birdwatchd/jobs").iterdir(), key=lambda path: int(path.name))
    job, report = (json.loads((folder / name).read_text()) for name in ("job.json", "report.json"))
    contents = {one["photo_id"]: one["sha256"] for one in job["examples"]}
    return {contents[doubt["photo_id"]] for doubt in report["doubts"] if doubt["held_back"]}


def _rows(root: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """What the log says, asked by a bystander."""
    with closing(sqlite3.connect(f"file:{root / 'birdwatchd.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql, values).fetchall()


def _has_photos(what: str) -> bool:
    if data_folder() is None:
        skipped(what, "no real photos (set BIRDWATCHD_TEST_DATA)")
    return data_folder() is not None
