"""Objects of neighbouring planes become one object: through depth, or through time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix, csgraph

from .overlaps import Labels, find_overlaps

Instances = npt.NDArray[np.int32]

LEAST_IOU = 0.25
"""Objects of neighbouring planes that overlap less are two, unless one lies within the other."""

# So much of the smaller one lies within the other where an object begins or ends: round ones do so
# within a plane or two.
_WITHIN = 0.75

# An object may be missed in so many planes in between; what is found beyond has to overlap more.
_MOST_MISSED, _LEAST_IOU_BEYOND = 1, 0.4


def link(planes: Sequence[Labels], least_iou: float = LEAST_IOU) -> list[Instances]:
    """Give the same number to what is one object in planes that follow each other.

    Each object has one predecessor and one successor at most: of those that it overlaps, those
    with which the sum of the overlaps (IoU) over the plane is largest.

    Parameters
    ----------
    planes : sequence of (Y, X) integer arrays
        Ids, 0 for background; those of different planes say nothing of each other.
    least_iou : float
        0 to 1; objects that overlap less are two.

    Returns
    -------
    list of (Y, X) int32
        1 to N over all planes, in the order of the first plane that an object is in.
    """
    ids = [np.unique(plane[plane > 0]) for plane in planes]
    first = np.concatenate([[0], np.cumsum([len(found) for found in ids])]).astype(np.int64)
    n = int(first[-1])
    followed, follows = np.zeros(n, bool), np.zeros(n, bool)
    pairs = [np.zeros((2, 0), np.int64)]
    for gap in range(1, _MOST_MISSED + 2):
        least = least_iou if gap == 1 else max(least_iou, _LEAST_IOU_BEYOND)
        for number in range(len(planes) - gap):
            within = _WITHIN if gap == 1 else np.inf
            one, two = _matches(planes[number], planes[number + gap], least, within)
            one, two = one + first[number], two + first[number + gap]
            free = ~followed[one] & ~follows[two]
            followed[one[free]] = follows[two[free]] = True
            pairs.append(np.stack([one[free], two[free]]))
    one, two = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(len(one), np.int8), (one, two)), shape=(n, n))
    chain = csgraph.connected_components(graph, directed=False)[1] if n else np.zeros(0, int)
    _, seen, of = np.unique(chain, return_index=True, return_inverse=True)
    number_of = (np.argsort(np.argsort(seen)) + 1)[of].astype(np.int32)
    return [
        _renumbered(plane, found, number_of[a : a + len(found)])
        for plane, found, a in zip(planes, ids, first.tolist(), strict=False)
    ]


def link_along(labels: Labels, axis: int) -> Instances:
    """Link the planes of a stack along one of its axes; others are gone through one by one.

    Parameters
    ----------
    labels : (..., Y, X) integer array
    axis : int
        One of the leading axes.

    Returns
    -------
    (..., Y, X) int32
        1 to N over all; objects of different positions along other axes have different numbers.
    """
    moved = np.moveaxis(labels, axis, -3)
    out = np.zeros(moved.shape, np.int32)
    last = 0
    for place in np.ndindex(*moved.shape[:-3]):
        linked = np.stack(link(list(moved[place])))
        linked[linked > 0] += last
        last = max(last, int(linked.max(initial=0)))
        out[place] = linked
    return np.ascontiguousarray(np.moveaxis(out, -3, axis))


def _matches(
    one: Labels, two: Labels, least_iou: float, within: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Match the objects of two planes one to one; returns their places among the planes' ids."""
    overlaps = find_overlaps(one, two)
    smaller = np.minimum(overlaps.true_area[overlaps.rows], overlaps.pred_area[overlaps.cols])
    good = (overlaps.iou >= least_iou) | (overlaps.pixels >= within * smaller)
    rows, cols, iou = overlaps.rows[good], overlaps.cols[good], overlaps.iou[good]
    if not len(rows):
        return rows, cols
    kept = np.zeros(len(rows), bool)
    # Objects that compete for partners are few at a time.
    n = len(overlaps.true_ids)
    graph = coo_matrix(
        (np.ones(len(rows), np.int8), (rows, n + cols)),
        shape=(n + len(overlaps.pred_ids),) * 2,
    )
    group = csgraph.connected_components(graph, directed=False)[1][rows]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(group[order]) > 0))
    for some in np.split(order, starts[1:]):
        if len(some) == 1:
            kept[some] = True
            continue
        r, r_of = np.unique(rows[some], return_inverse=True)
        c, c_of = np.unique(cols[some], return_inverse=True)
        score = np.zeros((len(r), len(c)))
        score[r_of, c_of] = iou[some]
        best = np.zeros(score.shape, bool)
        best[linear_sum_assignment(score, maximize=True)] = True
        kept[some[best[r_of, c_of]]] = True
    return rows[kept], cols[kept]


def _renumbered(
    plane: Labels, ids: npt.NDArray[np.generic], numbers: npt.NDArray[np.int32]
) -> Instances:
    out = np.zeros(plane.shape, np.int32)
    inside = plane > 0
    out[inside] = numbers[np.searchsorted(ids, plane[inside])]
    return out
