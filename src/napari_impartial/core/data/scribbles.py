"""Scribbles: a few pixels that say "background" or "class k".

Labels everywhere in the program: 0 not annotated, 1 background, 2 foreground, 3, 4 ...
further foreground classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.words import shape_text

from .label_images import outermost

NOT_ANNOTATED, BACKGROUND, FOREGROUND = 0, 1, 2

MOST_CLASSES = 8
"""Highest label that the window offers a name and a key for."""

_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Scribbles:
    """The annotation of one image.

    Attributes
    ----------
    labels
        (Y, X) uint8: 0 not annotated, 1 background, 2 and up foreground classes.
        :func:`from_labels` makes them of other arrays.

    Raises
    ------
    ImPartialError
        If the labels are of another type or have other axes.
    """

    labels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if not isinstance(self.labels, np.ndarray) or np.ma.isMaskedArray(self.labels):
            raise ImPartialError(
                f"Scribbles are an array, not a {type(self.labels).__name__}; make them with "
                "from_labels."
            )
        if self.labels.ndim != 2 or self.labels.dtype != np.uint8:
            raise ImPartialError(
                f"Scribbles are (Y, X) uint8, not {self.labels.dtype} of shape "
                f"{self.labels.shape}; make them with from_labels."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.labels.shape[0], self.labels.shape[1]

    @property
    def n_classes(self) -> int:
        """Number of classes K, the background included; 2 or more."""
        return max(2, int(self.labels.max(initial=0)))

    def counts(self) -> dict[int, int]:
        """Return the number of annotated pixels of each class label, 1 to K."""
        return dict(self._counts)

    def strokes(self) -> dict[int, int]:
        """Return the number of connected pieces of each class label, 1 to K."""
        return {label: strokes for label, (strokes, _) in self._pieces.items()}

    def cells(self) -> dict[int, int]:
        """Return the number of annotated cells of each foreground class label, 2 to K.

        Each connected piece is one; those that another encloses, such as strokes inside an
        outline, belong to its cell.
        """
        return {label: cells for label, (_, cells) in self._pieces.items() if label != BACKGROUND}

    # Worked out once: a window asks for them at each of its updates.
    @cached_property
    def _counts(self) -> dict[int, int]:
        totals = np.bincount(self.labels.ravel(), minlength=self.n_classes + 1)
        return {label: int(totals[label]) for label in range(1, self.n_classes + 1)}

    @cached_property
    def _pieces(self) -> dict[int, tuple[int, int]]:
        """Connected pieces of each class label, and how many of them no other encloses."""
        found = {}
        for label in range(1, self.n_classes + 1):
            pieces, n = ndimage.label(self.labels == label, structure=_EIGHT)
            cells = n if label == BACKGROUND else len(np.unique(outermost(pieces))) - 1
            found[label] = n, cells
        return found


def from_labels(labels: Any, image_shape: tuple[int, int]) -> Scribbles:
    """Check a painted label image and copy it.

    Parameters
    ----------
    labels
        Integers 0 to 255 of the image's shape; leading axes of length 1 are dropped. What a
        mask of NumPy hides is not annotated.
    image_shape
        Rows and columns of the image.

    Raises
    ------
    ImPartialError
        If the shape differs from the image's, or the labels are not integers 0 to 255.
    """
    array = np.asarray(np.ma.filled(labels, NOT_ANNOTATED))
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.shape != tuple(image_shape):
        raise ImPartialError(
            f"The scribbles are {shape_text(array.shape)} and the image is "
            f"{shape_text(image_shape)}; they have to lie on the same grid."
        )
    if array.dtype.kind not in "iu":
        raise ImPartialError(
            f"Scribbles are whole numbers (1 background, 2 foreground), not {array.dtype}."
        )
    if array.size and (array.min() < 0 or array.max() > 255):
        raise ImPartialError(
            f"Scribble labels go from 0 to 255, these from {array.min()} to {array.max()}."
        )
    return Scribbles(array.astype(np.uint8))


def check_trainable(
    scribbles: Sequence[Scribbles], name_of: Callable[[int], str] = "label {}".format
) -> int:
    """Return the number of classes K if there is something of each to learn from.

    Parameters
    ----------
    scribbles
        Those of all images together; single images may lack a class, or be blank.
    name_of
        What a label is called.

    Raises
    ------
    ImPartialError
        If nothing, only background or only foreground is painted, or a class in between
        is missing.
    """
    painted: set[int] = set()
    for one in scribbles:
        painted |= {label for label, count in one.counts().items() if count}
    if not painted:
        raise ImPartialError(
            "Nothing is painted yet; paint a few strokes in cells and in the background."
        )
    if painted == {BACKGROUND}:
        raise ImPartialError("Only background is painted; paint a few strokes in cells too.")
    if BACKGROUND not in painted:
        raise ImPartialError("Only cells are painted; paint a few strokes in the background too.")
    n_classes = max(painted)
    missing = sorted(set(range(1, n_classes + 1)) - painted)
    if missing:
        raise ImPartialError(
            f"Of the kinds of cell, {name_of(n_classes)} is painted but {name_of(missing[0])} is "
            "not; paint it, or use the labels without gaps."
        )
    return n_classes


def merge(base: Scribbles, added: Scribbles) -> Scribbles:
    """Return both annotations in one; where they disagree, `added` wins.

    Raises
    ------
    ImPartialError
        If their shapes differ.
    """
    if base.shape != added.shape:
        raise ImPartialError(
            f"The scribbles to merge are {shape_text(base.shape)} and {shape_text(added.shape)}."
        )
    return Scribbles(np.where(added.labels != NOT_ANNOTATED, added.labels, base.labels))
