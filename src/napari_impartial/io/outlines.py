"""Write instance masks as outlines: ImageJ ROI files and GeoJSON.

Outlines run between pixels: half way from each pixel of an object to its neighbours
outside. Coordinates are those of ImageJ and QuPath, in which the first pixel reaches from
0 to 1. Rasterising an outline gives the object's pixels back.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import roifile
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours, points_in_poly

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.errors import ImPartialError

Ring = NDArray[np.float64]
"""(N, 2) points x, y; the last is the first again."""


@dataclass(frozen=True, eq=False)
class Outline:
    """One object.

    Attributes
    ----------
    label : int
    parts : tuple of (outer ring, hole, ...)
        One for each connected part.
    plane : tuple of int
        Position along the leading axes of the label image.
    """

    label: int
    parts: tuple[tuple[Ring, ...], ...]
    plane: tuple[int, ...] = ()


def outlines(labels: NDArray[Any]) -> Iterator[Outline]:
    """Trace the objects of a label image.

    Parameters
    ----------
    labels
        (..., Y, X) whole numbers; 0 is background. Planes are traced one by one.

    Raises
    ------
    ImPartialError
        If it is no label image.
    """
    labels = np.asarray(labels)
    if labels.ndim < 2 or labels.dtype.kind not in "biu":
        raise ImPartialError(
            f"Outlines are drawn round objects in (Y, X) whole numbers; this has the shape "
            f"{labels.shape} and holds {labels.dtype}."
        )
    for plane in np.ndindex(*labels.shape[:-2]):
        part = labels[plane].astype(np.int64)
        ids, packed = np.unique(part, return_inverse=True)
        packed = packed.reshape(part.shape) + (1 if ids[0] != 0 else 0)
        known = ids[ids != 0]
        for number, box in enumerate(ndimage.find_objects(packed), start=1):
            corner = box[0].start, box[1].start
            yield trace(packed[box] == number, int(known[number - 1]), corner, tuple(plane))


def trace(
    mask: NDArray[np.bool_],
    label: int,
    corner: tuple[int, int],
    plane: tuple[int, ...] = (),
    factor: tuple[float, float] = (1.0, 1.0),
) -> Outline:
    """Trace one object.

    Parameters
    ----------
    mask : (H, W) bool
        At least one pixel of it.
    label : int
    corner : (int, int)
        Row and column of the mask's first pixel.
    plane : tuple of int
    factor : (float, float)
        Height and width of its pixels in those of the coordinates.
    """
    offset = np.array([corner[1], corner[0]]) - 0.5
    parts = _parts(np.pad(mask, 1), offset)
    if factor != (1.0, 1.0):
        parts = tuple(tuple(ring * factor[::-1] for ring in rings) for rings in parts)
    return Outline(label, parts, plane)


def write_roi_zip(
    path: str | os.PathLike[str], labels: NDArray[Any], stack_axes: str = "", n_channels: int = 1
) -> int:
    """Write each object as an ImageJ region in a zip file, whole or not at all.

    A region is called after its label, such as ``12``. Objects with holes or in several parts
    are what ImageJ calls compositions. The regions of a stack know their plane: slice and time
    point for what is a hyperstack in ImageJ, otherwise their place in the row.

    Parameters
    ----------
    path
        Where to.
    labels
        (..., Y, X) whole numbers; 0 is background.
    stack_axes
        A letter, T or Z, for each leading axis; by default the last ones of ``TZ``.
    n_channels
        Of the image: with several, a stack is a hyperstack.

    Returns
    -------
    int
        Number of regions.

    Raises
    ------
    ImPartialError
        If there is no object, or it cannot be written.
    """
    written = 0
    letters = _letters(labels, stack_axes)
    lengths = [n for n in np.shape(labels)[:-2] if n > 1]
    hyperstack = len(lengths) > 1 or n_channels > 1
    with atomic_path(Path(path)) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for outline in outlines(labels):
            roi = _roi(outline)
            where = dict(zip(letters, outline.plane, strict=False))
            if hyperstack:
                roi.z_position = where.get("Z", -1) + 1
                roi.t_position = where.get("T", -1) + 1
            elif lengths:
                roi.position = max(outline.plane) + 1
            stem = "-".join([*(f"{n:04}" for n in outline.plane), f"{written:06}", roi.name])
            archive.writestr(zipfile.ZipInfo(f"{stem}.roi"), roi.tobytes())
            written += 1
        _check_any(written)
    return written


def _letters(labels: NDArray[Any], stack_axes: str) -> str:
    """Return what the leading axes are: what is said, or the last ones of ``TZ``."""
    return stack_axes or "TZ"[max(0, 4 - np.ndim(labels)) :]


def _roi(outline: Outline) -> roifile.ImagejRoi:
    """Return an object as ImageJ's region: one outline, or a composition of several."""
    rings = [ring[:-1].astype(np.float32) for part in outline.parts for ring in part]
    name = str(outline.label)
    roi = roifile.ImagejRoi.frompoints(rings[0], name=name)
    roi.roitype = roifile.ROI_TYPE.POLYGON
    if len(rings) == 1:
        return roi
    points = np.concatenate(rings)
    left, top = np.floor(points.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(points.max(axis=0)).astype(int).tolist()
    path: list[float] = []
    for ring in rings:
        for command, (x, y) in enumerate(ring.tolist()):
            path += [min(command, 1), x, y]
        path.append(4)
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        name=name,
        shape_roi_size=len(path),
        multi_coordinates=np.array(path, np.float32),
    )


def write_geojson(
    path: str | os.PathLike[str],
    labels: NDArray[Any],
    stack_axes: str = "",
    classes: Mapping[tuple[int, ...], Mapping[int, str]] | None = None,
) -> int:
    """Write each object as a GeoJSON feature, as QuPath reads it, whole or not at all.

    Parameters
    ----------
    path
        Where to.
    labels
        (..., Y, X) whole numbers; 0 is background.
    stack_axes
        A letter, T or Z, for each leading axis; by default the last ones of ``TZ``.
    classes
        By plane, as positions along the leading axes, what the objects are classified as, by
        their labels; those that are not in it have no classification.

    Returns
    -------
    int
        Number of features.

    Raises
    ------
    ImPartialError
        If there is no object, or it cannot be written.
    """
    letters = _letters(labels, stack_axes)

    def kind_of(outline: Outline) -> str:
        return (classes or {}).get(outline.plane, {}).get(outline.label, "")

    return write_features(path, outlines(labels), letters, kind_of)


def write_features(
    path: str | os.PathLike[str],
    found: Iterable[Outline],
    letters: str = "",
    kind_of: Callable[[Outline], str] = lambda _: "",
) -> int:
    """Write outlines as GeoJSON one after the other, as QuPath reads them, whole or not at all.

    Parameters
    ----------
    path
        Where to.
    found
        Never all in memory.
    letters
        T or Z, for each position along a stack.
    kind_of
        Gives what an object is classified as; "" for nothing.

    Returns
    -------
    int
        Number of features.

    Raises
    ------
    ImPartialError
        If there is none, or they cannot be written.
    """
    written = 0
    with (
        atomic_path(Path(path)) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.write('{"type": "FeatureCollection", "features": [')
        for outline in found:
            feature = _feature(outline, letters, kind_of(outline))
            file.write((", " if written else "") + json.dumps(feature))
            written += 1
        file.write("]}")
        _check_any(written)
    return written


def _feature(outline: Outline, letters: str, kind: str) -> dict[str, Any]:
    """Return an object as a GeoJSON feature."""
    parts = [[np.round(ring, 2).tolist() for ring in rings] for rings in outline.parts]
    single = len(parts) == 1
    geometry: dict[str, Any] = {
        "type": "Polygon" if single else "MultiPolygon",
        "coordinates": parts[0] if single else parts,
    }
    where = dict(zip(letters, outline.plane, strict=False))
    if where:
        # of all channels
        geometry["plane"] = {"c": -1, "z": where.get("Z", 0), "t": where.get("T", 0)}
    properties: dict[str, Any] = {
        "objectType": "detection",
        "name": str(outline.label),
        "label": outline.label,
    }
    if kind:
        properties["classification"] = {"name": kind}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _check_any(count: int) -> None:
    if not count:
        raise ImPartialError("There is no object to write; the label image is empty.")


def _parts(mask: NDArray[np.bool_], offset: NDArray[np.float64]) -> tuple[tuple[Ring, ...], ...]:
    """Trace a padded mask: outer rings, each with its holes."""
    rings = [ring[:, ::-1] for ring in find_contours(mask.astype(np.float32), 0.5)]
    areas = [_area(ring) for ring in rings]
    # The ring with the largest area is an outer one, and tells which way round these go.
    outward = np.sign(areas[int(np.argmax(np.abs(areas)))])
    outer = [i for i, area in enumerate(areas) if area * outward > 0]
    inner = [i for i, area in enumerate(areas) if area * outward < 0]
    parts = []
    for i in outer:
        holes = [
            rings[j]
            for j in inner
            if len(outer) == 1 or points_in_poly(rings[j][:1], rings[i]).all()
        ]
        # Of the padded crop the first pixel is one further; its centre lies half in.
        parts.append(tuple(ring + offset for ring in (rings[i], *holes)))
    return tuple(parts)


def _area(ring: Ring) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2
