"""Step 1: which layers, axes and channels are the image."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

import napari
from napari.layers import Image as ImageLayer
from qtpy.QtCore import QEvent, QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QFormLayout, QLineEdit, QVBoxLayout, QWidget

from napari_impartial.core.data.image import Image, check_axes
from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui.layers import Source, image_layers, preselected
from napari_impartial.gui.layers.image_source import (
    axes_are_guessed,
    axes_of,
    channel_name,
    companions,
    data_of,
    look_at_channels,
    names_of_channels,
    origin_of,
    usual_channels,
)
from napari_impartial.gui.widgets.parts import fill, make_choice, named, say
from napari_impartial.gui.widgets.text_labels import explained, line, link_colour, tell
from napari_impartial.session.plane import PlaneIndex

from .axes_text import explain_axes, other_readings
from .channel_table import Channel, ChannelTable
from .colour_picture import COLOUR, as_colour


class ImagePanel(QWidget):
    """Picks the image: a layer, its axes, its channels, and layers that are channels more.

    Signals
    -------
    valueChanged
        The :class:`Source`, or None where there is none.
    colour_wanted
        A layer, and its axes, whose three planes should be shown as one picture in colour.
    """

    valueChanged = Signal(object)
    colour_wanted = Signal(object, str)

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._layers: list[ImageLayer] = []
        # What was chosen for each layer, for when the user comes back to it.
        self._chosen: dict[ImageLayer, Source] = {}
        self._further: list[ImageLayer] = []
        # Layers that are images of their own.
        self._apart: set[ImageLayer] = set()
        # Names as the layers have them, of all rows of the table.
        self._names: list[str] = []
        self._shown: object = None
        self._emitted: Source | None = None
        self._build()

    def _build(self) -> None:
        self._combo = make_choice(
            "image_combo",
            "The image layer to segment; results are named after it.",
            "Image",
            10,
        )
        self._axes = named(
            QLineEdit(),
            "axes_edit",
            "One letter for each axis of the layer: C channel, Z depth, T time, Y, X. "
            "Correct it if it was guessed wrongly.",
            "Axes",
        )
        self._axes.setMaxLength(5)
        self._meaning = line("axes_label", "What the image is taken for.")
        self._meaning.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse
            | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        self.table = ChannelTable()
        self._note = line("image_note", "What is wrong with the choice above.")
        self._note.hide()
        form = QFormLayout()
        for editor in (self._combo, self._axes):
            form.addRow(explained(editor.accessibleName(), editor.toolTip()), editor)
        parts = (form, self._meaning, self.table, self._note)
        fill(QVBoxLayout(self), *parts, margins=(4, 0, 4, 0))
        self._combo.currentIndexChanged.connect(self._on_layer)
        self._axes.editingFinished.connect(self._on_axes)
        self._meaning.linkActivated.connect(self._on_link)
        self._meaning.installEventFilter(self)
        self.table.edited.connect(self._on_edited)

    def value(self) -> Source | None:
        """Return what is picked, or None while that is no image."""
        layer = self._layer()
        axes = self._checked_axes()
        if layer is None or axes is None:
            return None
        rows = self.table.channels
        own = len(rows) - len(self._further)
        channels = tuple(i for i in range(own) if rows[i].used)
        further = [other for other, row in zip(self._further, rows[own:], strict=True) if row.used]
        if not channels:
            return None
        plain = Source((layer, *further), axes, channels)
        names = tuple(row.name for row in rows if row.used)
        before = tuple(name for name, row in zip(self._names, rows, strict=True) if row.used)
        if names == before or names == plain.channel_names:
            return plain
        return Source(plain.layers, axes, channels, names)

    def setValue(self, source: Source | None) -> None:
        """Pick a source; its layers have to be in the viewer."""
        if source is None:
            return
        self._chosen[source.primary] = source
        self._shown = None
        index = self._layers.index(source.primary)
        if self._combo.currentIndex() != index:
            self._combo.setCurrentIndex(index)
        else:
            self._on_layer(index)

    def _on_link(self, target: str) -> None:
        layer, axes = self._layer(), self._checked_axes()
        if target != COLOUR:
            self.set_axes(target)
        elif layer is not None and axes is not None:
            self.colour_wanted.emit(layer, axes)

    def set_axes(self, axes: str) -> None:
        """Correct the axes of the layer that is picked."""
        self._axes.setText(axes)
        self._on_axes()

    def remember(self, sources: Iterable[Source]) -> None:
        """Show these axes and channels once their layers are picked."""
        self._chosen.update({source.primary: source for source in sources})

    def has_layers(self) -> bool:
        """Return whether there is anything to pick."""
        return bool(self._layers)

    def pick_selected(self) -> None:
        """Pick the image that is selected in the viewer's list, if it is another one.

        Whoever has opened or selected an image, and then takes the brush, means that one: the
        strokes would else go unseen into the one before. What a script added on its pixels is a
        channel of it, though.
        """
        selected = self._viewer.layers.selection.active
        if self._layers != image_layers(self._viewer):
            self.refresh()
        unticked = [layer for layer in self.offered() if origin_of(layer) is not None]
        mine = [x for x in (self._layer(), *self._further) if x not in unticked]
        if selected in self._layers and selected not in mine and selected.visible:
            self._combo.setCurrentIndex(self._layers.index(selected))

    def offered(self) -> list[ImageLayer]:
        """Return the layers that could be channels of the image, and are not ticked."""
        rows = self.table.channels[len(self.table.channels) - len(self._further) :]
        return [layer for layer, row in zip(self._further, rows, strict=True) if not row.used]

    def tick_offered(self) -> None:
        """Make all layers that could be channels of the image its channels."""
        n = len(self.table.channels)
        self.table.tick(range(n - len(self._further), n))

    def keep_apart(self, layers: Collection[ImageLayer]) -> None:
        """Offer these as channels no more: they are images of their own."""
        if set(layers) != self._apart:
            self._apart = set(layers)
            self._fill()

    def refresh(self, follow: bool = False) -> None:
        """Follow the viewer's layers; what was picked stays picked.

        Parameters
        ----------
        follow
            Pick what was opened from a file since then, which lies on top.
        """
        before = self._layer()
        known, self._layers = self._layers, image_layers(self._viewer)
        active = self._viewer.layers.selection.active
        if (
            follow
            and active in self._layers
            and active not in known
            and origin_of(active) is not None
        ):
            before = self._leader(active)
        with QSignalBlocker(self._combo):
            self._combo.clear()
            self._combo.addItems([layer.name for layer in self._layers])
            if before in self._layers:
                self._combo.setCurrentIndex(self._layers.index(before))
            elif self._layers:
                leader = self._leader(active) if active in self._layers else self._layers[0]
                self._combo.setCurrentIndex(self._layers.index(leader))
        self._fill()
        self._emit()

    def _leader(self, layer: ImageLayer) -> ImageLayer:
        """Return the first of the layers that were opened from one file together."""
        others = companions(self._viewer, layer, axes_of(layer))
        together = [layer, *preselected(layer, others)]
        return min(together, key=self._layers.index)

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

    def _on_edited(self) -> None:
        source = self.value()
        if source is not None:
            self._chosen[source.primary] = source
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
            say(self._note, str(error))
            # What it says is of the axes before.
            self._meaning.hide()
            return None
        say(self._note, "")
        self._meaning.show()
        return axes

    def _fill(self, axes: str | None = None) -> None:
        """Show the axes and channels of the layer in the combo box."""
        layer = self._layer()
        self._axes.setEnabled(layer is not None)
        self.table.setVisible(layer is not None)
        self._meaning.setVisible(layer is not None)
        if layer is None:
            self._further, self._names, self._shown = [], [], None
            self._axes.clear()
            self.table.set_channels([])
            return
        shape = data_of(layer).shape
        chosen = self._chosen.get(layer)
        if chosen is not None and len(chosen.axes) != len(shape):
            # The layer was given other pixels; what was chosen for the old ones is void.
            del self._chosen[layer]
            chosen = None
        axes = axes or (chosen.axes if chosen else axes_of(layer))
        kept = chosen.layers if chosen else ()
        further = [
            other
            for other in companions(self._viewer, layer, axes, kept)
            if other in kept or other not in self._apart
        ]
        own = names_of_channels(layer, axes)
        names = [*own, *(channel_name(other) for other in further)]
        # Layers come and go while results are made; what is shown stays unless it changed.
        shown = (layer, axes, shape, tuple(further), tuple(names))
        if shown == self._shown:
            return
        self._shown, self._further, self._names = shown, further, names
        self._axes.setText(axes)
        self._explain(layer, axes)
        ticked = (
            [*chosen.channels, *chosen.layers[1:]]
            if chosen
            else [*usual_channels(layer, axes), *preselected(layer, further)]
        )
        # By channel and layer, not by their order: one of them may be gone for a while.
        renamed = dict(zip(ticked, chosen.names, strict=False)) if chosen else {}
        flat = axes.replace("C", "")
        where = Source((layer,), axes, (0,))
        rows = []
        for channel, name in zip([*range(len(own)), *further], names, strict=True):
            source = (layer, axes, channel) if isinstance(channel, int) else (channel, flat, 0)
            plane = where.plane_in_view(self._viewer)
            on = channel in ticked
            rows.append(Channel(renamed.get(channel, name), on, partial(_read, *source, plane)))
        self.table.set_channels(rows)

    def look_at_plane(self) -> None:
        """Show the normalization of the plane in view."""
        layer, axes = self._layer(), self._checked_axes()
        if layer is None or axes is None or not (set("TZ") & set(axes)):
            return
        plane = Source((layer,), axes, (0,)).plane_in_view(self._viewer)
        for row in self.table.channels:
            assert isinstance(row.read, partial)
            other, letters, channel, before = row.read.args
            if before == plane:
                return
            row.read = partial(_read, other, letters, channel, plane)
        self.table.look_again()

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Write links anew in colours that are seen: the theme comes after the first text."""
        if event.type() == QEvent.Type.PaletteChange and self._shown is not None:
            layer, axes = self._layer(), self._axes.text()
            if layer is not None and not self._meaning.isHidden():
                self._explain(layer, axes)
        return bool(super().eventFilter(watched, event))

    def _explain(self, layer: ImageLayer, axes: str) -> None:
        shape = data_of(layer).shape
        text = explain_axes(axes, shape, bool(self._further))
        if axes_are_guessed(layer):
            colour = link_colour(self)
            links = [
                f"<a href='{letters}' style='color: {colour}'>{words} ({letters})</a>"
                for letters, words in other_readings(axes, shape)
                if not (layer.rgb and letters[-1] != "C")
            ]
            if as_colour(layer, axes, look=True) is not None:
                links.append(f"<a href='{COLOUR}' style='color: {colour}'>a colour picture</a>")
            if links:
                text += f" Guessed from the shape; if they are something else: {', '.join(links)}."
        tell(self._meaning, text)

    def _emit(self) -> None:
        source = self.value()
        if source is not None:
            # A channel that is gone without the user's doing stays chosen, for its return.
            self._chosen.setdefault(source.primary, source)
        elif self._layer() is not None and not self._note.text():
            say(self._note, "Tick at least one channel of this layer.")
        if source != self._emitted:
            self._emitted = source
            self.valueChanged.emit(source)


def _read(layer: ImageLayer, axes: str, channel: int, plane: PlaneIndex) -> Image:
    return look_at_channels(layer, axes, plane, range(channel, channel + 1))
