"""Tables: what their models and their looks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from .parts import named

RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_ROOT = QModelIndex()


class HeadedModel(QAbstractTableModel):
    """Rows under headings that say what they mean; those who inherit have the entries."""

    def n_rows(self) -> int:
        """Return the number of rows."""
        raise NotImplementedError

    def headings(self) -> Sequence[tuple[str, str]]:
        """Return the heading of each column, and its tooltip."""
        raise NotImplementedError

    def rowCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of rows."""
        return 0 if parent.isValid() else self.n_rows()

    def columnCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.headings())

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a heading and what it means."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        heading, tip = self.headings()[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return heading
        return tip or None if role == Qt.ItemDataRole.ToolTipRole else None


def fix_rows(table: QTableView, row_px: int) -> None:
    """Give all rows one height, and no headings."""
    rows = QHeaderView(Qt.Orientation.Vertical, table)
    rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    rows.setDefaultSectionSize(row_px)
    table.setVerticalHeader(rows)
    rows.hide()


class ShortTable(QTableView):
    """A table that is as high as its rows, up to a few, and as wide as there is room.

    Parameters
    ----------
    model, name, tip, label
    row_px
        Height of a row.
    most
        Rows that are seen without scrolling.
    """

    def __init__(
        self,
        model: HeadedModel,
        name: str,
        tip: str,
        label: str,
        row_px: int,
        most: int = 5,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        named(self, name, tip, label)
        self._row_px, self._most = row_px, most
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setShowGrid(False)
        self.setWordWrap(False)
        # Names of images and channels of one experiment differ at their ends.
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setMinimumWidth(200)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        fix_rows(self, row_px)
        # Of a long name the middle can go; of a number nothing.
        columns = QHeaderView(Qt.Orientation.Horizontal, self)
        self.setHorizontalHeader(columns)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        columns.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        model.modelReset.connect(self.fit_height)
        self.fit_height()

    def showEvent(self, event: Any) -> None:
        """Be as high as the rows are; before, the theme has not made the heading higher yet."""
        super().showEvent(event)
        self.fit_height()

    def fit_height(self) -> None:
        """Be as high as the rows are."""
        header, model = self.horizontalHeader(), self.model()
        n = 0 if model is None else model.rowCount()
        height = 0 if header is None else header.sizeHint().height()
        height += min(max(n, 1), self._most) * self._row_px
        self.setFixedHeight(height + 2 * self.frameWidth() + 2)
