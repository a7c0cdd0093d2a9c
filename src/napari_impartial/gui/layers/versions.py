"""Names that differ between the napari versions that we work with."""

from __future__ import annotations

from typing import Any

import napari

# napari 0.9 has the camera in the viewer's scene, and size and grid in its canvas; before, all
# were the viewer's own, the size by a private name, which in those versions changes no more.


def camera_of(viewer: napari.Viewer) -> Any:
    """Return the camera: center, zoom, angles, and their events."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def canvas_size(viewer: napari.Viewer) -> tuple[int, int]:
    """Return height and width of the canvas, in pixels of the screen."""
    canvas = getattr(viewer, "canvas", None)
    height, width = viewer._canvas_size if canvas is None else canvas.size
    return int(height), int(width)


def grid_of(viewer: napari.Viewer) -> Any:
    """Return the grid that layers may be laid out in: enabled, and its events."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.grid if canvas is None else canvas.grid
