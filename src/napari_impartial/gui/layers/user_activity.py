"""Detection of the user's activity in the picture, so that background work can give way."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import napari
from qtpy.QtCore import QObject, Signal

from napari_impartial.gui.timers import single_shot

# A hand that moves tells of itself many times a second; between two strokes it is still for longer.
_STILL_MS = 250
# A hand that paints stroke after stroke stands still for less than that in between.
_REST_MS = 1500


class Hand(QObject):
    """Watches for painting, panning, zooming and whatever else it is told of.

    Signals
    -------
    moving_changed
        Whether the hand moves, from now on: it does not between two strokes.
    busy_changed
        Whether the hand is busy, from now on: it is between two strokes.
    """

    moving_changed = Signal(bool)
    busy_changed = Signal(bool)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._still = single_shot(self, _STILL_MS, partial(self.moving_changed.emit, False))
        self._rest = single_shot(self, _REST_MS, partial(self.busy_changed.emit, False))
        viewer.mouse_drag_callbacks.append(self._on_drag)
        viewer.mouse_wheel_callbacks.append(self._on_wheel)

    def note(self, _: object = None) -> None:
        """Take note of something that the user does."""
        for timer, changed in ((self._still, self.moving_changed), (self._rest, self.busy_changed)):
            was_running = timer.isActive()
            timer.start()
            if not was_running:
                changed.emit(True)

    def let_go(self) -> None:
        """Watch no more."""
        self._still.stop()
        self._rest.stop()
        for callbacks, ours in (
            (self._viewer.mouse_drag_callbacks, self._on_drag),
            (self._viewer.mouse_wheel_callbacks, self._on_wheel),
        ):
            if ours in callbacks:
                callbacks.remove(ours)

    def _on_drag(self, _: Any, event: Any) -> Iterator[None]:
        self.note()
        yield
        while event.type == "mouse_move":
            self.note()
            yield

    def _on_wheel(self, *_: Any) -> None:
        self.note()
