"""The places to scribble next: listed, marked, gone to, found fine."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakSet

import numpy as np
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_impartial.core.config import SuggestionConfig, parameters
from napari_impartial.core.data.boxes import centre
from napari_impartial.core.prediction.dismissed import Dismissal, dismiss
from napari_impartial.core.prediction.suggestions import Suggestion, turn
from napari_impartial.core.review.round_changes import makers
from napari_impartial.gui.layers import Role, Source
from napari_impartial.gui.layers.camera import go_to
from napari_impartial.gui.layers.fields import field_of, fields_of
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.timers import single_shot
from napari_impartial.session.image_record import ImageRecord
from napari_impartial.session.plane import Plane, PlaneIndex, PlaneKey
from napari_impartial.session.suggested_places import Place, PlaceState, place_question, state_of
from napari_impartial.session.undo import Decision, DecisionLog

# As many as anybody goes through before the next training, over all images and planes.
MOST_PLACES = parameters(SuggestionConfig)["count"].default
# The canvas is so many cells wide where a place is looked at.
_CELLS_ACROSS = 12
# As wide as so many boxes of suggestions where nothing is known of cells.
_BOXES_ACROSS = 3


class SuggestionControl(QObject):
    """Keeps list and marks of the suggested places up to date.

    Signals
    -------
    suggested
        List of :class:`Place`, the most promising first.
    field_wanted
        A :class:`Place` in a slide, of which a field should be taken there.
    """

    suggested = Signal(object)
    field_wanted = Signal(object)

    def __init__(
        self, workspace: Workspace, log: DecisionLog, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._session = workspace.session
        self._log = log
        self.places: list[Place] = []
        self._current: tuple[PlaneKey, tuple[int, int]] | None = None
        # Where one looks at it: in its own plane, or in a field of its slide.
        self._seen_in: PlaneKey | None = None
        # What we have shown for the sake of the places, and hide again after them.
        self._shown: WeakSet[Layer] = WeakSet()
        workspace.viewer.dims.events.ndisplay.connect(self._on_dimensions)
        self._soon = single_shot(self, 0, self._mark)
        workspace.painted.connect(self._look_again)
        # Suggestions in planes that their image no longer has are let go of.
        self._session.dropped.connect(self.refresh)

    def refresh(self) -> None:
        """Rank the suggestions of all images together, list and mark them.

        What another model was unsure of comes last: the present one may be sure of it.
        """
        found = [
            Place(
                key,
                index,
                suggestion,
                self._state(key, index, suggestion),
                self._stale(record, plane),
            )
            for key, record in self._session.images.items()
            for index, plane in record.planes.items()
            for suggestion in plane.suggestions
        ]
        found.sort(key=lambda place: (place.stale != "", -turn(place.suggestion)))
        # Whoever stands at a place is told why, whatever has come before it meanwhile.
        here = [place for place in found[MOST_PLACES:] if self._is_here(place)]
        found = [*found[: MOST_PLACES - len(here)], *here]
        self.places = [
            replace(place, suggestion=replace(place.suggestion, rank=rank))
            for rank, place in enumerate(found, start=1)
        ]
        self._mark()
        self.suggested.emit(self.places)

    def _state(self, key: int, index: PlaneIndex, suggestion: Suggestion) -> PlaceState:
        """Return what has become of a suggestion; what is painted on a slide lies on its fields."""
        state = state_of(self._session.images[key].plane(index), suggestion)
        if not self._session.images[key].is_slide:
            return state
        name = self._session.images[key].name
        for source, field in fields_of(name, self._workspace.known_sources()):
            field_key = self._workspace.key_of(source.primary)
            painted = None
            if field_key is not None and field.plane == index:
                painted = self._session.images[field_key].plane(()).scribbles
            if painted is not None and painted.labels[field.inside(suggestion.box)].any():
                return PlaceState.ANNOTATED
        return state

    def _stale(self, record: ImageRecord, plane: Plane) -> str:
        """Say what predicted a plane where that is not the present model."""
        if record.on_disk is not None:
            old = self._session.rounds.is_old(record.on_disk.predicted_by)
            return makers([record.on_disk.predicted_by]) if old else ""
        return makers([plane.predicted_by]) if self._session.rounds.is_stale(plane) else ""

    @property
    def current(self) -> Place | None:
        """The place that was gone to, while its plane is in view and something is to do there."""
        here = (self._session.current, self._session.plane_index)
        for place in self.places:
            if self._is_here(place) and not place.done:
                return place if here == self._seen_in else None
        return None

    def _is_here(self, place: Place) -> bool:
        """Return whether a place is the one that was gone to last."""
        spot = (place.suggestion.y, place.suggestion.x)
        return self._current == ((place.key, place.plane), spot)

    def leave(self) -> None:
        """Be at no place any more: the picture is to be seen alone."""
        was_somewhere, self._current = self._current is not None, None
        for layer in list(self._shown):
            layer.visible = False
        self._shown.clear()
        if was_somewhere:
            self._mark()

    def _show(self, source: Source) -> None:
        """Show boxes and heatmap; what the user has hidden since the last place stays so."""
        for role in (Role.UNCERTAINTY, Role.SUGGESTIONS):
            layer = self._workspace.results.find(source, role)
            if layer is not None and not layer.visible and layer not in self._shown:
                layer.visible = True
                self._shown.add(layer)

    def _on_dimensions(self, _: object = None) -> None:
        """Boxes lie flat in one plane, and say nothing in a view of all of them."""
        if self._workspace.viewer.dims.ndisplay == 3:
            self.leave()
        else:
            # Layers hear of the other view one after the other; theirs may not have yet.
            self._soon.start(0)

    def go_to(self, place: Place) -> None:
        """Centre a place and put the brush in the user's hand."""
        if place.key not in self._session.images:
            return
        self._workspace.bring(place.key)
        source = self._workspace.sources[place.key]
        y0, x0, y1, x1 = place.suggestion.box
        known = self._session.images[place.key].plane(place.plane)
        side = max(y1 - y0, x1 - x0)
        middle = centre(place.suggestion.box)
        if source.is_slide:
            known.visited.add((place.suggestion.y, place.suggestion.x))
            self._current = None
            self._mark()
            self._show(source)
            if place.plane:
                # A field is taken of the plane in view.
                go_to(self._workspace.viewer, source, place.plane, *middle, _BOXES_ACROSS * side)
            self.field_wanted.emit(place)
            return
        extent = max(1.25 * side, min(_CELLS_ACROSS * _cell_side(known, side / 4), 6 * side))
        known.visited.add((place.suggestion.y, place.suggestion.x))
        self._look_at(place, place.key, place.plane, middle, extent)
        self._show(source)
        self._session.changed.emit()

    def arrive(self, place: Place, source: Source) -> None:
        """Look at a place of a slide in a field of it, with the brush in the user's hand."""
        field, key = field_of(source.primary), self._workspace.key_of(source.primary)
        if field is None or key is None:
            return
        rows, cols = field.inside(place.suggestion.box)
        middle = centre((rows.start, cols.start, rows.stop, cols.stop))
        side = max(rows.stop - rows.start, cols.stop - cols.start)
        self._look_at(place, key, (), middle, _BOXES_ACROSS * side)
        # The field has come to lie over the boxes of the slide.
        boxes = self._workspace.results.find(self._workspace.sources[place.key], Role.SUGGESTIONS)
        layers = self._workspace.viewer.layers
        if boxes is not None:
            layers.move(layers.index(boxes), len(layers))
        self._session.changed.emit()

    def _look_at(
        self,
        place: Place,
        key: int,
        plane: PlaneIndex,
        middle: tuple[float, float],
        extent_px: float,
    ) -> None:
        """Look at a place in a plane of an image, with the brush in the user's hand."""
        viewer, spot = self._workspace.viewer, (place.suggestion.y, place.suggestion.x)
        # Boxes are flat, and so are strokes.
        viewer.dims.ndisplay = 2
        go_to(viewer, self._workspace.sources[key], plane, *middle, extent_px)
        self._current, self._seen_in = ((place.key, place.plane), spot), (key, plane)
        self._workspace.new_scribbles()
        self._mark()

    def looks_fine(self, place: Place) -> None:
        """Suggest a place no more while the model says the same of it; can be undone."""
        record = self._session.images.get(place.key)
        if record is None or place.done:
            return
        plane, slide = record.plane(place.plane), record.is_slide
        spot, before = (place.suggestion.y, place.suggestion.x), plane.suggestions
        made: list[Dismissal] = []
        if slide:
            # Its next result has suggestions of its own.
            plane.suggestions = [s for s in before if (s.y, s.x) != spot]
        elif plane.prediction is not None:
            made.append(dismiss(place.suggestion, plane.prediction.foreground))
            plane.dismissed = [*plane.dismissed, *made]
        else:
            return

        def undo() -> None:
            plane.suggestions = before if slide else plane.suggestions
            plane.dismissed = [one for one in plane.dismissed if not any(one is m for m in made)]
            self.refresh()

        where = place.key, place.plane
        self._log.push(Decision("finding a place fine", undo, None, where=where, spots=[spot]))
        self.refresh()
        self._session.changed.emit()

    def _look_again(self) -> None:
        """Take note of places that have been annotated."""
        now = [
            self._state(p.key, p.plane, p.suggestion)
            for p in self.places
            if p.key in self._session.images
        ]
        if now != [place.state for place in self.places]:
            self.refresh()
        if all(place.done for place in self.places):
            self.leave()

    def _mark(self) -> None:
        if self._workspace.viewer.dims.ndisplay == 3:
            return  # they are made when the view is flat again
        for key in self._session.images:
            source, results = self._workspace.sources[key], self._workspace.results
            marks = [(p.plane, p.suggestion) for p in self.places if p.key == key and not p.done]
            if marks or results.find(source, Role.SUGGESTIONS) is not None:
                at = self.current
                here = at if at is not None and at.key == key else None
                # What to do there is in the bar: a picture has no room for it.
                words = "" if here is None else place_question(here, len(self.places))
                results.mark(source, marks, None if here is None else here.suggestion, words)


def _cell_side(plane: Plane, otherwise_px: float) -> float:
    """Return the side of a square as large as the usual object of a plane, in pixels."""
    labels = plane.instances
    areas = np.bincount(labels.ravel())[1:] if labels is not None else np.zeros(0, int)
    areas = areas[areas > 0]
    return float(np.sqrt(np.median(areas))) if len(areas) else otherwise_px
