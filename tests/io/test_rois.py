"""ImageJ regions become instance masks."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
from scipy import ndimage

from napari_impartial.core.errors import ImPartialError, ImPartialWarning
from napari_impartial.io import read_roi_zip


def _box(kind: roifile.ROI_TYPE, top: int, left: int, bottom: int, right: int) -> roifile.ImagejRoi:
    return roifile.ImagejRoi(
        roitype=kind, top=top, left=left, bottom=bottom, right=right, name=f"{kind}-{top}"
    )


def _outline(
    points: list[tuple[float, float]], kind: roifile.ROI_TYPE = roifile.ROI_TYPE.FREEHAND
) -> roifile.ImagejRoi:
    """Return a region through points x, y."""
    roi = roifile.ImagejRoi.frompoints(np.asarray(points))
    roi.roitype = kind
    return roi


def _save(path: Path, *rois: roifile.ImagejRoi) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for i, roi in enumerate(rois):
            archive.writestr(f"{i:04}.roi", roi.tobytes())
    return path


@pytest.mark.parametrize(
    "kind", [roifile.ROI_TYPE.POLYGON, roifile.ROI_TYPE.FREEHAND, roifile.ROI_TYPE.TRACED]
)
def test_outlines_go_along_the_pixel_grid(tmp_path: Path, kind: roifile.ROI_TYPE) -> None:
    # an L of 3 x 2 and 2 x 4 pixels, as ImageJ's wand traces it
    corners = [(4, 2), (6, 2), (6, 5), (8, 5), (8, 7), (4, 7)]
    file = _save(tmp_path / "a.zip", _outline(corners, kind))
    expected = np.zeros((10, 12), np.int32)
    expected[2:5, 4:6] = expected[5:7, 4:8] = 1
    labels = read_roi_zip(file, (10, 12))
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.int32


def test_rectangles_and_ovals(tmp_path: Path) -> None:
    file = _save(
        tmp_path / "a.zip",
        _box(roifile.ROI_TYPE.RECT, 1, 2, 4, 7),
        _box(roifile.ROI_TYPE.OVAL, 6, 3, 17, 10),
    )
    labels = read_roi_zip(file, (20, 15))
    expected = np.zeros((20, 15), bool)
    expected[1:4, 2:7] = True
    np.testing.assert_array_equal(labels == 1, expected)
    rows, columns = np.indices((20, 15)) + 0.5
    oval = ((rows - 11.5) / 5.5) ** 2 + ((columns - 6.5) / 3.5) ** 2 < 1
    np.testing.assert_array_equal(labels == 2, oval)


def test_subpixel_outlines(tmp_path: Path) -> None:
    file = _save(tmp_path / "a.zip", _outline([(1.6, 1.4), (4.4, 1.4), (4.4, 3.6), (1.6, 3.6)]))
    expected = np.zeros((6, 7), np.int32)
    expected[1:4, 2:4] = 1
    np.testing.assert_array_equal(read_roi_zip(file, (6, 7)), expected)


def test_round_cells_come_back_from_their_outlines(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape, truth, rois = (120, 130), np.zeros((120, 130), int), []
    rows, columns = np.indices(shape) + 0.5
    for i in range(16):
        y, x = 15 + 29 * (i // 4) + rng.uniform(-2, 2), 18 + 29 * (i % 4) + rng.uniform(-2, 2)
        radius = rng.uniform(3, 11)
        truth[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = i + 1
        angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
        rois.append(_outline([(x + radius * np.cos(a), y + radius * np.sin(a)) for a in angles]))
    labels = read_roi_zip(_save(tmp_path / "a.zip", *rois), shape)
    inner = ndimage.binary_erosion(truth > 0)
    outer = ndimage.binary_dilation(truth > 0)
    np.testing.assert_array_equal(labels[inner], truth[inner])
    assert not labels[~outer].any()
    assert (labels != truth).mean() < 0.002


def test_the_smaller_one_wins_and_numbers_follow_the_file(tmp_path: Path) -> None:
    file = _save(
        tmp_path / "a.zip",
        _box(roifile.ROI_TYPE.RECT, 2, 2, 4, 4),
        _box(roifile.ROI_TYPE.RECT, 0, 0, 8, 8),
        _box(roifile.ROI_TYPE.RECT, 30, 30, 40, 40),
        _box(roifile.ROI_TYPE.RECT, 7, 7, 12, 12),
    )
    with pytest.warns(ImPartialWarning, match="1 of 4 areas have no pixel of their own"):
        labels = read_roi_zip(file, (10, 10))
    assert (labels[2:4, 2:4] == 1).all()
    assert labels[0, 0] == labels[6, 6] == 2
    assert labels[9, 9] == 4
    assert (labels == 2).sum() == 64 - 4 - 1 + (labels[7, 7] == 2)
    assert not (labels == 3).any(), "outside of the image"


def test_single_roi_file(tmp_path: Path) -> None:
    (tmp_path / "a.roi").write_bytes(_box(roifile.ROI_TYPE.RECT, 1, 1, 3, 3).tobytes())
    assert (read_roi_zip(tmp_path / "a.roi", (5, 5)) == 1).sum() == 4


def test_other_files_in_the_archive_are_left_out(tmp_path: Path) -> None:
    file = _save(tmp_path / "a.zip", _box(roifile.ROI_TYPE.RECT, 1, 1, 3, 3))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("README.txt", "hello")
    assert (read_roi_zip(file, (5, 5)) == 1).sum() == 4


def test_compositions_have_holes(tmp_path: Path) -> None:
    outer = [(0, 1, 1), (1, 9, 1), (1, 9, 8), (1, 1, 8), (4,)]
    hole = [(0, 3, 3), (1, 3, 6), (1, 6, 6), (1, 6, 3), (4,)]
    roi = _box(roifile.ROI_TYPE.RECT, 1, 1, 8, 9)
    roi.shape_roi_size = sum(len(part) for part in outer + hole)
    roi.multi_coordinates = np.array([v for part in outer + hole for v in part], np.float32)
    labels = read_roi_zip(_save(tmp_path / "a.zip", roi), (10, 12))
    expected = np.zeros((10, 12), np.int32)
    expected[1:8, 1:9] = 1
    expected[3:6, 3:6] = 0
    np.testing.assert_array_equal(labels, expected)


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(ImPartialError, match=r"none\.zip does not exist"):
        read_roi_zip(tmp_path / "none.zip", (5, 5))
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(ImPartialError, match=r"text\.zip cannot be read"):
        read_roi_zip(tmp_path / "text.zip", (5, 5))
    file = _save(tmp_path / "damaged.zip", _box(roifile.ROI_TYPE.RECT, 1, 1, 3, 3))
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ImPartialError, match=r"damaged\.zip cannot be read"):
        read_roi_zip(file, (5, 5))
    line = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, x1=1, y1=1, x2=4, y2=4)
    for rois in ([], [line]):
        with pytest.raises(ImPartialError, match="holds no area"):
            read_roi_zip(_save(tmp_path / "lines.zip", *rois), (5, 5))
    far = _save(tmp_path / "far.zip", _box(roifile.ROI_TYPE.RECT, 50, 50, 60, 60))
    with pytest.raises(ImPartialError, match="outside of the image of 5 x 6"):
        read_roi_zip(far, (5, 6))
