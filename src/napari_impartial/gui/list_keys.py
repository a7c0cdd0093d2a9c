"""Our keys while a list, a table or a choice of the dock has the keyboard."""

from __future__ import annotations

from typing import Any

from app_model.backends.qt import qkeysequence2modelkeybinding
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QWidget

from .shortcuts import BoundKeys


class ListKeys(QObject):
    """Lets our keys act where Qt would go to the entry that begins with the letter.

    They act at once instead of being handed on to the viewer: there, keys of the layer that
    is selected come first, and with the suggestions' layer A and D would be about its
    shapes, not about the objects in the table. Where text or numbers are typed, keys are
    left alone.

    Parameters
    ----------
    dock
        All lists, tables and choices that are in it now are watched.
    keys
        Which keys do what.
    """

    def __init__(self, dock: QWidget, keys: BoundKeys) -> None:
        super().__init__(dock)
        self._dock = dock
        self._keys = keys
        for part in dock.findChildren(QWidget):
            if isinstance(part, QAbstractItemView) or _is_plain_choice(part):
                part.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Act on our keys; all others go their way."""
        if event.type() != QEvent.Type.KeyPress or watched.window() is not self._dock.window():
            return False  # the opened list of a choice is a window of its own
        keypad = Qt.KeyboardModifier.KeypadModifier
        pressed = QKeySequence(event.key() | (event.modifiers() & ~keypad).value)
        return self._keys.act(qkeysequence2modelkeybinding(pressed))


def _is_plain_choice(part: QWidget) -> bool:
    return isinstance(part, QComboBox) and not part.isEditable()
