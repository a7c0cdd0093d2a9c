"""Choice of candidates: those whose scores, less a price, have the highest sum."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_impartial.core.config import InstanceConfig

from .component_tree import AREA, LEVELS, SUM_P, ObjectTree

# At threshold 0.5 and split strength 0.6: how likely a candidate has to be one object, the least
# that this falls to, and the lowest level of outlines. Price and level go with the threshold.
_PRICE, _LOW_PRICE, _PRICE_SLOPE = 0.35, 0.05, 0.6
_LOWEST_LEVEL = 0.2
# Mean probability, over what is above 0.5, from which a part of a map is foreground for sure, and
# the price there.
_SURE, _SURE_PRICE, _MIDDLE = 0.9, 0.1, int(np.searchsorted(LEVELS, np.float32(0.5)))


def choose(
    tree: ObjectTree,
    scores: npt.NDArray[np.float64],
    config: InstanceConfig,
    good: float | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Choose candidates that do not overlap and whose scores, less a price, sum up highest.

    The price keeps out what is less likely an object than worth a miss: for F1, half the
    F1 that is reached. Where a young network's map is vague throughout, the best scores
    are low, and the price follows them, so that there is something to see. Of a part of a
    picture, `good` is what :func:`good_score` says of the whole.

    Returns
    -------
    owner : (L,) int64
        The chosen node that each hill belongs to, -1 for none.
    level : (N,) int64
        Index of each node's best level.
    """
    above = config.threshold - 0.5
    scores = allowed(tree, scores, config)
    greatest = scores.max(axis=1)
    if good is None:
        good = good_score(tree, scores, config)
    price = min(_PRICE, max(good / 2, _LOW_PRICE)) + _PRICE_SLOPE * above
    price = min(max(price, 0.01), 0.99)
    preference = _split_preference(config.split_strength)
    return _buy(tree, greatest, price, preference), scores.argmax(axis=1)


def cover(
    tree: ObjectTree,
    scores: npt.NDArray[np.float64],
    config: InstanceConfig,
    good: float | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Choose candidates, and the likeliest where the foreground is sure but none was chosen.

    Packed cells between which a map shows nothing have no candidate that is worth the price of
    :func:`choose`. What is sure to be foreground is some object, though, and is cut for a
    lower price rather than left out.

    Parameters and returns are those of :func:`choose`.
    """
    owner, level = choose(tree, scores, config, good)
    greatest = allowed(tree, scores, config).max(axis=1)
    greatest[~_left_out(tree, owner)] = 0.0
    preference = _split_preference(config.split_strength)
    rest = _buy(tree, greatest, _SURE_PRICE, preference)
    return np.where(owner < 0, rest, owner), level


def _left_out(tree: ObjectTree, owner: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which nodes lie in a part of sure foreground of which nothing was chosen; (N,) bool.

    A part is the largest node that holds nothing chosen.
    """
    area, total = tree.sums[:, _MIDDLE, AREA], tree.sums[:, _MIDDLE, SUM_P]
    sure = (total >= _SURE * area) & (area > 0)
    parents = tree.parent.tolist()
    holds = [*(owner >= 0).tolist(), *[False] * (len(parents) - len(owner))]
    for node, above in enumerate(parents):
        if above >= 0 and holds[node]:
            holds[above] = True
    found = [False] * len(parents)
    for node in range(len(parents) - 1, -1, -1):
        above = parents[node]
        if not holds[node]:
            inside = above >= 0 and not holds[above]
            found[node] = found[above] if inside else bool(sure[node])
    return np.array(found)


def good_score(tree: ObjectTree, scores: npt.NDArray[np.float64], config: InstanceConfig) -> float:
    """Return how likely the better objects of a picture are objects; the price follows it."""
    greatest = allowed(tree, scores, config).max(axis=1)
    bought = np.unique(_buy(tree, greatest, _LOW_PRICE, _split_preference(config.split_strength)))
    bought = bought[bought >= 0]
    return float(np.quantile(greatest[bought], 0.9)) if len(bought) else 0.0


def allowed(
    tree: ObjectTree, scores: npt.NDArray[np.float64], config: InstanceConfig
) -> npt.NDArray[np.float64]:
    """Return the scores of candidates that are large enough and not outlined too low."""
    lowest = _LOWEST_LEVEL + (config.threshold - 0.5) - 1e-6
    fits = (lowest <= LEVELS) & (tree.area >= config.min_size_px)
    return np.where(fits, scores, 0.0)


def _buy(
    tree: ObjectTree, greatest: npt.NDArray[np.float64], price: float, preference: float
) -> npt.NDArray[np.int64]:
    """Return, for a price, the node that each hill belongs to, -1 for none; (L,) int64."""
    value = np.maximum(greatest - price, 0.0).tolist()
    # Whoever wants fewer splits pays less for joining objects into one.
    joined = (greatest - price * min(preference, 1.0)).tolist()
    n_hills = int(tree.hills.max())
    best, whole = value[:n_hills], [v > 0 for v in value[:n_hills]]
    for node, (a, b) in enumerate(tree.children[n_hills:].tolist(), start=n_hills):
        parts = best[a] + best[b]
        one = joined[node] if parts > 0 else value[node]
        whole.append(one > 0 and one > preference * parts)
        best.append(one if whole[node] else parts)
    parents = tree.parent.tolist()
    owner = [-1] * len(parents)
    for node in range(len(parents) - 1, -1, -1):
        above = parents[node]
        if above >= 0 and owner[above] >= 0:
            owner[node] = owner[above]
        elif whole[node]:
            owner[node] = node
    return np.array(owner[:n_hills], np.int64)


def _split_preference(strength: float) -> float:
    """Weight of the parts against the whole: 0 for never splitting, 1 as usual."""
    usual = 0.6 / 0.4
    return strength / max(1.0 - strength, 1e-9) / usual
