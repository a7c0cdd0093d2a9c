"""Whether the user's hand is busy in the picture, so that training can give way to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import napari
from qtpy.QtCore import QObject, QTimer, Signal

# A hand that paints stroke after stroke rests for less than that in between.
_REST_MS = 1500


class Hand(QObject):
    """Watches for painting, panning, zooming and whatever else it is told of.

    Signals
    -------
    busy_changed
        Whether the hand is busy, from now on.
    """

    busy_changed = Signal(bool)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(lambda: self.busy_changed.emit(False))
        viewer.mouse_drag_callbacks.append(self._on_drag)
        viewer.mouse_wheel_callbacks.append(self._on_wheel)

    @property
    def busy(self) -> bool:
        """Whether the hand was busy a moment ago."""
        return self._rest.isActive()

    def note(self, _: object = None) -> None:
        """Take note of something that the user does."""
        was_busy = self.busy
        self._rest.start()
        if not was_busy:
            self.busy_changed.emit(True)

    def let_go(self) -> None:
        """Watch no more."""
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
