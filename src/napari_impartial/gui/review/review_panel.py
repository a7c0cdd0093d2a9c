"""Go through the objects: filter, accept, reject, look at their spread, export."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.table_filter import SIGNS, Condition
from napari_impartial.gui.keybindings import key_hint, with_key
from napari_impartial.gui.timers import single_shot
from napari_impartial.gui.widgets.collapsible_step import stacked
from napari_impartial.gui.widgets.histogram import Histogram
from napari_impartial.gui.widgets.keyboard_focus import set_enabled
from napari_impartial.gui.widgets.parts import fill, make_button, make_choice, named, say
from napari_impartial.gui.widgets.text_labels import REVIEWED, REVIEWED_TIP, line

from .export_button import ExportButton
from .filter_row import FilterRow
from .object_table import VERDICT, ObjectTable, Table

_ACCEPT = (
    "Keep the selected objects as they are, whatever the sliders and later trainings say; they "
    "become annotation."
)
_REJECT = (
    "The selected objects are none: they go, and background is painted under them for the next "
    "training."
)
_ACCEPT_OF_SLIDE = (
    "The selected objects are right. That is noted, and teaches the model nothing: for that, paint "
    "on a field."
)
_REJECT_OF_SLIDE = (
    "The selected objects are none: they leave picture, table, counts and exports. The model "
    "learns from strokes on a field."
)


class ReviewPanel(QWidget):
    """The table of objects and what can be done with them.

    Signals
    -------
    accept_wanted, reject_wanted
        List of labels.
    undo_wanted
        The latest decision should be undone.
    reviewed_changed
        The user says that the plane in view is done, or is not.
    export_wanted
        Path and table to write. What else can be exported, :attr:`export` tells.
    """

    accept_wanted = Signal(object)
    reject_wanted = Signal(object)
    undo_wanted = Signal()
    reviewed_changed = Signal(bool)
    export_wanted = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self.table = ObjectTable()
        self.table.setToolTip(
            "Click a row to go to the object. To find the row of an object, click the object; "
            "with a brush or another tool in hand, hold Ctrl (on a Mac: Cmd) and click. Click a "
            "heading to sort."
        )
        self._make_filter()
        self._make_buttons()
        self._make_histogram()
        row = fill(QHBoxLayout(), (self.filter, 1), self._shown)
        parts = (row, self._note, self.table, self._button_rows, self._histogram_box)
        fill(QVBoxLayout(self), *parts, margins=(0, 0, 0, 0))
        self.table.reject_wanted.connect(self.reject)
        self.table.chosen().selectionChanged.connect(self._update_buttons)
        self.table.table_model().modelReset.connect(self._on_reset)
        self.set_undo("")
        self.set_slide(False)
        self._on_reset()

    def set_table(self, table: Table) -> None:
        """Show measurements."""
        before = self._column.currentText()
        self.table.set_table(table)
        names = self.table.table_model().columns()
        self.filter.set_columns([*names, "label", VERDICT])
        with QSignalBlocker(self._column):
            self._column.clear()
            for name in names:
                self._column.addItem(name.replace("_", " "), name)
            at = self._column.findText(before or "area px")
            self._column.setCurrentIndex(max(at, 0))
        self._draw()

    def set_slide(self, slide: bool) -> None:
        """Say what decisions do: those about objects of a slide do less."""
        accept = _ACCEPT_OF_SLIDE if slide else _ACCEPT
        reject = _REJECT_OF_SLIDE if slide else _REJECT
        self._accept.setToolTip(f"{accept} {key_hint('accept')}")
        self._reject.setToolTip(f"{reject} {key_hint('reject')}")

    def set_undo(self, words: str) -> None:
        """Say what would be undone; nothing if `words` is empty."""
        set_enabled(self._undo, bool(words))
        self._undo.setToolTip(f"Undo {words or 'the latest decision'}. {key_hint('undo_decision')}")

    def set_reviewed(self, reviewed: bool, by_decisions: bool) -> None:
        """Show whether the plane is done; where all objects are decided on, it is."""
        with QSignalBlocker(self._reviewed):
            self._reviewed.setChecked(reviewed)
        self._reviewed.setEnabled(not by_decisions and self.table.table_model().total() > 0)

    def save_filter(self) -> list[str]:
        """Return the filter, to be kept."""
        return list(astuple(self.filter.value()))

    def restore_filter(self, kept: Any) -> None:
        """Filter the table as it was; what is no filter changes nothing."""
        if isinstance(kept, list) and len(kept) == 3 and kept[1] in SIGNS:
            self.filter.setValue(Condition(*map(str, kept)))

    def show_row(self, label: int) -> None:
        """Select the row of an object that was chosen in the picture, and scroll to it."""
        self.table.select(label)
        if self.table.selected() == [label] and self.table.isVisible():
            self._scroll_to(self.table)

    def accept(self) -> None:
        """Accept what is selected, and go on to the next row if it was chosen in the table."""
        labels, row = self.table.selected(), self.table.currentIndex().row()
        if labels:
            # Accepted, it may leave the rows that are shown, or its place among them.
            model = self.table.table_model()
            following = model.labels(range(model.rowCount())[row + 1 : row + 2])
            self.accept_wanted.emit(labels)
            if len(labels) == 1 and not self.table.chosen_in_picture():
                there = model.row_of(following[0]) if following else None
                if there is not None:
                    self.table.go_to_row(there)

    def reject(self) -> None:
        """Reject what is selected, and go on to the next row if it was chosen in the table."""
        labels, row = self.table.selected(), self.table.currentIndex().row()
        if labels:
            self.reject_wanted.emit(labels)
            if len(labels) == 1 and not self.table.chosen_in_picture():
                self.table.go_to_row(min(row, self.table.table_model().rowCount() - 1))

    def _make_filter(self) -> None:
        self.filter = FilterRow()
        self.filter.valueChanged.connect(self._on_filter)
        self._shown = line("shown_label", "How many of the objects the filter shows.", False)
        self._note = line("filter_note", "What is wrong with the filter.")
        self._note.hide()

    def _make_buttons(self) -> None:
        self._accept = make_button(with_key("Accept", "accept"), "accept_button", "", self.accept)
        self._reject = make_button(with_key("Reject", "reject"), "reject_button", "", self.reject)
        self._undo = make_button(
            with_key("Undo", "undo_decision"), "undo_button", "", self.undo_wanted.emit
        )
        self._reviewed = named(QCheckBox(REVIEWED), "review_done_check", REVIEWED_TIP)
        self._reviewed.toggled.connect(self.reviewed_changed)
        tip = "Show how the values of a column are spread."
        self._show_histogram = make_button("Histogram", "histogram_button", tip, checkable=True)
        self._show_histogram.toggled.connect(lambda _: self._on_histogram())
        self.export = ExportButton()
        self.export.wanted.connect(self._on_export)
        self._button_rows = QGridLayout()
        parts = (self._accept, self._reject, self._undo)
        parts_below = (self._reviewed, self._show_histogram, self.export)
        for column, (above, below) in enumerate(zip(parts, parts_below, strict=True)):
            self._button_rows.addWidget(above, 0, column)
            self._button_rows.addWidget(below, 1, column)

    def _make_histogram(self) -> None:
        self.histogram = Histogram()
        self._column = make_choice(
            "histogram_combo", "Column whose values are counted.", "Column of the histogram"
        )
        self._column.currentIndexChanged.connect(self._draw)
        # Once it has been laid out it is scrolled to: a small screen ends above it.
        self._soon = single_shot(self, 0, self._scroll_to_histogram)
        self._histogram_box = stacked(self._column, self.histogram)
        self._histogram_box.hide()

    def _on_filter(self, condition: Condition) -> None:
        try:
            self.table.set_filter(condition)
            problem = ""
        except ImPartialError as error:
            # A half-written number is no mistake yet: what was shown stays.
            problem = str(error)
        say(self._note, problem)

    def _on_reset(self) -> None:
        model = self.table.table_model()
        shown, total = model.rowCount(), model.total()
        self._shown.setText(f"{shown} of {total}")
        self._shown.setVisible(shown != total)
        self.export.set_ready({"table": shown > 0})
        self._show_histogram.setEnabled(total > 0)
        self._on_histogram()
        self._update_buttons()

    def _update_buttons(self, *_: Any) -> None:
        some = self.table.chosen().hasSelection()
        set_enabled(self._accept, some)
        set_enabled(self._reject, some)

    def _on_histogram(self) -> None:
        some = self.table.table_model().total() > 0
        opened = some and self._show_histogram.isChecked()
        appears = opened and self._histogram_box.isHidden()
        self._histogram_box.setVisible(opened)
        self._draw()
        if appears and self.isVisible():
            self._soon.start(0)

    def _scroll_to_histogram(self) -> None:
        self._scroll_to(self._histogram_box)

    def _scroll_to(self, part: QWidget) -> None:
        """Scroll until a part is in sight; not at all if it is."""
        above = self.parentWidget()
        while above is not None and not isinstance(above, QScrollArea):
            above = above.parentWidget()
        inside = None if above is None else above.widget()
        if above is None or inside is None or part.visibleRegion().boundingRect() == part.rect():
            return
        # ensureWidgetVisible would be content with the current row of a table.
        for corner in (part.rect().bottomLeft(), part.rect().topLeft()):
            place = part.mapTo(inside, corner)
            above.ensureVisible(place.x(), place.y(), 0, 8)

    def _draw(self, *_: Any) -> None:
        name = self._column.currentData()
        if name is not None and self._show_histogram.isChecked():
            table = self.table.table_model().shown()
            if name in table:
                self.histogram.set_values(table[name], self._column.currentText())

    def _on_export(self, kind: str, path: Path) -> None:
        if kind == "table":
            self.export_wanted.emit(path, self.table.table_model().shown())
