"""The objects of a slide, written for other programs with decisions about them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.measure import label

from napari_impartial.core.errors import ImPartialError
from napari_impartial.io import read_labels
from napari_impartial.io.ome_zarr import open_labels
from napari_impartial.io.region_files import read_regions
from napari_impartial.io.regions import rasterise
from napari_impartial.slides import export as module
from napari_impartial.slides.export import Results, export
from napari_impartial.slides.job import only_one, part_of


@pytest.fixture
def labels() -> Any:
    """Blobs, many of which lie across chunks of 256 px, and one with a hole."""
    noise = np.random.default_rng(3).random((700, 600))
    from scipy import ndimage

    found = label(ndimage.gaussian_filter(noise, 6) > 0.505).astype(np.int32)
    found[500:640, 300:420] = 0
    found[500:640, 300:420] = found.max() + 1
    found[540:560, 340:360] = 0
    return found


@pytest.fixture
def results(tmp_path: Path, labels: Any, write_results: Any) -> Results:
    n = len(np.unique(labels)) - 1
    kinds = np.where(np.arange(n) % 2, "NA", "tumour")
    made = write_results(tmp_path / "results", labels, class_name=kinds)
    return Results(**made, verdicts={2: "rejected", 3: "accepted", 5: "rejected"})


def test_all_is_written_as_it_was_decided(
    results: Results, labels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small enough that objects are read in parts of their row, and one alone.
    monkeypatch.setattr(module, "_OBJECTS_AT_ONCE", 7)
    monkeypatch.setattr(module, "_MOST_PX", 100 * 100)
    targets = {
        "instances": tmp_path / "a.ome.zarr",
        "outlines": tmp_path / "a.geojson",
        "measurements": tmp_path / "a.csv",
        "suggestions": tmp_path / "a.json",
    }
    told: list[float] = []
    export(results, targets, told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0, abs=0.1)
    wanted = np.where(np.isin(labels, [2, 5]), 0, labels)
    np.testing.assert_array_equal(read_labels(targets["instances"]), wanted)
    coarse = open_labels(targets["instances"], 1)
    np.testing.assert_array_equal(np.asarray(coarse.array), wanted[::2, ::2])
    with targets["measurements"].open() as file:
        rows = {int(row["label"]): row for row in csv.DictReader(file)}
    assert sorted(rows) == np.unique(wanted)[1:].tolist()
    assert rows[3]["review"] == "accepted"
    assert {row["review"] for number, row in rows.items() if number != 3} == {""}
    # Outlines give the same pixels back, across any number of chunks.
    regions = read_regions(targets["outlines"])
    drawn = rasterise(regions, labels.shape)
    np.testing.assert_array_equal(drawn, wanted)
    assert {one.classification for one in regions} == {"NA", "tumour"}
    assert read_labels(results.store).max() == labels.max(), "what is read stays"


def test_outlines_are_in_pixels_of_the_finest_resolution(
    tmp_path: Path, write_results: Any
) -> None:
    labels = np.zeros((300, 300), np.int32)
    labels[10:20, 100:130] = 1
    made = write_results(tmp_path / "results", labels)
    export(Results(**made, factor=(4.0, 2.0)), {"outlines": tmp_path / "a.geojson"}, lambda _: None)
    (feature,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    ring = np.array(feature["geometry"]["coordinates"][0])
    assert ring.min(axis=0).tolist() == [200.0, 40.0]
    assert ring.max(axis=0).tolist() == [260.0, 80.0]


def test_what_cannot_be_written_is_said(results: Results, tmp_path: Path) -> None:
    for kind, path in (("outlines", results.table), ("instances", results.store / "labels")):
        with pytest.raises(ImPartialError, match="belongs to the results"):
            export(results, {kind: path}, lambda _: None)
    (tmp_path / "full").write_text("no folder")
    with pytest.raises(ImPartialError, match="no zarr store"):
        export(results, {"instances": tmp_path / "full"}, lambda _: None)
    everything = {int(i): "rejected" for i in np.unique(read_labels(results.store))}
    none = Results(results.store, results.table, results.places, everything)
    with pytest.raises(ImPartialError, match="no object"):
        export(none, {"outlines": tmp_path / "a.geojson"}, lambda _: None)
    assert not (tmp_path / "a.geojson").exists()
    # A table of another run.
    text = results.table.read_text().splitlines()
    results.table.write_text("\n".join([text[0], "9999" + text[1][1:], *text[2:]]))
    with pytest.raises(ImPartialError, match="different runs"):
        export(results, {"outlines": tmp_path / "a.geojson"}, lambda _: None)
    results.table.write_text("a,b\n1,2\n")
    with pytest.raises(ImPartialError, match="no table of objects"):
        export(results, {"measurements": tmp_path / "a.csv"}, lambda _: None)


def test_results_do_not_change_while_they_are_written(results: Results, tmp_path: Path) -> None:
    store = part_of(results.store)
    with only_one(store, "busy"), pytest.raises(ImPartialError, match="is being predicted"):
        export(results, {"instances": tmp_path / "a.ome.zarr"}, lambda _: None)
    assert not (tmp_path / "a.ome.zarr").exists()

    def predict_meanwhile(_: float) -> None:
        with pytest.raises(ImPartialError, match="busy"), only_one(store, "busy"):
            pass

    export(results, {"measurements": tmp_path / "a.csv"}, predict_meanwhile)
    assert not store.with_name(f"{store.name}.lock").exists()


def test_kinds_of_objects_through_planes_are_those_of_each_plane(
    tmp_path: Path, write_results: Any
) -> None:
    labels = np.zeros((2, 40, 40), np.int32)
    labels[:, 5:15, 5:15] = 1
    made = write_results(tmp_path / "results", labels, class_name=np.array(["one", "two"]))
    export(Results(**made), {"outlines": tmp_path / "a.geojson"}, lambda _: None)
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    kinds = {
        one["geometry"]["plane"]["z"]: one["properties"]["classification"]["name"]
        for one in features
    }
    assert kinds == {0: "one", 1: "two"}
