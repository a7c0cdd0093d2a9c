"""The line at the bottom of the dock: what is going on, and for a moment what was done."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QWidget

from .labels import Wrapped, lines_high

NOTICE_MS = 6000


class StatusLine(Wrapped):
    """Says what is going on or what comes next."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setObjectName("status_label")
        self.setToolTip("What is going on, or what comes next.")
        # Were it to grow with its words, the buttons above would move from under the mouse.
        self.setMinimumHeight(lines_high(self, 2))
        self.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._state = ""
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(NOTICE_MS)
        self._pause.timeout.connect(lambda: self.setText(self._state))

    def set_state(self, text: str) -> None:
        """Say how things stand, once a notice has been read."""
        self._state = text
        if not self._pause.isActive():
            self.setText(text)

    def notice(self, text: str) -> None:
        """Say what was done, for a few seconds."""
        self.setText(text)
        self._pause.start()
