"""From foreground probability to one label for each object.

``automatic`` chooses from candidates (:mod:`napari_impartial.core.instances.component_tree`): which
hills of the map are one object and at which level its outline runs is decided object by
object, by what looks most like one whole thing (:mod:`napari_impartial.core.instances.scoring`).

``components`` is the recipe of the paper's authors: threshold, connected components, drop
the small ones, grow without merging. ``watershed`` also splits touching cells, and asks
for no size: its landscape is the distance to the outline averaged over several
thresholds, so that a waist in the shape and a dip in the probability both make a valley;
it is smoothed in proportion to the picture's own typical radius; and hills are joined by
how deep the valley is relative to the lower hill, whatever their size.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import expand_labels

from napari_impartial.core.config import InstanceConfig, validate
from napari_impartial.core.data.image import halve
from napari_impartial.core.data.label_images import largest_pieces, numbered
from napari_impartial.core.errors import ImPartialError

from . import scoring
from .class_borders import part_by_class
from .component_tree import LEVELS, ObjectTree, build_tree
from .distances import distance_inside, mean_distance_inside
from .doubt import doubt_of
from .selection import allowed, cover
from .sharpness import gain, sharpen
from .strokes import Strokes, impose
from .watershed import find_hills, find_passes, join_hills

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

# Probabilities that were stored or summed may be so far beyond 0 and 1.
_ROUNDING = 1e-3
# A hole larger than this share of its object is taken for a hole.
_FILLED_SHARE = 0.25


class Cutter:
    """Cuts one probability map into objects, again and again with other settings.

    What depends on smoothing and sharpening alone is kept, so that every position of the other
    sliders costs milliseconds.

    Parameters
    ----------
    foreground : (Y, X) array
        Probability of any foreground class, 0 to 1. NaN counts as 0.
    card : Scorecard, optional
        What the automatic cut judges by; defaults to the one that is shipped.
    classes : (K - 1, Y, X) array, optional
        Probability of each foreground class: cells of different classes that touch are
        different objects.

    Raises
    ------
    ImPartialError
        If the map does not have two axes, a map is not of probabilities, or `classes` are of
        another shape.
    """

    def __init__(
        self,
        foreground: npt.NDArray[np.floating],
        card: scoring.Scorecard | None = None,
        classes: npt.NDArray[np.floating] | None = None,
    ) -> None:
        p = _probabilities(foreground)
        if p.ndim != 2:
            raise ImPartialError(
                f"Objects are cut from a (Y, X) map; this one has shape {p.shape}."
            )
        self._card, self._p = card, p
        self._classes = None if classes is None else _probabilities(classes)
        if self._classes is not None and self._classes.shape[1:] != p.shape:
            raise ImPartialError(
                f"Classes have one map each, (K - 1, Y, X), of the {p.shape} pixels that objects "
                f"are cut from; these have shape {self._classes.shape}."
            )
        self._smoothed: tuple[float, Probability] | None = None
        # Of a smoothing and a sharpening.
        self._scored: (
            tuple[tuple[float, float], ObjectTree | None, npt.NDArray[np.float64]] | None
        ) = None

    def cut(
        self, config: InstanceConfig | None = None, strokes: Strokes | None = None
    ) -> Instances:
        """Return (Y, X) int32 labels; see :func:`to_instances`.

        Those of the cut without strokes are 1 to N without gaps, and keep their numbers where
        strokes change others (:func:`.strokes.impose`).
        """
        config = validate(config or InstanceConfig())
        if config.split == "automatic":
            labels = self._automatic(config)
        else:
            labels = _at_one_level(self._smooth(config.smooth_px), config)
        if self._classes is not None:
            labels = part_by_class(labels, self._classes, config.min_size_px)
        if strokes is not None:
            labels = impose(labels, self._p, strokes, config.min_size_px)
        if config.grow_px > 0:
            labels = expand_labels(labels, config.grow_px)
            if strokes is not None:
                labels[strokes.background] = 0
        return np.asarray(labels, dtype=np.int32)

    def doubt(self, config: InstanceConfig | None = None) -> Probability | None:
        """Return how likely the cut is wrong at each pixel (:func:`.doubt.doubt_of`).

        Parameters
        ----------
        config : InstanceConfig, optional
            That of the cut.

        Returns
        -------
        (Y, X) float32 or None
            0 (sure) to 1. None where the cut is not the automatic one, which alone knows doubt.
        """
        config = validate(config or InstanceConfig())
        if config.split != "automatic":
            return None
        tree, scores = self._judged(config)
        if tree is None:
            return np.zeros(self._p.shape, np.float32)
        return doubt_of(tree, allowed(tree, scores, config), *cover(tree, scores, config))

    def _smooth(self, sigma: float) -> Probability:
        if self._smoothed is None or self._smoothed[0] != sigma:
            self._smoothed = sigma, smooth(self._p, sigma)
        return self._smoothed[1]

    def _judged(self, config: InstanceConfig) -> tuple[ObjectTree | None, npt.NDArray[np.float64]]:
        made_by = config.smooth_px, config.sharpen
        if self._scored is None or self._scored[0] != made_by:
            sure = sharpen(self._p, config.sharpen * gain(self._p))
            tree = build_tree(ndimage.gaussian_filter(sure, config.smooth_px))
            scores = np.zeros((0, 0)) if tree is None else scoring.score(tree, self._card)
            self._scored = made_by, tree, scores
        return self._scored[1:]

    def _automatic(self, config: InstanceConfig) -> Instances:
        tree, scores = self._judged(config)
        if tree is None:
            return np.zeros(self._p.shape, np.int32)
        return numbered(draw_chosen(tree, *cover(tree, scores, config)), config.min_size_px)


@runtime_checkable
class HasCutter(Protocol):
    """Interface of predictions (:class:`.prediction.result.Prediction`) that is used here.

    That one keeps a :class:`Cutter`, so its module cannot be imported here.
    """

    @property
    def cutter(self) -> Cutter:
        """Cuts the prediction into objects."""


def to_instances(
    prediction: HasCutter | npt.NDArray[np.floating],
    config: InstanceConfig | None = None,
    strokes: Strokes | None = None,
) -> Instances:
    """Cut a prediction, or a map of foreground probability, into objects.

    Parameters
    ----------
    prediction : Prediction or (Y, X) array
        What :func:`~napari_impartial.core.prediction.predict.predict` returns, or the probability
        of any foreground class, 0 to 1. NaN counts as 0.
    config : InstanceConfig, optional
        Threshold, way of splitting, smallest size, smoothing, growth.
    strokes : Strokes, optional
        What a person painted on this image: one foreground stroke is one object, a
        background stroke is none and a border
        (:func:`~napari_impartial.core.instances.strokes.impose`).

    Returns
    -------
    (Y, X) int32
        Labels 1 to N without gaps, 0 for background.

    Raises
    ------
    ImPartialError
        If the map does not have two axes or is not of probabilities, or a setting is out of
        bounds.
    """
    cutter = prediction.cutter if isinstance(prediction, HasCutter) else Cutter(prediction)
    return numbered(cutter.cut(config, strokes))


def _probabilities(p: npt.NDArray[np.floating]) -> Probability:
    """Return a map without NaN, which has to be of probabilities."""
    p = np.asarray(p, dtype=np.float32)
    # Only then a copy, since predictions keep their cutter.
    if (unknown := np.isnan(p)).any():
        p = np.where(unknown, np.float32(0.0), p)
    low, high = float(p.min(initial=0.0)), float(p.max(initial=0.0))
    if low < -_ROUNDING or high > 1.0 + _ROUNDING:
        raise ImPartialError(
            f"Objects are cut from probabilities, 0 to 1; this map goes from {low:.3g} to "
            f"{high:.3g}. Divide 8-bit values by 255, and turn logits into probabilities."
        )
    return p


def smooth(p: Probability, sigma: float) -> Probability:
    """Blur a (Y, X) map over `sigma` px; 0 leaves it as it is."""
    return ndimage.gaussian_filter(p, sigma) if sigma > 0 else p


def count_objects(labels: npt.NDArray[np.integer]) -> int:
    """Return how many ids but 0 occur in (Y, X) labels."""
    if int(labels.max(initial=0)) > labels.size:
        return int(np.count_nonzero(np.unique(labels)))
    return int(np.count_nonzero(np.bincount(labels.reshape(-1))[1:]))


def draw_chosen(
    tree: ObjectTree, owner: npt.NDArray[np.int64], level: npt.NDArray[np.int64]
) -> Instances:
    """Draw each chosen candidate: its largest piece, with small holes filled."""
    lowest = np.full(len(owner) + 1, len(LEVELS), np.uint8)
    lowest[1:][owner >= 0] = level[owner[owner >= 0]]
    number = np.zeros(len(owner) + 1, np.int32)
    number[1:] = owner + 1
    labels = np.where(tree.levels > lowest[tree.hills], number[tree.hills], 0)
    return _fill_holes(largest_pieces(labels))


def _fill_holes(labels: Instances) -> Instances:
    """Give background that one object alone encloses, and that is small, to this object."""
    holes, count = ndimage.label(labels == 0)
    if count < 2:
        return labels
    sizes = np.bincount(holes.reshape(-1))
    areas = np.bincount(labels.reshape(-1))
    inner = np.arange(count + 1) > 0
    for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        inner[edge] = False
    within = inner[holes]
    least, most = np.full(count + 1, np.iinfo(np.int32).max), np.zeros(count + 1, np.int64)
    for one, two in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        for here, there in ((one, two), (two, one)):
            border = within[here] & (labels[there] > 0)
            hole, other = holes[here][border], labels[there][border]
            np.minimum.at(least, hole, other)
            np.maximum.at(most, hole, other)
    fill = np.zeros(count + 1, np.int32)
    alone = np.flatnonzero(least == most)
    alone = alone[sizes[alone] <= _FILLED_SHARE * areas[most[alone]]]
    fill[alone] = most[alone]
    return np.asarray(np.where(labels > 0, labels, fill[holes]), dtype=np.int32)


def _at_one_level(p: Probability, config: InstanceConfig) -> Instances:
    """Cut at the threshold alone, and split what touches where that is asked for."""
    mask = p >= config.threshold
    labels = np.zeros(p.shape, np.int32)
    window = bounding_window(mask)
    if window is None:
        return labels
    if config.split == "components":
        labels[window] = ndimage.label(mask[window], output=np.int32)[0]
    else:
        labels[window] = split_at_waists(p[window], config.threshold, config.split_strength)
    return numbered(labels, config.min_size_px)


def bounding_window(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Rows and columns that hold the foreground and a rim of 1 px, or None without any."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    y0, x0 = max(rows[0] - 1, 0), max(cols[0] - 1, 0)
    return slice(y0, rows[-1] + 2), slice(x0, cols[-1] + 2)


def split_at_waists(
    p: Probability, threshold: float, strength: float, radii: tuple[float, float] | None = None
) -> Instances:
    """Split the foreground at waists and dips; at least one pixel of it exists.

    Of a part of a picture, `radii` are those of the whole.
    """
    mask = p >= threshold
    height, (_, radius) = landscape(p, mask, threshold, radii)
    sigma = min(max(_SMOOTHING * radius, _LEAST_SMOOTHING), _MOST_SMOOTHING)
    height = ndimage.gaussian_filter(height, sigma, truncate=3.0)
    regions, summits = find_hills(height, mask)
    pairs, passes = find_passes(regions, height)
    number = join_hills(pairs, passes, summits, strength**_STRENGTH_POWER)
    return np.asarray(number[regions])


def landscape(
    p: Probability,
    mask: npt.NDArray[np.bool_],
    threshold: float,
    radii: tuple[float, float] | None = None,
) -> tuple[npt.NDArray[np.float32], tuple[float, float]]:
    """Distance in px to the outline, averaged over the levels, and the typical radii.

    The first radius is taken on blocks of 2 x 2 px and says how the second is.

    Where objects are large, distances are taken on blocks of 2 x 2 px: that is four times
    as quick, and the blocks vanish in the smoothing that such objects get.
    """
    levels = [threshold + level * (1.0 - threshold) for level in _LEVELS]
    halved = halve(p)
    if radii is None:
        coarse = distance_inside(halved >= threshold)
        radius = _mean_radius(2.0 * coarse[coarse > 0]) if coarse.any() else 0.0
    else:
        radius = radii[0]
    if radius < _LARGE_RADIUS or min(p.shape) < 4:
        height = mean_distance_inside(p, levels)
    else:
        coarse = 2 * mean_distance_inside(halved, levels)
        height = coarse.repeat(2, axis=0).repeat(2, axis=1)[: p.shape[0], : p.shape[1]]
    return height, radii or (radius, _mean_radius(height[mask]))


def _mean_radius(distances: npt.NDArray[np.float32]) -> float:
    """Radius in px: over a disc the mean distance to the outline is a third of it."""
    return 3.0 * float(distances.mean(dtype=np.float64))
