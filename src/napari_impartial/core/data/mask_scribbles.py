"""Scribbles out of whole cells: a few that somebody drew, or those of a simulated annotator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import line
from skimage.morphology import skeletonize
from skimage.segmentation import find_boundaries

from napari_impartial.core.config import STROKE_STYLES
from napari_impartial.core.data.line_strokes import paint, paint_lines, random_offset
from napari_impartial.core.errors import ImPartialError

from .label_images import meeting
from .scribbles import BACKGROUND, FOREGROUND, Scribbles

LINES = ("lines", "sloppy-lines")
"""Styles of strokes that say nothing of where cells end."""
_SLOPPY = ("sloppy", "sloppy-lines")

# The simulated annotator, after the annotated images the methods are compared on
_SLOPPY_PX = 2.0
_CELLS_PER_SPOT = 10
_STROKE_PX = (15, 40)


def from_instances(partial_masks: Any) -> Scribbles:
    """Turn some whole cells, drawn with one id each, into scribbles.

    Foreground is the outline of each cell, eroded by two pixels, and its skeleton.
    Background is a ring of two pixels round each cell, where no other annotated cell
    lies, and the line between annotated cells that touch. The ring is no wider because a
    neighbour that nobody has annotated may begin right there.

    Parameters
    ----------
    partial_masks
        (Y, X) integers; 0 is not annotated, and so is what a mask of NumPy hides; any other
        value is a cell's id.

    Raises
    ------
    ImPartialError
        If the masks are not two-dimensional integers, or negative.
    """
    cells, _ = _consecutive(np.ma.filled(partial_masks, 0))
    out = np.zeros(cells.shape, dtype=np.uint8)
    if cells.any():
        distance = ndimage.distance_transform_edt(cells == 0)
        out[(distance > 0) & (distance <= 2)] = BACKGROUND
        out[meeting(cells) & (cells > 0)] = BACKGROUND
        out[_foreground_strokes(cells)] = FOREGROUND
    return Scribbles(out)


def simulate(
    truth: Any, fraction: float, rng: np.random.Generator, style: str = STROKE_STYLES[0]
) -> tuple[Scribbles, NDArray[np.int64]]:
    """Annotate as a person would: cells in a few spots, and some background.

    Spots are grown from random cells to their nearest neighbours. Generators in the same
    state give nested annotations: the larger fraction holds the cells of the smaller one.

    Parameters
    ----------
    truth
        (Y, X) integers; 0 is background, any other value is a cell's id.
    fraction
        Share of the cells to annotate, over 0 to 1; at least one cell is.
    rng
        Source of randomness.
    style
        What is painted, one of :data:`STROKE_STYLES`. ``outlines``: each cell's eroded outline
        and its skeleton, a ring in the background outside, and some straight background
        strokes elsewhere. ``lines``: a line in each cell and as many on the background,
        most of them beside these cells. ``sloppy`` and ``sloppy-lines``: the same by a hand
        that is up to 2 px off, so that strokes get over the cells' edges.

    Returns
    -------
    scribbles : Scribbles
    ids : (n,) int64
        The annotated cells' values in `truth`, ascending.

    Raises
    ------
    ImPartialError
        If the truth is not two-dimensional integers or holds no cell, the fraction is out
        of bounds, or there is no such style.
    """
    if not 0 < fraction <= 1:
        raise ImPartialError(f"The fraction of cells is {fraction:g}; it lies over 0, up to 1.")
    cells, ids = _consecutive(truth)
    if not ids.size:
        raise ImPartialError("The truth holds no cell, so there is nothing to annotate.")
    # one stream each, so that more cells do not change the strokes
    picking, stroking = (int(seed) for seed in rng.integers(2**63, size=2))
    count = max(1, round(fraction * ids.size))
    chosen = _pick_cells(cells, ids.size, count, np.random.default_rng(picking))

    scribbles = _annotate(cells, chosen, style, stroking)
    if style not in LINES:
        # These keep two pixels away from any cell, and so off what is painted already.
        strokes = np.random.default_rng(stroking)
        _stroke_background(scribbles.labels, cells == 0, 2 + round(count / 8), strokes)
    return scribbles, ids[np.sort(chosen) - 1]


def annotate_cells(
    truth: Any, ids: Iterable[int], style: str = STROKE_STYLES[0], seed: int = 0
) -> Scribbles:
    """Paint cells, and background by them, as :func:`simulate` does.

    Unlike :func:`from_instances` this sees the cells that are not annotated, so that no
    background comes to lie on them (but by a sloppy hand).

    Parameters
    ----------
    truth
        (Y, X) integers; 0 is background, any other value is a cell's id.
    ids
        Which cells.
    style
        One of :data:`STROKE_STYLES`.
    seed
        Decides where lines on the background lie, and how a sloppy hand strays; a cell's
        strokes do not depend on the other cells'.

    Raises
    ------
    ImPartialError
        If the truth is not two-dimensional integers, or negative, or there is no such style.
    """
    cells, values = _consecutive(truth)
    return _annotate(cells, 1 + np.flatnonzero(np.isin(values, list(ids))), style, seed)


def _annotate(
    cells: NDArray[np.int32], chosen: NDArray[np.int64], style: str, seed: int
) -> Scribbles:
    """Paint the `chosen` of the cells 1 ... N."""
    if style not in STROKE_STYLES:
        raise ImPartialError(
            f"There is no style {style!r}; choose one of {', '.join(STROKE_STYLES)}."
        )
    out = np.zeros(cells.shape, dtype=np.uint8)
    stray_px = _SLOPPY_PX if style in _SLOPPY else 0.0
    if style in LINES:
        background, foreground = paint_lines(cells, chosen.tolist(), seed, stray_px)
    else:
        background, foreground = _outlines(cells, chosen)
        if stray_px > 0:
            nearest = _nearest(np.where(np.isin(cells, chosen), cells, 0))
            background = _off(background, nearest, stray_px, [seed, 0])
            foreground = _off(foreground, nearest, stray_px, [seed, 1])
    out[background] = BACKGROUND
    out[foreground] = FOREGROUND
    return Scribbles(out)


def _outlines(
    cells: NDArray[np.int32], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Paint background round the `chosen` of the cells 1 ... N, and foreground in them."""
    annotated = np.where(np.isin(cells, chosen), cells, 0)
    if not annotated.any():
        return annotated > 0, annotated > 0
    distance = ndimage.distance_transform_edt(annotated == 0)
    gaps = meeting(cells, connectivity=2)  # between cells, where there is no room for a ring
    ring = (distance > 1) & (distance <= 3) | gaps & (distance > 0) & (distance <= 1)
    background = ring & (cells == 0) | meeting(cells) & (cells > 0) & (distance <= 1)
    return background, _foreground_strokes(annotated)


def _nearest(annotated: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return, for each pixel, the cell that is nearest to it."""
    if not annotated.any():
        return annotated
    _, (y, x) = ndimage.distance_transform_edt(annotated == 0, return_indices=True)
    return np.asarray(annotated[y, x])


def _off(
    strokes: NDArray[np.bool_], nearest: NDArray[np.int32], by_px: float, seed: Sequence[int]
) -> NDArray[np.bool_]:
    """Move each cell's strokes as a whole, each another way."""
    out = np.zeros_like(strokes)
    pixels = np.argwhere(strokes)
    owner = nearest[strokes]
    for cell in np.unique(owner):
        off = random_offset(by_px, np.random.default_rng([*seed, int(cell)]))
        paint(out, pixels[owner == cell] + np.rint(off).astype(np.intp))
    return out


def _consecutive(masks: Any) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Renumber instance masks 1 ... N; also return the N values they had."""
    array = np.asarray(masks)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise ImPartialError(
            f"Instance masks are a two-dimensional array of whole numbers, not {array.dtype} "
            f"of shape {array.shape}."
        )
    if array.size == 0 or array.min() < 0:
        raise ImPartialError("Instance masks need at least one pixel and no negative value.")
    values, inverse = np.unique(array, return_inverse=True)
    if values[0] == 0:
        return inverse.reshape(array.shape).astype(np.int32), values[1:].astype(np.int64)
    return (inverse.reshape(array.shape) + 1).astype(np.int32), values.astype(np.int64)


def _pick_cells(
    cells: NDArray[np.int32], n_cells: int, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose `count` of the cells 1 ... `n_cells`, spot by spot."""
    centres = np.asarray(ndimage.center_of_mass(cells > 0, cells, np.arange(1, n_cells + 1)))
    # few cells are spread over some spots nevertheless; the size may not depend on `count`,
    # lest the cells chosen for a smaller fraction are others
    per_spot = int(np.clip(round(n_cells / 40), 1, _CELLS_PER_SPOT))
    free = np.ones(n_cells, dtype=bool)
    chosen: list[int] = []
    for seed in rng.permutation(n_cells):
        if len(chosen) >= count:
            break
        if not free[seed]:
            continue
        squared = ((centres - centres[seed]) ** 2).sum(axis=1)
        squared[~free] = np.inf
        # an annotator goes on with the nearest cells and does not cross the image for more
        spot = np.argsort(squared, kind="stable")[: min(per_spot, int(free.sum()))]
        free[spot] = False
        chosen.extend(int(i) + 1 for i in spot)
    return np.asarray(chosen[:count], dtype=np.int64)


def _foreground_strokes(cells: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return each cell's outline, eroded by two pixels or what it bears, and its skeleton."""
    edge = find_boundaries(cells, mode="inner")
    if not (cells > 0).any():
        return edge
    # Distance from the cell's own edge: a neighbour's is always farther. A cell without
    # an edge fills the image.
    depth = ndimage.distance_transform_edt(~edge) if edge.any() else np.full(cells.shape, 2.0)
    depth[cells == 0] = 0
    deepest = ndimage.maximum(depth, cells, np.arange(cells.max() + 1))
    eroded = (cells > 0) & (depth >= np.minimum(2.0, deepest)[cells])
    kept = np.where(eroded, cells, 0)
    return find_boundaries(kept, mode="inner") | skeletonize(eroded)


def _stroke_background(
    out: NDArray[np.uint8], background: NDArray[np.bool_], count: int, rng: np.random.Generator
) -> None:
    """Draw straight strokes into `out`, within the background and off the cells' edges."""
    # a pixel's distance to the nearest cell; without a cell there is no edge to avoid
    room = ndimage.distance_transform_edt(background)
    clear = np.asarray(room > 2) if not background.all() else background
    starts = np.argwhere(clear)
    if not len(starts):
        return
    height, width = out.shape
    for _ in range(count):
        y, x = starts[rng.integers(len(starts))]
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(*_STROKE_PX)
        end = round(y + length * np.sin(angle)), round(x + length * np.cos(angle))
        rows, columns = line(int(y), int(x), *end)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        rows, columns = rows[inside], columns[inside]
        blocked = ~clear[rows, columns]
        # the pen is lifted at the first cell that it comes to
        reach = int(np.argmax(blocked)) if blocked.any() else len(rows)
        out[rows[:reach], columns[:reach]] = BACKGROUND
