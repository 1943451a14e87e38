"""birdwatchd with a stub eye and a fault in it: `FAULT="die-after place 1" python -m tests.crash.launching COMMAND …`.

The product has no hook for this: the named function is wrapped in the child process, wherever the program has bound it. All names
that the crash tests lean on are in `GRIPS`; when a room is rebuilt, this table is what has to follow.

    die-before GRIP N      SIGKILL as the grip is called for the n-th time
    die-after GRIP N       SIGKILL when its n-th call has done its work
    stop-after GRIP N      SIGSTOP each time that a call has done its work, from the n-th on
    sleep-before GRIP N    the n-th call never begins and never returns
    poison HOW             the decoder meets `POISON` in a photo and takes the process along: exit, segfault or sleep
    move-before-decision   wrong order: photos are moved before the log says where to
    receipt-before-move    wrong order: the log says that photos are where they will be
    unlink-before-copy     wrong order: an original on another disk goes before its copy is there
    normal-sync            the log is not synced with each commit
    no-file-sync           the log is synced, photos and folders are not
    no-folder-sync         the log and photos are synced, the folders after a move are not
    no-page                nobody makes a page about a training: it takes seconds, and another process
    row-before-file        wrong order: the log has a model whose file is not in the shelf yet
    write-in-place         wrong order: a model is written under its final name, and not moved there
    retire-first           wrong order: the model in use retires in a transaction of its own

Several faults are separated by semicolons.
"""

import ctypes
import functools
import importlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from birdwatchd import service
from birdwatchd.cli import main
from birdwatchd.edges.files import Files, disk
from birdwatchd.edges.store import Decided, Journeys
from birdwatchd.edges.store.connection import Connection
from birdwatchd.edges.store.models import Models
from tests.pictures import with_segment
from tests.service.stubbed import stub_loader

GRIPS = {
    "record_claims": "birdwatchd.edges.store.journeys:Journeys.record_claims",
    "record_decisions": "birdwatchd.edges.store.journeys:Journeys.record_decisions",
    "record_receipts": "birdwatchd.edges.store.journeys:Journeys.record_receipts",
    "claim": "birdwatchd.edges.files:Files.claim",
    "place": "birdwatchd.edges.files:Files.place",
    "sync": "birdwatchd.edges.files:Files.sync",
    "write_sidecar": "birdwatchd.edges.files:Files.write_sidecar",
    "rename": "birdwatchd.edges.files.disk:rename_noreplace",
    "fsync": "birdwatchd.edges.files.disk:fsync",
    "copy": "birdwatchd.edges.files.disk:copy_durably",
    "decode": "birdwatchd.edges.images:decode",
    "enter_model": "birdwatchd.edges.store.models:Models.enter",
    "promote_model": "birdwatchd.edges.store.models:Models.promote",
    "make_page": "birdwatchd.reporting:Reporting.make",
}

LAUNCH = [sys.executable, "-m", "tests.crash.launching"]
ASLEEP = "asleep for ever"
"""What a process says before it never says anything again."""

POISON = b"this photo is poison"

Function = Callable[..., Any]


def fault(*what: str) -> dict[str, str]:
    """The environment that puts faults into the next process."""
    return {"FAULT": "; ".join(what)}


def poisoned(photo: bytes) -> bytes:
    """The same picture, with poison in a comment."""
    return with_segment(photo, 0xFE, POISON)


def wrap(grip: str, around: Callable[[Function], Function]) -> None:
    """Put something around a function, in every module that has it under any name."""
    home, _, name = GRIPS[grip].partition(":")
    owner: Any = importlib.import_module(home)
    *folders, last = name.split(".")
    for folder in folders:
        owner = getattr(owner, folder)
    original = getattr(owner, last)
    wrapped = functools.wraps(original)(around(original))
    setattr(owner, last, wrapped)
    for module in [module for key, module in sys.modules.items() if key.startswith("birdwatchd")]:
        for bound in [bound for bound, value in vars(module).items() if value is original]:
            setattr(module, bound, wrapped)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _sleep() -> None:
    sys.stderr.write(f"{ASLEEP}\n")
    sys.stderr.flush()
    while True:
        time.sleep(3600)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _at_nth(
    number: int, *, before: Function | None = None, after: Function | None = None, once: bool = True
) -> Callable[..., Function]:
    calls = 0

    def around(original: Function) -> Function:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            mine = calls == number or (calls > number and not once)
            if mine and before is not None:
                before()
            try:
                return original(*args, **kwargs)
            finally:
                if mine and after is not None:
                    after()

        return wrapped

    return around


def _poison(how: str) -> None:
    ends = {"exit": lambda: os._exit(3), "segfault": lambda: ctypes.string_at(0), "sleep": _sleep}

    def around(original: Function) -> Function:
        def decode(data: bytes, *args: Any, **kwargs: Any) -> Any:
            if POISON in data:
                ends[how]()
            return original(data, *args, **kwargs)

        return decode

    wrap("decode", around)


# -- wrong orders: what the harness must find


def _before_decisions(first: Callable[[Files, Journeys, Sequence[Decided]], None]) -> None:
    folders: list[Files] = []
    original_check = Files.check

    def check(self: Files, *args: Any, **kwargs: Any) -> None:
        folders.append(self)
        original_check(self, *args, **kwargs)

    def around(original: Function) -> Function:
        def record_decisions(self: Journeys, decided: Sequence[Decided], *args: Any, **kwargs: Any) -> None:
            first(folders[-1], self, decided)
            original(self, decided, *args, **kwargs)

        return record_decisions

    Files.check = check  # type: ignore[method-assign,assignment]
    wrap("record_decisions", around)


def _move_before_decision() -> None:
    def first(files: Files, _: Journeys, decided: Sequence[Decided]) -> None:
        for one in decided:
            files.place(one.move.source, one.move.target)

    _before_decisions(first)


def _receipt_before_move() -> None:
    def around(original: Function) -> Function:
        def record_decisions(self: Journeys, decided: Sequence[Decided], *args: Any, **kwargs: Any) -> None:
            original(self, decided, *args, **kwargs)
            self.record_receipts([one.move for one in decided])

        return record_decisions

    wrap("record_decisions", around)
    wrap("record_receipts", _twice_is_fine)


def _twice_is_fine(original: Function) -> Function:
    def record_receipts(self: Journeys, moves: Sequence[Any]) -> None:
        under_way = {journey.photo_id for journey in self.under_way()}
        original(self, [move for move in moves if move.photo_id in under_way])

    return record_receipts


def _unlink_before_copy() -> None:
    def around(original: Function) -> Function:
        def copy_durably(source: Path, target: Path, *args: Any, **kwargs: Any) -> Any:
            data, stamp = source.read_bytes(), disk.stamp_of(source.stat())
            source.unlink()
            target.write_bytes(data)
            source.touch()
            return stamp

        return copy_durably

    wrap("copy", around)


def _no_page() -> None:
    def make(*_: object) -> Generator[dict[str, Any], None, None]:
        yield from ()

    wrap("make_page", lambda _: make)


def _row_before_file() -> None:
    late: list[tuple[Path, Path]] = []

    def rename_later(original: Function) -> Function:
        def rename(source: Path, target: Path) -> None:
            if target.suffix == ".onnx":
                late.append((source, target))
            else:
                original(source, target)

        return rename

    def then_rename(original: Function) -> Function:
        def enter(*args: Any, **kwargs: Any) -> Any:
            entered = original(*args, **kwargs)
            for source, target in late:
                source.rename(target)
            return entered

        return enter

    wrap("rename", rename_later)
    wrap("enter_model", then_rename)


def _write_in_place() -> None:
    def around(original: Function) -> Function:
        def rename(source: Path, target: Path) -> None:
            if target.suffix != ".onnx":
                original(source, target)
                return
            content = source.read_bytes()
            with target.open("wb", buffering=0) as file:
                for begin in range(0, len(content), len(content) // 3):
                    file.write(content[begin : begin + len(content) // 3])
            source.unlink()

        return rename

    wrap("rename", around)


def _retire_first() -> None:
    def around(original: Function) -> Function:
        def promote(self: Models, model_id: int, *, at: str) -> None:
            with self._db.writing():
                self._retire(at)
            original(self, model_id, at=at)

        return promote

    wrap("promote_model", around)


WRONG_ORDERS: dict[str, Callable[[], None]] = {
    "move-before-decision": _move_before_decision,
    "receipt-before-move": _receipt_before_move,
    "unlink-before-copy": _unlink_before_copy,
    "no-page": _no_page,
    "row-before-file": _row_before_file,
    "write-in-place": _write_in_place,
    "retire-first": _retire_first,
}


# -- disks that promise and do not keep


def _sync_as(word: str) -> None:
    original = Connection.open.__func__  # type: ignore[attr-defined]

    def opened(cls: type[Connection], *args: Any, **kwargs: Any) -> Connection:
        connection: Connection = original(cls, *args, **kwargs)
        connection.execute(f"PRAGMA synchronous = {word}")
        return connection

    Connection.open = classmethod(opened)  # type: ignore[method-assign,assignment]


def _not_at_all(*_: object) -> None:
    """What stands in for a sync."""


def put_in(one: str) -> None:
    """Put one fault into this process."""
    match one.split():
        case ["die-before", grip, number]:
            wrap(grip, _at_nth(int(number), before=_die))
        case ["die-after", grip, number]:
            wrap(grip, _at_nth(int(number), after=_die))
        case ["stop-after", grip, number]:
            wrap(grip, _at_nth(int(number), after=_stop, once=False))
        case ["sleep-before", grip, number]:
            wrap(grip, _at_nth(int(number), before=_sleep))
        case ["poison", how]:
            _poison(how)
        case [order] if order in WRONG_ORDERS:
            WRONG_ORDERS[order]()
        case ["normal-sync"]:
            _sync_as("NORMAL")
        case ["no-folder-sync"]:
            wrap("sync", lambda _: _not_at_all)
        case ["no-file-sync"]:
            os.fsync = _not_at_all  # type: ignore[assignment]
        case _:
            raise SystemExit(f"no such fault: {one}")


def begin(faults: str) -> None:
    """Put faults into this process, and no core dumps into the folder."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for one in filter(None, map(str.strip, faults.split(";"))):
        put_in(one)


if __name__ == "__main__":
    service.spotter_loader = stub_loader
    begin(os.environ.get("FAULT", ""))
    main()
