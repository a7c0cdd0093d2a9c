"""Predict all images, or a range of planes, with progress and cancel."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QProgressBar,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_impartial.gui.widgets.keyboard_focus import set_enabled
from napari_impartial.gui.widgets.parts import (
    fill,
    make_button,
    make_choice,
    make_number,
    named,
    say,
)
from napari_impartial.gui.widgets.text_labels import explained, line

_WORDS = {"Z": "Slices", "T": "Time points"}
_ALL, _PLANES, _SLIDE = "All images", "Planes of this image", "All of the slide"


@dataclass(frozen=True)
class BatchChoice:
    """Choice of what to predict.

    Attributes
    ----------
    all_images : bool
        All planes of all images of the session.
    ranges : tuple of (first, last)
        Otherwise these planes of the image in front, along each of its stack axes; both
        ends included, counted from 0 as by napari's sliders.
    slide : bool
        All of the slide that is worked on.
    """

    all_images: bool
    ranges: tuple[tuple[int, int], ...] = ()
    slide: bool = False

    def planes(self) -> list[tuple[int, ...]]:
        """Return the planes of the image in front."""
        return list(itertools.product(*(range(first, last + 1) for first, last in self.ranges)))


class BatchPanel(QWidget):
    """Hidden while there is but one plane, and no slide.

    Signals
    -------
    predict_wanted
        :class:`BatchChoice`.
    cancel_wanted
        The rest should be given up.
    """

    predict_wanted = Signal(object)
    cancel_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._stack: tuple[tuple[str, int], ...] = ()
        self._boxes: list[tuple[QSpinBox, QSpinBox]] = []
        self._scope = make_choice(
            "batch_scope_combo", "What the button beside it predicts.", "What to predict"
        )
        self._predict = make_button(
            "Predict all",
            "predict_all_button",
            "Segment one plane after the other with the current model; the results of each "
            "appear as its layers. A slide is segmented block by block, in the background; its "
            "results are written to a folder.",
            lambda: self.predict_wanted.emit(self.value()),
        )
        self._cancel = make_button(
            "Cancel",
            "cancel_batch_button",
            "Give the rest up; what is done stays.",
            self.cancel_wanted.emit,
        )
        tip = "How many of the planes have been predicted."
        self._progress = named(QProgressBar(), "batch_progress", tip, "Planes predicted")
        self._progress.setRange(0, 1000)
        self._said = line("batch_label", "Which plane is being predicted; then, how it went.")
        self._ranges = QWidget()
        self._grid = QGridLayout(self._ranges)
        self._grid.setContentsMargins(0, 0, 0, 0)
        row = fill(QHBoxLayout(), (self._scope, 1), self._predict, self._cancel)
        parts = (row, self._ranges, self._progress, self._said)
        fill(QVBoxLayout(self), *parts, margins=(4, 0, 4, 0))
        self._scope.currentTextChanged.connect(self._follow_scope)
        self._progress.hide()
        self._said.hide()
        self.set_state(0, (), False, False)

    def value(self) -> BatchChoice:
        """Return what should be predicted."""
        if self._scope.currentText() == _ALL:
            return BatchChoice(True)
        if self._scope.currentText() == _SLIDE:
            return BatchChoice(False, slide=True)
        ends = [sorted((first.value(), last.value())) for first, last in self._boxes]
        return BatchChoice(False, tuple((first, last) for first, last in ends))

    def set_state(
        self,
        n_images: int,
        stack: Sequence[tuple[str, int]],
        ready: bool,
        running: bool,
        slide: bool = False,
    ) -> None:
        """Offer what there is.

        Parameters
        ----------
        n_images
            Images of the session.
        stack
            Letter and length of the stack axes of the image in front.
        ready
            Whether a model is there and nothing is going on.
        running
            Whether a batch is.
        slide
            Whether a slide is worked on.
        """
        offers = (
            ([_SLIDE] if slide else [])
            + ([_ALL] if n_images > 1 else [])
            + ([_PLANES] if stack else [])
        )
        if offers != [self._scope.itemText(i) for i in range(self._scope.count())]:
            before = self._scope.currentText()
            with QSignalBlocker(self._scope):
                self._scope.clear()
                self._scope.addItems(offers)
                if before in offers:
                    self._scope.setCurrentText(before)
        if tuple(stack) != self._stack:
            self._stack = tuple(stack)
            self._make_boxes()
        self._follow_scope()
        self._scope.setEnabled(not running)
        set_enabled(self._predict, ready and bool(offers))
        self._cancel.setVisible(running)
        self._predict.setVisible(not running)
        self.setVisible(bool(offers) or running)

    def show_progress(self, share: float, text: str) -> None:
        """Show how far it has come, 0 to 1."""
        self._progress.show()
        self._progress.setValue(round(1000 * share))
        self.say(text)

    def end(self, text: str) -> None:
        """Say what became of it."""
        self._progress.hide()
        self.say(text)

    def say(self, text: str) -> None:
        """Show a line."""
        say(self._said, text)

    def _follow_scope(self, _: str = "") -> None:
        self._ranges.setVisible(bool(self._stack) and self._scope.currentText() == _PLANES)

    def _make_boxes(self) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        self._boxes = []
        for row, (letter, length) in enumerate(self._stack):
            word = _WORDS[letter]
            boxes: list[QSpinBox] = []
            for name, text, start in (("first", f"{word} ({letter})", 0), ("last", "to", length)):
                tip = f"The {name} to predict, counted from 0 as by napari's sliders."
                name, label = f"{name}_{letter.lower()}_spin", f"{word}: {name}"
                box = make_number(name, tip, label, 0, length - 1, start)
                self._grid.addWidget(explained(text, tip), row, 2 * len(boxes))
                self._grid.addWidget(box, row, 2 * len(boxes) + 1)
                boxes.append(box)
            self._boxes.append((boxes[0], boxes[1]))
        self._grid.setColumnStretch(1, 1)
        self._grid.setColumnStretch(3, 1)
