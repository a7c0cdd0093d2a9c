"""Field in view, and ways to move the camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Layer

from napari_impartial.core.data.boxes import Box
from napari_impartial.gui.layers.versions import camera_of, canvas_size
from napari_impartial.session.plane import PlaneIndex

from .image_source import Source

LEFT_BUTTON = 1
# Less of an image means nothing to a network.
_SMALLEST_SIDE_PX = 16
# Of the canvas, that a whole image fills.
_MARGIN = 0.95
# A hand shakes while it clicks.
CLICK_PX = 4


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
    return (y0, x0, y1, x1) if min(y1 - y0, x1 - x0) >= _SMALLEST_SIDE_PX else None


def go_to(
    viewer: napari.Viewer,
    source: Source,
    plane: PlaneIndex,
    y: float,
    x: float,
    extent_px: float | None = None,
) -> None:
    """Centre a place, and zoom until `extent_px` pixels fill the smaller side."""
    world = show_plane(viewer, source, plane, y, x)
    first = viewer.dims.ndim - source.primary.ndim
    camera = camera_of(viewer)
    camera.center = tuple(world[axis - first] for axis in viewer.dims.displayed[-2:])
    if extent_px is not None:
        camera.zoom = min(canvas_size(viewer)) / (extent_px * _pixel_in_world(viewer, source))


def show_whole(viewer: napari.Viewer, source: Source) -> None:
    """Centre an image, and zoom until all of it is in view."""
    height, width = source.plane_shape
    go_to(viewer, source, source.plane_in_view(viewer), (height - 1) / 2, (width - 1) / 2)
    room = np.array(canvas_size(viewer)) / np.array([height, width])
    camera_of(viewer).zoom = _MARGIN * float(room.min()) / _pixel_in_world(viewer, source)


def same_field(one: Layer, other: Layer) -> bool:
    """Return whether two layers lie at the same place and are as large."""
    return bool(np.allclose(one.extent.world[:, -2:], other.extent.world[:, -2:]))


def extent_in_view(viewer: napari.Viewer, source: Source) -> float:
    """Return how many pixels of an image fill the smaller side of the canvas."""
    size: float = min(canvas_size(viewer)) / camera_of(viewer).zoom
    return size / _pixel_in_world(viewer, source)


def in_middle(viewer: napari.Viewer, source: Source) -> npt.NDArray[np.float64]:
    """Return the data coordinates, in an image's first layer, of the middle of the view."""
    point = np.array(viewer.dims.point, dtype=float)
    point[list(viewer.dims.displayed[-2:])] = camera_of(viewer).center[-2:]
    return np.asarray(source.primary.world_to_data(point), dtype=float)


def is_flat_view(viewer: napari.Viewer, source: Source) -> bool:
    """Return whether rows and columns are shown, and not a view from the side or 3D."""
    axes = source.axes[: source.primary.ndim]
    first = viewer.dims.ndim - source.primary.ndim
    shown = {axis - first for axis in viewer.dims.displayed}
    return shown == {axes.index("Y"), axes.index("X")}


def px_on_screen(viewer: napari.Viewer, source: Source) -> float:
    """Return how large a pixel of an image is on the screen, in its pixels."""
    return float(camera_of(viewer).zoom * _pixel_in_world(viewer, source))


def _pixel_in_world(viewer: napari.Viewer, source: Source) -> float:
    """Return the longer side of a pixel, in the world's unit."""
    layer = source.primary
    first = viewer.dims.ndim - layer.ndim
    displayed = [axis - first for axis in viewer.dims.displayed[-2:]]
    return float(np.max(np.abs(np.asarray(layer.scale)[displayed])))


def bring_into_view(
    viewer: napari.Viewer,
    source: Source,
    plane: PlaneIndex,
    spots: Sequence[tuple[float, float]],
) -> None:
    """Show a plane, and centre the first of some places (y, x) if none of them is in view."""
    show_plane(viewer, source, plane)
    if not spots:
        return
    there = in_world(viewer, source, plane, np.asarray(spots, dtype=float))
    camera = camera_of(viewer)
    away = np.abs(there - np.array(camera.center[-2:]))
    if not (away <= np.array(canvas_size(viewer)) / camera.zoom / 2).all(axis=1).any():
        go_to(viewer, source, plane, *spots[0])


def in_world(
    viewer: napari.Viewer, source: Source, plane: PlaneIndex, places: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return where places (N, 2) of a plane lie on the two axes of the world that are shown."""
    first = viewer.dims.ndim - source.primary.ndim
    displayed = [axis - first for axis in viewer.dims.displayed[-2:]]
    origin = _world(source, plane, 0, 0)
    steps = [_world(source, plane, y, x) - origin for y, x in ((1, 0), (0, 1))]
    # Thousands of objects may have been accepted at once: not a call for each of them.
    there = (origin + places @ np.array(steps))[:, displayed]
    return np.asarray(there, dtype=float)


def show_plane(
    viewer: napari.Viewer, source: Source, plane: PlaneIndex, y: float = 0, x: float = 0
) -> npt.NDArray[np.float64]:
    """Set the viewer's sliders to a plane; return where a pixel of it lies in the world."""
    world = _world(source, plane, y, x)
    first = viewer.dims.ndim - source.primary.ndim
    for i in source.stack_axes:
        viewer.dims.set_point(first + i, world[i])
    return world


def _world(source: Source, plane: PlaneIndex, y: float, x: float) -> npt.NDArray[np.float64]:
    """Return where a pixel of a plane lies in the world."""
    layer = source.primary
    places, values = iter(plane), {"Y": y, "X": x}
    axes = source.axes[: layer.ndim]
    point = [next(places) if a in "TZ" else values.get(a, 0) for a in axes]
    return np.asarray(layer.data_to_world(point))


def on_click(viewer: napari.Viewer, found: Callable[[Labels, int], None]) -> Callable[[], None]:
    """Call `found(layer, label)` when an object is clicked; return what undoes that.

    A plain click counts where no tool is in hand. With Ctrl, which a Mac calls Cmd, it
    counts with any tool of a labels layer in hand, which then does nothing.
    """

    def clicked(_: Any, event: Any) -> Iterator[None]:
        active = viewer.layers.selection.active
        if event.button != LEFT_BUTTON or not _looks_up(active, event):
            return
        position, start = np.array(event.position), np.array(event.pos)
        moved_px = 0
        with _laid_down(active):
            yield
            while event.type == "mouse_move":
                moved_px = max(moved_px, np.abs(np.subtract(event.pos, start)).max())
                yield
            # napari leaves moves out that come in quick succession.
            moved_px = max(moved_px, np.abs(np.subtract(event.pos, start)).max())
        if moved_px > CLICK_PX:
            return
        for layer in reversed(viewer.layers):
            if isinstance(layer, Labels) and layer.visible:
                value = layer.get_value(position, world=True)
                # Of a layer with several resolutions, with the one that is shown.
                label = value[1] if isinstance(value, tuple) else value
                if label:
                    found(layer, int(label))

    viewer.mouse_drag_callbacks.append(clicked)

    def undo() -> None:
        if clicked in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(clicked)

    return undo


def _looks_up(active: Layer | None, event: Any) -> bool:
    """Return whether a press of the mouse means nothing else.

    Alt is taken: with it napari draws a box to zoom to and sizes the brush, and many Linux
    desktops move windows. A frame for transforming layers has uses for Ctrl.
    """
    mode = getattr(active, "mode", "pan_zoom")
    if mode == "pan_zoom":
        return True
    return isinstance(active, Labels) and mode != "transform" and "Control" in event.modifiers


@contextmanager
def _laid_down(active: Layer | None) -> Iterator[None]:
    """Lay the tool in hand down for a moment.

    napari calls the viewer's callbacks before the layer's, but a callback cannot keep the
    layer's from being called: the tool has to be gone when its turn comes.
    """
    mode = getattr(active, "mode", "pan_zoom")
    if active is None or mode == "pan_zoom":
        yield
        return
    active.mode = "pan_zoom"
    try:
        yield
    finally:
        active.mode = mode
