"""In the window: strokes are not taken for cells, and outlines go to their planes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.gui.plugin import commands
from napari_impartial.gui.scribble import mask_import
from napari_impartial.io.outlines import write_geojson, write_roi_zip


def test_strokes_are_not_offered_as_cells(
    widget: Any,
    viewer: Any,
    add_tissue: Any,
    qtbot: Any,
    notes: Any,
    tiny_tissue: Any,
    tiny_scribbles: Scribbles,
) -> None:
    add_tissue()
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    viewer.add_labels(tiny_scribbles.labels, name="strokes from a file")
    # a scribble layer that is kept as another image's, or as an old one
    viewer.add_labels(np.ones((96, 96), np.uint8), name="old scribbles [tissue]")
    viewer.add_labels(tiny_tissue.truth, name="cells")
    assert mask_import.candidates(widget.workspace) == ["cells"]
    mask_import.from_layer(widget.workspace, "strokes from a file")
    assert "looks like strokes (1 background, 2 cells)" in notes()[-1]
    assert widget.session.plane is None or widget.session.plane.scribbles is None


@pytest.mark.parametrize("axes", [("t", "z", "y", "x"), ("z", "t", "y", "x")])
@pytest.mark.parametrize("suffix", [".zip", ".geojson"])
def test_outlines_go_to_their_planes(
    widget: Any, viewer: Any, qtbot: Any, tmp_path: Path, suffix: str, axes: tuple[str, ...]
) -> None:
    shape = (2, 3) if axes[0] == "t" else (3, 2)
    image = viewer.add_image(np.zeros((*shape, 40, 50)), name="film", axis_labels=axes)
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    labels = np.zeros((2, 3, 40, 50), np.int32)
    labels[1, 2, 5:20, 5:25] = 3
    labels[0, 1, 20:35, 20:40] = 9
    write = write_roi_zip if suffix == ".zip" else write_geojson
    write(tmp_path / f"cells{suffix}", labels, "TZ")
    placed = labels if axes[0] == "t" else labels.swapaxes(0, 1)
    # into the scribbles
    mask_import.from_region_file(widget.workspace, str(tmp_path / f"cells{suffix}"))
    (layer,) = [layer for layer in viewer.layers if layer.name == "scribbles [film]"]
    painted = (layer.data == 2).any(axis=(-2, -1))
    np.testing.assert_array_equal(painted, placed.any(axis=(-2, -1)))
    # and as a layer of their own, on the image's planes or on as many as they need
    viewer.layers.selection.active = image
    commands.import_rois(str(tmp_path / f"cells{suffix}"))
    np.testing.assert_array_equal(viewer.layers[-1].data, placed)
    viewer.layers.selection.active = layer
    commands.import_rois(str(tmp_path / f"cells{suffix}"))
    assert viewer.layers[-1].data.shape[:2] == (2, 3)
    # what is exported by hand lies on the same planes again
    viewer.layers[-1].axis_labels = ("t", "z", "y", "x")
    viewer.layers.selection.active = viewer.layers[-1]
    commands.export_objects(str(tmp_path / f"again{suffix}"))
    viewer.layers.selection.active = image
    commands.import_rois(str(tmp_path / f"again{suffix}"))
    np.testing.assert_array_equal(viewer.layers[-1].data, placed)


def test_what_qupath_says_becomes_features(viewer: Any, tmp_path: Path) -> None:
    ring = [[4, 4], [20, 4], [20, 20], [4, 20], [4, 4]]
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [np.add(ring, 30 * i).tolist()]},
            "properties": {
                "objectType": "cell",
                "name": f"cell {i}",
                "classification": {"name": "Tumor"},
                "measurements": {"Area": 256.0 + i},
            },
        }
        for i in range(2)
    ]
    (tmp_path / "a.geojson").write_text(json.dumps(features))
    (layer,) = viewer.open(str(tmp_path / "a.geojson"), plugin="napari-impartial")
    assert layer.data.max() == 2
    found = layer.features.set_index("index")
    assert found.loc[2, "name"] == "cell 1"
    assert found.loc[2, "class"] == "Tumor"
    assert found.loc[2, "Area"] == 257.0


def test_classes_of_outlines_are_those_of_the_list(
    widget: Any, viewer: Any, add_tissue: Any, qtbot: Any, notes: Any, tmp_path: Path
) -> None:
    add_tissue()
    qtbot.waitUntil(lambda: widget.workspace.source is not None)
    labels = np.zeros((96, 96), np.int32)
    labels[5:20, 5:25] = 3
    labels[5:20, 40:60] = 9
    path = tmp_path / "cells.geojson"
    write_geojson(path, labels, classes={(): {3: "Immune", 9: "Tumor"}})
    mask_import.from_region_file(widget.workspace, str(path))
    (layer,) = [layer for layer in viewer.layers if layer.name == "scribbles [tissue]"]
    assert set(np.unique(layer.data)) == {0, 1, 2}
    assert "several classes (Immune, Tumor)" in notes()[-1]
    layer.undo()
    assert not layer.data.any()
    widget.session.class_names.give(2, "Tumor")
    widget.session.class_names.give(3, "Immune")
    mask_import.from_region_file(widget.workspace, str(path))
    assert set(np.unique(layer.data[:, :30])) == {0, 1, 3}
    assert set(np.unique(layer.data[:, 35:])) == {0, 1, 2}
