"""Tables of a few rows, and what all tables have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableView,
    QTableWidget,
    QTableWidgetItem,
)

from .parts import named

RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


def fix_rows(table: QTableView, row_px: int) -> None:
    """Give all rows one height, and no headings."""
    rows = QHeaderView(Qt.Orientation.Vertical, table)
    rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    rows.setDefaultSectionSize(row_px)
    table.setVerticalHeader(rows)
    rows.hide()


class ShortTable(QTableWidget):
    """A table that is as high as its rows, up to a few, and as wide as there is room.

    Parameters
    ----------
    headings
        Of the columns, with their tooltips.
    name, tip, label
        As for :func:`.named`.
    row_px
        Height of a row.
    """

    def __init__(
        self,
        headings: Sequence[tuple[str, str]],
        name: str,
        tip: str,
        label: str,
        row_px: int,
    ) -> None:
        super().__init__(0, len(headings))
        named(self, name, tip, label)
        self._row_px = row_px
        for column, (heading, told) in enumerate(headings):
            item = QTableWidgetItem(heading)
            item.setToolTip(told)
            self.setHorizontalHeaderItem(column, item)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
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
        self.set_rows(0)

    def set_rows(self, n: int) -> None:
        """Have so many rows; those that are new are empty."""
        before = self.rowCount()
        self.setRowCount(n)
        for row in range(before, n):
            for column in range(self.columnCount()):
                self.setItem(row, column, QTableWidgetItem())
        self._fit_height()

    def at(self, row: int, column: int) -> QTableWidgetItem:
        """Return an entry."""
        item = self.item(row, column)
        assert item is not None
        return item

    def showEvent(self, event: Any) -> None:
        """Be as high as the rows are; before, the theme has not made the heading higher yet."""
        super().showEvent(event)
        self._fit_height()

    def _fit_height(self) -> None:
        header = self.horizontalHeader()
        height = 0 if header is None else header.sizeHint().height()
        height += min(max(self.rowCount(), 1), 5) * self._row_px
        self.setFixedHeight(height + 2 * self.frameWidth() + 2)
