"""The result layers: made once, then updated in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer, Shapes
from napari.utils.colormaps import Colormap, DirectLabelColormap

from napari_impartial.core.data.boxes import Box
from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.core.review.round_changes import CHANGED, GAINED, LOST
from napari_impartial.session.plane import PlaneIndex

from .camera import px_on_screen
from .grid import Grid
from .image_source import OURS, Source
from .outlines import Outlines
from .scribble_layers import scribble_name


class Role(StrEnum):
    """Kinds of result, from the bottom up; the value is the first word of the layer's name."""

    PROBABILITY = "probability"
    UNCERTAINTY = "uncertainty"
    INSTANCES = "instances"
    CHANGES = "changes"
    SUGGESTIONS = "suggestions"


# napari draws outlines anew, whole, whenever labels change: 16 ms a megapixel, in which
# the window stands still. Larger images have their objects filled.
LARGEST_OUTLINED_PX = 2048 * 2048

# Seen on the heatmap, the scribbles and most images.
_MARK, _FAINT_MARK = "#00e5ff", "#00e5ff59"
# Of their edges, on the screen.
_EDGE_PX = 2.0

# New, gone, changed; told apart in all common kinds of colour blindness.
CHANGE_COLOURS: dict[int | None, str] = {
    GAINED: "#2fd06a",
    LOST: "#ff3bd4",
    CHANGED: "#ffb020",
}
_CHANGES: dict[int | None, str] = {None: "transparent", 0: "transparent", **CHANGE_COLOURS}

# Clear where there is nothing to see, so that the image shows through.
_COLORMAPS = {
    Role.PROBABILITY: Colormap(
        [[0.0, 0.8, 0.5, 0.0], [0.2, 1.0, 0.6, 0.75]], name="impartial probability"
    ),
    Role.UNCERTAINTY: Colormap(
        [[0.3, 0.0, 0.6, 0.0], [0.5, 0.0, 0.7, 0.1], [0.95, 0.3, 0.4, 0.5], [1.0, 0.9, 0.2, 0.8]],
        name="impartial uncertainty",
    ),
}


class ResultLayers:
    """Finds, makes and writes the result layers of each image.

    `zeros` makes the arrays of new layers; those of large stacks may lie in files.

    Each array lies on the image's grid (see :class:`Grid`). Writing never changes which
    layer is active: somebody may be painting.
    """

    def __init__(
        self, viewer: napari.Viewer, zeros: Callable[[tuple[int, ...], Any], Any] = np.zeros
    ) -> None:
        self._viewer = viewer
        self._zeros = zeros
        self._layers: dict[tuple[ImageLayer, Role], Layer] = {}
        self.outlines = Outlines(viewer)

    def find(self, source: Source, role: Role) -> Any | None:
        """Return the layer of that role if it is in the viewer and fits the image."""
        layer = self._layers.get((source.primary, role))
        if layer is not None and layer in self._viewer.layers:
            return layer
        return None

    def write(
        self, source: Source, plane: PlaneIndex, role: Role, values: npt.NDArray[Any]
    ) -> Layer | None:
        """Show `values` (Y, X) as the result of one plane; None as in :meth:`write_box`."""
        height, width = values.shape
        return self.write_box(source, plane, role, values, (0, 0, height, width))

    def write_box(
        self, source: Source, plane: PlaneIndex, role: Role, values: npt.NDArray[Any], box: Box
    ) -> Layer | None:
        """Show `values` in a box of one plane and leave the rest as it is.

        None where the image has left the viewer: what is worked out late puts no layer back.
        """
        if source.primary not in self._viewer.layers:
            return None
        grid = Grid(source)
        layer = self.find(source, role) or self._adopt(source, role)
        if layer is not None and layer.data.shape != grid.shape:
            self._remove(source, role)
            layer = None
        if layer is None:
            layer = self._make(source, role, grid)
        y0, x0, y1, x1 = box
        grid.plane(layer.data, plane)[y0:y1, x0:x1] = values
        layer.refresh()
        return layer

    def blank(self, source: Source, plane: PlaneIndex, role: Role) -> None:
        """Show nothing of one plane any more, where anything was shown."""
        shown = self.read(source, plane, role)
        if shown is not None and shown.any():
            self.write(source, plane, role, np.zeros_like(shown))

    def holds(self, layer: Layer, role: Role) -> bool:
        """Return whether a layer, in the viewer or removed from it by the user, has this role."""
        return any(r is role and one == layer for (_, r), one in self._layers.items())

    def read(self, source: Source, plane: PlaneIndex, role: Role) -> npt.NDArray[Any] | None:
        """Return what is shown of one plane, or None."""
        layer = self.find(source, role)
        if layer is None or layer.data.shape != Grid(source).shape:
            return None
        return np.asarray(Grid(source).plane(layer.data, plane))

    def mark(
        self,
        source: Source,
        suggestions: Sequence[tuple[PlaneIndex, Suggestion]],
        current: Suggestion | None = None,
        words: str = "",
    ) -> None:
        """Show suggestions as faint boxes, and the current one clearly, with words beside it."""
        if source.primary not in self._viewer.layers:
            return
        grid = Grid(source)
        rectangles = [_corners(grid, plane, s.box) for plane, s in suggestions]
        here = [current is not None and s == current for _, s in suggestions]
        features = {
            "rank": np.array([s.rank for _, s in suggestions], dtype=int),
            "words": [words if one else "" for one in here],
        }
        layer = self.find(source, Role.SUGGESTIONS) or self._adopt(source, Role.SUGGESTIONS)
        if layer is None:
            layer = Shapes(
                ndim=len(grid.shape),
                name=f"{Role.SUGGESTIONS} [{source.name}]",
                metadata={OURS: {"role": str(Role.SUGGESTIONS)}},
                opacity=1.0,
                visible=False,
                **grid.placement(),
            )
            self._add(source, Role.SUGGESTIONS, layer)
        layer.data = []
        if rectangles:
            edge = max(0.1, _EDGE_PX / px_on_screen(self._viewer, source))
            layer.add_rectangles(
                rectangles,
                edge_color=[_MARK if one else _FAINT_MARK for one in here],
                face_color="transparent",
                edge_width=edge,
            )
            layer.features = features
            # Beside the box, above it: what is inside is to be seen.
            layer.text = {"string": "{words}", "color": _MARK, "size": 9, "anchor": "upper_left"}
            layer.selected_data = set()

    def rename(self, source: Source, old_name: str) -> None:
        """Let the layers' names follow that of their image, where they still had it."""
        for (key, role), layer in self._layers.items():
            if key == source.primary and layer.name == f"{role} [{old_name}]":
                layer.name = f"{role} [{source.name}]"

    def remove_misfits(self, source: Source) -> None:
        """Take results out of the viewer that are not of the image's shape."""
        shape = Grid(source).shape
        for role in Role:
            layer = self.find(source, role)
            marks = role is Role.SUGGESTIONS
            if layer is not None and (marks or layer.data.shape != shape):
                self._remove(source, role)

    def remove_all(self, source: Source) -> None:
        """Take all results of an image out of the viewer."""
        for role in Role:
            if self.find(source, role) is not None:
                self._remove(source, role)
            self._layers.pop((source.primary, role), None)

    def hand_over(self, source: Source, heir: Source) -> None:
        """Let the results of an image be those of the same image with another first layer."""
        for role in Role:
            layer = self._layers.pop((source.primary, role), None)
            if layer is not None:
                self._layers[heir.primary, role] = layer

    def _remove(self, source: Source, role: Role) -> None:
        self._viewer.layers.remove(self._layers.pop((source.primary, role)))

    def _adopt(self, source: Source, role: Role) -> Any | None:
        """Take over a layer that an earlier dock has left in the viewer."""
        known = list(self._layers.values())
        for layer in self._viewer.layers:
            if (
                layer.name == f"{role} [{source.name}]"
                and layer.metadata.get(OURS, {}).get("role") == str(role)
                and layer not in known
            ):
                self._layers[(source.primary, role)] = layer
                if role is Role.INSTANCES:
                    self.outlines.add(layer, source)
                return layer
        return None

    def _make(self, source: Source, role: Role, grid: Grid) -> Layer:
        common = {
            "name": f"{role} [{source.name}]",
            "metadata": {OURS: {"role": str(role)}},
            **grid.placement(),
        }
        layer: Layer
        if role is Role.INSTANCES:
            data = self._zeros(grid.shape, np.int32)
            layer = Labels(data, **common)
            height, width = source.plane_shape
            layer.contour = 2 if height * width <= LARGEST_OUTLINED_PX else 0
            layer.opacity = 0.9
            # Corrections belong to the plane that is looked at.
            layer.n_edit_dimensions = 2
            self.outlines.add(layer, source)
        elif role is Role.CHANGES:
            layer = Labels(
                np.zeros(grid.shape, dtype=np.uint8),
                colormap=DirectLabelColormap(color_dict={**_CHANGES}),
                opacity=0.6,
                **common,
            )
        else:
            layer = ImageLayer(
                self._zeros(grid.shape, np.float32),
                colormap=_COLORMAPS[role],
                contrast_limits=(0.0, 1.0),
                blending="translucent",
                # The picture is to be seen: heatmaps are shown where one refines, or on demand.
                visible=False,
                **common,
            )
        self._add(source, role, layer)
        return layer

    def _add(self, source: Source, role: Role, layer: Layer) -> None:
        """Put a layer under the scribbles, with what is selected staying so."""
        place = self._place(source, role)
        # Known before others hear of it: they ask whose it is.
        self._layers[(source.primary, role)] = layer
        with selection_kept(self._viewer):
            self._viewer.layers.insert(place, layer)

    def _place(self, source: Source, role: Role) -> int:
        """From below: image, heatmaps, instances, scribbles, suggestions."""
        layers, order = self._viewer.layers, list(Role)
        above = [
            layer
            for (key, r), layer in self._layers.items()
            if key == source.primary and order.index(r) > order.index(role)
        ]
        if role is not Role.SUGGESTIONS:
            above += [layer for layer in layers if layer.name == scribble_name(source.name)]
        return min((layers.index(layer) for layer in above if layer in layers), default=len(layers))


@contextmanager
def selection_kept(viewer: napari.Viewer) -> Iterator[None]:
    """Let what is selected stay so, where napari selects a layer that is added meanwhile."""
    selection = viewer.layers.selection
    active, selected = selection.active, set(selection)
    yield
    if selected and set(selection) != selected:
        selection.clear()
        selection.update(selected)
        selection.active = active


def _corners(grid: Grid, plane: PlaneIndex, box: Box) -> npt.NDArray[np.float64]:
    """Corners of a rectangle round the pixels of a box, in data coordinates."""
    y0, x0, y1, x1 = (float(v) for v in box)
    y0, x0, y1, x1 = y0 - 0.5, x0 - 0.5, y1 - 0.5, x1 - 0.5
    return np.array([grid.index(plane, y, x) for y, x in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))])
