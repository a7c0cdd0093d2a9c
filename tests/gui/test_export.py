"""Objects go to other programs' files from the dock."""

from __future__ import annotations

import csv
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_impartial.core.instances.measurements import measure
from napari_impartial.gui.widgets.save_dialog import ask_where
from napari_impartial.io import read_images
from napari_impartial.io.images import open_image
from napari_impartial.io.rois import read_roi_zip


@pytest.fixture
def export(widget: Any, find: Any, wait_for: Any) -> Any:
    """Choose an entry of the menu, and wait until the file is there."""

    def run(kind: str) -> None:
        action = find("export_button")._actions[kind]
        assert action.isEnabled(), kind
        action.trigger()
        wait_for(lambda: not widget.exports.busy)

    return run


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Answer the next dialog for a file or folder."""

    def answer(path: Path) -> None:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(path))

    return answer


def columns(path: Path) -> dict[str, list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_each_kind_of_file(
    widget: Any, find: Any, predicted: Any, export: Any, choose: Any, notes: Any, tmp_path: Path
) -> None:
    labels = widget.session.plane.instances
    choose(tmp_path / "a.tif")
    export("instances")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), labels)
    image = read_images(tmp_path / "a.tif")[0]
    assert image.pixel_size == (0.5, 0.25)
    assert image.pixel_unit == "µm"
    assert notes()[-1] == f"a.tif was written, with the objects of 'tissue', to {tmp_path}."
    choose(tmp_path / "a.zip")
    export("rois")
    again = read_roi_zip(tmp_path / "a.zip", labels.shape)
    np.testing.assert_array_equal(again > 0, labels > 0)
    choose(tmp_path / "a.geojson")
    export("outlines")
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [one["properties"]["label"] for one in features] == np.unique(labels)[1:].tolist()
    choose(tmp_path / "a.csv")
    export("table")
    assert columns(tmp_path / "a.csv")["label"] == [str(i) for i in np.unique(labels)[1:]]
    assert not list(tmp_path.glob(".*")), "no temporary file is left"


def test_a_correction_made_just_before_is_in_the_file(
    widget: Any, predicted: Any, export: Any, choose: Any, tmp_path: Path
) -> None:
    predicted.data_setitem(np.nonzero(predicted.data == 1), 0)
    choose(tmp_path / "a.tif")
    export("instances")
    assert 1 not in tifffile.imread(tmp_path / "a.tif")


def test_only_what_can_work_is_enabled(widget: Any, find: Any, add_tissue: Any, qtbot: Any) -> None:
    button = find("export_button")
    assert not button.isEnabled()
    add_tissue()
    qtbot.waitUntil(lambda: find("new_scribbles_button").isEnabled())
    assert not button.isEnabled()
    assert all(action.toolTip() and action.objectName() for action in button._actions.values())


def test_what_goes_wrong_is_one_sentence(
    widget: Any, viewer: Any, predicted: Any, export: Any, choose: Any, notes: Any, tmp_path: Path
) -> None:
    (tmp_path / "folder.tif").mkdir()
    choose(tmp_path / "folder.tif")
    export("instances")
    assert notes()[-1].endswith("it is a folder; name a file.")
    tifffile.imwrite(tmp_path / "picture.tif", np.zeros((9, 9), np.uint8))
    before = (tmp_path / "picture.tif").read_bytes()
    viewer.open(tmp_path / "picture.tif", plugin="napari")
    choose(tmp_path / "picture.tif")
    export("instances")
    assert "is the file of the layer 'picture'" in notes()[-1]
    assert (tmp_path / "picture.tif").read_bytes() == before


def test_all_images_go_to_a_folder(
    widget: Any,
    viewer: Any,
    find: Any,
    predicted: Any,
    tiny_tissue: Any,
    prediction_of: Any,
    export: Any,
    choose: Any,
    notes: Any,
    wait_for: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = np.stack([np.zeros_like(tiny_tissue.image.channels), tiny_tissue.image.channels])
    viewer.add_image(
        stack,
        name="a/stack",
        axis_labels=("z", "c", "y", "x"),
        scale=(2000, 1, 0.5, 0.5),
        units=("nm", "pixel", "µm", "µm"),
    )
    viewer.add_image(np.zeros((40, 40)), name="empty")
    wait_for(lambda: find("image_combo").count() == 3)
    for name in ("empty", "a/stack"):
        find("image_combo").setCurrentText(name)
    key = widget.session.current
    assert widget.session.record.name == "a/stack"
    widget.results._keep(key, (1,), prediction_of(tiny_tissue.truth))
    wait_for(lambda: widget.session.record.plane((1,)).instances is not None)
    wait_for(lambda: not widget.results._measuring.busy)

    out = tmp_path / "out"
    out.mkdir()
    choose(out)
    export("all")
    ends = ("instances.tif", "measurements.csv", "outlines.geojson", "rois.zip")
    names = [f"{image}_{end}" for image in ("a_stack", "tissue") for end in ends]
    assert sorted(os.listdir(out)) == names
    assert notes()[-1] == (
        f"The objects of 2 images were written to {out}. Left out: 1 image without objects."
    )
    # The sliders act on the plane in view, which has no objects here; of the others that is said.
    find("threshold_slider").setValue(0.6)
    wait_for(lambda: widget.session.instance_config.threshold == 0.6)
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    export("all")
    assert notes()[-1].endswith(
        " 2 planes have objects of earlier settings, since they were not looked at with these."
    )
    known = widget.session.record.plane((1,))
    written = tifffile.imread(out / "a_stack_instances.tif")
    np.testing.assert_array_equal(
        written, np.stack([np.zeros_like(known.instances), known.instances])
    )
    said = open_image(out / "a_stack_instances.tif")
    assert said.spacing == pytest.approx({"Z": 2.0})
    assert (said.planes[0].pixel_size, said.planes[0].pixel_unit) == ((0.5, 0.5), "µm")
    table = columns(out / "a_stack_measurements.csv")
    expected = measure(
        known.instances,
        widget.workspace.sources[key].read((1,)),
        known.prediction.probability,
        known.prediction.entropy,
        doubt=known.doubt,
    )
    assert list(table) == ["z", *expected]
    assert [float(d) for d in table["doubt"]] == pytest.approx(expected["doubt"], abs=1e-5)
    assert set(table["z"]) == {"1"}
    assert table["area_px"] == [str(area) for area in expected["area_px"]]
    assert next(iter(columns(out / "tissue_measurements.csv"))) == "label"

    # What is there already stays unless the user says otherwise.
    asked = []

    def answer(reply: Any) -> None:
        monkeypatch.setattr(QMessageBox, "question", lambda *words: asked.append(words[2]) or reply)

    (out / "tissue_rois.zip").write_text("mine")
    (out / "a_stack_rois.zip").unlink()
    answer(QMessageBox.StandardButton.No)
    export("all")
    assert asked == [f"7 of the files are in {out} already. Replace?"]
    assert (out / "tissue_rois.zip").read_text() == "mine"
    assert not (out / "a_stack_rois.zip").exists()
    answer(QMessageBox.StandardButton.Yes)
    export("all")
    assert (out / "tissue_rois.zip").read_bytes()[:2] == b"PK"
    assert (out / "a_stack_rois.zip").exists()


def test_a_name_that_is_completed_is_asked_about_again(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from qtpy.QtWidgets import QWidget

    parent = QWidget()
    qtbot.addWidget(parent)
    replies, shown = [""], []

    def dialog(_: Any, title: str, name: str, kinds: str) -> tuple[str, str]:
        shown.append(name)
        return replies.pop(0), kinds

    monkeypatch.setattr(QFileDialog, "getSaveFileName", dialog)
    assert ask_where(parent, "Save", "a.csv", "Tables", ".csv") is None
    replies[:] = [str(tmp_path / "b.v2")]
    assert ask_where(parent, "Save", "a.csv", "Tables", ".csv") == tmp_path / "b.v2.csv"
    (tmp_path / "b.csv").touch()
    replies[:] = [str(tmp_path / "b"), str(tmp_path / "c.CSV")]
    assert ask_where(parent, "Save", "a.csv", "Tables", ".csv") == tmp_path / "c.CSV"
    assert shown[-1] == str(tmp_path / "b.csv"), "asked again, with the whole name"


def test_the_model_goes_to_the_zoo(
    widget: Any,
    find: Any,
    scribbled: Any,
    tiny_tissue: Any,
    tiny_scribbles: Any,
    export: Any,
    choose: Any,
    notes: Any,
    wait_for: Any,
    tmp_path: Path,
) -> None:
    pytest.importorskip("bioimageio.spec", reason="of the extra zoo")
    from napari_impartial.core import api
    from napari_impartial.core.config import ModelConfig, TrainingConfig
    from napari_impartial.core.network.model_file import save_model

    model = find("export_button")._actions["model"]
    assert not model.isEnabled()
    training = TrainingConfig(max_steps=3, patch_size=48, batch_size=4, precision="float32")
    made = api.train([tiny_tissue.image], [tiny_scribbles], training, ModelConfig(base_features=8))
    path = save_model(made, tmp_path / "m.impartial")
    widget.session.set_model(path, made.card)
    assert model.isEnabled()
    choose(tmp_path / "cells.zip")
    export("model")
    assert notes()[-1] == (
        f"The model was packaged for the BioImage Model Zoo as {tmp_path / 'cells.zip'}."
    )
    with zipfile.ZipFile(tmp_path / "cells.zip") as archive:
        assert "weights.pt" in archive.namelist()
    # What the process refuses is told in its words.
    choose(tmp_path / "m.impartial")
    widget.exports.export("model", tmp_path / "a.tar")
    wait_for(lambda: not widget.exports.busy)
    assert "does not end in .zip" in notes()[-1]
    assert model.isEnabled()
