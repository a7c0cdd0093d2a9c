"""Strokes made in a view from the side, or with a brush of three dimensions, count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from looking import layer_named
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QOpenGLWidget


@pytest.fixture
def stack(widget: Any, viewer: Any, find: Any, wait_for: Any) -> Any:
    """Return the scribble layer of a stack of six slices."""
    rng = np.random.default_rng(0)
    viewer.add_image(rng.random((6, 40, 40)), name="stack", axis_labels=("z", "y", "x"))
    wait_for(lambda: find("new_scribbles_button").isEnabled())
    find("new_scribbles_button").click()
    return layer_named(viewer, "scribbles [stack]")


def planes(widget: Any) -> set[int]:
    return {index[0] for index in widget.session.record.annotated}


def test_a_stroke_in_a_view_from_the_side(
    widget: Any, viewer: Any, stack: Any, wait_for: Any
) -> None:
    viewer.dims.order = (1, 0, 2)
    stack.data_setitem((np.array([1, 2, 3]), np.full(3, 20), np.full(3, 8)), 2)
    wait_for(lambda: planes(widget) == {1, 2, 3})
    assert widget.session.record.planes[(2,)].scribbles.counts()[2] == 1
    stack.undo()
    wait_for(lambda: planes(widget) == set())


def test_a_stroke_of_a_brush_in_three_dimensions(
    widget: Any, viewer: Any, stack: Any, wait_for: Any
) -> None:
    stack.n_edit_dimensions = 3
    viewer.dims.set_point(0, 3)
    stack.brush_size = 5
    stack.paint((3, 20, 20), 1)
    wait_for(lambda: planes(widget) == {1, 2, 3, 4, 5})


def test_it_joins_the_training_under_way(
    widget: Any, viewer: Any, find: Any, stack: Any, wait_for: Any
) -> None:
    viewer.dims.set_point(0, 0)
    stack.data_setitem((np.zeros(8, int), np.arange(8), np.full(8, 3)), 1)
    stack.data_setitem((np.zeros(8, int), np.arange(8), np.full(8, 20)), 2)
    wait_for(lambda: planes(widget) == {0})
    find("time_budget_spin").setValue(600)
    find("train_button").click()
    viewer.dims.order = (1, 0, 2)
    stack.data_setitem((np.array([4, 5]), np.full(2, 20), np.full(2, 8)), 2)
    wait_for(lambda: {item.plane for item in widget.training._items} == {(0,), (4,), (5,)})
    find("stop_button").click()
    wait_for(lambda: not widget.session.busy)


def test_hidden_strokes_are_cleared_and_come_back_while_the_view_is_in_3d(
    widget: Any, viewer: Any, find: Any, stack: Any, wait_for: Any, qtbot: Any
) -> None:
    viewer.dims.set_point(0, 1)
    stack.data_setitem((np.ones(8, int), np.arange(8) + 20, np.full(8, 30)), 2)
    wait_for(lambda: planes(widget) == {1})
    stack.visible = False
    viewer.dims.ndisplay = 3
    find("clear_scribbles_button").click()
    wait_for(lambda: planes(widget) == set())
    assert not stack.data.any()
    canvas = widget.window().findChild(QOpenGLWidget)
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    wait_for(lambda: planes(widget) == {1})
    assert np.count_nonzero(stack.data) == 8
