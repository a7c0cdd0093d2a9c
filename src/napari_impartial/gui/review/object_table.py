"""The table of objects: a model over arrays, quick with a million rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QSize,
    Qt,
    Signal,
)
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QSizePolicy, QTableView, QWidget

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.measurements import describe
from napari_impartial.core.instances.table_filter import Condition
from napari_impartial.core.review.review import Verdict
from napari_impartial.gui.background import Latest
from napari_impartial.gui.widgets.parts import named
from napari_impartial.gui.widgets.tables import RIGHT, fix_rows

Table = dict[str, npt.NDArray[Any]]

VERDICT = "review"
"""Column of the verdicts; shown, but not a measurement."""

_VERDICT_TIP = "Whether you accepted or corrected the object; empty if neither."

_PLACES = ("centroid", "bbox")
# Up to so many rows are sorted while the window waits: 60 ms. A million take ten times as long.
SORTED_AT_ONCE = 100_000
_ROOT = QModelIndex()


@dataclass(frozen=True, eq=False)
class _Shown(Mapping[str, npt.NDArray[Any]]):
    """Columns of a table, of some rows in some order."""

    columns: Table
    rows: npt.NDArray[np.intp]

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        column: npt.NDArray[Any] = self.columns[name][self.rows]
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


class ObjectTableModel(QAbstractTableModel):
    """Columns of equal length; which rows are shown, and how sorted, is an index array."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table: Table = {}
        self._names: list[str] = []
        self._order: npt.NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        # Where each row of the table is shown, -1 where it is not; and the rows by their labels.
        self._place: npt.NDArray[np.intp] | None = None
        self._by_label: npt.NDArray[np.intp] | None = None
        self._sorting: tuple[str, bool] | None = None
        # A column and its rows in ascending order.
        self._ranked: tuple[npt.NDArray[Any], npt.NDArray[np.intp]] | None = None
        self._ranking = Latest(self)
        self._ranking.done.connect(self._on_ranked)
        self._filter = Condition()
        self._verdicts: Mapping[int, str] = {}
        # Which rows are of objects that were not rejected; None where all are.
        self._left: npt.NDArray[np.bool_] | None = None

    def set_table(self, table: Table) -> None:
        """Show other measurements, sorted and filtered as the last ones were."""
        self.beginResetModel()
        self._table, self._by_label, self._ranked = {}, None, None
        for name, column in table.items():
            self._table[name] = column
            if name == "label":
                # Holds its place among the columns.
                self._table[VERDICT] = column
        self._take_verdicts()
        # What is looked at most comes first; where an object lies, the picture shows.
        constant = self._constant()
        names = [name for name in self._table if name not in constant]
        self._names = sorted(names, key=lambda name: name.startswith(_PLACES))
        self._put_in_order()
        self.endResetModel()

    def set_verdicts(self, verdicts: Mapping[int, str]) -> None:
        """Show what was decided about objects, by label; those that were rejected are not shown."""
        if verdicts == self._verdicts:
            return
        self._verdicts = dict(verdicts)
        if "label" not in self._table:
            return
        self.beginResetModel()
        self._take_verdicts()
        self._put_in_order()
        self.endResetModel()

    def set_filter(self, condition: Condition) -> None:
        """Show only rows that fulfil a condition.

        Raises
        ------
        ImPartialError
            If it cannot be applied; what is shown stays as it is.
        """
        if self._table:
            condition.rows(self._table)
        self.beginResetModel()
        self._filter = condition
        self._put_in_order()
        self.endResetModel()

    def shown(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return the measurements as shown, filtered and sorted; verdicts if there are any.

        A column is put in order when it is asked for, which may be on a thread.
        """
        hidden = set() if self._verdicts else {VERDICT}
        columns = {name: column for name, column in self._table.items() if name not in hidden}
        return _Shown(columns, self._order)

    def columns(self) -> list[str]:
        """Return the names of the columns that rows can be chosen by, the label aside."""
        hidden = {"label", VERDICT, *self._constant()}
        return [name for name in self._table if name not in hidden]

    def _constant(self) -> set[str]:
        """Return the columns of classes where all objects are of one: they say nothing then."""
        classes = self._table.get("class")
        if classes is None or (classes != classes[:1]).any():
            return set()
        return {"class", "class_name", "class_probability"}

    def total(self) -> int:
        """Return the number of objects, those included that the filter hides."""
        return self._n_rows() if self._left is None else int(np.count_nonzero(self._left))

    def _n_rows(self) -> int:
        return len(self._table["label"]) if "label" in self._table else 0

    def value(self, row: int, name: str) -> Any:
        """Return an entry by row, as shown, and column name."""
        return self._table[name][self._order[row]]

    def labels(self, rows: Iterable[int] | npt.NDArray[np.intp]) -> list[int]:
        """Return the labels of rows, as shown."""
        if "label" not in self._table:
            return []
        chosen = rows if isinstance(rows, np.ndarray) else np.fromiter(rows, dtype=np.intp)
        found: list[int] = self._table["label"][self._order[chosen]].tolist()
        return found

    def row_of(self, label: int) -> int | None:
        """Return the row, as shown, of the object with that label."""
        rows = self.rows_of([label])
        return int(rows[0]) if len(rows) else None

    def rows_of(self, labels: Iterable[int]) -> npt.NDArray[np.intp]:
        """Return the rows, as shown, of the objects with some labels; of those that have one."""
        rows = self._find(labels)
        if self._place is None:
            self._place = np.full(self._n_rows(), -1, dtype=np.intp)
            self._place[self._order] = np.arange(len(self._order))
        places = self._place[rows]
        return places[places >= 0]

    def _find(self, labels: Iterable[int]) -> npt.NDArray[np.intp]:
        """Return the rows of the table of the objects with some labels; of those that have one."""
        wanted = np.fromiter(labels, dtype=np.int64)
        if not len(wanted) or not self._n_rows():
            return np.zeros(0, dtype=np.intp)
        known = self._table["label"]
        if self._by_label is None:
            self._by_label = np.argsort(known, kind="stable")
        at = np.searchsorted(known, wanted, sorter=self._by_label)
        rows = self._by_label[np.minimum(at, len(known) - 1)]
        found: npt.NDArray[np.intp] = rows[known[rows] == wanted]
        return found

    def rowCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of objects that are shown."""
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self._names)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a number or verdict as text."""
        if role == Qt.ItemDataRole.DisplayRole and index.isValid():
            value = self.value(index.row(), self._names[index.column()])
            if isinstance(value, (np.integer, int, str)):
                return str(value)
            return f"{value:.4g}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return RIGHT
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name of a column and what it means."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        name = self._names[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return name.replace("_", " ")
        if role == Qt.ItemDataRole.ToolTipRole:
            return _VERDICT_TIP if name == VERDICT else describe(name)
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; very many rows on a thread."""
        if not 0 <= column < len(self._names):
            return
        self._sorting = (self._names[column], order == Qt.SortOrder.DescendingOrder)
        self._sort()

    def _sort(self) -> None:
        self.layoutAboutToBeChanged.emit()
        before = self._order
        self._put_in_order()
        # What is selected stays selected, at its new row.
        place = np.zeros(self._n_rows(), dtype=np.intp)
        place[self._order] = np.arange(len(self._order))
        old = self.persistentIndexList()
        new = [self.index(int(place[before[i.row()]]), i.column()) for i in old]
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def _ascending(self) -> npt.NDArray[np.intp] | None:
        """Return the rows sorted by the column that was chosen; None as long as a thread sorts."""
        column = None if self._sorting is None else self._table.get(self._sorting[0])
        if column is None:
            return None
        if self._ranked is None or self._ranked[0] is not column:
            if len(column) > SORTED_AT_ONCE:
                self._ranking.request(partial(_rank, column))
                return None
            self._ranked = _rank(column)
        return self._ranked[1]

    def _on_ranked(self, ranked: tuple[npt.NDArray[Any], npt.NDArray[np.intp]]) -> None:
        if self._sorting is not None and self._table.get(self._sorting[0]) is ranked[0]:
            self._ranked = ranked
            self._sort()

    def _put_in_order(self) -> None:
        self._place = None
        order = self._ascending()
        if order is None:
            order = np.arange(self._n_rows(), dtype=np.intp)
        elif self._sorting is not None and self._sorting[1]:
            order = order[::-1]
        try:
            rows = self._filter.rows(self._table) if self._table else None
        except ImPartialError:
            rows = None  # another image may lack the column that the filter names
        if self._left is not None:
            rows = self._left if rows is None else rows & self._left
        self._order = order if rows is None else order[rows[order]]

    def _take_verdicts(self) -> None:
        """Write verdicts into their column, and note which rows are left."""
        self._left = None
        if VERDICT not in self._table:
            return
        words = np.zeros(self._n_rows(), dtype="U9")
        for word in set(self._verdicts.values()):
            these = self._find(i for i, verdict in self._verdicts.items() if verdict == word)
            words[these] = word
            if word == Verdict.REJECTED and len(these):
                self._left = np.ones(len(words), dtype=bool)
                self._left[these] = False
        self._table[VERDICT] = words


def _rank(column: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Return a column, and its rows in ascending order."""
    return column, np.argsort(column, kind="stable")


class ObjectTable(QTableView):
    """Shows the objects; going to a row asks to be taken there.

    Signals
    -------
    object_chosen
        ``(label, y, x, area_px)`` of the row that became the current one.
    reject_wanted
        The selected rows are no objects.
    selection_changed
        Other rows are selected, or none.
    """

    object_chosen = Signal(int, float, float, float)
    reject_wanted = Signal()
    selection_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        tip = "Click a row to go to the object. Click a heading to sort."
        named(self, "object_table", tip, "Objects")
        self._model = ObjectTableModel(self)
        self.setModel(self._model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSortingEnabled(True)
        # Who sorts wants the first rows; Qt keeps to the row that was on top.
        self._model.layoutChanged.connect(self.scrollToTop)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        row_px = self.fontMetrics().height() + 6
        fix_rows(self, row_px)
        columns = self.horizontalHeader()
        if columns is not None:
            # Bold headings of what is selected would be cut off.
            columns.setHighlightSections(False)
            # Or each heading asks of each row whether it is selected, at each redraw.
            columns.setSelectionModel(QItemSelectionModel(self._model, columns))
            # Columns are as wide as their first rows: all of them would take a while.
            columns.setResizeContentsPrecision(20)
        self.setMinimumHeight(max(150, 7 * row_px))
        # More rows where the screen has room for them.
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._from_outside = False
        self._in_picture = False
        # Objects to be selected as soon as they are measured.
        self._awaited: list[int] = []
        self.pressed.connect(self._on_pressed)
        # A model that is reset loses its selection without a word of that.
        self._model.modelReset.connect(self.selection_changed)
        self.chosen().selectionChanged.connect(lambda *_: self.selection_changed.emit())

    def sizeHint(self) -> QSize:
        """Return the least size: what is more has to be there."""
        return QSize(super().sizeHint().width(), self.minimumHeight())

    def table_model(self) -> ObjectTableModel:
        """Return the model."""
        return self._model

    def chosen(self) -> QItemSelectionModel:
        """Return what is selected."""
        selection = self.selectionModel()
        assert selection is not None
        return selection

    @contextmanager
    def _selection_kept(self) -> Iterator[None]:
        """Select the same objects again after the model was reset."""
        labels, current = self.selected(), self.current_label()
        yield
        if labels or current is not None:
            self.select_labels(labels, current)

    def set_table(self, table: Table) -> None:
        """Show other measurements; objects that are still there stay selected."""
        before = list(self._model._names)
        with self._selection_kept():
            self._model.set_table(table)
        if self._awaited:
            self.select_once_there(self._awaited)
        if table and self._model._names != before:
            self.resizeColumnsToContents()

    def set_verdicts(self, verdicts: Mapping[int, str]) -> None:
        """Show what was decided about objects, by label."""
        with self._selection_kept():
            self._model.set_verdicts(verdicts)

    def set_filter(self, condition: Condition) -> None:
        """Show only rows that fulfil a condition; raises ImPartialError if it cannot be applied."""
        with self._selection_kept():
            self._model.set_filter(condition)

    def selected(self, most: int | None = None) -> list[int]:
        """Return the labels of the selected objects, or of so many at most."""
        # By ranges: a list of 50 000 model indices takes a second.
        chosen = self.chosen().selection()
        parts = [chosen[i] for i in range(chosen.count())]
        rows = [np.arange(part.top(), part.bottom() + 1, dtype=np.intp) for part in parts]
        return self._model.labels(np.unique(np.concatenate(rows))[:most] if rows else [])

    def selected_boxes(self, most: int) -> list[tuple[int, int, int, int]]:
        """Return the boxes (y0, x0, y1, x1) of selected objects, of so many at most."""
        names, value = ("bbox_y0", "bbox_x0", "bbox_y1", "bbox_x1"), self._model.value
        rows = self._model.rows_of(self.selected(most)).tolist()
        boxes = ([int(value(row, name)) for name in names] for row in rows)
        return [(y0, x0, y1, x1) for y0, x0, y1, x1 in boxes]

    def select(self, label: int) -> None:
        """Show the row of an object that was chosen in the picture, without going there.

        Nothing is selected if it has no row.
        """
        row = self._model.row_of(label)
        self._awaited = []
        if row is None:
            # What is done next would be done to an object that was chosen before.
            self.chosen().clear()
            return
        # selectRow would add to the selection while Ctrl is held, as it is for clicks on objects.
        self.select_labels([label], label)
        self._in_picture = True
        self.scrollTo(self._model.index(row, 0))

    def select_labels(self, labels: Iterable[int], current: int | None = None) -> None:
        """Select the rows of objects, without going anywhere."""
        rows = np.sort(self._model.rows_of(labels))
        selection, last = QItemSelection(), self._model.columnCount() - 1
        for start, stop in _runs(rows):
            selection.select(self._model.index(start, 0), self._model.index(stop, last))
        chosen, self._from_outside = self.chosen(), True
        chosen.select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        row = None if current is None else self._model.row_of(current)
        if row is not None:
            index = self._model.index(row, 0)
            chosen.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)
        self._from_outside = False

    def select_once_there(self, labels: Sequence[int]) -> None:
        """Select objects without going anywhere; those that have no row yet when they have."""
        self.select_labels(labels, labels[0] if labels else None)
        missing = any(self._model.row_of(label) is None for label in labels)
        self._awaited = list(labels) if missing else []

    def chosen_in_picture(self) -> bool:
        """Return whether what was chosen last was chosen in the picture: there it is looked at."""
        return self._in_picture

    def current_label(self) -> int | None:
        """Return the label of the current row."""
        row = self.currentIndex().row()
        return self._model.labels([row])[0] if 0 <= row < self._model.rowCount() else None

    def go_to_row(self, row: int) -> None:
        """Make a row the selected one, and ask to be taken to its object."""
        if 0 <= row < self._model.rowCount():
            # selectRow would do something else while a key such as Ctrl is held.
            flag = QItemSelectionModel.SelectionFlag
            self.chosen().setCurrentIndex(
                self._model.index(row, 0), flag.ClearAndSelect | flag.Rows
            )

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """Ask to be taken to the object of the row that became the current one."""
        super().currentChanged(current, previous)
        if current.isValid() and current.row() != previous.row() and not self._from_outside:
            self._in_picture = False
            self._awaited = []
            row, names = current.row(), ("centroid_y", "centroid_x", "area_px")
            where = (float(self._model.value(row, name)) for name in names)
            self.object_chosen.emit(int(self._model.value(row, "label")), *where)

    def _on_pressed(self, _: QModelIndex) -> None:
        self._in_picture = False

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Reject with the key that elsewhere takes rows out of tables."""
        if event is not None and event.key() == Qt.Key.Key_Delete and not event.modifiers().value:
            self.reject_wanted.emit()
            return
        super().keyPressEvent(event)


def _runs(rows: npt.NDArray[np.intp]) -> list[tuple[int, int]]:
    """Return first and last of each run of consecutive numbers, which are sorted."""
    if not len(rows):
        return []
    ends = np.flatnonzero(np.diff(rows) > 1)
    first, last = np.append(0, ends + 1), np.append(ends, len(rows) - 1)
    return list(zip(rows[first].tolist(), rows[last].tolist(), strict=True))
