"""Keyboard focus: its style, and handing it on."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

# Seen on light and on dark ground.
FOCUS = "#3b8eea"
# napari's style says nothing of where the keyboard is. As large as its own, so that nothing
# moves when it comes and goes, nor where a part is disabled.
FOCUS_STYLE = f"""
QPushButton {{ border: 1px solid transparent; padding: 3px; }}
QComboBox {{ border: 1px solid transparent; padding: 2px 9px 2px 7px; }}
QCheckBox {{ border: 1px solid transparent; }}
QPushButton:focus, QComboBox:focus, QCheckBox:focus {{ border-color: {FOCUS}; }}
"""


def set_enabled(widget: QWidget, enabled: bool) -> None:
    """Enable or disable; the keyboard of what is disabled goes to the window.

    Qt would hand it to the next part of the dock: the keys for brush and table would then be
    letters in the filter.
    """
    if not enabled and widget.hasFocus():
        widget.clearFocus()
    widget.setEnabled(enabled)
