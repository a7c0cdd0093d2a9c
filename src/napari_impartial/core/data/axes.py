"""Axes of an array: given by letters, or guessed from its shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.typing import DTypeLike

from napari_impartial.core.errors import ImPartialError

AXES = "TZCYX"
#: More planes than this along a first axis are taken for a stack and not for channels.
MOST_CHANNELS_GUESSED = 128

_MOST_TRAILING = 16
# Correlation of the planes of a picture in colour: stained tissue and photographs have more.
_OF_ONE_PICTURE = 0.5


def looks_like_colour(planes: npt.ArrayLike) -> bool:
    """Return whether three planes look like red, green and blue of one picture.

    Those of a picture rise and fall together; stains that were chosen to tell things apart do
    not. Neighbouring slices may, so that nothing but an offer should follow from this.

    Parameters
    ----------
    planes : (3, Y, X) array
        A part of the image will do. Only 8-bit pictures are looked at: others look like none.
    """
    values = np.asarray(planes)
    if values.ndim != 3 or len(values) != 3 or values.dtype != np.uint8:
        return False
    flat = values.reshape(3, -1).astype(np.float64)
    if (flat.std(axis=1) == 0).any():
        return False
    together = np.corrcoef(flat)
    return bool(min(together[0, 1], together[1, 2]) > _OF_ONE_PICTURE)


def guess_axes(shape: Sequence[int], dtype: DTypeLike | None = None) -> str:
    """Guess what the axes of an array are, from its shape.

    Channels are the safer guess: a stack mistaken for channels is seen at once in the
    table of channels, while channels mistaken for a stack give many one-channel images
    and a poor result without a hint. Hence:

    * two axes: ``YX``.
    * three axes: ``YXC`` if the last axis is 3 or 4 and the image is larger than that
      (RGB, RGBA), or if the last axis is shorter than the others and at most 128;
      otherwise ``CYX`` if the first axis is at most 128, otherwise ``ZYX``.
    * four axes: ``ZYXC`` if the last axis is at most 16 and shorter than the two before;
      otherwise the shorter of the first two axes is C (``ZCYX`` if they are equal, as
      ImageJ writes them).
    * five axes: ``TZYXC`` by the same rule, otherwise ``TZCYX``.

    Parameters
    ----------
    shape
        Lengths of the axes.
    dtype
        Type of the elements, if known: with 8 bits, a last axis of 3 or 4 is colour even
        where the image is as small as that.

    Returns
    -------
    str
        One letter of ``TZCYX`` an axis.

    Raises
    ------
    ImPartialError
        If there are fewer than two or more than five axes.
    """
    n = len(shape)
    if not 2 <= n <= 5:
        raise ImPartialError(
            f"An image has two to five axes (of T, Z, C, Y, X); this array has {n}: {tuple(shape)}."
        )
    if n == 2:
        return "YX"
    last, smaller = shape[-1], min(shape[-3:-1])
    byte = dtype is not None and np.dtype(dtype) == np.uint8
    colour = last in (3, 4) and (smaller > last or (byte and smaller == last))
    if n == 3:
        trailing = last < smaller and last <= MOST_CHANNELS_GUESSED
        if colour or trailing:
            return "YXC"
        return "CYX" if shape[0] <= MOST_CHANNELS_GUESSED else "ZYX"
    trailing = colour or (last < smaller and last <= _MOST_TRAILING)
    if n == 4:
        if trailing:
            return "ZYXC"
        return "CZYX" if shape[0] < shape[1] else "ZCYX"
    return "TZYXC" if trailing else "TZCYX"


def check_axes(axes: str, ndim: int) -> str:
    """Return `axes` in capitals if they describe an image of `ndim` axes.

    Raises
    ------
    ImPartialError
        If a letter is unknown or repeated, Y or X is missing, or their number is wrong.
    """
    letters = axes.upper()
    unknown = sorted(set(letters) - set(AXES))
    if unknown:
        raise ImPartialError(
            f"Axes {axes!r} hold the unknown letter {unknown[0]!r}; use letters of TZCYX."
        )
    if len(set(letters)) < len(letters):
        raise ImPartialError(f"Axes {axes!r} repeat a letter; each may occur once.")
    if "Y" not in letters or "X" not in letters:
        raise ImPartialError(f"Axes {axes!r} lack Y or X; an image has both.")
    if len(letters) != ndim:
        raise ImPartialError(
            f"Axes {axes!r} name {len(letters)} axes but the array has {ndim}; "
            "give one letter for each."
        )
    return letters
