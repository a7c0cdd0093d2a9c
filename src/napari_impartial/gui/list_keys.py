"""Our keys while a list, a table, a choice or a field for numbers of the dock has the keyboard."""

from __future__ import annotations

from typing import Any

from app_model.backends.qt import qkeysequence2modelkeybinding
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QWidget,
)

from .keybindings import BoundKeys


class ListKeys(QObject):
    """Lets our keys act where Qt would go to the entry that begins with the letter.

    They act at once instead of being handed on to the viewer: there, keys of the layer that
    is selected come first, and with the suggestions' layer A and D would be about its
    shapes, not about the objects in the table. A field for numbers has no use for letters, but
    keeps all that numbers are typed with. Where text is typed, keys are left alone.

    Parameters
    ----------
    dock
        All lists, tables, choices and fields for numbers that are in it now are watched.
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
            elif isinstance(part, QAbstractSpinBox):
                part.installEventFilter(self)
                # The field inside of it has the keyboard with some of Qt's styles.
                for inside in part.findChildren(QLineEdit):
                    inside.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Act on our keys; all others go their way."""
        if event.type() != QEvent.Type.KeyPress or watched.window() is not self._dock.window():
            return False  # the opened list of a choice is a window of its own
        if isinstance(watched, (QAbstractSpinBox, QLineEdit)) and not _is_letter(event):
            return False
        keypad = Qt.KeyboardModifier.KeypadModifier
        pressed = QKeySequence(event.key() | (event.modifiers() & ~keypad).value)
        return self._keys.act(qkeysequence2modelkeybinding(pressed))


def _is_letter(event: Any) -> bool:
    """Return whether a key is a letter alone, or with Shift.

    In numbers only an exponent has one.
    """
    plain = not event.modifiers() & ~Qt.KeyboardModifier.ShiftModifier
    return plain and Qt.Key.Key_A <= event.key() <= Qt.Key.Key_Z


def _is_plain_choice(part: QWidget) -> bool:
    return isinstance(part, QComboBox) and not part.isEditable()
