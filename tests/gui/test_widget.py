"""The main job and its mishaps in a real window with a real training process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looking import layer_named, names
from scipy import ndimage

from napari_impartial.core.instances.strokes import find_strokes
from napari_impartial.core.network.model_card import read_card
from napari_impartial.gui.layers.versions import camera_of

RESULTS = ["probability [tissue]", "uncertainty [tissue]", "instances [tissue]"]


def idle(widget: Any) -> bool:
    return not widget.session.busy and not widget.results._cutting.busy


@pytest.fixture
def train(widget: Any, find: Any, wait_for: Any) -> Callable[[], None]:
    """Train, stop after a few reports, and wait for the results."""

    def run(button: str = "train_button") -> None:
        reports: list[Any] = []
        widget.training.progressed.connect(reports.append)
        find(button).click()
        wait_for(lambda: len(reports) >= 3)
        find("stop_button").click()
        wait_for(lambda: idle(widget) and widget.results.suggestions.places)
        widget.training.progressed.disconnect(reports.append)

    return run


def test_the_whole_loop(
    widget: Any,
    viewer: Any,
    find: Any,
    scribbled: Any,
    wait_for: Any,
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    notes: Any,
    max_steps: list[int],
) -> None:
    # So many steps give the same result on a machine that is busy with other things.
    max_steps[0] = 200
    find("train_button").click()
    assert not find("train_button").isEnabled()
    plot = find("loss_plot")
    wait_for(lambda: len(plot.values("training")) >= 3)
    assert find("progress_bar").value() > 0
    assert find("status_label").text().startswith("Training")
    wait_for(lambda: idle(widget) and widget.results.suggestions.places)
    assert plot.values("training")[-1] < plot.values("training")[0], "the loss falls"

    # Results lie where the image lies.
    image = layer_named(viewer, "tissue")
    for name in RESULTS:
        layer = layer_named(viewer, name)
        assert layer.data.shape == (96, 96)
        np.testing.assert_allclose(layer.scale, image.scale[1:])
        np.testing.assert_allclose(layer.translate, image.translate[1:])
        assert layer.units == image.units[1:]
        assert layer.axis_labels == ("y", "x")
    n_objects = int(layer_named(viewer, "instances [tissue]").data.max())
    assert n_objects > 0
    assert find("count_label").text() == f"{n_objects} objects"
    wait_for(lambda: find("object_table").model().rowCount() == n_objects)

    # The threshold acts on what is cached; the process is not asked.
    asked: list[Any] = []
    monkeypatch.setattr(widget.process, "run", lambda *_: asked.append(1))
    before = find("count_label").text()
    drawn = layer_named(viewer, "instances [tissue]")
    at_first = np.array(drawn.data)
    find("threshold_slider").setValue(0.99)
    wait_for(lambda: not np.array_equal(drawn.data, at_first) and idle(widget))
    assert np.count_nonzero(drawn.data) < np.count_nonzero(at_first)
    find("threshold_slider").setValue(0.5)
    wait_for(lambda: find("count_label").text() == before)
    smallest = find("min_size_slider").value()
    find("min_size_slider").setValue(10_000)
    painted = find_strokes(widget.session.plane.scribbles.labels).count
    wait_for(lambda: find("count_label").text() == f"{painted} objects")
    find("min_size_slider").setValue(smallest)
    wait_for(lambda: find("count_label").text() == before)
    assert not asked
    monkeypatch.undo()

    # Next goes to an uncertain place off the scribbles, with the brush in hand.
    viewer.layers.selection.active = image
    find("next_button").click()
    place = widget.results.suggestions.places[0].suggestion
    entropy = layer_named(viewer, "uncertainty [tissue]").data
    assert scribbled.data[place.y, place.x] == 0
    y0, x0, y1, x1 = place.box
    unsure = ndimage.uniform_filter(np.where(scribbled.data > 0, 0, entropy), 24, mode="constant")
    assert unsure[place.y, place.x] > np.quantile(unsure, 0.9)
    centre = scribbled.data_to_world(((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2))
    np.testing.assert_allclose(camera_of(viewer).center[-2:], centre)
    assert viewer.layers.selection.active == scribbled
    assert scribbled.mode == "paint"
    assert len(layer_named(viewer, "suggestions [tissue]").data) == len(
        widget.results.suggestions.places
    )
    assert find("suggestion_list").count() == len(widget.results.suggestions.places)

    # Clicking a row leads to the object.
    table = find("object_table")
    wait_for(lambda: table.model().rowCount() == n_objects and not widget.results._measuring.busy)
    table.selectRow(n_objects - 1)
    assert layer_named(viewer, "instances [tissue]").selected_label == n_objects

    # Again and again: layers are updated, not piled up.
    layers, rounds = names(viewer), len(widget.session.rounds)
    max_steps[0] = 10
    for button in ("train_button", "predict_button"):
        find(button).click()
        wait_for(lambda: idle(widget))
        find("new_scribbles_button").click()
    assert names(viewer) == layers
    assert len(widget.session.rounds) == rounds + 1
    assert widget.session.card.rounds == 2

    # A saved model does the same again.
    path = tmp_path / "model.impartial"
    widget.models.save(path)
    assert read_card(path) == widget.session.card
    widget.models.load(path)
    wait_for(lambda: idle(widget))
    find("copy_command_button").click()
    from qtpy.QtWidgets import QApplication

    copied = QApplication.clipboard().text()
    assert copied.startswith("napari-impartial predict"), "a model from a file was not trained here"
    assert f"--model {path}" in copied
    assert not [note for note in notes() if "wrong" in note]


def test_strokes_join_and_a_preview_appears_while_training(
    widget: Any, viewer: Any, find: Any, scribbled: Any, wait_for: Any
) -> None:
    find("time_budget_spin").setValue(600)
    scribbled.data[40:42, 40:44] = 0
    find("train_button").click()
    items = widget.training._items
    wait_for(lambda: find("progress_bar").value() > 0 or find("loss_plot").values("training"))
    scribbled.paint(scribbled.world_to_data((10 + 41 * 0.5, 20 + 41 * 0.25)), 1)
    wait_for(lambda: widget.training._items is not items)
    assert widget.training._items[0].scribbles.labels[41, 41] == 1
    wait_for(lambda: "instances [tissue]" in names(viewer))
    assert layer_named(viewer, "uncertainty [tissue]").data.any()
    assert viewer.layers.selection.active == scribbled, "painting goes on undisturbed"

    find("pause_button").click()
    assert find("pause_button").text() == "Resume"
    assert find("status_label").text() == "Training is paused."
    find("pause_button").click()
    find("stop_button").click()
    wait_for(lambda: idle(widget) and widget.results.suggestions.places)
    assert widget.session.card.seconds < 600


def test_nothing_can_be_pressed_that_cannot_work(widget: Any, find: Any, notes: Any) -> None:
    for name in ("new_scribbles_button", "train_button", "predict_button", "next_button"):
        assert not find(name).isEnabled()
    assert widget.steps["image"]._hint.text()
    # Called by a key or a script nevertheless.
    widget.workspace.new_scribbles()
    widget._train(widget.train_panel.value(), anew=True)
    widget.results.predict()
    widget.refine_panel.go_next()
    said = notes()
    assert len(said) == 3
    assert all(note.endswith(".") for note in said)
    assert not widget.session.busy


def test_what_is_missing_is_said(
    widget: Any, find: Any, add_tissue: Any, qtbot: Any, viewer: Any
) -> None:
    add_tissue()
    qtbot.waitUntil(lambda: find("new_scribbles_button").isEnabled())
    hint = widget.steps["train"]._hint.text
    assert "strokes" in hint()
    find("new_scribbles_button").click()
    layer = layer_named(viewer, "scribbles [tissue]")
    layer.paint((10, 10), 2)
    qtbot.waitUntil(lambda: "background" in hint().lower())
    assert not find("train_button").isEnabled()
    layer.paint((50, 50), 1)
    qtbot.waitUntil(lambda: find("train_button").isEnabled())
    assert hint() == ""


def test_scribbles_that_do_not_fit_are_told(
    widget: Any, viewer: Any, find: Any, add_tissue: Any, qtbot: Any, notes: Any
) -> None:
    viewer.add_labels(np.ones((50, 60), np.uint8), name="scribbles [tissue]")
    add_tissue()
    qtbot.waitUntil(lambda: any("shape" in note for note in notes()))
    assert not find("train_button").isEnabled()
    viewer.layers.remove(layer_named(viewer, "scribbles [tissue]"))
    qtbot.waitUntil(lambda: find("new_scribbles_button").isEnabled())


def test_the_child_is_killed(
    widget: Any, viewer: Any, find: Any, scribbled: Any, wait_for: Any, train: Any, notes: Any
) -> None:
    before = scribbled.data.copy()
    find("time_budget_spin").setValue(600)
    find("train_button").click()
    wait_for(lambda: find("loss_plot").values("training"))
    os.kill(widget.process.pid, signal.SIGKILL)
    wait_for(lambda: idle(widget))
    assert any("memory" in note and "scribbles are untouched" in note for note in notes())
    np.testing.assert_array_equal(scribbled.data, before)
    train()
    assert set(RESULTS) <= set(names(viewer)), "the next training works"


@pytest.mark.parametrize("what", ["tissue", "scribbles [tissue]"])
def test_a_layer_is_removed_while_training(
    widget: Any, viewer: Any, find: Any, scribbled: Any, wait_for: Any, notes: Any, what: str
) -> None:
    strokes = scribbled.data.copy()
    find("time_budget_spin").setValue(600)
    find("train_button").click()
    wait_for(lambda: find("loss_plot").values("training"))
    viewer.layers.remove(layer_named(viewer, what))
    wait_for(lambda: widget.session.record is None if what == "tissue" else notes())
    find("stop_button").click()
    wait_for(lambda: idle(widget) and widget.session.card is not None)
    if what == "tissue":
        assert "scribbles [tissue]" in names(viewer)
        assert not find("predict_button").isEnabled()
    else:
        assert any("New scribbles to bring" in note for note in notes())
        find("new_scribbles_button").click()
        wait_for(lambda: find("train_button").isEnabled())
    np.testing.assert_array_equal(layer_named(viewer, "scribbles [tissue]").data, strokes)


def test_layers_are_renamed_while_training(
    widget: Any, viewer: Any, find: Any, scribbled: Any, wait_for: Any
) -> None:
    find("time_budget_spin").setValue(600)
    find("train_button").click()
    wait_for(lambda: "uncertainty [tissue]" in names(viewer))
    layer_named(viewer, "tissue").name = "liver"
    wait_for(lambda: find("image_combo").currentText() == "liver")
    find("stop_button").click()
    wait_for(lambda: idle(widget) and widget.results.suggestions.places)
    assert "scribbles [liver]" in names(viewer)
    assert "instances [liver]" in names(viewer)
    assert not [name for name in names(viewer) if "tissue" in name]


def test_the_window_is_closed_while_training(
    widget: Any, viewer: Any, find: Any, scribbled: Any, wait_for: Any, children: Any, notes: Any
) -> None:
    find("time_budget_spin").setValue(600)
    find("train_button").click()
    wait_for(lambda: find("loss_plot").values("training"))
    folder = widget.process.folder
    assert children[-1].poll() is None
    viewer.close()
    wait_for(lambda: children[-1].poll() is not None and not folder.exists())
    assert notes() == []


def test_a_file_that_is_no_model_is_refused(
    widget: Any, find: Any, tmp_path: Path, notes: Any
) -> None:
    path = tmp_path / "broken.impartial"
    path.write_bytes(b"no model")
    widget.models.load(path)
    assert "not a model" in notes()[-1]
    assert widget.session.card is None
    assert not find("save_model_button").isEnabled()


def test_masks_become_scribbles(
    widget: Any, viewer: Any, find: Any, add_tissue: Any, tiny_tissue: Any, qtbot: Any
) -> None:
    add_tissue()
    viewer.add_labels(tiny_tissue.truth, name="truth")
    qtbot.waitUntil(lambda: find("import_button").isEnabled())
    assert find("import_combo").currentText() == "truth"
    find("import_button").click()
    qtbot.waitUntil(lambda: find("train_button").isEnabled())
    painted = layer_named(viewer, "scribbles [tissue]").data
    assert (tiny_tissue.truth[painted == 2] > 0).all()
    assert not find("class_2_counts").text().startswith("0 strokes")


def test_a_second_image_joins_the_set(
    widget: Any, viewer: Any, find: Any, scribbled: Any, add_tissue: Any, qtbot: Any
) -> None:
    add_tissue("second")
    qtbot.waitUntil(lambda: find("image_combo").count() == 2)
    assert find("image_combo").currentText() == "tissue", "what was picked stays picked"
    find("image_combo").setCurrentText("second")
    assert find("train_button").isEnabled(), "the first image's scribbles are enough"
    find("new_scribbles_button").click()
    layer_named(viewer, "scribbles [second]").paint((10, 10), 2)
    qtbot.waitUntil(lambda: len(widget.session.scribbled()) == 2)
    assert find("image_list").model().rowCount() == 2
    assert len(widget.workspace.training_set()) == 2


def test_the_manifest_opens_the_widget_and_the_samples(
    viewer: Any, qtbot: Any, npe2pm: Any
) -> None:
    import npe2

    import napari_impartial

    manifest = npe2.PluginManifest.from_file(Path(napari_impartial.__file__).parent / "napari.yaml")
    with npe2pm.tmp_plugin(manifest=manifest):
        viewer.open_sample("napari-impartial", "multiplex_tissue")
        _, made = viewer.window.add_plugin_dock_widget("napari-impartial", "ImPartial")
    source = made.image_panel.value()
    assert source.name == "nucleus"
    assert len(source.channel_names) == 3, "layers of one sample are channels of one image"
    qtbot.waitUntil(lambda: made.session.missing_for_training() == "")


def test_the_dock_is_closed_and_opened_again(
    widget: Any, viewer: Any, find: Any, scribbled: Any, children: Any, wait_for: Any
) -> None:
    from napari_impartial.gui.dock_widget import ImPartialWidget

    wait_for(lambda: children)
    viewer.window.remove_dock_widget(widget)
    wait_for(lambda: children[-1].poll() is not None)
    # Nobody is listening any more, and nothing was lost.
    scribbled.paint((50, 50), 1)
    viewer.add_image(np.zeros((9, 9)))
    again = ImPartialWidget(viewer)
    viewer.window.add_dock_widget(again, name="ImPartial again")
    again.image_panel._combo.setCurrentText("tissue")
    assert again.session.missing_for_training() == ""
    assert again.workspace.scribbles.find(again.workspace.source) == scribbled


def test_the_brush_in_hand_is_shown(widget: Any, find: Any, scribbled: Any) -> None:
    buttons = [find(f"brush_{name}_button") for name in ("background", "cell", "eraser")]

    def shown() -> list[bool]:
        return [button.isChecked() for button in buttons]

    assert shown() == [False, True, False]
    buttons[0].click()
    assert (scribbled.mode, scribbled.selected_label) == ("paint", 1)
    scribbled.mode = "erase"
    assert shown() == [False, False, True]
    scribbled.mode = "pan_zoom"
    assert shown() == [False, False, False]


def test_the_table_of_objects_has_what_room_is_left(widget: Any, find: Any, qtbot: Any) -> None:
    for name, step in widget.steps.items():
        step.set_open(name == "result")
    widget.setParent(None)
    widget.resize(400, 500)
    widget.show()
    table = find("object_table")
    find("result_step").setVisible(True)
    widget.result_panel.review.setVisible(True)
    qtbot.waitUntil(lambda: table.height() == table.minimumHeight())
    widget.resize(400, 1000)
    qtbot.waitUntil(lambda: table.height() > 2 * table.minimumHeight())
    titles = [step.height() for name, step in widget.steps.items() if name != "result"]
    assert max(titles) - min(titles) < 4, "closed steps take none of it"
    widget.steps["result"].set_open(False)
    qtbot.waitUntil(lambda: widget.steps["result"].height() < 2 * min(titles))
    widget.hide()
