"""Where the viewer looks, and how to take it somewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels

from napari_impartial.core.preview_budget import SMALLEST_SIDE_PX
from napari_impartial.core.results import Box

from .source import PlaneIndex, Source


def field_in_view(source: Source) -> Box | None:
    """Return the part of the image that is in view.

    None if the image is out of sight. Before it was ever drawn, all of it counts as seen.
    """
    axes = source.axes
    layer = source.primary
    corners = np.array(layer.corner_pixels)
    if layer.multiscale:
        # They are pixels of the resolution that is shown, and ours are the finest.
        factors = np.asarray(layer.downsample_factors)[layer.data_level]
        corners = np.round(corners * factors).astype(int)
    if not corners.any():
        corners[1] = np.iinfo(corners.dtype).max // 2
    edges = []
    for letter, length in zip("YX", source.plane_shape, strict=True):
        first, last = sorted(int(v) for v in corners[:, axes.index(letter)])
        edges.append((max(first, 0), min(last + 1, length)))
    (y0, y1), (x0, x1) = edges
    return (y0, x0, y1, x1) if min(y1 - y0, x1 - x0) >= SMALLEST_SIDE_PX else None


def go_to(
    viewer: napari.Viewer,
    source: Source,
    plane: PlaneIndex,
    y: float,
    x: float,
    extent_px: float | None = None,
) -> None:
    """Centre a place, and zoom until `extent_px` pixels fill the smaller side."""
    layer = source.primary
    world = show_plane(viewer, source, plane, y, x)
    first = viewer.dims.ndim - layer.ndim
    displayed = [axis - first for axis in viewer.dims.displayed[-2:]]
    camera = viewer.scene.camera
    camera.center = tuple(world[axis] for axis in displayed)
    if extent_px is not None:
        size = extent_px * float(np.max(np.abs(np.asarray(layer.scale)[displayed])))
        camera.zoom = min(viewer.canvas.size) / size


def show_plane(
    viewer: napari.Viewer, source: Source, plane: PlaneIndex, y: float = 0, x: float = 0
) -> npt.NDArray[np.float64]:
    """Set the viewer's sliders to a plane; return where a pixel of it lies in the world."""
    layer = source.primary
    point = np.zeros(layer.ndim)
    places = iter(plane)
    for i, letter in enumerate(source.axes[: layer.ndim]):
        point[i] = {"Y": y, "X": x}.get(letter, next(places) if letter in "TZ" else 0)
    world = np.asarray(layer.data_to_world(point))
    first = viewer.dims.ndim - layer.ndim
    for i in source.stack_axes:
        viewer.dims.set_point(first + i, world[i])
    return world


def on_click(viewer: napari.Viewer, found: Callable[[Labels, int], None]) -> Callable[[], None]:
    """Call `found(layer, label)` when an object is clicked; return what undoes that.

    Only clicks that mean nothing else count: in an image, or in labels that are neither
    painted nor picked from.
    """

    def clicked(_: Any, event: Any) -> Any:
        position = np.array(event.position)
        moved = False
        yield
        while event.type == "mouse_move":
            moved = True
            yield
        active = viewer.layers.selection.active
        if moved or getattr(active, "mode", "") != "pan_zoom":
            return
        if not isinstance(active, (ImageLayer, Labels)):
            return
        for layer in reversed(viewer.layers):
            if isinstance(layer, Labels) and layer.visible:
                label = layer.get_value(position, world=True)
                if label:
                    found(layer, int(label))

    viewer.mouse_drag_callbacks.append(clicked)

    def undo() -> None:
        if clicked in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(clicked)

    return undo
