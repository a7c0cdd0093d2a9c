"""Lines, as most people annotate: one along each of some cells, one in the background by each.

Simulated from complete labels; :func:`.mask_scribbles.simulate` chooses the cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import line

Bool = NDArray[np.bool_]
Pixels = NDArray[np.intp]
"""Rows and columns of a stroke's pixels in the order they are painted, (N, 2)."""

# After annotated images: a stroke is half as long as its cell, a background stroke one and a half
# times as long as the usual cell is wide; three in four of these lie beside the cell, the others
# anywhere. Where the usual cell is as wide as the last figure (px), the pen is 3 px wide.
_OF_CELL, _OF_WIDTH, _BESIDE, _WIDE_FROM_PX = 0.5, 1.5, 0.75, 16.0
# So many places are tried for a background stroke that comes to no cell.
_TRIES = 20
_SQUARE = np.ones((3, 3), dtype=bool)
_AROUND = np.argwhere(_SQUARE) - 1


def paint_lines(
    cells: NDArray[np.int32], chosen: Iterable[int], seed: int, stray_px: float = 0.0
) -> tuple[Bool, Bool]:
    """Paint a line in each of the chosen cells, and as many on the background.

    A line runs along its cell through the middle and is half as long. Background lines lie
    beside these cells and between them, a quarter of them anywhere; where cells leave no
    background, they follow the border of the cell. A cell's two strokes are the same
    whichever others are chosen.

    Parameters
    ----------
    cells : (Y, X) int32
        0 background, 1 to N cells.
    chosen : iterable of int
        Which cells get a stroke.
    seed : int
        Decides where the background strokes lie, and how the hand strays.
    stray_px : float
        Each end of a stroke is up to so many pixels off. Strokes of a hand that does not
        stray keep within the cell and off all cells.

    Returns
    -------
    background, foreground : (Y, X) bool
        They may overlap where the hand strays.
    """
    areas = np.bincount(cells.ravel())[1:]
    usual = float(np.sqrt(areas[areas > 0].mean())) if areas.any() else 1.0
    clear = ~ndimage.binary_dilation(cells > 0, _SQUARE)
    anywhere = np.flatnonzero(clear)
    background, foreground = np.zeros(cells.shape, bool), np.zeros(cells.shape, bool)
    windows = ndimage.find_objects(cells)
    for cell in sorted(chosen):
        rng = np.random.default_rng([seed, cell])
        scene = _Scene(cells, clear, anywhere, usual, stray_px, cell, windows[cell - 1], rng)
        paint(background, scene.beside())
        paint(foreground, scene.along())
    return background, foreground


@dataclass(frozen=True)
class _Scene:
    """Surroundings of one cell that its strokes are painted from.

    Attributes
    ----------
    cells : (Y, X) int32
        0 background, 1 to N cells.
    clear : (Y, X) bool
        Background that touches no cell.
    anywhere : (N,) int
        Its pixels, as places in the flattened image.
    usual_px : float
        Width of the usual cell.
    stray_px : float
        How far the hand strays.
    cell : int
    window : pair of slices
        Where the cell lies.
    rng : numpy.random.Generator
    """

    cells: NDArray[np.int32]
    clear: Bool
    anywhere: NDArray[np.intp]
    usual_px: float
    stray_px: float
    cell: int
    window: tuple[slice, slice]
    rng: np.random.Generator

    def along(self) -> Pixels:
        """Return a line along the cell."""
        points = np.argwhere(self.cells[self.window] == self.cell) + _origin(self.window)
        centre = points.mean(axis=0)
        off = points - centre
        variances, axes = np.linalg.eigh(off.T @ off / len(off))
        # An ellipse is four standard deviations long.
        half = _OF_CELL * 2 * np.sqrt(max(variances[1], 0.0)) * axes[:, 1]
        middle = points[(off**2).sum(axis=1).argmin()]
        ways = (_line(middle, middle + way * half) for way in (1, -1))
        there, back = (_run(way, _at(self.cells, way) == self.cell) for way in ways)
        stroke = self._strayed(np.concatenate([back[:0:-1], there]))
        if self.usual_px >= _WIDE_FROM_PX:
            stroke = (stroke[:, None] + _AROUND).reshape(-1, 2)
        return stroke if self.stray_px > 0 else stroke[_at(self.cells, stroke) == self.cell]

    def beside(self) -> Pixels:
        """Return a line on the background, or along the cell's border where there is none."""
        length = _OF_WIDTH * self.usual_px
        if self.rng.random() < _BESIDE:
            near = _widened(self.window, round(length))
            starts = np.argwhere(self.clear[near]) + _origin(near)
        else:
            starts = np.stack(np.unravel_index(self.anywhere, self.clear.shape), axis=1)
        if not len(starts):
            return self._border(length)
        best = starts[:0]
        for _ in range(_TRIES):
            angle = self.rng.uniform(0, 2 * np.pi)
            start = starts[self.rng.integers(len(starts))]
            whole = _line(start, start + length * np.array([np.sin(angle), np.cos(angle)]))
            run = _run(whole, _at(self.clear, whole))
            if len(run) > len(best):
                best = run
            if len(run) == len(whole):
                break
        return self._strayed(best)

    def _border(self, length: float) -> Pixels:
        """Return a stretch of the cell's pixels that touch another cell or the background."""
        around = _widened(self.window, 1)
        own = self.cells[around] == self.cell
        # (Beyond the image there is nothing to draw a border to.)
        border = own & (ndimage.minimum_filter(own, size=3, mode="nearest") == 0)
        points = np.argwhere(border) + _origin(around)
        if not len(points):
            return points
        off = points - points[self.rng.integers(len(points))]
        near: Pixels = points[(off**2).sum(axis=1) <= (length / 2) ** 2]
        return near + np.rint(self._error()).astype(np.intp)

    def _strayed(self, stroke: Pixels) -> Pixels:
        """Return the stroke as the hand paints it."""
        if self.stray_px <= 0:
            return stroke
        return _line(stroke[0] + self._error(), stroke[-1] + self._error())

    def _error(self) -> NDArray[np.float64]:
        return random_offset(self.stray_px, self.rng)


def random_offset(radius_px: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a random place (y, x) in a disc, each equally likely."""
    angle, radius = rng.uniform(0, 2 * np.pi), radius_px * np.sqrt(rng.uniform())
    return np.array([radius * np.sin(angle), radius * np.cos(angle)])


def _origin(window: tuple[slice, slice]) -> NDArray[np.intp]:
    return np.array([window[0].start or 0, window[1].start or 0])


def _widened(window: tuple[slice, slice], by: int) -> tuple[slice, slice]:
    rows, columns = (slice(max(s.start - by, 0), s.stop + by) for s in window)
    return rows, columns


def _line(start: NDArray[np.number], end: NDArray[np.number]) -> Pixels:
    """Return the pixels of a straight line; some may lie outside of the image."""
    ends = np.rint([start, end]).astype(int)
    return np.stack(line(*ends[0], *ends[1]), axis=1)


def _at(values: NDArray[Any], stroke: Pixels) -> NDArray[Any]:
    """Return the values under a stroke; 0 outside of the image."""
    found = np.zeros(len(stroke), dtype=values.dtype)
    inside = (stroke >= 0).all(axis=1) & (stroke < values.shape).all(axis=1)
    found[inside] = values[tuple(stroke[inside].T)]
    return found


def _run(stroke: Pixels, may: Bool) -> Pixels:
    """Return a stroke up to where the pen has to be lifted."""
    return stroke if may.all() else stroke[: int(np.argmin(may))]


def paint(out: Bool, stroke: Pixels) -> None:
    """Paint a stroke into an image; what lies outside is left out."""
    inside = (stroke >= 0).all(axis=1) & (stroke < out.shape).all(axis=1)
    out[tuple(stroke[inside].T)] = True
