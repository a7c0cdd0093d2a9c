"""A click on a cell finds its row, whatever tool is in hand; with real events on the canvas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QOpenGLWidget, QScrollArea
from scipy import ndimage

from napari_impartial.core.instances.table_filter import Condition
from napari_impartial.gui.layers.versions import camera_of

PLAIN, CTRL = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier
LEFT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
LABEL = 3


@pytest.fixture
def click(widget: Any, viewer: Any, predicted: Any) -> Callable[..., None]:
    """Click the middle of an object, or drag from there."""
    depth = ndimage.distance_transform_edt(predicted.data == LABEL)
    wanted = predicted.data_to_world(np.unravel_index(depth.argmax(), depth.shape))
    canvas = widget.window().findChild(QOpenGLWidget)

    def send(kind: Any, place: QPointF, button: Any, held: Any, modifier: Any) -> None:
        at = canvas.mapToGlobal(place)
        QApplication.sendEvent(canvas, QMouseEvent(kind, place, at, button, held, modifier))

    start = QPointF(canvas.width() / 2, canvas.height() / 2)

    def run(modifier: Any = PLAIN, drag_px: float = 0, button: Any = LEFT) -> None:
        end = start + QPointF(drag_px, 0)
        send(QEvent.Type.MouseButtonPress, start, button, button, modifier)
        if drag_px:
            send(QEvent.Type.MouseMove, end, NONE, button, modifier)
            # napari looks at moves a few times a second only.
            QApplication.processEvents()
        send(QEvent.Type.MouseButtonRelease, end, button, NONE, modifier)

    # A window that was never shown has its centre elsewhere than in the middle of its canvas.
    send(QEvent.Type.MouseMove, start, NONE, NONE, PLAIN)
    shift = np.subtract(wanted, viewer.cursor.position[-2:])
    camera_of(viewer).center = tuple(camera_of(viewer).center[-2:] + shift)
    return run


@pytest.fixture
def row(find: Any) -> Callable[[], list[int]]:
    """Return the labels of the rows that are selected."""
    table = find("object_table")
    table.clearSelection()
    return table.selected  # type: ignore[no-any-return]


def test_ctrl_click_finds_the_row_and_leaves_the_scribbles_alone(
    viewer: Any, scribbled: Any, click: Any, row: Any, find: Any
) -> None:
    viewer.layers.selection.active = scribbled
    scribbled.selected_label = 1
    before = scribbled.data.copy()
    for mode in ("paint", "erase", "fill", "pick", "polygon"):
        scribbled.mode = mode
        find("object_table").clearSelection()
        click(CTRL)
        assert row() == [LABEL], mode
        np.testing.assert_array_equal(scribbled.data, before)
        assert (scribbled.mode, scribbled.selected_label) == (mode, 1), "in hand again"
    assert "Ctrl" in find("object_table").toolTip()
    scribbled.undo()
    assert not scribbled.data.any(), "clicks are no steps: the strokes were the last one"


def test_the_brush_paints_as_before(viewer: Any, scribbled: Any, click: Any, row: Any) -> None:
    viewer.layers.selection.active = scribbled
    scribbled.mode = "paint"
    before = scribbled.data.copy()
    scribbled.selected_label = 1
    click(CTRL)
    click()
    assert row() == [LABEL], "of the first click"
    assert (scribbled.data != before).any()


def test_a_click_without_a_tool_finds_the_row(
    viewer: Any, scribbled: Any, predicted: Any, click: Any, row: Any, find: Any
) -> None:
    scribbled.mode = "pan_zoom"
    before = scribbled.data.copy()
    places = next(layer for layer in viewer.layers if layer.name == "suggestions [tissue]")
    for layer in (scribbled, predicted, viewer.layers["tissue"], places, None):
        viewer.layers.selection.active = layer
        for modifier in (PLAIN, CTRL):
            find("object_table").clearSelection()
            click(modifier)
            assert row() == [LABEL], (layer, modifier)
    np.testing.assert_array_equal(scribbled.data, before)


def test_a_hand_that_shakes_clicks_and_one_that_drags_does_not(
    viewer: Any, scribbled: Any, click: Any, row: Any, find: Any
) -> None:
    viewer.layers.selection.active = scribbled
    for mode, modifier in (("paint", CTRL), ("pan_zoom", PLAIN)):
        scribbled.mode = mode
        find("object_table").clearSelection()
        click(modifier, drag_px=2)
        assert row() == [LABEL]
        find("object_table").clearSelection()
        click(modifier, drag_px=60)
        assert row() == []
        assert scribbled.mode == mode


def test_what_is_no_click_on_an_object(
    widget: Any, viewer: Any, scribbled: Any, predicted: Any, click: Any, row: Any
) -> None:
    viewer.layers.selection.active = viewer.layers["tissue"]
    click(button=Qt.MouseButton.RightButton)
    assert row() == [], "napari zooms with it"
    predicted.visible = False
    widget._on_clicked_object(viewer.add_labels(predicted.data, name="instances [other]"), LABEL)
    click()
    assert row() == [], "the table is about the objects of the image in front"


def test_a_click_on_an_object_without_a_row_selects_none(
    widget: Any, viewer: Any, predicted: Any, click: Any, find: Any
) -> None:
    viewer.layers.selection.active = viewer.layers["tissue"]
    table = find("object_table")
    widget.result_panel.review.filter.setValue(Condition("label", "!=", str(LABEL)))
    table.select(LABEL + 1)
    assert table.selected() == [LABEL + 1]
    click()
    assert table.selected() == []
    assert not find("reject_button").isEnabled()
    widget.keys.reject()
    widget.keys.accept()
    assert not widget.session.plane.review, "nothing happens to another object"
    # Shown again, it is found as ever, and so is the row that was left.
    find("filter_edit").clear()
    assert table.selected() == []
    click()
    assert table.selected() == [LABEL]
    table.go_to_row(table.table_model().row_of(LABEL + 1))
    assert table.selected() == [LABEL + 1]


def test_the_dock_scrolls_to_the_row(widget: Any, predicted: Any, find: Any, qtbot: Any) -> None:
    area, table = widget.findChild(QScrollArea), find("object_table")
    window = widget.window()
    window.resize(1200, 500)
    window.show()
    qtbot.waitUntil(lambda: area.verticalScrollBar().maximum() > 0)
    qtbot.wait(300)  # until the layout has settled

    def seen() -> bool:
        return bool(table.visibleRegion().boundingRect() == table.rect())

    area.verticalScrollBar().setValue(0)
    assert not seen()
    widget._on_clicked_object(predicted, LABEL)
    assert table.selected() == [LABEL]
    qtbot.waitUntil(seen)
    # In sight, be it near the edge, it stays where it is.
    bar = area.verticalScrollBar()
    bar.setValue(bar.value() - 4)
    assert seen()
    place = bar.value()
    table.clearSelection()
    widget._on_clicked_object(predicted, LABEL)
    assert table.selected() == [LABEL]
    assert bar.value() == place


def test_a_click_with_ctrl_held_selects_one_row(widget: Any, click: Any, find: Any) -> None:
    table = find("object_table")
    table.select(LABEL + 1)
    for _ in range(2):
        click(CTRL)
        assert table.selected() == [LABEL]


@pytest.mark.parametrize("action", ["accept", "reject"])
def test_the_view_stays_with_what_was_chosen_in_the_picture(
    action: str, widget: Any, viewer: Any, scribbled: Any, click: Any, find: Any, wait_for: Any
) -> None:
    viewer.layers.selection.active = scribbled
    table, camera = find("object_table"), camera_of(viewer)
    click(CTRL)
    before = (camera.center, camera.zoom)
    getattr(widget.keys, action)()
    assert (camera.center, camera.zoom) == before
    assert table.selected() == ([LABEL] if action == "accept" else []), "none that is out of sight"
    # From the table one goes on to the next row.
    table.go_to_row(0)
    first, before = table.selected(), (camera.center, camera.zoom)
    getattr(widget.keys, action)()
    assert table.selected()
    assert table.selected() != first
    assert (camera.center, camera.zoom) != before
