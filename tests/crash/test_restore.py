"""A restore that dies anywhere: at every start after it there is the old log or the backup, whole; never an empty or a mixed one."""

import errno
import functools
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from birdwatchd import restoring
from birdwatchd.core import shelving
from birdwatchd.core.errors import ConfigError, DiskFull
from birdwatchd.edges.files import Files, disk
from birdwatchd.edges.store import Store
from birdwatchd.edges.store.copies import copy_log
from birdwatchd.service import bird_folder
from tests.crash.dying import Death, Fate, make_hands_mortal
from tests.edges.test_store import arrive, say

AT = "2026-05-02T05:30:00.000Z"
PARTS = ("", "-wal", "-shm")
DAMAGED = ["damaged"]
MAX_CALLS = 300
_CLOSED = re.compile(r"'[0-9T:.-]+Z','failed'")
"""When a wish of then was closed by the restore."""

Dump = list[str] | None


@dataclass(frozen=True)
class Case:
    """A bird folder before a restore, and what its log must be before and after."""

    template: Path
    old: Dump
    new: Dump

    def copy(self, place: Path) -> Path:
        shutil.copytree(self.template, place, symlinks=True)
        return place


def backup_in(root: Path) -> Path:
    (backup,) = (root / shelving.BACKUPS).glob("birdwatchd-*.db")
    return backup


def dump_of(folder: Path, scratch: Path) -> Dump:
    """Everything in the log of a folder, as SQLite reads it with the `-wal` that lies beside it; the folder is left as it is."""
    if not (folder / "birdwatchd.db").exists():
        return None
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for part in PARTS:
        if (folder / f"birdwatchd.db{part}").exists():
            shutil.copy(folder / f"birdwatchd.db{part}", scratch)
    try:
        with closing(sqlite3.connect(scratch / "birdwatchd.db")) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            return [f"version {version}", *(_CLOSED.sub("WHEN,'failed'", line) for line in db.iterdump())]
    except sqlite3.DatabaseError:
        return DAMAGED


def build(root: Path, kind: str) -> None:
    """A log with five photos, two of them after its backup and still in the `-wal`."""
    Files(root).create()
    backups = root / shelving.BACKUPS
    backups.mkdir()
    with Store.open(root / "birdwatchd.db") as store:
        for _ in range(3):
            say(store, arrive(store), "robin")
        store.requests.ask("undo", {"since": "2000"}, actor=None, at=AT)
        copy_log(root / "birdwatchd.db", backups / "birdwatchd-20260501T053000Z-1.db")
        store.connection.checkpoint()
        for _ in range(2):
            say(store, arrive(store), "wren")
        taken = {part: (root / f"birdwatchd.db{part}").read_bytes() for part in PARTS}
    assert len(taken["-wal"]) > 0
    if kind == "damaged":
        taken[""] = b"this may once have been a database" * 500
    if kind == "gone":
        del taken[""]
    for part in PARTS:
        (root / f"birdwatchd.db{part}").unlink(missing_ok=True)
        if part in taken:
            (root / f"birdwatchd.db{part}").write_bytes(taken[part])


@pytest.fixture(params=["whole", "damaged", "gone"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return make_case(tmp_path, request.param)


def make_case(tmp_path: Path, kind: str) -> Case:
    template = tmp_path / "template"
    build(template, kind)
    old = dump_of(template, tmp_path / "scratch")
    undisturbed = Path(shutil.copytree(template, tmp_path / "undisturbed"))
    restore(undisturbed)
    start(undisturbed)
    new = dump_of(undisturbed, tmp_path / "scratch")
    assert new is not None
    assert old is None or len(old) == 1 or len(old) > len(new), "two photos less"
    photos = [line for line in new if line.startswith('INSERT INTO "photos"')]
    assert len(photos) == 3
    return Case(template, old, new)


def restore(root: Path) -> None:
    files = Files(root)
    with files.lock():
        restoring.restore(files, backup_in(root), at=AT)


def start(root: Path) -> None:
    """As the daemon begins."""
    with bird_folder(root):
        pass


def all_mortal(patch: pytest.MonkeyPatch, fate: Fate) -> None:
    """The process may die around each thing that a restore does."""
    make_hands_mortal(patch, fate)
    for name in ("copy_log", "make_ready", "give_rights", "prove"):
        patch.setattr(restoring, name, functools.partial(fate.call, name, getattr(restoring, name)))
    for name in ("unlink", "mkdir", "replace", "chmod"):
        patch.setattr(pathlib.Path, name, _mortal(getattr(pathlib.Path, name), name, fate))


def _mortal(method: Callable[..., Any], name: str, fate: Fate) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return fate.call(name, method, *args, **kwargs)

    return call


def lived(root: Path, fate: Fate, monkeypatch: pytest.MonkeyPatch, life: Callable[[Path], None]) -> bool:
    with monkeypatch.context() as patch:
        all_mortal(patch, fate)
        try:
            life(root)
        except Death:
            return False
    return True


def after_a_death(root: Path, case: Case, scratch: Path, where: str) -> bool:
    """What must hold right after it; returns whether the restore was decided."""
    decided = (root / shelving.RESTORE_PLAN).exists()
    if decided:
        for open_it in (Store.read_only, Store.open):
            with pytest.raises(ConfigError, match="cut short"):
                open_it(root / "birdwatchd.db")
    else:
        there = dump_of(root, scratch)
        assert there in (case.old, case.new), f"{where}: neither the old log nor the backup"
    return decided


def after_a_start(root: Path, case: Case, scratch: Path, where: str, *, restored: bool) -> None:
    """What must hold once somebody has opened the log."""
    assert dump_of(root, scratch) == (case.new if restored else case.old), where
    left = [path.name for path in (root / shelving.PRIVATE).iterdir() if path.name.startswith((".restor", "restor"))]
    assert left == [], where
    assert len(list((root / shelving.BACKUPS).glob("birdwatchd-*.db"))) == 1, where
    asides = [path for path in (root / shelving.BACKUPS).iterdir() if path.is_dir()]
    if restored:
        kept = Counter(path.read_bytes() for aside in asides for path in aside.iterdir() if path.suffix != ".db-shm")
        for part in PARTS[:2]:
            was = case.template / f"birdwatchd.db{part}"
            assert not was.exists() or kept[was.read_bytes()] == 1, f"{where}: {was.name} is not kept"
        if case.old is not None:
            (aside,) = asides
            assert dump_of(aside, scratch) == case.old, where


def fates(*, whens: tuple[str, ...] = ("before", "after")) -> Iterator[tuple[int, Any]]:
    return ((n, when) for n in itertools.count(1) for when in whens)


@pytest.mark.fault("S05", "S09")
def test_a_restore_that_dies_anywhere_leaves_the_old_log_or_the_backup(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths, decided_at = 0, 0
    for n, when in fates() if case.old not in (None, DAMAGED) else fates(whens=("after",)):
        root = case.copy(tmp_path / f"{n}-{when}")
        fate = Fate(n, when)
        survived = lived(root, fate, monkeypatch, restore)
        where = f"died {fate.died_at} ({n})"
        decided = survived or after_a_death(root, case, tmp_path / "scratch", where)
        if decided or case.old not in (None, DAMAGED):
            placed = decided or dump_of(root, tmp_path / "scratch") == case.new
            start(root)
            after_a_start(root, case, tmp_path / "scratch", where, restored=placed)
        deaths += not survived
        decided_at += decided and not survived
        if survived and when == "after":
            break
        assert n < MAX_CALLS
        shutil.rmtree(root)
    assert deaths > 20
    assert decided_at > 10


@pytest.mark.fault("C03", "S05")
def test_finishing_it_may_die_anywhere_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(tmp_path, "whole")
    points = 0
    for n, when in fates(whens=("after",)):
        first = case.copy(tmp_path / "first")
        survived = lived(first, Fate(n, when), monkeypatch, restore)
        if not survived and (first / shelving.RESTORE_PLAN).exists():
            for m in itertools.count(1, 2):
                again = Path(shutil.copytree(first, tmp_path / "again"))
                fate = Fate(m, "before" if m % 4 == 1 else "after")
                lived_on = lived(again, fate, monkeypatch, start)
                start(again)
                after_a_start(again, case, tmp_path / "scratch", f"{n} {when}, then {fate.died_at}", restored=True)
                points += 1
                shutil.rmtree(again)
                if lived_on:
                    break
        shutil.rmtree(first)
        if survived and when == "after":
            break
    assert points > 40


# -- the real process


_ENTRY = re.compile(r"^(\d+)\s+(\w+)\((.*)")
CALLS = (
    *("rename", "renameat", "renameat2", "fsync", "fdatasync", "unlink", "unlinkat", "mkdir", "mkdirat"),
    *("pwrite64", "write", "ftruncate", "openat"),
)


def _strace(log: Path, calls: tuple[str, ...], *inject: str) -> list[str]:
    trace = ",".join(f"?{call}" for call in calls)
    return [
        "strace",
        "-f",
        "-y",
        "-qq",
        "-s",
        "0",
        "-e",
        "signal=none",
        "-o",
        str(log),
        "-e",
        f"trace={trace}",
        *inject,
    ]


def _restore_in_a_process(root: Path, *around: str) -> int:
    command = [*around, sys.executable, "-m", "birdwatchd", "restore", str(backup_in(root)), "--root", str(root)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def _points(root: Path, log: Path) -> list[tuple[str, int]]:
    """Every call of a restore that changes something in the bird folder, with its number among those of its name."""
    assert _restore_in_a_process(root, *_strace(log, CALLS)) == 0
    counted: Counter[str] = Counter()
    points: list[tuple[str, int]] = []
    for line in log.read_text(errors="replace").splitlines():
        if entry := _ENTRY.match(line):
            _, call, looked = entry.groups()
            counted[call] += 1
            if str(root) in looked and (call != "openat" or "O_CREAT" in looked):
                points.append((call, counted[call]))
    return points


def _kill_at(points: list[tuple[str, int]], case: Case, tmp_path: Path) -> int:
    killed = 0
    for call, number in points:
        root = case.copy(tmp_path / "killed")
        inject = ("-e", f"inject={call}:signal=SIGKILL:when={number}")
        code = _restore_in_a_process(root, *_strace(tmp_path / "killed.log", (call,), *inject))
        where = f"killed at {call} {number}"
        if code in {-signal.SIGKILL, 128 + signal.SIGKILL}:
            killed += 1
            decided = after_a_death(root, case, tmp_path / "scratch", where)
            placed = decided or dump_of(root, tmp_path / "scratch") == case.new
            if placed or case.old != DAMAGED:  # else the person begins once more
                start(root)
                after_a_start(root, case, tmp_path / "scratch", where, restored=placed)
        shutil.rmtree(root)
    return killed


def _need_strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace: apt-get install strace")


@pytest.mark.fault("C01", "S09")
def test_a_real_restore_that_is_killed_leaves_the_old_log_or_the_backup(tmp_path: Path) -> None:
    _need_strace()
    case = make_case(tmp_path, "whole")
    points = _points(case.copy(tmp_path / "watched"), tmp_path / "watched.log")
    renames = [point for point in points if point[0].startswith(("rename", "mkdir"))]
    others = [point for point in points if point not in renames]
    chosen = renames + others[:: max(1, len(others) // 4)]
    assert len(renames) >= 5
    assert _kill_at(chosen, case, tmp_path) >= len(renames)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.fault("C01", "S09")
@pytest.mark.parametrize("kind", ["whole", "damaged"])
def test_a_real_restore_is_killed_at_every_call(tmp_path: Path, kind: str) -> None:
    _need_strace()
    case = make_case(tmp_path, kind)
    points = _points(case.copy(tmp_path / "watched"), tmp_path / "watched.log")
    assert _kill_at(points, case, tmp_path) > 40


def test_a_restore_whose_copy_was_taken_away_says_so_and_makes_no_empty_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(tmp_path, "whole")
    for n in itertools.count(1):
        root = case.copy(tmp_path / f"{n}")
        assert not lived(root, Fate(n, "before"), monkeypatch, restore)
        if (root / shelving.RESTORE_PLAN).exists() and not (root / "birdwatchd.db").exists():
            break
    (root / shelving.RESTORE_COPY).unlink()
    for _ in range(2):
        with pytest.raises(ConfigError, match="its copy of the backup is gone") as refused:
            start(root)
        assert "restoring.json" in refused.value.hint
        assert not (root / "birdwatchd.db").exists()
    (root / shelving.RESTORE_PLAN).unlink()
    with pytest.raises(ConfigError, match="still holds its latest rows"):
        start(root)
    restore(root)
    with bird_folder(root) as (_, store):
        assert store.questions.states() == {"filed": 3}
        assert arrive(store) > 5, "the numbers of photos that only the lost log knew are not given again"


@pytest.mark.fault("D01", "D04")
@pytest.mark.parametrize("when", ["before the plan", "after the plan"])
def test_a_disk_that_fails_stops_a_restore_in_an_orderly_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    case = make_case(tmp_path, "whole")
    root = case.copy(tmp_path / "root")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if when == "before the plan":
            patch.setattr(restoring, "make_ready", full)
        else:
            patch.setattr(disk, "rename_noreplace", full)
        with pytest.raises(DiskFull):
            restore(root)
    decided = when == "after the plan"
    assert after_a_death(root, case, tmp_path / "scratch", when) is decided
    if not decided:
        assert [path.name for path in (root / shelving.PRIVATE).glob("*restor*")] == [], "it tidies up by itself"
    start(root)
    after_a_start(root, case, tmp_path / "scratch", when, restored=decided)


def test_a_plan_that_nobody_can_read_stops_the_start_with_words(tmp_path: Path) -> None:
    case = make_case(tmp_path, "whole")
    root = case.copy(tmp_path / "root")
    for words in (b"", b"[]", json.dumps({"other": 1}).encode()):
        (root / shelving.RESTORE_PLAN).write_bytes(words)
        with pytest.raises(ConfigError, match="does not say how to go on"):
            start(root)
    (root / shelving.RESTORE_PLAN).unlink()
    start(root)
    assert dump_of(root, tmp_path / "scratch") == case.old


def test_what_somebody_made_in_the_logs_place_meanwhile_is_kept_beside_it_with_its_own_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore died half-way, and a person looked with a program of their own, which made a log of nothing."""
    case = make_case(tmp_path, "whole")
    for n in itertools.count(1):
        root = case.copy(tmp_path / f"{n}")
        assert not lived(root, Fate(n, "after"), monkeypatch, restore)
        if (root / shelving.RESTORE_PLAN).exists() and not (root / "birdwatchd.db-wal").exists():
            break
    strange = {"": b"a log of nothing", "-wal": b"and its latest rows"}
    for part, content in strange.items():
        assert not (root / f"birdwatchd.db{part}").exists()
        (root / f"birdwatchd.db{part}").write_bytes(content)
    start(root)
    after_a_start(root, case, tmp_path / "scratch", "with a strange log", restored=True)
    (aside,) = [path for path in (root / shelving.BACKUPS).iterdir() if path.is_dir()]
    assert {part: (aside / f"2-birdwatchd.db{part}").read_bytes() for part in strange} == strange
