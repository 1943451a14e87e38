"""The network of the long training: where it comes from, how it learns, what it answers. Only here are torch and fastai met.

They are in the extra `train`; so this room is entered only when a network is trained.
"""

import difflib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import timm
import torch
import torchvision
from fastai.vision.all import (
    Adam,
    Callback,
    CancelFitException,
    CategoryBlock,
    CrossEntropyLossFlat,
    DataBlock,
    DataLoaders,
    ImageBlock,
    IndexSplitter,
    ItemGetter,
    Learner,
    Normalize,
    PILImage,
    RandomResizedCrop,
    Transform,
    aug_transforms,
    error_rate,
    set_seed,
    vision_learner,
)
from torch import nn

from birdwatchd.core.errors import ModelError, Refused
from birdwatchd.core.job import Epoch
from birdwatchd.core.preprocess import ModelInput, Recipe
from birdwatchd.core.tuning import Tuning
from birdwatchd.edges.images import Limits, decode
from birdwatchd.training.linear import Weights
from birdwatchd.training.photos import Square
from birdwatchd.training.spotter import weights_path
from birdwatchd.training.torchfile import read_tensors

OWN_ARCHITECTURE = "tf_efficientnet_lite0"
"""The spotter's: its weights are in the base install."""

LEAST_OF_A_PHOTO = 0.5
"""What is cut out at random has at least this share of the photo's area."""

BASE_RATE = 2e-3
GENTLE_RATE = 5e-4
"""For a network that knows the names already."""

AT_ONCE, AT_ONCE_ON_GPU = 16, 64
"""Photos between two steps of the learning. On a CPU more of them need memory and bring nothing."""

PATIENCE = 3
"""So many rounds without a gain, and it is enough."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

Shown = tuple[Square, str]
"""A photo and its label."""


class AsServed(Transform):
    """Makes fastai's picture of what is kept of a photo, or of any file for whoever tries `learner.pkl` in a notebook."""

    input_types = (Square, Path, str, bytes, np.ndarray)  # fastai asks: what a notebook may begin with

    def __init__(self, recipe: Recipe, limits: Limits) -> None:
        super().__init__()
        self.recipe = recipe
        self.limits = limits

    @property
    def create(self) -> "AsServed":
        """What `ImageBlock` asks a kind of pictures for."""
        return self

    def encodes(self, photo: Square | Path | str | bytes | np.ndarray) -> PILImage:
        """A picture of ours is taken as it is; a file is made the square that the model is served."""
        match photo:
            case Square():
                pixels = photo.read()
            case np.ndarray():
                pixels = photo
            case _:
                data = photo if isinstance(photo, bytes) else Path(photo).read_bytes()
                picture = decode(data, self.limits, view_px=self.recipe.size_px)
                pixels = picture.view(self.recipe.size_px, self.recipe.resize)
        return PILImage.create(pixels)


class CutOut(RandomResizedCrop):
    """Only in training: what is validated is the whole photo, as it is served."""

    split_idx = 0


class Standard(nn.Module):
    """Brings values as the spotter has them to the mean and spread that another network was trained with."""

    def __init__(self, recipe: Recipe, mean: Sequence[float], spread: Sequence[float]) -> None:
        super().__init__()
        wide = torch.tensor(spread).view(1, -1, 1, 1)
        self.register_buffer("factor", torch.tensor(recipe.scale / 255) / wide)
        self.register_buffer("offset", (torch.tensor(recipe.mean / 255) - torch.tensor(mean).view(1, -1, 1, 1)) / wide)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Shape (N, 3, S, S) in and out."""
        return pixels * self.factor + self.offset


class Quick(nn.Module):
    """The quick training's model as the last layer, on what the body sees: `linear.as_features`, and then its weights."""

    def __init__(self, matrix: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]) -> None:
        super().__init__()
        self.names = nn.Linear(*matrix.shape)
        with torch.no_grad():
            self.names.weight.copy_(torch.from_numpy(matrix.T))
            self.names.bias.copy_(torch.from_numpy(offset))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Shape (N, 1280, H, W) in, (N, labels) out."""
        # At 0 a root has no slope; and in half precision, which a GPU learns in, 1e-8 is 0.
        roots = seen.float().mean(dim=(2, 3)).clamp_min(1e-8).sqrt()
        return self.names(roots / roots.norm(dim=1, keepdim=True))


class _AsItWasSeen(Callback):
    """The body goes on to see by the statistics of the world that it was trained on: a batch of a few birds says less."""

    def before_train(self) -> None:
        for part in self.learn.model[0].modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()


class Calibrated(nn.Module):
    """The network as it is written down: probabilities, the temperature in them."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Shape (N, 3, S, S) in, (N, labels) out."""
        return torch.softmax(self.network(pixels) / self.temperature, dim=1)


def dataloaders(
    taught: Sequence[Shown],
    checked: Sequence[Shown],
    names: Sequence[str],
    tuning: Tuning,
    limits: Limits,
    *,
    seed: int,
) -> DataLoaders:
    """Photos for fastai, in its own terms: what is taught is turned, cut and lit at random, what is checked is as served.

    fastai's own resizing and normalising have no part in it.

    Args:
        limits: of photos that a notebook shows to the learner.
    """
    set_seed(seed, reproducible=True)
    recipe, on_gpu = tuning.pixels, torch.cuda.is_available()
    block = DataBlock(
        blocks=(ImageBlock(AsServed(recipe, limits)), CategoryBlock(vocab=list(names))),
        get_x=ItemGetter(0),
        get_y=ItemGetter(1),
        splitter=IndexSplitter(range(len(taught), len(taught) + len(checked))),
        item_tfms=[CutOut(recipe.size_px, min_scale=LEAST_OF_A_PHOTO)] if tuning.resize == "random-crop" else None,
        batch_tfms=[
            *aug_transforms(),
            Normalize.from_stats([recipe.mean / 255] * 3, [recipe.scale / 255] * 3),
        ],
    )
    at_once = AT_ONCE_ON_GPU if on_gpu else AT_ONCE
    return block.dataloaders(
        [*taught, *checked],
        bs=max(min(at_once, len(taught) // 2), 1),
        val_bs=at_once,
        num_workers=0,
        device=torch.device("cuda" if on_gpu else "cpu"),
    )


def learner(loaders: DataLoaders, tuning: Tuning, quick: Weights | None = None) -> Learner:
    """A network that has seen the world, but not these birds.

    Args:
        quick: what the quick training made of the same photos; for the spotter's own network, which then begins where that ended.

    Raises:
        Refused: there is no such network, its weights cannot be had, or it takes no pictures of this size.
    """
    name, recipe = tuning.architecture, tuning.pixels
    given: dict[str, Any] = {"normalize": False, "pretrained": False}
    given |= {"metrics": error_rate, "loss_func": CrossEntropyLossFlat(), "opt_func": Adam}
    try:
        if name == OWN_ARCHITECTURE:
            if quick is not None:
                given |= {"custom_head": Quick(quick.matrix, quick.offset), "init": None, "cbs": _AsItWasSeen()}
            learn = vision_learner(loaders, name, **given)
            own = _own_weights()
            learn.model[0].model.load_state_dict({key: own[key] for key in learn.model[0].model.state_dict()})
        elif timm.is_model(name.partition(".")[0]):
            if timm.get_pretrained_cfg_value(name, "fixed_input_size"):
                given["img_size"] = recipe.size_px
            learn = vision_learner(loaders, name, **given)
            world = _with_weights(name, lambda: _timm_weights(name, given.get("img_size")))
            learn.model[0].model.load_state_dict(world.state_dict())
            learn.model[0] = nn.Sequential(
                Standard(recipe, world.default_cfg["mean"], world.default_cfg["std"]), learn.model[0]
            )
        elif name in torchvision.models.list_models(module=torchvision.models):
            world = _with_weights(name, lambda: torchvision.models.get_model(name, weights="DEFAULT"))
            learn = vision_learner(loaders, lambda pretrained: world, **given)  # noqa: ARG005  # fastai's name for it
            learn.arch = name  # the function could not be written into learner.pkl
            learn.model[0] = nn.Sequential(Standard(recipe, *IMAGENET), learn.model[0])
        else:
            raise Refused(f"there is no network called {name!r}", hint=_nearest(name))
        learn.model.to(loaders.device)
        with torch.inference_mode():
            learn.model.eval()(torch.zeros(1, 3, recipe.size_px, recipe.size_px, device=loaders.device))
    except (RuntimeError, ValueError, TypeError, StopIteration, AssertionError, IndexError, AttributeError) as error:
        raise Refused(
            f"{name} cannot be trained with pictures of {recipe.size_px} px: {_first_line(error)}",
            hint="set another architecture or image_size under [training] in config.toml",
        ) from error
    return learn


def _own_weights() -> dict[str, torch.Tensor]:
    """The spotter's; both packages name the tensors in the same order."""
    names = timm.create_model(OWN_ARCHITECTURE, pretrained=False).state_dict()
    tensors = read_tensors(weights_path().read_bytes()).values()
    return {name: torch.from_numpy(tensor) for name, tensor in zip(names, tensors, strict=True)}


def _timm_weights(name: str, size_px: int | None) -> nn.Module:
    if not timm.is_model_pretrained(name):
        raise LookupError("timm has none")
    size = {} if size_px is None else {"img_size": size_px}
    return timm.create_model(name, pretrained=True, num_classes=0, **size)


def _with_weights(name: str, load: Callable[[], nn.Module]) -> nn.Module:
    """Have the weights loaded from wherever they are kept.

    Raises:
        Refused: whatever was in the way.
    """
    try:
        return load()
    except Exception as error:
        raise Refused(
            f"the weights of {name} cannot be had (no network?)",
            hint=f'train once where there is a network, or set architecture = "{OWN_ARCHITECTURE}" under [training]: '
            f"its weights are here already ({_first_line(error)})",
        ) from error


def _nearest(name: str) -> str:
    known = {*timm.list_models(), *torchvision.models.list_models(module=torchvision.models)}
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5) or [OWN_ARCHITECTURE]
    return f"did you mean {' or '.join(near)}? Set architecture under [training] in config.toml"


class _Watch(Callback):
    """Tells how far it is, keeps the best, and ends it when it is enough or time is up."""

    order = 55  # after fastai's Recorder, whose numbers are read

    def __init__(
        self, tell: Callable[[float, str], None], rounds: int, until: float, clock: Callable[[], float]
    ) -> None:
        self.tell, self.rounds, self.until, self.clock = tell, rounds, until, clock
        self.epochs: list[Epoch] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_loss = float("inf")
        self.without_gain = 0
        self.over = False

    def keep_if_best(self, learn: Learner, valid_loss: float) -> None:
        if valid_loss < self.best_loss:
            self.best_loss, self.without_gain = valid_loss, 0
            self.best = {name: value.detach().cpu().clone() for name, value in learn.model.state_dict().items()}

    def before_fit(self) -> None:
        if self.over:
            raise CancelFitException

    def after_batch(self) -> None:
        if self.training:
            done = len(self.epochs) + (self.iter + 1) / self.n_iter
            self.tell(done / self.rounds, f"round {len(self.epochs) + 1} of {self.rounds}")
        if self.clock() >= self.until:
            self.over = True
            raise CancelFitException

    def after_epoch(self) -> None:
        train_loss, valid_loss, wrong = map(float, self.learn.recorder.values[-1])
        if not (math.isfinite(train_loss) and math.isfinite(valid_loss)):
            self.over = True
            raise CancelFitException
        self.epochs.append(Epoch(len(self.epochs) + 1, train_loss, valid_loss, wrong))
        self.without_gain += 1
        self.keep_if_best(self.learn, valid_loss)
        if self.without_gain >= PATIENCE:
            self.over = True
            raise CancelFitException


@dataclass(frozen=True, slots=True)
class Network:
    """A trained network.

    Attributes:
        epochs: the rounds that were lived through.
        cut_short: whether time was up before all of them.
    """

    learn: Learner = field(repr=False)
    size_px: int
    epochs: tuple[Epoch, ...]
    cut_short: bool

    def logits(self, batches: Iterable[ModelInput]) -> npt.NDArray[np.float64]:
        """What it says of photos, before any temperature; shape (N, labels)."""
        with torch.inference_mode():
            parts = [self.learn.model(torch.from_numpy(batch)).double().numpy() for batch in batches]
        return np.concatenate(parts)

    def as_onnx(self, temperature: float, opset: int) -> onnx.ModelProto:
        """`pixels` (photos, 3, S, S) in, `probabilities` (photos, labels) out; nothing of this machine's paths in it.

        Raises:
            ModelError: it cannot be written so.
        """
        example = torch.zeros(2, 3, self.size_px, self.size_px)
        try:
            program = torch.onnx.export(
                Calibrated(self.learn.model, temperature).eval(),
                (example,),
                dynamo=True,
                opset_version=opset,
                input_names=["pixels"],
                output_names=["probabilities"],
                dynamic_shapes=({0: torch.export.Dim("photos")},),
                verbose=False,
            )
        except Exception as error:  # torch's exporter raises much of its own
            raise ModelError(
                f"the trained network cannot be written as ONNX: {_first_line(error)}",
                hint="set another architecture under [training] in config.toml",
            ) from error
        model: onnx.ModelProto = program.model_proto
        for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.functions):
            part.doc_string = ""
            del part.metadata_props[:]
        return model

    def write_learner(self, path: Path) -> None:
        """For notebooks: `fastai.load_learner`. The daemon never opens it."""
        self.learn.export(path)


def train(
    loaders: DataLoaders,
    tuning: Tuning,
    tell: Callable[[float, str], None],
    *,
    seed: int,
    until: float,
    quick: Weights | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Network:
    """Fine-tune a network: one round for the last layers, then all of it; the best round is kept.

    Where the quick training's model is its last layer, that is the state to beat: first a layer on what the network sees, then all of
    it, distorts less of what it has learned before (Kumar and others 2022, "Fine-Tuning can Distort Pretrained Features").

    Args:
        quick: see `learner`.
        until: on the clock; then it ends with what is best so far.

    Raises:
        Refused: see `learner`.
        ModelError: it learned nothing but nonsense.
    """
    set_seed(seed, reproducible=True)
    begins_quick = quick is not None and tuning.architecture == OWN_ARCHITECTURE
    learn = learner(loaders, tuning, quick)
    watch = _Watch(tell, tuning.epochs + 1, until, clock)
    with learn.no_bar(), learn.no_logging():
        if begins_quick:
            watch.keep_if_best(learn, float(learn.validate()[0]))
        if torch.cuda.is_available():
            learn = (
                learn.to_fp16()
            )  # only now: half precision begins with the first round, and what was asked before would have none
        learn.fine_tune(tuning.epochs, base_lr=GENTLE_RATE if begins_quick else BASE_RATE, cbs=[watch])
    if torch.cuda.is_available():
        learn = learn.to_fp32()
    learn.dls.to(torch.device("cpu"))
    learn.model.cpu().eval()
    if watch.best:
        learn.model.load_state_dict(watch.best)
    if not all(bool(torch.isfinite(value).all()) for value in learn.model.state_dict().values()):
        raise ModelError("the training came to numbers that are none", hint="set another architecture under [training]")
    return Network(learn, tuning.image_size, tuple(watch.epochs), watch.clock() >= until)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
