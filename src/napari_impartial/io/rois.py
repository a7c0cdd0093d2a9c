"""Read ImageJ regions of interest as instance masks."""

from __future__ import annotations

import itertools
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import roifile
from numpy.typing import NDArray

from napari_impartial.core.errors import ImPartialError, note

from .complaints import complaints_of
from .geojson import is_hidden
from .lazy import first_line
from .limits import check_claim, check_file
from .regions import MOST_PIXELS, Region, Ring, rasterise

_AREAS = (
    roifile.ROI_TYPE.POLYGON,
    roifile.ROI_TYPE.RECT,
    roifile.ROI_TYPE.OVAL,
    roifile.ROI_TYPE.FREEHAND,
    roifile.ROI_TYPE.TRACED,
)
# Plain numbers, as we call regions. ImageJ's own names, "0012-0034", are places.
_NUMBER = re.compile(r"[1-9]\d{0,8}")
# How many numbers follow each command of a path: to, line to, two curves, close.
_OPERANDS = {0: 2, 1: 2, 2: 4, 3: 6, 4: 0}
_STEPS_OF_A_CURVE = 16
#: A region with a thousand corners has 12 kB; no more is read of one.
MOST_BYTES_OF_A_REGION = 2**26


def read_roi_zip(
    path: str | os.PathLike[str], shape: tuple[int, int], n_channels: int = 1
) -> NDArray[np.int32]:
    """Rasterise the areas of an ImageJ ROI file (.zip or .roi) for an image of one plane.

    Coordinates are those of ImageJ: the corners of the pixel grid, so that a pixel
    belongs to an area if its centre lies inside. Polygons, freehand and traced outlines,
    rectangles, ovals and compositions of outlines are areas; points and lines are left
    out. For stacks see :func:`read_rois` and :func:`.regions.rasterise`.

    Parameters
    ----------
    path
        ROI file.
    shape
        Rows and columns of the image that the areas were drawn on.
    n_channels
        Of the image; areas may lie on any of them.

    Returns
    -------
    ndarray
        (Y, X) int32: 0 where there is no area, otherwise the area's number: its name, where all
        names are different numbers, and from 1 in the order of the file otherwise. Where areas
        overlap, the smaller one wins, lest it vanish.

    Raises
    ------
    ImPartialError
        If the file is missing, no ROI file or damaged, holds no area, all areas lie
        outside of the image, or on several planes.
    """
    try:
        return rasterise(read_rois(path), shape, n_channels=n_channels)
    except ImPartialError as error:
        raise ImPartialError(f"{path}: {error}".replace(f"{path}: {path}", str(path))) from None


def read_rois(path: str | os.PathLike[str]) -> list[Region]:
    """Read the areas of an ImageJ ROI file, with names and planes.

    Raises
    ------
    ImPartialError
        If the file is missing, no ROI file or damaged, or holds no area.
    """
    file = check_file(path)
    regions, others = [], 0
    try:
        with complaints_of("roifile") as complaints:
            for content in _contents(file):
                roi = roifile.ImagejRoi.frombytes(content)
                if _is_area(roi):
                    regions.append(_region(roi))
                else:
                    others += 1
    except (ImPartialError, MemoryError):
        raise
    except Exception as error:
        # a damaged file ends in struct.error, zlib.error, ValueError, BadZipFile ...
        raise ImPartialError(
            f"{file} cannot be read; it may be damaged or no ImageJ ROI file ({first_line(error)})."
        ) from error
    if not regions:
        raise ImPartialError(f"{path} holds no area (polygon, freehand, rectangle or oval).")
    if complaints:
        note(f"{path} is not quite in order and is read as far as it goes: {complaints[0]}.")
    if others:
        note(f"{path} holds {others} points, lines or texts, which are no areas and are left out.")
    return regions


def _contents(file: Path) -> Iterator[bytes]:
    """Yield the content of each region in a file."""
    if not zipfile.is_zipfile(file):
        if file.stat().st_size > MOST_BYTES_OF_A_REGION:
            raise ValueError("it is too large for a region")
        yield file.read_bytes()
        return
    with zipfile.ZipFile(file) as archive:
        # other programs put further files beside the regions
        entries = [
            entry
            for entry in archive.infolist()
            if entry.filename.lower().endswith(".roi") and not is_hidden(entry.filename)
        ]
        check_claim(file, sum(entry.file_size for entry in entries))
        for entry in entries:
            if entry.file_size > MOST_BYTES_OF_A_REGION:
                raise ValueError(f"{entry.filename} is too large for a region")
            yield archive.read(entry)


def _is_area(roi: roifile.ImagejRoi) -> bool:
    """Tell whether a region encloses pixels."""
    # text and pictures are stored as rectangles
    drawn = roi.subtype not in (roifile.ROI_SUBTYPE.TEXT, roifile.ROI_SUBTYPE.IMAGE)
    return drawn and (roi.composite or roi.roitype in _AREAS)


def _region(roi: roifile.ImagejRoi) -> Region:
    """Return an area, with its plane."""
    parts, oval = _shape(roi)
    for ring in (ring for part in parts for ring in part):
        if not (np.abs(ring) <= MOST_PIXELS).all():
            raise ValueError("a corner lies farther out than any image")
    z, t, position = (
        value - 1 if value > 0 else None for value in (roi.z_position, roi.t_position, roi.position)
    )
    hyperstack = z is not None or t is not None
    return Region(
        parts,
        oval,
        name=roi.name,
        label=int(roi.name) if _NUMBER.fullmatch(roi.name) else None,
        z=z,
        t=t,
        # ImageJ heeds it only where there is nothing better
        position=None if hyperstack or roi.c_position > 0 else position,
    )


def _shape(
    roi: roifile.ImagejRoi,
) -> tuple[tuple[tuple[Ring, ...], ...], tuple[float, float, float, float] | None]:
    """Return the outlines of an area, or the box of an ellipse."""
    if roi.composite:
        # outlines within outlines are holes
        return (tuple(_paths(np.asarray(roi.multi_coordinates, float).tolist())),), None
    if roi.roitype in (roifile.ROI_TYPE.RECT, roifile.ROI_TYPE.OVAL):
        # What ImageJ measures are the pixels in the box of whole ones, also where it knows parts.
        left, top = float(roi.left), float(roi.top)
        width, height = float(roi.right - roi.left), float(roi.bottom - roi.top)
        if roi.roitype == roifile.ROI_TYPE.OVAL:
            return (), (left, top, width, height)
        return ((_box(left, top, width, height, float(roi.rounded_rect_arc_size)),),), None
    return ((np.asarray(roi.coordinates(), float).reshape(-1, 2),),), None


def _box(left: float, top: float, width: float, height: float, arc: float) -> Ring:
    """Return the corners of a rectangle, rounded by quarters of a circle `arc` across."""
    rx, ry = min(arc, width) / 2, min(arc, height) / 2
    angles = np.linspace(0, np.pi / 2, _STEPS_OF_A_CURVE) if arc > 0 else np.zeros(1)
    points = []
    for turn, (x, y) in enumerate(
        [
            (left + width - rx, top + height - ry),
            (left + rx, top + height - ry),
            (left + rx, top + ry),
            (left + width - rx, top + ry),
        ]
    ):
        around = angles + turn * np.pi / 2
        points.append(np.stack([x + rx * np.cos(around), y + ry * np.sin(around)], axis=1))
    return np.concatenate(points)


def _paths(numbers: list[float]) -> Iterator[Ring]:
    """Yield the outlines of a composition: commands, each with its points.

    Raises
    ------
    ValueError
        If there is another command.
    """
    points: list[tuple[float, float]] = []
    at = 0
    while at < len(numbers):
        command = int(numbers[at]) if numbers[at] in _OPERANDS else -1
        given = numbers[at + 1 : at + 1 + _OPERANDS.get(command, 0)]
        if command < 0 or len(given) < _OPERANDS[command]:
            raise ValueError(f"{numbers[at]:g} is no command of a path")
        at += 1 + len(given)
        ends = list(zip(given[::2], given[1::2], strict=True))
        if command == 0 and points:
            yield np.array(points)
            points = []
        if command in (2, 3):
            ends = _curve([points[-1] if points else ends[0], *ends])
        points += ends
    if points:
        yield np.array(points)


def _curve(knots: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points along a Bézier curve, less the first."""
    steps = np.linspace(0, 1, _STEPS_OF_A_CURVE)[1:, np.newaxis]
    curve = [np.broadcast_to(np.array(knot, float), (len(steps), 2)) for knot in knots]
    while len(curve) > 1:
        curve = [a + (b - a) * steps for a, b in itertools.pairwise(curve)]
    return [(float(x), float(y)) for x, y in curve[0]]
