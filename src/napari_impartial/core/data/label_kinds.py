"""Tests that tell label images of strokes from those of outlined cells.

Strokes have a label a class (1 background, 2 and up cells) in several pieces; cells have a
number each, and are in one piece. Where few labels could be either, their form decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .scribbles import MOST_CLASSES

_EIGHT = np.ones((3, 3), dtype=bool)
# Pieces a label, on average: of cells few are cut in two, of classes hardly one is whole.
_PIECES_OF_CELLS, _PIECES_OF_CLASSES = 1.2, 2.0
# Area, measured by the largest disc inside: 1 is a disc, a cell has up to 3, a line more.
_COMPACT, _LONG = 3.0, 5.0
# A dab with the largest brush is smaller than this.
_SMALLEST_CELL_PX = 150


@dataclass(frozen=True)
class _Form:
    """Measurements of the labels of an image.

    Attributes
    ----------
    ids
        Values over 0, ascending.
    pieces
        Connected pieces of each.
    length
        Area of each, measured by the largest disc inside.
    area
        Pixels of each.
    """

    ids: NDArray[np.int64]
    pieces: NDArray[np.int64]
    length: NDArray[np.float64]
    area: NDArray[np.int64]


def looks_like_cells(labels: Any) -> bool:
    """Tell whether a (Y, X) label image holds outlined cells and hardly strokes."""
    form = _form(np.asarray(labels))
    count = len(form.ids)
    if count > MOST_CLASSES or (count and form.ids[-1] > 255):
        return True
    if count < 2 or form.pieces.mean() > _PIECES_OF_CELLS:
        return False
    compact = bool(np.median(form.length) <= _COMPACT)
    if count > 2:
        return compact
    similar = bool(form.area.max() <= 3 * form.area.min())
    return compact and similar and bool(form.area.min() >= _SMALLEST_CELL_PX)


def looks_like_strokes(labels: Any) -> bool:
    """Tell whether a (Y, X) label image holds strokes and hardly outlined cells."""
    form = _form(np.asarray(labels))
    if not 2 <= len(form.ids) <= MOST_CLASSES or form.ids[-1] > MOST_CLASSES:
        return False
    if form.ids[0] != 1:
        return False
    return bool(form.pieces.mean() >= _PIECES_OF_CLASSES or (form.length > _LONG).all())


def pieces_of_one(labels: Any) -> int:
    """Return in how many pieces the only label of an image is; 0 if it has several."""
    form = _form(np.asarray(labels))
    return int(form.pieces[0]) if len(form.ids) == 1 else 0


def _form(labels: NDArray[Any]) -> _Form:
    """Measure the labels of an image; no more of them than tell."""
    ids, packed = np.unique(labels, return_inverse=True)
    packed = packed.reshape(labels.shape) + (0 if ids[0] == 0 else 1)
    ids = ids[ids != 0].astype(np.int64)
    pieces, length, area = [], [], []
    # of hundreds the first ones are enough
    for number, box in enumerate(ndimage.find_objects(packed, max_label=200), start=1):
        if box is None:
            continue
        mask = np.pad(packed[box] == number, 1)
        pieces.append(ndimage.label(mask, structure=_EIGHT)[1])
        depth = float(ndimage.distance_transform_edt(mask).max())
        area.append(int(np.count_nonzero(mask)))
        length.append(area[-1] / max(pieces[-1], 1) / (np.pi * depth**2))
    return _Form(ids, np.array(pieces, int), np.array(length, float), np.array(area, int))
