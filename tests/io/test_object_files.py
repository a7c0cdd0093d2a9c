"""Files of objects: their names, and tables of stacks."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile

from napari_impartial.io.object_files import (
    Objects,
    file_names,
    join_tables,
    object_files,
    write_objects,
    write_table,
)


def test_names_are_those_of_the_command_line(tmp_path: Path) -> None:
    files = object_files("a", tmp_path)
    assert files["instances"] == tmp_path / "a_instances.tif"
    assert files["measurements"] == tmp_path / "a_measurements.csv"


def test_file_names_are_possible_and_different() -> None:
    assert file_names(["a", "b [z=1]", "a"]) == ["a", "b [z=1]", "a_2"]
    assert file_names(["x/y", "x:y", "X_Y", " .", "A\n"]) == [
        "x_y",
        "x_y_2",
        "X_Y_3",
        "image",
        "A_",
    ]
    assert file_names(["..", "../../etc"]) == ["image", "_.._etc"]


def test_tables_of_planes_are_joined(tmp_path: Path) -> None:
    first = {"label": np.array([1, 2]), "entropy": np.array([0.5, 0.25])}
    second = {"label": np.array([1])}
    table = join_tables([first, second], [{"z": 0}, {"z": 4}])
    assert {name: column.tolist() for name, column in table.items()} == {
        "z": [0, 0, 4],
        "label": [1, 2, 1],
    }
    write_table(tmp_path / "a.csv", table)
    assert (tmp_path / "a.csv").read_bytes() == b"z,label\n0,1\n0,2\n4,1\n"


@pytest.mark.parametrize(
    ("shape", "axes", "n_channels", "place"),
    [
        # one axis and one channel: a plain stack in ImageJ, which heeds the place in the row only
        ((3,), "T", 1, (2, 0, 0)),
        ((3,), "Z", 1, (2, 0, 0)),
        ((3,), "", 1, (2, 0, 0)),
        # everything else is a hyperstack
        ((3,), "Z", 2, (0, 2, 0)),
        ((3,), "T", 2, (0, 0, 2)),
        ((3, 2), "TZ", 1, (0, 2, 2)),
        ((3, 2), "ZT", 1, (0, 2, 2)),
        # an axis of length one is none
        ((1, 2), "TZ", 1, (2, 0, 0)),
    ],
)
def test_regions_know_their_plane_as_imagej_reads_it(
    tmp_path: Path,
    shape: tuple[int, ...],
    axes: str,
    n_channels: int,
    place: tuple[int, int, int],
) -> None:
    labels = np.zeros((*shape, 8, 9), np.int32)
    index = tuple(min(1, n - 1) for n in shape)
    labels[index][2:5, 3:6] = 4
    write_objects("rois", tmp_path / "a.zip", Objects(labels, axes, n_channels=n_channels))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        (roi,) = [roifile.ImagejRoi.frombytes(archive.read(n)) for n in archive.namelist()]
    assert (roi.position, roi.z_position, roi.t_position) == place


def test_label_images_have_axes(tmp_path: Path) -> None:
    labels = np.zeros((3, 2, 8, 9), np.int32)
    write_objects("instances", tmp_path / "a.tif", Objects(labels, "TZ", (0.5, 0.5), "µm"))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.series[0].axes == "TZYX"
        assert file.series[0].shape == labels.shape
