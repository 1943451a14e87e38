"""Another model takes over again and again while photos arrive: each photo is named once, by one model, wholly by that one."""

import itertools
import json
import math
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdwatchd.core.naming import Naming
from birdwatchd.edges.images import Limits
from birdwatchd.edges.vision import Classifier
from birdwatchd.examining import Examiner
from tests import books
from tests.fakes import StubSpotter
from tests.gardens import Garden, five, picture, with_two_models

RELOADS = 1000
LABELS = {1: {"redstart", "greenfinch"}, 2: {"redstart", "greenfinch", "bluetit"}}


@pytest.fixture
def garden(tmp_path: Path) -> Iterator[Garden]:
    one = Garden(with_two_models(tmp_path))
    one.leap_s = 200
    yield one
    one.close()


def is_whole(model_id: int, ranking: list[tuple[str, float]]) -> bool:
    """Whether labels and probabilities are those of one model: both know fewer than the five that are kept."""
    return {label for label, _ in ranking} == LABELS[model_id] and math.isclose(
        sum(p for _, p in ranking), 1, abs_tol=1e-4
    )


def test_through_a_thousand_reloads_each_photo_is_named_once_by_the_model_in_use(garden: Garden) -> None:
    taught = len(garden.store.connection.rows("SELECT id FROM photos"))
    numbers = itertools.count(1000)
    dropped = Counter[str]()
    named: list[int] = []
    by = Counter[int]()
    for reload in range(RELOADS):
        before, last = garden.serving(), latest_prediction(garden)
        for number in itertools.islice(numbers, 3 if reload % 7 == 5 else 0):
            photo = picture("redstart", number)
            (garden.root / "inbox" / f"{number}.jpg").write_bytes(photo)
            dropped[books.content(photo)] += 1
            garden.worker.hint(f"{number}.jpg")
        garden.store.requests.ask("promote", {"model_id": 1 + reload % 2}, actor="test", at="2026-01-01T00:00:00Z")
        garden.worker.step()
        assert garden.serving() == 1 + reload % 2
        new = garden.store.connection.rows(
            "SELECT photo_id, model_id, top, verdict FROM predictions WHERE id > ?", (last,)
        )
        for row in new:
            assert row["model_id"] in (before, garden.serving())
            assert is_whole(row["model_id"], json.loads(row["top"]))
            assert row["verdict"] == "filed"
            named.append(row["photo_id"])
            by[row["model_id"]] += 1
    assert len(named) == len(set(named)) == dropped.total() > 400
    assert min(by[1], by[2]) > 200
    assert garden.where().total() == taught + dropped.total()
    assert {path.name for path in (garden.root / "inbox").iterdir()} == set()
    books.check(garden.root, dropped + learned_from())


def latest_prediction(garden: Garden) -> int:
    return int(garden.store.connection.rows("SELECT coalesce(max(id), 0) AS latest FROM predictions")[0]["latest"])


def learned_from() -> Counter[str]:
    photos = [*five("redstart"), *five("greenfinch"), *five("bluetit", count=10)]
    return Counter(books.content(picture(*one)) for one in photos)


def test_a_model_that_is_exchanged_in_the_middle_of_looks_is_never_mixed_with_the_other(garden: Garden) -> None:
    models = [
        Classifier.load(
            garden.root / str((garden.store.models.get(number) or {})["path"]), model_id=number, spotter_id="5" * 16
        )
        for number in LABELS
    ]
    examiner = Examiner(StubSpotter(), Limits(max_megapixels=1, formats=frozenset({"jpeg"})), cores=2)  # type: ignore[arg-type]
    examiner.classifier = models[0]
    photos = [picture("redstart", number) for number in range(20)]
    exchanged, over = 0, threading.Event()

    def exchange() -> None:
        nonlocal exchanged
        for model in itertools.cycle(models):
            if over.is_set():
                return
            examiner.classifier = model
            exchanged += 1
            over.wait(0.0005)

    thread = threading.Thread(target=exchange)
    thread.start()
    namings: list[Naming | None] = []
    try:
        while exchanged < RELOADS:
            with examiner.looking(len(photos)) as begin:
                answers = [begin(photo) for photo in photos]
                namings += [answer().naming for answer in answers]
    finally:
        over.set()
        thread.join()
    assert {naming.model_id for naming in namings if naming} == {1, 2}
    assert all(naming is not None and is_whole(naming.model_id, list(naming.ranking)) for naming in namings)
