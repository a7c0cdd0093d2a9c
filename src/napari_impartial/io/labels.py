"""Read label images, and bring their planes into the order of another file's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.errors import ImPartialError, note
from napari_impartial.core.words import shape_text

from .content import Stack
from .images import read_content

_INT32_MAX = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class Labels:
    """A file of labels.

    Attributes
    ----------
    path
        The file, for messages.
    array
        (..., Y, X) int32, leading axes in the file's order, none of length one.
    axes
        Letter, T or Z, of each leading axis; None if the file does not say.
    """

    path: str | os.PathLike[str]
    array: NDArray[np.int32]
    axes: str | None

    @property
    def stack(self) -> Stack | None:
        """Its planes; None if it does not say what its axes are."""
        return None if self.axes is None else Stack(self.path, self.axes, self.array.shape[:-2])

    def in_order(self) -> NDArray[np.int32]:
        """Return time points before slices, as far as the file says which these are."""
        return self.array.swapaxes(0, 1) if self.axes == "ZT" else self.array

    @property
    def planes(self) -> NDArray[np.int32]:
        """(Y, X), or (N, Y, X): by time point, then slice, as far as the file says which."""
        array = self.in_order()
        return array.reshape(-1, *array.shape[-2:]) if array.ndim > 3 else array

    def planes_of(self, other: Stack) -> list[NDArray[np.int32]]:
        """Return the planes that belong to another file's, by time point, then slice.

        Axes of one's own decide; labels that do not say what their axes are follow the other
        file's, and may also lie in one row.

        Raises
        ------
        ImPartialError
            If there are not the same planes, or nothing tells which is which.
        """
        array, lengths = self.array, self.array.shape[:-2]
        if self.axes is None and lengths in (other.shape, (int(np.prod(other.shape)),)):
            array = array.reshape(*other.shape, *array.shape[-2:])
            mine = Stack(self.path, other.axes, other.shape)
        elif self.axes is None:
            raise ImPartialError(
                f"{self.path} has {shape_text(lengths)} planes and does not say what they are, "
                f"{other.path} has {other.describe()} ({shape_text(other.shape) or 1}); they need "
                "the same planes in the same order."
            )
        else:
            mine = Stack(self.path, self.axes, lengths)
            if not mine.same_planes(other):
                raise ImPartialError(
                    f"{self.path} has {mine.describe()}, {other.path} has {other.describe()}; they "
                    "need the same planes."
                )
        if mine.axes == "ZT":
            array = array.swapaxes(0, 1)
        return list(array.reshape(-1, *array.shape[-2:]))


def pair_planes(
    one: Labels, other: Labels
) -> tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]:
    """Return the planes of two files of labels, each beside the one it belongs to.

    Raises
    ------
    ImPartialError
        If they do not have the same planes, or of another size.
    """
    if one.array.shape[-2:] != other.array.shape[-2:] or (
        one.axes is other.axes is None and one.array.shape != other.array.shape
    ):
        raise ImPartialError(
            f"{one.path} is {shape_text(one.array.shape)} but {other.path} is "
            f"{shape_text(other.array.shape)}; they have to lie on the same grid."
        )
    if one.axes is other.axes is None:
        return tuple(list(x.array.reshape(-1, *x.array.shape[-2:])) for x in (one, other))  # type: ignore[return-value]
    # the one that says more leads
    stacks = [labels.stack for labels in (one, other) if labels.stack is not None]
    lead = max(stacks, key=lambda stack: len(stack.axes))
    return one.planes_of(lead), other.planes_of(lead)


def read_labels(path: str | os.PathLike[str], level: int = 0) -> NDArray[np.int32]:
    """Read label images: scribbles or instance masks.

    Parameters
    ----------
    path
        As for :func:`.images.read_images`; true or false, whole numbers, or floats that are whole.
        Of an OME-Zarr image its labels, if they are of one name.
    level
        Of labels that are stored at several resolutions; 0 is the finest.

    Returns
    -------
    ndarray
        (Y, X) int32, or (N, Y, X) int32 if the file holds several planes: by time point, then
        slice, as images are, if it says which axes these are, and in its order otherwise.

    Raises
    ------
    ImPartialError
        As :func:`open_labels`.
    """
    return open_labels(path, level).planes


def open_labels(path: str | os.PathLike[str], level: int = 0) -> Labels:
    """Read label images, and what their file says of their axes.

    Parameters
    ----------
    path, level
        As for :func:`read_labels`. Of a picture with a palette the indices are the labels.

    Raises
    ------
    ImPartialError
        If the file cannot be read, was compressed with loss, or holds colours, fractions,
        negative numbers or more than five axes.
    """
    content = read_content(path, level, labels=True)
    if content.doubt:
        note(content.doubt)
    if content.lossy:
        raise ImPartialError(
            f"{path} is compressed with {content.lossy}, which changes values, and labels would "
            "become others; save labels as TIFF or PNG."
        )
    array, axes = np.asarray(content.array), content.axes
    if array.ndim > 5:
        raise ImPartialError(f"{path} has the shape {array.shape}; labels have up to five axes.")
    if axes is not None and axes.endswith("YXC"):
        array = _grey(array, content.opacity, path)
        axes = axes[:-1]
    elif axes is not None and content.opacity:
        raise ImPartialError(f"{path} has opacity; labels have one value a pixel.")
    array, axes = _squeezed(array, axes)
    if axes is not None and "C" in axes:
        if len(axes) > 3:
            raise ImPartialError(
                f"{path} has {array.shape[axes.index('C')]} channels; labels have one value a "
                "pixel."
            )
        axes = None  # a row of planes, called channels for want of a better word
    if axes is None and array.ndim == 5:
        array = array.reshape(-1, *array.shape[-2:])
    if axes is not None and not axes.endswith("YX"):
        order = [axes.index(a) for a in (*(a for a in axes if a in "TZ"), "Y", "X")]
        array, axes = array.transpose(order), "".join(axes[i] for i in order)
    if array.ndim not in (2, 3, 4) or array.size == 0:
        raise ImPartialError(
            f"{path} has the shape {array.shape}; labels have rows and columns, or are a "
            "stack of such."
        )
    leading = "" if array.ndim == 2 else None if axes is None else axes[:-2]
    return Labels(path, _whole_numbers(array, path), leading)


def _grey(array: NDArray[Any], opacity: bool, path: str | os.PathLike[str]) -> NDArray[Any]:
    """Return the one value of each pixel: a grey picture saved in colour is a label image."""
    colours = array[..., :-1] if opacity and array.shape[-1] > 1 else array
    if not (colours == colours[..., :1]).all():
        raise ImPartialError(f"{path} is a colour picture; labels have one value a pixel.")
    return array[..., 0]


def _squeezed(array: NDArray[Any], axes: str | None) -> tuple[NDArray[Any], str | None]:
    """Drop leading axes of length one."""
    place = 0
    while array.ndim > 2 and place < array.ndim - 2:
        if array.shape[place] != 1 or (axes is not None and axes[place] in "YX"):
            place += 1
            continue
        array = array.take(0, axis=place)
        axes = None if axes is None else axes[:place] + axes[place + 1 :]
    return array, axes


def _whole_numbers(array: NDArray[Any], path: str | os.PathLike[str]) -> NDArray[np.int32]:
    """Return labels as int32, each unchanged."""
    if array.dtype.kind not in "biuf":
        raise ImPartialError(f"{path} holds {array.dtype}; labels are whole numbers.")
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array % 1 == 0).all()):
        raise ImPartialError(f"{path} holds fractions; labels are whole numbers.")
    # as Python's numbers: half floats do not reach so far
    if array.min() < 0 or array.max().item() > _INT32_MAX:
        raise ImPartialError(
            f"{path} holds labels from {array.min()} to {array.max()}; they go from 0 to "
            f"{_INT32_MAX}."
        )
    return array.astype(np.int32)
