"""Save and load models, and the command that does without the window."""

from __future__ import annotations

import shutil
from pathlib import Path

from qtpy.QtWidgets import QApplication

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.model_card import read_card
from napari_impartial.io.atomic import atomic_path

from . import notify
from .command import command
from .process import TrainingProcess
from .result_control import ResultControl
from .workspace import Workspace


class ModelControl:
    """What can be done with the session's model."""

    def __init__(
        self, workspace: Workspace, process: TrainingProcess, results: ResultControl
    ) -> None:
        self._workspace = workspace
        self._session = workspace.session
        self._process = process
        self._results = results

    def save(self, path: Path) -> None:
        """Write the current model to a file, whole or not at all."""
        if self._session.model_path is None:
            notify.show_warning("There is no model to save yet.")
            return
        try:
            with atomic_path(path) as temporary:
                shutil.copyfile(self._session.model_path, temporary)
        except ImPartialError as error:
            notify.show_error(str(error))
            return
        notify.show_info(f"The model was saved as {path}.")

    def load(self, path: Path) -> None:
        """Take over a model from a file, and predict the image in view if it fits."""
        try:
            card = read_card(path)
            # A copy, so that it does not matter what becomes of the file.
            own = self._process.new_model_path()
            shutil.copyfile(path, own)
        except (ImPartialError, OSError) as error:
            notify.show_error(str(error))
            return
        self._session.set_model(own, card)
        missing = self._session.missing_for_prediction()
        if not missing:
            self._results.predict()
        elif self._session.record is not None:
            notify.show_warning(missing)

    def copy_command(self) -> None:
        """Put the command that does the same without a window on the clipboard."""
        card, clipboard = self._session.card, QApplication.clipboard()
        if card is None or clipboard is None:
            return
        keys = dict.fromkeys(key for key, _, _ in self._session.scribbled())
        sources = [self._workspace.sources[key] for key in keys]
        clipboard.setText(command(card, sources, self._session.instance_config, "model.impartial"))
        notify.show_info("The command is on the clipboard. Save the layers it names as files.")
