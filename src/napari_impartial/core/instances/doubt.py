"""Doubt about a cut: how likely it is wrong, pixel by pixel, as its own candidates say."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from .component_tree import LEVELS, ObjectTree

Doubt = npt.NDArray[np.float32]


def doubt_of(
    tree: ObjectTree,
    scores: npt.NDArray[np.float64],
    owner: npt.NDArray[np.int64],
    level: npt.NDArray[np.int64],
    labels: npt.NDArray[np.integer],
) -> Doubt:
    """Return how likely a cut into candidates is wrong at each pixel.

    Scores are the probabilities that candidates cover an object (:func:`.scoring.score`). In an
    object the cut is wrong if this candidate does not; between objects it is if another one
    there does.

    Parameters
    ----------
    tree : ObjectTree
    scores : (N, levels) float64
    owner : (L,) int64
        The chosen candidate that each hill belongs to, -1 for none (:func:`.selection.choose`).
    level : (N,) int64
        Index of the level that each is drawn at.
    labels : (Y, X) integer array
        The objects drawn; 0 between them.

    Returns
    -------
    (Y, X) float32
        0 (sure) to 1.
    """
    n_hills = len(owner)
    of_chosen = np.zeros(n_hills + 1, np.float32)
    chosen = owner >= 0
    of_chosen[1:][chosen] = 1.0 - scores[owner[chosen], level[owner[chosen]]]
    # The best of all candidates that hold a pixel: of its hill and what that is joined into, at
    # its level of the map and lower ones.
    best = scores.copy()
    for node in range(len(best) - 1, -1, -1):
        above = tree.parent[node]
        if above >= 0:
            np.maximum(best[node], best[above], out=best[node])
    of_best = np.zeros((n_hills + 1, len(LEVELS) + 1), np.float32)
    of_best[1:, 1:] = np.maximum.accumulate(best[:n_hills], axis=1)
    inside, outside = of_chosen[tree.hills], of_best[tree.hills, tree.levels]
    return np.asarray(np.where(labels > 0, inside, outside), dtype=np.float32)


def settled(
    doubt: Doubt,
    labels: npt.NDArray[np.integer],
    annotated: npt.NDArray[np.integer] | None = None,
    decided: Iterable[int] = (),
) -> Doubt:
    """Return doubt without that about what a person has said.

    That is strokes, objects that hold a foreground stroke, and objects decided about.

    Parameters
    ----------
    doubt : (Y, X) float32
    labels : (Y, X) integer array
        The objects, which agree with the strokes.
    annotated : (Y, X) integer array, optional
        0 not annotated, 1 background, 2 and up foreground classes.
    decided : iterable of int
        Labels of objects.
    """
    held = np.isin(np.arange(int(labels.max(initial=0)) + 1), list(decided))
    if annotated is not None:
        held[labels[annotated > 1]] = True
    held[0] = False
    known = held[labels]
    if annotated is not None:
        known |= annotated > 0
    return np.where(known, np.float32(0.0), doubt)
