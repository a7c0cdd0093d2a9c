"""The list of classes: name, colour, key, and how much there is of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QSizePolicy, QWidget

from napari_impartial.core.data.class_names import LONGEST
from napari_impartial.core.data.scribbles import BACKGROUND
from napari_impartial.core.words import count
from napari_impartial.gui.keybindings import BRUSHES, key_hint, key_of
from napari_impartial.gui.layers.scribble_layers import COLOURS, OTHER_COLOUR
from napari_impartial.gui.widgets.parts import named
from napari_impartial.gui.widgets.text_labels import line, tell

_NAME_TIP = "What these cells are called: in the model, in tables and in exported outlines. "
_COUNTS_TIP = (
    "What is painted in all planes of this image. Separate strokes are counted as cells, those "
    "inside of an outline with it."
)


@dataclass(frozen=True)
class ClassRow:
    """What there is of a class.

    Attributes
    ----------
    label : int
        That it is painted with.
    name : str
    strokes, cells, px : int
        Separate strokes, cells that they lie in, and pixels, over all planes of the image.
    objects : int or None
        Objects of this kind in the plane in view; None where nothing is predicted, or where
        there is only one kind.
    """

    label: int
    name: str
    strokes: int = 0
    cells: int = 0
    px: int = 0
    objects: int | None = None

    def words(self) -> str:
        """Say how much there is."""
        told = count(self.strokes, "stroke")
        if self.label != BACKGROUND:
            told += f" in {count(self.cells, 'cell')}"
        return told if self.objects is None else f"{told}; {count(self.objects, 'object')}"


class ClassList(QWidget):
    """Shows a row for each class; names of kinds of cell can be written over.

    Signals
    -------
    named
        Label of a class, and what somebody calls it.
    """

    named = Signal(int, str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("class_list")
        self._rows: tuple[ClassRow, ...] = ()
        self._parts: dict[int, tuple[QLabel, QLabel | QLineEdit, QLabel]] = {}
        self._layout = QGridLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setVerticalSpacing(2)
        self._layout.setColumnStretch(2, 1)

    def value(self) -> tuple[ClassRow, ...]:
        """Return what is shown."""
        return self._rows

    def set_rows(self, rows: Sequence[ClassRow]) -> None:
        """Show these classes."""
        self._rows = tuple(rows)
        for label in [label for label in self._parts if label not in {r.label for r in rows}]:
            for part in self._parts.pop(label):
                self._layout.removeWidget(part)
                part.deleteLater()
        for row in rows:
            _, name, told = self._parts.get(row.label) or self._add(row.label)
            told.setText(row.words())
            told.setToolTip(f"{_COUNTS_TIP} Here {row.px} px.")
            # Nobody's half-written name is taken out of their hands.
            if not (isinstance(name, QLineEdit) and name.hasFocus() and name.isModified()):
                with QSignalBlocker(name):
                    name.setText(row.name)
                if isinstance(name, QLineEdit):
                    name.setCursorPosition(0)  # a long name is read from its beginning

    def set_objects(self, objects: Mapping[int, int]) -> None:
        """Show how many objects there are of each kind, by label; none at all: not known."""
        rows = [
            replace(row, objects=objects.get(row.label, 0))
            if objects and row.label != BACKGROUND
            else replace(row, objects=None)
            for row in self._rows
        ]
        if rows != list(self._rows):
            self.set_rows(rows)

    def _add(self, label: int) -> tuple[QLabel, QLabel | QLineEdit, QLabel]:
        mark = QLabel()
        action = BRUSHES.get(label, "")
        key = key_of(action) if action else ""
        tell(mark, f"<span style='color:{COLOURS.get(label, OTHER_COLOUR)}'>&#9632;</span> {key}")
        mark.setToolTip(f"Colour of the strokes. {key_hint(action) if action else ''}".strip())
        name: QLabel | QLineEdit
        if label == BACKGROUND:
            name = line("", "Where there is no cell.")
        else:
            kind = f"Name of kind {label - BACKGROUND}"
            name = named(QLineEdit(), "", _NAME_TIP + "Empty: the usual name.", kind)
            name.setMaxLength(LONGEST)
            name.setMinimumWidth(70)
            name.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            name.editingFinished.connect(lambda: self._on_edited(label, name))
        name.setObjectName(f"class_{label}_name")
        told = line(f"class_{label}_counts", _COUNTS_TIP)
        self._parts[label] = mark, name, told
        for column, part in enumerate(self._parts[label]):
            self._layout.addWidget(part, label, column)
        return self._parts[label]

    def _on_edited(self, label: int, name: QLineEdit) -> None:
        name.setModified(False)
        shown = next((row.name for row in self._rows if row.label == label), "")
        if name.text() != shown:
            self.named.emit(label, name.text())
