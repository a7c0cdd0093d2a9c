"""Regions from ImageJ and QuPath come back as they are there, plane by plane."""

from __future__ import annotations

import gzip
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile

from napari_impartial.core.errors import ImPartialError, ImPartialWarning
from napari_impartial.io.outlines import write_geojson, write_roi_zip
from napari_impartial.io.region_files import read_regions
from napari_impartial.io.regions import planes_needed, rasterise
from napari_impartial.io.rois import read_roi_zip

DATA = Path(__file__).parent / "data"
SHAPE = (48, 64)


@pytest.mark.parametrize("version", ["imagej_1.52", "imagej_1.54", "qupath_0.5"])
def test_regions_that_a_program_made_have_the_pixels_that_it_measures(version: str) -> None:
    """Made, and filled, by ImageJ 1.52i and 1.54u, and by QuPath 0.5.1, from our own programs.

    The truth says of each its name, class, place and runs of pixels inside.
    """
    truth = json.loads((DATA / f"{version}_regions.json").read_text())
    (file,) = (f for f in DATA.glob(f"{version}_regions.*") if f.suffix != ".json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImPartialWarning)  # of points, lines and annotations
        regions = read_regions(file)
    assert [region.name for region in regions] == list(truth)
    shape = {"imagej_1.52": SHAPE}.get(version, (72, 96))
    for region in regions:
        said = truth[region.name]
        expected = np.zeros(shape, bool)
        for start, length in said["runs"]:
            expected.flat[start : start + length] = True
        found = np.zeros(shape, bool)
        found[region.pixels(shape)] = True
        np.testing.assert_array_equal(found, expected, err_msg=region.name)
        assert region.classification == said.get("class", "")
        measured = {name: float(value) for name, value in said.get("measurements", {}).items()}
        np.testing.assert_equal(dict(region.measurements), measured)
    places = {r.name: (r.position, r.z, r.t) for r in regions if r.placed}
    assert (
        places
        == {
            "imagej_1.52": {"position": (4, None, None), "hyper": (None, 2, 3)},
            "imagej_1.54": {
                "position": (4, None, None),
                "hyper": (None, 2, 3),
                "all channels": (None, 1, 2),
                "z only": (None, 1, None),
            },
            "qupath_0.5": {
                "polygon z2 t1": (None, 2, 1),
                "ring c1 z2 t0": (None, 2, 0),
                "two with a hole t3": (None, 0, 3),
            },
        }[version]
    )


def _stack(shape: tuple[int, ...]) -> np.ndarray:
    """Objects with holes and in parts, of which some go on in the next plane."""
    labels = np.zeros((*shape, 24, 30), np.int32)
    for number, index in enumerate(np.ndindex(*shape)):
        plane = labels[index]
        plane[2:9, 3:12] = 7
        plane[4:6, 5:8] = 0
        plane[15:18, 2 + number : 6 + number] = plane[15:18, 20:22] = 11 + number
        plane[12, 14] = 300
    return labels


@pytest.mark.parametrize(
    ("shape", "axes", "n_channels"),
    [((), "", 1), ((3,), "T", 1), ((3,), "Z", 1), ((3,), "T", 2), ((2, 3), "TZ", 1)],
)
@pytest.mark.parametrize("suffix", [".zip", ".geojson"])
def test_our_own_come_back(
    tmp_path: Path, shape: tuple[int, ...], axes: str, n_channels: int, suffix: str
) -> None:
    labels, file = _stack(shape), tmp_path / f"a{suffix}"
    if suffix == ".zip":
        write_roi_zip(file, labels, axes, n_channels)
    else:
        write_geojson(file, labels, axes)
    regions = read_regions(file)
    again = rasterise(regions, (24, 30), axes, shape, n_channels)
    np.testing.assert_array_equal(again, labels)
    # without an image, the file says how many planes there are; a row is called slices
    needed_axes, needed = planes_needed(regions)
    assert needed == shape
    assert needed_axes == axes or len(shape) == 1


def _qupath(**feature: Any) -> dict[str, Any]:
    square = [[2, 3], [8, 3], [8, 9], [2, 9], [2, 3]]
    return {
        "type": "Feature",
        "id": "a0000000-0000-0000-0000-000000000000",
        "geometry": {"type": "Polygon", "coordinates": [square]},
        "properties": {"objectType": "detection"},
        **feature,
    }


def _write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_what_qupath_says_of_an_object(tmp_path: Path) -> None:
    outer = [[10, 10], [20, 10], [20, 22], [10, 22], [10, 10]]
    hole = [[12, 12], [12, 14], [15, 14], [15, 12], [12, 12]]
    apart = [[30, 30], [33, 30], [33, 31], [30, 31], [30, 30]]
    features = [
        _qupath(
            geometry={
                "type": "MultiPolygon",
                "coordinates": [[outer, hole], [apart]],
                "plane": {"c": -1, "z": 2, "t": 1},
            },
            nucleusGeometry={"type": "Polygon", "coordinates": [apart]},
            properties={
                "objectType": "cell",
                "name": "Zelle µ",
                "classification": {"names": ["Tumor", "Ki-67"], "color": [200, 0, 0]},
                "isLocked": True,
                "measurements": {"Area µm^2": 118.5, "Mean": None, "Max": "NaN"},
            },
        ),
        # as versions before 0.4 wrote them; what has no plane lies on the first
        _qupath(
            properties={
                "objectType": "detection",
                "classification": {"name": "Stroma", "colorRGB": -3140401},
                "measurements": [{"name": "Area", "value": 36.0}],
            }
        ),
    ]
    file = _write(tmp_path / "a.geojson", {"type": "FeatureCollection", "features": features})
    cell, square = read_regions(file)
    assert (cell.name, cell.classification) == ("Zelle µ", "Tumor: Ki-67")
    assert cell.measurements["Area µm^2"] == 118.5
    assert np.isnan([cell.measurements["Mean"], cell.measurements["Max"]]).all()
    assert (square.classification, square.measurements) == ("Stroma", {"Area": 36.0})
    assert (cell.z, cell.t, cell.placed) == (2, 1, True)
    assert (square.z, square.t, square.placed) == (0, 0, False)
    labels = rasterise([cell, square], (40, 40), "TZ", (2, 3))
    expected = np.zeros((2, 3, 40, 40), np.int32)
    expected[1, 2, 10:22, 10:20] = expected[1, 2, 30:31, 30:33] = 1
    expected[1, 2, 12:14, 12:15] = 0
    expected[0, 0, 3:9, 2:8] = 2
    np.testing.assert_array_equal(labels, expected)


def test_what_is_no_number_in_json(tmp_path: Path) -> None:
    measured = {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 1.5}
    feature = _qupath(properties={"objectType": "detection", "measurements": measured})
    (region,) = read_regions(_write(tmp_path / "a.geojson", feature))
    np.testing.assert_equal(dict(region.measurements), {n: float(v) for n, v in measured.items()})


@pytest.mark.parametrize("name", ["childObjects", "children"])
@pytest.mark.parametrize("root", [False, True])
def test_objects_within_objects(tmp_path: Path, name: str, root: bool) -> None:
    """As QuPath writes a hierarchy; it reads both names."""
    cells = [_qupath(properties={"objectType": "cell", "name": str(n)}) for n in range(2)]
    around = _qupath(properties={"type": "annotation", "name": "region", name: cells})
    content: Any = around
    if root:
        properties = {"objectType": "root", name: [around]}
        content = {"root": {"type": "Feature", "geometry": {}, "properties": properties}}
    with pytest.warns(ImPartialWarning) as said:
        regions = read_regions(_write(tmp_path / "a.geojson", content))
    assert [region.name for region in regions] == ["0", "1"]
    assert any("1 annotations round 2 objects" in str(one.message) for one in said)


@pytest.mark.parametrize("name", ["a.zip", "a.geojson.gz"])
def test_packed_geojson(tmp_path: Path, name: str) -> None:
    """As QuPath exports it if asked to."""
    text = json.dumps({"type": "FeatureCollection", "features": [_qupath()]})
    file = tmp_path / name
    if name == "a.zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.geojson", text)
            archive.writestr("__MACOSX/._a.geojson", b"\0\5\26\7")
    else:
        file.write_bytes(gzip.compress(text.encode()))
    (region,) = read_regions(file)
    assert region.pixels(SHAPE)[0].size == 36
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ImPartialError, match=r"a\.(zip|geojson\.gz) cannot be read"):
        read_regions(file)
    if name != "a.zip":
        with gzip.open(file, "wb") as packed:
            for _ in range(17):
                packed.write(bytes(2**24))
        with pytest.raises(ImPartialError, match="made to fill the memory"):
            read_regions(file)


@pytest.mark.parametrize("form", ["list", "one", "geometry"])
def test_the_forms_that_qupath_writes(tmp_path: Path, form: str) -> None:
    feature = _qupath()
    content = {"list": [feature], "one": feature, "geometry": feature["geometry"]}[form]
    (region,) = read_regions(_write(tmp_path / "a.geojson", content))
    assert len(region.pixels((20, 20))[0]) == 36


def test_an_ellipse_is_no_polygon(tmp_path: Path) -> None:
    corners = [[2, 3], [10, 3], [10, 9], [2, 9], [2, 3]]  # only their box counts
    geometry = {"type": "Polygon", "coordinates": [corners], "isEllipse": True}
    (region,) = read_regions(_write(tmp_path / "a.geojson", _qupath(geometry=geometry)))
    rows, columns = np.indices((15, 15)) + 0.5
    inside = ((rows - 6) / 3) ** 2 + ((columns - 6) / 4) ** 2 < 1
    assert region.pixels((15, 15))[0].size == inside.sum()


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    around = _qupath(properties={"objectType": "annotation", "name": "region"})
    point = _qupath(geometry={"type": "Point", "coordinates": [3, 4]})
    file = _write(tmp_path / "a.geojson", [_qupath(), around, point])
    with pytest.warns(ImPartialWarning) as said:
        regions = read_regions(file)
    assert len(regions) == 1
    assert sorted(str(one.message).removeprefix(f"{file} ") for one in said) == [
        "holds 1 annotations round 1 objects; the annotations are left out.",
        "holds 1 points or lines, which are no areas and are left out.",
    ]
    assert len(read_regions(_write(file, [around]))) == 1, "alone they are what was drawn"
    line = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, x1=1, y1=1, x2=4, y2=4)
    box = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, top=1, left=1, bottom=4, right=4)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, roi in (("a", line), ("b", box)):
            archive.writestr(f"{name}.roi", roi.tobytes())
    with pytest.warns(ImPartialWarning, match="1 points, lines or texts"):
        assert (read_roi_zip(tmp_path / "a.zip", (6, 6)) == 1).sum() == 9


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", "3", '{"type": "Feature"}', '{"type": "Polygon"}', "[" * 100_000, "NaN",
        '{"type": "Polygon", "coordinates": [[[0, 0], [1e99, 0], [1, 1]]]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 0], [1, 1]]]}',
        '{"type": "Polygon", "coordinates": [[["a", 0]]]}', '{"type": "Cube"}', '"\\ud800"',
        '{"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [1, 1]]], "plane": {"z": -1}}',
    ],
)  # fmt: skip
def test_what_is_no_geojson(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.geojson").write_text(content)
    with pytest.raises(ImPartialError, match=r"a\.geojson") as caught:
        read_regions(tmp_path / "a.geojson")
    assert "\n" not in str(caught.value)


def _roi(**kwargs: int) -> roifile.ImagejRoi:
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT, top=1, left=1, bottom=4, right=4, **kwargs
    )


def _save(path: Path, *rois: roifile.ImagejRoi) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for i, roi in enumerate(rois):
            archive.writestr(f"{i:04}.roi", roi.tobytes())
    return path


def test_places_of_other_programs(tmp_path: Path) -> None:
    # of one axis each, slices here may be time points there
    regions = read_regions(_save(tmp_path / "a.zip", _roi(t_position=3), _roi(t_position=1)))
    assert [int(p.max()) for p in rasterise(regions, (6, 6), "Z", (3,))] == [2, 0, 1]
    # a place in the row counts slices first, then time points
    regions = read_regions(_save(tmp_path / "a.zip", _roi(position=5)))
    assert rasterise(regions, (6, 6), "TZ", (2, 3))[1, 1].any()
    # and channels before both
    regions = read_regions(_save(tmp_path / "a.zip", _roi(position=5)))
    assert rasterise(regions, (6, 6), "Z", (3,), n_channels=2)[2].any()
    # a channel says nothing of the plane
    regions = read_regions(_save(tmp_path / "a.zip", _roi(c_position=2, position=2)))
    assert rasterise(regions, (6, 6), n_channels=3).any()


@pytest.mark.parametrize(
    ("roi", "stack", "n_channels", "message"),
    [
        (_roi(), ("Z", (3,)), 1, "do not say on which of 3 planes"),
        (_roi(position=4), ("Z", (3,)), 1, "another image"),
        (_roi(z_position=2), ("", ()), 1, "slice 2 and the image has 1"),
        (_roi(position=2), ("Z", (3,)), 2, "2 channels on each of 3 planes"),
    ],
)
def test_regions_of_another_image(
    tmp_path: Path,
    roi: roifile.ImagejRoi,
    stack: tuple[str, tuple[int, ...]],
    n_channels: int,
    message: str,
) -> None:
    regions = read_regions(_save(tmp_path / "a.zip", roi))
    with pytest.raises(ImPartialError, match=message):
        rasterise(regions, (6, 6), *stack, n_channels)


def test_archives_packed_again_on_a_mac(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("RoiSet/0001.roi", _roi().tobytes())
        archive.writestr("__MACOSX/RoiSet/._0001.roi", b"\0\5\26\7" + bytes(120))
        archive.writestr("RoiSet/._0001.roi", b"\0\5\26\7" + bytes(120))
    assert len(read_regions(file)) == 1
