"""Finds out once how fast this machine is, so that times can be told."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, Signal

from napari_impartial.core.speed import Speed, duration

from . import messages
from .jobs import supervise
from .process import TrainingProcess
from .session import Session


class SpeedControl(QObject):
    """Has the training process measure a device, while nobody needs it.

    A training or prediction that is asked for meanwhile goes first, and the measurement
    is made when that is over. What was measured before is taken from the user's cache
    folder.

    Signals
    -------
    measured
        :class:`Speed` of the device that was asked for.
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
        self.speed: Speed | None = None
        session.changed.connect(self._go_on)

    def measure(self, device: str) -> None:
        """Find out the speed of a device, unless it is known."""
        if device in self._known:
            self._tell(self._known[device])
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

    def predicting(self, share: float) -> str:
        """Say how long a prediction of which this share is done will go on."""
        whole = self.prediction_s()
        if whole is None:
            return "Predicting..."
        return f"Predicting: about {duration(max(1.0, whole * (1 - share)))} left"

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
                self._tell(reply.speed)
        elif not (isinstance(reply, messages.Failed) and reply.kind == "cancelled"):
            # Times are a help, not a need: nobody is bothered with why there are none.
            self._wanted = None

    def _on_finished(self) -> None:
        self._worker = None
        self._go_on()

    def _tell(self, speed: Speed) -> None:
        self.speed = speed
        self.measured.emit(speed)
