"""Outlined objects from ImageJ and QuPath: where they lie, and which pixels are inside.

Coordinates are those of both programs: the corners of the pixel grid, so that a pixel
belongs to an object if its centre lies inside.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from skimage.draw import ellipse, polygon

from napari_impartial.core.errors import ImPartialError, note
from napari_impartial.core.words import count

from .limits import ALWAYS_ALLOWED

Ring = NDArray[np.float64]
"""(N, 2) points x, y."""

#: No picture is larger, in pixels a side; what lies farther out is damage.
MOST_PIXELS = 2**24


@dataclass(frozen=True, eq=False)
class Region:
    """An outlined object.

    Attributes
    ----------
    parts
        Of each part its outer ring and its holes; a pixel is inside a part if it lies in an odd
        number of its rings.
    oval
        Left, top, width and height instead, of an ellipse with upright axes.
    name
        What the object is called.
    label
        Its number where the file says so; parts of one object have the same on each plane.
    z, t
        Slice and time point, from 0; None if the file does not say.
    position
        Place in the row of all planes and channels, from 0; None if the file does not say.
    implied
        Whether `z` and `t` are what goes without saying: the first plane, in QuPath.
    classification
        What kind of object it is, as its program says.
    measurements
        Name and value.
    """

    parts: tuple[tuple[Ring, ...], ...] = ()
    oval: tuple[float, float, float, float] | None = None
    name: str = ""
    label: int | None = None
    z: int | None = None
    t: int | None = None
    position: int | None = None
    implied: bool = False
    classification: str = ""
    measurements: Mapping[str, float] = field(default_factory=dict)

    @property
    def placed(self) -> bool:
        """Return whether the file says on which plane it lies."""
        said = self.z is not None or self.t is not None or self.position is not None
        return said and not self.implied

    def reach(self) -> tuple[float, float]:
        """Return the largest x and y."""
        if self.oval is not None:
            left, top, width, height = self.oval
            return left + width, top + height
        points = [part[0].max(axis=0) for part in self.parts if len(part[0])]
        x, y = np.max(points, axis=0) if points else (0.0, 0.0)
        return float(x), float(y)

    def pixels(self, shape: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return rows and columns of the pixels inside, within an image of a shape."""
        if self.oval is not None:
            left, top, width, height = self.oval
            middle = top + height / 2 - 0.5, left + width / 2 - 0.5
            rows, columns = ellipse(*middle, height / 2, width / 2, shape=shape)
            return rows, columns
        parts = [[ring - 0.5 for ring in part if len(ring) >= 3] for part in self.parts]
        parts = [part for part in parts if part]
        if not parts:
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        if len(parts) == 1 and len(parts[0]) == 1:
            rows, columns = polygon(parts[0][0][:, 1], parts[0][0][:, 0], shape)
            return rows, columns
        everything = np.concatenate([ring for part in parts for ring in part])
        low = np.clip(np.floor(everything.min(axis=0)), 0, None).astype(int)[::-1]
        high = np.clip(np.ceil(everything.max(axis=0))[::-1] + 1, 0, shape).astype(int)
        inside = np.zeros(tuple(np.maximum(high - low, 0)), dtype=bool)
        for part in parts:
            filled = np.zeros_like(inside)
            for ring in part:
                filled[polygon(ring[:, 1] - low[0], ring[:, 0] - low[1], inside.shape)] ^= True
            inside |= filled
        rows, columns = np.nonzero(inside)
        return rows + low[0], columns + low[1]


def cells_and_background(
    path: str | os.PathLike[str], regions: Sequence[Region]
) -> tuple[list[Region], list[Region]]:
    """Return the cells among the objects of a file, and the areas that are called background.

    A class whose name ends in an asterisk is none, as in QuPath (``Ignore*``, ``Region*``): its
    areas are left out, which is told.
    """
    background = [region for region in regions if region.classification.casefold() == "background"]
    ignored = [region for region in regions if region.classification.endswith("*")]
    if ignored:
        names = ", ".join(sorted({region.classification for region in ignored}))
        note(f"{path} holds {count(len(ignored), 'area')} of {names}, which are left out.")
    others = {id(region) for region in (*background, *ignored)}
    return [region for region in regions if id(region) not in others], background


def planes_needed(regions: Sequence[Region]) -> tuple[str, tuple[int, ...]]:
    """Return the axes and lengths of a stack that has the planes of all regions."""
    lengths = {
        "T": 1 + max((region.t or 0 for region in regions), default=0),
        "Z": 1 + max((region.z or region.position or 0 for region in regions), default=0),
    }
    axes = "".join(axis for axis, length in lengths.items() if length > 1)
    return axes, tuple(lengths[axis] for axis in axes)


def reach(regions: Sequence[Region]) -> tuple[int, int]:
    """Return rows and columns that regions reach to."""
    ends = np.max([np.ones(2), *(np.asarray(region.reach()) for region in regions)], axis=0)
    columns, rows = np.ceil(ends).astype(int)
    return int(rows), int(columns)


def rasterise(
    regions: Sequence[Region],
    shape: tuple[int, int],
    stack_axes: str = "",
    stack_shape: tuple[int, ...] = (),
    n_channels: int = 1,
) -> NDArray[np.int32]:
    """Turn regions into instance masks, plane by plane.

    Parameters
    ----------
    regions
        At least one; see :func:`.region_files.read_regions`.
    shape
        Rows and columns of the image that they were drawn on.
    stack_axes, stack_shape
        ``""``, ``"T"``, ``"Z"``, ``"TZ"`` or ``"ZT"``, and their lengths.
    n_channels
        Of the image; ImageJ counts them in the places of some regions.

    Returns
    -------
    ndarray
        (..., Y, X) int32: 0 where there is no region, otherwise its number: the one that the
        file gives, if it gives each one, or from 1 in the order of the file. Where regions
        overlap, the smaller one wins, lest it vanish; those of which nothing is left are told.

    Raises
    ------
    ImPartialError
        If they lie outside of the image, on planes that it does not have, or do not say on
        which of several planes they lie.
    """
    if stack_axes == "ZT":
        return rasterise(regions, shape, "TZ", stack_shape[::-1], n_channels).swapaxes(0, 1)
    lengths = dict(zip(stack_axes, stack_shape, strict=True))
    places = _places(regions, lengths, n_channels)
    numbers = _numbers(regions, places)
    size = 4 * shape[0] * shape[1] * int(np.prod(stack_shape))
    if max(shape) > MOST_PIXELS or size > 16 * ALWAYS_ALLOWED:
        raise ImPartialError(
            f"The regions reach to row {shape[0]} and column {shape[1]}, farther than any image."
        )
    labels = np.zeros((*stack_shape, *shape), dtype=np.int32)
    pixels = [region.pixels(shape) for region in regions]
    if not any(rows.size for rows, _ in pixels):
        raise ImPartialError(
            f"All areas lie outside of the image of {shape[0]} x {shape[1]} pixels; "
            "they belong to another image."
        )
    for index in sorted(range(len(regions)), key=lambda i: -pixels[i][0].size):
        labels[places[index]][pixels[index]] = numbers[index]
    shown = zip(places, pixels, numbers, strict=True)
    lost = sum(not (labels[place][own] == number).any() for place, own, number in shown)
    if lost:
        note(
            f"{lost} of {len(regions)} areas have no pixel of their own in the image of "
            f"{shape[0]} x {shape[1]}: they lie outside of it, under others, or are smaller than a "
            "pixel. They are left out."
        )
    return labels


def _numbers(regions: Sequence[Region], places: Sequence[tuple[int, ...]]) -> list[int]:
    """Return a number for each region: those that the file gives if no two objects share one."""
    given = [region.label for region in regions]
    distinct = len(set(zip(places, given, strict=True))) == len(regions)
    if distinct and None not in given:
        return [label for label in given if label is not None]
    return list(range(1, len(regions) + 1))


def _places(
    regions: Sequence[Region], lengths: Mapping[str, int], n_channels: int
) -> list[tuple[int, ...]]:
    """Return the index of each region's plane along T and Z, as far as the image has them."""
    n_planes = int(np.prod(list(lengths.values())))
    unplaced = sum(not (region.placed or region.implied) for region in regions)
    if n_planes > 1 and unplaced:
        raise ImPartialError(
            f"{unplaced} of {len(regions)} regions do not say on which of {n_planes} planes "
            "they lie; give each its position in the program that made them, or give a label image."
        )
    rows = [region.position for region in regions if region.position is not None]
    if rows and n_planes > 1 and n_channels > 1 and max(rows) < n_planes:
        raise ImPartialError(
            f"The regions lie at positions 1 to {1 + max(rows)} of a row of planes, and the image "
            f"has {n_channels} channels on each of {n_planes} planes; draw them on the image as a "
            "hyperstack, so that they know slice and time point."
        )
    # A lone axis may be called slices here and time points there.
    used = {"T": any(r.t for r in regions), "Z": any(r.z for r in regions)}
    places = []
    for region in regions:
        at = {"T": region.t or 0, "Z": region.z or 0}
        if region.position is not None:
            row = region.position // (n_channels if n_planes > 1 or n_channels > 1 else 1)
            at = {"Z": row % lengths.get("Z", 1), "T": row // lengths.get("Z", 1)}
        elif len(lengths) == 1:
            (axis,) = lengths
            other = "Z" if axis == "T" else "T"
            if used[other] and not used[axis]:
                at = {axis: at[other], other: 0}
        for axis, index in at.items():
            if index >= lengths.get(axis, 1):
                noun = {"T": "time point", "Z": "slice"}[axis]
                raise ImPartialError(
                    f"A region lies on {noun} {index + 1} and the image has "
                    f"{lengths.get(axis, 1)}; it belongs to another image."
                )
        places.append(tuple(at[axis] for axis in lengths))
    return places
