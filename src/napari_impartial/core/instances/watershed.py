"""Hills of a landscape, the passes between them, and which hills are really one.

A watershed without seeds, written so that numpy does the walking: each pixel points to
its steepest neighbour uphill, pointers are followed to the summits by doubling, and hills
whose pass is nearly as high as the lower summit are joined.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Landscape = npt.NDArray[np.float32]
Regions = npt.NDArray[np.int32]

_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


def find_hills(
    height: Landscape, mask: npt.NDArray[np.bool_]
) -> tuple[Regions, npt.NDArray[np.float32]]:
    """Assign each pixel of the mask to the summit that steepest ascent leads to.

    Parameters
    ----------
    height : (Y, X) float32
        Finite and not negative inside the mask.
    mask : (Y, X) bool
        Where to look.

    Returns
    -------
    regions : (Y, X) int32
        1 to N inside the mask, 0 outside.
    summits : (N + 1,) float32
        Height of each region's highest pixel; the first entry, of region 0, is 0.
    """
    padded = np.full((mask.shape[0] + 2, mask.shape[1] + 2), -1.0, np.float32)
    padded[1:-1, 1:-1] = np.where(mask, height, np.float32(-1.0))
    width = padded.shape[1]
    flat = padded.reshape(-1)
    index_type = np.int32 if flat.size < 2**31 else np.int64
    inside: npt.NDArray[np.integer] = np.flatnonzero(flat >= 0).astype(index_type)
    target = _uphill(flat, inside, width)
    pointer = np.arange(flat.size, dtype=index_type)
    pointer[inside] = target
    while True:  # each round doubles the length of the path taken
        further = pointer[target]
        if np.array_equal(further, target):
            break
        pointer[inside] = further
        target = further
    roots = inside[target == inside]
    number = np.zeros(flat.size, np.int32)
    number[roots] = np.arange(1, len(roots) + 1)
    regions = np.zeros(flat.size, np.int32)
    regions[inside] = number[target]
    summits = np.append(np.float32(0.0), flat[roots])
    return regions.reshape(padded.shape)[1:-1, 1:-1], summits


def _uphill(
    flat: npt.NDArray[np.float32], inside: npt.NDArray[np.integer], width: int
) -> npt.NDArray[np.integer]:
    """Index of each pixel's steepest neighbour uphill, or of the pixel itself.

    On level ground the last level neighbour in reading order counts as uphill, so that a
    plateau ends in one summit and no two pixels point to each other.
    """
    here = flat[inside]
    steepest = np.zeros(len(inside), np.float32)
    target = inside.copy()
    for dy, dx in _NEIGHBOURS:
        step = dy * width + dx
        rise = flat[inside + step] - here
        if dy and dx:
            rise *= np.float32(np.sqrt(0.5))
        better = rise > steepest
        if step > 0:
            better |= (rise == 0) & (steepest == 0)
        steepest[better] = rise[better]
        target[better] = inside[better] + np.asarray(step, inside.dtype)
    return target


def find_passes(
    regions: Regions, height: Landscape
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Find the highest way from each region to each of its neighbours (8-connected).

    Returns
    -------
    pairs : (P, 2) int64
        Neighbouring regions, the smaller number first.
    passes : (P,) float32
        Highest lowest point of a step across their border.
    """
    count = int(regions.max(initial=0)) + 1
    rows, cols = regions.shape
    keys, heights = [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = slice(0, rows - dy), slice(max(0, -dx), cols - max(0, dx))
        two = slice(dy, rows), slice(max(0, dx), cols + min(0, dx))
        a, b = regions[one], regions[two]
        border = (a != b) & (a > 0) & (b > 0)
        a, b = a[border].astype(np.int64), b[border].astype(np.int64)
        keys.append(np.minimum(a, b) * count + np.maximum(a, b))
        heights.append(np.minimum(height[one][border], height[two][border]))
    key, low = np.concatenate(keys), np.concatenate(heights)
    if key.size == 0:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    order = np.argsort(key, kind="stable")
    key, low = key[order], low[order]
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    pairs = np.stack(np.divmod(key[first], count), axis=1)
    return pairs, np.maximum.reduceat(low, first)


def join_hills(
    pairs: npt.NDArray[np.int64],
    passes: npt.NDArray[np.float32],
    summits: npt.NDArray[np.float32],
    ratio: float,
) -> npt.NDArray[np.int32]:
    """Join hills whose pass reaches `ratio` times the lower summit, highest pass first.

    Being a ratio, the rule is the same for small and for large objects.

    Returns
    -------
    (N + 1,) int32
        New number of each old region: 0 stays 0, the others are 1 to M without gaps.
    """
    leader = list(range(len(summits)))
    top = summits.tolist()

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    # Only passes between hills are walked, a few for each object.
    order = np.argsort(-passes, kind="stable")
    for (a, b), saddle in zip(pairs[order].tolist(), passes[order].tolist(), strict=True):
        a, b = find(a), find(b)
        if a == b:
            continue
        if top[a] < top[b]:
            a, b = b, a
        if saddle >= ratio * top[b]:
            leader[b] = a
    leaders = np.array([find(i) for i in range(len(leader))])
    return np.unique(leaders, return_inverse=True)[1].astype(np.int32)
