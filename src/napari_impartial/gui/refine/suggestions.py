"""The places to scribble next: listed, marked, gone to, found fine."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from qtpy.QtCore import QObject, Signal

from napari_impartial.core.prediction.dismissed import Dismissal, dismiss
from napari_impartial.core.prediction.suggestions import turn
from napari_impartial.core.review.round_changes import makers
from napari_impartial.gui.layers import Role
from napari_impartial.gui.layers.camera import go_to
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.session.session import Plane
from napari_impartial.session.suggested_places import Place, state_of
from napari_impartial.session.undo import Decision, DecisionLog

MOST_PLACES = 200


class SuggestionControl(QObject):
    """Keeps list and marks of the suggested places up to date.

    Signals
    -------
    suggested
        List of :class:`Place`, the most promising first.
    image_wanted
        Key of an image that should be brought to the front.
    """

    suggested = Signal(object)
    image_wanted = Signal(int)

    def __init__(
        self, workspace: Workspace, log: DecisionLog, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._session = workspace.session
        self._log = log
        self.places: list[Place] = []
        workspace.painted.connect(self._look_again)
        self._session.dropped.connect(self._on_dropped)

    def refresh(self) -> None:
        """Rank the suggestions of all images together, list and mark them.

        What another model was unsure of comes last: the present one may be sure of it.
        """
        found = [
            Place(
                key,
                index,
                suggestion,
                state_of(plane, suggestion),
                makers([plane.predicted_by]) if self._session.is_stale(plane) else "",
            )
            for key, record in self._session.images.items()
            for index, plane in record.planes.items()
            for suggestion in plane.suggestions
        ]
        found.sort(key=lambda place: (place.stale != "", -turn(place.suggestion)))
        # More than anybody goes through, and than can be drawn at once.
        del found[MOST_PLACES:]
        self.places = [
            replace(place, suggestion=replace(place.suggestion, rank=rank))
            for rank, place in enumerate(found, start=1)
        ]
        self._mark()
        self.suggested.emit(self.places)

    def go_to(self, place: Place) -> None:
        """Centre a place and put the brush in the user's hand."""
        if place.key not in self._session.images:
            return
        if place.key != self._session.current:
            self.image_wanted.emit(place.key)
        source = self._workspace.sources[place.key]
        y0, x0, y1, x1 = place.suggestion.box
        extent = 3 * max(y1 - y0, x1 - x0)
        centre = (y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2
        go_to(self._workspace.viewer, source, place.plane, *centre, extent)
        spot = (place.suggestion.y, place.suggestion.x)
        self._session.images[place.key].plane(place.plane).visited.add(spot)
        self._workspace.new_scribbles()

    def looks_fine(self, place: Place) -> None:
        """Suggest a place no more while the model says the same of it; can be undone."""
        record = self._session.images.get(place.key)
        plane = None if record is None else record.plane(place.plane)
        if plane is None or plane.prediction is None or place.done:
            return
        one = dismiss(place.suggestion, plane.prediction.foreground)
        plane.dismissed = [*plane.dismissed, one]
        undo, where = partial(self._bring_back, plane, one), (place.key, place.plane)
        spots = [(place.suggestion.y, place.suggestion.x)]
        self._log.push(Decision("finding a place fine", undo, None, where=where, spots=spots))
        self.refresh()
        self._session.changed.emit()

    def _bring_back(self, plane: Plane, one: Dismissal) -> None:
        plane.dismissed = [other for other in plane.dismissed if other is not one]
        self.refresh()

    def _on_dropped(self, _: object) -> None:
        """Let go of suggestions in planes that their image no longer has."""
        self.refresh()

    def _look_again(self) -> None:
        """Take note of places that have been annotated."""
        now = [
            state_of(self._session.images[p.key].plane(p.plane), p.suggestion)
            for p in self.places
            if p.key in self._session.images
        ]
        if now != [place.state for place in self.places]:
            self.refresh()

    def _mark(self) -> None:
        for key in self._session.images:
            source = self._workspace.sources[key]
            marks = [(p.plane, p.suggestion) for p in self.places if p.key == key and not p.done]
            if marks or self._workspace.results.find(source, Role.SUGGESTIONS) is not None:
                self._workspace.results.mark(source, marks)
