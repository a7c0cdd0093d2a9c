"""One row of figures for each object: place, size, shape, brightness, confidence.

Everything is summed over all objects at once (:func:`numpy.bincount`), so that the table
of a thousand cells follows the sliders.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from napari_impartial.core.data.image import Image
from napari_impartial.core.errors import ImPartialError

from .object_sums import DIRECTIONS, ObjectSums, add_up, directions
from .overlaps import check_labels

Column = npt.NDArray[np.generic]

# Fragments are a small part of what they come off; where cells are of a usual size, the setting's
# default does, and is not touched.
_USUAL_AREAS_PX, _OF_LARGE, _OF_SMALL = (200, 800), 1 / 20, 1 / 5

COLUMNS: dict[str, str] = {
    "label": "Number of the object in the picture.",
    "centroid_y": "Middle of the object, in pixels from the top of the image.",
    "centroid_x": "Middle of the object, in pixels from the left of the image.",
    "area_px": "Size of the object, in pixels.",
    "class": "Kind of cell, counted from 1 in the order of the labels that were painted.",
    "class_name": "What that kind of cell is called.",
    "class_probability": "Mean probability of that kind over the object, from 0 to 1 (sure).",
    "confidence": "How sure the model is that this is a cell: its mean probability over the "
    "object, from 0 to 1 (sure).",
    "doubt": "How likely it is that this is not one whole cell, as its outline, its seams and its "
    "size tell: from 0 (sure) to 1.",
    "uncertainty": "How unsure the model is, on average over the object, from 0 (sure) to 1.",
    "mean_<channel>": "Mean brightness of the object in this channel, in the image's own units.",
    "major_axis_px": "Length, in pixels, of the ellipse that is spread as the object is.",
    "minor_axis_px": "Width, in pixels, of the ellipse that is spread as the object is.",
    "eccentricity": "How elongated that ellipse is, from 0 (a circle) to 1 (a line).",
    "orientation_deg": "Direction of that ellipse's long axis, in degrees from the horizontal: "
    "-90 to 90, above 0 where it falls to the right.",
    "solidity": "Share that the object fills of its convex hull, the outline without dents: "
    "from 0 to 1 (no dents).",
    "bbox_y0": "First row of the box round the object, in pixels from the top of the image.",
    "bbox_x0": "First column of the box round the object, in pixels from the left of the image.",
    "bbox_y1": "Row after the last of the box, in pixels from the top of the image.",
    "bbox_x1": "Column after the last of the box, in pixels from the left of the image.",
}
"""What each column of :func:`measure` says, with its unit, in the table's order."""


def smallest_size(labels: npt.ArrayLike, usual_px: int) -> int:
    """Return the size below which objects are hardly cells, for an image's cells.

    Parameters
    ----------
    labels : (Y, X) integer array
        Objects, whatever their size; 0 between them.
    usual_px : int
        For cells of a usual size.

    Returns
    -------
    int
        In pixels. `usual_px` for cells of 200 to 800 px and where there are none; a twentieth of
        larger ones and a fifth of smaller ones. The size of cells is that of the object that the
        middle one of all objects' pixels lies in, which specks do not move.
    """
    areas = np.sort(np.bincount(np.asarray(labels).ravel())[1:])
    areas = areas[areas > 0]
    if not len(areas):
        return usual_px
    upto = np.cumsum(areas)
    area = int(areas[np.searchsorted(upto, upto[-1] / 2)])
    low, high = _USUAL_AREAS_PX
    if low <= area <= high:
        return usual_px
    share = _OF_LARGE if area > high else _OF_SMALL
    return max(1, round(share * area))


def measure(
    labels: npt.NDArray[np.integer],
    image: Image | None = None,
    probability: npt.NDArray[np.floating] | None = None,
    entropy: npt.NDArray[np.floating] | None = None,
    class_names: Sequence[str] = (),
    doubt: npt.NDArray[np.floating] | None = None,
    painted: npt.NDArray[np.integer] | None = None,
) -> dict[str, Column]:
    """Measure each object.

    Parameters
    ----------
    labels : (Y, X) integer array
        Instance ids, 0 for background; ids need not be consecutive.
    image : Image, optional
        Adds the mean raw intensity in each channel; pixels that are not finite are left
        out.
    probability : (K, Y, X) array, optional
        Class probabilities, class 0 the background. Adds `class` (index into the K
        classes, 1 or more) and `confidence` (mean foreground probability, 0 to 1).
    entropy : (Y, X) array, optional
        Adds its mean, 0 (sure) to 1.
    class_names : sequence of str, optional
        Of the K - 1 kinds of cell. Adds `class_name` and `class_probability` where there are
        several.
    doubt : (Y, X) array, optional
        Adds its mean over the object, 0 (sure) to 1.
    painted : (Y, X) integer array, optional
        Scribbles, 2 and up for the foreground classes: an object is of the class that most of
        the painted pixels in it are of, whatever its probabilities say.

    Returns
    -------
    dict of (N,) arrays, in the order of the ids
        Columns named, ordered and described as in :data:`COLUMNS`; those of what is not
        given are left out.

    Raises
    ------
    ImPartialError
        If labels are not whole numbers, 0 and up, or a map does not have their shape.
    """
    labels = np.asarray(labels)
    _check_shapes(labels, image, probability, entropy, doubt, painted)
    sums = add_up(
        labels,
        None if probability is None else probability[1:],
        entropy,
        None if image is None else image.channels,
        doubt=doubt,
        painted=painted,
    )
    return to_table(sums, () if image is None else image.channel_names, class_names)


def to_table(
    sums: ObjectSums, channel_names: Sequence[str] = (), class_names: Sequence[str] = ()
) -> dict[str, Column]:
    """Return the figures of objects of which all sums are known; see :func:`measure`."""
    area = sums.area
    y, x, yy, xx, yx = sums.moments / np.maximum(area, 1)
    table: dict[str, Column] = {
        "label": sums.ids,
        "centroid_y": y + sums.box[0],
        "centroid_x": x + sums.box[1],
        "area_px": area,
    }
    if len(sums.classes):
        kinds = sums.classes.argmax(axis=0)
        if len(sums.painted):
            said = sums.painted.max(axis=0) > 0
            kinds = np.where(said, sums.painted.argmax(axis=0), kinds)
        table["class"] = np.asarray(kinds + 1, dtype=np.int64)
        if len(class_names) > 1:
            table["class_name"] = np.array(class_names, dtype=np.str_)[kinds]
            table["class_probability"] = np.clip(
                np.take_along_axis(sums.classes, kinds[None], axis=0)[0] / area, 0.0, 1.0
            )
        table["confidence"] = np.clip(sums.classes.sum(axis=0) / area, 0.0, 1.0)
    if len(sums.doubt):
        table["doubt"] = np.clip(sums.doubt[0] / area, 0.0, 1.0)
    if len(sums.entropy):
        table["uncertainty"] = sums.entropy[0] / area
    for name, total, count in zip(channel_names, sums.intensity, sums.finite, strict=True):
        table[_free_name(f"mean_{name}", table)] = np.divide(
            total, count, out=np.full(len(total), np.nan), where=count > 0
        )
    table.update(_ellipse(np.maximum(yy - y * y, 0.0), np.maximum(xx - x * x, 0.0), yx - y * x))
    table["solidity"] = _solidity(sums.support - directions() @ np.stack([y, x]), area)
    table.update(zip(("bbox_y0", "bbox_x0", "bbox_y1", "bbox_x1"), sums.box, strict=True))
    return table


def describe(column: str) -> str:
    """Return what a column says, with its unit; empty if that is not known.

    Besides those of :func:`measure` it knows ``axis_<number>``, which tables of stacks have.
    """
    if column.startswith("mean_"):
        return COLUMNS["mean_<channel>"]
    if column.startswith("axis_"):
        return "Plane that the object is in, along this axis of the layer, counted from 0."
    return COLUMNS.get(column, "")


def to_csv(table: dict[str, Column]) -> str:
    """Write a table as comma-separated values with a header, lines ended by a newline."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(csv_rows(table))
    return text.getvalue()


def csv_rows(table: dict[str, Column]) -> Iterator[tuple[object, ...]]:
    """Go through the rows of a table as they are written."""
    columns = [
        [f"{value:.9g}" for value in column] if column.dtype.kind == "f" else column.tolist()
        for column in table.values()
    ]
    return zip(*columns, strict=True)


def _check_shapes(
    labels: npt.NDArray[np.integer],
    image: Image | None,
    probability: npt.NDArray[np.floating] | None,
    entropy: npt.NDArray[np.floating] | None,
    doubt: npt.NDArray[np.floating] | None,
    painted: npt.NDArray[np.integer] | None,
) -> None:
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ImPartialError(
            f"Objects are measured in a (Y, X) image of whole numbers; this one has shape "
            f"{labels.shape} and type {labels.dtype}."
        )
    check_labels(labels)
    maps: dict[str, npt.NDArray[np.generic] | None] = {
        "image": None if image is None else image.channels,
        "probability map": probability,
        "entropy map": entropy,
        "map of doubt": doubt,
        "scribble map": painted,
    }
    for name, array in maps.items():
        if array is not None and array.shape[-2:] != labels.shape:
            raise ImPartialError(
                f"The {name} is {array.shape[-2:]} pixels large and the labels are "
                f"{labels.shape}; they have to be of the same image."
            )


def _free_name(name: str, table: dict[str, Column]) -> str:
    """Two channels of the same name must not share a column."""
    unique, count = name, 2
    while unique in table:
        unique, count = f"{name}_{count}", count + 1
    return unique


def _ellipse(
    yy: npt.NDArray[np.float64], xx: npt.NDArray[np.float64], yx: npt.NDArray[np.float64]
) -> dict[str, Column]:
    """Axes and direction of the ellipse with these second central moments (px**2)."""
    half_sum, half_gap = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    major, minor = half_sum + half_gap, np.maximum(half_sum - half_gap, 0.0)
    ratio = np.divide(minor, major, out=np.ones_like(major), where=major > 0)
    return {
        "major_axis_px": 4 * np.sqrt(major),
        "minor_axis_px": 4 * np.sqrt(minor),
        "eccentricity": np.sqrt(1.0 - ratio),
        "orientation_deg": np.degrees(0.5 * np.arctan2(2 * yx, xx - yy)),
    }


def _solidity(
    support: npt.NDArray[np.float64], area: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Area over convex area, with the hull taken as the polygon of supporting lines.

    The area of the polygon that lines in a fan of directions enclose follows from their
    distances h to the centre: sum of h_i * side_i / 2, side_i = (h_(i-1) + h_(i+1) -
    2 h_i cos a) / sin a.
    """
    step = np.pi / DIRECTIONS
    around = np.roll(support, 1, axis=0) + np.roll(support, -1, axis=0)
    sides = (around - 2 * support * np.cos(step)) / np.sin(step)
    hull = 0.5 * (support * np.maximum(sides, 0.0)).sum(axis=0)
    return np.minimum(area / np.maximum(hull, 1e-9), 1.0)
