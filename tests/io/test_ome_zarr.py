"""OME-Zarr in and out: what the metadata says, what is wrong with it, and what others read back."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaozarrs
import zarr

from napari_impartial.core.atomic_write import atomic_folder, sweep
from napari_impartial.core.errors import ImPartialError, ImPartialWarning
from napari_impartial.io import read_images, read_labels, stem
from napari_impartial.io.lazy_files import open_lazy, plane_pixels
from napari_impartial.io.ome_zarr import images_in, open_image, well_of
from napari_impartial.io.ome_zarr_writer import (
    VERSIONS,
    Layout,
    create,
    create_labels,
    write_image,
)

AXES = [
    {"name": "c", "type": "channel"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 999, shape).astype(np.uint16)


def by_hand(path: Path, array: np.ndarray, **changes: Any) -> Path:
    """Write an image of two levels without any library, as OME-Zarr 0.4."""

    def level(name: str, x: np.ndarray) -> None:
        description = {
            "zarr_format": 2, "shape": x.shape, "chunks": x.shape, "dtype": "<u2",
            "compressor": None, "fill_value": 0, "order": "C", "filters": None,
            "dimension_separator": "/",
        }  # fmt: skip
        chunk = path.joinpath(name, *("0" * x.ndim))
        chunk.parent.mkdir(parents=True)
        chunk.write_bytes(x.astype("<u2").tobytes())
        (path / name / ".zarray").write_text(json.dumps(description))

    level("0", array)
    level("1", array[..., ::2, ::2])
    datasets = [
        {
            "path": str(k),
            "coordinateTransformations": [
                {"type": "scale", "scale": [1, 0.5 * 2**k, 0.25 * 2**k]},
            ],
        }
        for k in (0, 1)
    ]
    scales = {"version": "0.4", "axes": AXES, "datasets": datasets, **changes}
    channels = [{"label": "DAPI"}, {"label": "CD8"}]
    attributes = {"multiscales": [scales], "omero": {"channels": channels}}
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps(attributes))
    return path


def test_what_a_store_says_of_itself(tmp_path: Path) -> None:
    array = picture(2, 40, 30)
    path = by_hand(tmp_path / "cells.ome.zarr", array)
    (image,) = read_images(path)
    assert (image.name, image.channel_names) == ("cells", ("DAPI", "CD8"))
    assert (image.pixel_size, image.pixel_unit) == ((0.5, 0.25), "µm")
    np.testing.assert_array_equal(image.channels, array)
    (half,) = read_images(path, level=1, channels=["CD8"])
    assert half.pixel_size == (1.0, 0.5)
    np.testing.assert_array_equal(half.channels[0], array[1, ::2, ::2])
    assert plane_pixels(path) == 1200


@pytest.mark.parametrize("version", VERSIONS)
def test_images_and_labels_are_valid_and_come_back(version: str, tmp_path: Path) -> None:
    array = picture(2, 1100, 600).astype(np.float32)
    path = tmp_path / "a.ome.zarr"
    layout = Layout(
        array.shape, "CYX", np.float32, "a", version, (0.5, 0.5), "µm", {}, ("one", "two")
    )
    write_image(path, array, layout)
    ids = np.arange(1100 * 600, dtype=np.int32).reshape(1100, 600) // 999
    flat = Layout(ids.shape, "YX", np.int32, "instances", version, (0.5, 0.5), "µm", labels=True)
    create_labels(path, flat)[0][...] = ids
    for place in (path, path / "labels" / "instances"):
        yaozarrs.validate_zarr_store(str(place))
    image = open_image(path, 1)
    assert (image.version, image.n_levels, image.array.shape) == (version, 3, (2, 550, 300))
    mean = array[:, :2, :2].mean(axis=(1, 2))
    np.testing.assert_allclose(image.array[:, 0, 0], mean, rtol=1e-6)
    np.testing.assert_array_equal(read_labels(path), ids)
    assert zarr.open_group(str(path)).metadata.zarr_format == (2 if version == "0.4" else 3)


def test_a_stack_is_read_plane_by_plane_in_our_order(tmp_path: Path) -> None:
    array = picture(2, 1, 3, 8, 9)  # t, c, z, y, x
    path = tmp_path / "s.zarr"
    write_image(path, array, Layout(array.shape, "TCZYX", np.uint16, channel_names=("a",)))
    planes = read_images(path)
    assert [plane.name for plane in planes][:2] == ["s [t=0, z=0]", "s [t=0, z=1]"]
    np.testing.assert_array_equal(planes[4].channels[0], array[1, 0, 1])


def test_plates_are_sets_of_images(tmp_path: Path) -> None:
    plate = tmp_path / "p.ome.zarr"
    for well in ("A/1", "B/2"):
        by_hand(plate / well / "0", picture(2, 8, 8))
        (plate / well / ".zgroup").write_text('{"zarr_format": 2}')
        attributes = {"well": {"images": [{"path": "0"}], "version": "0.4"}}
        (plate / well / ".zattrs").write_text(json.dumps(attributes))
    (plate / ".zgroup").write_text('{"zarr_format": 2}')
    wells = [{"path": "A/1"}, {"path": "B/2"}]
    (plate / ".zattrs").write_text(json.dumps({"plate": {"wells": wells}}))
    found = images_in(plate)
    assert found == [plate / "A" / "1" / "0", plate / "B" / "2" / "0"]
    assert [well_of(path) for path in found] == ["A/1", "B/2"]
    assert stem(found[1]) == "p_B_2_0"
    assert images_in(plate / "B" / "2") == found[1:]
    assert images_in(found[0]) == found[:1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"axes": AXES[1:]}, "names 2 axes but its array has 3"),
        ({"axes": [{"name": "q"}, *AXES[1:]]}, "an axis called 'q'"),
        ({"axes": [AXES[1], *AXES[1:]]}, "none twice"),
        ({"axes": None}, "does not say what its 3 axes are"),
        ({"datasets": []}, "lists no resolution levels"),
        ({"datasets": [{"path": 3}]}, "where its level 0 lies"),
        ({"datasets": [{"path": "9"}]}, "missing or damaged"),
        (
            {
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [{"type": "scale", "scale": [1, 0, 1]}],
                    }
                ]
            },
            "one number above 0 for each",
        ),
    ],
)  # fmt: skip
def test_wrong_metadata(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = by_hand(tmp_path / "bad.ome.zarr", picture(2, 8, 8), **changes)
    with pytest.raises(ImPartialError, match=said) as error:
        read_images(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def group(path: Path, version: str, **about: Any) -> Path:
    """Write a group with metadata of OME-Zarr, without any library."""
    path.mkdir(parents=True, exist_ok=True)
    if version == "0.4":
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps(about))
    else:
        attributes = {"ome": {"version": version, **about}}
        described = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (path / "zarr.json").write_text(json.dumps(described))
    return path


def an_image(path: Path, version: str) -> None:
    layout = Layout((2, 8, 9), "CYX", np.uint16, version=version, channel_names=("a", "b"))
    write_image(path, picture(2, 8, 9), layout)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("about", "images"),
    [
        ({"bioformats2raw.layout": 3}, ["0", "1"]),
        ({"series": ["0", "1"]}, ["0", "1"]),
        ({"well": {"images": [{"path": "1", "acquisition": 7}]}}, ["1"]),
        ({"plate": {"wells": [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}]}}, ["A/1/0"]),
        ({"plate": {"wells": [{"path": "A/1"}], "acquisitions": [{"id": 0}]}}, ["A/1/0"]),
        ({"plate": {}}, "does not list its wells"),
        ({"plate": {"wells": [{"row": 0}]}}, "one of its wells without a path"),
        ({"plate": {"wells": "A/1"}}, "does not list its wells"),
        ({"plate": {"wells": []}}, "is a plate without images"),
        ({"plate": {"wells": [{"path": "B/1"}]}}, "does not exist"),
        ({"well": {}}, "does not list its images"),
        ({"well": {"images": []}}, "is a well of a plate without images"),
        ({"well": {"images": [{"path": 3}]}}, "one of its images without a path"),
        ({"multiscales": "0"}, "of a form that is not OME-Zarr's"),
    ],
    ids=str,
)
def test_sets_of_images_as_the_specification_has_them(
    about: dict[str, Any], images: list[str] | str, version: str, tmp_path: Path
) -> None:
    store = group(tmp_path / "s.ome.zarr", version, **about)
    group(store / "A" / "1", version, well={"images": [{"path": "0"}]})
    for place in ("0", "1", "A/1/0"):
        an_image(store / place, version)
    if isinstance(images, list):
        found = images_in(store)
        assert [path.relative_to(store).as_posix() for path in found] == images
        assert all(read_images(path)[0].channel_names == ("a", "b") for path in found)
        return
    with pytest.raises(ImPartialError, match=images) as error:
        [read_images(path) for path in images_in(store)]
    assert "\n" not in str(error.value)


def test_what_is_broken_or_not_there(tmp_path: Path) -> None:
    path = by_hand(tmp_path / "a.ome.zarr", picture(2, 8, 8))
    with pytest.raises(ImPartialError, match="no level 2; it has levels 0 to 1"):
        read_images(path, level=2)
    (path / "0" / "0" / "0" / "0").write_bytes(b"short")
    with pytest.raises(ImPartialError, match="damaged or incomplete"):
        read_images(path)
    (path / ".zattrs").write_text("{")
    with pytest.raises(ImPartialError, match="its metadata is damaged"):
        read_images(path)
    empty = tmp_path / "b.zarr"
    empty.mkdir()
    with pytest.raises(ImPartialError, match="no zarr store"):
        read_images(empty)
    with pytest.raises(ImPartialError, match="does not exist"):
        read_images(tmp_path / "c.zarr")


def test_labels_of_several_names_have_to_be_chosen_from(tmp_path: Path) -> None:
    path = by_hand(tmp_path / "a.ome.zarr", picture(2, 8, 8))
    for name in ("cells", "nuclei"):
        layout = Layout((8, 8), "YX", np.int32, name, "0.4", labels=True)
        create_labels(path, layout)[0][...] = len(name)
    with pytest.raises(ImPartialError, match="labels of 2 names; name one"):
        read_labels(path)
    assert (read_labels(path / "labels" / "nuclei") == 6).all()


def test_parts_of_a_pyramidal_tiff(tmp_path: Path) -> None:
    array, path = picture(2, 256, 192), tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        metadata = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        file.write(array, subifds=1, tile=(64, 64), metadata=metadata)
        file.write(array[:, ::2, ::2], subfiletype=1, tile=(64, 64))
    lazy = open_lazy(path)
    assert (lazy.axes, lazy.array.shape, lazy.pixel_size) == ("CYX", array.shape, (0.5, 0.5))
    np.testing.assert_array_equal(lazy.array[1, 100:110, 60:70], array[1, 100:110, 60:70])
    (half,) = read_images(path, level=1)
    assert (half.shape, half.pixel_size) == ((128, 96), (1.0, 1.0))
    with pytest.raises(ImPartialError, match="no level 2"):
        open_lazy(path, 2)


def test_a_scanner_s_slide(tmp_path: Path) -> None:
    colours, path = np.moveaxis(picture(3, 512, 384), 0, -1).astype(np.uint8), tmp_path / "a.svs"
    with tifffile.TiffWriter(path) as file:
        about = "Aperio Image Library v12\r\n384x512|AppMag = 20|MPP = 0.5"
        file.write(colours, tile=(128, 128), photometric="rgb", description=about, metadata=None)
        thumbnail = colours[::8, ::8]
        file.write(thumbnail, photometric="rgb", description=about, metadata=None)
        half = colours[::2, ::2]
        file.write(half, tile=(128, 128), photometric="rgb", description=about, metadata=None)
    lazy = open_lazy(path)
    assert (lazy.axes, lazy.array.shape) == ("YXC", colours.shape)
    np.testing.assert_array_equal(lazy.array[130:140, 7:9], colours[130:140, 7:9])
    assert plane_pixels(path, 1) == 256 * 192
    (image,) = read_images(path, level=1)
    np.testing.assert_array_equal(image.channels[2], half[..., 2])


def test_formats_that_need_a_reader_say_which(tmp_path: Path) -> None:
    path = tmp_path / "slide.czi"
    path.write_bytes(b"ZISRAWFILE")
    with pytest.raises(ImPartialError, match="pip install bioio bioio-czi"):
        read_images(path)


@pytest.mark.parametrize("version", VERSIONS)
def test_nobody_sweeps_away_a_store_that_is_being_written(version: str, tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "a.ome.zarr") as folder:
        levels = create(folder, Layout((64, 64), "YX", np.uint16, version=version))
        sweep(tmp_path)
        levels[0][...] = 7
    assert zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="r")["0"][...].min() == 7


@pytest.mark.parametrize(
    ("unit", "size", "spacing"),
    [
        ("nanometer", (0.0005, 0.25), {"Z": 2.0}),
        ("micrometer", (0.5, 0.25), {"Z": 2.0}),
        ("parsec", None, {}),
    ],
)
def test_the_height_of_a_pixel_is_in_the_unit_of_its_width(
    tmp_path: Path, unit: str, size: tuple[float, float] | None, spacing: dict[str, float]
) -> None:
    layout = Layout(
        (2, 8, 9), "ZYX", np.uint8, pixel_size=(0.5, 0.25), pixel_unit="µm", spacing={"Z": 2.0}
    )
    store = tmp_path / "a.ome.zarr"
    write_image(store, np.zeros((2, 8, 9), np.uint8), layout)
    group = zarr.open_group(store, mode="r+")
    about = group.attrs.asdict()
    scales = about.get("ome", about)["multiscales"]
    next(axis for axis in scales[0]["axes"] if axis["name"] == "y")["unit"] = unit
    group.attrs.put(about)
    with nullcontext() if size else pytest.warns(ImPartialWarning, match="height of a pixel"):
        image = open_image(store)
    assert image.pixel_size == (None if size is None else pytest.approx(size))
    assert image.spacing == pytest.approx(spacing)
