"""Kinds of cell: named in the list, painted by a key, counted, kept and exported."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_impartial.core.network.model_card import read_card
from napari_impartial.core.network.model_file import load_model
from napari_impartial.core.prediction.result import Prediction


@pytest.fixture
def two_kinds(widget: Any, scribbled: Any, find: Any, wait_for: Any) -> Any:
    """Return the scribble layer, with strokes of two kinds of cell that have names."""
    data = np.asarray(scribbled.data).copy()
    half = data[..., data.shape[-1] // 2 :]
    half[half == 2] = 3
    scribbled.data = data
    wait_for(lambda: len(widget.scribble_panel.classes.value()) == 3)
    for label, name in ((2, "Tumour"), (3, "T cell")):
        find(f"class_{label}_name").setText(name)
        find(f"class_{label}_name").editingFinished.emit()
    return scribbled


def test_names_stand_in_list_and_bar_and_keys_take_their_brushes(
    widget: Any, two_kinds: Any, find: Any, qtbot: Any, notes: Any
) -> None:
    assert find("brush_cell_button").text().startswith("Tumour")
    assert find("brush_class_3_button").text() == "T cell"
    assert "stroke" in find("class_3_counts").text()
    qtbot.keyClick(find("rounds_list"), Qt.Key.Key_W, Qt.KeyboardModifier.ShiftModifier)
    assert (two_kinds.mode, two_kinds.selected_label) == ("paint", 3)
    find("class_3_name").setText("forty characters long, or nearly so much")
    find("class_3_name").editingFinished.emit()
    assert find("class_3_name").cursorPosition() == 0, "read from its beginning"
    find("class_3_name").setText("T cell")
    find("class_3_name").editingFinished.emit()
    find("class_3_name").setText("tumour")
    find("class_3_name").editingFinished.emit()
    assert "Another class is called 'tumour'" in notes()[-1]
    assert find("class_3_name").text() == "T cell"


def test_a_training_has_the_names_and_objects_are_counted_by_kind(
    widget: Any, two_kinds: Any, find: Any, wait_for: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    find("train_button").click()
    wait_for(lambda: widget.session.rounds and not widget.session.busy)
    assert widget.session.card.class_names == ("background", "Tumour", "T cell")
    plane = widget.session.plane
    wait_for(lambda: plane.prediction is not None and plane.instances is not None)
    # What a training of few steps finds is chance: here the kinds are the image's halves.
    probability = np.zeros((3, 96, 96), np.float32)
    probability[0] = 1.0
    for corner, kind in ((8, 1), (40, 1), (72, 2)):
        probability[:, 8:24, corner : corner + 16] = 0.0
        probability[kind, 8:24, corner : corner + 16] = 1.0
    empty = np.zeros((96, 96), np.float32)
    made = Prediction(probability, empty, empty, None, 2)
    widget.workspace.scribbles.clear(widget.workspace.source, ())
    widget.session.set_prediction(widget.session.current, (), made)
    widget.results.set_config(widget.session.instance_config)
    wait_for(lambda: find("class_2_counts").text().endswith("2 objects"))
    assert find("class_3_counts").text().endswith("1 object")

    # What a person painted is not overruled by the map.
    widget.workspace.scribbles.add(
        widget.workspace.source, (), np.pad(np.full((2, 2), 3, np.uint8), ((12, 82), (14, 80)))
    )
    wait_for(lambda: find("class_3_counts").text().endswith("2 objects"))
    find("class_3_name").setText("B cell")
    find("class_3_name").editingFinished.emit()
    target = tmp_path / "renamed.impartial"
    widget.models.save(target)
    assert read_card(target).class_names == ("background", "Tumour", "B cell")
    before = load_model(widget.session.model_path).weights
    after = load_model(target).weights
    assert all((before[name] == after[name]).all() for name in before)

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    widget.exports.export("all", tmp_path)
    wait_for(lambda: not widget.exports.busy)
    with (tmp_path / "tissue_measurements.csv").open(newline="") as file:
        assert sorted(r["class_name"] for r in csv.DictReader(file)) == [
            "B cell",
            "B cell",
            "Tumour",
        ]
    features = json.loads((tmp_path / "tissue_outlines.geojson").read_text())["features"]
    kinds = [feature["properties"]["classification"]["name"] for feature in features]
    assert sorted(kinds) == ["B cell", "B cell", "Tumour"]


def test_names_come_back_with_the_session(
    widget: Any, viewer: Any, two_kinds: Any, second_window: Any, open_in: Any, wait_for: Any
) -> None:
    folder = widget.store.folder
    viewer.close()
    wait_for(lambda: widget.store._closed)
    _, again = second_window()
    open_in(again, folder)
    assert again.session.class_names.kinds(3) == ("Tumour", "T cell")
    wait_for(lambda: again.scribble_panel.classes.value()[2].name == "T cell")
