"""The rounds of training so far: how they went, what changed, and back again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_impartial.core.review.round_changes import CHANGED, GAINED, LOST
from napari_impartial.gui.layers.result_layers import CHANGE_COLOURS
from napari_impartial.gui.widgets.keyboard_focus import set_enabled
from napari_impartial.gui.widgets.parts import fill, make_button, named, say
from napari_impartial.gui.widgets.text_labels import line, lines_high, tell

_COLUMNS = (
    ("Round", "Number of the training; the current one is marked."),
    ("time", "Seconds of training, those of the rounds it went on from included."),
    ("pixels", "Annotated pixels."),
    ("cells", "Cells with strokes, and objects accepted or corrected."),
    ("objects", "Objects in the images that this round predicted."),
    (
        "unseen",
        "How sure the model was of the right class on strokes it had not learned from: 0 to 1, "
        "1 is best. They are some that were kept out of training where there are many, else "
        "those that were painted after the round: the latest has none yet.",
    ),
)

# The last one reaches to the edge, or a little over it: at its right it would be cut off.
_RIGHT = range(1, len(_COLUMNS) - 1)


@dataclass(frozen=True)
class RoundRow:
    """Row of the list of rounds."""

    number: int
    seconds: float
    pixels: int
    cells: int
    objects: int | None
    score: float | None
    current: bool = False


class RoundsPanel(QWidget):
    """A small list of rounds, with buttons to compare and to roll back.

    Signals
    -------
    compare_wanted
        Whether to show what changed since the chosen round.
    roll_back_wanted
        Number of the round to go back to.
    valueChanged
        Number of the round that was chosen to compare with, or None.
    """

    compare_wanted = Signal(bool)
    roll_back_wanted = Signal(int)
    valueChanged = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._rows: Sequence[RoundRow] = ()
        self._list = named(
            QTreeWidget(),
            "rounds_list",
            "The trainings so far. Choose one to compare with the present objects, or to go "
            "back to.",
            "Rounds",
        )
        self._list.setRootIsDecorated(False)
        self._list.setUniformRowHeights(True)
        self._list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._list.setHeaderLabels([name for name, _ in _COLUMNS])
        heading = self._list.headerItem()
        for column, (_, tip) in enumerate(_COLUMNS):
            if heading is not None:
                heading.setToolTip(column, tip)
                side = (
                    Qt.AlignmentFlag.AlignRight if column in _RIGHT else Qt.AlignmentFlag.AlignLeft
                )
                heading.setTextAlignment(column, side | Qt.AlignmentFlag.AlignVCenter)
        header = self._list.header()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setMinimumSectionSize(24)
        self._list.setFixedHeight(lines_high(self._list, 5))
        self._compare = make_button(
            "Compare with the last",
            "compare_button",
            "Show, as a layer, which objects are new, gone or changed since the chosen round, or "
            "since the round before. Ends when another image is chosen.",
            checkable=True,
        )
        self._back = make_button(
            "Roll back",
            "roll_back_button",
            "Make the model and the objects of the chosen round the current ones; Train goes "
            "on from there. Later rounds are kept, and so are strokes and decisions.",
            self._on_back,
        )
        self._changes = line("changes_label", "How the objects differ from those of that round.")
        self._hint = line("rounds_hint", "Judged by strokes that were kept out of training.")
        for told in (self._changes, self._hint):
            told.hide()
        row = fill(QHBoxLayout(), (self._compare, 3), (self._back, 2))
        parts = (self._list, row, self._changes, self._hint)
        fill(QVBoxLayout(self), *parts, margins=(4, 4, 4, 0))
        self._list.currentItemChanged.connect(self._on_choice)
        self._compare.toggled.connect(self.compare_wanted)
        self.set_rounds(())

    def value(self) -> int | None:
        """Return the number of the chosen round."""
        row = self._list.indexOfTopLevelItem(self._list.currentItem())
        return self._rows[row].number if 0 <= row < len(self._rows) else None

    def setValue(self, number: int | None) -> None:
        """Choose a round."""
        numbers = [row.number for row in self._rows]
        item = None
        if number in numbers:
            item = self._list.topLevelItem(numbers.index(number))
        self._list.setCurrentItem(item)

    def set_rounds(self, rows: Sequence[RoundRow], busy: bool = False) -> None:
        """Show rounds, oldest first; nothing at all before the first."""
        self.setVisible(bool(rows))
        self._busy = busy
        if rows != self._rows:
            before = self.value()
            with QSignalBlocker(self._list):
                self._list.clear()
                for row in rows:
                    self._list.addTopLevelItem(_item(row))
                self._rows = rows
                self.setValue(before)
            current = [i for i, row in enumerate(rows) if row.current]
            if current:
                self._list.scrollToItem(self._list.topLevelItem(current[0]))
        self._update()

    def set_comparing(self, comparing: bool) -> None:
        """Show whether changes are being shown."""
        with QSignalBlocker(self._compare):
            self._compare.setChecked(comparing)
        self._update()

    def set_changes(self, words: str) -> None:
        """Say what changed; nothing if `words` is empty."""
        shown = (("new", GAINED), ("gone", LOST), ("changed", CHANGED))
        legend = "&nbsp; ".join(
            f"<span style='color:{CHANGE_COLOURS[kind]}'>&#9632;</span>&nbsp;{name}"
            for name, kind in shown
        )
        tell(self._changes, f"{escape(words)}<br>{legend}" if words else "")
        self._changes.setVisible(bool(words))

    def set_hint(self, words: str) -> None:
        """Say that more scribbles no longer help; nothing if `words` is empty."""
        say(self._hint, words)

    def _on_choice(self, *_: object) -> None:
        self._update()
        self.valueChanged.emit(self.value())

    def _on_back(self) -> None:
        number = self.value()
        if number is not None:
            self.roll_back_wanted.emit(number)

    def _update(self) -> None:
        chosen = [row for row in self._rows if row.number == self.value()]
        current = [row for row in self._rows if row.current]
        other = bool(chosen) and not chosen[0].current
        earlier = bool(current) and any(row.number < current[0].number for row in self._rows)
        set_enabled(self._compare, other or earlier or self._compare.isChecked())
        self._compare.setText(
            f"Compare with round {chosen[0].number}" if other else "Compare with the last"
        )
        set_enabled(self._back, other and not self._busy)


def _item(row: RoundRow) -> QTreeWidgetItem:
    texts = [
        f"{row.number} ◂" if row.current else str(row.number),
        f"{row.seconds:.0f} s",
        str(row.pixels),
        str(row.cells),
        "" if row.objects is None else str(row.objects),
        "" if row.score is None else f"{row.score:.2f}",
    ]
    item = QTreeWidgetItem(texts)
    for column in _RIGHT:
        item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
    return item
