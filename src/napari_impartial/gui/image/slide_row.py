"""Resolution and fields of a slide, below its axes and channels."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_impartial.gui.layers.fields import FIELD_PX, Level
from napari_impartial.gui.widgets.parts import fill, make_button, make_choice
from napari_impartial.gui.widgets.text_labels import line


class SlideRow(QWidget):
    """Offers fields of a slide; hidden where no slide is worked on.

    Signals
    -------
    field_wanted
        A field should be taken where the viewer looks.
    level_changed
        Number of the resolution that was chosen.
    """

    field_wanted = Signal()
    level_changed = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._said = line("slide_label", "How to work on an image that is too large for one piece.")
        self._levels = make_choice(
            "level_combo",
            "Resolution at which fields are taken and all of the slide is predicted; at the best "
            "one, cells are 10 to 60 px wide.",
            "Resolution",
            8,
        )
        self._take = make_button(
            "Take a field here",
            "take_field_button",
            f"Copy {FIELD_PX} x {FIELD_PX} px round the middle of the view out of the slide, as an "
            "image of its own to paint and look on. All fields are trained on together.",
            self.field_wanted.emit,
        )
        row = fill(QHBoxLayout(), (self._levels, 1), self._take)
        fill(QVBoxLayout(self), self._said, row, margins=(4, 0, 4, 0))
        self._levels.currentIndexChanged.connect(self._on_level)
        self.hide()

    def set_slide(self, text: str, levels: Sequence[Level], chosen: int, ready: bool) -> None:
        """Offer fields of a slide.

        Parameters
        ----------
        text
            What is said of it; "" hides all of this.
        levels
            Its resolutions.
        chosen
            The one that is in use.
        ready
            Whether a field can be taken now.
        """
        words = [_words(level) for level in levels]
        with QSignalBlocker(self._levels):
            if words != [self._levels.itemText(i) for i in range(self._levels.count())]:
                self._levels.clear()
                self._levels.addItems(words)
            self._levels.setCurrentIndex(chosen)
        self._levels.setEnabled(len(levels) > 1)
        self._take.setEnabled(ready)
        self._said.setText(text)
        self.setVisible(bool(text))

    def _on_level(self, number: int) -> None:
        if number >= 0:
            self.level_changed.emit(number)


def _words(level: Level) -> str:
    height, width = level.shape
    size = f"{height:,} x {width:,} px"
    return size if level.pixel_um is None else f"{level.pixel_um:.3g} µm, {size}"
