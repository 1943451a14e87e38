"""What a training would learn from, told or drawn before anything is begun."""

from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

from birdwatchd.core import shelving
from birdwatchd.core.errors import Refused
from birdwatchd.core.job import BATCH_FILE
from birdwatchd.core.settings import Settings
from birdwatchd.edges.errand import Errand
from birdwatchd.edges.files import Files, disk
from birdwatchd.edges.store import Elsewhere, Store
from birdwatchd.edges.trainer import write_down
from birdwatchd.lessons import Lessons
from birdwatchd.serving import Serving

BATCH_JOB = "show-batch"
"""Folder of what is drawn, beside the jobs, which have numbers."""

DRAWN_WITHIN_S = 300.0

Work = Generator[dict[str, Any], None, dict[str, Any]]


class Previewing:
    """Only for the holder of the bird folder's lock.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(
        self, files: Files, store: Store, settings: Settings, serving: Serving, *, clock: Callable[[], float]
    ) -> None:
        self._files = files
        self._min_labels = settings.training.min_labels_per_species
        self._lessons = Lessons(files, store, settings, serving, clock=clock)
        self._clock = clock

    def preview(self) -> Work:
        """What a training would learn from now, and what not; nothing is begun.

        Raises:
            Refused: too little.
            ModelError: there is no spotter.
        """
        self._lessons.refuse_without_spotter()
        dataset = yield from self._lessons.frozen()
        return {
            "photos": len(dataset.examples),
            "species": Counter(one.label for one in dataset.examples),
            "held_out": sum(one.held_out for one in dataset.examples),
            "too_few": dict(dataset.too_few),
            "doubtful_names": dict(dataset.doubtful_names),
            "straddling": len(dataset.straddling),
            "min_labels_per_species": self._min_labels,
        }

    def show_batch(self) -> Work:
        """Draw some photos as the long training would be taught them; tells where the picture is.

        Raises:
            Refused: too little, or it cannot be drawn.
            ModelError: there is no spotter.
            TransientError: not now.
        """
        self._lessons.refuse_without_spotter()
        dataset = yield from self._lessons.frozen()
        folder, picture = self._files.path(f"{shelving.JOBS}/{BATCH_JOB}"), f"{shelving.REPORTS}/{BATCH_FILE}"
        with disk.translated("cannot write down what to draw"):
            write_down(folder, self._lessons.job(0, "finetuned", dataset), dataset.embeddings)
            self._files.path(shelving.REPORTS).mkdir(exist_ok=True)
        errand = Errand("show-batch", str(folder), str(self._files.path(picture)), program="birdwatchd.training")
        try:
            until = self._clock() + DRAWN_WITHIN_S
            while (back := errand.look()) is None:
                if self._clock() > until:
                    raise Refused("drawing it took too long", hint="try again when this computer has less to do")
                yield Elsewhere()
        finally:
            errand.call_off()
        if not back.well:
            raise Refused(back.words, hint=back.hint)
        return {"path": picture}
