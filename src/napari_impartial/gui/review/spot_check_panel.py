"""Is it good enough? A sample to judge, one after the other, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_impartial.core.config import SpotCheckConfig, parameters
from napari_impartial.gui.keybindings import key_hint, with_key
from napari_impartial.gui.widgets.keyboard_focus import set_enabled
from napari_impartial.gui.widgets.parts import fill, make_button, make_number, named, say
from napari_impartial.gui.widgets.save_dialog import ask_where
from napari_impartial.gui.widgets.text_labels import explained, line, lines_high

_INTRO = (
    "Judge a random sample by eye instead of all objects, and learn how many are right, how many "
    "cells are missed, and how sure that is."
)
# What the number of cells means, of an object and of a place.
_OBJECT_WORDS = ("Not a cell", "Wrong outline", "Two cells", "Three cells")
_PLACE_WORDS = ("None missed", "1 missed", "2 missed", "3 missed")
_OBJECT_TIPS = (
    "There is no cell here, or only a piece of one without its middle.",
    "One cell has its middle here, but the outline is wrong.",
    "Two cells in one outline.",
    "Three cells in one outline.",
)
_PLACE_TIP = "Cells that have their middle in the box, but no outline at all: {}."
# Row and column of the button of each number.
_TIP = "Your verdict on what is in the box."
_OBJECT_GRID = ((1, 0), (0, 1), (1, 1), (2, 0))
_PLACE_GRID = ((2, 0), (0, 1), (1, 0), (1, 1))
_MOST_CELLS = 999
_TABLE_LINES = 7


class SpotCheckPanel(QWidget):
    """Draws, asks and tells.

    Signals
    -------
    draw_wanted
        How many objects and places.
    answered
        Whether the object is right, and the number of cells.
    unsure, undo_wanted, resume_wanted, leave_wanted
        What the buttons say.
    export_wanted
        Path to write the protocol to.
    """

    draw_wanted = Signal(int)
    answered = Signal(bool, int)
    unsure = Signal()
    undo_wanted = Signal()
    resume_wanted = Signal()
    leave_wanted = Signal()
    export_wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._methods_text = ""
        self._asking_place: bool | None = None
        self._make_start()
        self._make_question()
        self._make_result()
        parts = (self._start, self._question_box, self._result_box)
        fill(QVBoxLayout(self), *parts, margins=(4, 0, 4, 0))
        self.set_state(can_draw=False, drawn=0, left=0)
        self.ask(None)
        self.set_result((), (), "")

    def set_state(self, can_draw: bool, drawn: int, left: int, note: str = "") -> None:
        """Say how far the sample is.

        Parameters
        ----------
        can_draw
            Whether there are results to draw from.
        drawn, left
            Objects and places in the sample, and those without a verdict.
        note
            What stands in the way of going on.
        """
        asking = self._asking_place is not None
        set_enabled(self._draw, can_draw and not asking)
        self._draw.setText("Draw a new sample" if drawn else "Draw a sample")
        self._resume.setVisible(left > 0 and not asking)
        set_enabled(self._resume, not note)
        self._resume.setText(f"Go on: {left} of {drawn} left")
        say(self._note, note)
        self._intro.setVisible(not drawn)

    def ask(self, place: bool | None, title: str = "", question: str = "") -> None:
        """Ask about an object (False) or a place (True); None: nothing is asked."""
        self._asking_place = place
        self._question_box.setVisible(place is not None)
        self._start.setVisible(place is None)
        if place is None:
            return
        self._title.setText(title)
        self._question.setText(question)
        self._right.setText(with_key("None missed" if place else "Right", "verdict_right"))
        tip = _PLACE_TIP.format("none") if place else "One cell, and its outline is right."
        self._right.setToolTip(f"{tip} {key_hint('verdict_right')}")
        # None missed is the first button's.
        self._numbers[0].setVisible(not place)
        where = _PLACE_GRID if place else _OBJECT_GRID
        for cells, button in enumerate(self._numbers):
            self._grid.addWidget(button, *where[cells])
            words = (_PLACE_WORDS if place else _OBJECT_WORDS)[cells]
            tip = _PLACE_TIP.format(cells) if place else _OBJECT_TIPS[cells]
            button.setText(with_key(words, f"verdict_{cells}"))
            button.setToolTip(f"{tip} {key_hint(f'verdict_{cells}')}")

    def set_result(
        self, sentences: Sequence[str], rows: Sequence[Sequence[str]], methods: str
    ) -> None:
        """Show what the verdicts say.

        Parameters
        ----------
        sentences
            In plain words, one a line.
        rows
            A table on images, with its headings first; empty for none.
        methods
            For a paper.
        """
        self._methods_text = methods
        self._result_box.setVisible(bool(sentences))
        self._summary.setText("\n".join(sentences))
        say(self._methods, methods)
        set_enabled(self._copy, bool(methods))
        self._table.setVisible(len(rows) > 2)
        if len(rows) > 2:
            self._fill(rows)

    def answer(self, cells: int | None) -> None:
        """Give the verdict that a key stands for: a number of cells, or None for right."""
        if self._asking_place is None:
            return
        if cells is None:
            self.answered.emit(not self._asking_place, 0 if self._asking_place else 1)
        else:
            self.answered.emit(False, cells)

    def _make_start(self) -> None:
        told = parameters(SpotCheckConfig)["units"]
        self._intro = line("spot_check_intro", "What a sample is for.")
        self._intro.setText(_INTRO)
        bounds = int(told.minimum or 0), int(told.maximum or 0)
        self._number = make_number(
            "spot_check_number", told.tooltip, told.label, *bounds, told.default
        )
        self._draw = make_button(
            "Draw a sample",
            "spot_check_draw",
            "Draw objects and places at random from all images that are predicted, or from all of "
            "the slide in view, and go to the first.",
            lambda: self.draw_wanted.emit(self._number.value()),
        )
        self._resume = make_button(
            "Go on",
            "spot_check_resume",
            "Go to the next object or place without a verdict.",
            self.resume_wanted.emit,
        )
        self._note = line("spot_check_note", "Why the sample cannot be gone on with.")
        label = explained(told.label, told.tooltip)
        row = fill(QHBoxLayout(), label, self._number, (self._draw, 1))
        self._start = QWidget()
        parts = (self._intro, self._resume, self._note, row)
        fill(QVBoxLayout(self._start), *parts, margins=(0, 0, 0, 0))

    def _make_question(self) -> None:
        self._title = line("spot_check_title", "How far the sample is.")
        self._question = line("spot_check_question", "What is asked.")
        self._right = make_button("Right", "verdict_right_button", _TIP, lambda: self.answer(None))
        self._numbers = [
            make_button(str(n), f"verdict_{n}_button", _TIP, partial(self.answer, n))
            for n in range(4)
        ]
        tip = "Where there are more cells: how many."
        self._cells = make_number("verdict_cells_spin", tip, "Number of cells", 0, _MOST_CELLS, 4)
        take = make_button(
            "cells",
            "verdict_cells_button",
            "Take the number beside as the verdict.",
            lambda: self.answer(self._cells.value()),
        )
        unsure = make_button(
            "Cannot tell", "verdict_unsure_button", "Leave this one out.", self.unsure.emit
        )
        back = make_button(
            with_key("Back", "undo_decision"),
            "spot_check_back",
            f"Take the last verdict back. {key_hint('undo_decision')}",
            self.undo_wanted.emit,
        )
        leave = make_button(
            "Leave",
            "spot_check_leave",
            "Do something else; the verdicts are kept, and you can go on later.",
            self.leave_wanted.emit,
        )
        grid = self._grid = QGridLayout()
        grid.addWidget(self._right, 0, 0)
        for column in range(2):
            grid.setColumnStretch(column, 1)
        for n, at in enumerate(_OBJECT_GRID):
            grid.addWidget(self._numbers[n], *at)
        grid.addLayout(fill(QHBoxLayout(), self._cells, (take, 1)), 2, 1)
        grid.addWidget(unsure, 3, 0)
        grid.addLayout(fill(QHBoxLayout(), back, leave), 3, 1)
        self._question_box = QWidget()
        parts = (self._title, self._question, grid)
        fill(QVBoxLayout(self._question_box), *parts, margins=(0, 0, 0, 0))

    def _make_result(self) -> None:
        self._summary = line("spot_check_summary", "What the verdicts say.")
        tip = "The same of each image; few verdicts leave wide limits."
        self._table = named(QTableWidget(), "spot_check_table", tip, "Figures of each image")
        self._table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self._table.setFixedHeight(lines_high(self._table, _TABLE_LINES))
        self._methods = line("spot_check_methods", "For the Methods section of a paper.")
        self._methods.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._copy = make_button(
            "Copy for Methods",
            "spot_check_copy",
            "Copy the sentences below for the Methods section of a paper.",
            self._copy_methods,
        )
        export = make_button(
            "Export protocol...",
            "spot_check_export",
            "Save what was looked at and each verdict as a table (.csv). The command 'validate "
            "--verdicts' computes the same figures from it.",
            self._on_export,
        )
        row = fill(QHBoxLayout(), self._copy, export)
        self._result_box = QWidget()
        parts = (self._summary, self._table, row, self._methods)
        fill(QVBoxLayout(self._result_box), *parts, margins=(0, 0, 0, 0))

    def _fill(self, rows: Sequence[Sequence[str]]) -> None:
        table, heading = self._table, rows[0]
        table.setColumnCount(len(heading))
        table.setRowCount(len(rows) - 1)
        table.setHorizontalHeaderLabels(list(heading))
        for y, row in enumerate(rows[1:]):
            for x, text in enumerate(row):
                table.setItem(y, x, QTableWidgetItem(text))
        down = table.verticalHeader()
        if down is not None:
            down.hide()
        across = table.horizontalHeader()
        if across is not None:
            across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)

    def _copy_methods(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self._methods_text)

    def _on_export(self) -> None:
        path = ask_where(self, "Export the protocol", "spot_check.csv", "Tables", ".csv")
        if path is not None:
            self.export_wanted.emit(path)
