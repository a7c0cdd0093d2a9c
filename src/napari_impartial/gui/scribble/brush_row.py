"""The brushes: background, the kinds of cell, the eraser, and how large they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_impartial.core.data.scribbles import BACKGROUND, FOREGROUND, NOT_ANNOTATED
from napari_impartial.gui.keybindings import BRUSHES, key_hint, with_key
from napari_impartial.gui.layers.scribble_layers import COLOURS
from napari_impartial.gui.widgets.keyboard_focus import FOCUS
from napari_impartial.gui.widgets.parts import fill, make_button, make_number

_LARGEST_BRUSH_PX = 500
# Characters of a name that a button has room for.
_SHORT = 12
_BRUSHES = (
    (BACKGROUND, "Background", "brush_background", "Paint background: where there is no cell."),
    (
        FOREGROUND,
        "Cell",
        "brush_cell",
        "Paint the inside of cells; a short stroke in each is enough.",
    ),
    (NOT_ANNOTATED, "Eraser", "eraser", "Take strokes away."),
)
_FURTHER = [label for label in COLOURS if label > FOREGROUND]


class BrushRow(QWidget):
    """Hands out brushes, and shows which one is in hand.

    Signals
    -------
    brush_wanted
        Label to paint with; 0 is the eraser.
    size_wanted
        Width of the brush, in pixels of the image.
    """

    brush_wanted = Signal(int)
    size_wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # Kinds of cell beyond the first that the user asked for, or that are painted.
        self._asked = 0
        self._buttons: dict[int, QPushButton] = {}
        first, further = QHBoxLayout(), QHBoxLayout()
        for label, name, action, tip in _BRUSHES:
            tip = f"{tip} {key_hint(action)}"
            name, text = f"brush_{name.lower()}_button", with_key(name, action)
            first.addWidget(self._button(label, text, name, tip))
        for label in _FURTHER:
            further.addWidget(self._button(label, "", f"brush_class_{label}_button", ""))
        tip = "Tell another kind of cell apart: a brush more."
        self._add = make_button("+", "add_class_button", tip, self._on_add)
        self._add.setAccessibleName("Another kind of cell")
        self._add.setMaximumWidth(28)
        self._size = make_number(
            "brush_size_spin",
            "Width of the brush, in pixels of the image. "
            f"{key_hint('smaller_brush')} {key_hint('larger_brush')}",
            "Brush size",
            1,
            _LARGEST_BRUSH_PX,
        )
        fill(first, self._add, self._size, spacing=3)
        first.setStretch(0, 1)
        further.setSpacing(3)
        fill(QVBoxLayout(self), first, further, margins=(0, 0, 0, 0), spacing=3)
        self._size.valueChanged.connect(self.size_wanted)
        self.set_ready(False, False)
        self.set_painted(())

    def set_ready(self, has_image: bool, has_scribbles: bool) -> None:
        """Enable what can work."""
        for label, button in self._buttons.items():
            # To paint makes a layer where there is none; there is nothing to erase, though.
            button.setEnabled(has_scribbles or (has_image and label > 0))
        self._size.setEnabled(has_scribbles)
        self._add.setEnabled(has_image and self._asked < len(_FURTHER))

    def set_brush(self, label: int | None, size_px: int | None = None) -> None:
        """Show which brush is in hand, if any, and how large it is, where that is known."""
        if label is not None and label in _FURTHER and label > FOREGROUND + self._asked:
            self.set_painted([label])  # taken by its key
        for value, button in self._buttons.items():
            with QSignalBlocker(button):
                button.setChecked(value == label)
        if size_px is not None:
            with QSignalBlocker(self._size):
                self._size.setValue(size_px)

    def set_names(self, names: Mapping[int, str]) -> None:
        """Show what the kinds of cell are called, by their labels."""
        for label, name in names.items():
            action = BRUSHES[label]
            short = name if len(name) <= _SHORT else f"{name[: _SHORT - 1]}…"
            # The second row is narrow: keys stand in the list of classes and in the tooltip.
            text = with_key(short, action) if label == FOREGROUND else short
            self._buttons[label].setText(text.replace("&", "&&"))
            if label != FOREGROUND:
                tip = f"Paint cells of the kind '{name}'. {key_hint(action)}"
                self._buttons[label].setToolTip(tip)

    def set_painted(self, labels: Collection[int]) -> None:
        """Show brushes for the classes that are painted, beside those that were asked for."""
        last = max((label for label in labels if label in _FURTHER), default=FOREGROUND)
        self._asked = max(self._asked, last - FOREGROUND)
        for label in _FURTHER:
            self._buttons[label].setVisible(label <= FOREGROUND + self._asked)

    def kinds(self) -> list[int]:
        """Return the labels of the kinds of cell that have a brush."""
        return [FOREGROUND, *(label for label in _FURTHER if label <= FOREGROUND + self._asked)]

    def _on_add(self) -> None:
        self._asked = min(self._asked + 1, len(_FURTHER))
        self.set_painted(())
        self._add.setEnabled(self._asked < len(_FURTHER))
        self.brush_wanted.emit(FOREGROUND + self._asked)

    def _button(self, label: int, text: str, name: str, tip: str) -> QPushButton:
        # One brush is in hand at a time, or none while the user pans.
        button = make_button(text, name, tip, partial(self.brush_wanted.emit, label), True)
        colour = COLOURS.get(label)
        if colour:
            # The border is always there: a row must not jump when a brush is taken.
            button.setStyleSheet(
                f"QPushButton {{ border: 2px solid transparent; border-bottom-color: {colour}; }}"
                f"QPushButton:focus {{ border-color: {FOCUS}; }}"
                f"QPushButton:checked {{ border-color: {colour}; }}"
            )
        self._buttons[label] = button
        return button
