"""Commands of napari's menus and command palette.

Each acts on the viewer in front and on the layers that are selected in it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from qtpy.QtWidgets import QFileDialog

from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui import notifications
from napari_impartial.gui.layers import Source, image_layers
from napari_impartial.gui.layers.image_source import axes_of, companions, usual_channels

if TYPE_CHECKING:
    from napari_impartial.gui.dock_widget import ImPartialWidget

PLUGIN, WIDGET = "napari-impartial", "ImPartial"
_KINDS = "ImageJ ROIs (*.zip);;GeoJSON (*.geojson *.json)"


def segment_selected() -> None:
    """Open the dock on the selected Image layers: one image with these as its channels."""
    _open_on_selected()


def scribble_on_selected() -> None:
    """Open the dock on the selected image, give it a scribble layer and the user the brush."""
    widget = _open_on_selected()
    if widget is not None:
        widget.workspace.new_scribbles()


def measure_selected() -> None:
    """Measure the objects of the selected Labels layer and show them as a table."""
    viewer, layer = _viewer(), _selected_labels()
    if viewer is None or layer is None:
        return
    from .measure_widget import MeasureWidget

    try:
        widget = MeasureWidget(viewer, layer)
    except ImPartialError as error:
        notifications.show_warning(str(error))
        return
    viewer.window.add_dock_widget(widget, name=f"Objects of {layer.name}", area="right")


def import_rois(path: str = "") -> None:
    """Add the areas of an ImageJ ROI or GeoJSON file as a Labels layer."""
    viewer = _viewer()
    if viewer is None:
        return
    if not path:
        from napari_impartial.io.region_files import KINDS

        path, _ = QFileDialog.getOpenFileName(None, "Import outlines as labels", "", KINDS)
    if path:
        from .readers_writers import read_rois

        try:
            for data, meta, _ in read_rois(path):
                viewer.add_labels(data, **meta)
        except ImPartialError as error:
            notifications.show_error(str(error))


def export_objects(path: str = "") -> None:
    """Write the objects of the selected Labels layer as outlines."""
    layer = _selected_labels()
    if layer is None:
        return
    if not path:
        path, _ = QFileDialog.getSaveFileName(None, "Export objects", f"{layer.name}.zip", _KINDS)
    if path:
        from .readers_writers import write_outlines

        try:
            n = write_outlines(path, np.asarray(layer.data), layer.axis_labels)
        except ImPartialError as error:
            notifications.show_error(str(error))
            return
        notifications.show_info(f"{n} outlines were saved as {path}.")


def _open_on_selected() -> ImPartialWidget | None:
    viewer = _viewer()
    if viewer is None:
        return None
    there = image_layers(viewer)
    chosen = [layer for layer in there if layer in viewer.layers.selection]
    if not chosen:
        notifications.show_warning(
            "Select an Image layer first, or several of one size as its channels."
        )
        return None
    widget = dock(viewer)
    source = _source(viewer, chosen)
    if source is not None:
        widget.image_panel.refresh()
        widget.image_panel.setValue(source)
    return widget


def _source(viewer: napari.Viewer, layers: list[ImageLayer]) -> Source | None:
    """Return the image that the layers are; None where the usual choice is as good."""
    first = layers[0]
    if len(layers) == 1 and "C" not in axes_of(first):
        return Source((first,), axes_of(first), (0,))
    axes = axes_of(first)
    further = [layer for layer in companions(viewer, first, axes) if layer in layers]
    left = [str(layer.name) for layer in layers[1:] if layer not in further]
    if left:
        notifications.show_warning(
            f"'{left[0]}' does not lie on the pixels of '{first.name}' and cannot be its channel."
        )
    return Source((first, *further), axes, usual_channels(first, axes))


def dock(viewer: napari.Viewer) -> ImPartialWidget:
    """Return the dock of a viewer; open it where it is not."""
    from napari_impartial.gui.dock_widget import ImPartialWidget

    open_one = find_dock(viewer)
    if open_one is not None:
        return open_one
    _, made = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    assert isinstance(made, ImPartialWidget)
    return made


def find_dock(viewer: napari.Viewer) -> ImPartialWidget | None:
    """Return the dock of a viewer if it is open."""
    from napari_impartial.gui.dock_widget import ImPartialWidget

    for made in viewer.window.dock_widgets.values():
        if isinstance(made, ImPartialWidget):
            return made
    return None


def _viewer() -> Any | None:
    viewer = napari.current_viewer()
    if viewer is None:
        notifications.show_warning("Open a napari window first.")
    return viewer


def _selected_labels() -> Labels | None:
    viewer = _viewer()
    if viewer is None:
        return None
    chosen: list[Layer] = [
        layer
        for layer in viewer.layers
        if layer in viewer.layers.selection and isinstance(layer, Labels)
    ]
    if len(chosen) == 1 and not chosen[0].multiscale:
        return chosen[0]
    notifications.show_warning("Select one Labels layer with objects first.")
    return None


def act(name: str) -> None:
    """Do what a key does, in the viewer in front."""
    viewer = _viewer()
    made = None if viewer is None else find_dock(viewer)
    if made is None:
        notifications.show_warning("Open the ImPartial dock first (Plugins > ImPartial).")
    else:
        getattr(made.keys, name)()


def __getattr__(name: str) -> Callable[[], None]:
    """Give the manifest a command for each action of the table of keys."""
    from napari_impartial.gui.keybindings import KEYS

    if any(key.action == name for key in KEYS):
        return partial(act, name)
    raise AttributeError(name)
