"""Inputs that could be read two ways are read the right way, or refused in one sentence."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import tifffile
from skimage.draw import disk

from napari_impartial.cli.inputs import ImageFile, read_image_file, read_scribbles
from napari_impartial.cli.main import main
from napari_impartial.core.data.mask_scribbles import simulate
from napari_impartial.core.errors import ImPartialError, ImPartialWarning
from napari_impartial.io import write_tiff
from napari_impartial.io.outlines import write_geojson, write_roi_zip
from napari_impartial.io.region_files import open_labels_or_regions

from .conftest import FEW, Trained

SHAPE = (96, 96)


def _cells(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint16)
    for number, (y, x) in enumerate(np.ndindex(4, 4), start=1):
        centre = (12 + 24 * y + rng.integers(-3, 4), 12 + 24 * x + rng.integers(-3, 4))
        labels[disk(centre, 8, shape=SHAPE)] = number
    return labels


CELLS = _cells()
PICTURE = np.random.default_rng(1).normal(100 + 500 * (CELLS > 0), 30).clip(0).astype(np.uint16)
STROKES = simulate(CELLS, 0.3, np.random.default_rng(0))[0].labels
DRAWN = np.where(CELLS <= 5, CELLS, 0).astype(np.uint16)


@pytest.fixture
def put(tmp_path: Path) -> dict[str, str]:
    """Return paths of files, by name."""
    arrays = {
        "image": PICTURE, "strokes": STROKES, "cells": DRAWN,
        "two_cells": np.where(CELLS <= 2, CELLS, 0).astype(np.uint8),
        "all_cells": CELLS * 20, "mask": (CELLS > 0).astype(np.uint8),
        "nan": np.full(SHAPE, np.nan, np.float32), "constant": np.full(SHAPE, 7, np.uint8),
        "pages": np.stack([PICTURE] * 20), "page_strokes": np.stack([STROKES] * 20),
    }  # fmt: skip
    paths = {name: tmp_path / f"{name}.tif" for name in arrays}
    for name, array in arrays.items():
        if array.ndim == 3:
            with tifffile.TiffWriter(paths[name]) as writer:
                for plane in array:
                    writer.write(plane, contiguous=False, metadata=None)
        else:
            tifffile.imwrite(paths[name], array)
    box = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, top=4, left=4, bottom=20, right=20)
    with zipfile.ZipFile(tmp_path / "macos.zip", "w") as archive:
        archive.writestr("RoiSet/1.roi", box.tobytes())
        archive.writestr("__MACOSX/RoiSet/._1.roi", b"\0\5\26\7" + bytes(99))
    paths |= {"macos": tmp_path / "macos.zip", "model": tmp_path / "m.impartial"}
    return {name: str(path) for name, path in paths.items()}


TRAIN = ["train", "{image}", "--model", "{model}", *FEW, "--scribbles"]
REFUSED = {
    "cells as strokes": ([*TRAIN, "{cells}"], "say --partial-masks, or --no-partial-masks"),
    "two cells as strokes": ([*TRAIN, "{two_cells}"], "say --partial-masks"),
    "more cells than classes": ([*TRAIN, "{all_cells}"], "say --partial-masks"),
    "strokes as cells": ([*TRAIN, "{strokes}", "--partial-masks"], "leave --partial-masks out"),
    "no number": (["train", "{nan}", *TRAIN[2:], "{strokes}"], "holds no number at all"),
    "one value": (["train", "{constant}", *TRAIN[2:], "{strokes}"], "one value everywhere"),
    "slices as channels": (
        ["train", "{pages}", *TRAIN[2:], "{page_strokes}"], "these are slices, say --axes ZYX",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, put: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    arguments, said = REFUSED[case]
    assert main([argument.format(**put) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not Path(put["model"]).exists()


def _file(put: dict[str, str]) -> ImageFile:
    return read_image_file([Path(put["image"])])


def test_what_the_user_says_wins(put: dict[str, str]) -> None:
    (as_strokes,) = read_scribbles(Path(put["cells"]), _file(put), partial_masks=False)
    np.testing.assert_array_equal(as_strokes.labels, DRAWN)
    (as_cells,) = read_scribbles(Path(put["cells"]), _file(put), partial_masks=True)
    assert as_cells.counts()[2] > 0 < as_cells.counts()[1]
    assert as_cells.n_classes == 2
    (strokes,) = read_scribbles(Path(put["strokes"]), _file(put))
    np.testing.assert_array_equal(strokes.labels, STROKES)


def test_archives_of_a_mac(put: dict[str, str]) -> None:
    (drawn,) = read_scribbles(Path(put["macos"]), _file(put))
    assert drawn.labels[4:20, 4:20].any()
    assert not drawn.labels[30:].any()


def test_outlines_of_a_stack_as_scribbles(tmp_path: Path) -> None:
    stack = np.stack([np.stack([PICTURE] * 3)] * 2)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, ome=True, metadata={"axes": "TZYX"})
    ring = [[4, 4], [20, 4], [20, 20], [4, 20], [4, 4]]
    geometry = {"type": "Polygon", "coordinates": [ring], "plane": {"c": -1, "z": 2, "t": 1}}
    feature = {"type": "Feature", "geometry": geometry, "properties": {"objectType": "annotation"}}
    (tmp_path / "a.geojson").write_text(json.dumps(feature))
    image = read_image_file([tmp_path / "a.ome.tif"])
    drawn = read_scribbles(tmp_path / "a.geojson", image)
    assert [bool(one.labels.any()) for one in drawn] == [False] * 5 + [True]


def test_prediction_names_the_axes(
    put: dict[str, str], trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((7, 2, 50, 40), np.uint8))
    arguments = ["predict", "--model", str(trained.path), "--out", str(tmp_path / "out")]
    assert main([*arguments, put["pages"]]) == 2
    assert "if these are slices and not channels, say --axes Z" in capsys.readouterr().err
    assert main([*arguments, put["pages"], "--channels", "0,1,2"]) == 2
    assert "--axes" not in capsys.readouterr().err, "who picks channels has looked"


def test_planes_are_compared_by_axis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = np.stack([np.stack([_cells(10 * t + z) for z in range(3)]) for t in range(2)])
    for name, array, axes in (
        ("pred", truth.swapaxes(0, 1), "ZTYX"),
        ("truth", truth, "TZYX"),
        ("plain", truth.swapaxes(0, 1), ""),
    ):
        metadata = {"axes": axes} if axes else {}
        tifffile.imwrite(
            tmp_path / f"{name}.tif", array, photometric="minisblack", metadata=metadata
        )
    arguments = ["evaluate", "--json", "--pred", str(tmp_path / "pred.tif"), "--truth"]
    assert main([*arguments, str(tmp_path / "truth.tif")]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["f1"], result["images"]) == (1.0, 6)
    assert main([*arguments, str(tmp_path / "plain.tif")]) == 0
    arguments[3] = str(tmp_path / "truth.tif")
    capsys.readouterr()
    assert main([*arguments, str(tmp_path / "plain.tif")]) == 2
    assert "same planes" in capsys.readouterr().err


def test_a_truth_that_hardly_tells_cells_apart(
    put: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--pred", put["cells"], "--truth", put["mask"]]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "note: " in line
    assert "one label in 16 pieces" in line
    assert main(["evaluate", "--pred", put["cells"], "--truth", put["cells"]]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.timeout(120)
def test_pipes_are_refused_everywhere(
    trained: Trained, put: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in (".tif", ".zip", ".geojson", ".impartial", ".csv"):
        os.mkfifo(tmp_path / f"pipe{suffix}")
    pipe = str(tmp_path / "pipe")
    for arguments in (
        ["train", f"{pipe}.tif", *TRAIN[2:], "{strokes}"],
        [*TRAIN, f"{pipe}.tif"],
        [*TRAIN, f"{pipe}.zip"],
        [*TRAIN, f"{pipe}.geojson"],
        ["info", f"{pipe}.impartial"],
        ["evaluate", "--pred", f"{pipe}.tif", "--truth", "{cells}"],
        ["predict", f"{pipe}.tif", "--model", str(trained.path), "--out", f"{pipe}.out"],
        ["validate", "--verdicts", f"{pipe}.csv"],
    ):
        assert main([argument.format(**put) for argument in arguments]) == 2
        assert "is a pipe or a device" in capsys.readouterr().err


def test_names_move_no_cursor(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    import dataclasses

    from napari_impartial.core.network.model_file import load_model, save_model

    model = load_model(trained.path)
    card = dataclasses.replace(model.card, channel_names=("\x1b[2J\x07", "\u202ecba\x9b1m"))
    path = tmp_path / "\x1b]0;x\x07.impartial"
    save_model(dataclasses.replace(model, card=card), path)
    for more in ([], ["--json"]):
        assert main(["info", str(path), *more]) == 0
        said = "".join(capfd.readouterr())
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(said)
        assert "2J" in said
    json.loads(said.splitlines()[-1])


@pytest.mark.parametrize("axes", ["", "Z", "T", "TZ", "ZT"])
@pytest.mark.parametrize("suffix", [".zip", ".geojson"])
def test_outlined_objects_are_compared_plane_by_plane(
    tmp_path: Path, axes: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    planes = np.stack([_cells(n) for n in range(4 if len(axes) == 2 else 3)]).astype(np.int32)
    labels = planes.reshape(2, 2, *SHAPE) if len(axes) == 2 else planes if axes else planes[0]
    image, outlined = tmp_path / "a.tif", tmp_path / f"a{suffix}"
    write_tiff(image, labels, f"{axes}YX")
    write = write_roi_zip if suffix == ".zip" else write_geojson
    write(outlined, labels, axes)
    for pred, truth in ((image, outlined), (outlined, image), (outlined, outlined)):
        assert main(["evaluate", "--json", "--pred", str(pred), "--truth", str(truth)]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["f1"], found["map"]) == (1.0, 1.0)
        assert found["n_true"] == found["n_pred"] == 16 * (1 if axes == "" else len(planes))
    words = ["validate", "--json", "--pred", str(image), "--truth", str(outlined)]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["exact"]["f1"] == 1.0
    # in part of another image
    write_tiff(image, labels[..., : SHAPE[0] // 2, :], f"{axes}YX")
    assert main(["evaluate", "--pred", str(outlined), "--truth", str(image)]) == 0
    assert "areas have no pixel of their own in the image" in capsys.readouterr().err
    # of another image
    write_tiff(image, labels[..., :5, :5], f"{axes}YX")
    assert main(["evaluate", "--pred", str(image), "--truth", str(outlined)]) == 2
    assert "belong to another image" in capsys.readouterr().err


def test_objects_do_not_find_planes_without_axes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", np.stack([CELLS] * 4).reshape(2, 2, *SHAPE))
    write_roi_zip(tmp_path / "a.zip", CELLS)
    words = ["--pred", str(tmp_path / "a.npy"), "--truth", str(tmp_path / "a.zip")]
    assert main(["evaluate", *words]) == 2
    assert "does not say which of its axes" in capsys.readouterr().err


def _area(name: str, left: int) -> dict[str, Any]:
    ring = [[left, 4], [left + 8, 4], [left + 8, 20], [left, 20], [left, 4]]
    properties = {"objectType": "annotation", "classification": {"name": name}} if name else {}
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def test_classes_of_outlined_cells_are_learned_or_told(put: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    named = ("Tumor", 1), ("Immune", 12), ("background", 22), ("Ignore*", 31)
    path.write_text(json.dumps([_area(*one) for one in named]))
    image = _file(put)
    ignored = r"1 area of Ignore\*, which are left out"
    with (
        pytest.warns(ImPartialWarning, match=ignored),
        pytest.warns(
            ImPartialWarning,
            match=r"several classes \(Tumor, Immune\); all are taken for cells of one",
        ),
    ):
        (one_kind,) = read_scribbles(path, image)
    with pytest.warns(ImPartialWarning, match=ignored):
        (two_kinds,) = read_scribbles(path, image, kinds=("immune", "tumor"))
    np.testing.assert_array_equal(one_kind.labels > 1, two_kinds.labels > 1)
    assert set(np.unique(one_kind.labels)) == {0, 1, 2}
    assert (two_kinds.labels[:, :10] == 3).any()
    assert set(np.unique(two_kinds.labels[:, :10])) == {0, 1, 3}
    assert set(np.unique(two_kinds.labels[:, 12:20])) == {0, 1, 2}
    # the whole area, and not a ring round it
    assert (two_kinds.labels[4:20, 22:30] == 1).all()
    assert not two_kinds.labels[:, 33:].any()
    # what we write ourselves is read as it was
    path.write_text(json.dumps([_area("Cell", 1), _area("Cell 2", 12)]))
    (ours,) = read_scribbles(path, image)
    assert set(np.unique(ours.labels)) == {0, 1, 2, 3}


def test_background_among_outlines_is_no_object(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([_area("Tumor", 1), _area("Background", 12), _area("Ignore*", 22)]))
    with pytest.warns(ImPartialWarning, match="left out"):
        labels = open_labels_or_regions(path).planes
    assert set(np.unique(labels)) == {0, 1}
    assert labels[4:20, 1:9].all()
    path.write_text(json.dumps([_area("Background", 12)]))
    with pytest.raises(ImPartialError, match=r"a\.geojson: it holds background only"):
        open_labels_or_regions(path)
