"""Step 2: paint, or make strokes from masks."""

from __future__ import annotations

from collections import Counter

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from napari_impartial.core.data.scribbles import BACKGROUND, Scribbles
from napari_impartial.gui.keybindings import BRUSHES
from napari_impartial.gui.widgets.collapsible_step import Step
from napari_impartial.gui.widgets.parts import fill, make_button, make_choice
from napari_impartial.gui.widgets.text_labels import explained
from napari_impartial.session.class_names import ClassNames

from .brush_row import BrushRow
from .class_list import ClassList, ClassRow


class ScribblePanel(QWidget):
    """Makes the scribble layer, counts what is painted, and makes strokes from masks.

    Signals
    -------
    class_named
        Label of a kind of cell, and what somebody calls it.
    new_wanted
        A scribble layer is asked for.
    clear_wanted
        The strokes of the plane in view should go.
    import_wanted
        Name of the Labels layer whose objects should become scribbles.
    roi_file_wanted
        A file of ImageJ ROIs should become scribbles.

    Attributes
    ----------
    at_hand : BrushRow
        The brushes, which stand where they are always seen.
    classes : ClassList
    """

    class_named = Signal(int, str)
    new_wanted = Signal()
    clear_wanted = Signal()
    import_wanted = Signal(str)
    roi_file_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._new = make_button(
            "New scribbles",
            "new_scribbles_button",
            "Make a layer to paint on, or go back to the one there is.",
            self.new_wanted.emit,
        )
        self._clear = make_button(
            "Clear",
            "clear_scribbles_button",
            "Take all strokes of the plane in view away. Ctrl+Z on the scribbles brings them back.",
            self.clear_wanted.emit,
        )
        self.classes = ClassList()
        self.classes.named.connect(self.class_named)
        self.at_hand = BrushRow(self)
        self._advanced = Step("From masks", self._make_import_row())
        self._advanced.set_open(False)
        first = fill(QHBoxLayout(), (self._new, 1), self._clear)
        fill(QVBoxLayout(self), first, self.classes, self._advanced, margins=(4, 0, 4, 0))
        self.set_ready(False, False)
        self.set_counts({}, ClassNames())

    def set_ready(self, has_image: bool, has_scribbles: bool) -> None:
        """Enable what can work."""
        self._new.setEnabled(has_image)
        self._new.setText("Scribble" if has_scribbles else "New scribbles")
        self._clear.setEnabled(has_scribbles)
        self._roi_button.setEnabled(has_image)
        self.at_hand.set_ready(has_image, has_scribbles)
        self._import_button.setEnabled(has_image and self._labels.count() > 0)

    def set_label_layers(self, names: list[str]) -> None:
        """Offer layers whose objects could become scribbles."""
        before = self._labels.currentText()
        with QSignalBlocker(self._labels):
            self._labels.clear()
            self._labels.addItems(names)
            if before in names:
                self._labels.setCurrentText(before)

    def set_counts(self, planes: dict[str, Scribbles], names: ClassNames) -> None:
        """Show strokes, annotated cells and pixels of each class, over the planes given."""
        pixels, strokes, cells = Counter[int](), Counter[int](), Counter[int]()
        for scribbles in planes.values():
            pixels.update(scribbles.counts())
            strokes.update(scribbles.strokes())
            cells.update(scribbles.cells())
        self.at_hand.set_painted([label for label, n in pixels.items() if n])
        known = {row.label: row.objects for row in self.classes.value()}
        labels = sorted(set(pixels) | {BACKGROUND, *self.at_hand.kinds()})
        self.classes.set_rows(
            [
                ClassRow(
                    label,
                    names.of(label),
                    strokes[label],
                    cells[label],
                    pixels[label],
                    known.get(label),
                )
                for label in labels
            ]
        )
        self.at_hand.set_names({label: names.of(label) for label in BRUSHES if label > BACKGROUND})

    def _make_import_row(self) -> QWidget:
        self._labels = make_choice(
            "import_combo",
            "A Labels layer in which some cells are outlined as objects.",
            "Masks to make strokes from",
            8,
        )
        self._import_button = make_button(
            "Make strokes",
            "import_button",
            "Turn the objects of that layer into scribbles; the rest stays not annotated.",
            lambda: self.import_wanted.emit(self._labels.currentText()),
        )
        self._roi_button = make_button(
            "From file...",
            "roi_button",
            "Turn outlined cells into scribbles: ImageJ ROIs (.zip, .roi) or QuPath's GeoJSON.",
            self.roi_file_wanted.emit,
        )
        inside = QWidget()
        row = QGridLayout(inside)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(explained("Layer", self._labels.toolTip()), 0, 0)
        row.addWidget(self._labels, 0, 1, 1, 2)
        row.addWidget(self._import_button, 1, 1)
        row.addWidget(self._roi_button, 1, 2)
        row.setColumnStretch(1, 1)
        row.setColumnStretch(2, 1)
        return inside
