"""Stand-ins for the one part that is slow; they keep the same promises as the real one."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from birdwatchd.core.photo import WHOLE_FRAME, Spotting
from birdwatchd.core.preprocess import SPOTTER_RECIPE, Recipe, to_model_input
from birdwatchd.edges.vision import Scene


@dataclass
class StubSpotter:
    """An eye for tests in which only the order of things matters: it answers by the picture's mean brightness.

    A dark picture has no bird; every other is one of five, chosen by its pixels.
    """

    id: str = "5" * 16
    provider: str = "stub"
    recipe: Recipe = SPOTTER_RECIPE
    birds: tuple[str, ...] = ("jay", "magpie", "robin", "kite", "goose")
    looked: int = field(default=0)

    def find(self, scene: Scene) -> Spotting:
        """Of the whole picture; it looks no closer."""
        return self.spot(to_model_input(scene.view(self.recipe.size_px, self.recipe.resize), self.recipe))[0]

    def spot(self, inputs: npt.NDArray[np.float32]) -> list[Spotting]:
        """One answer per picture of the batch."""
        return [self._spot(one) for one in inputs]

    def _spot(self, one: npt.NDArray[np.float32]) -> Spotting:
        self.looked += 1
        birdness = 0.001 if float(one.mean()) < -0.8 else 0.9
        turn = hashlib.sha256(one.tobytes()).digest()[0] % len(self.birds)
        order = self.birds[turn:] + self.birds[:turn]
        ranking = tuple(zip(order, (0.5, 0.2, 0.1, 0.06, 0.04), strict=True))
        return Spotting(self.id, birdness, ranking, WHOLE_FRAME, np.resize(one.ravel(), 1280).astype(np.float32))
