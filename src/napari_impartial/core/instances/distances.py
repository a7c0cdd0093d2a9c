"""Depth of each pixel inside the objects of a probability map."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Distances = npt.NDArray[np.float32]

# Distances from this on are left to scipy: twice the square of this is the most that fits into 16
# bits, which are what makes the walks below quick.
_FAR = 181
# Pixels that a walk along the rows holds at once, so that they stay in the processor's cache.
_BAND_PIXELS = 1 << 16


def mean_distance_inside(p: npt.NDArray[np.float32], levels: Sequence[float]) -> Distances:
    """Distance in px to the outline, averaged over the outlines at some levels.

    Parameters
    ----------
    p : (Y, X) float32
        Probability, finite.
    levels : sequence of float

    Returns
    -------
    (Y, X) float32
        Where the map is below a level, the distance counts as 0 there.
    """
    total = np.zeros(p.shape, np.float32)
    # All levels side by side: few long steps are quicker than many short ones.
    masks = np.stack([p >= level for level in levels], axis=1)
    columns = _along_columns(masks)
    for number in range(len(levels)):
        total += _along_rows(masks[:, number], columns[:, number])
    total /= np.float32(len(levels))
    return total


def distance_inside(mask: npt.NDArray[np.bool_]) -> Distances:
    """Distance in px of each pixel of a (Y, X) mask to the nearest one outside; 0 outside."""
    return _along_rows(mask, _along_columns(mask))


def _along_columns(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint16]:
    """Distance to the nearest pixel outside the (Y, ...) mask in its own column, 181 at most."""
    out = mask * np.uint16(_FAR)
    further = np.empty(mask.shape[1:], np.uint16)
    for rows in (out, out[::-1]):
        for before, here in pairwise(rows):
            np.add(before, np.uint16(1), out=further)
            np.minimum(here, further, out=here)
    return out


def _along_rows(mask: npt.NDArray[np.bool_], columns: npt.NDArray[np.uint16]) -> Distances:
    """Find the distances of :func:`distance_inside` from those in the pixels' own columns."""
    if mask.all():  # there is no outline to be near to
        return np.full(mask.shape, max(mask.shape), np.float32)
    out = np.empty(mask.shape, np.float32)
    height = max(1, _BAND_PIXELS // mask.shape[1])
    for start in range(0, len(mask), height):
        # Columns come first here, so that all pixels one step away are one piece of memory.
        squares = np.ascontiguousarray(columns[start : start + height].T)
        squares *= squares
        least, candidates = squares.copy(), np.empty_like(squares)
        for step in range(1, min(_FAR, mask.shape[1])):
            if step * step >= least.max():
                break
            np.add(squares, np.uint16(step * step), out=candidates)
            np.minimum(least[step:], candidates[:-step], out=least[step:])
            np.minimum(least[:-step], candidates[step:], out=least[:-step])
        if least.max() >= _FAR * _FAR:
            return _any_distances(mask)
        np.sqrt(least.T, out=out[start : start + height], dtype=np.float32)
    return out


def _any_distances(mask: npt.NDArray[np.bool_]) -> Distances:
    """Distances of :func:`distance_inside`, however long.

    From the nearest pixels' coordinates, in single precision: scipy's own distances
    take four times the memory.
    """
    rows, cols = mask.shape
    nearest = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    nearest[0] -= np.arange(rows, dtype=np.int32)[:, None]
    nearest[1] -= np.arange(cols, dtype=np.int32)[None, :]
    nearest *= nearest
    return np.sqrt(nearest[0] + nearest[1], dtype=np.float32)
