"""Read ImageJ regions of interest as instance masks."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import roifile
from numpy.typing import NDArray
from skimage.draw import ellipse, polygon

from napari_impartial.core.errors import ImPartialError

_AREAS = (
    roifile.ROI_TYPE.POLYGON,
    roifile.ROI_TYPE.RECT,
    roifile.ROI_TYPE.OVAL,
    roifile.ROI_TYPE.FREEHAND,
    roifile.ROI_TYPE.TRACED,
)


def read_roi_zip(path: str | os.PathLike[str], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Rasterise the areas of an ImageJ ROI file (.zip or .roi).

    Coordinates are those of ImageJ: the corners of the pixel grid, so that a pixel
    belongs to an area if its centre lies inside. Polygons, freehand and traced outlines,
    rectangles, ovals and compositions of outlines are areas; points and lines are left
    out, and so is the position in a stack.

    Parameters
    ----------
    path
        ROI file.
    shape
        Rows and columns of the image that the areas were drawn on.

    Returns
    -------
    ndarray
        (Y, X) int32: 0 where there is no area, otherwise the area's number, from 1, in the
        order of the file. Where areas overlap, the smaller one wins, lest it vanish.

    Raises
    ------
    ImPartialError
        If the file is missing, no ROI file or damaged, holds no area, or all areas lie
        outside of the image.
    """
    rois = [roi for roi in _load(Path(path)) if _is_area(roi)]
    if not rois:
        raise ImPartialError(f"{path} holds no area (polygon, freehand, rectangle or oval).")
    pixels = [_pixels(roi, shape) for roi in rois]
    if not any(rows.size for rows, _ in pixels):
        raise ImPartialError(
            f"All areas of {path} lie outside of the image of {shape[0]} x {shape[1]} pixels; "
            "they belong to another image."
        )
    labels = np.zeros(shape, dtype=np.int32)
    for index in sorted(range(len(rois)), key=lambda i: -pixels[i][0].size):
        labels[pixels[index]] = index + 1
    return labels


def roi_extent(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return rows and columns that the areas of a file reach to.

    Raises
    ------
    ImPartialError
        As :func:`read_roi_zip`.
    """
    rois = [roi for roi in _load(Path(path)) if _is_area(roi)]
    if not rois:
        raise ImPartialError(f"{path} holds no area (polygon, freehand, rectangle or oval).")
    reach = np.ones(2)
    for roi in rois:
        if roi.roitype == roifile.ROI_TYPE.OVAL and not roi.composite:
            reach = np.maximum(reach, (roi.right, roi.bottom))
        else:
            for points in roi.coordinates(multi=True):
                reach = np.maximum(reach, points.max(axis=0))
    columns, rows = np.ceil(reach).astype(int)
    return int(rows), int(columns)


def _load(file: Path) -> list[roifile.ImagejRoi]:
    """Return all regions of a file."""
    if not file.is_file():
        raise ImPartialError(f"{file} does not exist.")
    try:
        if not zipfile.is_zipfile(file):
            return [roifile.ImagejRoi.frombytes(file.read_bytes())]
        with zipfile.ZipFile(file) as archive:
            # other programs put further files beside the regions
            names = [name for name in archive.namelist() if name.lower().endswith(".roi")]
            return [roifile.ImagejRoi.frombytes(archive.read(name)) for name in names]
    except MemoryError:
        raise
    except Exception as error:
        # a damaged file ends in struct.error, zlib.error, ValueError, BadZipFile ...
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ImPartialError(
            f"{file} cannot be read; it may be damaged or no ImageJ ROI file ({reason})."
        ) from error


def _is_area(roi: roifile.ImagejRoi) -> bool:
    """Tell whether a region encloses pixels."""
    # text and pictures are stored as rectangles
    drawn = roi.subtype not in (roifile.ROI_SUBTYPE.TEXT, roifile.ROI_SUBTYPE.IMAGE)
    return drawn and (roi.composite or roi.roitype in _AREAS)


def _pixels(
    roi: roifile.ImagejRoi, shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of the pixels inside a region."""
    if roi.roitype == roifile.ROI_TYPE.OVAL and not roi.composite:
        middle = (roi.top + roi.bottom - 1) / 2, (roi.left + roi.right - 1) / 2
        rows, columns = ellipse(
            *middle, (roi.bottom - roi.top) / 2, (roi.right - roi.left) / 2, shape=shape
        )
        return rows, columns
    outlines = [points - 0.5 for points in roi.coordinates(multi=True) if len(points) >= 3]
    if len(outlines) == 1:
        rows, columns = polygon(outlines[0][:, 1], outlines[0][:, 0], shape)
        return rows, columns
    inside = np.zeros(shape, dtype=bool)
    for points in outlines:
        # outlines within outlines are holes
        inside[polygon(points[:, 1], points[:, 0], shape)] ^= True
    rows, columns = np.nonzero(inside)
    return rows, columns
