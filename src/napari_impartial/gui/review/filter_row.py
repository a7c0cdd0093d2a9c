"""The filter of the table of objects: a column, a comparison, a value."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QWidget

from napari_impartial.core.instances.table_filter import SIGNS, Condition
from napari_impartial.gui.widgets.parts import fill, make_choice, named


class FilterRow(QWidget):
    """Chooses a :class:`Condition`.

    Signals
    -------
    valueChanged
        :class:`Condition`.
    """

    valueChanged = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._column = make_choice(
            "filter_column_combo", "Column to compare.", "Column of the filter", 6
        )
        self._sign = make_choice(
            "filter_sign_combo", "How to compare it.", "Comparison of the filter"
        )
        self._word = named(
            QLineEdit(),
            "filter_edit",
            "Show only the objects of which the column compares so with this value; a number "
            "or, for the column 'review', a word such as accepted. Blank: all.",
            "Value of the filter",
        )
        self._sign.addItems(list(SIGNS))
        self._word.setPlaceholderText("Filter")
        self._word.setClearButtonEnabled(True)
        self._word.setMinimumWidth(60)
        parts = (self._column, 2), self._sign, (self._word, 2)
        fill(QHBoxLayout(self), *parts, margins=(0, 0, 0, 0))
        self.setValue(Condition())
        self._column.currentIndexChanged.connect(self._tell)
        self._sign.currentIndexChanged.connect(self._tell)
        self._word.textChanged.connect(self._tell)

    def value(self) -> Condition:
        """Return what is chosen."""
        return Condition(self._column.currentData(), self._sign.currentText(), self._word.text())

    def setValue(self, condition: Condition) -> None:
        """Choose; a column that is not offered yet is, too."""
        with QSignalBlocker(self):
            if self._column.findData(condition.column) < 0:
                self._add(condition.column)
            self._column.setCurrentIndex(self._column.findData(condition.column))
            self._sign.setCurrentText(condition.sign)
            self._word.setText(condition.value)
        self._tell()

    def set_columns(self, names: Sequence[str]) -> None:
        """Offer columns; the one that is chosen stays, which another image may lack."""
        chosen = self._column.currentData()
        with QSignalBlocker(self._column):
            self._column.clear()
            for name in dict.fromkeys([*names, chosen]):
                self._add(name)
            self._column.setCurrentIndex(self._column.findData(chosen))

    def _add(self, name: str) -> None:
        self._column.addItem(name.replace("_", " "), name)

    def _tell(self, *_: object) -> None:
        self.valueChanged.emit(self.value())
