"""Places that a person looked at and found fine: not suggested again while they stay so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .suggestions import Box, Suggestion

# A place has changed when a fifth of its box went over from cell to background or back.
_CHANGE = 0.2


@dataclass(frozen=True, eq=False)
class Dismissal:
    """A place that looked fine, with what the model said of it then.

    Attributes
    ----------
    y, x : int
        Pixel of the suggestion.
    box : (y0, x0, y1, x1)
        In pixels, the end excluded.
    foreground : uint8 array as large as the box
        Foreground probability in 255ths.
    """

    y: int
    x: int
    box: Box
    foreground: npt.NDArray[np.uint8]


def dismiss(suggestion: Suggestion, foreground: npt.NDArray[np.floating]) -> Dismissal:
    """Note that a suggested place looks fine.

    Parameters
    ----------
    foreground : (Y, X) array
        Foreground probability of the whole image, 0 to 1.
    """
    return Dismissal(
        suggestion.y, suggestion.x, suggestion.box, _in_bytes(suggestion.box, foreground)
    )


def standing(
    dismissals: Iterable[Dismissal], foreground: npt.NDArray[np.floating]
) -> list[Dismissal]:
    """Return the dismissals that still hold.

    One holds while the foreground probability in its box differs from what it was by
    less than 0.2 on average.

    Parameters
    ----------
    foreground : (Y, X) array
        Foreground probability now, of the same image.
    """
    return [
        one
        for one in dismissals
        if one.box[2] <= foreground.shape[0]
        and one.box[3] <= foreground.shape[1]
        and _difference(one, foreground) < _CHANGE
    ]


def _difference(one: Dismissal, foreground: npt.NDArray[np.floating]) -> float:
    now = _in_bytes(one.box, foreground).astype(np.int16)
    return float(np.abs(now - one.foreground).mean()) / 255


def _in_bytes(box: Box, foreground: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    part = np.nan_to_num(foreground[box[0] : box[2], box[1] : box[3]])
    return np.asarray(np.round(255 * np.clip(part, 0, 1)), dtype=np.uint8)
