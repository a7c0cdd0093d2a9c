"""Depth of each pixel inside the objects of a probability map."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Distances = npt.NDArray[np.float32]


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
    # scipy lets go of the interpreter while it measures distances.
    with ThreadPoolExecutor(2) as pool:
        total = np.zeros(p.shape, np.float32)
        for distance in pool.map(lambda level: distance_inside(p >= level), levels):
            total += distance
    total /= np.float32(len(levels))
    return total


def distance_inside(mask: npt.NDArray[np.bool_]) -> Distances:
    """Distance in px of each pixel of the mask to the nearest one outside, 0 outside.

    From the nearest pixels' coordinates, in single precision: scipy's own distances
    take four times the memory.
    """
    rows, cols = mask.shape
    if mask.all():  # there is no outline to be near to
        return np.full(mask.shape, max(rows, cols), np.float32)
    nearest = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    nearest[0] -= np.arange(rows, dtype=np.int32)[:, None]
    nearest[1] -= np.arange(cols, dtype=np.int32)[None, :]
    nearest *= nearest
    return np.sqrt(nearest[0] + nearest[1], dtype=np.float32)
