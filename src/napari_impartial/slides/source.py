"""An image in files of which areas are read as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_impartial.core.data.axes import check_axes, guess_axes
from napari_impartial.core.data.image import distinct_names, planes
from napari_impartial.core.errors import ImPartialError
from napari_impartial.io.content import Content
from napari_impartial.io.images import axes_in_use, names_fit
from napari_impartial.io.lazy_files import open_lazy
from napari_impartial.io.ome_zarr import images_in, is_zarr

Area = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True, eq=False)
class Source:
    """An image of one or more files, with the channels that are in use.

    Attributes
    ----------
    parts : tuple of Content
        The files; each has a channel or more of the image.
    letters : str
        Axes of each file, of ``TZCYX``.
    channel_names : tuple of str
    picks : tuple of (int, int)
        File and position in it of each channel.
    shape : (int, int)
        Rows and columns.
    stack_axes, stack_shape
        As of :class:`cli.inputs.ImageFile`.
    """

    parts: tuple[Content, ...]
    letters: str
    channel_names: tuple[str, ...]
    picks: tuple[tuple[int, int], ...]
    shape: tuple[int, int]
    stack_axes: str
    stack_shape: tuple[int, ...]

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """Height and width of a pixel, if known."""
        return self.parts[0].pixel_size

    @property
    def pixel_unit(self) -> str:
        """Unit of :attr:`pixel_size`."""
        return self.parts[0].pixel_unit

    @property
    def n_planes(self) -> int:
        """Planes of the stack, in order of time points, then slices."""
        return int(np.prod(self.stack_shape, dtype=np.int64))

    def position(self, plane: int) -> dict[str, int]:
        """Return where a plane lies in its stack, such as ``{"z": 3}``."""
        place = np.unravel_index(plane, self.stack_shape) if self.stack_shape else ()
        return {a.lower(): int(i) for a, i in zip(self.stack_axes, place, strict=True)}

    def with_channels(self, places: Sequence[int], names: Sequence[str]) -> Source:
        """Return the source with some of its channels, in the given order, called like these."""
        picks = tuple(self.picks[i] for i in places)
        return replace(self, picks=picks, channel_names=tuple(names))

    def positions(self, channels: Sequence[int | str]) -> list[int]:
        """Return where channels stand that are given by position or by name.

        Raises
        ------
        ImPartialError
            If one is not there.
        """
        names = self.channel_names
        # The only channel is what is meant, whatever a layer of it is called.
        alone = len(names) == len(channels) == 1
        found = [0 if alone else names.index(c) if c in names else c for c in channels]
        for one in found:
            if not isinstance(one, int) or not 0 <= one < len(names):
                raise ImPartialError(
                    f"{self.parts[0].path} has no channel {one!r}; it has {', '.join(names)}."
                )
        return [int(one) for one in found]

    def read(self, plane: int, area: Area, channels: Sequence[int] | None = None) -> NDArray[Any]:
        """Read raw intensities (C, Y, X) of an area of a plane, in the files' own type."""
        wanted = self.picks if channels is None else [self.picks[i] for i in channels]
        where = self.position(plane)
        together = self.letters.endswith("C")  # interleaved: all channels are read anyway
        whole: dict[int, NDArray[Any]] = {}
        found = []
        for part, channel in wanted:
            index: list[Any] = []
            for letter in self.letters:
                if letter == "Y":
                    index.append(area[0])
                elif letter == "X":
                    index.append(area[1])
                elif letter == "C":
                    index.append(slice(None) if together else channel)
                else:
                    index.append(where.get(letter.lower(), 0))
            array = self.parts[part].array
            if together:
                if part not in whole:
                    whole[part] = array[tuple(index)]
                plane_of = whole[part][..., channel]
            else:
                plane_of = array[tuple(index)]
            kept = [letter for letter in self.letters if letter in "YX"]
            found.append(plane_of.T if kept == ["X", "Y"] else plane_of)
        return np.stack(found)


def open_source(paths: Sequence[Path], axes: str | None = None, level: int = 0) -> Source:
    """Open an image.

    Parameters
    ----------
    paths : sequence of Path
        Files that are its channels, one after the other.
    axes : str, optional
        Letters of ``TZCYX``; by default what the files say or their shape suggests.
    level : int
        Resolution, 0 the finest.

    Raises
    ------
    ImPartialError
        If a file cannot be read, or they do not fit together.
    """
    parts = tuple(open_lazy(path, level) for path in paths)
    letters, names, picks = "", [], []
    for number, part in enumerate(parts):
        try:
            letters_of = _letters(part, axes)
            # What the channels are, and what they are called, is told by a corner of the image.
            corner = tuple(
                slice(None) if a == "C" else slice(0, 8 if a in "YX" else 1) for a in letters_of
            )
            (first,) = planes(
                part.array[corner],
                letters_of,
                part.channel_names if names_fit(part, letters_of) else None,
                part.path.name,
                colour=part.colour,
            )
        except ImPartialError as error:
            if str(part.path) in str(error):
                raise
            raise ImPartialError(f"{part.path}: {error}") from error
        if number and (letters_of, _stack(part, letters_of)) != (
            letters,
            _stack(parts[0], letters),
        ):
            raise ImPartialError(
                f"{part.path} has other planes or axes than {parts[0].path}; files that are "
                "channels of one image need the same."
            )
        letters = letters_of
        names += list(first.channel_names)
        picks += [(number, channel) for channel in range(first.n_channels)]
        if part.opacity and axes is None and first.n_channels > 1:
            # It says where the picture is, and not what it shows.
            names, picks = names[:-1], picks[:-1]
    stack = _stack(parts[0], letters)
    return Source(parts, letters, distinct_names(names), tuple(picks), *stack)


def open_of_shape(
    paths: Sequence[Path], level: int, shape: tuple[int, int]
) -> tuple[list[Path], Source]:
    """Open the image of so many rows and columns, of a store that may have several.

    Returns
    -------
    (list of Path, Source)
        Its own files, and the image.

    Raises
    ------
    ImPartialError
        If there is none, or it cannot be read.
    """
    choice = [list(paths)]
    if len(paths) == 1 and is_zarr(paths[0]):
        choice = [[one] for one in images_in(paths[0])]
    for some in choice:
        source = open_source(some, None, level)
        if source.shape == shape:
            return some, source
    raise ImPartialError(
        f"{paths[0]} has no image of {shape[0]} x {shape[1]} pixels at level {level}, as the layer "
        "has; open the file again."
    )


def _letters(part: Content, axes: str | None) -> str:
    letters, array = axes_in_use(part, axes), part.array
    return guess_axes(array.shape, array.dtype) if not letters else check_axes(letters, array.ndim)


def _stack(part: Content, letters: str) -> tuple[tuple[int, int], str, tuple[int, ...]]:
    """Return rows and columns, and the axes of the stack with their lengths."""
    size = dict(zip(letters, part.array.shape, strict=True))
    stacked = [a for a in "TZ" if size.get(a, 1) > 1]
    return (size["Y"], size["X"]), "".join(stacked), tuple(size[a] for a in stacked)
