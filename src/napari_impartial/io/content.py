"""Content of an image file, as far as the file says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_impartial.core.words import count


@dataclass(frozen=True, eq=False)
class Content:
    """Content of a file, or of a level of it, as far as the file says.

    Attributes
    ----------
    array
        As stored, whatever its type; or what is indexed like one (:class:`.lazy.LazyArray`), of
        which no element has been read.
    axes
        Letters of ``TZCYX``, one an axis; None if the file does not say.
    channel_names
        As in the file; not necessarily as many as it has channels.
    pixel_size, pixel_unit
        As in :class:`core.data.image.Image`, at this level.
    colour
        Whether the first three channels are said to be red, green and blue.
    opacity
        Whether the last channel is said to be opacity.
    palette
        (N, 3) colours that the values stand for; None where values are what they are.
    lossy
        Name of a compression that changes values, or "".
    doubt
        What is to be said of `axes`, unless the user says what they are; or "".
    spacing
        Size of a step along Z, in `pixel_unit`, and along T, in seconds, where the file says it.
    path
        The file, or the group of a store, that it lies in, where it was opened and not read.
    n_levels
        Of a store.
    version
        Of OME-Zarr; "" for everything else.
    """

    array: Any
    axes: str | None = None
    channel_names: tuple[str, ...] | None = None
    pixel_size: tuple[float, float] | None = None
    pixel_unit: str = ""
    colour: bool = False
    opacity: bool = False
    palette: NDArray[Any] | None = None
    lossy: str = ""
    doubt: str = ""
    spacing: Mapping[str, float] = field(default_factory=dict)
    path: Path = Path()
    n_levels: int = 1
    version: str = ""


@dataclass(frozen=True)
class Stack:
    """The planes of a file, in its order.

    Attributes
    ----------
    path
        The file, for messages.
    axes
        ``""``, ``"T"``, ``"Z"``, ``"TZ"`` or ``"ZT"``.
    shape
        Lengths of these axes.
    """

    path: str | os.PathLike[str]
    axes: str
    shape: tuple[int, ...]

    def same_planes(self, other: Stack) -> bool:
        """Return whether it has the planes of another, in whatever order of the axes.

        Of one axis each only the length matters: programs call a row of planes either.
        """
        if len(self.axes) == len(other.axes) == 1:
            return self.shape == other.shape
        mine, theirs = (dict(zip(s.axes, s.shape, strict=True)) for s in (self, other))
        return mine == theirs

    def describe(self) -> str:
        """Return the planes in words, such as ``2 time points of 3 slices``."""
        if not self.axes:
            return "1 plane"
        nouns = {"T": "time point", "Z": "slice"}
        lengths = dict(zip(self.axes, self.shape, strict=True))
        return " of ".join(count(lengths[a], nouns[a]) for a in "TZ" if a in lengths)
