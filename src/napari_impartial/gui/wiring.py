"""Between controls and what shows them: review, suggestions, rounds, objects in the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

from napari_impartial.core.data.boxes import centre
from napari_impartial.session.suggested_places import Place, PlaceState

from .layers.camera import extent_in_view, go_to
from .layers.object_marks import MOST_MARKS, ObjectMarks, Signed
from .layers.workspace import Workspace
from .refine.rounds import RoundControl
from .refine.rounds_panel import RoundRow, RoundsPanel
from .refine.suggestions_panel import RefinePanel
from .result.prediction import ResultControl
from .result.result_panel import ResultPanel
from .review.slide_review import SlideReview

# Between how many times its own side the canvas may be high for an object to be seen well.
_NEAREST, _FARTHEST = 2.0, 16.0
_STATES = {
    PlaceState.OPEN: "",
    PlaceState.VISITED: "",
    PlaceState.ANNOTATED: "painted: ",
    PlaceState.FINE: "fine: ",
}


class Refinement(QObject):
    """Wires what refines a result to what shows it."""

    def __init__(
        self,
        workspace: Workspace,
        results: ResultControl,
        slide_review: SlideReview,
        result_panel: ResultPanel,
        refine_panel: RefinePanel,
        rounds_panel: RoundsPanel,
    ) -> None:
        super().__init__(result_panel)
        self._session = workspace.session
        self._results = results
        self._slide_review = slide_review
        self._review_panel = result_panel.review
        self._refine_panel = refine_panel
        self._rounds_panel = rounds_panel
        self._places: list[Place] = []
        self._shown_review: object = None
        self.rounds = RoundControl(
            workspace, results.review, results.suggestions, lambda: results.predict(), self
        )
        self._wire()

    def let_go(self) -> None:
        """Stop listening; the dock is going."""
        self._results.review.let_go()
        self.rounds.close()

    def update(self) -> None:
        """Show decisions and rounds as they are now."""
        self._show_decisions()
        self._show_rounds()

    def _wire(self) -> None:
        review, rounds, panel = self._results.review, self.rounds, self._review_panel
        panel.accept_wanted.connect(review.accept)
        panel.reject_wanted.connect(review.reject)
        # Either takes what is in front for its own, or leaves it to the other.
        panel.accept_wanted.connect(self._slide_review.accept)
        panel.reject_wanted.connect(self._slide_review.reject)
        self._slide_review.decided.connect(self._show_decisions)
        panel.reviewed_changed.connect(self._session.set_reviewed)
        refine, places = self._refine_panel, self._results.suggestions
        refine.place_chosen.connect(lambda row: places.go_to(places.places[row]))
        refine.place_fine.connect(lambda row: places.looks_fine(places.places[row]))
        places.suggested.connect(self._show_places)
        panel.undo_wanted.connect(review.undo)
        refine.undo_wanted.connect(review.undo)
        review.changed.connect(self._show_decisions)
        self._rounds_panel.compare_wanted.connect(rounds.show)
        self._rounds_panel.roll_back_wanted.connect(rounds.roll_back)
        self._rounds_panel.valueChanged.connect(rounds.choose)
        rounds.changed.connect(self._show_rounds)
        rounds.compared.connect(self._rounds_panel.set_changes)
        rounds.comparison_ended.connect(lambda: self._rounds_panel.set_comparing(False))
        rounds.judged.connect(self._rounds_panel.set_hint)

    def _show_places(self, places: list[Place]) -> None:
        images = self._session.images
        # The name of the image where there are several, and of the round if it is an old one.
        several = len(images) > 1
        where = [[images[p.key].name] * several + [p.stale] * bool(p.stale) for p in places]
        # Where only the state of places has changed, the chosen one stays chosen.
        same = [p.suggestion for p in places] == [p.suggestion for p in self._places]
        row = self._refine_panel.value() if same else None
        self._places = places
        self._refine_panel.setValue(
            [
                f"{p.suggestion.rank}.  {_STATES[p.state]}{p.suggestion.reason}"
                + (f"  ({', '.join(notes)})" if notes else "")
                for p, notes in zip(places, where, strict=True)
            ],
            [p.done for p in places],
            -1 if row is None else row,
        )

    def _show_decisions(self) -> None:
        plane, record = self._session.plane, self._session.record
        slide = None if record is None else record.on_disk
        shown = slide or (None if plane is None else plane.review)
        if shown is not self._shown_review:
            self._shown_review = shown
            self._review_panel.table.set_verdicts(self._results.review.verdicts())
        words = self._results.review.undo_words()
        self._review_panel.set_undo(words)
        self._refine_panel.set_undo(words)
        done = record is not None and record.is_reviewed
        self._review_panel.set_reviewed(done, done and record is not None and not record.reviewed)

    def _show_rounds(self) -> None:
        session = self._session
        rows = [
            RoundRow(
                one.number,
                one.card.seconds,
                one.annotated_px,
                one.annotated_cells,
                session.rounds.objects(one, session.planes()),
                one.unseen if one.held_out is None else one.held_out,
                one is session.rounds.current,
            )
            for one in session.rounds
        ]
        self._rounds_panel.set_rounds(rows, session.busy)


class ObjectsInPicture(QObject):
    """Shows in the picture which objects are chosen in the table, and what was decided about them.

    Those of a slide are known by its table, those of other images by the plane in view.

    Attributes
    ----------
    marks : ObjectMarks
    """

    def __init__(
        self,
        workspace: Workspace,
        results: ResultControl,
        slide_review: SlideReview,
        result_panel: ResultPanel,
        dock: QWidget,
    ) -> None:
        super().__init__(dock)
        self._workspace, self._session = workspace, workspace.session
        self._slide_review = slide_review
        self._table = result_panel.table
        self._dock = dock
        self.marks = ObjectMarks(workspace.viewer)
        self._table.object_chosen.connect(self.go_to)
        self._table.selection_changed.connect(self._mark)
        workspace.plane_changed.connect(self.marks.clear)
        results.review.changed.connect(self._sign)
        slide_review.decided.connect(self._sign)
        results.measured.connect(self._sign)
        slide_review.measured.connect(self._sign)

    def go_to(self, label: int, y: float, x: float, area_px: float) -> None:
        """Centre an object of the image in front, and select its label."""
        viewer, source = self._workspace.viewer, self._workspace.source
        if source is None:
            return
        plane, there = self._session.plane_index, self._slide_review.place_of(label)
        if there is not None:
            plane, (y0, x0, y1, x1) = there
            (y, x), area_px = centre(there[1]), (y1 - y0) * (x1 - x0)
        side, here = math.sqrt(area_px), extent_in_view(viewer, source)
        # As near as it was, unless the object would be a speck or fill the window.
        wanted = None if _NEAREST <= here / side <= _FARTHEST else max(60.0, 6 * side)
        go_to(viewer, source, plane, y, x, wanted)
        layer = self._workspace.objects_of(source)
        if layer is not None:
            layer.selected_label = label

    def _mark(self) -> None:
        source, plane = self._workspace.source, self._session.plane_index
        if source is None:
            self.marks.clear()
            return
        boxes: list[Sequence[float]] = []
        if source.is_slide:
            found = map(self._slide_review.place_of, self._table.selected(MOST_MARKS))
            boxes += [one[1] for one in found if one and one[0] == plane]
        else:
            boxes += self._table.selected_boxes(MOST_MARKS)
        self.marks.mark(self._dock, source, plane, boxes)

    def _sign(self, _: object = None) -> None:
        """Show what was decided about the objects of the plane in view."""
        record, plane, index = self._session.record, self._session.plane, self._session.plane_index
        signed: list[Signed] = []
        if record is not None and record.on_disk is not None:
            decisions = record.on_disk.decisions.values()
            signed += [(one.verdict, one.box) for one in decisions if one.plane == index]
        elif plane is not None:
            regions = (*plane.review.kept.values(), *plane.review.empty)
            signed += [(one.verdict, one.box) for one in regions]
        self.marks.sign(self._dock, self._workspace.source, index, signed)
