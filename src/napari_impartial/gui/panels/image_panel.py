"""Step 1: which layers, axes and channels are the image."""

from __future__ import annotations

import napari
from napari.layers import Image as ImageLayer
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.images import check_axes
from napari_impartial.gui.layers import Source, image_layers, preselected
from napari_impartial.gui.layers.source import axes_of, companions, data_of, names_of_channels

# Rows of the lists that are seen without scrolling.
_ROWS = 5


class ImagePanel(QWidget):
    """Picks the image: a layer, its axes, its channels, and layers that are channels more.

    Signals
    -------
    valueChanged
        The :class:`Source`, or None where there is none.
    """

    valueChanged = Signal(object)

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[ImageLayer] = []
        # What was chosen for each layer, for when the user comes back to it.
        self._chosen: dict[ImageLayer, Source] = {}
        self._further: list[ImageLayer] = []
        self._emitted: Source | None = None
        self._build()

    def _build(self) -> None:
        self._combo = QComboBox()
        self._combo.setObjectName("image_combo")
        self._combo.setToolTip("The image layer to segment; results are named after it.")
        self._combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self._combo.setMinimumContentsLength(10)
        self._axes = QLineEdit()
        self._axes.setObjectName("axes_edit")
        self._axes.setMaxLength(5)
        self._axes.setToolTip(
            "One letter for each axis of the layer: C channel, Z depth, T time, Y, X. "
            "Correct it if it was guessed wrongly."
        )
        self._channels = QListWidget()
        self._channels.setObjectName("channel_list")
        self._channels.setToolTip(
            "Tick the channels that show the objects. Other layers of the same size can be "
            "channels, too."
        )
        self._note = QLabel()
        self._note.setWordWrap(True)
        self._images = QListWidget()
        self._images.setObjectName("image_list")
        self._images.setToolTip("Images of this session; click one to work on it.")
        self._images.hide()
        form = QFormLayout()
        form.addRow("Image", self._combo)
        form.addRow("Axes", self._axes)
        form.addRow("Channels", self._channels)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.addLayout(form)
        layout.addWidget(self._note)
        layout.addWidget(self._images)
        self._combo.currentIndexChanged.connect(self._on_layer)
        self._axes.editingFinished.connect(self._on_axes)
        self._channels.itemChanged.connect(self._emit)
        self._images.itemClicked.connect(
            lambda item: self._combo.setCurrentText(item.data(Qt.ItemDataRole.UserRole))
        )

    def value(self) -> Source | None:
        """Return what is picked, or None while that is no image."""
        layer = self._layer()
        axes = self._checked_axes()
        if layer is None or axes is None:
            return None
        items = [self._channels.item(i) for i in range(self._channels.count())]
        ticked = [item is not None and item.checkState() == Qt.CheckState.Checked for item in items]
        own = len(ticked) - len(self._further)
        channels = tuple(i for i in range(own) if ticked[i])
        further = [other for other, on in zip(self._further, ticked[own:], strict=True) if on]
        return Source((layer, *further), axes, channels) if channels else None

    def setValue(self, source: Source | None) -> None:
        """Pick a source; its layers have to be in the viewer."""
        if source is None:
            return
        self._chosen[source.primary] = source
        index = self._layers.index(source.primary)
        if self._combo.currentIndex() != index:
            self._combo.setCurrentIndex(index)
        else:
            self._on_layer(index)

    def has_layers(self) -> bool:
        """Whether there is anything to pick."""
        return bool(self._layers)

    def refresh(self) -> None:
        """Follow the viewer's layers; what was picked stays picked."""
        before = self._layer()
        self._layers = image_layers(self._viewer)
        with QSignalBlocker(self._combo):
            self._combo.clear()
            self._combo.addItems([layer.name for layer in self._layers])
            if before in self._layers:
                self._combo.setCurrentIndex(self._layers.index(before))
            elif self._layers:
                active = self._viewer.layers.selection.active
                start = self._layers.index(active) if active in self._layers else 0
                self._combo.setCurrentIndex(start)
        self._fill()
        self._emit()

    def set_images(self, images: list[tuple[str, str]]) -> None:
        """Show the session's images by name and status; a single one needs no list."""
        self._images.clear()
        for name, status in images:
            item = QListWidgetItem(f"{name}  ({status})")
            item.setData(Qt.ItemDataRole.UserRole, name)
            self._images.addItem(item)
        self._images.setVisible(len(images) > 1)
        _fit_rows(self._images)

    def _layer(self) -> ImageLayer | None:
        index = self._combo.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def _on_layer(self, _: int) -> None:
        self._fill()
        self._emit()

    def _on_axes(self) -> None:
        axes = self._checked_axes()
        layer = self._layer()
        if axes is None or layer is None:
            self._emit()
            return
        chosen = self._chosen.get(layer)
        if chosen is None or chosen.axes != axes:
            self._chosen.pop(layer, None)
            self._fill(axes)
            self._emit()

    def _checked_axes(self) -> str | None:
        layer = self._layer()
        if layer is None:
            return None
        try:
            axes = check_axes(self._axes.text(), data_of(layer).ndim)
            if layer.rgb and axes[-1] != "C":
                raise ImPartialError("The last axis of an RGB layer holds its colours: C.")
        except ImPartialError as error:
            self._note.setText(str(error))
            return None
        self._note.setText("")
        return axes

    def _fill(self, axes: str | None = None) -> None:
        """Show the axes and channels of the layer in the combo box."""
        layer = self._layer()
        self._axes.setEnabled(layer is not None)
        with QSignalBlocker(self._channels):
            self._channels.clear()
            self._further = []
            if layer is None:
                self._axes.clear()
                return
            chosen = self._chosen.get(layer)
            axes = axes or (chosen.axes if chosen else axes_of(layer))
            self._axes.setText(axes)
            self._further = companions(self._viewer, layer, axes)
            ticked = chosen.layers[1:] if chosen else preselected(layer, self._further)
            for i, name in enumerate(names_of_channels(layer, axes)):
                self._add(name, chosen is None or i in chosen.channels)
            for other in self._further:
                self._add(str(other.name), other in ticked)
        _fit_rows(self._channels)

    def _add(self, name: str, ticked: bool) -> None:
        item = QListWidgetItem(name)
        item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
        item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
        self._channels.addItem(item)

    def _emit(self) -> None:
        source = self.value()
        if source is not None:
            self._chosen[source.primary] = source
        elif self._layer() is not None and not self._note.text():
            self._note.setText("Tick at least one channel of this layer.")
        if source != self._emitted:
            self._emitted = source
            self.valueChanged.emit(source)


def _fit_rows(widget: QListWidget) -> None:
    """Make a list as high as its rows, up to a few."""
    rows = min(max(widget.count(), 1), _ROWS)
    height = widget.sizeHintForRow(0) if widget.count() else widget.fontMetrics().height()
    widget.setFixedHeight(rows * height + 2 * widget.frameWidth() + 4)
