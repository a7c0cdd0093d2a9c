"""The table of objects: by hand, and against scikit-image's figures."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from skimage.draw import ellipse
from skimage.measure import label, regionprops_table

from napari_impartial.core.data.image import Image
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.measurements import (
    COLUMNS,
    csv_rows,
    describe,
    measure,
    to_csv,
)


def two_objects() -> np.ndarray:
    labels = np.zeros((6, 8), np.int32)
    labels[1:3, 1:5] = 3
    labels[4, 6] = 7
    return labels


def many_objects() -> np.ndarray:
    rng = np.random.default_rng(0)
    labels = np.zeros((200, 220), np.int32)
    for i, (y, x) in enumerate(rng.integers(15, 185, (40, 2)), start=1):
        a, b, turn = rng.uniform(3, 14), rng.uniform(3, 14), rng.uniform(-3, 3)
        labels[ellipse(y, x, a, b, shape=labels.shape, rotation=turn)] = i
    return label(labels, connectivity=1)


def test_each_column_is_described_in_the_order_of_the_table() -> None:
    labels = two_objects()
    image = Image(np.ones((1, *labels.shape), np.float32), ("<channel>",))
    table = measure(
        labels,
        image,
        np.full((3, *labels.shape), 1 / 3),
        np.ones(labels.shape),
        ("Tumour", "T cell"),
        np.full(labels.shape, 0.25),
    )
    assert list(table) == list(COLUMNS)
    assert table["class_name"].tolist() == ["Tumour", "Tumour"]
    assert table["doubt"].tolist() == [0.25, 0.25]
    assert table["class_probability"] == pytest.approx([1 / 3, 1 / 3])
    assert describe("mean_CD8 (2)") == COLUMNS["mean_<channel>"]
    assert "counted from 0" in describe("axis_0")
    assert describe("area") == ""
    for name, words in COLUMNS.items():
        assert words.endswith("."), name
        unit = {"px": "in pixels", "deg": "in degrees"}.get(name.split("_")[-1])
        assert unit is None or unit in words, name


def test_by_hand() -> None:
    labels = two_objects()
    channels = np.stack([labels * 2.0, np.arange(48.0).reshape(6, 8)]).astype(np.float32)
    probability = np.stack([np.full(labels.shape, v) for v in (0.2, 0.3, 0.5)])
    entropy = np.where(labels == 7, 0.75, 0.25)
    table = measure(labels, Image(channels, ("dapi", "ramp")), probability, entropy)
    expected = {
        "label": [3, 7],
        "centroid_y": [1.5, 4],
        "centroid_x": [2.5, 6],
        "area_px": [8, 1],
        "class": [2, 2],
        "confidence": [0.8, 0.8],
        "uncertainty": [0.25, 0.75],
        "mean_dapi": [6, 14],
        "mean_ramp": [1.5 * 8 + 2.5, 38],
        "bbox_y0": [1, 4],
        "bbox_x0": [1, 6],
        "bbox_y1": [3, 5],
        "bbox_x1": [5, 7],
        "solidity": [1, 1],
        # Variance of 4 columns: 5/4; of 2 rows: 1/4.
        "eccentricity": [np.sqrt(1 - 0.2), 0],
        "major_axis_px": [4 * np.sqrt(1.25), 0],
        "orientation_deg": [0, 0],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values, rtol=1e-6, atol=1e-9, err_msg=name)


def test_equals_scikit_image() -> None:
    labels = many_objects()
    table = measure(labels)
    names = ("label", "area", "centroid", "eccentricity", "axis_major_length", "solidity", "bbox")
    theirs = regionprops_table(labels, properties=names)
    same = {
        "label": "label",
        "area_px": "area",
        "centroid_y": "centroid-0",
        "centroid_x": "centroid-1",
        "eccentricity": "eccentricity",
        "major_axis_px": "axis_major_length",
        "bbox_y0": "bbox-0",
        "bbox_x1": "bbox-3",
    }
    assert len(theirs["label"]) > 20
    for ours, other in same.items():
        np.testing.assert_allclose(table[ours], theirs[other], atol=1e-6, err_msg=ours)
    # Theirs counts the hull's pixels, ours is its area; small objects differ most.
    large = table["area_px"] > 100
    assert np.abs(table["solidity"] - theirs["solidity"])[large].max() < 0.04


def test_solidity_sees_a_notch() -> None:
    labels = np.ones((40, 40), np.int32)
    labels[0:20, 10:30] = 0
    # The hull is the whole square.
    assert measure(labels)["solidity"][0] == pytest.approx(1200 / 1600, abs=0.01)


def test_orientation_on_the_screen() -> None:
    labels = np.zeros((30, 30), int)
    for i in range(5, 25):
        labels[i, i] = 1
    assert measure(labels)["orientation_deg"][0] == pytest.approx(45)
    assert measure(labels[::-1])["orientation_deg"][0] == pytest.approx(-45)


def test_names_of_objects_do_not_matter() -> None:
    labels = many_objects()
    plain, renamed = measure(labels), measure(labels.astype(np.int64) * 2**33)
    assert (renamed.pop("label") == plain.pop("label") * 2**33).all()
    for name, column in plain.items():
        np.testing.assert_allclose(renamed[name], column, err_msg=name)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.uint64])
def test_any_type_of_labels_will_do(dtype: type) -> None:
    labels = many_objects()
    plain, other = measure(labels), measure(labels.astype(dtype))
    for name, column in plain.items():
        np.testing.assert_array_equal(other[name], column, err_msg=name)


def test_moving_the_picture_moves_places_only() -> None:
    labels = many_objects()
    moved = measure(np.pad(labels, ((7, 0), (3, 0))))
    for name, column in measure(labels).items():
        shift = {"y": 7, "x": 3}.get(name[-1] if name.startswith("centroid") else "", 0)
        if not name.startswith("bbox"):
            np.testing.assert_allclose(moved[name], column + shift, atol=1e-7, err_msg=name)


def test_pixels_without_a_value_are_left_out() -> None:
    labels = two_objects()
    channel = np.full((1, 6, 8), 4.0, np.float32)
    channel[0, 1, 1], channel[0, 1, 2], channel[0, 4, 6] = np.nan, 8.0, np.inf
    means = measure(labels, Image(channel, ("a",)))["mean_a"]
    assert means[0] == pytest.approx((8 + 6 * 4) / 7)
    assert np.isnan(means[1])


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (5, 0), (4, 4)])
def test_no_objects(shape: tuple[int, int]) -> None:
    channels = np.zeros((1, *shape), np.float32)
    table = measure(np.zeros(shape, int), probability=np.ones((2, *shape)), entropy=channels[0])
    assert all(column.shape == (0,) for column in table.values())
    assert to_csv(table).count("\n") == 1


def test_csv_reads_back() -> None:
    table = measure(two_objects())
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [row["label"] for row in rows] == ["3", "7"]
    assert [float(row["centroid_x"]) for row in rows] == [2.5, 6.0]
    assert list(rows[0]) == list(table)


def test_maps_have_to_fit() -> None:
    with pytest.raises(ImPartialError, match="entropy map"):
        measure(two_objects(), entropy=np.zeros((3, 3)))
    with pytest.raises(ImPartialError, match="whole numbers"):
        measure(np.zeros((3, 3)))
    with pytest.raises(ImPartialError, match="negative numbers; 0 is background"):
        measure(np.array([[0, -1], [2, 2]]))


def test_an_object_is_of_the_kind_that_is_painted_in_it() -> None:
    labels = two_objects()
    probability = np.stack([np.full(labels.shape, v) for v in (0.05, 0.9, 0.05)])
    drawn = np.zeros(labels.shape, np.uint8)
    drawn[1, 1:3], drawn[2, 1], drawn[0] = 3, 2, 1
    names = ("Tumour", "T cell")
    table = measure(labels, probability=probability, class_names=names, painted=drawn)
    assert table["class_name"].tolist() == ["T cell", "Tumour"]
    assert table["class"].tolist() == [2, 1]
    assert table["class_probability"] == pytest.approx([0.05, 0.9])


def test_places_on_a_large_slide_keep_their_fractions() -> None:
    ((text,),) = csv_rows({"x": np.array([123456.25])})
    assert text == "123456.25"
