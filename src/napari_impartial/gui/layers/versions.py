"""Names that differ between the napari versions that we work with."""

from __future__ import annotations

from typing import Any

import napari
from qtpy.QtWidgets import QOpenGLWidget

# napari 0.9 has the camera in the viewer's scene, and size and grid in its canvas; before, camera
# and grid were the viewer's own, and the size had no public name.

# Height and width, in pixels of the screen, where there is no window: those of napari's own canvas.
_NO_WINDOW = (800, 600)


def camera_of(viewer: napari.Viewer) -> Any:
    """Return the camera: center, zoom, angles, and their events."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def canvas_size(viewer: napari.Viewer) -> tuple[int, int]:
    """Return height and width of the canvas, in pixels of the screen."""
    canvas = getattr(viewer, "canvas", None)
    if canvas is not None:
        height, width = canvas.size
        return int(height), int(width)
    window = getattr(viewer, "window", None)
    drawn = None if window is None else window.main_menu.window().findChild(QOpenGLWidget)
    return _NO_WINDOW if drawn is None else (drawn.height(), drawn.width())


def grid_of(viewer: napari.Viewer) -> Any:
    """Return the grid that layers may be laid out in: enabled, and its events."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.grid if canvas is None else canvas.grid
