"""Step 4: predict, and cut the probability into objects."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_impartial.core.config import InstanceConfig, validate
from napari_impartial.core.words import count
from napari_impartial.gui.layers.outlines import CHOICES
from napari_impartial.gui.review.review_panel import ReviewPanel
from napari_impartial.gui.widgets.config_form import ConfigForm
from napari_impartial.gui.widgets.keyboard_focus import set_enabled
from napari_impartial.gui.widgets.parts import fill, make_button, make_choice
from napari_impartial.gui.widgets.text_labels import line

_PREDICT_TIP = "Find the objects of the {} in view with the current model."
_SHOWN = ("threshold", "min_size_px")
_SELDOM = ("split", "split_strength", "sharpen", "smooth_px", "grow_px")
_NAMES = {
    "threshold": "threshold_slider",
    "min_size_px": "min_size_slider",
    "split": "split_combo",
    "split_strength": "split_strength_slider",
    "sharpen": "sharpen_slider",
    "smooth_px": "smooth_slider",
    "grow_px": "grow_slider",
}


class ResultPanel(QWidget):
    """Predict button, the sliders that cut objects, their number, and their review.

    Signals
    -------
    valueChanged
        :class:`InstanceConfig`.
    predict_wanted
        The image in view should be predicted.
    cancel_wanted
        The prediction should be given up.
    outline_wanted
        Colour that outlines should have; one of :data:`outlines.CHOICES`.
    """

    valueChanged = Signal(object)
    predict_wanted = Signal()
    cancel_wanted = Signal()
    outline_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        tip = _PREDICT_TIP.format("image")
        self._predict = make_button("Predict", "predict_button", tip, self.predict_wanted.emit)
        self._predict.setParent(self)
        # Beside the other, not in its place: a double click would cancel what it began.
        self._cancel = make_button(
            "Cancel",
            "cancel_predict_button",
            "Give this prediction up; what there was before stays.",
            self.cancel_wanted.emit,
        )
        self._count = line("count_label", "How many objects there are in this plane.", False)
        self._form = ConfigForm(InstanceConfig(), _SHOWN, _SELDOM, _NAMES)
        self._form.add_seldom("Outlines", self._make_outlines())
        self.review = ReviewPanel()
        self.table = self.review.table
        # It stands where it is always seen.
        self.at_hand = self._predict
        top = fill(QHBoxLayout(), (self._count, 1), self._cancel)
        parts = (top, self._form, (self.review, 1))
        layout = fill(QVBoxLayout(self), *parts, margins=(4, 0, 4, 0))
        # Before there is a table, what room is left over must not tear the form apart.
        layout.addStretch(0)
        self._form.valueChanged.connect(self._on_form)
        self._follow_split()
        self.set_ready(False)
        self.set_count(None)

    def outline(self) -> str:
        """Return which colour outlines have; one of :data:`outlines.CHOICES`."""
        return self._outlines.currentText()

    def set_outline(self, choice: str) -> None:
        """Show which colour outlines have; one that is not known changes nothing."""
        self._outlines.setCurrentText(choice)

    def value(self) -> InstanceConfig:
        """Return how objects are cut."""
        config: InstanceConfig = self._form.value()
        return config

    def setValue(self, config: InstanceConfig) -> None:
        """Show how objects are cut."""
        self._form.setValue(config)

    def follow(self, config: InstanceConfig) -> None:
        """Show how objects are cut, where that was not changed here."""
        with QSignalBlocker(self):
            self._form.setValue(config)
        self._follow_split()

    def restore(self, values: dict[str, Any]) -> None:
        """Show what a saved session has.

        Raises
        ------
        ImPartialError
            If a value is not valid.
        """
        known = {f.name: values[f.name] for f in fields(InstanceConfig) if f.name in values}
        self.setValue(validate(replace(self.value(), **known)))

    def set_ready(self, can_predict: bool, what: str = "image", predicting: bool = False) -> None:
        """Enable what can work.

        Parameters
        ----------
        can_predict
            Whether what is in view can be predicted now.
        what
            What that is: an image, or one plane of a stack.
        predicting
            Whether a prediction is under way that can be given up.
        """
        set_enabled(self._predict, can_predict)
        self._predict.setToolTip(_PREDICT_TIP.format(what))
        self._cancel.setVisible(predicting)

    def set_count(self, n: int | None) -> None:
        """Show how many objects there are; None: nothing is predicted yet."""
        self._count.setText("" if n is None else count(n, "object"))
        self._form.setEnabled(n is not None)

    def _make_outlines(self) -> QComboBox:
        self._outlines = make_choice(
            "outline_combo",
            "Colour of the objects' outlines; automatic is the one that stands out most from the "
            "image as it is shown and from the strokes.",
            "Colour of outlines",
        )
        self._outlines.addItems(CHOICES)
        self._outlines.currentTextChanged.connect(self.outline_wanted)
        return self._outlines

    def _on_form(self, config: Any) -> None:
        self._follow_split()
        self.valueChanged.emit(config)

    def _follow_split(self) -> None:
        """Enable what the chosen way of splitting heeds."""
        split = self.value().split
        self._form.editors["split_strength"].setEnabled(split != "components")
        self._form.editors["sharpen"].setEnabled(split == "automatic")
