"""Which model serves: loaded and proved before anything is changed, exchanged as a whole between two looks, taken back on request.

The one row of `models` with `promoted_at` and without `retired_at` is the only truth. A file that cannot be used leaves the model in
use where it is.
"""

import json
import logging
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from birdwatchd.core.errors import DiskTrouble, ModelError, ModelMissing, Refused
from birdwatchd.core.settings import Inference
from birdwatchd.edges.store import Request, Row, Store
from birdwatchd.edges.vision import Classifier, read_card

log = logging.getLogger(__name__)

Work = Generator[dict[str, Any], None, dict[str, Any]]


def load_serving(store: Store, root: Path, spotter_id: str, inference: Inference) -> Classifier | None:
    """The model in use, proved; None while there is none.

    Args:
        inference: what may compute.

    Raises:
        ModelError: it cannot be used.
    """
    row = store.models.serving()
    return None if row is None else _load(row, root, spotter_id, inference)


def _load(row: Row, root: Path, spotter_id: str, inference: Inference) -> Classifier:
    return Classifier.load(
        root / row["path"],
        model_id=row["id"],
        spotter_id=spotter_id,
        providers=inference.providers,
        threads=inference.threads,
    )


class Serving:
    """The model in use. Only for the holder of the bird folder's lock.

    Args:
        root: the bird folder.
        inference: what may compute.
        now: the wall clock, ISO-8601 UTC.
        served: is told the classifier that serves from now on.

    Attributes:
        spotter_id: whose embeddings the models read; None without a spotter: then no model can be proved.
        model: in use; None while there is none.
    """

    def __init__(
        self,
        root: Path,
        store: Store,
        inference: Inference,
        *,
        now: Callable[[], str],
        served: Callable[[Classifier], None],
    ) -> None:
        self._root = root
        self._inference = inference
        self._store = store
        self._now = now
        self._served = served
        self.spotter_id: str | None = None
        self.model: Classifier | None = None

    def refresh(self) -> None:
        """Load what the log says serves, unless it is in use already; a bad file leaves the old one in use.

        Raises:
            ModelError: it cannot be used.
        """
        row = self._store.models.serving()
        if row is None or self.spotter_id is None or (self.model is not None and self.model.model_id == row["id"]):
            return
        self._use(_load(row, self._root, self.spotter_id, self._inference))

    def promote(self, request: Request) -> Work:
        """Let an older model serve."""
        yield from ()
        model_id = int(request.arguments["model_id"])
        row = self._store.models.get(model_id)
        if row is None:
            raise Refused(f"there is no model {model_id}", hint="see `birdwatchd models list`")
        return self._promote(row)

    def roll_back(self, request: Request) -> Work:
        """Let the model serve that served before; done again after a crash, it is the same one, and not the one after all."""
        yield from ()
        if "model_id" in request.arguments:
            row = self._store.models.get(int(request.arguments["model_id"]))
        else:
            row = self._store.models.before()
        if row is None:
            raise Refused("no other model has named birds before", hint="see `birdwatchd models list`")
        self._store.requests.make_definite(request.id, request.arguments | {"model_id": row["id"]})
        return self._promote(row)

    def load(self, row: Row) -> Classifier:
        """A model of the shelf, proved; it does not serve by that.

        Raises:
            ModelError: it cannot be used.
        """
        if self.spotter_id is None:
            raise ModelError("there is no spotter, so no model can be proved", hint="run `birdwatchd doctor`")
        return _load(row, self._root, self.spotter_id, self._inference)

    def is_of_another_spotter(self, row: Row) -> bool:
        """Whether a model of the shelf is whole, but reads what another spotter saw, so that it cannot serve."""
        try:
            return read_card(self._root / row["path"])[1].spotter_id != self.spotter_id
        except (ModelError, DiskTrouble):  # told by whoever wants to use it
            return False

    def take_back(self, before: Classifier, why: str) -> None:
        """Let the model before serve again, because answers prove the one in use to be worse.

        Raises:
            ValueError: none is in use.
        """
        if self.model is None:
            raise ValueError("no model is in use")
        self._store.models.take_back(self.model.model_id, before=before.model_id, why=why, at=self._now())
        self._use(before)

    def _promote(self, row: Row) -> dict[str, Any]:
        if self.spotter_id is None:
            raise ModelError("there is no spotter, so no model can be proved", hint="run `birdwatchd doctor`")
        try:
            model = self.load(row)  # proved before anything is changed
        except ModelMissing as error:
            raise Refused(
                f"model {row['id']} cannot be used: its file is gone; only the newest models keep theirs",
                hint="nothing was changed; `birdwatchd models list` shows which files are gone, `birdwatchd train` makes a new model",
            ) from error
        except (
            ModelError,
            DiskTrouble,
        ) as error:  # their own advice is for the model in use, perhaps just the one that was tried
            raise Refused(
                f"model {row['id']} cannot be used: {error.message}",
                hint="nothing was changed; `birdwatchd models list` shows others, `birdwatchd train` makes a new one",
            ) from error
        self._store.models.promote(row["id"], at=self._now())
        self._use(model)
        return {"model_id": row["id"], "labels": json.loads(row["labels"])}

    def _use(self, model: Classifier) -> None:
        self.model = model
        self._served(model)
        log.info("model %d names birds now: %s", model.model_id, ", ".join(model.card.labels))
