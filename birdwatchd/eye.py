"""The eye: the spotter, opened when it can be and closed when it cannot be trusted, with the classifier that names what it sees."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from birdwatchd.condition import Condition
from birdwatchd.core.errors import ModelError
from birdwatchd.core.settings import Settings
from birdwatchd.edges.vision import Classifier, Spotter
from birdwatchd.examining import Examiner


class Looking(Protocol):
    """Whoever looks at photos, and can do without."""

    examiner: Examiner | None


class Eye:
    """The eye of one daemon, lent to those who look.

    Args:
        load: opens the spotter; raises ModelError if there is none that can be trusted.
        lent_to: get the examiner whenever it changes.

    Attributes:
        examiner: None while there is no spotter that can be trusted; then photos wait in the inbox.
    """

    def __init__(
        self, settings: Settings, load: Callable[[], Spotter], lent_to: Sequence[Looking], condition: Condition
    ) -> None:
        self._settings = settings
        self._load = load
        self._lent_to = lent_to
        self._condition = condition
        self._classifier: Classifier | None = None
        self.examiner: Examiner | None = None

    def open(self) -> Spotter | None:
        """Load the spotter if there is none yet; returns one that was loaded just now."""
        if self.examiner is not None:
            return None
        with self.trusted():
            spotter = self._load()
            examiner = Examiner.by_settings(self._settings, spotter)
            examiner.classifier = self._classifier
            self._lend(examiner)
            self._condition.fine("spotter")
            return spotter
        return None

    def close(self) -> None:
        """Photos wait; the next sweep opens the eye anew."""
        self._lend(None)

    @contextmanager
    def trusted(self) -> Iterator[None]:
        """When the spotter fails in here, the eye is closed, and that is told."""
        try:
            yield
        except ModelError as error:
            self.close()
            self._condition.trouble("spotter", f"photos wait in the inbox: {error}")

    def name_with(self, classifier: Classifier) -> None:
        """Let this one name what is seen from now on, also after the eye was closed and opened."""
        self._classifier = classifier
        if self.examiner is not None:
            self.examiner.classifier = classifier

    def _lend(self, examiner: Examiner | None) -> None:
        self.examiner = examiner
        for one in self._lent_to:
            one.examiner = examiner

    def facts(self) -> dict[str, Any]:
        """For `status`."""
        spotter = self.examiner.spotter if self.examiner else None
        return {
            "spotter_id": spotter.id if spotter else None,
            "provider": spotter.provider if spotter else None,
            "model_id": self._classifier.model_id if self._classifier else None,
        }
