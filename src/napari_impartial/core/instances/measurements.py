"""One row of figures for each object: place, size, shape, brightness, confidence.

Everything is summed over all objects at once (:func:`numpy.bincount`), so that the table
of a thousand cells follows the sliders.
"""

from __future__ import annotations

import csv
import io

import numpy as np
import numpy.typing as npt

from napari_impartial.core.data.image import Image
from napari_impartial.core.errors import ImPartialError

from .cutter import classes_of

Column = npt.NDArray[np.generic]

# Directions in which objects' convex hulls are felt out, over half a turn. The polygon of
# 2 x 24 sides round a circle is 0.15 % larger than the circle.
_DIRECTIONS = 24

# Fragments are a small part of what they come off; where cells are of a usual size, the setting's
# default does, and is not touched.
_USUAL_AREAS_PX, _OF_LARGE, _OF_SMALL = (200, 800), 1 / 20, 1 / 5

COLUMNS: dict[str, str] = {
    "label": "Number of the object in the picture.",
    "centroid_y": "Middle of the object, in pixels from the top of the image.",
    "centroid_x": "Middle of the object, in pixels from the left of the image.",
    "area_px": "Size of the object, in pixels.",
    "class": "Kind of cell, counted from 1 in the order of the labels that were painted.",
    "confidence": "How sure the model is that this is a cell: its mean probability over the "
    "object, from 0 to 1 (sure).",
    "entropy": "How unsure the model is, on average over the object, from 0 (sure) to 1.",
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

    Returns
    -------
    dict of (N,) arrays, in the order of the ids
        Columns named, ordered and described as in :data:`COLUMNS`; those of what is not
        given are left out.

    Raises
    ------
    ImPartialError
        If a map does not have the labels' shape.
    """
    labels = np.asarray(labels)
    _check_shapes(labels, image, probability, entropy)
    flat = np.flatnonzero(labels)
    ids, of = _consecutive(labels.reshape(-1)[flat])
    n = len(ids)
    y, x = np.divmod(flat, max(labels.shape[1], 1))
    area = np.bincount(of, minlength=n)

    def mean(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        return np.bincount(of, values, n) / area

    centre_y, centre_x = mean(y), mean(x)
    table: dict[str, Column] = {
        "label": ids,
        "centroid_y": centre_y,
        "centroid_x": centre_x,
        "area_px": area,
    }
    if probability is not None:
        table["class"] = classes_of(labels, probability)
        table["confidence"] = np.clip(1.0 - mean(probability[0].reshape(-1)[flat]), 0.0, 1.0)
    if entropy is not None:
        table["entropy"] = mean(entropy.reshape(-1)[flat])
    if image is not None:
        for name, channel in zip(image.channel_names, image.channels, strict=True):
            values = channel.reshape(-1)[flat].astype(np.float64)
            table[_free_name(f"mean_{name}", table)] = _finite_mean(of, values, n, area)
    # From the centre: squares of positions in large images would lose the difference.
    dy, dx = y - centre_y[of], x - centre_x[of]
    table.update(_ellipse(mean(dy * dy), mean(dx * dx), mean(dy * dx)))
    table["solidity"] = _solidity(labels, flat, of, dy, dx, area)
    table.update(_boxes(of, y, x, n))
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
    columns = [
        [f"{value:.6g}" for value in column] if column.dtype.kind == "f" else column.tolist()
        for column in table.values()
    ]
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue()


def _check_shapes(
    labels: npt.NDArray[np.integer],
    image: Image | None,
    probability: npt.NDArray[np.floating] | None,
    entropy: npt.NDArray[np.floating] | None,
) -> None:
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ImPartialError(
            f"Objects are measured in a (Y, X) image of whole numbers; this one has shape "
            f"{labels.shape} and type {labels.dtype}."
        )
    maps = {
        "image": None if image is None else image.channels,
        "probability map": probability,
        "entropy map": entropy,
    }
    for name, array in maps.items():
        if array is not None and array.shape[-2:] != labels.shape:
            raise ImPartialError(
                f"The {name} is {array.shape[-2:]} pixels large and the labels are "
                f"{labels.shape}; they have to be of the same image."
            )


def _consecutive(
    values: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the ids that occur, ascending, and each value's place among them."""
    largest = int(values.max()) if values.size else 0
    if int(values.min(initial=0)) < 0 or largest > 10 * values.size + 1000:
        ids, of = np.unique(values, return_inverse=True)
        return ids.astype(np.int64), of.astype(np.int64)
    values = values.astype(np.int64)  # numpy does not count unsigned numbers of 64 bits
    present = np.bincount(values, minlength=1) > 0
    place = np.cumsum(present) - 1
    return np.flatnonzero(present), place[values]


def _free_name(name: str, table: dict[str, Column]) -> str:
    """Two channels of the same name must not share a column."""
    unique, count = name, 2
    while unique in table:
        unique, count = f"{name}_{count}", count + 1
    return unique


def _finite_mean(
    of: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    n: int,
    area: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    finite = np.isfinite(values)
    if finite.all():
        return np.bincount(of, values, n) / area
    count = np.bincount(of[finite], minlength=n)
    total = np.bincount(of[finite], values[finite], n)
    return np.divide(total, count, out=np.full(n, np.nan), where=count > 0)


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
    labels: npt.NDArray[np.integer],
    flat: npt.NDArray[np.intp],
    of: npt.NDArray[np.int64],
    dy: npt.NDArray[np.float64],
    dx: npt.NDArray[np.float64],
    area: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Area over convex area, with the hull taken as the polygon of supporting lines.

    For each of a fan of directions the farthest pixel of each object is found at once;
    the area of the polygon that those lines enclose follows from their distances h to
    the centre: sum of h_i * side_i / 2, side_i = (h_(i-1) + h_(i+1) - 2 h_i cos a) / sin a.
    """
    n = len(area)
    if n == 0:
        return np.zeros(0)
    edge = _on_outline(labels)[flat]
    order = np.flatnonzero(edge)
    order = order[np.argsort(of[order], kind="stable")]
    first = np.searchsorted(of[order], np.arange(n))
    py, px = dy[order], dx[order]
    step = np.pi / _DIRECTIONS
    support = np.empty((2 * _DIRECTIONS, n))
    for i in range(_DIRECTIONS):
        sin, cos = np.sin(i * step), np.cos(i * step)
        along = py * sin + px * cos
        # A pixel is taken as the diamond between the middles of its sides, as
        # scikit-image does: its corners would make each slanted outline look rough.
        half = 0.5 * max(abs(sin), abs(cos))
        support[i] = np.maximum.reduceat(along, first) + half
        support[i + _DIRECTIONS] = half - np.minimum.reduceat(along, first)
    around = np.roll(support, 1, axis=0) + np.roll(support, -1, axis=0)
    sides = (around - 2 * support * np.cos(step)) / np.sin(step)
    hull = 0.5 * (support * np.maximum(sides, 0.0)).sum(axis=0)
    return np.minimum(area / hull, 1.0)


def _on_outline(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Flat mask of the pixels with a neighbour (4) of another label or at the border."""
    inner = np.zeros(labels.shape, bool)
    middle = labels[1:-1, 1:-1]
    inner[1:-1, 1:-1] = (
        (middle == labels[:-2, 1:-1])
        & (middle == labels[2:, 1:-1])
        & (middle == labels[1:-1, :-2])
        & (middle == labels[1:-1, 2:])
    )
    return np.asarray(~inner.reshape(-1))


def _boxes(
    of: npt.NDArray[np.int64], y: npt.NDArray[np.intp], x: npt.NDArray[np.intp], n: int
) -> dict[str, Column]:
    if n == 0:
        return {name: np.zeros(0, np.intp) for name in ("bbox_y0", "bbox_x0", "bbox_y1", "bbox_x1")}
    order = np.argsort(of, kind="stable")
    first = np.searchsorted(of[order], np.arange(n))
    y, x = y[order], x[order]
    return {
        "bbox_y0": np.minimum.reduceat(y, first),
        "bbox_x0": np.minimum.reduceat(x, first),
        "bbox_y1": np.maximum.reduceat(y, first) + 1,
        "bbox_x1": np.maximum.reduceat(x, first) + 1,
    }
