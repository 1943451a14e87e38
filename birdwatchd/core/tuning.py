"""What a person chose for the long training, on its way from the settings through the frozen job to the training program."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from birdwatchd.core.preprocess import RECIPE_VERSION, SPOTTER_RECIPE, Recipe, Resize
from birdwatchd.core.settings import Settings

NEEDED = ("torch", "torchvision", "fastai", "timm", "onnxscript")
"""What the extra `train` brings; each is a module's name."""

LABELS_TO_FINETUNE = 200
"""With fewer a whole network learns them by heart, and nothing is held out that could show it."""

Strategy = Literal["squish", "pad", "crop", "random-crop"]

_AS_SERVED: Mapping[Strategy, Resize] = {"squish": "squash", "pad": "pad", "crop": "crop", "random-crop": "squash"}
"""How a photo becomes square when it is named; what is cut out at random in training is named by the whole photo."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the whole network is trained.

    Attributes:
        architecture: name of the network in timm or torchvision.
        image_size: edge of the square that it gets, in pixels.
        resize: how a photo becomes that square in training.
        epochs: rounds through all photos, after one round in which only the last layers learn.
        max_minutes: from then on it goes on with what is best so far.

    Raises:
        ValueError: the strategy is unknown, or the size is out of its range.
    """

    architecture: str = "tf_efficientnet_lite0"
    image_size: int = 224
    resize: Strategy = "random-crop"
    epochs: int = 4
    max_minutes: float = 240

    def __post_init__(self) -> None:
        if self.resize not in get_args(Strategy):
            raise ValueError(f"resize must be one of {', '.join(get_args(Strategy))}, not {self.resize!r}")
        self.pixels.to_dict()

    @classmethod
    def by_settings(cls, settings: Settings) -> "Tuning":
        """As a person set it."""
        training = settings.training
        return cls(
            architecture=training.architecture,
            image_size=training.image_size,
            resize=training.resize,
            epochs=training.epochs,
            max_minutes=training.max_minutes,
        )

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, object]) -> "Tuning":
        """Read it out of a job's recipe, which holds other things as well; what is missing is as by default.

        Raises:
            ValueError: something in it cannot be used.
        """
        chosen = {name: recipe[name] for name in cls.__dataclass_fields__ if name in recipe}
        try:
            return cls(**chosen)  # type: ignore[arg-type]
        except TypeError as error:
            raise ValueError(str(error)) from error

    def as_recipe(self) -> dict[str, object]:
        """For a job's recipe; `from_recipe` is the inverse."""
        return asdict(self)

    @property
    def pixels(self) -> Recipe:
        """How the network wants its photos when it serves: values as the spotter has them."""
        return Recipe(
            RECIPE_VERSION, self.image_size, SPOTTER_RECIPE.mean, SPOTTER_RECIPE.scale, _AS_SERVED[self.resize]
        )
