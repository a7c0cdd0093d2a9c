"""Marks in the picture the objects that are chosen in the table."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QOpenGLWidget, QWidget

from napari_impartial.core.data.boxes import Box
from napari_impartial.gui.layers.versions import camera_of, grid_of
from napari_impartial.session.session import PlaneIndex

from . import Source
from .camera import in_world

MOST_MARKS = 50
# Off the outline, which is to be judged.
MARGIN_PX = 4
# Seen on all images: bright on a dark rim.
_RIM, _LINE = QColor(0, 0, 0, 160), QColor("#ffff00")


class ObjectMarks(QWidget):
    """Thin boxes over the picture: no layer, so there is nothing to list, save or export.

    A sheet over napari's canvas that lets the mouse through. It is hidden, and costs nothing,
    where nothing is chosen.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self.setObjectName("object_marks")
        for attribute in (
            Qt.WidgetAttribute.WA_TransparentForMouseEvents,
            Qt.WidgetAttribute.WA_NoSystemBackground,
        ):
            self.setAttribute(attribute)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.hide()
        self._viewer = viewer
        self._gone = False
        self._shown: tuple[Source, PlaneIndex, Sequence[Box]] | None = None
        self._events = (
            camera_of(viewer).events,
            viewer.dims.events.ndisplay,
            viewer.dims.events.order,
            grid_of(viewer).events.enabled,
        )
        for event in self._events:
            event.connect(self._on_view)

    def let_go(self) -> None:
        """Take the sheet away; the dock is going."""
        for event in self._events:
            event.disconnect(self._on_view)
        self._gone = True
        self._shown = None
        # The window may have gone first, and the sheet with it.
        with suppress(RuntimeError):
            self.hide()
            self.setParent(None)
            self.deleteLater()

    def mark(self, dock: QWidget, source: Source, plane: PlaneIndex, boxes: Sequence[Box]) -> None:
        """Mark some boxes of the plane in view, in the window that a dock belongs to."""
        if self._gone:
            return
        canvas = _canvas(dock)
        if canvas is None or not boxes:
            self.clear()
            return
        if self.parentWidget() is not canvas:
            self.setParent(canvas)
            canvas.installEventFilter(self)
        self._shown = source, plane, list(boxes[:MOST_MARKS])
        self.setGeometry(canvas.rect())
        self.show()
        self.raise_()
        self.update()

    def clear(self) -> None:
        """Mark nothing."""
        if self._shown is not None:
            self._shown = None
            self.hide()

    def outlines(self) -> list[QPolygonF]:
        """Return the boxes as they lie in the window now; none in 3D or in a grid of layers."""
        viewer = self._viewer
        if self._shown is None or viewer.dims.ndisplay != 2 or grid_of(viewer).enabled:
            return []
        source, plane, boxes = self._shown
        camera = camera_of(viewer)
        signs = [1 if str(side) in ("down", "right") else -1 for side in camera.orientation2d]
        centre = np.array(camera.center[-2:])
        middle = np.array([self.height(), self.width()]) / 2
        outlines = []
        for y0, x0, y1, x1 in boxes:
            low, high = np.array([y0, x0]) - 0.5, np.array([y1, x1]) - 0.5
            corners = np.array([low, (low[0], high[1]), high, (high[0], low[1])])
            there = (in_world(viewer, source, plane, corners) - centre) * camera.zoom * signs
            there += MARGIN_PX * np.sign(there - there.mean(axis=0)) + middle
            outlines.append(QPolygonF([QPointF(float(x), float(y)) for y, x in there]))
        return outlines

    def paintEvent(self, event: Any) -> None:
        """Draw the boxes."""
        painter = QPainter(self)
        for colour, width in ((_RIM, 4), (_LINE, 2)):
            painter.setPen(QPen(colour, width))
            for outline in self.outlines():
                painter.drawPolygon(outline)
        painter.end()

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Stay as large as the canvas."""
        canvas = self.parentWidget()
        if canvas is not None and watched is canvas and event.type() == QEvent.Type.Resize:
            self.setGeometry(canvas.rect())
        return False

    def _on_view(self, _: Any = None) -> None:
        if self._shown is not None:
            self.update()


def _canvas(dock: QWidget) -> QOpenGLWidget | None:
    """Return napari's canvas; a dock that floats is a child of the window all the same."""
    window = dock
    while (above := window.parentWidget()) is not None:
        window = above
    found = window.findChild(QOpenGLWidget)
    return found if isinstance(found, QOpenGLWidget) else None
