"""The mind: the model in use is opened with the eye and at each sweep, and it is told where it is of no use or has been taken back."""

from collections.abc import Callable
from pathlib import Path

from birdwatchd.condition import Condition
from birdwatchd.core.errors import ModelError, ModelOfAnotherSpotter, TransientError
from birdwatchd.core.settings import Settings
from birdwatchd.edges.store import Store
from birdwatchd.edges.vision import Classifier
from birdwatchd.eye import Eye
from birdwatchd.relooking import Relooking
from birdwatchd.serving import Serving

OUTGROWN = "birds wait for their names: the model was made for another spotter,"
"""How it begins what is said while the model in use is of no use."""


class Mind:
    """The mind of one daemon; without a model photos wait in review.

    Args:
        root: the bird folder.
        eye: names what it sees with the model in use.
        relooking: knows whether what people named was seen by this eye.
        now: the wall clock, ISO-8601 UTC.

    Attributes:
        serving: which model is in use.
    """

    def __init__(
        self,
        root: Path,
        store: Store,
        settings: Settings,
        eye: Eye,
        relooking: Relooking,
        condition: Condition,
        *,
        now: Callable[[], str],
    ) -> None:
        self._learns = settings.training.enabled
        self._eye = eye
        self._relooking = relooking
        self._condition = condition
        self.serving = Serving(root, store, settings.inference, now=now, served=self._name_with)

    def open(self) -> None:
        """Load the model that serves, unless it is in use already."""
        try:
            self.serving.refresh()
        except ModelOfAnotherSpotter:
            self._condition.trouble("model", f"{OUTGROWN} {self._how_names_come_back()}")
        except (ModelError, TransientError) as error:
            self.tell_of(error)
        else:
            self._condition.fine("model")

    def tell_of(self, error: Exception) -> None:
        """A model is in trouble; who names the birds all the same."""
        self._condition.trouble("model", f"birds are named by {self._in_words()}: {error}")

    def may_learn(self) -> bool:
        """Whether what people named can be learned from, wholly: this eye has seen all of it."""
        return self._relooking.has_seen_labelled(self.serving.spotter_id)

    def _how_names_come_back(self) -> str:
        if not self._learns:
            return "(`birdwatchd train` makes a new one)"
        if self.may_learn():
            return "and a new one is made by itself when your names are enough for it"
        return "and a new one is made by itself when the photos that you named have been looked at again"

    def _in_words(self) -> str:
        examiner = self._eye.examiner
        classifier = examiner.classifier if examiner else None
        return "nobody" if classifier is None else f"model {classifier.model_id} still"

    def _name_with(self, classifier: Classifier) -> None:
        self._eye.name_with(classifier)
        for part in ("model", "model taken back", "more waits"):  # said of the one before
            self._condition.fine(part)
