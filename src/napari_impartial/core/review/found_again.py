"""Objects of an earlier result that are in a later one, too, told by the boxes round them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Of what two boxes cover together, they share so much at least.
_LEAST_SHARE = 0.5


def find_again(
    boxes: npt.ArrayLike,
    later: npt.ArrayLike,
    planes: npt.ArrayLike = (),
    later_planes: npt.ArrayLike = (),
) -> npt.NDArray[np.intp]:
    """Return which object of a later result each one of an earlier result is.

    Parameters
    ----------
    boxes, later : (M, 4) and (N, 4) array
        First row and column, row and column after the last.
    planes, later_planes : (M, D) and (N, D) array, optional
        The planes that they lie in.

    Returns
    -------
    (M,) int
        Rows of `later`; -1 where there is none. None is the same as two others: it is the one of
        which the box fits best.
    """
    one, two = (np.asarray(part, dtype=float).reshape(-1, 4) for part in (boxes, later))
    found = np.full(len(one), -1, dtype=np.intp)
    if not len(one) or not len(two):
        return found
    from scipy.spatial import KDTree

    where, there = (
        np.column_stack(
            [
                (part[:, 0] + part[:, 2]) / 2,
                (part[:, 1] + part[:, 3]) / 2,
                # Farther away than anything in the same plane.
                1e9 * np.asarray(index, dtype=float).reshape(len(part), -1),
            ]
        )
        for part, index in ((one, planes), (two, later_planes))
    )
    _, near = KDTree(there).query(where)
    low = np.maximum(one[:, :2], two[near, :2])
    high = np.minimum(one[:, 2:], two[near, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = [np.prod(part[:, 2:] - part[:, :2], axis=1) for part in (one, two[near])]
    share = shared / (areas[0] + areas[1] - shared)
    share[(where[:, 2:] != there[near, 2:]).any(axis=1)] = 0
    # The best comes last, and stays.
    order = np.argsort(share, kind="stable")
    of = np.full(len(two), -1, dtype=np.intp)
    of[near[order]] = order
    same = (share >= _LEAST_SHARE) & (of[near] == np.arange(len(one)))
    found[same] = near[same]
    return found
