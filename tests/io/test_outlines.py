"""Objects as outlines: what is written gives the same pixels back."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
from scipy import ndimage
from skimage.draw import polygon2mask

from napari_impartial.core.errors import ImPartialError
from napari_impartial.io.outlines import outlines, write_geojson, write_roi_zip
from napari_impartial.io.rois import read_roi_zip


def blobs(seed: int, shape: tuple[int, int] = (80, 90)) -> np.ndarray:
    """Return touching objects of any outline, without holes, each in one piece."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.5)
    labels, n = ndimage.label(noise > 0)
    for i in range(1, n + 1):
        labels[ndimage.binary_fill_holes(labels == i)] = i
    labels[:, 45:] = np.where(labels[:, 45:] > 0, labels[:, 45:] + n, 0)
    pieces = np.zeros(shape, np.int32)
    for number, label in enumerate(np.unique(labels)[1:], start=1):
        part, _ = ndimage.label(labels == label)
        pieces[part == 1] = 3 * number
    return pieces


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rois_give_the_same_pixels_back(tmp_path: Path, seed: int) -> None:
    labels = blobs(seed)
    ids = np.unique(labels)[1:]
    assert write_roi_zip(tmp_path / "a.zip", labels) == len(ids) > 5
    again = read_roi_zip(tmp_path / "a.zip", labels.shape)
    np.testing.assert_array_equal(again, labels)  # the numbers too
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        rois = [roifile.ImagejRoi.frombytes(archive.read(name)) for name in archive.namelist()]
    assert [roi.name for roi in rois] == [str(i) for i in ids]


def test_one_pixel_is_a_diamond_round_its_centre() -> None:
    labels = np.zeros((5, 6), np.uint8)
    labels[2, 3] = 7
    (outline,) = outlines(labels)
    assert outline.label == 7
    ring = outline.parts[0][0]
    assert {tuple(point) for point in ring} == {(3.0, 2.5), (4.0, 2.5), (3.5, 2.0), (3.5, 3.0)}


def test_geojson_has_holes_and_parts(tmp_path: Path) -> None:
    labels = np.zeros((30, 40), np.int32)
    labels[3:15, 4:20] = 2
    labels[6:10, 8:12] = 0
    labels[20:25, 4:9] = labels[20:25, 20:30] = 5
    labels[28:, 38:] = 9
    assert write_geojson(tmp_path / "a.geojson", labels) == 3
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    again = np.zeros_like(labels)
    for feature in features:
        geometry = feature["geometry"]
        parts = geometry["coordinates"]
        parts = [parts] if geometry["type"] == "Polygon" else parts
        for rings in parts:
            assert all(ring[0] == ring[-1] for ring in rings)
            masks = [polygon2mask(labels.shape, np.array(ring)[:, ::-1] - 0.5) for ring in rings]
            inside = masks[0] & ~np.logical_or.reduce([np.zeros_like(masks[0]), *masks[1:]])
            again[inside] = feature["properties"]["label"]
    np.testing.assert_array_equal(again, labels)
    assert [feature["geometry"]["type"] for feature in features] == [
        "Polygon", "MultiPolygon", "Polygon",
    ]  # fmt: skip


def test_nothing_is_written_of_nothing(tmp_path: Path) -> None:
    for write in (write_roi_zip, write_geojson):
        with pytest.raises(ImPartialError, match="no object"):
            write(tmp_path / "a.zip", np.zeros((4, 4), np.int32))
        with pytest.raises(ImPartialError, match="whole numbers"):
            write(tmp_path / "a.zip", np.zeros((4, 4), np.float32))
    assert not list(tmp_path.iterdir())
