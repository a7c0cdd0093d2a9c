"""Ask where to save, so that nothing is written over unasked."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget


def ask_where(parent: QWidget, title: str, name: str, kind: str, suffix: str) -> Path | None:
    """Ask for a file to write; None if the user would rather not.

    Parameters
    ----------
    parent
        Widget that asks.
    title
        Of the dialog.
    name
        Suggested file name.
    kind
        What such files are called, such as ``Tables``.
    suffix
        What their names end in, with its dot; added where it is missing.
    """
    suggested = name
    while True:
        chosen, _ = QFileDialog.getSaveFileName(parent, title, suggested, f"{kind} (*{suffix})")
        if not chosen or chosen.lower().endswith(suffix):
            return Path(chosen) if chosen else None
        # The dialog has asked about the name as it was typed, and not about this one.
        suggested = chosen + suffix
        if not Path(suggested).exists():
            return Path(suggested)
