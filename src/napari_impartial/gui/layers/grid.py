"""The grid that scribbles and results share with their image."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
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
        lengths = dict(
            zip("YX", self.source.plane_shape, strict=True),
        )
        stack = iter(self.source.stack_shape)
        return tuple(
            lengths[a] if a in lengths else 1 if a == "C" else next(stack) for a in self.axes
        )

    def placement(self) -> dict[str, Any]:
        """Return scale, translate, rotate, shear, affine, units and axis labels."""
        layer, kept = self.source.primary, np.array(self.kept)
        scale = np.array(layer.scale, dtype=float)[kept]
        translate = np.array(layer.translate, dtype=float)[kept]
        if "C" in self.axes:
            c = self.axes.index("C")
            n = int(data_of(layer).shape[self.source.axes.index("C")])
            translate[c] += scale[c] * (n - 1) / 2
            scale[c] *= n
        square = np.ix_(kept, kept)
        affine = np.eye(len(kept) + 1)
        matrix = np.asarray(layer.affine.affine_matrix)
        affine[:-1, :-1] = matrix[:-1, :-1][square]
        affine[:-1, -1] = matrix[:-1, -1][kept]
        placement = {
            "scale": scale,
            "translate": translate,
            "rotate": np.asarray(layer.rotate)[square],
            "affine": affine,
            "units": tuple(layer.units[i] for i in kept),
            "axis_labels": tuple(layer.axis_labels[i] for i in kept),
        }
        if len(kept) == layer.ndim:
            placement["shear"] = layer.shear
        return placement

    def plane(self, array: Any, plane: PlaneIndex) -> Any:
        """Return the view (Y, X) of one plane of an array on this grid."""
        places = iter(plane)
        index = tuple(
            0 if a == "C" else slice(None) if a in "YX" else next(places) for a in self.axes
        )
        part = array[index]
        return part.T if self.axes.index("X") < self.axes.index("Y") else part

    def point(self, plane: PlaneIndex, y: float, x: float) -> list[float]:
        """Return the data coordinates of a place in one plane."""
        places = iter(plane)
        values = {"C": 0.0, "Y": y, "X": x}
        return [values[a] if a in values else float(next(places)) for a in self.axes]


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
