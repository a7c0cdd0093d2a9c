"""Keeps the mouse wheel from changing what happens to lie under the pointer."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QScrollBar,
    QTabBar,
    QWidget,
)

# What a turn of the wheel sets to another value. Sliders of superqt and magicgui are, or
# have inside, one of these.
_TURNED = (QAbstractSpinBox, QComboBox, QAbstractSlider, QTabBar)


class WheelGuard(QObject):
    """Lets controls have the wheel only while they have the keyboard focus.

    Otherwise the panel that they are in is scrolled. All that is in `panel` is watched, and
    all that is added later. Rolling no longer gives the focus: it would have to be clicked,
    or reached by keys.
    """

    def __init__(self, panel: QWidget) -> None:
        super().__init__(panel)
        self._watch(panel)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Hand the wheel on to the panel, and watch what is new."""
        kind = event.type()
        if kind == QEvent.Type.Wheel:
            if _is_turned(watched) and not _has_focus(watched):
                # Not taken by the control, so Qt offers it to what the control is in.
                event.ignore()
                return True
        # Not when it is added: it is still being made then, and not yet what it will be.
        elif kind == QEvent.Type.ChildPolished and isinstance(event.child(), QWidget):
            self._watch(event.child())
        return False

    def _watch(self, top: QWidget) -> None:
        for part in (top, *top.findChildren(QWidget)):
            # Installed twice it is moved to the front, not called twice.
            part.installEventFilter(self)
            if part.focusPolicy() == Qt.FocusPolicy.WheelFocus:
                part.setFocusPolicy(Qt.FocusPolicy.StrongFocus)


def _is_turned(part: Any) -> bool:
    return isinstance(part, _TURNED) and not isinstance(part, QScrollBar)


def _has_focus(part: QWidget) -> bool:
    """Return whether a control, or a part that it is made of, has the keyboard focus."""
    focused = QApplication.focusWidget()
    return focused is not None and (focused is part or part.isAncestorOf(focused))
