"""Accept, reject and correct objects: between the session and the instances layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_impartial.core.data.boxes import Box, centre
from napari_impartial.core.data.scribbles import BACKGROUND, FOREGROUND, from_labels
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.seams import continued
from napari_impartial.core.review.annotation import background_stroke, withdrawn
from napari_impartial.core.review.review import (
    Region,
    Review,
    Verdict,
    accept,
    collect,
    compose,
    crop,
    difference,
    reject,
    revert,
    with_returned,
)
from napari_impartial.gui.layers import Role
from napari_impartial.gui.layers.camera import bring_into_view
from napari_impartial.gui.layers.layer_undo import LayerUndo
from napari_impartial.gui.layers.result_layers import selection_kept
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.timers import single_shot
from napari_impartial.session.plane import Plane, PlaneIndex, PlaneKey
from napari_impartial.session.undo import Decision, DecisionLog

# A stroke is a burst of events; what follows from it can wait for its end.
EDIT_PAUSE_MS = 400


@dataclass
class _Shown:
    """Labels last written to a plane of an instances layer."""

    layer: Labels
    labels: npt.NDArray[np.int32]
    own: bool = False  # whether `labels` is nobody else's and may be written to


class ReviewControl(QObject):
    """Writes the instances layers, notices what hands change there, and keeps decisions.

    Signals
    -------
    changed
        Decisions about the plane in view, or what can be undone.
    corrected
        Key and plane of which the objects are others now, but for new cuts.
    removed
        Labels of objects of the plane in view that were rejected.
    undone
        What was undone, in words, and the labels of the objects in view that it was about, or
        None where it was about something else.
    """

    changed = Signal()
    corrected = Signal(int, object)
    removed = Signal(object)
    undone = Signal(str, object)

    def __init__(self, workspace: Workspace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._session = workspace.session
        self._shown: dict[tuple[int, PlaneIndex], _Shown] = {}
        self._watched: WeakSet[Labels] = WeakSet()
        self._edited: WeakSet[Labels] = WeakSet()
        # Planes that were in view when something was done to their layer, not looked at since.
        self._touched: set[PlaneKey] = set()
        self.log = DecisionLog()
        self.log.changed.connect(self.changed.emit)
        self._pause = single_shot(self, EDIT_PAUSE_MS, self._collect_touched)
        workspace.about_to_read.connect(self.collect_all)
        self._layer_undo = LayerUndo(self.log, self._collect_touched, self.undo)
        workspace.scribbles_found.connect(self._layer_undo.watch)
        workspace.painted.connect(self._take_back_rejections)
        workspace.plane_changed.connect(self.changed.emit)
        self._session.dropped.connect(self._on_dropped)

    def let_go(self) -> None:
        """Stop listening to layers; the dock is going."""
        self._pause.stop()
        self._layer_undo.let_go()
        for layer in list(self._watched):
            for event in self._events(layer):
                event.disconnect(self._on_event)
        self._watched.clear()

    def show(self, key: int, plane: PlaneIndex, labels: npt.NDArray[np.int32]) -> None:
        """Write objects to the instances layer; `labels` must not be changed later."""
        layer = self._workspace.results.find(self._workspace.sources[key], Role.INSTANCES)
        if layer in self._edited:
            self._edited.discard(layer)
            self.log.forget_strokes(layer)
        layer = self._workspace.results.write(
            self._workspace.sources[key], plane, Role.INSTANCES, labels
        )
        if layer is None:
            self._shown.pop((key, plane), None)
            return
        self._shown[key, plane] = _Shown(layer, labels)
        self._watch(layer)

    def show_none(self, key: int, plane: PlaneIndex) -> None:
        """Take the objects of a plane out of its layer, if it has one."""
        shown = self._workspace.results.read(self._workspace.sources[key], plane, Role.INSTANCES)
        if shown is not None and shown.any():
            self.show(key, plane, np.zeros(shown.shape, np.int32))

    def show_preview(
        self, key: int, plane: PlaneIndex, labels: npt.NDArray[np.int32], box: Box
    ) -> None:
        """Write the objects of a field that a running training has predicted."""
        self.collect(key, plane)
        source, results = self._workspace.sources[key], self._workspace.results
        known = self._session.images[key].plane(plane)
        # Labels of the field must not be those of objects outside of it, which may be of an
        # earlier preview.
        now = results.read(source, plane, Role.INSTANCES)
        first = 0 if now is None else _largest_outside(now, box)
        if known.instances is not None:
            first = max(first, int(known.instances.max(initial=0)))
        labels = np.where(labels > 0, labels + first, 0).astype(np.int32)
        outside = np.zeros(source.plane_shape, np.int32) if now is None else now
        labels = continued(outside, labels, box)
        labels = compose(labels, crop(known.review, box))
        layer = results.write_box(source, plane, Role.INSTANCES, labels, box)
        if layer is None:
            return
        self._watch(layer)
        shown = self._shown.get((key, plane))
        if shown is None or shown.layer is not layer:
            now = results.read(source, plane, Role.INSTANCES)
            assert now is not None
            self._shown[key, plane] = _Shown(layer, now.copy(), own=True)
            return
        if not shown.own:
            shown.labels, shown.own = shown.labels.copy(), True
        y0, x0, y1, x1 = box
        shown.labels[y0:y1, x0:x1] = labels

    def collect_all(self) -> None:
        """Take note of all that was changed by hand."""
        for key, plane in list(self._shown):
            self.collect(key, plane)

    def collect(self, key: int, plane: PlaneIndex) -> None:
        """Take note of what was changed by hand in one plane."""
        found = self._look_at(key, plane)
        if found is None:
            return
        shown, now, review, labels = found
        known = self._session.images[key].plane(plane)
        before = known.review
        known.set_review(review, labels)
        if np.array_equal(labels, now):
            self._shown[key, plane] = _Shown(shown.layer, labels)
        else:
            self.show(key, plane, labels)
        self.log.push(self._decision("the correction", (key, plane), before, review), review)
        # They are a decision now: its parts are not undone one by one.
        self.log.forget_strokes(shown.layer)
        self.corrected.emit(key, plane)

    def pending(self) -> dict[PlaneKey, Review]:
        """Return the decisions in planes where hands have only just changed something.

        Nothing is taken note of: this is for a window that is closing.
        """
        found = {place: self._look_at(*place) for place in self._touched}
        return {place: one[2] for place, one in found.items() if one is not None}

    def _look_at(
        self, key: int, plane: PlaneIndex
    ) -> tuple[_Shown, npt.NDArray[Any], Review, npt.NDArray[np.int32]] | None:
        """Return what was shown and is there now, and what follows; None if nothing changed."""
        shown = self._shown.get((key, plane))
        record = self._session.images.get(key)
        if shown is None or record is None:
            self._shown.pop((key, plane), None)
            return None
        source, results = self._workspace.sources[key], self._workspace.results
        if results.find(source, Role.INSTANCES) is not shown.layer:
            return None
        now = results.read(source, plane, Role.INSTANCES)
        if now is None or now.shape != shown.labels.shape:
            return None
        known = record.plane(plane)
        cut = shown.labels if known.cut is None else known.cut
        review, labels = collect(shown.labels, now, cut, known.review, _kind_of(known))
        return None if labels is shown.labels else (shown, now, review, labels)

    def accept(self, labels: Sequence[int]) -> None:
        """Keep objects of the plane in view as they are."""
        known, place = self._in_view()
        if known is None or known.instances is None or place is None:
            return
        before = known.review
        accepted = accept(before, known.instances, labels, _kind_of(known))
        known.set_review(accepted, known.instances)
        if len(known.review.kept) > len(before.kept):
            words = f"accepting {_objects(difference(before, known.review))}"
            self.log.push(self._decision(words, place, before, known.review))
            self._session.changed.emit()

    def reject(self, labels: Sequence[int]) -> None:
        """Say that objects of the plane in view are none, and paint background there."""
        known, place = self._in_view()
        if known is None or known.instances is None or place is None:
            return
        before = known.review
        review, left = reject(before, known.instances, labels)
        regions = review.empty[len(before.empty) :]
        if not regions:
            return
        known.set_review(review, left)
        strokes = self._paint_background(place, left, regions)
        self.show(*place, left)
        decision = self._decision(f"rejecting {_objects(regions)}", place, before, review)
        undo = partial(self._undo_rejection, place, before, review, strokes)
        self.log.push(replace(decision, undo=undo))
        self.removed.emit([region.label for region in regions])
        self._session.changed.emit()

    def undo(self) -> None:
        """Undo the latest decision, with what it is about in view."""
        self.collect_all()
        images = self._session.images
        self.log.strike(lambda one: one.where is not None and one.where[0] not in images)
        latest = self.log.latest
        if latest is None:
            return
        if latest.where is not None and self._workspace.has_plane(*latest.where):
            self._go_to(*latest.where, latest.spots)
        self.log.undo()
        self._session.changed.emit()
        self.undone.emit(latest.words, self._labels_of(latest))

    def _labels_of(self, decision: Decision) -> list[int] | None:
        """Return the objects in view where those of a decision were; None if it had none."""
        before, after, known = decision.before, decision.after, self._session.plane
        if not isinstance(before, Review) or not isinstance(after, Review):
            return None
        if known is None or known.instances is None:
            return None
        labels = set()
        for region in difference(before, after):
            there = np.bincount(known.instances[region.window][region.mask])[1:]
            if there.any():
                labels.add(int(there.argmax()) + 1)
        return sorted(labels)

    def undo_words(self) -> str:
        """Return what would be undone, and in which image; empty if nothing."""
        latest = self.log.latest
        if latest is None or latest.where is None:
            return "" if latest is None else latest.words
        key, plane = latest.where
        if not self._workspace.has_plane(key, plane):
            return latest.words
        return f"{latest.words} in {self._workspace.sources[key].plane_name(plane)}"

    def _go_to(self, key: int, plane: PlaneIndex, spots: Sequence[tuple[float, float]]) -> None:
        """Bring a plane to the front; where one looks in it stays if a spot is seen there."""
        self._workspace.bring(key)
        bring_into_view(self._workspace.viewer, self._workspace.sources[key], plane, spots)

    def _decision(self, words: str, place: PlaneKey, before: Review, after: Review) -> Decision:
        undo = partial(self._revert, place, before, after)
        spots = [centre(region.box) for region in difference(before, after)]
        return Decision(words, undo, before, after, place, spots)

    def verdicts(self) -> dict[int, str]:
        """Return the verdicts on objects of the plane, or slide, in view, by label."""
        known, record = self._session.plane, self._session.record
        if record is not None and record.on_disk is not None:
            return {label: str(one.verdict) for label, one in record.on_disk.decisions.items()}
        if known is None:
            return {}
        return {label: str(region.verdict) for label, region in known.review.kept.items()}

    def _in_view(self) -> tuple[Plane | None, PlaneKey | None]:
        """Return the plane in view, what hands did there taken note of."""
        if self._session.current is None or self._session.plane is None:
            return None, None
        place = (self._session.current, self._session.plane_index)
        self.collect(*place)
        return self._session.plane, place

    def _paint_background(
        self,
        place: PlaneKey,
        labels: npt.NDArray[np.int32],
        regions: Sequence[Region],
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """Paint background under rejected objects; return rows, columns and values before.

        It is undone with the rejection, and so is none of the layer's own steps.
        """
        key, plane = place
        mask = np.zeros(labels.shape, dtype=bool)
        for region in regions:
            mask[region.window] |= background_stroke(labels, region)
        rows, columns = np.nonzero(mask)
        source, scribbles = self._workspace.sources[key], self._workspace.scribbles
        with selection_kept(self._workspace.viewer):
            before = scribbles.put(source, plane, rows, columns, BACKGROUND)
        self._workspace.read_scribbles()
        return rows, columns, before

    def _undo_rejection(
        self,
        place: PlaneKey,
        before: Review,
        after: Review,
        strokes: tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]],
    ) -> None:
        key, plane = place
        if key not in self._session.images:
            return
        source, (rows, columns, values) = self._workspace.sources[key], strokes
        scribbles = self._workspace.scribbles
        now = scribbles.view(source, plane)
        self._revert(place, before, after)
        # Laid aside, it was decided on other pixels than the layer's.
        if now is not None and plane not in self._session.images[key].asleep:
            # What has been painted there since then stays.
            ours = now[rows, columns] == BACKGROUND
            scribbles.put(source, plane, rows[ours], columns[ours], values[ours])
            layer = scribbles.find(source)
            if layer is not None and not ours.all():
                # Undone, such a stroke would leave our background behind.
                self.log.forget_strokes(layer)
            self._workspace.read_scribbles()

    def _revert(self, place: PlaneKey, before: Review, after: Review) -> None:
        """Take back what a decision changed."""
        key, plane = place
        if key not in self._session.images:
            return
        asleep = self._session.images[key].asleep.get(plane)
        if asleep is None:
            now = self._session.images[key].plane(plane).review
            self._restore(key, plane, revert(now, before, after))
            return
        # The image has other pixels at present; those that come back find it so.
        asleep.set_review(revert(asleep.review, before, after))

    def _restore(self, key: int, plane: PlaneIndex, review: Review) -> None:
        """Put decisions back as they were."""
        known = self._session.images[key].plane(plane)
        objects = None
        if known.cut is not None:
            objects = with_returned(compose(known.cut, review), known.review, review)
        known.set_review(review, objects)
        if objects is not None:
            self.show(key, plane, objects)
        self.corrected.emit(key, plane)

    def _on_dropped(self, places: list[PlaneKey]) -> None:
        """Forget what was shown and decided in planes that their image no longer has."""
        for place in places:
            self._shown.pop(place, None)
            self._touched.discard(place)
        self.log.strike(lambda one: one.where in places)

    def _take_back_rejections(self) -> None:
        """Let rejected objects return whose background stroke is gone."""
        for key, record in self._session.images.items():
            for index, plane in record.planes.items():
                if not plane.review.empty or plane.instances is None:
                    continue
                drawn = self._drawn(key, index, plane)
                # The image may have other pixels for a while, a part of them for example.
                if drawn is None or drawn.shape != plane.instances.shape:
                    continue
                back = withdrawn(plane.review, drawn)
                if back:
                    self._take_back(key, index, plane, back)

    def _drawn(self, key: int, index: PlaneIndex, plane: Plane) -> npt.NDArray[np.uint8] | None:
        """Return the scribbles of a plane; None if there is no layer or it cannot be read."""
        if plane.scribbles is not None:
            return plane.scribbles.labels
        source = self._workspace.sources[key]
        if not source.fits() or not source.has_plane(index):
            return None
        # A layer that could not be read leaves no scribbles either, as if it was empty.
        labels = self._workspace.scribbles.view(source, index)
        try:
            return None if labels is None else from_labels(labels, source.plane_shape).labels
        except ImPartialError:
            return None

    def _take_back(
        self, key: int, index: PlaneIndex, plane: Plane, regions: Sequence[Region]
    ) -> None:
        """Take rejections back, and strike them out: they are undone already."""
        gone = {id(region) for region in regions}
        review = replace(
            plane.review, empty=tuple(one for one in plane.review.empty if id(one) not in gone)
        )
        left = {id(region) for region in review.empty}
        void = [
            one
            for one in self.log.decisions
            if one.where == (key, index)
            and (rejected := {id(region) for region in _rejected(one)}) & gone
            and not rejected & left
        ]
        for one in reversed(void):
            assert isinstance(one.before, Review)
            assert isinstance(one.after, Review)
            # What was rejected may have been accepted before that.
            review = revert(review, one.before, one.after)
        self._restore(key, index, review)
        self.log.strike(lambda one: any(one is other for other in void))
        self._session.changed.emit()

    def _watch(self, layer: Labels) -> None:
        """Hear of what is done to a layer; undo and redo only redraw it."""
        if layer not in self._watched:
            self._watched.add(layer)
            self._layer_undo.watch(layer)
            for event in self._events(layer):
                event.connect(self._on_event)

    @staticmethod
    def _events(layer: Labels) -> tuple[Any, ...]:
        return layer.events.paint, layer.events.data, layer.events.set_data

    def _on_event(self, event: Any) -> None:
        if event.type == "paint":
            self._edited.add(event.source)
        # The layer of an image behind the one in front can be painted on, too.
        for key, source in self._workspace.sources.items():
            # An image that was just replaced may lack the axes to tell a plane by.
            if key not in self._session.images or not source.fits():
                continue
            if self._workspace.results.find(source, Role.INSTANCES) is event.source:
                self._touched.add((key, source.plane_in_view(self._workspace.viewer)))
        self._pause.start()

    def _collect_touched(self) -> None:
        places, self._touched = self._touched, set()
        for place in places:
            self.collect(*place)


def _kind_of(plane: Plane) -> Callable[[Region], int]:
    """Return what tells the scribble label of an object's class: as painted, or as predicted."""

    def kind(region: Region) -> int:
        if plane.scribbles is not None:
            drawn = plane.scribbles.labels[region.window][region.mask]
            counts = np.bincount(drawn)[FOREGROUND:]
            if counts.any():
                return FOREGROUND + int(counts.argmax())
        if plane.prediction is None or len(plane.prediction.probability) < 3:
            return FOREGROUND
        inside = plane.prediction.probability[(slice(1, None), *region.window)]
        return FOREGROUND + int(np.argmax(inside[:, region.mask].mean(axis=1)))

    return kind


def _largest_outside(labels: npt.NDArray[Any], box: Box) -> int:
    y0, x0, y1, x1 = box
    round_it = labels[:y0], labels[y1:], labels[y0:y1, :x0], labels[y0:y1, x1:]
    return max(int(part.max(initial=0)) for part in round_it)


def _rejected(decision: Decision) -> list[Region]:
    """Return the objects that a decision rejected."""
    before, after = decision.before, decision.after
    if not isinstance(before, Review) or not isinstance(after, Review):
        return []
    new = after.empty[len(before.empty) :]
    return [region for region in new if region.verdict is Verdict.REJECTED]


def _objects(regions: Sequence[Region]) -> str:
    return f"object {regions[0].label}" if len(regions) == 1 else f"{len(regions)} objects"
