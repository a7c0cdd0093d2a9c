"""Save and load the model; the command that does the same without a window."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from napari_impartial.core.network.model_card import EXTENSION
from napari_impartial.gui.widgets.parts import fill, make_button
from napari_impartial.gui.widgets.save_dialog import ask_where

_FILTER = f"ImPartial model (*{EXTENSION})"


class ModelRow(QWidget):
    """Three buttons.

    Signals
    -------
    save_wanted, load_wanted
        Path that the user chose.
    command_wanted
        The headless command should be put on the clipboard.
    """

    save_wanted = Signal(object)
    load_wanted = Signal(object)
    command_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        tip = "Write the model to one file, to share or keep."
        self._save = make_button("Save model...", "save_model_button", tip, self._ask_where)
        tip = "Use a model that was saved."
        self._load = make_button("Load model...", "load_model_button", tip, self._ask_which)
        self._command = make_button(
            "Copy command",
            "copy_command_button",
            "Put the command that does the same without a window on the clipboard.",
            self.command_wanted.emit,
        )
        parts = (self._save, self._load, self._command)
        fill(QHBoxLayout(self), *parts, margins=(4, 0, 4, 0))

    def set_ready(self, has_model: bool, busy: bool) -> None:
        """Enable what can work."""
        self._save.setEnabled(has_model)
        self._load.setEnabled(not busy)
        self._command.setEnabled(has_model)

    def _ask_where(self) -> None:
        path = ask_where(self, "Save model", f"model{EXTENSION}", "ImPartial model", EXTENSION)
        if path is not None:
            self.save_wanted.emit(path)

    def _ask_which(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load model", "", _FILTER)
        if path:
            self.load_wanted.emit(Path(path))
