"""The filter of the table of objects: a column, a comparison, a value."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QWidget

from napari_impartial.core.instances.table_filter import SIGNS, Condition


class FilterRow(QWidget):
    """Chooses a :class:`Condition`.

    Signals
    -------
    valueChanged
        :class:`Condition`.
    """

    valueChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._column, self._sign, self._word = QComboBox(), QComboBox(), QLineEdit()
        for part, name, words, tip in (
            (self._column, "filter_column_combo", "Column of the filter", "Column to compare."),
            (self._sign, "filter_sign_combo", "Comparison of the filter", "How to compare it."),
            (
                self._word,
                "filter_edit",
                "Value of the filter",
                "Show only the objects of which the column compares so with this value; a number "
                "or, for the column 'review', a word such as accepted. Blank: all.",
            ),
        ):
            part.setObjectName(name)
            part.setAccessibleName(words)
            part.setToolTip(tip)
        self._sign.addItems(list(SIGNS))
        self._word.setPlaceholderText("Filter")
        self._word.setClearButtonEnabled(True)
        self._word.setMinimumWidth(60)
        self._column.setMinimumContentsLength(6)
        policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self._column.setSizeAdjustPolicy(policy)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for part, share in ((self._column, 2), (self._sign, 0), (self._word, 2)):
            row.addWidget(part, share)
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
