"""The grid that scribbles and results share with their image."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Layer
from napari.utils.transforms import Affine

from napari_impartial.session.plane import PlaneIndex

from .image_source import Source, data_of


@dataclass(frozen=True)
class Grid:
    """Shape of a layer on the image's grid, and how it lies in the world.

    A leading channel axis is left out: napari aligns layers at their last axes. One that
    stands between others stays as a single entry that is as thick as all channels
    together, so that the result shows whichever channel is looked at.
    """

    source: Source

    @property
    def kept(self) -> tuple[int, ...]:
        """Positions of the axes that remain, colours of RGB layers left out."""
        axes = self.source.axes[:-1] if self.source.primary.rgb else self.source.axes
        return tuple(range(1, len(axes))) if axes[0] == "C" else tuple(range(len(axes)))

    @property
    def axes(self) -> str:
        """Letters of the axes that remain."""
        return "".join(self.source.axes[i] for i in self.kept)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes that remain."""
        shape, axes = data_of(self.source.primary).shape, self.source.axes
        return tuple(1 if axes[i] == "C" else int(shape[i]) for i in self.kept)

    def placement(self) -> dict[str, Any]:
        """Return scale, translate, rotate, shear, affine, units and axis labels."""
        layer, axes = self.source.primary, self.source.axes
        n_channels = data_of(layer).shape[axes.index("C")] if "C" in self.axes else 1
        labels = tuple(layer.axis_labels[i] for i in self.kept)
        placed = placement(layer, axes, self.axes, (1.0, 1.0), n_channels=n_channels)
        return {**placed, "axis_labels": labels}

    def plane(self, array: Any, plane: PlaneIndex) -> Any:
        """Return the view (Y, X) of one plane of an array on this grid."""
        part = array[self.index(plane, slice(None), slice(None))]
        return part.T if self.axes.index("X") < self.axes.index("Y") else part

    def index(self, plane: PlaneIndex, y: Any, x: Any) -> tuple[Any, ...]:
        """Return what stands for rows and columns, or coordinates, of one plane on this grid."""
        places, values = iter(plane), {"C": 0, "Y": y, "X": x}
        return tuple(values[a] if a in values else next(places) for a in self.axes)


def placement(
    layer: ImageLayer,
    axes: str,
    kept: str,
    factor: tuple[float, float],
    corner: tuple[float, float] = (0.0, 0.0),
    n_channels: int = 1,
) -> dict[str, Any]:
    """Return where a layer of a part of another's pixels lies, at another resolution.

    That is scale, translate, rotate, affine and units, and shear where it has all axes.

    Parameters
    ----------
    layer, axes
        The other one, with the letters of its axes.
    kept
        The letters that the part has.
    factor
        Height and width of its pixels in those of the other one.
    corner
        Its first row and column, in its own pixels.
    n_channels
        How many of the other one's channels an entry along its axis of channels stands for.
    """
    steps = {"Y": factor[0], "X": factor[1], "C": n_channels}
    starts = {"Y": corner[0], "X": corner[1], "C": 0.0}
    places = [axes.index(letter) for letter in kept]
    square = np.ix_(places, places)
    matrix = np.asarray(layer.affine.affine_matrix)
    affine = np.eye(len(places) + 1)
    affine[:-1, :-1] = matrix[:-1, :-1][square]
    affine[:-1, -1] = matrix[:-1, -1][places]
    origin = np.zeros(layer.ndim)
    first = origin.copy()
    for axis, letter in enumerate(axes[: layer.ndim]):
        if letter in starts and letter in kept:
            # The middle of a coarse pixel lies between those that it is made of.
            first[axis] = starts[letter] * steps[letter] + (steps[letter] - 1) / 2
    moved = np.asarray(layer.data_to_world(first)) - np.asarray(layer.data_to_world(origin))
    moved = np.linalg.solve(affine[:-1, :-1], moved[places])
    scale = np.array(layer.scale, dtype=float)[places]
    found = {
        "scale": scale * [steps.get(letter, 1.0) for letter in kept],
        "translate": np.array(layer.translate, dtype=float)[places] + moved,
        "rotate": np.asarray(layer.rotate)[square],
        "affine": affine,
        "units": tuple(layer.units[i] for i in places),
    }
    if len(places) == layer.ndim:
        found["shear"] = layer.shear
    return found


def planes_of(source: Source, places: Iterable[tuple[Any, ...]]) -> set[PlaneIndex]:
    """Return the planes that pixels of a layer on the image's grid lie in.

    Each of `places` indexes an array on the grid: a number, a slice or an array of numbers for each
    axis, as napari's history of strokes has them.
    """
    grid = Grid(source)
    stack = [(i, grid.shape[i]) for i, letter in enumerate(grid.axes) if letter in "TZ"]
    found: set[PlaneIndex] = set()
    for place in places:
        lists = [(place[i], length) for i, length in stack]
        if any(isinstance(one, slice) for one, _ in lists):
            # A box of pixels: all planes that it reaches through.
            reached = [
                range(*one.indices(length)) if isinstance(one, slice) else np.unique(one)
                for one, length in lists
            ]
            found.update(tuple(int(v) for v in index) for index in itertools.product(*reached))
        else:
            along = np.broadcast_arrays(*(np.ravel(one) for one, _ in lists)) if lists else []
            found.update(tuple(int(v) for v in index) for index in zip(*along, strict=True))
            if not lists:
                found.add(())
    return found


def put_in_place(layer: Layer, source: Source) -> None:
    """Let a layer on the image's grid lie where the image lies now."""
    grid = Grid(source)
    if layer.ndim != len(grid.shape):
        return
    for name, value in grid.placement().items():
        if name == "affine":
            value = Affine(affine_matrix=value)
        setattr(layer, name, value)
