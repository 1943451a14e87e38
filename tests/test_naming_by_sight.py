"""A model that looks at photos itself: it is shown what its card wants, in every door, and needs nothing but onnxruntime."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from birdwatchd.core.errors import Damaged, ModelDamaged
from birdwatchd.core.naming import Card
from birdwatchd.core.photo import WHOLE_FRAME, Box, Pixels
from birdwatchd.core.preprocess import RECIPE_VERSION, SPOTTER_RECIPE, ModelInput, Recipe, to_model_input
from birdwatchd.edges.images import Limits, decode
from birdwatchd.edges.store import NewModel
from birdwatchd.edges.vision import Classifier, ProviderUnavailable, Session, open_onnx_session
from birdwatchd.examining import Examiner
from tests.fakes import StubSpotter
from tests.gardens import Garden
from tests.seeing import LABELS, answers, colour_blind_to_nothing

SPOTTER_ID = StubSpotter.id
LIMITS = Limits(max_megapixels=40, formats=frozenset({"jpeg", "png"}))
RED, GREEN = (200, 60, 60), (60, 200, 60)


def photo(middle: tuple[int, int, int], edges: tuple[int, int, int] | None = None, number: int = 0) -> bytes:
    """A PNG twice as wide as high: the middle in one colour, what is beyond the square in the middle in another."""
    pixels = np.empty((96, 192, 3), dtype=np.uint8)
    pixels[:] = edges or middle
    pixels[:, 48:144] = middle
    pixels[:8, :8] = number
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def recipe(**changes: Any) -> Recipe:
    return Recipe(**SPOTTER_RECIPE.to_dict() | {"size_px": 64} | changes)


def mind(folder: Path, wanted: Recipe = SPOTTER_RECIPE, **more: Any) -> Classifier:
    return Classifier.load(
        colour_blind_to_nothing(folder, spotter_id=SPOTTER_ID, recipe=wanted), model_id=1, spotter_id=SPOTTER_ID, **more
    )


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
@pytest.mark.parametrize("size_px", [64, 224, 300])
def test_the_examiner_shows_a_model_the_photo_as_its_card_wants_it(tmp_path: Path, resize: Any, size_px: int) -> None:
    wanted = recipe(size_px=size_px, resize=resize)
    examiner = Examiner(StubSpotter(), LIMITS)  # type: ignore[arg-type]
    examiner.classifier = mind(tmp_path, wanted)
    data = photo(RED, GREEN)
    naming = examiner.examine(data).naming
    view = decode(data, LIMITS, view_px=max(size_px, 224)).view(size_px, resize)
    (right,) = answers(to_model_input(view, wanted))
    assert naming is not None
    assert dict(naming.ranking) == pytest.approx(dict(zip(LABELS, right, strict=True)), abs=1e-5)
    assert (naming.ranking[0][0] == "redstart") == (resize == "crop" or bool(right[1] > 0.5))


def test_a_model_that_looks_at_photos_itself_is_shown_the_bird_and_not_the_frame(tmp_path: Path) -> None:
    box = Box(0.25, 0.5, 0.25, 0.25)

    class Finding(StubSpotter):
        def find(self, scene: Any) -> Any:
            return replace(super().find(scene), box=box)

    examiner = Examiner(Finding(), LIMITS)  # type: ignore[arg-type]
    examiner.classifier = mind(tmp_path)
    data = photo(RED, GREEN)
    naming = examiner.examine(data).naming
    view = decode(data, LIMITS, view_px=224).view(224, box=box)
    (right,) = answers(to_model_input(view, SPOTTER_RECIPE))
    assert naming is not None
    assert dict(naming.ranking) == pytest.approx(dict(zip(LABELS, right, strict=True)), abs=1e-5)


def test_cropped_padded_and_squashed_squares_hold_what_they_should() -> None:
    picture = decode(photo(RED, GREEN), LIMITS, view_px=96)
    cropped, padded, squashed = (picture.view(96, resize) for resize in ("crop", "pad", "squash"))
    assert np.abs(cropped[20:].astype(int) - RED).max() < 12
    assert (padded[:24] == 127).all()
    assert (padded[72:] == 127).all()
    assert (padded[48, :20] == GREEN).all()
    assert (padded[48, 40:56] == RED).all()
    assert (squashed[60, :20] == GREEN).all()
    assert (squashed[60, 40:56] == RED).all()


def test_many_photos_at_once_get_the_names_that_each_gets_alone(tmp_path: Path) -> None:
    model = mind(tmp_path, recipe())
    chance = np.random.default_rng(1)
    pixels = chance.normal(size=(11, 3, 64, 64)).astype(np.float32)
    embeddings = chance.random((11, 1280), dtype=np.float32)
    together = model.classify(embeddings, pixels)
    alone = [model.classify(embeddings[one : one + 1], pixels[one : one + 1]) for one in range(11)]
    np.testing.assert_allclose(together[0], np.concatenate([one[0] for one in alone]), atol=1e-6)
    np.testing.assert_allclose(together[0], answers(pixels), atol=1e-6)
    with pytest.raises(ValueError, match="photos of 64 px are wanted"):
        model.classify(embeddings)
    with pytest.raises(ValueError, match="photos of 64 px are wanted"):
        model.classify(embeddings, pixels[:, :, :32, :32])


def test_a_card_says_how_its_model_wants_photos_and_only_then(tmp_path: Path) -> None:
    card = mind(tmp_path, recipe(resize="pad")).card
    assert Card.from_metadata(card.to_metadata()) == card
    fields = {name: getattr(card, name) for name in card.__dataclass_fields__}
    for change in ({"pixels": None}, {"kind": "linear"}):
        with pytest.raises(ValueError, match="how it wants its photos"):
            Card(**fields | change)
    metadata = card.to_metadata()
    (key,) = metadata
    for old, new in (('"resize": "pad"', '"resize": "bend"'), ('"size_px": 64', '"size_px": "64"')):
        assert old in metadata[key]
        with pytest.raises(ModelDamaged):
            Card.from_metadata({key: metadata[key].replace(old, new)})


class Wrong:
    """A graphics card whose answers are off."""

    def __init__(self, session: Session, off: float) -> None:
        self.session, self.off = session, off

    def get_inputs(self) -> list[Any]:
        return self.session.get_inputs()

    def get_outputs(self) -> list[Any]:
        return self.session.get_outputs()

    def run(self, outputs: list[str], feeds: Mapping[str, ModelInput | Pixels], /) -> list[Any]:
        return [answer + np.float32(self.off) for answer in self.session.run(outputs, feeds)]


@pytest.mark.parametrize(("off", "taken"), [(0.0, "cuda"), (1e-5, "cuda"), (0.01, "cpu"), (float("nan"), "cpu")])
def test_a_graphics_card_names_only_if_it_agrees_with_the_processor(tmp_path: Path, off: float, taken: str) -> None:
    def open_session(path: Path, provider: str, threads: int, wanted: Recipe) -> Session:
        if provider == "tensorrt":
            raise ProviderUnavailable("none here")
        session = open_onnx_session(path, "cpu", threads, wanted)
        return Wrong(session, off) if provider == "cuda" else session

    more: dict[str, Any] = {"providers": ("tensorrt", "cuda", "cpu"), "open_session": open_session}
    assert mind(tmp_path, recipe(), **more).provider == taken


# A whole worker


def promote(garden: Garden, model: Path) -> None:
    path = f".birdwatchd/models/{model.name}"
    new = NewModel("finetuned", LABELS, {}, path, None, {})
    training = garden.store.models.begin_training(
        "finetuned", fingerprint="f", label_count=0, newest_label=0, at="2026-01-01T00:00:00Z"
    )
    garden.store.models.enter(new, training, ["it is here"], promote=True, at="2026-01-01T00:00:01Z")
    garden.worker.serving.refresh()


def drop(garden: Garden, *photos: bytes) -> None:
    for number, data in enumerate(photos):
        (garden.root / "inbox" / f"{number}.png").write_bytes(data)
    garden.steps_until(lambda: not any((garden.root / "inbox").iterdir()))


@pytest.mark.parametrize("wanted", [SPOTTER_RECIPE, Recipe(RECIPE_VERSION, 64, 127.0, 128.0, "crop")])
def test_new_and_waiting_photos_are_named_by_what_the_model_sees_in_them(root: Path, wanted: Recipe) -> None:
    garden = Garden(root)
    try:
        drop(garden, *(photo(RED, number=n) for n in range(3)), *(photo(GREEN, number=n) for n in range(4)))
        assert {state for state, _ in garden.where()} == {"review"}
        promote(garden, colour_blind_to_nothing(root / ".birdwatchd/models", spotter_id=SPOTTER_ID, recipe=wanted))
        garden.rest()
        assert garden.where() == {("filed", "redstart"): 3, ("filed", "greenfinch"): 4}
        drop(garden, photo(RED, number=50))
        newest = garden.store.questions.recent(limit=1)[0]
        assert (newest["state"], newest["label"]) == ("filed", "redstart")
    finally:
        garden.close()


def test_a_waiting_photo_that_cannot_be_read_any_more_keeps_no_other_from_its_name(root: Path) -> None:
    garden = Garden(root)
    try:
        drop(garden, *(photo(RED, number=n) for n in range(7)))
        waiting = sorted(garden.root.glob("review/*/*.png"))
        waiting[0].write_bytes(b"no photo at all")
        waiting[1].unlink()
        promote(garden, colour_blind_to_nothing(root / ".birdwatchd/models", spotter_id=SPOTTER_ID))
        model, examiner = garden.worker.serving.model, garden.worker.pipeline.examiner
        while garden.worker.rejudging.step(model, examiner):
            pass
        assert len(list(garden.root.glob("library/redstart/*.png"))) == 5
        assert waiting[0].exists()
    finally:
        garden.close()


def test_a_photo_that_is_none_is_refused_also_when_it_is_only_named_again(tmp_path: Path) -> None:
    examiner = Examiner(StubSpotter(), LIMITS)  # type: ignore[arg-type]
    whole = photo(RED)
    broken = whole[:200] + bytes(100) + whole[300:]
    with pytest.raises(Damaged):
        examiner.name_again(broken, np.zeros(1280, dtype=np.float32), WHOLE_FRAME, mind(tmp_path))
