"""Label images of objects: their pieces and numbers, and where they meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label

Labels = NDArray[np.int32]
"""(Y, X); 0 between objects."""


def largest_pieces(labels: Labels, least_px: int = 1) -> Labels:
    """Keep the largest connected piece (4) of each object, unless it is smaller than that.

    Of equal ones the first, by rows.
    """
    pieces = label(labels, background=0, connectivity=1)
    sizes = np.bincount(pieces.reshape(-1))
    sizes[0] = 0
    first = np.zeros(len(sizes), np.int32)
    first[pieces.reshape(-1)] = labels.reshape(-1)
    order = np.lexsort((-np.arange(len(sizes)), sizes, first))
    last = np.append(first[order][1:] != first[order][:-1], True)
    keep = np.zeros(len(sizes), bool)
    keep[order[last]] = True
    keep &= sizes >= max(least_px, 1)
    return np.asarray(np.where(keep[pieces], labels, 0), dtype=np.int32)


def keep_largest_pieces(labels: Labels, ids: NDArray[np.integer]) -> None:
    """Erase all but the largest connected piece (4) of some objects, in place.

    Of equal ones the first, by rows, is kept.
    """
    if not len(ids):
        return
    boxes = ndimage.find_objects(labels, int(ids.max()))
    for number in ids.tolist():
        if (box := boxes[number - 1]) is None:
            continue
        part = labels[box]
        pieces, count = ndimage.label(part == number)
        if count > 1:
            largest = 1 + int(np.argmax(np.bincount(pieces.reshape(-1))[1:]))
            part[(pieces > 0) & (pieces != largest)] = 0


def outermost(pieces: Labels) -> NDArray[np.int64]:
    """Return for each piece, from 0 on, the outermost one that encloses it, or itself.

    Parameters
    ----------
    pieces : (Y, X) int32
        Numbered in the order of their first pixels, as :func:`scipy.ndimage.label` does.
    """
    # A loop begins above all that lies inside it, so that it has the lower number and comes first.
    outer = np.arange(int(pieces.max(initial=0)) + 1)
    for piece, window in enumerate(ndimage.find_objects(pieces), start=1):
        here = pieces[window]
        own = here == piece
        others = (here > 0) & ~own
        # Filling costs much more than looking, and few pieces have another in their box.
        if others.any():
            outer[here[others & ndimage.binary_fill_holes(own)]] = outer[piece]
    return outer


def numbered(labels: Labels, least_px: int = 1) -> Labels:
    """Return objects as 1 ... N, in the order of their old numbers, without smaller ones."""
    keep = np.bincount(labels.reshape(-1), minlength=1) >= max(least_px, 1)
    keep[0] = False
    number = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return np.asarray(number[labels])


def meeting(labels: NDArray[np.integer], connectivity: int = 1) -> NDArray[np.bool_]:
    """Return the pixels that have two objects or more in their neighbourhood of 4 or (2) of 8."""
    near = ndimage.generate_binary_structure(2, connectivity)
    highest = ndimage.maximum_filter(labels, footprint=near)
    lowest = np.where(labels > 0, labels, np.iinfo(labels.dtype).max)
    lowest = ndimage.minimum_filter(lowest, footprint=near)
    return np.asarray((highest > 0) & (lowest != highest))
