"""Probability that a candidate is one whole object, whatever its size.

A scorecard: each measurement of a candidate is looked up in a table of its own, and the
entries add up to log-odds; then candidates are compared with each other
(:mod:`napari_impartial.core.instances.comparisons`), and judged again by further tables. Only
ratios are
measured, and the sizes among them are relative to the picture's own objects, so that the
card knows no size, stain or magnification. It was fitted to candidates from real and procedural
images (docs, *Instances*).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from .comparisons import COMPARISONS, common_sizes, compare
from .component_tree import AREA, LEVELS, SUM_P, SUM_X, SUM_XX, SUM_Y, SUM_YX, SUM_YY, ObjectTree

Floats = npt.NDArray[np.float64]

SMALLEST_PX = 20
"""Candidates of fewer pixels have no shape to speak of, and are not scored."""

FEATURES = (
    "fullness",
    "roundness",
    "compactness",
    "touching",
    "mean_probability",
    "share_at_next_level",
    "share_of_last_level",
    "separation",
    "cohesion",
    "inner_neck",
    "outer_neck",
    "inscribed_radius",
    "share_of_parent",
    "level",
    "has_parent",
    "greatest_probability",
    "mean_from_lowest_level",
    "contrast",
    "share_of_lowest_level",
    "relative_size",
    "parts",
    "own_seam",
    "own_saddle",
    "outer_seam",
    "outer_saddle",
)
"""What is measured, in the order of the last axis of :func:`measure`."""

COMPARED = (*FEATURES, *COMPARISONS)
"""What all looks but the first judge by, in the order of :func:`with_comparisons`."""

# What counts as the seam of a node that nothing is joined with; and what differs by rounding errors
# alone is the same to the tables' steps.
_ALONE, _DECIMALS = -6.0, 4

# Hills whose pass reaches this share of the lower summit count as one object where the
# typical size is taken, and the level of outlines there.
_TYPICAL_RATIO, _TYPICAL_LEVEL = 0.85, 3


def measure(tree: ObjectTree, typical: float | None = None) -> Floats:
    """Measure all candidates of a tree.

    Parameters
    ----------
    tree : ObjectTree
    typical : float, optional
        The picture's :func:`typical_area`, where the tree is of a part of it.

    Returns
    -------
    (N, levels, features) float64
        See :data:`FEATURES`; finite.
    """
    sums = tree.sums
    typical = typical_area(tree) if typical is None else typical
    area = np.maximum(sums[..., AREA], 1e-9)
    mean_p = sums[..., SUM_P] / area
    lowest = np.maximum(area[:, :1], 1.0)
    lowest_p = sums[:, :1, SUM_P] / lowest
    rim = lowest - area
    rim_p = np.where(
        rim > 0, (sums[:, :1, SUM_P] - sums[..., SUM_P]) / np.maximum(rim, 1), LEVELS[0]
    )
    fullness, roundness = _ellipse(sums, area)
    outline = tree.free + tree.shared
    side = np.sqrt(area)
    has_parent = tree.parent >= 0
    parent = np.maximum(tree.parent, 0)
    none = np.zeros((len(tree), 1))
    per_node = [
        np.where(has_parent, tree.ratio[parent], 0.0),
        tree.ratio,
    ]
    separation, cohesion = (np.broadcast_to(v[:, None], area.shape) for v in per_node)
    outer_neck = np.where(has_parent[:, None], tree.neck[parent], 0.0)
    columns = (
        np.minimum(fullness, 1.2),
        roundness,
        # A circle's outline in pixel sides is 4 / pi times its length.
        np.minimum(4 * np.pi * area / np.maximum(outline * np.pi / 4, 1) ** 2, 1.5),
        tree.shared / np.maximum(outline, 1),
        mean_p,
        np.concatenate([area[:, 1:], none], axis=1) / area,
        area / np.concatenate([area[:, :1], area[:, :-1]], axis=1),
        separation,
        cohesion,
        np.minimum(tree.neck / side, 3),
        np.minimum(outer_neck / side, 3),
        np.minimum(tree.summit[:, None] / (side / np.sqrt(np.pi)), 1.5),
        area / np.where(has_parent[:, None], np.maximum(area[parent], 1e-9), area),
        np.broadcast_to(LEVELS.astype(np.float64), area.shape),
        np.broadcast_to(has_parent[:, None].astype(np.float64), area.shape),
        np.broadcast_to(tree.brightest[:, None], area.shape),
        np.broadcast_to(lowest_p, area.shape),
        mean_p - rim_p,
        area / lowest,
        np.log(np.maximum(area, 1.0)) - np.log(typical),
        np.broadcast_to(np.log(tree.n_hills)[:, None], area.shape),
        *(np.broadcast_to(v[:, None], area.shape) for v in _seams(tree)),
    )
    return np.stack(columns, axis=-1)


def _seams(tree: ObjectTree) -> tuple[Floats, Floats, Floats, Floats]:
    """Compare the map where nodes were joined with the map inside, as log-odds.

    Returns
    -------
    own_seam, own_saddle, outer_seam, outer_saddle : (N,)
        Mean and highest where the node's children meet, 0 for hills; mean and highest
        where the node meets what it is joined with next. Differences from the node's own
        mean, so that how sure the whole map is cancels out: a dip tells two objects apart
        that have the outline of one, and none tells that a waist is but a bend.
    """
    joined, has_parent = tree.children[:, 0] >= 0, tree.parent >= 0
    parent = np.maximum(tree.parent, 0)
    found = [np.where(joined, v - tree.depth, 0.0) for v in (tree.seam, tree.saddle)]
    found += [
        np.where(has_parent, v[parent] - tree.depth, _ALONE) for v in (tree.seam, tree.saddle)
    ]
    own_seam, own_saddle, outer_seam, outer_saddle = (v.round(_DECIMALS) for v in found)
    return own_seam, own_saddle, outer_seam, outer_saddle


def _ellipse(sums: Floats, area: Floats) -> tuple[Floats, Floats]:
    """Compare candidates with the ellipse of the same second moments.

    Returns
    -------
    fullness : (N, levels)
        Area over that of the ellipse: 1 for an ellipse, less for anything with a waist,
        a bend or a hole.
    roundness : (N, levels)
        Short over long axis, 0 to 1.
    """
    y, x = sums[..., SUM_Y] / area, sums[..., SUM_X] / area
    # A pixel is a square, and has moments of its own.
    yy = sums[..., SUM_YY] / area - y * y + 1 / 12
    xx = sums[..., SUM_XX] / area - x * x + 1 / 12
    yx = sums[..., SUM_YX] / area - y * x
    root = np.sqrt(np.maximum(yy * xx - yx * yx, 1e-9))
    half = (yy + xx) / 2
    long = half + np.sqrt(np.maximum(half * half - root * root, 0.0))
    return area / (4 * np.pi * root), root / np.maximum(long, 1e-9)


def typical_area(tree: ObjectTree) -> float:
    """Area in px of the object that the middle pixel of the foreground belongs to."""
    whole = tree.ratio >= _TYPICAL_RATIO
    for c in range(int((tree.children[:, 0] < 0).sum()), len(tree)):
        a, b = tree.children[c]
        whole[c] &= whole[a] and whole[b]
    outermost = whole & ~((tree.parent >= 0) & whole[np.maximum(tree.parent, 0)])
    for level in (_TYPICAL_LEVEL, 0):
        area = middle_area(tree.area[outermost, level])
        if area:
            return area
    return float(SMALLEST_PX)


def middle_area(areas: npt.NDArray[Any]) -> float:
    """Return the area in px of the object that the middle pixel of all belongs to.

    Those of fewer than :data:`SMALLEST_PX` do not count; 0 without any others.
    """
    areas = np.sort(areas[areas >= SMALLEST_PX])
    total = areas.cumsum()
    return float(areas[np.searchsorted(total, total[-1] / 2)]) if len(areas) else 0.0


@cache
def _scorecard() -> Scorecard:
    """Read the card that is shipped."""
    text = (resources.files("napari_impartial") / "data" / "objectness.json").read_text("utf-8")
    return Scorecard.from_json(json.loads(text))


@dataclass(frozen=True)
class Tables:
    """A constant, and for each measurement the steps and the log-odds between."""

    constant: float
    tables: tuple[tuple[Floats, Floats], ...]

    @classmethod
    def from_json(cls, card: dict[str, Any], names: Sequence[str]) -> Tables:
        """Take ``{"constant": c, "features": {NAME: {"steps": [...], "log_odds": [...]}}}``.

        A step belongs to the side below it; of n steps there are n + 1 entries.
        """
        blank: dict[str, list[float]] = {"steps": [], "log_odds": [0.0]}
        tables = (card["features"].get(name, blank) for name in names)
        return cls(
            float(card["constant"]),
            tuple((np.array(t["steps"]), np.array(t["log_odds"])) for t in tables),
        )

    def log_odds(self, features: Floats) -> Floats:
        """Add up the entries for (..., features) measurements."""
        total = np.full(features.shape[:-1], self.constant)
        for number, (steps, entries) in enumerate(self.tables):
            if len(steps):
                total += entries[np.searchsorted(steps, features[..., number], side="left")]
        return total


@dataclass(frozen=True)
class Scorecard:
    """Tables for each candidate by itself, then for further looks that compare candidates.

    Attributes
    ----------
    looks : tuple of Tables
        The first of :data:`FEATURES`, the others of :data:`COMPARED`.
    """

    looks: tuple[Tables, ...]

    @classmethod
    def from_json(cls, card: dict[str, Any]) -> Scorecard:
        """Take ``{"looks": [...]}``, each as :meth:`Tables.from_json` takes it."""
        first, *others = card["looks"]
        others = [Tables.from_json(look, COMPARED) for look in others]
        return cls((Tables.from_json(first, FEATURES), *others))


@dataclass(frozen=True)
class Outlook:
    """Properties of a whole picture that each of its objects is judged by.

    Attributes
    ----------
    typical_area : float
        See :func:`typical_area`, in px.
    sizes : tuple of (S,) float64
        For each look but the first, see :func:`.comparisons.common_sizes`.
    """

    typical_area: float
    sizes: tuple[Floats, ...] = ()


def score(
    tree: ObjectTree, card: Scorecard | None = None, outlook: Outlook | None = None
) -> Floats:
    """Probability that each candidate covers an object with an IoU over 0.5.

    Parameters
    ----------
    tree : ObjectTree
    card : Scorecard, optional
        Defaults to the one that is shipped.
    outlook : Outlook, optional
        Of the whole picture, where the tree is of a part of it.

    Returns
    -------
    (N, levels) float64
        0 for candidates of fewer than :data:`SMALLEST_PX`.
    """
    return look_out(tree, card, outlook)[1]


def look_out(
    tree: ObjectTree, card: Scorecard | None = None, outlook: Outlook | None = None
) -> tuple[Outlook, Floats]:
    """Return what a whole picture's objects are judged by, and :func:`score` of all of them."""
    first, *others = (card or _scorecard()).looks
    typical = typical_area(tree) if outlook is None else outlook.typical_area
    features = measure(tree, typical)
    scores = probability(tree, first.log_odds(features))
    sizes = []
    for number, look in enumerate(others):
        sizes.append(common_sizes(tree, scores) if outlook is None else outlook.sizes[number])
        compared = with_comparisons(tree, features, scores, sizes[-1])
        scores = probability(tree, look.log_odds(compared))
    return Outlook(typical, tuple(sizes)), scores


def with_comparisons(
    tree: ObjectTree, features: Floats, scores: Floats, sizes: Floats | None = None
) -> Floats:
    """Return :data:`COMPARED`, of features from :func:`measure` and scores so far."""
    return np.concatenate([features, compare(tree, scores, sizes)], axis=-1)


def probability(tree: ObjectTree, log_odds: Floats) -> Floats:
    """Turn (N, levels) log-odds into probabilities, 0 for what is too small to be judged."""
    return np.where(tree.area >= SMALLEST_PX, 1.0 / (1.0 + np.exp(-log_odds)), 0.0)
