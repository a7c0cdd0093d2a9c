"""Is it good enough? Between the sample, the viewer and the panel that asks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_impartial import __version__
from napari_impartial.core.config import SpotCheckConfig
from napari_impartial.core.data.boxes import centre
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.review.spot_check import UNSURE, Answer
from napari_impartial.core.review.spot_report import report
from napari_impartial.core.review.spot_words import (
    ROW_NAMES,
    methods,
    question,
    row,
    sentences,
    verdict_word,
)
from napari_impartial.gui import notifications
from napari_impartial.gui.layers.camera import go_to
from napari_impartial.gui.layers.object_marks import ObjectMarks
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.timers import single_shot
from napari_impartial.io.ome_zarr import well_of
from napari_impartial.io.spot_sheet import write_sheet
from napari_impartial.session.spot_checks import (
    JudgedSample,
    draw_sample,
    drawable,
    from_plain,
    is_outdated,
    to_plain,
)
from napari_impartial.session.undo import Decision

from .review import ReviewControl
from .slide_review import SlideReview
from .spot_check_panel import SpotCheckPanel

# Of the smaller side of the canvas, that an object or the box of a place is shown in.
_ROUND_OBJECT, _ROUND_PLACE = 4.0, 1.3
_LEAST_PX = 32
_OUTDATED = (
    "There are other objects by now than those this sample was drawn from, so it cannot be gone on "
    "with. What is said below is of the earlier ones."
)


class SpotCheckControl(QObject):
    """Draws a sample, goes through it and tells what the verdicts say.

    Signals
    -------
    changed
        A verdict came or went: there is something to save.
    """

    changed = Signal()

    def __init__(
        self,
        workspace: Workspace,
        review: ReviewControl,
        slide_review: SlideReview,
        panel: SpotCheckPanel,
        dock: Any,
    ) -> None:
        super().__init__(panel)
        self._slide_review = slide_review
        self._workspace = workspace
        self._session = workspace.session
        self._review = review
        self._panel = panel
        self._dock = dock
        self._marks = ObjectMarks(workspace.viewer)
        self._marks.setObjectName("spot_check_marks")
        self.sample: JudgedSample | None = None
        self.at: int | None = None
        # A new cut of many planes brings a change each.
        self._soon = single_shot(self, 0, self._show_state)
        panel.draw_wanted.connect(self.draw)
        panel.answered.connect(lambda right, cells: self.answer(Answer(right, cells)))
        panel.unsure.connect(lambda: self.answer(UNSURE))
        panel.undo_wanted.connect(review.undo)
        panel.resume_wanted.connect(self.resume)
        panel.leave_wanted.connect(self.leave)
        panel.export_wanted.connect(self.export)
        workspace.plane_changed.connect(self._mark)
        self._session.result_changed.connect(self._on_result)
        self._session.changed.connect(self._on_result)
        slide_review.measured.connect(self._on_result)
        self._show_state()

    def let_go(self) -> None:
        """Stop listening; the dock is going."""
        self._soon.stop()
        self._session.result_changed.disconnect(self._on_result)
        self._session.changed.disconnect(self._on_result)
        self._marks.let_go()

    def draw(self, n: int) -> None:
        """Draw a sample from all results, or all of a slide, and go to the first of it."""
        self._review.collect_all()
        seed = SpotCheckConfig().seed if self.sample is None else self.sample.check.seed + 1
        try:
            slide = self._slide_review.objects()
            self.sample = draw_sample(self._session, n, seed, self._well, slide)
        except ImPartialError as error:
            notifications.show_error(str(error))
            return
        # Verdicts on a sample that is gone cannot be taken back.
        self._review.log.strike(lambda one: isinstance(one.after, Answer))
        self._tell()
        self.changed.emit()
        self.resume()

    def resume(self) -> None:
        """Go to the next object or place without a verdict."""
        if self.sample is not None:
            self._go(self.sample.next_open(-1 if self.at is None else self.at - 1))

    def leave(self) -> None:
        """Stop asking; the verdicts are kept."""
        self._go(None)

    def answer(self, answer: Answer) -> None:
        """Take the verdict on what is shown, and go on to the next."""
        sample, at = self.sample, self.at
        if sample is None or at is None:
            return
        sample.answers[at] = answer
        unit = sample.check.units[at]
        words = f"the verdict '{verdict_word(sample.check.kind(unit), answer)}'"
        self._review.log.push(
            Decision(
                words,
                partial(self._take_back, sample, at),
                None,
                after=answer,
                where=sample.place(at),
                spots=[centre(unit.box)],
            )
        )
        self._tell()
        self._go(sample.next_open(at))
        self.changed.emit()

    def export(self, path: Path) -> None:
        """Write the protocol."""
        if self.sample is None:
            return
        try:
            write_sheet(path, self.sample.check, self.sample.answers)
        except ImPartialError as error:
            notifications.show_error(str(error))
            return
        n = len(self.sample.check.units)
        notifications.show_info(f"{path.name} was written, with {n} rows, to {path.parent}.")

    def save(self) -> dict[str, Any]:
        """Return what the session keeps."""
        return {} if self.sample is None else to_plain(self.sample, self._session)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what a session kept."""
        self._go(None)
        self.sample = None
        try:
            self.sample = from_plain(saved, self._session) if saved else None
        finally:
            self._tell()

    def _well(self, key: int) -> str:
        """Return the well that an image of a plate lies in, "" for other images."""
        path = self._workspace.sources[key].primary.source.path
        return "" if path is None else well_of(path)

    def _take_back(self, sample: JudgedSample, at: int) -> None:
        sample.answers.pop(at, None)
        if sample is self.sample:
            self._tell()
            self._go(at)
            self.changed.emit()

    def _go(self, at: int | None) -> None:
        """Show an object or place and ask about it; None: ask nothing."""
        sample = self.sample
        if sample is None or at is None or is_outdated(self._session, sample):
            self.at = None
            self._marks.clear()
            self._panel.ask(None)
            self._show_state()
            return
        self.at = at
        unit, place = sample.check.units[at], sample.place(at)
        if place is None or not self._workspace.has_plane(*place):
            self._leave_out(sample, unit.image)
            self._go(sample.next_open(at))
            return
        kind = sample.check.kind(unit)
        what = "Place" if kind.is_place else "Object"
        title = f"{what} {at + 1} of {len(sample.check.units)}"
        self._panel.ask(kind.is_place, title, question(kind))
        self._show_state()
        self._look_at(place, unit.box, kind.is_place)

    def _look_at(self, place: Any, box: tuple[int, int, int, int], is_place: bool) -> None:
        key, plane = place
        self._workspace.bring(key)
        source, viewer = self._workspace.sources[key], self._workspace.viewer
        y0, x0, y1, x1 = box
        share = _ROUND_PLACE if is_place else _ROUND_OBJECT
        extent = max(share * max(y1 - y0, x1 - x0), _LEAST_PX)
        go_to(viewer, source, plane, *centre(box), extent)
        outlines = self._workspace.objects_of(source)
        if outlines is not None:
            outlines.visible = True
        # Keys of a layer that is selected would come before ours, and a brush would paint.
        viewer.layers.selection.clear()
        self._mark()

    def _mark(self) -> None:
        """Draw the box of what is asked about, where it is in view."""
        if self.sample is None or self.at is None:
            self._marks.clear()
            return
        place, unit = self.sample.place(self.at), self.sample.check.units[self.at]
        if place != (self._session.current, self._session.plane_index):
            self._marks.clear()
            return
        self._marks.mark(self._dock, self._workspace.sources[place[0]], place[1], [unit.box])

    def _leave_out(self, sample: JudgedSample, image: int) -> None:
        """Leave open what was drawn of an image that nobody can look at any more."""
        gone = [
            at
            for at, unit in enumerate(sample.check.units)
            if unit.image == image and at not in sample.answers
        ]
        sample.answers |= dict.fromkeys(gone, UNSURE)
        notifications.show_warning(
            f"'{sample.check.images[image]}' is no longer open; {len(gone)} of the sample are left "
            "out."
        )
        self._tell()
        self.changed.emit()

    def _tell(self) -> None:
        """Show what the verdicts say."""
        sample = self.sample
        if sample is None or not any(answer.sure for answer in sample.answers.values()):
            self._panel.set_result((), (), "")
        else:
            found = report(sample.check, sample.answers)
            parts = (*found.groups, *found.images)
            rows = [ROW_NAMES, *(row(part.name, part.estimate) for part in parts)]
            self._panel.set_result(
                sentences(found), rows, methods(found, f"napari-impartial {__version__}")
            )
        self._show_state()

    def _on_result(self, _: Any = None) -> None:
        self._soon.start()

    def _show_state(self) -> None:
        sample = self.sample
        left = 0 if sample is None else sample.n_open
        outdated = left > 0 and sample is not None and is_outdated(self._session, sample)
        if outdated and self.at is not None:
            self.at = None
            self._marks.clear()
            self._panel.ask(None)
        record = self._session.record
        if record is not None and record.on_disk is not None:
            there = self._slide_review.ready
        else:
            there = bool(drawable(self._session))
        self._panel.set_state(
            can_draw=there and not self._session.busy,
            drawn=0 if sample is None else len(sample.check.units),
            left=left,
            note=_OUTDATED if outdated else "",
        )
