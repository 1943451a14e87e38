"""What is learned, and judged and looked at anew by what was learned: whose turn it is between photos, a step at a time."""

import json
from collections.abc import Callable
from typing import Any

from birdwatchd.condition import Condition
from birdwatchd.core.errors import ModelError
from birdwatchd.core.settings import Settings
from birdwatchd.edges.files import Files
from birdwatchd.edges.store import Request, Store
from birdwatchd.eye import Eye
from birdwatchd.mind import Mind
from birdwatchd.previewing import Previewing
from birdwatchd.reconsidering import Reconsidering
from birdwatchd.rejudging import Rejudging
from birdwatchd.relooking import Relooking
from birdwatchd.reporting import Reporting
from birdwatchd.retraining import Retraining
from birdwatchd.saying import Work
from birdwatchd.tidying import Tidying
from birdwatchd.visiting import Visiting


class Learning:
    """Asks each of its verbs in turn; only for the holder of the bird folder's lock.

    Args:
        clock: seconds, monotonic.
        now: the wall clock, ISO-8601 UTC.
    """

    def __init__(
        self,
        files: Files,
        store: Store,
        settings: Settings,
        eye: Eye,
        condition: Condition,
        *,
        clock: Callable[[], float],
        now: Callable[[], str],
    ) -> None:
        self._eye = eye
        self._condition = condition
        self.rejudging = Rejudging(files, store, settings, now=now)
        self.relooking = Relooking(files, store, news=self.rejudging.begin_anew)
        self.mind = Mind(files.root, store, settings, eye, self.relooking, condition, now=now)
        self.serving = self.mind.serving
        self.retraining = Retraining(files, store, settings, self.serving, clock=clock, now=now)
        self._previewing = Previewing(files, store, settings, self.serving, clock=clock)
        self.visiting = Visiting(files, store, settings, clock=clock, now=now)
        self.reconsidering = Reconsidering(files, store, self.serving, now=now)
        self.reporting = Reporting(files, store, clock=clock)
        self.tidying = Tidying(files, store)

    # -- by itself

    def step(self) -> bool:
        """A step of judging photos again, of a visit, of the training, or of its page; whether anything was done.

        All wait while disk or log are in trouble.
        """
        if self._condition.is_hindered:
            return False
        with self._condition.survives("training"):
            try:
                looked = self._look_again()
                self._condition.doing = self.relooking.in_words()
                return (
                    self.rejudging.step(self.serving.model, self._eye.examiner)
                    or self._judge_visits()
                    or self._reconsider()
                    or self.retraining.step(may_begin=self.mind.may_learn())
                    or self.reporting.step()
                    or looked
                )
            except ModelError as error:
                self.mind.tell_of(error)
        return False

    def _look_again(self) -> bool:
        """Older photos, after the spotter was exchanged; when the spotter fails at it, it is opened anew like at any other photo."""
        with self._eye.trusted():
            return self.relooking.step(self._eye.examiner)
        return False

    def _judge_visits(self) -> bool:
        """A slice of it; what hinders it hinders nothing else."""
        with self._condition.survives("visits"):
            return self.visiting.step(self.serving.model)
        return False

    def _reconsider(self) -> bool:
        """A slice of the look at the model in use; not while a training measures itself by that model."""
        if self.retraining.under_way() is not None:
            return False
        before = self.serving.model
        worked = self.reconsidering.step(self._eye.examiner)
        if self.serving.model is not before:
            self._tell_of_the_change()
        return worked

    def _tell_of_the_change(self) -> None:
        """What has changed with the model in use that nobody asked for."""
        self._condition.tell("model taken back", self.reconsidering.taken_back())
        self._condition.tell("more waits", self.reconsidering.warning())

    # -- by the timetable

    def fine_tune(self) -> None:
        """See whether the long training is to begin."""
        if not self._condition.folder_is_away and self.mind.may_learn():
            with self._condition.survives("training"):
                self.retraining.fine_tune()

    def reconsider(self) -> None:
        """Begin a look at the model in use."""
        with self._condition.survives("log"):
            self.reconsidering.begin()
            self._tell_of_the_change()

    def tidy(self) -> None:
        """Clear away what learning left behind; not while a page is made, which reads a training's folder."""
        if not self._condition.folder_is_away and not self.reporting.under_way:
            with self._condition.survives("old models"):
                self.tidying.tidy()

    # -- by hand

    def train(self, request: Request) -> Work:
        """Train now; then what waits gets its names before anybody is told that it is done."""
        while (examiner := self._eye.examiner) is not None and self.relooking.has_labelled_left(examiner):
            self.relooking.step(examiner)
            yield {"what": self.relooking.in_words() or ""}
        if request.arguments.get("dry_run"):
            return (yield from self._previewing.preview())
        if request.arguments.get("show_batch"):
            return (yield from self._previewing.show_batch())
        result = yield from self.retraining.train(request)
        while self.rejudging.step(self.serving.model, self._eye.examiner):
            yield {}
        page = None
        # What was learned stays learned, also when nobody can read about it yet.
        with self._condition.survives("training"):
            page = yield from self.reporting.make(result["training_id"])
        return result | {"report": page}

    def refile(self, request: Request) -> Work:
        """Have all that the machine has put somewhere judged anew."""
        dry_run = bool(request.arguments.get("dry_run"))
        return self.rejudging.refile(lambda: self.serving.model, self._eye.examiner, dry_run=dry_run)

    def end_visits(self, *, alive: Callable[[], None]) -> None:
        """Look at all visits there are, for whoever does not live to see whether more photos come.

        Args:
            alive: is called after each.
        """
        if self._condition.folder_is_away:
            return
        with self._condition.survives("visits"):
            while self.visiting.step(self.serving.model, at_once=True):
                alive()

    def facts(self) -> dict[str, Any]:
        """For `status`."""
        under_way = self.retraining.under_way()
        return {"training": None if under_way is None else json.dumps(under_way)}
