"""Models made by hand: real ONNX files with real cards, taught in no time whatever a test wants them to say."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from birdwatchd.core import shelving
from birdwatchd.core.job import EMBEDDINGS_FILE, JOB_FILE, REPORT_FILE, Example, Guess, Job, Report
from birdwatchd.core.naming import Card, GoldenName
from birdwatchd.core.thresholds import NEVER
from birdwatchd.edges.images import Limits
from birdwatchd.edges.store import NewModel
from birdwatchd.examining import Examiner
from birdwatchd.training import export, linear
from tests.fakes import StubSpotter
from tests.gardens import Garden, picture

LIMITS = Limits(max_megapixels=40, formats=frozenset({"jpeg", "png", "webp"}))
MADE_AT = "2026-01-01T00:00:00.000+00:00"


def embedding(data: bytes) -> npt.NDArray[np.float32]:
    """What the stub of an eye sees in a photo."""
    return Examiner(StubSpotter(), LIMITS).examine(data).spotting.embedding  # type: ignore[arg-type]


def teach(
    garden: Garden,
    names: Mapping[str, Sequence[str]],
    *,
    sure_above: float = 0.5,
    promote: bool = True,
    learned: Sequence[int] = (),
    sides: Mapping[str, bool] | None = None,
    at: str | None = None,
) -> int:
    """Make a model, enter it, and let it serve; returns its number.

    Args:
        names: for each label the species of `gardens.picture` that it is taught under it; a model that calls redstarts bluetits is
            taught `{"bluetit": ["redstart"], ...}`.
        learned: ids of photos that it counts as taught by.
    """
    vectors, labels = [], []
    for place, species in enumerate(names.values()):
        for one in species:
            vectors += [embedding(picture(one, 900 + number)) for number in range(4)]
            labels += [place] * 4
    features = linear.as_features(np.stack(vectors))
    weights = linear.fit(features, np.array(labels), len(names), np.random.default_rng(1))
    at = at or garden.now()
    store = garden.store
    training_id = store.models.begin_training(
        "linear",
        fingerprint=f"{'5' * 16}-{len(store.models.all())}",
        label_count=8,
        newest_label=store.models.latest_label() or 0,
        at=at,
    )
    serving = store.models.serving()
    card = Card(
        kind="linear",
        labels=tuple(names),
        spotter_id="5" * 16,
        sure_above=(sure_above,) * len(names),
        strange_above=NEVER,
        recipe={"training_id": training_id},
        fingerprint=f"{training_id}",
        parent_sha256=None,
        golden=(GoldenName(0, (0.0,) * len(names), 0.0),),
    )
    path = export.write_linear(garden.root / shelving.MODELS, card, weights, linear.RULE_FOR_FEW, 1.0)
    _leave_job(garden, training_id, learned, sides or {})
    model = NewModel(
        kind="linear",
        labels=tuple(names),
        metrics={"accuracy": 0.9, "judged": 10.0},
        path=f"{shelving.MODELS}/{path.name}",
        parent_id=None if serving is None else serving["id"],
        recipe={"training_id": training_id},
    )
    model_id = store.models.enter(model, training_id, ["It takes over."], promote=promote, at=at)
    garden.worker.serving.refresh()
    return model_id


def _leave_job(garden: Garden, training_id: int, learned: Sequence[int], sides: Mapping[str, bool]) -> None:
    """What a training leaves in its folder."""
    examples = tuple(Example(one, f"{one:064x}", "library/x", "x", 0, held_out=False) for one in learned)
    job = Job("linear", training_id, "5" * 16, 1, 0.95, 0.1, f"{training_id}", None, {}, sides, examples)
    report = Report("x.onnx", ("a", "b"), tuple(Guess(one, "x", 0.9, 0.1) for one in learned), {}, 0.0)
    folder = garden.root / shelving.JOBS / f"{training_id}"
    folder.mkdir()
    (folder / JOB_FILE).write_text(job.to_json())
    (folder / REPORT_FILE).write_text(report.to_json())
    np.save(folder / EMBEDDINGS_FILE, np.zeros((len(learned), 1280), dtype=np.float32))


RIGHT = {one: [one] for one in ("redstart", "greenfinch", "bluetit")}
"""Every bird has its name."""

SWAPPED = {"redstart": ["greenfinch"], "greenfinch": ["redstart"], "bluetit": ["bluetit"]}
"""Redstarts are called greenfinches, and the other way round."""
