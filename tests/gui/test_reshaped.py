"""Images that change under what is known of them: axes, size, layers, planes in view."""

from __future__ import annotations

from typing import Any

import dask
import dask.array
import looking
import numpy as np
import pytest
from looking import layer_named, names

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.prediction.result import Prediction
from napari_impartial.core.review.review import Verdict
from napari_impartial.core.training.messages import Preview, Previewed
from napari_impartial.gui.layers import Source


@pytest.fixture
def settled(widget: Any, wait_for: Any) -> Any:
    """Wait until layers were looked at, and what was asked for is cut and measured."""

    def run() -> None:
        wait_for(lambda: not widget.workspace._layers_timer.isActive())
        looking.settled(widget, wait_for)

    return run


def preview_of(prediction: Prediction, box: tuple[int, int, int, int]) -> Previewed:
    y0, x0, y1, x1 = box
    part = Prediction(
        prediction.probability[:, y0:y1, x0:x1] * 0 + 0.5,
        prediction.entropy[y0:y1, x0:x1] * 0 + 1,
        None,
        None,
        2,
    )
    objects = np.zeros((y1 - y0, x1 - x0), np.int32)
    objects[2:8, 2:8] = 1
    return Previewed(Preview(0, box, cut=InstanceConfig()), box, part, objects)


def test_scribbles_of_other_axes_make_room_for_new_ones(
    widget: Any, viewer: Any, find: Any, qtbot: Any, settled: Any, notes: Any
) -> None:
    viewer.add_image(np.random.default_rng(0).random((6, 40, 50)), name="stack")
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    find("new_scribbles_button").click()
    flat = layer_named(viewer, "scribbles [stack]")
    flat.data_setitem((np.array([3, 3]), np.array([4, 5])), 1)
    widget.image_panel.set_axes("ZYX")
    settled()
    assert any("press New scribbles" in note for note in notes())
    assert find("new_scribbles_button").text() == "New scribbles"
    find("new_scribbles_button").click()
    assert layer_named(viewer, "scribbles [stack]").data.shape == (6, 40, 50)
    assert layer_named(viewer, "old scribbles [stack]") is flat
    assert flat.data.any()
    # Nor does a removed one stand in the way.
    viewer.layers.remove(layer_named(viewer, "scribbles [stack]"))
    widget.image_panel.set_axes("CYX")
    settled()
    find("new_scribbles_button").click()
    assert layer_named(viewer, "scribbles [stack]").data.shape == (40, 50)


def test_rejecting_where_scribbles_do_not_fit_paints_on_new_ones(
    widget: Any, viewer: Any, find: Any, scribbled: Any, predicted: Any
) -> None:
    scribbled.data = np.zeros((5, 5), np.uint8)
    find("object_table").select(3)
    find("reject_button").click()
    assert widget.session.plane.review.count(Verdict.REJECTED) == 1
    assert (layer_named(viewer, "scribbles [tissue]").data == 1).any()
    find("undo_button").click()
    assert not widget.session.plane.review


def test_a_row_of_one_image_is_never_an_object_of_another(
    widget: Any, viewer: Any, find: Any, predicted: Any, qtbot: Any, settled: Any,
    tiny_tissue: Any, prediction_of: Any,
) -> None:  # fmt: skip
    viewer.add_image(tiny_tissue.image.channels, name="other")
    qtbot.waitUntil(lambda: find("image_combo").count() == 2)
    find("image_combo").setCurrentText("other")
    widget.results._keep(widget.session.current, (), prediction_of(tiny_tissue.truth[::-1]))
    settled()
    find("image_combo").setCurrentText("tissue")
    settled()
    table = find("object_table")
    qtbot.waitUntil(lambda: table.model().rowCount() > 5)
    table.select(5)
    find("image_combo").setCurrentText("other")
    assert table.model().rowCount() == 0, "until they are measured"
    widget.keys.reject()
    settled()
    qtbot.waitUntil(lambda: table.model().rowCount() > 5)
    assert table.selected() == []
    widget.keys.reject()
    assert not any(record.plane(()).review for record in widget.session.images.values())


def test_a_cropped_image_can_be_trained_on_undone_and_gone_back_from(
    widget: Any, viewer: Any, find: Any, scribbled: Any, predicted: Any, settled: Any, notes: Any,
    qtbot: Any, tiny_tissue: Any, prediction_of: Any,
) -> None:  # fmt: skip
    find("object_table").select(3)
    find("accept_button").click()
    find("object_table").select(4)
    find("reject_button").click()
    image, strokes = layer_named(viewer, "tissue"), scribbled.data
    whole, key = image.data, widget.session.current
    image.data = whole[..., :60, :50]
    scribbled.data = strokes[:60, :50]
    settled()
    items = widget.workspace.training_set()
    assert [item.scribbles.shape for item in items] == [(60, 50)]
    find("undo_button").click()
    assert widget.session.record.asleep[()].review.count(Verdict.REJECTED) == 0
    widget.workspace.settle_all()
    assert widget.session.plane.instances is None
    # What comes back is as it was, less what was undone.
    image.data = whole
    scribbled.data = strokes
    settled()
    plane = widget.session.images[key].plane(())
    assert plane.review.count(Verdict.ACCEPTED) == 1
    assert plane.review.count(Verdict.REJECTED) == 0
    assert plane.instances.shape == whole.shape[-2:]
    assert not widget.session.record.asleep


def test_objects_of_a_round_before_the_crop_are_laid_aside(
    widget: Any, viewer: Any, predicted: Any, settled: Any
) -> None:
    session, key = widget.session, widget.session.current
    plane = session.plane
    image = layer_named(viewer, "tissue")
    image.data = image.data[..., :60, :50]
    settled()
    # As after going back to a round that saw the whole image.
    now = session.plane
    now.set_cut(plane.instances)
    widget.workspace.settle_all()
    assert session.plane.instances is None
    assert session.images[key].asleep[()].cut is plane.instances


def test_previews_go_when_nothing_follows_from_the_training(
    widget: Any, viewer: Any, predicted: Any, settled: Any, tiny_tissue: Any, prediction_of: Any,
    wait_for: Any,
) -> None:  # fmt: skip
    results, place = widget.results, (widget.session.current, ())
    before = predicted.data.copy()
    heat = layer_named(viewer, "uncertainty [tissue]").data.copy()
    results.preview(place, preview_of(prediction_of(tiny_tissue.truth), (10, 10, 40, 40)))
    wait_for(lambda: not results._drawing._waiting)
    assert (predicted.data != before).any()
    assert (layer_named(viewer, "uncertainty [tissue]").data != heat).any()
    assert widget.session.plane.previewed
    widget.training.failed.emit()
    np.testing.assert_array_equal(predicted.data, before)
    np.testing.assert_array_equal(layer_named(viewer, "uncertainty [tissue]").data, heat)
    assert not widget.session.plane.previewed


def test_a_preview_of_what_was_never_predicted_leaves_nothing(
    widget: Any, viewer: Any, scribbled: Any, tiny_tissue: Any, prediction_of: Any, wait_for: Any
) -> None:
    results, place = widget.results, (widget.session.current, ())
    results.preview(place, preview_of(prediction_of(tiny_tissue.truth), (10, 10, 40, 40)))
    wait_for(lambda: not results._drawing._waiting)
    assert layer_named(viewer, "instances [tissue]").data.any()
    results.end_previews()
    for role in ("instances", "probability", "uncertainty"):
        assert not layer_named(viewer, f"{role} [tissue]").data.any()


def test_a_preview_of_other_axes_is_not_drawn(
    widget: Any, viewer: Any, scribbled: Any, tiny_tissue: Any, prediction_of: Any, wait_for: Any
) -> None:
    results, key = widget.results, widget.session.current
    height, width = tiny_tissue.truth.shape
    preview = preview_of(prediction_of(tiny_tissue.truth), (10, 10, 40, 40))
    results.preview((key, (3,)), preview)
    too_far = (height - 10, width - 10, height + 20, width + 20)
    off = Previewed(preview.request, too_far, preview.prediction, preview.instances)
    results.preview((key, ()), off)
    wait_for(lambda: not results._drawing._waiting)
    assert not any(name.startswith("instances") for name in names(viewer))
    assert list(widget.session.record.planes) == [()]


def test_what_an_image_is_cut_into_is_kept_though_one_goes_on(
    widget: Any, viewer: Any, find: Any, predicted: Any, qtbot: Any, settled: Any,
    tiny_tissue: Any, prediction_of: Any,
) -> None:  # fmt: skip
    first = widget.session.current
    viewer.add_image(tiny_tissue.image.channels, name="other")
    qtbot.waitUntil(lambda: find("image_combo").count() == 2)
    find("image_combo").setCurrentText("other")
    second = widget.session.current
    settled()
    widget.results._keep(second, (), prediction_of(tiny_tissue.truth))
    widget.results._keep(first, (), prediction_of(tiny_tissue.truth[:, ::-1]))
    widget.results._request_cut(second, (), suggesting=False)
    settled()
    for key in (first, second):
        assert widget.session.images[key].plane(()).instances is not None
        assert widget.session.images[key].plane(()).suggestions


def test_the_next_layer_leads_when_the_first_is_removed(
    widget: Any, viewer: Any, find: Any, qtbot: Any, tiny_tissue: Any, tiny_scribbles: Any,
    prediction_of: Any, settled: Any, notes: Any, wait_for: Any,
) -> None:  # fmt: skip
    viewer.add_image(np.zeros((30, 30)), name="another")
    channels = tiny_tissue.image.channels
    stains = [viewer.add_image(channels[i % 2], name=n) for i, n in enumerate(("DAPI", "CD3"))]
    qtbot.waitUntil(lambda: find("image_combo").count() == 3)
    widget.image_panel.setValue(Source(tuple(stains), "YX", (0,)))
    find("new_scribbles_button").click()
    layer_named(viewer, "scribbles [DAPI]").data = tiny_scribbles.labels
    key = widget.session.current
    widget.results._keep(key, (), prediction_of(tiny_tissue.truth))
    settled()
    find("object_table").select(3)
    find("accept_button").click()
    viewer.layers.remove(stains[0])
    wait_for(lambda: any("DAPI" in note for note in notes()))
    settled()
    assert notes() == ["'DAPI' was removed: 'CD3' now has 1 channel."]
    assert widget.session.current == key
    assert widget.session.record.name == "CD3"
    assert widget.session.plane.review.count(Verdict.ACCEPTED) == 1
    assert widget.session.plane.scribbles is not None
    assert {"scribbles [CD3]", "instances [CD3]"} <= set(names(viewer))
    assert widget.workspace.source.layers == (stains[1],)


def test_an_image_whose_file_is_gone_is_said_and_nothing_else(
    widget: Any, viewer: Any, find: Any, qtbot: Any, notes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(dask.config.config, "scheduler", "synchronous")
    away: list[bool] = []

    def read() -> Any:
        if away:
            raise OSError(5, "Input/output error")
        return np.random.default_rng(0).random((40, 50))

    lazy = dask.array.from_delayed(dask.delayed(read, pure=False)(), (40, 50), float)
    viewer.add_image(lazy, name="far", contrast_limits=(0, 1), multiscale=False)
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    find("new_scribbles_button").click()
    strokes = layer_named(viewer, "scribbles [far]")
    strokes.data[5, 5:9], strokes.data[9, 5:9] = 1, 2
    widget.workspace.read_scribbles()
    away.append(True)
    widget.session.forget_copies(widget.session.current)
    find("train_button").click()
    assert any("far cannot be read: " in note for note in notes())
    assert not widget.session.busy


def test_nothing_is_kept_of_an_image_that_is_gone_with_its_layers(
    widget: Any, viewer: Any, predicted: Any, settled: Any, wait_for: Any
) -> None:
    results = widget.workspace.results
    assert results._layers
    for layer in list(viewer.layers):
        viewer.layers.remove(layer)
    settled()
    wait_for(lambda: not widget.workspace._removal_timer.isActive())
    assert not widget.workspace.sources
    assert not widget.workspace._followed
    assert not results._layers
    assert not widget.workspace.scribbles.all()


def test_a_session_saved_in_training_has_the_objects_and_not_the_preview(
    widget: Any, viewer: Any, predicted: Any, tiny_tissue: Any, prediction_of: Any, wait_for: Any,
    save: Any, second_window: Any, open_in: Any, crash: Any,
) -> None:  # fmt: skip
    known = widget.session.plane.instances.copy()
    preview = preview_of(prediction_of(tiny_tissue.truth), (10, 10, 40, 40))
    widget.results.preview((widget.session.current, ()), preview)
    wait_for(lambda: not widget.results._drawing._waiting)
    assert (predicted.data != known).any()
    folder = save(widget)
    crash(widget)
    _, again = second_window()
    open_in(again, folder)
    np.testing.assert_array_equal(again.session.plane.instances, known)
    assert not again.session.plane.previewed
