"""Sums over the pixels of each object, so that parts of one object can be put together.

All figures of :func:`.measurements.measure` follow from these sums. An object that lies in several
blocks of a picture is summed up in each, and the sums are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

DIRECTIONS = 24
"""Directions in which objects' convex hulls are felt out, over half a turn.

The polygon of 2 x 24 sides round a circle is 0.15 % larger than the circle.
"""


@dataclass(frozen=True, eq=False)
class ObjectSums:
    """Sums over the pixels of N objects.

    Attributes
    ----------
    ids : (N,) int64
        Ascending.
    box : (4, N) int64
        First row and column, row and column after the last. Positions are counted from the
        first row and column.
    area : (N,) int64
        In px.
    moments : (5, N) float64
        Sums of y, x, y**2, x**2 and y * x.
    support : (2 * DIRECTIONS, N) float64
        Farthest extent in each direction.
    classes : (K - 1, N) float64
        Sums of the probabilities of the foreground classes; none if not known.
    entropy, doubt : (1, N) or (0, N) float64
        None if not known.
    intensity, finite : (C, N) float64, int64
        Sum of the finite intensities of each channel, and their number; none if not known.
    """

    ids: Integers
    box: Integers
    area: Integers
    moments: Floats
    support: Floats
    classes: Floats
    entropy: Floats
    doubt: Floats
    intensity: Floats
    finite: Integers

    def __len__(self) -> int:
        return len(self.ids)

    def some(self, chosen: npt.NDArray[np.generic]) -> ObjectSums:
        """Return some of the objects, by a mask or by position."""
        return ObjectSums(**{f.name: getattr(self, f.name)[..., chosen] for f in fields(self)})


def directions() -> Floats:
    """Return (2 * DIRECTIONS, 2) unit vectors y, x, half a turn and then the opposite ones."""
    angle = np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    half = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return np.concatenate([half, -half])


def add_up(
    labels: npt.NDArray[np.integer],
    foreground: npt.NDArray[np.floating] | None = None,
    entropy: npt.NDArray[np.floating] | None = None,
    channels: npt.NDArray[np.floating] | None = None,
    corner: tuple[int, int] = (0, 0),
    doubt: npt.NDArray[np.floating] | None = None,
) -> ObjectSums:
    """Sum up over each object.

    Parameters
    ----------
    labels : (Y, X) integer array
        Ids, 0 for background.
    foreground : (K - 1, Y, X) array, optional
        Probabilities of the foreground classes.
    entropy, doubt : (Y, X) array, optional
    channels : (C, Y, X) array, optional
        Intensities; those that are not finite are left out.
    corner : (int, int)
        Row and column of the first pixel.
    """
    flat = np.flatnonzero(labels)
    ids, of = consecutive(labels.reshape(-1)[flat])
    n = len(ids)
    y, x = np.divmod(flat, max(labels.shape[1], 1))
    box = _boxes(of, y, x, n)
    # From each object's own corner: squares of positions in large images would lose the difference.
    dy, dx = (y - box[0][of]).astype(np.float64), (x - box[1][of]).astype(np.float64)

    def total(values: npt.NDArray[np.generic]) -> Floats:
        return np.asarray(np.bincount(of, values, n), dtype=np.float64)

    intensity, finite = np.zeros((0, n)), np.zeros((0, n), np.int64)
    if channels is not None:
        intensity = np.zeros((len(channels), n))
        finite = np.zeros((len(channels), n), np.int64)
        for number, channel in enumerate(channels):
            values = channel.reshape(-1)[flat].astype(np.float64)
            good = np.isfinite(values)
            finite[number] = np.bincount(of[good], minlength=n)
            intensity[number] = np.bincount(of[good], values[good], n)
    classes = [] if foreground is None else [total(p.reshape(-1)[flat]) for p in foreground]
    return ObjectSums(
        ids,
        box + np.array([*corner, *corner])[:, None],
        np.bincount(of, minlength=n),
        np.stack([total(v) for v in (dy, dx, dy * dy, dx * dx, dy * dx)]),
        _support(labels, flat, of, dy, dx, n),
        np.stack(classes) if classes else np.zeros((0, n)),
        np.zeros((0, n)) if entropy is None else total(entropy.reshape(-1)[flat])[None],
        np.zeros((0, n)) if doubt is None else total(doubt.reshape(-1)[flat])[None],
        intensity,
        finite,
    )


def join(parts: Sequence[ObjectSums]) -> ObjectSums:
    """Join sums of which several may be of one object.

    Parameters
    ----------
    parts : sequence of ObjectSums
        At least one, all of the same figures.
    """
    ids, of = np.unique(np.concatenate([part.ids for part in parts]), return_inverse=True)
    n = len(ids)

    def all_of(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts], axis=-1)

    box = all_of("box")
    joined = np.empty((4, n), np.int64)
    joined[:2], joined[2:] = np.iinfo(np.int64).max, 0
    for side, row in enumerate(box):
        (np.minimum if side < 2 else np.maximum).at(joined[side], of, row)
    moved = _moved(all_of("area"), all_of("moments"), all_of("support"), box[:2] - joined[:2, of])
    support = np.full((2 * DIRECTIONS, n), -np.inf)
    for number, row in enumerate(moved[1]):
        np.maximum.at(support[number], of, row)

    def total(values: npt.NDArray[np.generic]) -> Floats:
        rows = [np.bincount(of, row, n) for row in values]
        return np.stack(rows) if rows else np.zeros((0, n))

    return ObjectSums(
        ids,
        joined,
        np.rint(np.bincount(of, all_of("area"), n)).astype(np.int64),
        total(moved[0]),
        support,
        total(all_of("classes")),
        total(all_of("entropy")),
        total(all_of("doubt")),
        total(all_of("intensity")),
        np.rint(total(all_of("finite"))).astype(np.int64),
    )


def consecutive(values: npt.NDArray[np.integer]) -> tuple[Integers, Integers]:
    """Return the ids that occur, ascending, and each value's place among them."""
    largest = int(values.max()) if values.size else 0
    if int(values.min(initial=0)) < 0 or largest > 10 * values.size + 1000:
        ids, of = np.unique(values, return_inverse=True)
        return ids.astype(np.int64), of.astype(np.int64)
    values = values.astype(np.int64)  # numpy does not count unsigned numbers of 64 bits
    present = np.bincount(values, minlength=1) > 0
    place = np.cumsum(present) - 1
    return np.flatnonzero(present), place[values]


def _moved(
    area: npt.NDArray[np.generic],
    moments: npt.NDArray[np.generic],
    support: npt.NDArray[np.generic],
    by: npt.NDArray[np.generic],
) -> tuple[Floats, Floats]:
    """Return moments and support as counted from a corner that lies (2, N) px before."""
    n, (y, x, yy, xx, yx) = area.astype(np.float64), moments.astype(np.float64)
    v, h = by.astype(np.float64)
    moved = np.stack(
        [
            y + n * v,
            x + n * h,
            yy + 2 * v * y + n * v * v,
            xx + 2 * h * x + n * h * h,
            yx + v * x + h * y + n * v * h,
        ]
    )
    return moved, support + directions() @ np.stack([v, h])


def _support(
    labels: npt.NDArray[np.integer],
    flat: npt.NDArray[np.intp],
    of: Integers,
    dy: Floats,
    dx: Floats,
    n: int,
) -> Floats:
    """Farthest extent of each object in each direction."""
    support = np.zeros((2 * DIRECTIONS, n))
    if n == 0:
        return support
    order = np.flatnonzero(_on_outline(labels)[flat])
    order = order[np.argsort(of[order], kind="stable")]
    first = np.searchsorted(of[order], np.arange(n))
    py, px = dy[order], dx[order]
    for i, (sin, cos) in enumerate(directions()[:DIRECTIONS]):
        along = py * sin + px * cos
        # A pixel is taken as the diamond between the middles of its sides, as
        # scikit-image does: its corners would make each slanted outline look rough.
        half = 0.5 * max(abs(sin), abs(cos))
        support[i] = np.maximum.reduceat(along, first) + half
        support[i + DIRECTIONS] = half - np.minimum.reduceat(along, first)
    return support


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


def _boxes(of: Integers, y: npt.NDArray[np.intp], x: npt.NDArray[np.intp], n: int) -> Integers:
    """First row and column of each object, and those after the last; (4, N)."""
    if n == 0:
        return np.zeros((4, 0), np.int64)
    order = np.argsort(of, kind="stable")
    first = np.searchsorted(of[order], np.arange(n))
    y, x = y[order], x[order]
    return np.stack(
        [
            np.minimum.reduceat(y, first),
            np.minimum.reduceat(x, first),
            np.maximum.reduceat(y, first) + 1,
            np.maximum.reduceat(x, first) + 1,
        ]
    ).astype(np.int64)
