"""The long training: from photos to a file that serves without torch, and every way in which it may not come to that."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import onnx
import pytest
from PIL import Image

from birdwatchd.core.errors import Refused
from birdwatchd.core.job import JOB_FILE, Champion, Job, Report
from birdwatchd.core.preprocess import to_model_input
from birdwatchd.core.tuning import Strategy, Tuning
from birdwatchd.edges.images import as_jpeg, decode
from birdwatchd.edges.vision import Classifier, Spotter
from birdwatchd.training import __main__ as door
from birdwatchd.training import lesson as lessons
from birdwatchd.training import linear, photos, teach_finetuned
from birdwatchd.training.teach import teach
from tests.training.lessons import LIMITS, freeze

SPECIES = ("bluetit", "greenfinch", "redstart")
QUICK = Tuning(image_size=64, epochs=1)
SIDES_PX = (96, 72)

has_torch = not teach_finetuned.not_installed()
with_torch = pytest.mark.skipif(not has_torch, reason="needs the extra `train`: torch is not installed")


def picture(species: str, number: int) -> bytes:
    """A photo in the species' colour, each a little different."""
    chance = np.random.default_rng(100 * SPECIES.index(species) + number)
    pixels = np.full((SIDES_PX[1], SIDES_PX[0], 3), 90)
    pixels[..., SPECIES.index(species)] += 80
    noise = chance.integers(-30, 30, (SIDES_PX[1] // 8, SIDES_PX[0] // 8, 3)).repeat(8, 0).repeat(8, 1)
    return as_jpeg((pixels + noise).clip(0, 255).astype(np.uint8))


def garden(species: Sequence[str] = SPECIES, each: int = 8, begin: int = 0) -> dict[str, list[bytes]]:
    return {one: [picture(one, number) for number in range(begin, begin + each)] for one in species}


@pytest.fixture(scope="session")
def spotter(models_dir: Path) -> Spotter:
    return Spotter.load(models_dir, providers=("cpu",))


def silent(share: float, what: str) -> None:
    assert 0 <= share <= 1
    assert what


# Without torch


def test_without_torch_it_is_refused_in_one_line_that_names_the_extra(
    tmp_path: Path, spotter: Spotter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = freeze(tmp_path, garden(each=5), spotter, tuning=QUICK)
    if has_torch:
        monkeypatch.setattr(teach_finetuned, "NEEDED", ("torch_that_nobody_has",))
    assert door.main(["teach", str(job)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "which is not installed" in said
    assert 'extra "train"' in said
    assert not (job / "report.json").exists()
    assert not list(job.glob("*.onnx"))


def test_what_was_chosen_survives_the_way_through_the_job(tmp_path: Path, spotter: Spotter) -> None:
    chosen = Tuning("resnet18", 96, "pad", epochs=7, max_minutes=3)
    job = freeze(tmp_path, garden(each=2), spotter, tuning=chosen)
    assert Tuning.from_recipe(Job.from_json((job / JOB_FILE).read_text()).recipe) == chosen
    for wrong in ({"resize": "stretch"}, {"image_size": 0}, {"image_size": "224"}):
        with pytest.raises(ValueError):
            Tuning.from_recipe(wrong)


def test_held_out_photos_only_judge_and_where_they_are_few_the_first_fold_does_too_but_every_species_is_taught(
    tmp_path: Path, spotter: Spotter
) -> None:
    one = lessons.Lesson.read(freeze(tmp_path / "a", garden(each=6), spotter, held_out_one_in=3))
    there = np.ones(18, dtype=bool)
    taught, checked, judged = teach_finetuned.sides(one, there)
    assert judged.tolist() == sorted([*np.flatnonzero(one.held_out), *checked]), (
        "two held out of each are too few alone"
    )
    assert (one.folds[checked] == one.folds[~one.held_out].min()).all()
    assert sorted([*taught, *judged]) == list(range(18))
    held = lessons.Lesson.read(freeze(tmp_path / "c", garden(each=12), spotter, held_out_one_in=2))
    _, checked, judged = teach_finetuned.sides(held, np.ones(36, dtype=bool))
    assert judged.tolist() == np.flatnonzero(held.held_out).tolist()
    assert not set(checked) & set(judged)
    two = lessons.Lesson.read(freeze(tmp_path / "b", garden(each=6) | garden(["redstart"], 1), spotter))
    there = np.ones(len(two.ids), dtype=bool)
    doubted = two.doubting(np.arange(len(two.ids)) == 0)  # of the first fold
    taught, checked, judged = teach_finetuned.sides(doubted, there)
    assert (two.folds[judged] == 0).all()
    assert 0 in judged
    assert 0 not in checked
    assert "redstart" in {two.names[two.labels[place]] for place in taught}
    assert not set(taught) & set(judged)
    with pytest.raises(Refused, match="no photo of redstart can be read"):
        teach_finetuned.sides(two, two.labels != two.names.index("redstart"))
    whole = np.zeros(len(two.ids), dtype=np.intp)
    with pytest.raises(Refused, match="of one visit"):
        teach_finetuned.sides(replace(two, folds=whole), there)


def test_a_photo_that_was_moved_or_exchanged_is_left_out_and_nothing_stays_of_what_was_kept(
    tmp_path: Path, spotter: Spotter
) -> None:
    one = lessons.Lesson.read(job := freeze(tmp_path, garden(each=3), spotter))
    paths = [tmp_path / example.path for example in one.job.examples]
    paths[0].rename(tmp_path / "elsewhere.jpg")
    shutil.copy(paths[1], paths[2])
    paths[3].write_bytes(b"no photo")
    with teach_finetuned.squares(one, QUICK, job, lambda _: None) as shown:
        assert shown.there.tolist() == [False, True, False, False, *[True] * 5]
        assert shown.larger[4].read().shape == (91, 91, 3)
        view = decode(paths[4].read_bytes(), LIMITS, view_px=91).view(64)
        assert (shown.served[4].read() == view).all()
    assert not list(job.glob("*.pixels"))


def test_show_batch_without_torch_draws_the_photos_as_they_are_served(
    tmp_path: Path, spotter: Spotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teach_finetuned, "not_installed", lambda: ["torch"])
    job = freeze(tmp_path, garden(each=2), spotter, tuning=QUICK)
    assert door.main(["show-batch", str(job), str(tmp_path / "batch.png")]) == 0
    with Image.open(tmp_path / "batch.png") as sheet:
        assert sheet.size == (4 * 70 + 6, 2 * 86 + 6)
    assert door.main(["show-batch", str(job), str(tmp_path / "nowhere" / "batch.png")]) == 1


# With torch


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, spotter: Spotter) -> Path:
    """A job's folder after the training."""
    job = freeze(tmp_path_factory.mktemp("taught"), garden(), spotter, tuning=QUICK)
    told: list[float] = []
    teach(job, lambda share, _: told.append(share))
    assert told == sorted(told)
    assert len(set(told)) > 10
    return job


def model_of(job: Path) -> Classifier:
    report = Report.from_json((job / "report.json").read_text())
    spotter_id = Job.from_json((job / JOB_FILE).read_text()).spotter_id
    return Classifier.load(job / report.model, model_id=1, spotter_id=spotter_id)


@pytest.mark.train
@with_torch
def test_it_makes_one_file_that_says_what_torch_says_and_what_it_is(taught: Path) -> None:
    report = Report.from_json((taught / "report.json").read_text())
    content = onnx.load_model_from_string((taught / report.model).read_bytes())
    onnx.checker.check_model(content, full_check=True)
    assert all(weight.data_location == onnx.TensorProto.DEFAULT for weight in content.graph.initializer)
    assert b"site-packages" not in content.SerializeToString()
    card = model_of(taught).card
    assert (card.kind, card.labels, card.pixels) == ("finetuned", SPECIES, QUICK.pixels)
    assert report.parity <= lessons.PARITY
    assert [epoch.number for epoch in report.epochs] == [1, 2]
    assert {guess.photo_id for guess in report.guesses} == {1, 6, 9, 14, 17, 22}
    assert report.metrics["photos"] == 18
    assert (taught / "batch.png").stat().st_size > 10_000


@pytest.mark.train
@with_torch
@pytest.mark.filterwarnings("ignore")
def test_the_learner_is_for_notebooks_holds_no_photos_and_says_the_same(taught: Path) -> None:
    from fastai.vision.all import load_learner

    job = Job.from_json((taught / JOB_FILE).read_text())
    served = model_of(taught)
    path = Path(job.root) / job.examples[0].path
    learn = load_learner(taught / "learner.pkl")
    with learn.no_bar():
        label, _, probabilities = learn.predict(path)
    pixels = to_model_input(decode(path.read_bytes(), LIMITS, view_px=64).view(64), QUICK.pixels)
    right, _ = served.classify(np.load(taught / "embeddings.npy")[:1], pixels)
    logits = np.log(right) * Report.from_json((taught / "report.json").read_text()).metrics["temperature"]
    np.testing.assert_allclose(probabilities, linear.softmax(logits)[0], atol=1e-3)
    assert label == SPECIES[int(right.argmax())]
    assert (taught / "learner.pkl").stat().st_size < 25_000_000


@pytest.mark.train
@with_torch
def test_it_names_photos_in_a_daemon_that_cannot_import_torch(taught: Path, models_dir: Path) -> None:
    program = """
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "fastai", "timm", "onnx", "onnxscript"}:
            raise ImportError(name)
sys.meta_path.insert(0, Wall())
from pathlib import Path
from birdwatchd.core.settings import Settings
from birdwatchd.edges.vision import Classifier, Spotter
from birdwatchd.examining import Examiner
models, model, photo = map(Path, sys.argv[1:])
examiner = Examiner.by_settings(Settings(root=models), Spotter.load(models))
examiner.classifier = Classifier.load(model, model_id=1, spotter_id=examiner.spotter.id)
naming = examiner.examine(photo.read_bytes()).naming
print(naming.ranking[0][1])
"""
    job = Job.from_json((taught / JOB_FILE).read_text())
    report = Report.from_json((taught / "report.json").read_text())
    photo = Path(job.root) / job.examples[0].path
    command = [sys.executable, "-c", program, str(models_dir), str(taught / report.model), str(photo)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (child.returncode, child.stderr) == (0, "")
    guess = next(guess for guess in report.guesses if guess.photo_id == 1)
    assert float(child.stdout) == pytest.approx(guess.probability, abs=1e-4)


@pytest.mark.train
@with_torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("resize", ["squish", "pad", "crop", "random-crop"])
def test_what_is_validated_in_training_is_pixel_for_pixel_what_is_served(
    tmp_path: Path, spotter: Spotter, resize: Strategy
) -> None:
    from birdwatchd.training import network

    tuning = replace(QUICK, resize=resize)
    one = lessons.Lesson.read(job := freeze(tmp_path, garden(each=4), spotter, tuning=tuning))
    with teach_finetuned.squares(one, tuning, job, lambda _: None) as shown:
        places = np.arange(len(one.ids))
        loaders = network.dataloaders(
            teach_finetuned.pairs(one, shown.larger, places),
            teach_finetuned.pairs(one, shown.served, places),
            one.names,
            tuning,
            LIMITS,
            seed=1,
        )
        assert list(loaders.vocab) == list(one.names)
        inputs, labels = loaders.valid.one_batch()
        taught_size = loaders.train.one_batch()[0].shape
    assert taught_size[1:] == (3, 64, 64)
    assert labels.tolist() == one.labels.tolist()
    for place, example in enumerate(one.job.examples):
        picture = decode((tmp_path / example.path).read_bytes(), LIMITS, view_px=tuning.image_size)
        served = to_model_input(picture.view(tuning.image_size, tuning.pixels.resize), tuning.pixels)
        assert np.abs(inputs[place].numpy() - served[0]).max() <= 1e-5


@pytest.fixture
def load(tmp_path: Path, spotter: Spotter) -> Iterator[Callable[[], Any]]:
    """Makes loaders for fastai, afresh at each call."""
    from birdwatchd.training import network

    one = lessons.Lesson.read(job := freeze(tmp_path, garden(each=4), spotter, tuning=QUICK))
    with teach_finetuned.squares(one, QUICK, job, lambda _: None) as shown:
        shown_pairs = teach_finetuned.pairs(one, shown.served, np.arange(len(one.ids)))
        yield lambda: network.dataloaders(shown_pairs, shown_pairs, one.names, QUICK, LIMITS, seed=1)


@pytest.fixture
def loaders(load: Callable[[], Any]) -> Any:
    return load()


@pytest.mark.train
@with_torch
@pytest.mark.filterwarnings("ignore")
def test_the_network_lies_where_its_photos_are_brought_to(loaders: Any) -> None:
    from birdwatchd.training import network

    for where in (
        "cpu",
        "meta",
    ):  # the latter in place of a graphics card: it says no number, but minds where things lie
        learn = network.learner(loaders.to(where), QUICK)
        assert {value.device.type for value in learn.model.state_dict().values()} == {where}


@pytest.mark.train
@with_torch
def test_in_half_precision_too_a_feature_that_is_nowhere_does_no_harm() -> None:
    import torch

    from birdwatchd.training import network

    layer = network.Quick(np.ones((4, 2)), np.zeros(2))
    seen = torch.zeros(3, 4, 2, 2, dtype=torch.half, requires_grad=True)
    layer(seen).sum().backward()
    assert seen.grad is not None
    assert bool(torch.isfinite(seen.grad).all())


@pytest.mark.train
@with_torch
@pytest.mark.filterwarnings("ignore")
def test_on_a_graphics_card_it_learns_too(load: Callable[[], Any]) -> None:
    import torch

    from birdwatchd.training import network

    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU with CUDA")
    matrix = np.random.default_rng(1).normal(size=(1280, len(SPECIES)))
    begun = linear.Weights(matrix, np.zeros(len(SPECIES)), np.zeros((3, 1280)), np.zeros((3, 1280)))
    shown = load()
    assert shown.device.type == "cuda"
    trained = network.train(shown, replace(QUICK, epochs=3), silent, seed=1, until=1e9, quick=begun)
    assert trained.epochs[-1].train_loss < trained.epochs[0].train_loss
    assert np.isfinite(trained.logits([np.zeros((1, 3, 64, 64), np.float32)])).all()


@pytest.mark.train
@with_torch
@pytest.mark.filterwarnings("ignore")
def test_an_unknown_network_is_refused_with_the_nearest_names(loaders: Any) -> None:
    from birdwatchd.training import network

    with pytest.raises(Refused, match="no network called 'resnet_18'") as refused:
        network.learner(loaders, replace(QUICK, architecture="resnet_18"))
    assert "resnet18" in refused.value.hint


@pytest.mark.train
@with_torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_weights_that_cannot_be_had_are_told_in_one_line(
    loaders: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm
    import torchvision

    from birdwatchd.training import network

    create = timm.create_model

    def cut_off(*arguments: Any, **named: Any) -> Any:
        if named.get("pretrained") or named.get("weights"):
            raise URLError("no route to host")
        return create(*arguments, **named)

    monkeypatch.setattr(timm, "create_model", cut_off)
    monkeypatch.setattr(torchvision.models, "get_model", cut_off)
    with pytest.raises(Refused, match=f"the weights of {name} cannot be had") as refused:
        network.learner(loaders, replace(QUICK, architecture=name))
    assert "no route to host" in refused.value.hint
    assert "\n" not in str(refused.value)


@pytest.mark.train
@with_torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_another_network_learns_from_its_own_weights_and_is_written_down(
    loaders: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm
    import torch
    import torchvision

    from birdwatchd.training import export, network

    create, get = timm.create_model, torchvision.models.get_model
    monkeypatch.setattr(timm, "create_model", lambda *names, **more: create(*names, **more | {"pretrained": False}))
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, **_: get(name))
    tuning = replace(QUICK, architecture=name)
    trained = network.train(loaders, tuning, silent, seed=1, until=float("inf"))
    written = trained.as_onnx(2.0, export.OPSET)
    onnx.checker.check_model(written)
    pixels = np.random.default_rng(1).normal(size=(3, 3, 64, 64)).astype(np.float32)
    import onnxruntime

    session = onnxruntime.InferenceSession(written.SerializeToString(), providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"pixels": pixels})
    np.testing.assert_allclose(probabilities, linear.softmax(trained.logits([pixels]) / 2.0), atol=1e-4)
    values = torch.zeros(1, 3, 1, 1)
    standard = trained.learn.model[0][0](values)
    np.testing.assert_allclose(
        standard.flatten(), (127 / 255 - np.array(network.IMAGENET[0])) / network.IMAGENET[1], atol=1e-6
    )


@pytest.mark.train
@with_torch
@pytest.mark.filterwarnings("ignore")
def test_when_time_is_up_it_ends_with_the_best_so_far(loaders: Any) -> None:
    from birdwatchd.training import network

    now = [0.0]

    def clock() -> float:
        now[0] += 1
        return now[0]

    whole = network.train(loaders, replace(QUICK, epochs=3), silent, seed=1, until=float("inf"), clock=clock)
    needed, now[0] = now[0], 0.0
    part = network.train(loaders, replace(QUICK, epochs=3), silent, seed=1, until=0.6 * needed, clock=clock)
    assert (len(whole.epochs), whole.cut_short) == (4, False)
    assert 1 <= len(part.epochs) < 4
    assert part.cut_short
    now[0] = 0.0
    none = network.train(loaders, QUICK, silent, seed=1, until=0.5, clock=clock)
    assert (none.epochs, none.cut_short) == ((), True)
    assert np.isfinite(none.logits([np.zeros((1, 3, 64, 64), dtype=np.float32)])).all()


@pytest.mark.train
@with_torch
@pytest.mark.filterwarnings("ignore")
def test_the_same_seed_teaches_the_same(load: Callable[[], Any]) -> None:
    from birdwatchd.training import network

    question = np.random.default_rng(2).normal(size=(2, 3, 64, 64)).astype(np.float32)
    one, two = (network.train(load(), QUICK, silent, seed=5, until=float("inf")).logits([question]) for _ in range(2))
    np.testing.assert_allclose(one, two, atol=1e-4)


@pytest.mark.train
@with_torch
def test_each_kind_can_follow_the_other_and_both_are_asked_about_the_same_photos(
    taught: Path, tmp_path: Path, spotter: Spotter
) -> None:
    first = model_of(taught)
    root = tmp_path / "root"
    (root / "models").mkdir(parents=True)
    (model,) = taught.glob("finetuned-*.onnx")
    shutil.copy(model, root / "models" / model.name)
    champion = Champion(1, f"models/{model.name}", {}, ())
    job = freeze(root, garden(each=5, begin=50), spotter, kind="linear", champion=champion)
    report = teach(job, silent)
    assert set(report.champion_guesses) == {str(number) for number in range(1, 16)}
    place = 3
    example = Job.from_json((job / JOB_FILE).read_text()).examples[place]
    pixels = to_model_input(decode((root / example.path).read_bytes(), LIMITS, view_px=64).view(64), QUICK.pixels)
    (naming,) = first.name([np.load(job / "embeddings.npy")[place]], pixels)
    assert report.champion_guesses[str(place + 1)] == naming.ranking[0][0]
    shutil.copy(job / report.model, root / "models" / report.model)
    champion = Champion(2, f"models/{report.model}", {}, ())
    job = freeze(root, garden(each=5, begin=80), spotter, champion=champion, number=2, tuning=QUICK)
    report = teach(job, silent)
    assert set(report.champion_guesses) == {str(guess.photo_id) for guess in report.guesses} == {"1", "6", "11"}


@pytest.mark.train
@with_torch
@pytest.mark.filterwarnings("ignore")
def test_show_batch_draws_what_is_taught(tmp_path: Path, spotter: Spotter) -> None:
    job = freeze(tmp_path, garden(each=6), spotter, tuning=QUICK)
    assert door.main(["show-batch", str(job), str(tmp_path / "batch.png")]) == 0
    with Image.open(tmp_path / "batch.png") as sheet:
        assert sheet.width == 4 * 70 + 6
    assert photos.Square(tmp_path / "batch.png", 0, 8).read().shape == (8, 8, 3)


@pytest.mark.train
@with_torch
@pytest.mark.filterwarnings("ignore")
def test_the_spotters_own_network_begins_with_what_the_quick_training_knows(tmp_path: Path, spotter: Spotter) -> None:
    from birdwatchd.training import network

    tuning = Tuning(resize="squish", epochs=1)
    one = lessons.Lesson.read(job := freeze(tmp_path, garden(each=4), spotter, tuning=tuning))
    places = np.arange(len(one.ids))
    features = linear.as_features(one.embeddings)
    weights = linear.fit(features, one.labels, len(one.names), np.random.default_rng(1))
    with teach_finetuned.squares(one, tuning, job, lambda _: None) as shown:
        pairs = teach_finetuned.pairs(one, shown.served, places)
        loaders = network.dataloaders(pairs, pairs, one.names, tuning, LIMITS, seed=1)
        learn = network.learner(loaders, tuning, weights)
        begun = network.Network(learn, tuning.image_size, (), cut_short=False)
        learn.model.eval()
        said = begun.logits([photos.inputs(shown.served, tuning.pixels)])
    np.testing.assert_allclose(said, weights.logits(features), atol=0.02 * np.abs(weights.logits(features)).max())
