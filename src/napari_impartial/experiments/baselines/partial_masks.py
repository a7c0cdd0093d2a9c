"""Annotation of a scribbled image for methods that learn from whole cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.data.scribbles import BACKGROUND, FOREGROUND, Scribbles
from napari_impartial.core.errors import ImPartialError

UNKNOWN = -1


def partial_labels(scribbles: Scribbles, truth: NDArray[Any]) -> NDArray[np.int32]:
    """Return the masks of the annotated cells, with everything else unknown.

    A peer gets no more than our annotation says: the whole mask of each cell that has a
    foreground stroke, the background where it is painted, and nothing about the rest. What is
    unknown has to be left out of its loss; taken for background, the cells that nobody
    annotated would teach it not to find cells.

    Parameters
    ----------
    scribbles : Scribbles
    truth : (Y, X) integer array
        An id a cell.

    Returns
    -------
    (Y, X) int32
        A cell's id from 1, 0 where background is painted, -1 where nothing is known.
    """
    ids = np.unique(truth[scribbles.labels >= FOREGROUND])
    out = np.full(truth.shape, UNKNOWN, np.int32)
    out[scribbles.labels == BACKGROUND] = 0
    for number, i in enumerate(ids[ids > 0], start=1):
        out[truth == i] = number
    return out


def mean_diameter_px(labels: list[NDArray[np.int32]]) -> float:
    """Mean diameter of the annotated cells, of discs of their area.

    Raises
    ------
    ImPartialError
        If no cell is annotated.
    """
    areas = np.concatenate([np.bincount(one[one > 0], minlength=1)[1:] for one in labels])
    areas = areas[areas > 0]
    if not areas.size:
        raise ImPartialError("No cell is annotated, so there is nothing to train a peer on.")
    return float(2 * np.sqrt(areas / np.pi).mean())


def annotated_window(
    labels: NDArray[np.int32], side: int, rng: np.random.Generator
) -> tuple[slice, slice]:
    """Choose a window of at most `side` pixels round a random annotated pixel."""
    known = np.argwhere(labels > 0)
    if not len(known):
        known = np.argwhere(labels == 0)
    y, x = known[rng.integers(len(known))]
    height, width = (min(side, n) for n in labels.shape)
    top = int(np.clip(y - rng.integers(height), 0, labels.shape[0] - height))
    left = int(np.clip(x - rng.integers(width), 0, labels.shape[1] - width))
    return slice(top, top + height), slice(left, left + width)
