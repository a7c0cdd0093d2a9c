"""Candidate objects of a probability map, and what can be measured on each of them.

No single threshold suits every object of an image: a dim cell shows at 0.3, and two
bright ones that touch part at 0.8. So the map is seen as hills (see
:mod:`napari_impartial.core.instances.watershed`), hills are joined step by step into a
tree, and each node of the tree, cut at each of some levels of probability, is a candidate. All
measurements are sums over pixels, or over pairs of neighbouring pixels, so that those of
a join are those of its parts added up, and thousands of candidates cost little more than
one pass over the picture.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .distances import mean_distance_inside
from .watershed import find_hills, find_passes

Floats = npt.NDArray[np.float64]
Probability = npt.NDArray[np.float32]

LEVELS = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], np.float32)
"""Levels of probability that outlines may follow."""

# Outlines that the landscape is made of. Fewer miss dips between touching cells (three:
# 0.01 F1 less on the mean of eleven pairs of images); more add time only.
_LANDSCAPE_LEVELS = (0.3, 0.5, 0.7, 0.85, 0.95)
# Smoothing of the landscape in px: steps of single pixels would make summits.
_LANDSCAPE_SMOOTHING = 0.7
# Pixels that are counted at once; bounds the memory.
_BAND_PIXELS = 1 << 21

# Probabilities nearer to 0 or 1 have the same log-odds.
_SUREST = np.float32(0.999)

# Sums over the pixels of a candidate, in the order of the last axis of `sums`.
AREA, SUM_Y, SUM_X, SUM_YY, SUM_XX, SUM_YX, SUM_P = range(7)


@dataclass(frozen=True)
class ObjectTree:
    """Candidate objects: N nodes, of which the first are the L hills, by the levels.

    Attributes
    ----------
    hills : (Y, X) int32
        1 to L where the map reaches the lowest level, 0 elsewhere.
    levels : (Y, X) uint8
        How many of :data:`LEVELS` the map reaches.
    parent : (N,) int64
        The join that a node is part of, always a larger number; -1 at the top.
    children : (N, 2) int64
        The two nodes that were joined; -1 for hills.
    ratio : (N,) float64
        Height of the pass at which the children met, over the lower of their summits; 1
        for hills.
    summit, brightest : (N,) float64
        Greatest height of the landscape in px, and greatest probability.
    n_hills : (N,) int64
    sums : (N, levels, 7) float64
        Area, sums of y, x, y**2, x**2, y * x and of the probability, of the pixels that
        reach the level.
    free, shared : (N, levels) float64
        Pixel sides of the outline towards what lies below the level, and towards other
        nodes.
    neck : (N, levels) float64
        Pixel sides between the two children; 0 for hills.
    depth : (N,) float64
        Mean log-odds of the probability over the node.
    seam, saddle : (N,) float64
        Log-odds of the probability where the two children meet, mean and highest; 0 for
        hills.
    """

    hills: npt.NDArray[np.int32]
    levels: npt.NDArray[np.uint8]
    parent: npt.NDArray[np.int64]
    children: npt.NDArray[np.int64]
    ratio: Floats
    summit: Floats
    brightest: Floats
    n_hills: npt.NDArray[np.int64]
    sums: Floats
    free: Floats
    shared: Floats
    neck: Floats
    depth: Floats
    seam: Floats
    saddle: Floats

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def area(self) -> Floats:
        """(N, levels) area in px."""
        return np.asarray(self.sums[..., AREA])


def build_tree(p: Probability) -> ObjectTree | None:
    """Find the candidates of a foreground probability.

    Parameters
    ----------
    p : (Y, X) float32
        0 to 1, finite.

    Returns
    -------
    ObjectTree or None
        None where nothing reaches the lowest level.
    """
    mask = p >= LEVELS[0]
    if not mask.any():
        return None
    height = mean_distance_inside(p, _LANDSCAPE_LEVELS)
    height = ndimage.gaussian_filter(height, _LANDSCAPE_SMOOTHING, truncate=3.0)
    hills, summits = find_hills(height, mask)
    pairs, passes = find_passes(hills, height)
    children, ratio, summit = _join(pairs - 1, passes, summits[1:])
    n_hills, count = len(summits) - 1, len(ratio)
    parent = np.full(count, -1, np.int64)
    for side in (0, 1):
        parent[children[n_hills:, side]] = np.arange(n_hills, count)
    levels = np.zeros(p.shape, np.uint8)
    for level in LEVELS:
        levels += p >= level
    sums = np.zeros((count, len(LEVELS), 7))
    sums[:n_hills] = _pixel_sums(p, hills, levels, n_hills)
    log_odds = _log_odds(p)
    free, shared, neck, seam, saddle = _outlines(hills, levels, log_odds, n_hills, parent)
    inside = np.zeros(count)
    inside[:n_hills] = np.bincount(hills.reshape(-1), log_odds.reshape(-1), n_hills + 1)[1:]
    brightest = np.zeros(count)
    brightest[:n_hills] = _greatest(p, hills, n_hills)
    size = np.ones(count, np.int64)
    for c in range(n_hills, count):
        a, b = children[c]
        np.add(sums[a], sums[b], out=sums[c])
        np.add(free[a], free[b], out=free[c])
        np.add(shared[a], shared[b], out=shared[c])
        shared[c] -= 2 * neck[c]
        brightest[c] = max(brightest[a], brightest[b])
        size[c] = size[a] + size[b]
        inside[c] = inside[a] + inside[b]
    depth = inside / np.maximum(sums[:, 0, AREA], 1.0)
    return ObjectTree(
        hills=hills,
        levels=levels,
        parent=parent,
        children=children,
        ratio=ratio,
        summit=summit,
        brightest=brightest,
        n_hills=size,
        sums=sums,
        free=free,
        shared=shared,
        neck=neck,
        depth=depth,
        seam=seam,
        saddle=saddle,
    )


def _log_odds(p: Probability) -> Probability:
    bounded = np.clip(p, 1.0 - _SUREST, _SUREST)
    return np.asarray(np.log(bounded / (1.0 - bounded)), dtype=np.float32)


def _join(
    pairs: npt.NDArray[np.int64], passes: npt.NDArray[np.float32], summits: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Join neighbours two by two, the least separate first, until none touch.

    How separate two hills are is the height of the highest pass between them over the
    lower summit: a ratio, so that small and large objects are treated alike.

    Returns
    -------
    children : (N, 2) int64
    ratio, summit : (N,) float64
    """
    top = summits.tolist()
    n_hills = len(top)
    children = [(-1, -1)] * n_hills
    ratio = [1.0] * n_hills
    neighbours: list[dict[int, float]] = [{} for _ in top]
    queue = []
    for (a, b), height in zip(pairs.tolist(), passes.tolist(), strict=True):
        neighbours[a][b] = neighbours[b][a] = height
        queue.append((-_ratio(height, top[a], top[b]), a, b))
    heapq.heapify(queue)
    alive = [True] * n_hills
    while queue:
        value, a, b = heapq.heappop(queue)
        if not (alive[a] and alive[b]):
            continue
        c = len(top)
        alive[a] = alive[b] = False
        alive.append(True)
        children.append((a, b))
        ratio.append(-value)
        top.append(max(top[a], top[b]))
        around = neighbours[a]
        for k, height in neighbours[b].items():
            around[k] = max(height, around.get(k, 0.0))
        around.pop(a, None)
        around.pop(b, None)
        for k, height in around.items():
            theirs = neighbours[k]
            theirs.pop(a, None)
            theirs.pop(b, None)
            theirs[c] = height
            heapq.heappush(queue, (-_ratio(height, top[k], top[c]), k, c))
        neighbours.append(around)
        neighbours[a] = neighbours[b] = {}
    return np.array(children, np.int64).reshape(-1, 2), np.array(ratio), np.array(top)


def _ratio(height: float, one: float, other: float) -> float:
    return min(height / max(min(one, other), 1e-6), 1.0)


def _greatest(p: Probability, hills: npt.NDArray[np.int32], n_hills: int) -> Probability:
    """Greatest probability in each hill."""
    out = np.zeros(n_hills + 1, np.float32)
    np.maximum.at(out, hills.reshape(-1), p.reshape(-1))
    return out[1:]


def _pixel_sums(
    p: Probability,
    hills: npt.NDArray[np.int32],
    levels: npt.NDArray[np.uint8],
    n_hills: int,
) -> Floats:
    """Sum over each hill's pixels that reach each level, (L, levels, 7)."""
    n_levels = len(LEVELS)
    out = np.zeros((7, n_hills * n_levels))
    for rows in _bands(p.shape):
        inside = np.flatnonzero(hills[rows])
        y = inside // p.shape[1]
        x = inside - y * p.shape[1]
        key = hills[rows].reshape(-1)[inside].astype(np.int64) - 1
        key = key * n_levels + levels[rows].reshape(-1)[inside] - 1
        yf, xf = (y + rows.start).astype(np.float64), x.astype(np.float64)
        weights = (None, yf, xf, yf * yf, xf * xf, yf * xf, p[rows].reshape(-1)[inside])
        for number, weight in enumerate(weights):
            out[number] += np.bincount(key, weight, out.shape[1])
    counted = out.reshape(7, n_hills, n_levels).transpose(1, 2, 0)
    return _at_least(counted)


def _outlines(
    hills: npt.NDArray[np.int32],
    levels: npt.NDArray[np.uint8],
    log_odds: Probability,
    n_hills: int,
    parent: npt.NDArray[np.int64],
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Count pixel sides: towards lower ground, towards other hills, between children.

    The first two are of the hills only, in arrays with room for all nodes. With them come
    the mean and the highest log-odds between the children, 0 for hills.
    """
    n_steps = len(LEVELS) + 1
    free = np.zeros((n_hills + 1) * n_steps)
    keys, lows, passes = [], [], []
    # With a rim of zeros, the last pixel of a row and the first of the next are alike.
    rims = np.pad(levels, 1), np.pad(hills, 1), np.pad(log_odds, 1)
    height, width = rims[0].shape
    for rows in _bands((height, width)):
        down = slice(rows.start, min(rows.stop + 1, height))
        level, hill, odds = (rim[down].reshape(-1) for rim in rims)
        for step, last in ((width, level.size), (1, (rows.stop - rows.start) * width)):
            one, two = slice(0, last - step), slice(step, last)
            at = np.flatnonzero(level[one] != level[two])
            a, b = level.take(at), level.take(at + step)
            start = hill.take(np.where(a > b, at, at + step)).astype(np.int64) * n_steps
            free += np.bincount(start + np.maximum(a, b), minlength=free.size)
            free -= np.bincount(start + np.minimum(a, b), minlength=free.size)
            at = np.flatnonzero((hill[one] != hill[two]) & (hill[one] > 0) & (hill[two] > 0))
            first, second = (hill.take(i).astype(np.int64) - 1 for i in (at, at + step))
            keys.append(np.minimum(first, second) * n_hills + np.maximum(first, second))
            lows.append(np.minimum(level.take(at), level.take(at + step)))
            passes.append(np.minimum(odds.take(at), odds.take(at + step)))
    key, which = np.unique(np.concatenate(keys), return_inverse=True)
    common = np.bincount(which * n_steps + np.concatenate(lows), minlength=len(key) * n_steps)
    sides = _at_least(common.reshape(-1, n_steps).astype(np.float64))[:, 1:]
    first, second = np.divmod(key, n_hills)
    shape = (len(parent), n_steps - 1)
    free_of_all, shared, neck = (np.zeros(shape) for _ in range(3))
    free_of_all[:n_hills] = _at_least(free.reshape(-1, n_steps)[1:])[:, 1:]
    np.add.at(shared, first, sides)
    np.add.at(shared, second, sides)
    meeting = _meeting(first, second, parent)
    np.add.at(neck, meeting, sides)
    of_side, height = meeting[which], np.concatenate(passes)
    counted = np.bincount(of_side, minlength=len(parent))
    seam = np.bincount(of_side, height, len(parent)) / np.maximum(counted, 1)
    saddle = np.full(len(parent), -np.inf)
    np.maximum.at(saddle, of_side, height)
    return free_of_all, shared, neck, seam, np.where(counted > 0, saddle, 0.0)


def _meeting(
    one: npt.NDArray[np.int64], two: npt.NDArray[np.int64], parent: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Find the smallest node that holds both hills of each pair of neighbours."""
    one, two = one.copy(), two.copy()
    while True:
        apart = one != two
        if not apart.any():
            return one
        # Parents have larger numbers, so the smaller of two unequal nodes goes up.
        first = apart & (one < two)
        second = apart & ~first
        one[first] = parent[one[first]]
        two[second] = parent[two[second]]


def _at_least(counts: Floats) -> Floats:
    """Turn counts at each level, the second axis, into counts at each level or above."""
    return np.asarray(counts[:, ::-1].cumsum(axis=1)[:, ::-1])


def _bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Cut an image into bands of whole rows."""
    step = max(1, _BAND_PIXELS // max(shape[1], 1))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))
