"""The manifest: menus, readers, writers and keys, each doing something real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest
from looking import names

import napari_impartial
from napari_impartial.gui.key_actions import KeyActions
from napari_impartial.gui.keybindings import KEYS

MANIFEST = Path(napari_impartial.__file__).parent / "napari.yaml"


@pytest.fixture
def plugin(npe2pm: Any) -> Iterator[npe2.PluginManifest]:
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    with npe2pm.tmp_plugin(manifest=manifest):
        yield manifest


@pytest.fixture
def run(plugin: Any, npe2pm: Any) -> Any:
    return lambda name: npe2pm.commands.execute(f"napari-impartial.{name}")


def dock_of(viewer: Any) -> Any:
    from napari_impartial.gui.plugin.commands import find_dock

    return find_dock(viewer)


def test_every_command_can_be_imported_and_every_menu_runs_one(plugin: Any) -> None:
    from napari._app_model.constants._menus import MenuId

    known = {command.id: command for command in plugin.contributions.commands}
    for command in known.values():
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(__import__(module, fromlist=["x"]), name)), command.id
    menus = plugin.contributions.menus
    assert set(menus) == {
        "napari/layers/segment",
        "napari/layers/annotate",
        "napari/layers/measure",
        "napari/file/io_utilities",
    }
    assert set(menus) <= {str(menu) for menu in MenuId.contributables()}
    assert all(item.command in known for items in menus.values() for item in items)


def test_keys_are_those_of_the_manifest_and_have_actions(plugin: Any) -> None:
    declared = {(one.command, one.key) for one in plugin.contributions.keybindings}
    assert declared == {(f"napari-impartial.{key.action}", key.key) for key in KEYS}
    titles = {command.id: command.title for command in plugin.contributions.commands}
    for key in KEYS:
        assert callable(getattr(KeyActions, key.action))
        assert titles[f"napari-impartial.{key.action}"] == key.words


def test_selected_layers_become_the_channels_of_an_image(viewer: Any, run: Any, notes: Any) -> None:
    run("segment_selected")
    assert "Select an Image layer first" in notes()[-1]
    run("next_place")
    assert "Open the ImPartial dock first" in notes()[-1]
    layers = [viewer.add_image(np.zeros((40, 50)), name=name) for name in ("x", "DAPI", "CD8")]
    viewer.layers.selection = {layers[1], layers[2]}
    run("segment_selected")
    dock = dock_of(viewer)
    assert dock.image_panel.value().layers == (layers[1], layers[2])
    assert dock.image_panel.value().channel_names == ("DAPI", "CD8")
    viewer.layers.selection = {layers[0]}
    run("scribble_on_selected")
    assert dock_of(viewer) is dock, "the dock that is open is used"
    assert "scribbles [x]" in names(viewer)
    assert viewer.layers.selection.active.mode == "paint"


def test_objects_of_any_labels_are_measured(
    viewer: Any, run: Any, notes: Any, tmp_path: Path
) -> None:
    run("measure_selected")
    assert "Select one Labels layer" in notes()[-1]
    data = np.zeros((2, 40, 50), np.int32)
    data[0, 3:7, 5:10], data[1, 20:30, 20:30], data[1, 1:3, 1:3] = 1, 1, 2
    viewer.add_image(data * 10.0, name="DAPI")
    labels = viewer.add_labels(data, name="cells")
    viewer.layers.selection = {labels}
    run("measure_selected")
    from napari_impartial.gui.plugin.measure_widget import MeasureWidget

    (widget,) = (
        made for made in viewer.window.dock_widgets.values() if isinstance(made, MeasureWidget)
    )
    table = widget.measurements
    assert table["axis_0"].tolist() == [0, 1, 1]
    assert table["area_px"].tolist() == [20, 100, 4]
    assert table["mean_DAPI"].tolist() == [10, 10, 20]
    widget.save(str(tmp_path / "cells.csv"))
    assert (tmp_path / "cells.csv").read_text().splitlines()[0].startswith("axis_0,label,")
    viewer.layers.selection = {viewer.add_labels(np.zeros((9, 9), int), name="none")}
    run("measure_selected")
    assert "no objects" in notes()[-1]


def test_rois_go_out_and_come_back(viewer: Any, plugin: Any, notes: Any, tmp_path: Path) -> None:
    from napari_impartial.gui.plugin import commands

    data = np.zeros((40, 50), np.int32)
    data[3:7, 5:10], data[20:30, 20:30] = 1, 2
    labels = viewer.add_labels(data, name="cells")
    viewer.layers.selection = {labels}
    path = tmp_path / "cells.zip"
    commands.export_objects(str(path))
    assert "2 outlines were saved" in notes()[-1]
    image = viewer.add_image(np.zeros((40, 50)), name="x", scale=(0.5, 0.5), translate=(3, 4))
    viewer.layers.selection.active = image
    commands.import_rois(str(path))
    made = viewer.layers[-1]
    np.testing.assert_array_equal(made.data, data)
    np.testing.assert_allclose(made.scale, (0.5, 0.5))
    np.testing.assert_allclose(made.translate, (3, 4))
    # By napari's own Open and Save.
    viewer.layers.selection.active = labels
    (opened,) = viewer.open(path, plugin="napari-impartial")
    assert opened.data.max() == 2
    assert opened.data.shape == (30, 30), "as many pixels as they need"
    assert labels.save(str(tmp_path / "b.geojson"), plugin="napari-impartial")
    assert (tmp_path / "b.geojson").read_text().count('"Feature"') == 2
    commands.export_objects(str(tmp_path / "c.txt"))
    assert "neither .zip" in notes()[-1]


def test_other_zip_files_are_left_alone(tmp_path: Path) -> None:
    import zipfile

    from napari_impartial.gui.plugin.readers_writers import get_reader

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.txt", "no roi")
    assert get_reader(str(tmp_path / "a.zip")) is None
    (tmp_path / "b.zip").write_text("no zip")
    assert get_reader(str(tmp_path / "b.zip")) is None
    assert get_reader([str(tmp_path / "a.zip")]) is None


def test_keys_act_whichever_layer_is_selected(
    widget: Any, viewer: Any, find: Any, add_tissue: Any, qtbot: Any
) -> None:
    image = add_tissue("first")
    qtbot.waitUntil(lambda: find("image_combo").count() == 1)
    add_tissue("second")
    qtbot.waitUntil(lambda: find("image_combo").count() == 2)
    find("add_images_button").click()
    find("new_scribbles_button").click()
    scribbles = next(layer for layer in viewer.layers if layer.name == "scribbles [first]")

    def press(key: str) -> None:
        from app_model.types import KeyBinding

        viewer.keymap[KeyBinding.from_str(key)](viewer)

    viewer.layers.selection.active = image
    press("Q")
    assert (scribbles.mode, scribbles.selected_label) == ("paint", 1)
    assert viewer.layers.selection.active == scribbles
    press("W")
    assert scribbles.selected_label == 2
    press("E")
    assert scribbles.mode == "erase"
    size = scribbles.brush_size
    press("]")
    assert scribbles.brush_size == size + 1
    press("[")
    press("[")
    assert scribbles.brush_size == size - 1
    press("S")
    assert not scribbles.visible
    first = widget.workspace.source.primary
    press("I")
    assert not first.visible
    press("I")
    assert first.visible
    results = widget.workspace.results
    from napari_impartial.gui.layers import Role

    for role in (Role.INSTANCES, Role.PROBABILITY):
        results.write(widget.workspace.source, (), role, np.ones((96, 96), np.int32))
    instances = results.find(widget.workspace.source, Role.INSTANCES)
    probability = results.find(widget.workspace.source, Role.PROBABILITY)
    assert not probability.visible
    press("R")
    assert not instances.visible
    press("R")
    assert instances.visible
    assert not probability.visible, "what was hidden stays hidden"
    press("H")
    heat = results.write(widget.workspace.source, (), Role.UNCERTAINTY, np.ones((96, 96)))
    press("H")
    assert [instances.visible, heat.visible] == [True, True]
    press("H")
    assert [instances.visible, heat.visible] == [True, False]
    press(".")
    assert widget.workspace.source.name == "second"
    press(",")
    assert widget.workspace.source.name == "first"
    press("N")
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: not viewer.keymap)
