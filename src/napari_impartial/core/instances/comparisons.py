"""Comparisons of scored candidates with each other.

How large the picture's cells are, and how unlike in size, is not known before some have been
found; nor whether a candidate is better than what it is a part of. So candidates are scored,
those that would be chosen are looked at, and all are scored again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_impartial.core.config import InstanceConfig

from .component_tree import ObjectTree
from .selection import choose

Floats = npt.NDArray[np.float64]

COMPARISONS = ("size_among_others", "score_before", "over_whole")
"""What is measured, in the order of the last axis of :func:`compare`."""

# How widely each size that was found spreads in log area (a factor of 1.6), the least share of the
# commonest size, and how finely log areas are counted.
_SPREAD, _LEAST_SHARE, _STEP = 0.5, 0.02, 0.05
# Scores nearer to 0 or 1 are all the same.
_SUREST = 1e-4
# So that what differs by rounding errors alone is the same to the tables' steps.
_DECIMALS = 5


def compare(tree: ObjectTree, scores: Floats, sizes: Floats | None = None) -> Floats:
    """Compare all candidates with each other.

    Parameters
    ----------
    tree : ObjectTree
    scores : (N, levels) float64
        How likely each candidate is one object, by the look before; 0 without any pixels.
    sizes : (S,) float64, optional
        What :func:`common_sizes` says of the whole picture, where the tree is of a part of it.

    Returns
    -------
    (N, levels, comparisons) float64
        See :data:`COMPARISONS`; finite. How common objects of this size are, by the area
        that those found so far cover: log of the share of the commonest, 0 where none are
        found; then, the same at all levels, log-odds of the node's best score, and what it
        has above the best of the nodes that hold it.
    """
    greatest = scores.max(axis=1)
    own = _log_odds(greatest)
    of_node = np.stack([own, own - _log_odds(_best_above(tree, greatest))])
    columns = [
        _commonness(tree, common_sizes(tree, scores) if sizes is None else sizes),
        *np.broadcast_to(of_node[:, :, None], (len(of_node), *scores.shape)),
    ]
    return np.asarray(np.stack(columns, axis=-1).round(_DECIMALS))


def _log_odds(p: Floats) -> Floats:
    p = np.clip(p, _SUREST, 1.0 - _SUREST)
    return np.asarray(np.log(p / (1.0 - p)))


def common_sizes(tree: ObjectTree, scores: Floats) -> Floats:
    """Return how common objects of each size are, against the commonest.

    Returns
    -------
    (S,) float64
        Share of the commonest, 0 to 1, at steps of log area; empty where none are found.
    """
    # Smaller objects than by default are kept do not count: specks of noise, thousands in a
    # grainy map, would be what is common, and be taken for cells.
    owner, level = choose(tree, scores, InstanceConfig())
    found = np.unique(owner[owner >= 0])
    if not len(found):
        return np.zeros(0)
    area, score = tree.area[found, level[found]], scores[found, level[found]]
    at = np.arange(0.0, np.log(area.max()) + 4 * _SPREAD, _STEP)
    counted = np.bincount(np.rint(np.log(area) / _STEP).astype(np.int64), area * score, len(at))
    share = np.exp(-0.5 * ((at[:, None] - at) / _SPREAD) ** 2) @ counted
    return np.asarray(share / share.max())


def _commonness(tree: ObjectTree, sizes: Floats) -> Floats:
    """Log of how common objects of each candidate's size are."""
    if not len(sizes):
        return np.zeros(tree.area.shape)
    at = np.arange(len(sizes)) * _STEP
    of_each = np.interp(np.log(np.maximum(tree.area, 1.0)), at, sizes)
    return np.asarray(np.log(of_each + _LEAST_SHARE))


def _best_above(tree: ObjectTree, greatest: Floats) -> Floats:
    """Best score of the nodes that hold each node, 0 at the top."""
    scores, best = greatest.tolist(), [0.0] * len(tree)
    parents = tree.parent.tolist()
    for node in range(len(parents) - 1, -1, -1):
        above = parents[node]
        if above >= 0:
            best[node] = max(best[above], scores[above])
    return np.array(best)
