"""Objects of a part of a picture, as they are cut in the whole.

What the cut reads from the whole picture (how large its objects are, how sure the network is of
them) is found once, by :func:`look_at_whole`, and handed to each part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_impartial.core.config import InstanceConfig
from napari_impartial.core.data.label_images import numbered

from . import scoring
from .class_borders import part_by_class
from .component_tree import build_tree
from .cutter import (
    Instances,
    Probability,
    bounding_window,
    draw_chosen,
    landscape,
    smooth,
    split_at_waists,
)
from .doubt import Doubt, doubt_of
from .selection import allowed, cover, good_score
from .sharpness import gain, sharpen


@dataclass(frozen=True)
class Whole:
    """Properties of a whole picture that the cut of each of its parts depends on.

    Attributes
    ----------
    diameter : float
        Of its typical object, in px; 0 where there are none.
    gain : float
        What log-odds are multiplied by for the automatic cut: the chosen sharpening, and what
        pale maps lack (:func:`.sharpness.gain`).
    outlook, good
        What the automatic cut judges by, see :func:`.scoring.look_out` and
        :func:`.selection.good_score`.
    radii : (float, float)
        What the watershed smooths by.
    window : (int, int, int, int)
        First row, row after the last, first column and column after the last that the
        watershed looks at.
    """

    diameter: float = 0.0
    gain: float = 1.0
    outlook: scoring.Outlook | None = None
    good: float = 0.0
    radii: tuple[float, float] = (0.0, 0.0)
    window: tuple[int, int, int, int] = (0, 0, 0, 0)


def look_at_whole(p: Probability, config: InstanceConfig) -> Whole:
    """Find what the cut of a picture's parts depends on, from the picture or a sample of it.

    Parameters
    ----------
    p : (Y, X) float32
        Probability of any foreground class, 0 to 1, finite.
    config : InstanceConfig
    """
    if config.split == "automatic":
        pale = Whole(gain=config.sharpen * gain(p))
        tree = build_tree(prepare(p, config, pale))
        if tree is None:
            return pale
        outlook, scores = scoring.look_out(tree)
        good = good_score(tree, scores, config)
        diameter = 2.0 * float(np.sqrt(outlook.typical_area / np.pi))
        return Whole(diameter, pale.gain, outlook, good)
    p = smooth(p, config.smooth_px)
    mask = p >= config.threshold
    window = bounding_window(mask)
    if window is None:
        return Whole()
    rows, cols = (part.indices(n)[:2] for part, n in zip(window, p.shape, strict=True))
    _, radii = landscape(p[window], mask[window], config.threshold)
    return Whole(2.0 * radii[1], radii=radii, window=(*rows, *cols))


def prepare(p: Probability, config: InstanceConfig, whole: Whole) -> Probability:
    """Return what is cut of a (Y, X) map of foreground probability: surer, and smoothed.

    What is smoothed depends on its neighbourhood.
    """
    sure = sharpen(p, whole.gain) if config.split == "automatic" else p
    return smooth(sure, config.smooth_px)


def cut_part(
    p: Probability,
    config: InstanceConfig,
    whole: Whole,
    corner: tuple[int, int],
    classes: npt.NDArray[np.floating] | None = None,
) -> tuple[Instances, Doubt | None]:
    """Cut a part of a picture as the picture is cut, but for what its edges cut through.

    Parameters
    ----------
    p : (Y, X) float32
        What :func:`prepare` makes of the probability of any foreground class.
    config : InstanceConfig
        Objects are not grown.
    whole : Whole
    corner : (int, int)
        Where the part begins in the picture.
    classes : (K - 1, Y, X) array, optional
        Probability of each foreground class, if there are several.

    Returns
    -------
    labels : (Y, X) int32
        1 to N without gaps.
    doubt : (Y, X) float32 or None
        As of the whole, see :meth:`.cutter.Cutter.doubt`.
    """
    labels, doubt = np.zeros(p.shape, np.int32), None
    if config.split == "automatic":
        tree = build_tree(p) if whole.outlook is not None else None
        if tree is None:
            return labels, np.zeros(p.shape, np.float32)
        scores = scoring.score(tree, outlook=whole.outlook)
        owner, level = cover(tree, scores, config, whole.good)
        labels = draw_chosen(tree, owner, level)
        doubt = doubt_of(tree, allowed(tree, scores, config), owner, level)
    elif config.split == "watershed":
        inside = _within(whole.window, corner, p.shape)
        if (p[inside] >= config.threshold).any():
            labels[inside] = split_at_waists(
                p[inside], config.threshold, config.split_strength, whole.radii
            )
    else:
        labels = ndimage.label(p >= config.threshold, output=np.int32)[0]
    labels = numbered(labels, config.min_size_px)
    if classes is not None:
        labels = part_by_class(labels, classes, config.min_size_px)
    return labels, doubt


def _within(
    window: tuple[int, int, int, int], corner: tuple[int, int], shape: tuple[int, ...]
) -> tuple[slice, slice]:
    """Return what of a part lies in a window of the picture, in whole blocks of 2 x 2 px of it."""

    def along(first: int, last: int, start: int, length: int) -> slice:
        begin = max(first - start, (first - start) % 2)
        return slice(begin, max(min(last - start, length), begin))

    y0, y1, x0, x1 = window
    return along(y0, y1, corner[0], shape[0]), along(x0, x1, corner[1], shape[1])
