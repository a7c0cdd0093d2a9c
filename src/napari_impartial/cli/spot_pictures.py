"""Pictures of the objects and places of a spot check, to be judged by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from napari_impartial.core.review.spot_check import SpotCheck, Unit

from .pictures import OUTLINE_COLOUR, Rgb, enlarge, with_outlines

_OTHERS_COLOUR = (90, 200, 255)
_SIDE_PX = 420
# Shown round an object, in its own sizes; round a square, in its sides.
_ROUND_OBJECT, _ROUND_SQUARE = 1.0, 0.15
_GAP_PX = 6


def picture_of(check: SpotCheck, unit: Unit, image: Rgb, labels: NDArray[np.integer]) -> Rgb:
    """Show a unit twice, without and with outlines.

    Parameters
    ----------
    check : SpotCheck
    unit : Unit
    image : (Y, X, 3) uint8
        Its plane.
    labels : (Y, X) integer array
        All objects of the plane. That which is to be judged is drawn in yellow, others in blue;
        the square of a place is white.
    """
    y0, x0, y1, x1 = unit.box
    share = _ROUND_SQUARE if check.kind(unit).is_place else _ROUND_OBJECT
    room = max(4, round(share * max(y1 - y0, x1 - x0)))
    top, left = max(y0 - room, 0), max(x0 - room, 0)
    window = slice(top, y1 + room), slice(left, x1 + room)
    part, inside = image[window], labels[window]
    factor = max(1, round(_SIDE_PX / max(part.shape)))
    plain = enlarge(part, factor).copy()
    # Every outline in its own right: boundaries between neighbours belong to both.
    drawn = with_outlines(part, np.where(inside == unit.label, 0, inside), factor, _OTHERS_COLOUR)
    if unit.label:
        own = with_outlines(part, np.where(inside == unit.label, inside, 0), factor, OUTLINE_COLOUR)
        mine = (own == OUTLINE_COLOUR).all(axis=2)
        drawn[mine] = OUTLINE_COLOUR
    else:
        for picture in (plain, drawn):
            _frame(picture, *(factor * v for v in (y0 - top, x0 - left, y1 - top, x1 - left)))
    gap = np.full((plain.shape[0], _GAP_PX, 3), 255, np.uint8)
    return np.concatenate([plain, gap, drawn], axis=1)


def save(picture: Rgb, path: object) -> None:
    """Write a picture as PNG."""
    Pillow.fromarray(picture).save(path, "PNG")  # type: ignore[arg-type]


def _frame(picture: Rgb, y0: int, x0: int, y1: int, x1: int) -> None:
    """Draw a frame, in place: white on a dark rim, to be seen on anything."""
    for inset, colour in ((0, 0), (1, 255)):
        rows, columns = slice(y0 + inset, y1 - inset), slice(x0 + inset, x1 - inset)
        picture[rows, [x0 + inset, x1 - 1 - inset]] = colour
        picture[[y0 + inset, y1 - 1 - inset], columns] = colour
