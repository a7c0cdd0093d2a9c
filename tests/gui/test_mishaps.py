"""Layers in use that are moved, renamed, replaced or removed: defined, and nothing lost."""

from __future__ import annotations

from typing import Any

import napari
import numpy as np
import pytest
from looking import layer_named, names, settled
from packaging.version import Version

OLD = Version(napari.__version__) < Version("0.8")


@pytest.fixture
def predicted(widget: Any, viewer: Any, scribbled: Any, tiny_tissue: Any) -> Any:
    """Show results as a prediction would leave them."""
    from napari_impartial.core.prediction.result import Prediction
    from napari_impartial.gui.layers import Role

    foreground = (tiny_tissue.truth > 0).astype(np.float32)
    probability = np.stack([1 - foreground, foreground])
    heat = np.full_like(foreground, 0.5)
    session, workspace = widget.session, widget.workspace
    session.set_prediction(session.current, (), Prediction(probability, heat, heat, None, 0))
    for role, values in ((Role.PROBABILITY, foreground), (Role.UNCERTAINTY, heat)):
        workspace.results.write(workspace.source, (), role, values)
    workspace.results.write(workspace.source, (), Role.INSTANCES, tiny_tissue.truth)
    return scribbled


def test_scribbles_and_results_follow_their_image(widget: Any, viewer: Any, predicted: Any) -> None:
    image = layer_named(viewer, "tissue")
    strokes = predicted.data.copy()
    image.scale = (1.0, 0.3, 0.7)
    image.translate = (0.0, -5.0, 8.0)
    image.units = ("pixel", "nm", "nm")
    for name in ("scribbles", "probability", "uncertainty", "instances"):
        layer = layer_named(viewer, f"{name} [tissue]")
        np.testing.assert_allclose(layer.scale, (0.3, 0.7), err_msg=name)
        np.testing.assert_allclose(layer.translate, (-5, 8), err_msg=name)
        assert [str(unit) for unit in layer.units] == ["nanometer", "nanometer"]
    np.testing.assert_array_equal(predicted.data, strokes)
    # A place in the world is the same pixel in both.
    world = image.data_to_world((0, 30, 40))
    np.testing.assert_allclose(predicted.world_to_data(world[1:]), (30, 40))
    assert widget.session.missing_for_training() == ""


def test_scribbles_moved_by_themselves_stay_what_they_are(
    widget: Any, viewer: Any, scribbled: Any
) -> None:
    before = widget.session.plane.scribbles.labels.copy()
    scribbled.scale = (9.0, 9.0)
    scribbled.translate = (100.0, 0.0)
    widget.workspace.read_scribbles()
    np.testing.assert_array_equal(widget.session.plane.scribbles.labels, before)


def test_other_pixels_of_the_same_shape_are_read_anew(
    widget: Any, viewer: Any, scribbled: Any
) -> None:
    key = widget.session.current
    assert widget.workspace.image(key, ()).channels.any()
    layer = layer_named(viewer, "tissue")
    layer.data = np.zeros_like(layer.data)
    assert not widget.workspace.image(key, ()).channels.any()


@pytest.mark.parametrize(
    "shape",
    [
        (96, 96),
        (2, 50, 60),
        pytest.param((5, 2, 96, 96), marks=pytest.mark.skipif(OLD, reason="napari itself fails")),
    ],
)
def test_other_pixels_of_another_shape_lose_no_stroke(
    widget: Any, viewer: Any, find: Any, scribbled: Any, wait_for: Any, shape: tuple[int, ...]
) -> None:
    strokes = scribbled.data.copy()
    layer, before = layer_named(viewer, "tissue"), layer_named(viewer, "tissue").data
    layer.data = np.random.default_rng(0).random(shape)
    wait_for(lambda: not widget.workspace._layers_timer.isActive())
    find("train_button").isEnabled()
    widget.workspace.read_scribbles()
    np.testing.assert_array_equal(scribbled.data, strokes)
    # With the image of before, all is as it was.
    layer.data = before
    wait_for(lambda: not widget.workspace._layers_timer.isActive())
    find("axes_edit").setText("CYX")
    find("axes_edit").editingFinished.emit()
    wait_for(lambda: widget.session.missing_for_training() == "")


def test_a_renamed_scribble_layer_stays_in_use(
    widget: Any, viewer: Any, find: Any, scribbled: Any, wait_for: Any
) -> None:
    scribbled.name = "my strokes"
    scribbled.paint((20, 20), 2)
    wait_for(lambda: widget.session.plane.scribbles.labels[20, 20] == 2)
    find("new_scribbles_button").click()
    assert names(viewer) == ["tissue", "my strokes"]


def test_renamed_and_removed_results_are_no_trouble(
    widget: Any, viewer: Any, predicted: Any, wait_for: Any
) -> None:
    from napari_impartial.gui.layers import Role

    results, source = widget.workspace.results, widget.workspace.source
    layer_named(viewer, "instances [tissue]").name = "cells"
    results.write(source, (), Role.INSTANCES, np.ones((96, 96), np.int32))
    assert "instances [tissue]" not in names(viewer), "the renamed one is written"
    assert (layer_named(viewer, "cells").data == 1).all()
    for name in ("cells", "probability [tissue]"):
        viewer.layers.remove(layer_named(viewer, name))
    widget.results.set_config(widget.session.instance_config)
    wait_for(lambda: "instances [tissue]" in names(viewer))
    wait_for(lambda: not widget.results._cutting.busy and not widget.results._measuring.busy)


def test_undo_goes_through_training_and_results(
    widget: Any, viewer: Any, scribbled: Any, predicted: Any, wait_for: Any
) -> None:
    from napari_impartial.gui.layers import Role

    before = scribbled.data.copy()
    scribbled.paint((10, 80), 2)
    painted = scribbled.data.copy()
    wait_for(lambda: widget.session.plane.scribbles.labels[10, 80] == 2)
    # What the program does meanwhile is no step of the user's.
    widget.workspace.read_scribbles()
    widget.workspace.results.write(
        widget.workspace.source, (), Role.INSTANCES, np.ones((96, 96), np.int32)
    )
    widget.training._send_annotation()
    scribbled.undo()
    np.testing.assert_array_equal(scribbled.data, before)
    wait_for(lambda: (widget.session.plane.scribbles.labels == before).all())
    scribbled.redo()
    np.testing.assert_array_equal(scribbled.data, painted)
    wait_for(lambda: (widget.session.plane.scribbles.labels == painted).all())


def test_the_last_step_that_is_undone_is_an_import(
    widget: Any, scribbled: Any, tiny_scribbles: Any
) -> None:
    before = scribbled.data.copy()
    labels = np.zeros((96, 96), np.uint8)
    labels[60:70, 60:70] = 2
    widget.workspace.scribbles.add(widget.workspace.source, (), labels)
    assert (scribbled.data[60:70, 60:70] == 2).all()
    scribbled.undo()
    np.testing.assert_array_equal(scribbled.data, before)


def test_the_brush_is_for_the_image_that_was_opened_last(
    widget: Any, viewer: Any, scribbled: Any, wait_for: Any
) -> None:
    first = widget.workspace.source.primary
    second = viewer.add_image(np.random.default_rng(0).random((50, 60)), name="second")
    assert viewer.layers.selection.active == second
    widget.keys.brush_cell()
    assert widget.workspace.source.primary == second
    strokes = viewer.layers.selection.active
    assert (strokes.name, strokes.mode) == ("scribbles [second]", "paint")
    # One that cannot be seen is not meant.
    assert not first.visible
    viewer.layers.selection.active = first
    widget.keys.brush_background()
    assert widget.workspace.source.primary == second
    # Back by hand: the strokes of the first are found again, and no new layer is made.
    first.visible = True
    viewer.layers.selection.active = first
    widget.keys.brush_background()
    assert widget.workspace.source.primary == first
    assert viewer.layers.selection.active == scribbled


def test_a_channel_that_is_selected_does_not_become_an_image(
    widget: Any, viewer: Any, scribbled: Any
) -> None:
    first, shape = widget.workspace.source.primary, widget.workspace.source.plane_shape
    there = {name: getattr(first, name)[-2:] for name in ("scale", "translate", "units")}
    viewer.add_image(np.zeros(shape), name="membrane", **there)
    widget.keys.brush_cell()
    assert widget.workspace.source.primary == first


def test_objects_whose_layer_was_removed_can_be_shown_again(
    widget: Any, viewer: Any, predicted: Any, find: Any, notes: Any, wait_for: Any
) -> None:
    viewer.layers.remove(layer_named(viewer, "instances [tissue]"))
    wait_for(lambda: any("Move a slider" in note for note in notes()))
    find("threshold_slider").setValue(0.6)
    wait_for(lambda: "instances [tissue]" in names(viewer))


def test_what_is_cut_late_puts_no_layer_back(
    widget: Any, viewer: Any, find: Any, tiny_tissue: Any, prediction_of: Any, wait_for: Any,
    qtbot: Any,
) -> None:  # fmt: skip
    """All layers of a stack are deleted while its objects are still being cut."""
    stack = np.stack([tiny_tissue.image.channels] * 3)
    viewer.add_image(stack, name="stack", axis_labels=("z", "c", "y", "x"))
    wait_for(lambda: widget.workspace.source is not None)
    for z in range(3):
        widget.results._keep(widget.session.current, (z,), prediction_of(tiny_tissue.truth))
    settled(widget, wait_for)
    assert "instances [stack]" in names(viewer)
    find("threshold_slider").setValue(0.4)
    widget.results._cut()
    viewer.layers.select_all()
    viewer.layers.remove_selected()
    settled(widget, wait_for)
    qtbot.wait(200)
    assert names(viewer) == []
    assert not widget.session.images
    viewer.add_image(tiny_tissue.image.channels, name="next", axis_labels=("c", "y", "x"))
    wait_for(lambda: widget.workspace.source is not None)
    assert names(viewer) == ["next"]
