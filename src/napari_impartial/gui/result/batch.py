"""Predict many planes and images, one after the other, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from napari.utils import cancelable_progress
from qtpy.QtCore import QObject, Signal

from napari_impartial.core.data.image import Image
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.prediction.segment import Objects
from napari_impartial.gui import notifications
from napari_impartial.gui.background import Job, Latest
from napari_impartial.gui.layers import Role
from napari_impartial.gui.layers.image_source import read_named
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.review.review import ReviewControl
from napari_impartial.io.memory_mapped import Scratch
from napari_impartial.session.misfits import fits
from napari_impartial.session.plane import Plane, PlaneKey
from napari_impartial.session.session import Activity
from napari_impartial.worker import messages
from napari_impartial.worker.client import TrainingProcess

from .cut import Cut
from .prediction import to_predict


@dataclass(frozen=True)
class BatchProgress:
    """Progress of a batch.

    Attributes
    ----------
    done, total : int
        Planes.
    name : str
        Of the plane at work.
    share : float
        Of all pixels, that are done, 0 to 1: planes may be of very different sizes.
    """

    done: int
    total: int
    name: str
    share: float


# A plane that ends in one of these is left out, with the reason, and the next one's turn comes.
_LEFT_OUT = (ImPartialError, OSError, MemoryError)


@dataclass(frozen=True)
class _Failure:
    """Reason for leaving a plane out."""

    error: BaseException

    @property
    def reason(self) -> str:
        return str(self.error) or "there is not enough memory"


class BatchControl(QObject):
    """Predicts a list of planes; the results of each appear as its layers.

    Of each plane the pixels are read when its turn comes, on a thread, and let go of
    afterwards; the predictions are kept in files (:class:`Scratch`).

    Signals
    -------
    progressed
        :class:`BatchProgress`.
    ended
        What became of it, in a sentence; whatever happens.
    """

    progressed = Signal(object)
    ended = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        process: TrainingProcess,
        review: ReviewControl,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._session = workspace.session
        self._process = process
        self._scratch = workspace.scratch
        self._review = review
        self._waiting: list[PlaneKey] = []
        self._total = self._pixels = 0
        self._failed: list[str] = []
        self._done = 0
        self._cancelled = False
        self._job: Job | None = None
        self._working = Latest(self)
        self._working.done.connect(self._on_returned)
        self._working.failed.connect(self._on_errored)
        self._then: Any = None
        self._target: PlaneKey = (0, ())
        self._bar: Any = None

    @property
    def running(self) -> bool:
        """Return whether a batch is under way."""
        return self._bar is not None

    def all_planes(self) -> list[PlaneKey]:
        """Return all planes of all images; slides are predicted otherwise."""
        sources = [(key, self._workspace.sources[key]) for key in self._session.images]
        return [
            (key, plane)
            for key, source in sources
            if not source.is_slide
            for plane in np.ndindex(*source.stack_shape)
        ]

    def start(self, targets: Sequence[PlaneKey]) -> None:
        """Predict these planes; images that do not fit the model are named and left out."""
        if self._session.busy or not targets:
            return
        misfits = {
            key: missing
            for key in dict.fromkeys(key for key, _ in targets)
            if (missing := self._session.missing_for_prediction(key))
        }
        for missing in dict.fromkeys(misfits.values()):
            notifications.show_warning(missing)
        self._waiting = [target for target in targets if target[0] not in misfits]
        self._total, self._done, self._failed = len(self._waiting), 0, []
        self._cancelled = False
        self._pixels = self._pixels_of(self._waiting)
        if not self._waiting:
            return
        # First of all: making the bar runs the event loop, and a second click waits there.
        self._session.activity = Activity.PREDICTING
        self._bar = cancelable_progress(total=self._total, desc="ImPartial: predicting all")
        self._session.changed.emit()
        self._next()

    def cancel(self) -> None:
        """Give the rest up; what is done stays."""
        if not self.running:
            return
        self._cancelled = True
        self._waiting = []
        if self._job is not None:
            self._job.send(messages.Cancel)

    def _next(self) -> None:
        if self._bar.is_canceled:
            self._cancelled = True
        while self._waiting and self._waiting[0][0] not in self._session.images:
            self._waiting.pop(0)  # the image has been removed meanwhile
        if self._cancelled or not self._waiting:
            self._end()
            return
        target = self._waiting.pop(0)
        self._tell(target, 0.0)
        card = self._session.card
        assert card is not None
        source = self._workspace.sources[target[0]]
        read = partial(read_named, source, target[1], card.channel_names)
        self._run(read, partial(self._predict, target), target)

    def _run(self, function: Any, then: Any, target: PlaneKey) -> None:
        """Run a function on a thread; its result goes to `then`."""

        def safe() -> Any:
            try:
                return function()
            except _LEFT_OUT as error:
                # In something else, since an exception that is returned is raised.
                return _Failure(error)

        self._then, self._target = then, target
        self._working.request(safe)

    def _on_returned(self, result: Any) -> None:
        if isinstance(result, _Failure):
            self._skip(self._target, result.reason)
        else:
            self._then(result)

    def _on_errored(self, error: Exception) -> None:
        # A fault of the program: the rest is given up.
        self._waiting = []
        self._skip(self._target, f"{type(error).__name__}: {error}")

    def _predict(self, target: PlaneKey, image: Image) -> None:
        if self._cancelled or target[0] not in self._session.images:
            self._next()
            return
        make = to_predict(self._session, image)
        self._job = Job(self._process, make, "ImPartial: predicting", self, shown=False)
        self._job.progressed.connect(partial(self._tell, target))
        self._job.ended.connect(partial(self._on_predicted, target, image.name))

    def _on_predicted(self, target: PlaneKey, name: str, reply: messages.Final) -> None:
        self._job = None
        if isinstance(reply, messages.Predicted):
            record = self._session.images.get(target[0])
            known = Plane() if record is None else copy(record.plane(target[1]))
            config = self._session.instance_config
            cut = Cut(target, name, known, reply.prediction, config)
            self._run(partial(_in_files, cut, self._scratch), self._keep, target)
        elif isinstance(reply, messages.Failed):
            if reply.kind == "input":
                self._skip(target, reply.message)
                return
            self._waiting = []
            notifications.show_failure(reply, "predicting")
            self._end()

    def _keep(self, cut: Cut) -> None:
        try:
            self._show(cut)
        except _LEFT_OUT as error:  # layers of large stacks lie in files, too
            self._skip(cut.place, _Failure(error).reason)
            return
        self._done += 1
        self._bar.update(1)
        self._next()

    def _show(self, cut: Cut) -> None:
        key, plane = cut.place
        if key not in self._session.images:
            return
        source, results = self._workspace.sources[key], self._workspace.results
        if not fits(source, plane, cut.prediction.foreground):
            raise ImPartialError("it was changed while it was being predicted")
        self._workspace.forget_misfits(key)
        results.write(source, plane, Role.PROBABILITY, cut.prediction.foreground)
        self._session.set_prediction(key, plane, cut.prediction)
        self._review.collect(key, plane)
        known = self._session.images[key].plane(plane)
        cut.give_to(known)
        results.write(source, plane, Role.UNCERTAINTY, known.heat)
        assert known.instances is not None
        self._review.show(key, plane, known.instances)
        self._session.result_changed.emit(key)

    def _skip(self, target: PlaneKey, reason: str) -> None:
        self._failed.append(f"{self._workspace.sources[target[0]].name}: {reason}")
        self._next()

    def _tell(self, target: PlaneKey, fraction: float) -> None:
        if self._bar.is_canceled:
            self.cancel()
        name = self._workspace.sources[target[0]].plane_name(target[1])
        left = self._pixels_of(self._waiting) + (1 - fraction) * self._pixels_of([target])
        share = 1 - left / self._pixels
        self.progressed.emit(BatchProgress(self._done, self._total, name, share))

    def _pixels_of(self, targets: Sequence[PlaneKey]) -> int:
        return sum(math.prod(self._workspace.sources[key].plane_shape) for key, _ in targets)

    def _end(self) -> None:
        self._bar.close()
        self._bar = None
        self._session.activity = Activity.IDLE
        text = f"Predicted {self._done} of {self._total}."
        if self._cancelled:
            text += " Cancelled; what was done stays."
        if self._failed:
            more = f" (and {len(self._failed) - 1} more)" if len(self._failed) > 1 else ""
            text += f" Left out: {self._failed[0]}{more}"
            notifications.show_warning(text)
        self.ended.emit(text)


def _in_files(cut: Cut, scratch: Scratch) -> Cut:
    """Cut a prediction, on a thread; what is kept lies in files."""
    done = cut.work_out()
    objects = done.objects
    assert objects is not None
    whole = scratch.copy(objects.cut)
    labels = whole if objects.labels is objects.cut else scratch.copy(objects.labels)
    doubt = None if objects.doubt is None else scratch.copy(objects.doubt)
    prediction = scratch.keep(cut.prediction)
    return replace(done, prediction=prediction, objects=Objects(whole, labels, objects.n, doubt))
