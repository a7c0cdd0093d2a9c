"""Undo by all keys, in a real window: what was done last is taken back first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QOpenGLWidget

from napari_impartial.gui.layers.versions import camera_of
from napari_impartial.gui.widgets import status_line

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def press(widget: Any, qtbot: Any) -> Callable[[str], None]:
    """Press keys on the picture, as napari gets them."""
    canvas = widget.window().findChild(QOpenGLWidget)

    def run(keys: str) -> None:
        *held, letter = keys.split("+")
        modifiers = Qt.KeyboardModifier.NoModifier
        for name in held:
            modifiers |= {"Ctrl": CTRL, "Shift": SHIFT}[name]
        qtbot.keyClick(canvas, getattr(Qt.Key, f"Key_{letter}"), modifiers)

    return run


@pytest.fixture
def status(find: Any) -> Callable[[], str]:
    return lambda: find("status_label").text()


@pytest.fixture
def decide(widget: Any, find: Any, press: Any, settled: Any) -> Callable[[str, int], Any]:
    """Press a key on the row of an object; returns where the object is."""

    def run(key: str, label: int) -> Any:
        settled()
        find("object_table").select(label)
        where = widget.session.plane.instances == label
        assert where.any()
        press(key)
        return where

    return run


@pytest.fixture
def settled(widget: Any, wait_for: Any) -> Callable[[], None]:
    """Wait until everything that was painted is read and measured."""
    results, reader = widget.results, widget.workspace._reader

    def quiet() -> bool:
        return not (
            results._pause.isActive()
            or results._cutting.busy
            or results._measuring.busy
            or results.review._pause.isActive()
            or reader._pause.isActive()
            or reader._working.busy
        )

    return lambda: wait_for(quiet)


def stroke(layer: Any, row: int, label: int = 2) -> Any:
    """Paint a short stroke that lies in no object's way; returns its pixels."""
    places = np.full(3, row), np.arange(3)
    assert (layer.data[places] != label).all()
    layer.data_setitem(places, label)
    return places


def ids(layer: Any) -> set[int]:
    return {int(i) for i in np.unique(layer.data) if i}


def test_the_latest_decision_is_undone_first(
    widget: Any,
    viewer: Any,
    scribbled: Any,
    predicted: Any,
    press: Any,
    decide: Any,
    settled: Any,
    status: Any,
) -> None:
    known, painted = widget.session.plane, scribbled.data.copy()
    viewer.layers.selection.active = scribbled
    where = decide("D", 3)
    decide("A", 5)
    assert 3 not in ids(predicted)
    assert list(known.review.kept) == [5]
    press("Ctrl+Z")
    assert not known.review.kept
    assert status() == "Undone: accepting object 5."
    assert 3 not in ids(predicted)
    table = widget.result_panel.table
    assert table.selected() == [5], "the next key is about what was undone"
    press("Ctrl+Z")
    assert status() == "Undone: rejecting object 3."
    settled()
    assert table.selected() == [3], "it has a row again"
    assert not known.review
    np.testing.assert_array_equal(predicted.data == 3, where)
    np.testing.assert_array_equal(scribbled.data, painted)
    settled()
    press("U")
    settled()
    assert not known.review, "nothing that was undone is done again"
    np.testing.assert_array_equal(predicted.data == 3, where)
    # The next one is the stroke that was painted before all that.
    press("Ctrl+Z")
    assert not scribbled.data.any()


def test_undo_with_the_instances_selected(
    viewer: Any, scribbled: Any, predicted: Any, press: Any, decide: Any, settled: Any, widget: Any
) -> None:
    painted, before = scribbled.data.copy(), predicted.data.copy()
    viewer.layers.selection.active = predicted
    decide("D", 3)
    press("Ctrl+Z")
    np.testing.assert_array_equal(predicted.data, before)
    np.testing.assert_array_equal(scribbled.data, painted)
    # A correction is a decision as soon as it is painted, and is no stroke beside that.
    decide("A", 5)
    where = np.nonzero(before == 4)
    predicted.data_setitem(where, 0)
    press("Ctrl+Z")
    np.testing.assert_array_equal(predicted.data, before)
    assert list(widget.session.plane.review.kept) == [5]
    predicted.data_setitem(where, 0)
    settled()
    press("Ctrl+Z")
    np.testing.assert_array_equal(predicted.data, before)
    press("Ctrl+Shift+Z")
    settled()
    np.testing.assert_array_equal(predicted.data, before)
    assert list(widget.session.plane.review.kept) == [5]
    press("Ctrl+Z")
    assert not widget.session.plane.review


def test_strokes_and_decisions_in_turn(
    viewer: Any, scribbled: Any, predicted: Any, press: Any, decide: Any, widget: Any
) -> None:
    known = widget.session.plane
    viewer.layers.selection.active = scribbled
    first = stroke(scribbled, 0)
    decide("D", 3)
    second = stroke(scribbled, 1)
    decide("A", 5)
    third = stroke(scribbled, 2)

    def state() -> tuple[bool, bool, bool, bool, bool]:
        lines = (bool(scribbled.data[places].all()) for places in (first, second, third))
        return (*lines, 3 not in ids(predicted), 5 in known.review.kept)

    expected = [
        (True, True, True, True, True),
        (True, True, False, True, True),
        (True, True, False, True, False),
        (True, False, False, True, False),
        (True, False, False, False, False),
        (False, False, False, False, False),
    ]
    assert state() == expected[0]
    for now in expected[1:]:
        press("Ctrl+Z")
        assert state() == now


def test_redo_repeats_strokes_and_no_decisions(
    viewer: Any, scribbled: Any, predicted: Any, press: Any, decide: Any, settled: Any, widget: Any
) -> None:
    known = widget.session.plane
    viewer.layers.selection.active = scribbled
    decide("A", 5)
    places = stroke(scribbled, 0)
    press("Ctrl+Z")
    assert not scribbled.data[places].any()
    press("Ctrl+Shift+Z")
    assert scribbled.data[places].all()
    press("Ctrl+Z")
    assert not scribbled.data[places].any(), "it is the newest again"
    assert known.review.kept
    # Once something else was done, it is not repeated: it would be undone to old labels.
    strokes = scribbled.data.copy()
    decide("D", 3)
    painted = scribbled.data.copy()
    assert (painted != strokes).any()
    for _ in range(2):
        press("Ctrl+Shift+Z")
        settled()
        np.testing.assert_array_equal(scribbled.data, painted)
        assert 3 not in ids(predicted)
    # Nor is an undone rejection.
    for keys in ("Ctrl+Z", "Ctrl+Shift+Z"):
        press(keys)
        settled()
        np.testing.assert_array_equal(scribbled.data, strokes)
    assert 3 in ids(predicted)
    assert list(known.review.kept) == [5]


def test_a_rejection_that_is_erased_is_not_made_again(
    viewer: Any,
    scribbled: Any,
    predicted: Any,
    press: Any,
    decide: Any,
    wait_for: Any,
    settled: Any,
    widget: Any,
    find: Any,
) -> None:
    known = widget.session.plane
    viewer.layers.selection.active = scribbled
    where = decide("A", 3)
    decide("D", 3)
    decide("A", 5)
    assert sorted(known.review.kept) == [5]
    scribbled.data_setitem(np.nonzero(where), 0)
    wait_for(lambda: 3 in ids(predicted))
    assert sorted(known.review.kept) == [3, 5], "it had been accepted"
    settled()
    for expected in ([3], []):
        press("U")
        settled()
        assert sorted(known.review.kept) == expected
        np.testing.assert_array_equal(predicted.data == 3, where)
    assert not find("undo_button").isEnabled()


def test_a_rejection_undone_under_a_newer_stroke(
    viewer: Any, scribbled: Any, predicted: Any, press: Any, decide: Any, settled: Any
) -> None:
    viewer.layers.selection.active = scribbled
    strokes = scribbled.data.copy()
    where = decide("D", 3)
    new = where & (scribbled.data == 1) & (strokes != 1)
    rows, columns = (part[:4] for part in np.nonzero(new))
    scribbled.data_setitem((rows, columns), 2)
    press("U")
    settled()
    assert 3 in ids(predicted)
    assert (scribbled.data[rows, columns] == 2).all(), "what was painted there stays"
    press("Ctrl+Z")
    press("Ctrl+Shift+Z")
    settled()
    assert not (scribbled.data[new] == 1).any(), "no background is left under the object"
    assert 3 in ids(predicted)


@pytest.mark.parametrize("key", ["U", "Ctrl+Z"])
def test_what_was_restored_is_seen(
    key: str,
    viewer: Any,
    scribbled: Any,
    predicted: Any,
    press: Any,
    decide: Any,
    settled: Any,
) -> None:
    viewer.layers.selection.active = scribbled
    camera = camera_of(viewer)
    where = decide("D", 3)
    rows, columns = (np.unique(part) for part in np.nonzero(where))
    centre = predicted.data_to_world(((rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2))
    settled()
    camera.center, camera.zoom = (1000.0, 1000.0), 9.0
    press(key)
    np.testing.assert_allclose(camera.center[-2:], centre)
    assert camera.zoom == 9
    # What is in sight is not moved.
    decide("D", 3)
    settled()
    near = tuple(np.add(centre, 1))
    camera.center = near
    press(key)
    np.testing.assert_allclose(camera.center[-2:], near)


def test_the_status_says_for_a_moment_what_was_undone(
    widget: Any, predicted: Any, decide: Any, press: Any, status: Any, wait_for: Any
) -> None:
    before = status()
    widget.status._pause.setInterval(300)
    assert status_line.NOTICE_MS >= 3000
    decide("A", 3)
    press("U")
    widget._update()
    assert status() == "Undone: accepting object 3."
    wait_for(lambda: status() == before)
    press("U")
    assert status() == before, "nothing is left to undo"
    # What is done next is not answered by what was undone before.
    decide("A", 3)
    press("U")
    assert status() == "Undone: accepting object 3."
    decide("A", 4)
    assert status() == before


def test_an_imported_mask_is_the_newest_step(
    widget: Any, viewer: Any, scribbled: Any, predicted: Any, press: Any, decide: Any
) -> None:
    from napari_impartial.gui.scribble import mask_import

    painted = scribbled.data.copy()
    viewer.add_labels(predicted.data.copy(), name="masks")
    decide("A", 3)
    mask_import.from_layer(widget.workspace, "masks")
    assert (scribbled.data != painted).any()
    assert viewer.layers.selection.active == scribbled
    press("Ctrl+Z")
    np.testing.assert_array_equal(scribbled.data, painted)
    assert widget.session.plane.review


def test_a_closed_dock_leaves_the_keys_to_napari(
    widget: Any, viewer: Any, scribbled: Any, predicted: Any, qtbot: Any, press: Any, decide: Any
) -> None:
    viewer.layers.selection.active = scribbled
    decide("D", 3)
    stroke(scribbled, 0)
    rejected = predicted.data.copy()
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: not viewer.keymap)
    press("Ctrl+Z")
    assert not scribbled.data[0, :3].any()
    press("Ctrl+Shift+Z")
    assert scribbled.data[0, :3].all()
    np.testing.assert_array_equal(predicted.data, rejected)


def test_cleared_strokes_come_back(
    widget: Any, viewer: Any, scribbled: Any, find: Any, press: Any, settled: Any, add_tissue: Any
) -> None:
    settled()
    painted = scribbled.data.copy()
    assert widget.session.plane.scribbles is not None
    # Whatever is selected: the button is about the strokes.
    viewer.layers.selection.active = viewer.layers["tissue"]
    find("clear_scribbles_button").click()
    assert not scribbled.data.any()
    settled()
    assert widget.session.plane.scribbles is None
    assert "0 strokes" in find("class_2_counts").text()
    press("Ctrl+Z")
    np.testing.assert_array_equal(scribbled.data, painted)
    settled()
    np.testing.assert_array_equal(widget.session.plane.scribbles.labels, painted)


def test_strokes_of_other_planes_are_not_cleared(
    widget: Any, viewer: Any, find: Any, wait_for: Any, settled: Any
) -> None:
    viewer.add_image(np.random.default_rng(0).random((3, 64, 64)), axis_labels=("z", "y", "x"))
    wait_for(lambda: find("new_scribbles_button").isEnabled())
    assert not find("clear_scribbles_button").isEnabled()
    find("new_scribbles_button").click()
    layer = viewer.layers.selection.active
    viewer.dims.set_current_step(0, 0)
    layer.data_setitem((np.array([0, 2]), np.array([5, 5]), np.array([7, 7])), 1)
    settled()
    find("clear_scribbles_button").click()
    assert [tuple(at) for at in np.argwhere(layer.data)] == [(2, 5, 7)]
