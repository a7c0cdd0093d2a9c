"""Hills of a landscape, the passes between them, and which hills are really one.

A watershed without seeds, written so that numpy does the walking: each pixel points to
its steepest neighbour uphill, pointers are followed to the summits by doubling, and hills
whose pass is nearly as high as the lower summit are joined.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Landscape = npt.NDArray[np.float32]
Regions = npt.NDArray[np.int32]

_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
# Pixels that are looked at together, so that they stay in the processor's cache.
_BAND_PIXELS = 1 << 15


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
    way = _uphill(height, mask)
    flat = mask.reshape(-1)
    index_type = np.int32 if flat.size < 2**31 else np.int64
    inside: npt.NDArray[np.integer] = np.flatnonzero(flat).astype(index_type)
    steps: npt.NDArray[Any] = np.array(
        [0, *(dy * mask.shape[1] + dx for dy, dx in _NEIGHBOURS)], index_type
    )
    rank: npt.NDArray[Any] = np.zeros(flat.size, index_type)
    rank[inside] = np.arange(len(inside), dtype=index_type)
    pointer = rank.take(inside + steps.take(way.reshape(-1).take(inside)))
    roots = np.flatnonzero(pointer == rank.take(inside))
    while True:  # each round doubles the length of the path taken
        further = pointer.take(pointer)
        if np.array_equal(further, pointer):
            break
        pointer = further
    number = np.zeros(len(inside), np.int32)
    number[roots] = np.arange(1, len(roots) + 1)
    regions = np.zeros(mask.shape, np.int32)
    regions.reshape(-1)[inside] = number.take(pointer)
    return regions, np.append(np.float32(0.0), height.reshape(-1)[inside[roots]])


def _uphill(height: Landscape, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Find each pixel's steepest neighbour uphill: 1 + its index, or 0 for the pixel itself.

    On level ground the last level neighbour in reading order counts as uphill, so that a
    plateau ends in one summit and no two pixels point to each other.
    """
    rows, cols = mask.shape
    padded = np.full((rows + 2, cols + 2), -1.0, np.float32)
    np.copyto(padded[1:-1, 1:-1], height, where=mask)
    way = np.zeros(mask.shape, np.uint8)
    band = max(1, _BAND_PIXELS // cols)
    for start in range(0, rows, band):
        way_here = way[start : start + band]
        stop = start + len(way_here)
        here = padded[start + 1 : stop + 1, 1:-1]
        steepest = np.zeros(here.shape, np.float32)
        for number, (dy, dx) in enumerate(_NEIGHBOURS, start=1):
            rise = padded[start + 1 + dy : stop + 1 + dy, 1 + dx : cols + 1 + dx] - here
            if dy and dx:
                rise *= np.float32(np.sqrt(0.5))
            better = rise > steepest
            if (dy, dx) > (0, 0):
                better |= (rise == 0) & (steepest == 0)
            # Numbers grow, so the greatest is the last that was better.
            np.maximum(way_here, better.view(np.uint8) * np.uint8(number), out=way_here)
            np.maximum(steepest, rise, out=steepest)
    return way


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
