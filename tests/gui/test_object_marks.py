"""Chosen objects are marked in the picture, in a real window."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QOpenGLWidget

from napari_impartial.gui.layers.object_marks import MARGIN_PX, MOST_MARKS, ObjectMarks
from napari_impartial.gui.layers.versions import camera_of


def test_chosen_objects_are_marked(
    widget: Any, viewer: Any, predicted: Any, find: Any, save: Any, qtbot: Any, wait_for: Any
) -> None:
    viewer.window.show()
    table, canvas = find("object_table"), widget.window().findChild(QOpenGLWidget)
    sizes = [canvas.size()]

    def settled() -> bool:
        qtbot.wait(100)
        sizes.append(canvas.size())
        return len(sizes) > 4 and len({(size.width(), size.height()) for size in sizes[-4:]}) == 1

    wait_for(settled)
    layers, marks = list(viewer.layers), widget.in_picture.marks
    assert marks.isHidden()
    table.go_to_row(3)
    (label,) = table.selected()
    assert not marks.isHidden()
    assert list(viewer.layers) == layers

    def lies_at(place: QPointF, row: float, column: float) -> None:
        none = Qt.MouseButton.NoButton
        kind, there = QEvent.Type.MouseMove, canvas.mapToGlobal(place)
        plain = Qt.KeyboardModifier.NoModifier

        def agrees() -> bool:
            # napari looks at moves a few times a second only, and at the camera's in between.
            event = QMouseEvent(kind, place, there, none, none, plain)
            QApplication.sendEvent(canvas, event)
            found = np.array(predicted.world_to_data(viewer.cursor.position))[-2:]
            # The mouse is in whole pixels.
            return bool(np.allclose(found, (row, column), rtol=0, atol=0.5))

        qtbot.waitUntil(agrees)

    # napari and the marks agree on where the object is, wherever one looks.
    rows, columns = np.nonzero(predicted.data == label)
    for shift, factor in ((0, 1), (3, 1.5), (-5, 0.7)):
        camera = camera_of(viewer)
        camera.center = tuple(np.add(camera.center[-2:], shift))
        camera.zoom *= factor
        (outline,) = marks.outlines()
        off = QPointF(MARGIN_PX, MARGIN_PX)
        box = outline.boundingRect()
        lies_at(box.topLeft() + off, rows.min() - 0.5, columns.min() - 0.5)
        lies_at(box.bottomRight() - off, rows.max() + 0.5, columns.max() + 0.5)
    seen = marks.grab().toImage()
    left = outline.boundingRect().center()
    left.setX(outline.boundingRect().left())
    assert seen.pixelColor(left.toPoint()).name() == "#ffff00"
    assert "marks" not in (save(widget) / "session.json").read_text()

    # Several at once; none that are not chosen.
    table.selectAll()
    assert len(marks.outlines()) == min(MOST_MARKS, table.model().rowCount())
    viewer.dims.ndisplay = 3
    assert not marks.outlines()
    viewer.dims.ndisplay = 2
    table.clearSelection()
    assert marks.isHidden()
    table.select(label)
    assert not marks.isHidden()
    widget.workspace.plane_changed.emit()
    assert marks.isHidden()
    table.select(label + 1)
    widget.keys.reject()
    assert not marks.outlines(), "the object is gone"
    table.select(label)
    viewer.window.remove_dock_widget(widget)


def test_a_sheet_that_is_gone_marks_nothing(widget: Any, viewer: Any) -> None:
    made = ObjectMarks(viewer)
    made.let_go()
    QApplication.sendPostedEvents(made, QEvent.Type.DeferredDelete)
    # A table that was being measured as the dock ended.
    made.sign(widget, None, (), [])
