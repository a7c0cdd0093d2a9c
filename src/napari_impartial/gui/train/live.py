"""Training that follows the strokes, while it is switched on."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Signal

from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.timers import single_shot
from napari_impartial.session.session import Activity

from .train_panel import TrainingChoice
from .training import TrainingControl

# Nothing new to learn from for so long: the machine is left alone until the next stroke.
REST_AFTER_MS = 60_000


class LiveControl(QObject):
    """Starts a training without a budget as soon as one can, and rests where nothing is new.

    Parameters
    ----------
    workspace : Workspace
    training : TrainingControl
    choice : callable
        Returns what is chosen in the step of training.
    parent : QObject, optional

    Signals
    -------
    changed
        It was switched on or off, or rests, or goes on.
    """

    changed = Signal()

    def __init__(
        self,
        workspace: Workspace,
        training: TrainingControl,
        choice: Callable[[], TrainingChoice],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = workspace.session
        self._training, self._choice = training, choice
        self.on = False
        # Whether it was we who held training, since nothing is new.
        self.resting = False
        self._then: Callable[[], None] | None = None
        self._idle = single_shot(self, REST_AFTER_MS, self._rest)
        self._soon = single_shot(self, 0, self._begin)
        workspace.painted.connect(self._wake)
        workspace.plane_changed.connect(self._wake)
        self._session.changed.connect(self._look)
        training.finished.connect(self._on_end)
        training.failed.connect(self._on_failure)

    def let_go(self) -> None:
        """Stop listening to the session; the dock is going."""
        self.on = False
        self._idle.stop()
        self._soon.stop()
        self._session.changed.disconnect(self._look)

    def switch(self, on: bool) -> None:
        """Follow the strokes from now on, or no more; what was learned is kept."""
        if on == self.on:
            return
        self.on = on
        if on:
            self._look()
        else:
            self._soon.stop()
            self._idle.stop()
            if self._training.live:
                self._training.stop()
        self.changed.emit()

    def finish(self, then: Callable[[], None]) -> bool:
        """Switch off, and do something once what was learned is kept; False if it is off."""
        if not self._training.live:
            self.switch(False)
            return False
        self._then = then
        self.switch(False)
        return True

    def take_over(self) -> bool:
        """Do what was to be done once the training that followed the strokes is over."""
        then, self._then = self._then, None
        if then is not None:
            then()
        return then is not None

    def _look(self) -> None:
        """Begin as soon as there is something to learn from and nothing else is going on."""
        if self.on and not self._session.busy and not self._session.missing_for_training():
            # Not in the midst of what the session is telling everybody.
            self._soon.start()

    def _begin(self) -> None:
        if self.on and not self._session.busy and not self._session.missing_for_training():
            self.resting = False
            self._training.train_live(self._choice())
            if not self._training.live:
                # It has been said why; nobody wants to hear it again and again.
                self.switch(False)
            self._idle.start()

    def _wake(self) -> None:
        if not (self.on and self._training.live):
            return
        self._idle.start()
        if self.resting:
            self.resting = False
            self._training.pause(False)
            self.changed.emit()

    def _rest(self) -> None:
        if self.on and self._training.live and self._session.activity is Activity.TRAINING:
            self.resting = True
            self._training.pause(True)
            self.changed.emit()

    def _on_failure(self) -> None:
        """Be off, rather than fail again and again."""
        self._soon.stop()
        self._on_end()

    def _on_end(self, _: object = None) -> None:
        """Be off once training is over."""
        self.resting = False
        if self.on and not self._soon.isActive():
            self.on = False
            self._idle.stop()
            self.changed.emit()
