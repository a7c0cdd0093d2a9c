"""The line at the bottom of the dock: what is going on, and for a moment what was done."""

from __future__ import annotations

from qtpy.QtCore import Qt

from napari_impartial.gui.timers import single_shot

from .text_labels import Wrapped

NOTICE_MS = 6000
_VERY_WIDE_PX = 10_000


class StatusLine(Wrapped):
    """Says what is going on or what comes next."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("status_label")
        self.setToolTip("What is going on, or what comes next.")
        self.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._state = ""
        self._pause = single_shot(self, NOTICE_MS, lambda: self.setText(self._state))

    def heightForWidth(self, width: int) -> int:
        """Return at least two lines: buttons above are not to move with the number of words."""
        one_line = super().heightForWidth(_VERY_WIDE_PX)
        return max(super().heightForWidth(width), one_line + self.fontMetrics().lineSpacing())

    def set_state(self, text: str) -> None:
        """Say how things stand, once a notice has been read."""
        self._state = text
        if not self._pause.isActive():
            self.setText(text)

    def end_notice(self) -> None:
        """Say how things stand again: something else was done since the notice."""
        self._pause.stop()
        self.setText(self._state)

    def notice(self, text: str) -> None:
        """Say what was done, for a few seconds."""
        self.setText(text)
        self._pause.start()
