"""Editors made from the description of a setting (:class:`core.config.Parameter`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_impartial.core.config import Parameter, parameters

from .collapsible_step import Step
from .parts import fill
from .text_labels import explained

_TICKS = 1000
# Above this many steps a slider's middle is given to the small values.
_WIDE = 1000


class NumberSlider(QWidget):
    """A slider with its number beside it.

    Over a wide range the slider goes with the cube of its position, so that there is
    room for the small values that are the usual ones.
    """

    valueChanged = Signal(object)

    def __init__(self, parameter: Parameter) -> None:
        super().__init__()
        assert parameter.minimum is not None
        assert parameter.maximum is not None
        self._low, self._high = parameter.minimum, parameter.maximum
        self._integer = isinstance(parameter.default, int)
        step = parameter.step or 1
        self._power = 3 if (self._high - self._low) / step > _WIDE else 1
        self._slider = QSlider(Qt.Orientation.Horizontal)
        self._slider.setRange(0, _TICKS)
        self._slider.setMinimumWidth(60)
        self._box: QSpinBox | QDoubleSpinBox
        if self._integer:
            self._box = QSpinBox()
            self._box.setRange(int(self._low), int(self._high))
            self._box.setSingleStep(int(step))
        else:
            self._box = QDoubleSpinBox()
            self._box.setRange(self._low, self._high)
            self._box.setSingleStep(step)
            self._box.setDecimals(1 if step >= 0.5 else 2)
        self._box.setKeyboardTracking(False)
        if parameter.unit:
            self._box.setSuffix(f" {parameter.unit}")
        self._box.setMinimumWidth(78)
        for part in (self._slider, self._box):
            part.setAccessibleName(parameter.label)
        fill(QHBoxLayout(self), (self._slider, 1), self._box, margins=(0, 0, 0, 0))
        self.setValue(parameter.default)
        self._slider.valueChanged.connect(self._on_slider)
        self._box.valueChanged.connect(self._on_box)

    def value(self) -> Any:
        """Return the number."""
        return self._box.value()

    def setValue(self, value: Any) -> None:
        """Set the number."""
        self._set_box(float(value))
        self._place_slider()

    def _set_box(self, value: float) -> None:
        if isinstance(self._box, QSpinBox):
            self._box.setValue(round(value))
        else:
            self._box.setValue(value)

    def _place_slider(self) -> None:
        share = (self._box.value() - self._low) / (self._high - self._low)
        with QSignalBlocker(self._slider):
            self._slider.setValue(round(_TICKS * share ** (1 / self._power)))

    def _on_slider(self, tick: int) -> None:
        value = self._low + (self._high - self._low) * (tick / _TICKS) ** self._power
        with QSignalBlocker(self._box):
            self._set_box(value)
        self.valueChanged.emit(self.value())

    def _on_box(self, _: Any) -> None:
        self._place_slider()
        self.valueChanged.emit(self.value())


class Choice(QComboBox):
    """A choice among words."""

    valueChanged = Signal(object)

    def __init__(self, parameter: Parameter) -> None:
        super().__init__()
        self.addItems(list(parameter.choices or ()))
        self.setValue(parameter.default)
        self.currentTextChanged.connect(self.valueChanged.emit)

    def value(self) -> str:
        """Return the chosen word."""
        return self.currentText()

    def setValue(self, value: str) -> None:
        """Choose a word."""
        self.setCurrentText(value)


def editor(parameter: Parameter) -> NumberSlider | Choice:
    """Return the editor that fits a setting, with its tooltip."""
    made: NumberSlider | Choice
    made = NumberSlider(parameter) if parameter.choices is None else Choice(parameter)
    made.setToolTip(parameter.tooltip)
    made.setAccessibleName(parameter.label)
    return made


class ConfigForm(QWidget):
    """A form for some settings of a configuration class; keeps the rest as they are.

    Parameters
    ----------
    config
        Instance of a dataclass of :mod:`core.config` with the first values.
    names
        Settings to show, in this order.
    seldom
        Settings that are folded away below, under *Advanced*.
    object_names
        Qt object names of the editors.
    """

    valueChanged = Signal(object)

    def __init__(
        self,
        config: Any,
        names: Sequence[str],
        seldom: Sequence[str],
        object_names: Mapping[str, str],
    ) -> None:
        super().__init__()
        self._config = config
        self._object_names = object_names
        self.editors: dict[str, NumberSlider | Choice] = {}
        inside = QWidget()
        form, self._further = self._form(names), self._form(seldom)
        inside.setLayout(self._further)
        advanced = Step("Advanced", inside)
        advanced.set_open(False)
        fill(QVBoxLayout(self), form, advanced, margins=(0, 0, 0, 0))

    def value(self) -> Any:
        """Return the configuration as the form shows it."""
        values = {name: made.value() for name, made in self.editors.items()}
        return dataclasses.replace(self._config, **values)

    def setValue(self, config: Any) -> None:
        """Show a configuration; emits once."""
        self._config = config
        for name, made in self.editors.items():
            with QSignalBlocker(made):
                made.setValue(getattr(config, name))
        self.valueChanged.emit(self.value())

    def add_seldom(self, label: str, part: QWidget) -> None:
        """Put something that is no setting of the configuration below those of *Advanced*."""
        self._further.addRow(explained(label, part.toolTip()), part)

    def _form(self, names: Sequence[str]) -> QFormLayout:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        described = parameters(self._config)
        for name in names:
            parameter = described[name]
            made = editor(parameter)
            made.setObjectName(self._object_names[name])
            made.valueChanged.connect(self._on_change)
            form.addRow(labelled(parameter), made)
            self.editors[name] = made
        return form

    def _on_change(self, _: Any) -> None:
        self.valueChanged.emit(self.value())


def labelled(parameter: Parameter) -> QLabel:
    """Return the label of a setting, with its tooltip."""
    return explained(parameter.label, parameter.tooltip)
