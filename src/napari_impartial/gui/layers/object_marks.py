"""Marks in the picture the objects that are chosen, and those that were decided on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QOpenGLWidget, QWidget

from napari_impartial.core.review.review import Verdict
from napari_impartial.gui.layers.versions import camera_of, grid_of
from napari_impartial.session.plane import PlaneIndex

from . import Source
from .camera import in_world

Signed = tuple[Verdict, Sequence[float]]
"""What was decided, and the box (y0, x0, y1, x1) round what it was decided about."""

MOST_MARKS = 50
# Off the outline, which is to be judged.
MARGIN_PX = 4
# Told apart by their shapes: a tick, a tick in a circle, a cross. Smaller than an object on the
# screen, or they would hide it; more than so many in view cannot be told apart anyway.
_SIGN_PX, MOST_SIGNS = 6.0, 1000
_SIGNS = {
    Verdict.ACCEPTED: (QColor("#39ff14"), ((-1, 0), (-0.3, 0.8), (1, -0.9))),
    Verdict.CORRECTED: (QColor("#39ff14"), ((-1, 0), (-0.3, 0.8), (1, -0.9))),
    Verdict.REJECTED: (QColor("#ff4dff"), ((-1, -1), (1, 1), (0, 0), (1, -1), (-1, 1))),
}
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
        self._shown: tuple[Source, PlaneIndex, Sequence[Sequence[float]]] | None = None
        self._decided: tuple[Source, PlaneIndex, Sequence[Signed]] | None = None
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
        self._shown = self._decided = None
        # The window may have gone first, and the sheet with it.
        with suppress(RuntimeError):
            self.hide()
            self.setParent(None)
            self.deleteLater()

    def mark(
        self, dock: QWidget, source: Source, plane: PlaneIndex, boxes: Sequence[Sequence[float]]
    ) -> None:
        """Mark some boxes of the plane in view, in the window that a dock belongs to."""
        self._shown = (source, plane, list(boxes[:MOST_MARKS])) if boxes else None
        self._cover(dock)

    def sign(
        self, dock: QWidget, source: Source | None, plane: PlaneIndex, decided: Sequence[Signed]
    ) -> None:
        """Put a small sign on what was decided on in the plane in view."""
        signed = [one for one in decided if one[0] in _SIGNS]
        self._decided = None if source is None or not signed else (source, plane, signed)
        self._cover(dock)

    def clear(self) -> None:
        """Choose nothing; what was decided stays signed."""
        if self._shown is not None:
            self._shown = None
            self.setVisible(self._decided is not None)
            self.update()

    def _cover(self, dock: QWidget) -> None:
        """Lie over the canvas while there is anything to mark."""
        if self._gone:
            return  # a table may still come when the dock has ended, and Qt's sheet is no more
        canvas = _canvas(dock)
        if canvas is None or (self._shown is None and self._decided is None):
            self.hide()
            return
        if self.parentWidget() is not canvas:
            self.setParent(canvas)
            canvas.installEventFilter(self)
        self.setGeometry(canvas.rect())
        self.show()
        self.raise_()
        self.update()

    def outlines(self) -> list[QPolygonF]:
        """Return the boxes as they lie in the window now; none in 3D or in a grid of layers."""
        if self._shown is None or not self._is_flat():
            return []
        source, plane, boxes = self._shown
        outlines = []
        for y0, x0, y1, x1 in boxes:
            low, high = np.array([y0, x0]) - 0.5, np.array([y1, x1]) - 0.5
            corners = np.array([low, (low[0], high[1]), high, (high[0], low[1])])
            there = self._on_sheet(source, plane, corners)
            there += MARGIN_PX * np.sign(there - there.mean(axis=0))
            outlines.append(QPolygonF([QPointF(float(x), float(y)) for y, x in there]))
        return outlines

    def signs(self) -> list[tuple[Verdict, QPointF]]:
        """Return what was decided in the field in view, and where that lies in the window now.

        Objects that are hardly larger than a sign have none.
        """
        if self._decided is None or not self._is_flat():
            return []
        source, plane, decided = self._decided
        boxes = np.array([box for _, box in decided], dtype=float)
        corners = boxes[:, :2]
        there = self._on_sheet(source, plane, (corners + boxes[:, 2:] - 1) / 2)
        seen = ((there > 0) & (there < (self.height(), self.width()))).all(axis=1)
        side = np.abs(self._on_sheet(source, plane, corners) - there).min(axis=1)
        shown = np.flatnonzero(seen & (2 * side > 1.5 * _SIGN_PX))[:MOST_SIGNS]
        return [(decided[i][0], QPointF(float(there[i, 1]), float(there[i, 0]))) for i in shown]

    def _is_flat(self) -> bool:
        return self._viewer.dims.ndisplay == 2 and not grid_of(self._viewer).enabled

    def _on_sheet(
        self, source: Source, plane: PlaneIndex, places: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Return where places (N, 2) of a plane, in pixels, lie on this sheet."""
        camera = camera_of(self._viewer)
        signs = [1 if str(side) in ("down", "right") else -1 for side in camera.orientation2d]
        centre = np.array(camera.center[-2:])
        middle = np.array([self.height(), self.width()]) / 2
        moved = in_world(self._viewer, source, plane, places) - centre
        return np.asarray(moved * camera.zoom * signs + middle)

    def paintEvent(self, event: Any) -> None:
        """Draw the boxes."""
        painter = QPainter(self)
        for colour, width in ((_RIM, 4), (_LINE, 2)):
            painter.setPen(QPen(colour, width))
            for outline in self.outlines():
                painter.drawPolygon(outline)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        signs = self.signs()
        for rim in (True, False):
            for verdict, at in signs:
                colour, path = _SIGNS[verdict]
                painter.setPen(QPen(_RIM if rim else colour, 4 if rim else 2))
                painter.drawPolyline(QPolygonF([QPointF(x, y) * _SIGN_PX + at for x, y in path]))
                if verdict is Verdict.CORRECTED:
                    painter.drawEllipse(at, 1.8 * _SIGN_PX, 1.8 * _SIGN_PX)
        painter.end()

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Stay as large as the canvas."""
        canvas = self.parentWidget()
        if canvas is not None and watched is canvas and event.type() == QEvent.Type.Resize:
            self.setGeometry(canvas.rect())
        return False

    def _on_view(self, _: Any = None) -> None:
        if self._shown is not None or self._decided is not None:
            self.update()


def _canvas(dock: QWidget) -> QOpenGLWidget | None:
    """Return napari's canvas; a dock that floats is a child of the window all the same."""
    window = dock
    while (above := window.parentWidget()) is not None:
        window = above
    found = window.findChild(QOpenGLWidget)
    return found if isinstance(found, QOpenGLWidget) else None
