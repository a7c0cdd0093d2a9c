"""Looks at a field in view with the weights of a running training."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_impartial.core.config import PredictionConfig
from napari_impartial.core.data.boxes import Box
from napari_impartial.core.instances.cutter import to_instances
from napari_impartial.core.instances.strokes import Strokes, find_strokes
from napari_impartial.core.prediction.predict import predict_normalized

from .messages import GuestImage, Preview, Previewed, TrainingProgress
from .preview_budget import Look, PreviewBudget
from .trainer import PASSING_CALIBRATION_PATCHES, Trainer

# Predicted round a field and cut off again: next to an edge that is none of the image, one
# pixel in twenty would change sides.
_MARGIN_PX = 16
# Normalization statistics that are no more steps old do for a quick look.
_QUICK_CALIBRATION_STEPS = 60


class Previewer:
    """Answers one :class:`.Preview` at a time, when a training has the time for it.

    Parameters
    ----------
    trainer
        The training; looks are at its averaged weights.
    """

    def __init__(self, trainer: Trainer) -> None:
        config = trainer.config
        self.budget = PreviewBudget(
            config.batch_size * config.patch_size**2,
            whole_s=math.inf if config.max_steps else config.time_budget_s,
        )
        self._trainer = trainer
        self._wish: Preview | None = None
        # The number of an image that is not learned from, and its picture.
        self._guest: tuple[int, npt.NDArray[np.float32]] | None = None

    def ask(self, request: Preview | None) -> None:
        """Take a wish in, in the place of the last one; None: nothing is wished for any more."""
        # Nothing can be said of an image that is not here.
        here = request is not None and self._picture(request.image_index) is not None
        self._wish = request if here else None

    def set_guest(self, guest: GuestImage) -> None:
        """Take an image in to be looked at; it takes the place of the last one."""
        trainer = self._trainer
        if guest.image.channel_names != trainer.images[0].channel_names:
            return
        began = trainer.clock.seconds()
        self._guest = guest.image_index, trainer.prepare(guest.image)
        self.ask(self._wish)
        self.budget.spend(trainer.clock.seconds() - began)

    def answer(self) -> Previewed | None:
        """Do what was asked for, as much of it as there is time for; None for nothing."""
        request, trainer = self._wish, self._trainer
        look = None if request is None else self._look(request)
        if request is None or look is None:
            return None
        self._wish = None
        began, step_s = trainer.clock.seconds(), trainer.step_s()
        if not (look.quick and self._recently_calibrated()):
            trainer.calibrate(PASSING_CALIBRATION_PATCHES)
        if look.quick:
            # Statistics are taken now and then, and are no sign of dear looks to come.
            self.budget.spend(trainer.clock.seconds() - began)
            began = trainer.clock.seconds()
        previewed = self._predict(request, look)
        took_s = trainer.clock.seconds() - began
        y0, x0, y1, x1 = look.box
        self.budget.add((y1 - y0) * (x1 - x0), took_s, step_s, look.quick)
        return previewed

    def progress(self) -> TrainingProgress:
        """Return the state of the training now."""
        trainer, wish = self._trainer, self._wish
        progress = trainer.progress()
        wait_s = math.inf
        if wish is not None and wish.new_field:
            wait_s = self.budget.wait_s(wish.box, progress.elapsed_s, trainer.step_s())
        return replace(progress, preview_s=self.budget.spent_s, preview_wait_s=wait_s)

    def _look(self, request: Preview) -> Look | None:
        if not request.within_share:
            return Look(request.box, request.quick)
        elapsed_s, step_s = self._trainer.clock.seconds(), self._trainer.step_s()
        return self.budget.look(
            request.box, elapsed_s, step_s, new=request.new_field, quick=request.quick
        )

    def _predict(self, request: Preview, look: Look) -> Previewed:
        trainer, (y0, x0, y1, x1) = self._trainer, look.box
        image = self._picture(request.image_index)
        assert image is not None, "or it could not have been asked for"
        config = PredictionConfig(
            samples=0 if look.quick else request.samples,
            second_opinion=not look.quick and trainer.looks_again,
            precision=trainer.config.precision,
        )
        top, left = max(0, y0 - _MARGIN_PX), max(0, x0 - _MARGIN_PX)
        field = image[:, top : y1 + _MARGIN_PX, left : x1 + _MARGIN_PX]
        prediction = predict_normalized(trainer.average.network, field, config).crop(
            (y0 - top, x0 - left, y1 - top, x1 - left)
        )
        cut = None
        if request.cut is not None:
            drawn = self._scribbles(request.image_index, look.box)
            cut = to_instances(prediction, request.cut, drawn)
        return Previewed(request, look.box, prediction, cut)

    def _scribbles(self, image_index: int, box: Box) -> Strokes | None:
        """Return the strokes in a field of an image that is learned from."""
        learned, (y0, x0, y1, x1) = self._trainer.scribbles, box
        if not 0 <= image_index < len(learned):
            return None
        return find_strokes(learned[image_index].labels[y0:y1, x0:x1])

    def _picture(self, image_index: int) -> npt.NDArray[np.float32] | None:
        learned = self._trainer.normalized
        if 0 <= image_index < len(learned):
            return learned[image_index]
        if self._guest is not None and self._guest[0] == image_index:
            return self._guest[1]
        return None

    def _recently_calibrated(self) -> bool:
        """Return whether the statistics are good enough for a quick look at the averaged network.

        One pixel in a hundred changed sides with those of 15 to 60 steps before.
        """
        then, now = self._trainer.calibrated_at, self._trainer.steps
        return then >= 0 and now - then <= min(_QUICK_CALIBRATION_STEPS, now // 4)
