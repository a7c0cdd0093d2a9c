"""Step 5: where to scribble next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_impartial.gui.keybindings import key_hint, with_key
from napari_impartial.gui.widgets.keyboard_focus import set_enabled
from napari_impartial.gui.widgets.parts import fill, make_button, named
from napari_impartial.gui.widgets.text_labels import lines_high

_DONE = Qt.ItemDataRole.UserRole
_GREY = Qt.ItemDataRole.UserRole + 1


class RefinePanel(QWidget):
    """The ranked places, and buttons to go from one to the next.

    Signals
    -------
    place_chosen
        Number of the place in the list that was set.
    place_fine
        Number of a place that needs no strokes.
    undo_wanted
        The latest decision should be undone.

    Attributes
    ----------
    at_hand : QWidget
        Next place and Looks fine, which stand where they are always seen.
    """

    place_chosen = Signal(int)
    place_fine = Signal(int)
    undo_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        tip = "Places where strokes promise most; click one to go there."
        self._list = named(QListWidget(), "suggestion_list", tip, "Suggestions")
        self._list.setFixedHeight(lines_high(self._list, 6))
        self._next = make_button(
            with_key("Next place", "next_place"),
            "next_button",
            "Go to the next place, with the brush in hand. Paint there, then train. "
            + key_hint("next_place"),
            self.go_next,
        )
        self._previous = make_button(
            "Previous",
            "previous_button",
            f"Go back to the place before. {key_hint('previous_place')}",
            self.go_previous,
        )
        self._fine = make_button(
            with_key("Looks fine", "looks_fine"),
            "fine_button",
            "Nothing to paint here: the place is not suggested again unless what the model says "
            f"of it changes a lot. Goes on to the next place. {key_hint('looks_fine')}",
            self.looks_fine,
        )
        self._undo = make_button(
            with_key("Undo", "undo_decision"), "undo_fine_button", "", self.undo_wanted.emit
        )
        self.at_hand = QWidget(self)
        always = (self._next, 1), (self._fine, 1)
        fill(QHBoxLayout(self.at_hand), *always, margins=(0, 0, 0, 0), spacing=3)
        buttons = fill(QHBoxLayout(), (self._previous, 1), (self._undo, 1))
        fill(QVBoxLayout(self), buttons, self._list, margins=(4, 0, 4, 0))
        self._list.currentRowChanged.connect(self._on_row)
        self._list.itemClicked.connect(lambda item: self._on_row(self._list.row(item)))
        self.set_undo("")
        self.setValue([])

    def value(self) -> int | None:
        """Return the number of the place that is chosen."""
        row = self._list.currentRow()
        return row if row >= 0 else None

    def setValue(self, lines: Sequence[str], done: Sequence[bool] = (), row: int = -1) -> None:
        """Show places by their descriptions.

        Parameters
        ----------
        lines
            One a place.
        done
            Whether there is nothing left to do at a place; such places are passed over.
        row
            The place that is chosen, without going there; -1 for none.
        """
        finished = list(done) or [False] * len(lines)
        with QSignalBlocker(self._list):
            self._list.clear()
            for line, over in zip(lines, finished, strict=True):
                item = QListWidgetItem(line)
                item.setData(_DONE, over)
                self._list.addItem(item)
                if over:
                    self._grey(item)
            self._list.setCurrentRow(row)
        self._update()

    def set_undo(self, words: str) -> None:
        """Say what would be undone; nothing if `words` is empty."""
        set_enabled(self._undo, bool(words))
        self._undo.setToolTip(f"Undo {words or 'the latest decision'}. {key_hint('undo_decision')}")

    def go_next(self) -> None:
        """Choose the next place where something is left to do; after the last, the first."""
        self._go(1)

    def go_previous(self) -> None:
        """Choose the place before where something is left to do."""
        self._go(-1)

    def looks_fine(self) -> None:
        """Say that the chosen place needs no strokes, and go on to the next."""
        row = self.value()
        if row is None or self._is_done(row):
            return
        self.place_fine.emit(row)
        self.go_next()

    def _go(self, step: int) -> None:
        n, at = self._list.count(), self._list.currentRow()
        if at < 0 and step < 0:
            at = n
        for i in range(1, n + 1):
            row = (at + step * i) % n
            if not self._is_done(row):
                if row == self._list.currentRow():
                    self._on_row(row)
                self._list.setCurrentRow(row)
                return

    def _is_done(self, row: int) -> bool:
        item = self._list.item(row)
        return item is None or bool(item.data(_DONE))

    def _on_row(self, row: int) -> None:
        item = self._list.item(row)
        if item is None:
            return
        self._grey(item)
        self._update()
        self.place_chosen.emit(row)

    def _grey(self, item: QListWidgetItem) -> None:
        item.setData(_GREY, True)
        # Half clear text can be read on light and on dark themes.
        colour = self.palette().text().color()
        colour.setAlpha(150)
        item.setForeground(colour)

    def changeEvent(self, event: Any) -> None:
        """Follow the theme: grey of the one cannot be read on the other."""
        super().changeEvent(event)
        # Qt calls this while the widget is being made, too.
        if event.type() in (event.Type.PaletteChange, event.Type.StyleChange) and hasattr(
            self, "_list"
        ):
            items = (self._list.item(row) for row in range(self._list.count()))
            for item in items:
                if item is not None and item.data(_GREY):
                    self._grey(item)

    def _update(self) -> None:
        left = any(not self._is_done(row) for row in range(self._list.count()))
        set_enabled(self._next, left)
        set_enabled(self._previous, left)
        row = self.value()
        set_enabled(self._fine, row is not None and not self._is_done(row))
