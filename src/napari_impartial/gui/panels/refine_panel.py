"""Step 5: where to scribble next."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QPushButton, QVBoxLayout, QWidget


class RefinePanel(QWidget):
    """The ranked places, and a button to go from one to the next.

    Signals
    -------
    place_chosen
        Number of the place in the list that was set.
    """

    place_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._list = QListWidget()
        self._list.setObjectName("suggestion_list")
        self._list.setAccessibleName("Suggestions")
        self._list.setToolTip("Places where strokes promise most; click one to go there.")
        self._list.setFixedHeight(110)
        self._next = QPushButton("Next place  (N)")
        self._next.setObjectName("next_button")
        self._next.setToolTip(
            "Go to the next place, with the brush in hand. Key: N. Paint there, then Continue."
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.addWidget(self._next)
        layout.addWidget(self._list)
        self._list.currentRowChanged.connect(self._on_row)
        self._list.itemClicked.connect(lambda item: self._on_row(self._list.row(item)))
        self._next.clicked.connect(self.go_next)
        self.setValue([])

    def value(self) -> int | None:
        """Return the number of the place that is chosen."""
        row = self._list.currentRow()
        return row if row >= 0 else None

    def setValue(self, lines: list[str]) -> None:
        """Show places by their descriptions, none of them chosen."""
        with QSignalBlocker(self._list):
            self._list.clear()
            for line in lines:
                self._list.addItem(QListWidgetItem(line))
            self._list.setCurrentRow(-1)
        self._next.setEnabled(bool(lines))

    def go_next(self) -> None:
        """Choose the next place; after the last comes the first."""
        n = self._list.count()
        if not n:
            return
        row = (self._list.currentRow() + 1) % n
        if row == self._list.currentRow():
            self._on_row(row)
        self._list.setCurrentRow(row)

    def _on_row(self, row: int) -> None:
        item = self._list.item(row)
        if item is None:
            return
        item.setForeground(QColor(128, 128, 128))
        item.setData(Qt.ItemDataRole.UserRole, True)
        self.place_chosen.emit(row)
