"""The scribble layers: made once an image, read at each training, never lost."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_impartial.core.data.scribbles import BACKGROUND, FOREGROUND, Scribbles, from_labels
from napari_impartial.core.errors import ImPartialError
from napari_impartial.session.plane import PlaneIndex

from .grid import Grid
from .image_source import OURS, Source

# Told apart in all common kinds of colour blindness, and seen on dark fluorescence as
# well as on bright stained tissue.
COLOURS = {
    BACKGROUND: "#2e86ff",
    FOREGROUND: "#ff3355",
    3: "#ffd60a",
    4: "#2fd06a",
    5: "#c07bff",
    6: "#ff9f1c",
}
OTHER_COLOUR = "white"
"""Colour of labels beyond these, which only files have."""


def _brush_size(source: Source) -> int:
    """Return a size that fits into a cell: cells are small where the image is."""
    return int(np.clip(min(source.plane_shape) // 100, 3, 12))


def is_scribble_name(name: str) -> bool:
    """Tell the names of scribble layers, of this image or another, also of old ones."""
    return re.fullmatch(r"(old )?scribbles \[.*\]( \[\d+\])?", name) is not None


def scribble_name(name: str) -> str:
    """Name of the scribble layer of an image."""
    return f"scribbles [{name}]"


def colormap() -> DirectLabelColormap:
    """Colours of the classes; what is not annotated is clear."""
    colours: dict[int | None, str] = {None: OTHER_COLOUR, 0: "transparent"}
    for label, colour in COLOURS.items():
        colours[label] = colour
    return DirectLabelColormap(color_dict=colours)


class ScribbleLayers:
    """Finds, makes and reads the scribble layer of each image.

    Layers are known by identity, so that renaming one changes nothing; a layer of the
    right name that is already there (a sample's, or one from a file) is taken over.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._layers: dict[ImageLayer, Labels] = {}

    def find(self, source: Source) -> Labels | None:
        """Return the scribble layer of an image if it is in the viewer; slides have none."""
        if source.is_slide:
            return None
        known = self._layers.get(source.primary)
        if known is not None and known in self._viewer.layers:
            return known
        # Iterating gives the layers themselves; indexing, napari's proxies of them.
        for layer in self._viewer.layers:
            if isinstance(layer, Labels) and layer.name == scribble_name(source.name):
                return self._adopt(source, layer)
        return None

    def is_ready(self, source: Source) -> bool:
        """Return whether there is a layer to paint on."""
        layer = self.find(source)
        return layer is not None and _is_on(Grid(source), layer)

    def make(self, source: Source) -> tuple[Labels, str]:
        """Return the image's scribble layer ready to paint, and how it was come by.

        ``found``: it was there; ``restored``: it had been removed and is back with all
        its strokes; ``made``: it is new; ``replaced``: it is new, too, and the one that was
        there, of another shape than the image is now, stays in the viewer as *old ...*.
        """
        layer, how = self.find(source), "found"
        if layer is not None and not _is_on(Grid(source), layer):
            self._layers.pop(source.primary)
            layer.name = f"old {scribble_name(source.name)}"
            layer, how = self._new(source), "replaced"
        elif layer is None:
            layer, how = self._layers.get(source.primary), "restored"
            if layer is None or not _is_on(Grid(source), layer):
                layer, how = self._new(source), "made"
        if how != "found":
            self._viewer.add_layer(layer)
            self._adopt(source, layer)
        # Whoever is painting keeps the brush they have.
        self.activate(layer, None if layer.mode == "paint" else FOREGROUND)
        return layer, how

    def activate(self, layer: Labels, label: int | None = None) -> None:
        """Put the brush in the user's hand."""
        layer.visible = True
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"
        if label is not None:
            layer.selected_label = label

    def read(self, source: Source) -> dict[PlaneIndex, Scribbles]:
        """Copy the scribbles of all planes that have any.

        Raises
        ------
        ImPartialError
            If the layer does not fit its image.
        """
        layer = self.find(source)
        if layer is None:
            return {}
        grid = Grid(source)
        data = np.asarray(layer.data)
        if not _is_on(grid, layer):
            raise ImPartialError(_misfit(layer, source, grid))
        found = {}
        for plane in np.ndindex(*source.stack_shape):
            part = grid.plane(data, plane)
            if part.any():
                found[plane] = from_labels(part, source.plane_shape)
        return found

    def view(self, source: Source, plane: PlaneIndex) -> npt.NDArray[Any] | None:
        """Return the labels (Y, X) of one plane as they lie in the layer, not a copy.

        None where there is no layer that fits.
        """
        layer = self.find(source)
        if layer is None or not _is_on(Grid(source), layer):
            return None
        return np.asarray(Grid(source).plane(np.asarray(layer.data), plane))

    def add(self, source: Source, plane: PlaneIndex, labels: npt.NDArray[np.uint8]) -> None:
        """Paint `labels` (Y, X) where they are not 0, as one step of the layer's undo."""
        rows, columns = np.nonzero(labels)
        self.paint(source, plane, rows, columns, labels[rows, columns])

    def paint(
        self,
        source: Source,
        plane: PlaneIndex,
        rows: npt.NDArray[np.intp],
        columns: npt.NDArray[np.intp],
        values: npt.ArrayLike,
    ) -> None:
        """Paint pixels of one plane as one step of the layer's undo.

        The layer is made if there is none; which brush is in hand stays as it is.
        """
        layer, places = self._pixels(source, plane, rows, columns)
        painted = np.broadcast_to(np.asarray(values, dtype=layer.data.dtype), rows.shape)
        # Of a hidden layer napari 0.9 keeps no picture of the plane in view: it takes the pixels
        # and the step of undo in, and then looks for them there.
        with contextlib.nullcontext() if layer.visible else contextlib.suppress(IndexError):
            layer.data_setitem(places, painted)

    def clear(self, source: Source, plane: PlaneIndex) -> None:
        """Take all strokes of one plane away, as one step of the layer's undo."""
        strokes, layer = self.view(source, plane), self.find(source)
        if strokes is None or layer is None or not strokes.any():
            return
        rows, columns = np.nonzero(strokes)
        self.paint(source, plane, rows, columns, 0)
        # The keys for undo are those of the layer that is selected.
        self._viewer.layers.selection.active = layer

    def put(
        self,
        source: Source,
        plane: PlaneIndex,
        rows: npt.NDArray[np.intp],
        columns: npt.NDArray[np.intp],
        values: npt.ArrayLike,
    ) -> npt.NDArray[np.uint8]:
        """Write pixels of one plane past the layer's own undo; return the old values.

        For what belongs to a decision, with which it is undone. The layer is made if there
        is none.
        """
        layer, places = self._pixels(source, plane, rows, columns)
        before = np.asarray(layer.data[places]).copy()
        layer.data[places] = values
        layer.refresh()
        # Refreshing a hidden layer tells nobody.
        layer.events.paint(value=[])
        return before

    def _pixels(
        self,
        source: Source,
        plane: PlaneIndex,
        rows: npt.NDArray[np.intp],
        columns: npt.NDArray[np.intp],
    ) -> tuple[Labels, tuple[npt.NDArray[np.intp], ...]]:
        """Return the layer, made if there is none, and where pixels of a plane lie in it."""
        layer, grid = self.find(source), Grid(source)
        if layer is None or not _is_on(grid, layer):
            layer, _ = self.make(source)
        places = np.broadcast_arrays(*grid.index(plane, rows, columns))
        return layer, tuple(np.array(place) for place in places)

    def all(self) -> list[Labels]:
        """Return all scribble layers, those that were removed included."""
        return list(self._layers.values())

    def kept(self, source: Source) -> Labels | None:
        """Return the scribble layer of an image, even if it was removed from the viewer."""
        return self.find(source) or self._layers.get(source.primary)

    def loose(self, sources: list[Source]) -> list[Labels]:
        """Return the scribble layers in the viewer that belong to none of these images."""
        taken = [self.kept(source) for source in sources]
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Labels)
            and layer not in taken
            and (layer in self.all() or layer.metadata.get(OURS, {}).get("role") == "scribbles")
        ]

    def put_back(self, source: Source, layer: Labels, shown: bool) -> None:
        """Make a layer the image's scribbles; unless `shown`, as one that was removed."""
        known = self._layers.pop(source.primary, None)
        present = known if known in self._viewer.layers else self.find(source)
        if present is not None and not np.asarray(present.data).any():
            self._viewer.layers.remove(present)
        if shown:
            self._viewer.add_layer(layer)
        brush = layer.brush_size
        self._adopt(source, layer)
        layer.brush_size = brush

    def forget(self, source: Source) -> Labels | None:
        """Know nothing of the image's scribbles any more; return their layer if shown."""
        layer = self.find(source)
        self._layers.pop(source.primary, None)
        return layer

    def hand_over(self, source: Source, heir: Source) -> None:
        """Let the scribbles of an image be those of the same image with another first layer."""
        layer = self._layers.pop(source.primary, None)
        if layer is not None:
            self._layers[heir.primary] = layer

    def removed(self, layer: Labels) -> bool:
        """Return whether this layer is one of ours that is no longer in the viewer."""
        return layer in self._layers.values() and layer not in self._viewer.layers

    def rename(self, source: Source, old_name: str) -> None:
        """Let the layer's name follow that of its image, where it still had it."""
        layer = self._layers.get(source.primary)
        if layer is not None and layer.name == scribble_name(old_name):
            layer.name = scribble_name(source.name)

    def _adopt(self, source: Source, layer: Labels) -> Labels:
        if not isinstance(layer.colormap, DirectLabelColormap):
            layer.colormap = colormap()
        # Strokes belong to the plane that is looked at.
        layer.n_edit_dimensions = 2
        if layer.selected_label not in COLOURS:
            layer.selected_label = FOREGROUND
        if self._layers.get(source.primary) is not layer:
            self._layers[source.primary] = layer
            layer.brush_size = _brush_size(source)
            self._bind_keys(layer)
        return layer

    def _new(self, source: Source) -> Labels:
        grid = Grid(source)
        layer = Labels(
            np.zeros(grid.shape, dtype=np.uint8),
            name=scribble_name(source.name),
            colormap=colormap(),
            opacity=0.8,
            metadata={OURS: {"role": "scribbles"}},
            **grid.placement(),
        )
        layer.selected_label = FOREGROUND
        return layer

    def _bind_keys(self, layer: Labels) -> None:
        """Give this layer keys for its classes; the eraser has napari's own (E)."""

        def brush(label: int) -> None:
            layer.mode = "paint"
            layer.selected_label = label

        layer.bind_key("q", lambda _: brush(BACKGROUND), overwrite=True)
        layer.bind_key("w", lambda _: brush(FOREGROUND), overwrite=True)


def _is_on(grid: Grid, layer: Labels) -> bool:
    return bool(layer.data.shape == grid.shape)


def _misfit(layer: Labels, source: Source, grid: Grid) -> str:
    return (
        f"'{layer.name}' has shape {layer.data.shape} but the image '{source.name}' needs "
        f"{grid.shape}; press New scribbles for a layer that fits."
    )
