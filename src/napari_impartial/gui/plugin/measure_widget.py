"""Measurements of any Labels layer: a table, linked to the picture, and a CSV file."""

from __future__ import annotations

import napari
import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_impartial.core.data.image import Image, distinct_names, to_float32
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.measurements import measure
from napari_impartial.gui import notifications
from napari_impartial.gui.layers.image_source import channel_name
from napari_impartial.gui.layers.versions import camera_of
from napari_impartial.gui.review.object_table import ObjectTable, Table
from napari_impartial.io.object_files import join_tables, write_table


class MeasureWidget(QWidget):
    """Measures the objects of a layer as they are now.

    Parameters
    ----------
    viewer
        Image layers in it that have the labels' shape give a mean each.
    layer
        The objects; each plane of a stack is measured by itself.

    Raises
    ------
    ImPartialError
        If there is no object.
    """

    def __init__(self, viewer: napari.Viewer, layer: Labels) -> None:
        super().__init__()
        self.setObjectName("measure_widget")
        self._viewer, self._layer = viewer, layer
        self.measurements = measure_layer(viewer, layer)
        self._table = ObjectTable()
        self._table.setObjectName("measure_table")
        self._table.set_table(self.measurements)
        self._table.setMinimumHeight(150)
        count = QLabel(f"{len(self.measurements['label'])} objects of {layer.name}")
        count.setWordWrap(True)
        self._save = QPushButton("Save as CSV...")
        self._save.setObjectName("measure_save_button")
        self._save.setToolTip("Write the table as comma-separated values.")
        column = QVBoxLayout(self)
        for part in (count, self._table, self._save):
            column.addWidget(part)
        self._save.clicked.connect(self._ask_where)
        self._table.object_chosen.connect(self._show)

    def save(self, path: str) -> None:
        """Write the table, whole or not at all."""
        try:
            write_table(path, self.measurements)
        except ImPartialError as error:
            notifications.show_error(str(error))
            return
        notifications.show_info(f"The measurements were saved as {path}.")

    def _ask_where(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save measurements", f"{self._layer.name}.csv", "Comma-separated values (*.csv)"
        )
        if path:
            self.save(path)

    def _show(self, label: int, y: float, x: float, _: float) -> None:
        """Centre an object of the plane in view."""
        if self._layer in self._viewer.layers:
            place = [0.0] * (self._layer.ndim - 2) + [y, x]
            world = self._layer.data_to_world(place)
            camera_of(self._viewer).center = tuple(world[-2:])
            self._layer.selected_label = label


def measure_layer(viewer: napari.Viewer, layer: Labels) -> Table:
    """Measure the objects of all planes; columns named after the stack's axes come first.

    Raises
    ------
    ImPartialError
        If there is no object, or the layer holds no plane.
    """
    data = np.asarray(layer.data)
    if data.ndim < 2 or not data.any():
        raise ImPartialError(f"'{layer.name}' has no objects to measure.")
    images = [
        other
        for other in viewer.layers
        if isinstance(other, ImageLayer)
        and not other.rgb
        and not other.multiscale
        and other.data.shape == data.shape
    ]
    names = distinct_names([channel_name(other) for other in images])
    tables: list[Table] = []
    places: list[dict[str, int]] = []
    for plane in np.ndindex(*data.shape[:-2]):
        image = None
        if images:
            channels = np.stack([np.asarray(other.data[plane]) for other in images])
            image = Image(to_float32(channels), names)
        tables.append(measure(data[plane], image))
        places.append({f"axis_{axis}": place for axis, place in enumerate(plane)})
    return join_tables(tables, places)
