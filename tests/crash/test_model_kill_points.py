"""Killed at the entry of each system call that changes a disk while another model takes over: by promotion, by rollback, by training.

A recovery is a whole worker on the same folder. Which calls a life makes is read from an undisturbed one.
"""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from birdwatchd.core import shelving
from birdwatchd.core.errors import BirdwatchdError
from birdwatchd.core.job import REPORT_FILE
from birdwatchd.core.settings import Settings
from birdwatchd.core.thresholds import NEVER
from birdwatchd.doctor import examine
from birdwatchd.edges.files import Files
from birdwatchd.edges.vision.classifier import read_card
from tests import books
from tests.crash import killing, lives
from tests.crash.killing import Point
from tests.crash.test_kill_points import AT_A_TIME, Ground, Trial, judge
from tests.fakes import StubSpotter
from tests.gardens import PATIENCE_S, Garden, five, picture
from tests.handmade import teach

pytestmark = pytest.mark.alone

Tell = Callable[[str], None]

KNOWN = {one: [one] for one in ("redstart", "greenfinch")}
NAMED = [*five("redstart"), *five("greenfinch"), *five("bluetit", count=10)]
WAITING = [*five("redstart", 100, 2), *five("greenfinch", 100, 1)]
NEXT = ("redstart", 777)

AS_IN_GARDENS = {"BIRDWATCHD_DECIDING__CONFIRM_FIRST": "false", "BIRDWATCHD_DECIDING__STRANGERS_LET_IN": "1.0"}
OF_THE_LOG = ("fdatasync", "fsync", killing.PAGE)


@dataclass(frozen=True)
class Story:
    """A command that has another model take over; model 2 serves before it."""

    words: Sequence[str]
    model: int
    trains: bool = False

    @property
    def kind(self) -> str:
        """As the log calls the wish."""
        return next(word for word in self.words if word != "models")


PROMOTE = Story(("models", "promote", "1", "--json"), 1)
ROLLBACK = Story(("models", "rollback", "--json"), 1)
TRAINING = Story(("train", "--json"), 3, trains=True)


@pytest.fixture(scope="module")
def gardens(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A folder with two models and photos that wait because neither is sure; and one where the report of a training has just come."""
    place = tmp_path_factory.mktemp("gardens")
    root = place / "two-models"
    Files(root).create()
    with closing(Garden(root)) as garden:
        for _number in range(2):
            teach(garden, KNOWN, sure_above=NEVER)
            time.sleep(0.01)
        garden.drop(*WAITING)
        garden.bring(place / "tree", *NAMED)
    shutil.copytree(root, place / "trained")
    with closing(Garden(place / "trained")) as garden:
        garden.fall_quiet()
        garden.steps_until(lambda: None in garden.outcomes())
        report, end = garden.root / shelving.JOBS / "3" / REPORT_FILE, time.monotonic() + PATIENCE_S
        while not report.exists():
            assert time.monotonic() < end, "no report came"
            time.sleep(0.02)
        assert garden.outcomes()[-1] is None
    return {False: root, True: place / "trained"}


@contextmanager
def ground_for(story: Story, gardens: dict[bool, Path], place: Path, *faults: str) -> Iterator[Ground]:
    with Ground(
        place / story.kind,
        {},
        faults=["no-page", *faults],
        template=gardens[story.trains],
        words=story.words,
        environment=AS_IN_GARDENS,
    ) as ground:
        yield ground


# -- the books


def check_at_once(root: Path) -> None:
    """What holds at any moment: one model serves, and whatever lies under the name of a model is whole."""
    (serving,) = lives.rows(root, "SELECT path FROM models WHERE promoted_at IS NOT NULL AND retired_at IS NULL") or [
        {}
    ]
    assert serving, "no model serves"
    assert (root / serving["path"]).is_file(), "the model that serves has no file"
    for path in shelf(root):
        try:
            read_card(path)
        except BirdwatchdError as error:
            raise AssertionError(f"half a model: {error}") from error


def shelf(root: Path) -> list[Path]:
    return sorted((root / shelving.MODELS).glob("linear-*"))


def said(root: Path) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in lives.rows(root, "SELECT photo_id, label, source FROM labels ORDER BY id")]


def check_at_the_end(ground: Ground, garden: Garden, story: Story) -> None:
    """What holds when everything has had its chance."""
    root = garden.root
    assert garden.serving() == story.model, f"model {garden.serving()} serves"
    rows = garden.store.models.all()
    assert {root / row["path"] for row in rows} == set(shelf(root)), "shelf and log differ"
    taught = Counter(json.loads(row["recipe"])["training_id"] for row in rows)
    assert set(taught.values()) == {1}, f"a training was promoted twice: {taught}"
    assert garden.outcomes() == ["promoted"] * (3 if story.trains else 2), garden.outcomes()
    listed = json.loads(ground.ask(root, "models", "list", "--json").said)
    assert [one["id"] for one in listed] == [row["id"] for row in rows]
    assert [one["id"] for one in listed if one["use"] == "in use"] == [story.model], "`models list` says otherwise"
    waiting = garden.store.connection.rows(
        "SELECT DISTINCT model_id FROM predictions WHERE id IN (SELECT max(id) FROM predictions GROUP BY photo_id)"
        " AND photo_id NOT IN (SELECT photo_id FROM labels)"
    )
    assert [row["model_id"] for row in waiting] == [story.model], f"judged by {waiting}"
    assert garden.named_by(NEXT) == story.model, "the next photo is named by another model"
    books.check(root, Counter(books.content(picture(*one)) for one in [*NAMED, *WAITING, NEXT]))
    garden.steps_until(lambda: not garden.worker.reporting.under_way)
    assert not (left := lives.litter(root)), f"litter is left: {left}"
    findings = examine(
        garden.files,
        load_spotter=StubSpotter,  # type: ignore[arg-type]
        settings=Settings(root=root),
        age_s=lambda _: 0.0,
        unit=None,
        find_unit=lambda _: None,
    )
    complaints = [f"{one.subject}: {one.what}" for one in findings if not one.ok and one.subject != "disk"]
    assert complaints == [], f"the doctor complains: {complaints}"


def die_and_recover(ground: Ground, point: Point, story: Story) -> Trial:
    trial = Trial([], None)
    with ground.folder() as (root, _):
        try:
            labels = said(root)
            ended_at = ground.die(root, point)
            if ended_at is not None:
                trial.deaths.append(ended_at)
            check_at_once(root)
            with closing(Garden(root, strangers_let_in=1.0)) as garden:
                garden.steps_until(lambda: not garden.store.requests.open() and None not in garden.outcomes())
                if not garden.store.connection.rows("SELECT id FROM requests WHERE kind = ?", (story.kind,)):
                    assert garden.serving() == (3 if story.trains else 2), "another model serves, and nobody wished it"
                    if not story.trains:
                        garden.wish(story.kind, model_id=1)
                garden.rest()
                check_at_once(root)
                check_at_the_end(ground, garden, story)
            assert said(root) == labels, "a label was harmed"
        except AssertionError as broken:
            trial.violation = f"{' / '.join(trial.deaths) or 'survived'}: {str(broken).splitlines()[0]}"
    return trial


def try_all(ground: Ground, points: Sequence[Point], story: Story) -> list[Trial]:
    with ThreadPoolExecutor(AT_A_TIME) as crew:
        return list(crew.map(lambda point: die_and_recover(ground, point, story), points))


def that_change_something(points: Sequence[Point]) -> list[Point]:
    """Without what changes nothing by itself: files that are only begun, and bytes that no sync or rename has made count yet."""
    return [point for point in points if point.call not in (*killing.CREATES, "write")]


# -- the tests


@pytest.mark.fault("C15")
@pytest.mark.parametrize("story", [PROMOTE, ROLLBACK, TRAINING], ids=lambda story: story.kind)
@pytest.mark.timeout(300)
def test_killed_while_another_model_takes_over_one_model_serves_and_it_is_whole(
    tmp_path: Path, gardens: dict[bool, Path], story: Story, tell: Tell
) -> None:
    with ground_for(story, gardens, tmp_path) as ground:
        points = that_change_something(ground.points())
        if story.trains:
            points = killing.thinned(points, pages=12)
        judge(f"model, {story.kind}", try_all(ground, points, story), at_least=15, tell=tell)


@pytest.mark.torture
@pytest.mark.fault("C15")
@pytest.mark.parametrize("story", [PROMOTE, ROLLBACK, TRAINING], ids=lambda story: story.kind)
@pytest.mark.timeout(1800)
def test_killed_at_every_system_call_while_another_model_takes_over(
    tmp_path: Path, gardens: dict[bool, Path], story: Story, tell: Tell
) -> None:
    with ground_for(story, gardens, tmp_path) as ground:
        judge(f"all, model, {story.kind}", try_all(ground, ground.points(), story), at_least=15, tell=tell)


@pytest.mark.fault("C15")
@pytest.mark.parametrize(
    ("order", "story", "steps"),
    [
        ("row-before-file", TRAINING, killing.RENAMES),
        ("write-in-place", TRAINING, ("write", "unlink")),
        ("retire-first", PROMOTE, OF_THE_LOG),
    ],
)
@pytest.mark.timeout(300)
def test_the_harness_finds_a_wrong_order_of_models(
    tmp_path: Path, gardens: dict[bool, Path], order: str, story: Story, steps: Sequence[str], tell: Tell
) -> None:
    with ground_for(story, gardens, tmp_path, order) as ground:
        trials = try_all(ground, [point for point in ground.points() if point.call in steps], story)
    found = [trial for trial in trials if trial.violation]
    tell(f"{order}: {len(trials)} kill points, {len(found)} violations (there must be some)")
    assert len(found) >= 1
