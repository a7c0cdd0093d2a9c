"""Nothing lost: the session on disk, and back in a window, with real layers."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from looking import layer_named, names, saved_in, settled
from qtpy.QtWidgets import QMainWindow, QMenu, QWidget

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.table_filter import Condition
from napari_impartial.core.prediction.packing import unpack_map
from napari_impartial.gui.layers.versions import camera_of
from napari_impartial.gui.session import autosave
from napari_impartial.session import locations
from napari_impartial.session.folder import SessionFolder
from napari_impartial.session.locations import OpenSession
from napari_impartial.session.read import read
from napari_impartial.session.saved_state import SavedSession


def strokes_in(folder: Path, image: int = 0) -> np.ndarray:
    scribbles = saved_in(folder).images[image].scribbles
    assert scribbles is not None
    array: np.ndarray = scribbles.data.load()
    return array


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))


def test_a_session_comes_back_and_goes_on(
    widget: Any,
    viewer: Any,
    find: Any,
    scribbled: Any,
    wait_for: Any,
    save: Any,
    second_window: Any,
    max_steps: list[int],
    crash: Any,
) -> None:
    max_steps[0] = 40
    find("train_button").click()
    wait_for(lambda: widget.session.rounds and not widget.session.busy)
    wait_for(lambda: find("count_label").text() and not widget.results._cutting.busy)
    find("threshold_slider").setValue(0.4)
    wait_for(lambda: not widget.results._cutting.busy and not widget.results._pause.isActive())
    find("time_budget_spin").setValue(7)
    camera_of(viewer).zoom = 3.5
    camera_of(viewer).center = (30.0, 25.0)
    image = layer_named(viewer, "tissue")
    image.contrast_limits, image.colormap = (10.0, 90.0), "magma"
    scribbled.colormap.color_dict[2] = np.array([0.0, 1.0, 0.0, 1.0])
    scribbled.paint((3, 3), 2)
    wait_for(lambda: widget.session.plane.instances[3, 3] > 0)  # painted, so it is an object
    settled(widget, wait_for)
    save(widget)
    before = {layer.name: np.array(layer.data) for layer in viewer.layers if layer.ndim == 2}
    count, places = find("count_label").text(), len(widget.results.suggestions.places)
    strokes = scribbled.data.copy()
    crash(widget)

    other, again = second_window()
    part = lambda name: again.findChild(QWidget, name)  # noqa: E731
    assert "1 image, 1 with scribbles, 1 round" in part("restore_label").text()
    assert not part("restore_line").isHidden()
    part("restore_button").click()
    wait_for(lambda: again.session.card is not None and not again.store.busy)
    assert part("restore_line").isHidden()
    settled(again, wait_for)  # doubted objects are in the heatmap once they are cut
    assert names(other) == names(viewer)
    for layer in other.layers:
        if layer.name == "probability [tissue]":
            np.testing.assert_allclose(layer.data, before[layer.name], atol=1e-3)
        elif layer.name == "uncertainty [tissue]":
            # Where a map is near one half, rounding it makes other hills to doubt.
            np.testing.assert_allclose(layer.data, again.session.plane.heat, atol=1e-3)
        elif layer.name in before and layer.name != "suggestions [tissue]":
            np.testing.assert_array_equal(layer.data, before[layer.name], err_msg=layer.name)
        twin = layer_named(viewer, layer.name)
        np.testing.assert_allclose(layer.scale, twin.scale)
        np.testing.assert_allclose(layer.translate, twin.translate)
        assert (layer.units, layer.axis_labels) == (twin.units, twin.axis_labels)
        assert (layer.opacity, layer.visible) == (twin.opacity, twin.visible)
    restored = layer_named(other, "scribbles [tissue]")
    np.testing.assert_array_equal(restored.data, strokes)
    np.testing.assert_allclose(restored.colormap.color_dict[2], (0, 1, 0, 1))
    image = layer_named(other, "tissue")
    assert (image.colormap.name, image.contrast_limits) == ("magma", [10.0, 90.0])
    np.testing.assert_allclose(camera_of(other).center[-2:], (30, 25))
    assert camera_of(other).zoom == pytest.approx(3.5)
    assert other.layers.selection.active == restored
    assert [r.card for r in again.session.rounds] == [r.card for r in widget.session.rounds]
    assert again.session.card == widget.session.card
    assert again.train_panel.value() == widget.train_panel.value()
    assert again.session.instance_config.threshold == pytest.approx(0.4)
    assert len(again.results.suggestions.places) == places
    wait_for(lambda: part("count_label").text() == count)
    wait_for(lambda: part("object_table").model().rowCount() > 0 or count == "0 objects")

    # And on it goes, from the weights and strokes of before.
    wait_for(lambda: part("train_button").isEnabled())
    part("train_button").click()
    wait_for(lambda: not again.session.busy and len(again.session.rounds) == 2)
    assert again.session.card.rounds == 2
    assert names(other) == names(viewer)
    wait_for(lambda: not again.store.busy)
    wait_for(lambda: len(saved_in(again.store.folder).rounds) == 2)
    # The prediction that follows a training is over, too.
    wait_for(lambda: not again.session.busy and not again.results._cutting.busy)
    wait_for(lambda: not again.results._measuring.busy)


def test_the_window_looks_as_it_did(
    widget: Any,
    viewer: Any,
    find: Any,
    predicted: Any,
    save: Any,
    second_window: Any,
    crash: Any,
    open_in: Any,
    notes: Any,
) -> None:
    predicted.opacity, predicted.contour = 0.3, 1
    layer_named(viewer, "probability [tissue]").visible = True
    layer_named(viewer, "uncertainty [tissue]").visible = False
    layer_named(viewer, "suggestions [tissue]").visible = False
    viewer.layers.move(names(viewer).index("instances [tissue]"), 1)
    viewer.layers["uncertainty [tissue]"].name = "unsure"
    widget.result_panel.review.filter.setValue(Condition("area_px", "<", "1000"))
    widget.steps["scribble"].set_open(False)
    folder = save(widget)
    crash(widget)

    other, again = second_window()
    # Another image of the same name, with something on it, is open there.
    other.add_image(np.zeros((40, 40), np.float32), name="tissue")
    other.add_labels(np.ones((40, 40), np.uint8), name="instances [tissue]")
    open_in(again, folder)
    viewer.layers["unsure"].name = "uncertainty [tissue]"
    assert names(other) == ["tissue [1]", "instances [tissue [1]]", *names(viewer)]
    look = lambda one: (one.name, one.visible, one.opacity, str(one.blending))  # noqa: E731
    assert [look(one) for one in [*other.layers][2:]] == [look(one) for one in viewer.layers]
    told = [note for note in notes() if "session" in note]
    assert told == ["The session has a 'tissue'; the one open is 'tissue [1]' now."]
    assert layer_named(other, "instances [tissue]").contour == 1
    assert again.result_panel.review.filter.value() == Condition("area_px", "<", "1000")
    assert {n: step.is_open() for n, step in again.steps.items()} == {
        n: step.is_open() for n, step in widget.steps.items()
    }
    assert not again.steps["scribble"].is_open()


def test_nothing_is_written_before_there_is_something_to_lose(
    widget: Any, viewer: Any, find: Any, add_tissue: Any, qtbot: Any, sessions: Path
) -> None:
    add_tissue()
    qtbot.waitUntil(lambda: find("new_scribbles_button").isEnabled())
    find("new_scribbles_button").click()
    widget.store.save()
    assert not sessions.exists()
    layer_named(viewer, "scribbles [tissue]").paint((5, 5), 1)
    widget.store.save()
    qtbot.waitUntil(lambda: widget.store.saves == 1)
    assert strokes_in(widget.store.folder).any()
    assert find("session_label").text().startswith("Saved")
    assert not find("session_label").isHidden()


def test_a_change_is_saved_before_long(
    widget: Any, scribbled: Any, wait_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert autosave.SAVE_AFTER_MS <= 60_000
    assert widget.store._timer.interval() == autosave.SAVE_AFTER_MS
    assert widget.store._timer.isActive(), "the strokes of the fixture wait to be saved"
    widget.store._timer.start(10)
    wait_for(lambda: widget.store.saves == 1)
    np.testing.assert_array_equal(strokes_in(widget.store.folder), scribbled.data)
    assert not widget.store._timer.isActive(), "nothing has changed since"
    # A stroke that goes on does not put the save off.
    scribbled.paint((8, 8), 1)
    left = widget.store._timer.remainingTime()
    scribbled.paint((9, 9), 1)
    assert widget.store._timer.remainingTime() <= left


def test_it_is_saved_at_each_switch_of_image(
    widget: Any, viewer: Any, find: Any, scribbled: Any, add_tissue: Any, wait_for: Any, qtbot: Any
) -> None:
    add_tissue("second")
    qtbot.waitUntil(lambda: find("image_combo").count() == 2)
    find("image_combo").setCurrentText("second")
    wait_for(lambda: widget.store.saves == 1)
    find("new_scribbles_button").click()
    layer_named(viewer, "scribbles [second]").paint((50, 50), 2)
    find("image_combo").setCurrentText("tissue")
    wait_for(lambda: widget.store.saves >= 2 and not widget.store.busy)
    assert strokes_in(widget.store.folder, 1)[50, 50] == 2
    assert saved_in(widget.store.folder).view.image == 0


def test_only_the_painted_plane_is_written_again(
    widget: Any, viewer: Any, find: Any, save: Any, qtbot: Any
) -> None:
    viewer.add_image(
        np.random.default_rng(0).random((4, 40, 50)), name="stack", axis_labels=("z", "y", "x")
    )
    qtbot.waitUntil(lambda: find("new_scribbles_button").isEnabled())
    find("new_scribbles_button").click()
    layer = layer_named(viewer, "scribbles [stack]")
    layer.paint((0, 5, 5), 1)
    layer.paint((3, 5, 5), 2)
    folder = save(widget)
    before = files(folder)
    layer.paint((3, 20, 20), 2)
    save(widget)
    after = files(folder)
    assert len(before) == len(after) == 3, "the image and two planes"
    assert len(set(before) & set(after)) == 2
    np.testing.assert_array_equal(strokes_in(folder), layer.data)


@pytest.fixture
def on_disk(tmp_path: Path, tiny_tissue: Any) -> Path:
    path = tmp_path / "images" / "cells.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, tiny_tissue.image.channels[0])
    return path


@pytest.fixture
def painted_file(widget: Any, viewer: Any, find: Any, on_disk: Path, qtbot: Any) -> Any:
    """Open an image from a file and scribble on it; returns the scribbles."""
    viewer.open(on_disk, plugin="napari")
    qtbot.waitUntil(lambda: find("new_scribbles_button").isEnabled())
    find("new_scribbles_button").click()
    layer = layer_named(viewer, "scribbles [cells]")
    layer.paint((40, 41), 2)
    return layer


def test_an_image_from_a_file_is_kept_by_its_path(
    widget: Any,
    viewer: Any,
    painted_file: Any,
    on_disk: Path,
    save: Any,
    second_window: Any,
    open_in: Any,
    notes: Any,
    crash: Any,
) -> None:
    layer_named(viewer, "cells").name = "my cells"
    folder = save(widget)
    assert len(files(folder)) == 1, "the strokes alone"
    crash(widget)
    other, again = second_window()
    open_in(again, folder)
    assert names(other) == ["my cells", "scribbles [my cells]"]
    assert layer_named(other, "my cells").source.path == str(on_disk)
    assert layer_named(other, "scribbles [my cells]").data[40, 41] == 2
    assert again.workspace.source.primary == layer_named(other, "my cells")
    assert notes() == []


def test_an_image_that_is_open_already_is_not_opened_twice(
    widget: Any,
    painted_file: Any,
    on_disk: Path,
    save: Any,
    second_window: Any,
    open_in: Any,
    crash: Any,
    wait_for: Any,
) -> None:
    folder = save(widget)
    crash(widget)
    other, again = second_window()
    other.open(on_disk, plugin="napari")
    # With a layer for strokes that nobody has painted on.
    wait_for(lambda: again.workspace.source is not None)
    again.workspace.new_scribbles()
    open_in(again, folder)
    assert names(other) == ["cells", "scribbles [cells]"]
    assert layer_named(other, "scribbles [cells]").data[40, 41] == 2


def test_images_that_moved_with_the_session_are_found(
    widget: Any,
    painted_file: Any,
    on_disk: Path,
    tmp_path: Path,
    wait_for: Any,
    second_window: Any,
    open_in: Any,
    crash: Any,
) -> None:
    widget.store.save_as(on_disk.parent / "session")
    wait_for(lambda: widget.store.saves == 1)
    crash(widget)
    shutil.move(on_disk.parent, tmp_path / "elsewhere")
    other, again = second_window()
    open_in(again, tmp_path / "elsewhere" / "session")
    assert names(other) == ["cells", "scribbles [cells]"]


def test_strokes_come_back_without_their_image(
    widget: Any,
    painted_file: Any,
    on_disk: Path,
    save: Any,
    second_window: Any,
    open_in: Any,
    notes: Any,
    crash: Any,
) -> None:
    folder = save(widget)
    crash(widget)
    on_disk.unlink()
    other, again = second_window()
    open_in(again, folder)
    assert names(other) == ["scribbles [cells]"]
    assert layer_named(other, "scribbles [cells]").data[40, 41] == 2
    assert any("cells.tif is not there any more" in note for note in notes())
    # Still kept, though the image is gone.
    assert saved_in(save(again)).loose[0].name == "scribbles [cells]"


def test_an_image_file_that_changed_is_told(
    widget: Any,
    painted_file: Any,
    on_disk: Path,
    save: Any,
    second_window: Any,
    open_in: Any,
    notes: Any,
    crash: Any,
) -> None:
    folder = save(widget)
    crash(widget)
    tifffile.imwrite(on_disk, np.zeros((96, 96), np.float32))
    other, again = second_window()
    open_in(again, folder)
    assert "scribbles [cells]" in names(other)
    assert any("has changed since the session was saved" in note for note in notes())


def test_pixels_that_were_changed_here_are_kept(
    widget: Any, viewer: Any, painted_file: Any, save: Any
) -> None:
    assert len(files(save(widget))) == 1
    layer = layer_named(viewer, "cells")
    layer.data = layer.data * 2
    folder = save(widget)
    assert len(files(folder)) == 2
    np.testing.assert_array_equal(saved_in(folder).layers[0].data.load(), layer.data)


def test_save_session_as(
    widget: Any,
    scribbled: Any,
    save: Any,
    wait_for: Any,
    tmp_path: Path,
    sessions: Path,
    notes: Any,
    crash: Any,
) -> None:
    automatic = save(widget)
    widget.session_panel.save_wanted.emit(tmp_path / "mine")
    wait_for(lambda: widget.store.folder == tmp_path / "mine" and not widget.store.busy)
    assert not automatic.exists(), "what it was saved in for the time being is gone"
    np.testing.assert_array_equal(strokes_in(tmp_path / "mine"), scribbled.data)
    scribbled.paint((2, 2), 2)
    assert save(widget) == tmp_path / "mine", "it is kept there from now on"
    np.testing.assert_array_equal(strokes_in(tmp_path / "mine"), scribbled.data)
    # Nothing of somebody else's is written over.
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("words")
    widget.store.save_as(tmp_path / "full")
    assert "other files" in notes()[-1]
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]
    crash(widget)
    assert [one.path for one in locations.unfinished()] == [tmp_path / "mine"]


def test_what_is_no_session_is_refused(
    widget: Any, viewer: Any, scribbled: Any, save: Any, open_in: Any, tmp_path: Path, notes: Any
) -> None:
    folder = save(widget)
    before = names(viewer)
    (tmp_path / "photos").mkdir()
    newer = tmp_path / "newer"
    shutil.copytree(folder, newer)
    manifest = json.loads((newer / "session.json").read_text())
    del manifest["digest"]
    for name in ("session.json", "session.copy.json"):
        (newer / name).write_text(json.dumps({**manifest, "format_version": 99}))
    for path, said in ((tmp_path / "photos", "No session is saved"), (newer, "newer version")):
        open_in(widget, path)
        assert said in notes()[-1]
    assert list((tmp_path / "photos").iterdir()) == [], "not even a lock is left there"
    assert names(viewer) == before
    assert save(widget) == folder, "the present session goes on"


def test_one_damaged_file_does_not_keep_the_rest_back(
    widget: Any, scribbled: Any, save: Any, second_window: Any, open_in: Any, notes: Any, crash: Any
) -> None:
    strokes = scribbled.data.copy()
    folder = save(widget)
    crash(widget)
    image = saved_in(folder).layers[0].data.reference["$array"]
    (folder / image).write_bytes(b"II*\x00")
    other, again = second_window()
    open_in(again, folder)
    np.testing.assert_array_equal(layer_named(other, "scribbles [tissue]").data, strokes)
    assert any("damaged" in note for note in notes())
    assert not again.session.busy


def test_opening_takes_the_place_of_the_present_session(
    widget: Any,
    viewer: Any,
    find: Any,
    scribbled: Any,
    painted_elsewhere: Path,
    save: Any,
    open_in: Any,
) -> None:
    first = save(widget)
    viewer.add_points(np.ones((1, 2)), name="mine")
    happened, events = [], viewer.layers.events
    for event in (events.begin_batch, events.removed, events.end_batch):
        event.connect(lambda e: happened.append(e.type))
    open_in(widget, painted_elsewhere)
    # As one batch, after which napari collects garbage once.
    assert happened == ["begin_batch", "removed", "removed", "end_batch"]
    assert sorted(names(viewer)) == ["mine", "other", "scribbles [other]"]
    assert [record.name for record in widget.session.images.values()] == ["other"]
    assert find("image_combo").currentText() == "other"
    assert save(widget) == painted_elsewhere
    # The first one is complete, and was let go of.
    open_in(widget, first)
    np.testing.assert_array_equal(layer_named(viewer, "scribbles [tissue]").data, scribbled.data)
    assert [one.path for one in locations.unfinished()] == []


@pytest.fixture
def painted_elsewhere(tmp_path: Path) -> Path:
    """Return a session that another program run has saved."""
    from napari_impartial.session.folder import Kept
    from napari_impartial.session.saved_state import SavedImage, SavedLayer, to_content

    opened = OpenSession(tmp_path / "elsewhere")
    image, strokes = np.random.default_rng(0).random((30, 40)), np.zeros((30, 40), np.uint8)
    strokes[3:5, 4:9] = 2
    scribbles = SavedLayer("scribbles [other]", Kept(strokes, sparse=True), shape=[30, 40])
    state = SavedSession(
        layers=[SavedLayer("other", Kept(image), shape=[30, 40])],
        images=[SavedImage([0], "YX", [0], scribbles=scribbles)],
    )
    opened.folder.write(to_content(state))
    opened.finish()
    return opened.path


@pytest.fixture
def window_beside(second_window: Any, tiny_tissue: Any, qtbot: Any) -> tuple[Any, Any, Any]:
    """Return a second window with a stroke of its own: viewer, dock and scribbles."""
    other, again = second_window()
    other.add_image(tiny_tissue.image.channels[0], name="tissue")
    button = again.findChild(QWidget, "new_scribbles_button")
    qtbot.waitUntil(button.isEnabled)
    button.click()
    beside = layer_named(other, "scribbles [tissue]")
    beside.paint((5, 5), 1)
    return other, again, beside


def test_two_windows_have_sessions_of_their_own(
    widget: Any,
    viewer: Any,
    scribbled: Any,
    save: Any,
    window_beside: Any,
    open_in: Any,
    notes: Any,
) -> None:
    other, again, beside = window_beside
    first, second = save(widget), save(again)
    assert first != second
    np.testing.assert_array_equal(strokes_in(first), scribbled.data)
    np.testing.assert_array_equal(strokes_in(second), beside.data)
    assert locations.unfinished() == []
    open_in(again, first)
    assert "open in another window" in notes()[-1]
    assert names(other) == ["tissue", "scribbles [tissue]"]


def test_closing_the_viewer_saves_the_last_strokes(
    widget: Any, viewer: Any, scribbled: Any, save: Any, wait_for: Any
) -> None:
    folder = save(widget)
    scribbled.paint((90, 90), 2)
    strokes = scribbled.data.copy()
    viewer.close()
    wait_for(lambda: widget.store._closed)
    np.testing.assert_array_equal(strokes_in(folder), strokes)
    assert locations.unfinished() == [], "closed in good order: not offered"
    OpenSession(folder).finish()


def test_closing_the_dock_saves_the_last_strokes(
    widget: Any, viewer: Any, scribbled: Any, wait_for: Any, sessions: Path
) -> None:
    strokes = scribbled.data.copy()
    folder = widget.store.folder
    viewer.window.remove_dock_widget(widget)
    wait_for(lambda: not viewer.keymap)
    assert not locations._is_locked(folder)
    np.testing.assert_array_equal(strokes_in(folder), strokes)


def test_the_window_is_closed_while_training(
    widget: Any, viewer: Any, find: Any, scribbled: Any, wait_for: Any
) -> None:
    strokes = scribbled.data.copy()
    find("time_budget_spin").setValue(600)
    find("train_button").click()
    wait_for(lambda: widget.store.saves)
    folder = widget.store.folder
    np.testing.assert_array_equal(strokes_in(folder), strokes), "saved at Train"
    wait_for(lambda: find("loss_plot").values("training"))
    viewer.close()
    wait_for(lambda: widget.store._closed)
    np.testing.assert_array_equal(strokes_in(folder), strokes)


def test_the_offer_is_declined(
    widget: Any, find: Any, scribbled: Any, save: Any, second_window: Any, crash: Any
) -> None:
    folder = save(widget)
    crash(widget)
    _, again = second_window()
    line = again.findChild(QWidget, "restore_line")
    assert not line.isHidden()
    again.findChild(QWidget, "discard_button").click()
    assert line.isHidden()
    assert locations.unfinished() == []
    assert strokes_in(folder).any(), "it can still be opened"


def test_the_last_sessions_are_in_a_menu(
    widget: Any, viewer: Any, scribbled: Any, save: Any, second_window: Any, wait_for: Any
) -> None:
    folder, strokes = save(widget), scribbled.data.copy()
    menu = widget.findChild(QMenu, "open_session_menu")
    menu.aboutToShow.emit()
    assert [action.text() for action in menu.actions() if action.text()] == ["Choose a folder..."]
    viewer.window.remove_dock_widget(widget)
    wait_for(lambda: widget.store._closed)
    (folder.parent / "no session").mkdir()
    again, dock = second_window()
    dock.findChild(QWidget, "discard_button").click()
    menu = dock.findChild(QMenu, "open_session_menu")
    menu.aboutToShow.emit()
    first, *_, last = menu.actions()
    assert first.text().endswith(": 1 image, 1 with scribbles")
    assert first.toolTip() == str(folder)
    assert last.text() == "Choose a folder..."
    first.trigger()
    wait_for(lambda: "scribbles [tissue]" in names(again))
    np.testing.assert_array_equal(layer_named(again, "scribbles [tissue]").data, strokes)


def test_sessions_in_folders_of_their_own_are_in_the_menu(
    widget: Any, scribbled: Any, save: Any, wait_for: Any, tmp_path: Path, second_window: Any
) -> None:
    save(widget)
    widget.store.save_as(tmp_path / "liver study")
    wait_for(lambda: not widget.store.busy)
    widget.store.close()
    (known,) = locations.closed()
    assert (known.path, known.named) == (tmp_path / "liver study", True)
    _, dock = second_window()
    menu = dock.findChild(QMenu, "open_session_menu")
    menu.aboutToShow.emit()
    assert menu.actions()[0].text().startswith("'liver study', ")
    shutil.rmtree(known.path)
    assert locations.closed() == []


def test_removed_scribbles_are_kept_and_brought_back(
    widget: Any,
    viewer: Any,
    scribbled: Any,
    save: Any,
    second_window: Any,
    open_in: Any,
    find: Any,
    crash: Any,
) -> None:
    strokes = scribbled.data.copy()
    save(widget)
    viewer.layers.remove(scribbled)
    folder = save(widget)
    np.testing.assert_array_equal(strokes_in(folder), strokes)
    crash(widget)
    other, again = second_window()
    open_in(again, folder)
    assert names(other) == ["tissue"], "as it was left"
    again.findChild(QWidget, "new_scribbles_button").click()
    np.testing.assert_array_equal(layer_named(other, "scribbles [tissue]").data, strokes)


def test_scribbles_of_a_removed_image_are_kept(
    widget: Any, viewer: Any, scribbled: Any, save: Any, wait_for: Any
) -> None:
    strokes = scribbled.data.copy()
    save(widget)
    viewer.layers.remove(layer_named(viewer, "tissue"))
    wait_for(lambda: widget.session.record is None)
    # With its last image the session ends: what it was is kept, and a new one begins.
    first = widget.store.folder
    save(widget)
    np.testing.assert_array_equal(strokes_in(first), strokes)
    second = save(widget)
    assert second != first
    (loose,) = saved_in(second).loose
    np.testing.assert_array_equal(loose.data.load(), strokes)


def test_clearing_the_viewer_does_not_write_the_session_over(
    widget: Any, viewer: Any, scribbled: Any, save: Any, qtbot: Any
) -> None:
    strokes = scribbled.data.copy()
    folder = save(widget)
    viewer.layers.clear()
    qtbot.wait(300)
    widget.store.save()
    qtbot.waitUntil(lambda: not widget.store.busy)
    np.testing.assert_array_equal(strokes_in(folder), strokes)
    assert widget.store.folder != folder


def test_undo_and_redo_are_saved_and_not_disturbed(widget: Any, scribbled: Any, save: Any) -> None:
    before = scribbled.data.copy()
    scribbled.paint((70, 70), 2)
    painted = scribbled.data.copy()
    assert (painted != before).any()
    folder = save(widget)
    np.testing.assert_array_equal(strokes_in(folder), painted)
    scribbled.undo()
    np.testing.assert_array_equal(scribbled.data, before)
    np.testing.assert_array_equal(strokes_in(save(widget)), before)
    scribbled.redo()
    np.testing.assert_array_equal(strokes_in(save(widget)), painted)
    np.testing.assert_array_equal(scribbled.data, painted)


def test_a_save_that_fails_is_told_once_and_tried_again(
    widget: Any, scribbled: Any, wait_for: Any, monkeypatch: pytest.MonkeyPatch, notes: Any
) -> None:
    tries = []

    def full(*_: Any) -> None:
        tries.append(1)
        raise ImPartialError("Cannot write session.json: no space left on device.")

    with monkeypatch.context() as patched:
        patched.setattr(SessionFolder, "write", full)
        for n in (1, 2):
            widget.store.save()
            wait_for(lambda n=n: len(tries) == n and not widget.store.busy)
    assert [note for note in notes() if "no space left" in note] == notes()
    assert len(notes()) == 1
    assert widget.store._timer.isActive(), "it is tried again before long"
    widget.store.save()
    wait_for(lambda: widget.store.saves == 1)
    np.testing.assert_array_equal(strokes_in(widget.store.folder), scribbled.data)


def test_a_session_that_cannot_be_written_goes_on_elsewhere(
    widget: Any,
    viewer: Any,
    painted_elsewhere: Path,
    open_in: Any,
    save: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opener = OpenSession.__init__

    def denied(self: OpenSession, path: Path) -> None:
        if path == painted_elsewhere:
            raise ImPartialError(f"The session in {path} cannot be written: permission denied.")
        opener(self, path)

    monkeypatch.setattr(OpenSession, "__init__", denied)
    open_in(widget, painted_elsewhere)
    assert "scribbles [other]" in names(viewer)
    folder = save(widget)
    assert folder != painted_elsewhere
    assert strokes_in(folder).any()


def test_the_window_is_not_held_up_by_a_save(
    widget: Any, viewer: Any, find: Any, qtbot: Any, save: Any, wait_for: Any
) -> None:
    # 64 MB of image and 16 MB of strokes: to write them takes a good part of a second.
    viewer.add_image(np.random.default_rng(0).random((4096, 4096), np.float32), name="large")
    qtbot.waitUntil(lambda: find("new_scribbles_button").isEnabled())
    find("new_scribbles_button").click()
    layer = layer_named(viewer, "scribbles [large]")
    layer.data[::7, ::5] = 1
    layer.paint((9, 9), 2)
    widget.store.save()
    wait_for(lambda: widget.store.saves == 1)
    held = []
    for n in range(5):
        layer.paint((50, 50 + n), 2)
        begin = time.thread_time()
        widget.store.save()
        held.append(time.thread_time() - begin)
        wait_for(lambda n=n: widget.store.saves == n + 2)
    assert min(held) < 0.02, held


def test_windows_are_closed_by_their_x_while_training(
    widget: Any,
    viewer: Any,
    find: Any,
    scribbled: Any,
    save: Any,
    window_beside: Any,
    children: Any,
    wait_for: Any,
    notes: Any,
) -> None:
    other, again, beside = window_beside
    find("time_budget_spin").setValue(600)
    find("train_button").click()
    wait_for(lambda: find("loss_plot").values("training"))
    scribbled.paint((90, 90), 2)
    strokes, folder, models = scribbled.data.copy(), widget.store.folder, widget.process.folder
    training = widget.process.pid

    close_by_x(widget, viewer)
    wait_for(lambda: widget.store._closed and not models.exists())
    (child,) = [child for child in children if child.pid == training]
    wait_for(lambda: child.poll() is not None)
    np.testing.assert_array_equal(strokes_in(folder), strokes)
    OpenSession(folder).finish()

    # The other window goes on, and is closed in the same way.
    beside.paint((20, 20), 2)
    strokes, second = beside.data.copy(), save(again)
    np.testing.assert_array_equal(strokes_in(second), strokes)
    beside.paint((30, 30), 2)
    strokes = beside.data.copy()
    close_by_x(again, other)
    wait_for(lambda: again.store._closed)
    np.testing.assert_array_equal(strokes_in(second), strokes)
    assert locations.unfinished() == [], "both were closed in good order"
    assert notes() == []


def close_by_x(widget: Any, viewer: Any) -> None:
    """Close a viewer's window as the window manager does, and not with `viewer.close()`."""
    main = widget.window()
    assert isinstance(main, QMainWindow)
    # Where the window was is nothing that the settings of whoever runs this should learn.
    main._save_current_window_settings = lambda: None  # type: ignore[attr-defined]
    main.close()
    # The viewer is told nothing of it, and the test's viewer is closed once more later on.
    window = viewer.__wrapped__.window
    window._teardown()
    del window._qt_window


def test_a_sample_that_was_only_looked_at_is_no_session(
    viewer: Any, widget: Any, find: Any, wait_for: Any
) -> None:
    viewer.open_sample("napari-impartial", "multiplex_tissue")
    wait_for(lambda: widget.session.record is not None and widget.session.record.annotated)
    widget.store.save()
    assert not widget.store.busy
    assert not widget.store.folder.exists()
    scribbles = widget.workspace.scribbles.find(widget.workspace.source)
    scribbles.paint((5, 5), 1)
    widget.store.save()
    wait_for(lambda: widget.store.saves == 1 and not widget.store.busy)


def test_where_objects_are_in_doubt_comes_back(
    widget: Any, predicted: Any, save: Any, wait_for: Any
) -> None:
    plane = widget.session.record.plane(())
    wait_for(lambda: plane.raw_doubt is not None)
    doubt = plane.raw_doubt.copy()
    assert doubt.any()
    saved = read(SessionFolder(save(widget)))
    kept = saved.images[0].planes[0].doubt
    assert isinstance(kept, np.ndarray)
    np.testing.assert_allclose(unpack_map(kept), doubt, atol=1e-4)
