"""Keeps the session and napari's layers in step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakSet

import napari
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from qtpy.QtCore import QObject, Signal

from napari_impartial.core.data.channels import select_channels
from napari_impartial.core.data.image import Image
from napari_impartial.core.data.scribbles import FOREGROUND, Scribbles
from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui import notifications
from napari_impartial.gui.timers import single_shot
from napari_impartial.io.memory_mapped import Scratch
from napari_impartial.session.image_record import ImageRecord
from napari_impartial.session.misfits import drop_asleep, knows_anything, settle
from napari_impartial.session.plane import PlaneIndex, PlaneKey, TrainingItem
from napari_impartial.session.session import CHANNEL_ADVICE, Session

from . import ResultLayers, Role, ScribbleLayers, Source, image_layers
from .camera import extent_in_view, in_middle, is_flat_view, same_field, show_whole
from .fields import FIELD, belong_together, fields_of
from .grid import planes_of, put_in_place
from .image_discovery import group, groups_of, other_images
from .lost_channels import lost_channels
from .scribble_reader import ScribbleReader
from .slide_layers import SlideLayers
from .visibility import Front

# All of a scribble layer's data was replaced, maybe for a whole stack.
REPLACED_PAUSE_MS = 400
_PLACEMENT = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


class Workspace(QObject):
    """Session, viewer and layers of one dock widget.

    Signals
    -------
    layers_changed
        The list of layers that could be an image.
    painted
        Scribbles have changed and have been read into the session.
    brush_changed
        Another tool or label is in hand, or a brush of another size.
    plane_changed
        Another plane of a stack is looked at, or another image was chosen.
    image_wanted
        Key of the image that should come to the front.
    about_to_read
        What is annotated is about to be read as a whole; the time to hand in the rest.
    scribbles_found
        A scribble layer that was not known before.
    handed_over
        An image whose first layer was removed, as led by the next one.
    field_wanted
        Label of the brush that was taken in hand for a slide, which needs a field to paint on.
    """

    layers_changed = Signal()
    painted = Signal()
    brush_changed = Signal()
    plane_changed = Signal()
    image_wanted = Signal(int)
    about_to_read = Signal()
    scribbles_found = Signal(object)
    handed_over = Signal(object)
    field_wanted = Signal(int)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.session = Session()
        self.scribbles = ScribbleLayers(viewer)
        self.scratch = Scratch()
        self.results = ResultLayers(viewer, self.scratch.large_zeros)
        self.slides = SlideLayers(viewer, self.results.outlines)
        self.sources: dict[int, Source] = {}
        self.front = Front(viewer, self._layers_of)
        self._keys = itertools.count()
        # Images that somebody said to be images of their own, by their keys.
        self._added: set[int] = set()
        self._watched: WeakSet[Labels] = WeakSet()
        self._followed: set[Layer] = set()
        self._removed: list[Layer] = []
        # What is to be said of channels that were lost.
        self._left_out: list[str] = []
        self._replaced_timer = single_shot(self, REPLACED_PAUSE_MS, self.read_scribbles)
        self._reader = ScribbleReader(self._labels_at, self._known_at, self)
        self._reader.read.connect(self._on_read)
        self._reader.refused.connect(notifications.show_warning)
        # Closing the viewer removes all layers, too: after a moment we know which it was.
        self._removal_timer = single_shot(self, 100, self._tell_removals)
        self._layers_timer = single_shot(self, 0, self._look_at_layers)
        layers = viewer.layers.events
        layers.inserted.connect(self._on_inserted)
        layers.removed.connect(self._on_removed)
        viewer.dims.events.current_step.connect(self._on_plane)
        for layer in viewer.layers:
            layer.events.name.connect(self._on_renamed)

    def disconnect_viewer(self) -> None:
        """Stop listening to the viewer; the dock is going."""
        for timer in (self._replaced_timer, self._removal_timer, self._layers_timer):
            timer.stop()
        self._reader.forget()
        self.results.outlines.let_go()
        layers = self.viewer.layers.events
        layers.inserted.disconnect(self._on_inserted)
        layers.removed.disconnect(self._on_removed)
        self.viewer.dims.events.current_step.disconnect(self._on_plane)
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._on_renamed)
        for layer in list(self._watched):
            for event, act in self._heard(layer):
                event.disconnect(act)
        self._watched.clear()
        for followed in self._followed:
            self._unfollow(followed)
        self._followed.clear()
        self.scratch.close()

    @property
    def source(self) -> Source | None:
        """The image in front of the user."""
        return None if self.session.current is None else self.sources[self.session.current]

    def bring(self, key: int) -> None:
        """Ask for an image of the session to come to the front, unless it is there."""
        if key != self.session.current:
            self.image_wanted.emit(key)

    def choose(self, source: Source | None) -> None:
        """Put an image in front of the user."""
        if source is None:
            self.session.choose(None)
            return
        key = self._key_for(source)
        old, before = self.sources.get(key), self.session.current
        self.sources[key] = source
        self.session.plane_index = source.plane_in_view(self.viewer)
        self._settle(key)
        self.session.choose(key, source.name, source.channel_names, source.is_slide)
        if old is not None and old != source:
            self.session.forget_copies(key)
        self.read_scribbles()
        if before != key:
            self.front.bring(source, self._not_in_front())
            last = self.sources.get(-1 if before is None else before)
            if last is not None and belong_together(last, source) and self._looks_at(source):
                pass  # from a slide to a field of it, or back: what is looked at stays in view
            elif last is not None and not same_field(last.primary, source.primary):
                show_whole(self.viewer, source)
        self.plane_changed.emit()

    def _looks_at(self, source: Source) -> bool:
        """Return whether the middle of the view lies in an image that is not tiny there."""
        y, x = (in_middle(self.viewer, source)[source.axes.index(a)] for a in "YX")
        height, width = source.plane_shape
        near = extent_in_view(self.viewer, source) <= 2 * min(height, width)
        return bool(near and 0 <= y <= height and 0 <= x <= width)

    def add(self, source: Source) -> int:
        """Make an image part of the session without bringing it to the front."""
        key = self._key_for(source)
        self._note(key, source)
        return key

    def _key_for(self, source: Source) -> int:
        """Return the key of an image, a new one if it has none; its layers are followed."""
        key = self.key_of(source.primary)
        self._follow(source)
        return next(self._keys) if key is None else key

    def _note(self, key: int, source: Source) -> None:
        """Keep an image of the session as it is now."""
        self.sources[key] = source
        self.session.add(key, source.name, source.channel_names, source.is_slide)

    def _known(self) -> Iterator[tuple[int, Source]]:
        """Go through the images of the session, some of which may be taken out meanwhile."""
        for key, source in list(self.sources.items()):
            if key in self.session.images:
                yield key, source

    def add_others(self) -> None:
        """Make all open images part of the session."""
        for source in other_images(self.viewer, self.known_sources(), self.source):
            self.add(source)
        self._added |= self.session.images.keys()
        self.read_scribbles()
        if self.source is not None:
            self.front.bring(self.source, self._not_in_front())

    def n_others(self) -> int:
        """Return the number of open images that are no part of the session."""
        return len({group(layer) for layer in self.left_over(image_layers(self.viewer))})

    def left_over(self, layers: Sequence[ImageLayer]) -> list[ImageLayer]:
        """Return those of some layers that belong to no image of the session."""
        taken = groups_of(self.known_sources())
        return [layer for layer in layers if group(layer) not in taken]

    def has_plane(self, key: int, plane: PlaneIndex) -> bool:
        """Return whether an image is in the session and has such a plane at present."""
        return key in self.session.images and self.sources[key].has_plane(plane)

    def known_sources(self) -> list[Source]:
        """Return the images of the session."""
        return [self.sources[key] for key in self.session.images]

    def objects_of(self, source: Source) -> Any | None:
        """Return the layer of an image's objects, or of a slide's, if it is in the viewer."""
        return self.results.find(source, Role.INSTANCES) or self.slides.find(source)

    def _not_in_front(self) -> list[Source]:
        return [source for source in self.known_sources() if source is not self.source]

    def _layers_of(self, source: Source) -> list[Layer]:
        """Return the layers of an image that are in the viewer, its first one first."""
        own = [self.scribbles.find(source), *(self.results.find(source, r) for r in Role)]
        there = [layer for layer in source.layers if layer in self.viewer.layers]
        return [*there, *(layer for layer in own if layer is not None)]

    def clear(self, keep: Collection[Layer] = ()) -> None:
        """Take the session's images, scribbles and results out of the viewer, and forget them.

        Layers in `keep` stay in the viewer.
        """
        self.choose(None)
        for key, source in self._known():
            self.results.remove_all(source)
            self.slides.remove(source)
            scribbles = self.scribbles.forget(source)
            for layer in (*source.layers, scribbles):
                if layer is not None and layer in self.viewer.layers and layer not in keep:
                    self.viewer.layers.remove(layer)
            self.session.remove(key)
        self.sources.clear()
        self.session.forget_models()

    def key_of(self, layer: Layer) -> int | None:
        """Return the key of the image that is named after `layer`."""
        return next((k for k, source in self.sources.items() if source.primary == layer), None)

    def new_scribbles(self, label: int = FOREGROUND) -> None:
        """Give the image in front a scribble layer, and the user the brush.

        A slide gets none, which would be as large as the slide: a field of it is wanted then.

        Parameters
        ----------
        label
            That is to be painted on the field.
        """
        source = self.source
        if source is None:
            notifications.show_warning("Open an image and choose it first.")
            return
        if source.is_slide:
            self.field_wanted.emit(label)
            return
        layer, how = self.scribbles.make(source)
        self._watch(layer)
        if how == "restored":
            notifications.show_info(f"'{layer.name}' is back with all its strokes.")
        elif how == "replaced":
            notifications.show_info(
                f"'old {layer.name}' keeps the strokes made before {source.name} had this shape."
            )
        self.brush_changed.emit()
        self.read_scribbles()

    def clear_scribbles(self) -> None:
        """Take the strokes of the plane in view away, as one step of the layer's undo."""
        if self.source is not None:
            self.scribbles.clear(self.source, self.session.plane_index)

    def read_scribbles(self) -> None:
        """Copy the scribbles of all images into the session."""
        self._reader.forget()
        for key, source in self._known():
            layer = self.scribbles.find(source)
            if layer is not None:
                self._watch(layer)
            try:
                self.session.set_scribbles(key, self.scribbles.read(source))
            except ImPartialError as error:
                self.session.set_scribbles(key, {})
                notifications.show_warning(str(error))
        self.painted.emit()

    def image(self, key: int, plane: PlaneIndex) -> Image:
        """Return the copy of a plane's pixels, made when first asked for.

        Raises
        ------
        ImPartialError
            If they cannot be read: the layers do not fit together, or a file is gone.
        """
        known = self.session.images[key].plane(plane)
        if known.image is None:
            source = self.sources[key]
            try:
                known.image = source.read(plane)
            except (OSError, MemoryError) as error:
                reason = str(error) or "there is not enough memory"
                raise ImPartialError(f"{source.name} cannot be read: {reason}.") from error
        return known.image

    def image_for(
        self, key: int, plane: PlaneIndex, channel_names: Sequence[str], other: str
    ) -> Image:
        """Return the copy of a plane with these channels, in this order.

        Raises
        ------
        ImPartialError
            If the image does not have them; the message ends in `other` and the names.
        """
        name = f"'{self.sources[key].name}'"
        return select_channels(self.image(key, plane), channel_names, name, other, CHANNEL_ADVICE)

    def training_set(self, channel_names: Sequence[str] | None = None) -> list[TrainingItem]:
        """Copy what there is to train on.

        Parameters
        ----------
        channel_names
            Of the model that training goes on from; by default those of the image in front.

        Raises
        ------
        ImPartialError
            If that is nothing, or something does not fit.
        """
        self.about_to_read.emit()
        self.read_scribbles()
        missing = self.session.missing_for_training()
        if missing:
            raise ImPartialError(missing)
        assert self.session.record is not None
        names, other = self.session.record.channel_names, f"'{self.session.record.name}' has"
        if channel_names is not None:
            names, other = tuple(channel_names), "the model was trained on"
        items = []
        for key, plane, scribbles in self.session.scribbled():
            image = self.image_for(key, plane, names, other)
            items.append(TrainingItem(key, plane, replace(image, channel_names=names), scribbles))
        return items

    def _watch(self, layer: Labels) -> None:
        if layer not in self._watched:
            self._watched.add(layer)
            self.scribbles_found.emit(layer)
            for event, act in self._heard(layer):
                event.connect(act)

    def _heard(self, layer: Labels) -> list[tuple[Any, Callable[..., None]]]:
        """Return what is heard of a scribble layer, and what follows from it."""
        events = layer.events
        # Undo and redo are told by `set_data` alone.
        heard = [(events.paint, self._on_painted), (events.set_data, self._on_painted)]
        brush = (events.mode, events.selected_label, events.brush_size)
        return [*heard, (events.data, self._on_replaced), *((one, self._on_brush) for one in brush)]

    def _follow(self, source: Source) -> None:
        """Let scribbles and results lie where the first layer lies, and show all layers' pixels."""
        for layer in source.layers:
            if layer not in self._followed:
                self._followed.add(layer)
                for name in _PLACEMENT:
                    getattr(layer.events, name).connect(self._on_moved)
                layer.events.data.connect(self._on_image_replaced)

    def _unfollow(self, layer: Layer) -> None:
        for name in _PLACEMENT:
            getattr(layer.events, name).disconnect(self._on_moved)
        layer.events.data.disconnect(self._on_image_replaced)

    def _on_moved(self, event: Any) -> None:
        key = self.key_of(event.source)
        if key is None or key not in self.session.images:
            return
        source = self.sources[key]
        layers = [self.scribbles.kept(source), *(self.results.find(source, r) for r in Role)]
        for layer in layers:
            if layer is not None:
                put_in_place(layer, source)

    def _on_image_replaced(self, event: Any) -> None:
        for key, source in self._known():
            if event.source in source.layers:
                self.session.forget_copies(key)
                if source.fits():
                    self._settle(key)
        # The picture may have other axes now, which the image panel has to show.
        self._layers_timer.start()

    def forget_misfits(self, key: int) -> None:
        """Forget what was laid aside of an image, now that there are results of its new size."""
        if drop_asleep(self.session, key):
            self._drop_misfits(self.sources[key])

    def settle_all(self) -> None:
        """Lay aside of all images what does not fit them."""
        for key, _ in self._known():
            self._settle(key)

    def _settle(self, key: int) -> None:
        """Lay aside what does not fit an image as it is now, and take up again what does."""
        if settle(self.session, key, self.sources[key]):
            self._drop_misfits(self.sources[key])

    def _drop_misfits(self, source: Source) -> None:
        self.results.remove_misfits(source)
        self._tell_dropped(source)

    @staticmethod
    def _tell_dropped(source: Source) -> None:
        notifications.show_warning(
            f"{source.name} has other axes or another size than before: the objects and "
            "decisions of then are gone, strokes stay in their layer."
        )

    def _on_brush(self, _: Any = None) -> None:
        self.brush_changed.emit()

    def _on_painted(self, event: Any) -> None:
        for key, source in self._known():
            if self.scribbles.find(source) is event.source:
                self._note_painted(key, source, event)

    def _note_painted(self, key: int, source: Source, event: Any) -> None:
        """Have the planes read that were painted: in a view from the side, many at once."""
        layer = event.source
        if layer.n_edit_dimensions == 2 and is_flat_view(self.viewer, source):
            self._reader.painted((key, source.plane_in_view(self.viewer)))
        elif event.type == "paint" and event.value:
            for plane in planes_of(source, [atom[0] for atom in event.value]):
                self._reader.painted((key, plane))
        else:
            # Undo and redo, and what is written past them, do not say where.
            self._replaced_timer.start()

    def _on_replaced(self, _: Any = None) -> None:
        self._replaced_timer.start()

    def _labels_at(self, spot: PlaneKey) -> Any | None:
        key, plane = spot
        there = key in self.session.images
        return self.scribbles.view(self.sources[key], plane) if there else None

    def _known_at(self, spot: PlaneKey) -> Scribbles | None:
        return self.session.images[spot[0]].plane(spot[1]).scribbles

    def _on_read(self, found: dict[PlaneKey, Scribbles | None]) -> None:
        for (key, plane), scribbles in found.items():
            if key in self.session.images:
                self.session.set_plane_scribbles(key, plane, scribbles)
        self.painted.emit()

    def _on_plane(self, _: Any = None) -> None:
        source = self.source
        if source is None or not source.stack_axes:
            return
        plane = source.plane_in_view(self.viewer)
        if plane != self.session.plane_index:
            self.session.plane_index = plane
            self.plane_changed.emit()

    def _on_inserted(self, event: Any) -> None:
        event.value.events.name.connect(self._on_renamed)
        if self.source is not None:
            self.front.keep_back(event.value, self.source, self._not_in_front())
        self._layers_timer.start()

    def _on_renamed(self, event: Any) -> None:
        key = self.key_of(event.source)
        if key is not None and key in self.session.images:
            record, own = self.session.images[key], self.sources[key]
            for layers in (self.results, self.scribbles, self.slides):
                layers.rename(own, record.name)
            for source, _ in fields_of(record.name, self.sources.values()):
                for layer in source.layers:
                    layer.metadata[FIELD]["slide"] = own.name
            record.name = own.name
        for key, source in self._known():
            # A model finds channels by their present names.
            renamed = self.session.images[key].channel_names != source.channel_names
            if event.source in source.layers and renamed:
                self.session.forget_copies(key)
                self._note(key, source)
        self._layers_timer.start()

    def _on_removed(self, event: Any) -> None:
        event.value.events.name.disconnect(self._on_renamed)
        self._removed.append(event.value)
        self._removal_timer.start()
        self._layers_timer.start()

    def _look_at_layers(self) -> None:
        present = image_layers(self.viewer)
        for key, source in self._known():
            heir = None if source.primary in present else source.heir(present)
            if heir is not None and self._may_lead(heir.primary):
                self._hand_over(key, heir)
            elif source.primary not in present or not source.fits():
                self._take_out(key)
            elif lost := source.lost(present):
                self._leave_out(key, lost)
        self._let_go()
        self.layers_changed.emit()
        self.read_scribbles()

    def _take_out(self, key: int) -> None:
        """Take an image out of the session that is gone, or has axes of another number."""
        source, record = self.sources[key], self.session.images[key]
        lost = any(map(knows_anything, record.planes.values()))
        if lost and source.primary in self.viewer.layers:
            self._tell_dropped(source)
        self.session.remove(key)

    def _may_lead(self, layer: ImageLayer) -> bool:
        """Return whether no image of which anything is known is led by this layer already."""
        key = self.key_of(layer)
        record = None if key is None else self.session.images.get(key)
        return record is None or not _is_known(record)

    def drop_untouched(self, key: int) -> None:
        """Take an image out of the session of which nothing is known, to be added again."""
        record = self.session.images.get(key)
        if record is not None and key != self.session.current and not _is_known(record):
            self.session.remove(key)
            if self.source is not None:
                self.front.bring(self.source, self._not_in_front())

    def is_untouched(self) -> bool:
        """Return whether nothing is known of any image yet."""
        return not any(map(_is_known, self.session.images.values()))

    def images_apart(self) -> list[ImageLayer]:
        """Return the layers that lead images which are known to be images of their own."""
        return [
            self.sources[key].primary
            for key, record in self.session.images.items()
            if key in self._added or _is_known(record)
        ]

    def _hand_over(self, key: int, heir: Source) -> None:
        """Let the next of an image's layers lead, since the first one was removed."""
        if (empty := self.key_of(heir.primary)) is not None:
            self.session.remove(empty)
            del self.sources[empty]
        old, record = self.sources[key], self.session.images[key]
        self.scribbles.hand_over(old, heir)
        self.results.hand_over(old, heir)
        self.results.rename(heir, record.name)
        self.scribbles.rename(heir, record.name)
        self.session.forget_copies(key)
        self._note(key, heir)
        self._left_out += lost_channels(heir, old.layers[:1], self.viewer.layers)
        self._removal_timer.start()
        self.handed_over.emit(heir)

    def _let_go(self) -> None:
        """Keep nothing of images of which nothing is left in the viewer."""
        if self.session.busy:
            return  # a batch may be at work on one of them
        for key, source in list(self.sources.items()):
            if key not in self.session.images and not self._layers_of(source):
                del self.sources[key]
                self.scribbles.forget(source)
                self.results.remove_all(source)
                self.slides.remove(source)
        used = {layer for source in self.sources.values() for layer in source.layers}
        for layer in self._followed - used:
            self._unfollow(layer)
        self._followed &= used

    def _leave_out(self, key: int, lost: list[ImageLayer]) -> None:
        """Go on without layers of an image that cannot be its channels any more."""
        source = self.sources[key].without(lost)
        self.session.forget_copies(key)
        self._note(key, source)
        self._left_out += lost_channels(source, lost, self.viewer.layers)
        self._removal_timer.start()

    def _tell_removals(self) -> None:
        removed, self._removed = self._removed, []
        left_out, self._left_out = self._left_out, []
        if not len(self.viewer.layers):
            return
        for sentence in left_out:
            notifications.show_warning(sentence)
        for layer in removed:
            if isinstance(layer, Labels) and self.scribbles.removed(layer):
                notifications.show_warning(
                    f"Press New scribbles to bring '{layer.name}' back with all its strokes."
                )
            elif self.results.holds(layer, Role.INSTANCES):
                notifications.show_info(f"Move a slider in step 4 to show '{layer.name}' again.")


def _is_known(record: ImageRecord) -> bool:
    """Return whether there are strokes, results or decisions of an image."""
    return bool(record.annotated) or any(map(knows_anything, record.planes.values()))
