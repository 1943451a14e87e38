"""The real program is killed at the entry of its system calls, one life for each; then it starts again, and the books are checked.

A life takes photos of every fate from the inbox to their places. Which calls it makes is read from an undisturbed life, so that no
new step can slip in unkilled.
"""

import contextlib
import itertools
import queue
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from birdwatchd.core import shelving
from tests import books
from tests.crash import killing, lives
from tests.crash.killing import Point
from tests.crash.launching import fault
from tests.crash.nursery import Nursery

Tell = Callable[[str], None]

AT_A_TIME = 2
ONE_DISK, TWO_DISKS = "one disk", "inbox on another disk"
DEEP = 5


class Ground:
    """Where and how lives are lived: a folder to copy, files to drop, one disk or two, a sound program or one with a fault.

    Args:
        template: the folder to copy; None makes an empty one.
        words: the command that is a life.
    """

    def __init__(
        self,
        place: Path,
        files: dict[str, bytes],
        *,
        disks: str = ONE_DISK,
        faults: Sequence[str] = (),
        models: Path | None = None,
        template: Path | None = None,
        words: Sequence[str] = ("scan", "--json"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        killing.need_strace()
        if disks == TWO_DISKS:
            lives.need_root("an inbox on another disk")
        self._place = place
        self._files = files
        self._disks = disks
        self._eye = dict(environment or {}) | ({"EYE": "real"} if models else {})
        self._words = words
        self._faults = fault(*faults)
        self._template = template or lives.new_folder(place / "template")
        if models:
            shutil.copytree(models, self._template / shelving.MODELS, dirs_exist_ok=True)
        self._numbers = itertools.count(1)
        self._nurseries: queue.SimpleQueue[Nursery] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        for _number in range(AT_A_TIME):
            self._nurseries.put(Nursery())
        return self

    def __exit__(self, *_: object) -> None:
        for _number in range(AT_A_TIME):
            self._nurseries.get().close()

    @contextlib.contextmanager
    def folder(self) -> Iterator[tuple[Path, Counter[str]]]:
        """A bird folder with the files in its inbox; gone afterwards."""
        root = lives.copied(self._template, self._place / f"life-{next(self._numbers)}")
        other_disk = lives.inbox_on_another_disk(root) if self._disks == TWO_DISKS else contextlib.nullcontext()
        with other_disk:
            yield root, lives.drop(root, self._files)
        shutil.rmtree(root)

    @contextlib.contextmanager
    def _nursery(self) -> Iterator[Nursery]:
        nursery = self._nurseries.get()
        try:
            yield nursery
        finally:
            self._nurseries.put(nursery)

    def points(self, *deaths: Point) -> list[Point]:
        """The calls of an undisturbed life, or of the recovery after these deaths."""
        with self.folder() as (root, _):
            for point in deaths:
                self.die(root, point)
            with self._nursery() as nursery:
                log = root.with_suffix(".calls")
                how = {"environment": self._eye | self._faults, "words": self._words}
                return killing.watch(root, log, nursery=nursery, **how)

    def ending(self) -> lives.Ending:
        """What an undisturbed life makes of the files."""
        with self.folder() as (root, dropped):
            self.recover(root)
            books.check(root, dropped)
            return lives.ending(root)

    def die(self, root: Path, point: Point) -> str | None:
        """A life to the entry of a call; says which it was, or None."""
        log = root.with_suffix(".calls")
        with self._nursery() as nursery:
            how = {"environment": self._eye | self._faults, "words": self._words}
            return killing.live_until(root, point, log, nursery=nursery, **how)

    def ask(self, root: Path, *words: str) -> lives.Lived:
        """Another command of the sound program."""
        with self._nursery() as nursery:
            return lives.live(root, words=words, nursery=nursery, environment=self._eye)

    def recover(self, root: Path) -> None:
        """A life of the sound program, to its end."""
        with self._nursery() as nursery:
            lives.recover(root, nursery=nursery, environment=self._eye)


@dataclass
class Trial:
    """What came of one or several deaths in a row."""

    deaths: list[str]
    violation: str | None
    crashed: int = 0


def die_and_recover(ground: Ground, points: Sequence[Point], wanted: lives.Ending) -> Trial:
    """Deaths one after the other, then a life to the end; violations are collected, not raised, so that they can be counted."""
    trial = Trial([], None)
    with ground.folder() as (root, dropped):
        try:
            for point in points:
                ended_at = ground.die(root, point)
                if ended_at is None:
                    break
                trial.deaths.append(ended_at)
                books.check(root, lives.with_open_copies(root, dropped), settled=False)
            judged = lives.judged(root)
            ground.recover(root)
            books.check(root, dropped)
            trial.crashed = lives.crashed(root)
            _like_undisturbed(root, wanted, may_be_set_aside=max(0, len(trial.deaths) - 1))
            now = lives.judged(root)
            assert all(one in now for one in judged), "judged again after the decision was written"
            assert not (left := lives.litter(root)), f"litter is left: {left}"
        except AssertionError as broken:
            trial.violation = f"{' / '.join(trial.deaths) or 'survived'}: {str(broken).splitlines()[0]}"
    return trial


def _like_undisturbed(root: Path, wanted: lives.Ending, *, may_be_set_aside: int) -> None:
    """A photo that the program died at again and again may be set aside as `crashed`; all else is as without any death."""
    places, told = lives.ending(root)
    if lives.crashed(root) == 0:
        assert (places, told) == wanted, f"another end: {told - wanted[1]} instead of {wanted[1] - told}"
        return
    assert lives.crashed(root) <= may_be_set_aside, "photos were set aside that never harmed anybody"
    assert sum(places.values()) == sum(wanted[0].values())


def try_all(ground: Ground, deaths: Sequence[Sequence[Point]], wanted: lives.Ending) -> list[Trial]:
    """All trials, as many at a time as there are cores to expect."""
    with ThreadPoolExecutor(AT_A_TIME) as crew:
        return list(crew.map(lambda points: die_and_recover(ground, points, wanted), deaths))


def judge(what: str, trials: Sequence[Trial], *, at_least: int, tell: Tell) -> None:
    """Assert that the trials hit something and broke nothing."""
    hit = sum(bool(trial.deaths) for trial in trials)
    violations = [trial.violation for trial in trials if trial.violation]
    tell(f"{what}: {hit} kill points, {len(violations)} violations")
    assert violations == []
    assert hit >= at_least, "too few points to mean anything"
    assert hit == len(trials), "a life survived its end"


# -- which points


def is_claim(point: Point) -> bool:
    """Whether it takes a photo out of the inbox."""
    return (
        point.call in killing.RENAMES and f"/{shelving.INBOX}/" in point.looked and f"/{shelving.WORK}/" in point.looked
    )


def is_move(point: Point) -> bool:
    """Whether it puts a photo into its place."""
    return point.call in killing.RENAMES and f"/{shelving.WORK}/" in point.looked and not _touches_work_only(point)


def _touches_work_only(point: Point) -> bool:
    return f"/{shelving.INBOX}/" in point.looked or ".part" in point.looked


def first_deaths(points: Sequence[Point]) -> list[Point]:
    """Ends of very different kinds: amid the claims, amid the decision's commit, all decided, amid the moves, amid the receipt's."""
    claims, moves = [p for p in points if is_claim(p)], [p for p in points if is_move(p)]
    pages = [point for point in points if point.call == killing.PAGE and "-wal" in point.looked]
    decision = [page for page in pages if points.index(claims[-1]) < points.index(page) < points.index(moves[0])]
    receipt = [page for page in pages if points.index(moves[-1]) < points.index(page)]
    return [claims[len(claims) // 2], decision[len(decision) // 2], moves[0], moves[len(moves) // 2], receipt[1]]


# -- the tests


@pytest.mark.fault("C01")
@pytest.mark.parametrize("disks", [ONE_DISK, TWO_DISKS])
@pytest.mark.timeout(300)
def test_killed_at_a_system_call_it_loses_and_doubles_nothing(tmp_path: Path, disks: str, tell: Tell) -> None:
    with Ground(tmp_path / "ground", lives.few_arrivals(), disks=disks) as ground:
        points = killing.thinned(ground.points(), pages=20)
        assert {"mkdir", "openat", "pwrite64", "fsync", "fdatasync", "renameat2"} <= {point.call for point in points}
        judge(disks, try_all(ground, [[point] for point in points], ground.ending()), at_least=60, tell=tell)


@pytest.mark.fault("C01", "C03")
@pytest.mark.timeout(300)
def test_killed_while_it_recovers_it_loses_and_doubles_nothing(tmp_path: Path, tell: Tell) -> None:
    with Ground(tmp_path / "ground", lives.few_arrivals()) as ground:
        decided_nothing, moved_some = (first_deaths(ground.points())[n] for n in (1, 3))
        deaths = [
            [first, point]
            for first, share in ((decided_nothing, 20), (moved_some, 12))
            for point in killing.evenly(ground.points(first), share)
        ]
        judge("while recovering", try_all(ground, deaths, ground.ending()), at_least=30, tell=tell)


@pytest.mark.fault("C01")
def test_a_fresh_daemon_dies_like_one_from_the_nursery(tmp_path: Path, tell: Tell) -> None:
    with Ground(tmp_path / "ground", lives.few_arrivals()) as ground:
        wanted = ground.ending()
        trials = []
        for point in killing.evenly([point for point in ground.points() if point.call in ("renameat2", "fsync")], 5):
            with ground.folder() as (root, dropped):
                strace = killing.killing(point, root.with_suffix(".calls"))
                assert killing.was_killed(lives.live(root, strace=strace, words=["run"]).code)
                books.check(root, dropped, settled=False)
                lives.recover(root)
                books.check(root, dropped)
                assert lives.ending(root) == wanted
                trials.append(Trial([str(point)], None))
        judge("`run`", trials, at_least=5, tell=tell)


@pytest.mark.fault("C03")
@pytest.mark.timeout(300)
def test_five_deaths_one_in_the_recovery_of_the_other_harm_nothing(tmp_path: Path, tell: Tell) -> None:
    with Ground(tmp_path / "ground", lives.arrivals()) as ground:
        judge_chains(ground, 6, tell)


def judge_chains(ground: Ground, wanted_chains: int, tell: Tell) -> None:
    """Five deaths in a row, each at a seeded call not far from where work goes on, until enough chains were that long."""
    points, wanted = ground.points(), ground.ending()
    dice = random.Random(5)  # noqa: S311
    first = [point for point in points if is_claim(point) or is_move(point)]
    trials: list[Trial] = []
    while sum(len(trial.deaths) == DEEP for trial in trials) < wanted_chains:
        assert len(trials) < 4 * wanted_chains, [len(trial.deaths) for trial in trials]
        chains = [[dice.choice(first), *(_early(dice) for _ in range(DEEP - 1))] for _ in range(AT_A_TIME)]
        trials += try_all(ground, chains, wanted)
    deep = sum(len(trial.deaths) == DEEP for trial in trials)
    judge(f"{DEEP} deep, {deep} of the chains", trials, at_least=wanted_chains, tell=tell)


def _early(dice: random.Random) -> Point:
    """A call that a recovery makes early, so that there is something left to recover for the next."""
    call, most = dice.choice([("fdatasync", 3), ("fsync", 3), ("renameat2", 1), ("pwrite64", 12)])
    return Point(call, dice.randint(1, most), "")


# -- the long versions


@pytest.mark.torture
@pytest.mark.fault("C01")
@pytest.mark.parametrize("disks", [ONE_DISK, TWO_DISKS])
@pytest.mark.timeout(1800)
def test_killed_at_every_system_call(tmp_path: Path, disks: str, tell: Tell) -> None:
    with Ground(tmp_path / "ground", lives.arrivals(), disks=disks) as ground:
        deaths = [[point] for point in ground.points()]
        judge(f"all, {disks}", try_all(ground, deaths, ground.ending()), at_least=150, tell=tell)


@pytest.mark.torture
@pytest.mark.fault("C01", "C03")
@pytest.mark.parametrize("disks", [ONE_DISK, TWO_DISKS])
@pytest.mark.timeout(3600)
def test_killed_at_every_system_call_of_its_recovery(tmp_path: Path, disks: str, tell: Tell) -> None:
    with Ground(tmp_path / "ground", lives.arrivals(), disks=disks) as ground:
        deaths = [[first, point] for first in first_deaths(ground.points()) for point in ground.points(first)]
        judge(f"all while recovering, {disks}", try_all(ground, deaths, ground.ending()), at_least=350, tell=tell)


@pytest.mark.torture
@pytest.mark.fault("C03")
@pytest.mark.timeout(3600)
def test_five_deaths_again_and_again(tmp_path: Path, tell: Tell) -> None:
    with Ground(tmp_path / "ground", lives.arrivals()) as ground:
        judge_chains(ground, 100, tell)


@pytest.mark.torture
@pytest.mark.fault("C01")
@pytest.mark.timeout(1800)
def test_with_the_real_eye_it_dies_no_worse(tmp_path: Path, models_dir: Path, tell: Tell) -> None:
    with Ground(tmp_path / "ground", lives.arrivals(), models=models_dir) as ground:
        deaths = [[point] for point in killing.evenly(killing.thinned(ground.points(), pages=20), 40)]
        judge("real eye", try_all(ground, deaths, ground.ending()), at_least=40, tell=tell)


# -- can it fail?


@pytest.mark.fault("C01")
@pytest.mark.parametrize(
    ("order", "disks"),
    [("move-before-decision", ONE_DISK), ("receipt-before-move", ONE_DISK), ("unlink-before-copy", TWO_DISKS)],
)
@pytest.mark.timeout(300)
def test_the_harness_finds_a_wrong_order(tmp_path: Path, order: str, disks: str, tell: Tell) -> None:
    with Ground(tmp_path / "ground", lives.few_arrivals(), disks=disks, faults=[order]) as ground:
        steps = (*killing.RENAMES, "fdatasync") if disks == ONE_DISK else ("openat", "write", "unlink")
        points = [point for point in ground.points() if point.call in steps]
        trials = try_all(ground, [[point] for point in points], ground.ending())
        found = [trial for trial in trials if trial.violation]
        tell(f"{order}: {len(trials)} kill points, {len(found)} violations (there must be some)")
        assert len(found) >= 2
