"""Parts of panels: controls with a name and a tooltip, and how they are laid out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from qtpy.QtWidgets import QBoxLayout, QComboBox, QLabel, QLayout, QPushButton, QSpinBox, QWidget

Part = TypeVar("Part", bound=QWidget)
Layout = TypeVar("Layout", bound=QBoxLayout)


def named(part: Part, name: str, tip: str, label: str = "") -> Part:
    """Give a part its object name, its tooltip and what screen readers call it; return it."""
    part.setObjectName(name)
    part.setToolTip(tip)
    if label:
        part.setAccessibleName(label)
    return part


def make_button(
    text: str,
    name: str,
    tip: str,
    act: Callable[[], object] | None = None,
    checkable: bool = False,
) -> QPushButton:
    """Return a button with its object name and tooltip; a click does `act`."""
    made = named(QPushButton(text), name, tip)
    made.setCheckable(checkable)
    if act is not None:
        made.clicked.connect(lambda _=False: act())
    return made


def make_choice(name: str, tip: str, label: str, least: int = 0) -> QComboBox:
    """Return a choice; with `least` it is as wide as so many characters, whatever is offered."""
    made = named(QComboBox(), name, tip, label)
    if least:
        made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        made.setMinimumContentsLength(least)
    return made


def make_number(
    name: str, tip: str, label: str, low: int, high: int, value: int | None = None
) -> QSpinBox:
    """Return a field for a whole number, which is the lowest at first."""
    made = named(QSpinBox(), name, tip, label)
    made.setRange(low, high)
    if value is not None:
        made.setValue(value)
    return made


def fill(
    layout: Layout,
    *parts: QWidget | QLayout | tuple[QWidget | QLayout, int],
    margins: tuple[int, int, int, int] | None = None,
    spacing: int | None = None,
) -> Layout:
    """Put parts into a row or column, some with their share of what room is left over; return it.

    Margins are those at the left, at the top, at the right and below, in px.
    """
    if margins is not None:
        layout.setContentsMargins(*margins)
    if spacing is not None:
        layout.setSpacing(spacing)
    for one in parts:
        part, share = one if isinstance(one, tuple) else (one, 0)
        if isinstance(part, QWidget):
            layout.addWidget(part, share)
        else:
            layout.addLayout(part, share)
    return layout


def say(label: QLabel, text: str) -> None:
    """Show a text; hide its label where there is none."""
    label.setText(text)
    label.setVisible(bool(text))
