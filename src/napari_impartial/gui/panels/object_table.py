"""The table of objects: a model over arrays, quick with tens of thousands of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

Table = dict[str, npt.NDArray[Any]]

_ROOT = QModelIndex()


class ObjectTableModel(QAbstractTableModel):
    """Columns of equal length, sorted by an order of row numbers."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table: Table = {}
        self._names: list[str] = []
        self._order: npt.NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self._sorting: tuple[str, bool] | None = None

    def set_table(self, table: Table) -> None:
        """Show another table, sorted as the last one was."""
        self.beginResetModel()
        self._table, self._names = table, list(table)
        n = len(next(iter(table.values()))) if table else 0
        self._order = np.arange(n)
        if self._sorting is not None and self._sorting[0] in table:
            self._order = self._sorted(*self._sorting)
        self.endResetModel()

    def value(self, row: int, name: str) -> Any:
        """Return an entry by row, as shown, and column name."""
        return self._table[name][self._order[row]]

    def row_of(self, label: int) -> int | None:
        """Return the row, as shown, of the object with that label."""
        if "label" not in self._table:
            return None
        rows = np.flatnonzero(self._table["label"][self._order] == label)
        return int(rows[0]) if len(rows) else None

    def rowCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of objects."""
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of measurements."""
        return 0 if parent.isValid() else len(self._names)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a number as text."""
        if role == Qt.ItemDataRole.DisplayRole and index.isValid():
            value = self.value(index.row(), self._names[index.column()])
            return str(value) if isinstance(value, (np.integer, int)) else f"{value:.4g}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name of a measurement."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return self._names[section].replace("_", " ")
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a measurement."""
        if not 0 <= column < len(self._names):
            return
        self.layoutAboutToBeChanged.emit()
        self._sorting = (self._names[column], order == Qt.SortOrder.DescendingOrder)
        self._order = self._sorted(*self._sorting)
        self.layoutChanged.emit()

    def _sorted(self, name: str, descending: bool) -> npt.NDArray[np.intp]:
        order = np.argsort(self._table[name], kind="stable")
        return order[::-1] if descending else order


class ObjectTable(QTableView):
    """Shows the objects; clicking a row asks to be taken there.

    Signals
    -------
    object_chosen
        ``(label, y, x, area_px)`` of the row that was clicked.
    """

    object_chosen = Signal(int, float, float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("object_table")
        self.setAccessibleName("Objects")
        self.setToolTip("Click a row to go to the object; click an object to find its row.")
        self._model = ObjectTableModel(self)
        self.setModel(self._model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSortingEnabled(True)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        rows = QHeaderView(Qt.Orientation.Vertical, self)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(self.fontMetrics().height() + 6)
        self.setVerticalHeader(rows)
        rows.hide()
        self.setFixedHeight(150)
        self._from_outside = False

    def set_table(self, table: Table) -> None:
        """Show another table."""
        before = list(self._model._names)
        self._model.set_table(table)
        if table and list(table) != before:
            # From the first rows only: all of them would take a while.
            columns = self.horizontalHeader()
            if columns is not None:
                columns.setResizeContentsPrecision(20)
            self.resizeColumnsToContents()

    def select(self, label: int) -> None:
        """Show the row of an object, without going to the object."""
        row = self._model.row_of(label)
        if row is None:
            return
        self._from_outside = True
        self.selectRow(row)
        self._from_outside = False
        self.scrollTo(self._model.index(row, 0))

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """Ask to be taken to the object of the row that became the current one."""
        super().currentChanged(current, previous)
        if current.isValid() and current.row() != previous.row() and not self._from_outside:
            value = self._model.value
            row = current.row()
            self.object_chosen.emit(
                int(value(row, "label")),
                float(value(row, "centroid_y")),
                float(value(row, "centroid_x")),
                float(value(row, "area_px")),
            )
