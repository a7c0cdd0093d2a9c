"""From foreground probability to one label for each object.

``components`` is the recipe of the paper's authors: threshold, connected components, drop
the small ones, grow without merging. ``watershed`` also splits touching cells, and asks
for no size: its landscape is the distance to the outline averaged over several
thresholds, so that a waist in the shape and a dip in the probability both make a valley;
it is smoothed in proportion to the picture's own typical radius; and hills are joined by
how deep the valley is relative to the lower hill, whatever their size.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import expand_labels

from .basins import find_hills, find_passes, join_hills
from .config import InstanceConfig, validate
from .errors import ImPartialError

Probability = npt.NDArray[np.float32]
Instances = npt.NDArray[np.int32]

# Where between the threshold (0) and certainty (1) outlines are drawn for the landscape.
# On real training images one level misses dips, more than three add time
# only.
_LEVELS = (0.0, 0.33, 0.67)
# Smoothing of the landscape over the typical radius, and its bounds in px: below the
# first, steps of single pixels make summits; the second bounds the time.
_SMOOTHING, _LEAST_SMOOTHING, _MOST_SMOOTHING = 0.25, 0.7, 4.0
# From this typical radius in px on, half the resolution is enough for distances.
_LARGE_RADIUS = 14.0
# So that split_strength 0.5 joins hills whose pass reaches 0.8 of the lower summit, and
# 0 and 1 join all and none.
_STRENGTH_POWER = 0.322


def to_instances(
    foreground: npt.NDArray[np.floating], config: InstanceConfig | None = None
) -> Instances:
    """Cut the foreground probability into objects.

    Parameters
    ----------
    foreground : (Y, X) array
        Probability of any foreground class, 0 to 1. NaN counts as 0.
    config : InstanceConfig, optional
        Threshold, way of splitting, smallest size, smoothing, growth.

    Returns
    -------
    (Y, X) int32
        Labels 1 to N without gaps, 0 for background.

    Raises
    ------
    ImPartialError
        If the map does not have two axes, or a setting is out of bounds.
    """
    config = validate(config or InstanceConfig())
    p = np.asarray(foreground, dtype=np.float32)
    if p.ndim != 2:
        raise ImPartialError(f"Objects are cut from a (Y, X) map; this one has shape {p.shape}.")
    p = np.nan_to_num(p, nan=0.0, posinf=1.0, neginf=0.0)
    if config.smooth_px > 0:
        p = ndimage.gaussian_filter(p, config.smooth_px)
    mask = p >= config.threshold
    labels = np.zeros(p.shape, np.int32)
    window = _bounding_window(mask)
    if window is None:
        return labels
    if config.split == "components":
        labels[window] = ndimage.label(mask[window], output=np.int32)[0]
    else:
        labels[window] = _watershed(p[window], config.threshold, config.split_strength)
    labels = _drop_small(labels, config.min_size_px)
    if config.grow_px > 0:
        labels = expand_labels(labels, config.grow_px)
    return np.asarray(labels, dtype=np.int32)


def classes_of(
    labels: npt.NDArray[np.integer], probability: npt.NDArray[np.floating]
) -> npt.NDArray[np.int64]:
    """Return each object's foreground class.

    Parameters
    ----------
    labels : (Y, X) integer array
        Instance ids, 0 for background.
    probability : (K, Y, X) array
        Class probabilities, class 0 the background.

    Returns
    -------
    (N,) int64
        For each id that occurs, ascending, the foreground class (1 to K - 1) of the
        largest mean probability over the object.
    """
    labels = np.asarray(labels)
    if probability.ndim != 3 or probability.shape[1:] != labels.shape or len(probability) < 2:
        raise ImPartialError(
            f"The probabilities have shape {probability.shape}; for labels of shape "
            f"{labels.shape} they need (K, Y, X) with at least two classes."
        )
    inside = np.flatnonzero(labels)
    ids, of = np.unique(labels.reshape(-1)[inside], return_inverse=True)
    sums = [np.bincount(of, p.reshape(-1)[inside], len(ids)) for p in probability[1:]]
    return np.asarray(np.argmax(sums, axis=0) + 1, dtype=np.int64)


def _bounding_window(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Rows and columns that hold the foreground and a rim of 1 px, or None without any."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    y0, x0 = max(rows[0] - 1, 0), max(cols[0] - 1, 0)
    return slice(y0, rows[-1] + 2), slice(x0, cols[-1] + 2)


def _watershed(p: Probability, threshold: float, strength: float) -> Instances:
    """Split the foreground at waists and dips; at least one pixel of it exists."""
    mask = p >= threshold
    height, radius = _heights(p, mask, threshold)
    sigma = min(max(_SMOOTHING * radius, _LEAST_SMOOTHING), _MOST_SMOOTHING)
    height = ndimage.gaussian_filter(height, sigma, truncate=3.0)
    regions, summits = find_hills(height, mask)
    pairs, passes = find_passes(regions, height)
    number = join_hills(pairs, passes, summits, strength**_STRENGTH_POWER)
    return np.asarray(number[regions])


def _heights(
    p: Probability, mask: npt.NDArray[np.bool_], threshold: float
) -> tuple[npt.NDArray[np.float32], float]:
    """Distance in px to the outline, averaged over the levels, and the typical radius.

    Where objects are large, distances are taken on blocks of 2 x 2 px: that is four times
    as quick, and the blocks vanish in the smoothing that such objects get.
    """
    halved = _halve(p)
    coarse = _distance(halved >= threshold)
    radius = _mean_radius(2.0 * coarse[coarse > 0]) if coarse.any() else 0.0
    if radius < _LARGE_RADIUS or min(p.shape) < 4:
        height = np.zeros(p.shape, np.float32)
        for level in _LEVELS:
            height += _distance(p >= threshold + level * (1.0 - threshold))
        height /= np.float32(len(_LEVELS))
        return height, _mean_radius(height[mask])
    for level in _LEVELS[1:]:
        coarse += _distance(halved >= threshold + level * (1.0 - threshold))
    coarse *= np.float32(2.0 / len(_LEVELS))
    height = coarse.repeat(2, axis=0).repeat(2, axis=1)[: p.shape[0], : p.shape[1]]
    return height, _mean_radius(height[mask])


def _mean_radius(distances: npt.NDArray[np.float32]) -> float:
    """Radius in px: over a disc the mean distance to the outline is a third of it."""
    return 3.0 * float(distances.mean(dtype=np.float64))


def _halve(p: Probability) -> Probability:
    """Mean of each block of 2 x 2 px; an odd last row or column is doubled first."""
    even = np.pad(p, [(0, n % 2) for n in p.shape], mode="edge")
    total = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return np.asarray(total / np.float32(4.0))


def _distance(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
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


def _drop_small(labels: Instances, min_size_px: int) -> Instances:
    """Remove smaller objects and number the rest without gaps."""
    keep = np.bincount(labels.reshape(-1)) >= max(min_size_px, 1)
    keep[0] = False
    number = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return np.asarray(number[labels])
