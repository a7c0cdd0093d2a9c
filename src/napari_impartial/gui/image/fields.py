"""Fields of slides: taken where one looks, and found again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_impartial.core.data.boxes import Box
from napari_impartial.core.data.scribbles import FOREGROUND
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.words import count
from napari_impartial.gui import notifications
from napari_impartial.gui.background import Latest
from napari_impartial.gui.layers import Source, image_layers
from napari_impartial.gui.layers.fields import (
    Field,
    Level,
    box_at,
    field_of,
    fields_of,
    levels,
    make,
    middle_of_view,
    read,
    usual_level,
)
from napari_impartial.gui.layers.image_discovery import source_of
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.io.images import SLIDE_SUFFIXES, TIFF_SUFFIXES
from napari_impartial.io.lazy_files import open_lazy
from napari_impartial.io.ome_zarr import images_in, is_zarr, open_image

from .slide_row import SlideRow

_UM = {"Å": 1e-4, "nm": 1e-3, "µm": 1.0, "mm": 1e3}


class FieldControl(QObject):
    """Takes fields out of the slide that is worked on.

    The slide is that in front, or that of the field in front.

    Signals
    -------
    taken
        A field, as a :class:`Source` whose layers are in the viewer, which should come to the
        front.
    changed
        What can be done has changed.
    """

    taken = Signal(object)
    changed = Signal()

    def __init__(self, workspace: Workspace, row: SlideRow, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._row = row
        # The resolution that was chosen for each slide, and what is known of its resolutions.
        self._chosen: WeakKeyDictionary[Layer, int] = WeakKeyDictionary()
        self._known: WeakKeyDictionary[Layer, list[Level]] = WeakKeyDictionary()
        self._reading = Latest(self)
        self._reading.done.connect(self._on_read)
        self._reading.failed.connect(lambda _: self.changed.emit())
        self._then: Callable[[Source], None] = lambda _: None
        self._what: tuple[Source, tuple[int, ...], Field] | None = None
        row.field_wanted.connect(self.take)
        row.level_changed.connect(self._on_level)
        workspace.field_wanted.connect(self._on_brush)

    @property
    def busy(self) -> bool:
        """Return whether a field is being read."""
        return self._reading.busy

    def slide(self) -> Source | None:
        """Return the slide that is worked on."""
        source = self._workspace.source
        if source is None or source.is_slide:
            return source
        field = field_of(source.primary)
        return None if field is None else self._by_name(field.slide)

    def levels(self, slide: Source) -> list[Level]:
        """Return the resolutions of a slide."""
        layer = slide.primary
        if layer not in self._known:
            self._known[layer] = levels(slide, _pixel_in_file(layer))
        return self._known[layer]

    def level(self, slide: Source) -> int:
        """Return the resolution in use."""
        choice = self.levels(slide)
        chosen = self._chosen.get(slide.primary, usual_level(choice))
        return min(chosen, len(choice) - 1)

    def fields(self, slide: Source) -> list[tuple[Source, Field]]:
        """Return the fields of a slide that are open."""
        return fields_of(slide.name, self._workspace.known_sources())

    def show(self) -> None:
        """Offer what there is."""
        slide = self.slide()
        if slide is None:
            self._row.set_slide("", [], 0, False)
            return
        n = len(self.fields(slide))
        size = math.prod(slide.plane_shape) / 1e6
        text = (
            f"A slide of {size:,.0f} megapixels: paint on fields of it, as many as you like."
            if not n
            else f"A slide of {size:,.0f} megapixels, with {count(n, 'field')} so far."
        )
        self._row.set_slide(text, self.levels(slide), self.level(slide), not self.busy)

    def take(self) -> None:
        """Take a field where the viewer looks."""
        self.take_at(None, lambda _: None)

    def take_at(
        self,
        box: tuple[float, float, float, float] | None,
        then: Callable[[Source], None],
        again: bool = True,
        slide: Source | None = None,
    ) -> None:
        """Take a field round a box.

        Parameters
        ----------
        box
            In pixels of the slide's finest level; None for the middle of the view.
        then
            Called with the field once it is in front.
        again
            Take a new one even where there is one that holds the box.
        slide
            By default the one that is worked on.
        """
        slide = self.slide() if slide is None else slide
        if slide is None or self.busy:
            return
        if box is None:
            y, x = middle_of_view(self._workspace.viewer, slide)
            box = (y, x, y, x)
        plane = slide.plane_in_view(self._workspace.viewer)
        there = [s for s, field in self.fields(slide) if field.holds(box) and field.plane == plane]
        if there and not again:
            self.taken.emit(there[-1])
            then(there[-1])
            return
        number, choice = self.level(slide), self.levels(slide)
        place = box_at(choice[number], (box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        numbers = [field.number for _, field in self.fields(slide)]
        of = max(numbers, default=0) + 1
        field = Field(slide.name, of, number, place, choice[number].factor, plane)
        self._then, self._what = then, (slide, plane, field)
        self._reading.request(partial(_safely, slide, plane, number, place))
        self.changed.emit()

    def save(self) -> dict[str, int]:
        """Return the resolutions that were chosen, by the names of the slides."""
        there = self._workspace.viewer.layers
        return {str(layer.name): n for layer, n in self._chosen.items() if layer in there}

    def restore(self, chosen: dict[str, int]) -> None:
        """Take what :meth:`save` returned, once images are back."""
        for layer in image_layers(self._workspace.viewer):
            if str(layer.name) in chosen:
                self._chosen[layer] = int(chosen[str(layer.name)])

    def _by_name(self, name: str) -> Source | None:
        """Return the slide of a name."""
        for source in self._workspace.sources.values():
            present = source.primary in self._workspace.viewer.layers
            if source.name == name and source.is_slide and present:
                return source
        for layer in image_layers(self._workspace.viewer):
            if layer.name == name:
                source = source_of(self._workspace.viewer, layer, None)
                if source.is_slide:
                    return source
        return None

    def _on_brush(self, label: int) -> None:
        def paint(source: Source) -> None:
            if self._workspace.source == source:
                self._workspace.new_scribbles()
                layer = self._workspace.scribbles.find(source)
                if layer is not None:
                    self._workspace.scribbles.activate(layer, label or FOREGROUND)

        self.take_at(None, paint, again=False)

    def _on_level(self, number: int) -> None:
        slide = self.slide()
        if slide is not None:
            self._chosen[slide.primary] = number
            self.changed.emit()

    def _on_read(self, parts: list[npt.NDArray[Any]] | str) -> None:
        assert self._what is not None
        slide, plane, field = self._what
        if isinstance(parts, str):
            notifications.show_error(f"No field can be read of '{slide.name}': {parts}")
        elif slide.primary in self._workspace.viewer.layers:
            # Whatever it is called by now.
            made = make(slide, plane, replace(field, slide=slide.name), parts)
            for layer in made.layers:
                self._workspace.viewer.add_layer(layer)
            self.taken.emit(made)
            self._then(made)
        self.changed.emit()


def _safely(
    slide: Source, plane: tuple[int, ...], level: int, box: Box
) -> list[npt.NDArray[np.generic]] | str:
    """Read a field, or say why not: whoever wrote a slide may have written anything."""
    try:
        return read(slide, plane, level, box)
    except (ImPartialError, OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        return str(error) or type(error).__name__


def _pixel_in_file(layer: ImageLayer) -> float | None:
    """Return the height of a pixel in µm as a file says it; napari's own reader does not."""
    path = layer.source.path
    try:
        if not path or not Path(path).exists():
            return None
        if is_zarr(path):
            image = open_image(images_in(path)[0])
        elif Path(path).suffix.lower() in (*TIFF_SUFFIXES, *SLIDE_SUFFIXES):
            with notifications.notes_shown():
                image = open_lazy(path)
        else:
            return None
    except (ImPartialError, OSError):
        return None
    unit = _UM.get(image.pixel_unit)
    return None if unit is None or image.pixel_size is None else image.pixel_size[0] * unit
