"""The main thread's loop, apart from a process: what counts as told to stop, and what is done before it ends."""

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from birdwatchd import service
from tests.test_worker import Bench


@pytest.fixture
def bench(root: Path, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(root, tmp_path / "lamp")
    yield bench
    bench.close()


@pytest.mark.timeout(20)
def test_the_word_to_stop_counts_although_what_was_heard_with_it_breaks_down(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks_down(_path: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(bench.worker, "hint", breaks_down)
    hints: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stop = service._Stop(hints.put)
    hints.put("a.jpg")
    stop()
    heard_before = hints.qsize()
    stopping = iter([False, *[stop.wanted] * 2])  # the signal comes while the loop is already waiting
    service._work(bench.worker, hints, lambda: None, stopping=lambda: next(stopping))
    assert heard_before == 2
    assert hints.empty()
    assert bench.worker.condition.tally.photos == 0
