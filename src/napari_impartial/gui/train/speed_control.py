"""Finds out how fast this machine is, so that times can be told."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, Signal
from superqt.utils import create_worker

from napari_impartial.core.training.speed import Pace, Speed, duration, seconds_left
from napari_impartial.gui.background import supervise
from napari_impartial.session.session import Session
from napari_impartial.worker import messages
from napari_impartial.worker.client import TrainingProcess


class SpeedControl(QObject):
    """Has the training process measure a device, while nobody needs it, and learns from work.

    A training or prediction that is asked for meanwhile goes first, and the measurement
    is made when that is over. What was measured before is taken from the user's cache
    folder. It is a first estimate, of an image made up for it on a machine that has nothing
    else to do: trainings and predictions that were made count for more.

    Signals
    -------
    measured
        :class:`Speed` of the device that was asked for; again when more is known of it.
    """

    measured = Signal(object)

    def __init__(
        self, session: Session, process: TrainingProcess, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._process = session, process
        self._wanted: str | None = None
        self._worker: Any = None
        self._known: dict[str, Speed] = {}
        # By device and preset, in this session.
        self._trained: dict[tuple[str, str], float] = {}
        self._predicted: dict[tuple[str, str], Pace] = {}
        self.speed: Speed | None = None
        session.changed.connect(self._go_on)

    def measure(self, device: str) -> None:
        """Find out the speed of a device, unless it is known."""
        if device in self._known:
            self._tell(device)
        else:
            self._wanted = device
            self._go_on()

    def prediction_s(self) -> float | None:
        """Return the seconds that predicting the plane in view takes, if that is known."""
        card, plane = self._session.card, self._session.plane
        if self.speed is None or card is None or plane is None or plane.image is None:
            return None
        height, width = plane.image.shape
        return self.speed.prediction_s(card.training.preset, height * width)

    def note_training(self, device: str, preset: str, steps_a_second: float) -> None:
        """Learn from a training how fast trainings are."""
        self._trained[device, preset] = steps_a_second
        self._tell(device)

    def note_prediction(self, pixels: int, seconds: float) -> None:
        """Learn from a prediction with the current model how fast predictions are."""
        card, device = self._session.card, self._session.device
        if card is not None and seconds > 0:
            kind = device, card.training.preset
            self._predicted[kind] = self._predicted.get(kind, Pace()).add(pixels, seconds)
            self._tell(device)

    def left(self, share: float, elapsed_s: float, pixels: int) -> str:
        """Say how long predicting so many pixels, a share of which is done, will go on."""
        card, expected_s = self._session.card, None
        if self.speed is not None and card is not None:
            expected_s = self.speed.prediction_s(card.training.preset, pixels)
        left_s = seconds_left(elapsed_s, share, expected_s)
        return "" if left_s is None else f"about {duration(max(1.0, left_s))} left"

    def predicting(self, share: float, elapsed_s: float) -> str:
        """Say how long the prediction of the plane in view will go on."""
        plane = self._session.plane
        pixels = 0 if plane is None or plane.image is None else math.prod(plane.image.shape)
        left = self.left(share, elapsed_s, pixels) if pixels else ""
        return f"Predicting: {left}" if left else "Predicting..."

    def _go_on(self) -> None:
        if self._wanted is None or self._worker is not None or self._session.busy:
            return
        device = self._wanted
        make = partial(messages.Measure, device=device)
        self._worker = create_worker(supervise, self._process.run, make, gives_way=True)
        self._worker.returned.connect(partial(self._on_end, device))
        self._worker.finished.connect(self._on_finished)
        self._worker.start()

    def _on_end(self, device: str, reply: messages.Final) -> None:
        if isinstance(reply, messages.Measured):
            self._known[device] = reply.speed
            if self._wanted == device:
                self._wanted = None
                self._tell(device)
        elif not (isinstance(reply, messages.Failed) and reply.kind == "cancelled"):
            # Times are a help, not a need: nobody is bothered with why there are none.
            self._wanted = None

    def _on_finished(self) -> None:
        self._worker = None
        self._go_on()

    def _tell(self, device: str) -> None:
        """Put together what is known of a device, and tell it."""
        known = self._known.get(device)
        speed = known or Speed(device, {}, {})
        trained = {p: rate for (d, p), rate in self._trained.items() if d == device}
        predicted = {p: pace.rate for (d, p), pace in self._predicted.items() if d == device}
        self.speed = replace(speed, trained={**speed.trained, **trained}, predicted=predicted)
        if known is not None:
            self.measured.emit(self.speed)
