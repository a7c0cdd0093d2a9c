"""Buttons with a name and a tooltip."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QPushButton


def make_button(
    text: str, name: str, tip: str, act: Callable[[], object] | None = None
) -> QPushButton:
    """Return a button with its object name and tooltip; a click does `act`."""
    made = QPushButton(text)
    made.setObjectName(name)
    made.setToolTip(tip)
    if act is not None:
        made.clicked.connect(lambda _=False: act())
    return made
