"""Layers that do not fit, rows that move and images that are not in front: no decision is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_impartial.core.instances.table_filter import Condition
from napari_impartial.core.review.review import Verdict
from napari_impartial.gui.scribble import mask_import

ASCENDING = Qt.SortOrder.AscendingOrder


@pytest.fixture
def rejected(widget: Any, find: Any, predicted: Any) -> Any:
    """Reject two objects; returns the plane."""
    for label in (3, 4):
        find("object_table").select(label)
        find("reject_button").click()
    known = widget.session.plane
    assert known.review.count(Verdict.REJECTED) == 2
    return known


def test_rejections_stay_while_the_image_is_cropped(
    widget: Any, viewer: Any, find: Any, scribbled: Any, rejected: Any, qtbot: Any, notes: Any
) -> None:
    image = next(layer for layer in viewer.layers if layer.name == "tissue")
    whole, review = image.data, rejected.review
    image.data = whole[..., :60, :50]
    qtbot.waitUntil(lambda: any("needs (60, 50)" in note for note in notes()))
    assert rejected.scribbles is None
    assert rejected.review == review
    # Layers that fit other pixels say nothing of them either, empty or painted.
    viewer.layers.remove(scribbled)
    for shape, stroke in (((60, 50), 0), ((99, 98), 2)):
        image.data = np.resize(whole, (*whole.shape[:-2], *shape))
        other = viewer.add_labels(np.zeros(shape, np.uint8), name="scribbles [tissue]")
        other.data[:5, :5] = stroke
        widget.workspace.read_scribbles()
        assert (widget.session.plane.scribbles is not None) == bool(stroke)
        assert rejected.review == review
        viewer.layers.remove(other)

    image.data = whole
    viewer.add_layer(scribbled)
    widget.workspace.read_scribbles()
    assert rejected.review == review
    assert find("undo_button").isEnabled()
    find("undo_button").click()
    assert rejected.review.count(Verdict.REJECTED) == 1
    # Their strokes still count.
    scribbled.data[:] = 0
    widget.workspace.read_scribbles()
    assert not rejected.review


def test_rejections_stay_where_a_label_is_none(
    widget: Any, find: Any, scribbled: Any, rejected: Any, notes: Any
) -> None:
    review, strokes = rejected.review, scribbled.data.astype(np.int32)
    strokes[0, 0] = 300
    scribbled.data = strokes
    find("train_button").click()
    assert any("300" in note for note in notes())
    assert rejected.scribbles is None
    assert rejected.review == review
    assert find("undo_button").isEnabled()


def test_rejections_in_a_plane_that_is_gone_stay(
    widget: Any, viewer: Any, find: Any, qtbot: Any, tiny_tissue: Any, prediction_of: Any
) -> None:
    stack = viewer.add_image(
        np.stack([tiny_tissue.image.channels[0]] * 4), name="stack", axis_labels=("z", "y", "x")
    )
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    viewer.dims.set_point(0, 3)
    widget.results._keep(widget.session.current, (3,), prediction_of(tiny_tissue.truth))
    known = widget.session.plane
    qtbot.waitUntil(lambda: find("object_table").model().rowCount() > 3)
    find("object_table").select(3)
    find("reject_button").click()
    scribbles = next(layer for layer in viewer.layers if layer.name == "scribbles [stack]")
    stack.data = stack.data[:2]
    scribbles.data = scribbles.data[:2]
    widget.workspace.read_scribbles()
    assert known.review.count(Verdict.REJECTED) == 1


@pytest.mark.parametrize("how", ["filtered", "sorted"])
def test_accepting_passes_over_no_object(
    how: str, widget: Any, find: Any, predicted: Any, wait_for: Any
) -> None:
    table = find("object_table")
    if how == "filtered":
        widget.result_panel.review.filter.setValue(Condition("review", "!=", "accepted"))
    else:
        table.sortByColumn(table.table_model()._names.index("review"), ASCENDING)
    table.go_to_row(0)
    rows = table.table_model().labels(range(table.model().rowCount()))
    for label in rows[:4]:
        assert table.selected() == [label]
        widget.keys.accept()
    assert sorted(widget.session.plane.review.kept) == sorted(rows[:4])


def test_a_correction_of_an_image_that_is_not_in_front_is_collected(
    widget: Any, viewer: Any, find: Any, predicted: Any, qtbot: Any, wait_for: Any
) -> None:
    known = behind(widget, viewer, find, qtbot)
    predicted.data_setitem(np.nonzero(predicted.data == 4), 0)
    wait_for(lambda: known.review.count(Verdict.ERASED) == 1)
    assert "in tissue" in find("undo_button").toolTip()


def test_a_correction_behind_made_just_before_closing_is_kept(
    widget: Any,
    viewer: Any,
    find: Any,
    predicted: Any,
    qtbot: Any,
    close_and_open: Any,
) -> None:
    behind(widget, viewer, find, qtbot)
    again, where = close_and_open(predicted, 4)
    record = next(one for one in again.session.images.values() if one.name == "tissue")
    assert record.plane(()).review.count(Verdict.ERASED) == 1
    assert not record.plane(()).instances[where].any()


def behind(widget: Any, viewer: Any, find: Any, qtbot: Any) -> Any:
    """Bring another image to the front; return what is known of the one behind."""
    known = widget.session.plane
    viewer.add_image(np.zeros((64, 64)), name="other")
    qtbot.waitUntil(lambda: find("image_combo").count() == 2)
    find("image_combo").setCurrentText("other")
    assert widget.session.record.name == "other"
    # What came before is looked at by now.
    qtbot.waitUntil(lambda: not widget.results.review._pause.isActive())
    return known


def offered(widget: Any, viewer: Any, *shapes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Add label layers of these shapes, and return the shapes of those that are offered."""
    for shape in shapes:
        viewer.add_labels(np.ones(shape, np.uint8), name=f"masks {shape}")
    names = mask_import.candidates(widget.workspace)
    return [layer.data.shape for layer in viewer.layers if layer.name in names]


def test_masks_that_cannot_be_taken_over_are_not_offered(
    widget: Any, viewer: Any, add_tissue: Any, qtbot: Any
) -> None:
    add_tissue()
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    shapes = [(96, 96), (1, 96, 96), (5, 96, 96), (95, 96)]
    assert offered(widget, viewer, *shapes) == [(96, 96), (1, 96, 96)]


def test_masks_of_a_stack_in_time_are_offered(widget: Any, viewer: Any, qtbot: Any) -> None:
    viewer.add_image(np.zeros((3, 4, 32, 32)), name="film", axis_labels=("t", "z", "y", "x"))
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    shapes = [(32, 32), (4, 32, 32), (3, 4, 32, 32), (1, 1, 32, 32)]
    assert offered(widget, viewer, *shapes) == [(32, 32), (3, 4, 32, 32), (1, 1, 32, 32)]


def test_masks_of_a_part_of_a_stack(widget: Any, viewer: Any, qtbot: Any, notes: Any) -> None:
    viewer.add_image(np.zeros((10, 64, 64)), name="stack", axis_labels=("z", "y", "x"))
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    masks = np.zeros((5, 64, 64), np.uint8)
    masks[2, 20:40, 20:40] = 1
    viewer.add_labels(masks, name="five")
    viewer.add_labels(masks[2:3], name="one")
    assert mask_import.candidates(widget.workspace) == ["five", "one"]

    def strokes() -> Any:
        return widget.session.plane.scribbles

    viewer.dims.set_point(0, 7)
    mask_import.from_layer(widget.workspace, "five")
    assert notes() == ["'five' has no labels for this plane; go to another plane or layer."]
    assert strokes() is None
    mask_import.from_layer(widget.workspace, "one")
    assert (strokes().labels == 2).any(), "a flat layer belongs to any plane"
    viewer.dims.set_point(0, 2)
    mask_import.from_layer(widget.workspace, "five")
    assert (strokes().labels == 2).any()
