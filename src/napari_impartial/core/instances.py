"""From foreground probability to one label for each object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import expand_labels, watershed

from .config import InstanceConfig, validate
from .errors import ImPartialError

Probability = npt.NDArray[np.float32]
Instances = npt.NDArray[np.int32]


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
    if not mask.any():
        return np.zeros(p.shape, np.int32)
    if config.split == "components":
        labels = ndimage.label(mask, output=np.int32)[0]
    else:
        labels = _watershed(p, mask, config.split_strength)
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


def _watershed(p: Probability, mask: npt.NDArray[np.bool_], strength: float) -> Instances:
    distance = ndimage.distance_transform_edt(mask).astype(np.float32)
    smooth = ndimage.gaussian_filter(distance, 2.0)
    peaks = peak_local_max(smooth, min_distance=4, labels=mask.astype(np.int32))
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-smooth, markers, mask=mask), dtype=np.int32)


def _drop_small(labels: Instances, min_size_px: int) -> Instances:
    """Remove smaller objects and number the rest without gaps."""
    keep = np.bincount(labels.reshape(-1)) >= max(min_size_px, 1)
    keep[0] = False
    number = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return np.asarray(number[labels])
