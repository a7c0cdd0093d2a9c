"""Keeps the window that the dock opens in on the screen."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_impartial.gui.timers import single_shot


class ScreenFit(QObject):
    """Limits a widget's window to the screen when it is first shown.

    napari's first window has the size that all its parts would like: with our dock beside
    its own, that is more than a laptop's screen is wide, and what is beyond the edge could
    not be reached. napari then keeps that size for its next starts.

    A window that fits, is maximized or lies across several screens is left as it is.
    """

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        # napari sets the size right after it has shown the window.
        self._soon = single_shot(self, 0, self._fit)
        widget.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Wait for the widget to be shown."""
        if watched is self._widget and event.type() == QEvent.Type.Show:
            watched.removeEventFilter(self)
            self._soon.start(0)
        return False

    def _fit(self) -> None:
        window = self._widget.window()
        screen = None if window is None else window.screen()
        if window is None or screen is None or window.isMaximized() or window.isFullScreen():
            return
        room, frame = screen.availableGeometry(), window.frameGeometry()
        everywhere = screen.availableVirtualGeometry()
        if everywhere.contains(frame) or (
            frame.width() <= room.width() and frame.height() <= room.height()
        ):
            return
        border = frame.size() - window.size()
        window.resize(window.size().boundedTo(room.size() - border))
        frame = window.frameGeometry()
        window.move(
            max(room.left(), min(frame.left(), room.right() + 1 - frame.width())),
            max(room.top(), min(frame.top(), room.bottom() + 1 - frame.height())),
        )
