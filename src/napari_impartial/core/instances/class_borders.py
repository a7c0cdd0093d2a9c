"""Borders between touching cells of different classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import label

Instances = npt.NDArray[np.int32]

# Class probabilities are smoothed over so many px first: single pixels are no cells.
_SMOOTHING_PX = 1.0
# A part of an object is a cell of its own from this share of the object on, and if its class
# leads by so much on the mean.
_LEAST_SHARE, _LEAST_LEAD = 0.2, 0.4


def part_by_class(
    instances: Instances, classes: npt.NDArray[np.floating], min_size_px: int
) -> Instances:
    """Divide objects whose parts surely belong to different foreground classes.

    Parameters
    ----------
    instances : (Y, X) int32
        Objects, 1 to N; not changed.
    classes : (K - 1, Y, X) floating array
        Probability of each foreground class.
    min_size_px : int
        Smaller parts stay with their neighbour.

    Returns
    -------
    (Y, X) int32
        The first part of an object keeps its number; new ones follow after N.
    """
    if len(classes) < 2 or not instances.any():
        return instances
    smooth = np.stack([ndimage.gaussian_filter(p, _SMOOTHING_PX) for p in classes])
    leading = smooth.argmax(axis=0)
    labels = instances.copy()
    following = int(instances.max()) + 1
    for number, window in enumerate(ndimage.find_objects(instances), start=1):
        if window is None:
            continue
        inside = instances[window] == number
        if not np.ptp(leading[window][inside]):
            continue
        parts = _parts(inside, leading[window], smooth[:, *window], min_size_px)
        for part in range(2, int(parts.max()) + 1):
            labels[window][parts == part] = following
            following += 1
    return labels


def _parts(
    inside: npt.NDArray[np.bool_],
    leading: npt.NDArray[np.intp],
    classes: npt.NDArray[np.floating],
    min_size_px: int,
) -> npt.NDArray[np.int64]:
    """Return the number, 1 and up, of each part of one object.

    What is no part of its own goes to the nearest one.
    """
    pieces = label(np.where(inside, leading + 1, 0), background=0, connectivity=1)
    sizes = np.bincount(pieces.reshape(-1))
    first, second = np.sort(classes, axis=0)[[-1, -2]]
    lead = np.bincount(pieces.reshape(-1), (first - second).reshape(-1)) / np.maximum(sizes, 1)
    least = max(min_size_px, _LEAST_SHARE * inside.sum(), 1)
    sure = (sizes >= least) & (lead >= _LEAST_LEAD)
    sure[0] = False
    if sure.sum() < 2:
        return inside.astype(np.int64)
    of_piece = np.where(sure, np.cumsum(sure), 0)
    parts = of_piece[pieces]
    _, nearest = ndimage.distance_transform_edt(parts == 0, return_indices=True)
    return np.asarray(np.where(inside, parts[tuple(nearest)], 0), dtype=np.int64)
